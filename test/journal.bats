#!/usr/bin/env bats
# The journal: an acknowledged message survives a crash, a torn write or a flipped bit in another
# record. disk.bats tests what happens when the disk fails, mistakes.bats what people do to the
# file.
#
# Servers are killed with SIGKILL and started again on the same file (lib/journal.bash). strace
# delays system calls or makes them fail; the journal_probe tool makes and damages journals. The
# drain after SIGTERM is also tested here, because a message in progress must still reach the disk.
# shellcheck disable=SC2016,SC2154,SC2153,SC2034,SC2030,SC2031,SC2094
#
# seconds: 80

load lib/helper
load lib/journal

# ---- After a crash ------------------------------------------------------------------------------

@test "messages of every kind come back after a crash, byte for byte" {
  journal_server
  say 'hello é 🙂 \"quoted\"\n\ttwo lines' k1
  accepts '{"data":"one\ntwo\r\nthree\n\n:00000000 {}\nid: 1-1\n"}'
  accepts '{"data":"","event":"empty"}' -H 'Idempotency-Key: !~'
  accepts '{"event":"news","data":{"a":[1,2,{"b":null}],"c":"x\ny"},"room":"news é \" \\"}'
  ask '/messages?room=files&name=ann&event=file' -H 'Content-Type: application/octet-stream' \
    --data-binary $'\x01\xff\n\n:'
  same "$STATUS" 201
  listen before 'history=9&room=lobby&room=news%20%C3%A9%20%22%20%5C&room=files'
  served >served.before
  restart_server
  contains "$(<"$SERVER_LOG")" 'journal messages=5 '
  listen after 'history=9&room=lobby&room=news%20%C3%A9%20%22%20%5C&room=files'
  served >served.after
  diff served.before served.after
  diff <(sed '/^id: /!{/^data: /!{/^event: /!d}}; /^event: ready/,$d' before) \
    <(sed '/^id: /!{/^data: /!{/^event: /!d}}; /^event: ready/,$d' after)
  same "$(grep -c '^id: ' after)" 6
}

# Appends a record of version 1 to the journal: old_record FIELDS [LINE...].
old_record() {
  local bytes crc
  bytes=$(printf '%s\n' " {$1}" "${@:2}" '' x)
  crc=$(printf '%s' "${bytes%x}" | gzip -c | tail -c 8 | od -An -tx4 -N 4 --endian=little | tr -d ' ')
  printf ':%s%s' "$crc" "${bytes%x}" >>"$JOURNAL"
}

@test "messages from before the rules for invisible characters come back, with escapes in their JSON" {
  local raw=$'\u0085\u2028\u2029' escaped='\u0085\u2028\u2029' hidden=$'a\u200bb\u202e'
  old_record "\"room\":\"$hidden\",\"kind\":\"chat\"" 'id: 1760000000000-0' \
    "data: {\"id\":\"1760000000000-0\",\"room\":\"$hidden\",\"name\":\"ann"$'\u3164'"\",\"message\":\"$raw\",\"time\":\"2025-10-09T08:53:20.000Z\"}"
  old_record '"room":"lobby","kind":"json","key":"k"' 'id: 1760000000001-0' "event: e"$'\u200e' "data: [\"$raw\"]"
  old_record '"room":"lobby","kind":"text"' 'id: 1760000000002-0' "data: $raw"
  old_record $'"room":"gone\u200e","lost":"1760000000003-0"'
  journal_server
  contains "$(<"$SERVER_LOG")" 'journal messages=3 '
  same "$(grep -c damaged "$SERVER_LOG")" 0
  ask /rooms
  same "$(jq -c '[.rooms[].room]' <<<"$BODY")" "[\"$hidden\",\"lobby\"]"
  ask /messages
  contains "$BODY" "\"data\":[\"$escaped\"]"
  contains "$BODY" "\"data\":\"$escaped\""
  listen stream 'history=9'
  contains "$(<stream)" $'\n'"data: [\"$escaped\"]"$'\n'
  contains "$(<stream)" $'\n'"data: $raw"$'\n'
  post "{\"event\":\"f\",\"data\":[\"$raw\"]}" -H 'Idempotency-Key: k'
  same "$STATUS" 422
  "$SSECHAT" journal export "$JOURNAL" >exported
  same "$(wc -l <exported)" 3
  contains "$(<exported)" "\"room\":\"$hidden\",\"name\":\"ann"$'\u3164'"\",\"message\":\"$escaped\""
  for raw in $'\u0085' $'\u2028' $'\u2029'; do
    same "$(LC_ALL=C grep -c "$raw" exported)" 0
  done
  restart_server
  same "$("$SSECHAT" journal export "$JOURNAL")" "$(<exported)"
}

@test "a POST whose line separators are in the journal unescaped can be repeated" {
  local raw=$'\u0085\u2028\u2029'
  old_record '"room":"lobby","kind":"json","key":"k"' 'id: 1760000000001-0' 'event: e' "data: [\"$raw\"]"
  journal_server
  post "{\"event\":\"e\",\"data\":[\"$raw\"]}" -H 'Idempotency-Key: k'
  same "$STATUS $(jq -r .id <<<"$BODY")" '200 1760000000001-0'
  post '{"event":"e","data":["\u0085\u2028\u2029"]}' -H 'Idempotency-Key: k'
  same "$STATUS $(jq -r .id <<<"$BODY")" '200 1760000000001-0'
}

@test "a message that would be too large with its escapes comes back without them" {
  local raw
  raw=$(times 2500 $'\u0085')
  old_record '"room":"lobby","kind":"json"' 'id: 1760000000001-0' "data: [\"$raw\"]"
  journal_server --history 16K
  ask /messages
  contains "$BODY" "\"data\":[\"$raw\"]"
}

@test "no message is lost in six crashes, and ids keep growing" {
  local i last=0-0
  for i in {1..6}; do
    journal_server
    say "$i"
    same "$(printf '%s\n' "$last" "$ID" | sort -V | tail -n 1)" "$ID"
    [ "$ID" != "$last" ]
    last=$ID
    crash_server
  done
  journal_server
  same "$(texts)" '1 2 3 4 5 6'
}

@test "an idempotency key survives a crash" {
  journal_server
  say hello k1
  local first=$ID
  local time
  time=$(jq -r .time <<<"$BODY")
  restart_server
  repeats hello k1 "$first"
  same "$(jq -r '.time + .room' <<<"$BODY")" "${time}lobby"
  refuses 422 '{"message":"another"}' -H 'Idempotency-Key: k1'
  say hello k1 elsewhere
  [ "$ID" != "$first" ]
  restart_server
  repeats hello k1 "$first"
  repeats hello k1 "$ID" elsewhere
  same "$(texts)" hello
}

@test "after a crash, a key whose first message was dropped belongs to the second message" {
  journal_server --history 16K
  local i
  say first k1
  for i in {1..5}; do
    bulk 5000
  done
  lacks "$(texts)" first
  say second k1
  local second=$ID
  restart_server --history 256K
  repeats second k1 "$second"
}

@test "after a crash, a stream of several rooms resumes without a gap" {
  journal_server
  listen stream 'room=a,b'
  say one k1 a
  local first=$ID
  say two k2 b
  restart_server
  say three k3 a
  resume a,b "$first"
  same "$REASON" none
  same "$(events_of resumed message .data.message | jq -r . | paste -sd ' ')" 'two three'
  same "$(events_of resumed ready .id | jq -r .)" "$ID"
}

@test "after a crash, a stream that has received only ready resumes from its id without a gap" {
  journal_server
  say before
  listen stream ''
  local ready
  ready=$(events_of stream ready .id | jq -r .)
  same "$ready" "$ID"
  restart_server
  say after
  resume lobby "$ready"
  same "$REASON" none
  same "$(events_of resumed message .data.message | jq -r .)" after
}

@test "ids keep growing even if the clock goes back" {
  "$TOOLS/journal_probe" sign >"$JOURNAL" <<'END'
:00000000 {"start":"1600000000000-0","last":"4000000000000-6","lost":"1600000000000-0"}

:00000000 {"room":"lobby","kind":"text"}
id: 4000000000000-5
data: from the future

END
  journal_server
  say now
  same "$ID" 4000000000000-8 # each start uses up one id
  resume lobby 4000000000000-5
  same "$REASON" none
  restart_server
  say later
  same "$ID" 4000000000000-10
  resume lobby 4000000000000-10
  same "$REASON" none
  same "$(texts)" 'from the future now later'
}

@test "the id of a message whose room was dropped is not reused" {
  journal_server --history 16K --room-ttl 1s
  say gone '' other
  local gone=$ID
  eventually 'served other | cmp -s - /dev/null'
  restart_server --room-ttl 1s
  say new
  same "$(printf '%s\n' "$gone" "$ID" | sort -V | tail -n 1)" "$ID"
}

# ---- Gaps ---------------------------------------------------------------------------------------

@test "a gap for dropped history says expired, before and after a crash" {
  journal_server --history 16K
  say first
  local first=$ID i
  say second
  for i in {1..6}; do
    bulk 5000
  done
  resume lobby "$first"
  same "$REASON" expired
  restart_server --history 16K
  resume lobby "$first"
  same "$REASON" expired
  same "$(events_of resumed gap .data.after | jq -r .)" "$first"
  same "$(events_of resumed gap .data.oldest)" "$(served | head -n 1 | jq .id)"
  local newest
  newest=$(served | tail -n 1 | jq -r .id)
  resume lobby "$newest"
  same "$REASON" none
}

@test "a gap after a restart without the old journal says restarted" {
  start_server
  say hello
  crash_server
  start_server
  resume lobby "$ID"
  same "$REASON" restarted
  same "$(events_of resumed gap .data.oldest)" null
  crash_server
  journal_server
  say hello
  crash_server
  rm "$JOURNAL"
  journal_server
  resume lobby "$ID"
  same "$REASON" restarted
}

@test "a gap for an id that was never issued says unknown" {
  journal_server
  say hello
  restart_server
  resume lobby 9999999999999-0
  same "$REASON" unknown
  same "$(events_of resumed gap .data.after | jq -r .)" 9999999999999-0
  resume lobby nonsense
  same "$REASON" unknown
  same "$(events_of resumed gap .data.after)" null
  same "$(events_of resumed message .data.message | jq -r .)" hello
}

@test "a dropped room is a gap for its readers, even after a crash" {
  journal_server --room-ttl 1s
  say one '' passing
  local first=$ID
  say two '' passing
  eventually 'served passing | cmp -s - /dev/null'
  resume passing "$first"
  same "$REASON" expired
  restart_server --room-ttl 1s
  eventually 'served passing | cmp -s - /dev/null'
  resume passing "$first"
  same "$REASON" expired
}

@test "a stream that resumes from the id of a recent ready gets no gap, whatever was dropped before" {
  local i ready size=0
  journal_server --history 8M --room-ttl 1s
  while ((size <= $(compact_bytes))); do
    bulk 60000 passing
    same "$STATUS" 201
    size=$((size + 60000))
  done
  compacted # after the room has been dropped
  between "$(stat -c %s "$JOURNAL")" 50 1000
  restart_server --room-ttl 1s
  listen fresh ''
  ready=$(events_of fresh ready .id | jq -r .)
  resume lobby "$ready"
  same "$REASON" none
}

# ---- The file -----------------------------------------------------------------------------------

@test "the journal's file is itself an event stream" {
  journal_server
  say one k1
  accepts '{"event":"news","data":"two\nlines"}'
  accepts '{"data":{"three":3},"room":"other"}'
  same "$(events "$JOURNAL" | jq -c 'select(.id) | [.event, (.data | fromjson? // .)
    | if type == "object" and .message then .message else . end]')" \
    '["message","one"]
["news","two\nlines"]
["message",{"three":3}]'
  same "$(events "$JOURNAL" | jq -r 'select(.id) | .id' | tail -n 1)" "$ID"
}

@test "only the owner can access the journal, its lock and the damaged bytes set aside" {
  umask 000
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken
  rm -f "$JOURNAL.lock"
  chmod 600 "$JOURNAL"
  journal_server
  compacted
  say hello
  crash_server
  same "$(find . -name 'journal*' ! -perm 600)" ''
  same "$(find . -name 'journal.damaged-*' | wc -l)" 1
  rm -f "$JOURNAL"
  journal_server
  same "$(stat -c %a "$JOURNAL")" 600
}

@test "a second process on a journal refuses to start" {
  journal_server
  refuses_to_start --journal "$JOURNAL"
  contains "$OUTPUT" another
  say hello
  same "$(texts)" hello
  restart_server
  same "$(texts)" hello
}

@test "a path that cannot be a journal is refused in one sentence" {
  mkdir folder
  refuses_to_start --journal folder
  mkfifo pipe
  refuses_to_start --journal pipe
  contains "$OUTPUT" regular
  refuses_to_start --journal missing/journal
}

@test "a folder without write permission is refused in one sentence" {
  mkdir closed
  chmod 555 closed
  if [ "$(id -u)" -eq 0 ]; then
    chmod 755 . ..
    printf '#!/bin/sh\nexec setpriv --reuid 65534 --clear-groups %q "$@"\n' "$PWD/ssechat" >as-nobody
    cp "$SSECHAT" ssechat
    chmod 755 as-nobody ssechat
    local SSECHAT=$PWD/as-nobody
  fi
  refuses_to_start --journal closed/journal
}

@test "a restart with a smaller --history keeps the newest messages" {
  journal_server --history 256K
  say first
  local first=$ID i
  for i in {1..9}; do
    accepts "{\"data\":\"$i $(times 5000 x)\"}"
  done
  restart_server --history 16K
  same "$(served | jq -r '.data[:1]' | paste -sd ' ')" '7 8 9'
  resume lobby "$first"
  same "$REASON" expired
}

@test "a restart with a lower --max-rooms keeps the rooms with the newest messages" {
  local i
  journal_server
  for i in {1..5}; do
    say "$i" '' "r$i"
  done
  say again '' r2
  restart_server --max-rooms 3
  ask /rooms
  same "$(jq -r '[.rooms[].room] | join(" ")' <<<"$BODY")" 'r2 r4 r5'
  same "$(texts r2)" '2 again'
  refuses 503 '{"room":"r1","message":"hello"}'
}

@test "the log says how much of a large journal was replayed and how long that took" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1
  journal_server --history 32M
  local line
  line=$(grep 'journal messages=' "$SERVER_LOG")
  [[ $line =~ messages=([0-9]+)\ bytes=([0-9]+)\ ms=([0-9]+) ]]
  between "${BASH_REMATCH[1]}" 200 300
  between "${BASH_REMATCH[2]}" 1048576 1060000
  between "${BASH_REMATCH[3]}" 0 5000
  same "$(served | wc -l)" "${BASH_REMATCH[1]}"
}

# ---- Damage -------------------------------------------------------------------------------------

# Makes the file `sample`, a journal with a few messages of each kind, and the folder FAST, in
# which servers are started hundreds of times.
make_sample() {
  local i
  journal_server
  for i in 1 2 3; do
    say "hello $i é" "chat-$i"
    accepts "{\"event\":\"text\",\"data\":\"$i\\n\\nid: 1-1\\n:00000000 {\"}"
    accepts "{\"data\":{\"number\":$i,\"list\":[1,{}]}}" -H "Idempotency-Key: json-$i"
  done
  crash_server
  cp "$JOURNAL" sample
  FAST=$BATS_TEST_TMPDIR/fast
  mkdir "$FAST"
}

# Damages the sample in each way that HOW selects (journal_probe.c), starts the server on each
# result and compares what the server serves with what must remain.
damages() { # HOW
  run "$TOOLS/journal_probe" damage "$SSECHAT" "$FAST" sample "$@"
  printf '%s\n' "$output" | head -n 40
  same "$status" 0
  contains "$output" ' cases of '
}

@test "a journal cut at any byte of its last three records keeps every complete record" {
  make_sample
  damages cut
}

@test "a changed byte in the first record loses no message, and the damaged record is set aside" {
  make_sample
  damages flip state
}

@test "a changed byte in a middle record loses only that record, which is then a gap" {
  make_sample
  damages flip middle
}

@test "a changed byte in the last record loses only that record" {
  make_sample
  damages flip last
}

@test "no message is lost to zeros or garbage before or after the records" {
  make_sample
  damages tails
  damages fronts
}

@test "random edits lose only the records that they touch" {
  make_sample
  damages random 200 "$RANDOM"
}

# Makes a journal whose records are grouped by room, as after a compaction, and damages the text
# that matches $1.
make_grouped() {
  "$TOOLS/journal_probe" sign <<'END' | sed "s/$1/damaged/" >"$JOURNAL"
:00000000 {"start":"1600000000000-0","last":"1600000000009-0","lost":"1600000000000-0"}

:00000000 {"room":"a","lost":"1600000000000-0"}

:00000000 {"room":"a","kind":"text"}
id: 1600000000001-0
data: one

:00000000 {"room":"a","kind":"text"}
id: 1600000000003-0
data: three

:00000000 {"room":"a","kind":"text"}
id: 1600000000009-0
data: nine

:00000000 {"room":"b","lost":"1600000000000-0"}

:00000000 {"room":"b","kind":"text"}
id: 1600000000002-0
data: two

:00000000 {"room":"b","kind":"text"}
id: 1600000000004-0
data: four

END
}

@test "a stream that resumes from before a damaged stretch gets a gap, even after compaction" {
  make_grouped three
  journal_server --room-ttl 36500d
  same "$(texts a)" 'one nine'
  resume a 1600000000001-0
  same "$REASON" expired
  compacted
  restart_server --room-ttl 36500d
  same "$(texts a)" 'one nine'
  resume a 1600000000001-0
  same "$REASON" expired
  same "$(events_of resumed message .data | jq -r .)" nine
}

@test "a stream that resumes from before a damaged message at a room's end gets a gap" {
  make_grouped nine
  journal_server --room-ttl 36500d
  same "$(texts a)" 'one three'
  same "$(texts b)" 'two four'
  resume a 1600000000003-0
  same "$REASON" expired
}

@test "a stream that resumes from before a damaged last message gets a gap, even after a crash" {
  make_grouped four
  journal_server --room-ttl 36500d
  same "$(texts a)" 'one three nine'
  resume b 1600000000002-0
  same "$REASON" expired
  restart_server --room-ttl 36500d
  resume b 1600000000002-0
  same "$REASON" expired
}

@test "a damaged stretch is set aside once, and the journal is rewritten without it" {
  make_grouped three
  local inode
  inode=$(stat -c %i "$JOURNAL")
  journal_server --room-ttl 36500d
  local line kept
  line=$(grep 'journal damaged=' "$SERVER_LOG")
  kept=${line##*kept=\"}
  kept=${kept%%\"*}
  contains "$(<"$kept")" 'data: damaged'
  same "$(grep -c '^:' "$kept")" 1
  compacted
  [ "$(stat -c %i "$JOURNAL")" != "$inode" ]
  lacks "$(<"$JOURNAL")" damaged
  restart_server --room-ttl 36500d
  lacks "$(<"$SERVER_LOG")" damaged=
  same "$(find . -name 'journal.damaged-*' | wc -l)" 1
}

# ---- Compaction ---------------------------------------------------------------------------------

# Publishes messages with keys until the journal has been compacted. Sets FIRST and ID to the ids of
# the first and the last message, and LAST_KEY to the key of the last message.
post_until_compacted() {
  local i
  for ((i = 0; i < 100; i++)); do
    bulk 50000 big -H "Idempotency-Key: big-$i"
    same "$STATUS" 201
    ID=$(jq -r .id <<<"$BODY")
    [ "$i" -ne 0 ] || FIRST=$ID
    ! grep -q compacted=1 "$SERVER_LOG" || break
  done
  compacted
  LAST_KEY=big-$i
}

@test "compaction keeps messages, idempotency keys and the ids that gaps need" {
  journal_server --history 128K
  say one k1 small
  local one=$ID
  say two k2 small
  post_until_compacted
  local last=$ID
  between "$(stat -c %s "$JOURNAL")" 50000 600000
  same "$(stat -c %a "$JOURNAL")" 600
  say three k3 small
  served big >big.before
  restart_server --history 128K
  same "$(texts small)" 'one two three'
  served big | diff big.before -
  repeats one k1 "$one" small
  bulk 50000 big -H "Idempotency-Key: $LAST_KEY"
  same "$STATUS" 200
  same "$(jq -r .id <<<"$BODY")" "$last"
  resume small "$one"
  same "$REASON" none
  same "$(events_of resumed message .data.message | jq -r . | paste -sd ' ')" 'two three'
  resume big "$FIRST"
  same "$REASON" expired
  bulk 50000 big -H 'Idempotency-Key: big-0'
  same "$STATUS" 201
}

@test "messages that arrive during a compaction are kept" {
  "$TOOLS/journal_probe" large "$JOURNAL" 64 broken
  journal_server --history 128M --log-level info
  "$TOOLS/journal_probe" posts "$PORT" "$SERVER_LOG" compacted=1
  newest >before
  local count
  count=$(grep -c 'while it compacts' "$JOURNAL")
  [ "$count" -gt 0 ]
  restart_server --history 128M
  newest | diff before -
  same "$(grep -c 'while it compacts' "$JOURNAL")" "$count"
  lacks "$(<"$SERVER_LOG")" damaged
}

@test "a POST does not wait for a compaction of 64 MB" {
  "$TOOLS/journal_probe" large "$JOURNAL" 64 broken
  journal_server --history 128M
  run "$TOOLS/journal_probe" posts "$PORT" "$SERVER_LOG" compacted=1
  same "$status" 0
  printf '# during a compaction of 64 MB: %s\n' "$output" >&3
  [[ $output =~ posts\ ([0-9]+)\ slowest_us\ ([0-9]+)\ mean_us\ ([0-9]+)\ all_us\ ([0-9]+) ]]
  between "${BASH_REMATCH[1]}" 5 10000000
  between "$((BASH_REMATCH[2] * 2))" 0 "${BASH_REMATCH[4]}"
  contains "$(<"$SERVER_LOG")" compacted=1
  # The child has ended and has been waited for: neither a process nor a zombie is left.
  same "$(pgrep -P "$SERVER_PID" || true)" ''
}

@test "a POST does not wait for the child that compacts, even when the child is stopped" {
  local child n
  "$TOOLS/journal_probe" large "$JOURNAL" 16 broken
  # Only the child calls close_range, to close the descriptors that it does not need; strace stops
  # it there.
  injected_server close_range:signal=STOP --journal "$JOURNAL" --history 32M
  eventually "grep -q 'stopped by SIGSTOP' trace"
  child=$(pgrep -P "$SERVER_PID")
  for n in {1..20}; do
    say "while it stands $n"
  done
  is_well
  lacks "$(<"$SERVER_LOG")" compacted=
  newest >before
  kill -s CONT "$child"
  compacted
  newest | diff before -
  same "$(grep -c 'while it stands' "$JOURNAL")" 20
  # Neither a process nor a zombie is left.
  same "$(pgrep -P "$SERVER_PID" || true)" ''
}

@test "a crash in the middle of a compaction loses nothing" {
  local round messages left=0
  "$TOOLS/journal_probe" large "$JOURNAL" 6 broken
  cp "$JOURNAL" first
  for round in {1..15}; do
    cp first "$JOURNAL"
    injected_server fdatasync:delay_enter=200000 --journal "$JOURNAL" --history 32M
    messages=$(sed -n 's/.*journal messages=\([0-9]*\).*/\1/p' "$SERVER_LOG")
    say "round $round" "round-$round"
    eventually "[ -e '$JOURNAL.new' ] || grep -q compacted=1 '$SERVER_LOG'"
    sleep "0.$((RANDOM % 10))"
    crash_server
    [ ! -e "$JOURNAL.new" ] || left=$((left + 1))
    journal_server --history 32M
    contains "$(<"$SERVER_LOG")" "journal messages=$((messages + 1)) "
    repeats "round $round" "round-$round" "$ID"
    crash_server
  done
  printf '# %s of 15 crashes were in the middle of a compaction\n' "$left" >&3
  [ "$left" -gt 0 ]
  eventually '[ -z "$(journal_processes)" ]'
}

@test "the file that an interrupted compaction left behind is removed at startup" {
  journal_server
  say hello
  crash_server
  { # a snapshot without its end
    printf ':00000000 {"ssechat":"journal","version":2}\n\n'
    printf ':00000000 {"start":"1600000000000-0","last":"1600000000000-0","lost":"1600000000000-0"}\n\n'
  } | "$TOOLS/journal_probe" sign >snapshot
  cp "$JOURNAL" whole
  local new
  for new in /dev/null 'whole 20' 'whole 200' whole snapshot; do
    # shellcheck disable=SC2086
    set -- $new
    head -c "${2:-1000000}" "$1" >"$JOURNAL.new"
    journal_server
    [ ! -e "$JOURNAL.new" ]
    crash_server
  done
  journal_server
  same "$(texts)" hello
}

@test "SIGTERM in the middle of a compaction leaves no file and no process behind" {
  "$TOOLS/journal_probe" large "$JOURNAL" 16 broken
  journal_server --history 32M
  eventually "[ -e '$JOURNAL.new' ] || grep -q compacted=1 '$SERVER_LOG'"
  stop_server
  [ ! -e "$JOURNAL.new" ]
  same "$(journal_processes)" ''
  journal_server --history 32M
  contains "$(<"$SERVER_LOG")" 'journal messages='
}

@test "a compaction that fails changes nothing" {
  make_grouped three
  journal_server --room-ttl 36500d
  compacted
  restart_server --room-ttl 36500d --history 128K
  say one k1
  local inode
  inode=$(stat -c %i "$JOURNAL")
  fault rename,renameat,renameat2 error=EIO
  local i
  for ((i = 0; i < 100; i++)); do
    bulk 50000 big
    same "$STATUS" 201
    ! grep -q compacted=0 "$SERVER_LOG" || break
  done
  eventually "grep -q compacted=0 '$SERVER_LOG'"
  is_well
  say two k2
  mend
  same "$(stat -c %i "$JOURNAL")" "$inode"
  [ ! -e "$JOURNAL.new" ]
  served big >before
  restart_server --room-ttl 36500d --history 128K
  same "$(texts)" 'one two'
  served big | diff before -
}

# ---- Replay -------------------------------------------------------------------------------------

# Checks the order of a stream in a file: ids must grow; messages before `ready` must not be newer
# than the id of `ready`, and messages after it must be newer. Prints each violation, then the
# numbers of messages before and after `ready`.
check_order() {
  awk '
    function newer(a, b,   x, y) {
      split(a, x, "-")
      split(b, y, "-")
      return x[1] + 0 > y[1] + 0 || (x[1] == y[1] && x[2] + 0 > y[2] + 0)
    }
    /^id: / { id = $2 }
    /^event: / { event = $2 }
    /^data/ { data = 1 }
    /^$/ {
      if (event == "gap") print "gap"
      if (event == "ready") {
        ready = 1
        if (newer(last, id)) print "ready", id, "after", last
        last = id
      } else if (data && id != "") {
        if (!newer(id, last)) print id, "after", last
        last = id
        count[ready + 0]++
      }
      id = event = ""
      data = 0
    }
    END { print count[0] + 0, count[1] + 0 }' "$1"
}

@test "messages published during a replay follow it, even if the replay is larger than any socket buffer" {
  local size=12 records oldest
  ! is_sanitized || size=6
  "$TOOLS/journal_probe" large "$JOURNAL" "$size"
  records=$(grep -c '^id: ' "$JOURNAL")
  oldest=$(sed -n 's,.*"lost":"\([-0-9]*\)".*,\1,p;q' "$JOURNAL")
  journal_server --history 64M
  : >stop
  "$TOOLS/journal_probe" posts "$PORT" stop now >posts 3>&- &
  local publisher=$!
  CLIENTS+=("$publisher")
  eventually 'newest | grep -q compacts'
  open_stream slow 'last_event_id='"$oldest"
  kill -s STOP "$CLIENT_PID"
  local slow=$CLIENT_PID
  open_stream fast 'last_event_id='"$oldest"
  await fast ready
  kill -s CONT "$slow"
  await slow ready
  echo now >stop
  await_end "$publisher"
  same "$CLIENT_STATUS" 0
  say last
  await_text fast '"message":"last"'
  await_text slow '"message":"last"'
  local posts before after file
  posts=$(sed 's/posts \([0-9]*\) .*/\1/' posts)
  for file in fast slow; do
    run check_order "$file"
    read -r before after <<<"$output"
    same "$output" "$before $after"
    same $((before + after)) $((records + posts + 1))
    between "$before" "$records" $((records + posts))
    between "$after" 1 $((posts + 1))
  done
}

# ---- The drain ----------------------------------------------------------------------------------

# Prints the time in milliseconds, for differences.
clock() {
  local now=${EPOCHREALTIME/./}
  echo $((now / 1000))
}

@test "a drain ends 2,000 streams in time, each with its own retry" {
  journal_server --drain 5
  say hello
  crowd 2000 '/events?history=5'
  local begin end
  begin=$(clock)
  stop_server TERM
  end=$(clock)
  between $((end - begin)) 0 5500
  tell wait-close
  [[ $ANSWER =~ ^closed\ 2000\ ended\ 2000\ retry\ 2000\ distinct\ ([0-9]+)\ from\ ([0-9]+)\ to\ ([0-9]+)$ ]] ||
    same "$ANSWER" 'closed 2000 ended 2000 retry 2000 distinct ...'
  printf '# %s ms; %s\n' $((end - begin)) "$ANSWER" >&3
  between "${BASH_REMATCH[1]}" 1000 2000
  between "${BASH_REMATCH[2]}" 3000 3100
  between "${BASH_REMATCH[3]}" 4900 5000
}

@test "a drain of a few streams spreads their retry times over about a second, starting at --retry" {
  start_server --retry 500
  crowd 50 /events
  stop_server TERM
  tell wait-close
  [[ $ANSWER =~ ended\ 50\ retry\ 50\ distinct\ ([0-9]+)\ from\ ([0-9]+)\ to\ ([0-9]+)$ ]]
  between "${BASH_REMATCH[1]}" 35 50
  between "${BASH_REMATCH[2]}" 500 800
  between "${BASH_REMATCH[3]}" 1100 1500
}

@test "a stream stuck in the middle of a frame is cut off when the drain ends, without a last chunk" {
  local i begin end stuck
  journal_server --history 32M --drain 1
  exec {stuck}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: a\r\n\r\n' >&"$stuck"
  listen good ''
  for ((i = 0; i < 160; i++)); do
    bulk 60000
    same "$STATUS" 201
  done
  begin=$(clock)
  stop_server TERM
  end=$(clock)
  between $((end - begin)) 900 2500
  timeout 20 cat <&"$stuck" >stuck || true
  exec {stuck}>&-
  between "$(stat -c %s stuck)" 60000 9600000
  [ "$(tail -c 5 stuck)" != $'0\r\n\r' ]
  eventually '! kill -0 "$CLIENT_PID"'
  same "$(tail -n 4 good | head -c 7)" 'retry: '
}

@test "requests in progress are answered after SIGTERM, and new connections are refused" {
  local half poll line body='{"message":"in hand"}'
  journal_server --drain 5
  exec {half}<>"/dev/tcp/127.0.0.1/$PORT" {poll}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /messages?wait=60 HTTP/1.1\r\nHost: a\r\n\r\n' >&"$poll"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n' >&"$half"
  printf 'Content-Length: %s\r\nExpect: 100-continue\r\n\r\n' "${#body}" >&"$half"
  read -r line <&"$half"
  contains "$line" '100 Continue'
  read -r line <&"$half"
  printf '%s' "${body:0:9}" >&"$half"
  kill -s TERM "$SERVER_PID"
  eventually '! curl -s -o /dev/null "$URL/healthz"'
  same "$(curl -s -o /dev/null -w '%{exitcode}' "$URL/healthz" || true)" 7
  contains "$(timeout 10 cat <&"$poll")" 'HTTP/1.1 200 '
  printf '%s' "${body:9}" >&"$half"
  local answer
  answer=$(timeout 10 cat <&"$half")
  contains "$answer" 'HTTP/1.1 201 '
  contains "$answer" 'Connection: close'
  exec {half}>&- {poll}>&-
  stop_server TERM
  journal_server
  same "$(texts)" 'in hand'
}

@test "a POST that arrives together with SIGTERM is answered" {
  local connection line
  journal_server
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /rooms HTTP/1.1\r\nHost: a\r\n\r\n' >&"$connection"
  until [ "$line" = '{"rooms":[],"more":false}' ]; do
    read -r -t 10 line <&"$connection"
  done
  suspend_server
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n%s' \
    '{"message":"last"}' >&"$connection"
  kill -s TERM "$SERVER_PID"
  resume_server
  contains "$(timeout 10 cat <&"$connection")" 'HTTP/1.1 201 '
  exec {connection}>&-
  stop_server TERM
  journal_server
  same "$(texts)" last
}

@test "SIGINT drains the server as SIGTERM does" {
  journal_server
  say hello
  listen stream ''
  stop_server INT
  same "$(tail -n 4 stream | head -c 7)" 'retry: '
  journal_server
  same "$(texts)" hello
}

# ---- Less obvious cases ----

@test "a journal opened through a link has the same lock, and the link remains a link" {
  mkdir real links
  ln -s ../real/j links/j
  JOURNAL=links/j
  journal_server
  accepts '{"message":"x"}'
  refuses_to_start --journal real/j
  contains "$OUTPUT" 'another ssechat'
  same "$(find links -type l)" links/j
  same "$(find real -name j.lock)" real/j.lock
}

@test "after a crash, a key used twice still belongs to the later message, even among many other keys" {
  local i
  journal_server --room-ttl 1s
  accepts '{"message":"first"}' -H 'Idempotency-Key: K'
  eventually 'ask /rooms; same "$BODY" "{\"rooms\":[],\"more\":false}"'
  accepts '{"message":"second"}' -H 'Idempotency-Key: K'
  local second=$ID
  for i in {1..40}; do
    accepts '{"message":"other"}' -H "Idempotency-Key: $i"
  done
  restart_server
  post '{"message":"second"}' -H 'Idempotency-Key: K'
  same "$STATUS $(jq -r .id <<<"$BODY")" "200 $second"
}

@test "a compaction ends even if the server was started with SIGCHLD ignored" {
  journal_server --history 8M
  local i bytes
  bytes=$(times 60000 x)
  for ((i = 0; i < $(compact_bytes) / 60000 + 12; i++)); do
    accepts "{\"data\":\"$bytes\"}"
  done
  crash_server
  trap '' CHLD
  journal_server --history 64K
  trap - CHLD
  accepts '{"message":"x"}'
  compacted
}

@test "after a restart with a smaller --history, a message larger than half of it is a gap in its own room only, not damage" {
  journal_server
  accepts '{"room":"small","message":"x"}'
  accepts "{\"room\":\"big\",\"data\":\"$(times 40000 x)\"}"
  accepts '{"room":"small","message":"y"}'
  local last=$ID
  restart_server --history 16K
  lacks "$(<"$SERVER_LOG")" damaged
  ask "/messages?room=small&after=$last"
  same "$(jq -c '[.gap, .messages]' <<<"$BODY")" '[false,[]]'
  ask '/messages?room=big&after=1-0'
  same "$(jq -c '[.gap, .messages]' <<<"$BODY")" '[true,[]]'
}

@test "lines that look like records do not slow down startup" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1
  yes ':00000000 {' | head -c 4000000 >>"$JOURNAL"
  yes 'X:00000000 {' | head -c 4000000 >>"$JOURNAL"
  journal_server
  ask /healthz
  same "$STATUS" 200
}
