# shellcheck shell=bash disable=SC2034,SC2016
# Functions that the suites share: they start and stop servers, send requests, publish messages and
# read streams; and the assertions.
#
# Each test has its own servers, on ports that the system picks, and its own folder. A test waits
# for a condition (`eventually`) instead of sleeping until it is probably true; the few sleeps let
# time pass on purpose. The teardown ends what the test has left running, by process id. A report of
# a sanitizer in a server's log fails the test (check_log). The environment says what to test:
#
#     SSECHAT    the server (./ssechat)
#     UNIT       the folder of the drivers of the pure modules (build/unit)
#     TOOLS      the folder of the programs that the tests use (build/tools)
#     LONG       1 for the long form of the tests that have one (test/run --long)
#     SANITIZED  1 if the server is a sanitizer build; a path that contains "debug" says so, too

ROOT=$(realpath "${BASH_SOURCE[0]%/*}/../..")
SSECHAT=$(realpath -m "${SSECHAT:-$ROOT/ssechat}")
UNIT=$(realpath -m "${UNIT:-$ROOT/build/unit}")
TOOLS=$(realpath -m "${TOOLS:-$ROOT/build/tools}")
export LC_ALL=C.UTF-8

# The server reads options from variables of this name; each test sets those that it wants.
# shellcheck disable=SC2086
unset ${!SSECHAT_@}

SERVER_PID=
SERVER_COUNT=0
declare -A SERVERS=() # the logs of the running servers, by process id
CLIENTS=()            # the process ids of clients and tracers in the background

# A skipped test has proved nothing. On a person's machine that is acceptable; in CI it is a
# failure.
if [ -n "${CI:-}" ]; then
  skip() {
    printf 'a skipped test fails in CI: %s\n' "$*" >&2
    return 1
  }
fi

# Whether the server is a sanitizer build. Tests that measure, or that inspect the binary, do so
# with the plain build only.
is_sanitized() {
  [ "${SANITIZED:-}" = 1 ] || [[ $SSECHAT == *debug* ]]
}

# Prints the first argument, or in the long form the second.
scaled() {
  if [ "${LONG:-}" = 1 ]; then echo "$2"; else echo "$1"; fi
}

# ---- Assertions ----

same() {
  [ "$1" = "$2" ] || {
    printf 'seen:     %s\nexpected: %s\n' "$1" "$2" >&2
    return 1
  }
}

# The command must succeed and print exactly OUTPUT.
expect() { # OUTPUT COMMAND...
  local expected=$1
  shift
  run "$@"
  # shellcheck disable=SC2154  # run sets them
  if [ "$status" -ne 0 ] || [ "$output" != "$expected" ]; then
    printf '%s\n' "$*" "expected 0: $expected" "got $status: $output"
    return 1
  fi
}

# The first text must contain the second.
contains() {
  [[ $1 == *"$2"* ]] || {
    printf 'seen:     %s\nexpected: %s\n' "$1" "… $2 …" >&2
    return 1
  }
}

lacks() {
  [[ $1 != *"$2"* ]] || {
    printf 'seen:         %s\nnot expected: %s\n' "$1" "$2" >&2
    return 1
  }
}

between() {
  (($2 <= $1 && $1 <= $3)) || {
    printf 'seen:     %s\nexpected: from %s to %s\n' "$1" "$2" "$3" >&2
    return 1
  }
}

# Evaluates a piece of shell until it succeeds. After 60 seconds it fails and prints the last
# output. The limit is generous because other suites run at the same time.
eventually() {
  local seen pause=0.01 begin=$SECONDS deadline=$((SECONDS + 60))
  while ! seen=$(eval "$*" 2>&1); do
    if ((SECONDS >= deadline)); then
      printf 'still false after 60 seconds: %s\nits last output: %s\n' "$*" "$seen" >&2
      return 1
    fi
    sleep "$pause"
    ((SECONDS <= begin + 1)) || pause=0.05
  done
}

# ---- Servers ----

# Starts a server with these options, on a free port unless they include --listen, and waits until
# it listens. The limits of one address are off unless the options set them, because all requests of
# a test come from one address. Sets URL, PORT, SERVER_PID and SERVER_LOG. A second call starts a
# second server, and the variables are then about that one.
start_server() {
  local listen=(--listen 127.0.0.1:0) count=1
  if [[ " $*" == *" --listen"* ]]; then
    listen=()
    count=$(grep -o -- ' --listen' <<<" $*" | wc -l)
  fi
  SERVER_COUNT=$((SERVER_COUNT + 1))
  SERVER_LOG=$BATS_TEST_TMPDIR/server.$SERVER_COUNT.log
  : >"$SERVER_LOG"
  "$SSECHAT" --max-streams-per-ip 0 --post-rate 0 "${listen[@]}" "$@" </dev/null >/dev/null 2>"$SERVER_LOG" 3>&- &
  SERVER_PID=$!
  SERVERS[$SERVER_PID]=$SERVER_LOG
  until listens "$count"; do
    is_running "$SERVER_PID" || listens "$count" || {
      printf 'the server did not start: %s\n' "$(<"$SERVER_LOG")" >&2
      return 1
    }
    sleep 0.01
  done
  URL=$(sed -n 's/^listening on \(http:.*\)/\1/p' "$SERVER_LOG" | head -n 1)
  PORT=${URL##*:}
}

listens() {
  [ "$(grep -c '^listening on ' "$SERVER_LOG")" -ge "$1" ]
}

# Starts a server through a piece of shell that precedes its name: start_through 'exec nice'
# [options].
start_through() {
  printf '#!/bin/sh\n%s %q "$@"\n' "$1" "$SSECHAT" >"$BATS_TEST_TMPDIR/through"
  chmod +x "$BATS_TEST_TMPDIR/through"
  local SSECHAT=$BATS_TEST_TMPDIR/through
  start_server "${@:2}"
}

# Starts a server that may have COUNT descriptors: start_limited COUNT [options].
start_limited() {
  start_through "ulimit -n $1 && exec" "${@:2}"
}

# Makes a system call of the running server fail from now on: fault CALL HOW, with HOW in strace's
# words, such as error=EIO.
fault() {
  : >fault.log
  strace -p "$SERVER_PID" -o fault.trace -e "trace=$1" -e "inject=$1:$2" 2>fault.log 3>&- &
  FAULT=$!
  CLIENTS+=("$FAULT")
  eventually "grep -q attached fault.log || { cat fault.log; false; }"
}

# Ends the fault: the system call works again.
mend() {
  kill "$FAULT"
  wait "$FAULT" || true
}

# Whether a child still runs. bash reaps the children that have ended, so they cannot be signalled.
is_running() {
  kill -0 "$1" 2>/dev/null
}

# Ends the server that was started last, or the one whose process id is the second argument, with a
# signal (TERM) and waits for its exit, whose status must be 0. After 60 seconds the server is
# killed.
stop_server() {
  local signal=${1:-TERM} pid=${2:-$SERVER_PID} status=0 log deadline=$((SECONDS + 60))
  [ -n "$pid" ] || return 0
  log=${SERVERS[$pid]}
  unset "SERVERS[$pid]"
  [ "$pid" != "$SERVER_PID" ] || SERVER_PID=
  kill -s "$signal" "$pid" 2>/dev/null || true
  while is_running "$pid" && ((SECONDS < deadline)); do
    sleep 0.01
  done
  ! is_running "$pid" || kill -s KILL "$pid"
  wait "$pid" || status=$?
  check_log "$log" || status="$status, and its log reports an error"
  [ "$status" = 0 ] || {
    printf 'the server exited with %s\n%s\n' "$status" "$(tail -n 100 "$log")" >&2
    return 1
  }
}

# The report of a sanitizer, or of an assertion in the server, is a failure in every test.
check_log() {
  ! grep -E 'ERROR: |AddressSanitizer|LeakSanitizer|runtime error|Assertion|assertion failed: ' "$1" >&2
}

# Ends all that the test has started. A stopped process is continued first, or it would not end.
stop_all() {
  local pid failed=0
  for pid in "${CLIENTS[@]}"; do
    kill -s CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
  done
  CLIENTS=()
  for pid in "${!SERVERS[@]}"; do
    kill -s CONT "$pid" 2>/dev/null || true
    stop_server TERM "$pid" || failed=1
  done
  return "$failed"
}

# Each test works in its own folder.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  stop_all
}

# Runs the program, which must exit by itself with STATUS and print one line on standard error, and
# nothing on standard output.
refused() { # STATUS [options]
  local status=0 expected=$1
  shift
  timeout 10 "$SSECHAT" "$@" </dev/null >out 2>err || status=$?
  same "$status ssechat $* says: $(<err)" "$expected ssechat $* says: $(grep -E '^ssechat: .{10,}' err)"
  same "$(wc -l <err) $(wc -c <out)" '1 0'
}

# ---- Resources of a server ----

# The memory that only the server uses, in kilobytes.
private_memory() {
  awk '/^Private_/ { sum += $2 } END { print sum }' "/proc/$SERVER_PID/smaps_rollup"
}

# The memory that the kernel holds for the server's connections, in kilobytes: bytes received and
# not read, sent and not acknowledged, and memory set aside. A connection that the server has closed
# also counts while its peer does not take the last bytes.
kernel_memory() {
  ss -tmnaH "sport = :$PORT" | awk -F '[(,)]' '
    /skmem:/ {
      for (i = 2; i < NF; i++)
        if ($i ~ /^(r|f|w|o|bl)[0-9]+$/) sum += substr($i, match($i, /[0-9]/))
    }
    END { print int(sum / 1024) }'
}

# The processor time that the server has used, in milliseconds.
processor_ms() {
  awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / tick) }' \
    "/proc/$SERVER_PID/stat"
}

# How many descriptors the server has open.
descriptors() {
  find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l
}

# ---- Requests ----

# Sends a request for a path: ask PATH [curl options]. Sets STATUS, HEAD (its lines without CR) and
# BODY; the answer's body is also in the file answer.body.
ask() {
  local head=$BATS_TEST_TMPDIR/answer.head body=$BATS_TEST_TMPDIR/answer.body
  : >"$body"
  STATUS=$(curl -sS -m 30 -D "$head" -o "$body" -w '%{http_code}' "${@:2}" "$URL$1")
  HEAD=$(<"$head")
  HEAD=${HEAD//$'\r'/}
  { BODY=$(<"$body"); } 2>/dev/null # bash warns about a NUL
}

# The value of a field of the last answer. It is empty when the field is absent; a repeated field
# gives a line for each value.
field() {
  sed -n "s/^$1: //Ip" <<<"$HEAD"
}

# Posts a JSON body: post JSON [curl options].
post() {
  ask /messages -H 'Content-Type: application/json' --data-raw "$1" "${@:2}"
}

# Posts a JSON body that must be accepted with 201; sets ID.
accepts() {
  post "$@"
  same "$STATUS" 201 || {
    printf '%s\n%s\n' "${1:0:200}" "$BODY" >&2
    return 1
  }
  ID=$(jq -r .id <<<"$BODY")
}

# Posts a JSON body that must be refused: refuses STATUS JSON [curl options].
refuses() {
  post "${@:2}"
  is_problem "$1" || {
    printf 'posted: %s\n' "${2:0:200}" >&2
    return 1
  }
}

# The last answer must be an error with this status, in the format of RFC 9457.
is_problem() {
  same "$STATUS" "$1" || {
    printf '%s\n' "$BODY" >&2
    return 1
  }
  same "$(field Content-Type)" application/problem+json &&
    same "$(jq -c 'keys_unsorted == ["type", "title", "status", "detail"]
    and .type == "about:blank" and .status == '"$1"'
    and (.title | length > 2) and (.detail | length > 20)' <<<"$BODY")" true
}

# Prints a text as a JSON string.
quote() {
  jq -Rs . < <(printf '%s' "$1")
}

# Prints a text COUNT times: times COUNT TEXT.
times() {
  yes "$2" | head -n "$1" | tr -d '\n'
}

# Sends bytes, given with printf's escapes, in one piece over a new connection, and prints all that
# the server sends until it closes the connection, which it must.
raw() {
  local connection request=$BATS_TEST_TMPDIR/request
  printf '%b' "$1" >"$request" # a file, because bash itself would send it line by line
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  cat "$request" >&"$connection"
  timeout 20 cat <&"$connection" || printf '\n(the server does not close the connection)\n'
  exec {connection}>&-
}

# ---- Streams ----

# Opens a stream and writes it to a file as it arrives: open_stream FILE QUERY [curl options]. Sets
# CLIENT_PID.
open_stream() {
  rm -f "$1" # an older stream may still write to it
  curl -sN -m 120 "${@:3}" "$URL/events?$2" >"$1" 3>&- &
  CLIENT_PID=$!
  CLIENTS+=("$CLIENT_PID")
}

# The same, and waits for `ready`.
listen() {
  open_stream "$@"
  await "$1" ready
}

# Waits until a file contains COUNT (1) events of a name: await FILE EVENT [COUNT].
await() {
  eventually "[ \"\$(grep -c '^event: $2\$' '$1')\" -ge ${3:-1} ] || { cat '$1'; false; }"
}

# Waits until a file contains a text: await_text FILE TEXT.
await_text() {
  eventually "grep -qF -- $(printf '%q' "$2") '$1' || { cat '$1'; false; }"
}

# Waits until the server holds this many long polls. It watches the connection of a held poll only
# for its end, so the kernel shows EPOLLRDHUP, EPOLLERR and EPOLLHUP (2018) for it.
await_polls() {
  eventually "[ \"\$(cat /proc/$SERVER_PID/fdinfo/* 2>/dev/null | grep -cE 'events: +2018 ')\" = $1 ]"
}

# Waits until a process in the background has ended; sets CLIENT_STATUS to its exit status.
await_end() {
  eventually "! kill -0 $1"
  CLIENT_STATUS=0
  wait "$1" || CLIENT_STATUS=$?
}

# Opens many streams, all of which must become ready: crowd COUNT PATH [SECONDS], see crowd.c. A '#'
# in PATH becomes the stream's number.
crowd() {
  start_crowd "$@"
  same "$ANSWER" "ready $1"
}

# The same, but some streams may get `busy`; ANSWER says how many.
start_crowd() {
  local folder=$BATS_TEST_TMPDIR
  rm -f "$folder/crowd.in" "$folder/crowd.out"
  mkfifo "$folder/crowd.in" "$folder/crowd.out"
  "$TOOLS/crowd" "$PORT" "$@" <"$folder/crowd.in" >"$folder/crowd.out" 3>&- &
  CROWD_PID=$!
  CLIENTS+=("$CROWD_PID")
  exec {CROWD_IN}>"$folder/crowd.in" {CROWD_OUT}<"$folder/crowd.out"
  hear
}

# Gives the crowd a command and waits for its answer, which is then in ANSWER.
tell() {
  ANSWER=
  printf '%s\n' "$1" >&"$CROWD_IN" || true
  hear
}

hear() {
  read -r -t 60 ANSWER <&"$CROWD_OUT" || ANSWER=nothing
}

# The names of the events in a file, in their order; a retry is shown as "retry".
names() {
  events "$1" | jq -rs 'map(.event // "retry") | join(" ")'
}

# Reads a file as an EventSource does (HTML Standard, 9.2.6) and prints a line of JSON for each
# event: {"event","id","data"}; `id` is null when the block has none. A retry is a line {"retry"} of
# its own. A block that no empty line has ended is not an event.
events() {
  jq -Rsc '
    def cut($at): if . == "" then . else split($at)[] end;
    def field($name; $value):
      if $name == "event" then .event = $value
      elif $name == "data" then .data += $value + "\n"
      elif $name == "id" and ($value | explode | all(. > 0)) then .id = $value
      elif $name == "retry" and ($value | test("^[0-9]+$")) then .out += [{retry: ($value | tonumber)}]
      else . end;
    def dispatch:
      (if .data != "" then
        .out += [{event: (if .event == "" then "message" else .event end), id, data: .data[:-1]}]
      else . end) | .event = "" | .id = null | .data = "";
    def line($line):
      if $line == "" then dispatch
      elif $line[:1] == ":" then .
      else ($line | index(":")) as $colon
        | if $colon == null then field($line; "")
          else field($line[:$colon]; $line[$colon + 1:] | if .[:1] == " " then .[1:] else . end) end
      end;
    ltrimstr("\ufeff")
    | reduce ([cut("\r\n") | cut("\r") | cut("\n")][:-1][]) as $line
        ({event: "", id: null, data: "", out: []}; line($line))
    | .out[]' "$1"
}

# The events of one name, with `.data` decoded where it is JSON: events_of FILE EVENT [JQ-CODE]. The
# code, if given, is applied to each event.
events_of() {
  events "$1" | jq -c --arg name "$2" \
    'select(.event == $name) | .data = (.data as $text | try ($text | fromjson) catch $text) | '"${3:-.}"
}
