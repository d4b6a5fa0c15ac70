# shellcheck shell=bash disable=SC2034,SC2154
# More words, for the tests of the journal: to crash servers and start them again on the same
# journal, to make system calls fail, to look at traces, to fill disks.

DISK=  # a small file system that is mounted, if there is one
FAULT= # the process that makes system calls fail

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  JOURNAL=$BATS_TEST_TMPDIR/journal
}

teardown() {
  local failed=0
  stop_all || failed=1
  if [ -n "$DISK" ]; then
    umount "$DISK" || failed=1
  fi
  return "$failed"
}

# ---- Servers that crash ----

journal_server() {
  start_server --journal "$JOURNAL" "$@"
}

# Ends the server with SIGKILL.
crash_server() {
  local pid=$SERVER_PID status=0
  kill -s KILL "$pid"
  wait "$pid" 2>/dev/null || status=$?
  same "$status" 137
  SERVER_PID=
  unset "SERVERS[$pid]"
  check_log "$SERVER_LOG"
}

# Crashes the server and starts it again with these options.
restart_server() {
  crash_server
  journal_server "$@"
}

# A program that must not start: its words are in OUTPUT.
refuses_to_start() {
  local status=0
  OUTPUT=$("$SSECHAT" --listen 127.0.0.1:0 "$@" 2>&1 </dev/null) || status=$?
  same "$status" 1
  same "$(wc -l <<<"$OUTPUT")" 1
  contains "$OUTPUT" 'ssechat: --journal '
}

# How many bytes are many for a journal: a compaction comes when it has more.
compact_bytes() {
  is_sanitized && echo 65536 || echo 2097152
}

compacted() {
  eventually "grep -q compacted=1 '$SERVER_LOG'"
}

# The server's processes that work on this test's journal.
journal_processes() {
  pgrep -f -- "--journal $JOURNAL" || true
}

# ---- What is served ----

# All messages of a room, as JSON, read page by page.
served() {
  local page query=after=0-0
  while [ -n "$query" ]; do
    page=$(curl -sS -m 30 "$URL/messages?room=${1:-lobby}&limit=500&$query")
    jq -c '.messages[]' <<<"$page"
    query=$(jq -r 'if .more then "after=" + .newest else "" end' <<<"$page")
  done
}

# The newest message of the lobby.
newest() {
  curl -sS -m 30 "$URL/messages?limit=1" | jq -c '.messages[]'
}

# Their texts, in one line.
texts() {
  served "$@" | jq -r '.message // .data' | paste -sd ' '
}

# Publishes a text with a key, to a room; sets ID.
say() {
  local key=()
  [ -z "${2:-}" ] || key=(-H "Idempotency-Key: $2")
  accepts "{\"room\":\"${3:-lobby}\",\"message\":\"$1\"}" "${key[@]}"
}

# The same with a key that was used: answered with an id.
repeats() {
  post "{\"room\":\"${4:-lobby}\",\"message\":\"$1\"}" -H "Idempotency-Key: $2"
  same "$STATUS" 200
  same "$(jq -r .id <<<"$BODY")" "$3"
}

# What a stream says first to somebody who has read up to an id: REASON is that of the gap, or
# "none". Its events are in the file resumed.
resume() {
  listen resumed "room=$1&last_event_id=$2"
  REASON=$(events_of resumed gap .data.reason | jq -r .)
  REASON=${REASON:-none}
  kill "$CLIENT_PID"
}

# Whether the server is well; DETAIL says why not.
is_well() {
  ask /healthz
  DETAIL=$(jq -r '.detail // ""' <<<"$BODY")
  [ "$STATUS" = 200 ]
}

# The server says that something is wrong, and so does a POST.
is_unwell() {
  ask /healthz
  is_problem 503
  contains "$(jq -r .detail <<<"$BODY")" "$1"
  [ -n "$(field Retry-After)" ]
}

# A POST is refused with a status and told when to come again.
refuses_for_now() {
  refuses "$1" "{\"message\":\"$2\"}" -H "Idempotency-Key: ${3:-none}"
  [ "$(field Retry-After)" -ge 1 ]
}

# Bytes of a large text, for POSTs whose size is what counts.
bulk() {
  local file=bulk.$1
  [ -f "$file" ] || printf '{"room":"%s","data":"%s"}' "${2:-lobby}" "$(times "$1" x)" >"$file"
  ask /messages -H 'Content-Type: application/json' --data-binary "@$file" "${@:3}"
}

# ---- Traces and faults ----

# Starts a server through strace, whose options are the first word; it writes the file trace.
start_under_strace() {
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
    start_through "exec strace -D -o '$PWD/trace' $1" "${@:2}"
}

# The same for system calls of these names, whole.
traced_server() {
  start_under_strace "-s 1000000 -e trace=$1" "${@:2}"
}

# The same for what is done, to the server or its child, at a system call, CALL:WHAT in strace's
# words: fdatasync:delay_enter=30000 is a slow disk.
injected_server() {
  start_under_strace "-f -e trace=${1%%:*} -e inject=$1" "${@:2}"
}

# How often a call stands in the trace.
calls() {
  grep -c "^$1(" trace || true
}

# ---- Disks ----

# Mounts a small disk at DISK; the journal goes there.
small_disk() {
  mkdir -p "$BATS_TEST_TMPDIR/disk"
  mount -t tmpfs -o "size=$1,mode=700" ssechat-test "$BATS_TEST_TMPDIR/disk" || {
    printf 'this test mounts a small tmpfs, which is not permitted here: run it as root\n' >&2
    return 1
  }
  DISK=$BATS_TEST_TMPDIR/disk
  JOURNAL=$DISK/journal
}

# Publishes with keys until the disk is full, first much at a time, then little. What was
# acknowledged is in the file accepted, what was refused in refused, "KEY ID" and "KEY".
fill_disk() {
  local n=0 size
  : >accepted
  : >refused
  for size in 4000 10; do
    STATUS=201
    while [ "$STATUS" = 201 ] && ((++n < 500)); do
      post "{\"message\":\"$(times "$size" x) $n\"}" -H "Idempotency-Key: key-$n"
      if [ "$STATUS" = 201 ]; then
        [[ $BODY =~ \"id\":\"([^\"]+)\" ]]
        printf 'key-%s %s %s\n' "$n" "${BASH_REMATCH[1]}" "$size" >>accepted
      fi
    done
    printf 'key-%s - %s\n' "$n" "$size" >>refused
    is_problem 507
    [ "$(field Retry-After)" -ge 1 ]
  done
}

# Repeats what was accepted or refused: each must get this status, and its own id if it had one.
repeat_all() {
  local key id size
  while read -r key id size; do
    post "{\"message\":\"$(times "$size" x) ${key#key-}\"}" -H "Idempotency-Key: $key"
    same "$STATUS" "$2"
    [ "$id" = - ] || contains "$BODY" "\"id\":\"$id\""
  done <"$1"
}
