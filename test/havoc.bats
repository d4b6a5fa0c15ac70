#!/usr/bin/env bats
# Everything goes wrong in random order: kills, a failing disk, a clock that steps, a journal that is
# moved, cut, damaged or replaced by an older copy. The havoc tool does this, with clients of all
# kinds, and knows what must hold nevertheless; havoc.c says more. The server is a separate sanitizer
# build, whose disk and clock can be made to fail (disk.c).
# shellcheck disable=SC2154
#
# build: debug
# long: ten minutes of havoc
# seconds: 80

load lib/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  HAVOC_SERVER=$(realpath -m "${HAVOC_SERVER:-$ROOT/build/debug/disk/ssechat}")
  # A leak is found at each SIGTERM; the rest of the quarantine would only cost memory.
  export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16
}

# Runs two havocs at once, with different seeds, for the given time: wreaked SECONDS ACTS. A run that
# fails keeps its folder in build/havoc, with the server's log and the journal.
wreaked() {
  local run status=0 pids=()
  for run in 1 2; do
    mkdir "$run"
    "$TOOLS/havoc" --server "$HAVOC_SERVER" --seconds "$1" --acts "$2" --folder "$PWD/$run" >"$run.out" 2>&1 3>&- &
    pids+=("$!")
    CLIENTS+=("$!")
  done
  for run in 1 2; do
    wait "${pids[run - 1]}" || {
      status=1
      mkdir -p "$ROOT/build/havoc"
      cp -r "$run" "$run.out" "$ROOT/build/havoc"
    }
    cat "$run.out"
    sed 's/^/# /' "$run.out" >&3
  done
  return "$status"
}

@test "whatever goes wrong, nothing acknowledged is lost unnoticed, doubled, reordered or changed" {
  wreaked "$(scaled 60 600)" "${HAVOC_ACTS:-all}"
}
