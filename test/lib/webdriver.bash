# shellcheck shell=bash
# Drives a real browser from bats, over the W3C WebDriver protocol with curl and jq.
#
#   webdriver_start            once per test: starts chromedriver on a free port
#   browser [WIDTH HEIGHT]     opens a browser with a fresh profile and makes it the current one
#   webdriver_stop             in teardown: ends all browsers and chromedriver
#
# All other functions act on the current browser and its current tab. They print the browser's
# answer; if the browser reports an error, they print the error on standard error and fail. Each
# browser acts as a new user with its own storage and name; tabs of one browser share both.

WEBDRIVER_WAIT_SECONDS=${WEBDRIVER_WAIT_SECONDS:-30}
BROWSER_FLAGS=()

# ---- The driver and its browsers ----

# Starts chromedriver. The system picks a port for IPv6, and chromedriver ends if another program has
# the same port for IPv4; then it is started again.
webdriver_start() {
  local tries=1
  until webdriver_start_once; do
    ((tries++ < 5)) && grep -q 'Address already in use' "$WEBDRIVER_LOG" || return 1
  done
}

# Starts chromedriver and waits until it prints its port.
webdriver_start_once() {
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

# Ends the browsers, which chromedriver would leave running, and then chromedriver.
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

# Sends a command to the current browser: method, path below the session, body. Prints the value of
# the answer: a string unchanged, anything else as compact JSON.
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

# Opens a browser and sets BROWSER to its id; a test sets BROWSER to an earlier id to return to that
# browser. The flags switch off features that would connect to other servers, and the sandbox,
# because the tests may run as root. BROWSER_FLAGS can have further ones.
browser() {
  local profile answer capabilities
  profile=$(mktemp -d "$BATS_TEST_TMPDIR/profile.XXXXXX")
  capabilities=$(jq -n --arg profile "$profile" --arg size "${1:-1200},${2:-800}" '{
    capabilities: {alwaysMatch: {
      browserName: "chrome",
      "goog:loggingPrefs": {browser: "ALL"},
      "goog:chromeOptions": {args: ([
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--window-size=" + $size, "--user-data-dir=" + $profile] + $ARGS.positional)}
    }}}' --args -- "${BROWSER_FLAGS[@]}")
  answer=$(curl -s -m 120 -H 'Content-Type: application/json' -d "$capabilities" \
    "$WEBDRIVER/session") || return 1
  BROWSER=$(jq -r '.value.sessionId // empty' <<<"$answer")
  if [ -z "$BROWSER" ]; then
    echo "webdriver: the browser did not start: $(jq -r '.value.message' <<<"$answer")" >&2
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

# Opens another tab and switches to it.
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

# Types a text as a user at the keyboard does. $ENTER is the Enter key.
# shellcheck disable=SC2034 # for the tests
ENTER=$'\ue007'
type_text() {
  local element
  element=$(find_element "$1") || return 1
  webdriver POST "/element/$element/value" "$(jq -n --arg text "$2" '{text: $text}')" >/dev/null
}

# ---- Elements, by role and name, as assistive technology finds them ----

# Prints the browser's number of the visible element with this role and name. NAME can be empty.
named() { # ROLE NAME
  local root
  root=$(devtools DOM.getDocument '{"depth": 0}' | jq .root.nodeId) || return
  devtools Accessibility.queryAXTree "$(jq -nc --argjson root "$root" --arg role "$1" --arg name "$2" \
    '{nodeId: $root, role: $role} + if $name == "" then {} else {accessibleName: $name} end')" |
    jq -er 'first(.nodes[] | select(.ignored | not) | .backendDOMNodeId)'
}

wait_for_named() { # ROLE NAME
  eventually "named $(printf '%q %q' "$1" "$2")" || {
    printf 'there is no %s named %s\n' "$1" "$2" >&2
    return 1
  }
}

# Clicks the element with this role and name.
click_named() { # ROLE NAME
  local object
  wait_for_named "$1" "$2" || return
  object=$(devtools DOM.resolveNode "{\"backendNodeId\": $(named "$1" "$2")}" | jq -c .object.objectId) || return
  devtools Runtime.callFunctionOn "{\"objectId\": $object, \"functionDeclaration\": \"function () { this.click(); }\"}" \
    >/dev/null
}

# Prints the role and the name of the element that has the focus, such as "textbox Message".
focused() {
  devtools Accessibility.getFullAXTree '{}' | jq -r '[.nodes[]
      | select(any(.properties[]?; .name == "focused" and .value.value))][-1]
    | .role.value + " " + (.name.value // "")'
}

# ---- The keyboard ----

# The names of keys, and the code points that WebDriver has for them.
WEBDRIVER_KEYS='{"Backspace": "\ue003", "Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Control": "\ue009",
  "Alt": "\ue00a", "Escape": "\ue00c", "Space": " ", "PageUp": "\ue00e", "PageDown": "\ue00f", "End": "\ue010",
  "Home": "\ue011", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014", "Down": "\ue015", "Delete": "\ue017"}'

# Presses keys, whatever has the focus: press Tab Shift+Tab Enter 'a text'. Types what is no key.
press() {
  press_often 1 "$@"
}

# Presses the keys COUNT times. After each key, the page has time to draw.
press_often() { # COUNT KEYS...
  webdriver POST /actions "$(jq -nc --argjson count "$1" --argjson names "$WEBDRIVER_KEYS" '
    def strike: map({type: "keyDown", value: .}) + (reverse | map({type: "keyUp", value: .}));
    def strokes: split("+") as $chord
      | if ($chord | length > 0 and all(in($names))) then [$chord | map($names[.]) | strike]
        elif ($chord | length > 1 and (.[:-1] | all(in($names)))) then [$chord | map($names[.] // .) | strike]
        else split("") | map([.] | strike) end;
    {actions: [{type: "key", id: "keyboard", actions: [range($count) as $i | $ARGS.positional[] | strokes[]
      | . + [{type: "pause", duration: 40}]] | add}]}' --args -- "${@:2}")" >/dev/null
}

# ---- Scripts ----

# Runs the body of a JavaScript function in the page; further arguments are the function's
# `arguments`, as strings.
script() {
  webdriver POST /execute/sync "$(script_body "$@")"
}

# Runs a body that can `await`, and prints what the body returns.
async_script() {
  local body='const done = arguments[arguments.length - 1];
    (async function () { '$1' }).apply(null, arguments)
      .then(done, (error) => done("failed: " + error));'
  webdriver POST /execute/async "$(script_body "$body" "${@:2}")"
}

script_body() {
  jq -n '{script: $ARGS.positional[0], args: $ARGS.positional[1:]}' --args -- "$@"
}

# Waits until an expression is true in the page; it counts as false while the page is loading. On
# timeout it prints the last result and the text of the page.
wait_until() {
  local seen='' end=$((SECONDS + WEBDRIVER_WAIT_SECONDS)) condition=$1
  shift
  while :; do
    seen=$(script "return !!($condition)" "$@" 2>&1) && [ "$seen" = true ] && return 0
    [ "$SECONDS" -lt "$end" ] || break
    sleep 0.05
  done
  {
    echo "still false after $WEBDRIVER_WAIT_SECONDS seconds: $condition ($*): $seen"
    echo 'the page:'
    script 'return location + "\n" + document.body.innerText.slice(-1500)' 2>&1
  } >&2
  return 1
}

# Prints the entries of the browser's console since the last call, one per line. They include
# violations of the content security policy.
browser_log() {
  webdriver POST /se/log '{"type": "browser"}' |
    jq -r '.[] | .level + " " + .source + " " + .message'
}

# Runs a developer tools command, for features that WebDriver lacks: media, network.
devtools() {
  webdriver POST /goog/cdp/execute \
    "$(jq -n --arg cmd "$1" --argjson params "$2" '{cmd: $cmd, params: $params}')"
}
