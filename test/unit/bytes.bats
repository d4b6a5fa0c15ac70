#!/usr/bin/env bats
# What stands in the place of libc's larger parts: text with values in it, the calendar, and what
# unpacks the page. Each is compared with the real thing.

# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0
load ../lib/helper

same_driver() { # DRIVER MODE
  run "$UNIT/$1" "$2"
  same "$status $output" '0 ok'
}

@test "text with values in it is what printf makes of it" {
  same_driver bytes print
}

@test "a conversion that is not supported ends the program" {
  local format
  for format in %d %c %5u %012x %zu %td %lld; do
    run -0 "$UNIT/bytes" format "$format"
  done
  for format in %-5d %+d '% d' %i %o %X %p %n %hd %hhd %jd %Lf %f %*d %.3d %.*d %.*c %ls %lc %llld \
    %ztd %% % %5 %l; do
    run --separate-stderr -134 "$UNIT/bytes" format "$format"
  done
}

@test "digits, and hexadecimal numbers of every length" {
  same_driver bytes scan
}

@test "the calendar is the system's, for every day until the year 9999" {
  same_driver bytes date
}

@test "a byte is found where it is, whatever stands beside it" {
  same_driver bytes find
}

@test "what must be true, and is not, ends the program with a line that every test looks for" {
  run --separate-stderr -134 "$UNIT/bytes" must
  [[ $stderr =~ ^ssechat:\ test/unit/bytes\.c:[0-9]+:\ this\ must\ be:\ argc\ ==\ 3$ ]]
  printf '%s\n' "$stderr" >log
  run -1 check_log log
}

@test "inflate: what gzip packs, however it packs it" {
  local level file
  : >empty
  printf x >one
  head -c 70000 /dev/zero >zeros
  head -c 70000 /dev/urandom >random # stored as it is
  for file in {1..2000}; do printf 'line %d\n' "$file"; done >lines
  for file in empty one zeros random lines "$ROOT"/www/*.*; do
    for level in 1 6 9; do
      gzip -n -"$level" -c "$file" >packed
      "$UNIT/inflate" <packed >unpacked
      cmp "$file" unpacked
    done
  done
}

@test "inflate: what is damaged is said to be" {
  local at
  printf 'some text, some more text, and some text again' >text
  gzip -n -9 -c text >packed
  for at in 0 1 2 3; do # what is no gzip file, or one with other fields
    { head -c "$at" packed && printf '\377' && tail -c +$((at + 2)) packed; } >damaged
    run -1 "$UNIT/inflate" <damaged
    same "$output" damaged
  done
  for at in 0 5 20 30; do
    head -c "$at" packed >damaged
    run -1 "$UNIT/inflate" <damaged
  done
  printf '\37\213\10\0\0\0\0\0\0\3\7\0\0\0\0\0\0\0\0\0' >damaged # a block of no known kind
  run -1 "$UNIT/inflate" <damaged
}
