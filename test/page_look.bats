#!/usr/bin/env bats
# The look of the chat page: its sizes, and screenshots for people to look at, in build/screenshots.
#
# seconds: 60
# build: plain
# shellcheck disable=SC2016 # JavaScript

load lib/helper
load lib/webdriver
load lib/token
load lib/page
load lib/views

setup_file() {
  export FONTCONFIG_FILE=$ROOT/test/lib/fonts.conf
}

# Keeps a screenshot: shot NAME [VIEW WORD...]. The caret, which blinks, is not in it.
shot() {
  local folder=$ROOT/build/screenshots
  mkdir -p "$folder"
  view "${@:2}"
  script 'document.activeElement.blur()' >/dev/null
  screenshot "$folder/$1.png"
}

# Prints what a JavaScript expression is for some elements, as JSON.
measured() { # EXPRESSION
  script 'const box = (css) => document.querySelector(css).getBoundingClientRect();
    const style = (css, ...names) => names.map((name) => getComputedStyle(document.querySelector(css))[name]).join(" ");
    return '"$1"
}

@test "the page has the sizes of its design" {
  browser
  view
  talk
  same "$(measured '[box("#side").width, box("header").height, box("#column").width, box(".box").height]')" \
    '[264,56,760,48]'
  same "$(measured '[box(".row .face").width, box(".row .text").left + 4 - box(".row .face").left]')" '[36,52]'
  same "$(measured 'style(".row .text", "fontSize", "lineHeight")')" '16px 24px'
  same "$(measured 'style(".row .name", "fontSize", "lineHeight", "fontWeight")')" '14px 20px 600'
  same "$(measured 'style(".row time", "fontSize")')" 12px
  same "$(measured 'style(".emoji", "fontSize")')" 28px
  contains "$(measured 'style(".text pre", "fontFamily")')" mono
  # Own rows are as wide as the column, and begin at the same side.
  same "$(measured '[box(".own").left === box("#column").left, box(".own").width,
    box(".own .face").left === box(".row:not(.own) .face").left]')" '[true,760,true]'
  # Between two groups, and inside a group.
  same "$(measured '(() => {
      const rows = [...document.querySelectorAll(".row")];
      const top = (row) => (row.matches(".follows") ? row.querySelector(".text").getBoundingClientRect().top + 4
        : row.querySelector(".name").getBoundingClientRect().top);
      const bottom = (row) => row.querySelector(".text").getBoundingClientRect().bottom - 4;
      const gaps = (kind) => rows.slice(1).map((row, i) => [row, rows[i]])
        .filter(([row, above]) => row.matches(kind) && above.querySelector(".text") && row.querySelector(".text")
          && row.parentElement.firstChild === row)
        .map(([row, above]) => Math.round(top(row) - bottom(above)));
      return [[...new Set(gaps(":not(.follows)"))], [...new Set(gaps(".follows"))]];
    })()')" '[[12],[2]]'
  same "$(measured '[...new Set([...document.querySelectorAll("#app *")].filter((e) => e.checkVisibility()
    && e.textContent).map((e) => parseFloat(getComputedStyle(e).fontSize)))].sort((a, b) => a - b)')" '[12,14,16,20,28]'
  same "$(measured '[...new Set([...document.querySelectorAll("#app *")]
    .map((e) => getComputedStyle(e).borderRadius))].sort()')" '["0px","12px","24px","50%","6px"]'
}

@test "on a small or low screen, the side is a drawer; on any screen the box grows to 40 % of the height" {
  start_server
  browser
  open_chat
  local size
  for size in 705x481 1280x800; do
    screen "${size%x*}" "${size#*x}" 1 false
    same "$size $(measured '[document.querySelector("#side").checkVisibility(),
      document.querySelector("header .menu").checkVisibility()]')" "$size [true,false]"
  done
  for size in 703x900 844x390 390x844; do
    screen "${size%x*}" "${size#*x}" 1 false
    same "$size $(measured '[document.querySelector("#side").checkVisibility(),
      document.querySelector("header .menu").checkVisibility()]')" "$size [false,true]"
  done
  paste_text "$(printf 'line\n%.0s' {1..100})"
  for size in 844x390 390x844 1280x800; do
    screen "${size%x*}" "${size#*x}" 1 false
    between "$(measured 'Math.round(100 * box(".box").height / innerHeight)')" 38 41
    same "$(measured 'box("#composer").bottom <= innerHeight && box("#log").height > 0')" true
  done
  script 'document.querySelector("#text").value = ""; document.querySelector("#text").dispatchEvent(new Event("input"))'
  screen 844 390 1 false
  between "$(measured 'box("header").height')" 40 41
}

@test "a message on its way has its full colour; a failed one has an edge; focus and box stay" {
  start_server --max-body 1K --retry 60000
  browser
  join_chat ann
  paste_text "$(times 60 'This is much too long. ')"
  press Enter
  wait_until 'document.querySelector("#pending [role=alert]")'
  press 'half a sent'
  stop_server
  wait_for_notice ''
  same "$(script 'return [document.activeElement.id, document.querySelector("#text").value]')" '["text","half a sent"]'
  press 'ence' Enter
  wait_until 'document.querySelectorAll("#pending .entry").length === 2'
  local soft bad
  soft=$(measured 'style("#online", "color")')
  bad=$(measured 'style("#room-error", "color")')
  same "$(measured 'style("#pending .entry:last-child .state", "color")')" "$soft"
  same "$(measured 'style("#pending .entry:last-child .text", "color", "opacity")')" "$(measured 'style("body", "color", "opacity")')"
  same "$(measured 'style("#pending .failed", "boxShadow")')" "$bad 2px 0px 0px 0px inset"
  same "$(measured 'style("#pending .failed .state", "color")')" "$bad"
}

@test "screenshots of a conversation" {
  browser
  talk --retry 60000
  shot light
  shot dark dark
  shot wide wide
  shot low low
  shot phone phone
  shot phone-dark dark phone
  shot small small
  shot zoomed zoomed
  shot forced forced
  view phone
  click 'header .menu'
  shot drawer phone
  press Escape
  view
  click '#people button'
  shot person
  press Escape
  stop_server
  wait_for_notice 'Next attempt in'
  say 'See you there.'
  shot disconnected
  shot disconnected-phone phone
  shot disconnected-small dark small
}

@test "screenshots of arrivals" {
  start_server
  browser
  open_chat
  shot empty
  shot empty-phone dark phone
  stop_server
  server_with_talk
  browser_in en
  open_chat
  shot arrival
  shot arrival-phone phone
  stop_server
  key_file key "$KEY"
  start_server --key key
  open_page "$URL/"
  wait_until 'document.querySelector("#asking").open'
  shot token
  shot token-phone dark phone
}

@test "screenshots of messages that wait or failed, of gaps and of unread messages" {
  browser
  join_chat_after_gap
  shot gap
  enter_room dev
  post_as lena 'The bakery has the good bread today.'
  post_as oskar '@ann shall I bring you one?'
  wait_until 'document.querySelector("#rooms .count")'
  shot unread-rooms
  enter_room lobby
  wait_until 'document.querySelector("#rows .unread")'
  paste_text "$(times 60 'This is much too long. ')"
  press Enter
  wait_until 'document.querySelector("#pending [role=alert]")'
  shot failed
  shot failed-phone dark phone
}

join_chat_after_gap() {
  talk --retry 200 --max-body 1K
  stop_server
  start_again --retry 200 --max-body 1K
  wait_until "$CONNECTED && document.querySelector('#rows .gap')"
  post_as lena 'That was quick.'
  wait_for_message 'That was quick.'
}

@test "screenshots in Chinese" {
  cat >talk.json <<'END'
{"ago": 1500, "name": "小明", "message": "新版本什么时候上线？"}
{"ago": 1490, "name": "陈静", "message": "明天上午，大约十点。"}
{"ago": 42, "event": "deploy", "data": {"service": "web", "version": "2.4.1"}}
{"ago": 31, "name": "陈静", "message": "已经上线了，升级说明在这里：https://example.org/wiki/升级。欢迎留言。"}
{"ago": 29, "name": "小明", "message": "太好了！@陈静 升级的时候，正在写的消息会丢吗？"}
{"ago": 22, "name": "陈静", "message": "不会。消息先留在浏览器里，新进程启动以后再发，每条只发一次。"}
{"ago": 21, "name": "陈静", "message": "👍"}
{"ago": 12, "name": "lena", "message": "I left the page open on the train. Nothing was missing when I got off."}
END
  browser_in zh
  server_with_talk
  join_chat 陈静
  say_more 陈静 '坐火车也没问题！'
  reload_page
  is_loaded
  shot chinese
  shot chinese-phone dark phone
  stop_server
  wait_for_notice ''
  say '一点吃午饭？'
  shot chinese-disconnected
}
