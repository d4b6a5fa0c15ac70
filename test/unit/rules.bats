#!/usr/bin/env bats
# rules.c, through its driver: which characters a room, a name, an event and a message may contain,
# and what the sentence tells the sender to change.

load ../lib/helper

# Prints the answer of a field's rule: rule FIELD VALUE, with the escapes of bash's $'...'.
rule() {
  printf '%s' "$2" | "$UNIT/rules" "$1"
}

# Checks that a room, a name and an event with this value are refused, with a sentence that contains
# each of the words.
strictly_refused() {
  local field word value=$1
  shift
  for field in room name event; do
    run rule "$field" "$value"
    for word in "$@"; do
      contains "$output" "$word"
    done
  done
}

strictly_accepted() {
  local field
  for field in room name event; do
    expect ok rule "$field" "$1"
  done
}

# Prints the character of a hexadecimal number.
character() {
  printf '%b' "\\U$(printf '%08x' "0x$1")"
}

@test "rules: rooms, names and events contain no control characters" {
  local c
  for c in 01 08 09 0d 1f 7f 80 85 9f; do
    strictly_refused "a$(character "$c")b" 'control character' 'remove it'
  done
  strictly_refused $'a\nb' 'control character'
  for c in 2028 2029; do
    strictly_refused "a$(character "$c")b" 'separator (U+2028 or U+2029)' 'remove it'
  done
}

@test "rules: rooms, names and events contain no bidirectional controls, not even marks" {
  local c
  for c in 061c 200e 200f 202a 202b 202c 202d 202e 2066 2067 2068 2069; do
    strictly_refused "a$(character "$c")b" 'controls the direction of text' 'remove it'
    strictly_refused "$(character "$c")" 'controls the direction of text'
  done
  strictly_accepted 'שלום عربي'
}

@test "rules: rooms, names and events contain no invisible characters" {
  local c
  for c in ad 34f 115f 1160 17b4 180b 180e 180f 200b 2060 2061 2064 2065 206a 206f 2800 3164 feff ffa0 \
    fff0 fff9 fffb 1bca0 1d159 1d173 e0000 e0001 e0020 e0067 e007f e0080 e01f0 e0fff; do
    strictly_refused "$(character "$c")" 'invisible character' 'remove it'
    strictly_refused "ann$(character "$c")" 'invisible character'
    strictly_refused "a$(character "$c")n" 'invisible character'
    strictly_refused "$(character "$c")ann" 'invisible character'
  done
}

@test "rules: a variation selector follows a visible character" {
  local selector
  for selector in fe00 fe0e fe0f e0100 e01ef; do
    selector=$(character "$selector")
    strictly_accepted "❤$selector"
    strictly_accepted "a❤${selector}b"
    strictly_accepted "❤$selector b"
    strictly_refused "$selector" 'variation selector'
    strictly_refused "${selector}a" 'variation selector'
    strictly_refused "a ${selector}b" 'variation selector'
    strictly_refused "a$selector${selector}b" 'variation selector'
  done
  strictly_accepted "1$(character fe0f)$(character 20e3)"
}

@test "rules: a joiner stands between visible characters" {
  local joiner
  for joiner in 200c 200d; do
    joiner=$(character "$joiner")
    strictly_accepted "a${joiner}b"
    strictly_accepted "a${joiner}b${joiner}c d"
    strictly_accepted "❤$(character fe0f)${joiner}🔥"
    strictly_refused "$joiner" 'joiner'
    strictly_refused "${joiner}a" 'joiner'
    strictly_refused "a$joiner" 'joiner'
    strictly_refused "a${joiner} b" 'joiner'
    strictly_refused "a ${joiner}b" 'joiner'
    strictly_refused "a$joiner${joiner}b" 'joiner'
    strictly_refused "a$joiner$(character fe0f)b" 'variation selector'
    strictly_refused "a$joiner$(character 200b)b" 'invisible'
  done
  strictly_accepted $'\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645' # a Persian verb
  strictly_accepted $'👩\u200d👩\u200d👧' # a family
  strictly_accepted $'\u2764\ufe0f\u200d🩹'
}

@test "rules: of the tags, only the flags of England, Scotland and Wales are accepted" {
  local flag=$'\U1f3f4' scotland=$'\U1f3f4\Ue0067\Ue0062\Ue0073\Ue0063\Ue0074\Ue007f'
  strictly_accepted "$flag"
  strictly_accepted "$scotland"
  strictly_accepted "ann $scotland$scotland!"
  strictly_accepted "$scotland"$'\u200d'"$flag"
  strictly_refused "$flag"$'\Ue007f' invisible
  strictly_refused "$flag"$'\Ue0075\Ue0073\Ue0063\Ue0061\Ue007f' invisible
  strictly_refused "${scotland%$'\Ue007f'}" invisible
  strictly_refused "a${scotland#"$flag"}" invisible
}

@test "rules: all other characters are accepted, in any position" {
  local value
  for value in a 'a b' '"a\b"' é 'e'$'\u0301' 日本語 😀 '👋🏽' 🇳🇴 $'\u2801' $'\ufffd' $'\ue000' $'\U10ffff' \
    $'a\u00a0b' $'a\u3000b' ' a'; do
    strictly_accepted "$value"
  done
}

@test "rules: bytes that are not UTF-8 are refused with that reason" {
  strictly_refused $'a\xff' 'is not UTF-8'
  strictly_refused $'é\xe2\x80' 'is not UTF-8'
  contains "$(rule message $'a\xff')" 'is not UTF-8'
}

@test "rules: a room's name has no comma or slash" {
  local name
  for name in a,b a/b ',' é/; do
    contains "$(rule room "$name")" 'a comma or a slash'
  done
}

@test "rules: a message may contain all but control characters" {
  local c
  for c in 01 08 0b 0c 1b 7f 80 85 9f; do
    contains "$(rule message "a$(character "$c")")" 'a control character other than tab, CR and LF'
  done
  expect ok rule message $'a\nb'
  for c in 09 0d ad 61c 200b 200c 200d 200e 2028 2029 202a 202e 2066 2069 2800 feff fe0f e0067; do
    expect ok rule message "a$(character "$c")"
    expect ok rule message "$(character "$c")a"
  done
}

@test "rules: a message has a visible character" {
  local value
  for value in '' ' ' $'\t\r\n' $'\u00a0\u3000' $'\u2028' $'\u2800' $'\u200b' $'\u3164' $'\u00ad \u200e' $'\ufe0f' \
    $'\u200d' $'\u202e' $'\Ue0067\Ue007f' $'\u2800\n\u2800'; do
    contains "$(rule message "$value")" 'The message has no visible character'
  done
  for value in . $'\u2800a' $'\u200b.\u200b' $'\u0301' $'\U1f3f4\Ue0067'; do
    expect ok rule message "$value"
  done
}
