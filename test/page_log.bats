#!/usr/bin/env bats
# The conversation of the chat page: what is drawn of it, where the reader is in it, what a screen
# reader gets to hear and what is copied.
# shellcheck disable=SC2016
#
# The mouse wheel, keys and resizing are real; the messages come from a real server. The page is
# watched from inside (watch_page in lib/page.bash): each change of the rows, and after each frame the
# place of what is being read. How long all this takes is measured by bench/page.
#
# build: plain
# seconds: 95

load lib/helper
load lib/webdriver
load lib/journal
load lib/page # after lib/journal, whose setup it replaces

HISTORY=(--history 4M)

# ---- What the tests do ----

resize() { # WIDTH HEIGHT
  webdriver POST /window/rect "{\"width\": $1, \"height\": $2}" >/dev/null
  wait_until 'innerWidth === +arguments[0]' "$1"
}

numbers() { # FROM TO
  seq "$1" "$2" | jq -Rnc '[inputs]'
}

# Prints the ids of all messages in the room, in order.
all_ids() {
  async_script 'const ids = [];
    for (let after = "0-0", more = true; more;) {
      const answer = await fetch(`messages?limit=500&after=${after}`);
      const page = await answer.json();
      ids.push(...page.messages.map(({ id }) => id));
      ({ more, newest: after } = page);
    }
    return ids;'
}

at_end() {
  wait_until '(() => { const s = document.querySelector("#scroller");
    return s.scrollHeight - s.clientHeight - s.scrollTop < 2
      && document.querySelector("#newer").hidden; })()'
}

# Checks that each part that was drawn is a part of the whole, in order, without a hole or a double,
# and has 300 rows at most; with `all`, that all of them together are the whole.
parts_fit() { # [all]
  local ids
  ids=$(all_ids)
  same "$(script 'const ids = JSON.parse(arguments[0]);
    return seen.parts.filter((part) => part.length
      && String(ids.slice(ids.indexOf(part[0])).slice(0, part.length)) !== String(part)).slice(0, 1)' "$ids")" '[]'
  between "$(script 'return seen.most')" 250 300
  [ "${1:-}" != all ] || same "$(script 'const drawn = new Set(seen.parts.flat());
    return JSON.parse(arguments[0]).filter((id) => !drawn.has(id))' "$ids")" '[]'
}

# Checks that a group begins with a name and the day with a line, wherever the part begins.
groups_fit() {
  same "$(script 'return [...document.querySelectorAll("#rows .entry")].filter((entry, i, all) =>
      entry.querySelector(".row").classList.contains("follows")
        !== (i > 0 && all[i - 1].dataset.name === entry.dataset.name)).length')" 0
  same "$(script 'return document.querySelectorAll(".day").length')" 1
}

# Makes answers of the history wait at a gate, once it is shut: those with this in their address.
hold_history() { # before|after
  before_loading '{
    const really = fetch;
    window.gate = { asked: 0, shut() { gate.asked = 0; gate.opened = new Promise((done) => { gate.open = done; }); } };
    window.fetch = async (...asked) => {
      if (String(asked[0]).includes("'"$1"'=")) {
        gate.asked += 1;
        await gate.opened;
      }
      return really(...asked);
    };
  }'
}

no_drift() {
  settled
  between "$(script 'return Math.round(seen.drift * 1000)')" 0 2000
}

# ---- How much of it ----

@test "50 messages are shown at first, and a button loads older ones" {
  start_server
  publish 1 120
  browser 1200 1800 # high enough for all rows, so that nothing scrolls
  open_chat
  same "$(conversation)" "$(numbers 71 120)"
  same "$(script 'const { hidden, innerText, localName } = document.querySelector("#older"); return [hidden, innerText, localName]')" \
    '[false,"Load older","button"]'
  click '#older'
  wait_until 'document.querySelectorAll("#rows .row").length === 100'
  same "$(conversation)" "$(numbers 21 120)"
  # By keyboard; the focus stays, and is not lost when there is nothing more to load.
  script 'document.querySelector("#older").focus()' >/dev/null
  press Enter
  wait_until 'document.querySelectorAll("#rows .row").length === 120'
  same "$(conversation)" "$(numbers 1 120)"
  wait_until 'document.querySelector("#older").hidden'
  same "$(script 'return document.activeElement.id')" scroller
  wait_until 'document.querySelector("#log").ariaBusy === "false"'
}

@test "the button keeps the focus while there is more, and says if the server does not answer" {
  start_server
  publish 1 170
  browser 1200 2800
  open_chat
  script 'document.querySelector("#older").focus()' >/dev/null
  press Enter
  wait_until 'document.querySelectorAll("#rows .row").length === 100'
  same "$(script 'return document.activeElement.id')" older
  devtools Network.enable '{}' >/dev/null
  devtools Network.setBlockedURLs '{"urls": ["*/messages?*"]}'
  press Enter
  wait_until 'document.querySelector("#older").innerText === "Load older · The server does not answer."'
  devtools Network.setBlockedURLs '{"urls": []}'
  press Enter
  wait_until 'document.querySelectorAll("#rows .row").length === 150'
  same "$(script 'return document.querySelector("#older").innerText')" 'Load older'
  same "$(conversation)" "$(numbers 21 170)"
}

@test "what the button says of one room, it does not say of another" {
  start_server
  publish 1 120
  publish 1 120 '"room":"dev","name":"bob","message":"#"'
  browser
  open_chat
  enter_room dev
  enter_room lobby
  devtools Network.enable '{}' >/dev/null
  devtools Network.setBlockedURLs '{"urls": ["*/messages?*"]}'
  click '#older'
  wait_until 'document.querySelector("#older").innerText === "Load older · The server does not answer."'
  devtools Network.setBlockedURLs '{"urls": []}'
  enter_room dev
  same "$(script 'return document.querySelector("#older").textContent')" 'Load older'
}

@test "while one room waits for older messages, another can load its own" {
  start_server
  publish 1 120
  publish 1 120 '"room":"dev","name":"bob","message":"#"'
  browser 1200 2800
  before_loading 'const ask = window.fetch;
    window.fetch = (url, ...rest) => (/room=lobby.*before=/.test(url) ? new Promise(() => {}) : ask(url, ...rest));'
  open_chat
  enter_room dev
  enter_room lobby
  click '#older'
  enter_room dev
  click '#older'
  wait_until 'document.querySelectorAll("#rows .row").length === 100'
}

@test "scrolling to the top loads older messages, up to the first one" {
  start_server
  publish 1 230
  browser
  open_chat
  wheel_until -900 'document.querySelector("#rows .text").textContent === "1" && document.querySelector("#older").hidden'
  same "$(conversation)" "$(numbers 1 230)"
  # By keyboard. "End" is the end of the conversation.
  reload_page
  is_loaded
  script 'document.querySelector("#scroller").focus()' >/dev/null
  local n
  for n in {1..20}; do
    [ "$(script 'return document.querySelector("#rows .text").textContent')" != 1 ] || break
    press Home
    settled
  done
  same "$(script 'return document.querySelector("#rows .text").textContent')" 1
  publish 231 430
  wait_until 'document.querySelector("#newer").innerText === "200 new messages"'
  press End
  at_end
  same "$(script 'return [...document.querySelectorAll("#rows .text")].at(-1).textContent')" 430
}

@test "an event that is opened at the end stays where it is; closed again, the page follows again" {
  start_server
  publish 1 60
  accepts "{\"event\":\"news\",\"data\":[$(seq -s , 300)]}"
  browser
  open_chat
  at_end
  local top='return Math.round(document.querySelector("summary").getBoundingClientRect().top)' seen
  seen=$(script "$top")
  click summary
  wait_until '!document.querySelector("#newer").hidden'
  settled
  same "$(script "$top")" "$seen"
  press Enter # with the keyboard: the button to the end is in front of it now
  wait_until 'document.querySelector("#newer").hidden'
  publish 61 61
  wait_for_message 61
  at_end
  seen=$(script "$top")
  press Enter
  wait_until '!document.querySelector("#newer").hidden'
  publish 62 62
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  same "$(script "$top")" "$seen"
}

@test "rows leave only at the far end, and come back in order: every message from the end to the first and back" {
  start_server "${HISTORY[@]}"
  local n
  for n in {0..25}; do publish $((n * 100 + 1)) $((n * 100 + 100)) "\"name\":\"user $((n % 7))\",\"message\":\"#\""; done
  browser
  watch_page
  open_chat
  wheel_until -2500 'document.querySelector("#rows .text").textContent === "1"'
  groups_fit
  publish 2601 2610
  wheel_until 2500 '[...document.querySelectorAll("#rows .text")].at(-1).textContent === "2610"'
  wheel_until 2500 'document.querySelector("#newer").hidden'
  parts_fit all
  groups_fit
}

@test "a burst is drawn up to its end; in the page are at most 300 rows" {
  start_server "${HISTORY[@]}"
  browser
  watch_page
  open_chat
  script 'seen.stay()' >/dev/null
  publish 1 10000
  wait_for_message 10000
  at_end
  same "$(script 'return seen.leftEnd')" 0
  wheel_until -2500 '+document.querySelector("#rows .text").textContent < 9300'
  between "$(script 'return seen.most')" 250 300
  same "$(script 'return [...document.querySelectorAll("#rows .text")].map((text) => +text.textContent)
    .every((n, i, all) => i === 0 || n === all[i - 1] + 1)')" true
}

# Of a stream with several rooms, the page has to ask in which of them an event was.
@test "events that come later than the messages after them get their places, in what is drawn and above it" {
  start_server "${HISTORY[@]}"
  publish 1 40
  browser
  watch_page
  hold_history after
  open_chat
  enter_room dev
  enter_room lobby
  script 'gate.shut()' >/dev/null
  local n
  for n in {1..5}; do
    accepts "{\"event\":\"news\",\"data\":$n}"
    publish $((n * 100 - 59)) $((n * 100 + 40))
  done
  wait_for_message 540
  at_end
  same "$(script 'return [gate.asked, document.querySelectorAll("#rows .event").length]')" '[1,0]'
  script 'gate.open()' >/dev/null
  wheel_until -2500 'document.querySelector("#rows .text").textContent === "1"'
  wait_until 'document.querySelectorAll("#rows .event").length >= 2'
  script 'seen.parts = []' >/dev/null
  wheel_until 2500 'document.querySelector("#newer").hidden'
  wheel_until -2500 'document.querySelector("#rows .text").textContent === "1"'
  parts_fit all
}

# ---- Where the reader is ----

@test "a reader 2,000 rows up keeps his place: messages, older rows, another size, more to write" {
  start_server "${HISTORY[@]}"
  local long n
  long=$(times 12 ' and many more words')
  publish 1 2600 "\"name\":\"bob\",\"message\":\"#$long\""
  browser
  watch_page
  hold_history before
  open_chat
  wheel_until -3000 'parseInt(document.querySelector("#rows .text").textContent) <= 600'
  wheel 1111

  script 'seen.read()' >/dev/null
  for n in {0..9}; do
    publish $((2601 + n * 30)) $((2630 + n * 30)) "\"name\":\"ann $n\",\"message\":\"#$long\""
    wait_until "document.querySelector('#newer').innerText === '$(((n + 1) * 30)) new messages'"
  done
  no_drift

  # Older rows come while the reader is at the top, and with them other heights above.
  script 'gate.shut()' >/dev/null
  wheel_until -3000 'gate.asked && document.querySelector("#scroller").scrollTop === 0'
  script 'seen.read()' >/dev/null
  n=$(script 'return document.querySelector("#rows .entry").dataset.id')
  publish 2901 2930
  script 'gate.open()' >/dev/null
  wait_until 'document.querySelector("#rows .entry").dataset.id !== arguments[0]' "$n"
  no_drift

  # The row at the edge begins above it.
  wheel 1200
  wheel 17
  script 'seen.read()' >/dev/null
  for n in '900 700' '500 600' '1200 420' '700 900' '1200 800'; do
    # shellcheck disable=SC2086 # two words
    resize $n
    no_drift
    publish 2931 2935
  done
  type_text '#text' $'\ue008\ue007\ue007\ue007\ue008'
  no_drift
  same "$(script 'return document.querySelector("#text").value.length')" 3
  between "$(script 'return seen.most')" 250 300
}

@test "a reader at the end stays there: messages, another size, more to write" {
  start_server
  publish 1 80 "\"name\":\"bob\",\"message\":\"#$(times 12 ' and many more words')\""
  browser
  watch_page
  open_chat
  at_end
  script 'seen.stay()' >/dev/null
  publish 81 100
  wait_for_message 100
  local size
  for size in '900 700' '500 600' '1200 420' '700 900' '1200 800'; do
    # shellcheck disable=SC2086 # two words
    resize $size
    at_end
    publish 101 105
  done
  type_text '#text' $'one\ue008\ue007\ue007\ue007\ue008two'
  at_end
  press Enter
  outbox_is_empty
  at_end
  same "$(script 'return seen.leftEnd')" 0
}

@test "a reader further up is told of new messages; the button leads to them" {
  start_server
  publish 1 200
  browser
  open_chat
  wheel -700
  wait_until 'document.querySelector("#newer").innerText === "Newest message"'
  local top
  top=$(script 'return document.querySelector("#scroller").scrollTop')
  publish 201 201
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  publish 202 203
  wait_until 'document.querySelector("#newer").innerText === "3 new messages"'
  same "$(script 'return document.querySelector("#scroller").scrollTop')" "$top"
  same "$(script 'return document.title')" '(3) lobby · ssechat'
  same "$(script 'return document.querySelectorAll("#rows .unread").length')" 1
  same "$(script 'return document.querySelector("#rows .unread").parentElement.querySelector(".text").textContent')" 201
  click '#newer'
  at_end
  same "$(script 'return document.activeElement.id')" text
  wait_until 'document.title === "lobby · ssechat"'
  publish 204 204
  wait_for_message 204
  at_end
  # By scrolling, the reader comes to the end too.
  wheel -700
  wait_until '!document.querySelector("#newer").hidden'
  publish 205 230
  wait_until 'document.querySelector("#newer").innerText === "26 new messages"'
  same "$(script 'return [...document.querySelectorAll("#rows .unread")]
    .map((line) => line.parentElement.querySelector(".text").textContent)')" '["205"]'
  wheel_until 700 'document.querySelector("#newer").hidden'
  at_end
  same "$(script 'return [...document.querySelectorAll("#rows .text")].at(-1).textContent')" 230
}

@test "the button leads to the end of a conversation that is longer than what is drawn" {
  start_server "${HISTORY[@]}"
  publish 1 900
  browser
  watch_page
  open_chat
  wheel_until -2500 'parseInt(document.querySelector("#rows .text").textContent) <= 300'
  publish 901 3000
  wait_until 'document.querySelector("#newer").innerText === "2,100 new messages"'
  click '#newer'
  wait_for_message 3000
  at_end
  wheel_until -2500 'parseInt(document.querySelector("#rows .text").textContent) <= 300'
  parts_fit
}

@test "each room keeps the place of its reader" {
  start_server "${HISTORY[@]}"
  publish 1 400
  publish 1 60 '"room":"dev","name":"eve","message":"dev #"'
  browser
  watch_page
  open_chat
  wheel_until -1500 'document.querySelectorAll("#rows .text").length >= 250'
  wheel 1234
  local text place
  place='return [seen.read(), Math.round([...document.querySelectorAll("#rows .text")].find((text) => text.textContent
    === seen.read()).getBoundingClientRect().top)]'
  text=$(script "$place")
  enter_room dev
  at_end
  enter_room lobby
  same "$(script "$place")" "$text"
  # While it is not shown, the oldest part of a long conversation is dropped; not what comes after
  # the reader's place, which stays.
  enter_room dev
  publish 401 700
  wait_until 'document.querySelector("#rooms").innerText.includes("300")'
  enter_room lobby
  same "$(script "$place")" "$text"
  wheel_until 2500 'document.querySelector("#newer").hidden'
  same "$(script 'return [...document.querySelectorAll("#rows .text")].at(-1).textContent')" 700
  script 'seen.parts = seen.parts.filter((part) => part.length)'
}

# ---- Lines and groups ----

@test "days are lines of text, and groups end with them, with another person, and after a while" {
  cd "$BATS_TEST_TMPDIR"
  local day=86400000 texts
  disk clock_ms=$((-2 * day))
  DISK=$PWD/control SSECHAT=$(disk_build) start_server
  post_as bob one
  post_as bob two
  disk clock_ms=$((-day))
  post_as bob three
  disk clock_ms=0
  post_as ann four
  post_as bob five
  post_as bob six
  disk clock_ms=301000
  post_as bob seven
  accepts '{"event":"news","data":1}'
  post_as bob eight
  browser
  open_chat
  texts=$(curl -sf "$URL/messages" | jq -r '.messages[0, 2, 3].time' |
    while read -r time; do date -d "$time" '+%A, %B %-d'; done)
  same "$(script 'return [...document.querySelectorAll("#rows .day")].map((line) => line.innerText).join("\n")')" "$texts"
  same "$(script 'return [...document.querySelectorAll(".line, .line *")].map((element) =>
      ["::before", "::after"].map((part) => getComputedStyle(element, part).content).join(" "))
    .filter((content) => !/^("" ""|none none)$/.test(content)).length')" 0
  same "$(script 'return [...document.querySelectorAll("#rows .row")].map((row) =>
      [row.querySelector(".text")?.textContent, row.classList.contains("follows")].join(" "))')" \
    '["one false","two true","three false","four false","five false","six true","seven false"," false","eight false"]'
  # A name that is not shown is still there for screen readers.
  same "$(script 'const { width, height } = document.querySelector(".follows .name").getBoundingClientRect();
    return [document.querySelector(".follows .name").textContent, width <= 1, height <= 1]')" '["bob",true,true]'
}

@test "what has come while the page was hidden begins below a line, which goes with its reader" {
  start_server
  publish 1 10
  browser
  open_chat
  same "$(script 'return document.querySelectorAll(".unread").length')" 0
  local find='return [...document.querySelectorAll("#rows .unread")].map((line) =>
    [line.innerText, line.parentElement.querySelector(".text").textContent].join(" above "))'
  hide
  publish 11 12
  wait_until 'document.title === "(2) lobby · ssechat"'
  unhide
  wait_until 'document.title === "lobby · ssechat"'
  wait_for_message 12
  same "$(script "$find")" '["New messages above 11"]'
  publish 13 13
  wait_for_message 13
  same "$(script "$find")" '["New messages above 11"]'
  hide
  publish 14 15
  wait_until 'document.title === "(2) lobby · ssechat"'
  unhide
  wait_for_message 15
  same "$(script "$find")" '["New messages above 14"]'
  say 'an answer'
  outbox_is_empty
  same "$(script "$find")" '[]'
}

@test "a gap is a line of text, between what came before and after it" {
  start_server --retry 200
  publish 1 2
  browser
  open_chat
  stop_server
  wait_until "!($CONNECTED)"
  start_again --retry 200
  publish 3 4
  wait_for_message 4
  same "$(rows)" '["1","2","gap: Some messages were missed: the server was restarted.","3","4"]'
}

# ---- Screen readers ----

@test "the log speaks new messages only" {
  start_server "${HISTORY[@]}"
  publish 1 700
  publish 1 60 '"room":"dev","name":"eve","message":"dev #"'
  browser
  watch_page
  open_chat
  same "$(script 'const log = document.querySelector("#log"); return [log.role || log.getAttribute("role"), log.ariaLive]')" '["log","polite"]'
  same "$(script 'return [seen.spoken, seen.silent.length]')" '[[],50]'
  publish 701 702
  wait_for_message 702
  same "$(script 'return seen.spoken.join()')" 701,702

  # Older ones, which leave and come back.
  wheel_until -2500 'document.querySelector("#rows .text").textContent === "1"'
  publish 703 703
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  wheel_until 2500 'document.querySelector("#newer").hidden'
  same "$(script 'return seen.spoken.join()')" 701,702
  publish 704 704
  wait_for_message 704
  same "$(script 'return seen.spoken.join()')" 701,702,704

  # Another room, and its return to where its reader was.
  wheel -2500
  enter_room dev
  wait_for_message 'dev 60'
  enter_room lobby
  publish 705 705
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  same "$(script 'return seen.spoken.join()')" 701,702,704
  click '#newer'
  at_end
  # A person who is hidden.
  click '#people button.person'
  click '#hide'
  wait_until '[...document.querySelectorAll("#rows .text")].at(-1).textContent === "hidden"'
  same "$(script 'return seen.spoken.join()')" 701,702,704
  wait_until 'document.querySelector("#log").ariaBusy === "false"'
}

@test "a message on its way is not spoken; it is when it has its place" {
  start_server
  browser
  watch_page
  open_chat
  same "$(script 'return document.querySelector("#pending").ariaLive')" off
  suspend_server
  say hello
  wait_for_pending hello
  same "$(script 'return seen.spoken.join()')" ''
  resume_server
  outbox_is_empty
  wait_for_message hello
  same "$(script 'return seen.spoken.join()')" hello
}

# ---- Copying ----

# Presses Ctrl+C, and prints what a paste into the text box gives. SELECTION is a script; `row(TEXT)`
# is the row with that text, and `select(FROM, START, TO, END)` selects a range.
copied() { # SELECTION
  script 'const row = (text) => [...document.querySelectorAll("#log .entry")].find((entry) =>
      entry.querySelector(".text")?.textContent === text);
    const select = (...range) => getSelection().setBaseAndExtent(...range);
    document.activeElement.blur();
    '"$1" >/dev/null
  pasted
}

pasted() {
  press Control+c
  script 'const box = document.querySelector("#text"); box.value = ""; box.focus();' >/dev/null
  press Control+v
  script 'return document.querySelector("#text").value'
}

@test "several rows are copied as [21:33] bob: text, a part of one as it is selected" {
  start_server
  post_as bob one
  post_as bob 'two words'
  post_as ann $'three\nlines\nof text'
  accepts '{"event":"news","data":{"a":1}}'
  post_as '<i>eve</i>' 'last one'
  browser
  open_chat
  local at
  at=$(script 'return document.querySelector("#rows time").textContent')
  [[ $at =~ ^[0-2][0-9]:[0-5][0-9]$ ]]
  same "$(copied 'select(row("two words").querySelector(".text").firstChild, 4, row("two words").querySelector(".text").firstChild, 9)')" words
  same "$(copied 'select(row("one").querySelector(".text").firstChild, 1, row("two words").querySelector(".text").firstChild, 3)' |
    sed -E 's/\[..:..\]/[T]/')" $'[T] bob: one\n[T] bob: two words'
  same "$(copied 'getSelection().selectAllChildren(document.querySelector("#rows"))' | sed -E 's/\[..:..\]/[T]/')" \
    "$(script 'return document.querySelector(".day").innerText')
[T] bob: one
[T] bob: two words
[T] ann: three
lines
of text
[T] news
[T] <i>eve</i>: last one"
  # A triple click selects a paragraph, up to the beginning of the next row.
  webdriver POST /actions "$(find_element '#rows .entry:nth-child(2) .text' | jq -Rc '{actions: [{type: "pointer", id: "mouse",
    parameters: {pointerType: "mouse"}, actions: [
      {type: "pointerMove", duration: 0, x: -300, y: 0, origin: {"element-6066-11e4-a52e-4f735466cecf": .}},
      (range(3) | {type: "pointerDown", button: 0}, {type: "pointerUp", button: 0})]}]}')" >/dev/null
  same "$(pasted)" 'two words'
  # Some browsers put the end of such a selection into the next row.
  same "$(copied 'select(row("two words").querySelector(".text").firstChild, 0, row("three\nlines\nof text"), 0)')" 'two words'
  # Outside of the log, nothing is different.
  same "$(copied 'getSelection().selectAllChildren(document.querySelector("#title"))')" lobby
}
