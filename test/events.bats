#!/usr/bin/env bats
# GET /events: how a stream begins, resumes, continues and ends. curl writes each stream to a file,
# and `events` (helper.bash) reads the file as an EventSource does; the crowd tool opens thousands
# of streams and counts what each receives.
# shellcheck disable=SC2016,SC2093,SC1083,SC2094,SC2153
#
# seconds: 45
# quick: yes

load lib/helper

# Posts a message to a room; sets ID.
say() {
  accepts "{\"room\":\"$1\",\"message\":\"$2\"}"
}

# Prints the texts of the chat messages in a file, in order.
said() {
  events_of "$1" message .data.message | jq -r . | paste -sd ' '
}

# ---- How a stream begins ----

@test "a stream's head gives the media type, forbids caching and buffering, and announces chunks" {
  start_server
  listen stream '' -D fields
  HEAD=$(tr -d '\r' <fields)
  same "${HEAD%%$'\n'*}" 'HTTP/1.1 200 OK'
  same "$(field Content-Type)" 'text/event-stream; charset=utf-8'
  same "$(field Cache-Control)" 'no-cache, no-store, no-transform'
  same "$(field Connection)" keep-alive
  same "$(field X-Accel-Buffering)" no
  same "$(field Transfer-Encoding)" chunked
  same "$(field Content-Length)" ''
  [ -n "$(field Date)" ]
}

@test "an HTTP/1.0 stream has no chunks and ends when the connection closes" {
  start_server
  listen stream '' -0 -D fields
  say lobby hello
  await_text stream hello
  HEAD=$(tr -d '\r' <fields)
  same "$(field Connection)" close
  same "$(field Transfer-Encoding)" ''
  same "$(head -c 7 stream)" 'retry: '
  same "$(names stream)" 'retry ready presence message'
}

@test "HTTP/1.0 and HTTP/1.1 streams carry the same events, even where the ring wraps around" {
  local i
  start_server --history 16K
  listen new 'history=0'
  listen old 'history=0' -0
  for i in {1..30}; do
    accepts "{\"data\":\"$i $(times 2000 x)\"}"
  done
  await_text new '30 x'
  await_text old '30 x'
  same "$(events_of old message)" "$(events_of new message)"
  same "$(events_of new message | wc -l)" 30
}

@test "HEAD on /events gets only the head and does not count in presence" {
  start_server
  ask /events -I
  same "$STATUS $(field Content-Type)" '200 text/event-stream; charset=utf-8'
  same "$BODY" "$(<answer.body)"
  ask /rooms
  same "$(jq -c .rooms <<<"$BODY")" '[]'
}

@test "a stream begins with retry, gap, replay, ready and presence, in this order" {
  local first
  start_server --history 16K
  say lobby first
  first=$ID
  for _ in {1..12}; do
    accepts "{\"data\":\"$(times 3000 x)\"}"
  done
  listen stream "last_event_id=$first"
  await stream presence
  contains "$(names stream)" 'retry gap message '
  contains "$(names stream)" ' message ready presence'
  same "$(names stream | tr ' ' '\n' | uniq | paste -sd ' ')" 'retry gap message ready presence'
}

@test "the retry time is 1 to 1.5 times --retry, and differs between streams" {
  local i values=''
  start_server --retry 1000
  for i in {1..8}; do
    open_stream "stream.$i" ''
  done
  for i in {1..8}; do
    await "stream.$i" ready
    same "$(head -c 7 "stream.$i")" 'retry: '
    values+="$(events "stream.$i" | jq -r 'select(.retry).retry') "
  done
  for i in $values; do
    between "$i" 1000 1500
  done
  [ "$(tr ' ' '\n' <<<"$values" | sort -u | wc -l)" -gt 3 ]
}

@test "ready carries the newest id, the rooms, the time, the heartbeat and the retry time" {
  start_server --heartbeat 7
  say lobby hello
  listen stream 'room=lobby,garden'
  same "$(events_of stream ready '.data | keys_unsorted')" '["rooms","time","heartbeat","retry"]'
  same "$(events_of stream ready .data.rooms)" \
    '[{"room":"lobby","online":1},{"room":"garden","online":1}]'
  same "$(events_of stream ready .data.heartbeat)" 7
  same "$(events_of stream ready .data.retry)" "$(events stream | jq 'select(.retry).retry')"
  same "$(events_of stream ready '.data.time | test("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$")')" true
  same "$(events_of stream ready .id)" "\"$ID\""
}

@test "before the first message, ready carries the server's start time as its id" {
  local before after id
  before=$(date +%s%3N)
  start_server
  after=$(date +%s%3N)
  listen stream ''
  id=$(events_of stream ready .id | jq -r .)
  between "${id%-*}" "$before" "$after"
  same "${id#*-}" 0
}

@test "ready counts the streams of a room, including its own" {
  start_server
  listen first 'room=den'
  listen second 'room=den'
  same "$(events_of second ready .data.rooms)" '[{"room":"den","online":2}]'
}

@test "retry, replay and ready arrive in one packet" {
  start_server
  for _ in {1..20}; do
    say lobby hello
  done
  crowd 1 '/events?history=20'
  tell segments
  same "$ANSWER" 1
  tell 'count 20 "message":"hello"'
  same "$ANSWER" ok
}

# ---- Rooms ----

@test "a stream joins the rooms of all its room parameters, and each room only once" {
  start_server
  listen stream 'room=a,b&room=c&room=b'
  same "$(events_of stream ready '.data.rooms | map(.room)')" '["a","b","c"]'
}

@test "a room's name is percent-decoded, and a plus becomes a space" {
  start_server
  listen stream 'room=caf%C3%A9+au%2Blait'
  same "$(events_of stream ready '.data.rooms[0].room')" '"café au+lait"'
}

@test "a stream may have sixteen rooms, but not seventeen" {
  local rooms
  start_server
  rooms=$(seq -s, 1 16)
  listen stream "room=$rooms"
  same "$(events_of stream ready '.data.rooms | length')" 16
  ask "/events?room=$rooms&room=17"
  is_problem 400
}

@test "an invalid parameter is answered with 400" {
  local query
  start_server
  while read -r query; do
    ask "/events?$query"
    is_problem 400 || {
      printf 'query: %s\n' "$query"
      return 1
    }
  done <<END
room=
room=a,,b
room=a/b
room=%00
room=a%0Ab
room=%E2%80%A8
room=%FF
room=%ED%A0%80
room=$(times 65 x)
name=
name=++
name=a%0Db
name=%7F
name=%C2
name=$(times 33 x)
name=a&name=b
history=x
history=-1
history=1.5
room=%4
room=%zz
END
}

@test "a room's name may have 64 bytes, and a user's name 32 characters" {
  start_server
  open_stream room "room=$(times 64 x)"
  open_stream name "name=$(times 32 %F0%9F%98%80)"
  await room ready
  await name ready
}

@test "with --room, a stream of any other room is answered with 403" {
  start_server --room kitchen --room hall
  listen stream 'room=kitchen,hall'
  ask '/events?room=kitchen,garden'
  is_problem 403
  ask /events
  is_problem 403
}

# ---- History and resuming ----

@test "a stream with history begins with the last messages of each room" {
  start_server
  say a a1
  say b b1
  say a a2
  say b b2
  say a a3
  listen stream 'room=a,b&history=2'
  same "$(said stream)" 'b1 a2 b2 a3'
  listen stream 'room=a&history=1'
  same "$(said stream)" a3
  listen stream 'room=a&history=0'
  same "$(said stream)" ''
  listen stream 'room=a'
  same "$(said stream)" ''
}

@test "a history over 500 counts as 500" {
  start_server
  # shellcheck disable=SC2046 # one argument for each word
  curl -sf $(for _ in {1..501}; do printf -- '-o /dev/null %s ' "$URL/messages"; done) \
    -H 'Content-Type: application/json' -d '{"message":"x"}'
  listen stream 'history=4000000'
  same "$(said stream | wc -w)" 500
}

@test "ready follows the last message of the replay and carries its id" {
  start_server
  say lobby one
  say lobby two
  listen stream 'history=10'
  say lobby three
  await_text stream three
  same "$(names stream)" 'retry message message ready presence message'
  same "$(events_of stream message .id | sed -n 2p)" "$(events_of stream ready .id)"
}

@test "the id in the head overrides the id in the query, and both override history" {
  local one two
  start_server
  say lobby one && one=$ID
  say lobby two && two=$ID
  say lobby three
  listen stream '' -H "Last-Event-ID: $one"
  same "$(said stream)" 'two three'
  listen stream "last_event_id=$one"
  same "$(said stream)" 'two three'
  listen stream "lastEventId=$one"
  same "$(said stream)" 'two three'
  listen stream "last_event_id=$one&history=3" -H "Last-Event-ID: $two"
  same "$(said stream)" three
  listen stream "last_event_id=$two&history=3"
  same "$(said stream)" three
  listen stream "last_event_id=&history=1"
  same "$(said stream)" three
  listen stream "history=2" -H 'Last-Event-ID;'
  same "$(said stream)" 'two three'
  listen stream "last_event_id=$ID"
  same "$(said stream)" ''
  same "$(events_of stream gap)" ''
}

@test "two Last-Event-ID fields are no error, which would end an EventSource, but a gap" {
  start_server
  say lobby one
  listen stream '' -H "Last-Event-ID: $ID" -H "Last-Event-ID: $ID"
  same "$(events_of stream gap '[.data.after, .data.reason]')" '[null,"unknown"]'
  same "$(said stream)" one
  # So is a parameter with a % that encodes nothing.
  for query in last_event_id=%zz last_event_id=1-%3 lastEventId=1-1%; do
    listen stream "$query"
    same "$(events_of stream gap '[.data.after, .data.reason]')" '[null,"unknown"]'
  done
  # A field that matters only to files does not matter to a stream.
  listen stream '' -H 'Range: bytes=0-' -H 'Range: bytes=1-' -H 'If-Range: "a"' -H 'If-Range: "b"'
}

@test "a stream that resumes from the id of ready misses nothing, not even the first message" {
  local start
  start_server
  listen stream ''
  start=$(events_of stream ready .id | jq -r .)
  kill "$CLIENT_PID"
  say lobby first
  listen stream '' -H "Last-Event-ID: $start"
  same "$(names stream)" 'retry message ready presence'
}

@test "a resumed stream of three rooms gets each missed message once and in order" {
  local i last wanted=''
  start_server
  listen stream 'room=a,b,c'
  say b before
  await_text stream before
  last=$ID
  kill "$CLIENT_PID"
  for i in {1..30}; do
    say "$(printf '%s' abcd | cut -c $((i * 7 % 4 + 1)))" "m$i"
    ((i * 7 % 4 == 3)) || wanted+="\"$ID\" "
  done
  listen stream 'room=a,b,c' -H "Last-Event-ID: $last"
  say c after
  await_text stream after
  same "$(events_of stream message .id | paste -sd ' ')" "$wanted\"$ID\""
  same "$(events_of stream gap)" ''
}

@test "resuming from a message no longer held gives a gap with reason expired, then all held messages" {
  local first i
  start_server --history 16K
  say lobby first && first=$ID
  for i in {1..12}; do
    accepts "{\"data\":\"$i $(times 3000 x)\"}"
  done
  listen stream '' -H "Last-Event-ID: $first"
  same "$(events_of stream gap .data.reason)" '"expired"'
  same "$(events_of stream gap .data.after)" "\"$first\""
  same "$(events_of stream gap .data.room)" '"lobby"'
  same "$(events_of stream gap .data.oldest)" "$(events_of stream message .id | head -n 1)"
  same "$(events_of stream gap '.data | keys_unsorted')" '["room","after","oldest","reason"]'
  same "$(events_of stream gap .id)" null
  same "$(events_of stream message .id | tail -n 1)" "\"$ID\""
  # A stream that resumes from a message that is still held gets no gap.
  listen stream '' -H "Last-Event-ID: $(events_of stream message .id | head -n 1 | jq -r .)"
  same "$(events_of stream gap)" ''
}

@test "only a room that has lost messages gets a gap" {
  local first
  start_server --history 16K
  say quiet one
  say busy first && first=$ID
  for _ in {1..12}; do
    accepts "{\"room\":\"busy\",\"data\":\"$(times 3000 x)\"}"
  done
  listen stream 'room=quiet,busy,new' -H "Last-Event-ID: $first"
  same "$(events_of stream gap .data.room)" '"busy"'
}

@test "resuming from an id from before a restart gives a gap with reason restarted in each room" {
  local id
  start_server
  say lobby hello && id=$ID
  stop_server
  start_server
  listen stream 'room=a,b' -H "Last-Event-ID: $id"
  same "$(events_of stream gap .data | paste -sd ' ')" \
    "{\"room\":\"a\",\"after\":\"$id\",\"oldest\":null,\"reason\":\"restarted\"} {\"room\":\"b\",\"after\":\"$id\",\"oldest\":null,\"reason\":\"restarted\"}"
}

@test "resuming from an id later than all assigned ids gives a gap with reason unknown, then all held messages" {
  local future=9999999999999-7
  start_server
  say lobby hello
  listen stream '' -H "Last-Event-ID: $future"
  same "$(events_of stream gap .data)" \
    "{\"room\":\"lobby\",\"after\":\"$future\",\"oldest\":\"$ID\",\"reason\":\"unknown\"}"
  same "$(names stream)" 'retry gap message ready presence'
}

@test "resuming from a malformed id gives a gap with reason unknown and no id, not a 400" {
  local id
  start_server
  say lobby hello
  for id in x 12 -1 1-2-3 -- 1760000000000- 01-0 1-x 99999999999999999999-0 \
    '%00' '%0Adata:+forged%0A%0A' '%ff' "$(times 3000 9)"; do
    listen stream "last_event_id=$id"
    same "$(events_of stream gap .data)" \
      "{\"room\":\"lobby\",\"after\":null,\"oldest\":\"$ID\",\"reason\":\"unknown\"}"
    same "$(names stream)" 'retry gap message ready presence'
  done
}

@test "a replay larger than any socket buffer arrives complete, then ready, then live messages" {
  local i
  start_server --history 4M
  for i in {1..60}; do
    accepts "{\"data\":\"$i $(times 60000 x)\"}"
  done
  open_stream stream 'history=500' --limit-rate 6M
  await_text stream '1 xxx'
  say lobby live
  await_text stream '"message":"live"'
  same "$(events stream | jq -rs 'map(select(.id)) | map(.event + " " + (.data | .[:8])) | join(",")')" \
    "$(seq -f 'message %g xxxxxx' -s, 60 | sed -E 's/([0-9]+ x{8})x*/\1/g; s/(message .{8})[^,]*/\1/g'),ready {\"rooms\",message {\"id\":\"1"
  same "$(events_of stream message '.data | strings | length' | sort -u | paste -sd ' ')" '60002 60003'
}

# ---- Live messages ----

@test "a message with its id reaches all streams of its room and no other stream" {
  start_server
  listen in 'room=a'
  listen also 'room=b,a'
  listen out 'room=b'
  say a hello
  await_text in hello
  await_text also hello
  same "$(events_of in message .id)" "\"$ID\""
  same "$(events_of in message '.data | keys_unsorted')" '["id","room","name","message","time"]'
  same "$(events_of in message '[.data.id == .id, .data.room, .data.name, .data.message]')" \
    '[true,"a","anonymous","hello"]'
  say b end
  await_text out end
  same "$(said out)" end
}

@test "a message's time is the time in its id" {
  local id
  start_server
  listen stream ''
  say lobby hello
  await_text stream hello
  id=$(events_of stream message .data.id | jq -r .)
  same "$(events_of stream message .data.time | jq -r .)" \
    "$(date -u -d "@${id:0:10}.${id:10:3}" +%Y-%m-%dT%H:%M:%S.%3NZ)"
}

@test "a message arrives once on each of 1,000 streams" {
  start_server
  crowd 1000 /events
  say lobby 'hello crowd'
  tell 'count 1 hello crowd'
  same "$ANSWER" ok
  say lobby 'hello again'
  tell 'count 1 hello again'
  same "$ANSWER" ok
  tell 'count 1 hello crowd'
  same "$ANSWER" ok
}

@test "messages that arrive in one turn of the loop are sent in one packet, in order of their ids" {
  local i connections=() body segments
  start_server
  crowd 1 '/events?room=a,b'
  listen stream 'room=a,b'
  tell 'count 2 "online":2,"names"'
  tell segments
  segments=$ANSWER
  suspend_server
  for i in {1..8}; do
    exec {connections[i]}<>"/dev/tcp/127.0.0.1/$PORT"
    body="{\"room\":\"$([ $((i % 2)) = 0 ] && printf a || printf b)\",\"message\":\"m$i\"}"
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
      "${#body}" "$body" >&"${connections[i]}"
  done
  resume_server
  for i in {1..8}; do
    contains "$(timeout 20 cat <&"${connections[i]}")" 'HTTP/1.1 201 Created'
    exec {connections[i]}>&-
  done
  tell 'count 8 "message":"m'
  same "$ANSWER" ok
  tell segments
  same "$ANSWER" $((segments + 1))
  eventually '[ "$(events_of stream message | wc -l)" = 8 ]'
  same "$(events_of stream message .id)" "$(events_of stream message .id | sort -V)"
}

@test "a stream without other events gets heartbeats" {
  local before
  before=$(date +%s%3N)
  start_server --heartbeat 1
  listen stream ''
  await stream heartbeat 2
  between "$(events_of stream heartbeat .data | head -n 1)" "$before" "$(date +%s%3N)"
  same "$(events_of stream heartbeat .id | sort -u)" null
  same "$(events_of stream ready .data.heartbeat)" 1
}

@test "--heartbeat 0 switches heartbeats off" {
  start_server --heartbeat 0
  listen stream ''
  same "$(events_of stream ready .data.heartbeat)" 0
  sleep 1.2
  same "$(names stream)" 'retry ready presence'
}

@test "bytes that a client sends on an open stream are ignored and do not end the stream" {
  local stream
  start_server
  exec {stream}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n\r\n' >&"$stream"
  timeout 60 cat <&"$stream" >stream 3>&- &
  CLIENTS+=($!)
  await stream ready
  printf 'POST /messages HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n%s' "$(times 9000 x)" >&"$stream"
  say lobby hello
  await_text stream hello
  exec {stream}>&-
}

# ---- Presence ----

@test "a stream begins with the current presence of each of its rooms" {
  start_server
  listen first 'room=a,b&name=ann'
  same "$(names first)" 'retry ready presence presence'
  same "$(events_of first presence .data | paste -sd ' ')" \
    '{"room":"a","online":1,"names":["ann"]} {"room":"b","online":1,"names":["ann"]}'
  same "$(events_of first presence .id | sort -u)" null
}

@test "presence counts streams and lists each name once, in byte order" {
  start_server
  listen a 'name=ann'
  listen b 'name=Zoe'
  listen c 'name=ann'
  listen d 'name=%C3%A9lan'
  listen e ''
  same "$(events_of e presence .data)" \
    '{"room":"lobby","online":5,"names":["Zoe","ann","élan"]}'
  eventually '[ "$(events_of a presence .data.online | tail -n 1)" = 5 ]'
}

@test "when a stream ends, presence counts one fewer, and a name disappears with its last stream" {
  local first
  start_server
  listen stream ''
  listen ann 'name=ann'
  first=$CLIENT_PID
  listen too 'name=ann'
  eventually '[ "$(events_of stream presence .data | tail -n 1)" = "{\"room\":\"lobby\",\"online\":3,\"names\":[\"ann\"]}" ]'
  kill "$first"
  eventually '[ "$(events_of stream presence .data | tail -n 1)" = "{\"room\":\"lobby\",\"online\":2,\"names\":[\"ann\"]}" ]'
  kill "$CLIENT_PID"
  eventually '[ "$(events_of stream presence .data | tail -n 1)" = "{\"room\":\"lobby\",\"online\":1,\"names\":[]}" ]'
}

@test "presence is sent at most once a second and lists the first hundred names" {
  local started=$SECONDS
  start_server
  listen stream 'name=zed'
  crowd 120 '/events?name=n#'
  eventually '[ "$(events_of stream presence .data.online | tail -n 1)" = 121 ]'
  between "$(events_of stream presence | wc -l)" 2 $((SECONDS - started + 2))
  same "$(events_of stream presence '.data.names | [length, .[0], .[-1]]' | tail -n 1)" \
    '[100,"n0000","n0099"]'
}

@test "a room shows at most 16 names of one address, and the next ones when they leave" {
  local long
  long=$(times 27 %F0%9F%90%88)
  start_server --max-streams-per-ip 64 --trust-proxy 127.0.0.9
  listen ann 'name=ann' --interface 127.0.0.2
  listen zoe 'name=zoe' --interface 127.0.0.2
  crowd 64 "/events?name=n#$long"
  listen late '' --interface 127.0.0.2
  same "$(events_of late presence '.data | [.online, (.names | length), .names[0], .names[1][:5], .names[16][:5], .names[17]]')" \
    '[67,18,"ann","n0000","n0015","zoe"]'
  eventually '[ "$(events_of ann presence .data.online | tail -n 1)" = 67 ]'
  same "$(events_of ann presence '.data.names | length' | sort -un | tail -n 1)" 18
  # The same name of another address is shown, and shown once.
  listen other "name=n0063$long" --interface 127.0.0.2
  same "$(events_of other presence '.data.names | [length, .[17][:5], .[18]]')" '[19,"n0063","zoe"]'
  listen both "name=n0000$long" --interface 127.0.0.2
  # It counts for either of the two addresses.
  same "$(events_of both presence '.data.names | [.[1][:5], .[2][:5]]')" '["n0000","n0001"]'
  between "$(events_of both presence '.data.names | length')" 19 20
  tell 'leave 55'
  eventually '[ "$(events_of late presence "[.data.online, (.data.names | length)]" | tail -n 1)" = "[14,12]" ]'
}

@test "loopback shows all its names without --trust-proxy" {
  start_server --max-streams-per-ip 64
  crowd 40 '/events?name=n#'
  listen stream ''
  same "$(events_of stream presence '.data.names | length')" 40
}

# Opens a stream and waits until another one is told; sets NOW to the time in milliseconds.
told() { # ONLINE
  listen "s$1" ''
  eventually "[ \"\$(events_of stream presence .data.online | tail -n 1)\" = $1 ]"
  NOW=$(($(date +%s%N) / 1000000))
}

@test "in a room of 300 streams, snapshots of 13 KB come less often than every 3 seconds" {
  local long before
  long=$(times 28 %F0%9F%90%88)
  start_server
  listen stream ''
  crowd 300 "/events?name=#$long"
  told 302
  told 303
  before=$NOW
  told 304
  between $((NOW - before)) 2500 60000
}

# ---- Streams that are refused or cut off ----

# Checks that the last answer is a stream refused because of a limit: 200, a retry of 10 to 30
# seconds, `busy` with this reason, and a proper end.
is_busy() {
  same "$STATUS" 200
  same "$(field Content-Type)" 'text/event-stream; charset=utf-8'
  printf '%s\n' "$BODY" >busy
  printf '\n' >>busy
  same "$(names busy)" 'retry busy'
  local retry
  retry=$(events busy | jq 'select(.retry).retry')
  between "$retry" 10000 30000
  same "$(events_of busy busy .data)" "{\"reason\":\"$1\",\"retry\":$retry}"
}

# Prints the blocks of a stream that have no data. Some libraries make an empty message of such a
# block, and pages that parse its data as JSON fail.
blocks_without_data() {
  awk -v RS= '!/(^|\n)data: /' "$1"
}

@test "retry stands in the block that follows: no block is without data" {
  local version file
  start_server --max-streams 4
  accepts '{"message":"one"}'
  for version in http1.0 http1.1; do
    listen "new.$version" '' "--$version"
    listen "gap.$version" 'last_event_id=1-1' "--$version"
  done
  for version in http1.0 http1.1; do
    ask /events "--$version"
    is_busy full
  done
  stop_server
  for file in {new,gap}.http1.{0,1}; do
    eventually "names $file | grep -q 'retry heartbeat$'"
  done
  for file in {new,gap}.http1.{0,1} busy; do
    same "$file $(head -c 7 "$file")" "$file retry: "
    same "$file $(blocks_without_data "$file")" "$file "
  done
}

@test "a stream over the limit gets busy and a proper end" {
  start_server --max-streams 1
  listen stream ''
  ask /events
  is_busy full
  ask /events -0
  is_busy full
  ask /rooms
  same "$(jq -c '.rooms[0].online' <<<"$BODY")" 1
  kill "$CLIENT_PID"
  eventually 'ask /rooms; [ "$BODY" = "{\"rooms\":[],\"more\":false}" ]'
  listen stream ''
}

@test "a stream that needs a room over the limit gets busy, and a message for such a room gets 503" {
  start_server --max-rooms 1
  listen stream 'room=a'
  say a hello
  ask '/events?room=b'
  is_busy rooms
  ask '/events?room=a,b'
  is_busy rooms
  ask /rooms
  same "$(jq -c '[.rooms[] | [.room, .online]]' <<<"$BODY")" '[["a",1]]'
  refuses 503 '{"room":"b","message":"x"}'
  between "$(field Retry-After)" 1 60
  say a again
}

@test "a stream that the ring has overrun is cut off, and other streams lose nothing" {
  local slow i
  start_server --history 16K --log-level debug
  listen good ''
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  for i in {1..400}; do
    accepts "{\"data\":\"$i $(times 7000 x)\"}"
    ! grep -q 'reason="overrun"' "$SERVER_LOG" || break
  done
  eventually "grep -q 'reason=\"overrun\"' '$SERVER_LOG'"
  say lobby 'the end'
  await_text good 'the end'
  same "$(events_of good message '.data | strings' | cut -d ' ' -f 1 | tr -d '"' | paste -sd ' ')" \
    "$(seq -s ' ' "$i")"
  timeout 20 cat <&"$slow" >slow 2>cut.log || grep -q reset cut.log # the bytes that have arrived can be read
  exec {slow}>&-
  # There is no last chunk, so the client knows that the body was cut off.
  [ "$(tail -c 5 slow | od -An -c | tr -d ' ')" != '0\r\n\r\n' ]
  grep -q '^1 x' <(sed 's/^data: //' slow)
}

@test "when an overrun stream is cut off, its rooms are dropped if they have no messages and no other streams" {
  local slow
  start_server --history 16K --log-level debug
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events?room=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  for _ in {1..400}; do
    accepts "{\"room\":\"h\",\"data\":\"$(times 7000 x)\"}"
    ! grep -q 'reason="overrun"' "$SERVER_LOG" || break
  done
  eventually "grep -q 'reason=\"overrun\"' '$SERVER_LOG'"
  exec {slow}>&-
  ask /rooms
  same "$(jq -c '[.rooms[] | [.room, .online]]' <<<"$BODY")" '[["h",0]]'
}

@test "streams that stall for a while get every message once" {
  local i
  start_server --history 4M
  crowd 20 /events
  tell stall
  for i in {1..40}; do
    accepts "{\"data\":\"<$i> $(times 40000 x)\"}"
  done
  tell resume
  for i in 1 20 40; do
    tell "count 1 <$i> x"
    same "$ANSWER" ok
  done
  tell 'count 40 data: <'
  same "$ANSWER" ok
}
