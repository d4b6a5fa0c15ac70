#!/usr/bin/env bats
# make install and make uninstall: which files they write, and which they leave alone. Each test
# installs the tree's own build into a folder of its own.
#
# seconds: 10
# quick: yes
# build: plain

bats_require_minimum_version 1.5.0
load lib/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  umask 077 # which must not show in what is installed
}

# Runs make as if from a new shell, without the variables of the make that runs the tests.
root_make() { # TARGET [VARIABLE=VALUE...]
  env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" -o ssechat DESTDIR="$PWD/root" "$@"
}

# Lists all files and folders with their modes, times, and sums.
listing() {
  (cd root && find . -type d -printf 'd %m %p\n' -o -printf 'f %m %T@ %p\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

@test "make install writes the program, its manual, units, completion and examples" {
  local file
  run -0 root_make install PREFIX=/usr
  same "$output" ''
  cmp root/usr/bin/ssechat "$ROOT/ssechat"
  cmp root/usr/bin/ssechat-doctor "$ROOT/dist/ssechat-doctor"
  for file in nginx.conf haproxy.cfg Caddyfile ssechat.default; do
    cmp "root/usr/share/doc/ssechat/examples/$file" "$ROOT/dist/$file"
  done
  for file in ssechat.service ssechat@.service ssechat.socket ssechat-backup.service ssechat-backup.timer; do
    cmp "root/usr/lib/systemd/system/$file" "$ROOT/dist/$file"
  done
  cmp root/usr/share/bash-completion/completions/ssechat "$ROOT/dist/ssechat.bash"
  [ -e root/usr/share/man/man8/ssechat.8 ]
  [ -e root/usr/share/man/man8/ssechat-doctor.8 ]
  same "$(find root -type f -perm 755 -printf '%f\n' | sort | xargs)" 'ssechat ssechat-doctor'
  same "$(find root -type f ! -perm 755 ! -perm 644)" ''
  same "$(find root/* -type d ! -perm 755)" ''
  same "$(root/usr/bin/ssechat --version)" "$("$ROOT/ssechat" --version)"
  [ ! -e root/etc ]
}

@test "make uninstall leaves the tree as it was, with the files and folders of others" {
  mkdir -p root/usr/local/{bin,etc,games,include,lib,sbin,share/man,src} root/usr/local/share/doc
  chmod -R u=rwx,go=rx root
  chmod 2775 root/usr/local/bin
  echo mine >root/usr/local/bin/other
  echo mine >root/usr/local/share/doc/other
  listing >before
  root_make install
  [ -x root/usr/local/bin/ssechat ]
  same "$(grep -rho '/usr/[a-z/]*bin/ssechat' root/usr/local/lib/systemd | sort -u)" /usr/local/bin/ssechat
  same "$(stat -c %a root/usr/local/bin)" 2775
  root_make install
  root_make uninstall
  listing >after
  diff before after
  run -0 root_make uninstall
  same "$output" ''
}

@test "each folder can be chosen" {
  root_make install PREFIX=/opt/chat BINDIR=/b MANDIR=/m UNITDIR=/u COMPLETIONDIR=/c DOCDIR=/d
  [ -x root/b/ssechat ]
  [ -e root/d/examples/nginx.conf ]
  [ ! -e root/opt ]
  root_make uninstall BINDIR=/b MANDIR=/m UNITDIR=/u COMPLETIONDIR=/c DOCDIR=/d
  same "$(find root ! -type d)" ''
}
