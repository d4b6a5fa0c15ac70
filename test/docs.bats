#!/usr/bin/env bats
# Tests the documents: their commands print the output shown, their links lead somewhere, and their
# options, defaults and limits match the program.
# shellcheck disable=SC2016,SC2153
#
# seconds: 90
# build: plain

bats_require_minimum_version 1.5.0
load lib/helper
load lib/webdriver

teardown() {
  webdriver_stop
  stop_all
}

# Prints the rows of the table below a heading, one per line, without its header.
rows() { # HEADING FILE
  awk -v heading="$1" '
    /^#/ { inside = $0 == heading }
    inside && /^\|/ && ++row > 2' "$2"
}

# ---- Commands ----

@test "the commands in the README print the output shown" {
  "$ROOT/test/commands" "$ROOT/README.md"
}

@test "the commands in the contract print the output shown" {
  "$ROOT/test/commands" "$ROOT/docs/contract.md"
}

@test "the commands in the operating manual print the output shown" {
  "$ROOT/test/commands" "$ROOT/docs/operating.md"
}

@test "the commands in the reading guide print the output shown" {
  "$ROOT/test/commands" "$ROOT/docs/reading.md"
}

@test "test/commands fails if a document shows different output" {
  printf '%s\n' '```sh' './ssechat' '```' '```console' '$ curl -s http://127.0.0.1:8080/healthz' \
    '{"status":"well"}' '```' >wrong.md
  run "$ROOT/test/commands" wrong.md
  same "$status" 1
  contains "$output" 'the command prints something else'
  printf '%s\n' '```console' '$ echo 1760000000000-0 1760000000000-0' \
    '1760000000000-0 1760000000001-0' '```' >wrong.md
  run "$ROOT/test/commands" wrong.md
  same "$status" 1
  printf '%s\n' '```sh' 'false' '```' >wrong.md
  run "$ROOT/test/commands" wrong.md
  same "$status" 1
}

@test "the script in the README shows a message and an event in a browser" {
  mkdir site
  blocks js "$ROOT/README.md" >site/example.js
  contains "$(<site/example.js)" EventSource
  cat >site/index.html <<'END'
<!doctype html>
<title>example</title>
<script>
  const shown = [];
  console.log = (text) => shown.push(text);
</script>
<script src="example.js"></script>
END
  start_server --www site
  webdriver_start
  browser
  open_page "$URL/"
  wait_until 'shown.includes("hello")'
  accepts '{"room":"news","event":"headline","data":{"title":"It rains"}}'
  wait_until 'shown.includes("It rains")'
}

@test "the reading guide lists each file of the page once" {
  same "$(blocks text "$ROOT/docs/reading.md" | grep -o '^www/[^ ]*' | sort)" "$(cd "$ROOT" && printf '%s\n' www/* | sort)"
}

# ---- Signals ----

@test "the operating manual and the manual page list the signals that the program handles" {
  local program manual page
  program=$({ sed -n 's/^    { \(SIG[A-Z0-9]*\), SIGNALS_.*/\1/p' "$ROOT/host/signals.c"
    sed -n 's/^    signal(\(SIG[A-Z0-9]*\), SIG_IGN);$/\1/p' "$ROOT/host/signals.c"; } | sort)
  manual=$(rows '## Signals' "$ROOT/docs/operating.md" | cut -d '|' -f 2 | grep -o 'SIG[A-Z0-9]*' | sort)
  page=$(sed -n '/^.Ss Signals/,/^.Sh /p' "$ROOT/dist/ssechat.8" | sed -n 's/^.It Dv //p' | grep -o 'SIG[A-Z0-9]*' | sort)
  same "$(wc -l <<<"$program")" 9
  same "$manual" "$program"
  same "$page" "$program"
}

# ---- Links and names ----

# Prints the anchors that GitHub makes from a document's headings.
anchors() {
  sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

@test "every link in the documents leads to a file or a heading" {
  local file link target count=0
  for file in README.md CHANGELOG.md docs/*.md test/bench/RESULTS.md; do
    while IFS= read -r link; do
      count=$((count + 1))
      [[ $link != http* ]] || continue
      target=${link%%#*}
      [ -n "$target" ] && target=$(dirname "$file")/$target || target=$file
      [ -e "$ROOT/$target" ] || {
        printf '%s: there is no %s\n' "$file" "$link" >&2
        return 1
      }
      [[ $link != *'#'* ]] || anchors "$ROOT/$target" | grep -qx -- "${link#*#}" || {
        printf '%s: there is no heading %s\n' "$file" "$link" >&2
        return 1
      }
    done < <(grep -oE '\]\([^)]+\)' "$ROOT/$file" | sed 's/^](//; s/)$//')
  done
  ((count > 10))
}

@test "every file, function and constant that the documents name exists in the source" {
  local name option
  cd "$ROOT"
  while IFS= read -r name; do
    [ -e "$name" ] || compgen -G "$name" >/dev/null || {
      printf 'there is no file %s\n' "$name" >&2
      return 1
    }
  done < <(grep -ohE '(^|[ `(])([a-z]+/)?[a-z_]+\.(c|h|bats|bash|js)\b' README.md docs/*.md | tr -d ' `(' | sort -u)
  while IFS= read -r name; do
    grep -rqE "(^|[^a-z_])$name\(" --include=*.[ch] . || {
      printf 'there is no function %s\n' "$name" >&2
      return 1
    }
  done < <(grep -ohE '`[a-z_]+\(\)`' README.md docs/*.md | tr -d '`()' | sort -u)
  while IFS= read -r name; do
    option=${name#SSECHAT_} option=--${option//_/-}
    [[ $name == SSECHAT_* ]] && help_lines | grep -qE "^${option,,} " && continue # a variable
    grep -rqw "$name" --include=*.[ch] . || {
      printf 'there is no constant %s\n' "$name" >&2
      return 1
    }
  done < <(grep -ohE '`[A-Z]+(_[A-Z]+)+`' README.md docs/*.md | tr -d '`' | sort -u)
}

@test "the README has fewer than 200 lines" {
  between "$(wc -l <"$ROOT/README.md")" 1 199
}

# ---- Options and limits ----

# Prints what --help says about each option, one per line: "--name VALUE text".
help_lines() {
  "$SSECHAT" --help | awk '
    /^  --/ { if (line != "") print line; line = $0; next }
    line != "" && /^          / { line = line " " $0; next }
    line != "" { print line; line = ""; exit }' | sed 's/  */ /g; s/^ //'
}

@test "the operating manual lists the options of --help in the same order, with the same defaults" {
  local option default line
  same "$(rows '## Options' "$ROOT/docs/operating.md" | sed 's/^| `\([^`]*\)`.*/\1/')" \
    "$(help_lines | grep -oE '^--[a-z-]+( [A-Z]+)?')"
  while IFS='|' read -r _ option default _; do
    option=${option//[\` ]/}
    default=${default// /}
    [ -n "$default" ] || continue
    line=$(help_lines | awk -v name="$(grep -oE '^--[a-z-]+' <<<"$option")" '$1 == name')
    [[ $line == *"($default)"* || $line == *"$default (the default)"* ]] || {
      printf '%s: the manual says %s, --help: %s\n' "$option" "$default" "$line" >&2
      return 1
    }
  done < <(rows '## Options' "$ROOT/docs/operating.md")
}

# Converts a value such as 256K, 7d or 3000 to a plain number: bytes, milliseconds or a count.
plain_number() {
  local number=${1%[KMsmhd]}
  case $1 in
  *K) echo $((number * 1024)) ;;
  *M) echo $((number * 1048576)) ;;
  *s) echo $((number * 1000)) ;;
  *d) echo $((number * 86400000)) ;;
  *) echo "$number" ;;
  esac
}

@test "the defaults in --help match the table in host/options.c" {
  local name initial named count=0
  while read -r name initial; do
    named=$(help_lines | awk -v name="--$name" '$1 == name' | grep -oE '\([0-9]+[KMsmhd]?\)' | tr -d '()' || true)
    [ -n "$named" ] || continue
    count=$((count + 1))
    same "$name: $(plain_number "$named")" "$name: $((${initial//ull/}))"
  done < <(tr '\n' ' ' <"$ROOT/host/options.c" | sed 's/{ "/\n{ "/g' |
    sed -nE 's/^\{ "([a-z-]+)", "[A-Z]+", KIND_(COUNT|SIZE|TIME), *FIELD\([a-z_.]*\), *([^,]*),.*/\1 \3/p' |
    sed 's/KIB/1024/; s/SECOND/1000/; s/DAY/86400000/')
  ((count >= 9))
}

# Checks that a constant in the source has this value, and that the manual's table contains these words.
limit_is() { # FILE CONSTANT VALUE WORDS
  grep -qE "(^| )$2 = $3( |,|\$)" "$ROOT/$1" || {
    printf '%s: %s is no longer %s: %s\n' "$1" "$2" "$3" "$(grep -h "$2 =" "$ROOT/$1")" >&2
    return 1
  }
  rows '## Limits: how much one client may take' "$ROOT/docs/operating.md" | grep -qF -- "$4" || {
    printf 'the manual does not say %s\n' "$4" >&2
    return 1
  }
}

@test "the longest poll in the contract is the source's" {
  grep -qF 'CLIENT_POLL_MAX_SECONDS = 55 }' "$ROOT/net/client.h"
  grep -qF 'more than 55 are taken as 55' "$ROOT/docs/contract.md"
}

@test "the limits in the operating manual match the source" {
  limit_is http.h HTTP_HEAD_MAX_BYTES 16384 '16 KiB, 100 fields, 8,000 bytes of URL'
  limit_is http.h HTTP_FIELDS_MAX 100 '100 fields'
  limit_is http.h HTTP_TARGET_MAX_BYTES 8000 '8,000 bytes of URL'
  limit_is base/uri.h URI_PARAMETERS_MAX 64 '| parameters of a URL, names of rooms in it | 64 |'
  limit_is net/limits.h LIMITS_POST_BYTES 4096 'every 4 KiB of a body'
  limit_is hub/rules.h MESSAGE_MAX_CHARACTERS 4096 '4096 characters'
  limit_is hub/stream.h STREAM_ROOMS_MAX 16 '| rooms of one stream | 16 |'
  limit_is hub/share.c SHARE_PARTS 4 'a quarter of `--max-rooms`'
  limit_is hub/presence.h PRESENCE_SOURCE_MAX 16 '| names of one address that a room shows | 16 |'
  limit_is hub/history.h HISTORY_ROOMS_MAX 300 '| rooms in `GET /rooms` | 300,'
  limit_is net/limits.c SPARE_CONNECTIONS 32 '32 more than that'
  limit_is net/limits.c RESERVED_DESCRIPTORS 32 '1/32 of them, but at least 32'
  limit_is net/limits.c BUFFERED_MAX_BYTES '64 << 20' '64 MiB (a sixteenth of the memory'
  limit_is net/limits.c BUFFERED_PART 16 'a sixteenth of the memory'
  limit_is net/limits.c BUFFERED_LARGEST 8 'plus eight bodies of the maximum size'
  limit_is net/limits.c BUFFERED_SHARE 16 'per address a sixteenth of that amount (4 MiB) plus one such body'
  limit_is net/limits.c BUFFER_FREE_BYTES 4096 'buffers up to 4 KiB are not counted'
  limit_is net/deadline.c '\[DEADLINE_HEAD\]' '10 \* SECOND_MS' '| time for a head | 10 s |'
  limit_is net/deadline.c '\[DEADLINE_BODY\]' '30 \* SECOND_MS' '| time for a body | 30 s for each 64 KiB'
  limit_is net/client.c BODY_PART_BYTES 65536 '30 s for each 64 KiB of it'
  limit_is net/deadline.c '\[DEADLINE_ANSWER\]' '30 \* SECOND_MS' '| an answer that is not read | 30 s |'
  limit_is net/deadline.c '\[DEADLINE_IDLE\]' keep_alive_ms '| a connection between requests | 75 s'
  limit_is net/deadline.c '\[DEADLINE_STALLED\]' '60 \* SECOND_MS' 'or has vanished | 60 s'
}
