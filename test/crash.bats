#!/usr/bin/env bats
# Crashes at random moments. The torture tool publishes and reads, kills the server with SIGKILL
# again and again, starts it on the same journal, and compares what was acknowledged with what
# arrived; torture.c lists what must hold.
# shellcheck disable=SC2154
#
# long: 2,500 crashes
# seconds: 10

load lib/helper
load lib/journal

# Runs torture and checks that it finds nothing wrong, that no process is left, and that the
# sanitizers are silent.
tortured() {
  local folder=${DISK:-$BATS_TEST_TMPDIR}
  run "$TOOLS/torture" --server "$SSECHAT" --folder "$folder" "$@"
  printf '%s\n' "$output"
  printf '# %s\n' "${lines[@]}" >&3
  same "$status" 0
  check_log "$folder/log"
  same "$(journal_processes)" ''
}

@test "a server killed at random moments loses no acknowledged message and delivers none twice" {
  tortured --rounds "$(scaled 25 1500)" -- --history 8M
}

@test "a server killed while constantly compacting its journal loses nothing and delivers nothing twice" {
  small_disk 1m # so small that the journal is compacted all the time
  tortured --rounds "$(scaled 20 600)" --window 7 -- --history 64K
  [[ $output =~ \ ([0-9]+)\ compactions ]]
  between "${BASH_REMATCH[1]}" 1 100000
}

@test "a server killed with --sync none loses nothing and delivers nothing twice" {
  tortured --rounds "$(scaled 10 400)" -- --sync none
}
