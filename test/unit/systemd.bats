#!/usr/bin/env bats
# host/systemd.c, through its driver: which sockets it takes from the service manager, what it
# refuses, and that a child gets neither the variables nor the sockets.
# shellcheck disable=SC2016,SC2154

load ../lib/helper

# Runs the driver as a service: take [options of tools/manager] -- [COMMAND...].
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

@test "the sockets are taken in their order, with their names" {
  expect '' take --
  expect '3: 3 (unknown)' take --listen 4 --
  expect $'3: 3 (web)\n4: 4 (metrics) metrics\n5: 5 (web)' take --listen 4 --listen 6 --listen "unix:$PWD/s" --names web:metrics:web --
  expect '3: 3 ()' take --listen 4 --names '' --
  expect $'3: 3 ()\n4: 4 ()' take --listen 4 --listen 4 --names : --
}

@test "a child gets neither the variables nor the sockets" {
  run take --listen 4 --listen 4 --names a:b --env LISTEN_PIDFDID=7 -- sh -c 'env; ls -l /proc/$$/fd'
  same "$status" 0
  contains "$output" $'3: 3 (a)\n4: 4 (b)'
  lacks "$output" LISTEN_
  lacks "$output" ' 3 -> '
  lacks "$output" ' 4 -> '
  contains "$output" ' 2 -> '
}

@test "sockets of another process are left alone, and its variables removed" {
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

@test "wrong values are refused in one sentence that names the variable" {
  local value
  for value in x -1 1x ' 1' 17 99999999999999999999; do
    wrong LISTEN_FDS --listen 4 --env "LISTEN_FDS=$value"
  done
  wrong LISTEN_FDS --listen 4 --env LISTEN_FDS=2
  for value in x -1 99999999999999999999; do
    wrong LISTEN_PID --listen 4 --env "LISTEN_PID=$value"
  done
  wrong LISTEN_FDNAMES --listen 4 --names a:b
  wrong LISTEN_FDNAMES --listen 4 --names :
  wrong LISTEN_FDNAMES --listen 4 --listen 4 --names a
}
