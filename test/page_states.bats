#!/usr/bin/env bats
# The accessibility audit of the chat page, in each of its states. lib/audit.js says what is audited, and
# page_audit.bats shows that it finds faults.
#
# seconds: 300
# build: plain

load lib/helper
load lib/webdriver
load lib/audit
load lib/token
load lib/page
load lib/views

# Brings the page into a state with a function, in each language, and audits it in these views.
audit_state() { # FUNCTION VIEW...
  local language found=''
  for language in en zh; do
    browser_in "$language"
    "$1" >/dev/null
    if [ "$language" = en ]; then
      found+=$(audit_views en "${@:2}")$'\n'
    else
      found+=$(audit_views zh "$2" "${!#}")$'\n'
    fi
    webdriver DELETE '' >/dev/null
    stop_all
  done
  same "$(sed '/^$/d' <<<"$found")" ''
}

ALL=('desktop+' 'dark wide' 'phone+' 'low' 'zoomed+' 'forced still' 'dark forced still' 'dark small')
FEW=('desktop+' 'low' 'forced still' 'dark small')

# A user with a name, and a bit of everything: several people, own messages, a mention, a link, code, an
# event that is open.
open_talk() {
  talk "$@"
  click '.event summary'
}

@test "the audit finds nothing in a conversation, at its end and further up" {
  audit_state open_talk "${ALL[@]}"
  audit_state old_talk "${FEW[@]}"
}

# Above the first messages that were loaded.
old_talk() {
  start_server
  publish 1 200
  join_chat ann
  script 'document.querySelector("#scroller").scrollTop = 0'
  post_as mira 'This is new.'
  wait_until 'document.querySelector("#newer").checkVisibility()'
}

@test "the audit finds nothing on a first visit, without messages, and while the name is changed" {
  audit_state first_visit "${ALL[@]}"
  audit_state first_user "${FEW[@]}"
  audit_state renaming "${FEW[@]}"
}

first_visit() {
  server_with_talk
  open_chat
}

first_user() {
  start_server
  open_chat
  wait_until 'document.querySelector("#empty").checkVisibility()'
}

renaming() {
  start_server
  join_chat ann
  click '#rename'
  type_text '#name' "$(times 40 x)$ENTER"
  wait_until 'document.querySelector("#hint").innerText'
}

@test "the audit finds nothing when notifications are on, or blocked by the browser" {
  audit_state notifying "${FEW[@]}"
  audit_state blocked "${FEW[@]}"
}

notifying() {
  start_server
  devtools Browser.grantPermissions '{"permissions": ["notifications"]}'
  join_chat ann
  click '#notifications'
  wait_until 'document.querySelector("#notifications").ariaPressed === "true"'
}

blocked() {
  start_server
  devtools Browser.setPermission '{"permission": {"name": "notifications"}, "setting": "denied"}'
  join_chat ann
  click '#notifications'
  wait_until 'document.querySelector("#notify-hint").innerText'
}

@test "the audit finds nothing when messages fail, wait, and are too long or blank" {
  audit_state failing "${ALL[@]}"
  audit_state too_long "${FEW[@]}"
  audit_state blank "${FEW[@]}"
}

# A message that the server refused, and another that waits for it to come back.
failing() {
  start_server --max-body 1K --retry 30000
  join_chat ann
  paste_text "$(times 60 'Too long for this server. ')"
  press Enter
  wait_until 'document.querySelector("#pending [role=alert]")'
  stop_server
  wait_for_notice ''
  say 'Is anybody there?'
  wait_until 'document.querySelectorAll("#pending .entry").length === 2'
}

too_long() {
  start_server
  join_chat ann
  paste_text "$(times 4100 x)"
  press Enter
  wait_until 'document.querySelector("#hint").innerText'
}

blank() {
  start_server
  join_chat ann
  press Enter
  wait_until 'document.querySelector("#hint").innerText'
}

@test "the audit finds nothing in a conversation with gaps, days and unread messages" {
  audit_state gap "${ALL[@]}"
  audit_state unread "${FEW[@]}"
}

gap() {
  open_talk --retry 200
  stop_server
  start_again
  wait_until "$CONNECTED && document.querySelector('#rows .gap')"
  post_as mira 'What happened?'
  wait_for_message 'What happened?'
}

# Messages arrived while the user was in another room, and one arrives in that room afterwards.
unread() {
  start_server
  join_chat ann '/#lobby'
  post_as mira 'Are you coming?'
  wait_for_message 'Are you coming?'
  enter_room dev
  post_as mira 'We have to leave now.'
  post_as mira '@ann hello?'
  wait_until 'document.querySelector("#rooms .count")'
  enter_room lobby
  wait_until 'document.querySelector("#rows .unread")'
  post_as jonas 'Tests are green.' dev
  wait_until 'document.querySelector("#rooms .count")'
}

@test "the audit finds nothing while the page connects, reconnects, is offline or finds no place" {
  audit_state lost "${ALL[@]}"
  audit_state offline "${FEW[@]}"
  audit_state full "${FEW[@]}"
}

lost() {
  start_server --retry 60000
  join_chat ann
  stop_server
  wait_for_notice ''
}

offline() {
  start_server
  join_chat ann
  devtools Network.emulateNetworkConditions \
    '{"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}'
  wait_until 'document.querySelector("#status").dataset.state === "offline"'
}

full() {
  start_server --max-streams 1
  listen "$BATS_TEST_TMPDIR/stream" ''
  open_page "$URL/"
  wait_for_notice ''
}

@test "the audit finds nothing in the dialogs for tokens" {
  audit_state asking "${ALL[@]}"
  audit_state switching "${FEW[@]}"
}

asking() {
  key_file key "$KEY"
  start_server --key key
  open_page "$URL/"
  wait_until 'document.querySelector("#asking").open'
  type_text '#token' "nonsense$ENTER"
  wait_until 'document.querySelector("#token-error").innerText'
}

switching() {
  key_file key "$KEY"
  start_server --key key
  open_chat "/#token=$(token_of ann)"
  open_page "$URL/#token=$(token_of ben)"
  wait_until 'document.querySelector("#switching").open'
}

token_of() { # NAME
  sign_text "$(printf '%s' "$HEADER" | base64url).$(jq -nc --arg sub "$1" '{sub: $sub, rooms: ["lobby"], publish: true, exp: 4000000000}' | base64url)"
}

@test "the audit finds nothing in the drawer of a phone, with many rooms, odd names and a refused one" {
  audit_state drawer phone+ 'dark low+' 'forced small' small+
}

drawer() {
  odd_names
  devtools Emulation.setDeviceMetricsOverride '{"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true}'
  click 'header .menu'
  type_text '#room' "a,b$ENTER"
  wait_until 'document.querySelector("#room-error").innerText'
}

# Rooms and people with the longest, widest and strangest names.
odd_names() {
  start_server
  post_as "$(times 32 W)" "$(times 300 W)"
  post_as 'שלום עולם' 'שלום! http://example.org/שלום?'
  post_as '<i>x</i>' '<b>bold</b>'
  post_as '__proto__' "$(times 64 '中文')" "$(times 64 m)"
  post_as mira hello 'tea & cake'
  post_as mira hello '中文 &% 房间'
  join_chat "$(times 31 M)y" '/#__proto__'
  enter_room "$(times 64 m)"
  enter_room lobby
  wait_until 'document.querySelectorAll("#rooms a, #offered a").length === 5'
}

@test "the audit finds nothing among odd names, in the menu of a person, and about a hidden one" {
  audit_state odd_names "${FEW[@]}"
  audit_state person "${FEW[@]}"
  audit_state hidden "${FEW[@]}"
}

person() {
  server_with_talk
  join_chat ann
  wait_until 'document.querySelector("#people button")'
  click '#people button'
  wait_until 'document.querySelector("#person").open'
}

hidden() {
  person
  click '#hide'
  wait_until 'document.querySelector("#people").innerText.match(/hidden|隐藏/)'
}

@test "the audit finds nothing when the browser's text is twice as large" {
  # shellcheck disable=SC2034 # for browser()
  BROWSER_FLAGS=("--blink-settings=defaultFontSize=32,defaultFixedFontSize=26")
  audit_state open_talk 'desktop+' 'dark phone+'
  audit_state failing desktop phone
  audit_state drawer phone+
  audit_state asking desktop phone
}
