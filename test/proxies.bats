#!/usr/bin/env bats
# The server behind real proxies, with the configurations in dist/ and docs/proxies.md as they are
# there. All of 127.0.0.0/8 belongs to this machine, so curl can play clients with different addresses
# through --interface 127.0.0.2 and so on.
#
# Each test tries one behaviour behind each proxy in turn: nginx, HAProxy and Caddy, and in the long
# form also Apache, lighttpd and Varnish.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154
#
# seconds: 110
# build: plain
# long: three more proxies, and silence for longer than a minute

bats_require_minimum_version 1.5.0
load lib/helper
load lib/proxies
load lib/webdriver

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || [ -z "$PROXY" ] || {
    printf 'behind %s\n' "$PROXY"
    tail -n 5 "$BATS_TEST_TMPDIR/$PROXY/$PROXY"/{output,log} 2>/dev/null
  } >&2
  webdriver_stop
  stop_all
}

ALL="nginx haproxy caddy $(scaled '' 'apache lighttpd varnish')"
TLS="nginx haproxy caddy $(scaled '' 'apache lighttpd')"

# Runs a function with each proxy in turn, each in its own folder: behind "PROXY..." FUNCTION. The
# function starts the server and the proxy. (`|| return` would switch `set -e` off in the function.)
behind() {
  local proxy
  for proxy in $1; do
    mkdir "$BATS_TEST_TMPDIR/$proxy"
    cd "$BATS_TEST_TMPDIR/$proxy" || exit
    "$2" "$proxy"
    stop_all
  done
}

# Starts a server with these options, and a proxy in front of it: start_behind PROXY [options].
start_behind() {
  start_server --trust-proxy 127.0.0.1 "${@:2}"
  start_proxy "$1"
}

# Starts the server again on its port, which the proxy knows. URL stays the proxy's.
start_again() {
  local url=$URL
  start_server --listen "${SERVER_URL#http://}" --trust-proxy 127.0.0.1 "$@"
  URL=$url
}

# Prints how many streams are in the lobby.
online() {
  curl -s "$SERVER_URL/rooms" | jq '[.rooms[] | select(.room == "lobby").online] | add // 0'
}

# Checks that the last answer is a stream that was refused, because its address has too many.
is_busy() {
  contains "$STATUS $(field Content-Type)" '200 text/event-stream'
  [[ $BODY =~ data:\ \{\"reason\":\"address\",\"retry\":[0-9]+\} ]]
}

# Prints the texts of the messages in a file, in order.
messages() {
  events_of "$1" message | jq -r .data.message | paste -sd ' '
}

# ---- Streams ----

# There are no heartbeats, so nothing later could push an event through a buffer.
arrives_at_once() {
  start_behind "$1" --heartbeat 0
  listen stream 'name=ann'
  accepts '{"message":"one"}'
  await_text stream one
  accepts '{"message":"two"}'
  await_text stream two
  same "$(names stream)" 'retry ready presence message message'
}

@test "a stream and each event arrive at once" {
  behind "$ALL" arrives_at_once
}

passes_heartbeats() {
  start_behind "$1" --heartbeat 1
  listen stream ''
  await stream heartbeat 3
  same "$(online)" 1
  # The server notices that a reader has left.
  kill "$CLIENT_PID"
  eventually '[ "$(online)" = 0 ]'
}

@test "heartbeats pass, and the server notices that a reader has left" {
  behind "$ALL" passes_heartbeats
}

resumes() {
  local ids=() id
  start_behind "$1"
  for id in one two three; do
    accepts "{\"message\":\"$id\"}"
    ids+=("$ID")
  done
  listen header '' -H "Last-Event-ID: ${ids[0]}"
  same "$(messages header)" 'two three'
  listen parameter "last_event_id=${ids[1]}"
  same "$(messages parameter)" three
  listen both "last_event_id=${ids[0]}" -H "Last-Event-ID: ${ids[1]}"
  same "$(messages both)" three
  listen neither ''
  same "$(messages neither)" ''
}

@test "a client resumes by Last-Event-ID and by last_event_id" {
  behind "$ALL" resumes
}

# ---- Clients ----

counts_clients() {
  local i
  start_behind "$1" --heartbeat 1 --max-streams-per-ip 1 --post-rate 1
  listen one '' --interface 127.0.0.2
  ask /events --interface 127.0.0.2
  is_busy
  ask /events --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.1'
  is_busy
  ask /events --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.1, 127.0.0.1' -H 'X-Forwarded-For: 203.0.113.2'
  is_busy
  ask /events --interface 127.0.0.2 -H 'X-Forwarded-For: unknown'
  is_busy
  ask /events --interface 127.0.0.2 -H 'Forwarded: for=203.0.113.1'
  is_busy
  listen two '' --interface 127.0.0.3
  for i in {1..60}; do
    post '{"message":"x"}' --interface 127.0.0.2 -H "X-Forwarded-For: 203.0.113.$i"
    [ "$STATUS" = 201 ] || break
  done
  same "$STATUS $(field Retry-After)" '429 1'
  contains "$BODY" 'Your address (127.0.0.2) '
  accepts '{"message":"from three"}' --interface 127.0.0.3
  await_text one 'from three'
  kill "${CLIENTS[1]}"
  eventually '[ "$(online)" = 1 ]'
  listen again '' --interface 127.0.0.2
}

@test "limits count the proxy's client, whatever address the client claims" {
  behind "$ALL" counts_clients
}

counts_as_one() {
  start_server --max-streams-per-ip 1
  start_proxy "$1"
  listen one '' --interface 127.0.0.2
  ask /events --interface 127.0.0.3
  is_busy
  grep -q '^warn: hint=".*--trust-proxy' "$SERVER_LOG"
}

@test "without --trust-proxy, clients behind a proxy count as one, and the log says what to do" {
  behind nginx counts_as_one
}

uses_a_unix_socket() {
  start_server # for start_proxy's question
  SOCKET=$PWD/socket
  start_server --listen 127.0.0.1:0 --listen "unix:$SOCKET?mode=0660" --trust-proxy unix --max-streams-per-ip 1
  same "$(stat -c %A "$SOCKET")" srw-rw----
  UPSTREAM=unix:$SOCKET start_proxy "$1"
  listen one '' --interface 127.0.0.2
  ask /events --interface 127.0.0.2 -H 'X-Forwarded-For: 203.0.113.1'
  is_busy
  listen two '' --interface 127.0.0.3
}

@test "a proxy reaches the server through a unix socket that only its group may open" {
  behind nginx uses_a_unix_socket
}

# ---- Pages ----

takes_posts() {
  start_behind "$1"
  accepts '{"message":"one"}' -H "Origin: $URL"
  refuses 403 '{"message":"x"}' -H "Origin: ${URL%:*}"
  refuses 403 '{"message":"x"}' -H "Origin: $SERVER_URL"
  refuses 403 '{"message":"x"}' -H 'Origin: https://evil.example'
}

@test "a POST from the proxy's own page is accepted, and from others it is not" {
  behind "$ALL" takes_posts
}

# Opens a browser that finds chat.example on this machine and accepts its certificate.
open_browser() {
  BROWSER_FLAGS=("--host-resolver-rules=MAP chat.example 127.0.0.1" --ignore-certificate-errors)
  webdriver_start
  browser
}

shows_the_page() {
  start_behind "$1"
  open_page "$URL/"
  wait_until 'document.querySelector("#status").dataset.state === "connected"'
  type_text '#name' "ann$ENTER"
  type_text '#text' "hello$ENTER"
  wait_until '!document.querySelector("#pending").firstElementChild'
  wait_until '[...document.querySelectorAll("#rows .text")].some((text) => text.textContent === "hello")'
  wait_until 'document.querySelector("#people .person")?.textContent.includes("ann")'
  same "$(script 'return performance.getEntriesByType("navigation")[0].nextHopProtocol')" h2
  # Twelve streams besides the page's, and a POST among them.
  script 'window.texts = [];
    for (let i = 0; i < 12; i++)
      new EventSource("events").onmessage = (e) => texts.push(JSON.parse(e.data).message)' >/dev/null
  eventually '[ "$(online)" = 13 ]'
  same "$(async_script 'return (await fetch("messages", {method: "POST",
    headers: {"Content-Type": "application/json"}, body: JSON.stringify({message: "to all"})})).status')" 201
  wait_until 'texts.length === 12 && texts.every((t) => t === "to all")'
}

@test "a browser shows the page over HTTP/2, with twelve more streams, and posts" {
  open_browser
  behind "nginx haproxy caddy $(scaled '' apache)" shows_the_page
}

leads_to_https() {
  start_behind "$1"
  same "$(curl -sS -m 30 -o /dev/null -w '%{http_code} %{redirect_url}' -H 'Host: chat.example' \
    "http://127.0.0.2:$PROXY_PORT/events?room=x")" '301 https://chat.example/events?room=x'
}

@test "http leads to https" {
  behind "nginx haproxy $(scaled '' 'apache lighttpd')" leads_to_https
}

# ---- The doctor ----

# Starts the doctor in the background. Its curl reads no .curlrc.
start_doctor() { # [options]
  mkdir bin
  printf '#!/bin/sh\nexec %s "$@" --resolve %s\n' "$(command -v curl)" "chat.example:$PROXY_PORT:127.0.0.1" >bin/curl
  chmod +x bin/curl
  PATH=$PWD/bin:$PATH "$ROOT/dist/ssechat-doctor" --interface 127.0.0.2 "$@" "$URL" >doctor 2>&1 3>&- &
  DOCTOR=$!
  CLIENTS+=("$DOCTOR")
}

# All proxies are checked at the same time.
@test "ssechat-doctor finds nothing wrong" {
  local options doctors=() check
  read -ra options <<<"$(scaled '--idle 5' '')"
  for PROXY in $ALL; do
    mkdir "$BATS_TEST_TMPDIR/$PROXY"
    cd "$BATS_TEST_TMPDIR/$PROXY"
    start_behind "$PROXY" --heartbeat 1 --post-rate 5 --max-streams-per-ip 64
    start_doctor "${options[@]}"
    doctors+=("$DOCTOR $PROXY")
  done
  for PROXY in "${doctors[@]}"; do
    read -r DOCTOR PROXY <<<"$PROXY"
    cd "$BATS_TEST_TMPDIR/$PROXY"
    CLIENT_STATUS=0
    wait "$DOCTOR" || CLIENT_STATUS=$?
    cat doctor
    same "$CLIENT_STATUS" 0
    for check in post buffering cache second resume resume-url body forged address idle poll; do
      grep -q "^ok     $check " doctor
    done
    # lighttpd closes a connection after 5 seconds without a request.
    grep -qE "^(ok    |note  ) kept " doctor
  done
}

# Prints the doctor's lines to change for a proxy which have directives, each behind the name of its fault.
lines_to_change() { # PROXY
  sed -n '/^fixes() {/,/^END/'"s/^\([a-z-]*\) $1 /\1 /p" "$ROOT/dist/ssechat-doctor" |
    grep -vE '^[a-z-]+ (remove|take|do not|load) '
}

# Prints the directives of such a line: what is before four spaces, and what is in backticks after them.
directives() {
  printf '%s\n' "${1%%    *}"
  [[ $1 != *'    '* ]] || grep -o '`[^`]*`' <<<"${1#*    }" | tr -d '`'
}

# Lets a proxy read a small configuration with each of its lines: accepts_lines PROXY NAME, where NAME is
# the doctor's. `read_PROXY FAULT DIRECTIVES` knows where the directives go.
accepts_lines() {
  local fault line count=0
  while read -r fault line; do
    printf '%s %s: %s\n' "$2" "$fault" "$line"
    "read_$1" "$fault" "$(directives "$line")"
    count=$((count + 1))
  done < <(lines_to_change "$2")
  [ "$count" -gt 0 ]
}

read_nginx() {
  local upstream='' location='proxy_pass http://chat;'
  case $1 in
  kept) upstream=$2 ;;
  query) location=$2 ;;
  *) location+=$2 ;;
  esac
  echo "pid pid; events {} http { access_log off; upstream chat { server 127.0.0.1:8080; $upstream }
    server { listen unix:socket; location / { $location } } }" >conf
  nginx -t -q -p "$PWD" -e log -c conf
}

read_haproxy() {
  local defaults='' server=''
  case $1 in
  kept) server=$2 ;;
  *) defaults=$2 ;;
  esac
  printf '%s\n' defaults 'mode http' 'timeout connect 5s' 'timeout client 1m' 'timeout server 1m' "$defaults" \
    'listen chat' "bind unix@$PWD/socket" "server chat 127.0.0.1:8080 $server" >conf
  haproxy -c -q -f conf
}

read_caddy() {
  local site='' proxy=''
  case $1 in
  buffering) proxy=$2 ;;
  *) site=$2 ;;
  esac
  printf '%s\n' 'http://:8080 {' "$site" 'reverse_proxy 127.0.0.1:8080 {' "$proxy" '}' '}' >conf
  HOME=$PWD caddy validate --config conf --adapter caddyfile
}

read_apache() {
  local name
  {
    printf '%s\n' "ServerRoot $PWD" "DefaultRuntimeDir $PWD" 'ServerName localhost' "ErrorLog $PWD/log"
    for name in mpm_event authz_core setenvif cache proxy proxy_http; do
      echo "Include /etc/apache2/mods-available/$name.load"
    done
    printf '%s\n' "$2"
  } >conf
  apache2 -t -f "$PWD/conf"
}

read_lighttpd() {
  local line global='' server=''
  while read -r line; do
    case $line in
    '"'*) server+=", $line" ;;
    *) global+=$line$'\n' ;;
    esac
  done <<<"$2"
  printf '%s\n' "server.document-root = \"$PWD\"" 'server.modules = ( "mod_proxy" )' "$global" \
    "proxy.server = ( \"\" => (( \"host\" => \"127.0.0.1\", \"port\" => 8080 $server )) )" >conf
  same "$(lighttpd -tt -f conf 2>&1)" '' # it only warns about unknown names
}

read_varnish() {
  local backend='' receive='' fetched=''
  case $1 in
  timeout) backend=$2 ;;
  compression) fetched=$2 ;;
  *) receive=$2 ;;
  esac
  echo "vcl 4.1; backend chat { .host = \"127.0.0.1\"; $backend } sub vcl_recv { $receive }
    sub vcl_backend_response { $fetched }" >conf
  varnishd -j none -C -f "$PWD/conf" >varnish.log 2>&1 || { cat varnish.log && false; }
}

@test "the proxies accept the lines that the doctor says" {
  accepts_lines nginx nginx
  accepts_lines haproxy HAProxy
  accepts_lines caddy Caddy
  if [ "${LONG:-}" = 1 ]; then
    accepts_lines apache Apache
    accepts_lines lighttpd lighttpd
    accepts_lines varnish Varnish
  fi
}

# ---- HTTP/2 ----

speaks_http2() {
  local options=(-sS -m 30 -o /dev/null -w '%{http_code} %{http_version} ')
  start_behind "$1"
  same "$(curl "${options[@]}" "$URL/" --next "${options[@]}" "$URL/messages" -H 'Content-Type: application/json' \
    -d '{"message":"one"}' --next "${options[@]}" -I "$URL/events")" '200 2 201 2 200 2 '
  same "$(curl "${options[@]}" --http1.1 "$URL/")" '200 1.1 '
  listen stream 'history=1' -D head
  contains "$(cat head)" 'HTTP/2 200'
  same "$(messages stream)" one
  # curl ends this GET with an empty DATA frame. HAProxy makes a chunked body of no bytes from that.
  listen empty 'history=1' -X GET -T -
  same "$(messages empty)" one
}

@test "clients use HTTP/2, and HTTP/1.1 if they want" {
  behind "$TLS" speaks_http2
}

# lighttpd allows eight requests at a time on a connection. Apache begins with six, and allows more
# when some have ended.
shares_a_connection() {
  local count=12 urls=() i
  case $1 in
  apache) count=6 ;;
  lighttpd) count=8 ;;
  esac
  start_behind "$1"
  for ((i = 1; i <= count; i++)); do
    urls+=(-o "stream$i" "$URL/events?name=n$i")
  done
  curl -sSN -m 120 --no-progress-meter --parallel "${urls[@]}" 3>&- &
  CLIENTS+=($!)
  eventually "[ \"\$(online)\" = $count ]"
  same "$(ss -tnH state established "dport = :$PROXY_PORT and src 127.0.0.0/8" | wc -l)" 1
  accepts '{"message":"to all"}'
  for ((i = 1; i <= count; i++)); do
    await_text "stream$i" 'to all'
  done
}

@test "twelve streams share one HTTP/2 connection" {
  behind "$TLS" shares_a_connection
}

# ---- Time ----

# Prints how many connections between proxy and server have ended lately. The side that closes first
# remembers a connection for a minute.
ended() {
  ss -tnaH state time-wait "dport = :$PORT or sport = :$PORT" | wc -l
}

shares_server_connections() {
  local before
  start_behind "$1"
  before=$(ended)
  curl -sS -m 30 -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' -d '{"message":"x"}' \
    "$URL/messages?[1-5]" >seen
  same "$(paste -sd ' ' seen)" '201 201 201 201 201'
  # A connection for each request would make it 5. A health check of HAProxy can leave one.
  between $(($(ended) - before)) 0 3
}

@test "the requests of a client share a connection to the server" {
  behind "nginx haproxy caddy $(scaled '' 'apache varnish')" shares_server_connections
}

# Starts clients in the background that send a long poll and two POSTs over one connection, SECONDS
# apart: start_clients POLL SECONDS... For each request, they write its status and how many
# connections it has opened.
start_clients() {
  local seconds version post
  post=(-sS -m 180 -o /dev/null -w '%{http_code} %{num_connects}\n' -H 'Content-Type: application/json'
    -d '{"message":"x"}')
  for seconds in "${@:2}"; do
    for version in --http1.1 --http2; do
      curl "$version" --rate "$((3600 / seconds))/h" -sS -m 180 -o /dev/null -w '%{http_code} %{num_connects}\n' \
        "$URL/messages?room=quiet&wait=$1" --next "$version" "${post[@]}" "$URL/messages" \
        --next "$version" "${post[@]}" "$URL/messages" >"seen.$seconds$version" 3>&- &
      CLIENTS+=($!)
      WAITING+=($!)
    done
  done
}

# All proxies wait at the same time. In the long form, connections are silent for longer than most
# programs keep them, and nothing but heartbeats passes on the streams for all the time.
@test "long polls are answered, and after a silence POSTs and streams still work" {
  local pid file times
  read -ra times <<<"$(scaled '2 3' '55 65 78')"
  WAITING=()
  for PROXY in $ALL; do
    mkdir "$BATS_TEST_TMPDIR/$PROXY"
    cd "$BATS_TEST_TMPDIR/$PROXY"
    start_behind "$PROXY"
    listen stream 'room=silent' -m 300
    echo "$URL" >url
    start_clients "${times[@]}"
  done
  for pid in "${WAITING[@]}"; do
    wait "$pid"
  done
  for PROXY in $ALL; do
    cd "$BATS_TEST_TMPDIR/$PROXY"
    for file in seen.*; do
      same "$file $(cut -d ' ' -f 1 "$file" | paste -sd ' ')" "$file 200 201 201"
      # After a short silence, it is still the same connection.
      [ "${LONG:-}" = 1 ] || same "$(cut -d ' ' -f 2 "$file" | paste -sd ' ')" '1 0 0'
    done
    URL=$(<url)
    export CURL_HOME=$PWD/curl
    accepts '{"room":"silent","message":"still here"}'
    await_text stream 'still here'
  done
}

# ---- Restarts ----

# Checks what clients get while the server is away.
is_away() {
  post '{"message":"x"}'
  contains '502 503' "$STATUS"
  lacks "$(field Content-Type)" text/event-stream
  ask /events
  case $1 in
  apache | lighttpd) same "$STATUS" 503 ;;
  *)
    contains "$STATUS $(field Content-Type)" '200 text/event-stream'
    printf '%s\n\n' "$BODY" >away
    lacks "$(names away)" ready
    ;;
  esac
}

comes_back() {
  local id
  start_behind "$1" --journal "$PWD/journal"
  listen first ''
  accepts '{"message":"one"}'
  await_text first one
  id=$ID
  stop_server
  await_end "$CLIENT_PID"
  is_away "$1"
  start_again --journal "$PWD/journal"
  eventually 'post "{\"message\":\"two\"}" -H "Idempotency-Key: two"; [[ $STATUS = 20[01] ]]'
  listen second '' -H "Last-Event-ID: $id"
  accepts '{"message":"three"}'
  id=$ID
  await_text second three
  # A crash also ends the stream.
  kill -s KILL "$SERVER_PID"
  wait "$SERVER_PID" || true
  unset "SERVERS[$SERVER_PID]"
  await_end "$CLIENT_PID"
  start_again --journal "$PWD/journal"
  eventually 'post "{\"message\":\"four\"}" -H "Idempotency-Key: four"; [[ $STATUS = 20[01] ]]'
  listen third '' -H "Last-Event-ID: $id"
  same "$(messages first), $(messages second), $(messages third)" 'one, two three, four'
  lacks "$(names second) $(names third)" gap
}

@test "a client resumes over restarts of the server, without loss or repetition" {
  behind "$ALL" comes_back
}

# Restarts the server while a request is on its way, and sets STATUS to its status:
# ask_during_restart [curl options].
ask_during_restart() {
  stop_server
  curl -sS -m 30 -o /dev/null -w '%{http_code}' "$URL/messages" "$@" >status 3>&- &
  CLIENT_PID=$!
  eventually "! kill -0 $CLIENT_PID || ss -tnH state established 'dport = :$PROXY_PORT' | grep ."
  start_again
  await_end "$CLIENT_PID"
  STATUS=$(<status)
}

# Caddy holds only requests without a body. If the machine is busy, a restart can take longer than
# the proxy waits, so the test tries again.
waits_for_a_restart() {
  local try request=() expected=200
  [ "$1" = caddy ] || request=(-H 'Content-Type: application/json' -d '{"message":"x"}') expected=201
  start_behind "$1"
  for try in {1..5}; do
    ask_during_restart "${request[@]}"
    [ "$STATUS" != "$expected" ] || break
  done
  same "$1 $STATUS" "$1 $expected"
}

@test "HAProxy and Caddy hold requests while the server restarts" {
  behind 'haproxy caddy' waits_for_a_restart
}

# A page's EventSource resumes by itself, also if it tries to reconnect while the server is away.
reconnects() {
  start_behind "$1" --journal "$PWD/journal" --retry 100
  open_page "$URL/"
  script 'window.texts = []; window.errors = 0;
    window.source = new EventSource("events");
    source.onmessage = (e) => texts.push(JSON.parse(e.data).message);
    source.onerror = () => errors++' >/dev/null
  wait_until 'source.readyState === EventSource.OPEN'
  accepts '{"message":"one"}'
  wait_until 'texts.join(" ") === "one"'
  stop_server
  wait_until 'errors > 1'
  # Caddy's answer is empty. The others say when to come back, in an event that the server knows.
  open_stream away ''
  await_end "$CLIENT_PID"
  [ "$1" = caddy ] || same "$(names away) $(jq -r '.data | "\(.reason) \(.retry)"' <<<"$(events_of away busy)")" 'retry busy starting 3000'
  start_again --journal "$PWD/journal" --retry 100
  eventually 'post "{\"message\":\"two\"}" -H "Idempotency-Key: two"; [[ $STATUS = 20[01] ]]'
  wait_until 'texts.length > 1'
  accepts '{"message":"three"}'
  wait_until 'texts.length > 2'
  same "$(script 'return texts.join(" ")')" 'one two three'
}

@test "a page's EventSource reconnects after a restart that takes longer than its reconnection time" {
  open_browser
  behind 'nginx haproxy caddy' reconnects
}

checks_health() {
  start_behind "$1" --journal "$PWD/journal" --host chat.example
  eventually 'same "$(health)" "UP L7OK 200"'
  fault pwrite64 error=ENOSPC
  refuses 507 '{"message":"x"}'
  eventually 'same "$(health)" "UP L7OK 503"'
  listen stream ''
  mend
  eventually 'same "$(health)" "UP L7OK 200"'
  stop_server
  eventually 'contains "$(health)" DOWN'
  start_again --journal "$PWD/journal" --host chat.example
  eventually 'same "$(health)" "UP L7OK 200"'
  accepts '{"message":"x"}'
}

@test "HAProxy sees when the server is away; while messages cannot be kept, clients still read" {
  behind haproxy checks_health
}
