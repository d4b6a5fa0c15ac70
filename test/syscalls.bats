#!/usr/bin/env bats
# What a stream, a message and a heartbeat cost in system calls, counted by strace. An extra call is
# a failure.
#
# The sanitizer build reads only a few bytes at a time, so its recv calls are not checked. The tests
# run alone, because the work of one turn of the loop depends on when the server gets a processor.
# shellcheck disable=SC2016,SC2154
#
# bats file_tags=alone

load lib/helper

# Starts counting the server's system calls.
count_from_now() {
  rm -f calls counting
  strace -c -o calls -p "$SERVER_PID" 2>counting 3>&- &
  STRACE=$!
  CLIENTS+=("$STRACE")
  eventually 'grep -q attached counting'
}

# Stops counting; strace writes its table to the file `calls`.
count_until_now() {
  kill -INT "$STRACE"
  await_end "$STRACE"
}

# Prints how often a system call was made.
calls() {
  awk -v name="$1" '$NF == name { n = $4 } END { print n + 0 }' calls
}

# Prints the names of all calls that were made, except for these.
other_calls() {
  awk -v known=" $* total syscall " '$1 ~ /^[0-9.]+$/ && index(known, " " $NF " ") == 0 { print $NF }' calls
}

# Prints how often something was sent.
sends() {
  echo "$(($(calls sendto) + $(calls sendmsg)))"
}

# Prints a line for each turn that sent something after the server was continued: the number of
# sends, and the timeout of the wait that followed.
turns() {
  awk '
    /SIGCONT/ { awake = 1 }
    awake && /^send/ { sent++ }
    awake && /^epoll/ && sent { match($0, /, 256, [-0-9]+/); print sent, substr($0, RSTART + 7, RLENGTH - 7); sent = 0 }
  ' trace
}

@test "a stream costs accept, epoll_ctl, recv and send to open, and recv and close to end" {
  local before
  start_server
  before=$(descriptors)
  count_from_now
  crowd 200 '/events?room=r#' 60
  tell 'leave 200'
  same "$ANSWER" ok
  eventually "[ \$(descriptors) = $before ]"
  count_until_now
  cat calls
  between "$(calls accept4)" 200 400 # includes the calls that find no further connection
  same "$(calls epoll_ctl) $(sends) $(calls close)" '200 200 200'
  is_sanitized || same "$(calls recvfrom)" 400
  is_sanitized || same "$(other_calls accept4 epoll_ctl recvfrom sendto sendmsg close epoll_pwait getrandom mmap munmap brk)" ''
}

# Starts a server and 101 streams in its lobby, and waits until presence has reported all 101.
start_crowded() {
  start_server --post-rate 0
  crowd 100 '/events' 60
  listen last ''
  tell 'count 1 "online":101'
  same "$ANSWER" ok
}

@test "a message costs a recv and a send for its POST, and a send for each stream" {
  local fd
  start_crowded
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{"message":"alone"}' >request
  count_from_now
  exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
  for N in {1..20}; do # each reaches all streams before the next, or they would share sends
    cat request >&"$fd" # in one piece; bash itself would write it line by line
    tell "count $N alone"
    same "$ANSWER" ok
    eventually '[ "$(grep -c alone last)" = "$N" ]'
  done
  count_until_now
  cat calls
  same "$(calls accept4) $(calls epoll_ctl) $(sends)" '2 1 2040'
  is_sanitized || same "$(calls recvfrom)" 20
  exec {fd}>&-
}

@test "any number of messages that arrive together cost one send for each stream" {
  local fds=() fd
  start_crowded
  count_from_now
  suspend_server
  for _ in {1..16}; do
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    fds+=("$fd")
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{"message":"together"}' >&"$fd"
  done
  resume_server
  tell 'count 16 together'
  same "$ANSWER" ok
  eventually '[ "$(grep -c together last)" = 16 ]'
  count_until_now
  cat calls
  # The server can accept the first connection a turn before the others.
  between "$(sends)" 117 218
  for fd in "${fds[@]}"; do
    exec {fd}>&-
  done
}

@test "heartbeats due together are sent 64 per turn, so that other sockets are read in between" {
  start_server --heartbeat 1
  listen stream ''
  crowd 300 /events 60
  eventually '[ "$(events_of stream presence .data.online | tail -n 1)" = 301 ]'
  accepts '{"message":"behind it"}'
  tell 'count 1 behind it'
  same "$ANSWER" ok
  strace -o trace -e trace=send,sendto,sendmsg,epoll_wait,epoll_pwait -p "$SERVER_PID" 2>tracing 3>&- &
  STRACE=$!
  CLIENTS+=("$STRACE")
  eventually 'grep -q attached tracing'
  suspend_server
  sleep 1.1 # now all heartbeats are due
  resume_server
  # After a full turn, the rest must follow at once. The same applies a second later, when the next
  # heartbeats have only just become due and the server might wait for more.
  eventually '[ "$(turns | wc -l)" -ge 7 ]'
  count_until_now
  same "$(turns | head -n 4 | paste -sd ,)" '64 0,64 0,64 0,64 0'
  same "$(turns | sed -n '5s/ .*//p')" 45
  same "$(turns | sed -n 6p)" '64 0'
}

@test "a heartbeat costs one send for each stream, the wait for the next heartbeat, and no other call" {
  start_server --heartbeat 1
  crowd 50 /events 60
  tell 'count 2 event: heartbeat'
  same "$ANSWER" ok
  count_from_now
  tell 'count 5 event: heartbeat'
  same "$ANSWER" ok
  count_until_now
  cat calls
  between "$(sends)" 100 250
  is_sanitized || same "$(other_calls sendto epoll_pwait)" ''
}
