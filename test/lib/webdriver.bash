# shellcheck shell=bash
# Drives a real browser from bats: W3C WebDriver, spoken with curl and jq.
#
#   webdriver_start            once a test: starts chromedriver on a port of its own
#   browser [WIDTH HEIGHT]     opens a browser with a fresh profile, and makes it the present one
#   webdriver_stop             in teardown: ends every browser and chromedriver
#
# All further functions act on the present browser and its present tab. They print what the browser
# answers, and fail, with the browser's own words on standard error, when it refuses. Each browser
# is a new person: its storage and its name are its own. Tabs of one browser share both.

WEBDRIVER_WAIT_SECONDS=${WEBDRIVER_WAIT_SECONDS:-30}

# ---- The driver and its browsers ----

# The port is 0, so that the system picks a free one; chromedriver prints which.
webdriver_start() {
  WEBDRIVER_LOG=$BATS_TEST_TMPDIR/chromedriver.log
  WEBDRIVER_BROWSERS=()
  : >"$WEBDRIVER_LOG"
  chromedriver --port=0 >"$WEBDRIVER_LOG" 2>&1 3>&- &
  WEBDRIVER_PID=$!
  local port='' end=$((SECONDS + WEBDRIVER_WAIT_SECONDS))
  until [ -n "$port" ]; do
    port=$(sed -n 's/.*successfully on port \([0-9]*\).*/\1/p' "$WEBDRIVER_LOG")
    if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$WEBDRIVER_PID" 2>/dev/null; then
      echo "chromedriver did not start:" >&2
      cat "$WEBDRIVER_LOG" >&2
      return 1
    fi
    sleep 0.05
  done
  WEBDRIVER=http://127.0.0.1:$port
}

# Ends the browsers first: chromedriver alone would leave them behind.
webdriver_stop() {
  [ -n "${WEBDRIVER_PID:-}" ] || return 0
  local session
  for session in "${WEBDRIVER_BROWSERS[@]}"; do
    curl -s -m 10 -X DELETE "$WEBDRIVER/session/$session" >/dev/null || true
  done
  kill "$WEBDRIVER_PID" 2>/dev/null || true
  wait "$WEBDRIVER_PID" 2>/dev/null || true
  WEBDRIVER_PID=''
}

# One command to the present browser: method, path below the session, body. Prints the bare value:
# strings as they are, all else as compact JSON.
webdriver() {
  local answer
  answer=$(printf '%s' "${3:-}" | curl -s -m 60 -X "$1" -H 'Content-Type: application/json' \
    ${3:+--data-binary @-} "$WEBDRIVER/session/$BROWSER$2") || {
    echo "webdriver: no answer to $1 $2" >&2
    return 1
  }
  if jq -e '.value | objects | has("error")' <<<"$answer" >/dev/null; then
    jq -r '"webdriver: " + .value.error + ": " + .value.message' <<<"$answer" >&2
    return 1
  fi
  jq -rc '.value' <<<"$answer"
}

# Opens a browser and leaves its id in BROWSER; set BROWSER to an earlier id to go back to that one.
# The flags: no sandbox because the tests may run as root, and nothing that talks to the outside.
browser() {
  local profile answer capabilities
  profile=$(mktemp -d "$BATS_TEST_TMPDIR/profile.XXXXXX")
  capabilities=$(jq -n --arg profile "$profile" --arg size "${1:-1200},${2:-800}" '{
    capabilities: {alwaysMatch: {
      browserName: "chrome",
      "goog:loggingPrefs": {browser: "ALL"},
      "goog:chromeOptions": {args: [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--window-size=" + $size, "--user-data-dir=" + $profile]}
    }}}')
  answer=$(curl -s -m 120 -H 'Content-Type: application/json' -d "$capabilities" \
    "$WEBDRIVER/session") || return 1
  BROWSER=$(jq -r '.value.sessionId // empty' <<<"$answer")
  if [ -z "$BROWSER" ]; then
    echo "webdriver: no browser: $(jq -r '.value.message' <<<"$answer")" >&2
    return 1
  fi
  WEBDRIVER_BROWSERS+=("$BROWSER")
}

# ---- Pages and tabs ----

open_page() {
  webdriver POST /url "$(jq -n --arg url "$1" '{url: $url}')" >/dev/null
}

reload_page() {
  webdriver POST /refresh '{}' >/dev/null
}

# Opens a further tab and goes to it.
open_tab() {
  local handle
  handle=$(webdriver POST /window/new '{"type": "tab"}' | jq -r .handle) || return 1
  go_to_tab "$handle"
}

this_tab() {
  webdriver GET /window
}

go_to_tab() {
  webdriver POST /window "$(jq -n --arg handle "$1" '{handle: $handle}')" >/dev/null
}

screenshot() {
  webdriver GET /screenshot | base64 -d >"$1"
}

# ---- Elements, by CSS selector ----

find_element() {
  webdriver POST /element "$(jq -n --arg css "$1" '{using: "css selector", value: $css}')" |
    jq -r '.[]'
}

click() {
  local element
  element=$(find_element "$1") || return 1
  webdriver POST "/element/$element/click" '{}' >/dev/null
}

# Types like a person at the keyboard. $ENTER is the key, and so sends a message.
# shellcheck disable=SC2034 # for the tests
ENTER=$'\ue007'
type_text() {
  local element
  element=$(find_element "$1") || return 1
  webdriver POST "/element/$element/value" "$(jq -n --arg text "$2" '{text: $text}')" >/dev/null
}

# ---- Scripts ----

# Runs the body of a function in the page: its text, then strings, which it finds in `arguments`.
script() {
  webdriver POST /execute/sync "$(script_body "$@")"
}

# The same for a body that may `await`. It prints what that returns in the end.
async_script() {
  local body='const done = arguments[arguments.length - 1];
    (async function () { '$1' }).apply(null, arguments)
      .then(done, (error) => done("failed: " + error));'
  webdriver POST /execute/async "$(script_body "$body" "${@:2}")"
}

script_body() {
  jq -n '{script: $ARGS.positional[0], args: $ARGS.positional[1:]}' --args -- "$@"
}

# Waits until an expression is true in the page. A page that is just loading counts as not yet.
# When the time is over it says what it saw.
wait_until() {
  local seen='' end=$((SECONDS + WEBDRIVER_WAIT_SECONDS)) condition=$1
  shift
  while :; do
    seen=$(script "return !!($condition)" "$@" 2>&1) && [ "$seen" = true ] && return 0
    [ "$SECONDS" -lt "$end" ] || break
    sleep 0.05
  done
  {
    echo "never came true: $condition ($*): $seen"
    echo 'the page:'
    script 'return location + "\n" + document.body.innerText.slice(-1500)' 2>&1
  } >&2
  return 1
}

# What the browser has written to its console since the last look, one entry a line. Refusals by the
# content security policy are among it.
browser_log() {
  webdriver POST /se/log '{"type": "browser"}' |
    jq -r '.[] | .level + " " + .source + " " + .message'
}

# A command of the developer tools, for what WebDriver has no word for: media, network.
devtools() {
  webdriver POST /goog/cdp/execute \
    "$(jq -n --arg cmd "$1" --argjson params "$2" '{cmd: $cmd, params: $params}')"
}
