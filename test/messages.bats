#!/usr/bin/env bats
# POST /messages: what is accepted and what it becomes, what is refused and with which status; keys,
# Origin and CORS. The tests post with curl, and compare what arrives on a stream with what was
# sent; where the bytes of a request matter, `raw` (helper.bash) sends them.
# shellcheck disable=SC1083,SC2016,SC2030,SC2031,SC2093,SC2153
#
# seconds: 35
# quick: yes

load lib/helper

# Posts the file `body`, whose JSON can be too long for a command line.
post_file() {
  ask /messages -H 'Content-Type: application/json' --data-binary @body
}

# ---- The answer ----

@test "a published message is answered with 201 and its id, room, time and online" {
  start_server
  listen stream 'room=den'
  accepts '{"room":"den","message":"hello"}'
  same "$(field Content-Type)" application/json
  same "$(jq -c keys_unsorted <<<"$BODY")" '["id","room","time","online"]'
  same "$(jq -c '[.room, .online]' <<<"$BODY")" '["den",1]'
  await_text stream hello
  same "$(jq -c '[.id, .time]' <<<"$BODY")" "$(events_of stream message '[.id, .data.time]')"
}

@test "ids grow across all rooms, even within a millisecond" {
  local i
  start_server
  for i in {1..40}; do
    accepts "{\"room\":\"r$((i % 3))\",\"message\":\"x\"}"
    printf '%s\n' "$ID"
  done >ids
  same "$(sort -V -u ids)" "$(cat ids)"
}

# ---- message ----

@test "a message has 1 to 4096 characters, whatever its length in bytes" {
  local c
  start_server
  accepts '{"message":"x"}'
  refuses 400 '{"message":""}'
  for c in a é 中 😀; do
    accepts "{\"message\":\"$(times 4096 "$c")\"}"
    refuses 400 "{\"message\":\"$(times 4097 "$c")\"}"
  done
  accepts "{\"message\":\"$(times 4096 '\ud83d\ude00')\"}"
  refuses 400 "{\"message\":\"$(times 4097 '\u0061')\"}"
}

@test "a message needs a visible character, and is kept as posted" {
  local text
  start_server
  listen stream ''
  for text in ' ' '\t' '\n' '\r\n' '\u00a0' '\u3000' ' \u2003\n ' '\u2800' '\u200b' '\u3164\u2800' '\u202e\u2028' \
    '\ufe0f' '\u200d' '\udb40\udc67'; do
    refuses 400 "{\"message\":\"$text\"}"
    contains "$BODY" 'The message has no visible character'
  done
  accepts '{"message":" \t a\n\n b \r\n"}'
  accepts '{"message":"\u2800\u200b.\u00ad"}'
  await_text stream $'\u00ad'
  same "$(events_of stream message .data.message)" '" \t a\n\n b \r\n"'$'\n"\u2800\u200b.\u00ad"'
}

@test "a message may contain no control characters except tab, CR and LF" {
  local c
  start_server
  for c in 0000 0001 0008 000b 000c 000e 001b 001f 007f 0080 0085 009f; do
    refuses 400 "{\"message\":\"a\\u$c\"}"
    contains "$BODY" 'a control character other than tab, CR and LF'
  done
  for c in 0009 000a 000d 0020 007e 00a0 00ad 200b 200d 2027 202f 2065 206a feff ffff; do
    accepts "{\"message\":\"a\\u$c\"}"
  done
}

@test "bidirectional controls and line separators in a message are kept as posted" {
  local c
  start_server
  listen stream ''
  for c in 061c 200e 200f 2028 2029 202a 202b 202c 202d 202e 2066 2067 2068 2069; do
    accepts "{\"message\":\"a\\u$c\"}"
    printf '"a\\u%s"\n' "$c" >>wanted
  done
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events_of stream message .data.message | head -n -1)" "$(jq -c . wanted)"
  ask /messages
  same "$(jq -c '.messages[].message' <<<"$BODY" | head -n -1)" "$(jq -c . wanted)"
}

# ---- data ----

@test "a string in data is sent as text, with a data field for each of its lines" {
  start_server
  listen stream ''
  accepts '{"data":"one\ntwo\r\nthree\rfour\n"}'
  accepts '{"data":""}'
  accepts '{"data":" x"}'
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events stream | jq -c 'select(.event == "message") | .data' | head -n 3)" \
    $'"one\\ntwo\\nthree\\nfour\\n"\n""\n" x"'
  same "$(grep -c '^data: $' stream)" 2
  same "$(grep '^data: ' stream | sed -n '/one/,/four/p')" $'data: one\ndata: two\ndata: three\ndata: four'
}

@test "any other JSON in data arrives compact, with numbers as they were written" {
  start_server
  listen stream ''
  while IFS='|' read -r sent expected; do
    accepts "{\"data\":$sent}"
    printf 'data: %s\n' "$expected" >>wanted
  done <<'END'
{ "a" : [ 1 , 2.50 , -0 , 1E+2 ] , "b" : { } }|{"a":[1,2.50,-0,1E+2],"b":{}}
[ ]|[]
 true |true
false|false
12345678901234567890.0123456789|12345678901234567890.0123456789
[null, " a  b ", "\u00e9\/\n"]|[null," a  b ","\u00e9\/\n"]
{"a":1,"a":2}|{"a":1,"a":2}
END
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(grep '^data: ' stream | grep -v '"rooms"\|"online"\|the end')" "$(cat wanted)"
}

# Some readers split lines at these characters too, such as str.splitlines of Python.
@test "U+0085, U+2028 and U+2029 are escaped in all JSON, and stay in text" {
  local all='\u0085\u2028\u2029' raw=$'\u0085\u2028\u2029' text
  start_server
  listen stream 'room=lobby,a"%C3%A9'
  accepts "{\"data\":{\"$raw\":[\"$raw\",\"$all\"]}}"
  accepts "{\"message\":\"a${raw#?}\"}"
  accepts "{\"data\":\"text $raw\"}"
  accepts "{\"event\":\"e\",\"data\":[\"the end\"]}"
  await_text stream 'the end'
  same "$(grep -a '^data: {"' stream | sed -n '/\\u0085/p')" "data: {\"$all\":[\"$all\",\"$all\"]}"
  contains "$(<stream)" '"message":"a\u2028\u2029"'
  contains "$(<stream)" "data: text $raw"
  grep -av '^data: text' stream >json
  ask /messages
  contains "$BODY" "\"data\":{\"$all\":[\"$all\",\"$all\"]}"
  contains "$BODY" "\"data\":\"text $all\""
  printf '%s' "$BODY" >>json
  for text in $'\u0085' $'\u2028' $'\u2029'; do
    same "$(LC_ALL=C grep -ac "$text" json)" 0
  done
}

@test "a frame counts with its escapes: they can make it too large" {
  start_server --history 16K
  printf '{"data":["%s"]}' "$(times 1300 $'\u0085')" >body
  post_file
  same "$STATUS" 201
  printf '{"data":["%s"]}' "$(times 1400 $'\u0085')" >body
  post_file
  is_problem 413
  printf '{"data":"%s"}' "$(times 1400 $'\u0085')" >body
  post_file
  same "$STATUS" 201
}

@test "a POST is repeated if its line separators are escaped differently" {
  start_server
  accepts $'{"data":["\u0085\u2028\u2029"]}' -H 'Idempotency-Key: k'
  local id=$ID
  ask /messages -H 'Content-Type: application/json' -H 'Idempotency-Key: k' -d '{"data":["\u0085\u2028\u2029"]}'
  same "$STATUS $(jq -r .id <<<"$BODY")" "200 $id"
  ask /messages -H 'Content-Type: application/json' -H 'Idempotency-Key: k' -d '{"data":["\u0085\u2028\u2028"]}'
  is_problem 422
}

@test "data is limited only by the size of the body" {
  start_server
  listen stream ''
  printf '{"data":"%s"}' "$(times 65525 x)" >body
  same "$(wc -c <body)" 65536
  post_file
  same "$STATUS" 201
  await_text stream 'data: x'
  same "$(events_of stream message '.data | length')" 65525
}

# ---- event ----

@test "an event's name has 1 to 64 bytes and no control or invisible characters" {
  local name
  start_server
  listen stream ''
  for name in news 'goals & cards' "$(times 64 x)" "$(times 16 😀)" ready2 Ready message 'a:b' open. \
    $'\u2764\ufe0f' $'a\u200db'; do
    accepts "{\"event\":\"$name\",\"data\":1}"
    printf '%s\n' "$name" >>wanted
  done
  for name in '' "$(times 65 x)" "$(times 15 😀)aaaaa" 'a\nb' 'a\rb' 'a\tb' '\u0000' '\u007f' '\u2028' \
    '\u200e' '\u200b' 'news\u200b' 'news\u200d' '\ufe0fnews'; do
    refuses 400 "{\"event\":\"$name\",\"data\":1}"
  done
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events stream | jq -r 'select(.data == "1") | .event')" "$(cat wanted)"
}

@test "an event's name may not be a name that the server or the browser uses" {
  local name
  start_server
  for name in ready gap presence heartbeat busy delete mute open error; do
    refuses 400 "{\"event\":\"$name\",\"data\":1}"
    ask "/messages?event=$name" -H 'Content-Type: application/octet-stream' --data-raw x
    is_problem 400
  done
}

@test "an event's name is accepted only with data" {
  start_server
  refuses 400 '{"message":"x","event":"news"}'
  accepts '{"message":"x","event":null}'
}

# ---- room ----

@test "a room's name has 1 to 64 bytes and no control or invisible characters, comma or slash" {
  local name
  start_server
  for name in a "$(times 64 x)" "$(times 16 😀)" '~secret' 'a b' ' a ' '..' '"'; do
    accepts "$(jq -nc --arg room "$name" '{$room, message: "x"}')"
    same "$(jq -r .room <<<"$BODY")" "$name"
  done
  for name in '' "$(times 65 x)" "$(times 16 😀)x" 'a,b' 'a/b' ',' '/' 'a\nb' '\u0000' '\u0085' '\u202e' \
    '\u200f' '\u200b' 'lobby\u200b' '\u3164' 'lobby\u200c' 'lob\u00adby'; do
    refuses 400 "{\"room\":\"$name\",\"message\":\"x\"}"
  done
}

@test "a room or a name in a URL follows the same rules as in a body" {
  local name path
  start_server
  for name in '\u202e' '\u200e' 'a\u200b' '\u3164' 'a\u200d' '\ufe0f' '\u2028' '\u0085'; do
    name=$(jq -r @uri <<<"\"$name\"")
    for path in "events?room=$name" "events?room=lobby,$name" "events?name=$name" "messages?room=$name"; do
      ask "/$path"
      is_problem 400
    done
    for path in "room=$name" "name=$name" "event=$name"; do
      ask "/messages?$path" -H 'Content-Type: application/octet-stream' --data-raw x
      is_problem 400
    done
  done
  ask '/messages?room=a%E2%80%8Bb'
  contains "$BODY" 'The room name contains an invisible character, such as U+200B'
  ask '/messages?room=%E2%9D%A4%EF%B8%8F'
  same "$STATUS" 200
}

@test "a message without a room is sent to the lobby" {
  start_server
  accepts '{"message":"x"}'
  same "$(jq -r .room <<<"$BODY")" lobby
  accepts '{"message":"x","room":null}'
  same "$(jq -r .room <<<"$BODY")" lobby
}

@test "with --room, any other room is answered with 403" {
  start_server --room kitchen
  accepts '{"room":"kitchen","message":"x"}'
  refuses 403 '{"room":"hall","message":"x"}'
  refuses 403 '{"message":"x"}'
  ask '/messages?room=hall'
  is_problem 403
}

# ---- name ----

@test "a name has 1 to 32 characters, is trimmed of white space, and defaults to anonymous" {
  local name
  start_server
  listen stream ''
  accepts '{"message":"x"}'
  accepts '{"message":"x","name":null}'
  accepts '{"message":"x","name":"  Ann \u00a0"}'
  accepts '{"message":"x","name":"Ann  Lee"}'
  accepts "{\"message\":\"x\",\"name\":\"$(times 32 😀)\"}"
  accepts "{\"message\":\"x\",\"name\":\" $(times 32 é) \"}"
  for name in '' ' ' '\u3000' "$(times 33 a)" "$(times 33 😀)" 'a\nb' 'a\tb' '\u0000' 'a\u202e' '\ta' \
    '\u200b' '\u3164' 'ann\u200b' 'ann\u200e' 'ann\u200d' '\u2800' 'a\u2060n'; do
    refuses 400 "{\"message\":\"x\",\"name\":\"$name\"}"
  done
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events_of stream message .data.name | head -n 6 | jq -r .)" \
    "$(printf '%s\n' anonymous anonymous Ann 'Ann  Lee' "$(times 32 😀)" "$(times 32 é)")"
}

@test "a name is accepted only with message" {
  start_server
  refuses 400 '{"data":"x","name":"ann"}'
  accepts '{"data":"x","name":null}'
}

# ---- The body ----

@test "a body must have either message or data" {
  start_server
  refuses 400 '{}'
  refuses 400 '{"room":"x"}'
  refuses 400 '{"message":"x","data":"x"}'
  refuses 400 '{"message":"x","data":{}}'
  refuses 400 '{"message":null,"data":null}'
  refuses 400 '{"data":null}'
  accepts '{"message":"x","data":null}'
  accepts '{"message":null,"data":0}'
}

@test "a text field that is not a string is answered with 400" {
  local field value
  start_server
  for value in 1 true '[]' '{}' '["x"]'; do
    for field in message room name; do
      refuses 400 "{\"message\":\"x\",\"$field\":$value}"
    done
    refuses 400 "{\"message\":$value}"
    refuses 400 "{\"data\":1,\"event\":$value}"
  done
}

@test "an unknown field is ignored, and a known field given twice is answered with 400" {
  local name
  start_server
  accepts '{"id":7,"x":{"message":"y"},"message":"x","Message":[],"":0}'
  for name in message room name; do
    refuses 400 "{\"message\":\"x\",\"$name\":\"x\",\"$name\":\"x\"}"
  done
  refuses 400 '{"data":1,"data":1}'
  refuses 400 '{"data":1,"data":null}'
  refuses 400 '{"message":"x","m\u0065ssage":"x"}'
}

@test "the name of a field may be written with escapes" {
  start_server
  accepts '{"\u006dessage":"x","r\u006fom":"den"}'
  same "$(jq -r .room <<<"$BODY")" den
}

@test "a body must be exactly one JSON object as RFC 8259 defines it" {
  local body
  start_server
  while read -r body; do
    refuses 400 "$body"
  done <<'END'
{"message":"x"
{"message":"x"}}
{"message":"x"} x
{"message":"x",}
{message:"x"}
{'message':'x'}
{"message":"x","a":01}
{"message":"x","a":1.}
{"message":"x","a":.5}
{"message":"x","a":+1}
{"message":"x","a":NaN}
{"message":"x","a":tru}
{"message":"x","a":"\x"}
{"message":"x","a":"\u12g4"}
{"message":"x","a":"\ud800"}
{"message":"x","a":[1 2]}
{"message":"x" "a":1}
{"message":"x"/**/}
["message","x"]
"message"
message=x
null
END
  ask /messages -X POST -H 'Content-Type: application/json' -H 'Content-Length: 0'
  is_problem 400
  printf '\xef\xbb\xbf{"message":"x"}' >body
  post_file
  is_problem 400
  printf '{"message":"x"}\0' >body
  post_file
  is_problem 400
  printf ' \r\n\t{"message":"x"}\n\n ' >body
  post_file
  same "$STATUS" 201
}

@test "a body is at most 64 levels deep" {
  start_server
  accepts "{\"data\":$(times 63 '[')$(times 63 ']')}"
  refuses 400 "{\"data\":$(times 64 '[')$(times 64 ']')}"
  accepts "{\"message\":\"x\",\"extra\":$(times 63 '[')$(times 63 ']')}"
  refuses 400 "{\"message\":\"x\",\"extra\":$(times 30000 '[')$(times 30000 ']')}"
}

# ---- The head ----

@test "the Content-Type must be JSON, with any parameters" {
  local type
  start_server
  for type in 'application/json; charset=utf-8' 'application/json;charset="UTF-8"; x=y' \
    'Application/JSON' 'application/json ;a=b'; do
    ask /messages -H "Content-Type: $type" --data-raw '{"message":"x"}'
    same "$STATUS" 201
  done
  for type in text/plain application/x-www-form-urlencoded application/jsonp application/json2 \
    'multipart/form-data; boundary=application/json' 'text/plain; application/json' application json; do
    ask /messages -H "Content-Type: $type" --data-raw '{"message":"x"}'
    is_problem 415
  done
  ask /messages -H 'Content-Type:' --data-raw '{"message":"x"}'
  is_problem 415
  ask /messages -H 'Content-Type;' --data-raw '{"message":"x"}'
  is_problem 415
}

@test "a POST without a length is answered with 411" {
  start_server
  contains "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n')" \
    'HTTP/1.1 411 Length Required'
}

@test "a body over --max-body is refused before it is read" {
  start_server
  contains "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n')" \
    'HTTP/1.1 413 Content Too Large'
  contains "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 99999999999999999999\r\n\r\n')" \
    'HTTP/1.1 4'
  contains "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n')" \
    'HTTP/1.1 413 Content Too Large'
  printf '{"message":"x"}%*s' 65522 '' >body
  post_file
  is_problem 413
  printf '{"message":"x"}%*s' 65521 '' >body
  post_file
  same "$STATUS" 201
}

@test "a client can read the 413 while it is still sending a body that is too large" {
  start_server
  head -c 4000000 /dev/zero >body
  ask /messages -H 'Content-Type: application/json' -H 'Expect:' --data-binary @body ||
    same "$?" 55 # curl could not send the whole body, but has read the answer
  same "$STATUS" 413
  # If a client only sends, the server reads 64 KB and keeps the connection open for a second, so
  # that the client can read the answer.
  local deaf before
  exec {deaf}<>"/dev/tcp/127.0.0.1/$PORT"
  before=$(date +%s%3N)
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 32000000\r\n\r\n' >&"$deaf"
  head -c 32000000 /dev/zero 1>&"$deaf" || same "$?" 141 # a broken pipe
  between $(($(date +%s%3N) - before)) 900 20000
  contains "$(timeout 20 cat <&"$deaf" 2>/dev/null)" 'HTTP/1.1 413 Content Too Large'
  exec {deaf}>&-
}

@test "a body with a Content-Encoding is answered with 415, which says that identity passes" {
  start_server
  listen stream ''
  for coding in gzip 'identity, br' deflate; do
    printf '{"message":"garbled"}' | gzip >body
    for type in application/json application/octet-stream; do
      ask '/messages?event=x' -H "Content-Type: $type" -H "Content-Encoding: $coding" --data-binary @body
      is_problem 415
      same "$(field Accept-Encoding)" identity
      contains "$BODY" uncompressed
    done
  done
  accepts '{"message":"plain"}' -H 'Content-Encoding: identity'
  accepts '{"message":"empty"}' -H 'Content-Encoding;'
  await_text stream empty
  same "$(events_of stream message .data.message | paste -sd ' ')" '"plain" "empty"'
}

@test "--max-body limits the size of a body" {
  start_server --max-body 100
  printf '{"message":"x"}%*s' 85 '' >body
  post_file
  same "$STATUS" 201
  printf '{"message":"x"}%*s' 86 '' >body
  post_file
  is_problem 413
}

@test "a message whose frame is larger than half of the history is answered with 413" {
  start_server --history 16K
  accepts "{\"data\":\"$(times 8000 x)\"}"
  refuses 413 "{\"data\":\"$(times 8200 x)\"}"
  refuses 413 "{\"data\":\"$(times 2000 '\n')\"}"
  accepts '{"message":"x"}'
}

@test "a chunked body may have chunks of any size, extensions and trailers" {
  local answer
  start_server
  answer=$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0000a;x="y"\r\n"message":\r\n4\r\n"x"}\r\n0\r\nTrailer: y\r\n\r\n')
  contains "$answer" 'HTTP/1.1 201 Created'
  ask /messages -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' --data-raw '{"message":"x"}'
  same "$STATUS" 201
}

@test "Expect: 100-continue is answered before the body, unless the head is refused" {
  local connection line
  start_server
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n' >&"$connection"
  read -r -t 20 line <&"$connection"
  same "$line" $'HTTP/1.1 100 Continue\r'
  printf '{"message":"x"}' >&"$connection"
  contains "$(timeout 20 cat <&"$connection")" 'HTTP/1.1 201 Created'
  exec {connection}>&-
  same "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n' | head -n 1)" \
    $'HTTP/1.1 415 Unsupported Media Type\r'
  contains "$(raw 'POST /messages HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 15\r\n\r\n')" 'HTTP/1.1 417 '
}

# ---- Binary ----

@test "binary data arrives as Base64, with room, name and event from the query" {
  start_server
  listen stream 'room=cam'
  head -c 3000 /dev/urandom >octets
  ask '/messages?room=cam&name=front+door&event=image' -H 'Content-Type: application/octet-stream' \
    --data-binary @octets
  same "$STATUS" 201
  same "$(jq -r .room <<<"$BODY")" cam
  await stream image
  same "$(events_of stream image '.data | keys_unsorted')" '["id","room","name","encoding","data","time"]'
  same "$(events_of stream image '[.data.room, .data.name, .data.encoding, .data.id == .id]')" \
    '["cam","front door","base64",true]'
  events_of stream image .data.data | jq -r . | base64 -d | cmp - octets
}

@test "without a query, binary data is a default event in the lobby; empty data is refused" {
  start_server
  listen stream ''
  ask /messages -H 'Content-Type: application/octet-stream; x=y' --data-raw 'hi'
  same "$STATUS" 201
  await_text stream aGk=
  same "$(events_of stream message '[.data.room, .data.name, .data.data]')" '["lobby","anonymous","aGk="]'
  ask /messages -X POST -H 'Content-Type: application/octet-stream' -H 'Content-Length: 0'
  is_problem 400
  ask '/messages?room=a,b' -H 'Content-Type: application/octet-stream' --data-raw 'hi'
  is_problem 400
}

# ---- Idempotency-Key ----

@test "a POST repeated with its idempotency key gets the first answer and publishes nothing" {
  local first
  start_server
  listen stream ''
  accepts '{"message":"hello","name":"ann"}' -H 'Idempotency-Key: k1'
  first=$(jq -c '[.id, .room, .time]' <<<"$BODY")
  post '{ "name" : "ann", "message" : "hell\u006f" }' -H 'Idempotency-Key: k1'
  same "$STATUS $(jq -c '[.id, .room, .time]' <<<"$BODY")" "200 $first"
  same "$(jq -c keys_unsorted <<<"$BODY")" '["id","room","time","online"]'
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events_of stream message .data.message | paste -sd ' ')" '"hello" "the end"'
  same "$(events_of stream message .data.key | paste -sd ' ')" '"k1" null'
  same "$(events_of stream message '.data | keys_unsorted' | head -n 1)" '["id","room","name","message","time","key"]'
}

@test "an idempotency key that is reused for another message is answered with 422" {
  start_server
  accepts '{"message":"hello"}' -H 'Idempotency-Key: k1'
  refuses 422 '{"message":"hello!"}' -H 'Idempotency-Key: k1'
  refuses 422 '{"message":"hello","name":"ann"}' -H 'Idempotency-Key: k1'
  refuses 422 '{"data":"hello"}' -H 'Idempotency-Key: k1'
  accepts '{"data":{"a":[1]}}' -H 'Idempotency-Key: k2'
  post '{"data": {"a": [1]}}' -H 'Idempotency-Key: k2'
  same "$STATUS" 200
  refuses 422 '{"data":{"a":[2]}}' -H 'Idempotency-Key: k2'
}

@test "an idempotency key applies only in its room, and a POST without a key is always new" {
  start_server
  accepts '{"message":"x"}' -H 'Idempotency-Key: k1'
  accepts '{"message":"x","room":"den"}' -H 'Idempotency-Key: k1'
  accepts '{"message":"x"}' -H 'Idempotency-Key: K1'
  accepts '{"message":"x"}'
  accepts '{"message":"x"}'
}

@test "a refused POST does not use up its idempotency key" {
  start_server --max-rooms 1
  accepts '{"message":"x","room":"hall"}'
  refuses 400 '{"message":""}' -H 'Idempotency-Key: k1'
  refuses 503 '{"message":"x","room":"den"}' -H 'Idempotency-Key: k1'
  refuses 400 '{"message":"x","room":"a/b"}' -H 'Idempotency-Key: k1'
  accepts '{"message":"y"}' -H 'Idempotency-Key: k1'
}

@test "an idempotency key is forgotten with its message" {
  start_server --history 16K
  accepts '{"message":"x"}' -H 'Idempotency-Key: k1'
  for _ in {1..6}; do
    accepts "{\"data\":\"$(times 4000 x)\"}"
  done
  accepts '{"message":"y"}' -H 'Idempotency-Key: k1'
}

@test "an idempotency key in quotes, as the IETF draft writes it, is the same key" {
  start_server
  listen stream ''
  accepts '{"message":"one"}' -H 'Idempotency-Key: "k-1"'
  for key in k-1 '"k-1"'; do
    post '{"message":"one"}' -H "Idempotency-Key: $key"
    same "$STATUS $(jq -r .id <<<"$BODY")" "200 $ID"
  done
  accepts '{"message":"two"}' -H 'Idempotency-Key: "'
  refuses 400 '{"message":"three"}' -H 'Idempotency-Key: ""'
  await_text stream two
  same "$(events_of stream message .data.key | paste -sd ' ')" '"k-1" "\""'
}

@test "an idempotency key has 1 to 64 visible ASCII characters" {
  start_server
  accepts '{"message":"x"}' -H "Idempotency-Key: $(times 64 k)"
  accepts '{"message":"x"}' -H 'Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"'
  refuses 400 '{"message":"x"}' -H "Idempotency-Key: $(times 65 k)"
  refuses 400 '{"message":"x"}' -H 'Idempotency-Key;'
  refuses 400 '{"message":"x"}' -H 'Idempotency-Key: a b'
  refuses 400 '{"message":"x"}' -H 'Idempotency-Key: é'
}

@test "POSTs with the same idempotency key at the same time publish one message" {
  local i connections=()
  start_server
  listen stream ''
  suspend_server
  for i in {1..5}; do
    exec {connections[i]}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{"message":"%s"}' \
      "$([ "$i" = 5 ] && printf y || printf x)" >&"${connections[i]}"
  done
  resume_server
  for i in {1..5}; do
    timeout 20 cat <&"${connections[i]}" >"answer.$i"
    exec {connections[i]}>&-
  done
  # The kernel chooses which POST is first; all others must get answers that agree with the first.
  same "$(head -qn 1 answer.? | cut -d ' ' -f 2 | grep -c 201)" 1
  same "$(head -qn 1 answer.? | cut -d ' ' -f 2 | grep -c '20[01]\|422')" 5
  same "$(tail -qn 1 answer.? | jq -r '.id // empty' | sort -u | wc -l)" 1
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events_of stream message | wc -l)" 2
}

# ---- Origin and CORS ----

@test "an Origin must match the Host, with any scheme, and with or without the default port" {
  local origin host answer
  start_server
  while read -r answer origin host; do
    ask /messages -H 'Content-Type: application/json' -H "Origin: $origin" ${host:+-H "Host: $host"} \
      --data-raw '{"message":"x"}'
    same "$STATUS $origin $host" "$answer $origin $host"
  done <<END
201 http://127.0.0.1:$PORT
201 https://127.0.0.1:$PORT
201 http://chat.example chat.example
201 http://chat.example:80 chat.example
201 http://chat.example chat.example:80
201 https://chat.example chat.example
201 https://chat.example:443 chat.example
201 https://chat.example chat.example:443
201 http://Chat.Example chat.example
201 http://chat.example:8080 chat.example:8080
201 http://[::1]:8080 [::1]:8080
403 http://chat.example:8080 chat.example
403 http://chat.example chat.example:8080
403 http://evil.example chat.example
403 http://chat.example.evil chat.example
403 http://evil.chat.example chat.example
403 null chat.example
403 chat.example chat.example
403 file:// chat.example
403 http:// chat.example
END
}

@test "a foreign Origin is answered with 403 and a detail that mentions proxies" {
  start_server
  refuses 403 '{"message":"x"}' -H 'Origin: https://evil.example'
  contains "$(jq -r .detail <<<"$BODY")" Host
  contains "$(jq -r .detail <<<"$BODY")" proxy
  lacks "$BODY" evil
  same "$(field Access-Control-Allow-Origin)" ''
}

@test "--cors lets pages of an origin post and read, with credentials" {
  local origin=https://app.example
  start_server --cors "$origin" --cors http://localhost:3000
  post '{"message":"x"}' -H "Origin: $origin"
  same "$STATUS $(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" "201 $origin true"
  contains "$(field Vary)" Origin
  listen stream '' -H 'Origin: http://localhost:3000' -D fields
  HEAD=$(tr -d '\r' <fields)
  same "$(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" 'http://localhost:3000 true'
  contains "$(field Vary)" Origin
  for path in /messages /rooms /healthz / /nothing; do
    ask "$path" -H "Origin: $origin"
    same "$(field Access-Control-Allow-Origin)" "$origin"
  done
  refuses 403 '{"message":"x"}' -H 'Origin: https://other.example'
  same "$(field Access-Control-Allow-Origin)" ''
  contains "$(field Vary)" Origin
  refuses 403 '{"message":"x"}' -H "Origin: $origin.evil"
  refuses 403 '{"message":"x"}' -H 'Origin: null'
  refuses 400 '{"message":""}' -H "Origin: $origin"
  same "$(field Access-Control-Allow-Origin)" "$origin"
}

@test "--cors * lets pages of all origins post, but never with credentials" {
  start_server --cors '*'
  accepts '{"message":"x"}' -H 'Origin: https://anybody.example'
  same "$(field Access-Control-Allow-Origin)" '*'
  same "$(field Access-Control-Allow-Credentials)" ''
  accepts '{"message":"x"}' -H 'Origin: null'
  same "$(field Access-Control-Allow-Origin)" '*'
}

@test "--cors with an origin and * gives credentials only to the named origin" {
  start_server --cors '*' --cors https://app.example
  accepts '{"message":"x"}' -H 'Origin: https://app.example'
  same "$(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" 'https://app.example true'
  accepts '{"message":"x"}' -H 'Origin: https://other.example'
  same "$(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" '* '
}

@test "without --cors, an answer has no CORS fields" {
  start_server
  ask /rooms -H 'Origin: https://evil.example'
  same "$STATUS" 200
  same "$(grep -i 'access-control' <<<"$HEAD")" ''
}

@test "a preflight allows a --cors origin and no other" {
  start_server --cors https://app.example
  ask /messages -X OPTIONS -H 'Origin: https://app.example' \
    -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type,idempotency-key'
  same "$STATUS$BODY" 204
  same "$(field Access-Control-Allow-Origin)" https://app.example
  contains "$(field Access-Control-Allow-Methods)" POST
  same "$(field Access-Control-Allow-Headers)" \
    'Content-Type, Authorization, Idempotency-Key, Last-Event-ID, Cache-Control, X-Requested-With, Range, If-Range'
  contains "$(field Vary)" Origin
  ask /messages -X OPTIONS -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST'
  same "$(field Access-Control-Allow-Origin)$(field Access-Control-Allow-Methods)" ''
  same "$(field Access-Control-Allow-Headers)$(field Access-Control-Expose-Headers)" ''
}

@test "a page of a --cors origin may read the fields of errors" {
  start_server --cors https://app.example --post-rate 1
  ask /nothing -X POST -H 'Origin: https://app.example'
  same "$(field Access-Control-Expose-Headers)" 'Retry-After, WWW-Authenticate, Allow, Accept-Ranges, Content-Range, ETag'
  ask /nothing -X POST -H 'Origin: https://evil.example'
  same "$(field Access-Control-Expose-Headers)" ''
}
