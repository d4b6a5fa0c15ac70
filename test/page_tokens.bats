#!/usr/bin/env bats
# The chat page of a server with --key: how a user's token is taken from a link or asked for, what
# happens when it expires or is replaced, and where it is never seen.
# shellcheck disable=SC2016,SC2034,SC2154
#
# seconds: 85
# build: plain

load lib/helper
load lib/webdriver
load lib/page
load lib/gate

# Starts a server with a key; `sign` makes tokens for it.
start_guarded() {
  make_key
  start_server --key key --log-level debug
}

# The same with a gate in front, which records the tokens of all requests.
start_guarded_gate() {
  make_key
  start_gate --key key --log-level debug
}

make_key() {
  (umask 077 && openssl rand -hex 32 >key)
}

sign() {
  "$SSECHAT" token --key key "$@"
}

# Opens a path with a token after the '#'. A new number in the query makes the browser load the
# page, instead of only reporting that the hash has changed.
follow_link() { # TOKEN [PATH]
  open_page "$URL${2:-/?link=$((LINKS += 1))}#token=$1"
}

# Follows a link and waits until its user is here.
sign_in() { # TOKEN NAME
  follow_link "$1"
  wait_for_people "$2"
}

is_open() {
  script 'return document.querySelector(arguments[0]).open' "$1"
}

# Enters a token into the dialog that asks for one.
show_token() {
  is_asked
  type_text '#token' "$1$ENTER"
}

is_asked() {
  wait_until 'document.querySelector("#asking").open'
}

# Prints the text of the message on its way that failed.
failure() {
  script 'return document.querySelector("#pending .failed")?.innerText ?? ""'
}

# ---- A token ----

@test "a token in the URL fragment signs a user in and appears nowhere else" {
  start_guarded
  browser
  local token seen
  token=$(sign --sub ann --rooms garden,lobby --publish)
  sign_in "$token" ann
  same "$(script 'return [...document.querySelectorAll("#name, #rename")].filter((e) => e.checkVisibility()).length')" 0
  same "$(script 'return [document.querySelector("#title").textContent, document.querySelector("#me").textContent]')" \
    '["garden","ann"]'
  lacks "$(script 'return location.href')" token
  say 'signed'
  shows 'signed'
  outbox_is_empty
  ask "/messages?room=garden&access_token=$token"
  same "$(jq -r '.messages[0].name' <<<"$BODY")" ann

  reload_page
  is_loaded
  shows 'signed'
  wait_for_people ann
  same "$(script 'return document.querySelectorAll("#rows .own").length')" 1

  seen=$(script 'return JSON.stringify(localStorage) + document.cookie + location.href + document.referrer
    + document.documentElement.outerHTML')
  lacks "$seen" "${token#*.}"
  same "$(browser_log)" ''
  lacks "$(<"$SERVER_LOG")" "${token##*.}"
}

@test "each user has a name, rooms, drafts and messages of their own in one browser" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish)" ann
  say 'by ann'
  shows 'by ann'
  outbox_is_empty
  type_text '#text' 'half a thought of ann'
  open_tab
  sign_in "$(sign --sub bob --rooms lobby --publish)" ann,bob
  shows 'by ann'
  same "$(script 'return [document.querySelector("#text").value, document.querySelectorAll("#rows .own").length]')" '["",0]'
}

# ---- Asking for a token ----

@test "a user without a token is asked for one, in words for people" {
  start_guarded
  local BROWSER_FLAGS language
  for language in en zh; do
    BROWSER_FLAGS=("--lang=$language" "--accept-lang=$language")
    browser
    open_page "$URL/"
    is_asked
    run script 'return document.querySelector("#asking").innerText'
    case $language in
    en)
      contains "$output" 'This chat needs an invitation.'
      contains "$output" 'Open the link you were given'
      lacks "$output" 401
      ;;
    zh) contains "$output" '需要邀请' ;;
    esac
    same "$(script 'return [document.activeElement.id, document.documentElement.lang.slice(0, 2)]')" "[\"token\",\"$language\"]"
    show_token 'not a token'
    wait_until 'document.querySelector("#token-error").textContent.length > 3'
    same "$(is_open '#asking')" true
    # A well-formed one that is not of this server.
    show_token e30.e30.e30
    is_asked
    show_token "$(sign --sub "bob$language" --rooms lobby --publish)"
    wait_until 'document.querySelector("#me").textContent === arguments[0]' "bob$language"
    is_loaded
    same "$(is_open '#asking')" false
    say "let in $language"
    wait_for_message "let in $language"
    outbox_is_empty
    open_page about:blank
  done
}

@test "the question can be put off, and comes again with the next attempt" {
  start_guarded
  browser
  open_page "$URL/"
  is_asked
  press Escape
  same "$(is_open '#asking')" false
  wait_for_notice 'Your sign-in is missing or has expired.'
  click '#retry'
  is_asked
  press Escape
  # So does a message, which then waits for the token.
  say patience
  is_asked
  wait_for_pending patience
  show_token "$(sign --rooms lobby --publish)"
  shows patience
  outbox_is_empty
}

@test "a link with a malformed token makes the page ask for another" {
  start_guarded
  browser
  # {"rooms":[1],"sub":{},"exp":"x"}
  open_page "$URL/#token=e30.eyJyb29tcyI6WzFdLCJzdWIiOnt9LCJleHAiOiJ4In0.e30"
  show_token "$(sign --sub bob --rooms lobby --publish)"
  wait_for_people bob
}

@test "a token for other rooms is told in words, and the next one opens its own room" {
  start_guarded
  browser
  open_page "$URL/?room=garden#token=$(sign --sub ann --rooms lobby --publish)"
  wait_for_notice 'You have no permission'
  same "$(is_open '#asking')" false
  follow_link "$(sign --sub ann --rooms garden --publish)" '/?room=garden'
  wait_until 'document.querySelector("#switching").open'
  click '#switching [value=switch]'
  wait_until "$CONNECTED"
  wait_for_people ann
  # A token for another room than those that were open before, after a link and after a question.
  follow_link "$(sign --sub ann --rooms kitchen --publish)" /
  wait_until 'document.querySelector("#switching").open'
  click '#switching [value=switch]'
  in_room kitchen
  browser
  open_page "$URL/"
  show_token "$(sign --rooms attic --publish)"
  in_room attic
  say hello
  shows hello
}

@test "a link with a new token of the same user answers the question" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish --ttl 5s)" ann
  is_asked
  script 'location.hash = "#token=" + arguments[0]' "$(sign --sub ann --rooms lobby --publish)" >/dev/null
  wait_until '!document.querySelector("#asking").open'
  wait_until "$CONNECTED"
  say 'after'
  shows 'after'
}

@test "a page whose token expires asks for another, resumes where it was, and sends what waited" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish --ttl 15s)" ann
  say 'before'
  shows 'before'
  outbox_is_empty
  is_asked
  same "$(script 'return document.querySelector("#status").textContent')" 'Not connected'
  press Escape
  say 'patience'
  is_asked
  accepts '{"message":"meanwhile"}' -H "Authorization: Bearer $(sign --sub bob --rooms lobby --publish)"
  show_token "$(sign --sub ann --rooms lobby --publish)"
  wait_until "$CONNECTED"
  shows before meanwhile patience
  outbox_is_empty
  say 'after'
  shows before meanwhile patience after
  outbox_is_empty
  same "$(script 'return document.querySelectorAll("#rows .gap").length')" 0
}

@test "a user whose token allows only reading is told so when writing" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby)" ann
  say 'may I?'
  wait_until 'document.querySelector("#pending .failed [role=alert]")'
  contains "$(failure)" 'may I?'
  contains "$(failure)" 'You have no permission to do this here.'
  same "$(is_open '#asking')" false
  # It can be sent with a better token of the same user.
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  wait_until 'document.querySelector("#switching").open'
  click '#switching [value=switch]'
  wait_until 'document.querySelector("#pending .failed button")'
  click '#pending .failed button'
  shows 'may I?'
  outbox_is_empty
}

# ---- Links with another token ----

wait_for_question() {
  wait_until 'document.querySelector("#switching").open'
}

token_in_use() {
  script 'return sessionStorage.token'
}

@test "a link with another token asks first, and the page goes on with its own until then" {
  start_guarded_gate
  browser
  local ann bob path
  ann=$(sign --sub ann --rooms lobby --publish)
  bob=$(sign --sub bob --rooms lobby --publish)
  sign_in "$ann" ann
  # The first link loads the page, the second one only changes the hash.
  for path in '/?again' '/?again'; do
    follow_link "$bob" "$path"
    wait_for_question
    wait_until "$CONNECTED"
    wait_for_people ann
    same "$(script 'return location.href')" "$URL$path"
    contains "$(script 'return document.querySelector("#switching").innerText')" \
      'You are signed in as ann, the link is for bob.'
    same "$(token_in_use)" "$ann"
    same "$(focused)" 'button Keep mine'
    press Enter
    wait_until '!document.querySelector("#switching").open'
    say "still ann at $path"
    outbox_is_empty
  done
  contains "$(<gate/requests)" "$ann"
  lacks "$(<gate/requests)" "$bob"
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[].name]' <<<"$BODY")" '["ann","ann"]'
  reload_page
  is_loaded
  wait_for_people ann
}

@test "after \"Switch\", the token of the link is used" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish)" ann
  follow_link "$(sign --sub bob --rooms garden --publish)"
  wait_for_question
  click '#switching [value=switch]'
  wait_for_people bob
  in_room garden
  # From bob to a token without a name, which lets the user choose one.
  follow_link "$(sign --rooms garden --publish)"
  wait_for_question
  contains "$(script 'return document.querySelector("#switching-why").textContent')" \
    'You are signed in as bob, the link is for anonymous.'
  click '#switching [value=switch]'
  wait_until 'document.querySelector("#name").checkVisibility()'
  is_loaded
  type_text '#name' "zoe$ENTER"
  wait_for_people zoe
}

@test "the question can be answered with the keyboard, and names itself to screen readers" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish)" ann
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  same "$(script 'const box = document.querySelector("#switching");
    return [box.role || box.getAttribute("role"), box.matches(":modal"),
      ...["aria-labelledby", "aria-describedby"].map((name) =>
        document.getElementById(box.getAttribute(name)).textContent.length > 20)]')" \
    '["alertdialog",true,true,true]'
  press Escape
  wait_until '!document.querySelector("#switching").open'
  wait_for_people ann
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  press Shift+Tab
  same "$(focused)" 'button Switch'
  press Enter
  wait_for_people bob
}

@test "a link with the token in use, or without one, asks nothing and changes nothing" {
  start_guarded_gate
  browser
  local ann path
  ann=$(sign --sub ann --rooms lobby --publish)
  sign_in "$ann" ann
  open_page "$URL/?again#token=$ann"
  is_loaded
  wait_for_people ann
  : >gate/requests
  for path in "token=$ann" token=; do
    open_page "$URL/?again#$path"
    wait_until 'location.hash === ""'
    same "$(is_open '#switching') $(token_in_use)" "false $ann"
  done
  is_loaded
  wait_for_people ann
  # Of the links, only the first one loaded the page and opened a stream.
  lacks "$(<gate/requests)" 'GET /events'
}

@test "a second link does not change the question about the first one" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish)" ann
  follow_link "$(sign --sub bob --rooms lobby --publish)" '/?one'
  wait_for_question
  follow_link "$(sign --sub eve --rooms lobby --publish)" '/?one'
  wait_until 'location.hash === ""'
  contains "$(script 'return document.querySelector("#switching-why").textContent')" 'for bob.'
  click '#switching [value=switch]'
  wait_for_people bob
}

@test "a link with a malformed token does not take the token in use away" {
  start_guarded
  browser
  sign_in "$(sign --sub ann --rooms lobby --publish)" ann
  # {"rooms":[1],"sub":{},"exp":"x"}
  follow_link e30.eyJyb29tcyI6WzFdLCJzdWIiOnt9LCJleHAiOiJ4In0.e30
  wait_for_question
  click '#switching [value=keep]'
  wait_until "$CONNECTED"
  wait_for_people ann
}

@test "a link replaces an expired token without a question" {
  start_guarded
  browser
  follow_link "$(sign --sub ann --rooms lobby --publish --ttl 1s)"
  is_asked
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  is_loaded
  wait_for_people ann
  same "$(is_open '#switching') $(is_open '#asking')" 'false false'
}

@test "another tab takes the token of its link, and the first tab keeps its own" {
  start_guarded
  browser
  local first ann bob
  ann=$(sign --sub ann --rooms lobby --publish)
  bob=$(sign --sub bob --rooms lobby --publish)
  sign_in "$ann" ann
  first=$(this_tab)
  open_tab
  sign_in "$bob" ann,bob
  same "$(is_open '#switching')" false
  say 'from bob'
  shows 'from bob'
  outbox_is_empty
  go_to_tab "$first"
  reload_page
  is_loaded
  wait_for_people ann,bob
  same "$(is_open '#switching') $(token_in_use)" "false $ann"
  say 'from ann'
  shows 'from bob' 'from ann'
  outbox_is_empty
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[].name]' <<<"$BODY")" '["bob","ann"]'
  # A tab that this tab opens begins with a copy of its session.
  script 'window.open("/?copy#token=" + arguments[0])' "$bob" >/dev/null
  eventually '[ "$(webdriver GET /window/handles | jq length)" = 3 ]'
  go_to_tab "$(webdriver GET /window/handles | jq -r 'last')"
  wait_for_question
  same "$(token_in_use)" "$ann"
}

@test "a message that waits is not sent under another user's token, but stays for its own user" {
  start_guarded_gate
  browser
  local ann
  ann=$(sign --sub ann --rooms lobby --publish)
  sign_in "$ann" ann
  gate '503 1'
  say 'only by ann'
  await_posts 1
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  click '#switching [value=switch]'
  wait_for_people bob
  gate pass
  say 'by bob'
  shows 'by bob'
  outbox_is_empty
  reload_page
  is_loaded
  same "$(script 'return document.querySelector("#pending").childElementCount')" 0
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[].message]' <<<"$BODY")" '["by bob"]'
  follow_link "$ann"
  wait_for_question
  click '#switching [value=switch]'
  shows 'by bob' 'only by ann'
  outbox_is_empty
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[] | [.name, .message]]' <<<"$BODY")" '[["bob","by bob"],["ann","only by ann"]]'
}

# ---- Other windows ----

@test "a site that opened the page in a window has no handle of it" {
  start_server
  local other=$URL
  start_server
  browser
  open_page "${other/127.0.0.1/localhost}/healthz"
  script 'window.page = window.open(arguments[0])' "$URL/" >/dev/null
  wait_until 'page.closed'
}
