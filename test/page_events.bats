#!/usr/bin/env bats
# What the chat page makes of events that are not chat messages: those with a name, and those without
# one whose data is anything, also something that looks like a chat message. They are shown as they
# are, also after a reload, and neither they nor anything beside them gets lost.
# shellcheck disable=SC2153
#
# build: plain
# seconds: 35

load lib/helper
load lib/webdriver
load lib/page

# Posts an event: event NAME JSON [ROOM]. Without a NAME it is a default event.
event() {
  accepts "$(jq -nc --arg event "$1" --argjson data "$2" --arg room "${3:-lobby}" \
    '{room: $room, data: $data} + if $event == "" then {} else {event: $event} end')"
}

# Prints the events that are shown, each with its name, its text, and whether its time is shown.
events_shown() {
  script 'return [...document.querySelectorAll("#rows .event")].map((event) => [event.firstChild.textContent,
      event.lastChild.textContent, /^..:..$/.test(event.closest(".row").querySelector("time").textContent)])'
}

# Waits for a message that is posted now, and so for all that was posted before.
catch_up() {
  post_as zoe "up to here $((STEP += 1))"
  wait_for_message "up to here $STEP"
}

clean_console() {
  same "$(browser_log)" ''
}

@test "an event has its name, its data as lines of JSON or as text, and its time; a reload changes nothing" {
  start_server
  browser
  open_chat
  event news '{"a":1,"b":[true,null,{"c":"<b>"}]}'
  event news '"just\ntext"'
  event build '"{\"json\": \"in a string\"}"'
  event price 12.50
  event status true
  event log '[]'
  accepts '{"event":"job","data":12345678901234567890}'
  catch_up
  local seen expected
  seen=$(events_shown)
  expected=$(jq -nc '[["news", "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    null,\n    {\n      \"c\": \"<b>\"\n    }\n  ]\n}", true],
    ["news", "just\ntext", true], ["build", "{\n  \"json\": \"in a string\"\n}", true], ["price", "12.5", true],
    ["status", "true", true], ["log", "[]", true], ["job", "12345678901234567890", true]]')
  same "$seen" "$expected"
  same "$(script 'return [...document.querySelectorAll("#rows .event")].every((event) =>
    event.localName === "details" && event.firstChild.localName === "summary" && !event.open)')" true
  reload_page
  is_loaded
  # In the history it is a number like others, whose last digits JSON.parse loses.
  same "$(events_shown | jq -c 'del(.[6])')" "$(jq -c 'del(.[6])' <<<"$expected")"
  # Opened by a click, and with the keyboard.
  click '#rows .event summary'
  same "$(script 'return document.querySelector("#rows .event").open')" true
  script 'document.querySelectorAll("#rows .event summary")[1].focus()' >/dev/null
  press Enter
  same "$(script 'return document.querySelectorAll("#rows .event")[1].open')" true
  clean_console
}

@test "names that the page does not know come from the history, and are listened to from then on" {
  start_server
  browser
  open_chat
  event deploy '"known"'
  event 'of our own' '"not known yet"'
  catch_up
  same "$(events_shown | jq -c 'map(.[1])')" '["known"]'
  reload_page
  is_loaded
  event 'of our own' '"known now"'
  event __proto__ '"nobody knows"'
  catch_up
  same "$(events_shown | jq -c 'map(.[1])')" '["known","not known yet","known now"]'
  reload_page
  is_loaded
  same "$(events_shown | jq -c 'map(.[1])')" '["known","not known yet","known now","nobody knows"]'
  event __proto__ '"known too"'
  catch_up
  same "$(events_shown | jq -c 'map(.[:2]) | last')" '["__proto__","known too"]'
  clean_console
}

@test "with several rooms, each event is in its own, once" {
  start_server
  browser
  open_chat
  enter_room dev
  event news '"dev 1"' dev
  event news '"lobby 1"' lobby
  event news '"dev 2"' dev
  event news '{"room":"lobby","id":"1-0","text":"dev 3"}' dev
  post_as bob 'in dev' dev
  event news '"lobby 2"' lobby
  wait_until 'document.querySelectorAll("#rows .event").length === 3'
  wait_for_message 'in dev'
  same "$(rows | jq -c 'map(gsub("\\s+"; " "))')" \
    '["event: news dev 1","event: news dev 2","event: news { \"room\": \"lobby\", \"id\": \"1-0\", \"text\": \"dev 3\" }","in dev"]'
  enter_room lobby
  wait_until 'document.querySelectorAll("#rows .event").length === 2'
  same "$(rows)" '["event: news lobby 1","event: news lobby 2"]'
  event news '"lobby 3"' lobby
  wait_until 'document.querySelectorAll("#rows .event").length === 3'
  catch_up
  same "$(rows | jq -c '.[2]')" '"event: news lobby 3"'
  clean_console
}

# Default events, whose data is not that of a chat message, however much it looks like it.
LIKE_MESSAGES='
  {"message":"x","name":"y","text":5}
  {"message":7}
  {"message":"x","name":{"a":1},"time":[]}
  {"id":"1-0","room":"lobby","name":"eve","message":"another id","time":"2025-10-09T08:53:20.000Z"}
  {"id":"9999999999999-0","room":"lobby","name":"eve","message":"a later id","time":"2025-10-09T08:53:20.000Z"}
  {"id":"1760000000000-0","room":"garden","name":"eve","message":"another room","time":"2025-10-09T08:53:20.000Z"}
  {"id":1,"room":[],"name":null,"message":{},"time":"x"}
  "{\"id\":\"1-0\",\"room\":\"lobby\",\"name\":\"eve\",\"message\":\"as text\",\"time\":\"2025-10-09T08:53:20.000Z\"}"
  {"rooms":[],"heartbeat":0}
  {"__proto__":{"message":"x"},"constructor":1,"toString":2}
  {"gap":true,"reason":"restarted"}
  {"key":"k","id":null,"tab":1}
  [{"message":"x"}]
  [1,[2,[3]]]
  "just text"
  "two\nlines\r\nof text"
  "null"
  "[object Object]"
  ""
  0
  -1.5e300
  true
  false
  []
  {}'

@test "data that looks like a message, or like nothing, hides nothing and breaks nothing" {
  start_server
  browser
  join_chat ann
  local count=0 data seen
  while read -r data; do
    [ -n "$data" ] || continue
    event '' "$data"
    count=$((count + 1))
  done <<<"$LIKE_MESSAGES"
  accepts '{"data":null,"message":"before null"}'
  say 'my own'
  outbox_is_empty
  catch_up
  same "$(conversation)" "[\"before null\",\"my own\",\"up to here $STEP\"]"
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 1
  same "$(events_shown | jq -c '[length, (map(.[0]) | unique), (map(.[2]) | all)]')" "[$count,[\"message\"],true]"
  # Each shows what was posted, as JSON or as text.
  seen=$(events_shown | jq -c '.[][1] | . as $text | try fromjson catch $text')
  same "$seen" "$(jq -c 'if type == "string" then gsub("\r\n"; "\n") as $text | try fromjson catch $text else . end' <<<"$LIKE_MESSAGES")"
  same "$(script 'return [document.title, document.querySelector("#people").innerText.includes("eve")]')" '["lobby · ssechat",false]'
  reload_page
  is_loaded
  same "$(events_shown | jq -c '.[][1] | . as $text | try fromjson catch $text')" "$seen"
  same "$(conversation)" "[\"before null\",\"my own\",\"up to here $STEP\"]"
  clean_console
}

@test "such events are not unread, and do not end the reader's place" {
  start_server
  publish 1 50
  browser
  open_chat
  script 'document.querySelector("#scroller").scrollTop = 200' >/dev/null
  wait_until '!document.querySelector("#newer").hidden'
  local data
  while read -r data; do
    [ -z "$data" ] || event news "$data"
  done <<<"$LIKE_MESSAGES"
  post_as bob last
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  same "$(script 'return [document.querySelector("#scroller").scrollTop, document.title]')" '[200,"(1) lobby · ssechat"]'
  clean_console
}

@test "binary events, with and without a name, are shown and break nothing" {
  start_server
  browser
  open_chat
  head -c 300 /dev/urandom >bytes
  ask '/messages?name=eve' -H 'Content-Type: application/octet-stream' --data-binary @bytes
  same "$STATUS" 201
  ask '/messages?name=eve&event=news' -H 'Content-Type: application/octet-stream' --data-binary @bytes
  same "$STATUS" 201
  catch_up
  local seen
  seen=$(events_shown)
  same "$(jq -c 'map([.[0], (.[1] | fromjson | .encoding, .data)])' <<<"$seen")" \
    "$(jq -nc --arg data "$(base64 -w 0 bytes)" '[["message", "base64", $data], ["news", "base64", $data]]')"
  reload_page
  is_loaded
  same "$(events_shown)" "$seen"
  clean_console
}

@test "64K of data are shown up to an end, and what comes after them" {
  start_server --history 4M
  browser
  open_chat
  event news "\"$(times 65000 x)\""
  accepts "{\"event\":\"news\",\"data\":$(times 60 '[')$(times 32000 '1,')1$(times 60 ']')}"
  accepts "{\"event\":\"news\",\"data\":{$(seq 5000 | sed 's/.*/"&":{}/' | paste -sd,)}}"
  event '' "\"$(times 65000 .)\""
  catch_up
  same "$(script 'return document.querySelectorAll("#rows .event").length')" 4
  same "$(script 'return [...document.querySelectorAll("#rows .event pre")].map((pre) => pre.textContent.length)
    .every((length) => length <= 65537)')" true
  same "$(script 'return document.querySelectorAll("#rows .event pre")[0].textContent.length')" 65000
  # All of it can be opened.
  script 'for (const event of document.querySelectorAll("#rows .event")) event.open = true' >/dev/null
  reload_page
  is_loaded
  # A page of the history has 64 KiB, so these come one by one.
  local n
  for n in {1..4}; do
    [ "$(script 'return document.querySelectorAll("#rows .event").length')" -lt 4 ] || break
    click '#older'
    wait_until 'document.querySelectorAll("#rows .event").length > +arguments[0]' "$n"
  done
  catch_up
  clean_console
}
