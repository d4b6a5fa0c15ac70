#!/usr/bin/env bats
# A page of one's own on stream.js and outbox.js: the example of docs/page.md, in a real browser.
#
# seconds: 25

load lib/helper
load lib/webdriver
load lib/page

# Does what the document says: copies the modules from a server with the built-in page, and serves
# the example beside them.
start_own_page() {
  start_server
  local commands
  commands=$(blocks console "$ROOT/docs/page.md" | sed -n "s/^\\$ //p" | sed "s|http://127.0.0.1:8080|$URL|g")
  contains "$commands" 'stream.js'
  (eval "$commands")
  stop_server
  cmp page/stream.js "$ROOT/www/stream.js"
  cmp page/outbox.js "$ROOT/www/outbox.js"
  blocks html "$ROOT/docs/page.md" >page/index.html
  start_server --www page "$@"
}

CONNECTED='document.querySelector("#status").textContent.trim() === "connected"'

log_is() {
  wait_until 'JSON.stringify([...document.querySelectorAll("#log li")].map((li) => li.textContent))
    === arguments[0]' "$1"
}

@test "the example posts and receives, and shows what was there before" {
  start_own_page
  post '{"name":"bob","message":"early"}' >/dev/null
  browser
  open_page "$URL/"
  wait_until "$CONNECTED"
  log_is '["bob: early"]'
  type_text '#text' "hello <b>all</b>$ENTER"
  log_is '["bob: early","ann: hello <b>all</b>"]'
  wait_until '!document.querySelector("#unsent li")'
  post '{"name":"bob","message":"late"}' >/dev/null
  post '{"data":{"message":"x","name":"y","text":5}}' >/dev/null
  log_is '["bob: early","ann: hello <b>all</b>","bob: late","{\"message\":\"x\",\"name\":\"y\",\"text\":5}"]'
  reload_page
  log_is '["bob: early","ann: hello <b>all</b>","bob: late","{\"message\":\"x\",\"name\":\"y\",\"text\":5}"]'
  same "$(browser_log | grep -v favicon.ico)" ''
}

@test "the example loses nothing, and shows nothing twice, while the server is away" {
  start_own_page --journal "$BATS_TEST_TMPDIR/journal"
  browser
  open_page "$URL/"
  wait_until "$CONNECTED"
  type_text '#text' "one$ENTER"
  log_is '["ann: one"]'
  stop_server
  wait_until "!($CONNECTED)"
  type_text '#text' "two$ENTER"
  type_text '#text' "three$ENTER"
  wait_until 'document.querySelectorAll("#unsent li").length === 2'
  start_server --www page --journal "$BATS_TEST_TMPDIR/journal" --listen "127.0.0.1:$PORT"
  wait_until "$CONNECTED"
  log_is '["ann: one","ann: two","ann: three"]'
  wait_until '!document.querySelector("#unsent li")'
  expect '["one","two","three"]' jq -c '[.messages[].message]' <(curl -s "$URL/messages")
}
