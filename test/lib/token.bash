# Makes tokens with openssl instead of the server's code, which would agree with its own mistakes.
# Load this after helper.bash.
# shellcheck shell=bash disable=SC2034

KEY=an-old-song-that-only-we-two-know
HEADER='{"alg":"HS256","typ":"JWT"}'

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  key_file key "$KEY"
}

key_file() { # FILE TEXT, with printf's escapes
  printf '%b' "$2" >"$1"
  chmod 600 "$1"
}

base64url() {
  basenc --base64url -w0 | tr -d '='
}

# Prints a token: TEXT, which should be "header.claims" in base64url, followed by its signature.
sign_text() { # TEXT [KEY] [HASH]
  printf '%s.' "$1"
  printf '%s' "$1" | openssl dgst "-${3:-sha256}" -hmac "${2:-$KEY}" -binary | base64url
}
