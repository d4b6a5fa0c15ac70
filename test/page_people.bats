#!/usr/bin/env bats
# The people of the chat page: who is here, what a reader can do about a person, who is mentioned, and
# how the page tells that it has something new: title, icon, notifications.
# shellcheck disable=SC2016,SC2030,SC2031
#
# build: plain
# seconds: 55

load lib/helper
load lib/webdriver
load lib/page

# Prints the people as they are listed, with the notes beside them.
people() {
  script 'return [...document.querySelectorAll("#people .person")].map((person) =>
    [person.querySelector(".clip").textContent, person.querySelector(".soft").textContent].filter(Boolean).join(": "))'
}

# Clicks a person and then a button of the dialog: about NAME mention|hide.
about() {
  open_person "$1"
  click "#$2"
  wait_until '!document.querySelector("#person").open'
}

open_person() {
  wait_until '[...document.querySelectorAll("#people button.person")]
    .find((person) => person.querySelector(".clip").textContent === arguments[0])' "$1"
  script '[...document.querySelectorAll("#people button.person")]
    .find((person) => person.querySelector(".clip").textContent === arguments[0]).focus()' "$1" >/dev/null
  press Enter
  wait_until 'document.querySelector("#person").open'
}

# Presses the button of the mouse on an element, and releases it later.
slow_click() {
  webdriver POST /actions "$(script 'const { x, y, width, height } = document.querySelector(arguments[0]).getBoundingClientRect();
      return { x: Math.round(x + width / 2), y: Math.round(y + height / 2) };' "$1" | jq -c '{actions: [{type: "pointer", id: "mouse",
      parameters: {pointerType: "mouse"}, actions: [{type: "pointerMove", duration: 0} + ., {type: "pointerDown", button: 0},
        {type: "pause", duration: 500}, {type: "pointerUp", button: 0}]}]}')" >/dev/null
}

# ---- People ----

@test "those who are here are listed, and those who have written; the reader is not a button" {
  start_server
  post_as dave 'I was here'
  browser
  join_chat ann
  local ann=$BROWSER
  browser
  join_chat bob
  wait_for_people ann,bob
  same "$(people)" '["ann","bob: you","dave: away"]'
  same "$(script 'return [...document.querySelectorAll("#people button")].map((button) => button.innerText.trim())')" \
    '["A\nann","D\ndave\naway"]'
  same "$(script 'return document.querySelector("#online").textContent')" '2 online'
  BROWSER=$ann
  open_page about:blank
  BROWSER=${WEBDRIVER_BROWSERS[1]}
  wait_for_people bob
  same "$(people)" '["bob: you","dave: away"]'
}

@test "authors of older messages are listed once these are loaded" {
  start_server
  post_as dave 'I was here'
  publish 1 60
  browser
  join_chat ann
  wait_for_message 60
  wait_for_people ann
  same "$(people)" '["ann: you","bob: away"]'
  script 'document.querySelector("#scroller").scrollTop = 0' >/dev/null
  wait_for_message 'I was here'
  wait_until '[...document.querySelectorAll("#people .person")].some((person) => person.innerText.includes("dave"))'
}

@test "Mention writes to a person, behind what is in the box" {
  start_server
  post_as 'dave of old' hello
  browser
  join_chat ann
  about 'dave of old' mention
  same "$(script 'return [document.querySelector("#text").value, document.activeElement.id]')" '["@dave of old ","text"]'
  type_text '#text' 'and '
  about 'dave of old' mention
  same "$(script 'return document.querySelector("#text").value')" '@dave of old and @dave of old '
  press see Enter
  outbox_is_empty
  same "$(on_server)" '["hello","@dave of old and @dave of old see"]'
}

@test "the dialog says what it can do, and what only the operator can; it closes by key, by button and by a click beside it" {
  start_server
  post_as bob hello
  browser
  open_chat
  open_person bob
  contains "$(script 'return document.querySelector("#person").innerText')" 'in this browser only'
  contains "$(script 'return document.querySelector("#person").innerText')" 'operator'
  same "$(script 'const dialog = document.querySelector("#person");
    return [dialog.matches(":modal"), ...["aria-labelledby", "aria-describedby"].map((name) =>
      document.getElementById(dialog.getAttribute(name)).textContent.length > 2)]')" '[true,true,true]'
  same "$(script 'return [...document.querySelectorAll("#person button")].map((button) => button.innerText)')" \
    '["Mention bob","Hide bob","Close"]'
  press Escape
  wait_until '!document.querySelector("#person").open'
  # The focus returns to the person.
  same "$(script 'return document.activeElement.querySelector(".clip").textContent')" bob
  press Enter
  wait_until 'document.querySelector("#person").open'
  click '#person .choices button'
  wait_until '!document.querySelector("#person").open'
  open_person bob
  webdriver POST /actions '{"actions": [{"type": "pointer", "id": "mouse", "actions": [
    {"type": "pointerMove", "x": 20, "y": 20}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}]}' >/dev/null
  wait_until '!document.querySelector("#person").open'
  same "$(conversation)" '["hello"]'
}

# What a reader sees whose list has bob hidden, and again after bob is shown.
HIDDEN='["hidden","from ann","hidden"]'
SHOWN='["one","from ann","two @ann"]'

@test "a hidden person's messages are folded, in all tabs of the browser, after a reload, and nowhere else" {
  start_server
  post_as bob one
  post_as ann 'from ann'
  post_as bob 'two @ann'
  browser
  join_chat ann
  local first here=$BROWSER
  first=$(this_tab)
  same "$(conversation)" "$SHOWN"
  open_chat_tab
  about bob hide
  same "$(conversation)" "$HIDDEN"
  same "$(people)" '["ann: you","bob: away, hidden"]'
  # Nothing of a folded message is in the page.
  lacks "$(script 'return document.documentElement.outerHTML')" 'two'
  same "$(script 'return document.querySelectorAll(".mention, .mentioned").length')" 0
  go_to_tab "$first"
  wait_until 'document.querySelector("#rows .text").textContent === "hidden"'
  same "$(conversation)" "$HIDDEN"
  reload_page
  is_loaded
  same "$(conversation)" "$HIDDEN"
  # What comes now is folded too, and not unread.
  hide
  post_as bob 'three @ann'
  post_as eve four
  wait_until 'document.title === "(1) lobby · ssechat"'
  unhide
  wait_for_message four
  same "$(conversation | jq -c '.[3:]')" '["hidden","four"]'
  browser
  join_chat carl
  same "$(conversation | jq -c '.[:3]')" "$SHOWN"
  BROWSER=$here
  open_person bob
  same "$(script 'return document.querySelector("#hide").innerText')" 'Show bob'
  click '#hide'
  wait_for_message 'three @ann'
  same "$(conversation | jq -c '.[:3]')" "$SHOWN"
  same "$(script 'return document.querySelectorAll(".mention.mine").length')" 2
}

@test "a hidden person stays in the list, also in a room in which that person is not" {
  start_server
  post_as bob one
  post_as zoe elsewhere dev
  browser
  join_chat ann
  about bob hide
  enter_room dev
  same "$(people)" '["ann: you","zoe: away","bob: away, hidden"]'
  about bob hide
  same "$(people)" '["ann: you","zoe: away"]'
  enter_room lobby
  same "$(conversation)" '["one"]'
}

@test "hiding keeps the reader's place" {
  start_server
  local n
  for n in 1 2 3; do publish $((n * 50 - 49)) $((n * 50)) "\"name\":\"user $n\",\"message\":\"# $(times 40 'more words ')\""; done
  browser
  watch_page
  open_chat
  wheel_until -2000 'document.querySelectorAll("#rows .entry").length >= 150 || document.querySelector("#older").hidden'
  wheel 1500
  local place='const seen = [...document.querySelectorAll("#rows .text")].find((text) =>
    text.getBoundingClientRect().top >= document.querySelector("#scroller").getBoundingClientRect().top);
    return [seen.textContent.slice(0, 3), Math.round(seen.getBoundingClientRect().top)]' seen
  seen=$(script "$place")
  about 'user 3' hide
  same "$(script "$place")" "$seen"
  about 'user 3' hide
  same "$(script "$place")" "$seen"
}

# A click is a press and a release on the same element.
@test "rooms and people can be clicked while messages change their lists" {
  start_server
  post_as bob hello
  post_as bob hello dev
  browser
  open_chat
  enter_room dev
  enter_room lobby
  # Messages in another room, which count, and from new people in this one.
  local n
  { for n in {1..40}; do
    curl -s -o /dev/null "$URL/messages" -H 'Content-Type: application/json' -d "{\"room\":\"dev\",\"name\":\"user $n\",\"message\":\"$n\"}"
    curl -s -o /dev/null "$URL/messages" -H 'Content-Type: application/json' -d "{\"name\":\"user $n\",\"message\":\"$n\"}"
    sleep 0.1
  done; } 3>&- &
  CLIENTS+=($!)
  wait_until '/[(]\d+[)]/.test(document.title)'
  slow_click '#people button.person'
  wait_until 'document.querySelector("#person").open'
  press Escape
  slow_click '#rooms a[href="#dev"]'
  in_room dev
  # What has changed meanwhile is shown then.
  wait_until '[...document.querySelectorAll("#people .clip")].some((name) => name.textContent === "user 40")'
}

# ---- Mentions ----

@test "the names of people are marked, one's own more than others" {
  start_server
  browser
  join_chat Ann
  local ann=$BROWSER
  browser
  join_chat bob
  wait_for_people Ann,bob
  BROWSER=$ann
  wait_for_people Ann,bob
  post_as eve 'hello @ann and @bob, not @nobody, an@ann.example or @annabel'
  post_as eve '@ann! 你好@bob请看'
  post_as eve 'ann and bob'
  say '@bob from me'
  outbox_is_empty
  same "$(script 'return [...document.querySelectorAll("#rows .row")].map((row) => [row.classList.contains("mentioned"),
    ...[...row.querySelectorAll(".mention")].map((mention) =>
      mention.textContent + (mention.classList.contains("mine") ? " mine" : ""))])')" \
    '[[true,"@ann mine","@bob"],[true,"@ann mine","@bob"],[false],[false,"@bob"]]'
}

@test "a new name is marked in messages that were there before it" {
  start_server
  post_as eve 'hello @ann'
  browser
  open_chat
  local marked='[...document.querySelectorAll("#rows .mentioned .mine")].map((mention) => mention.textContent).join()'
  wait_for_message 'hello @ann'
  same "$(script "return $marked")" ''
  type_text '#name' "ann$ENTER"
  wait_until "$marked === '@ann'"
}

# ---- Title and icon ----

@test "title and icon tell what is unread, in all rooms; own messages and events do not count" {
  start_server
  browser
  open_chat
  local seen='return [document.title, document.querySelector("#icon").href.split("/").at(-1)]'
  enter_room dev
  enter_room lobby
  wait_until 'document.title === "lobby · ssechat"'
  same "$(script "$seen")" '["lobby · ssechat","icon.svg"]'
  post_as bob hello dev
  wait_until 'document.title === "(1) lobby · ssechat"'
  same "$(script "$seen")" '["(1) lobby · ssechat","unread.svg"]'
  same "$(curl -s -o /dev/null -w '%{http_code} %{content_type}' "$URL/unread.svg")" '200 image/svg+xml'
  hide
  post_as bob here
  accepts '{"event":"news","data":1}'
  wait_until 'document.title === "(2) lobby · ssechat"'
  unhide
  wait_until 'document.title === "(1) lobby · ssechat"'
  enter_room dev
  wait_until 'document.title === "dev · ssechat"'
  same "$(script "$seen")" '["dev · ssechat","icon.svg"]'
}

# ---- Notifications ----

# Makes pages record each notification in `told`, instead of showing it.
record_notifications() {
  before_loading '{
    const Real = window.Notification;
    window.told = [];
    window.Notification = class {
      static get permission() { return Real.permission; }
      static requestPermission() { told.asked = true; return Real.requestPermission(); }
      constructor(title, options) {
        told.push([title, options.body, options.tag]);
        told.last = this;
      }
      close() {}
    };
  }'
}

allow() { # granted|denied
  devtools Browser.setPermission "$(jq -nc --arg origin "$URL" --arg setting "$1" \
    '{origin: $origin, permission: {name: "notifications"}, setting: $setting}')" >/dev/null
}

# Waits until a message has certainly been told, or not: the page waits a second, in case another tab
# has read it.
told() {
  post_as zoe "@ann up to here $((STEP += 1))"
  wait_until 'window.told.some(([, text]) => text === arguments[0])' "@ann up to here $STEP"
  script 'return told.filter(([, text]) => !text.includes("up to here")).map(([title, text]) => `${title}: ${text}`)'
}

@test "notifications are off until they are switched on, and then tell of mentions only" {
  start_server
  browser
  allow granted
  record_notifications
  join_chat ann
  same "$(script 'const { innerText, ariaPressed } = document.querySelector("#notifications"); return [innerText, ariaPressed]')" \
    '["Notifications","false"]'
  hide
  post_as bob '@ann not told'
  wait_until 'document.title === "(1) lobby · ssechat"'
  unhide
  click '#notifications'
  wait_until 'document.querySelector("#notifications").ariaPressed === "true"'
  same "$(script 'return [told.asked, told.length]')" '[true,0]'
  post_as bob '@ann seen at once'
  wait_for_message '@ann seen at once'
  hide
  post_as bob 'no mention of ann'
  post_as bob '@ann look'
  post_as bob '@annabel is another'
  accepts '{"event":"news","data":"@ann"}'
  post_as bob 'ANN: @ANN'
  same "$(told)" '["bob mentioned you in lobby: @ann look","bob mentioned you in lobby: ANN: @ANN"]'
  # The setting belongs to the browser.
  reload_page
  is_loaded
  same "$(script 'return document.querySelector("#notifications").ariaPressed')" true
  unhide
  click '#notifications'
  wait_until 'document.querySelector("#notifications").ariaPressed === "false"'
}

@test "a click on a notification shows its room; hidden people and own messages tell nothing" {
  start_server
  post_as eve hello
  browser
  allow granted
  record_notifications
  join_chat ann
  click '#notifications'
  about eve hide
  enter_room dev
  enter_room lobby
  hide
  post_as eve '@ann hidden'
  post_as bob '@ann come here' dev
  same "$(told)" '["bob mentioned you in dev: @ann come here"]'
  unhide
  script 'told.length = 0' >/dev/null
  hide
  post_as bob '@ann and here' dev
  wait_until 'told.length === 1'
  script 'told.last.onclick()' >/dev/null
  in_room dev
}

@test "several hidden tabs of a browser show one notification of a message, a visible one none" {
  start_server
  browser
  allow granted
  record_notifications
  join_chat ann
  click '#notifications'
  wait_until 'document.querySelector("#notifications").ariaPressed === "true"'
  local tabs tab
  tabs=("$(this_tab)")
  for _ in 1 2; do
    open_tab
    record_notifications
    open_chat
    tabs+=("$(this_tab)")
  done
  # The last tab is in front: it reads what comes.
  wait_until '!document.hidden'
  post_as bob '@ann seen'
  wait_for_message '@ann seen'
  hide
  post_as bob '@ann look'
  wait_until 'told.some(([, text]) => text === "@ann look")'
  local all=''
  for tab in "${tabs[@]}"; do
    go_to_tab "$tab"
    all+=$(script 'return told')$'\n'
  done
  # Notifications with the same tag replace each other.
  same "$(jq -sc 'add | map(.[1:]) | unique' <<<"$all")" "[[\"@ann look\",\"$ID\"]]"
}

@test "if the browser blocks notifications, the page says so and stays usable" {
  start_server
  browser
  allow denied
  record_notifications
  join_chat ann
  click '#notifications'
  wait_until 'document.querySelector("#notify-hint").innerText.includes("blocks notifications")'
  same "$(script 'return document.querySelector("#notifications").ariaPressed')" false
  hide
  post_as bob '@ann look'
  wait_until 'document.title === "(1) lobby · ssechat"'
  same "$(script 'return told.length')" 0
}
