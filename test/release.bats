#!/usr/bin/env bats
# What a release consists of: builds that give the same bytes everywhere, and the source as a tarball.
#
# seconds: 45
# build: plain
# shellcheck disable=SC2030,SC2031

bats_require_minimum_version 1.5.0
load lib/helper

# Runs make as if from a new shell, without the variables of the make that runs the tests; with LATER,
# at that date.
clean_make() {
  env -u MAKEFLAGS -u MAKELEVEL -u B -u CC -u CFLAGS -u CPPFLAGS -u LDFLAGS -u STATIC -u HARDEN -u LINK \
    -u SOURCE_DATE_EPOCH ${LATER:+faketime "$LATER"} make -s "$@"
}

# Builds from the tarball once, for two tests. It is unpacked with an umask that must not show.
setup_file() {
  NAME=ssechat-$("$SSECHAT" --version | cut -d ' ' -f 2)
  TARBALL=$ROOT/build/$NAME.tar.gz
  export NAME TARBALL
  clean_make -C "$ROOT" -o ssechat dist
  cd "$BATS_FILE_TMPDIR" || return
  umask 027
  tar -xzf "$TARBALL"
  TZ=UTC LC_ALL=C HOME=/ clean_make -C "$NAME" -j2
}

# Prints the files of a folder with their modes and sums.
sums() {
  (cd "$1" && find . -type f -printf '%m %p\n' | sort && find . -type f -exec sha256sum {} + | sort -k 2)
}

@test "two builds in two folders, at two dates, by two users, give the same bytes" {
  local first=$BATS_FILE_TMPDIR/$NAME
  clean_make -C "$first" install DESTDIR="$PWD/here"
  # The other folder gets its files in the reverse order, so that it lists them in another one.
  mkdir -p other/and-longer
  tar -tzf "$TARBALL" | sort --reverse >order
  tar -C "$BATS_FILE_TMPDIR" --no-recursion -T "$PWD/order" -c | tar -C other/and-longer -x --strip-components=1
  (
    cd other/and-longer
    umask 077
    export TZ=Asia/Kathmandu LC_ALL=C.UTF-8 LANGUAGE=de USER=other LOGNAME=other HOME=$PWD
    LATER='2031-02-03 04:05:06' clean_make -j1 install DESTDIR="$BATS_TEST_TMPDIR/there"
  )
  sums here >here.sums
  sums there >there.sums
  diff here.sums there.sums
  cmp "$first/ssechat" "$SSECHAT"
}

@test "the tarball has the files of the source, and its owner and umask do not show" {
  tar -tvzf "$TARBALL" >list
  run -1 grep -vE '^-rw(-r--r--|xr-xr-x) root/root ' list
  tar -tzf "$TARBALL" | sed "s|^$NAME/||" | LC_ALL=C sort >names
  run -1 grep -E '^(build/|ssechat$|\.git/)' names
  if [ -e "$ROOT/.git" ] && git -C "$ROOT" rev-parse; then
    git -C "$ROOT" ls-files | LC_ALL=C sort | diff - names
  fi
}

@test "an unpacked tarball builds, does what its README says, and makes the same tarball again" {
  cd "$BATS_FILE_TMPDIR" || return
  "$NAME/test/layers"
  "$NAME/test/commands" "$NAME/README.md"
  clean_make -C "$NAME" dist
  cmp "$NAME/build/$NAME.tar.gz" "$TARBALL"
}
