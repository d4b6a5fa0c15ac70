# shellcheck shell=bash
# Functions that get files from Debian without changing this machine's packages: packages of another
# version or processor, and a minimal system in a folder. They use the mirror in this machine's apt
# sources, so nothing here names one. Two functions at the end build ssechat's own package.

# Prints the address of the Debian mirror.
debian_mirror() {
  local mirror
  mirror=$(apt-get indextargets --format "\$(REPO_URI)" | sort -u | sed -n '/\/debian\/$/p')
  mirror=${mirror%%$'\n'*}
  [ -n "$mirror" ] || {
    echo "apt has no Debian mirror in its sources" >&2
    return 1
  }
  echo "$mirror"
}

# Unpacks packages into FOLDER: debian_unpack FOLDER ARCHITECTURE RELEASE PACKAGE... apt uses a
# separate configuration and state, which are removed at the end.
debian_unpack() {
  local folder=$1 apt=$1.apt mirror options package
  mirror=$(debian_mirror) || return
  rm -rf "$apt"
  mkdir -p "$apt"/etc/{sources.list.d,preferences.d} \
    "$apt"/{state/lists/partial,cache/archives/partial} "$folder"
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $3 main" \
    >"$apt/etc/sources.list"
  options=(-o "Dir::Etc=$apt/etc" -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o "APT::Architecture=$2"
    -o "APT::Architectures::=$2")
  apt-get "${options[@]}" -q update &&
    (cd "$apt/cache/archives" && apt-get "${options[@]}" -q download "${@:4}") || return
  for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$folder" || return
  done
  rm -r "$apt"
}

# Makes a minimal Debian: debian_bootstrap TAR RELEASE PACKAGES. The mounts of debootstrap are private,
# so that one that is interrupted leaves none.
debian_bootstrap() {
  local mirror
  mirror=$(debian_mirror) || return
  rm -rf "$1.root"
  unshare --mount debootstrap --variant=minbase ${3:+"--include=$3"} "$2" "$1.root" "$mirror" >"$1.log" || return
  tar -C "$1.root" --numeric-owner -cf "$1.part" . && mv "$1.part" "$1" || return
  rm -rf "$1.root"
}

# Unpacks a minimal Debian into FOLDER: debian_system FOLDER [RELEASE [PACKAGE,PACKAGE...]]. It is made
# once, and kept in build/debian; suites that run at the same time wait for each other.
debian_system() {
  local kept release=${2:-} packages=${3:-}
  [ -n "$release" ] || release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  kept=$(realpath "${BASH_SOURCE[0]%/*}/../..")/build/debian/$release${packages:+-${packages//,/-}}.tar
  mkdir -p "${kept%/*}"
  (
    flock 8
    [ -e "$kept" ] || debian_bootstrap "$kept" "$release" "$packages"
  ) 8>"$kept.lock" || return
  tar -C "$1" --numeric-owner -xf "$kept"
}

# ---- ssechat's package ----

# Copies the source to a folder, as far as a package needs it.
copy_source() { # FOLDER
  mkdir -p "$1/test/lib"
  tar -C "$ROOT" --exclude=./.git --exclude=./build --exclude=./test --exclude=./ssechat -c . | tar -C "$1" -x
  cp "$ROOT/test/needs" "$ROOT/test/musl" "$1/test"
  cp "$ROOT/test/lib/debian.bash" "$1/test/lib"
}

# Runs make as if from a new shell, without the variables of the make that runs the tests.
make_deb() { # FOLDER [VARIABLE=VALUE...]
  env -u MAKEFLAGS -u MAKELEVEL -u CC -u CFLAGS make -s -C "$1" deb "${@:2}"
}

# Sets DEB_SOURCE to a copy of the source, and DEB to the package that was built in it. Suites that run
# together (test/run) share it.
shared_deb() {
  local folder=${TEST_RUN:-$BATS_FILE_TMPDIR}/deb lock
  mkdir -p "$folder"
  exec {lock}>"$folder/lock"
  flock "$lock"
  DEB_SOURCE=$folder/source
  if [ ! -s "$folder/name" ]; then
    rm -rf "$DEB_SOURCE"
    copy_source "$DEB_SOURCE" && make_deb "$DEB_SOURCE" >"$folder/name.new" {lock}>&- && mv "$folder/name"{.new,} || return
  fi
  exec {lock}>&-
  DEB=$DEB_SOURCE/$(<"$folder/name")
  [ -s "$DEB" ]
}
