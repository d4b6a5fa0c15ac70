#!/usr/bin/env bats
# Stock HTTP clients against the server: the example programs of test/clients/, one per library, read
# streams, resume, publish and report errors. The payloads of test/clients/payloads.jsonl show that
# their parsers and the suite's own `events` read streams as the HTML Standard demands, and that the
# server delivers these payloads as texts.
#
# Every test runs all clients at the same time, because most of their time is spent on starting. The
# long form adds Node, Ruby, Perl, Java, wget and the libraries for Server-Sent Events that Debian has.
# shellcheck disable=SC2016,SC2153
#
# seconds: 45
# build: plain
# long: more clients

load lib/helper
load lib/webdriver

EXAMPLES=$ROOT/test/clients
BUILT=$ROOT/build/clients

declare -gA COMMANDS=(
  [requests]="/usr/bin/python3 $EXAMPLES/with_requests.py"
  [httpx]="/usr/bin/python3 $EXAMPLES/with_httpx.py"
  [aiohttp]="/usr/bin/python3 $EXAMPLES/with_aiohttp.py"
  [go]="$BUILT/client"
  [php]="php $EXAMPLES/client.php"
  [curl]="$EXAMPLES/curl.bash"
)
if [ "${LONG:-}" = 1 ]; then
  COMMANDS+=(
    [node]="node $EXAMPLES/client.mjs"
    [ruby]="ruby $EXAMPLES/client.rb"
    [perl]="perl $EXAMPLES/client.pl"
    [java]="java $EXAMPLES/Client.java"
    [wget]="$EXAMPLES/wget.bash"
  )
fi
CLIENT_NAMES=$(printf '%s\n' "${!COMMANDS[@]}" | sort)

# Builds the programs that must be compiled. Go's cache is in build/, so only the first run takes long.
setup_file() {
  mkdir -p "$BUILT"
  cd "$EXAMPLES" || return
  GOFLAGS='' GOPROXY=off GO111MODULE=off GOTOOLCHAIN=local GOPATH=$BUILT/go GOCACHE=$BUILT/gocache \
    go build -o "$BUILT/client" client.go sse.go
}

teardown() {
  webdriver_stop
  stop_all
}

# Starts every client on a stream, each with its own output: follow_all QUERY [URL]. A '#' becomes the
# client's name. Sets FOLLOWERS, the process ids by name.
declare -gA FOLLOWERS=()
follow_all() {
  local name
  for name in $CLIENT_NAMES; do
    follow "$name" "${2:-$URL/events}?${1//\#/$name}"
  done
}

follow() { # NAME URL
  # Python must not write its cache beside the examples.
  # shellcheck disable=SC2086 # a list of words
  PYTHONDONTWRITEBYTECODE=1 ${COMMANDS[$1]} follow "$2" </dev/null >"$1.out" 2>"$1.err" 3>&- &
  FOLLOWERS[$1]=$!
  CLIENTS+=($!)
}

# Prints the messages in the output of a client: all but what the server says about itself.
messages_of() {
  jq -c 'select(.event | IN("ready", "presence", "heartbeat") | not)' "$1.out"
}

# Waits until every client has printed this many messages.
await_messages() {
  local name
  for name in $CLIENT_NAMES; do
    eventually "[ \"\$(messages_of $name | wc -l)\" -ge $1 ] || { cat $name.out $name.err; false; }"
  done
}

# Waits until every client is in its stream.
await_ready() {
  local name
  for name in $CLIENT_NAMES; do
    eventually "grep -q '\"ready\"' $name.out || { cat $name.out $name.err; false; }"
  done
}

# Publishes the standard input with each client: post_all [KEY] prints a line for each.
post_all() {
  local name pids=()
  cat >body
  for name in $CLIENT_NAMES; do
    # shellcheck disable=SC2086 # a list of words
    PYTHONDONTWRITEBYTECODE=1 timeout 60 ${COMMANDS[$name]} post "$URL/messages" ${1:+"$1-$name"} \
      <body >"$name.posted" 2>&1 3>&- &
    pids+=($!)
  done
  wait "${pids[@]}" || true
  for name in $CLIENT_NAMES; do
    printf '%s: %s\n' "$name" "$(<"$name.posted")"
  done
}

# ---- Streams ----

@test "texts of many scripts reach every client exactly" {
  local name
  start_server
  follow_all 'room=lobby'
  await_ready
  accepts '{"message":"größe – 日本 – 😀","name":"Jürgen"}'
  accepts '{"data":"größe – 日本 – 😀 \u2028 \u2029 \u0085 \u001c \u000b.\nline\r\ntwo","event":"Grüße"}'
  accepts '{"data":{"größe":["日本","😀","\u2028 \u2029 \u0085 \u001c"]}}'
  accepts '{"data":"the end"}'
  await_messages 4
  ask '/messages?limit=10'
  jq -c '.messages[] | if .message then {event: "message", id, data: .}
    else {event, id, data} end' <<<"$BODY" >expected
  same "$(wc -l <expected)" 4
  for name in $CLIENT_NAMES; do
    messages_of "$name" | jq -c '.data = (.data as $text | try ($text | fromjson) catch $text)' >seen
    same "$name: $(<seen)" "$name: $(<expected)"
  done
}

@test "every client resumes after a crash, and gets each message once and in order" {
  local name port
  start_server --journal journal --retry 300
  port=$PORT
  follow_all 'room=lobby'
  await_ready
  accepts '{"message":"1"}'
  accepts '{"message":"2"}'
  await_messages 2
  # What is published while the clients cannot connect must also arrive.
  kill -s KILL "$SERVER_PID"
  wait "$SERVER_PID" || unset "SERVERS[$SERVER_PID]"
  start_server --journal journal
  accepts '{"message":"3"}'
  accepts '{"message":"4"}'
  stop_server
  start_server --journal journal --retry 300 --listen "127.0.0.1:$port"
  accepts '{"message":"5"}'
  await_messages 5
  # An orderly end, and an event that is published before the clients are back.
  stop_server
  start_server --journal journal --retry 300 --listen "127.0.0.1:$port"
  accepts '{"message":"6"}'
  await_messages 6
  for name in $CLIENT_NAMES; do
    same "$name: $(messages_of "$name" | jq -r '.data | fromjson? | .message' | paste -sd ' ')" "$name: 1 2 3 4 5 6"
    between "$(grep -c '"ready"' "$name.out")" 3 9
  done
}

# ---- Publishing and errors ----

@test "a POST that any client repeats with its key is published once" {
  local name first
  start_server
  post_all key <<<'{"message":"größe"}' >first
  same "$(sed -E 's/ [0-9]{13}-[0-9]+$//' first)" "$(sed 's/$/: 201/' <<<"$CLIENT_NAMES")"
  same "$(post_all key <<<'{"message":"größe"}')" "$(sed 's/: 201 /: 200 /' first)"
  ask '/messages?limit=100'
  same "$(jq -r '.messages[] | .key + " " + .id + " " + .message' <<<"$BODY" | sort)" \
    "$(sed -E 's/(.*): 201 (.*)/key-\1 \2 größe/' first | sort)"
}

# Publishes a body with each client, and checks that all print the same error as curl sees: a status
# and the detail.
all_report() { # STATUS
  refuses "$1" "$(<refused)"
  same "$(post_all <refused)" "$(sed "s|\$|: $1 $(jq -r .detail <<<"$BODY")|" <<<"$CLIENT_NAMES")"
}

@test "every client can read why a POST is refused" {
  start_server
  echo '{"message":"hello","room":"a/b"}' >refused
  all_report 400
  echo '{"message":' >refused
  all_report 400
}

@test "every client can read why its stream is refused" {
  local name
  start_server
  ask '/events?room=a/b'
  is_problem 400
  follow_all 'room=a/b'
  for name in $CLIENT_NAMES; do
    await_end "${FOLLOWERS[$name]}"
    same "$name $CLIENT_STATUS: $(<"$name.err")" "$name 1: 400 $(jq -r .detail <<<"$BODY")"
    same "$(<"$name.out")" ''
  done
}

# ---- Payloads of the Web Platform Tests ----

# Serves the payloads of a table: serve_payloads TABLE. Sets PAYLOADS, the URL; reconnections are in
# the file `requests`.
serve_payloads() {
  rm -f requests
  /usr/bin/python3 "$EXAMPLES/serve_payloads.py" "$1" requests >payloads.port 2>payloads.err 3>&- &
  CLIENTS+=($!)
  eventually '[ -s payloads.port ] || { cat payloads.err; false; }'
  PAYLOADS=http://127.0.0.1:$(<payloads.port)
}

# Prints the events that a reader should get from the payloads of a table.
expected_of() {
  jq -c '{event: "next", id: "", data: .name}, (.events[] | {event: .[0], id: .[1], data: .[2]})' "$1"
}

# Checks the ids with which the clients came back, and that they waited as long as they were told:
# came_back TABLE CLIENTS.
came_back() {
  same "$(jq -sc 'group_by(.client)[] | [.[0].client, length]' requests)" \
    "$(sort <<<"$2" | jq -Rc "[., $(wc -l <"$1")]")"
  same "$(jq -c --slurpfile table "$1" '. as $seen | $table[] | select(.name == $seen.name)
    | select($seen.last != (.next // "") or $seen.ms < (.wait // 0)) | $seen' requests)" ''
}

# Feeds the payloads of a table to all clients, whole and byte by byte.
reads_as_the_standard_says() { # TABLE CLIENTS
  local name mode CLIENT_NAMES=$2
  expected_of "$1" >expected
  for mode in whole bytes; do
    serve_payloads "$1"
    follow_all "client=#&$mode=1" "$PAYLOADS/stream"
    for name in $2; do
      await_end "${FOLLOWERS[$name]}"
      same "$name $mode $CLIENT_STATUS: $(jq -c . "$name.out")" "$name $mode 0: $(<expected)"
    done
    came_back "$1" "$2"
  done
}

@test "the example clients read the payloads of the Web Platform Tests as the HTML Standard says" {
  reads_as_the_standard_says "$EXAMPLES/payloads.jsonl" "$(grep -vE 'curl|wget' <<<"$CLIENT_NAMES")"
}

@test "the example clients in bash read these payloads, except U+0000" {
  grep -v 'u0000' "$EXAMPLES/payloads.jsonl" >table
  reads_as_the_standard_says table "$(grep -E 'curl|wget' <<<"$CLIENT_NAMES")"
}
