#!/usr/bin/env bats
# Injection: no client can forge a line of a stream. Some texts would forge lines in a careless
# server; each test puts those texts into one field of a message or request. The server must refuse
# each text with 400 or deliver it unchanged. `events` (helper.bash) reads the stream as an
# EventSource does, and no line may begin with anything but the server's own fields.
# shellcheck disable=SC2016,SC2153
#
# seconds: 40

load lib/helper

# Prints texts that would forge lines in a careless server, one JSON string per line.
nasty_texts() {
  cat <<'END'
"a\rb"
"a\nb"
"a\r\nb"
"a\n\nb"
"a\u0000b"
"a\u0085b"
"a\u2028b"
"a\u2029b"
"a\u202eb"
"a\ud800b"
"a\udc00b"
"a\ud83d\ud83db"
"\r"
"\n"
"\r\n\r\n"
"\u0000"
"x\n\nid: 1-0\nevent: forged\ndata: forged\n\n"
"x\r\revent: forged\rdata: forged\r\r"
"x\r\n\r\nevent: forged\r\ndata: forged\r\n\r\n"
"data: forged"
"id: 1-0"
"event: forged"
"retry: 1"
": forged"
"data"
":"
" a b "
"a \n b"
"\ufeffa"
"\u00e9\u4e2d😀"
"\"},{\"forged\":\""
"\\n\\ndata: forged"
"%0Adata: forged"
"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
END
}

# Prints the same texts without lone surrogates, which jq does not read as text.
whole_texts() {
  nasty_texts | grep -v '\\ud8\|\\udc'
}

# Prints a JSON text changed by jq code, or null if the text is not valid: made_of TEXT CODE.
made_of() {
  jq -c "$2" 2>/dev/null <<<"$1" || printf null
}

# Posts a JSON body that contains a nasty text, and adds a line of JSON to the file `tried`: what a
# reader should get, and the status if the text was refused or the id if it was accepted.
try() {
  post "$1"
  [ "$STATUS" = 201 ] || [ "$STATUS" = 400 ] || {
    printf '%s: %s %s\n' "$1" "$STATUS" "$BODY"
    return 1
  }
  jq -c --argjson expected "$2" '{status, id, expected: $expected}' <<<"$BODY" >>tried
}

# Checks that the file `stream` contains each accepted message with the expected text, and no other
# event. $1 is jq code that takes the text from an event.
arrived_as_sent() {
  accepts '{"room":"end","message":"the end"}'
  await_text stream 'the end'
  events stream | jq -c 'select(.id and .event != "ready" and (.data | contains("the end") | not))' >arrived
  same "$(jq -c '[.id, ('"$1"')]' arrived)" \
    "$(jq -c 'select(.id) | [.id, .expected]' tried)"
  same "$(events stream | jq -r '.event // "retry"' | grep -cE '^(forged|error|open)$')" 0
  # Each line must be empty or begin with one of the server's fields.
  same "$(tr '\r' '\n' <stream | grep -vcaE '^$|^(id|event|retry|data): ')" 0
}

# Checks that a reader that also ends lines at U+0085, U+2028 and U+2029 reads the same lines.
has_no_separators() {
  same "$(LC_ALL=C grep -acE $'\u0085|\u2028|\u2029' stream)" 0
}

# Checks how many texts were accepted and refused: tally [ACCEPTED,REFUSED].
tally() {
  same "$(jq -s -c 'map(.status // "accepted") | [map(select(. == "accepted")), map(select(. == 400))] | map(length)' tried)" "$1"
}

@test "a chat message cannot forge a line of the stream" {
  local text
  start_server
  listen stream 'room=lobby,end'
  while read -r text; do
    try "{\"message\":$text}" "$(made_of "$text" .)"
  done < <(nasty_texts)
  arrived_as_sent '.data | fromjson | .message'
  has_no_separators
  tally '[25,9]'
}

@test "a user's name cannot forge a line, and loses the white space at its ends" {
  local text
  start_server
  listen stream 'room=lobby,end'
  while read -r text; do
    try "{\"message\":\"x\",\"name\":$text}" "$(made_of "$text" 'sub("^ +"; "") | sub(" +$"; "")')"
  done < <(nasty_texts)
  arrived_as_sent '.data | fromjson | .name'
  tally '[12,22]'
}

@test "text data cannot forge a line, and its line ends become LF" {
  local text
  start_server
  listen stream 'room=lobby,end'
  while read -r text; do
    try "{\"data\":$text}" "$(made_of "$text" 'split("\r\n") | join("\n") | split("\r") | join("\n")')"
  done < <(nasty_texts)
  arrived_as_sent '.data'
  tally '[31,3]'
}

@test "JSON data cannot forge a line, neither in its values nor in its keys" {
  local text
  start_server
  listen stream 'room=lobby,end'
  while read -r text; do
    try "{\"data\":[$text,{$text:1}]}" "$(made_of "$text" '[., {(.): 1}]')"
  done < <(nasty_texts)
  while read -r text; do # the characters themselves, instead of escapes
    try "{\"data\":[$text,{$text:1}]}" "$(made_of "$text" '[., {(.): 1}]')"
  done < <(whole_texts | jq -c .)
  arrived_as_sent '.data | fromjson'
  has_no_separators
  tally '[62,3]'
}

@test "white space in JSON data cannot forge a line" {
  start_server
  listen stream 'room=lobby,end'
  try '{"data":{"a"'$'\r\n\r\n'':'$'\n\n'' 1 ,'$'\r\r''"b":[ ]}}' '"{\"a\":1,\"b\":[]}"'
  arrived_as_sent '.data'
}

@test "an event's name cannot forge a line" {
  local text
  start_server
  listen stream 'room=lobby,end'
  while read -r text; do
    try "{\"data\":\"x\",\"event\":$text}" "$(made_of "$text" .)"
  done < <(nasty_texts)
  arrived_as_sent '.event'
  tally '[12,22]'
}

@test "a room's name cannot forge a line" {
  local text rooms
  start_server
  rooms=$(whole_texts | grep -v '[,/]' | jq -r 'select(test("[[:cntrl:]\u2028-\u202e\ufeff\ufffd]") | not) | @uri' | paste -sd ,)
  same "$(tr ',' '\n' <<<"$rooms" | wc -l)" 11
  listen stream "room=${rooms}&room=end"
  while read -r text; do
    try "{\"message\":\"x\",\"room\":$text}" "$(made_of "$text" .)"
  done < <(nasty_texts)
  arrived_as_sent '.data | fromjson | .room'
  tally '[11,23]'
  # `ready` and presence must also name the requested rooms.
  events_of stream ready '.data.rooms[].room' >rooms
  same "$(head -n 11 rooms)" "$(jq -c 'select(.id) | .expected' tried)"
  same "$(events_of stream presence .data.room | head -n 12)" "$(cat rooms)"
}

@test "an Idempotency-Key cannot forge a line" {
  local key
  start_server
  listen stream 'room=lobby,end'
  for key in 'data:forged' 'id:' 'a"b' 'a\n' '"},"x":"' "$(times 64 '"')" "$(times 64 \\)"; do
    accepts '{"message":"x"}' -H "Idempotency-Key: $key"
    [[ $key != '"'*'"' ]] || key=${key:1:-1} # the quotes around a key are not part of it
    jq -c --argjson expected "$(quote "$key")" '{id, expected: $expected}' <<<"$BODY" >>tried
  done
  for key in '%0A' 'a\rb' 'a\nb' 'a\r\nEvil: 1' 'a\r\n b' '\0' 'a b' '\x7f' '\xc2\x85' '\xe2\x80\xa8' ''; do
    same "$(raw "POST /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 15\r\nIdempotency-Key: $key\r\n\r\n{\"message\":\"x\"}" | head -n 1 | cut -c 1-12)" \
      "HTTP/1.1 $([ "$key" = '%0A' ] || [ "$key" = 'a\r\nEvil: 1' ] && printf 201 || printf 400)"
  done
  sed -i '/"data":"forged"/d' tried
  accepts '{"room":"end","message":"the end"}'
  await_text stream 'the end'
  same "$(events stream | jq -c 'select(.id and .event == "message") | (.data | fromjson | .key)')" \
    "$(jq -c .expected tried)"$'\n"%0A"\n"a"\nnull'
}

@test "a URL parameter of a stream cannot forge a line" {
  local text parameter file accepted=0
  start_server
  mkdir streams
  while read -r text; do
    for parameter in room name last_event_id history; do
      open_stream "streams/$parameter=$text" "$parameter=$text"
    done
  done < <(whole_texts | jq -r '@uri')
  eventually '[ -z "$(find streams -empty)" ]'
  stop_server # ends the accepted streams
  for file in streams/*; do
    await_end "${CLIENTS[accepted]}"
    accepted=$((accepted + 1))
  done
  accepted=0
  for file in streams/*; do
    ! grep -q '"status":400' "$file" || continue
    accepted=$((accepted + 1))
    same "$(tr '\r' '\n' <"$file" | grep -vcaE '^$|^(id|event|retry|data): ')" 0
    same "$(names "$file" | sed -E 's/ gap//; s/( presence)+/ presence/')" 'retry ready presence retry heartbeat'
    [[ $file != */name=* ]] ||
      contains " $(events_of "$file" presence '.data.names[] | @uri' | jq -r . | paste -sd ' ') " \
        " $(sed -E 's/.*=(%20)*//; s/(%20)+$//' <<<"$file") "
  done
  # All last ids, 12 names, and 12 rooms or lists of rooms are accepted.
  same "$accepted" $((31 + 12 + 12))
}

@test "a URL parameter of a binary message cannot forge a line" {
  local text query
  start_server
  listen stream ''
  while read -r text; do
    for query in "name=$text" "event=$text"; do
      ask "/messages?$query" -H 'Content-Type: application/octet-stream' --data-raw x
      [ "$STATUS" = 201 ] || [ "$STATUS" = 400 ]
      [ "$STATUS" != 201 ] || printf '%s\n' "$query" >>sent
    done
  done < <(whole_texts | jq -r '@uri')
  accepts '{"message":"the end"}'
  await_text stream 'the end'
  same "$(events stream | jq -r .event | grep -cE '^(forged|error|open)$')" 0
  same "$(tr '\r' '\n' <stream | grep -vcaE '^$|^(id|event|retry|data): ')" 0
  same "$(events stream | jq -r 'select(.id and .event != "ready" and (.data | contains("the end") | not))
      | if .event != "message" then "event=\(.event | @uri)" else "name=\(.data | fromjson | .name | @uri)" end')" \
    "$(sed -E '/^name=/{s/=(%20)+/=/; s/(%20)+$//}' sent)"
}

@test "bytes that are not UTF-8 are refused in every field" {
  local field bytes body
  start_server
  for bytes in '\xff' '\xc0\x80' '\xed\xa0\x80' '\xe2\x80' '\xf4\x90\x80\x80' '\x80'; do
    for field in message data event room name extra; do
      body=$(printf '{"data":"x","%s":"a' "$field")
      [ "$field" = event ] || [ "$field" = extra ] || body=$(printf '{"message":"x","%s":"a' "$field")
      printf '%s%b"}' "$body" "$bytes" >body
      ask /messages -H 'Content-Type: application/json' --data-binary @body
      is_problem 400
    done
  done
}

@test "unescaped control characters in JSON values and keys are refused" {
  local byte
  start_server
  for byte in '\0' '\n' '\r' '\t' '\x1f'; do
    printf '{"message":"a%bb"}' "$byte" >body
    ask /messages -H 'Content-Type: application/json' --data-binary @body
    is_problem 400
    printf '{"data":{"k%by":"a"}}' "$byte" >body
    ask /messages -H 'Content-Type: application/json' --data-binary @body
    is_problem 400
  done
}

@test "a random text arrives byte for byte" {
  start_server
  listen stream ''
  head -c 9000 /dev/urandom | tr -d '\200-\377' | tr '\0-\10\13\14\16-\37\177' ' ' |
    head -c 4096 | jq -Rs '{message: ("." + .[:4000])}' >body
  ask /messages -H 'Content-Type: application/json' --data-binary @body
  same "$STATUS" 201
  await_text stream '"message"'
  same "$(events_of stream message .data.message)" "$(jq -c .message body)"
}
