#!/usr/bin/env bats
# frame.c, through its driver: events on the wire, ids and times. The driver reads back everything
# that it writes, with its own parser, which follows the HTML Standard.

load ../lib/helper

# Prints a message: kind, id, room, name, event, key; then the body, with the escapes of printf.
fields() {
  printf '%s\n%s\n%s\n%s\n%s\n%s\n%b' "$@"
}

# Prints the frame, with its CRs made visible.
frame() {
  fields "$@" | "$UNIT/frame" message | sed 's/\r/<CR>/g'
}

json() {
  fields "$@" | "$UNIT/frame" json
}

parse() {
  printf '%b' "$1" | "$UNIT/frame" parse
}

ids() {
  "$UNIT/frame" id "$@" | paste -sd ' '
}

times() {
  "$UNIT/frame" time "$@"
}

@test "frame: a chat message is one chunk with an id and a line of JSON" {
  same "$(frame chat 1760000000000-0 lobby ann '' '' 'hi "all"')" '00000089<CR>
id: 1760000000000-0
data: {"id":"1760000000000-0","room":"lobby","name":"ann","message":"hi \"all\"","time":"2025-10-09T08:53:20.000Z"}

<CR>'
}

@test "frame: a chat message has its key as its last field; a text has no key" {
  run frame chat 1-7 lobby ann '' 'key "1"' hi
  same "$output" 'error: The Idempotency-Key must have 1 to 64 visible ASCII characters, without spaces.'
  run frame chat 1-7 lobby ann '' 'key"1' hi
  contains "$output" '"message":"hi","time":"1970-01-01T00:00:00.001Z","key":"key\"1"}'
  run frame text 1-7 lobby '' '' 'key' hi
  same "$output" '00000012<CR>
id: 1-7
data: hi

<CR>'
}

@test "frame: text is split at CR, LF and CRLF, and at nothing else" {
  same "$(frame text 1-0 lobby '' news '' 'a\r\nb\n\rc\n\u2028d\x0be')" '00000041<CR>
id: 1-0
event: news
data: a
data: b
data: 
data: c
data: '$'\u2028''d'$'\v''e

<CR>'
}

@test "frame: no line of a text can pass for another field" {
  same "$(frame text 1-0 lobby '' '' '' 'id: 2-0\revent: ready\n\ndata: x\n')" '00000046<CR>
id: 1-0
data: id: 2-0
data: event: ready
data: 
data: data: x
data: 

<CR>'
}

@test "frame: an empty text is still an event" {
  same "$(frame text 1-0 lobby '' '' '' '')" $'00000010<CR>\nid: 1-0\ndata: \n\n<CR>'
}

@test "frame: JSON is compacted to one line" {
  run frame json 1-0 lobby '' prices '' ' { "a" : [ 1.50 , "x y" , null ] ,\n "b":{} } '
  contains "$output" $'\nevent: prices\ndata: {"a":[1.50,"x y",null],"b":{}}\n\n<CR>'
}

@test "frame: U+0085, U+2028 and U+2029 are escaped in JSON, and stay in text" {
  local text='1\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xc2\x84' raw=$'1\u0085\u2028\u2029\u0084'
  local escaped=$'1\\u0085\\u2028\\u2029\u0084'
  contains "$(frame json 1-0 lobby '' '' '' "[\"$text\"]")" $'\n'"data: [\"$escaped\"]"$'\n'
  contains "$(json json 1-0 lobby '' '' '' "[\"$text\"]")" "\"data\":[\"$escaped\"]"
  contains "$(frame text 1-0 lobby '' '' '' "$text")" $'\n'"data: $raw"$'\n'
  contains "$(json text 1-0 lobby '' '' '' "$text")" "\"data\":\"$escaped\""
  contains "$(frame chat 1-0 lobby ann '' '' '1\xe2\x80\xa8')" '"message":"1\u2028"'
}

@test "frame: a binary message is Base64 in a JSON object" {
  run frame binary 1-0 lobby ann picture k '\x00\x01\xff\xfe'
  contains "$output" $'\nevent: picture\ndata: {"id":"1-0","room":"lobby",'
  contains "$output" '"name":"ann","encoding":"base64","data":"AAH//g==","time":"1970-'
  contains "$output" $'.001Z","key":"k"}\n\n<CR>'
}

@test "frame: GET /messages shows text as a string and JSON as JSON" {
  time='"time":"1970-01-01T00:00:00.001Z"'
  same "$(json chat 1-0 lobby ann '' k 'a\nb')" \
    '{"id":"1-0","room":"lobby","name":"ann","message":"a\nb",'"$time"',"key":"k"}'
  same "$(json text 1-0 'a"b' '' news k 'a\r\nb\r"c"\n\x00')" \
    '{"id":"1-0","room":"a\"b","event":"news","data":"a\nb\n\"c\"\n\u0000",'"$time}"
  same "$(json text 1-0 lobby '' '' '' '')" \
    '{"id":"1-0","room":"lobby","event":"message","data":"",'"$time}"
  same "$(json json 1-0 lobby '' prices '' '[ 1, {} ]')" \
    '{"id":"1-0","room":"lobby","event":"prices","data":[1,{}],'"$time}"
  same "$(json binary 1-0 lobby ann '' '' 'x' | jq -c .data.data)" '"eA=="'
}

@test "frame: every short mix of line ends is read back as it was" {
  run "$UNIT/frame" lines
  same "$status $output" '0 335923'
}

@test "frame: long texts are read back, and a byte order mark stays" {
  for len in 1 15 16 17 255 256 4095 4096; do
    for text in "$(printf "%${len}s" '')" "$(printf "%${len}s" '' | sed 's/ /é/g')"; do
      run frame chat 1-0 lobby ann '' '' "x$text"
      [ "$status" -eq 0 ]
      run frame text 1-0 lobby '' '' '' "$text\r$text\n"
      [ "$status" -eq 0 ]
    done
  done
  run frame text 1-0 lobby '' '' '' '\xef\xbb\xbftext'
  same "${lines[2]}" $'data: \ufefftext'
}

# First the accepted spellings with their two numbers, then refused ones.
@test "frame: an id has one spelling" {
  same "$(ids 0-0 1-0 1760000000000-12)" '0 0 1 0 1760000000000 12'
  same "$(ids 18446744073709551615-18446744073709551615)" \
    '18446744073709551615 18446744073709551615'
  for text in '' 1 - 1- -1 -1-0 1--0 01-0 1-00 00-0 +1-0 1-+0 ' 1-0' '1-0 ' '1 -0' 1-0-0 1-0- \
    1.0-0 1e3-0 0x1-0 a-0 1-a 18446744073709551616-0 0-18446744073709551616 \
    99999999999999999999-0 1_0 $'1-0\n' $'1\n-0' '1-０'; do
    same "$text: $(ids "$text")" "$text: refused"
  done
}

@test "frame: times have milliseconds, and stop at the end of the year 9999" {
  same "$(times 0)" 1970-01-01T00:00:00.000Z
  same "$(times 999)" 1970-01-01T00:00:00.999Z
  same "$(times 68255999999)" 1972-02-29T23:59:59.999Z
  same "$(times 951782400000)" 2000-02-29T00:00:00.000Z
  same "$(times 1760000000000)" 2025-10-09T08:53:20.000Z
  same "$(times 2147483648000)" 2038-01-19T03:14:08.000Z
  same "$(times 4107542399999)" 2100-02-28T23:59:59.999Z
  same "$(times 4107542400000)" 2100-03-01T00:00:00.000Z
  same "$(times 253402300799999)" 9999-12-31T23:59:59.999Z
  same "$(times 253402300800000)" 9999-12-31T23:59:59.999Z
  same "$(times 18446744073709551615)" 9999-12-31T23:59:59.999Z
}

@test "frame: times are those that date(1) prints" {
  for seconds in 1 86399 1582934400 1709251199 2524607999 32503680000 99999999999; do
    same "$(times "${seconds}123")" "$(date -u -d "@$seconds" +%FT%T.123Z)"
  done
}

@test "frame: the first and the last day of every month are right" {
  run "$UNIT/frame" calendar
  same "$status $output" '0 289082'
}

@test "frame: retry stays within its bounds, and varies" {
  same "$("$UNIT/frame" retry 3000 0 10)" 1
  same "$("$UNIT/frame" retry 0 3 1000)" 4
  between "$("$UNIT/frame" retry 3000 1500 1000)" 500 1000
  between "$("$UNIT/frame" retry 10000 20000 1000)" 900 1000
}

@test "frame: fields that break a rule are refused before they are formatted" {
  [[ $(frame chat 1-0 a/b ann '' '' hi) == error:* ]]
  [[ $(frame chat 1-0 lobby ann news '' hi) == error:* ]]
  [[ $(frame text 1-0 lobby '' ready '' hi) == error:* ]]
  [[ $(frame text 1-0 lobby '' $'a\rb' '' hi) == error:* ]]
  [[ $(frame text 01-0 lobby '' '' '' hi) == error:* ]]
  [[ $(frame json 1-0 lobby '' '' '' '[1') == error:* ]]
}

@test "frame: every promise holds for the fuzzer's seeds" {
  for seed in "$ROOT"/test/fuzz/corpus/frame/*; do
    run "$UNIT/frame" message <"$seed"
    [ "$status" -le 1 ]
  done
}

# ---- The parser that reads the frames back ----

# These are the standard's examples (9.2.6).
@test "frame: the driver's own parser follows the HTML Standard" {
  same "$(parse 'data: YHOO\ndata: +2\ndata: 10\n\n')" 'event=message id= data=YHOO\x0a+2\x0a10'
  same "$(parse ': test\n\ndata: one\nid: 1\n\ndata:two\nid\n\ndata:  three\n')" \
    $'event=message id=1 data=one\nevent=message id= data=two'
  same "$(parse 'data\n\ndata\ndata\n\ndata:')" \
    $'event=message id= data=\nevent=message id= data=\\x0a'
  same "$(parse 'data:test\n\ndata: test\n\n')" \
    $'event=message id= data=test\nevent=message id= data=test'
}

@test "frame: the driver's own parser handles line ends, byte order marks and odd fields" {
  same "$(parse 'data: a\rdata: b\r\ndata: c\n\r')" 'event=message id= data=a\x0ab\x0ac'
  same "$(parse '\xef\xbb\xbfdata: a\n\n')" 'event=message id= data=a'
  same "$(parse '\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n')" ''
  same "$(parse 'event: x\n\ndata: a\n\n')" 'event=message id= data=a'
  same "$(parse 'event: x\nevent: y\ndata: a\n\n')" 'event=y id= data=a'
  same "$(parse 'id: 1\n\nid: 2\x000\ndata: a\n\ndata: b\n\n')" \
    $'event=message id=1 data=a\nevent=message id=1 data=b'
  same "$(parse 'retry: 10\nretry: x\nretry:\nretry: 1 \ndata: a\n\n')" \
    $'event=message id= data=a\nretry=10'
  same "$(parse 'Data: a\n data: b\ndata : c\n:data: d\ndatax\n\n')" ''
}
