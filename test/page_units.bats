#!/usr/bin/env bats
# The modules of the chat page that work without a browser, with Node's own test runner: one test
# for each file of test/page. Then what all modules have in common.
#
# quick: yes
# build: plain
# seconds: 15

load lib/helper

# Runs the unit tests of a module, and fails if there are none. Node takes a .js file for an ES
# module only if it is told so, or guesses it (from version 22 on).
units() { # MODULE
  local flags=()
  ! node --experimental-default-type=module -e '' 2>/dev/null || flags=(--experimental-default-type=module)
  run node "${flags[@]}" --test --test-reporter=tap "$ROOT/test/page/$1.mjs"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ $output =~ $'\n'"# pass "[1-9] ]]
}

@test "the unit tests of api.js" {
  units api
}

@test "the unit tests of conversations.js" {
  units conversations
}

@test "the unit tests of net.js" {
  units net
}

@test "the unit tests of notify.js" {
  units notify
}

@test "the unit tests of outbox.js" {
  units outbox
}

@test "the unit tests of render.js" {
  units render
}

@test "the unit tests of store.js" {
  units store
}

@test "the unit tests of stream.js" {
  units stream
}

@test "the unit tests of words.js" {
  units words
}

@test "the unit tests of worker.js" {
  units worker
}

@test "each file of unit tests is one of these" {
  local file name
  for file in "$ROOT"/test/page/*.mjs; do
    name=${file##*/} name=${name%.mjs}
    grep -qx "  units $name" "$BATS_TEST_FILENAME" || {
      echo "test/page/$name.mjs has no test here"
      return 1
    }
  done
}

@test "the page has the version of the server" {
  local version
  version=$(sed -n 's/^#define SSECHAT_VERSION "\(.*\)"$/\1/p' "$ROOT/host/version.h")
  contains "$(cat "$ROOT/www/net.js")" "export const VERSION = '$version';"
}

@test "no module of the page is over 250 lines" {
  expect '' awk 'FNR == 251 { print FILENAME }' "$ROOT"/www/*.js
}

@test "the modules of the page do not import each other in a circle" {
  local file
  cd "$ROOT/www"
  for file in *.js; do
    sed -n "s/^.*from '\.\/\([^']*\)';$/$file \1/p" "$file"
  done >"$BATS_TEST_TMPDIR/imports"
  grep -qx 'worker.js stream.js' "$BATS_TEST_TMPDIR/imports"
  tsort "$BATS_TEST_TMPDIR/imports" >/dev/null
}

@test "the stream and the outbox import nothing" {
  run grep -nE '\b(import|document|window|localStorage)\b' "$ROOT/www/stream.js" "$ROOT/www/outbox.js"
  same "$output" ''
}

@test "the page has less than 40 KB gzipped" {
  local file sum=0
  for file in "$ROOT"/www/*; do
    [ "${file##*/}" = www.S ] || sum=$((sum + $(gzip -9nc "$file" | wc -c)))
  done
  echo "$sum bytes"
  [ "$sum" -lt 40960 ]
}
