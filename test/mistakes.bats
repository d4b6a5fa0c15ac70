#!/usr/bin/env bats
# What people do to a journal: give the name of another file, remove it, put an older copy back,
# choose a smaller limit, mount only the file, set the clock. Nothing is destroyed without a word,
# and what is lost is told as a gap.
#
# Tests that mount something must run as root. The disk build (tools/disk.c) steps the clock.
# shellcheck disable=SC2016,SC2154,SC2153,SC2034,SC2030,SC2031,SC2094
#
# seconds: 60

load lib/helper
load lib/journal

# Prints the CRC and the length of a file.
sum() {
  cksum <"$1"
}

# Prints the names of the files that the server has kept beside the journal: kept WORD.
kept() {
  find . -name "journal.$1-*" | sort
}

# ---- Files that are no journal ------------------------------------------------------------------

# Makes ten files that are no journals.
make_other_files() {
  openssl rand -hex 32 >key
  yes '2026-11-26T12:00:00Z info: request path=/ status=200' | head -c 20000000 >log
  cp "$SSECHAT" program
  yes '{"id":"1760000000000-0","room":"lobby","message":"hello"}' | head -n 1000 >lines.jsonl
  printf '# Notes\n\n- one\n- two\n\n:00000000 {"room":"lobby"}\n\n' >notes.md
  { printf 'SQLite format 3\0' && head -c 8192 /dev/zero; } >database
  head -c 100000 /dev/urandom >random
  gzip -c notes.md >notes.gz
  printf 'id: 1760000000000-0\ndata: hello\n\n' >stream
  printf 'x' >one-byte
}

@test "a file that is no journal is refused in one sentence, and stays as it is, byte for byte" {
  local file before
  make_other_files
  for file in key log program lines.jsonl notes.md database random notes.gz stream one-byte; do
    chmod 640 "$file"
    before="$(sum "$file") $(stat -c '%a %Y %i' "$file")"
    refuses_to_start --journal "$file"
    contains "$OUTPUT" 'not a journal'
    same "$(sum "$file") $(stat -c '%a %Y %i' "$file")" "$before"
    [ ! -e "$file.lock" ]
  done
}

@test "an empty file, and one with the beginning of a first record, become journals" {
  local n
  journal_server
  crash_server
  head -n 2 "$JOURNAL" >first
  for n in 0 1 20 41; do
    head -c "$n" first >"$JOURNAL"
    journal_server
    say hello
    restart_server
    same "$(texts)" hello
    crash_server
  done
  head -c 300 /dev/zero >"$JOURNAL"
  journal_server
  say hello
  restart_server
  same "$(texts)" hello
}

@test "what follows the records and is no torn record is set aside before it is cut off" {
  journal_server
  say one
  local before=$ID
  crash_server
  yes 'a line of another file' | head -c 3000000 >the-tail
  cat the-tail >>"$JOURNAL"
  journal_server
  same "$(texts)" one
  same "$(sum "$(kept damaged)")" "$(sum the-tail)"
  resume lobby "$before"
  same "$REASON" expired
  crash_server
  # A torn record of an unusual length is cut off, but set aside too.
  rm -f "$(kept damaged)"
  printf ':00000000 {"n":9,"room":"lobby","kind":"text"}\nid: 1-1\ndata: %s' \
    "$(head -c 2000000 /dev/zero | tr '\0' x)" >the-tail
  cat the-tail >>"$JOURNAL"
  journal_server
  same "$(sum "$(kept damaged)")" "$(sum the-tail)"
  same "$(texts)" one
}

@test "a read error at startup, or a file that is cut off meanwhile, is reported in one sentence" {
  journal_server
  say hello
  crash_server
  local before
  before=$(sum "$JOURNAL")
  for what in error=EIO retval=0; do
    printf '#!/bin/sh\nexec strace -o /dev/null -P %q -e trace=pread64 -e inject=pread64:%s %q "$@"\n' \
      "$JOURNAL" "$what" "$SSECHAT" >broken
    chmod +x broken
    SSECHAT=$PWD/broken ASAN_OPTIONS=detect_leaks=0 refuses_to_start --journal "$JOURNAL"
    same "$(sum "$JOURNAL")" "$before"
  done
  contains "$OUTPUT" 'cut it off'
}

# ---- Versions -----------------------------------------------------------------------------------

@test "a journal of a newer format is refused, and stays as it is" {
  local before
  "$TOOLS/journal_probe" sign >"$JOURNAL" <<'END'
:00000000 {"ssechat":"journal","version":3}

:00000000 {"n":1,"start":"1600000000000-0","last":"1600000000000-0","lost":"1600000000000-0"}

END
  chmod 640 "$JOURNAL"
  echo rubbish >"$JOURNAL.new"
  before=$(sum "$JOURNAL")
  refuses_to_start --journal "$JOURNAL"
  contains "$OUTPUT" 'version 3'
  same "$(sum "$JOURNAL") $(stat -c %a "$JOURNAL") $(echo journal*)" "$before 640 journal journal.new"
  rm "$JOURNAL.new"
  "$TOOLS/journal_probe" sign >"$JOURNAL" <<'END'
:00000000 {"ssechat":"journal","version":2}

:00000000 {"n":1,"muted":"ann"}

END
  before=$(sum "$JOURNAL")
  refuses_to_start --journal "$JOURNAL"
  contains "$OUTPUT" 'at byte 45'
  same "$(sum "$JOURNAL")" "$before"
}

@test "messages of a kind that only a newer version knows are served, and survive a rewrite" {
  local i
  {
    printf ':00000000 {"start":"1600000000000-0","last":"1600000000000-0","lost":"1600000000000-0"}\n\n'
    for ((i = 1; i <= 300; i++)); do
      printf ':00000000 {"room":"lobby","kind":"poll","key":"k%d","options":["x","y"]}\nid: 1600000000000-%d\nevent: poll\ndata: {"n":%d}\n\n' "$i" "$i" "$i"
    done
    printf ':00000000 {"room":"lobby","kind":"text"}\nid: 1600000000001-0\ndata: damaged\n\n'
    printf ':00000000 {"room":"lobby","kind":"text"}\nid: 1600000000002-0\ndata: fine\n\n'
    printf ':00000000 {"room":"lobby","kind":"note"}\nid: 1600000000003-0\ndata: one\ndata: "two"\n\n'
  } | "$TOOLS/journal_probe" sign | sed 's/damaged/changed/' >"$JOURNAL"
  grep -c '"kind":"poll"' "$JOURNAL" >before
  journal_server --room-ttl 36500d
  compacted # because of the damage
  same "$(kept damaged | wc -l)" 1
  same "$(grep -c '"kind":"poll"' "$JOURNAL")" "$(<before)"
  same "$(grep -c '"room":"lobby","kind":"poll","key":"k[0-9]*","options":\["x","y"\]}' "$JOURNAL")" 300
  restart_server --room-ttl 36500d
  lacks "$(<"$SERVER_LOG")" damaged=
  # What their data means is not known, so in JSON it is a string.
  same "$(served | jq -c 'select(.event == "poll") | .data | fromjson.n' | wc -l)" 300
  same "$(served | tail -n 1 | jq -c .data)" '"one\n\"two\""'
  same "$("$SSECHAT" journal export "$JOURNAL" | tail -n 1)" "$(served | tail -n 1)"
  listen stream 'history=3'
  same "$(grep -c '^event: poll' stream)" 1
  # The key is known, too.
  refuses 422 '{"message":"x"}' -H 'Idempotency-Key: k7'
}

@test "a journal of version 1 is read, appended to, and gets a version when it is rewritten" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken
  journal_server --history 4M
  say 'new' k-new
  compacted
  say 'newer'
  crash_server
  same "$(head -n 1 "$JOURNAL" | cut -c 11-)" '{"ssechat":"journal","version":2}'
  "$SSECHAT" journal check "$JOURNAL" >facts
  same "$(sed -n 's/^version //p' facts)" 2
  journal_server --history 4M
  same "$(served | tail -n 2 | jq -r .message | paste -sd ' ')" 'new newer'
}

@test "a journal of version 1 with more than --history holds is reported, and kept beside the new one" {
  "$TOOLS/journal_probe" large "$JOURNAL" 4
  cp "$JOURNAL" before
  journal_server --history 64K
  contains "$(<"$SERVER_LOG")" 'journal dropped='
  compacted
  same "$(kept old | wc -l)" 1
  head -c "$(stat -c %s before)" "$(kept old)" | cmp - before
}

# ---- Numbers ------------------------------------------------------------------------------------

# Removes the record that contains a text from the journal: take_out TEXT.
take_out() {
  awk -v RS= -v ORS='\n\n' -v text="$1" 'index($0, text) == 0' "$JOURNAL" >shorter
  [ "$(stat -c %s shorter)" -lt "$(stat -c %s "$JOURNAL")" ]
  mv shorter "$JOURNAL"
}

@test "a record that was taken out is noticed, and its readers get a gap" {
  local i first
  journal_server
  for i in 1 2 3 4; do
    say "number $i"
    [ "$i" != 1 ] || first=$ID
  done
  crash_server
  take_out 'number 3'
  journal_server
  contains "$(<"$SERVER_LOG")" 'missing=1'
  same "$(texts)" 'number 1 number 2 number 4'
  resume lobby "$first"
  same "$REASON" expired
  compacted
  restart_server
  lacks "$(<"$SERVER_LOG")" 'missing='
}

@test "records that were taken out at the beginning are noticed" {
  local i first
  journal_server
  for i in 1 2 3 4; do
    say "number $i"
    [ "$i" != 1 ] || first=$ID
  done
  restart_server
  say 'number 5'
  crash_server
  sed -n '/"n":5,/,$p' "$JOURNAL" >rest
  [ -s rest ]
  mv rest "$JOURNAL"
  "$SSECHAT" journal check "$JOURNAL" >facts || true
  same "$(sed -n 's/^missing //p' facts)" 4
  journal_server
  ask "/messages?after=$first"
  same "$(jq .gap <<<"$BODY")" true
}

@test "a record that was taken out of a rewritten journal is noticed" {
  local first
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken
  journal_server --history 4M
  compacted
  say after
  crash_server
  first=$(sed -n 's/^id: //p' "$JOURNAL" | head -n 1)
  take_out '"k7"'
  journal_server --history 4M
  contains "$(<"$SERVER_LOG")" 'missing=1'
  resume lobby "$first"
  same "$REASON" expired
}

@test "a file that contains a journal twice, or two journals, is no damage" {
  journal_server
  say one k1
  say two '' other
  crash_server
  cp "$JOURNAL" first
  cat first first >"$JOURNAL"
  journal_server
  same "$(texts) $(texts other)" 'one two'
  repeats one k1 "$(newest | jq -r .id)"
  say three
  restart_server
  same "$(texts) $(texts other)" 'one three two'
  crash_server
  lacks "$(<"$SERVER_LOG")" damaged=
  # Another server's journal, begun later.
  mv "$JOURNAL" second
  journal_server
  say four
  crash_server
  cat second "$JOURNAL" >both
  mv both "$JOURNAL"
  journal_server
  same "$(texts) $(texts other)" 'one three four two'
  lacks "$(<"$SERVER_LOG")" damaged=
  same "$(kept damaged)" ''
}

@test "joined with the older journal last, a file is kept beside the new one before anything is dropped" {
  journal_server
  say older
  crash_server
  mv "$JOURNAL" older
  journal_server
  say newer
  crash_server
  cat "$JOURNAL" older >both
  cp both "$JOURNAL"
  journal_server --history 16K
  local i
  for ((i = 0; i < 400; i++)); do
    bulk 7000
    ! grep -q compacted=1 "$SERVER_LOG" || break
  done
  compacted
  [ -n "$(kept old)" ] || [ -n "$(kept damaged)" ]
  contains "$(cat journal.old-* journal.damaged-* 2>/dev/null)" '"message":"older"'
}

@test "a forgotten record that is there twice forgets no later message" {
  "$TOOLS/journal_probe" sign >"$JOURNAL" <<'END'
:00000000 {"ssechat":"journal","version":2}

:00000000 {"n":1,"start":"1600000000000-0","last":"1600000000000-0","lost":"1600000000000-0"}

:00000000 {"n":2,"room":"lobby","kind":"text"}
id: 1600000000001-0
data: one

:00000000 {"n":3,"room":"lobby","forgotten":"1600000000001-0"}

:00000000 {"n":4,"room":"lobby","kind":"text"}
id: 1600000000002-0
data: two

:00000000 {"n":3,"room":"lobby","forgotten":"1600000000001-0"}

END
  same "$("$SSECHAT" journal export "$JOURNAL" | jq -r .data)" two
  journal_server --room-ttl 36500d
  same "$(texts)" two
}

# Writes a journal with the records that standard input lists: `first [LOST]` (a first record and a
# state), `lost TIME [ROOM]`, `forgotten TIME [ROOM]`, `TIME TEXT [ROOM]`.
make_journal() {
  local word text room n=0 id=1600000000
  while read -r word text room; do
    case $word in
    first)
      n=1
      printf ':00000000 {"ssechat":"journal","version":2}\n\n'
      printf ':00000000 {"n":1,"start":"%s000-0","last":"%s000-0","lost":"%s-0"}\n\n' "$id" "$id" "$id${text:-000}"
      ;;
    lost | forgotten)
      printf ':00000000 {"n":%d,"room":"%s","%s":"%s-0"}\n\n' $((++n)) "${room:-lobby}" "$word" "$id$text"
      ;;
    *)
      printf ':00000000 {"n":%d,"room":"%s","kind":"text"}\nid: %s-0\ndata: %s\n\n' $((++n)) "${room:-lobby}" "$id$word" "$text"
      ;;
    esac
  done | "$TOOLS/journal_probe" sign >"$JOURNAL"
}

# Makes a journal, and checks that `journal check` and `export` find the same as a start, and this:
# finds MESSAGES OLDER DAMAGED STRETCHES.
finds() {
  local status=0 room
  make_journal
  "$SSECHAT" journal check "$JOURNAL" >facts || status=$?
  same "$(sed -nE 's/^(messages|older|damaged) //p; s/^damage begins .* in ([0-9]+) places/\1/p' facts | paste -sd ' ')" "$*"
  same "$status" $(($3 > 0))
  for room in lobby other; do
    "$SSECHAT" journal export "$JOURNAL" --room "$room" | jq -r .data | paste -sd ' ' >"$room"
  done
  journal_server --room-ttl 36500d
  same "$(sed -nE 's/.* damaged=([0-9]+) .* stretches=([0-9]+) .*/\1 \2/p' "$SERVER_LOG")" \
    "$([ "$3" = 0 ] || echo "$3 $4")"
  same "$(texts)" "$(<lobby)"
  same "$(texts other)" "$(<other)"
  stop_server
  rm -f "$JOURNAL"*
}

@test "journal check and export find what a start finds, in whatever was joined" {
  # A room is forgotten with the messages before the record, whichever their ids.
  finds 2 0 0 <<<$'first\n100 one\nforgotten 100\nfirst\n050 two\n150 three'
  finds 1 0 0 <<<$'first\n100 one other\n110 two\nforgotten 110'
  # A repetition is no damage, an older message is; what is adjacent is one stretch.
  finds 1 1 78 1 <<<$'first\n005 five\nfirst\n002 two\n005 five'
  finds 1 0 79 1 <<<$'first\n005 five\nfirst\n005 size'
  finds 1 0 235 1 <<<$'first\n005 five\nfirst\n001 one\n002 two\n003 four'
  finds 2 0 158 2 <<<$'first\n005 five\nfirst\n001 one1\n006 six\n002 two2'
  # What the room has lost is a repetition.
  finds 1 1 0 <<<$'first\n005 one\nforgotten 005\n100 two\n005 one'
  finds 1 1 0 <<<$'first 100\n150 one\n050 two'
  finds 1 1 0 <<<$'first\nlost 100\n150 one\n050 two'
  finds 1 0 78 1 <<<$'first 100\nlost 001\n150 one\n050 two'
  finds 1 1 0 <<<$'first\n005 one\nforgotten 005\n100 two other\nforgotten 100 other\n150 three\n050 four'
}

@test "many damaged records cost one file and one line in the log" {
  "$TOOLS/journal_probe" large "$JOURNAL" 4
  awk '/^event: bulk/ && ++n % 2 { sub("bulk", "bulX") } { print }' "$JOURNAL" >damaged
  mv damaged "$JOURNAL"
  journal_server --history 8M
  same "$(kept damaged | wc -l)" 1
  same "$(grep -c 'damaged=' "$SERVER_LOG")" 1
  contains "$(<"$SERVER_LOG")" 'stretches='
  crash_server
  journal_server --history 8M
  same "$(kept damaged | wc -l)" 1
}

# ---- Watermarks ---------------------------------------------------------------------------------

@test "damage before the oldest message that is dropped later is still a gap" {
  local i first
  journal_server --history 16K
  for ((i = 0; i < 30; i++)); do
    accepts "{\"data\":\"$i $(times 900 x)\"}"
    [ "$i" != 25 ] || first=$(jq -r .id <<<"$BODY")
  done
  crash_server
  sed -i 's/^data: 26 x/data: 26 y/' "$JOURNAL"
  journal_server --history 16K
  accepts "{\"data\":\"30 $(times 900 x)\"}"
  ask "/messages?after=$first"
  same "$(jq .gap <<<"$BODY")" true
  resume lobby "$first"
  same "$REASON" expired
}

@test "an older copy that was put back is a gap for readers of what came after it" {
  local i seen known
  journal_server
  for ((i = 1; i <= 8; i++)); do
    say "number $i"
    case $i in
    3) cp "$JOURNAL" copy && known=$ID ;;
    4) seen=$ID ;;
    esac
  done
  crash_server
  cp copy "$JOURNAL"
  journal_server
  resume lobby "$seen"
  same "$REASON" unknown
  resume lobby "$known"
  same "$REASON" none
  say again
  resume lobby "$seen"
  same "$REASON" unknown
  same "$(events_of resumed message .data.message | jq -r . | paste -sd ' ')" \
    'number 1 number 2 number 3 again'
  restart_server
  restart_server
  resume lobby "$seen"
  same "$REASON" unknown
  # However often the server starts without a message.
  local n
  for n in {1..17}; do
    restart_server
  done
  ask "/messages?after=$seen"
  same "$(jq .gap <<<"$BODY")" true
  resume lobby "$ID"
  same "$REASON" none
}

@test "with --sync none, a record that was torn off counts as damage" {
  journal_server --sync none
  say one
  local one=$ID
  say two
  crash_server
  truncate -s -5 "$JOURNAL"
  journal_server --sync none
  resume lobby "$one"
  same "$REASON" expired
}

@test "a room that was forgotten stays forgotten, also when it is used again" {
  local old
  journal_server --room-ttl 5s
  say old k1 passing
  old=$ID
  say old k2 gone
  eventually 'ask /rooms; same "$BODY" "{\"rooms\":[],\"more\":false}"'
  say new k3 passing
  eventually 'grep -q "\"forgotten\"" "$JOURNAL"'
  restart_server
  same "$(texts passing) $(texts gone)" 'new '
  resume passing "$old"
  same "$REASON" expired
  same "$("$SSECHAT" journal export "$JOURNAL" | jq -r .message)" new
  restart_server
  same "$(texts passing)" new
}

@test "GET /messages?after=0-0 walks through all that is held without a gap" {
  local i
  journal_server --history 16K
  for ((i = 0; i < 30; i++)); do
    accepts "{\"data\":\"$i $(times 900 x)\"}"
  done
  ask '/messages?after=0-0'
  same "$(jq -c '[.gap, .more]' <<<"$BODY")" '[false,false]'
  ask '/messages?after=0-1'
  same "$(jq .gap <<<"$BODY")" true
  start_server
  ask '/messages?after=0-0'
  same "$(jq -c '[.gap, .messages]' <<<"$BODY")" '[false,[]]'
}

# ---- Limits -------------------------------------------------------------------------------------

@test "a smaller --history is reported with numbers, and the old file is kept beside the new one" {
  local i all
  journal_server
  for ((i = 0; i < 150; i++)); do
    bulk 1000
    same "$STATUS" 201
  done
  all=$(served | wc -l)
  crash_server
  cp "$JOURNAL" before
  journal_server --history 16K
  local left line
  left=$(served | wc -l)
  line=$(grep 'dropped=' "$SERVER_LOG")
  contains "$line" "dropped=$((all - left)) "
  contains "$line" '--history'
  crash_server
  # The next start has the same to say, as long as the file is not rewritten.
  journal_server --history 16K
  [ -n "$(kept old)" ] || contains "$(<"$SERVER_LOG")" "dropped=$((all - left)) "
  # Once it is rewritten, the old file is beside it.
  for ((i = 0; i < 400; i++)); do
    bulk 7000
    ! grep -q compacted=1 "$SERVER_LOG" || break
  done
  compacted
  same "$(kept old | wc -l)" 1
  contains "$(grep -h 'journal kept=' server.*.log)" "$(basename "$(kept old)")"
  head -c "$(stat -c %s before)" "$(kept old)" | cmp - before
  crash_server
  "$SSECHAT" journal check "$(kept old)" >facts
  # The old file can be used again.
  cp "$(kept old)" "$JOURNAL"
  journal_server
  lacks "$(<"$SERVER_LOG")" dropped=
  [ "$(served | wc -l)" -gt "$left" ]
}

damage_states() {
  sed -i 's/"start":"1/"start":"2/' "$JOURNAL"
}

damage_last_state() {
  tac "$JOURNAL" | sed '0,/"start":"1/s//"start":"2/' | tac >damaged
  mv damaged "$JOURNAL"
}

take_out_states() {
  take_out '"start"'
}

@test "a smaller --history is reported even if the record that says the former one is lost" {
  local i spoil left
  journal_server --history 16K
  say first
  crash_server
  journal_server
  for ((i = 0; i < 150; i++)); do
    bulk 1000
    same "$STATUS" 201
  done
  crash_server
  cp "$JOURNAL" before
  for spoil in damage_states damage_last_state take_out_states; do
    cp before "$JOURNAL"
    rm -f journal.old-*
    $spoil
    cp "$JOURNAL" spoilt
    journal_server --history 16K
    left=$(served | wc -l)
    contains "$(grep dropped= "$SERVER_LOG")" "dropped=$((151 - left)) "
    compacted # because of the damage
    head -c "$(stat -c %s spoilt)" "$(kept old)" | cmp - spoilt
    crash_server
  done
}

@test "a smaller --max-rooms is reported with numbers, and the old file is kept beside the new one" {
  local i
  journal_server
  for i in {1..9}; do
    say "$i" '' "r$i"
  done
  crash_server
  journal_server --max-rooms 4
  contains "$(<"$SERVER_LOG")" 'dropped=5 rooms=5 '
  contains "$(grep dropped= "$SERVER_LOG")" '--max-rooms'
  crash_server
  journal_server
  same "$(texts r1)" 1
  restart_server --max-rooms 4 --history 16K
  for ((i = 0; i < 400; i++)); do
    bulk 7000 r9
    ! grep -q compacted=1 "$SERVER_LOG" || break
  done
  compacted
  contains "$(<"$(kept old)")" '"room":"r1"'
}

# ---- The file's name ----------------------------------------------------------------------------

# Checks that the server has written the journal again, and that all its messages are in it.
written_again() {
  eventually "grep -q compacted=1 '$SERVER_LOG'"
  eventually is_well
  say after
  restart_server
  same "$(texts)" "${1:-one} after"
}

@test "a journal that is removed while the server runs is written again" {
  journal_server
  say one
  rm "$JOURNAL"
  eventually "grep -q 'was removed' '$SERVER_LOG'"
  written_again
}

@test "a journal that is removed just before a message is written again, and the message is not lost" {
  journal_server
  say one
  rm "$JOURNAL"
  post '{"message":"two"}' -H 'Idempotency-Key: k2'
  [ "$STATUS" = 503 ] || [ "$STATUS" = 201 ]
  eventually is_well
  post '{"message":"two"}' -H 'Idempotency-Key: k2'
  restart_server
  same "$(texts)" 'one two'
}

@test "a journal that is moved away is written again; the moved file ends before the move" {
  journal_server
  say one
  mv "$JOURNAL" elsewhere
  written_again
  same "$("$SSECHAT" journal export elsewhere | jq -r .message)" one
}

@test "a file that takes the journal's place is kept, and the journal is written again" {
  journal_server
  say one
  echo 'something else' >other
  mv other "$JOURNAL"
  eventually "grep -q 'journal kept=.*journal.found-.* bytes=15' '$SERVER_LOG'"
  written_again
  same "$(cat "$(kept found)")" 'something else'
}

@test "a folder that takes the journal's place is kept, and the journal is written again" {
  journal_server
  say one
  rm "$JOURNAL"
  mkdir "$JOURNAL"
  written_again
  [ -d "$(kept found)" ]
}

@test "an older copy that takes the journal's place is kept, and the journal is written again" {
  journal_server
  cp "$JOURNAL" copy
  say one
  mv copy "$JOURNAL"
  written_again
  same "$(kept found | wc -l)" 1
}

@test "a file with the name of the journal's next one is kept" {
  local found
  for found in 'echo precious' "$TOOLS/journal_probe sign" "cat old"; do
    rm -f "$JOURNAL"*
    echo ':00000000 {"ssechat":"journal","version":2}' | $found >"$JOURNAL.new"
    cp "$JOURNAL.new" precious
    : >"$JOURNAL.new.lock" # a journal of another server, which has ended
    journal_server
    say one
    cmp "$JOURNAL.new" precious
    rm "$JOURNAL" # so it is written again
    written_again
    cmp "$(kept found)" precious
    [ ! -e "$JOURNAL.new" ]
    crash_server
    cp "$JOURNAL" old
  done
}

@test "a file that takes the name of the journal's next one is kept, and does not become the journal" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken # so it is rewritten at once
  disk sync_delay_us=1000000
  disk_server --history 8M
  echo precious >other
  [ -e "$JOURNAL.new" ]
  mv other "$JOURNAL.new"
  eventually "grep -q 'another program has taken FILE.new' '$SERVER_LOG'"
  same "$(<"$JOURNAL.new")" precious
  disk sync_delay_us=0
  say one
  restart_server --history 8M
  same "$(served | wc -l)" 256
}

@test "a new file that cannot be removed is used again" {
  disk_server
  say one
  disk sync_error=5 sync_one_in=1 unlink_error=13 unlink_one_in=1
  rm "$JOURNAL"
  eventually "[ \"\$(disk | sed -n 's/^unlink_failed=//p')\" -ge 3 ]" # one a second
  same "$(kept found)" ''
  disk sync_one_in=0 unlink_one_in=0
  eventually is_well
  say two
  [ ! -e "$JOURNAL.new" ]
  restart_server
  same "$(texts)" 'one two'
}

@test "a journal that has the name of another one's next file is left to its server" {
  local other=$JOURNAL log
  JOURNAL=$other.new
  journal_server
  log=$SERVER_LOG
  say new
  JOURNAL=$other
  journal_server
  say one
  rm "$JOURNAL"
  eventually "grep -q 'another program uses FILE.new' '$SERVER_LOG'"
  is_unwell 'was removed'
  same "$("$SSECHAT" journal export "$JOURNAL.new" | jq -r .message)" new
  same "$(kept found)" ''
  lacks "$(<"$log")" trouble=
}

@test "two servers with one journal, whose files were removed: the second has it, the first waits" {
  local first_url first_log first_pid second_pid
  journal_server
  say one
  first_url=$URL first_log=$SERVER_LOG first_pid=$SERVER_PID
  kill -s STOP "$first_pid" # otherwise it would write the file again at once
  rm "$JOURNAL" "$JOURNAL.lock"
  journal_server
  second_pid=$SERVER_PID
  local URL=$URL
  kill -s CONT "$first_pid"
  eventually "grep -q 'another ssechat has taken its name' '$first_log'"
  URL=$first_url is_unwell 'another file has taken its name'
  URL=$first_url refuses_for_now 503 two
  is_well
  say three
  same "$(kept found)" ''
  # Once the second one has ended, the first one keeps the file, and writes its own again.
  stop_server TERM "$second_pid"
  URL=$first_url
  eventually is_well
  say four
  same "$("$SSECHAT" journal export "$(kept found)" | jq -r .message)" three
  same "$(texts)" 'one four'
}

@test "a journal that is cut off or appended to while the server runs is written again" {
  journal_server
  say one
  : >"$JOURNAL"
  eventually "grep -q 'was cut off' '$SERVER_LOG'"
  written_again
  echo rubbish >>"$JOURNAL"
  eventually "grep -q 'appended' '$SERVER_LOG'"
  written_again 'one after'
  same "$(kept found | wc -l)" 2
}

@test "a journal that is overwritten while it is being rewritten is written again from memory" {
  local n
  "$TOOLS/journal_probe" large "$JOURNAL" 8 broken
  injected_server close_range:signal=STOP --journal "$JOURNAL" --history 32M
  eventually "grep -q 'stopped by SIGSTOP' trace"
  local child
  child=$(pgrep -P "$SERVER_PID")
  for n in 1 2 3; do
    say "while it stands $n"
  done
  n=$(stat -c %s "$JOURNAL")
  : >"$JOURNAL"
  truncate -s "$n" "$JOURNAL"
  kill -s CONT "$child"
  # The first child is not used; the next one stops, too.
  eventually 'p=$(pgrep -P "$SERVER_PID") && [ "$p" != "$child" ] || grep -q compacted=1 "$SERVER_LOG"'
  for n in {1..50}; do
    ! child=$(pgrep -P "$SERVER_PID") || kill -s CONT "$child" || true
    ! grep -q compacted=1 "$SERVER_LOG" || break
    sleep 0.1
  done
  compacted
  eventually is_well
  restart_server --history 32M
  same "$(served | tail -n 3 | jq -r .message | paste -sd ,)" 'while it stands 1,while it stands 2,while it stands 3'
}

@test "a server that ends while its journal is gone writes it again first" {
  journal_server
  say one
  rm "$JOURNAL"
  stop_server
  journal_server
  same "$(texts)" one
}

@test "a server that starts on a full disk writes its state before the first message" {
  local seen
  journal_server
  say one
  cp "$JOURNAL" copy
  say two
  seen=$ID
  crash_server
  cp copy "$JOURNAL"
  disk pwrite_error=28 pwrite_one_in=1
  disk_server
  is_unwell full
  disk pwrite_one_in=0
  say three
  restart_server
  ask "/messages?after=$seen"
  same "$(jq .gap <<<"$BODY")" true
  crash_server
  # A new journal begins with its first record.
  rm "$JOURNAL"
  disk pwrite_one_in=1
  disk_server
  disk pwrite_one_in=0
  say four
  crash_server
  same "$(head -n 1 "$JOURNAL" | cut -c 11-)" '{"ssechat":"journal","version":2}'
}

@test "a journal whose folder is moved away is refused until the folder is back" {
  mkdir place
  JOURNAL=$PWD/place/journal
  journal_server
  say one
  mv place away
  refuses_for_now 503 two
  is_unwell 'moved away'
  mv away place
  written_again
}

@test "a journal with two names is used by one server only" {
  mkdir real
  JOURNAL=real/j
  journal_server
  ln real/j other
  refuses_to_start --journal other
  contains "$OUTPUT" 'another ssechat'
  say one
  same "$(texts)" one
}

@test "a server that starts while its predecessor ends waits for the lock" {
  local before
  journal_server
  say one
  before=$SERVER_PID
  { sleep 1 && kill -s KILL "$before"; } 3>&- &
  unset "SERVERS[$before]"
  journal_server
  same "$(texts)" one
}

@test "a file that is mounted by itself is reported at startup, in the log and in /healthz" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken
  mount --bind "$JOURNAL" "$JOURNAL"
  DISK=$JOURNAL # teardown unmounts it
  journal_server --history 4M
  contains "$(<"$SERVER_LOG")" "mount the journal's folder"
  eventually "grep -q 'compacted=0.*busy.*mount' '$SERVER_LOG'"
  ask /healthz
  same "$STATUS" 200
  contains "$(jq -r .warning <<<"$BODY")" 'esource busy'
  contains "$(jq -r .warning <<<"$BODY")" "mount the journal's folder"
  say hello
  crash_server
}

@test "a disk of little more than twice what is held is enough" {
  local i
  small_disk 640K
  journal_server --history 256K
  for ((i = 0; i < 300; i++)); do
    bulk 7000
    [ "$STATUS" = 201 ] || same "$i $STATUS $BODY" '201'
  done
  compacted
  is_well
  restart_server --history 256K
  between "$(served | wc -l)" 34 38
}

@test "on a disk that is short, a journal that cannot become smaller is not rewritten all the time" {
  local i
  small_disk 3m
  journal_server --history 1M
  for i in {1..120}; do
    bulk 7000 lobby -H "Idempotency-Key: a-long-key-of-many-characters-for-this-message-$i"
  done
  head -c $((3145728 - $(du -b --summarize "$DISK" | cut -f 1) - 1000000)) /dev/zero >"$DISK/filler"
  for i in {1..40}; do
    post '{"message":"short"}' -H "Idempotency-Key: another-key-of-many-characters-for-this-message-$i"
  done
  sleep 2
  between "$(grep -c compacted=1 "$SERVER_LOG")" 0 6
}

# ---- Clocks -------------------------------------------------------------------------------------

@test "a clock that is a month ahead at a start does not cost a room its history" {
  journal_server
  say hello
  crash_server
  CLOCK_MS=2592000000 disk_server
  same "$(texts)" hello
  # hub_tick has had its chance once this is answered.
  ask /healthz
  same "$(texts)" hello
  crash_server
  journal_server
  same "$(texts)" hello
}

@test "a room that was read all the time is not forgotten at a start, however old its messages are" {
  CLOCK_MS=-864000000 disk_server # ten days ago
  say old '' news
  disk clock_ms=0
  say new
  crash_server
  journal_server
  contains "$(<"$SERVER_LOG")" 'journal silent=1 rooms=1 '
  # hub_tick has had its chance once this is answered.
  ask /healthz
  same "$(texts news)" old
  restart_server --room-ttl 30d
  lacks "$(<"$SERVER_LOG")" silent=
  # If --room-ttl is shorter than ten minutes, so is the grace.
  restart_server --room-ttl 1s
  eventually "grep -q 'journal forgot=' '$SERVER_LOG'"
  same "$(texts news)" ''
}

@test "after a message from the year 2099, ids go on, the time is right again, and the log says why" {
  local future year
  CLOCK_MS=2303424000000 disk_server
  say later
  future=$ID
  disk clock_ms=0
  eventually 'say now; grep -q "clock behind_ms=" "$SERVER_LOG"'
  year=$(date -u +%Y)
  say 'now again'
  same "$(jq -r .time <<<"$BODY" | cut -c 1-4)" "$year"
  same "$(printf '%s\n' "$future" "$ID" | sort -V | tail -n 1)" "$ID"
  same "$(grep -c 'clock behind_ms=' "$SERVER_LOG")" 1
  accepts '{"data":"as text"}'
  restart_server
  same "$(served | tail -n 1 | jq -r .time | cut -c 1-4)" "$year"
  same "$(texts | tr ' ' '\n' | head -n 1)" later
  same "$(kept damaged)" ''
}

# ---- Memory -------------------------------------------------------------------------------------

@test "the memory of a large batch is given back" {
  ! is_sanitized || return 0 # the sanitizer keeps freed memory
  local before after i pids=()
  journal_server
  bulk 60000
  before=$(awk '/^VmRSS/ { print $2 }' "/proc/$SERVER_PID/status")
  suspend_server
  for i in {1..100}; do
    curl -sS -o /dev/null -m 30 -H 'Content-Type: application/json' --data-binary @bulk.60000 \
      "$URL/messages" 3>&- &
    pids+=("$!")
  done
  sleep 0.5
  resume_server
  wait "${pids[@]}"
  eventually 'is_well'
  after=$(awk '/^VmRSS/ { print $2 }' "/proc/$SERVER_PID/status")
  between $((after - before)) -10000 2000
}

# ---- What is stored of an author -----------------------------------------------------------------

@test "with --key, a record has a pseudonym of the author, and a mark that a token was used" {
  local token by
  openssl rand -hex 32 >key
  chmod 600 key
  journal_server --key key
  token=$("$SSECHAT" token --key key --sub ann --rooms '*' --publish)
  accepts '{"message":"hello"}' -H "Authorization: Bearer $token"
  by=$(printf ann | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(tr -d '\n' <key | od -An -tx1 | tr -d ' \n')" | sed 's/.*= //' | cut -c 1-16)
  same "$(grep -o '"kind".*' "$JOURNAL")" "\"kind\":\"chat\",\"by\":\"$by\",\"signed\":true,\"user\":true}"
  token=$("$SSECHAT" token --key key --rooms '*' --publish)
  accepts '{"message":"hello"}' -H "Authorization: Bearer $token"
  by=$(printf 127.0.0.1 | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(tr -d '\n' <key | od -An -tx1 | tr -d ' \n')" | sed 's/.*= //' | cut -c 1-16)
  contains "$(tail -n 4 "$JOURNAL")" "\"by\":\"$by\",\"signed\":true}"
  restart_server --key key
  same "$(grep -c '"signed":true' "$JOURNAL")" 2
}

# ---- Commands -----------------------------------------------------------------------------------

@test "journal check and export read a journal, also while a server writes it, and change nothing" {
  local before
  journal_server
  say one
  accepts '{"event":"news","data":{"a":1},"room":"other"}'
  before="$(sum "$JOURNAL") $(ls)"
  "$SSECHAT" journal check "$JOURNAL" >../facts
  same "$(paste -sd ' ' ../facts | sed 's/ [0-9]*-0/ ID/g')" \
    "version 2 bytes $(stat -c %s "$JOURNAL") records 4 rooms 2 messages 2 first ID last ID older 0 missing 0 damaged 0 torn 0"
  same "$("$SSECHAT" journal export "$JOURNAL" | jq -c '[.room, .message // .data]' | paste -sd ' ')" \
    '["lobby","one"] ["other",{"a":1}]'
  same "$("$SSECHAT" journal export "$JOURNAL" --room other | jq -c .data)" '{"a":1}'
  same "$(sum "$JOURNAL") $(ls)" "$before"
  served >served
  "$SSECHAT" journal export "$JOURNAL" --room lobby | diff - served
}

@test "journal check exits with 1 for a journal that is damaged, and for a file that is none" {
  local status=0
  journal_server
  say one
  say two
  crash_server
  "$SSECHAT" journal check "$JOURNAL" >facts
  sed -i 's/"message":"one"/"message":"0ne"/' "$JOURNAL"
  "$SSECHAT" journal check "$JOURNAL" >facts || status=$?
  same "$status" 1
  contains "$(<facts)" 'damage begins at byte '
  same "$(sed -n 's/^messages //p' facts)" 1
  status=0
  echo hello >text
  OUTPUT=$("$SSECHAT" journal check text 2>&1) || status=$?
  same "$status" 1
  contains "$OUTPUT" 'not a journal'
  status=0
  OUTPUT=$("$SSECHAT" journal check missing 2>&1) || status=$?
  same "$status" 1
  [ ! -e missing ]
  status=0
  "$SSECHAT" journal export "$JOURNAL" --rooms x 2>/dev/null || status=$?
  same "$status" 2
}
