#!/usr/bin/env bats
# hub.c and hub/, through their driver: random walks that compare the hub with a model, for each of
# three keepers: memory, a journal, and one that answers late. Each seed gives its own walk, the same
# in every run; a failure prints the seed and the step (see hub.c).
#
# long: 20 times as many walks
# seconds: 40

load ../lib/helper

# Runs the walks with these seeds, on all processors.
walks() {
  local keeper=$1 first=$2 last=$3 steps=$4
  seq "$first" "$last" | xargs -P "$(nproc)" -I '{}' "$UNIT/hub" "$keeper" '{}' "$steps"
}

# Runs walks of medium length, some long walks in which histories wrap many times, and many walks of a
# few steps: each walk ends with a check of the hub at rest.
keeps_every_promise() {
  local steps=20000 long=300000
  if is_sanitized; then
    steps=5000 long=50000
  fi
  run walks "$1" 1 "$(scaled 60 1000)" "$steps"
  same "$status $output" '0 '
  run walks "$1" 1001 "$(scaled 1002 1040)" "$long"
  same "$status $output" '0 '
  run walks "$1" 2001 "$(scaled 2200 6000)" 40
  same "$status $output" '0 '
}

@test "hub: every promise holds with the memory keeper" {
  keeps_every_promise memory
}

@test "hub: every promise holds with the journal" {
  keeps_every_promise journal
}

@test "hub: every promise holds with a keeper that answers late, refuses, and brings messages" {
  keeps_every_promise late
}
