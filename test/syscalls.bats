#!/usr/bin/env bats
# What each thing costs in system calls, counted by strace: none that need not be.
#
# The sanitizer build reads by a few bytes, so that its recv calls are more.
# shellcheck disable=SC2016,SC2154
#
# What is due in one turn of the loop depends on when the server gets a processor.
# bats file_tags=alone

load lib/helper

# From now on the server's system calls are counted.
count_from_now() {
  rm -f calls counting
  strace -c -o calls -p "$SERVER_PID" 2>counting 3>&- &
  STRACE=$!
  CLIENTS+=("$STRACE")
  eventually 'grep -q attached counting'
}

count_until_now() {
  kill -INT "$STRACE"
  await_end "$STRACE"
}

# How often a system call was made.
calls() {
  awk -v name="$1" '$NF == name { n = $4 } END { print n + 0 }' calls
}

# All calls but these, to see that there are no others.
other_calls() {
  awk -v known=" $* total syscall " '$1 ~ /^[0-9.]+$/ && index(known, " " $NF " ") == 0 { print $NF }' calls
}

sends() {
  echo "$(($(calls sendto) + $(calls sendmsg)))"
}

# Turns in which something was sent, from the stop on: how many sends, and how long it waited then.
turns() {
  awk '
    /SIGCONT/ { awake = 1 }
    awake && /^send/ { sent++ }
    awake && /^epoll/ && sent { match($0, /, 256, [-0-9]+/); print sent, substr($0, RSTART + 7, RLENGTH - 7); sent = 0 }
  ' trace
}

@test "a stream: accept, epoll_ctl, recv, send; its end: recv, close" {
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
  between "$(calls accept4)" 200 400 # with those that say that there is nobody left
  same "$(calls epoll_ctl) $(sends) $(calls close)" '200 200 200'
  is_sanitized || same "$(calls recvfrom)" 400
  is_sanitized || same "$(other_calls accept4 epoll_ctl recvfrom sendto sendmsg close epoll_pwait getrandom mmap munmap brk)" ''
}

# A room with 101 streams, who have been told of each other.
start_crowded() {
  start_server --post-rate 0
  crowd 100 '/events' 60
  listen last ''
  tell 'count 1 "online":101'
  same "$ANSWER" ok
}

@test "a message: recv and send for its POST, and a send for each stream" {
  local fd
  start_crowded
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{"message":"alone"}' >request
  count_from_now
  exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
  for N in {1..20}; do # each is told to all before the next: else they would share their sends
    cat request >&"$fd" # in one piece, as bash would not write it
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

@test "many messages: one send for each stream, whatever their number" {
  local fds=() fd
  start_crowded
  count_from_now
  kill -STOP "$SERVER_PID"
  for _ in {1..16}; do
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    fds+=("$fd")
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{"message":"together"}' >&"$fd"
  done
  kill -CONT "$SERVER_PID"
  tell 'count 16 together'
  same "$ANSWER" ok
  eventually '[ "$(grep -c together last)" = 16 ]'
  count_until_now
  cat calls
  # The first of them may be seen a turn before the others.
  between "$(sends)" 117 218
  for fd in "${fds[@]}"; do
    exec {fd}>&-
  done
}

@test "heartbeats that are due together leave 64 at a time: between them others are listened to" {
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
  kill -STOP "$SERVER_PID"
  sleep 1.1 # now all are due
  kill -CONT "$SERVER_PID"
  # What is left over follows at once; a second later too, when they are due since a moment only and
  # might be waited with.
  eventually '[ "$(turns | wc -l)" -ge 7 ]'
  count_until_now
  same "$(turns | head -n 4 | paste -sd ,)" '64 0,64 0,64 0,64 0'
  same "$(turns | sed -n '5s/ .*//p')" 45
  same "$(turns | sed -n 6p)" '64 0'
}

@test "a heartbeat: a send for each stream, and the wait for the next" {
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
