#!/usr/bin/env bats
# The reader of journals, through its driver: which messages are read from damaged and hostile
# files, and whether the file that a recovery leaves is read the same way. ../journal.bats tests the
# same with the real server.
# shellcheck disable=SC2154

load ../lib/helper

CORPUS=$ROOT/test/fuzz/corpus/journal

# Reads a file of the corpus.
reads() {
  run "$UNIT/journal" read <"$CORPUS/$1"
  printf '%s\n' "$output"
  same "$status" 0
}

@test "every promise holds for the journals of the fuzzer's corpus" {
  local file
  for file in "$CORPUS"/*; do
    reads "${file##*/}"
  done
}

@test "an intact journal is read with its rooms, kinds and keys" {
  reads whole
  diff - <<<"$output" <(
    cat <<'END'
whole
"b \" c" 1795274592189-0 text 841561a4 "!~\""
"lobby" 1795274592153-0 chat 644d17ca "k1"
"lobby" 1795274592232-0 chat 7a6722b0
"news" 1795274592172-0 json d0a758ca
"news" 1795274592209-0 json ccaddaad
END
  )
}

@test "a record that is cut off at the end is not damage, and nothing else is lost" {
  local file
  for file in cut-in-message cut-in-crc zeros-at-end; do
    reads "$file"
    same "${lines[0]}" whole
    lacks "$output" 1795274592232-0
    contains "$output" '"lobby" 1795274592153-0 chat'
  done
}

@test "a damaged stretch costs only the records in it" {
  reads changed-byte
  same "${lines[0]}" damaged
  same "${#lines[@]}" 5
  lacks "$output" 1795274592172-0
  reads zeros-in-middle
  same "${lines[0]}" damaged
  same "${#lines[@]}" 5
}

@test "of two messages with the same key, the later owns the key; an id that is not newer is damage" {
  reads unsigned-keys
  same "$(grep -c '"k"' <<<"$output")" 2
  lacks "$(grep 1760000000001-0 <<<"$output")" '"k"'
  reads unsigned-order
  same "${lines[0]}" damaged
  same "${#lines[@]}" 3
}

@test "each user has its own keys; those of addresses, and of records that do not say, are shared" {
  reads unsigned-users
  diff - <<<"$(sed -E 's/ (text|other) [0-9a-f]{8}/ \1/' <<<"$output")" <(
    cat <<'END'
damaged
"a" 1760000000001-0 text
"a" 1760000000002-0 text "k" of fedcba9876543210
"a" 1760000000003-0 text
"a" 1760000000004-0 text "k"
"a" 1760000000005-0 other "k" of 0123456789abcdef
END
  )
}

@test "a journal with any byte cut off, changed, zeroed, removed or doubled gives no new message" {
  local file
  for file in whole no-state changed-byte; do
    run "$UNIT/journal" sweep <"$CORPUS/$file"
    same "$status $output" '0 '
  done
  run "$UNIT/journal" sweep <<<''
  same "$status $output" '0 '
}
