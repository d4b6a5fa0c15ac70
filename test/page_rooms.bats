#!/usr/bin/env bats
# The chat page in several rooms: addresses and links, what is kept of each room, entering and leaving,
# names that are odd or refused.
# shellcheck disable=SC2016,SC2030,SC2031
#
# seconds: 90
# build: plain

load lib/helper
load lib/webdriver
load lib/token
load lib/page

# Prints the names of the rooms that are joined, as a JSON list; the one that is shown has a *.
joined() {
  script 'return [...document.querySelectorAll("#rooms a")].map((a) =>
    a.querySelector(".clip").textContent + (a.ariaCurrent === "page" ? "*" : ""))'
}

# Waits until these are the joined rooms: has_joined NAME... The one that is shown has a *.
has_joined() {
  wait_until 'JSON.stringify([...document.querySelectorAll("#rooms a")].map((a) =>
    a.querySelector(".clip").textContent + (a.ariaCurrent === "page" ? "*" : ""))) === JSON.stringify([...arguments])' "$@"
}

# Clicks the link of a room, joined or offered.
click_room() {
  wait_until '[...document.querySelectorAll("#rooms .clip, #offered .clip")].some((name) => name.textContent === arguments[0])' "$1"
  script '[...document.querySelectorAll("#rooms .clip, #offered .clip")].find((name) => name.textContent === arguments[0]).closest("a").click()' "$1" >/dev/null
  in_room "$1"
}

# Leaves a room with its button.
click_leave() {
  script '[...document.querySelectorAll("#rooms button")].find((button) => button.ariaLabel === `Leave ${arguments[0]}`).click()' "$1" >/dev/null
}

# Enters a room by typing its name.
type_room() {
  type_text '#room' "$1$ENTER"
}

wait_for_room_error() {
  wait_until 'document.querySelector("#room-error").checkVisibility() && document.querySelector("#room-error").role === "alert"
    && document.querySelector("#room-error").textContent.includes(arguments[0])' "$1"
}

# Prints how many unread messages a room's link counts, for the eye and for a screen reader.
unread_in() {
  script 'const link = [...document.querySelectorAll("#rooms a")].find((a) => a.querySelector(".clip").textContent === arguments[0]);
    return `${link.querySelector(".count")?.textContent ?? ""}|${link.querySelector(".unseen")?.textContent ?? ""}`' "$1"
}

# ---- Addresses ----

@test "the address names the room, after # or as ?room=, and no change of rooms loads the page again" {
  start_server
  post_as bob 'in the lobby'
  post_as bob 'in dev' dev
  post_as bob 'in ops' ops
  browser
  open_chat '/?room=dev'
  in_room dev
  shows 'in dev'
  same "$(script 'return document.title')" 'dev · ssechat'
  script 'window.kept = true'
  script 'location.hash = "#ops"'
  in_room ops
  shows 'in ops'
  click_room lobby
  shows 'in the lobby'
  same "$(script 'return location.hash')" '#lobby'
  webdriver POST /back '{}' >/dev/null
  in_room ops
  shows 'in ops'
  webdriver POST /back '{}' >/dev/null
  in_room dev
  shows 'in dev'
  webdriver POST /forward '{}' >/dev/null
  in_room ops
  has_joined dev 'ops*' lobby
  same "$(script 'return [window.kept, document.title]')" '[true,"ops · ssechat"]'
  script 'location.hash = "#100%"' # as a person may type it
  in_room '100%'
  click_leave '100%'
  open_chat '/#dev'
  in_room dev
  shows 'in dev'
  # Joined rooms outlive the page; without a name in its address it shows the lobby.
  open_chat
  has_joined dev ops 'lobby*'
}

@test "a room that the server lists is offered, and its link enters it" {
  start_server
  post_as bob 'tea?' tea
  listen stream 'room=cake'
  browser
  open_chat
  wait_until '[...document.querySelectorAll("#offered a")].map((a) =>
    [".clip", ".unseen"].map((part) => a.querySelector(part)?.textContent).join()).join("|") === "cake,1 online|tea,"'
  click_room tea
  shows 'tea?'
  has_joined lobby 'tea*'
  wait_until '[...document.querySelectorAll("#offered a")].length === 1'
}

@test "the list of rooms is asked for again when the page is looked at" {
  start_server
  browser
  open_chat
  hide
  post_as bob 'tea?' tea
  unhide
  wait_until 'document.querySelector("#offered a .clip")?.textContent === "tea"'
}

# The list can contain what a room or a person is called, so it shows the text and nothing else.
@test "odd names work in the address, the list, messages and after a reload" {
  start_server --max-rooms 1000
  local room long rooms=('tea and cake' '中文' '&%' '100%' __proto__ constructor '#' '?' 'token=x' 'a+b' '<i>x' '{n}|{room}')
  long=$(times 21 字)x
  rooms+=("$long")
  browser
  open_chat
  for room in "${rooms[@]}"; do
    type_room "$room"
    in_room "$room"
    say "in $room"
    shows "in $room"
    same "$(on_server_in "$room")" "$(jq -nc --arg room "$room" '[["in " + $room, $room]]')"
  done
  same "$(joined)" "$(jq -nc '["lobby"] + $ARGS.positional | .[-1] += "*"' --args -- "${rooms[@]}")"
  reload_page
  in_room "$long"
  shows "in $long"
  for room in "${rooms[@]}"; do
    click_room "$room"
    shows "in $room"
    same "$(script 'return [document.title, document.querySelectorAll("#rows .own").length]')" \
      "$(jq -nc --arg room "$room" '[$room + " · ssechat", 1]')"
    [[ '100% # ? token=x' == *"$room"* ]] || continue
    reload_page
    in_room "$room"
    shows "in $room"
  done
  same "$(browser_log | grep -v '^INFO rendering')" ''
}

# Prints the texts and the room of the messages in a room.
on_server_in() {
  curl -sfG "$URL/messages" --data-urlencode "room=$1" | jq -c '[.messages[] | [.message, .room]]'
}

# ---- What is kept of each room ----

@test "each room keeps its place, its draft and its count of unread messages" {
  start_server
  publish 1 80 '"name":"bob","message":"# in the lobby"'
  publish 1 80 '"room":"dev","name":"bob","message":"# in dev"'
  browser 1000 600
  open_chat
  wait_for_message '80 in the lobby'
  local row='const top = document.querySelector("#scroller").getBoundingClientRect().top;
    const row = [...document.querySelectorAll("#rows .text")].find((text) => text.textContent === arguments[0]);
    return Math.round(row.getBoundingClientRect().top - top)'
  scroll_to '60 in the lobby'
  local lobby dev
  lobby=$(script "$row" '60 in the lobby')
  type_text '#text' 'a draft for the lobby'
  click_room dev
  wait_for_message '80 in dev'
  same "$(script 'return document.querySelector("#text").value')" ''
  scroll_to '50 in dev'
  dev=$(script "$row" '50 in dev')
  post_as bob 'new in the lobby'
  post_as bob 'newer in the lobby'
  wait_until 'document.title === "(2) dev · ssechat"'
  same "$(unread_in lobby)" '2|2 unread'
  click_room lobby
  between "$(($(script "$row" '60 in the lobby') - lobby))" -2 2
  same "$(script 'return document.querySelector("#text").value')" 'a draft for the lobby'
  # The reader is not at the end, so the messages are still unread.
  wait_until 'document.querySelector("#newer").innerText === "2 new messages"'
  same "$(script 'return document.title')" '(2) lobby · ssechat'
  click_room dev
  between "$(($(script "$row" '50 in dev') - dev))" -2 2
  click_room lobby
  click '#newer'
  wait_until 'document.title === "lobby · ssechat"'
  same "$(unread_in lobby)" '|'
  same "$(script 'return document.querySelector("#rows .unread").closest(".entry").querySelector(".text").textContent')" 'new in the lobby'
}

# Scrolls with the wheel until a message is at the top of the conversation.
scroll_to() {
  script 'const row = [...document.querySelectorAll("#rows .text")].find((text) => text.textContent === arguments[0]);
    document.querySelector("#scroller").scrollTop += row.getBoundingClientRect().top
      - document.querySelector("#scroller").getBoundingClientRect().top' "$1" >/dev/null
  async_script 'for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame)' >/dev/null
}

@test "unread messages of another room are counted, and one's own and read ones are not" {
  start_server
  browser
  join_chat ann
  enter_room dev
  say 'my own'
  outbox_is_empty
  enter_room lobby
  post_as bob one dev
  post_as ann 'a stranger with my name' dev
  accepts '{"room": "dev", "event": "news", "data": "no message"}'
  wait_until 'document.title === "(2) lobby · ssechat"'
  same "$(unread_in dev)" '2|2 unread'
  reload_page
  wait_until 'document.title === "(2) lobby · ssechat"'
  click_room dev
  wait_until 'document.title === "dev · ssechat"'
  same "$(unread_in dev)" '|'
  same "$(script 'return document.querySelector("#rows .unread").closest(".entry").querySelector(".text").textContent')" one
  enter_room lobby
  enter_room dev
  same "$(script 'return document.querySelectorAll("#rows .unread").length')" 0
}

@test "more unread messages than are loaded at once are counted, too" {
  start_server
  publish 1 130
  browser
  # A browser that was closed after the tenth message, and is opened again: no worker has counted.
  open_page "$URL/icon.svg"
  script 'localStorage["ssechat /  rooms"] = JSON.stringify(["lobby"]);
    localStorage["ssechat /  read:lobby"] = arguments[0];' "$(curl -sf "$URL/messages?limit=130" | jq -r '.messages[9].id')" >/dev/null
  # The history comes last: nothing else draws the count.
  before_loading 'const ask = window.fetch;
    window.fetch = async (url, ...rest) => {
      if (url.startsWith("messages?room=lobby")) await new Promise((resolve) => setTimeout(resolve, 1000));
      return ask(url, ...rest);
    }'
  open_page "$URL/#dev"
  wait_until 'document.title === "(120) dev · ssechat"'
  click_room lobby
  wait_until 'document.title === "lobby · ssechat"'
}

# Presence comes when it changes, not when the page shows another room.
@test "each room shows its own people" {
  start_server
  browser
  join_chat ann
  enter_room dev
  wait_for_people ann
  enter_room lobby
  listen other 'room=dev'
  listen zoe 'room=dev&name=zoe'
  await_text other '"names":["ann","zoe"]' # the page gets it at the same time
  post_as zoe 'after that' dev
  wait_until 'document.title === "(1) lobby · ssechat"'
  same "$(script 'return document.querySelector("#online").textContent')" '1 online'
  enter_room dev
  wait_for_people ann,zoe
  same "$(script 'return document.querySelector("#online").textContent')" '3 online'
  enter_room lobby
  wait_for_people ann
  same "$(script 'return document.querySelector("#online").textContent')" '1 online'
}

# ---- Entering and leaving ----

@test "rooms are entered and left, but not the last one" {
  start_server
  browser
  open_chat
  same "$(script 'return document.querySelectorAll("#rooms button").length')" 0
  type_room dev
  in_room dev
  has_joined lobby 'dev*'
  eventually '[ "$(online) $(online dev)" = "1 1" ]'
  same "$(script 'return document.querySelector("#room").value')" ''
  say 'before leaving'
  outbox_is_empty
  click_leave dev
  in_room lobby
  has_joined 'lobby*'
  eventually '[ "$(online) $(online dev)" = "1 0" ]'
  same "$(script 'return document.querySelectorAll("#rooms button").length')" 0
  post_as bob meanwhile dev
  type_room dev
  in_room dev
  shows 'before leaving' meanwhile
  same "$(rows)" '["before leaving","meanwhile"]'
  has_joined lobby 'dev*'
  click_leave lobby
  has_joined 'dev*'
  post_as bob 'not here'
  post_as bob here dev
  wait_for_message here
  same "$(script 'return document.title')" 'dev · ssechat'
  reload_page
  in_room dev
  has_joined 'dev*'
}

@test "the link of a room can be copied, in an empty room and in others" {
  start_server
  browser
  open_chat '/?room=a%26b'
  click '#invite'
  wait_until 'document.querySelector("#invite").textContent === "Link copied"'
  click '#text'
  press Control+v
  same "$(script 'return document.querySelector("#text").value')" "$URL/#a%26b"
  say ''
  outbox_is_empty
  enter_room 中文
  click '#share'
  wait_until 'document.querySelector("#share").textContent === "Link copied"'
  click '#text'
  press Control+v
  local link
  link=$(script 'return document.querySelector("#text").value')
  same "$link" "$URL/#%E4%B8%AD%E6%96%87"
  wait_until 'document.querySelector("#share").textContent === "Copy link"'
  browser
  open_chat "${link#"$URL"}"
  in_room 中文
}

@test "a bad name is refused at its box, in words" {
  start_server
  browser
  open_chat
  local name
  for name in 'a,b' 'a/b'; do
    type_room "$name"
    wait_for_room_error 'cannot have commas or slashes'
    same "$(script 'return [document.activeElement.id, document.querySelector("#room").value]')" "[\"room\",\"$name\"]"
    script 'document.querySelector("#room").value = ""'
  done
  type_room "$(times 65 x)"
  wait_for_room_error 'too long'
  script 'document.querySelector("#room").value = ""'
  type_room "$(times 22 字)"
  wait_for_room_error 'too long'
  script 'document.querySelector("#room").value = ""'
  type_room '   '
  wait_for_room_error 'Write something'
  same "$(script 'return [document.querySelector("#room").getAttribute("aria-describedby"), document.title]')" '["room-error","lobby · ssechat"]'
  has_joined 'lobby*'
  script 'document.querySelector("#room").value = ""'
  type_room dev
  in_room dev
  same "$(script 'return document.querySelector("#room-error").textContent')" ''
  # A bad name in the address leads to the lobby.
  open_chat '/?room=a%2Cb'
  in_room lobby
}

@test "the seventeenth room is refused in words" {
  start_server --max-rooms 1000
  browser
  before_loading 'localStorage["ssechat /  rooms"] ??= JSON.stringify(Array.from({ length: 16 }, (_, i) => `room ${i}`))'
  open_chat '/#room%203'
  in_room 'room 3'
  type_room seventeen
  wait_for_room_error 'Leave one of your 16 rooms first.'
  in_room 'room 3'
  same "$(script 'return location.hash')" '#room%203'
  script 'location.hash = "#seventeen"'
  wait_until 'location.hash === "#room%203"'
  in_room 'room 3'
  script 'document.querySelector("#room").value = ""'
  click_leave 'room 0'
  type_room seventeen
  in_room seventeen
  same "$(joined | jq length)" 16
}

# ---- Rooms that the server refuses ----

@test "a room that the server refuses is told in words, and the others go on" {
  start_server --room lobby --room dev
  browser
  open_chat
  post_as bob one
  shows one
  type_room secret
  wait_for_room_error 'secret: You have no permission'
  in_room lobby
  has_joined 'lobby*'
  post_as bob two
  shows one two
  # Nor does the way back lead there.
  enter_room dev
  webdriver POST /back '{}' >/dev/null
  in_room lobby
  webdriver POST /back '{}' >/dev/null
  wait_until 'location.hash === ""'
  in_room lobby
  # Another server, or another token, can refuse what was joined before.
  script 'localStorage["ssechat /  rooms"] = JSON.stringify(["secret", "dev", "lobby"])'
  open_chat
  wait_for_room_error 'secret: You have no permission'
  in_room lobby
  has_joined dev 'lobby*'
  shows one two
}

@test "a room that alone was refused can be left for another one" {
  start_server --room lobby
  browser
  open_page "$URL/#secret"
  wait_until 'document.querySelector("#status").textContent === "Not connected"'
  wait_for_notice 'You have no permission'
  type_room lobby
  in_room lobby
  has_joined 'lobby*'
}

@test "a token for other rooms: the room is told in words, and the others go on" {
  key_file key "$KEY"
  start_server --key key
  local token
  token=$("$SSECHAT" token --key key --sub ann --rooms lobby,dev --publish)
  browser
  open_chat "/#token=$token"
  in_room lobby
  type_room secret
  wait_for_room_error 'secret: You have no permission'
  in_room lobby
  has_joined 'lobby*'
  type_room dev
  in_room dev
  say 'in dev'
  outbox_is_empty
  shows 'in dev'
}

@test "a refusal is told also on a phone, where the list of rooms is in a drawer" {
  start_server --room lobby
  browser
  devtools Emulation.setDeviceMetricsOverride '{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}'
  open_chat
  click 'header .menu'
  type_room secret
  wait_for_room_error 'secret: You have no permission'
  click '#side .menu'
  in_room lobby
}

@test "on a phone, the room that is shown already can be chosen in the drawer" {
  start_server
  browser
  devtools Emulation.setDeviceMetricsOverride '{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}'
  open_chat
  local address
  for address in '' '#lobby'; do
    script 'history.replaceState(null, "", location.pathname + arguments[0])' "$address" >/dev/null
    click 'header .menu'
    wait_until 'document.querySelector("#main").inert'
    click '#rooms a'
    wait_until '!document.querySelector("#main").inert && !document.querySelector("#side").checkVisibility()'
    in_room lobby
  done
}

# ---- Events ----

# A stream of several rooms does not say in which of them an event happened whose data does not.
@test "events without a room of their own come to the right room, at the right place" {
  start_server
  browser
  open_chat
  enter_room dev
  post_as bob one dev
  accepts '{"room": "dev", "event": "news", "data": {"n": 1}}'
  post_as bob two dev
  accepts '{"event": "news", "data": "only in the lobby"}'
  accepts '{"room": "dev", "data": "a text"}'
  post_as bob three dev
  accepts '{"room": "dev", "event": "alert", "data": "the last"}'
  wait_until 'document.querySelectorAll("#rows .entry").length === 6'
  local dev='["one","event: news {\n  \"n\": 1\n}","two","event: message a text","three","event: alert the last"]'
  same "$(rows)" "$dev"
  enter_room lobby
  wait_until 'document.querySelectorAll("#rows .entry").length === 1'
  same "$(rows)" '["event: news only in the lobby"]'
  post_as bob 'after it'
  wait_for_message 'after it'
  same "$(rows)" '["event: news only in the lobby","after it"]'
  enter_room dev
  same "$(rows)" "$dev"
}
