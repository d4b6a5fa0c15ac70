# shellcheck shell=bash
# The screens and settings with which the chat page is looked at, and a conversation to look at. Load
# this after page.bash.

# ---- Views: what the page is looked at with ----

# Sets the size, the colours and the kind of screen: view [dark] [forced] [still] [KIND]. KIND is
# desktop (the default), wide, phone, small, low, or zoomed, which is a desktop at 200 %.
view() {
  local scheme=light colours=none motion=no-preference kind=desktop word
  for word in "$@"; do
    case $word in
    dark) scheme=dark ;;
    forced) colours=active ;;
    still) motion=reduce ;;
    *) kind=$word ;;
    esac
  done
  devtools Emulation.setEmulatedMedia "$(jq -nc --arg scheme "$scheme" --arg colours "$colours" --arg motion "$motion" \
    '{features: [{name: "prefers-color-scheme", value: $scheme}, {name: "forced-colors", value: $colours},
      {name: "prefers-reduced-motion", value: $motion}]}')" >/dev/null
  case $kind in
  wide) screen 1920 1080 1 false ;;
  phone) screen 390 844 2 true ;;
  small) screen 320 568 2 true ;;
  low) screen 844 390 2 true ;;
  zoomed) screen 640 512 2 false ;;
  *) screen 1280 800 1 false ;;
  esac
}

screen() { # WIDTH HEIGHT SCALE MOBILE
  devtools Emulation.setDeviceMetricsOverride \
    "{\"width\": $1, \"height\": $2, \"deviceScaleFactor\": $3, \"mobile\": $4}" >/dev/null
  devtools Emulation.resetPageScaleFactor '{}' >/dev/null
  devtools Emulation.setTouchEmulationEnabled "{\"enabled\": $4, \"maxTouchPoints\": 5}" >/dev/null
  async_script 'for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);' >/dev/null
}

# Opens a browser whose user reads this language: browser_in en | zh.
browser_in() {
  local BROWSER_FLAGS=("${BROWSER_FLAGS[@]}")
  [ "$1" != zh ] || BROWSER_FLAGS+=(--lang=zh-CN --accept-lang=zh-CN)
  browser 1280 800
}

# ---- A conversation ----

# Starts a server where people talked yesterday and this evening: server_with_talk [options]. The
# file `talk.json` can have other lines than those below, see past.py.
server_with_talk() {
  [ -e talk.json ] || cat >talk.json <<'END'
{"ago": 1502, "name": "lena", "message": "Does anyone know why the build on the Pi takes 40 minutes?"}
{"ago": 1500, "name": "oskar", "message": "Swap. Give it one job instead of four:"}
{"ago": 1499.5, "name": "oskar", "message": "```\nmake -j1 STATIC=-static\n```"}
{"ago": 1440, "name": "lena", "message": "6 minutes now. Thank you!"}
{"ago": 1439, "name": "lena", "message": "🎉"}
{"ago": 42, "event": "deploy", "data": {"service": "web", "version": "2.4.1", "ok": true}}
{"ago": 31, "name": "ann", "message": "2.4.1 is out. I have written down how we did the upgrade without a break: https://example.org/wiki/upgrade (comments welcome)"}
{"ago": 29, "name": "王小明", "message": "太好了，谢谢！这边一切正常。"}
{"ago": 27, "name": "oskar", "message": "@ann nice. What happens to people who are writing at that moment?"}
{"ago": 22, "name": "ann", "message": "Their text waits in the browser and goes out when the new process is up, each message once."}
{"ago": 21.5, "name": "ann", "message": "I tried it by killing the server every two seconds for an hour."}
{"ago": 12, "name": "lena", "message": "I left the page open on the train, through all the tunnels. Nothing was missing when I got off."}
{"ago": 3, "name": "oskar", "message": "Same here. Lunch at one?"}
END
  "$ROOT/test/lib/past.py" <talk.json >"journal.$SERVER_COUNT"
  start_server --journal "journal.$SERVER_COUNT" "$@"
}

# Sends a message, and makes the browser remember that all others under this name are the user's too.
say_more() { # NAME TEXT
  local ids
  ids=$(curl -sf "$URL/messages?limit=500" | jq -c --arg name "$1" '[.messages[] | select(.name == $name).id]')
  say "$2" && outbox_is_empty || return
  script 'const key = Object.keys(localStorage).find((name) => name.endsWith(" mine"));
    localStorage[key] = JSON.stringify([...JSON.parse(arguments[0]), ...JSON.parse(localStorage[key])]);' "$ids" >/dev/null
}

# Joins a conversation that the user began before: talk [options of the server].
talk() {
  server_with_talk "$@"
  join_chat ann
  say_more ann 'One is fine.'
  reload_page
  is_loaded
}
