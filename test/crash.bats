#!/usr/bin/env bats
# The server is killed again and again while people publish and read: see torture.c for what must
# hold.
# shellcheck disable=SC2154
#
# long: 2,500 crashes
# seconds: 10

load lib/helper
load lib/journal

tortured() {
  run "$TOOLS/torture" --server "$SSECHAT" --folder "$BATS_TEST_TMPDIR" "$@"
  printf '%s\n' "$output"
  printf '# %s\n' "${lines[@]}" >&3
  same "$status" 0
  check_log "$BATS_TEST_TMPDIR/log"
  same "$(journal_processes)" ''
}

@test "killed at random moments, nothing acknowledged is lost and nothing comes twice" {
  tortured --rounds "$(scaled 25 1500)" -- --history 8M
}

@test "the same with a short history, so that it compacts all the time" {
  tortured --rounds "$(scaled 20 600)" --window 7 -- --history 64K
  [[ $output =~ \ ([0-9]+)\ compactions ]]
  between "${BASH_REMATCH[1]}" 1 100000
}

@test "the same without waiting for the disk" {
  tortured --rounds "$(scaled 10 400)" -- --sync none
}
