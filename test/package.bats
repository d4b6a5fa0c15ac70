#!/usr/bin/env bats
# The Debian package: what is in it, and what installing, upgrading, removing and purging it changes
# in a system. The short form uses dpkg in an empty folder; the long form uses a minimal Debian in a
# folder, in which the server runs, and packages for ARM, whose server runs under qemu.
#
# seconds: 80
# build: plain
# long: a whole Debian system, and other processors
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154

bats_require_minimum_version 1.5.0
load lib/helper
load lib/debian

# Sets DEB to the package that all tests use, and NEXT to one with a higher version.
setup_file() {
  local next=$BATS_FILE_TMPDIR/next
  shared_deb
  export DEB NEXT=$BATS_FILE_TMPDIR/next.deb
  VERSION=$(dpkg-deb -f "$DEB" Version)
  export VERSION
  if [ "${LONG:-}" = 1 ]; then
    copy_source "$next"
    sed "1,/^ --/{s/^ssechat (.*)/ssechat ($VERSION.1)/}" "$DEB_SOURCE/dist/debian/changelog" >"$next/dist/debian/changelog"
    mv "$next/$(make_deb "$next")" "$NEXT"
  else # the same files, under the higher version
    dpkg-deb -R "$DEB" "$next"
    sed -i "s/^Version: .*/&.1/" "$next/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$next" "$NEXT"
  fi
  same "$(dpkg-deb -f "$NEXT" Version)" "$VERSION.1"
}

# Prints a control field of the package.
about() {
  dpkg-deb -f "$DEB" "$1"
}

# ---- The package ----

@test "the package has these files, with root as their owner and modes that all can read" {
  dpkg-deb -c "$DEB" | awk '{ print $1, $2, $6 }' >seen
  same "$(awk '$2 != "root/root"' seen)" ''
  same "$(awk '$1 !~ /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x)$/' seen)" ''
  same "$(awk '$1 ~ /^-rwx/ { print $3 }' seen | xargs)" './usr/bin/ssechat ./usr/bin/ssechat-doctor'
  awk '$1 !~ /^d/ { print $3 }' seen | sort >files
  {
    cat <<'END'
./etc/default/ssechat
./usr/bin/ssechat
./usr/bin/ssechat-doctor
./usr/share/doc/ssechat/README.md.gz
./usr/share/doc/ssechat/changelog.Debian.gz
./usr/share/doc/ssechat/changelog.gz
./usr/share/doc/ssechat/copyright
./usr/share/lintian/overrides/ssechat
END
    cd "$ROOT/dist"
    for file in *.8; do [ ! -e "$file" ] || echo "./usr/share/man/man8/$file.gz"; done
    for file in *.service *.socket *.timer; do [ ! -e "$file" ] || echo "./lib/systemd/system/$file"; done
    for file in Caddyfile *.conf *.cfg *.default; do echo "./usr/share/doc/ssechat/examples/$file"; done
    [ ! -e ssechat.bash ] || echo ./usr/share/bash-completion/completions/ssechat
    for file in ../docs/*.md; do echo "./usr/share/doc/ssechat/docs/${file##*/}.gz"; done
  } | sort >"$BATS_TEST_TMPDIR/expected"
  cd "$BATS_TEST_TMPDIR"
  diff expected <(sed 's|\(/docs/[a-z]*\.md\)$|\1.gz|' files) # small texts are not compressed
  same "$(dpkg-deb --ctrl-tarfile "$DEB" | tar -xO ./conffiles)" /etc/default/ssechat
  awk '$1 ~ /^d/ { print $3 }' seen | while read -r folder; do
    grep -qF "$folder" files || echo "empty: $folder"
  done >empty
  same "$(<empty)" ''
}

@test "the program is the one that make builds, and units and settings are those of the source" {
  dpkg-deb -x "$DEB" root
  # If this tree's program was built with other options, build one without.
  cmp -s root/usr/bin/ssechat "$SSECHAT" || {
    copy_source source
    env -u MAKEFLAGS -u MAKELEVEL -u CC -u CFLAGS make -s -j2 -C source
    cmp root/usr/bin/ssechat source/ssechat
  }
  cmp root/usr/bin/ssechat-doctor "$ROOT/dist/ssechat-doctor"
  cmp root/etc/default/ssechat "$ROOT/dist/ssechat.default"
  mkdir units
  cp "$ROOT"/dist/*.{service,socket,timer} units
  diff -r root/lib/systemd/system units
  same "$(zcat root/usr/share/doc/ssechat/changelog.gz)" "$(<"$ROOT/CHANGELOG.md")"
  (cd root && md5sum -c --quiet <(dpkg-deb --ctrl-tarfile "$DEB" | tar -xO ./md5sums))
}

@test "the package needs no other, names its processor, and has the version of the program" {
  same "$(about Package) $(about Architecture)" "ssechat $(dpkg --print-architecture)"
  same "ssechat ${VERSION%-*}" "$("$SSECHAT" --version)"
  same "$(about Depends)$(about Pre-Depends)" ''
  same "${DEB##*/}" "ssechat_${VERSION}_$(about Architecture).deb"
  between "$(about Installed-Size)" 300 800
}

@test "lintian has no objection" {
  run -0 lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$DEB"
  same "$output" ''
}

@test "another folder, date, time zone, language and umask give a package of the same bytes" {
  copy_source elsewhere/much-further-away
  find elsewhere -exec touch -d '2001-02-03 04:05:06' {} +
  (
    umask 077
    export TZ=Pacific/Auckland LANG=de_DE.UTF-8 LC_ALL=C.UTF-8
    run -0 faketime -f '+400d' env -u MAKEFLAGS -u MAKELEVEL make -s -C elsewhere/much-further-away deb
  )
  cmp "$DEB" "elsewhere/much-further-away/build/${DEB##*/}"
}

@test "a package of another version than the program's is refused" {
  copy_source source
  sed -i 's/"[0-9.]*"/"9.8.7"/' source/host/version.h
  run ! make_deb source
  contains "$output" "host/version.h has 9.8.7, but dist/debian/changelog $VERSION"
}

# ---- A system ----

# Makes SYSTEM, an empty folder for dpkg, or in the long form a minimal Debian, which is made once
# and kept in build/.
make_system() {
  SYSTEM=$PWD/system
  mkdir "$SYSTEM"
  if [ "${LONG:-}" = 1 ]; then
    [ "$(id -u)" = 0 ] || skip 'only root can change its root folder'
    debian_system "$SYSTEM"
    mkdir "$SYSTEM/var/lib/private" # as systemd does
  else
    mkdir -p "$SYSTEM"/var/lib/{dpkg/{info,updates},private,systemd} \
      "$SYSTEM"/{etc/systemd/system,lib/systemd/system,usr/sbin}
    touch "$SYSTEM/lib/systemd/system/other.service" # dpkg removes folders that nothing else uses
    : >"$SYSTEM/var/lib/dpkg/status"
    printf '#!/bin/sh\nexit 101\n' >"$SYSTEM/usr/sbin/policy-rc.d" # for a machine on which systemd runs
    chmod +x "$SYSTEM/usr/sbin/policy-rc.d"
  fi
}

# Runs dpkg in the system.
in_dpkg() {
  if [ "${LONG:-}" = 1 ]; then
    env DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$SYSTEM" dpkg "$@"
  else
    dpkg --root="$SYSTEM" --force-not-root --force-script-chrootless --log=/dev/null "$@"
  fi
}

# Installs a package in the system, without a word of complaint.
install_deb() { # FILE
  cp "$1" "$SYSTEM/package.deb"
  if [ "${LONG:-}" = 1 ]; then
    run -0 in_dpkg -i /package.deb
  else
    run -0 in_dpkg -i "$SYSTEM/package.deb"
  fi
  rm "$SYSTEM/package.deb"
  echo "$output"
  run -1 grep -iE 'error|warning|cannot|fail|not found' <<<"$output"
}

# Puts a program in the place of systemctl that says what it is asked for, on a system on which
# systemd seems to run.
pretend_systemd() {
  mkdir -p "$SYSTEM/run/systemd/system"
  cat >"$SYSTEM/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >>/calls
case "$*" in
*is-enabled*) echo enabled ;;
esac
END
  chmod +x "$SYSTEM/usr/bin/systemctl"
}

# Prints what systemctl was to start and stop since the last time.
calls() {
  grep -vE 'is-enabled|is-active|daemon-reload|preset' "$SYSTEM/calls"
  : >"$SYSTEM/calls"
}

# Lists the system's files and folders, but those in which dpkg itself keeps its books.
listing() {
  (cd "$SYSTEM" && find . \( -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./tmp -o -path ./proc \) \
    -prune -o \( -type d -printf '%m %u %p/\n' -o -printf '%m %u %s %p -> %l\n' \) | sort -k 3)
}

# Prints the state of the package, such as "install ok installed".
state() {
  in_dpkg --admindir="$([ "${LONG:-}" = 1 ] || echo "$SYSTEM")/var/lib/dpkg" -s ssechat 2>/dev/null | sed -n 's/^Status: //p'
}

# Starts the installed server with the journal in the place where the service has it.
start_installed() {
  local private=$SYSTEM/var/lib/private/ssechat
  [ -d "$private" ] || {
    mkdir -p "$private"
    ln -s private/ssechat "$SYSTEM/var/lib/ssechat"
  }
  if [ "${LONG:-}" = 1 ]; then
    start_through "exec chroot $SYSTEM /usr/bin/ssechat --journal /var/lib/ssechat/chat.journal \"\$@\" #"
  else
    SSECHAT=$SYSTEM/usr/bin/ssechat start_server --journal "$private/chat.journal"
  fi
}

@test "install, upgrade, remove, install again and purge: settings and messages stay until the purge, which leaves nothing" {
  local settings wants
  make_system
  listing >before
  wants=$SYSTEM/etc/systemd/system/multi-user.target.wants/ssechat.service
  settings=$SYSTEM/etc/default/ssechat

  install_deb "$DEB"
  same "$(state)" 'install ok installed'
  same "$(readlink "$wants")" /lib/systemd/system/ssechat.service
  [ ! -e "$SYSTEM/etc/systemd/system/sockets.target.wants" ]
  start_installed
  accepts '{"message":"before the upgrade"}'
  ask /
  same "$STATUS" 200

  # An upgrade replaces the program under a running server, which goes on until it is restarted.
  echo 'SSECHAT_HISTORY=1M' >>"$settings"
  install_deb "$NEXT"
  same "$(state)" 'install ok installed'
  same "$(tail -n 1 "$settings")" 'SSECHAT_HISTORY=1M'
  ask /healthz
  same "$STATUS" 200
  stop_server
  start_installed
  ask '/messages'
  same "$(jq -r '.messages[].message' <<<"$BODY")" 'before the upgrade'
  stop_server

  run -0 in_dpkg -r ssechat
  same "$(state)" 'deinstall ok config-files'
  [ ! -e "$SYSTEM/usr/bin/ssechat" ]
  [ -s "$settings" ]
  [ -s "$SYSTEM/var/lib/private/ssechat/chat.journal" ]
  [ ! -e "$SYSTEM/lib/systemd/system/ssechat.service" ]

  install_deb "$NEXT"
  start_installed
  ask '/messages'
  same "$(jq -r '.messages[].message' <<<"$BODY")" 'before the upgrade'
  stop_server

  # Instances and the socket, enabled as `systemctl enable` does it.
  mkdir -p "$SYSTEM"/var/lib/private/{ssechat-8081,ssechat-backup,ssechat-2026-11-27} "$SYSTEM/etc/systemd/system/sockets.target.wants"
  touch "$SYSTEM/var/lib/private/ssechat-8081/chat.journal"
  ln -s private/ssechat-8081 "$SYSTEM/var/lib/ssechat-8081"
  ln -s /lib/systemd/system/ssechat@.service "${wants%/*}/ssechat@8081.service"
  ln -s /lib/systemd/system/ssechat.socket "$SYSTEM/etc/systemd/system/sockets.target.wants/ssechat.socket"
  run -0 in_dpkg -P ssechat
  rmdir "$SYSTEM"/var/lib/private/{ssechat-backup,ssechat-2026-11-27} # not folders of instances
  same "$(state)" ''
  listing >after
  diff before after
}

@test "in the long form: systemd starts the service, restarts it after an upgrade, and stops it after its socket" {
  [ "${LONG:-}" = 1 ] || return 0
  make_system
  pretend_systemd
  cp "$DEB" "$SYSTEM/package.deb"
  DEBIAN_FRONTEND=noninteractive chroot "$SYSTEM" apt-get install -y --no-install-recommends ./package.deb
  same "$(state)" 'install ok installed'
  same "$(calls)" '--quiet --system start ssechat.service'
  install_deb "$NEXT"
  same "$(calls)" "--quiet --system restart ssechat.service
try-restart ssechat@*.service"
  run -0 in_dpkg -r ssechat
  same "$(calls)" "stop ssechat.socket ssechat-backup.timer ssechat@*.service
stop ssechat.service"

  # A service that was disabled stays disabled after an upgrade.
  install_deb "$NEXT"
  sed -i 's/echo enabled/echo disabled; exit 1/' "$SYSTEM/usr/bin/systemctl"
  sed -i 's/^esac/*is-active*) exit 3 ;;\n&/' "$SYSTEM/usr/bin/systemctl"
  calls >/dev/null
  install_deb "$NEXT"
  same "$(calls)" 'try-restart ssechat@*.service'
}

# ---- Other processors ----

# Checks a package for ARCH, whose server runs under EMULATOR: page, stream, POST, journal, doctor.
works_on() { # ARCH EMULATOR MACHINE
  local SSECHAT deb
  deb=source/$(PATH=$("$ROOT/test/musl" "$1"):$PATH make_deb source "ARCH=$1" | tail -n 1)
  same "$(dpkg-deb -f "$deb" Architecture Version)" "Architecture: $1
Version: $VERSION"
  run -0 lintian --allow-root --fail-on error,warning "$deb"
  same "$output" ''
  dpkg-deb -x "$deb" "$1"
  SSECHAT=$PWD/$1/usr/bin/ssechat
  contains "$(readelf -h "$SSECHAT")" "$3"
  run -0 "$2" "$SSECHAT" --version
  same "$output" "ssechat ${VERSION%-*}"

  start_through "exec $2" --journal "$PWD/$1.journal"
  ask /
  same "$STATUS" 200
  cmp answer.body "$ROOT/www/index.html"
  listen stream room=lobby
  accepts '{"name":"ann","message":"from a small machine"}'
  await_text stream "id: $ID"
  run -0 "$1/usr/bin/ssechat-doctor" --quick "$URL"
  stop_server
  start_through "exec $2" --journal "$PWD/$1.journal"
  ask /messages
  same "$(jq -r '.messages[].message' <<<"$BODY")" 'from a small machine'
  run -0 "$2" "$SSECHAT" probe "$URL"
  stop_server
}

@test "in the long form: packages for ARM are built on this machine, and their server runs" {
  [ "${LONG:-}" = 1 ] || return 0
  copy_source source
  works_on arm64 qemu-aarch64-static AArch64
  works_on armhf qemu-arm-static ARM
}
