#!/usr/bin/env bats
# The chat page, in a real browser against the real server: arriving, writing, and whose messages are
# whose. The other suites of the page are page_*.bats.
#
# The tests wait for conditions in the page, never for a fixed time. lib/webdriver.bash has the
# functions that drive the browser, lib/page.bash those that know the page.
# shellcheck disable=SC2016,SC2034,SC2153
#
# seconds: 80

load lib/helper
load lib/webdriver
load lib/audit
load lib/page

# Prints what is in the text box.
box() {
  script 'return document.querySelector("#text").value'
}

# Prints how many messages are marked as the user's own.
own() {
  script 'return document.querySelectorAll("#rows .own").length'
}

# Prints the id of the element that the keyboard acts on.
focused() {
  script 'return document.activeElement.id'
}

# Opens the page on a phone.
phone() {
  browser
  devtools Emulation.setDeviceMetricsOverride \
    '{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}' >/dev/null
  devtools Emulation.setTouchEmulationEnabled '{"enabled": true}' >/dev/null
}

# ---- Arriving ----

@test "a newcomer reads at once, and needs only to type and to press Enter" {
  start_server
  post_as ben 'welcome'
  browser
  open_chat
  shows welcome
  same "$(script 'return document.querySelectorAll("dialog[open], :popover-open").length')" 0
  same "$(script 'return [sessionStorage, localStorage].map((s) => s.name ?? "")')" '["",""]'
  press 'hello' Enter
  shows welcome hello
  outbox_is_empty
  same "$(own)" 1
  same "$(curl -sf "$URL/messages" | jq -c '.messages[-1] | [.name, .message]')" '["anonymous","hello"]'
  same "$(focused) $(box)" 'text '
  same "$(browser_log)" ''
}

# Checks that the box of the name, or the button that opens it, can be used, and is above the text box
# or below it, on the screen.
above_the_text() {
  script 'const [one, text] = [arguments[0], "#text"].map((css) => document.querySelector(css));
    const [a, b] = [one, text].map((element) => element.getBoundingClientRect());
    return one.checkVisibility() && a.height > 0 && a.bottom <= b.top && a.top >= 0' "$1"
}

is_visible() {
  script 'return document.querySelector(arguments[0]).checkVisibility()' "$1"
}

@test "the name is asked above the message until one is set, and is changed later without the drawer" {
  start_server
  local open
  for open in browser phone; do
    "$open"
    open_chat
    same "$(above_the_text '#name') $(is_visible '#rename')" 'true false'
    same "$(script 'return document.querySelector("#name").placeholder')" anonymous
    # It stays as long as there is no name.
    say "nameless on a $open"
    wait_for_message "nameless on a $open"
    same "$(above_the_text '#name')" true
    type_text '#name' "ann$ENTER"
    wait_until 'document.querySelector("#me").textContent === "ann"'
    same "$(is_visible '#name') $(is_visible '#rename') $(focused)" 'false true text'
    reload_page
    is_loaded
    same "$(is_visible '#name') $(is_visible '#rename')" 'false true'
    click '#rename'
    same "$(above_the_text '#name') $(focused)" 'true name'
    same "$(script 'return [document.querySelector("#name").value,
      document.querySelectorAll("dialog[open], :popover-open").length]')" '["ann",0]'
    press anna Enter
    wait_until 'document.querySelector("#me").textContent === "anna"'
    say "named on a $open"
    wait_for_message "named on a $open"
    outbox_is_empty
  done
  same "$(curl -sf "$URL/messages" | jq -c '[.messages[].name]')" '["anonymous","anna","anonymous","anna"]'
}

@test "a name can be taken away again: its messages are then anonymous" {
  start_server
  browser
  join_chat ann
  click '#rename'
  press Backspace Enter
  wait_until 'document.querySelector("#name").checkVisibility()'
  say 'without a name'
  shows 'without a name'
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -r '.messages[0].name')" anonymous
}

# Copies by the button, and pastes into the text box.
copied() {
  click '#invite'
  wait_until 'document.querySelector("#invite").textContent === "Link copied"'
  script 'document.querySelector("#text").focus()' >/dev/null
  press Control+v
  box
}

# A browser gives scripts the clipboard only on https and on the same machine.
@test "an empty room says so, offers its link, and has the full height" {
  local BROWSER_FLAGS=(--host-resolver-rules='MAP chat.test 127.0.0.1') origin
  start_server
  for origin in "$URL" "http://chat.test:$PORT"; do
    browser
    devtools Browser.grantPermissions '{"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}' >/dev/null
    open_page "$origin/?room=tea%20%26%20cake"
    is_loaded
    wait_until 'document.querySelector("#empty p").checkVisibility()'
    contains "$(script 'return document.querySelector("#empty p").textContent')" 'No messages yet.'
    same "$(script 'const [log, scroller, box] = ["#log", "#scroller", "#composer"]
      .map((css) => document.querySelector(css).getBoundingClientRect());
      return [log.height > 0.9 * scroller.height, box.top - log.bottom < 40, scroller.height > innerHeight / 2]')" '[true,true,true]'
    same "$(copied)" "$origin/#tea%20%26%20cake"
  done
  press Enter
  wait_until '!document.querySelector("#empty").checkVisibility()'
}

@test "everything is reached with the keyboard, in an empty room and with messages, also on a phone" {
  start_server
  local open
  for open in browser phone; do
    "$open"
    open_chat "/?room=$open"
    wait_until 'document.querySelector("#invite").checkVisibility()'
    same "$(audit_focus)" ''
    say 'https://example.org'
    outbox_is_empty
    post_as ben hello "$open"
    wait_for_message hello
    type_text '#name' "ann$ENTER"
    wait_until 'document.querySelector("#rename").checkVisibility()'
    same "$(audit_focus)" ''
  done
  # By the keyboard alone: the drawer, a room, the name.
  script 'document.querySelector("header .menu").focus()' >/dev/null
  press Enter
  wait_until 'document.querySelector("#side").matches(":popover-open")'
  script 'document.querySelector("#room").focus()' >/dev/null
  press elsewhere Enter
  in_room elsewhere
}

# ---- Mine ----

# A name proves nothing: what this browser has sent is its own, whatever names others use.
@test "a stranger with my name looks like a stranger, and is counted as unread" {
  start_server
  browser
  join_chat ann
  say 'by me'
  shows 'by me'
  outbox_is_empty
  local key tab
  key=$(curl -sf "$URL/messages" | jq -r '.messages[0].key')
  tab=$(this_tab)
  open_tab
  post_as ann 'by a stranger'
  go_to_tab "$tab"
  shows 'by me' 'by a stranger'
  same "$(script 'return [...document.querySelectorAll("#rows .row")].map((row) => row.matches(".own"))')" '[true,false]'
  # Nor does a key that was seen in the stream help.
  enter_room dev
  accepts '{"room":"dev","name":"ann","message":"with my key"}' -H "Idempotency-Key: $key"
  shows 'with my key'
  same "$(own)" 0
  reload_page
  is_loaded
  same "$(own)" 0
  # While the page is hidden, the stranger counts, and I do not.
  webdriver POST /window/minimize '{}' >/dev/null
  wait_until document.hidden
  accepts '{"room":"dev","name":"ann","message":"psst"}'
  wait_until 'document.title.startsWith("(1) ")'
  webdriver POST /window/maximize '{}' >/dev/null
  wait_until 'document.title.startsWith("dev")'
}

@test "what I sent stays mine after a new name and a reload, and is nobody's in another browser" {
  start_server
  browser
  join_chat ann
  say one
  outbox_is_empty
  click '#rename'
  press anna Enter
  wait_for_people anna
  say two
  shows one two
  outbox_is_empty
  same "$(own)" 2
  reload_page
  is_loaded
  shows one two
  same "$(own)" 2
  open_chat_tab
  shows one two
  same "$(own)" 2
  browser
  join_chat anna
  shows one two
  same "$(own)" 0
  same "$(curl -sf "$URL/messages" | jq -c '[.messages[].name]')" '["ann","anna"]'
}

@test "a message typed in one of two tabs appears once in each, as the user's own" {
  start_server
  browser
  join_chat ann
  local first second
  first=$(this_tab)
  open_chat_tab
  second=$(this_tab)
  say 'from the second tab'
  shows 'from the second tab'
  go_to_tab "$first"
  shows 'from the second tab'
  say 'from the first'
  shows 'from the second tab' 'from the first'
  outbox_is_empty
  same "$(own)" 2
  go_to_tab "$second"
  shows 'from the second tab' 'from the first'
  outbox_is_empty
  same "$(own)" 2
}

# ---- Names ----

@test "a new name is in all tabs, and its messages have it" {
  start_server
  browser
  join_chat ann
  local first
  first=$(this_tab)
  open_chat_tab
  wait_until 'document.querySelector("#me").textContent === "ann"'
  click '#rename'
  press anna Enter
  go_to_tab "$first"
  wait_until 'document.querySelector("#me").textContent === "anna"'
  wait_for_people anna
  say hello
  shows hello
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -r '.messages[0].name')" anna
  # The box of the name follows, too.
  click '#rename'
  same "$(script 'return document.querySelector("#name").value')" anna
}

@test "the Escape key keeps the name" {
  start_server
  browser
  join_chat ann
  click '#rename'
  press eve Escape
  same "$(is_visible '#name') $(focused) $(script 'return document.querySelector("#me").textContent')" 'false text ann'
}

@test "a name that is too long is refused in words, and a message waits until it is right" {
  start_server
  browser
  open_chat
  type_text '#text' 'with a name'
  type_text '#name' "$(times 33 é)"
  type_text '#text' "$ENTER"
  wait_until 'document.querySelector("#hint").textContent.includes("too long")'
  same "$(focused) $(box)" 'name with a name'
  press Control+a "$(times 32 é)" Enter
  shows 'with a name'
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -r '.messages[0].name')" "$(times 32 é)"
  same "$(box)" ''
}

@test "a name in the box is used, even if only the message is sent" {
  start_server
  browser
  open_chat
  type_text '#name' ann
  type_text '#text' "hello$ENTER"
  shows hello
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -r '.messages[0].name')" ann
}

@test "a message is sent with its bidirectional controls, a name without invisible characters" {
  start_server
  browser
  join_chat_as $'z\u200bo\u202ee\u3164' zoe $'/?room=de\u200bn'
  wait_for_people zoe
  say $'\u2068hello\u2069\u202a \u0085\u2028'
  outbox_is_empty
  same "$(curl -sf "$URL/messages?room=den" | jq -c '.messages[] | [.name, .message]')" \
    $'["zoe","\u2068hello\u2069\u202a \\n"]'
}

# Joins with a name that the page changes: join_chat_as TYPED NAME [PATH].
join_chat_as() {
  open_chat "${3:-/}"
  type_text '#name' "$1$ENTER"
  wait_until 'document.querySelector("#me").textContent === arguments[0]' "$2"
}

# ---- Writing ----

@test "Enter sends a message, but Shift+Enter and Enter in an input method do not" {
  start_server
  browser
  join_chat ann
  press one Shift+Enter two
  same "$(box)" $'one\ntwo'
  # An input method composes a word, which Enter only confirms.
  devtools Input.imeSetComposition '{"text": "ni", "selectionStart": 2, "selectionEnd": 2}' >/dev/null
  same "$(box)" $'one\ntwoni'
  devtools Input.dispatchKeyEvent '{"type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}' >/dev/null
  same "$(script 'return document.querySelector("#pending").childElementCount')" 0
  devtools Input.insertText '{"text": "你"}' >/dev/null
  same "$(box)" $'one\ntwo你'
  # Safari has ended the composition by then; only the key's code tells.
  script 'document.querySelector("#text").dispatchEvent(
    new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, cancelable: true, bubbles: true }))' >/dev/null
  same "$(box)" $'one\ntwo你'
  press Enter
  shows $'one\ntwo你'
  same "$(box)" ''
  type_text '#text' 'by button'
  click '#send'
  shows $'one\ntwo你' 'by button'
  same "$(focused)" text
  outbox_is_empty
  same "$(on_server)" '["one\ntwo你","by button"]'
}

@test "the up arrow in an empty box brings back what was written last, and nothing else" {
  start_server
  browser
  join_chat ann
  press Up
  same "$(box)" ''
  say 'the first'
  say $'the sceond'
  shows 'the first' 'the sceond'
  outbox_is_empty
  post_as ann 'of a stranger'
  shows 'the first' 'the sceond' 'of a stranger'
  press Up
  same "$(box)" 'the sceond'
  press Control+a 'the second' Enter
  wait_for_message 'the second'
  press half Up
  same "$(box)" half
  reload_page
  is_loaded
  press Control+a Backspace Up
  same "$(box)" 'the second'
}

# Waits until the line below the text box says this.
hints() {
  wait_until 'document.querySelector("#hint").textContent === arguments[0]' "$1"
}

@test "a blank message is refused in words" {
  start_server
  browser
  join_chat ann
  local text
  for text in '' '   ' $'\u200b \u2800\u3164'; do
    say "$text"
    hints 'Write something first.'
    same "$(script 'return document.querySelector("#pending").childElementCount')" 0
    press Control+a Backspace
  done
  press x
  hints ''
  press Enter
  shows x
  outbox_is_empty
  same "$(on_server)" '["x"]'
}

# The server counts characters, each of which can be two units of a JavaScript string.
@test "a text shows its length near the limit, and is refused in words if it is longer" {
  start_server
  browser
  join_chat ann
  fill 3000
  hints ''
  fill 4000
  hints '96 characters left'
  fill 4095
  hints '1 character left'
  fill 4098
  hints '2 characters too many'
  type_text '#text' "$ENTER"
  click '#send'
  hints '2 characters too many'
  same "$(script 'return [document.querySelector("#pending").childElementCount,
    document.querySelector("#text").value.length]')" '[0,8196]'
  fill 4096
  click '#send'
  wait_until 'document.querySelector("#rows .text")?.textContent === "😀".repeat(4096)'
  outbox_is_empty
  same "$(on_server | jq 'map(length)' -c)" '[4096]'
}

fill() {
  script 'const text = document.querySelector("#text");
    text.value = "😀".repeat(arguments[0]); text.dispatchEvent(new Event("input"));' "$1" >/dev/null
}

# ---- What is shown ----

@test "markup in a message, a name or an event is shown as text" {
  start_server
  browser
  join_chat '<i>ann</i>'
  local markup='<img src=x onerror="window.broken=1"><script>window.broken=1</script>&amp;'
  say "$markup"
  shows "$markup"
  accepts "$(jq -n --arg data "$markup" '{data: $data}')"
  accepts "$(jq -n --arg data "$markup" '{event: "news", data: {text: $data}}')"
  wait_until 'document.querySelectorAll("#rows .event").length === 2'
  script 'for (const event of document.querySelectorAll("#rows details")) event.open = true' >/dev/null
  wait_until '[...document.querySelectorAll("#rows .event")].every((event) => event.innerText.includes("window.broken=1"))'
  same "$(script 'return document.querySelectorAll("#log img, #log script, #log i").length')" 0
  same "$(script 'return String(window.broken)')" undefined
  wait_for_people '<i>ann</i>'
}

# Prints, for each message, whether name and time read from left to right, where the name begins,
# whether the time is right of the name, and whether the text's first line reads from left to right.
directions() {
  script 'const edges = (element) => {
      const range = document.createRange();
      const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
      const at = (i) => {
        range.setStart(text, i);
        range.setEnd(text, i + 1);
        return range.getBoundingClientRect().left;
      };
      const letters = [...text.data].flatMap((c, i) => /[a-z0-9]/.test(c) ? [at(i)] : []);
      return letters[0] < letters.at(1);
    };
    return [...document.querySelectorAll("#rows .row")].map((row) => {
      const [name, text, time] = [".name", ".text", "time"].map((part) => row.querySelector(part));
      return [edges(name), edges(time), Math.round(name.getBoundingClientRect().left),
        time.getBoundingClientRect().left > name.getBoundingClientRect().right - 1, edges(text)];
    })'
}

@test "bidirectional controls in a message change nothing around it" {
  start_server
  browser
  join_chat zoe
  accepts '{"name":"ann","message":"before"}'
  accepts '{"name":"eve","message":"\u202eabc \u2067 def"}'
  accepts '{"name":"ann","message":"\u2067\u2067\u202babc \u202d def"}'
  accepts '{"name":"eve","message":"two\u2028lines"}'
  accepts '{"name":"ann","message":"after"}'
  wait_for_message after
  run directions
  local left
  left=$(jq '.[0][2]' <<<"$output")
  same "$(jq -c '.[]' <<<"$output")" "[true,true,$left,true,true]
[true,true,$left,true,false]
[true,true,$left,true,true]
[true,true,$left,true,true]
[true,true,$left,true,true]"
  local texts='#rows .name, #rows time, #people .clip, #rooms .clip, #title, #me'
  same "$(script 'return [...document.querySelectorAll(arguments[0])].filter((element) =>
      getComputedStyle(element).unicodeBidi !== "isolate").length' "$texts")" 0
  contains "$(conversation)" '"two\nlines"'
}

@test "http and https addresses become links, and nothing else does" {
  start_server
  browser
  join_chat ann
  say 'See https://example.org/a?b=c (or http://example.com). Not javascript:alert(1) or ftp://x.'
  say '看https://example.org/中文。还有（https://example.org/a_(b)）'
  wait_until 'document.querySelectorAll("#rows a").length === 4'
  local links='[...document.querySelectorAll("#rows a")]'
  same "$(script "return $links.map((a) => a.href)")" \
    '["https://example.org/a?b=c","http://example.com/","https://example.org/%E4%B8%AD%E6%96%87","https://example.org/a_(b)"]'
  same "$(script "return $links.map((a) => a.textContent)")" \
    '["https://example.org/a?b=c","http://example.com","https://example.org/中文","https://example.org/a_(b)"]'
  same "$(script "return [...new Set($links.map((a) => a.target + ' ' + a.rel))]")" \
    '["_blank noopener noreferrer nofollow"]'
}
