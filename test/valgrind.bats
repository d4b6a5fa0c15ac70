#!/usr/bin/env bats
# A bit of everything under valgrind, which must find no leak and no invalid access. The server is a
# separate dynamic build, because valgrind cannot watch the malloc of a static binary.
# shellcheck disable=SC1083,SC2016,SC2034,SC2093,SC2153
#
# seconds: 20

load lib/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  VALGRIND_SSECHAT=$(realpath -m "${VALGRIND_SSECHAT:-$ROOT/build/valgrind/ssechat}")
  command -v valgrind >/dev/null || skip 'valgrind is not installed'
  [ -x "$VALGRIND_SSECHAT" ] || skip "there is no $VALGRIND_SSECHAT"
  # exec keeps the process id, so that signals reach the server; -q prints nothing but errors.
  cat >checked <<END
#!/bin/sh
exec valgrind -q --error-exitcode=99 --leak-check=full --track-origins=yes "$VALGRIND_SSECHAT" "\$@"
END
  chmod +x checked
  SSECHAT=$PWD/checked
}

# Checks that the server exits with 0 and that its log has no line from valgrind.
finds_nothing() {
  stop_server
  run grep -a '^==' "$SERVER_LOG"
  same "$output" ''
}

@test "valgrind finds nothing in streams, messages, history, errors, files and the drain" {
  local i first connection
  mkdir -p site
  printf 'file' >site/file.txt
  start_server --history 16K --heartbeat 1 --max-rooms 8 --cors '*' --www site --room-ttl 1
  listen one 'room=a,b,c&name=ann'
  listen old 'room=a' -0
  crowd 50 '/events?room=a&name=n#'
  accepts '{"room":"a","message":"hello","name":"ann"}' -H 'Idempotency-Key: k1'
  first=$ID
  post '{"room":"a","message":"hello","name":"ann"}' -H 'Idempotency-Key: k1'
  same "$STATUS" 200
  refuses 422 '{"room":"a","message":"other"}' -H 'Idempotency-Key: k1'
  for i in {1..40}; do
    accepts "{\"room\":\"$(printf '%s' abc | cut -c $((i % 3 + 1)))\",\"data\":\"$i $(times 1500 x)\"}" \
      -H "Idempotency-Key: key$i"
  done
  tell 'count 1 "message":"hello"'
  same "$ANSWER" ok
  listen late 'room=a,b,c' -H "Last-Event-ID: $first"
  await late gap
  listen back 'history=3&room=b'
  ask '/messages?room=a&limit=3'
  ask "/messages?room=a&after=$first"
  ask '/messages?wait=1'
  ask /rooms
  ask /messages -H 'Content-Type: application/octet-stream' --data-raw octets
  refuses 400 '{"message":'
  refuses 400 "{\"data\":$(times 70 '[')"
  refuses 413 "{\"data\":\"$(times 9000 x)\"}"
  ask '/events?room=a/b'
  for i in d e f g h i j k; do
    post "{\"room\":\"$i\",\"message\":\"x\"}"
  done
  same "$STATUS" 503 # no more rooms
  ask '/events?room=d,e,f,g,h,i,j,k'
  contains "$BODY" '"rooms"'
  ask / -X BREW
  ask /file.txt
  same "$BODY" file
  ask /nothing
  ask /messages -X OPTIONS -H 'Origin: https://a.example'
  raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"da\r\nb\r\nta":[1, 2]}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' >/dev/null
  raw 'GET / HTTP/9\r\n\r\n' >/dev/null
  # Clients leave in the middle of a head, a body, a long poll and a stream.
  for i in 'GET /he' 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{' \
    'GET /messages?wait=60 HTTP/1.1\r\nHost: h\r\n\r\n' 'GET /events?room=a HTTP/1.1\r\nHost: h\r\n\r\n'; do
    exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
    printf '%b' "$i" >&"$connection"
    ask /healthz
    exec {connection}>&-
  done
  await one heartbeat
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /messages?wait=60 HTTP/1.1\r\nHost: h\r\n\r\n' >&"$connection"
  ask /healthz
  kill -s TERM "$SERVER_PID"
  tell wait-close
  contains "$ANSWER" 'closed 50 ended 50 retry 50'
  finds_nothing
}

@test "valgrind finds nothing when streams do not read and the drain cuts them off" {
  local slow
  start_server --history 64K --log-level debug --drain 1
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events?room=a,b,c,d,e,f,g,h HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  crowd 5 /events
  tell stall
  for _ in {1..60}; do
    accepts "{\"data\":\"$(times 30000 x)\"}"
    accepts "{\"room\":\"b\",\"data\":\"$(times 30000 x)\"}"
    [ "$(grep -c 'reason="overrun"' "$SERVER_LOG")" -lt 6 ] || break
  done
  eventually "[ \$(grep -c 'reason=\"overrun\"' '$SERVER_LOG') = 6 ]"
  exec {slow}>&- {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events?history=500 HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  for _ in {1..10}; do
    accepts "{\"data\":\"$(times 30000 x)\"}"
  done
  finds_nothing
}

@test "valgrind finds nothing in the built-in page, a unix socket and refused options" {
  start_server --listen "unix:$PWD/socket" --listen 127.0.0.1:0 --room a --room b
  ask / -H 'Accept-Encoding: gzip'
  ask /style.css -H "If-None-Match: $(field ETag)"
  ask /healthz --unix-socket socket
  ask '/events?room=c'
  same "$STATUS" 403
  finds_nothing
  run "$SSECHAT" --listen nowhere
  same "$status" 2
  run "$SSECHAT" --check --cors https://a.example
  same "$status" 0
}
