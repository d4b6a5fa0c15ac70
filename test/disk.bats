#!/usr/bin/env bats
# Disks that are slow, fail, or are full: a message is sent only after the sync that covers it, a
# refused message never comes back, only publishers wait for the disk, and the journal recovers by
# itself.
#
# strace records system calls or makes them fail. It cannot reach a sync that the kernel does in the
# background; fault_sync makes the kernel refuse those, so that the server syncs in its loop, where
# strace can make the sync fail. The disk build (tools/disk.c) makes background syncs slow, stuck or
# fail. A small tmpfs is the disk that fills up, so those tests must run as root.
# shellcheck disable=SC2016,SC2154,SC2153,SC2034,SC2030,SC2031,SC2094
#
# seconds: 60

load lib/helper
load lib/journal

POSTS=() # the process ids of POSTs in the background

# ---- Syncs --------------------------------------------------------------------------------------

# Checks the trace: an id may be sent in an answer or a stream only after it has been written and
# synced. Prints each violation, then the numbers of answers and ids that were sent.
check_trace() {
  awk '
    function ids(line, pattern, found,   text) {
      delete found
      while (match(line, pattern)) {
        text = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        match(text, /[0-9]+-[0-9]+/)
        found[substr(text, RSTART, RLENGTH)] = 1
      }
    }
    /^(pwrite64|pwritev2?|writev?)\(/ {
      ids($0, "id: [0-9]+-[0-9]+", found)
      for (id in found) pending[id] = 1
    }
    /^io_submit\(.*IOCB_CMD_FDSYNC.* = 1$/ {
      for (id in pending) submitted[id] = 1
      delete pending
    }
    /^io_getevents\(.* res=0, .* = 1$/ {
      for (id in submitted) safe[id] = 1
      delete submitted
    }
    /^send(to|msg)\(/ {
      gsub(/id: [0-9]+-[0-9]+\\nevent: ready/, "")
      answers += gsub(/HTTP\/1.1 201 /, "&")
      ids($0, "(id: |\\\\\"id\\\\\":\\\\\")[0-9]+-[0-9]+", found)
      for (id in found) {
        left[id] = 1
        if (!(id in safe)) print "sent before it was safe:", id
      }
    }
    END {
      for (id in left) count++
      print answers, "answers", count, "ids"
    }' trace
}

@test "no message is sent before it is on the disk" {
  local i
  traced_server pwrite64,pwritev,pwritev2,write,writev,io_submit,io_getevents,sendto,sendmsg \
    --journal "$JOURNAL"
  listen stream 'room=lobby,other'
  for i in {1..5}; do
    say "$i"
    accepts "{\"room\":\"other\",\"data\":\"$i\"}"
  done
  "$TOOLS/journal_probe" burst "$PORT" "$SERVER_PID" 20
  await_text stream 'burst 0019'
  stop_server
  eventually 'tail -n 1 trace | grep -q "+++ exited"'
  same "$(check_trace)" '30 answers 30 ids'
}

# A turn handles requests for two milliseconds. If a slow machine needs more than one turn for a
# hundred, each turn still makes one sync at most, and another hundred is sent.
@test "a hundred messages that arrive in one turn cost one sync" {
  traced_server '?epoll_wait,epoll_pwait,io_submit' --journal "$JOURNAL"
  say first
  local before sent=1
  for _ in {1..5}; do
    before=$(calls io_submit)
    same "$("$TOOLS/journal_probe" burst "$PORT" "$SERVER_PID" 100)" 100
    sent=$((sent + 100))
    [ "$(calls io_submit)" != $((before + 1)) ] || break
  done
  same "$(calls io_submit)" $((before + 1))
  same "$(awk '/^epoll_p?wait/ { syncs = 0 } /^io_submit/ && ++syncs > most { most = syncs } END { print most }' trace)" 1
  same "$(served | wc -l)" "$sent"
  restart_server
  same "$(served | wc -l)" "$sent"
}

@test "with --sync none, no message is synced" {
  traced_server io_submit,fdatasync,fsync,msync,sync_file_range --journal "$JOURNAL" --sync none
  local before i
  before=$(wc -l <trace)
  for i in {1..5}; do
    say "$i"
  done
  same "$(wc -l <trace)" "$before"
  restart_server --sync none
  same "$(texts)" '1 2 3 4 5'
}

# ---- Slow disks ---------------------------------------------------------------------------------

# Posts a message in the background: post_behind FILE TEXT [KEY]. The answer will be in the file.
post_behind() {
  curl -sS -m 60 -o "$1" -w '%{http_code}' -H 'Content-Type: application/json' \
    -H "Idempotency-Key: ${3:-$2}" --data "{\"message\":\"$2\"}" "$URL/messages" >"$1.status" 3>&- &
  POSTS+=("$!")
}

# Waits for the answers to all messages posted in the background.
await_posts() {
  wait "${POSTS[@]}"
  POSTS=()
}

# Waits until the server has begun a sync since the count in COUNT was taken.
begun() {
  eventually "[ \"\$(disk | sed -n 's/^asynchronous=//p')\" -gt $1 ]"
}

syncs() {
  disk | sed -n 's/^asynchronous=//p'
}

@test "while a sync is stuck, only POSTs wait: pages, streams and heartbeats do not" {
  local before
  disk_server --heartbeat 1
  say one
  listen stream ''
  before=$(syncs)
  disk stuck=1
  post_behind a two
  begun "$before"
  post_behind b three
  # Reading works, and shows nothing of the message.
  same "$(texts)" one
  listen late 'history=9'
  same "$(events_of late message .data.message | jq -r .)" one
  await stream heartbeat
  is_well
  [ ! -s a.status ]
  [ ! -s b.status ]
  lacks "$(<stream)" two
  disk stuck=0
  await_posts
  same "$(<a.status) $(<b.status)" '201 201'
  await_text stream three
  await_text late three
  same "$(texts)" 'one two three'
  restart_server
  same "$(texts)" 'one two three'
}

@test "a sync that is stuck for over five seconds is reported, and new POSTs are refused at once" {
  local before
  disk_server
  say one
  before=$(syncs)
  disk stuck=1
  post_behind a two
  begun "$before"
  post_behind b three
  eventually '! is_well'
  is_unwell 'sync'
  # What has gathered is refused; the batch in question waits for its result.
  eventually '[ -s b.status ]'
  same "$(<b.status)" 503
  refuses_for_now 503 four k4
  [ ! -s a.status ]
  same "$(texts)" one
  disk stuck=0
  await_posts
  same "$(<a.status)" 201
  eventually is_well
  contains "$(<"$SERVER_LOG")" 'journal trouble="sync stuck"'
  contains "$(<"$SERVER_LOG")" 'journal recovered=1'
  say four k4
  restart_server
  same "$(texts)" 'one two four'
}

@test "a stuck sync of a compaction that fails at last leaves the journal as good as before" {
  "$TOOLS/journal_probe" large "$JOURNAL" 1 broken # so it is rewritten at once
  disk sync_delay_us=1000000
  disk_server --history 8M
  begun 0 # the sync of the new file
  disk stuck=1
  eventually '! is_well'
  is_unwell 'does not finish a sync'
  disk sync_error=5 sync_one_in=1 stuck=0
  eventually is_well
  is_well
  contains "$(jq -r .warning <<<"$BODY")" 'syncing the new file: '
  disk sync_one_in=0 sync_delay_us=0
  say one
}

@test "a key that is repeated while the first message settles shares its result" {
  local before
  disk_server
  say one
  before=$(syncs)
  disk stuck=1
  post_behind a two key
  begun "$before"
  post_behind b two key
  post_behind c other key
  eventually '[ -s c.status ]'
  same "$(<c.status)" 422
  disk stuck=0
  await_posts
  same "$(sort <(cat a.status; echo) <(cat b.status; echo) | paste -sd ' ')" '200 201'
  same "$(jq -r .id a)" "$(jq -r .id b)"
  same "$(texts)" 'one two'
}

@test "a background sync that fails refuses its batch and what has gathered, and the journal is rewritten" {
  local before inode
  disk_server
  say one
  inode=$(stat -c %i "$JOURNAL")
  before=$(syncs)
  disk stuck=1
  post_behind a two key
  begun "$before"
  post_behind b two key
  post_behind c three
  eventually 'posts_waiting 3'
  disk sync_error=5 sync_one_in=1 stuck=0
  await_posts
  same "$(cat a.status b.status c.status)" 503503503
  is_unwell journal
  refuses_for_now 503 four
  same "$(texts)" one
  disk sync_one_in=0
  eventually is_well
  [ "$(stat -c %i "$JOURNAL")" != "$inode" ]
  say two key
  restart_server
  same "$(texts)" 'one two'
}

# Succeeds if this many connections wait for an answer.
posts_waiting() {
  [ "$(ss -tn state established "sport = :$PORT" | grep -c "$PORT")" -ge "$1" ]
}

@test "a kernel that refuses background syncs is reported once, and the server syncs in its loop" {
  disk setup_error=11 setup_one_in=1
  disk_server
  say one
  say two
  same "$(grep -c 'refuses asynchronous syncs' "$SERVER_LOG")" 1
  same "$(syncs)" 0
  restart_server
  same "$(texts)" 'one two'
}

@test "nothing is acknowledged between a compaction's rename and the sync of the folder" {
  local i
  "$TOOLS/journal_probe" large "$JOURNAL" 2 broken
  traced_server rename,io_submit,io_getevents,sendto --journal "$JOURNAL" --history 8M
  for i in {1..20}; do
    say "$i"
  done
  compacted
  say last
  stop_server
  eventually 'tail -n 1 trace | grep -q "+++ exited"'
  same "$(awk '/^io_submit\(.*IOCB_CMD_FDSYNC/ { data = 1 }
    /^rename\(/ { print data ? "synced" : "not synced"; renamed = 1 }
    /^io_submit\(.*IOCB_CMD_FSYNC/ { folder = renamed }
    /^io_getevents\(.* = 1$/ { if (folder) { renamed = 0; print "folder"; folder = 0 } }
    /^sendto\(.*HTTP\/1.1 201/ { if (renamed) print "acknowledged" }' trace | paste -sd ' ')" 'synced folder'
}

@test "a process that is killed while a sync is stuck loses nothing that was acknowledged" {
  local before
  disk_server
  say one
  before=$(syncs)
  disk stuck=1
  post_behind a two
  begun "$before"
  crash_server
  await_posts || true
  disk stuck=0
  journal_server
  contains "$(texts)" one
  say three
  restart_server
  contains "$(texts)" three
}

# ---- Failing disks ------------------------------------------------------------------------------

@test "a message whose sync fails is refused for good; the failure is reported and the journal rewritten" {
  journal_server
  say one k1
  listen stream ''
  local inode
  inode=$(stat -c %i "$JOURNAL")
  fault_sync error=EIO
  refuses_for_now 503 two k2
  is_unwell journal
  refuses_for_now 503 three k3
  same "$(texts)" one
  mend
  eventually is_well
  [ "$(stat -c %i "$JOURNAL")" != "$inode" ]
  same "$(stat -c %a "$JOURNAL")" 600
  contains "$(<"$SERVER_LOG")" 'journal trouble='
  contains "$(<"$SERVER_LOG")" 'journal recovered='
  say three k3
  await_text stream three
  lacks "$(<stream)" two
  restart_server
  same "$(texts)" 'one three'
  say two k2
  same "$(texts)" 'one three two'
}

@test "a message refused by a failed sync does not come back after a crash" {
  journal_server
  say one k1
  fault_sync error=EIO
  refuses_for_now 503 two k2
  mend
  restart_server
  same "$(texts)" one
  say two k2
}

@test "the journal recovers by itself after several failed syncs in a row" {
  journal_server
  say one
  fault_sync error=EIO:when=1..3
  refuses_for_now 503 two
  eventually is_well
  mend
  say three
  restart_server
  same "$(texts)" 'one three'
}

@test "a message refused by a failed sync does not come back even if the journal cannot be truncated" {
  journal_server
  say one
  fault_sync error=EIO ftruncate
  refuses_for_now 503 two k2
  mend
  eventually is_well
  restart_server
  same "$(texts)" one
}

@test "a batch that cannot be synced is refused as a whole" {
  journal_server
  say one
  fault_sync error=EIO
  run "$TOOLS/journal_probe" burst "$PORT" "$SERVER_PID" 20
  same "$status" 1
  contains "$output" '"status":503'
  mend
  eventually is_well
  restart_server
  same "$(texts)" one
}

# Checks that /healthz tells of the full disk. The server tries again each second, and may then count
# as well until the next message, so this first posts one that does not fit.
reports_full() {
  eventually 'post "{\"message\":\"$(times 4000 x)\"}" && [ "$STATUS" = 507 ] && ask /healthz &&
    [ "$STATUS" = 503 ] && jq -e ".detail | contains(\"full\")" <<<"$BODY"'
}

@test "a failed write is answered with 507 for lack of space, and with 503 otherwise" {
  journal_server
  say one k1
  fault pwrite64 error=ENOSPC
  refuses_for_now 507 two k2
  is_unwell full
  same "$(texts)" one
  mend
  eventually is_well
  fault pwrite64 error=EDQUOT
  refuses_for_now 507 two k2
  mend
  eventually is_well
  fault pwrite64 error=EIO
  refuses_for_now 503 two k2
  is_unwell written
  mend
  eventually is_well
  fault pwrite64 error=EINTR:when=1
  say two k2
  mend
  restart_server
  same "$(texts)" 'one two'
  # The refused messages have left no hole in the numbers of the records.
  "$SSECHAT" journal check "$JOURNAL" >facts
  same "$(sed -n 's/^missing //p' facts)" 0
}

@test "on a full disk, messages are refused and the error is reported; once there is space, all works again" {
  small_disk 1m
  journal_server
  head -c 970K /dev/zero >"$DISK/filler"
  listen stream ''
  fill_disk
  reports_full
  between "$(wc -l <accepted)" 5 60
  same "$(served | wc -l)" "$(wc -l <accepted)"
  same "$(events_of stream message .id | wc -l)" "$(wc -l <accepted)"
  rm "$DISK/filler"
  eventually is_well
  repeat_all accepted 200
  repeat_all refused 201
  say 'room again'
  await_text stream 'room again'
  restart_server
  same "$(served | jq -r .id | sort -u | wc -l)" $(($(wc -l <accepted) + 3))
  repeat_all accepted 200
  events_of stream message .data | cmp - <(served)
}

@test "a crash while the disk is full loses no acknowledged message" {
  small_disk 1m
  journal_server
  head -c 970K /dev/zero >"$DISK/filler"
  fill_disk
  served >before
  restart_server
  served | cmp - before
  head -c 100K /dev/zero >>"$DISK/filler" || true
  post '{"message":"perhaps"}' -H 'Idempotency-Key: perhaps'
  restart_server
  repeat_all accepted 200
  rm "$DISK/filler"
  eventually is_well
  repeat_all refused 201
  say 'room again'
  restart_server
  repeat_all accepted 200
}

@test "a journal is read at startup even if the disk is full" {
  small_disk 1m
  journal_server
  say one k1
  crash_server
  head -c 2M /dev/zero >"$DISK/filler" || true
  truncate -s 4096 "$JOURNAL" # pads the last page with zeros, so that no space is left in it
  head -c 2M /dev/zero >>"$DISK/filler" || true
  journal_server
  same "$(texts)" one
  fill_disk
  reports_full
  rm "$DISK/filler"
  eventually is_well
  say two
  restart_server
  contains "$(texts)" one
  contains "$(texts)" two
}

@test "a file at its size limit counts as a full disk and does not kill the server" {
  printf '#!/bin/bash\nulimit -S -f 64\nexec %q "$@"\n' "$SSECHAT" >limited
  chmod +x limited
  local SSECHAT=$PWD/limited
  journal_server
  fill_disk
  reports_full
  kill -0 "$SERVER_PID"
  same "$(served | wc -l)" "$(wc -l <accepted)"
  between "$(stat -c %s "$JOURNAL")" 50000 65536
  restart_server
  repeat_all accepted 200
}
