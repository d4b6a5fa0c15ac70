#!/usr/bin/env bats
# What one request, and one address, may cost the others: large posts, long pages, floods of parameters,
# unread answers, many requests at once.
#
# The clients of a test are told apart by X-Forwarded-For, or by their addresses in 127.0.0.0/8.
# shellcheck disable=SC1083,SC2016,SC2030,SC2031,SC2034,SC2059,SC2093,SC2094,SC2119,SC2120,SC2153
#
# seconds: 90

bats_require_minimum_version 1.5.0
load lib/helper

# Prints the field by which a proxy names its client.
by() {
  printf 'X-Forwarded-For: %s' "$1"
}

# Opens a connection. Sets the variable whose name is given to its descriptor.
connect() { # VARIABLE
  local opened
  exec {opened}<>"/dev/tcp/127.0.0.1/$PORT"
  printf -v "$1" %s "$opened"
}

# Posts the file `body` COUNT times, from connections of one address; prints how often each status came.
posts() { # COUNT [curl options]
  local pids=()
  rm -f statuses.*
  for i in $(seq "$1"); do
    curl -sS -m 60 -o /dev/null -D "head.$i" -w '%{http_code}\n' -H 'Content-Type: application/json' -H 'Expect:' \
      --data-binary @body "${@:2}" "$URL/messages" >"statuses.$i" 3>&- &
    pids+=("$!")
  done
  wait "${pids[@]}"
  cat statuses.* | sort | uniq -c | xargs
}

# The same, but the posts wait for the server, so that they all come at once.
posts_at_once() { # COUNT [curl options]
  suspend_server
  posts "$@" >counts &
  local pid=$!
  eventually '[ "$(ss -tnH "sport = :$PORT" | awk "\$2 > 0" | wc -l)" = '"$1 ]"
  resume_server
  wait "$pid"
  cat counts
}

# Prints the status and the length of an answer, which is in answer.body.
size() { # PATH [curl options]
  curl -sS -m 60 -o answer.body -w '%{http_code} %{size_download}' "${@:2}" "$URL$1"
}

# ---- Large posts ----

@test "a large post counts as many: of 20 at once one is accepted, and no reader is cut off" {
  local i
  start_server --post-rate 5 --max-streams-per-ip 64 --log-level debug
  for i in {1..8}; do
    listen "reader$i"
  done
  printf '{"data":"%s"}' "$(times 64000 z)" >body
  same "$(posts_at_once 20 --interface 127.0.0.2)" '1 201 19 429'
  between "$(sed -n 's/^Retry-After: \([0-9]*\).*/\1/p' head.* | sort -n | tail -n 1)" 1 4
  accepts '{"data":"the end"}'
  for i in {1..8}; do
    await_text "reader$i" 'the end'
    same "$(events_of "reader$i" message .data | wc -l)" 2
  done
  same "$(grep -c overrun "$SERVER_LOG")" 0
}

@test "the allowance of an address counts 4 KiB as one message" {
  start_server --post-rate 1
  printf '{"data":"%s"}' "$(times 8181 z)" >body # 8,192 bytes: 2 of the 4 that may come at once
  same "$(posts 3)" '2 201 1 429'
  printf '{"data":"z"}' >body
  same "$(posts_at_once 6 --interface 127.0.0.2)" '4 201 2 429'
  printf '{"data":"%s"}' "$(times 60000 z)" >body # never more than all of it
  same "$(posts 2 --interface 127.0.0.3)" '1 201 1 429'
  # An allowance is for all posts of the address together, and Retry-After says when to come back.
  printf '{"data":"%s"}' "$(times 12000 z)" >body
  same "$(posts 1 --interface 127.0.0.4)" '1 201'
  same "$(posts 1 --interface 127.0.0.4)" '1 429'
  sleep "$(sed -n 's/^Retry-After: \([0-9]*\).*/\1/p' head.1)"
  same "$(posts 1 --interface 127.0.0.4)" '1 201'
}

@test "a chunked body is counted when it is complete, and its address then owes the rest" {
  start_server --post-rate 1
  printf '{"data":"%s"}' "$(times 16000 z)" >body
  same "$(posts 1 -H 'Transfer-Encoding: chunked')" '1 201'
  printf '{"data":"z"}' >body
  same "$(posts 1)" '1 429'
  # 1 unit was counted before the body: the second post owes a burst.
  printf '{"data":"%s"}' "$(times 60000 z)" >body
  same "$(posts 1 --interface 127.0.0.2 -H 'Transfer-Encoding: chunked')" '1 201'
  same "$(posts 1 --interface 127.0.0.2 -H 'Transfer-Encoding: chunked')" '1 429'
  # A body that turns out to be wrong is counted like any other.
  printf '{"data":"%s"' "$(times 16000 z)" >body
  same "$(posts 1 --interface 127.0.0.3 -H 'Transfer-Encoding: chunked')" '1 400'
  same "$(posts 1 --interface 127.0.0.3)" '1 429'
}

# Sends the heads of COUNT posts with the body in the file `body`, waits until the server has read them,
# and sends the bodies; prints how often each status came.
heads_first() { # COUNT FIELD
  local i fd fds=() answer
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s\r\nExpect: 100-continue\r\n\r\n' "$2" >head.first
  for ((i = 0; i < $1; i++)); do
    connect fd
    fds+=("$fd")
    cat head.first >&"$fd"
    read -r answer <&"$fd" # 100 Continue
    read -r answer <&"$fd"
  done
  for fd in "${fds[@]}"; do
    cat body >&"$fd"
  done
  for fd in "${fds[@]}"; do
    read -r answer <&"$fd"
    echo "${answer:9:3}"
    exec {fd}>&-
  done | sort | uniq -c | xargs
}

@test "bodies that come after all of their heads get no more than the allowance and one body" {
  start_server --post-rate 5
  printf '{"data":"%s"}' "$(times 64000 z)" >plain
  { printf '%x\r\n' "$(wc -c <plain)" && cat plain && printf '\r\n0\r\n\r\n'; } >body
  same "$(heads_first 20 'Transfer-Encoding: chunked')" '1 201 19 429'
  stop_server
  start_server --post-rate 5
  printf '{"data":"%s"}' "$(times 2000 '\n')" >body
  between "$(heads_first 20 "Content-Length: $(wc -c <body)" | cut -d ' ' -f 1)" 1 4
  stop_server
  start_server --post-rate 5
  printf '{"data":"%s"}' "$(times 2000 z)" >body
  same "$(heads_first 20 "Content-Length: $(wc -c <body)")" '20 201'
}

@test "a message that is longer in the stream than in its post counts with its length there" {
  start_server --post-rate 1
  printf '{"data":"%s"}' "$(times 2000 '\n')" >body # 4,011 bytes, but 14,000 in the stream
  same "$(posts 2)" '1 201 1 429'
}

# ---- Pages ----

# Posts texts of this many control characters until the room is full of them.
fill_with_controls() { # COUNT
  printf '{"data":"%s"}' "$(times "$1" '\u0001')" >body
  curl -sS -m 60 -o /dev/null -H 'Content-Type: application/json' --data-binary @body \
    "$URL/messages?[1-$((300000 / ($1 + 80)))]"
}

@test "a page ends before what is written exceeds 64 KiB, and all messages are on the pages" {
  local end ids
  start_server
  fill_with_controls 300
  ask '/messages?limit=500&after=0-0'
  between "$(wc -c <<<"$BODY")" 60000 65700
  same "$(jq .more <<<"$BODY")" true
  # From both ends, the pages join without a message lost or repeated.
  : >forwards
  end=0-0
  while ask "/messages?limit=500&after=$end" && end=$(jq -r '.newest // empty' <<<"$BODY") && [ -n "$end" ]; do
    jq -r '.messages[].id' <<<"$BODY" >>forwards
    between "$(wc -c <<<"$BODY")" 1 65700
  done
  ask '/messages?limit=500'
  : >backwards
  while ids=$(jq -r '.messages[].id' <<<"$BODY") && [ -n "$ids" ]; do
    tac <<<"$ids" >>backwards
    between "$(wc -c <<<"$BODY")" 1 65700
    ask "/messages?limit=500&before=$(head -n 1 <<<"$ids")"
  done
  between "$(wc -l <forwards)" 300 900
  tac backwards | cmp forwards
}

@test "a page has one message even if that is longer than 64 KiB" {
  start_server --history 1M
  printf '{"data":"%s"}' "$(times 10000 '\u0001')" >body
  for _ in 1 2 3; do
    accepts "$(<body)"
  done
  ask '/messages?limit=500'
  same "$(jq -c '[(.messages | length), .more]' <<<"$BODY")" '[1,true]'
  ask "/messages?limit=500&after=0-0"
  same "$(jq -c '[(.messages | length), .more]' <<<"$BODY")" '[1,true]'
}

@test "HEAD makes no page and no list: it has the fields of GET, without Content-Length" {
  local path
  start_server
  fill_with_controls 300
  for path in '/messages?limit=500' /messages '/messages?room=none' '/messages?wait=1' /rooms; do
    ask "$path" -I
    same "$path $STATUS $(field Content-Type) $(field Cache-Control)" "$path 200 application/json no-store"
    lacks "$HEAD" Content-Length
  done
  # The connection carries the next request, so no byte of a body was sent.
  raw 'HEAD /messages HTTP/1.1\r\nHost: h\r\n\r\nHEAD /rooms HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' >answers
  same "$(grep -ac '^HTTP/1.1 200 ' answers) $(tail -n 1 answers)" '3 {"status":"ok"}'
  # Where a body costs nothing, HEAD still tells its length.
  for path in /healthz / /none; do
    ask "$path" -I
    contains "$HEAD" Content-Length
  done
  ask '/messages?limit=none' -I
  same "$STATUS" 400
}

# ---- Floods ----

@test "a URL has at most 64 parameters, and names at most 64 rooms; empty parameters are skipped" {
  local path
  start_server
  for path in /messages /events; do
    same "$(size "$path?$(times 64 'x=1&')room=" | cut -d ' ' -f 1)" 400
    same "$(size "$path?$(times 65 'x&')" | cut -d ' ' -f 1)" 400
    contains "$(jq -r .detail answer.body)" '64 parameters'
    same "$(size "$path?room=$(times 65 'a,')a" | cut -d ' ' -f 1)" 400
    contains "$(jq -r .detail answer.body)" '64 rooms'
    same "$(size "$path?$(times 33 'room=a,a&')" | cut -d ' ' -f 1)" 400
  done
  same "$(size "/messages?$(times 64 'x=1&')" | cut -d ' ' -f 1)" 200
  same "$(size "/messages?$(times 7900 '&')" | cut -d ' ' -f 1)" 200
  accepts '{"message":"x","room":"a"}'
  same "$(size "/messages?$(times 3000 '&')room=a$(times 3000 '&')limit=1" | cut -d ' ' -f 1)" 200
  same "$(jq -r '.messages[].message' answer.body)" x
}

@test "with --key, a token is found behind thousands of separators, but not behind 64 parameters" {
  local token
  (umask 077 && head -c 32 /dev/urandom | base64 >key)
  start_server --key key
  token=$("$SSECHAT" token --key key --rooms lobby)
  same "$(size "/messages?$(times 5000 '&')access_token=$token" | cut -d ' ' -f 1)" 200
  same "$(size "/messages?$(times 63 'x&')access_token=$token" | cut -d ' ' -f 1)" 200
  same "$(size "/messages?$(times 64 'x&')access_token=$token" | cut -d ' ' -f 1)" 401
  same "$(size /messages -H "Cookie: $(times 150 'a=b; ')ssechat=$token" | cut -d ' ' -f 1)" 200
  same "$(size /messages -H "Cookie: $(times 5000 ';')ssechat=$token" | cut -d ' ' -f 1)" 401
}

# ---- Answers that are not read ----

@test "unread answers of three addresses take nothing from a fourth" {
  local i fd fds=() path
  start_server --trust-proxy 127.0.0.1 --max-streams-per-ip 64 --log-level debug --history 1M --max-body 450K
  printf '{"data":"%s"}' "$(times 400000 z)" >body
  same "$(posts 1)" '1 201'
  for i in {1..180}; do
    connect fd
    fds+=("$fd")
    printf 'GET /messages HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n' "$(by "10.0.0.$((i % 3))")" >&"$fd"
  done
  # Each address has a share, and those of its connections that need more are closed.
  for i in 0 1 2; do
    eventually "[ \$(grep -c 'close .*address=10\\.0\\.0\\.$i .*reason=\"no memory\"' '$SERVER_LOG') -ge 40 ]"
  done
  ask /messages -H "$(by 10.0.0.4)"
  same "$(jq '.messages[0].data | length' <<<"$BODY")" 400000
  for i in {1..6}; do
    accepts '{"data":"a replay","room":"r'"$i"'"}'
  done
  listen replay 'room=lobby,r1,r2,r3,r4,r5,r6&history=10' -H "$(by 10.0.0.4)"
  same "$(names replay | tr ' ' '\n' | uniq | paste -sd ' ')" 'retry message ready presence'
  same "$(events_of replay message .data | wc -l)" 7
  for fd in "${fds[@]}"; do
    exec {fd}>&-
  done
  same "$(grep -c 'address=10.0.0.4 .*no memory' "$SERVER_LOG")" 0
}

@test "an answer that is read too slowly is cut off; one that is read steadily is not" {
  start_server --log-level debug --history 1M
  printf '{"data":"%s"}' "$(times 60000 z)" >body
  for _ in {1..8}; do
    accepts "$(<body)"
  done
  "$TOOLS/slow" "$PORT" sip '/messages?limit=1' 150 >slow.out 2>&1 3>&- &
  CLIENTS+=("$!")
  "$TOOLS/slow" "$PORT" sip '/messages?limit=1' 4000 >steady.out 2>&1 3>&- &
  CLIENTS+=("$!")
  wait "${CLIENTS[@]}"
  contains "$(<slow.out)" 'closed after '
  contains "$(<steady.out)" 'open after '
}

# ---- Turns ----

@test "requests are handled by address in rotation: one of a quiet address does not wait for 19 of another" {
  local i fd fds=() request answer
  start_server --trust-proxy 127.0.0.1 --post-rate 5
  request='POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n'
  for i in {1..20}; do
    connect fd
    printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n' "$(by 10.0.0.1)" >&"$fd"
    # The connection is open once it is answered.
    while read -r answer <&"$fd" && [ "$answer" != '{"status":"ok"}' ]; do :; done
    fds+=("$fd")
  done
  suspend_server
  # cat sends a request at once. printf would send line by line, and the lines could arrive in several
  # turns.
  printf "$request$(by 10.0.0.1)"'\r\n\r\n{"message":"x"}' >many
  printf "$request$(by 10.0.0.2)"'\r\n\r\n{"message":"y"}' >one
  for i in {0..18}; do
    cat many >&"${fds[i]}"
  done
  cat one >&"${fds[19]}"
  resume_server
  for fd in "${fds[@]}"; do
    read -r answer <&"$fd"
    same "$(tr -d '\r' <<<"$answer")" 'HTTP/1.1 201 Created'
  done
  ask '/messages?limit=500'
  same "$(jq -c '[.messages[].message]' <<<"$BODY" | jq 'length')" 20
  between "$(jq '[.messages[].message] | index("y")' <<<"$BODY")" 0 1
}

@test "a drain ends connections whose answers are being read, without waiting for its end" {
  local fd begin
  start_server --drain 60 --history 64M --max-body 17M
  { printf '{"data":"' && head -c 16M /dev/zero | tr '\0' z && printf '"}'; } >body
  same "$(posts 1)" '1 201'
  connect fd
  printf 'GET /messages?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n' >&"$fd"
  eventually '[ "$(ss -tnH "sport = :$PORT" | awk "{ s += \$3 } END { print (s > 10000) }")" = 1 ]'
  suspend_server
  cat <&"$fd" >answers 3>&- & # so that the socket has room when the server looks
  CLIENTS+=("$!")
  eventually '[ "$(ss -tnH "sport = :$PORT" | awk "{ s += \$3 } END { print s + 0 }")" = 0 ]'
  begin=$SECONDS
  kill "$SERVER_PID"
  resume_server
  exec {fd}>&-
  eventually '! is_running "$SERVER_PID"'
  between $((SECONDS - begin)) 0 30
}

@test "pipelined requests of one client are answered in order, and all of them" {
  local i
  start_server
  for i in {1..300}; do
    printf 'GET /messages?limit=%d HTTP/1.1\r\nHost: a\r\n\r\n' "$((1 + i % 2 * 998))"
    printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message":"x"}'
  done >requests
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >>requests
  raw "$(sed 's/$/\\n/' requests | tr -d '\n')" >answers || true
  same "$(grep -a '^HTTP/1.1 ' answers | cut -d ' ' -f 2 | uniq -c | awk '{ print $1 }' | sort -u)" 1
  same "$(grep -ac '^HTTP/1.1 201' answers) $(tail -n 1 answers)" '300 {"status":"ok"}'
}
