#!/usr/bin/env bats
# What one client may use: the limits per address, with and without a proxy; the hosts that the
# server answers for, and the pages that may load its answers; what the log says about refusals, and
# what the log must never contain.
#
# Each test sets the limits that it tests. All of 127.0.0.0/8 belongs to this machine, so curl can
# play clients with different addresses through --interface 127.0.0.2 and so on. For tests of
# proxies, curl sends the fields that a proxy would send; proxies.bats has real ones.
# shellcheck disable=SC1083,SC2016,SC2030,SC2031,SC2034,SC2093,SC2094,SC2119,SC2120,SC2153
#
# seconds: 50

bats_require_minimum_version 1.5.0
load lib/helper

# Checks that the last answer is a stream with a retry of 10 to 30 seconds, `busy` with this reason,
# and a proper end.
is_busy() {
  same "$STATUS $(field Content-Type)" '200 text/event-stream; charset=utf-8'
  printf '%s\n\n' "$BODY" >busy
  same "$(names busy)" 'retry busy'
  local retry
  retry=$(events busy | jq 'select(.retry).retry')
  between "$retry" 10000 30000
  same "$(events_of busy busy .data)" "{\"reason\":\"$1\",\"retry\":$retry}"
}

# Checks that the last answer is a 429 that says when to try again.
is_too_much() {
  is_problem 429
  same "$(field Retry-After)" 1
}

# Prints how many streams are in the lobby, according to GET /rooms.
online() {
  ask /rooms
  jq '[.rooms[] | select(.room == "lobby").online] | add // 0' <<<"$BODY"
}

# Prints the statuses of the answers in standard input, in order.
statuses() {
  grep -a '^HTTP/1\.1 ' | cut -d ' ' -f 2 | paste -sd ' '
}

# Posts COUNT messages as fast as one curl can; prints their statuses, one per line.
posts() { # COUNT [curl options]
  curl -sS -m 60 -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' \
    --data-raw '{"message":"x"}' "${@:2}" "$URL/messages?[1-$1]"
}

KEYS=0

# Posts messages, each with a new idempotency key, until a message gets 429. Sets KEY to the key of
# that message.
post_too_much() {
  local i
  for i in {1..60}; do
    KEY=k$((KEYS += 1))
    post '{"message":"x"}' -H "Idempotency-Key: $KEY" "$@"
    [ "$STATUS" = 201 ] || break
  done
  is_too_much
}

# Sets CONNECTION to a new connection, which stays open. If FIELDS is given, also sends a request
# with these fields and checks that the answer is 200.
connect() { # [FIELDS]
  exec {CONNECTION}<>"/dev/tcp/127.0.0.1/$PORT"
  if [ $# -gt 0 ]; then
    printf 'GET /healthz HTTP/1.1\r\nHost: h\r\n%b\r\n' "$1" >&"$CONNECTION"
    read -r -t 20 ANSWER <&"$CONNECTION"
    same "$ANSWER" $'HTTP/1.1 200 OK\r'
  fi
}

# Checks that COUNT lines of the log match REGEX.
log_has() { # COUNT REGEX
  same "$(grep -cE -- "$2" "$SERVER_LOG")" "$1"
}

# Starts a server with its default limits: a script drops the first four arguments, with which
# start_server removes limits.
start_plain() {
  local program=$SSECHAT
  is_sanitized && SANITIZED=1
  printf '#!/bin/sh\nshift 4\nexec "%s" "$@"\n' "$program" >plain
  chmod +x plain
  SSECHAT=$PWD/plain start_server "$@"
}

# ---- Streams of one address ----

@test "a stream over the limit of its address gets busy and never appears in presence" {
  local i
  start_server --max-streams-per-ip 3
  for i in 1 2 3; do
    listen "stream$i" "name=n$i"
  done
  ask '/events?name=n4'
  is_busy address
  ask '/events?name=n4' -0
  is_busy address
  ask '/events?name=n4' -I
  same "$STATUS" 200
  same "$(online)" 3
  listen other 'name=n5' --interface 127.0.0.2
  same "$(online)" 4
  accepts '{"message":"to all"}'
  await_text stream1 'to all'
  await_text other 'to all'
  lacks "$(cat stream? other)" n4
  kill "${CLIENTS[0]}"
  eventually '[ "$(online)" = 3 ]'
  listen again 'name=n6'
  ask '/events?name=n7'
  is_busy address
}

@test "a long poll counts as a stream, and a poll over the limit is answered with 429" {
  start_server --max-streams-per-ip 2
  listen stream ''
  curl -sS -m 60 -o page "$URL/messages?wait=60" 3>&- &
  CLIENTS+=($!)
  await_polls 1
  ask '/messages?wait=1'
  is_too_much
  ask /events
  is_busy address
  ask '/messages?wait=1' --interface 127.0.0.2
  same "$STATUS" 200
  # A request without wait does not count as a stream.
  ask /messages
  same "$STATUS" 200
  accepts '{"message":"x"}'
  eventually '[ -s page ]'
  ask '/messages?wait=1'
  same "$STATUS" 200
}

@test "a long poll that can be answered at once is never over the limit" {
  start_server --max-streams-per-ip 1
  accepts '{"message":"one"}'
  accepts '{"message":"two"}'
  listen stream ''
  ask "/messages?wait=60&after=$(jq -r '.messages[0].id' < <(curl -s "$URL/messages"))"
  same "$STATUS $(jq -c '[.messages[].message]' <<<"$BODY")" '200 ["two"]'
}

@test "a client on a unix socket has no address and no limits" {
  local i
  start_server --max-streams-per-ip 1 --post-rate 1 --listen "unix:$PWD/socket"
  URL=http://localhost
  for i in 1 2 3; do
    listen "stream$i" '' --unix-socket socket -H 'X-Forwarded-For: 192.0.2.1'
  done
  same "$(posts 60 --unix-socket socket | sort | uniq -c | xargs)" '60 201'
}

@test "a limit of 0 means no limit" {
  start_server --max-streams-per-ip 0 --post-rate 0
  crowd 120 /events
  same "$(posts 120 | sort | uniq -c | xargs)" '120 201'
}

@test "by default, an address may hold 64 streams and post 20 messages at once" {
  start_plain
  crowd 64 /events
  ask /events
  is_busy address
  posts 80 >statuses
  same "$(head -n 20 statuses | sort -u)" 201
  grep -q 429 statuses
}

# ---- Connections of one address ----

@test "an address may hold 32 connections besides its streams, and the next is closed at once" {
  local i kept=()
  start_server --max-streams-per-ip 3
  crowd 3 /events
  for i in {1..32}; do
    # Half of the connections are silent; the others have been answered and are idle.
    if ((i % 2)); then connect; else connect ''; fi
    kept[i]=$CONNECTION
  done
  connect
  same "$(timeout 20 cat <&"$CONNECTION" | wc -c)" 0
  exec {CONNECTION}>&-
  run ! curl -s "$URL/healthz"
  ask /healthz --interface 127.0.0.2
  same "$STATUS" 200
  accepts '{"message":"still here"}' --interface 127.0.0.3
  tell 'count 1 still here'
  same "$ANSWER" ok
  for i in 1 2; do
    exec {kept[i]}>&-
  done
  eventually 'curl -sf "$URL/healthz"'
  ask /events
  is_busy address
  log_has 1 '^warn: refused what=connection address=127\.0\.0\.1 connections=36 streams=3 others_since=0$'
}

# ---- The log ----

@test "a flood of refusals makes one log line and one hint, and a later line counts the rest" {
  local total
  start_server --max-streams-per-ip 1
  listen stream ''
  curl -sS -m 30 "$URL/events?[1-50]" >answers
  same "$(grep -c '^event: busy' answers)" 50
  log_has 1 refused
  log_has 1 '^warn: refused what=stream address=127\.0\.0\.1 connections=2 streams=1 others_since=0$'
  log_has 1 '^warn: hint=".*--trust-proxy 127\.0\.0\.1.*"$'
  total=50
  until [ "$(grep -c refused "$SERVER_LOG")" = 2 ]; do
    ask /events
    is_busy address
    total=$((total + 1))
    between "$total" 51 1000
    sleep 0.5
  done
  log_has 1 "^warn: refused what=stream .* others_since=$((total - 2))\$"
  log_has 1 hint=
}

@test "the log does not suggest --trust-proxy when that option is set" {
  start_server --max-streams-per-ip 1 --trust-proxy 192.0.2.1
  listen stream ''
  ask /events
  is_busy address
  log_has 1 refused
  log_has 0 hint=
}

@test "the log also suggests --trust-proxy for a proxy at ::1" {
  grep -q '^0*1 .* lo$' /proc/net/if_inet6 || skip 'this machine has no ::1'
  start_server --listen '[::1]:0' --max-streams-per-ip 1
  listen stream '' -g
  ask /events -g
  is_busy address
  log_has 1 '^warn: refused what=stream address=::1 '
  log_has 1 hint=
}

@test "each connection gets a debug line when it closes, with its address and the reason" {
  local line='^debug: close fd=[0-9]+ address=127\.0\.0\.'
  start_server --log-level debug --max-streams-per-ip 1
  listen stream ''
  ask /events
  is_busy address
  ask /healthz --interface 127.0.0.2
  raw 'nonsense\r\n\r\n' >/dev/null
  connect ''
  exec {CONNECTION}>&-
  kill "$CLIENT_PID"
  eventually 'log_has 5 "^debug: close "'
  log_has 4 "${line}1 stream=[01] reason=\"[a-z -]+\"\$"
  log_has 1 "${line}2 stream=0 reason=\"done\"\$"
  log_has 1 "${line}1 stream=1 reason=\"(hang-up|reset)\"\$"
  listen stream '' --interface 127.0.0.3
  stop_server
  log_has 6 '^debug: close '
  log_has 1 "${line}3 stream=[01] reason="
}

@test "the log contains nothing that a client has sent, and no control byte" {
  local mark=Zq7xW token other bytes
  printf '%s-an-old-song-that-only-we-two-know' "$mark" >key
  chmod 600 key
  start_server --log-level debug --key key --journal chat.journal --max-streams-per-ip 1 --post-rate 2 \
    --trust-proxy 127.0.0.1 --host 127.0.0.1 --history 16K
  token=$("$SSECHAT" token --key key --rooms '*' --publish)
  other=$("$SSECHAT" token --key key --rooms "$mark" --sub "$mark")
  bytes="$mark\x1b]0;$mark\x07\x9b31m"
  for way in -HAuthorization:" Bearer $token" "-bssechat=$token" "-bx=$mark; ssechat=$other" \
    -HAuthorization:" Basic $mark" "-uann:$mark"; do
    for named in 192.0.2.1 "$mark" "$mark, 192.0.2.2" "$(printf '%b' "$bytes")" ''; do
      ask "/messages?room=$mark&wait=0&$mark=$mark" "$way" -H "X-Forwarded-For: $named"
      post "{\"message\":\"$mark\",\"name\":\"$mark\",\"room\":\"$mark\"}" "$way" -H "X-Forwarded-For: $named" \
        -H "Idempotency-Key: $mark" -H "Forwarded: for=$mark" -H "X-$mark: $mark" -A "$mark" -e "http://$mark/"
    done
  done
  listen stream "room=$mark&access_token=$token&name=$mark" -H 'X-Forwarded-For: 192.0.2.1'
  ask "/events?room=$mark&access_token=$token" -H 'X-Forwarded-For: 192.0.2.1'
  is_busy address
  ask "/events?access_token=$other&room=$mark" -H "Last-Event-ID: $mark" -I
  ask "/events?access_token=${token%??}$mark"
  ask "/$mark/$token" -H "Origin: http://$mark"
  ask / -H "Host: $mark"
  ask / -X "$mark"
  post "{\"$mark\":\"$mark" -H "Authorization: Bearer $token"
  post "{\"event\":\"$mark\",\"data\":{\"$mark\":\"$mark\u001b\"}}" -H "Authorization: Bearer $token"
  ask "/messages?access_token=$token&room=$mark" -H 'Content-Type: application/octet-stream' --data-binary "$mark"
  while read -r request; do
    raw "$request" >/dev/null
  done <<END
$mark\r\n\r\n
GET /$bytes HTTP/1.1\r\nHost: $mark\r\n\r\n
GET /$mark $mark\r\n\r\n
\x1b[31m$mark\r\n\r\n
GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n$mark\x1b[31m: x\r\n\r\n
GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ssechat=$token\x1b\r\n\r\n
GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer $bytes\r\nConnection: close\r\n\r\n
GET / HTTP/1.1\r\nHost: $bytes\r\n\r\n
GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: $bytes\nwarn: $mark\r\n\r\n
POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n$mark\r\n
POST /messages?$mark HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: $mark\r\n\r\n
END
  # Clients give up in the middle of a head or a body.
  for bytes in "GET /$mark/$token" "POST /messages?access_token=$token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"message\":\"$mark"; do
    connect
    printf '%b' "$bytes" >&"$CONNECTION"
    exec {CONNECTION}>&-
  done
  eventually '[ "$(grep -c "reason=\"cut\"" "$SERVER_LOG")" -ge 2 ]'
  stop_server
  # The log is not empty: it reports closed connections and refusals.
  grep -q '^debug: close ' "$SERVER_LOG"
  grep -q '^warn: refused ' "$SERVER_LOG"
  lacks "$(cat "$SERVER_LOG")" "$mark"
  for part in ${token//./ } ${other//./ }; do
    lacks "$(cat "$SERVER_LOG")" "$part"
  done
  same "$(LC_ALL=C grep -ac '[^ -~]' "$SERVER_LOG")" 0
}

# ---- Messages of one address ----

@test "an address may post a burst, then --post-rate messages per second; 429 says when to retry" {
  local started taken
  start_server --post-rate 5
  started=$(date +%s%3N)
  posts 60 >statuses
  taken=$(($(date +%s%3N) - started))
  same "$(head -n 20 statuses | sort -u)" 201
  same "$(sort -u statuses | paste -sd ' ')" '201 429'
  between "$(grep -c 201 statuses)" 20 $((21 + 5 * taken / 1000))
  post_too_much
  accepts '{"message":"x"}' --interface 127.0.0.2
  post_too_much
  sleep "$(field Retry-After)"
  same "$(posts 5 | paste -sd ' ')" '201 201 201 201 201'
  log_has 1 '^warn: refused what=post address=127\.0\.0\.1 '
  # Reads do not count towards the rate.
  ask /messages
  same "$STATUS" 200
}

@test "--post-rate sets the rate and the burst of an address" {
  start_server --post-rate 1000
  same "$(posts 100 | sort | uniq -c | xargs)" '100 201'
  start_server --post-rate 1
  posts 30 >statuses
  same "$(head -n 4 statuses | sort -u)" 201
  between "$(grep -c 429 statuses)" 1 26
}

@test "a POST over the rate is refused before its body is read" {
  local i kept=()
  start_server --post-rate 1
  for i in {1..10}; do
    connect
    kept[i]=$CONNECTION
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n' >&"$CONNECTION"
  done
  timeout 20 cat <&"${kept[10]}" >answer.head
  HEAD=$(tr -d '\r' <answer.head)
  contains "$HEAD" 'HTTP/1.1 429 '
  same "$(field Retry-After) $(field Connection)" '1 close'
  for i in {1..10}; do
    exec {kept[i]}>&-
  done
}

@test "a connection continues after a 429 if no body has to be skipped" {
  local head='POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n'
  start_server --post-rate 1
  raw "$(times 20 "$head")GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" >answers
  same "$(statuses <answers | tr ' ' '\n' | sort -u | xargs)" '200 400 429'
  same "$(statuses <answers | wc -w) $(tail -n 1 answers)" '21 {"status":"ok"}'
}

@test "a POST refused because of the rate does not use up its idempotency key" {
  start_server --post-rate 1
  post_too_much
  eventually 'post "{\"message\":\"once\"}" -H "Idempotency-Key: $KEY"; same "$STATUS" 201'
  ask '/messages?limit=500'
  same "$(jq -c --arg key "$KEY" '[.messages[] | select(.key == $key).message]' <<<"$BODY")" '["once"]'
}

@test "a POST that is refused because of its head does not count towards the rate" {
  local i
  start_server --post-rate 1
  for i in {1..6}; do
    ask /messages -H 'Content-Type: text/plain' -d x
    is_problem 415
    refuses 403 '{"message":"x"}' -H 'Origin: https://evil.example'
  done
  same "$(posts 4 | paste -sd ' ')" '201 201 201 201'
}

# ---- The memory of a room ----

# Posts COUNT messages with `data` of SIZE bytes on one connection, as fast as possible. If MARK is
# given, each has a key of 64 bytes that begins with it.
fill() { # COUNT SIZE [MARK]
  awk -v count="$1" -v size="$2" -v mark="${3:-}" 'BEGIN {
    body = sprintf("{\"data\":\"%" size "s\"}", "")
    for (n = 1; n <= count; n++)
      printf "POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
        mark != "" ? sprintf("Idempotency-Key: %s%0" 64 - length(mark) "d\r\n", mark, n) : "", length(body), body
    printf "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
  }' >requests
  connect
  cat requests >&"$CONNECTION" 3>&- &
  CLIENTS+=($!)
  timeout 120 cat <&"$CONNECTION" >answers
  exec {CONNECTION}>&-
  same "$(grep -ac '^HTTP/1.1 201 ' answers)" "$1"
}

# Prints the ids of the messages that the lobby holds, one per line.
held() {
  listen replay 'last_event_id=0-0'
  awk '/^id: / { id = $2 } /^event: ready/ { exit } /^data: *$/ { print id }' replay
  kill "$CLIENT_PID"
}

# Prints how much memory the server uses, in KB.
memory() {
  awk '/^VmRSS/ { print $2 }' "/proc/$SERVER_PID/status"
}

@test "entries and keys count towards --history, and a room takes at most twice as much memory" {
  local before count=60000
  ! is_sanitized || count=20000
  start_server --history 4M
  fill 1 0 w
  before=$(memory)
  # A frame has 25 bytes besides its id, an entry 56, a key 88 besides its 64. Ids have 15 to 18 bytes.
  fill "$count" 0 a
  between "$(held | wc -l)" $((4 * 1024 * 1024 / (25 + 18 + 56 + 152))) $((4 * 1024 * 1024 / (25 + 15 + 56 + 152)))
  ! is_sanitized || return 0 # sanitizers need memory of their own
  between $(($(memory) - before)) 3000 8192
  fill 100000 0
  between "$(held | wc -l)" $((4 * 1024 * 1024 / (25 + 18 + 56))) $((4 * 1024 * 1024 / (25 + 15 + 56)))
  between $(($(memory) - before)) 3000 8192
}

@test "a room gives back the memory that its messages no longer need" {
  ! is_sanitized || return 0 # sanitizers keep freed memory
  local before
  start_server --history 4M
  fill 1 0 w
  before=$(memory)
  fill 2000 5000
  fill 100000 0
  fill 60000 0 a
  between $(($(memory) - before)) 3000 5500
  fill 2000 5000
  between $(($(memory) - before)) 3000 5500
}

@test "a restart keeps all that a full room holds, with its keys" {
  local i
  start_server --history 64K --journal chat.journal --sync none
  fill 500 0 a
  fill 200 300
  fill 100 0 b
  held >before
  for i in 1 2; do
    stop_server
    start_server --history 64K --journal chat.journal --sync none
    held | cmp - before
    lacks "$(<"$SERVER_LOG")" dropped=
  done
  post '{"data":""}' -H "Idempotency-Key: $(printf 'b%063d' 100)"
  same "$STATUS $(jq -r .id <<<"$BODY")" "200 $(tail -n 1 before)"
}

# ---- Behind a proxy ----

# Prints the field in which a proxy reports these addresses.
by() {
  printf 'X-Forwarded-For: %s' "$1"
}

@test "the fields that name a proxy's client are ignored without --trust-proxy" {
  local i
  start_server --max-streams-per-ip 1 --post-rate 1
  listen stream '' -H "$(by 192.0.2.1)"
  ask /events -H "$(by 192.0.2.2)"
  is_busy address
  ask /events -H 'Forwarded: for=192.0.2.2'
  is_busy address
  for i in {1..60}; do
    post '{"message":"x"}' -H "$(by "192.0.2.$i")" -H "Forwarded: for=192.0.2.$i"
    [ "$STATUS" = 201 ] || break
  done
  is_too_much
}

@test "behind a trusted proxy, limits apply to the address that the proxy names" {
  start_server --max-streams-per-ip 1 --post-rate 1 --trust-proxy 127.0.0.1
  listen one '' -H "$(by 192.0.2.1)"
  listen two '' -H "$(by 192.0.2.2)"
  ask /events -H "$(by 192.0.2.1)"
  is_busy address
  ask '/messages?wait=1' -H "$(by 192.0.2.2)"
  is_too_much
  post_too_much -H "$(by 192.0.2.1)"
  accepts '{"message":"x"}' -H "$(by 192.0.2.2)"
  # The log has one line for all refusals, with the address that the proxy named.
  log_has 1 '^warn: refused what=stream address=192\.0\.2\.1 connections=2 streams=1 '
  # The field is ignored when it comes from an address other than the proxy's.
  listen direct '' --interface 127.0.0.2 -H "$(by 192.0.2.3)"
  ask /events --interface 127.0.0.2 -H "$(by 192.0.2.4)"
  is_busy address
}

@test "an address that a client sends is ignored if the trusted proxy adds another after it" {
  local i
  start_server --max-streams-per-ip 1 --trust-proxy 127.0.0.1 --trust-proxy 10.0.0.0/8
  listen stream '' -H "$(by '203.0.113.1, 192.0.2.1')"
  for i in "203.0.113.2, 192.0.2.1" "192.0.2.1" "unknown, 192.0.2.1:4711" ", ,192.0.2.1" "192.0.2.2,192.0.2.1, 10.1.2.3" \
    "::ffff:192.0.2.1" "[::ffff:192.0.2.1]:80, 10.0.0.1, 10.0.0.2"; do
    ask /events -H "$(by "$i")"
    is_busy address
  done
  ask /events -H "$(by 203.0.113.2)" -H "$(by 192.0.2.1)"
  is_busy address
  ask /events -H "$(by 192.0.2.1)" -H 'Forwarded: for=203.0.113.2'
  is_busy address
  listen other '' -H "$(by '192.0.2.1, 192.0.2.2')"
}

@test "a trusted proxy may name its client in Forwarded (RFC 7239)" {
  start_server --max-streams-per-ip 1 --trust-proxy 127.0.0.1
  listen stream '' -H 'Forwarded: for=203.0.113.1, for="192.0.2.1:4711";proto=https'
  ask /events -H 'Forwarded: for="203.0.113.2, for=192.0.2.1'
  is_busy address
  ask /events -H "$(by 192.0.2.1)"
  is_busy address
  listen other '' -H 'Forwarded: for=192.0.2.1, for=192.0.2.2'
}

@test "an IPv6 /64 network behind a trusted proxy counts as one client" {
  start_server --max-streams-per-ip 1 --trust-proxy 127.0.0.1
  listen one '' -H "$(by 2001:db8::1)"
  for i in 2001:db8::2 2001:db8:0:0:ffff:ffff:ffff:ffff '[2001:db8::3]:4711'; do
    ask /events -H "$(by "$i")"
    is_busy address
  done
  ask /events -H 'Forwarded: for="[2001:db8::4]"'
  is_busy address
  listen two '' -H "$(by 2001:db8:0:1::1)"
  ask /events -H "$(by 2001:db8:0:1::1)"
  is_busy address
}

@test "each request on a trusted proxy's connection counts for the client named in that request" {
  local poll='GET /messages?wait=1 HTTP/1.1\r\nHost: h\r\n' last='Connection: close\r\n'
  start_server --max-streams-per-ip 1 --trust-proxy 127.0.0.1
  listen stream '' -H "$(by 192.0.2.1)"
  same "$(raw "$poll$(by 192.0.2.1)\r\n\r\n$poll$(by 192.0.2.2)\r\n\r\n$poll$(by 192.0.2.1)\r\n\r\n$poll\r\n$poll$last$(by 192.0.2.2)\r\n\r\n" | statuses)" \
    '429 200 429 200 200'
  # A stream counts for the client of its own request, not for clients of earlier requests.
  connect "$(by 192.0.2.3)\r\n"
  printf 'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /events HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n' "$(by 192.0.2.4)" >&"$CONNECTION"
  eventually '[ "$(online)" = 2 ]'
  ask /events -H "$(by 192.0.2.4)"
  is_busy address
  ask '/messages?wait=1' -H "$(by 192.0.2.3)"
  same "$STATUS" 200
  exec {CONNECTION}>&-
  eventually '[ "$(online)" = 1 ]'
  listen four '' -H "$(by 192.0.2.4)"
}

@test "a trusted proxy may keep any number of connections, whichever clients used them" {
  local i kept=()
  start_server --max-streams-per-ip 3 --trust-proxy 127.0.0.1
  for i in {1..120}; do
    if ((i <= 40)); then connect; elif ((i <= 80)); then connect "$(by "192.0.2.$i")\r\n"; else connect "$(by 192.0.2.1)\r\n"; fi
    kept[i]=$CONNECTION
  done
  ask /healthz -H "$(by 192.0.2.1)"
  same "$STATUS" 200
  log_has 0 refused
  for i in {1..120}; do
    exec {kept[i]}>&-
  done
}

@test "a client behind a trusted proxy may have only a limited number of requests in progress" {
  local i kept=() head='POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 15\r\nExpect: 100-continue\r\n'
  start_server --max-streams-per-ip 3 --post-rate 0 --trust-proxy 127.0.0.1
  for i in {1..35}; do
    connect
    kept[i]=$CONNECTION
    printf "$head%s\r\n\r\n" "$(by 192.0.2.1)" >&"$CONNECTION"
    read -r -t 20 ANSWER <&"$CONNECTION"
    same "$ANSWER" $'HTTP/1.1 100 Continue\r'
  done
  ask /healthz -H "$(by 192.0.2.1)"
  is_too_much
  ask /events -H "$(by 192.0.2.1)"
  is_busy address
  ask /healthz -H "$(by 192.0.2.2)"
  same "$STATUS" 200
  log_has 1 '^warn: refused what=connection address=192\.0\.2\.1 connections=36 streams=0 others_since=0$'
  log_has 1 '^warn: refused what=stream address=192\.0\.2\.1 '
  for i in {1..35}; do
    printf '{"message":"x"}' >&"${kept[i]}"
    eventually 'read -r -t 20 ANSWER <&"${kept[i]}" && [ "$ANSWER" = $'"'HTTP/1.1 201 Created\\r'"' ]'
  done
  ask /healthz -H "$(by 192.0.2.1)"
  same "$STATUS" 200
}

@test "a proxy on a unix socket is trusted with --trust-proxy unix" {
  start_server --listen "unix:$PWD/socket" --max-streams-per-ip 1 --trust-proxy unix
  URL=http://localhost
  listen one '' --unix-socket socket -H "$(by 192.0.2.1)"
  ask /events --unix-socket socket -H "$(by 192.0.2.1)"
  is_busy address
  ask /events --unix-socket socket -H "$(by '192.0.2.2, 192.0.2.1')"
  is_busy address
  listen two '' --unix-socket socket -H "$(by 192.0.2.2)"
}

@test "requests from a trusted proxy that names no client have no limits, and the log warns once" {
  start_server --max-streams-per-ip 1 --post-rate 1 --trust-proxy 127.0.0.1
  ask /healthz # a check by the proxy itself, or by `ssechat probe`
  log_has 0 hint=
  listen one ''
  listen two ''
  same "$(posts 30 | sort | uniq -c | xargs)" '30 201'
  log_has 1 hint=
  log_has 1 '^warn: hint="a trusted proxy does not name its client; configure it to send X-Forwarded-For or Forwarded"$'
}

@test "clients for which a trusted proxy gives no readable address count as one client" {
  start_server --max-streams-per-ip 1 --post-rate 1 --trust-proxy 127.0.0.1
  listen one '' -H "$(by unknown)"
  for i in "$(by unknown)" "$(by ', ')" 'X-Forwarded-For;' 'Forwarded: for=_hidden' 'Forwarded: proto=https' \
    'Forwarded: for=192.0.2.1;for=192.0.2.2'; do
    ask /events -H "$i"
    is_busy address
  done
  post_too_much -H "$(by unknown)"
  log_has 1 hint=
  log_has 1 '^warn: refused what=stream address=:: '
}

@test "a client's Host that a proxy quotes in Forwarded does not change the client's address" {
  local i
  start_server --max-streams-per-ip 0 --post-rate 1 --trust-proxy 127.0.0.1
  for i in {1..40}; do
    post '{"message":"x"}' -H "Forwarded: for=192.0.2.1;host=\"x;for=203.0.113.$i;y,for=198.51.100.$i\""
    [ "$STATUS" = 201 ] || break
  done
  is_too_much
  between "$i" 4 12
}

@test "refusals of different kinds do not hide each other in the log" {
  start_server --max-streams-per-ip 1 --post-rate 1 --max-rooms 1
  accepts '{"room":"one","message":"x"}' --interface 127.0.0.2
  listen stream ''
  ask /events
  is_busy address
  post_too_much
  ask '/events?room=other' --interface 127.0.0.2
  is_busy rooms
  log_has 3 refused
  log_has 1 'refused what=stream '
  log_has 1 'refused what=post '
  log_has 1 'refused what=room address=127\.0\.0\.2 '
}

@test "a GET with a body is refused with 413 before the body is sent" {
  local request
  start_server
  for request in 'GET / ' 'HEAD /events ' 'GET /messages '; do
    same "$(raw "${request}HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" | statuses)" 413
    same "$(raw "${request}HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n" | statuses)" 413
  done
  same "$(raw 'GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' | statuses)" 200
}

@test "one address can send the largest body that --max-body allows" {
  start_server --max-streams-per-ip 64 --max-body 32M --history 128M
  { printf '{"data":"' && head -c 33000000 /dev/zero | tr '\0' x && printf '"}'; } >body
  same "$(curl -sS -m 60 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -H 'Expect:' \
    --data-binary @body "$URL/messages")" 201
  log_has 0 refused
}

@test "each address has its own share of the memory for unfinished requests" {
  local i kept=() filler
  filler=$(printf '%0900000d' 0)
  start_server --post-rate 0 --max-streams-per-ip 64 --max-body 1M
  for i in {1..8}; do
    connect
    kept[i]=$CONNECTION
    (printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n%s' \
      "$filler" >&"$CONNECTION") 2>/dev/null || true
  done
  eventually 'grep -q "refused what=buffer address=127.0.0.1 " "$SERVER_LOG"'
  i=$(for i in {1..8}; do read -r -t 0.3 ANSWER <&"${kept[i]}" && echo "$ANSWER"; done | tr -d '\r' | sort | uniq -c | xargs)
  case $i in [1-7]' HTTP/1.1 503 Service Unavailable') ;; *) same "$i" 'some are refused' ;; esac
  post "{\"data\":\"${filler:0:100000}\"}" --interface 127.0.0.2
  same "$STATUS" 201
  for i in {1..8}; do
    exec {kept[i]}>&-
  done
  eventually 'post "{\"data\":\"${filler:0:100000}\"}"; [ "$STATUS" = 201 ]'
}

@test "--trust-proxy accepts networks, addresses and the word unix, and nothing else" {
  local network
  for network in 10.0.0.0/8 0.0.0.0/0 192.0.2.1 192.0.2.1/32 2001:db8::/32 ::/0 ::1 2001:db8::1/128 ::ffff:10.0.0.0/104 unix; do
    run -0 "$SSECHAT" --check --log-level warn --trust-proxy 127.0.0.1 --trust-proxy "$network"
    same "$network $output" "$network "
  done
  SSECHAT_TRUST_PROXY='127.0.0.1, ::1, unix' run -0 "$SSECHAT" --check
  for network in '' nonsense proxy.example 10.1.2.3/8 10.0.0.0/33 10.0.0.0/ /8 10.0.0.0/8/8 10.0.0/8 256.0.0.0/8 010.0.0.0/8 \
    10.0.0.0/-8 127.0.0.1:80 '[::1]' ::/129 ::1/64 2001:db8::1/32 fe80::1%lo 1:2:3:4::5:6:7:8 00001:: '127.0.0.1 ' '10.0.0.0/8,::1' UNIX; do
    refused 2 --trust-proxy "$network"
  done
  SSECHAT_TRUST_PROXY=10.1.2.3/8 refused 2
}

# ---- Rooms of one address ----

# Opens streams in 16 rooms each, until there are COUNT rooms: read_rooms COUNT [curl options].
read_rooms() {
  local i j rooms
  for ((i = 0; i < $1; i += 16)); do
    rooms=x$i
    for ((j = i + 1; j < i + 16; j++)); do rooms+=,x$j; done
    open_stream "rooms$i" "room=$rooms" "${@:2}"
  done
  for ((i = 0; i < $1; i += 16)); do
    eventually "grep -qE '^event: (ready|busy)\$' rooms$i"
  done
}

# Prints the names of the listed rooms.
rooms() {
  ask /rooms "$@"
  jq -r '[.rooms[].room] | join(" ")' <<<"$BODY"
}

@test "streams make no room that counts: 256 rooms without messages keep no client from publishing" {
  start_server
  read_rooms 256
  await rooms240 ready
  listen lobby ''
  accepts '{"message":"x"}'
  accepts '{"room":"new","message":"x"}'
  await_text lobby '"message":"x"'
  listen more 'room=other'
}

@test "streams with read-only tokens make no room that counts" {
  local eve ann
  head -c 32 /dev/zero | tr '\0' k >key_file
  chmod 600 key_file
  start_server --key key_file
  eve=$("$SSECHAT" token --key key_file --rooms '*')
  ann=$("$SSECHAT" token --key key_file --rooms '*' --publish)
  read_rooms 256 -H "Authorization: Bearer $eve"
  await rooms240 ready
  listen lobby '' -H "Authorization: Bearer $ann"
  accepts '{"message":"x"}' -H "Authorization: Bearer $ann"
  accepts '{"room":"new","message":"x"}' -H "Authorization: Bearer $ann"
}

@test "one address can make a quarter of --max-rooms, by reading or by posting" {
  local eve bob detail
  eve=$(by 192.0.2.1) bob=$(by 192.0.2.2)
  start_server --max-streams-per-ip 64 --max-rooms 8 --trust-proxy 127.0.0.1
  listen one 'room=a' -H "$eve"
  accepts '{"room":"b","message":"x"}' -H "$eve"
  ask '/events?room=c' -H "$eve"
  is_busy rooms
  ask '/events?room=lobby,c' -H "$eve"
  is_busy rooms
  post '{"room":"c","message":"x"}' -H "$eve"
  is_too_much
  detail=$(jq -r .detail <<<"$BODY")
  contains "$detail" 'use an existing room'
  contains "$detail" --max-rooms
  log_has 1 '^warn: refused what=room address=192\.0\.2\.1 '
  # What exists already, and the lobby, need no share.
  listen lobby 'room=lobby,a,b' -H "$eve"
  accepts '{"message":"x"}' -H "$eve"
  accepts '{"room":"a","message":"x"}' -H "$eve"
  accepts '{"room":"c","message":"x"}' -H "$bob"
  accepts '{"room":"d","message":"x"}' -H "$bob"
  listen existing 'room=c,d' -H "$eve"
  accepts '{"room":"c","message":"x"}' -H "$eve"
  post '{"room":"e","message":"x"}' -H "$bob"
  is_too_much
  # A client whose address the proxy does not name has no share.
  accepts '{"room":"e","message":"x"}'
}

@test "all ways to ask for a room use the same share: 16 streams of 16 rooms get a quarter of 256" {
  start_server --max-streams-per-ip 64 --trust-proxy 127.0.0.1
  read_rooms 256 -H "$(by 192.0.2.1)"
  same "$(cat rooms* | grep -cx 'event: ready')" 4
  same "$(cat rooms* | grep -cxE 'data: \{"reason":"rooms","retry":[0-9]+\}')" 12
  ask '/messages?room=x999&wait=1' -H "$(by 192.0.2.1)"
  is_too_much
  listen lobby '' -H "$(by 192.0.2.1)"
  listen other 'room=x999' -H "$(by 192.0.2.2)"
  accepts '{"room":"new","message":"x"}' -H "$(by 192.0.2.2)"
}

@test "an empty room that its address has made is the share of the first address that posts there" {
  local eve bob
  eve=$(by 192.0.2.1) bob=$(by 192.0.2.2)
  start_server --max-streams-per-ip 64 --max-rooms 4 --trust-proxy 127.0.0.1
  listen one 'room=a' -H "$eve"
  ask '/events?room=b' -H "$eve"
  is_busy rooms
  accepts '{"room":"a","message":"x"}' -H "$bob"
  listen two 'room=b' -H "$eve"
  post '{"room":"b","message":"x"}' -H "$bob"
  is_too_much
  accepts '{"room":"b","message":"x"}' -H "$eve"
}

@test "a share is free again when the room is gone" {
  local eve
  eve=$(by 192.0.2.1)
  start_server --max-streams-per-ip 64 --max-rooms 4 --room-ttl 5 --trust-proxy 127.0.0.1
  listen one 'room=a' -H "$eve"
  ask '/events?room=b' -H "$eve"
  is_busy rooms
  kill "$CLIENT_PID"
  eventually '[ "$(rooms)" = "" ]'
  accepts '{"room":"b","message":"x"}' -H "$eve"
  refuses 429 '{"room":"c","message":"x"}' -H "$eve"
  eventually '[ "$(rooms)" = "" ]'
  accepts '{"room":"c","message":"x"}' -H "$eve"
}

@test "a room stops counting when it holds no messages, even if it has streams" {
  start_server --max-rooms 1 --room-ttl 5
  accepts '{"room":"a","message":"x"}'
  refuses 503 '{"room":"b","message":"x"}'
  ask '/events?room=b'
  is_busy rooms
  eventually '[ "$(rooms)" = "" ]'
  listen stream 'room=a'
  accepts '{"room":"b","message":"x"}'
  refuses 503 '{"room":"a","message":"x"}'
  accepts '{"message":"the lobby never counts"}'
}

@test "loopback has no share without --trust-proxy, and --max-streams-per-ip 0 ends all shares" {
  start_server --max-streams-per-ip 64 --max-rooms 4
  listen one 'room=a,b,c,d,e'
  accepts '{"room":"a","message":"x"}'
  accepts '{"room":"b","message":"x"}'
  start_server --max-streams-per-ip 0 --max-rooms 4 --trust-proxy 127.0.0.1
  listen two 'room=a,b,c,d,e' -H "$(by 192.0.2.1)"
  accepts '{"room":"a","message":"x"}' -H "$(by 192.0.2.1)"
  accepts '{"room":"b","message":"x"}' -H "$(by 192.0.2.1)"
  start_server --max-streams-per-ip 64 --max-rooms 0 --trust-proxy 127.0.0.1
  listen three 'room=a,b,c,d,e' -H "$(by 192.0.2.1)"
  accepts '{"room":"a","message":"x"}' -H "$(by 192.0.2.1)"
  accepts '{"room":"b","message":"x"}' -H "$(by 192.0.2.1)"
}

@test "rooms of a journal that --room does not allow do not count, are not listed, and stay" {
  local token
  start_server --journal journal
  curl -sS -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/octet-stream' \
    --data-raw x "$URL/messages?room=r[1-256]" >statuses
  same "$(sort statuses | uniq -c | xargs)" '256 201'
  refuses 503 '{"room":"news","message":"x"}'
  stop_server
  head -c 32 /dev/zero | tr '\0' k >key_file
  chmod 600 key_file
  start_server --journal journal --room lobby --room news --room r7
  accepts '{"message":"x"}'
  accepts '{"room":"news","message":"x"}'
  same "$(rooms)" 'lobby news r7'
  ask '/messages?room=r1'
  is_problem 403
  ask '/events?room=r1'
  is_problem 403
  stop_server
  start_server --journal journal --room lobby --key key_file
  token=$("$SSECHAT" token --key key_file --rooms '*')
  same "$(rooms -H "Authorization: Bearer $token")" lobby
  stop_server
  start_server --journal journal --max-rooms 300
  same "$(rooms | wc -w)" 258
  stop_server
  # The rooms of --room never count, however many there are.
  start_server --journal journal --max-rooms 1 --room lobby --room news --room r7 --room r8
  lacks "$(<"$SERVER_LOG")" dropped=
  accepts '{"room":"r8","message":"x"}'
  same "$(rooms)" 'lobby news r7 r8'
}

@test "GET /rooms leaves out rooms without messages if it would list more than 300" {
  start_server
  accepts '{"room":"news","message":"x"}'
  read_rooms 288
  await rooms272 ready
  listen four 'room=y1,y2,y3,y4,y5,y6,y7,y8,y9,y10,y11'
  same "$(rooms | wc -w)" 300
  listen five 'room=~unlisted'
  same "$(rooms | wc -w)" 300
  ask /rooms
  same "$(jq .more <<<"$BODY")" false
  listen one 'room=y12'
  same "$(rooms)" news
  ask /rooms
  same "$(jq .more <<<"$BODY")" true
  accepts '{"room":"y12","message":"x"}'
  same "$(rooms)" 'news y12'
  kill "$CLIENT_PID"
  accepts '{"room":"y1","message":"x"}'
  same "$(rooms)" 'news y1 y12'
}

# ---- Host ----

@test "with --host, the server accepts the given names in any spelling and answers 421 to any other" {
  local status host
  start_server --host chat.example --host other.example:8080 --host '[2001:db8::1]'
  while read -r status host; do
    ask /rooms -H "Host: $host"
    same "$host $STATUS" "$host $status"
  done <<END
200 chat.example
200 Chat.EXAMPLE
200 chat.example:80
200 chat.example:9999
200 chat.example.
200 chat.example.:80
200 other.example:8080
200 OTHER.example:8080
200 [2001:db8::1]
200 [2001:DB8::1]:8080
421 other.example
421 other.example:80
421 other.example:8081
421 chat.example.evil
421 evil.chat.example
421 evilchat.example
421 chat.exampl
421 chat
421 127.0.0.1:$PORT
421 localhost
421 [2001:db8::2]
END
  for path in / /events /messages /rooms /nothing; do
    ask "$path" -H 'Host: evil.example'
    is_problem 421
  done
  refuses 421 '{"message":"x"}' -H 'Host: evil.example'
  ask /messages -X OPTIONS -H 'Host: evil.example'
  is_problem 421
  lacks "$BODY" evil
  ask /messages -H 'Host: chat.example'
  same "$(jq '.messages | length' <<<"$BODY")" 0
}

@test "with --host, a host in the target overrides the Host field, and a request with neither gets 421" {
  local end='Connection: close\r\n\r\n'
  start_server --host chat.example
  same "$(raw "GET http://chat.example/rooms HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 200
  same "$(raw "GET http://CHAT.example:80/rooms HTTP/1.1\r\nHost: chat.example\r\n$end" | statuses)" 200
  same "$(raw "GET http://evil.example/rooms HTTP/1.1\r\nHost: chat.example\r\n$end" | statuses)" 421
  same "$(raw "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 421
  same "$(raw "OPTIONS * HTTP/1.1\r\nHost: chat.example\r\n$end" | statuses)" 204
  same "$(raw "GET /rooms HTTP/1.1\r\nHost:\r\n$end" | statuses)" 421
  same "$(raw 'GET /rooms HTTP/1.0\r\n\r\n' | statuses)" 421
  same "$(raw 'GET /rooms HTTP/1.0\r\nHost: chat.example\r\n\r\n' | statuses)" 200
  # The connection continues with the next request; the server does not wait for a body.
  same "$(raw "GET / HTTP/1.1\r\nHost: evil\r\n\r\nGET /rooms HTTP/1.1\r\nHost: chat.example\r\n$end" | statuses)" '421 200'
  same "$(raw 'POST /messages HTTP/1.1\r\nHost: evil\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n' | statuses)" 421
}

@test "--host keeps out a page whose own name resolves to the server (DNS rebinding)" {
  local host=evil.example:$PORT
  start_server
  accepts '{"message":"x"}' -H "Host: $host" -H "Origin: http://$host"
  ask /rooms -0 -H 'Host:'
  same "$STATUS" 200
  start_server --host 127.0.0.1
  refuses 421 '{"message":"x"}' -H "Host: $host" -H "Origin: http://$host"
  accepts '{"message":"x"}' -H "Origin: $URL"
}

@test "with --host, /healthz answers for any Host, and also without one, because health checks have none" {
  local end='Connection: close\r\n\r\n' host
  start_server --host chat.example
  for host in evil.example 127.0.0.1 "127.0.0.1:$PORT" 10.0.0.1:8080 '[::1]' localhost chat.example; do
    ask /healthz -H "Host: $host"
    same "$host $STATUS $BODY" "$host 200 "'{"status":"ok"}'
    ask /healthz -I -H "Host: $host"
    same "$STATUS" 200
  done
  same "$(raw 'GET /healthz HTTP/1.0\r\n\r\n' | statuses)" 200
  same "$(raw 'HEAD /healthz HTTP/1.0\r\n\r\n' | statuses)" 200
  same "$(raw 'GET /healthz HTTP/1.0\r\nHost:\r\n\r\n' | statuses)" 200
  same "$(raw "GET /healthz HTTP/1.1\r\nHost:\r\n$end" | statuses)" 200
  same "$(raw "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 200
  same "$(raw "GET /healthz?a=b HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 200
  same "$(raw "OPTIONS /healthz HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 204
  # No other path does.
  same "$(raw "GET /healthz/ HTTP/1.1\r\nHost: evil.example\r\n$end" | statuses)" 421
  same "$(raw "GET / HTTP/1.1\r\nHost:\r\n$end" | statuses)" 421
  same "$(raw 'GET / HTTP/1.0\r\n\r\n' | statuses)" 421
}

@test "--host accepts names, and nothing else" {
  local host
  run -0 "$SSECHAT" --check --host chat.example --host chat.example:8080 --host '[::1]:80' --host localhost
  for host in '' http://chat.example chat.example/ /chat 'chat example' ann@chat.example 'chat.example?' 'a#b' a,b $'a\tb' $'a\x7f' é; do
    refused 2 --host "$host"
  done
}

# ---- Pages of other sites ----

# Checks that the last answer has the fields that keep pages of other sites from loading it.
is_ours() { # WHAT [POLICY]
  same "$1: $(field X-Content-Type-Options)" "$1: nosniff"
  same "$1: $(field Cross-Origin-Resource-Policy)" "$1: ${2:-same-origin}"
}

@test "every answer has the fields that keep pages of other sites from loading it" {
  local etag path
  start_server --max-streams-per-ip 1 --post-rate 1 --host 127.0.0.1 --room lobby --room '*'
  for path in / /index.html /style.css /icon.svg; do
    ask "$path"
    etag=$(field ETag)
    is_ours "$path"
    ask "$path" --compressed
    is_ours "$path --compressed"
    ask "$path" -I
    is_ours "$path -I"
    ask "$path" -H "If-None-Match: $etag"
    same "$STATUS" 304
    is_ours "$path 304"
    contains "$(field Content-Security-Policy)" "frame-ancestors 'none'"
    same "$(field Referrer-Policy)" no-referrer
  done
  for path in /messages /rooms /healthz /nothing '/messages?limit=x' '/events?room=x' '/events?history=x'; do
    ask "$path"
    is_ours "$path $STATUS"
    ask "$path" -I
    is_ours "$path -I $STATUS"
  done
  ask /events -I
  is_ours "$STATUS stream's head"
  listen stream '' -D fields
  HEAD=$(tr -d '\r' <fields)
  is_ours stream
  ask /events
  is_busy address
  is_ours busy
  ask '/messages?wait=1'
  is_too_much
  is_ours 429
  accepts '{"message":"x"}'
  is_ours 201
  refuses 400 '{'
  is_ours 400
  ask /messages -d x
  is_problem 415
  is_ours 415
  ask / -X DELETE
  is_problem 405
  is_ours 405
  ask / -H 'Host: evil.example'
  is_problem 421
  is_ours 421
  refuses 403 '{"message":"x"}' -H 'Origin: https://evil.example'
  is_ours 403
  HEAD=$(raw 'nonsense\r\n\r\n' | tr -d '\r')
  contains "$HEAD" ' 400 '
  is_ours 'not HTTP'
  post_too_much
  is_ours 'post 429'
}

@test "a 401 has the fields that keep pages of other sites from loading it" {
  printf 'an-old-song-that-only-we-two-know' >key
  chmod 600 key
  start_server --key key
  ask /events
  is_problem 401
  is_ours 401
  ask /messages -H 'Authorization: Bearer x'
  is_problem 401
  is_ours 401
}

@test "files of --www may be loaded by pages of other sites only with --cors" {
  local etag policy
  mkdir site
  printf 'hello' >site/hello.txt
  start_server --www site
  for policy in same-origin cross-origin; do
    ask /hello.txt
    same "$BODY" hello
    is_ours 'a file' "$policy"
    etag=$(field ETag)
    ask /hello.txt -H "If-None-Match: $etag"
    same "$STATUS" 304
    is_ours 304 "$policy"
    ask /hello.txt -I
    is_ours HEAD "$policy"
    # JSON answers stay protected, because pages of a --cors origin can read them through CORS.
    ask /messages -H 'Origin: https://app.example'
    is_ours JSON
    ask /nothing
    is_ours 404
    start_server --www site --cors https://app.example
  done
  # The built-in page also stays protected.
  start_server --cors https://app.example
  ask /
  is_ours 'the page'
}
