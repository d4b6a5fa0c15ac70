#!/usr/bin/env bats
# The service manager without systemd: tools/manager.c executes the server as a service, writes down
# what it is told, and passes sockets. boot.bats runs the same with a real systemd.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154
#
# seconds: 70
# long: the watchdog for ten minutes

bats_require_minimum_version 1.5.0
load lib/helper
load lib/journal

# Starts a server as a service whose messages are in the file `told`: managed [manager's options] --
# [server's options]. THROUGH is shell code that goes between the two.
managed() {
  service --notify "${NOTIFY:-$PWD/notify}" --out told "$@"
}

# Starts a server as a service: service [manager's options] -- [server's options].
service() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  : >>told
  start_through "exec env --default-signal=HUP setsid $(printf '%q ' "$TOOLS/manager" "${options[@]}") ${THROUGH:-}" "${@:2}"
}

# Prints the messages, without the times and the process ids.
told() {
  cut -d ' ' -f 3- told
}

# Waits until a message is told: await_told PATTERN [COUNT].
await_told() {
  eventually "[ \"\$(cut -d ' ' -f 3- told | grep -cE -- $(printf %q "$1"))\" -ge ${2:-1} ] || { cat told; false; }"
}

# Prints the longest time between two messages to the watchdog, in milliseconds, and their number.
gaps() {
  awk '$3 == "WATCHDOG=1" { if (count++ && $1 - last > most) most = $1 - last; last = $1 }
    END { print most + 0, count + 0 }' told
}

# Checks that the watchdog was fed at least COUNT times, never more than MS milliseconds apart: fed MS COUNT.
fed() {
  local most count
  read -r most count < <(gaps)
  printf '# watchdog: %s messages, at most %s ms apart\n' "$count" "$most"
  between "$most" 1 "$1"
  between "$count" "$2" 1000000
}

# ---- Messages ----

@test "the manager is told that the server is ready, what it does, that it reloads, and that it stops" {
  managed --
  await_told '^READY=1'
  ask /healthz
  same "$STATUS" 200
  kill -s HUP "$SERVER_PID"
  await_told '^READY=1' 2
  stop_server
  await_told '^STOPPING=1'
  same "$(told | sed 's/MONOTONIC_USEC=[1-9][0-9]*$/MONOTONIC_USEC=N/')" \
    'READY=1|STATUS=0 streams, 0 rooms, 0 messages
RELOADING=1|MONOTONIC_USEC=N
READY=1|STATUS=0 streams, 0 rooms, 0 messages
STOPPING=1|STATUS=draining: 0 connections'
  same "$(cut -d ' ' -f 2 told | sort -u | wc -l)" 1
}

@test "MONOTONIC_USEC is the time of the reload" {
  local before after told
  managed --
  before=$(awk '{ printf "%.0f", $1 * 1000000 }' /proc/uptime)
  kill -s HUP "$SERVER_PID"
  await_told '^RELOADING=1'
  after=$(awk '{ printf "%.0f", $1 * 1000000 }' /proc/uptime)
  told=$(told | sed -n 's/^RELOADING=1|MONOTONIC_USEC=//p')
  # /proc/uptime also counts the time in which the machine was suspended, and shows only hundredths.
  between $((told - before)) -20000 $((after - before + 20000))
}

@test "an abstract socket is told the same" {
  NOTIFY=@ssechat-test-$$-$BATS_TEST_NUMBER managed --
  await_told '^READY=1'
  stop_server
  await_told '^STOPPING=1'
}

@test "the longest path and the longest abstract name are told the same" {
  local path=$PWD
  path=$path/$(times $((106 - ${#path})) x)
  same "${#path}" 107
  NOTIFY=$path managed --
  await_told '^READY=1'
  stop_server
  rm told
  NOTIFY=@$(times 107 "$((BATS_TEST_NUMBER % 10))") managed --
  await_told '^READY=1'
}

@test "the status changes with streams, rooms and messages, but not more often than every 5 seconds" {
  managed --
  listen stream room=a
  accepts '{"room":"b","message":"x"}'
  await_told '^STATUS=1 streams, 2 rooms, 1 messages$'
  between "$(awk '/READY=1/ { first = $1 } / STATUS=/ { print $1 - first; exit }' told)" 4900 60000
  kill "$CLIENT_PID"
  await_told '^STATUS=0 streams, 1 rooms, 1 messages$'
  between "$(awk '/ STATUS=/ { if (last) print $1 - last; last = $1 }' told | head -n 1)" 4900 60000
}

@test "an idle server is not woken for its status" {
  is_sanitized && return 0 # the tracer needs a quiet process
  managed -- --heartbeat 0
  await_told '^READY=1'
  listen stream ''
  await_told '^STATUS=1 '
  strace -p "$SERVER_PID" -o trace 2>tracing 3>&- &
  CLIENTS+=("$!")
  eventually 'grep -q attached tracing'
  sleep 6
  between "$(wc -l <trace)" 0 1 # the call in which strace found it
}

@test "READY=1 comes when the journal is loaded and the listener is open" {
  local i
  journal_server --history 1M
  for i in {1..30}; do
    bulk 50000
    same "$STATUS" 201
  done
  stop_server
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
    THROUGH="strace -D -o $PWD/trace -e trace=read,pread64,listen,sendto -e inject=pread64:delay_enter=1000000:when=2" \
    managed -- --journal "$JOURNAL" --history 1M --listen 127.0.0.1:0
  await_told '^READY=1'
  ask /healthz
  same "$STATUS" 200
  stop_server
  contains "$(told | head -n 1)" 'READY=1|STATUS=0 streams, 1 rooms, '
  # In the trace, the last byte of the journal is read before listen(2), and that is before the message.
  awk '/^pread64\(/ { reads++; last_read = NR } /^listen\(/ { listen = NR } /READY=1/ { ready = NR }
    END { exit !(reads >= 5 && last_read < listen && listen < ready) }' trace || {
    grep -nE 'listen|READY|pread' trace | cut -c 1-100
    false
  }
  # The wait of a second was before READY=1.
  between "$(awk '/READY=1/ { print $1; exit }' told)" 1000 60000
}

@test "nothing is sent without NOTIFY_SOCKET, and a socket of another family is refused with a warning" {
  start_server
  lacks "$(<"$SERVER_LOG")" notify
  NOTIFY_SOCKET='' start_server
  lacks "$(<"$SERVER_LOG")" notify
  local socket
  for socket in vsock:2:1234 relative/path @ / "/$(times 107 x)" "@$(times 108 x)"; do
    NOTIFY_SOCKET=$socket WATCHDOG_USEC=1000000 start_server
    same "$(grep -c "^warn: notify socket=.* ignored=1 " "$SERVER_LOG")" 1
    ask /healthz
    same "$STATUS" 200
  done
}

@test "a manager that is gone is reported once, and does not disturb the server" {
  NOTIFY_SOCKET=$PWD/nothing WATCHDOG_USEC=200000 start_server
  eventually 'grep -q "^warn: notify failed=1 reason=\"No such file or directory\"" "$SERVER_LOG"'
  listen stream ''
  accepts '{"message":"hello"}'
  await_text stream hello
  sleep 1
  same "$(grep -c notify "$SERVER_LOG")" 1
}

@test "while the manager's queue is full the server serves, and then everything is told" {
  touch held
  managed --hold held --full --watchdog 60000 -- --drain 60
  listen stream ''
  accepts '{"message":"hello"}'
  await_text stream hello
  kill -s HUP "$SERVER_PID"
  eventually 'grep -q SIGHUP "$SERVER_LOG"'
  same "$(told)" ''
  rm held
  await_told '^READY=1'
  await_told WATCHDOG
  contains "$(told | head -n 2 | tr '\n' ' ')" 'RELOADING=1|MONOTONIC_USEC='
  same "$(told | sed -n 2p)" 'READY=1|STATUS=1 streams, 1 rooms, 1 messages'
  lacks "$(<"$SERVER_LOG")" notify
}

@test "a manager whose queue is full does not delay the end" {
  touch held
  managed --hold held --full -- --drain 60
  SECONDS=0
  stop_server
  between "$SECONDS" 0 30
  rm held
}

@test "a compaction's child has no copy of the notify socket, and sends nothing" {
  managed --watchdog 200 -- --journal "$JOURNAL"
  accepts '{"message":"kept"}'
  strace -f -p "$SERVER_PID" -o trace -e trace=fdatasync,sendto,exit_group \
    -e inject=fdatasync:delay_enter=3000000 2>tracing 3>&- &
  CLIENTS+=("$!")
  eventually 'grep -q attached tracing'
  rm journal
  eventually 'child=$(pgrep -P "$SERVER_PID") && [ "$(ls "/proc/$child/fd" | wc -l)" -le 6 ] && ls -l "/proc/$child/fd" >files'
  same "$(grep -c socket: files)" 0
  eventually 'grep -q recovered=1 "$SERVER_LOG"'
  same "$(cut -d ' ' -f 2 told | sort -u)" "$SERVER_PID"
}

# ---- The watchdog ----

# These times are long enough for a machine that has other things to do for a second or two.

@test "the watchdog is fed at half of its time" {
  managed --watchdog 4000 --
  await_told WATCHDOG 3
  between "$(gaps | cut -d ' ' -f 1)" 1900 3999
  same "$(cut -d ' ' -f 2 told | sort -u)" "$SERVER_PID"
}

@test "the watchdog is not fed if it is meant for another process, or not wanted" {
  managed --watchdog 200 --env WATCHDOG_PID=1 --
  await_told '^READY=1'
  NOTIFY=$PWD/second managed --env WATCHDOG_USEC= --
  await_told '^READY=1' 2
  sleep 1
  lacks "$(told)" WATCHDOG
  NOTIFY=$PWD/third managed --watchdog 200 --env WATCHDOG_PID= --
  await_told WATCHDOG
}

@test "a wrong WATCHDOG_USEC is refused" {
  local time
  for time in 0 -1 x 1s 99999999999999999999 ''; do
    NOTIFY_SOCKET=$PWD/nothing WATCHDOG_USEC=$time refused 2 --listen 127.0.0.1:0
    contains "$(<err)" WATCHDOG_USEC
  done
}

@test "the watchdog is fed while thousands of streams are served" {
  local count=3000 end
  ! is_sanitized || count=500
  managed --watchdog 4000 --
  crowd "$count" /events 900
  end=$((SECONDS + $(scaled 8 600)))
  while ((SECONDS < end)); do
    accepts '{"message":"hello all"}'
    sleep "$(scaled 0 1)" # the crowd keeps everything that it reads
  done
  await_told '^STATUS='"$count"' streams, 1 rooms, '
  fed 3999 "$(scaled 3 250)"
}

@test "the watchdog is fed while the disk is slow, and while it is stuck" {
  local i SSECHAT
  SSECHAT=$(disk_build)
  disk stuck=0
  DISK=$PWD/control managed --watchdog 4000 -- --journal "$JOURNAL"
  disk sync_delay_us=4500000 # longer than the watchdog waits, but not for the server to give up
  accepts '{"message":"slow"}'
  fed 3999 2
  disk stuck=1
  curl -s -m 60 -o late -H 'Content-Type: application/json' -d '{"message":"stuck"}' "$URL/messages" 3>&- &
  CLIENTS+=("$!")
  i=$(gaps | cut -d ' ' -f 2)
  await_told WATCHDOG $((i + 3))
  fed 3999 5
  disk stuck=0 sync_delay_us=0
  eventually '[ -s late ]'
}

@test "the watchdog is fed during the drain" {
  local slow
  managed --watchdog 500 -- --drain 60
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n' >&"$slow"
  ask /healthz
  kill -s TERM "$SERVER_PID"
  await_told '^STOPPING=1|STATUS=draining: 1 connections$'
  eventually '[ "$(sed -n "/STOPPING=1/,\$p" told | grep -c WATCHDOG=1)" -ge 4 ]'
  exec {slow}>&-
  stop_server
}

@test "the watchdog is not fed while the loop is stuck" {
  local count
  managed --watchdog 500 --
  await_told WATCHDOG 2
  # A delay of the call that every turn begins with stops the loop as an endless step in it would, but
  # not the process.
  fault epoll_wait,epoll_pwait delay_exit=3000000
  eventually '[ "$(gaps | cut -d " " -f 1)" -ge 2900 ]'
  mend
  count=$(gaps | cut -d ' ' -f 2)
  await_told WATCHDOG $((count + 3))
}

# ---- Sockets ----

# Starts a server that gets its sockets from the manager: activated COUNT [manager's options] --
# [server's options]. COUNT is how many `listening on` lines to wait for.
activated() {
  local count=$1
  shift
  INHERITS=$count service "$@"
}

# Prints the addresses that the server has announced.
announced() {
  sed -nE 's/^(listening|metrics) on /\1 /p' "$SERVER_LOG"
}

@test "the server listens on the sockets that it gets, and not on the default address" {
  activated 1 --listen 4 --
  same "$(announced | sed 's/[0-9]*$//')" 'listening http://127.0.0.1:'
  ask /healthz
  same "$STATUS" 200
  listen stream ''
  accepts '{"message":"hello"}'
  await_text stream hello
  stop_server
  await_end "$CLIENT_PID"
  contains "$(tail -n 4 stream)" 'retry: '
}

@test "an IPv6 socket, a unix socket and two sockets at once are served" {
  activated 1 --listen 6 --
  same "$(announced | sed 's/[0-9]*$//')" 'listening http://[::1]:'
  ask /healthz
  same "$STATUS" 200
  activated 1 --listen "unix:$PWD/first" --
  same "$(announced)" "listening unix:$PWD/first"
  same "$(curl -s --unix-socket first http://h/healthz)" '{"status":"ok"}'
  stop_server
  [ -S first ] # it is the manager's file
  activated 2 --listen "unix:$PWD/second" --listen 4 --
  same "$(curl -s --unix-socket second http://h/healthz)" '{"status":"ok"}'
  ask /healthz
  same "$STATUS" 200
}

@test "an abstract socket is served" {
  activated 1 --listen "unix:@ssechat-test-$$" --
  same "$(announced)" "listening unix:@ssechat-test-$$"
  same "$(curl -s --abstract-unix-socket "ssechat-test-$$" http://h/healthz)" '{"status":"ok"}'
}

@test "--listen adds addresses to the sockets" {
  activated 2 --listen 4 -- --listen "unix:$PWD/own"
  same "$(announced | sed 's/[0-9]*$//' | tr '\n' ' ')" "listening http://127.0.0.1: listening unix:$PWD/own "
  ask /healthz
  same "$STATUS" 200
  same "$(curl -s --unix-socket own http://h/healthz)" '{"status":"ok"}'
}

@test "a socket whose name is metrics serves metrics, and nothing else" {
  local metrics
  activated 1 --listen 4 --listen 4 --names chat:metrics --
  eventually 'announced | grep "^metrics "'
  metrics=$(announced | sed -n 's/^metrics //p')
  contains "$(curl -s "$metrics/metrics")" ssechat_streams
  same "$(curl -s -o /dev/null -w '%{http_code}' "$metrics/healthz")" 404
  ask /metrics
  same "$STATUS" 404
  ask /healthz
  same "$STATUS" 200
}

@test "with only a socket for metrics, the server listens on its own address too" {
  activated 1 --listen 4 --names metrics -- --listen 127.0.0.1:0
  same "$(announced | cut -d ' ' -f 1 | tr '\n' ' ')" 'metrics listening '
  ask /healthz
  same "$STATUS" 200
}

@test "a client that connects before the server starts is served" {
  # The manager listens, so clients wait in the backlog while the server loads its journal.
  (eventually '[ -S socket ]' && curl -s -m 20 -o answer --unix-socket socket http://h/healthz) 3>&- &
  THROUGH='sh -c "sleep 1; exec \"\$@\"" -' activated 1 --listen "unix:$PWD/socket" --
  eventually '[ -s answer ]'
  same "$(<answer)" '{"status":"ok"}'
}

@test "in a drain, a connection that waits at a socket of the manager costs the server no turns" {
  local first next turns
  # The server ends while strace looks, which its search for leaks cannot bear.
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
    activated 1 --notify "$PWD/notify" --out told --keep --listen 4 -- --drain 2
  exec {first}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n' >&"$first"
  ask /healthz # the server has read the half request before this
  strace -e trace=epoll_wait,epoll_pwait -o calls -p "$SERVER_PID" 2>attached 3>&- &
  eventually '[ -s attached ]'
  kill -s TERM "$SERVER_PID"
  eventually 'grep -q "drain streams=" "$SERVER_LOG"'
  exec {next}<>"/dev/tcp/127.0.0.1/$PORT"
  eventually '! kill -0 "$SERVER_PID"'
  wait "$!" || true
  exec {first}>&- {next}>&-
  turns=$(wc -l <calls)
  between "$turns" 1 100
}

@test "what is no listening stream socket is refused in one sentence" {
  local what
  for what in udp connected; do
    local status=0
    "$TOOLS/manager" --listen "$what" --names web "$SSECHAT" </dev/null >out 2>err 3>&- || status=$?
    same "$status" 1
    same "$(grep -c '^ssechat: LISTEN_FDS 3 (web): .\{20,\}' err) $(wc -l <err)" '1 1'
  done
  contains "$(<err)" Accept=no
}

@test "a wrong LISTEN_FDS is refused in one sentence, and one for another process is ignored" {
  local status=0
  "$TOOLS/manager" --listen 4 --env LISTEN_FDS=2 "$SSECHAT" </dev/null >out 2>err 3>&- 4>&- || status=$?
  same "$status: $(<err)" "2: $(grep '^ssechat: LISTEN_FDS: descriptor 4 is not open' err)"
  activated 1 --listen 4 --env LISTEN_PID=1 -- --listen 127.0.0.1:0
  contains "$(<"$SERVER_LOG")" 'warn: sockets ignored=1 '
  ask /healthz
  same "$STATUS" 200
}

@test "--check checks the sockets, and answers no client" {
  "$TOOLS/manager" --listen 4 "$SSECHAT" --check --log-level warn >out 2>err 3>&- 4>&-
  same "$(<err)" ''
  status=0
  "$TOOLS/manager" --listen connected "$SSECHAT" --check >out 2>err 3>&- 4>&- || status=$?
  same "$status" 1
}

@test "with standard descriptors closed, the sockets keep their numbers" {
  printf '#!/bin/sh\nexec %q "$@" 0<&- 1>&-\n' "$SSECHAT" >closed
  chmod +x closed
  SSECHAT=$PWD/closed activated 1 --listen 4 --
  ask /healthz
  same "$STATUS" 200
}

@test "the sockets count in the reserve of descriptors" {
  local i
  THROUGH='prlimit --nofile=100:100' activated 1 --listen 4 --listen "unix:$PWD/a" --listen "unix:$PWD/b" --
  crowd 68 /events
  ask /events
  contains "$BODY" '"full"'
  accepts '{"message":"hello all"}'
  tell 'count 1 hello all'
  same "$ANSWER" ok
}

@test "a compaction's child has no copy of the sockets" {
  activated 1 --listen 4 --listen "unix:$PWD/socket" -- --journal "$JOURNAL"
  accepts '{"message":"kept"}'
  strace -f -p "$SERVER_PID" -o trace -e trace=fdatasync,exit_group \
    -e inject=fdatasync:delay_enter=3000000 2>tracing 3>&- &
  CLIENTS+=("$!")
  eventually 'grep -q attached tracing'
  rm journal
  eventually 'child=$(pgrep -P "$SERVER_PID") && [ "$(ls "/proc/$child/fd" | wc -l)" -le 6 ] && ls -l "/proc/$child/fd" >files'
  same "$(grep -c socket: files)" 0
  eventually 'grep -q recovered=1 "$SERVER_LOG"'
}

# ---- Sockets, through the driver ----

# Runs the driver of host/systemd.c (unit/systemd.c) as a service: take [manager's options] --
# [COMMAND...]. Its suite is here, because it must be executed with the id that the manager has set.
take() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  "$TOOLS/manager" "${options[@]}" "$UNIT/systemd" "${@:2}" 3>&- 4>&-
}

# Checks that the driver ends with 2 and a sentence that names the variable: wrong VARIABLE [options].
wrong() {
  local status=0
  take "${@:2}" -- >out 2>err || status=$?
  same "$* status $status: $(<err)" "$* status 2: $(grep "^ssechat: $1: .\{20,\}" err)"
  same "$(wc -l <err) $(wc -c <out)" '1 0'
}

@test "the driver: sockets are taken in their order, with their names" {
  expect '' take --
  expect '3: 3 (unknown)' take --listen 4 --
  expect $'3: 3 (web)\n4: 4 (metrics) metrics\n5: 5 (web)' take --listen 4 --listen 6 --listen "unix:$PWD/s" --names web:metrics:web --
  expect '3: 3 ()' take --listen 4 --names '' --
  expect $'3: 3 ()\n4: 4 ()' take --listen 4 --listen 4 --names : --
}

@test "the driver: a child gets neither the variables nor the sockets" {
  run take --listen 4 --listen 4 --names a:b --env LISTEN_PIDFDID=7 -- sh -c 'env; ls -l /proc/$$/fd'
  same "$status" 0
  contains "$output" $'3: 3 (a)\n4: 4 (b)'
  lacks "$output" LISTEN_
  lacks "$output" ' 3 -> '
  lacks "$output" ' 4 -> '
  contains "$output" ' 2 -> '
}

@test "the driver: sockets of another process are left alone, and its variables removed" {
  run take --listen 4 --names a --env LISTEN_PID=1 -- env
  same "$status" 0
  contains "$output" 'warn: sockets ignored=1 reason="LISTEN_PID is another process; '
  lacks "$output" LISTEN_FDS
  lacks "$output" LISTEN_PID=
  lacks "$output" '3: '
  expect '' take --listen 4 --env LISTEN_PID= --
  expect '' take --listen 4 --env LISTEN_FDS= --
  expect '' take --listen 4 --env LISTEN_FDS=0 --
}

@test "the driver: wrong values are refused in one sentence that names the variable" {
  local value
  for value in x -1 1x ' 1' 17 99999999999999999999; do
    wrong LISTEN_FDS --listen 4 --env "LISTEN_FDS=$value"
    [ "$value" != 17 ] || contains "$(<err)" '17 sockets are too many'
  done
  wrong LISTEN_FDS --listen 4 --env LISTEN_FDS=2
  for value in x -1 99999999999999999999; do
    wrong LISTEN_PID --listen 4 --env "LISTEN_PID=$value"
  done
  wrong LISTEN_FDNAMES --listen 4 --names a:b
  wrong LISTEN_FDNAMES --listen 4 --names :
  wrong LISTEN_FDNAMES --listen 4 --listen 4 --names a
}
