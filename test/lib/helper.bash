# shellcheck shell=bash disable=SC2034,SC2016
# Functions that the suites share: they start and stop servers, send requests, publish messages,
# read streams and check results.
#
# Each test has its own servers, on ports that the system picks, and its own folder. A test waits
# for a condition (`eventually`) instead of sleeping until it is probably true; the few sleeps let
# time pass on purpose. The teardown ends the processes that the test has left running. A sanitizer
# report in a server's log fails the test (check_log). The environment says what to test:
#
#     SSECHAT    the server (./ssechat)
#     UNIT       the folder with the test drivers of the pure modules (build/unit)
#     TOOLS      the folder with the programs that the tests use (build/tools)
#     LONG       1 to run tests in their long form, if they have one (test/run --long)
#     SANITIZED  1 if the server is a sanitizer build; a path that contains "debug" implies it

ROOT=$(realpath "${BASH_SOURCE[0]%/*}/../..")
SSECHAT=$(realpath -m "${SSECHAT:-$ROOT/ssechat}")
UNIT=$(realpath -m "${UNIT:-$ROOT/build/unit}")
TOOLS=$(realpath -m "${TOOLS:-$ROOT/build/tools}")
export LC_ALL=C.UTF-8

# Clears the variables from which the server reads options; each test sets those that it needs.
# shellcheck disable=SC2086
unset ${!SSECHAT_@}

SERVER_PID=
SERVER_COUNT=0
declare -A SERVERS=() # the logs of the running servers, by process id
CLIENTS=()            # the process ids of clients and tracers in the background

# A skipped test proves nothing, so it fails in CI; on a developer's machine it is acceptable.
if [ -n "${CI:-}" ]; then
  skip() {
    printf 'a skipped test fails in CI: %s\n' "$*" >&2
    return 1
  }
fi

# Succeeds if the server is a sanitizer build. Tests that take measurements or inspect the binary
# use only the plain build.
is_sanitized() {
  [ "${SANITIZED:-}" = 1 ] || [[ $SSECHAT == *debug* ]]
}

# Prints the first argument, or the second argument in the long form.
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

# Checks that the command succeeds and prints exactly OUTPUT.
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

# Checks that the first text contains the second.
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

# Evaluates shell code until it succeeds. Fails after 60 seconds and prints the last output. The
# limit is generous because other suites run at the same time.
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
# it listens. The limits per address are off unless the options set them, because all requests of a
# test come from one address. With INHERITS, the server has no --listen unless the options include it,
# and that many listeners in all. Sets URL, PORT, SERVER_PID and SERVER_LOG; a second call starts a
# second server and sets them anew.
start_server() {
  local listen=(--listen 127.0.0.1:0) count=1
  if [[ " $*" == *" --listen"* ]]; then
    listen=()
    count=$(grep -o -- ' --listen' <<<" $*" | wc -l)
  fi
  if [ -n "${INHERITS:-}" ]; then
    listen=() count=$INHERITS
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
  URL=$(sed -n 's/^\(<6>\)*listening on \(http:.*\)/\2/p' "$SERVER_LOG" | head -n 1)
  PORT=${URL##*:}
}

listens() {
  [ "$(grep -cE '^(<6>)?listening on ' "$SERVER_LOG")" -ge "$1" ]
}

# Starts a server with shell code in front of its name: start_through 'exec nice' [options].
start_through() {
  printf '#!/bin/sh\n%s %q "$@"\n' "$1" "$SSECHAT" >"$BATS_TEST_TMPDIR/through"
  chmod +x "$BATS_TEST_TMPDIR/through"
  local SSECHAT=$BATS_TEST_TMPDIR/through
  start_server "${@:2}"
}

# Starts a server that can open COUNT descriptors: start_limited COUNT [options].
start_limited() {
  start_through "ulimit -n $1 && exec" "${@:2}"
}

# Makes a system call of the running server fail from now on: fault CALL HOW, with HOW in strace's
# notation, such as error=EIO.
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

# Succeeds while a child runs. bash reaps children that have ended, so they cannot be signalled.
is_running() {
  kill -0 "$1" 2>/dev/null
}

# Suspends the server. What arrives from now on, it finds in one turn after `resume_server`: a
# signal takes a moment to arrive, and until then epoll_wait returns with what came first. SIGSTOP is
# bit 18 of the pending signals.
suspend_server() {
  kill -s STOP "$SERVER_PID"
  eventually 'awk "/^State:/ { stopped = \$2 ~ /^[Tt]/ } /^ShdPnd:/ { pending = \$2 ~ /[4-7c-f]....\$/ }
    END { exit !stopped || pending }" "/proc/$SERVER_PID/status"'
}

resume_server() {
  kill -s CONT "$SERVER_PID"
}

# Sends a signal to a server and checks that the server exits with 0: stop_server [SIGNAL [PID]], by
# default TERM to the server that was started last. Kills the server after 60 seconds.
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

# Fails if the log contains a report of a sanitizer or of a failed assertion in the server.
check_log() {
  ! grep -E 'ERROR: |AddressSanitizer|LeakSanitizer|runtime error|Assertion|assertion failed: ' "$1" >&2
}

# Ends every process that the test started. Continues stopped processes so that they can end.
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

# Enters the test's own folder.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  stop_all
}

# Checks that the program exits by itself with STATUS, prints one line on standard error, and prints
# nothing on standard output.
refused() { # STATUS [options]
  local status=0 expected=$1
  shift
  timeout 10 "$SSECHAT" "$@" </dev/null >out 2>err || status=$?
  same "$status ssechat $* says: $(<err)" "$expected ssechat $* says: $(grep -E '^ssechat: .{10,}' err)"
  same "$(wc -l <err) $(wc -c <out)" '1 0'
}

# ---- Resources of a server ----

# Prints the server's private memory, in kilobytes.
private_memory() {
  awk '/^Private_/ { sum += $2 } END { print sum }' "/proc/$SERVER_PID/smaps_rollup"
}

# Prints the memory that the kernel holds for the server's connections, in kilobytes: bytes received
# but not read, bytes sent but not acknowledged, and reserved memory. A connection that the server
# has closed still counts until its peer takes the last bytes.
kernel_memory() {
  ss -tmnaH "sport = :$PORT" | awk -F '[(,)]' '
    /skmem:/ {
      for (i = 2; i < NF; i++)
        if ($i ~ /^(r|f|w|o|bl)[0-9]+$/) sum += substr($i, match($i, /[0-9]/))
    }
    END { print int(sum / 1024) }'
}

# Prints the processor time that the server has used, in milliseconds.
processor_ms() {
  awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / tick) }' \
    "/proc/$SERVER_PID/stat"
}

# Prints how many descriptors the server has open.
descriptors() {
  find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l
}

# ---- Requests ----

# Sends a request for a path: ask PATH [curl options]. Sets STATUS, HEAD (without CRs) and BODY; the
# answer's body is also in the file answer.body.
ask() {
  local head=$BATS_TEST_TMPDIR/answer.head body=$BATS_TEST_TMPDIR/answer.body
  : >"$body"
  STATUS=$(curl -sS -m 30 -D "$head" -o "$body" -w '%{http_code}' "${@:2}" "$URL$1")
  HEAD=$(<"$head")
  HEAD=${HEAD//$'\r'/}
  { BODY=$(<"$body"); } 2>/dev/null # bash warns about a NUL
}

# Prints the value of a field of the last answer: nothing if the field is absent, and one line per
# value if the field is repeated.
field() {
  sed -n "s/^$1: //Ip" <<<"$HEAD"
}

# Posts a JSON body: post JSON [curl options].
post() {
  ask /messages -H 'Content-Type: application/json' --data-raw "$1" "${@:2}"
}

# Posts a JSON body and checks that it is accepted with 201; sets ID.
accepts() {
  post "$@"
  same "$STATUS" 201 || {
    printf '%s\n%s\n' "${1:0:200}" "$BODY" >&2
    return 1
  }
  ID=$(jq -r .id <<<"$BODY")
}

# Posts a JSON body and checks that it is refused: refuses STATUS JSON [curl options].
refuses() {
  post "${@:2}"
  is_problem "$1" || {
    printf 'posted: %s\n' "${2:0:200}" >&2
    return 1
  }
}

# Checks that the last answer is an error with this status, in the format of RFC 9457.
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

# Sends bytes, written with printf's escapes, in one piece over a new connection. Prints everything
# that the server sends until it closes the connection, or a note at the end if it stays open.
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
  rm -f "$1" # an older stream can still be writing to it
  curl -sN -m 120 "${@:3}" "$URL/events?$2" >"$1" 3>&- &
  CLIENT_PID=$!
  CLIENTS+=("$CLIENT_PID")
}

# Opens a stream as open_stream does, and waits for `ready`.
listen() {
  open_stream "$@"
  await "$1" ready
}

# Waits until a file contains COUNT (1) events with a name: await FILE EVENT [COUNT].
await() {
  eventually "[ \"\$(grep -c '^event: $2\$' '$1')\" -ge ${3:-1} ] || { cat '$1'; false; }"
}

# Waits until a file contains a text: await_text FILE TEXT.
await_text() {
  eventually "grep -qF -- $(printf '%q' "$2") '$1' || { cat '$1'; false; }"
}

# Waits until the server holds this many long polls. While a poll is held, the server watches its
# connection only for a close, so the kernel lists EPOLLRDHUP, EPOLLERR and EPOLLHUP (2018) for it.
await_polls() {
  eventually "[ \"\$(cat /proc/$SERVER_PID/fdinfo/* 2>/dev/null | grep -cE 'events: +2018 ')\" = $1 ]"
}

# Waits until a process in the background has ended; sets CLIENT_STATUS to its exit status.
await_end() {
  eventually "! kill -0 $1"
  CLIENT_STATUS=0
  wait "$1" || CLIENT_STATUS=$?
}

# Opens many streams and checks that all become ready: crowd COUNT PATH [SECONDS], see crowd.c. A
# '#' in PATH becomes the stream's number.
crowd() {
  start_crowd "$@"
  same "$ANSWER" "ready $1"
}

# Opens many streams as crowd does, but lets some of them get `busy`; ANSWER says how many.
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

# Sends a command to the crowd tool and waits for its answer; sets ANSWER.
tell() {
  ANSWER=
  printf '%s\n' "$1" >&"$CROWD_IN" || true
  hear
}

hear() {
  read -r -t 60 ANSWER <&"$CROWD_OUT" || ANSWER=nothing
}

# Prints the names of the events in a file, in order; a retry is shown as "retry".
names() {
  events "$1" | jq -rs 'map(.event // "retry") | join(" ")'
}

# Reads a file as an EventSource does (HTML Standard, 9.2.6) and prints one line of JSON per event:
# {"event","id","data"}; `id` is null if the block has no id. A retry becomes its own line
# {"retry"}. A block without an empty line at its end is not an event.
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

# Prints the events with one name, with `.data` decoded if it is JSON: events_of FILE EVENT
# [JQ-CODE]. Applies the code, if given, to each event.
events_of() {
  events "$1" | jq -c --arg name "$2" \
    'select(.event == $name) | .data = (.data as $text | try ($text | fromjson) catch $text) | '"${3:-.}"
}

# ---- Documents ----

# Prints the fenced blocks of one kind in a document.
blocks() { # KIND FILE
  awk -v begin="\`\`\`$1" '/^```/ { inside = $0 == begin; next } inside' "$2"
}
