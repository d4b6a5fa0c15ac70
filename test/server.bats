#!/usr/bin/env bats
# The program: its options and environment, its listeners, its drain, and what it costs in
# descriptors and memory. `refused` (helper.bash) runs it with options that it must refuse in
# one sentence; most other tests start a server and look at its log, answers and exit status.
# shellcheck disable=SC1083,SC2016,SC2030,SC2031,SC2034,SC2093,SC2094,SC2153
#
# seconds: 15
# quick: yes

bats_require_minimum_version 1.5.0
load lib/helper

# ---- Options ----

@test "--help names the options, and --version prints one line" {
  local option
  run -0 "$SSECHAT" --help
  for option in listen www history max-rooms room room-ttl max-streams max-body heartbeat retry cors \
    drain log-level access-log check version help; do
    contains "$output" "  --$option"
  done
  contains "$output" 'usage: ssechat'
  run -0 "$SSECHAT" --version
  same "$(grep -cE '^ssechat [0-9]+\.[0-9]+' <<<"$output")" 1
  same "${#lines[@]}" 1
}

@test "--check warns about nothing when the options are right, and does not listen" {
  start_server
  run -0 "$SSECHAT" --check --listen "127.0.0.1:$PORT" --history 1M --room a --cors https://a.example --log-level warn
  same "$output" ''
  refused 2 --check --history 1
  refused 1 --check --www ./nothing
  refused 1 --check --key ./nothing
  refused 1 --check --listen unix:/nowhere/at/all
  printf x >file
  refused 1 --check --listen "unix:$PWD/file"
}

@test "a wrong option is reported in one sentence, with exit code 2" {
  refused 2 --nothing
  refused 2 nothing
  refused 2 -h
  refused 2 --listen
  refused 2 --check=yes
  refused 2 --listen ''
  refused 2 --listen 8080
  refused 2 --listen 127.0.0.1
  refused 2 --listen 127.0.0.1:
  refused 2 --listen 127.0.0.1:65536
  refused 2 --listen 127.0.0.1:x
  refused 2 --listen chat.example:80
  refused 2 --listen 300.0.0.1:80
  refused 2 --listen '[::1:80'
  refused 2 --listen "$(times 1000 9):80"
  refused 2 --listen unix:
  refused 2 --listen "unix:/$(times 107 x)"
  refused 2 --history 15K
  refused 2 --history 0
  refused 2 --history 16X
  refused 2 --history -1
  refused 2 --history 99999999999999999999
  refused 2 --max-rooms 1.5
  refused 2 --max-rooms x
  refused 2 --room ''
  refused 2 --room a/b
  refused 2 --room "$(times 65 x)"
  refused 2 --room-ttl 0
  refused 2 --max-body 0
  refused 2 --heartbeat 1y
  refused 2 --retry 0
  refused 2 --drain 0
  refused 2 --cors example.com
  refused 2 --cors https://example.com/path
  refused 2 --log-level loud
}

@test "a value may follow = or be the next argument, and may have a unit" {
  run -0 "$SSECHAT" --check --history=64k --history 1M --room-ttl=2h --heartbeat=0 --retry 2s --max-rooms=0 \
    --max-streams 0 --listen=127.0.0.1:0 --listen '[::]:0' --listen localhost:0 --log-level debug
}

@test "a system error is reported in one sentence, with exit code 1" {
  start_server
  refused 1 --listen "127.0.0.1:$PORT"
  contains "$(cat err)" "127.0.0.1:$PORT"
  refused 1 --listen 203.0.113.1:0
  refused 1 --listen unix:/nowhere/at/all
  refused 1 --listen 127.0.0.1:0 --www ./nothing
  contains "$(cat err)" './nothing'
  printf x >file
  refused 1 --listen 127.0.0.1:0 --www file
}

@test "an option may come from the environment, and the command line overrides it" {
  SSECHAT_HEARTBEAT=7 SSECHAT_RETRY=1000 SSECHAT_MAX_STREAMS=1 SSECHAT_CORS='https://a.example,https://b.example' \
    start_server --retry 2000
  listen stream ''
  same "$(events_of stream ready .data.heartbeat)" 7
  between "$(events stream | jq 'select(.retry).retry')" 2000 3000
  ask /events -H 'Origin: https://b.example'
  contains "$BODY" '"full"'
  same "$(field Access-Control-Allow-Origin)" https://b.example
}

@test "a list on the command line replaces the list in the environment" {
  SSECHAT_ROOM=a,b start_server
  ask '/messages?room=b'
  same "$STATUS" 200
  SSECHAT_ROOM=a,b start_server --room c
  ask '/messages?room=b'
  same "$STATUS" 403
  ask '/messages?room=c'
  same "$STATUS" 200
}

@test "a wrong variable is reported in one sentence that names it, with exit code 2" {
  SSECHAT_HISTORY=1 refused 2
  contains "$(cat err)" SSECHAT_HISTORY
  SSECHAT_CHECK=1 refused 2
  SSECHAT_LISTEN=nowhere refused 2
  SSECHAT_ROOM=a/b refused 2
}

@test "a list in SSECHAT_LISTEN opens a listener for each of its items" {
  SSECHAT_LISTEN='127.0.0.1:0, 127.0.0.2:0' "$SSECHAT" 2>log 3>&- &
  CLIENTS+=("$!")
  eventually '[ "$(grep -c "^listening on" log)" = 2 ]'
  contains "$(<log)" 'listening on http://127.0.0.2:'
}

@test "CONNECT is answered with 405, even with --www" {
  mkdir site
  start_server --www site
  contains "$(raw 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n')" ' 405 '
  ask /healthz
  same "$STATUS" 200
}

@test "an unknown SSECHAT_ variable is reported by name and ignored" {
  SSECHAT_SERVICE_PORT=1 run -0 "$SSECHAT" --check --log-level warn
  same "${#lines[@]}" 1
  contains "$output" SSECHAT_SERVICE_PORT
}

@test "with --log-level warn, the log of a healthy server says only where it listens" {
  start_server --log-level warn
  listen stream 'name=ann'
  accepts '{"message":"x"}'
  refuses 400 '{}'
  kill "$CLIENT_PID"
  eventually 'ask /rooms; [ "$(jq ".rooms[0].online" <<<"$BODY")" = 0 ]'
  stop_server
  same "$(cat "$SERVER_LOG")" "listening on http://127.0.0.1:$PORT"
}

# ---- Listeners ----

@test "a unix socket is served like any listener, and its file is removed when the server exits" {
  start_server --listen "unix:$PWD/socket"
  same "$(grep '^listening' "$SERVER_LOG")" "listening on unix:$PWD/socket"
  URL=http://localhost
  ask /healthz --unix-socket socket
  same "$STATUS" 200
  listen stream '' --unix-socket socket
  post '{"message":"hello"}' --unix-socket socket
  await_text stream hello
  stop_server
  [ ! -e socket ]
}

@test "a unix socket is replaced if its server is dead; a socket in use or another file is not" {
  start_server --listen "unix:$PWD/socket"
  kill -s KILL "$SERVER_PID"
  wait "$SERVER_PID" || true
  unset 'SERVERS[$SERVER_PID]'
  [ -S socket ]
  start_server --listen "unix:$PWD/socket"
  URL=http://localhost
  ask /healthz --unix-socket socket
  same "$STATUS" 200
  refused 1 --listen "unix:$PWD/socket"
  ask /healthz --unix-socket socket
  same "$STATUS" 200
  printf 'precious' >file
  refused 1 --listen "unix:$PWD/file"
  same "$(cat file)" precious
}

@test "a server listens and answers on IPv6" {
  needs_ipv6
  start_server --listen '[::1]:0'
  same "$(grep -c '^listening on http://\[::1\]:[0-9]*$' "$SERVER_LOG")" 1
  ask /healthz -g
  same "$STATUS" 200
  listen stream '' -g
}

# Skips the test if the machine has no IPv6.
needs_ipv6() {
  grep -q '^0*1 .* lo$' /proc/net/if_inet6 || skip 'this machine has no ::1'
}

# Sets PORT to one that is free on all addresses.
free_port() {
  start_server --listen '[::]:0'
  stop_server
}

@test "a server listens on 0.0.0.0 and [::] with the same port, in either order" {
  needs_ipv6
  local addresses
  free_port
  for addresses in "0.0.0.0:$PORT [::]:$PORT" "[::]:$PORT 0.0.0.0:$PORT" "[::]:$PORT [::ffff:0.0.0.0]:$PORT"; do
    run -0 "$SSECHAT" --check --log-level warn --listen "${addresses% *}" --listen "${addresses#* }"
    start_server --log-level debug --listen "${addresses% *}" --listen "${addresses#* }"
    same "$(grep '^listening' "$SERVER_LOG" | sort)" "listening on http://0.0.0.0:$PORT
listening on http://[::]:$PORT"
    for URL in "http://127.0.0.1:$PORT" "http://[::1]:$PORT"; do
      ask /healthz -g
      same "$STATUS" 200
    done
    eventually "grep -q 'close .*address=127\\.0\\.0\\.1 ' '$SERVER_LOG' && grep -q 'close .*address=::1 ' '$SERVER_LOG'"
    stop_server
  done
}

@test "[::] on its own also takes IPv4 clients, and the log has their IPv4 addresses" {
  needs_ipv6
  [ "$(</proc/sys/net/ipv6/bindv6only)" = 0 ] || skip 'net.ipv6.bindv6only is set on this machine'
  start_server --listen '[::]:0' --log-level debug
  same "$URL" "http://[::]:$PORT"
  for URL in "http://127.0.0.1:$PORT" "http://[::1]:$PORT"; do
    ask /healthz -g
    same "$STATUS" 200
  done
  eventually "grep -q 'close .*address=127\\.0\\.0\\.1 ' '$SERVER_LOG'"
}

@test "0.0.0.0:0 and [::]:0 get a port each, and [::] still takes IPv4 clients" {
  needs_ipv6
  local port ports
  start_server --listen 0.0.0.0:0 --listen '[::]:0'
  ports=$(sed -n 's/^listening on .*://p' "$SERVER_LOG")
  same "$(sort -u <<<"$ports" | wc -l)" 2
  for port in $ports; do
    URL=http://127.0.0.1:$port ask /healthz
    same "$STATUS" 200
  done
}

@test "two --listen that overlap are refused, by --check too, with a sentence that names both" {
  needs_ipv6
  local one other
  mkdir folder
  while read -r one other; do
    refused 2 --check --listen "$one" --listen "$other"
    contains "$(<err)" "--listen $other: ssechat itself listens there already, because of --listen $one;"
    refused 2 --listen "$other" --listen 127.0.0.1:0 --listen "$one"
    contains "$(<err)" "--listen $one: ssechat itself listens there already, because of --listen $other;"
  done <<END
127.0.0.1:8080 127.0.0.1:8080
127.0.0.1:8080 localhost:8080
127.0.0.1:8080 127.0.0.1:08080
0.0.0.0:8080 127.0.0.1:8080
0.0.0.0:8080 0.0.0.0:8080
[::]:8080 [::1]:8080
[::]:8080 127.0.0.1:8080
[::1]:8080 [0:0:0:0:0:0:0:1]:8080
127.0.0.1:8080 [::ffff:127.0.0.1]:8080
unix:socket unix:socket
unix:socket unix:./socket
unix:folder/socket unix:$PWD/folder/../folder/socket
END
  SSECHAT_LISTEN='127.0.0.1:8080, 127.0.0.1:8080' refused 2
  # These do not overlap.
  run -0 "$SSECHAT" --check --listen 127.0.0.1:8080 --listen 127.0.0.2:8080 --listen 127.0.0.1:8081 --listen '[::1]:8080' \
    --listen unix:socket --listen unix:folder/socket --listen 127.0.0.1:0 --listen 127.0.0.1:0 --listen 0.0.0.0:0
}

@test "at most 16 addresses are taken, and one more is refused with its option's name" {
  local addresses=()
  for _ in {1..16}; do addresses+=(--listen 127.0.0.1:0); done
  run -0 "$SSECHAT" --check --log-level warn "${addresses[@]}"
  refused 2 --check "${addresses[@]}" --listen 127.0.0.2:0
  contains "$(<err)" '--listen 127.0.0.2:0: at most 16 addresses'
}

@test "an address that another program uses is still reported as such" {
  needs_ipv6
  start_server --listen '[::]:0'
  refused 1 --listen "0.0.0.0:$PORT" --listen "[::]:$PORT"
  contains "$(<err)" 'another program listens there'
}

@test "several listeners share the same rooms" {
  local second
  start_server --listen 127.0.0.1:0 --listen 127.0.0.1:0 --listen "unix:$PWD/socket"
  same "$(grep -c '^listening on ' "$SERVER_LOG")" 3
  second=$(grep '^listening on http' "$SERVER_LOG" | sed -n '2s/^listening on //p')
  listen stream ''
  curl -sf -o answer -H 'Content-Type: application/json' -d '{"message":"hello"}' "$second/messages"
  await_text stream hello
}

# ---- The drain ----

@test "on SIGTERM each stream gets a retry time and ends properly, and the server exits with 0" {
  local words
  start_server --retry 3000
  crowd 50 /events
  kill -s TERM "$SERVER_PID"
  tell wait-close
  read -r -a words <<<"$ANSWER"
  same "${words[*]:0:6}" 'closed 50 ended 50 retry 50'
  between "${words[7]}" 25 50
  between "${words[9]}" 3000 4000
  between "${words[11]}" 3000 4000
  stop_server
}

@test "SIGTERM ends a stream of several rooms and an HTTP/1.0 stream in the same way" {
  start_server
  listen many 'room=a,b,c'
  listen old '' -0
  kill -s TERM "$SERVER_PID"
  eventually 'tail -n 4 many | grep -q "^retry: " && tail -n 4 old | grep -q "^retry: "'
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0
  stop_server
}

@test "SIGINT ends streams as SIGTERM does" {
  start_server
  listen stream ''
  stop_server INT
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0
  tail -n 4 stream | grep -q '^retry: '
}

@test "on SIGTERM a request in progress is answered, new connections are refused, idle ones closed" {
  local post idle line
  start_server
  exec {post}<>"/dev/tcp/127.0.0.1/$PORT" {idle}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' >&"$idle"
  read -r -t 20 line <&"$idle"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"mess' >&"$post"
  ask /healthz # the server has read the half POST before this
  kill -s TERM "$SERVER_PID"
  contains "$(timeout 20 cat <&"$idle")" '"ok"'
  run curl -s "$URL/healthz"
  same "$status" 7
  printf 'age":"x"}' >&"$post"
  line=$(timeout 20 cat <&"$post")
  contains "$line" 'HTTP/1.1 201 Created'
  contains "$line" 'Connection: close'
  exec {post}>&- {idle}>&-
  stop_server
}

@test "on SIGTERM a long poll is answered" {
  start_server
  curl -sS -m 60 -o page "$URL/messages?wait=60" 3>&- &
  CLIENTS+=($!)
  await_polls 1
  stop_server
  eventually '[ -s page ]'
  same "$(jq -c .messages page)" '[]'
}

@test "on SIGTERM the server waits --drain for a stream that does not read, then cuts it off" {
  local slow before
  start_server --history 8M --drain 1
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  ask /healthz
  for _ in {1..40}; do
    accepts "{\"data\":\"$(times 60000 x)\"}"
  done
  before=$(date +%s%3N)
  stop_server
  between $(($(date +%s%3N) - before)) 900 4000
  timeout 20 cat <&"$slow" >slow
  exec {slow}>&-
  [ "$(tail -c 5 slow | od -An -c | tr -d ' ')" != '0\r\n\r\n' ]
}

@test "a second SIGTERM ends the server at once" {
  local slow
  start_server --drain 60
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"mess' >&"$slow"
  ask /healthz
  kill -s TERM "$SERVER_PID"
  eventually "grep -q drain '$SERVER_LOG'"
  SECONDS=0
  stop_server
  between "$SECONDS" 0 3
  exec {slow}>&-
}

# ---- What it costs ----

@test "when descriptors run out, idle connections are closed and nothing else is lost" {
  local i kept=() line
  start_limited 100
  crowd 68 /events
  ask /events
  contains "$BODY" '"full"'
  for i in {1..60}; do
    exec {kept[i]}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' >&"${kept[i]}"
    read -r -t 20 line <&"${kept[i]}"
    same "$line" $'HTTP/1.1 200 OK\r'
  done
  accepts '{"message":"hello all"}'
  tell 'count 1 hello all'
  same "$ANSWER" ok
}

@test "when descriptors run out and no connection is idle, new ones wait and are served later" {
  local i silent=()
  start_limited 80
  for i in {1..90}; do
    exec {silent[i]}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /he' >&"${silent[i]}"
  done
  eventually "grep -q 'accept paused' '$SERVER_LOG'"
  for i in {1..90}; do
    exec {silent[i]}>&-
  done
  ask /healthz
  same "$STATUS" 200
}

@test "the binary is static, and its stack is not executable" {
  is_sanitized && return 0
  run ldd "$SSECHAT"
  same "$(grep -cE 'not a dynamic executable|statically linked' <<<"$output")" 1
  same "$(readelf -d "$SSECHAT" | grep -c NEEDED)" 0
  same "$(readelf -lW "$SSECHAT" | grep -c INTERP)" 0
  # The stack must not be executable.
  same "$(readelf -lW "$SSECHAT" | sed -n 's/.*GNU_STACK.* \(RW[ E]\) .*/\1/p')" 'RW '
}

@test "1,000 idle streams use less than 512 KB of memory in total" {
  local before after
  is_sanitized && return 0 # most of the memory is the sanitizer's
  start_server
  crowd 1 /events
  accepts '{"message":"x"}'
  before=$(private_memory)
  crowd 1000 /events
  tell 'count 1 event: ready'
  after=$(private_memory)
  printf '# %d KB\n' $((after - before))
  between $((after - before)) 0 511
}

# ---- What tutorials show ----

@test "a stream begins at once, and a script's named events arrive on it" {
  local i
  start_server --heartbeat 1
  listen stream ''
  (
    for i in 1 2 3; do
      curl -sf -o /dev/null -H 'Content-Type: application/json' \
        -d "{\"event\":\"news\",\"data\":\"headline $i\nmore of $i\"}" "$URL/messages"
      sleep 0.1
    done
  ) 3>&-
  await stream news 3
  await stream heartbeat
  same "$(events_of stream news .data | tr '\n' ' ')" \
    '"headline 1\nmore of 1" "headline 2\nmore of 2" "headline 3\nmore of 3" '
  same "$(grep '^data: more' stream | head -n 1)" 'data: more of 1'
  same "$(events_of stream news '.id | type' | sort -u)" '"string"'
}

@test "a form's message arrives at every client as the same JSON" {
  start_server
  listen one ''
  listen two ''
  accepts '{"message":"hi there"}'
  await_text one hi
  await_text two hi
  same "$(events_of one message .data.message)" '"hi there"'
  same "$(events_of one message)" "$(events_of two message)"
}
