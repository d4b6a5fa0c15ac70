#!/usr/bin/env bats
# GET /messages, for clients that read pages of history or use long polls; GET /rooms and GET
# /healthz. The tests publish with curl, request pages, and compare the JSON with jq.
# shellcheck disable=SC2016,SC2153
#
# seconds: 20
# quick: yes

load lib/helper

# Posts the messages m1, m2, … to a room: fill ROOM COUNT. Sets ids[1], ids[2], … to their ids.
fill() {
  local i
  ids=('')
  for ((i = 1; i <= $2; i++)); do
    accepts "{\"room\":\"$1\",\"message\":\"m$i\"}"
    ids+=("$ID")
  done
}

# Requests a page and prints the texts of its messages, then "more" and "gap" if the page says so.
page() {
  ask "/messages?$1"
  same "$STATUS" 200 && jq -r '[(.messages[] | .message // .data | tostring),
    (if .more then "more" else empty end), (if .gap then "gap" else empty end)] | join(" ")' <<<"$BODY"
}

# ---- Pages ----

@test "the page of an unused room is empty, and requesting it creates no room" {
  start_server
  ask '/messages?room=nowhere'
  same "$STATUS $(field Content-Type)" '200 application/json'
  same "$BODY" '{"messages":[],"oldest":null,"newest":null,"more":false,"gap":false}'
  ask /rooms
  same "$BODY" '{"rooms":[],"more":false}'
}

@test "a page shows chat messages exactly as the stream does" {
  start_server
  listen stream ''
  accepts '{"message":"a \"b\"","name":"ann"}' -H 'Idempotency-Key: k1'
  accepts '{"message":"c"}'
  await_text stream '"c"'
  ask /messages
  same "$(jq -c '.messages[]' <<<"$BODY")" "$(events_of stream message .data)"
  same "$(jq -c '[.oldest, .newest] == [.messages[0].id, .messages[-1].id]' <<<"$BODY")" true
  same "$(jq -c keys_unsorted <<<"$BODY")" '["messages","oldest","newest","more","gap"]'
}

@test "a page shows other events with their names, text data with LF line ends, and JSON data as JSON" {
  start_server
  accepts '{"data":"a\r\nb\rc\nd \"e\" \\ \u0001\u2028"}'
  accepts '{"event":"news","data":{"n":[1.5,null]}}'
  accepts '{"event":"empty","data":""}'
  accepts '{"data":"{\"not\":\"parsed\"}"}'
  accepts '{"data":"\n"}'
  accepts '{"data":7}'
  ask '/messages?name=ignored' -H 'Content-Type: application/octet-stream' --data-raw 'hi'
  ask /messages
  same "$(jq -c '.messages[] | [.event, .data]' <<<"$BODY" | head -n 6)" "$(
    cat <<'END'
["message","a\nb\nc\nd \"e\" \\ \u0001
END
  )$(printf '\342\200\250"]')"$'\n''["news",{"n":[1.5,null]}]'$'\n''["empty",""]'$'\n''["message","{\"not\":\"parsed\"}"]'$'\n''["message","\n"]'$'\n''["message",7]'
  same "$(jq -c '.messages[0] | keys_unsorted' <<<"$BODY")" '["id","room","event","data","time"]'
  contains "$BODY" '"data":{"n":[1.5,null]}'
}

@test "a page has 50 messages by default, or as many as limit says" {
  start_server
  fill lobby 52
  same "$(page '' | wc -w)" 51
  contains "$(page '')" 'm3 m4'
  contains "$(page '')" 'm52 more'
  same "$(page 'limit=2')" 'm51 m52 more'
  same "$(page 'limit=52')" "$(seq -f 'm%g' -s ' ' 52)"
  same "$(page 'limit=99999999')" "$(seq -f 'm%g' -s ' ' 52)"
}

@test "a limit over 500 counts as 500" {
  start_server
  # shellcheck disable=SC2046 # one argument for each word
  curl -sf $(for _ in {1..501}; do printf -- '-o /dev/null %s ' "$URL/messages"; done) \
    -H 'Content-Type: application/json' -d '{"data":"x"}'
  same "$(page 'limit=501' | wc -w)" 501
  contains "$(page 'limit=501')" more
}

@test "the page for after=ID begins with the oldest message that follows the id" {
  start_server
  fill lobby 5
  same "$(page "after=${ids[2]}")" 'm3 m4 m5'
  same "$(page "after=${ids[2]}&limit=2")" 'm3 m4 more'
  same "$(page "after=${ids[4]}&limit=1")" m5
  same "$(page "after=${ids[5]}")" ''
  same "$(jq -c '[.oldest, .newest]' <<<"$BODY")" '[null,null]'
}

@test "the page for before=ID ends with the newest message that precedes the id" {
  start_server
  fill lobby 5
  same "$(page "before=${ids[4]}")" 'm1 m2 m3'
  same "$(page "before=${ids[4]}&limit=2")" 'm2 m3 more'
  same "$(page "before=${ids[1]}")" ''
  same "$(page "before=9999999999999-0&limit=1")" 'm5 more'
  same "$(page "before=0-0")" ''
}

@test "after and before accept an id from another room as a point in time" {
  local between
  start_server
  accepts '{"message":"one"}'
  accepts '{"room":"other","message":"x"}'
  between=$ID
  accepts '{"message":"two"}'
  same "$(page "after=$between")" two
  same "$(page "before=$between")" one
}

@test "a page reports a gap when a message after the id is lost" {
  local first
  start_server --history 16K
  accepts '{"message":"first"}'
  first=$ID
  for _ in {1..6}; do
    accepts "{\"data\":\"$(times 4000 x)\"}"
  done
  ask "/messages?after=$first"
  same "$(jq -c .gap <<<"$BODY")" true
  ask "/messages?after=$(jq -r .oldest <<<"$BODY")"
  same "$(jq -c .gap <<<"$BODY")" false
  ask /messages
  same "$(jq -c .gap <<<"$BODY")" false
  ask "/messages?room=new&after=$ID"
  same "$(jq -c .gap <<<"$BODY")" false
  ask "/messages?after=0-1"
  same "$(jq -c .gap <<<"$BODY")" true
  ask "/messages?room=new&after=0-1"
  same "$(jq -c .gap <<<"$BODY")" true
}

@test "a page ends after 64 KiB, and its newest id leads to the next page" {
  local id='' pages=0 seen=''
  start_server
  for i in {1..15}; do
    accepts "{\"data\":\"$i $(times 10000 x)\"}"
  done
  ask '/messages?limit=500'
  between "$(jq '.messages | length' <<<"$BODY")" 6 7
  same "$(jq -c '[.more, .messages[-1].data[:2]]' <<<"$BODY")" '[true,"15"]'
  id=0-0
  while :; do
    ask "/messages?limit=500&after=$id"
    between "${#BODY}" 2 80000
    seen+=$(jq -j '.messages[] | .data | split(" ")[0] + " "' <<<"$BODY")
    id=$(jq -r .newest <<<"$BODY")
    pages=$((pages + 1))
    [ "$(jq -c .more <<<"$BODY")" = true ] || break
  done
  same "$pages $seen" '3 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 '
}

@test "a single message over 64 KiB is a page by itself" {
  start_server --max-body 128K
  printf '{"data":"%s"}' "$(times 100000 x)" >body
  ask /messages -H 'Content-Type: application/json' --data-binary @body
  same "$STATUS" 201
  ask '/messages'
  same "$(jq -c '[(.messages | length), .more]' <<<"$BODY")" '[1,false]'
}

@test "an invalid parameter is answered with 400" {
  local query
  start_server
  while read -r query; do
    ask "/messages?$query"
    is_problem 400 || {
      printf 'query: %s\n' "$query"
      return 1
    }
  done <<'END'
limit=0
limit=x
limit=-1
limit=1&limit=2
after=x
after=1
after=1-
after=-1
after=
before=
before=x
after=1-0&before=2-0
room=a,b
room=a&room=b
room=
room=a/b
wait=99999999999999
wait=x
wait=-1
wait=1.5
wait=1&before=1-0
after=%0A
room=%
END
}

# ---- Long polling ----

# Starts a long poll in the background and writes the answer to a file: poll FILE QUERY.
poll() {
  curl -sS -m 60 -o "$1" "$URL/messages?$2" 3>&- &
  CLIENT_PID=$!
  CLIENTS+=("$CLIENT_PID")
}

@test "a long poll is answered when a message arrives in its room" {
  start_server
  fill lobby 1
  poll page "after=$ID&wait=60"
  poll other "room=other&after=$ID&wait=60"
  await_polls 2
  [ ! -s page ]
  accepts '{"message":"hello"}'
  eventually '[ -s page ]'
  same "$(jq -c '[.messages[].message]' page)" '["hello"]'
  same "$(jq -c '[.newest, .more, .gap]' page)" "[\"$ID\",false,false]"
  [ ! -s other ]
}

@test "a long poll is answered at once if messages after the id already exist" {
  start_server
  fill lobby 2
  same "$(page "after=${ids[1]}&wait=60")" m2
  same "$(page 'after=0-1&wait=60')" 'm1 m2 gap'
  same "$(page 'after=0-0&wait=60')" 'm1 m2'
}

@test "without after=ID, a long poll waits for new messages only" {
  start_server
  fill lobby 2
  same "$(page 'wait=1')" ''
}

@test "a long poll that times out gets an empty page with the id to continue from" {
  local before after
  start_server
  fill lobby 1
  before=$(date +%s%3N)
  ask '/messages?wait=1'
  after=$(date +%s%3N)
  same "$BODY" "{\"messages\":[],\"oldest\":null,\"newest\":\"$ID\",\"more\":false,\"gap\":false}"
  between $((after - before)) 950 5000
  # A message that arrives between two polls is not lost, even if it is the server's first.
  start_server
  ask '/messages?wait=1'
  after=$(jq -r .newest <<<"$BODY")
  accepts '{"message":"first"}'
  same "$(page "after=$after&wait=60")" first
}

@test "a long poll ends when its client disconnects, and an answered poll leaves its connection open" {
  start_server --max-streams 1
  poll page 'wait=60'
  await_polls 1
  ask '/messages?wait=1'
  is_problem 503
  ask /events
  contains "$BODY" '"full"'
  kill "$CLIENT_PID"
  eventually 'ask /messages?wait=1; [ "$STATUS" = 200 ]'
  # Two pipelined requests, the first of which waits.
  contains "$(raw 'GET /messages?wait=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')" \
    '{"status":"ok"}'
}

@test "a long poll whose client has half-closed the connection is answered" {
  start_server
  accepts '{"message":"old"}'
  same "$(printf 'GET /messages?wait=55 HTTP/1.1\r\nHost: a\r\n\r\n' | timeout 20 "$TOOLS/crowd" "$PORT" send | tail -n 1 |
    jq -c '[.newest, .messages]')" "[\"$ID\",[]]"
  # The second request was in the kernel when the client half-closed.
  printf 'GET /messages?wait=55 HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' |
    timeout 20 "$TOOLS/crowd" "$PORT" send >answers
  same "$(grep -ac '^HTTP/1.1 200' answers) $(tail -n 1 answers)" '2 {"status":"ok"}'
}

@test "a wait of more than 55 seconds is taken as 55" {
  start_server
  # The queues of deadlines are one per second: a longer wait would have none.
  for wait in 55 56 60 3600 999999999999; do
    poll "page.$wait" "wait=$wait"
  done
  await_polls 5
  accepts '{"message":"x"}'
  for wait in 55 56 60 3600 999999999999; do
    eventually "[ \"\$(jq -r '.messages[0].message' page.$wait)\" = x ]"
  done
}

@test "a HEAD request with wait is answered at once" {
  start_server
  ask '/messages?wait=60' -I
  same "$STATUS" 200
}

@test "a long poll does not count in presence" {
  start_server
  poll page 'wait=60'
  await_polls 1
  listen stream ''
  same "$(events_of stream ready .data.rooms)" '[{"room":"lobby","online":1}]'
}

# ---- Rooms and health ----

@test "GET /rooms lists rooms with streams or history, sorted by name, but none that begin with ~" {
  local b
  start_server
  accepts '{"room":"b","message":"x"}' && b=$ID
  accepts '{"room":"~secret","message":"x"}'
  accepts '{"room":"B","message":"x"}'
  listen stream 'room=a,~hidden,b&name=ann'
  ask /rooms
  same "$(field Content-Type)" application/json
  same "$BODY" "{\"rooms\":[{\"room\":\"B\",\"online\":0,\"newest\":\"$ID\"},{\"room\":\"a\",\"online\":1,\"newest\":null},{\"room\":\"b\",\"online\":1,\"newest\":\"$b\"}],\"more\":false}"
  kill "$CLIENT_PID"
  eventually 'ask /rooms; [ "$(jq ".rooms | length" <<<"$BODY")" = 2 ]'
}

@test "a silent room is dropped after --room-ttl, and its messages become a gap" {
  local id
  start_server --room-ttl 1
  accepts '{"room":"a","message":"x"}' && id=$ID
  accepts '{"room":"a","message":"y"}'
  eventually 'ask /rooms; [ "$BODY" = "{\"rooms\":[],\"more\":false}" ]'
  listen stream 'room=a' -H "Last-Event-ID: $id"
  same "$(events_of stream gap '[.data.reason, .data.oldest]')" '["expired",null]'
}

@test "GET /healthz answers ok" {
  start_server
  ask /healthz
  same "$STATUS $(field Content-Type) $BODY" '200 application/json {"status":"ok"}'
}

@test "JSON answers forbid caching and type sniffing" {
  start_server
  for path in /messages /rooms /healthz; do
    ask "$path"
    same "$(field Cache-Control)" no-store
    same "$(field X-Content-Type-Options)" nosniff
  done
}
