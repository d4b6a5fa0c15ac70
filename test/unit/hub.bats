#!/usr/bin/env bats
# hub.c and stream.c, through their driver: random walks with a model beside the hub. Each seed is
# another walk, and always the same one; a failure says the seed and the step.

load ../lib/helper

# Walks with these seeds, on as many processors as there are.
walks() {
  local first=$1 last=$2 steps=$3
  seq "$first" "$last" | xargs -P "$(nproc)" -I '{}' "$UNIT/hub" '{}' "$steps"
}

@test "hub: random walks keep every promise" {
  local steps=20000
  if is_sanitized; then
    steps=5000
  fi
  run walks 1 60 "$steps"
  same "$status $output" '0 '
}

@test "hub: one long walk" {
  local steps=300000
  if is_sanitized; then
    steps=50000
  fi
  run walks 1001 1002 "$steps"
  same "$status $output" '0 '
}

@test "hub: walks of a few steps, to the end of everything" {
  run walks 2001 2200 40
  same "$status $output" '0 '
}
