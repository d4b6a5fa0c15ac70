#!/usr/bin/env bats
# --access-log: one line for each request, when its answer ends, with what an operator may know about
# it and nothing that is a secret.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153
#
# seconds: 25
# quick: yes

bats_require_minimum_version 1.5.0
load lib/helper
load lib/token

# Prints the lines of the access log, without their level, and without their times.
lines() {
  sed -n 's/^info: access \(.*\) us=[0-9]*$/\1/p' "$SERVER_LOG"
}

# Waits until the access log has COUNT lines: await_lines COUNT.
await_lines() {
  eventually '[ "$(lines | wc -l)" -ge '"$1"' ] || { lines; false; }'
  same "$(lines | wc -l)" "$1"
}

# Checks the last line of the access log: last_is LINE.
last_is() {
  eventually "[ \"\$(lines | tail -n 1)\" = $(printf '%q' "$1") ] || { lines | tail -n 1; false; }"
}

# Sends bytes and checks that the log then has the given line, with the number of bytes that came
# back: sends BYTES LINE.
sends() {
  raw "$1" >answer
  last_is "address=127.0.0.1 $2 bytes=$(wc -c <answer)"
}

@test "a line has the method, the path and the status of a request, and the bytes of its answer" {
  local host='Host: a\r\nConnection: close\r\n\r\n' json='Content-Type: application/json\r\n'
  start_server --access-log
  sends "GET / HTTP/1.1\r\n$host" 'method=GET path="/" status=200'
  sends "HEAD / HTTP/1.1\r\n$host" 'method=HEAD path="/" status=200'
  sends "GET /healthz?x=1 HTTP/1.1\r\n$host" 'method=GET path="/healthz" status=200'
  sends "GET /nothing HTTP/1.1\r\n$host" 'method=GET path="/nothing" status=404'
  sends "GET http://a/rooms HTTP/1.1\r\n$host" 'method=GET path="/rooms" status=200'
  sends "GET http://a HTTP/1.1\r\n$host" 'method=GET path="/" status=200'
  sends "GET /healthz HTTP/1.0\r\n\r\n" 'method=GET path="/healthz" status=200'
  sends "HEAD /events HTTP/1.1\r\n$host" 'method=HEAD path="/events" status=200'
  sends "OPTIONS * HTTP/1.1\r\n$host" 'method=OPTIONS path="*" status=204'
  sends "OPTIONS /messages HTTP/1.1\r\n$host" 'method=OPTIONS path="/messages" status=204'
  sends "DELETE /messages HTTP/1.1\r\n$host" 'method=DELETE path="/messages" status=405'
  sends "PUT /rooms HTTP/1.1\r\n$host" 'method=PUT path="/rooms" status=405'
  sends "TRACE /rooms HTTP/1.1\r\n$host" 'method=TRACE path="/rooms" status=405'
  sends "PATCH /rooms HTTP/1.1\r\n$host" 'method=PATCH path="/rooms" status=405'
  sends 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n' 'method=CONNECT path=- status=405'
  sends "BREW /rooms HTTP/1.1\r\n$host" 'method=- path="/rooms" status=501'
  sends "POST /messages HTTP/1.1\r\n${json}Content-Length: 15\r\n$host{\"message\":\"x\"}" 'method=POST path="/messages" status=201'
  sends "POST /messages HTTP/1.1\r\n${json}Content-Length: 2\r\n$host{}" 'method=POST path="/messages" status=400'
  sends "POST /messages HTTP/1.1\r\nContent-Length: 2\r\n$host{}" 'method=POST path="/messages" status=415'
  sends "POST /messages HTTP/1.1\r\n$json$host" 'method=POST path="/messages" status=411'
  sends "POST /messages HTTP/1.1\r\n${json}Content-Length: 999999\r\n$host" 'method=POST path="/messages" status=413'
  sends "POST /messages HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n${host}x\r\n" 'method=POST path="/messages" status=400'
  sends "\r\n\r\nGET /rooms HTTP/1.1\r\n$host" 'method=GET path="/rooms" status=200'
  await_lines 23
}

@test "a request that could not be read has a line with its status, and - for the rest" {
  start_server --access-log
  sends 'garbage\r\n\r\n' 'method=- path=- status=400'
  sends 'GET /secret HTTP/1.1\r\nBad Field: x\r\n\r\n' 'method=- path=- status=400'
  sends "GET /$(times 9000 x) HTTP/1.1\r\nHost: a\r\n\r\n" 'method=- path=- status=414'
  sends "GET / HTTP/1.1\r\nHost: a\r\nX: $(times 17000 x)\r\n\r\n" 'method=- path=- status=431'
  sends 'GET / HTTP/3.0\r\nHost: a\r\n\r\n' 'method=- path=- status=505'
  await_lines 5
  # 408: the head does not arrive in time; its time runs from the first byte.
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /slow HTTP/1.1\r\n' >&"$connection"
  timeout 40 cat <&"$connection" >answer || true
  exec {connection}>&-
  last_is "address=127.0.0.1 method=- path=- status=408 bytes=$(wc -c <answer)"
  between "$(sed -n 's/.*status=408 .* us=//p' "$SERVER_LOG")" 9000000 30000000
}

@test "without a request there is no line, and without an answer the status is -" {
  start_server --access-log
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  exec {connection}>&-
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf '\r\nGET /cut' >&"$connection"
  exec {connection}>&-
  ask /healthz
  await_lines 1
  # A body is cut off.
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{' >&"$connection"
  exec {connection}>&-
  last_is 'address=127.0.0.1 method=POST path="/messages" status=- bytes=0'
  await_lines 2
}

@test "each request of a connection has its line, in order, also if they arrive together" {
  start_server --access-log
  raw 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\nHEAD /rooms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >answer
  await_lines 3
  same "$(lines | sed 's/ bytes.*//')" 'address=127.0.0.1 method=GET path="/healthz" status=200
address=127.0.0.1 method=GET path="/nothing" status=404
address=127.0.0.1 method=HEAD path="/rooms" status=200'
  same "$(lines | awk -F bytes= '{ sum += $2 } END { print sum }')" "$(wc -c <answer)"
  curl -s -o answer -o answer "$URL/rooms" "$URL/healthz"
  last_is "$(lines | sed -n 's/"\/healthz" status=200 bytes=[0-9]*$/&/p' | head -n 1)"
  await_lines 5
}

@test "a stream has its line when it ends, with all its bytes and its time" {
  local began=$SECONDS
  start_server --access-log
  curl -sN --raw -i "$URL/events?name=ann" >stream 3>&- &
  await stream ready
  for i in 1 2 3; do
    accepts "{\"message\":\"hello $i\"}"
  done
  await_text stream 'hello 3'
  await_lines 3
  lacks "$(lines)" /events
  sleep 1
  stop_server
  await_end "$!"
  await_lines 4
  last_is "address=127.0.0.1 method=GET path=\"/events\" status=200 bytes=$(wc -c <stream)"
  between "$(sed -n 's/.*"\/events".* us=//p' "$SERVER_LOG")" 1000000 $(((SECONDS - began + 1) * 1000000))
}

@test "a stream whose client leaves, and one that is refused with busy, have their lines" {
  start_server --access-log --max-streams 1
  listen stream ''
  curl -s --raw -i "$URL/events" >busy
  contains "$(<busy)" '"full"'
  last_is "address=127.0.0.1 method=GET path=\"/events\" status=200 bytes=$(wc -c <busy)"
  await_lines 1
  kill "$CLIENT_PID"
  await_lines 2
  between "$(lines | sed -n '2s/.*"\/events" status=200 bytes=//p')" "$(wc -c <stream)" 2000
}

@test "a long poll has its line when it is answered" {
  start_server --access-log
  accepts '{"message":"one"}'
  curl -s -i "$URL/messages?after=$ID&wait=50" >answer 3>&- &
  await_polls 1
  await_lines 1
  accepts '{"message":"two"}'
  await_end "$!"
  await_lines 3
  contains "$(lines)" "address=127.0.0.1 method=GET path=\"/messages\" status=200 bytes=$(wc -c <answer)"
}

@test "a file from the disk counts with all its bytes, or with those that were sent" {
  local etag
  mkdir site
  head -c 3000000 /dev/zero >site/big
  truncate -s 100000000 site/huge # far more than the sockets take
  start_server --access-log --www site
  curl -s -i "$URL/big" >answer
  last_is "address=127.0.0.1 method=GET path=\"/big\" status=200 bytes=$(wc -c <answer)"
  between "$(wc -c <answer)" 3000100 3001000
  curl -s -i -r 10-19 "$URL/big" >answer
  last_is "address=127.0.0.1 method=GET path=\"/big\" status=206 bytes=$(wc -c <answer)"
  etag=$(sed -n 's/^ETag: \(.*\)\r/\1/p' answer)
  curl -s -i -H "If-None-Match: $etag" "$URL/big" >answer
  last_is "address=127.0.0.1 method=GET path=\"/big\" status=304 bytes=$(wc -c <answer)"
  run curl -s -i -m 1 --limit-rate 1000 -o answer "$URL/huge"
  await_lines 4
  between "$(lines | sed -n '4s/.*"\/huge" status=200 bytes=//p')" "$(wc -c <answer)" 50000000
}

@test "100 Continue counts, too" {
  start_server --access-log
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n' >&"$connection"
  timeout 20 head -c 25 <&"$connection" >answer
  printf '{"message":"x"}' >&"$connection"
  timeout 20 cat <&"$connection" >>answer
  exec {connection}>&-
  contains "$(<answer)" '100 Continue'
  last_is "address=127.0.0.1 method=POST path=\"/messages\" status=201 bytes=$(wc -c <answer)"
}

@test "behind a trusted proxy the address is the client's, complete, and each request has its own" {
  local by=('X-Forwarded-For: 192.0.2.1' 'X-Forwarded-For: 2001:db8:1:2:3:4:5:6' 'Forwarded: for="[2001:db8::7]:4711"'
    'X-Forwarded-For: 10.0.0.1, ::ffff:192.0.2.2' 'X: none' 'X-Forwarded-For: unknown') field
  start_server --access-log --trust-proxy 127.0.0.1 --max-streams-per-ip 64
  for field in "${by[@]}"; do
    ask /healthz -H "$field"
  done
  await_lines 6
  same "$(lines | sed 's/ method.*//' | xargs)" 'address=192.0.2.1 address=2001:db8:1:2:3:4:5:6 address=2001:db8::7 address=192.0.2.2 address=- address=::'
  # On one connection.
  curl -s -o answer -H "${by[0]}" "$URL/rooms" --next -s -o answer "$URL/rooms" --next -s -o answer -H "${by[1]}" "$URL/rooms"
  await_lines 9
  same "$(lines | sed -n '7,9s/ method.*//p' | xargs)" 'address=192.0.2.1 address=- address=2001:db8:1:2:3:4:5:6'
  # A request that cannot be read has no client, although the one before it had.
  raw 'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\ngarbage\r\n\r\n' >answer
  await_lines 11
  same "$(lines | tail -n 2 | sed 's/ method.*//' | xargs)" 'address=192.0.2.9 address=-'
}

@test "without --trust-proxy the address is the connection's, whatever the client sends" {
  start_server --access-log
  ask /healthz -H 'X-Forwarded-For: 192.0.2.1'
  await_lines 1
  contains "$(lines)" 'address=127.0.0.1 method=GET path="/healthz" status=200 bytes='
}

@test "the clients of a unix socket have no address, unless their proxy names them" {
  start_server --access-log --listen "unix:$PWD/socket" --trust-proxy unix
  URL=http://localhost
  ask /healthz --unix-socket socket
  ask /healthz --unix-socket socket -H 'X-Forwarded-For: 192.0.2.1'
  await_lines 2
  same "$(lines | sed 's/ method.*//' | xargs)" 'address=- address=192.0.2.1'
  stop_server
  start_server --access-log --listen "unix:$PWD/socket"
  URL=http://localhost ask /healthz --unix-socket socket -H 'X-Forwarded-For: 192.0.2.1'
  await_lines 1
  contains "$(lines)" 'address=- method=GET'
}

@test "IPv6 clients have their complete address" {
  grep -q '^0*1 .* lo$' /proc/net/if_inet6 || skip 'this machine has no ::1'
  start_server --access-log --listen '[::1]:0'
  ask /healthz -g
  await_lines 1
  contains "$(lines)" 'address=::1 method=GET path="/healthz" status=200'
}

@test "no token, key, name, text or field of a head is ever in the log" {
  openssl rand -hex 32 >key
  local token
  token=$("$SSECHAT" token --key key --rooms lobby --publish --sub geheim-sub)
  start_server --access-log --log-level debug --key key
  listen stream "access_token=$token&name=geheim-name"
  accepts '{"message":"geheim-text"}' -H "Authorization: Bearer $token" -H 'Idempotency-Key: geheim-key' -H 'User-Agent: geheim-agent' \
    -H 'Cookie: ssechat=geheim-cookie' -H 'Referer: http://geheim-referer/' -H 'X-Secret: geheim-field'
  ask "/messages?access_token=$token"
  same "$STATUS" 200
  ask '/messages?access_token=geheim-wrong'
  same "$STATUS" 401
  ask "/events?access_token=$token" -I
  raw "GET http://geheim-host/rooms?access_token=$token HTTP/1.1\r\nHost: geheim-host\r\nConnection: close\r\n\r\n" >answer
  raw "geheim-method / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" >answer
  raw "GET /x?access_token=$token HTTP/1.1\r\nHost: a\r\nBad geheim-field\r\n\r\n" >answer
  raw "OPTIONS geheim-authority HTTP/1.1\r\nHost: a\r\n\r\n" >answer
  await_lines 8
  stop_server
  await_lines 9
  lacks "$(<"$SERVER_LOG")" geheim
  lacks "$(<"$SERVER_LOG")" "$token"
  lacks "$(<"$SERVER_LOG")" "${token##*.}"
}

@test "a path is quoted and cut, so that a client can neither forge a line nor fill the log" {
  start_server --access-log
  raw 'GET /a"b\\c%0ainfo:%20access HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >answer
  await_lines 1
  contains "$(lines)" 'path="/a\x22b\x5cc%0ainfo:%20access" status='
  ask "/$(times 200 x)"
  await_lines 2
  contains "$(lines)" "path=\"/$(times 79 x)\" status=404"
  ask "/$(times 79 x)"
  await_lines 3
  raw "GET /$(times 300 '"') HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" >answer
  await_lines 4
  contains "$(lines | tail -n 1)" "path=\"/$(times 79 '\x22')\" status="
  same "$(grep -c '^info: access address=[0-9.]* method=[A-Z-]* path="[ -~]*" status=[0-9]* bytes=[0-9]* us=[0-9]*$' "$SERVER_LOG")" 4
}

@test "in systemd's journal the lines have the level info" {
  start_through 'JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) && export JOURNAL_STREAM && exec' --access-log
  URL=http://127.0.0.1:$(sed -n 's/.*listening on http:.*:\([0-9]*\)$/\1/p' "$SERVER_LOG") ask /healthz
  eventually 'grep -q "^<6>access address=127.0.0.1 method=GET path=\"/healthz\" status=200 bytes=[0-9]* us=[0-9]*$" "$SERVER_LOG"'
}

@test "without --access-log, and at --log-level warn, there are no lines" {
  local options
  for options in '--log-level debug' '--access-log --log-level warn' '--access-log=no' '--access-log --access-log=off'; do
    # shellcheck disable=SC2086
    start_server $options
    ask /healthz
    stop_server
    lacks "$(<"$SERVER_LOG")" 'access '
  done
}

@test "SSECHAT_ACCESS_LOG turns the log on or off, and the command line takes precedence" {
  local value
  for value in yes on true 1; do
    SSECHAT_ACCESS_LOG=$value start_server
    ask /healthz
    await_lines 1
    stop_server
  done
  for value in no off false 0; do
    SSECHAT_ACCESS_LOG=$value start_server
    ask /healthz
    stop_server
    same "$(lines)" ''
  done
  SSECHAT_ACCESS_LOG=no start_server --access-log
  ask /healthz
  await_lines 1
  SSECHAT_ACCESS_LOG=yes start_server --access-log=no
  ask /healthz
  stop_server
  same "$(lines)" ''
  for value in '' maybe YES 2; do
    SSECHAT_ACCESS_LOG=$value refused 2 --check
    contains "$(<err)" 'ssechat: SSECHAT_ACCESS_LOG: '
    refused 2 --check "--access-log=$value"
  done
  contains "$(<err)" '--access-log: "2" is neither yes nor no'
  # It takes no separate value.
  refused 2 --check --access-log yes
}

@test "connections that are refused without an answer have no line" {
  local connections=() connection
  start_server --access-log --max-streams-per-ip 1
  for _ in {1..33}; do
    exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
    connections+=("$connection")
  done
  run curl -s "$URL/healthz"
  [ "$status" = 52 ] || same "$status" 56 # nothing came, or a reset
  for connection in "${connections[@]}"; do
    exec {connection}>&-
  done
  eventually 'curl -sf -o answer "$URL/healthz"'
  await_lines 1
}

@test "many clients at once, whose descriptors are used again, have a line each" {
  start_server --access-log
  crowd 200 /events?room=r#
  tell quit || true
  await_lines 200
  for _ in {1..20}; do
    curl -s -o answer -Z --parallel-immediate --parallel-max 20 "$URL/healthz?[1-20]"
  done
  await_lines 600
  same "$(lines | sed 's/ bytes.*//' | sort | uniq -c | sed 's/^ *//')" '200 address=127.0.0.1 method=GET path="/events" status=200
400 address=127.0.0.1 method=GET path="/healthz" status=200'
}
