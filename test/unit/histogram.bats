#!/usr/bin/env bats
# histogram.c, through its driver: in which range a time is counted.

bats_require_minimum_version 1.5.0
load ../lib/helper

# Prints the counts of these times in microseconds.
counts() {
    printf '%s\n' "$@" | "$UNIT/histogram" add | paste -sd ' '
}

@test "histogram: a bound belongs to the range that it ends" {
    expect '100: 3 sum: 101' counts 0 1 100
    expect '250: 2 sum: 351' counts 101 250
    expect '5000000: 1 more: 1 sum: 10000001' counts 5000000 5000001
}

@test "histogram: a negative time counts as none, a huge one as more" {
    expect '100: 1 sum: 0' counts -5
    expect 'more: 1 sum: 9223372036854775807' counts 9223372036854775807
}

@test "histogram: every time up to 11 s is in the range that the bounds say" {
    run -0 "$UNIT/histogram" sweep
    same "$(tail -n 2 <<<"$output" | paste -sd ' ')" 'more: 6000000 sum: 60500005500000'
    same "$(sed -n '1p;/^1000000:/p' <<<"$output" | paste -sd ' ')" '100: 101 1000000: 500000'
}
