#!/usr/bin/env bats
# Stock HTTP clients against the server: the example programs of test/clients/, one per library, read
# streams, resume, publish and report errors. The payloads of test/clients/payloads.jsonl show that
# their parsers and the suite's own `events` read streams as the HTML Standard demands, and that the
# server delivers these payloads as texts.
#
# Every test runs all clients at the same time, because most of their time is spent on starting. The
# long form adds Node, Ruby, Perl, Java, wget and the libraries for Server-Sent Events that Debian has.
# shellcheck disable=SC2001,SC2016,SC2030,SC2031,SC2094,SC2153
#
# seconds: 60
# build: plain
# long: more clients

load lib/helper
load lib/proxies
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

# Libraries for Server-Sent Events only read streams, and reconnect by themselves.
READER_NAMES=$CLIENT_NAMES
if [ "${LONG:-}" = 1 ]; then
  COMMANDS+=(
    [go-eventsource]="$BUILT/with_eventsource"
    [node-eventsource]="env NODE_PATH=/usr/share/nodejs node $EXAMPLES/with_eventsource.js"
  )
  READER_NAMES+=$'\ngo-eventsource\nnode-eventsource'
fi

# Builds the programs that must be compiled. Go's cache is in build/, so only the first run takes long.
setup_file() {
  mkdir -p "$BUILT"
  cd "$EXAMPLES" || return
  # GOENV=off: go must not take empty variables from the user's `go env -w`.
  export GOENV=off GOFLAGS='' GOPROXY=off GO111MODULE=off GOTOOLCHAIN=local GOPATH=/usr/share/gocode GOCACHE=$BUILT/gocache
  go build -o "$BUILT/client" client.go sse.go || return
  [ "${LONG:-}" != 1 ] || go build -o "$BUILT/with_eventsource" with_eventsource.go
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
  # Python must not write its cache beside the examples. One library must know the names of events.
  # shellcheck disable=SC2086 # a list of words
  PYTHONDONTWRITEBYTECODE=1 ${COMMANDS[$1]} follow "$2" message ready Grüße </dev/null >"$1.out" 2>"$1.err" 3>&- &
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

# Publishes the standard input with each client: post_all [KEY] prints a line for each. A '#' in the
# key becomes the client's name.
post_all() {
  local name pids=()
  cat >body
  for name in $CLIENT_NAMES; do
    # shellcheck disable=SC2086 # a list of words
    PYTHONDONTWRITEBYTECODE=1 timeout 60 ${COMMANDS[$name]} post "$URL/messages" ${1:+"${1//\#/$name}"} \
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
  local name CLIENT_NAMES=$READER_NAMES
  start_server
  follow_all 'room=lobby'
  await_ready
  accepts '{"message":"größe – 日本 – 😀","name":"Jürgen"}'
  accepts '{"data":"größe – 日本 – 😀 \u2028 \u2029 \u0085 \u001c \u000b.\nline\r\ntwo","event":"Grüße"}'
  accepts '{"data":{"größe":["日本","😀","\u2028 \u2029 \u0085 \u001c"]}}'
  accepts '{"data":"the end"}'
  await_messages 4
  ask '/messages?limit=10'
  jq -cS '.messages[] | if .message then {event: "message", id, data: .}
    else {event, id, data} end' <<<"$BODY" >expected
  same "$(wc -l <expected)" 4
  for name in $CLIENT_NAMES; do
    messages_of "$name" | jq -cS '.data = (.data as $text | try ($text | fromjson) catch $text)' >seen
    same "$name: $(<seen)" "$name: $(<expected)"
  done
}

@test "every client resumes after a crash, and gets each message once and in order" {
  local name port CLIENT_NAMES=$READER_NAMES
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

# Checks how often each client has begun a stream.
began() { # TIMES
  local name
  for name in $CLIENT_NAMES; do
    same "$name: $(grep -c '"ready"' "$name.out")" "$name: $1"
  done
}

# The long form also stops the server, so that its connections are silent but not closed, and has
# clients that get no answer at all.
@test "a client stays in a quiet stream, and leaves a dead one" {
  local name
  start_server --heartbeat 1
  follow_all 'room=lobby'
  await_ready
  listen stream 'room=lobby'
  await stream heartbeat 3
  began 1
  [ "${LONG:-}" = 1 ] || return 0
  serve_payloads
  for name in $CLIENT_NAMES; do
    COMMANDS[$name-silent]=${COMMANDS[$name]}
    follow "$name-silent" "$PAYLOADS/silent?client=$name"
  done
  suspend_server
  sleep 60
  resume_server
  for name in $CLIENT_NAMES; do
    eventually "[ \"\$(grep -c '\"ready\"' $name.out)\" -ge 2 ] || { cat $name.out $name.err; false; }"
  done
  began 2
  for name in $CLIENT_NAMES; do
    eventually "[ \"\$(grep -c '\"$name\"' requests)\" -ge 2 ] || { cat requests $name-silent.err; false; }"
  done
}

# ---- Publishing and errors ----

@test "a POST that any client repeats with its key is published once" {
  start_server
  post_all 'key-#' <<<'{"message":"größe"}' >first
  same "$(sed -E 's/ [0-9]{13}-[0-9]+$//' first)" "$(sed 's/$/: 201/' <<<"$CLIENT_NAMES")"
  same "$(post_all 'key-#' <<<'{"message":"größe"}')" "$(sed 's/: 201 /: 200 /' first)"
  ask '/messages?limit=100'
  same "$(jq -r '.messages[] | .key + " " + .id + " " + .message' <<<"$BODY" | sort)" \
    "$(sed -E 's/(.*): 201 (.*)/key-\1 \2 größe/' first | sort)"
}

@test "every client sends the key 0" {
  start_server
  post_all 0 <<<'{"message":"hello"}' >first
  same "$(cut -d ' ' -f 2 first | sort | uniq -c | tr -s ' ')" \
    " $(($(wc -l <<<"$CLIENT_NAMES") - 1)) 200"$'\n'' 1 201'
}

# Publishes the body in the file `refused` with each client, and checks that all print the same error
# as curl sees: a status and the detail.
all_report() { # STATUS
  ask /messages -H 'Content-Type: application/json' --data-binary @refused
  is_problem "$1"
  same "$(post_all <refused)" "$(sed "s|\$|: $1 $(jq -r .detail <<<"$BODY")|" <<<"$CLIENT_NAMES")"
}

@test "every client can read why a POST is refused" {
  start_server
  echo '{"message":"hello","room":"a/b"}' >refused
  all_report 400
}

@test "every client can read an error that comes while it still sends" {
  start_server
  printf '{"message":"%s"}' "$(times 1048576 x)" >refused
  all_report 413
  (umask 077 && head -c 32 /dev/urandom | base64 >key)
  start_server --key key
  printf '{"message":"%s"}' "$(times 60000 x)" >refused
  CLIENT_NAMES=$(grep -v wget <<<"$CLIENT_NAMES") # wget drops the body of a 401
  all_report 401
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
  # LWP's own 501 is final: it does not know the scheme. (The other libraries know https.)
  [ "${LONG:-}" = 1 ] || return 0
  follow perl "httpz${URL#http}/events"
  await_end "${FOLLOWERS[perl]}"
  contains "$CLIENT_STATUS: $(<perl.err)" "1: 501 Protocol scheme 'httpz' is not supported"
}

# Every client gets the certificate in its own way.
@test "every client reads and publishes over TLS" {
  local name CLIENT_NAMES=$READER_NAMES
  start_server
  start_proxy nginx
  URL=https://127.0.0.1:$PROXY_PORT
  export SSL_CERT_FILE=$PWD/cert REQUESTS_CA_BUNDLE=$PWD/cert
  export NODE_EXTRA_CA_CERTS=$PWD/cert PERL_LWP_SSL_CA_FILE=$PWD/cert
  echo "ca_certificate = $PWD/cert" >wgetrc
  export WGETRC=$PWD/wgetrc
  COMMANDS[php]="php -d curl.cainfo=$PWD/cert $EXAMPLES/client.php"
  if [ "${LONG:-}" = 1 ]; then
    keytool -importcert -noprompt -file cert -keystore trusted -storepass changeit 2>keytool.log
    COMMANDS[java]="java -Djavax.net.ssl.trustStore=$PWD/trusted -Djavax.net.ssl.trustStorePassword=changeit"
    COMMANDS[java]+=" $EXAMPLES/Client.java"
  fi
  follow_all 'room=lobby'
  await_ready
  accepts '{"message":"größe"}'
  await_messages 1
  CLIENT_NAMES=$(grep -v eventsource <<<"$CLIENT_NAMES")
  post_all <<<'{"message":"hello"}' >posted
  same "$(sed -E 's/ [0-9]{13}-[0-9]+$//' posted)" "$(sed 's/$/: 201/' <<<"$CLIENT_NAMES")"
}

# The name is too long for the DNS, so no resolver is asked. wget prints nothing.
@test "every client tries again when it cannot resolve a name" {
  local name host
  host=$(times 6 "$(times 50 x).")example
  follow_all '' "http://$host:9/events"
  for name in $CLIENT_NAMES; do
    [ "$name" = wget ] || eventually "[ \"\$(wc -l <$name.err)\" -ge 2 ] || { cat $name.err; false; }"
    is_running "${FOLLOWERS[$name]}" || { cat "$name.err"; false; }
  done
}

# bash needs a time that is quadratic in the length of a line.
@test "every client but those in bash reads a line of over a MiB" {
  local name CLIENT_NAMES
  CLIENT_NAMES=$(printf '%s\n' "${!COMMANDS[@]}" | grep -vE 'curl|wget|eventsource')
  start_server --max-body 8M --history 8M
  follow_all 'room=lobby'
  await_ready
  printf '{"data":"%s"}' "$(times 1500000 x)" >long
  ask /messages -H 'Content-Type: application/json' --data-binary @long
  same "$STATUS" 201
  accepts '{"data":"the end"}'
  await_messages 2
  for name in $CLIENT_NAMES; do
    same "$name: $(messages_of "$name" | jq '.data | length' | paste -sd ' ')" "$name: 1500000 7"
  done
}

# ---- Ways to read a stream that other programs use ----

@test "the line functions of the Python libraries read what the server sends as JSON" {
  local name text='.data | if type == "object" then .message else . end'
  start_server
  accepts '{"message":"größe – 日本 – 😀"}'
  # The characters themselves: the server must escape them.
  accepts '{"data":["größe",'$'"a\u2028b\u2029c\u0085d"'',"😀"]}'
  cat >lines.py <<'END'
import sys, asyncio, requests, httpx, aiohttp

def show(line):
    print(line, flush=True)

def with_requests(url):
    with requests.get(url, stream=True) as answer:
        for line in answer.iter_lines(decode_unicode=True):
            show(line)

def with_httpx(url):
    with httpx.stream("GET", url) as answer:
        for line in answer.iter_lines():
            show(line.rstrip("\n"))

def with_aiohttp(url):
    async def read():
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            async for line in answer.content:
                show(line.decode().rstrip("\n"))
    asyncio.run(read())

globals()[sys.argv[1]](sys.argv[2])
END
  for name in with_requests with_httpx with_aiohttp; do
    /usr/bin/python3 lines.py "$name" "$URL/events?history=5" </dev/null >"$name" 3>&- &
    CLIENTS+=($!)
  done
  listen stream history=5
  for name in with_requests with_httpx with_aiohttp; do
    await "$name" presence
  done
  stop_server # ends the streams
  for name in "${CLIENTS[@]}"; do
    await_end "$name"
  done
  for name in with_requests with_httpx with_aiohttp; do
    same "$name: $(grep -cE '^$|^(id|event|retry|data): ' "$name") $(events_of "$name" message "$text")" \
      "$name: $(wc -l <"$name") $(events_of stream message "$text")"
  done
  same "$(events_of stream message .id | wc -l)" 2
}

# ---- Payloads of the Web Platform Tests ----

# Prints the text of the payloads that a client cannot read: a shell's variables cannot hold U+0000,
# and Java's HttpClient sends only ASCII in a header.
skipped_by() { # CLIENT
  case $1 in
  curl | wget) printf '%s' '\u0000' ;;
  java) printf '%s' 'id:…' ;;
  *) printf '%s' '(none)' ;;
  esac
}

# Serves the payloads, and sets PAYLOADS to the URL; reconnections are in the file `requests`.
serve_payloads() {
  : >requests
  /usr/bin/python3 "$EXAMPLES/serve_payloads.py" "$EXAMPLES/payloads.jsonl" requests >payloads.port 2>payloads.err 3>&- &
  CLIENTS+=($!)
  eventually '[ -s payloads.port ] || { cat payloads.err; false; }'
  PAYLOADS=http://127.0.0.1:$(<payloads.port)
}

# Checks what a reader got, the ids with which it came back, and that it waited as long as it was told:
# read_all READER SKIPPED EVENTS.
read_all() {
  grep -vF -- "$2" "$EXAMPLES/payloads.jsonl" >table
  same "$1: $(jq -cS . <<<"$3")" \
    "$1: $(jq -cS '{event: "next", id: "", data: .name}, (.events[] | {event: .[0], id: .[1], data: .[2]})' table)"
  jq -c --arg reader "$1" 'select(.client == $reader)' requests >came_back
  same "$1: $(jq -c '[.name, .last]' came_back)" "$1: $(jq -c '[.name, .next // ""]' table)"
  same "$1: $(jq -c --slurpfile table table '.name as $name
    | select(.ms < ($table[] | select(.name == $name) | .wait // 0))' came_back)" "$1: "
}

# Prints in which ways the payloads are sent to a client: the clients in bash read lines, so it makes
# no difference to them.
modes_of() { # CLIENT
  [ "$1" = curl ] || [ "$1" = wget ] || echo bytes
  echo whole
}

@test "the example clients read the payloads of the Web Platform Tests as the HTML Standard says" {
  local name mode
  serve_payloads
  for name in $CLIENT_NAMES; do
    for mode in $(modes_of "$name"); do
      COMMANDS[$name-$mode]=${COMMANDS[$name]}
      follow "$name-$mode" "$PAYLOADS/stream?client=$name-$mode&mode=$mode&skip=$(skipped_by "$name" | jq -sRr @uri)"
    done
  done
  for name in $CLIENT_NAMES; do
    for mode in $(modes_of "$name"); do
      await_end "${FOLLOWERS[$name-$mode]}"
      same "$name $CLIENT_STATUS" "$name 0"
      read_all "$name-$mode" "$(skipped_by "$name")" "$(<"$name-$mode.out")"
    done
  done
}

@test "every client reads a stream that is not chunked, before it ends" {
  serve_payloads
  follow_all 'client=#' "$PAYLOADS/open"
  await_messages 1
}

@test "every client comes back after a 429 and a 408, and waits as long as Retry-After says" {
  local name
  serve_payloads
  follow_all 'client=#' "$PAYLOADS/later"
  for name in $CLIENT_NAMES; do
    await_end "${FOLLOWERS[$name]}"
    same "$name $CLIENT_STATUS: $(jq -r .data "$name.out")" "$name 0: hello"
    jq -r --arg name "$name" 'select(.client == $name) | "\(.name) \(if .ms >= 2000 then "waited" else "" end)"' \
      requests >came_back
    same "$name: $(<came_back)" "$name: later 1 waited"$'\n'"later 2 "$'\n'"later 3 "
  done
}

# Opens a stream in the browser: watch URL EVENT...
watch() {
  script '
    window.seen = [];
    window.source = new EventSource(arguments[0]);
    for (const name of [].slice.call(arguments, 1))
      source.addEventListener(name, (e) => seen.push({event: e.type, id: e.lastEventId, data: e.data}));' "$@"
}

# Chromium refuses a stream that says it is not in UTF-8.
@test "a browser reads these payloads in the same way" {
  serve_payloads
  webdriver_start
  browser
  open_page "$PAYLOADS/"
  watch "$PAYLOADS/stream?client=browser&mode=bytes&skip=windows-1252" next message test
  wait_until 'source.readyState === EventSource.CLOSED'
  read_all browser windows-1252 "$(script 'return seen' | jq -c '.[]')"
}

@test "the suite reads these payloads in the same way" {
  local payload
  while read -r payload; do
    jq -j '.raw | split("LONG") | join("xxx")' <<<"$payload" >raw
    events raw >>seen
  done <"$EXAMPLES/payloads.jsonl"
  same "$(jq -c 'select(has("event")) | [.event, .data]' seen)" \
    "$(jq -c '.events[] | [.[0], .[2]]' "$EXAMPLES/payloads.jsonl")"
}

# Prints what to publish, one per line: the event's name, the body of the POST, and the text that must
# come back, separated by tabs. Text data is split into lines.
texts_to_publish() {
  jq -r '(.raw | split("LONG") | join("x" * 1000)) as $text
    | ($text | split("\r\n") | join("\n") | split("\r") | join("\n")) as $lines
    | ["payload", {event: "payload", data: $text}, $lines], ["json", {event: "json", data: {text: $text}}, $text],
      ["message", {message: $text}, $text]
    | "\(.[0])\t\(.[1] | tojson)\t\(.[2] | tojson)"' "$EXAMPLES/payloads.jsonl"
}

# Publishes a body, and notes what must come back in the file `sent`. Only a chat message can be
# refused, if it has control characters.
publish() { # EVENT BODY TEXT
  post "$2"
  [ "$STATUS" = 201 ] || {
    is_problem 400
    same "$1" message
    contains "$2" '\u00'
    return
  }
  [[ $BODY =~ \"id\":\"([^\"]+)\" ]]
  printf '{"event":"%s","id":"%s","text":%s}\n' "$1" "${BASH_REMATCH[1]}" "$3" >>sent
}

# Reads events and prints them with the text that was published.
texts() {
  jq -cS '{event, id, text: (
    if .event == "message" then .data | fromjson | .message
    elif .event == "json" then .data | fromjson | .text
    else .data end)}'
}

@test "these payloads can be published as texts, and forge nothing" {
  local event body text name count
  start_server
  follow_all 'room=lobby'
  listen stream 'room=lobby'
  webdriver_start
  browser
  open_page "$URL/healthz"
  watch "$URL/events" message payload json next test
  await_ready
  wait_until 'source.readyState === EventSource.OPEN'
  while IFS=$'\t' read -r event body text; do
    publish "$event" "$body" "$text"
  done < <(texts_to_publish)
  publish payload '{"event":"payload","data":"the end"}' '"the end"'
  count=$(wc -l <sent)
  same "$count" 71 # of 76: five of the texts have control characters, and are no messages
  await_messages "$count"
  wait_until "seen.length >= $count"
  same "$(script 'return seen' | jq -c '.[]' | texts)" "$(jq -cS . sent)"
  for name in $CLIENT_NAMES; do
    cp sent expected
    [ "$(skipped_by "$name")" != '\u0000' ] || jq -c 'if .event == "payload"
      then .text |= (explode | map(select(. > 0)) | implode) else . end' sent >expected
    same "$name: $(messages_of "$name" | texts)" "$name: $(jq -cS . expected)"
  done
  same "$(events stream | grep -c '"retry"')" 1
  same "$(events stream | jq -c 'select(.id and .event != "ready") | [.event, .id]')" "$(jq -c '[.event, .id]' sent)"
}
