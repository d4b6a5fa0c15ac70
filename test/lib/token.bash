# Tokens made with openssl, so that no code of ours agrees with itself: for tests that also load
# helper.bash, before this.
# shellcheck shell=bash disable=SC2034

KEY=an-old-song-that-only-we-two-know
HEADER='{"alg":"HS256","typ":"JWT"}'

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  key_file key "$KEY"
}

key_file() { # FILE TEXT, as printf writes it
  printf '%b' "$2" >"$1"
  chmod 600 "$1"
}

base64url() {
  basenc --base64url -w0 | tr -d '='
}

# Puts a signature behind "header.claims", both as they are written.
sign_text() { # TEXT [KEY] [HASH]
  printf '%s.' "$1"
  printf '%s' "$1" | openssl dgst "-${3:-sha256}" -hmac "${2:-$KEY}" -binary | base64url
}
