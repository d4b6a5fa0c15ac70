# shellcheck shell=bash disable=SC2034,SC2016
# The words of the test files: to start and stop servers, to ask and to post, to read streams.
#
# Each test has servers of its own, on ports that the system picks, and a folder of its own. Nothing
# sleeps for a time in the hope that it is enough: `eventually` waits for a condition. What a test
# leaves running, its teardown ends, by process id. Of a sanitizer build the standard error must be
# silent.
#
#     SSECHAT    the server to test (./ssechat)
#     UNIT       the folder of the drivers of the pure modules (build/unit)
#     TOOLS      the folder of the programs that the tests use (build/tools)
#     LONG       1 for the long form of the tests that have one (test/run --long)
#     SANITIZED  1 when the server is a sanitizer build; it also is when its path says "debug"

ROOT=$(realpath "${BASH_SOURCE[0]%/*}/../..")
SSECHAT=$(realpath -m "${SSECHAT:-$ROOT/ssechat}")
UNIT=$(realpath -m "${UNIT:-$ROOT/build/unit}")
TOOLS=$(realpath -m "${TOOLS:-$ROOT/build/tools}")
export LC_ALL=C.UTF-8

# The server takes options from these; the tests say themselves which they want.
# shellcheck disable=SC2086
unset ${!SSECHAT_@}

SERVER_PID=
SERVER_COUNT=0
declare -A SERVERS=() # those that run, by process id: their logs
CLIENTS=()            # process ids of what runs in the background and reads

# A test that is skipped has shown nothing. A person may live with that; the gate may not.
if [ -n "${CI:-}" ]; then
  skip() {
    printf 'this test would be skipped: %s\n' "$*" >&2
    return 1
  }
fi

# What is measured, or read from the binary, is that of the plain build.
is_sanitized() {
  [ "${SANITIZED:-}" = 1 ] || [[ $SSECHAT == *debug* ]]
}

# The first word, or in the long form the second.
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

# The command succeeds, and writes just this.
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

# The first text has the second in it.
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

# Waits until a condition, a piece of shell, is true. When it never is, prints what it last said.
# The limit is generous, since other suites run beside this one.
eventually() {
  local seen pause=0.01 begin=$SECONDS deadline=$((SECONDS + 60))
  while ! seen=$(eval "$*" 2>&1); do
    if ((SECONDS >= deadline)); then
      printf 'never came true: %s\nit last said: %s\n' "$*" "$seen" >&2
      return 1
    fi
    sleep "$pause"
    ((SECONDS <= begin + 1)) || pause=0.05
  done
}

# ---- Servers ----

# Starts a server with these options, on a free port unless they have --listen, and waits until it
# listens. The limits of one address are off, unless the options set them: all tests come from one.
# Sets URL, PORT, SERVER_PID and SERVER_LOG. A second call starts a second server; the variables are
# then of that.
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

# Starts a server through a line of shell that stands in front of its name: start_through 'exec nice'
# [options].
start_through() {
  printf '#!/bin/sh\n%s %q "$@"\n' "$1" "$SSECHAT" >"$BATS_TEST_TMPDIR/through"
  chmod +x "$BATS_TEST_TMPDIR/through"
  local SSECHAT=$BATS_TEST_TMPDIR/through
  start_server "${@:2}"
}

# Starts a server that may have so many descriptors: start_limited COUNT [options].
start_limited() {
  start_through "ulimit -n $1 && exec" "${@:2}"
}

# From now on a system call of the server fails: fault CALL HOW, with HOW as strace has it, such as
# error=EIO.
fault() {
  : >fault.log
  strace -p "$SERVER_PID" -o fault.trace -e "trace=$1" -e "inject=$1:$2" 2>fault.log 3>&- &
  FAULT=$!
  CLIENTS+=("$FAULT")
  eventually "grep -q attached fault.log || { cat fault.log; false; }"
}

# No longer.
mend() {
  kill "$FAULT"
  wait "$FAULT" || true
}

# Whether a child still runs: bash takes note of those that ended.
is_running() {
  kill -0 "$1" 2>/dev/null
}

# Ends the server that was started last, or the one whose process id is the second argument, with a
# signal (TERM), and waits for its end, which must be a good one.
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
  check_log "$log" || status="$status, and has something to say"
  [ "$status" = 0 ] || {
    printf 'the server ended with %s\n%s\n' "$status" "$(tail -n 100 "$log")" >&2
    return 1
  }
}

# What a sanitizer has to say is a failure, whatever the test thinks.
check_log() {
  ! grep -E 'ERROR: |AddressSanitizer|LeakSanitizer|runtime error|Assertion|assertion failed: ' "$1" >&2
}

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

# Runs the program, which must end by itself with an exit code; all it says is one line on standard
# error.
refused() {
  local status=0 expected=$1
  shift
  timeout 10 "$SSECHAT" "$@" </dev/null >out 2>err || status=$?
  same "$status ssechat $* says: $(<err)" "$expected ssechat $* says: $(grep -E '^ssechat: .{10,}' err)"
  same "$(wc -l <err) $(wc -c <out)" '1 0'
}

# ---- What a server uses ----

# The memory that is the server's own, in kilobytes.
private_memory() {
  awk '/^Private_/ { sum += $2 } END { print sum }' "/proc/$SERVER_PID/smaps_rollup"
}

# The memory that the kernel holds for the server's connections, in kilobytes: what was received and
# not read, sent and not confirmed, set aside. Those that the server has closed, and whose last
# bytes nobody takes, count too.
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

# ---- Asking ----

# Asks for a path, with whatever options curl has. Sets STATUS, HEAD (its lines without CR) and
# BODY; the answer's body is also in the file answer.body.
ask() {
  local head=$BATS_TEST_TMPDIR/answer.head body=$BATS_TEST_TMPDIR/answer.body
  : >"$body"
  STATUS=$(curl -sS -m 30 -D "$head" -o "$body" -w '%{http_code}' "${@:2}" "$URL$1")
  HEAD=$(<"$head")
  HEAD=${HEAD//$'\r'/}
  { BODY=$(<"$body"); } 2>/dev/null # bash has a word to say when there is a NUL
}

# The value of a field of the last answer, empty when it has none; of several, each on a line.
field() {
  sed -n "s/^$1: //Ip" <<<"$HEAD"
}

# Posts a JSON body; more arguments are curl's.
post() {
  ask /messages -H 'Content-Type: application/json' --data-raw "$1" "${@:2}"
}

# Posts what must be accepted; sets ID.
accepts() {
  post "$@"
  same "$STATUS" 201 || {
    printf '%s\n%s\n' "${1:0:200}" "$BODY" >&2
    return 1
  }
  ID=$(jq -r .id <<<"$BODY")
}

# Posts what must be refused with a status.
refuses() {
  post "${@:2}"
  is_problem "$1" || {
    printf 'posted: %s\n' "${2:0:200}" >&2
    return 1
  }
}

# The last answer is an error as RFC 9457 has it, with a status.
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

# The JSON string of a text.
quote() {
  jq -Rs . < <(printf '%s' "$1")
}

# A text, a number of times.
times() {
  yes "$2" | head -n "$1" | tr -d '\n'
}

# Sends bytes, written as printf writes them, in one piece over a connection of their own, and prints
# what comes back up to the close. The server must be the one to close.
raw() {
  local connection request=$BATS_TEST_TMPDIR/request
  printf '%b' "$1" >"$request" # bash would send it line by line
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  cat "$request" >&"$connection"
  timeout 20 cat <&"$connection" || printf '\n(the server does not close)\n'
  exec {connection}>&-
}

# ---- Streams ----

# Opens a stream and writes it to a file as it comes: open_stream FILE QUERY [curl options]. Sets
# CLIENT_PID.
open_stream() {
  rm -f "$1" # an older stream may still write to it
  curl -sN -m 120 "${@:3}" "$URL/events?$2" >"$1" 3>&- &
  CLIENT_PID=$!
  CLIENTS+=("$CLIENT_PID")
}

# The same, and waits until it is ready.
listen() {
  open_stream "$@"
  await "$1" ready
}

# Waits until a file has so many events of a name: await FILE EVENT [COUNT].
await() {
  eventually "[ \"\$(grep -c '^event: $2\$' '$1')\" -ge ${3:-1} ] || { cat '$1'; false; }"
}

# Waits until a file has a text.
await_text() {
  eventually "grep -qF -- $(printf '%q' "$2") '$1' || { cat '$1'; false; }"
}

# Waits until the server holds so many long polls: from then on it watches their connections for
# their end only, which is EPOLLRDHUP, EPOLLERR and EPOLLHUP.
await_polls() {
  eventually "[ \"\$(cat /proc/$SERVER_PID/fdinfo/* 2>/dev/null | grep -cE 'events: +2018 ')\" = $1 ]"
}

# Waits until a client in the background has ended; its status is in CLIENT_STATUS.
await_end() {
  eventually "! kill -0 $1"
  CLIENT_STATUS=0
  wait "$1" || CLIENT_STATUS=$?
}

# Opens many streams: crowd COUNT PATH [SECONDS], see crowd.c. A '#' in PATH is the stream's number.
crowd() {
  start_crowd "$@"
  same "$ANSWER" "ready $1"
}

# The same, but some may be told that the server is too busy; ANSWER says how many.
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

# Gives the crowd a command; its answer is in ANSWER.
tell() {
  ANSWER=
  printf '%s\n' "$1" >&"$CROWD_IN" || true
  hear
}

hear() {
  read -r -t 60 ANSWER <&"$CROWD_OUT" || ANSWER=nothing
}

# The names of a file's events in their order, "retry" for a retry.
names() {
  events "$1" | jq -rs 'map(.event // "retry") | join(" ")'
}

# What an EventSource makes of a file (HTML Standard, 9.2.6), one line of JSON for each event:
# {"event","id","data"}; `id` is null when that block had none. A retry is a line {"retry"} of its
# own. What is not ended by an empty line is no event.
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

# Those of one name, or with jq code as a third argument what that makes of them: `.data` is then
# decoded.
events_of() {
  events "$1" | jq -c --arg name "$2" \
    'select(.event == $name) | .data = (.data as $text | try ($text | fromjson) catch $text) | '"${3:-.}"
}
