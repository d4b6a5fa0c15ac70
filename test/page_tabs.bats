#!/usr/bin/env bats
# The chat page in several tabs of a browser, which share one stream and one outbox in a worker: what
# they know of each other, tabs that close, and browsers without such a worker.
#
# Tabs of one browser share storage and name; another browser is another user. The metrics tell how
# many streams the server has, and how many there have been.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034
#
# seconds: 130
# build: plain

load lib/helper
load lib/webdriver
load lib/token
load lib/page

BEFORE=

# Opens COUNT tabs of one browser; TABS has their handles. BEFORE runs in each before the page.
open_tabs() { # COUNT
  TABS=()
  browser
  while :; do
    [ -z "$BEFORE" ] || before_loading "$BEFORE"
    open_chat
    TABS+=("$(this_tab)")
    [ ${#TABS[@]} -lt "$1" ] || break
    open_tab
  done
}

# Closes the current tab.
close_tab() {
  webdriver DELETE /window >/dev/null
}

# Checks that all tabs show exactly these messages.
all_show() { # TEXT...
  local tab
  for tab in "${TABS[@]}"; do
    go_to_tab "$tab"
    shows "$@"
  done
}

# ---- One stream ----

# A browser opens at most six connections to a server over HTTP/1.1, so with a stream for each tab the
# sixth would leave none for a POST.
@test "ten tabs send and receive, and the server has one stream" {
  start_server --metrics 127.0.0.1:0
  open_tabs 6
  say 'from six tabs'
  outbox_is_empty
  while [ ${#TABS[@]} -lt 10 ]; do
    open_chat_tab
    TABS+=("$(this_tab)")
  done
  local said=('from six tabs') tab
  for tab in "${TABS[@]}"; do
    go_to_tab "$tab"
    said+=("from tab ${#said[@]}")
    say "${said[-1]}"
    outbox_is_empty
  done
  all_show "${said[@]}"
  same "$(on_server)" "$(jq -nc '$ARGS.positional' --args -- "${said[@]}")"
  same "$(metric ssechat_streams) $(metric ssechat_streams_opened_total) $(online)" '1 1 1'
}

@test "any tab can be closed, also the first one, and all but one" {
  start_server --metrics 127.0.0.1:0
  open_tabs 4
  local closed said=()
  for closed in 0 1 2; do
    go_to_tab "${TABS[closed]}"
    close_tab
    unset 'TABS[closed]'
    said+=("after tab $closed")
    go_to_tab "${TABS[3]}"
    say "${said[-1]}"
    outbox_is_empty
    all_show "${said[@]}"
  done
  same "$(metric ssechat_streams) $(metric ssechat_streams_opened_total)" '1 1'
  open_chat_tab
  shows "${said[@]}"
  same "$(metric ssechat_streams) $(metric ssechat_streams_opened_total)" '1 1'
  # When the last tab has left, nothing reads the stream. The browser keeps the page in its cache.
  close_tab
  go_to_tab "${TABS[3]}"
  open_page "${URL/127.0.0.1/localhost}/icon.svg" # another site, so another process of the browser
  eventually '[ "$(online)" = 0 ]'
}

@test "a message that is on its way when its tab closes is sent by the others" {
  start_server
  open_tabs 2
  stop_server
  wait_for_notice 'not answer'
  say 'written in a closed tab'
  wait_for_pending 'written in a closed tab'
  close_tab
  go_to_tab "${TABS[0]}"
  wait_for_pending 'written in a closed tab'
  start_again
  click '#retry'
  shows 'written in a closed tab'
  outbox_is_empty
  same "$(on_server)" '["written in a closed tab"]'
  wait_until 'document.querySelector("#rows .own")'
}

@test "sixteen rooms are in one stream" {
  start_server --metrics 127.0.0.1:0
  local i
  browser
  before_loading 'localStorage["ssechat /  rooms"] ??= JSON.stringify(Array.from({ length: 16 }, (_, i) => `room ${i}`))'
  open_chat '/#room%200'
  wait_until 'document.querySelectorAll("#rooms li").length === 16'
  same "$(metric ssechat_streams) $(metric ssechat_rooms)" '1 16'
  for i in {0..15}; do post_as bob "in room $i" "room $i"; done
  wait_until '[...document.querySelectorAll("#rooms li .count")].length === 15'
  for i in {0..15}; do
    script '[...document.querySelectorAll("#rooms li a")][arguments[0]].click()' "$i"
    in_room "room $i"
    shows "in room $i"
  done
  same "$(script 'return document.querySelectorAll("#rooms .count").length')" 0
}

# ---- What tabs know of each other ----

@test "a new name reaches all tabs and the server" {
  start_server
  open_tabs 3
  type_text '#name' "ann$ENTER"
  wait_for_people ann
  go_to_tab "${TABS[0]}"
  wait_until 'document.querySelector("#me").textContent === "ann" && document.querySelector("#naming").hidden'
  say 'as ann'
  click '#rename'
  type_text '#name' "anna$ENTER"
  local tab
  for tab in "${TABS[@]}"; do
    go_to_tab "$tab"
    wait_until 'document.querySelector("#me").textContent === "anna"'
    wait_for_people anna
  done
  say 'as anna'
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -c '[.messages[].name]')" '["ann","anna"]'
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 2
}

# Hides the current tab, as if another one were in front, or shows it again: hide_tab true|false. All
# tabs of a headless browser are in front.
hide_tab() {
  script 'Object.defineProperty(document, "hidden", { value: arguments[0] === "true", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"))' "$1" >/dev/null
}

# Waits until all tabs count the same: all_count TOTAL ROOM-COUNT...
all_count() {
  local tab
  for tab in "${TABS[@]}"; do
    go_to_tab "$tab"
    wait_until '(/^\((\d+)\)/.exec(document.title)?.[1] ?? "0") === arguments[0]
      && [...document.querySelectorAll("#rooms .count")]
        .map((count) => `${count.closest("a").querySelector(".clip").textContent}-${count.textContent}`).join()
        === [...arguments].slice(1).join()' "$@"
  done
}

@test "a room that is entered or left in one tab is so in all, but not where it is shown" {
  start_server
  open_tabs 2
  enter_room dev
  enter_room ops
  local rooms='[...document.querySelectorAll("#rooms .clip")].map((name) => name.textContent).join() === arguments[0]'
  go_to_tab "${TABS[0]}"
  wait_until "$rooms" lobby,dev,ops
  local leave='[...document.querySelectorAll("#rooms button")].find((button) => button.ariaLabel === `Leave ${arguments[0]}`).click()'
  script "$leave" dev
  script "$leave" ops
  go_to_tab "${TABS[1]}"
  wait_until "$rooms" lobby,ops
  same "$(script 'return document.title')" 'ops · ssechat'
  post_as bob 'in ops' ops
  shows 'in ops'
  eventually '[ "$(online) $(online dev) $(online ops)" = "1 0 1" ]'
}

@test "tabs agree on what is unread" {
  start_server
  open_tabs 2
  enter_room dev
  hide_tab true
  go_to_tab "${TABS[0]}"
  hide_tab true
  wait_until 'document.querySelectorAll("#rooms li").length === 2'
  post_as bob one dev
  post_as bob two dev
  post_as bob three
  all_count 3 lobby-1 dev-2
  hide_tab false # the tab that shows dev
  all_count 1 lobby-1
  go_to_tab "${TABS[0]}"
  hide_tab false
  all_count 0
  post_as bob four dev
  go_to_tab "${TABS[1]}"
  wait_for_message four
  all_count 0
}

@test "a tab that is not at the end counts no longer what another tab has read" {
  start_server
  publish 1 60
  open_tabs 2
  script 'document.querySelector("#scroller").scrollTop = 0' >/dev/null
  wait_until '!document.querySelector("#newer").hidden'
  go_to_tab "${TABS[0]}"
  hide_tab true
  post_as bob new
  all_count 1 lobby-1
  go_to_tab "${TABS[1]}"
  wait_until 'document.querySelector("#newer").textContent === "1 new message"'
  go_to_tab "${TABS[0]}"
  hide_tab false
  all_count 0
  go_to_tab "${TABS[1]}"
  wait_until 'document.querySelector("#newer").textContent === "Newest message"'
}

# The room is empty when it is left, so there is no message up to which it was read.
@test "a tab that opens later counts what is unread as the others do" {
  start_server
  post_as bob 'read before' dev
  open_tabs 1
  enter_room dev
  shows 'read before'
  enter_room empty
  enter_room lobby
  post_as bob one dev
  post_as bob two dev
  post_as bob three empty
  all_count 3 dev-2 empty-1
  open_chat_tab
  TABS+=("$(this_tab)")
  all_count 3 dev-2 empty-1
  enter_room empty
  all_count 2 dev-2
  go_to_tab "${TABS[0]}"
  enter_room dev
  all_count 0
}

# ---- Whose worker it is ----

# Prints a token for the lobby: token_of NAME.
token_of() {
  "$SSECHAT" token --key key --sub "$1" --rooms lobby --publish
}

@test "another user has another worker, with a stream of its own" {
  key_file key "$KEY"
  start_server --key key --metrics 127.0.0.1:0
  local bob
  bob=$(token_of bob)
  browser
  open_chat "/#token=$(token_of ann)"
  TABS=("$(this_tab)")
  open_chat_tab "/#token=$bob"
  TABS+=("$(this_tab)")
  wait_for_people ann,bob
  open_chat_tab "/#token=$bob"
  TABS+=("$(this_tab)")
  same "$(metric ssechat_streams)" 2
  say 'from bob'
  outbox_is_empty
  go_to_tab "${TABS[0]}"
  say 'from ann'
  outbox_is_empty
  all_show 'from bob' 'from ann'
  same "$(script 'return [...document.querySelectorAll("#rows .own .text")].map((text) => text.textContent)')" '["from bob"]'
  same "$(script 'return [...document.querySelectorAll("#rows .name")].map((name) => name.textContent)')" '["bob","ann"]'
}

# The pages of both versions are of one server, as after an upgrade.
@test "another version of the page has another worker" {
  cp -r "$ROOT/www" www
  start_server --www www --metrics 127.0.0.1:0
  open_tabs 2
  same "$(metric ssechat_streams)" 1
  sed -i "s/^export const VERSION = '/&next-/" www/net.js
  open_chat_tab
  TABS+=("$(this_tab)")
  same "$(metric ssechat_streams)" 2
  say 'from the new version'
  outbox_is_empty
  go_to_tab "${TABS[0]}"
  wait_for_message 'from the new version'
  say 'from the old one'
  outbox_is_empty
  all_show 'from the new version' 'from the old one'
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 2
}

# ---- Other pages, other browsers ----

# A page over plain http, from another computer, has fewer functions: no Notification that works, no
# clipboard, no randomUUID, no locks.
@test "over plain http from another computer, tabs share a worker and the link can be copied" {
  start_server
  URL=http://chat.test:$PORT
  BROWSER_FLAGS=('--host-resolver-rules=MAP chat.test 127.0.0.1')
  local CURL_HOME=$PWD
  echo "resolve = chat.test:$PORT:127.0.0.1" >.curlrc
  export CURL_HOME
  open_tabs 2
  same "$(script 'return [isSecureContext, document.querySelector("#notifications").checkVisibility()]')" '[false,false]'
  say 'over http'
  outbox_is_empty
  all_show 'over http'
  same "$(online)" 1
  click '#share'
  wait_until 'document.querySelector("#share").textContent === "Link copied"'
  click '#text'
  press Control+v
  same "$(script 'return document.querySelector("#text").value')" "$URL/#lobby"
  # A page over http cannot have this policy, and Chromium says so.
  same "$(browser_log | grep -v Cross-Origin-Opener-Policy)" ''
}

NO_WORKER='delete globalThis.SharedWorker'

# Leaves the page for another one and comes back, while another tab changes name and rooms. There are
# STREAMS in the end.
leave_and_return() { # STREAMS
  start_server
  open_tabs 1
  say before
  outbox_is_empty
  script 'window.kept = true'
  open_page "$URL/icon.svg"
  eventually '[ "$(online)" = 0 ]'
  post_as bob meanwhile
  open_chat_tab '/#dev'
  type_text '#name' "ann$ENTER"
  wait_for_people ann
  eventually '[ "$(online)" = 1 ]'
  go_to_tab "${TABS[0]}"
  webdriver POST /back '{}' >/dev/null
  shows before meanwhile
  same "$(script 'return window.kept')" true
  same "$(rows)" '["before","meanwhile"]'
  wait_until 'document.querySelectorAll("#rooms li").length === 2 && document.querySelector("#me").textContent === "ann"'
  wait_for_people ann
  eventually "[ \"\$(online) \$(online dev)\" = '$1 $1' ]"
}

@test "a page in the browser's back and forward cache has no stream, and resumes when it returns" {
  leave_and_return 1
}

@test "the same without SharedWorker" {
  BEFORE=$NO_WORKER
  leave_and_return 2
}

# A download, or an address without content, begins like the way to another page.
@test "a page that is not left after all resumes" {
  start_server
  open_tabs 1
  script 'dispatchEvent(new Event("beforeunload"))'
  eventually '[ "$(online)" = 0 ]'
  post_as bob meanwhile
  shows meanwhile
  same "$(online)" 1
}

@test "without SharedWorker each tab has its own stream, and the page is the same" {
  start_server
  BEFORE=$NO_WORKER
  open_tabs 2
  same "$(online)" 2
  type_text '#name' "ann$ENTER"
  say one
  outbox_is_empty
  go_to_tab "${TABS[0]}"
  wait_until 'document.querySelector("#me").textContent === "ann"'
  say two
  outbox_is_empty
  all_show one two
  same "$(curl -sf "$URL/messages" | jq -c '[.messages[].name]')" '["ann","ann"]'
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 2
  close_tab
  go_to_tab "${TABS[0]}"
  eventually '[ "$(online)" = 1 ]'
  post_as bob three
  shows one two three
}

# Blocks the POSTs of the current tab, which has no worker, or with `[]` no longer.
block() {
  devtools Network.enable '{}' >/dev/null
  devtools Network.setBlockedURLs "{\"urls\": $1}" >/dev/null
}

# The lists of waiting messages in localStorage, by tab: {"TAB": [TIME, ENTRY...]}.
lists() {
  script 'return Object.fromEntries(Object.entries(localStorage).filter(([key]) => key.includes(" outbox:"))
    .map(([key, value]) => [key, JSON.parse(value)]))'
}

# Makes the lists of all tabs as old as if they were written 11 seconds ago.
age_lists() {
  script 'for (const [key, value] of Object.entries(localStorage)) {
      if (!key.includes(" outbox:")) continue;
      const [, ...entries] = JSON.parse(value);
      localStorage[key] = JSON.stringify([Date.now() - 11000, ...entries]);
    }' >/dev/null
}

@test "without SharedWorker a tab sends what a closed tab has left" {
  start_server --max-body 2K
  BEFORE=$NO_WORKER
  open_tabs 2
  paste_text "$(times 2100 x)"
  say ''
  wait_for_pending failed
  # The tab shows that it lives, so that the other one leaves its messages alone.
  local list
  list=$(lists)
  wait_until 'JSON.parse(localStorage[arguments[0]])[0] > arguments[1]' "$(jq -r 'keys[0]' <<<"$list")" "$(jq '.[][0]' <<<"$list")"
  block '["*/messages"]'
  say one
  say two
  wait_for_pending two
  close_tab
  go_to_tab "${TABS[0]}"
  same "$(on_server)" '[]'
  age_lists
  shows one two
  wait_for_pending failed
  same "$(on_server)" '["one","two"]'
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 2
  same "$(lists | jq -c '[.[][1:][].state]')" '["failed"]'
}

@test "without SharedWorker a tab that was only asleep sends nothing twice" {
  start_server
  BEFORE=$NO_WORKER
  open_tabs 2
  block '["*/messages"]'
  say one
  say two
  wait_for_pending two
  devtools Page.setWebLifecycleState '{"state": "frozen"}' >/dev/null
  go_to_tab "${TABS[0]}"
  age_lists
  shows one two
  go_to_tab "${TABS[1]}"
  devtools Page.setWebLifecycleState '{"state": "active"}' >/dev/null
  block '[]'
  outbox_is_empty
  say three
  outbox_is_empty
  all_show one two three
  same "$(on_server)" '["one","two","three"]'
}

# Checks that the page works without the worker.
works_alone() {
  is_loaded
  say "$1"
  outbox_is_empty
  wait_for_message "$1"
}

# A browser can have SharedWorker and still not run this one: for instance if it does not know modules
# in workers.
@test "a worker that cannot be made, loaded or heard is given up, and the page works without it" {
  start_server --www "$ROOT/www" # which has no policy for scripts, so that another worker can be made
  browser
  # The page waits ten seconds for the silent one only.
  before_loading 'const how = new URLSearchParams(location.search).get("how");
    const Real = SharedWorker, wait = setTimeout;
    globalThis.setTimeout = (run, ms, ...rest) => how !== "silent" && ms === 10000 ? 0 : wait(run, ms, ...rest);
    globalThis.SharedWorker = class { constructor() {
      if (how === "throws") throw new Error("no worker here");
      if (how === "missing") return new Real("missing.js", { type: "module" });
      this.port = new MessageChannel().port1;
    } }'
  local how
  for how in throws missing silent; do
    open_page "$URL/?how=$how"
    works_alone "$how"
  done
  same "$(on_server)" '["throws","missing","silent"]'
}

@test "a worker that has crashed is started again" {
  start_server
  open_tabs 2
  say one
  outbox_is_empty
  local worker
  worker=$(devtools Target.getTargets '{}' | jq -r '.targetInfos[] | select(.type == "shared_worker").targetId')
  devtools Target.closeTarget "{\"targetId\": \"$worker\"}"
  eventually '[ "$(online)" = 0 ]'
  post_as bob two
  # A tab asks for a sign of life when it comes to the front, and now and then.
  local tab
  for tab in "${TABS[@]}"; do
    go_to_tab "$tab"
    hide_tab false
  done
  shows one two
  say three
  outbox_is_empty
  all_show one two three
  same "$(online)" 1
}
