# shellcheck shell=bash disable=SC2034,SC2154
# Functions for tests of the journal: they crash servers, start them again on the same file, read
# back what is served, trace system calls and tamper with them, and fill disks. Load this after
# helper.bash.

DISK=  # the small file system that the test has mounted, if any
FAULT= # the process id of the strace that makes system calls fail

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

# Ends the server with SIGKILL and checks that its log contains no report of a sanitizer.
crash_server() {
  local pid=$SERVER_PID status=0
  kill -s KILL "$pid"
  wait "$pid" 2>/dev/null || status=$?
  same "$status" 137
  SERVER_PID=
  unset "SERVERS[$pid]"
  check_log "$SERVER_LOG"
}

# Crashes the server and starts one with these options on the same journal.
restart_server() {
  crash_server
  journal_server "$@"
}

# Checks that a server refuses its journal in one sentence and exits with 1; sets OUTPUT.
refuses_to_start() {
  local status=0
  OUTPUT=$("$SSECHAT" --listen 127.0.0.1:0 "$@" 2>&1 </dev/null) || status=$?
  same "$status" 1
  same "$(wc -l <<<"$OUTPUT")" 1
  contains "$OUTPUT" 'ssechat: --journal '
}

# Prints the number of bytes above which a journal is compacted; the debug build has a lower limit.
compact_bytes() {
  is_sanitized && echo 65536 || echo 2097152
}

# Waits until the server reports that it has compacted its journal.
compacted() {
  eventually "grep -q compacted=1 '$SERVER_LOG'"
}

# Prints the process ids of this test's server and of the children that work on its journal.
journal_processes() {
  pgrep -f -- "--journal $JOURNAL" || true
}

# ---- What is served ----

# Prints all messages of a room (the lobby) as JSON, read page by page.
served() {
  local page query=after=0-0
  while [ -n "$query" ]; do
    page=$(curl -sS -m 30 "$URL/messages?room=${1:-lobby}&limit=500&$query")
    jq -c '.messages[]' <<<"$page"
    query=$(jq -r 'if .more then "after=" + .newest else "" end' <<<"$page")
  done
}

# Prints the newest message of the lobby.
newest() {
  curl -sS -m 30 "$URL/messages?limit=1" | jq -c '.messages[]'
}

# Prints the texts of a room's messages, in one line.
texts() {
  served "$@" | jq -r '.message // .data' | paste -sd ' '
}

# Publishes a text, with an idempotency key if given: say TEXT [KEY [ROOM]]. Sets ID.
say() {
  local key=()
  [ -z "${2:-}" ] || key=(-H "Idempotency-Key: $2")
  accepts "{\"room\":\"${3:-lobby}\",\"message\":\"$1\"}" "${key[@]}"
}

# Publishes a text again and checks that the answer has the id of the first message: repeats TEXT
# KEY ID [ROOM].
repeats() {
  post "{\"room\":\"${4:-lobby}\",\"message\":\"$1\"}" -H "Idempotency-Key: $2"
  same "$STATUS" 200
  same "$(jq -r .id <<<"$BODY")" "$3"
}

# Resumes a stream: resume ROOM ID. Sets REASON to the reason of its gap, or to "none"; the events
# are in the file `resumed`.
resume() {
  listen resumed "room=$1&last_event_id=$2"
  REASON=$(events_of resumed gap .data.reason | jq -r .)
  REASON=${REASON:-none}
  kill "$CLIENT_PID"
}

# Succeeds if /healthz reports that the server is well; otherwise sets DETAIL to the reason.
is_well() {
  ask /healthz
  DETAIL=$(jq -r '.detail // ""' <<<"$BODY")
  [ "$STATUS" = 200 ]
}

# Checks that /healthz answers 503 with this text in its detail, and with Retry-After.
is_unwell() {
  ask /healthz
  is_problem 503
  contains "$(jq -r .detail <<<"$BODY")" "$1"
  [ -n "$(field Retry-After)" ]
}

# Checks that a POST is refused with a Retry-After: refuses_for_now STATUS TEXT [KEY].
refuses_for_now() {
  refuses "$1" "{\"message\":\"$2\"}" -H "Idempotency-Key: ${3:-none}"
  [ "$(field Retry-After)" -ge 1 ]
}

# Publishes BYTES bytes of text, for tests in which only the size counts: bulk BYTES [ROOM [curl
# options]]. Sets STATUS and BODY.
bulk() {
  local file=bulk.$1
  [ -f "$file" ] || printf '{"room":"%s","data":"%s"}' "${2:-lobby}" "$(times "$1" x)" >"$file"
  ask /messages -H 'Content-Type: application/json' --data-binary "@$file" "${@:3}"
}

# ---- Traces and faults ----

# Starts a server under strace, with strace's options in the first argument; the trace is in the
# file `trace`. The leak checker is off because it cannot work in a traced process.
start_under_strace() {
  ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
    start_through "exec strace -D -o '$PWD/trace' $1" "${@:2}"
}

# Starts a server and traces the system calls with these names, including all of their data.
traced_server() {
  start_under_strace "-s 1000000 -e trace=$1" "${@:2}"
}

# Starts a server and tampers with a system call in the server and its children: CALL:WHAT in
# strace's notation. fdatasync:delay_enter=30000 simulates a slow disk.
injected_server() {
  start_under_strace "-f -e trace=${1%%:*} -e inject=$1" "${@:2}"
}

# Makes syncs fail until mend: fault_sync WHAT [CALL...], in strace's notation; each CALL fails too.
# The kernel refuses to sync in the background, so from now on the server syncs in its loop.
fault_sync() {
  local calls=fdatasync call
  for call in "${@:2}"; do
    calls+=,$call
  done
  : >fault.log
  strace -p "$SERVER_PID" -o fault.trace -e "trace=io_submit,$calls" -e inject=io_submit:error=EAGAIN \
    -e "inject=$calls:$1" 2>fault.log 3>&- &
  FAULT=$!
  CLIENTS+=("$FAULT")
  eventually "grep -q attached fault.log || { cat fault.log; false; }"
}

# Starts a server whose disk can be made slow or fail (tools/disk.c), on this test's journal.
# disk NAME=VALUE... sets what happens.
disk_server() {
  local SSECHAT
  SSECHAT=$(disk_build)
  disk clock_ms="${CLOCK_MS:-0}"
  DISK=$PWD/control journal_server "$@"
}

disk() {
  "$TOOLS/disk_set" control "$@"
}

# Prints the path of the disk build that belongs to the build under test.
disk_build() {
  is_sanitized && echo "$ROOT/build/debug/disk/ssechat" || echo "$ROOT/build/disk/ssechat"
}

# Prints how often a system call occurs in the trace.
calls() {
  grep -c "^$1(" trace || true
}

# ---- Disks ----

# Mounts a small disk at DISK and puts the journal on it: small_disk SIZE.
small_disk() {
  mkdir -p "$BATS_TEST_TMPDIR/disk"
  mount -t tmpfs -o "size=$1,mode=700" ssechat-test "$BATS_TEST_TMPDIR/disk" || {
    printf 'this test mounts a small tmpfs, which is not permitted here: run it as root\n' >&2
    return 1
  }
  DISK=$BATS_TEST_TMPDIR/disk
  JOURNAL=$DISK/journal
}

# Publishes messages with keys until the disk is full, first large ones, then small ones. The files
# `accepted` and `refused` then contain a line "KEY ID SIZE" for each message; the ID of a refused
# message is "-".
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

# Repeats the POSTs listed in a file of fill_disk: repeat_all FILE STATUS. Checks that each message
# gets the status and, if it was accepted before, its earlier id.
repeat_all() {
  local key id size
  while read -r key id size; do
    post "{\"message\":\"$(times "$size" x) ${key#key-}\"}" -H "Idempotency-Key: $key"
    same "$STATUS" "$2"
    [ "$id" = - ] || contains "$BODY" "\"id\":\"$id\""
  done <"$1"
}
