#!/usr/bin/env bats
# The chat page and its connection: what it says while the connection is down, that it always comes
# back, and that no message is lost, doubled or missed without a word.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153
#
# seconds: 70
# build: plain

load lib/helper
load lib/webdriver
load lib/proxies
load lib/page

# Waits until the page says this about the connection: wait_for_status TEXT.
wait_for_status() {
  wait_until '!document.querySelector("#status").classList.contains("unseen")
    && document.querySelector("#status").checkVisibility()
    && document.querySelector("#status").textContent === arguments[0]' "$1"
}

wait_for_retry() {
  wait_until 'document.querySelector("#retry").checkVisibility()'
}

# Succeeds if the page shows that it is connected: nothing but the number of people.
is_connected() {
  wait_until "$CONNECTED && "'document.querySelector("#status").classList.contains("unseen")
    && ["#notice", "#retry"].every((css) => !document.querySelector(css).checkVisibility())
    && document.querySelector("#online").textContent.includes("online")'
}

NEXT_ATTEMPT='/Next attempt in (\d+) s\./.exec(document.querySelector("#when").textContent)'

# Presses "Retry now" and checks that the page is connected before the time at which it would have
# tried by itself.
retry_is_faster() {
  wait_until "$NEXT_ATTEMPT"
  same "$(async_script '
    const next = Date.now() + 1000 * '"$NEXT_ATTEMPT"'[1];
    document.querySelector("#retry").click();
    while (document.querySelector("#status").dataset.state !== "connected") {
      if (Date.now() > next + 60000) return "not connected";
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return Date.now() < next || "not before its time";')" true
}

# ---- What the page says ----

@test "a lost connection is told with the seconds to the next attempt, and the text box stays as it is" {
  start_server --retry 1000
  browser
  join_chat ann
  is_connected
  type_text '#text' 'half a sentence'
  script 'document.querySelector("#text").setSelectionRange(5, 6, "backward")'
  local box='const box = document.querySelector("#text");
    return [box.value, document.activeElement === box, box.selectionStart, box.selectionEnd, box.selectionDirection]'
  stop_server
  wait_for_status 'Reconnecting…'
  wait_for_retry
  wait_until "$NEXT_ATTEMPT"
  wait_for_notice 'The server does not answer.'
  same "$(script "$box")" '["half a sentence",true,5,6,"backward"]'
  start_again --retry 1000
  is_connected
  same "$(script "$box")" '["half a sentence",true,5,6,"backward"]'
}

@test "\"Retry now\" connects at once, and the focus goes back to the text box" {
  start_server --retry 60000
  browser
  open_chat
  stop_server
  wait_for_status 'Reconnecting…'
  wait_until "$NEXT_ATTEMPT"
  local seconds
  seconds=$(script "return ${NEXT_ATTEMPT}[1]")
  wait_until "${NEXT_ATTEMPT}[1] < arguments[0]" "$seconds"
  start_again --retry 60000
  retry_is_faster
  is_connected
  stop_server
  wait_for_retry
  start_again
  script 'document.querySelector("#retry").focus()'
  press Enter
  is_connected
  same "$(script 'return document.activeElement.id')" text
}

# No heartbeat comes that could tell the page anything.
@test "offline is told at once, and what was written then is sent when the browser is online again" {
  start_server --heartbeat 0
  browser
  before_loading 'delete globalThis.SharedWorker' # a worker has a network of its own
  open_chat
  local network='{"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1, "offline": '
  devtools Network.enable '{}'
  devtools Network.emulateNetworkConditions "$network true}"
  wait_for_status Offline
  wait_for_retry
  say one
  say two
  wait_for_pending two
  same "$(on_server)" '[]'
  devtools Network.emulateNetworkConditions "$network false}"
  is_connected
  shows one two
  outbox_is_empty
  same "$(on_server)" '["one","two"]'
}

# The browser of a computer without a network can still reach a server on the same computer.
@test "a tab that says offline is believed by the worker until something comes" {
  start_server --heartbeat 0
  browser
  open_chat
  script 'dispatchEvent(new Event("offline"))'
  wait_for_status Offline
  script 'dispatchEvent(new Event("online"))'
  is_connected
  script 'dispatchEvent(new Event("offline"))'
  wait_for_status Offline
  # What comes in the first second can have been on its way before.
  eventually 'post_as bob "are you there?" && WEBDRIVER_WAIT_SECONDS=1 is_connected'
}

@test "a full server is told, and the page gets in when a place is free" {
  start_server --max-streams 1 --metrics 127.0.0.1:0
  listen stream ''
  browser
  open_page "$URL/"
  wait_for_status 'Server full'
  wait_for_retry
  wait_for_notice 'as soon as a place is free'
  local refused
  refused=$(metric 'ssechat_refused_total{reason="full"}')
  click '#retry'
  eventually "[ \$(metric 'ssechat_refused_total{reason=\"full\"}') -gt $refused ]"
  wait_for_status 'Server full'
  kill "$CLIENT_PID"
  eventually '[ "$(metric ssechat_streams)" = 0 ]'
  retry_is_faster
  is_connected
  say 'got in'
  shows 'got in'
}

# ---- A connection that is silent, refused or ended ----

# The server is suspended, not ended, so its connections stay open but silent, as after a laptop
# has slept. It answers what was asked meanwhile when it goes on.
@test "a connection that is silent for three heartbeats is replaced, without loss, doubles or a gap" {
  start_server --heartbeat 1 --retry 200
  browser
  join_chat ann
  say before
  outbox_is_empty
  suspend_server
  post_as bob meanwhile &
  wait_for_status 'Reconnecting…'
  say mine
  wait_for_pending mine
  resume_server
  wait "$!"
  is_connected
  wait_for_message meanwhile
  outbox_is_empty
  post_as bob after
  wait_for_message after
  same "$(rows)" "$(on_server)"
  same "$(rows | jq -c sort)" '["after","before","meanwhile","mine"]'
}

# Starts nginx in front of the server. It answers requests for the page's data as the file `answer`
# there says: "STATUS" for the stream alone, "all STATUS" also for everything else but the page.
start_gate() {
  command -v nginx >/dev/null || skip 'nginx is not installed'
  local status port=$PORT
  mkdir -p nginx gate
  for _ in {1..20}; do
    pick_port
    {
      nginx_begin
      echo "server { listen 127.0.0.1:$PROXY_PORT;"
      echo "proxy_pass_header Server; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host \$http_host;"
      echo "location / { proxy_pass http://127.0.0.1:$port; }"
      echo 'location ~ ^/(events|messages|rooms)$ {'
      for status in 200 204 403 404 500 502; do
        echo "if (-f $PWD/gate/all-$status) { return $status; }"
        echo "if (-f $PWD/gate\$uri-$status) { return $status; }"
      done
      echo "proxy_buffering off; proxy_pass http://127.0.0.1:$port; } } }"
    } >nginx/conf
    nginx -p "$PWD" -e nginx/log -c nginx/conf </dev/null >nginx/output 2>&1 3>&- &
    PROXY_PID=$!
    eventually "! kill -0 $PROXY_PID 2>/dev/null || has_port $PROXY_PID"
    ! kill -0 "$PROXY_PID" 2>/dev/null || break
  done
  CLIENTS+=("$PROXY_PID")
  URL=http://127.0.0.1:$PROXY_PORT
}

@test "a refused stream is told in words, and the page keeps trying" {
  start_server --retry 200 --journal messages
  start_gate
  browser
  open_chat
  say before
  outbox_is_empty
  local answer said=(before)
  for answer in '502 The server answered 502.' '403 You have no permission' '404 The server answered 404.' '204 The server' '200 The server'; do
    : >"gate/events-${answer%% *}"
    # The stream that is open ends, and the next one is refused: an EventSource ends there for good.
    stop_server
    start_again --retry 200 --journal messages
    wait_for_status 'Not connected'
    wait_for_notice "${answer#* }"
    wait_for_retry
    wait_until "$NEXT_ATTEMPT"
    post_as bob "during ${answer%% *}"
    said+=("during ${answer%% *}")
    rm "gate/events-${answer%% *}"
    is_connected
    shows "${said[@]}"
  done
  same "$(rows)" "$(jq -nc '$ARGS.positional' --args -- "${said[@]}")"
}

@test "a page that was loaded while the server was away recovers" {
  start_server --retry 200
  post_as bob 'in the history'
  start_gate
  : >gate/all-502
  browser
  open_page "$URL/"
  wait_for_status 'Not connected'
  wait_for_notice 'The server answered 502.'
  type_text '#name' "ann$ENTER"
  say 'written too early'
  wait_for_pending 'written too early'
  rm gate/all-502
  is_connected
  shows 'in the history' 'written too early'
  outbox_is_empty
  # The history alone is away.
  : >gate/messages-500
  reload_page
  is_connected
  same "$(script 'return document.querySelector("#log").ariaBusy')" true
  rm gate/messages-500
  shows 'in the history' 'written too early'
  same "$(rows)" '["in the history","written too early"]'
}

# ---- Gaps ----

@test "a restart without a journal is a gap at its place, and with one it is none" {
  start_server --retry 200 --journal messages
  browser
  open_chat
  post_as bob one
  shows one
  stop_server
  start_again --retry 200 --journal messages
  post_as bob two
  shows one two
  is_connected
  same "$(rows)" '["one","two"]'
  stop_server
  wait_for_status 'Reconnecting…'
  # The answer to a POST can be faster than the stream that tells of the gap.
  say mine
  wait_for_pending mine
  start_again --retry 200
  shows one two mine
  is_connected
  post_as bob three
  shows one two mine three
  same "$(rows)" '["one","two","gap: Some messages were missed: the server was restarted.","mine","three"]'
  # A page that is loaded again has missed nothing since, so it shows no gap.
  reload_page
  shows mine three
  same "$(rows)" '["mine","three"]'
}

@test "what the server no longer keeps is a gap, but not in other rooms of the stream" {
  start_server --retry 200 --history 16K
  browser
  before_loading 'delete globalThis.SharedWorker' # the stream of a worker cannot be blocked
  open_chat
  enter_room quiet
  post_as bob 'quiet one' quiet
  shows 'quiet one'
  enter_room lobby
  post_as bob one
  shows one
  devtools Network.enable '{}'
  devtools Network.setBlockedURLs '{"urls": ["*/events*"]}'
  script 'dispatchEvent(new Event("offline")); dispatchEvent(new Event("online"))'
  wait_for_status 'Reconnecting…'
  eventually '[ "$(online)" = 0 ]'
  publish 1 40 "\"name\": \"bob\", \"message\": \"lost # $(times 900 .)\""
  post_as bob 'quiet two' quiet
  devtools Network.setBlockedURLs '{"urls": []}'
  is_connected
  wait_for_message "lost 40 $(times 900 .)"
  contains "$(rows)" '"one","gap: Some messages were missed: the server no longer keeps them.","lost '
  same "$(rows | jq '[.[] | select(startswith("gap"))] | length')" 1
  enter_room quiet
  shows 'quiet one' 'quiet two'
  same "$(rows)" '["quiet one","quiet two"]'
}

# The stream that has the new room resumes from an id of the lobby, after which the server has dropped
# messages of the new room. The page has shown none of them.
@test "a room that is entered has no gap, also if the server no longer keeps all of it" {
  start_server --history 16K
  browser
  open_chat
  publish 1 40 "\"room\": \"busy\", \"name\": \"bob\", \"message\": \"$(times 900 .)#\""
  enter_room busy
  wait_for_message "$(times 900 .)40"
  same "$(rows | jq '[.[] | select(startswith("gap"))] | length')" 0
  enter_room lobby
  same "$(rows)" '[]'
}

@test "messages of two users across an outage come once each, in the same order" {
  start_server --retry 200 --journal messages
  browser
  join_chat ann
  local ann=$BROWSER
  browser
  join_chat ben
  local ben=$BROWSER i
  stop_server
  for i in 1 2 3; do
    BROWSER=$ann
    say "ann $i"
    BROWSER=$ben
    say "ben $i"
  done
  start_again --retry 200 --journal messages
  for BROWSER in "$ann" "$ben"; do
    is_connected
    wait_until 'document.querySelectorAll("#rows .text").length === 6'
    outbox_is_empty
    same "$(rows)" "$(on_server)"
    same "$(script 'return document.querySelectorAll("#rows .own").length')" 3
  done
  same "$(on_server | jq -c 'map(select(startswith("ann"))), map(select(startswith("ben")))')" \
    $'["ann 1","ann 2","ann 3"]\n["ben 1","ben 2","ben 3"]'
}
