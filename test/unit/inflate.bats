#!/usr/bin/env bats
# inflate.c, through its driver: it unpacks what gzip packs, and refuses damaged files.

# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0
load ../lib/helper

@test "inflate: every file that gzip packs is unpacked, at every level" {
  local level file
  : >empty
  printf x >one
  head -c 70000 /dev/zero >zeros
  head -c 70000 /dev/urandom >random # stored without compression
  for file in {1..2000}; do printf 'line %d\n' "$file"; done >lines
  for file in empty one zeros random lines "$ROOT"/www/*.*; do
    for level in 1 6 9; do
      gzip -n -"$level" -c "$file" >packed
      "$UNIT/inflate" <packed >unpacked
      cmp "$file" unpacked
    done
  done
}

@test "inflate: a damaged file is refused" {
  local at
  printf 'some text, some more text, and some text again' >text
  gzip -n -9 -c text >packed
  for at in 0 1 2 3; do # not a gzip file, or one with other fields
    { head -c "$at" packed && printf '\377' && tail -c +$((at + 2)) packed; } >damaged
    run -1 "$UNIT/inflate" <damaged
    same "$output" damaged
  done
  for at in 0 5 20 30; do
    head -c "$at" packed >damaged
    run -1 "$UNIT/inflate" <damaged
  done
  printf '\37\213\10\0\0\0\0\0\0\3\7\0\0\0\0\0\0\0\0\0' >damaged # a block of an unknown kind
  run -1 "$UNIT/inflate" <damaged
}
