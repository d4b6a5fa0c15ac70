#!/usr/bin/env bats
# seconds: 30
# test/layers and test/formats, on copies of the tree with one change each: they must find every
# kind of mistake that they are meant to find. Otherwise a broken check would look like a clean tree.
# shellcheck disable=SC2030,SC2031

bats_require_minimum_version 1.5.0

ROOT=$(realpath "$BATS_TEST_DIRNAME/..")

# Runs make as if from a new shell, without the variables of the make that runs this suite.
clean_make() {
  env -u MAKEFLAGS -u MAKELEVEL -u B -u CC -u CFLAGS -u CPPFLAGS -u LDFLAGS -u STATIC -u HARDEN -u LINK make "$@"
}

# Builds a copy of the tree, which each test copies with its object files.
setup_file() {
  mkdir "$BATS_FILE_TMPDIR/tree"
  cd "$BATS_FILE_TMPDIR/tree" || return
  tar -C "$ROOT" --exclude=./.git --exclude=./build --exclude=./test --exclude=./ssechat -c . | tar -x
  clean_make -s CFLAGS=-O0 HARDEN= STATIC=
}

setup() {
  cp -r "$BATS_FILE_TMPDIR/tree" "$BATS_TEST_TMPDIR/tree"
  cd "$BATS_TEST_TMPDIR/tree" || return
}

# Compiles a changed file, for the check that reads the objects.
compile() {
  gcc -D_GNU_SOURCE -iquote . -c -o "build/${1%.c}.o" "$1"
}

# Checks that test/layers fails and prints this sentence for this place.
finds() { # PLACE SENTENCE
  run "$ROOT/test/layers" .
  [ "$status" = 1 ]
  [[ $'\n'$output == *$'\n'"$1: $2"* ]] || {
    printf 'not found: %s: %s\n%s\n' "$1" "$2" "$output" >&2
    return 1
  }
}

# Adds an include of a header of the layer ABOVE to a file of the layer BELOW, and checks that
# test/layers finds it. A layer is given by the prefix of its files' names.
upwards() { # BELOW ABOVE
  local file header files=("$1"*c)
  file=${files[0]}
  files=("$2"*h)
  header=${files[0]}
  [ -e "$header" ] || { header=${2}h && : >"$header"; }
  printf '#include "%s"\n' "$header" >>"$file"
  finds "$file:$(wc -l <"$file")" "includes $header, which is not below $1"
}

@test "the tree follows the layering rule" {
  run "$ROOT/test/layers" .
  printf '%s\n' "$output"
  [ "$status" = 0 ]
}

@test "the core of the reading guide has at most 2,700 lines" {
  run "$ROOT/test/layers" .
  [[ $output =~ the\ core:\ ([0-9]+)\ lines ]]
  [ "${BASH_REMATCH[1]}" -ge 1000 ]
  [ "${BASH_REMATCH[1]}" -le 2700 ]
}

@test "a file that includes a header of the next layer up is found" {
  upwards base/ http.
  upwards base/ json.
  upwards http. hub/
  upwards json. hub/
  upwards hub/ hub.
  upwards hub. store/
  upwards store/ net/
  upwards net/ auth/
  upwards auth/ api/
  upwards api/ host/
  upwards host/ sse.
}

@test "a source file or a header that includes a header far above it is found" {
  local headers=(base/*.h)
  upwards base/ sse.
  upwards net/ api/
  printf '#include "hub.h"\n' >>"${headers[0]}"
  finds "${headers[0]}:$(wc -l <"${headers[0]}")" 'includes hub.h, which is not below base/'
}

@test "http and json may not include each other" {
  upwards http. json.
  upwards json. http.
}

@test "an include that is not written from the root is found" {
  printf '#include "bytes.h"\n' >>base/text.c
  finds "base/text.c:$(wc -l <base/text.c)" 'includes bytes.h, which is not a layer'"'"'s file'
}

@test "an internal header of a layer may be included only in that layer" {
  local header
  for header in hub/room.h net/connection.h store/inside.h; do
    [ -e "$header" ] || : >"$header"
    printf '#include "%s"\n' "$header" >>sse.c
    finds "sse.c:$(wc -l <sse.c)" "includes $header, the inside of another layer"
  done
}

@test "the use of a symbol of a higher layer is found even without its header" {
  printf 'void json_late(void);\nvoid json_late(void) {}\n' >>json.c
  printf '\nvoid json_late(void);\nvoid early(void);\nvoid early(void) { json_late(); }\n' >>base/text.c
  compile json.c
  compile base/text.c
  finds "base/text.c:$(($(wc -l <base/text.c) - 2))" 'uses json_late of json.c, which is not below'
}

@test "a comment in net/ that names a file above net/ is found" {
  local files=(net/*.c)
  printf '/* see api/routes.c */\n' >>"${files[0]}"
  finds "${files[0]}:$(wc -l <"${files[0]}")" 'names something above net/'
}

@test "a function that is declared in a header but not defined in the .c file of the same name is found" {
  printf 'void text_nowhere(int,\n    int);\n' >>base/text.h
  finds "base/text.h:$(($(wc -l <base/text.h) - 1))" 'text_nowhere() is not defined in the .c file'
}

@test "a mutable global variable is found; a constant or a static variable is allowed" {
  printf 'extern const int limit;\nconst int limit = 5;\nstatic int own;\nint *both(void);\n' >>base/text.c
  printf 'int *both(void) { return &own; }\n' >>base/text.c
  compile base/text.c
  run "$ROOT/test/layers" .
  [[ $output != *base/text.c* ]]
  printf 'extern int loose;\nint loose = 1;\n' >>base/text.c
  compile base/text.c
  finds "base/text.c:$(($(wc -l <base/text.c) - 1))" 'loose is a global variable that other files can change'
}

@test "a function of 50 lines is allowed; a function of 51 lines is found" {
  {
    printf '\nstatic int short_enough(void)\n{\n'
    printf '    if (1) { /* { */\n    }\n%.0s' {1..23}
    printf '    return 0;\n}\n\nstatic int too_long(\n    void)\n{\n'
    printf '    ;\n%.0s' {1..47}
    printf '}\n'
  } >>base/text.c
  finds "base/text.c:$(grep -n too_long base/text.c | cut -d : -f 1)" 'too_long() has more than 50 lines'
  [[ $output != *short_enough* ]]
}

@test "a file of 600 lines is allowed; a file of 601 lines is found" {
  { yes '' | head -n 600; yes '/* why */' | head -n 99; } >base/long.h
  run "$ROOT/test/layers" .
  [[ $output != *'more than 600'* ]]
  echo >>base/long.h
  finds base/long.h:700 'the file has more than 600 lines'
  yes '/* why */' | head -n 701 >base/long.h
  finds base/long.h:701 'the file has more than 700 lines'
}

@test "a file or a section that is missing from every evening of the reading guide is found" {
  echo "/* new */" >base/new.h
  finds base/new.h:1 '"top" is in 0 evenings of docs/reading.md'
  sed -i 's/^base\/bytes.c$/base\/bytes.c (only: Reading)/' docs/reading.md
  finds base/bytes.c:1 '"top" is in 0 evenings of docs/reading.md'
  sed -i 's/^base\/bytes.c .*/base\/gone.c/' docs/reading.md
  finds "docs/reading.md:$(grep -n base/gone.c docs/reading.md | cut -d : -f 1)" 'there is no base/gone.c'
}

@test "an outdated figure in the reading guide is found" {
  local line
  line=$(grep -n '^These are about' docs/reading.md | head -n 1 | cut -d : -f 1)
  sed -i "${line}s/[0-9,]\+/1,000/" docs/reading.md
  finds "docs/reading.md:$line" 'these are '
}

@test "a format that base/print.c does not support is found" {
  run -0 "$ROOT/test/formats" .
  printf 'static void report(void)\n{\n    log_line(LOG_INFO, "sum=%%zu "\n        "part=%%5.2f", 1, 2);\n}\n' >>sse.c
  run -1 "$ROOT/test/formats" .
  [[ $output == "sse.c:$(grep -n 'LOG_INFO, "sum' sse.c | cut -d : -f 1): the format has \"%5.2f\", which base"* ]]
}
