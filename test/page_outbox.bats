#!/usr/bin/env bats
# The chat page loses nothing that was typed: drafts, messages on their way, and failed ones, whatever
# happens to the tab, the connection or the server.
#
# The page sends from a worker, out of reach of the developer tools. So a gate between the page and
# the server does to its messages what the test says, and records them: see lib/gate.py.
# shellcheck disable=SC2016,SC2034,SC2153
#
# seconds: 130
# build: plain

load lib/helper
load lib/webdriver
load lib/page
load lib/gate

# Closes the tab, as its user does, and goes to an empty one.
close_tab() {
  local closed
  closed=$(this_tab)
  open_tab
  local empty
  empty=$(this_tab)
  go_to_tab "$closed"
  webdriver DELETE /window >/dev/null
  go_to_tab "$empty"
}

# Closes the tab and opens the page again.
close_and_open() {
  close_tab
  open_chat
}

# Prints what is in the text box.
box() {
  script 'return document.querySelector("#text").value'
}

# Prints the messages on their way, as a JSON list.
pending() {
  script 'return [...document.querySelectorAll("#pending .text")].map((text) => text.textContent)'
}

# Waits until exactly these messages are on their way: pends TEXT...
pends() {
  wait_until 'JSON.stringify([...document.querySelectorAll("#pending .text")].map((text) => text.textContent))
    === JSON.stringify([...arguments])' "$@"
}

# Waits until this browser remembers no message that is not sent.
nothing_is_kept() {
  wait_until '!Object.keys(localStorage).some((key) => key.includes("outbox:"))'
}

# ---- Drafts ----

@test "a draft stays in its room, over a change of rooms, a reload and a closed tab" {
  start_server
  browser
  open_chat
  type_text '#text' 'for the lobby'
  enter_room '__proto__'
  same "$(box)" ''
  type_text '#text' 'for the odd one'
  enter_room lobby
  same "$(box)" 'for the lobby'
  reload_page
  is_loaded
  same "$(box)" 'for the lobby'
  close_and_open
  same "$(box)" 'for the lobby'
  enter_room '__proto__'
  same "$(box)" 'for the odd one'
  same "$(on_server) $(on_server __proto__)" '[] []'
  type_text '#text' "$ENTER"
  shows 'for the odd one'
  outbox_is_empty
  reload_page
  is_loaded
  same "$(box)" ''
  same "$(on_server) $(on_server __proto__)" '[] ["for the odd one"]'
}

# ---- A closed tab ----

@test "five messages written while the server is away for ten seconds come once each, in order, to two browsers" {
  local ann ben away
  start_server --retry 200
  browser
  ann=$BROWSER
  join_chat ann
  browser
  ben=$BROWSER
  join_chat ben
  stop_server
  away=$SECONDS
  BROWSER=$ann
  wait_until "!($CONNECTED)"
  local text
  for text in one two three four five; do say "$text"; done
  pends one two three four five
  close_tab
  ((SECONDS >= away + 10)) || sleep $((away + 10 - SECONDS))
  start_again --retry 200
  open_chat
  shows one two three four five
  outbox_is_empty
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 5
  nothing_is_kept
  BROWSER=$ben
  shows one two three four five
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 0
  same "$(on_server)" '["one","two","three","four","five"]'
}

@test "messages that wait are shown after a reload, and sent once each, in order" {
  start_gate
  gate '503 1'
  browser
  join_chat ann
  say one
  say two
  pends one two
  reload_page
  is_loaded
  # At once: a list of another tab would be taken over only after ten seconds.
  WEBDRIVER_WAIT_SECONDS=5 pends one two
  say three
  pends one two three
  reload_page
  pends one two three
  gate pass
  shows one two three
  outbox_is_empty
  same "$(on_server)" '["one","two","three"]'
  nothing_is_kept
}

@test "a tab that is closed right after the Enter key loses nothing" {
  start_gate
  gate hold
  browser
  join_chat ann
  say 'on the way'
  close_tab
  gate pass
  open_chat
  shows 'on the way'
  outbox_is_empty
  wait_until 'document.querySelector("#rows .own")'
  nothing_is_kept
  same "$(on_server)" '["on the way"]'
}

@test "tabs share one queue: messages come in the order of their Enter keys, also if a tab is closed" {
  start_gate
  gate '503 1'
  browser
  join_chat ann
  local first second
  first=$(this_tab)
  say one
  open_chat_tab
  second=$(this_tab)
  pends one
  say two
  go_to_tab "$first"
  say three
  pends one two three
  webdriver DELETE /window >/dev/null
  go_to_tab "$second"
  pends one two three
  gate pass
  shows one two three
  outbox_is_empty
  nothing_is_kept
  same "$(on_server)" '["one","two","three"]'
}

@test "a message waits in its room and goes to it, whichever room is shown" {
  start_gate
  gate '503 1'
  browser
  join_chat ann
  say 'for the lobby'
  enter_room dev
  same "$(pending)" '[]'
  say 'for dev'
  pends 'for dev'
  enter_room third
  same "$(pending)" '[]'
  gate pass
  eventually '[ "$(on_server lobby) $(on_server dev)" = "[\"for the lobby\"] [\"for dev\"]" ]'
  enter_room lobby
  shows 'for the lobby'
}

# ---- The queue ----

@test "one message is sent at a time, in order, and again with its own key until it is there" {
  start_gate --retry 200
  gate hold
  browser
  join_chat ann
  local text
  for text in one two three; do say "$text"; done
  pends one two three
  gate drop '500 1' '408 1' lose pass
  shows one two three
  outbox_is_empty
  same "$(on_server)" '["one","two","three"]'
  # An attempt for each refusal; the lost answer may have come by the stream.
  same "$(posts .message | jq -c 'reduce .[] as $m ([]; if last == $m then . else . + [$m] end)')" '["one","two","three"]'
  same "$(posts .mode | jq -c '.[:4]')" '["drop","500 1","408 1","lose"]'
  same "$(posts '[.message, .key]' | jq -c 'unique | [length, (map(.[1]) | unique | length)]')" '[3,3]'
  same "$(jq -sc '[.[1:], .[:-1]] | transpose | map(select(.[0].begin < .[1].end))' gate/posts)" '[]'
}

@test "a message whose answer is lost is confirmed by the stream" {
  start_gate
  gate lose
  browser
  join_chat ann
  say 'answer lost'
  shows 'answer lost'
  outbox_is_empty
  wait_until 'document.querySelector("#rows .own")'
  gate pass
  say 'answer not lost'
  shows 'answer lost' 'answer not lost'
  outbox_is_empty
  same "$(on_server)" '["answer lost","answer not lost"]'
  nothing_is_kept
}

# A connection that comes back ends the page's own pauses, but not one that the server asked for.
@test "a Retry-After is obeyed, also when the connection comes back meanwhile" {
  start_gate --retry 200
  gate '503 8' pass
  browser
  join_chat ann
  say patience
  await_posts 1
  stop_server
  wait_until "!($CONNECTED)"
  start_behind_again --retry 200
  wait_until "$CONNECTED"
  shows patience
  outbox_is_empty
  same "$(posts .status)" '[503,201]'
  same "$(jq -sc '.[1].begin - .[0].end >= 7.9' gate/posts)" true
}

@test "a page that sends more than --post-rate allows waits as long as the server says, and loses nothing" {
  start_gate --post-rate 1
  browser
  join_chat ann
  gate hold
  say one
  say two
  for _ in {1..40}; do
    post '{"name":"ben","message":"x","room":"full"}'
    [ "$STATUS" != 429 ] || break
  done
  same "$STATUS" 429
  gate pass
  shows one two
  outbox_is_empty
  same "$(on_server)" '["one","two"]'
  contains "$(posts .status)" 429
  # The server asks for whole seconds; without them the page would begin with a shorter pause.
  same "$(jq -sc '[.[1:], .[:-1]] | transpose | map(select(.[1].status == 429 and .[0].begin - .[1].end < 0.99))' \
    gate/posts)" '[]'
}

# ---- Why a message is not sent ----

# Waits until the message on its way says that it is not sent yet, and why.
waits_because() {
  wait_for_pending 'not sent yet'
  wait_for_pending "$1"
}

# The server is suspended, so it answers nothing; its connections stay.
@test "a message that is not sent after five seconds says why, also while the page is connected" {
  start_gate
  browser
  join_chat ann
  suspend_server
  say 'no answer'
  wait_for_pending sending
  waits_because 'The server does not answer.'
  same "$(script "return $CONNECTED")" true
  resume_server
  shows 'no answer'
  outbox_is_empty
  gate '507 1'
  say 'full disk'
  waits_because "The server’s disk is full."
  same "$(script "return $CONNECTED")" true
  gate '502 1'
  waits_because 'The server answered 502.'
  gate pass
  shows 'no answer' 'full disk'
  outbox_is_empty
}

# ---- Failed messages ----

# Waits until a failed message says so, and why.
fails_with() {
  wait_until '["failed", arguments[0]].every((text) =>
    document.querySelector("#pending .failed [role=alert]")?.textContent.includes(text))' "$1"
}

# Clicks a button of a failed message: Retry or Edit.
act() {
  wait_until '[...document.querySelectorAll("#pending .failed button")].some((b) => b.textContent === arguments[0])' "$1"
  script '[...document.querySelectorAll("#pending .failed button")].find((b) => b.textContent === arguments[0]).click()' "$1"
}

LONG=$(printf 'far too long %.0s' {1..20})end
TOO_LARGE='The message is too large.'

@test "a refused message says why, holds up nothing, and its text can be taken back" {
  start_server --max-body 200
  browser
  join_chat ann
  paste_text "$LONG"
  click '#send'
  say 'short enough'
  shows 'short enough'
  fails_with "$TOO_LARGE"
  pends "$LONG"
  type_text '#text' 'half a thought'
  act Edit
  # It is put beside what is in the box, and stays there.
  local both
  both=$(box)
  contains "$both" "$LONG"
  contains "$both" 'half a thought'
  outbox_is_empty
  nothing_is_kept
  reload_page
  is_loaded
  same "$(box)" "$both"
  same "$(on_server)" '["short enough"]'
}

@test "a failed message stays over a reload and a closed tab, and can be sent again" {
  start_gate --retry 200 --max-body 200
  browser
  join_chat ann
  paste_text "$LONG"
  click '#send'
  fails_with "$TOO_LARGE"
  reload_page
  is_loaded
  fails_with "$TOO_LARGE"
  close_and_open
  fails_with "$TOO_LARGE"
  # It was sent once. Sent again, it fails again, until the server takes it.
  same "$(posts .status)" '[413]'
  act Retry
  await_posts 2
  fails_with "$TOO_LARGE"
  stop_server
  wait_until "!($CONNECTED)"
  start_behind_again --retry 200
  wait_until "$CONNECTED"
  act Retry
  shows "$LONG"
  outbox_is_empty
  wait_until 'document.querySelector("#rows .own")'
  same "$(on_server | jq length)" 1
  nothing_is_kept
}

@test "a failed message that was taken back in another tab is gone from all" {
  start_server --max-body 200
  browser
  join_chat ann
  local first second
  first=$(this_tab)
  paste_text "$LONG"
  click '#send'
  fails_with "$TOO_LARGE"
  open_chat_tab
  second=$(this_tab)
  act Edit
  same "$(box)" "$LONG"
  outbox_is_empty
  go_to_tab "$first"
  outbox_is_empty
  # The draft of a room is the same in all tabs.
  wait_until 'document.querySelector("#text").value === arguments[0]' "$LONG"
  nothing_is_kept
  reload_page
  is_loaded
  same "$(pending)" '[]'
  go_to_tab "$second"
  reload_page
  is_loaded
  same "$(pending) $(box)" "[] $LONG"
  same "$(on_server)" '[]'
}

# ---- Without storage ----

@test "a browser whose storage is switched off or full still sends" {
  start_server
  browser
  before_loading '
    const off = { get() { throw new DOMException("off", "SecurityError"); } };
    for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, off);'
  join_chat ann
  say one
  shows one
  outbox_is_empty
  browser
  before_loading 'Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };'
  join_chat ben
  say two
  shows one two
  outbox_is_empty
  wait_until 'document.querySelectorAll("#rows .own").length === 1'
}
