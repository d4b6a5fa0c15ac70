#!/usr/bin/env bats
# The chat page with the keyboard alone: everything that can be done is done here without a mouse, from
# the arrival to the dialogs. The tests press keys and ask what has the focus, by role and name.
#
# seconds: 120
# build: plain
# shellcheck disable=SC2016 # JavaScript, and shell code to evaluate

load lib/helper
load lib/webdriver
load lib/token
load lib/page
load lib/views

# Presses Tab until the focus is on the element with this role and name: tab_to ROLE NAME.
tab_to() {
  key_to Tab "$@"
}

# The same backwards.
back_to() {
  key_to Shift+Tab "$@"
}

key_to() { # KEY ROLE NAME
  local seen=() now
  while ((${#seen[@]} < 60)); do
    press "$1"
    now=$(focused)
    [ "$now" != "$2 $3" ] || return 0
    seen+=("$now")
  done
  printf 'the focus does not come to %s %s, but to:\n' "$2" "$3" >&2
  printf '%s\n' "${seen[@]}" | sort -u >&2
  return 1
}

focus_is() {
  eventually "[ \"\$(focused)\" = $(printf '%q' "$1") ] || { focused; false; }"
}

names_on_server() {
  curl -sf "$URL/messages" | jq -c '[.messages[].name]'
}

@test "a new user writes at once, gives a name, and changes it" {
  start_server
  browser
  open_chat
  focus_is 'textbox Message'
  press 'hello' Enter
  eventually 'same "$(on_server)" "[\"hello\"]"'
  back_to textbox Name
  press 'ann' Enter
  focus_is 'textbox Message'
  press 'it is me'
  press Tab
  focus_is 'button Send'
  press Space
  eventually 'same "$(on_server)" "[\"hello\",\"it is me\"]"'
  same "$(names_on_server)" '["anonymous","ann"]'
  tab_to button 'Change name'
  press Enter
  focus_is 'textbox Name'
  press 'anna' Enter
  focus_is 'textbox Message'
  tab_to button 'Change name'
  press Space 'nobody' Escape
  focus_is 'textbox Message'
  press 'two' Shift+Enter 'lines' Enter
  eventually 'same "$(on_server)" "[\"hello\",\"it is me\",\"two\\nlines\"]"'
  same "$(names_on_server)" '["anonymous","ann","anna"]'
  press Up
  same "$(script 'return document.querySelector("#text").value')" $'two\nlines'
}

@test "rooms are entered, left and linked to" {
  start_server
  accepts '{"room": "tea", "message": "hello"}'
  browser
  join_chat ann '/#lobby'
  back_to textbox Room
  press 'dev' Enter
  in_room dev
  back_to link lobby
  press Enter
  in_room lobby
  wait_for_named link 'tea'
  tab_to link tea
  press Enter
  in_room tea
  tab_to button 'Copy link'
  press Space
  wait_until 'document.querySelector("#share").innerText === "Link copied"'
  back_to button 'Leave dev'
  press Enter
  wait_until '![...document.querySelectorAll("#rooms a")].some((link) => link.innerText.includes("dev"))'
  lacks "$(focused)" RootWebArea
  back_to button 'Leave tea'
  press Enter
  in_room lobby
  lacks "$(focused)" RootWebArea
}

@test "a person is mentioned, hidden and shown again" {
  start_server
  listen "$BATS_TEST_TMPDIR/stream" 'name=ben'
  browser
  join_chat ann
  post_as ben 'Do not look at this.'
  wait_for_people ann,ben
  back_to button 'ben'
  press Enter
  tab_to button 'Mention ben'
  press Enter
  focus_is 'textbox Message'
  press 'hello' Enter
  eventually 'contains "$(on_server)" "@ben hello"'
  back_to button ben
  press Space Escape
  focus_is 'button ben'
  press Space
  tab_to button 'Hide ben'
  press Enter
  wait_until '![...document.querySelectorAll("#rows .text")].some((text) => /look/.test(text.innerText))'
  focus_is 'button ben hidden'
  press Space
  tab_to button 'Show ben'
  press Enter
  wait_for_message 'Do not look at this.'
}

@test "the conversation is scrolled, older messages are loaded, and events and links are opened" {
  start_server
  accepts '{"event": "news", "data": {"headline": "It works"}}'
  publish 1 120
  accepts '{"event": "deploy", "data": {"version": 3}}'
  post_as ben 'see https://example.org/'
  browser
  join_chat ann
  back_to link https://example.org/
  back_to DisclosureTriangle deploy
  press Enter
  wait_until 'document.querySelector("#rows details").open'
  press Space
  wait_until '!document.querySelector("#rows details").open'
  back_to button 'Load older'
  press Enter
  wait_until 'document.querySelectorAll("#rows .entry").length > 60'
  lacks "$(focused)" RootWebArea
  tab_to region Conversation
  eventually 'press Home; named DisclosureTriangle news'
  press PageDown
  post_as ben 'This is new.'
  back_to button '1 new message'
  press Enter
  focus_is 'textbox Message'
  wait_until 'document.querySelector("#newer").hidden'
  wait_for_message 'This is new.'
}

@test "a message that failed is sent again, or changed" {
  start_server --max-body 1K
  browser
  join_chat ann
  paste_text "$(times 50 'Too long for this server. ')"
  press Enter
  wait_until 'document.querySelector("#pending [role=alert]")'
  back_to button Retry
  press Enter
  wait_until 'document.querySelector("#pending [role=alert]")'
  back_to button Edit
  press Enter
  focus_is 'textbox Message'
  press Control+a 'short enough' Enter
  eventually 'same "$(on_server)" "[\"short enough\"]"'
  outbox_is_empty
}

@test "\"Retry now\" ends the wait for the next attempt" {
  start_server --retry 60000
  browser
  join_chat ann
  stop_server
  wait_for_notice 'Next attempt in'
  start_again
  back_to button 'Retry now'
  press Enter
  wait_until "$CONNECTED"
  lacks "$(focused)" RootWebArea
}

@test "notifications are switched on" {
  start_server
  browser
  devtools Browser.grantPermissions '{"permissions": ["notifications"]}'
  join_chat ann
  back_to button Notifications
  press Space
  wait_until 'document.querySelector("#notifications").ariaPressed === "true"'
  press Space
  wait_until 'document.querySelector("#notifications").ariaPressed === "false"'
}

@test "a token is entered, and asked for again after Escape" {
  key_file key "$KEY"
  start_server --key key
  browser
  open_page "$URL/"
  wait_until 'document.querySelector("#asking").open'
  focus_is 'textbox Token'
  press Escape
  wait_until '!document.querySelector("#asking").open'
  tab_to button 'Retry now'
  press Enter
  wait_until 'document.querySelector("#asking").open'
  focus_is 'textbox Token'
  local claims='{"sub":"ann","rooms":["lobby"],"publish":true,"exp":4000000000}'
  press "$(sign_text "$(printf '%s' "$HEADER" | base64url).$(printf '%s' "$claims" | base64url)")" Enter
  is_loaded
}

@test "the drawer of a phone takes the focus and gives it back" {
  start_server
  browser
  view phone
  join_chat ann
  tab_to button 'Rooms and people'
  press Enter
  wait_until 'document.querySelector("#side").matches(":popover-open")'
  tab_to textbox Room
  tab_to button Close
  press Enter
  focus_is 'button Rooms and people'
  press Enter
  tab_to link lobby
  press Escape
  focus_is 'button Rooms and people'
}
