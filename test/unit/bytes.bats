#!/usr/bin/env bats
# bytes.c, words.c, print.c, scan.h, date.c and sort.c, through their driver: the code that replaces
# larger parts of libc, such as printf and the calendar. Each function is compared with its
# counterpart in libc.

# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0
load ../lib/helper

same_as_libc() { # MODE
  run "$UNIT/bytes" "$1"
  same "$status $output" '0 ok'
}

@test "a text with values in it is formatted as printf formats it" {
  same_as_libc print
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

@test "digits and hexadecimal numbers of every length are read as libc reads them" {
  same_as_libc scan
}

@test "dates are those of gmtime, for every day up to the year 9999" {
  same_as_libc date
}

@test "a byte is found where memchr finds it, whatever is beside it" {
  same_as_libc find
}

@test "texts are equal when memcmp and strncasecmp say so, whichever byte differs" {
  same_as_libc equal
}

@test "pointers are sorted as qsort sorts them, with few comparisons in any order" {
  same_as_libc sort
}

@test "a field's value is text without control characters, and each class has the characters of its RFC" {
  run -0 "$UNIT/bytes" words
  local letters=ABCDEFGHIJKLMNOPQRSTUVWXYZ small=abcdefghijklmnopqrstuvwxyz
  same "${lines[0]}" "!#\$%&'*+-.0123456789$letters^_\`$small|~"
  same "${lines[1]}" "!\"\$%&'()*+,-./0123456789:;<=>?@${letters}[\\]^_\`$small{|}~"
  same "${lines[2]}" "!\$&'()*+,-.0123456789;=${letters}_$small~"
  same "${lines[3]}" ok
}

@test "a broken invariant ends the program with a line that every test looks for" {
  run --separate-stderr -134 "$UNIT/bytes" must
  [[ $stderr =~ ^ssechat:\ test/unit/bytes\.c:[0-9]+:\ assertion\ failed:\ argc\ ==\ 3$ ]]
  printf '%s\n' "$stderr" >log
  run -1 check_log log
}
