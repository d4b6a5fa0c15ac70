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
  kill -s STOP "$SERVER_PID"
  kill -s USR2 "$SERVER_PID"
  kill -s HUP "$SERVER_PID"
  kill -s TERM "$SERVER_PID"
  kill -s CONT "$SERVER_PID"
  stop_server TERM
  contains "$(<"$SERVER_LOG")" SIGHUP
  contains "$(<"$SERVER_LOG")" SIGUSR2
  contains "$(<"$SERVER_LOG")" 'drain streams=0'
}
