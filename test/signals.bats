#!/usr/bin/env bats
# What each signal does: the table of docs/operating.md ("Signals"). server.bats tests what a drain
# does with requests and streams, machine.bats the children of the server.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154
#
# seconds: 10
# quick: yes

load lib/helper

# Starts a server that has no controlling terminal.
start_detached() {
  start_through 'exec env --default-signal=HUP setsid'
}

# Starts a server in a terminal of its own: start_in_terminal [options]. Sets TERMINAL_PID (the process
# that has the terminal), SERVER_PID, SERVER_LOG, URL and PORT. The terminal would close at the end of
# its input, so this shell keeps both ends of the pipe open.
start_in_terminal() {
  SERVER_LOG=$PWD/log
  printf '#!/bin/sh\necho $$ >pid\nexec env --default-signal=HUP %q --listen 127.0.0.1:0 %s 2>log\n' \
    "$SSECHAT" "$*" >start
  chmod +x start
  mkfifo keys
  exec {KEYS}<>keys
  script -qfec ./start /dev/null <&"$KEYS" >/dev/null 2>&1 3>&- &
  TERMINAL_PID=$!
  CLIENTS+=("$TERMINAL_PID")
  eventually 'grep "^listening on " log'
  SERVER_PID=$(<pid)
  URL=$(sed -n 's/^listening on //p' log)
  PORT=${URL##*:}
}

# Opens a connection whose request is not complete, so that a drain has to wait. Sets SLOW.
hold_request() {
  exec {SLOW}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n' >&"$SLOW"
  ask /healthz # the server has read the half request before this
}

# ---- The drain ----

@test "SIGTERM, SIGINT and SIGQUIT drain, and exit with 0" {
  local signal
  for signal in TERM INT QUIT; do
    start_server
    listen stream ''
    stop_server "$signal"
    await_end "$CLIENT_PID"
    same "$signal $CLIENT_STATUS" "$signal 0"
    contains "$(tail -n 4 stream)" 'retry: '
    contains "$(<"$SERVER_LOG")" 'drain streams=1'
  done
}

@test "a second SIGTERM, SIGINT or SIGQUIT ends the drain" {
  local signal
  for signal in TERM INT QUIT; do
    start_server --drain 60
    hold_request
    kill -s TERM "$SERVER_PID"
    eventually 'grep -q drain "$SERVER_LOG"'
    SECONDS=0
    stop_server "$signal"
    between "$SECONDS" 0 10
    exec {SLOW}>&-
  done
}

@test "signals that a shell ignores in the background still drain" {
  start_through "trap '' INT QUIT; exec"
  stop_server INT
  start_through "trap '' INT QUIT; exec"
  stop_server QUIT
}

# ---- SIGHUP ----

@test "when its terminal is closed, the server drains" {
  start_in_terminal
  listen stream ''
  kill -s KILL "$TERMINAL_PID"
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0
  contains "$(tail -n 4 stream)" 'retry: '
  eventually '! kill -0 "$SERVER_PID"'
  contains "$(<log)" 'drain streams=1'
}

@test "in a terminal SIGHUP drains, and a second SIGHUP does not end the drain" {
  start_in_terminal --drain 60
  listen stream ''
  hold_request
  kill -s HUP "$SERVER_PID"
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0
  kill -s HUP "$SERVER_PID"
  printf '\r\n' >&"$SLOW"
  contains "$(timeout 20 cat <&"$SLOW")" '"ok"'
  exec {SLOW}>&-
  eventually '! kill -0 "$SERVER_PID"'
  lacks "$(<log)" ignored
}

@test "under nohup SIGHUP is ignored, with a terminal and without" {
  start_through "trap '' HUP; exec"
  kill -s HUP "$SERVER_PID"
  ask /healthz
  same "$STATUS" 200
  lacks "$(<"$SERVER_LOG")" drain
  lacks "$(<"$SERVER_LOG")" signal
  start_through "trap '' HUP; exec setsid"
  kill -s HUP "$SERVER_PID"
  ask /healthz
  same "$STATUS" 200
  lacks "$(<"$SERVER_LOG")" drain
  lacks "$(<"$SERVER_LOG")" signal
}

@test "without a terminal SIGHUP is logged, and the server goes on" {
  start_detached
  listen stream ''
  kill -s HUP "$SERVER_PID"
  eventually 'grep -q "^warn: signal name=SIGHUP ignored=1 " "$SERVER_LOG"'
  accepts '{"message":"still here"}'
  await_text stream 'still here'
  lacks "$(<"$SERVER_LOG")" drain
}

# ---- SIGUSR1 ----

# Asks for a report, and waits until it is complete: report COUNT, the number of its lines.
report() {
  kill -s USR1 "$SERVER_PID"
  eventually "[ \"\$(grep -cE '^info: (report|room) ' '$SERVER_LOG')\" -ge $1 ]"
}

# Prints the lines of rooms, without the ids.
rooms() {
  sed -n 's/^info: room //p' "$SERVER_LOG" | sed -E 's/newest=[0-9]+-[0-9]+/newest=ID/'
}

@test "SIGUSR1 logs the totals and each room, those with the most streams first" {
  start_server
  listen one 'room=news'
  listen two 'room=news,lobby'
  accepts '{"message":"hello"}'
  accepts '{"room":"quiet \"x\"","message":"hello"}'
  report 4
  contains "$(grep '^info: report ' "$SERVER_LOG")" ' connections=2 streams=2 blocked=0 lag=0 rooms=3 rooms_left_out=0 messages=2 published=2 deliveries=1 '
  grep -qE '^info: report uptime_s=[0-9]+ .* histories=[1-9][0-9]* resident=[1-9][0-9]* journal=- log_dropped=0$' "$SERVER_LOG"
  same "$(rooms | cut -d ' ' -f 1-3 | head -n 2)" $'name="news" streams=2 blocked=0\nname="lobby" streams=1 blocked=0'
  same "$(rooms | sed -n 1p)" 'name="news" streams=2 blocked=0 messages=0 bytes=0 newest=- lag=0'
  contains "$(rooms | sed -n 3p)" 'name="quiet \x22x\x22" streams=0 blocked=0 messages=1 bytes='
  contains "$(<"$SERVER_LOG")" " newest=$ID lag=0"
}

@test "the report comes whatever --log-level says" {
  start_server --log-level error
  report 1
  lacks "$(<"$SERVER_LOG")" memory\ most
}

@test "the report says how far a blocked stream lags" {
  local slow lag body
  body="{\"data\":\"$(times 60000 x)\"}"
  start_server --history 8M --drain 1
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  ask /healthz
  for _ in {1..40}; do
    accepts "$body"
  done
  eventually 'kill -s USR1 "$SERVER_PID"; grep " blocked=1 messages=40 " "$SERVER_LOG"'
  lag=$(sed -n 's/.* blocked=1 messages=40 .* lag=//p' "$SERVER_LOG" | head -n 1)
  between "$lag" 60000 2500000
  exec {slow}>&-
}

@test "the report shows long names in full" {
  local long
  long=$(printf 'é%.0s' {1..31}) # 62 bytes, and 2 more
  start_server
  accepts "{\"room\":\"${long}é\",\"message\":\"x\"}"
  accepts "{\"room\":\"${long}ê\",\"message\":\"x\"}"
  report 3
  same "$(rooms | grep -o 'xa[0-9a-f]"' | sort | tr '\n' ' ')" 'xa9" xaa" '
}

@test "the report of many rooms has a bounded length, and says how many it leaves out" {
  local i
  start_server --max-rooms 0
  for i in {1..400}; do
    printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
      $((26 + ${#i})) "{\"room\":\"r$i\",\"message\":\"x\"}"
  done >posts
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >>posts
  same "$(timeout 60 bash -c 'exec 4<>/dev/tcp/127.0.0.1/"$1"; cat posts >&4; cat <&4' - "$PORT" | grep -c '^HTTP/1.1 201')" 400
  listen stream room=r400
  report 301
  contains "$(<"$SERVER_LOG")" ' rooms=400 rooms_left_out=100 messages=400 '
  same "$(rooms | wc -l)" 300
  contains "$(rooms | head -n 1)" 'name="r400" streams=1 '
}

# ---- The others ----

@test "SIGUSR2 is logged, and the server goes on" {
  start_server
  listen stream ''
  kill -s USR2 "$SERVER_PID"
  eventually 'grep -q "^warn: signal name=SIGUSR2 ignored=1 " "$SERVER_LOG"'
  accepts '{"message":"still here"}'
  await_text stream 'still here'
}

@test "SIGPIPE and SIGXFSZ do nothing" {
  start_server
  kill -s PIPE "$SERVER_PID"
  kill -s XFSZ "$SERVER_PID"
  ask /healthz
  same "$STATUS" 200
}

@test "signals that arrive together are all obeyed" {
  start_detached
  suspend_server
  kill -s USR2 "$SERVER_PID"
  kill -s HUP "$SERVER_PID"
  kill -s TERM "$SERVER_PID"
  resume_server
  stop_server TERM
  contains "$(<"$SERVER_LOG")" SIGHUP
  contains "$(<"$SERVER_LOG")" SIGUSR2
  contains "$(<"$SERVER_LOG")" 'drain streams=0'
}
