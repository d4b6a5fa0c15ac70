#!/usr/bin/env bats
# Memory that runs out, at every place in turn, and everywhere now and then: see starve.c for what
# must hold, and faults.c for how it is done. The server is a build of its own, with sanitizers.
# shellcheck disable=SC2034,SC2154
#
# build: debug
# long: failures in 30 more patterns

load lib/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  FAULTS=$(realpath -m "${FAULTS:-$ROOT/build/faults/ssechat}")
}

starved() {
  run "$TOOLS/starve" --server "$FAULTS" --folder "$BATS_TEST_TMPDIR" "$@"
  printf '%s\n' "$output"
  printf '# %s\n' "${lines[0]}" >&3
  same "$status" 0
}

@test "each allocation fails once: pages, streams, messages, history" {
  starved --part memory
}

@test "each allocation fails once: a journal that is read, appended to, compacted; files" {
  starved --part journal
}

@test "each allocation fails once: tokens, addresses" {
  starved --part keys
}

@test "every first, second, third, fifth, 17th fails for a while: the server comes back" {
  local every part pids=() pid
  for every in 1 2 3 5 17 $(scaled '' "$(seq -s ' ' 6 16) $(seq -s ' ' 18 36)"); do
    pids=()
    for part in memory journal keys; do
      mkdir -p "$every.$part"
      "$TOOLS/starve" --server "$FAULTS" --folder "$PWD/$every.$part" --part "$part" --every "$every" 3>&- &
      pids+=("$!")
    done
    for pid in "${pids[@]}"; do
      wait "$pid"
    done
  done
}

@test "a leak would be found, in this build and by its end" {
  local status=0
  local SSECHAT=$FAULTS
  LEAK=1 start_server
  kill "$SERVER_PID"
  wait "$SERVER_PID" || status=$?
  unset "SERVERS[$SERVER_PID]"
  [ "$status" != 0 ]
  contains "$(<"$SERVER_LOG")" '1000 byte(s) leaked'
}
