#!/usr/bin/env bats
# The binaries that the Makefile builds: static, hardened, and small. Each test builds a binary in a
# clean copy of the tree, as a user's first `make` does, and inspects it with readelf. No build may
# print anything, so a warning is a failure.
#
# seconds: 50
# build: plain
# shellcheck disable=SC2030,SC2031

bats_require_minimum_version 1.5.0

ROOT=$(realpath "$BATS_TEST_DIRNAME/..")

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  tar -C "$ROOT" --exclude=./.git --exclude=./build --exclude=./test --exclude=./ssechat -c . | tar -x
}

# Runs make as if from a new shell, without the variables of the make that runs the tests.
clean_make() {
  env -u MAKEFLAGS -u MAKELEVEL -u B -u CC -u CFLAGS -u CPPFLAGS -u LDFLAGS -u STATIC -u HARDEN -u LINK make "$@"
}

# Runs a build and checks that it succeeds without any output.
build() {
  run -0 clean_make -s -j2 "$@"
  [ "$output" = '' ]
}

size() {
  stat -c %s "$1"
}

# Checks that the binary is static: it loads neither libraries nor a dynamic linker.
is_static() {
  [ "$(readelf -dW "$1" | grep -c NEEDED)" = 0 ]
  [ "$(readelf -lW "$1" | grep -c INTERP)" = 0 ]
}

# Prints the flags of the segment that contains a section, such as "R E".
flags_of() { # BINARY SECTION
  readelf -lW "$1" | awk -v section="$2" '
    $1 == "LOAD" { flags[count++] = $7 ($8 == "E" ? " E" : "") }
    /^ +[0-9]+ / { for (i = 2; i <= NF; i++) if ($i == section && !found) { print flags[$1 + 0]; found = 1 } }'
}

# Checks that no segment is both writable and executable, and that the stack is not executable.
is_never_both() {
  readelf -lW "$1" >segments
  run -1 grep -E ' RWE? *E ' segments
  grep -E '^ +GNU_STACK .* RW +0x' segments
}

# Checks that a default build also keeps constants out of executable segments, marks data that is
# constant after relocation as RELRO, and carries a build id for its debug symbols.
is_hardened() {
  is_never_both "$1"
  grep -E '^ +GNU_RELRO ' segments
  [ "$(flags_of "$1" .text)" = 'R E' ]
  [ "$(flags_of "$1" .rodata)" = R ]
  [ "$(flags_of "$1" .data)" = RW ]
  [[ $(readelf -nW "$1") =~ 'Build ID: '[0-9a-f]{40} ]]
}

# Checks that the binary runs: it listens, and exits with 0 on SIGTERM.
starts() {
  run -0 timeout -s TERM --preserve-status 1 "$1" --listen 127.0.0.1:0
  [[ $output == *'listening on http://127.0.0.1:'* ]]
}

@test "the default binary is static and hardened, and has at most 266,000 bytes with musl" {
  build CFLAGS='-O2 -Werror'
  is_static ssechat
  is_hardened ssechat
  starts ./ssechat
  printf '# %s bytes\n' "$(size ssechat)"
  [ "$(size ssechat)" -le 266000 ]
  # The documents name its size.
  local kib=$((($(size ssechat) + 512) / 1024)) file named
  for file in README.md docs/costs.md; do
    named=$(grep -oE 'binary is [0-9]+ KiB' "$file" | grep -oE '[0-9]+')
    printf '# %s: %s KiB\n' "$file" "$named"
    ((named >= kib - 4 && named <= kib + 4))
  done
}

@test "make small builds a binary of at most 238,000 bytes, with no memory both writable and executable" {
  build small
  [ ! -e ssechat ]
  is_static build/small/ssechat
  is_never_both build/small/ssechat
  starts build/small/ssechat
  printf '# %s bytes\n' "$(size build/small/ssechat)"
  [ "$(size build/small/ssechat)" -le 238000 ]
}

@test "a build with STATIC=-static-pie is static, hardened and position independent" {
  build STATIC=-static-pie
  is_static ssechat
  is_hardened ssechat
  readelf -hW ssechat | grep -E 'Type: +DYN '
  readelf -dW ssechat | grep -E 'FLAGS_1.* PIE'
  starts ./ssechat
}

@test "clang builds the program without a warning, and a changed flag rebuilds every object" {
  build CC=clang CFLAGS='-O2 -Werror'
  is_static ssechat
  is_hardened ssechat
  starts ./ssechat
  find . -name '*.o' ! -name www.o >before
  touch -d '1 hour ago' mark
  xargs touch -r mark <before
  build CC=clang CFLAGS='-O1 -Werror'
  find . -name '*.o' ! -name www.o -newer mark >after
  diff before after
}

# Prints what a server answers at PATH: the status, or with 200 the body.
answer_of() { # PATH
  ./ssechat --listen 127.0.0.1:0 >log 2>&1 3>&- &
  local server=$! status
  until grep -q '^listening on ' log; do sleep 0.05; done
  status=$(curl -s -m 10 -o body -w '%{http_code}' "$(sed -n 's/^listening on //p' log)$1")
  kill "$server"
  wait "$server"
  if [ "$status" = 200 ]; then cat body; else echo "$status"; fi
}

@test "a file that is put into www/ is in the binary, and one that is removed is not" {
  printf 'body {}' >www/2.more-files.css
  build
  [ "$(answer_of /2.more-files.css)" = 'body {}' ]
  [ "$(answer_of /style.css)" = "$(<www/style.css)" ]
  printf 'p {}' >www/2.more-files.css
  build
  [ "$(answer_of /2.more-files.css)" = 'p {}' ]
  rm www/2.more-files.css
  build CC=clang
  [ "$(answer_of /2.more-files.css)" = 404 ]
  [ "$(answer_of /style.css)" = "$(<www/style.css)" ]
}

@test "the user's flags come after the Makefile's own and replace its defaults" {
  clean_make -n CC=gcc CFLAGS='-O3 -fno-stack-protector' CPPFLAGS=-DMINE LDFLAGS=-L/mine >commands
  run -0 grep -e '-o build/hub.o ' commands
  [[ $output == *' -fstack-protector-strong '*' -DMINE -O3 -fno-stack-protector -MMD '* ]]
  [[ $output != *' -O2 '* ]]
  run -0 grep -e '-o ssechat ' commands
  [[ $output == *' -O3 -fno-stack-protector '*' -L/mine -o ssechat '* ]]
  [[ $output != *' -O2 '* && $output != *' -s '* ]]
}

@test "folders that need no speed are compiled for size, if the user wants no other level than -O2" {
  clean_make -n CC=gcc >commands
  run -0 grep -e '-o build/host/options.o ' commands
  [[ $output == *' -Os '* && $output != *' -O2 '* ]]
  run -0 grep -e '-o build/hub.o ' commands
  [[ $output == *' -O2 '* && $output != *' -Os '* ]]
  clean_make -n CC=gcc CFLAGS='-g -O3' >commands
  run -0 grep -e '-o build/host/options.o ' commands
  [[ $output == *' -g -O3 '* && $output != *' -Os '* ]]
}
