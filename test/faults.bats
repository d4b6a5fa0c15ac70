#!/usr/bin/env bats
# A server that runs out of memory: each allocation fails in turn, then every Kth allocation fails
# for a while. The server is a separate sanitizer build, whose allocations fail on demand
# (faults.c). The starve tool plays the clients; starve.c lists what must hold.
# shellcheck disable=SC2034,SC2154
#
# build: debug
# long: failures in 30 more patterns

load lib/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  FAULTS=$(realpath -m "${FAULTS:-$ROOT/build/faults/ssechat}")
}

# Runs starve and checks that it finds nothing wrong.
starved() {
  run "$TOOLS/starve" --server "$FAULTS" --folder "$BATS_TEST_TMPDIR" "$@"
  printf '%s\n' "$output"
  printf '# %s\n' "${lines[0]}" >&3
  same "$status" 0
}

@test "one failed allocation costs one client at most: pages, streams, messages, history" {
  starved --part memory
}

@test "one failed allocation costs one client at most: the journal and files" {
  starved --part journal
}

@test "one failed allocation costs one client at most: tokens and addresses" {
  starved --part keys
}

@test "the server recovers after every Kth allocation has failed for a while" {
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

@test "this build's leak checker reports a leak when the process exits" {
  local status=0
  local SSECHAT=$FAULTS
  LEAK=1 start_server
  kill "$SERVER_PID"
  wait "$SERVER_PID" || status=$?
  unset "SERVERS[$SERVER_PID]"
  [ "$status" != 0 ]
  contains "$(<"$SERVER_LOG")" '1000 byte(s) leaked'
}
