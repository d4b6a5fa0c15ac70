#!/usr/bin/env bats
# What the server needs from the machine, and does to it: a log that is not read, descriptors that
# are closed or few, children, memory.
#
# Tests that enter namespaces or a control group must run as root.
# shellcheck disable=SC1083,SC2001,SC2004,SC2016,SC2030,SC2031,SC2034,SC2094,SC2153,SC2154
#
# seconds: 40

bats_require_minimum_version 1.5.0
load lib/helper
load lib/journal

# ---- Servers ----

# Starts a server on the unix socket `socket`, with its standard error in a file, or on a descriptor of
# this shell: start_quiet FILE|FD COMMAND... The command is the server, or a program that executes it.
start_quiet() {
  local error=$1
  shift
  if [[ $error == [0-9]* ]]; then
    "$@" --listen "unix:$PWD/socket" </dev/null >/dev/null 2>&"$error" 3>&- &
  else
    "$@" --listen "unix:$PWD/socket" </dev/null >/dev/null 2>"$error" 3>&- &
  fi
  SERVER_PID=$!
  SERVERS[$SERVER_PID]=/dev/null
  URL=http://localhost
  eventually 'curl -sf --unix-socket socket http://localhost/healthz'
}

# Sends COUNT requests, each over its own connection, so that each makes a debug line; checks that
# all are answered.
requests() {
  curl -sS -m 20 --unix-socket socket -H 'Connection: close' -o /dev/null -w '%{http_code}\n' \
    "http://localhost/healthz?[1-$1]" >answers
  same "$(sort answers | uniq -c | xargs)" "$1 200"
}

# Opens a pipe that is not read until read_pipe; sets PIPE.
open_pipe() {
  mkfifo pipe
  exec {PIPE}<>pipe
}

# Reads the pipe from now on, into the file `seen`.
read_pipe() {
  cat <&"$PIPE" >seen 3>&- &
  CLIENTS+=("$!")
}

# Succeeds if a descriptor of this shell is in non-blocking mode, which all processes that share the
# open file see.
is_nonblocking() {
  (($(awk '/^flags:/ { print 0 $2 }' "/proc/$$/fdinfo/$1") & 04000))
}

# Checks that the file `seen` contains or counts the debug lines of COUNT connections.
complete() { # COUNT
  same "$(($(grep -c '^debug: close .*"$' seen) + $(sed -n 's/^warn: log dropped=//p' seen | awk '{ n += $1 } END { print n + 0 }')))" "$1"
}

# ---- The log ----

@test "with a full pipe as standard error, 10,000 requests are answered, and SIGTERM ends the server" {
  open_pipe
  start_quiet "$PIPE" "$SSECHAT" --log-level debug
  requests 10000
  SECONDS=0
  stop_server
  between "$SECONDS" 0 4
}

@test "once the pipe is read again, the log says how many lines were dropped" {
  open_pipe
  start_quiet "$PIPE" "$SSECHAT" --log-level debug
  requests 3000
  run ! is_nonblocking "$PIPE"
  read_pipe
  eventually 'complete 3001' # without another line
  requests 10
  eventually 'complete 3011'
  same "$(grep -cvE '^((debug|info|warn): [ -~]+|listening on unix:.*)$' seen)" 0
  stop_server
}

@test "a pipe that cannot be opened again, because another user made it, does not block either" {
  open_pipe
  # The leak checker of a sanitizer build does not work under strace.
  ASAN_OPTIONS=detect_leaks=0 start_quiet "$PIPE" strace -D -o opens -P /proc/self/fd/2 -e trace=open,openat \
    -e inject=open,openat:error=EACCES "$SSECHAT" --log-level debug
  requests 3000
  run ! is_nonblocking "$PIPE"
  same "$(grep -c 'EACCES.*INJECTED' opens)" 1
  read_pipe
  eventually 'complete 3001'
  stop_server
}

@test "a pipe that is full at the start or at the end does not block, and the end tells the rest" {
  open_pipe
  head -c 65536 /dev/zero >&"$PIPE"
  start_quiet "$PIPE" "$SSECHAT"
  stop_server
  start_quiet "$PIPE" "$SSECHAT"
  head -c 65536 <&"$PIPE" >/dev/null
  stop_server
  read_pipe
  eventually 'grep -q "^warn: log dropped=[3-9]" seen'
}

@test "a socket as standard error, whose peer does not read, does not block" {
  # The server also has the other end, and nothing reads from it.
  start_quiet /dev/null perl -MSocket -e '
    $^F = 100;
    socketpair(my $other, my $error, AF_UNIX, SOCK_STREAM, 0) or die;
    open(STDERR, ">&", $error) or die;
    exec @ARGV' "$SSECHAT" --log-level debug
  requests 3000
  stop_server
}

@test "after Ctrl-S on its terminal the server goes on, and after Ctrl-Q the log tells what is missing" {
  local keys
  mkfifo keys
  exec {keys}<>keys
  printf '#!/bin/sh\necho $$ >pid\nexec env --default-signal=HUP %q --log-level debug --listen unix:%q\n' "$SSECHAT" "$PWD/socket" >start
  chmod +x start
  script -qfec ./start seen <&"$keys" >/dev/null 2>&1 3>&- &
  CLIENTS+=("$!")
  eventually 'curl -sf --unix-socket socket http://localhost/healthz'
  printf '\023' >&"$keys"
  eventually 'before=$(wc -c <seen); requests 1; [ "$before" = "$(wc -c <seen)" ]'
  requests 1000
  printf '\021' >&"$keys"
  eventually 'tr -d "\r" <seen | grep -q "^warn: log dropped=[1-9]"'
  kill -s TERM "$(<pid)"
  await_end "$!"
  same "$CLIENT_STATUS" 0
}

@test "when a log file is on a full disk, the count of dropped lines follows once there is space" {
  DISK=$PWD/disk
  mkdir "$DISK"
  mount -t tmpfs -o size=64k none "$DISK"
  start_quiet "$DISK/log" "$SSECHAT" --log-level debug
  requests 2000
  mount -o remount,size=4m "$DISK"
  requests 10
  eventually 'grep -q "^warn: log dropped=[1-9]" "$DISK/log"'
  cp "$DISK/log" seen
  complete 2011
  stop_server
}

# Starts a server whose standard error is systemd's journal, as the variable says.
start_in_journal() {
  start_through 'JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) && export JOURNAL_STREAM && exec' "$@"
}

@test "in systemd's journal each line begins with its priority" {
  SSECHAT_NOTHING=1 start_in_journal --log-level debug --post-rate 0 --history 16K
  listen stream ''
  kill -s USR1 "$SERVER_PID"
  kill -s USR2 "$SERVER_PID"
  eventually 'grep -q "^<6>room " "$SERVER_LOG"'
  stop_server
  same "$(grep -cvE '^<[467]>' "$SERVER_LOG")" 0
  grep -q '^<4>ssechat: SSECHAT_NOTHING: ' "$SERVER_LOG"
  grep -q '^<6>listening on http://' "$SERVER_LOG"
  grep -q '^<6>limits descriptors=' "$SERVER_LOG"
  grep -q '^<7>close ' "$SERVER_LOG"
  grep -q '^<4>signal name=SIGUSR2 ' "$SERVER_LOG"
}

@test "in systemd's journal the sentence of a failed start is an error" {
  run -2 bash -c 'exec 2>log; JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) exec "$1" --nothing' - "$SSECHAT"
  same "$(cut -d : -f 1 log)" '<3>ssechat'
}

@test "a JOURNAL_STREAM that is not standard error changes nothing" {
  : >other
  JOURNAL_STREAM=$(stat -c %d:%i other) start_server
  same "$(grep -c '^<' "$SERVER_LOG")" 0
  same "$(grep -c '^listening on ' "$SERVER_LOG")" 1
  JOURNAL_STREAM=nonsense start_server
  same "$(grep -c '^<' "$SERVER_LOG")" 0
}

@test "every line of the log is an event and its values" {
  local form='[a-z]+( [a-z]+)?( [a-z_]+=("[^"]*"|[^" ]+))+$'
  start_server --log-level debug --journal journal --max-streams 1
  listen stream ''
  ask /events
  accepts '{"message":"x"}'
  kill -s USR1 "$SERVER_PID"
  kill -s USR2 "$SERVER_PID"
  rm journal
  eventually 'grep -q recovered=1 "$SERVER_LOG" && grep -q "room name" "$SERVER_LOG"'
  stop_server
  same "$(grep -vE "^(debug|info|warn|error): $form" "$SERVER_LOG" | sed 's/[0-9]*$//')" 'listening on http://127.0.0.1:'
}

# ---- Descriptors ----

@test "with standard descriptors closed, no log line gets into the journal, and writing to them fails" {
  local closed
  for closed in '2>&-' '0<&- 1>&- 2>&-' '0<&-'; do
    eval '"$SSECHAT" --journal journal --log-level debug --listen "unix:$PWD/socket" 3>&-' "$closed" '&'
    SERVER_PID=$!
    SERVERS[$SERVER_PID]=/dev/null
    eventually 'curl -sf --unix-socket socket http://localhost/healthz'
    requests 10
    # None of the server's own files has got one of these numbers.
    same "$(readlink "/proc/$SERVER_PID/fd/"[0-2] | grep -cE 'journal|socket|anon_inode')" 0
    stop_server
    same "$(wc -c <journal.lock)" 0
    run -0 "$SSECHAT" journal check journal
    contains "$output" 'damaged 0'
  done
  openssl rand -hex 32 >key
  chmod 600 key
  run -1 bash -c '"$1" token --key key --rooms a >&-' bash "$SSECHAT"
  contains "$output" 'standard output: '
  run -1 bash -c '"$1" journal check journal >&-' bash "$SSECHAT"
  contains "$output" 'standard output: '
  run -0 bash -c '"$1" --check 0<&- 1>&- 2>&-' bash "$SSECHAT"
  run -2 bash -c '"$1" --check --history 1 0<&- 1>&- 2>&-' bash "$SSECHAT"
}

@test "a limit of descriptors that is too small is refused in one sentence" {
  local limit
  for limit in 9 63; do
    printf '#!/bin/sh\nulimit -n %s && exec %q "$@"\n' "$limit" "$SSECHAT" >limited
    chmod +x limited
    SSECHAT=$PWD/limited refused 1 --listen 127.0.0.1:0 --journal journal
    contains "$(<err)" "is $limit, "
    contains "$(<err)" 'ulimit -n'
    contains "$(<err)" LimitNOFILE=
    [ ! -e journal ]
    SSECHAT=$PWD/limited refused 1 --check
  done
  start_limited 64 --journal journal
  listen stream ''
  accepts '{"message":"served"}'
  await_text stream served
}

# Starts a server, makes system calls fail, and makes the server write its journal again, in a child;
# prints how often that child has closed a descriptor: closes LIMIT [strace options].
closes() {
  start_limited "$1" --journal journal
  accepts '{"message":"kept"}'
  strace -f -p "$SERVER_PID" -o trace -e trace=close,close_range,getdents64,prlimit64,exit_group \
    -e inject=close_range:error=ENOSYS "${@:2}" 2>tracing 3>&- &
  CLIENTS+=("$!")
  eventually 'grep -q attached tracing'
  rm journal
  eventually 'grep -q "exit_group(.*" trace'
  CHILD=$(sed -n 's/ exit_group(.*//p' trace | head -n 1)
  CLOSES=$(grep -cE "^$CHILD +close\\(" trace)
}

@test "without close_range, a compaction closes what is open, not every number up to the limit" {
  closes "$(ulimit -Hn)"
  between "$CLOSES" 1 60
  eventually 'grep -q "^info: journal recovered=1" "$SERVER_LOG" || grep -q "recovered=1" "$SERVER_LOG"'
  ask '/messages'
  contains "$BODY" kept
}

@test "without close_range and /proc, a compaction tries every number up to a small limit" {
  closes 500 -e inject=getdents64:error=EPERM
  between "$CLOSES" 480 540
  eventually 'grep -q recovered=1 "$SERVER_LOG"'
}

@test "without close_range and /proc, a compaction fails at once if the limit is huge" {
  closes 500 -e inject=getdents64:error=EPERM -e 'inject=prlimit64:poke_exit=@arg4=0000004000000000'
  between "$CLOSES" 1 60
  eventually 'grep "compacted=0" "$SERVER_LOG"'
}

# ---- Children ----

@test "as process 1 the server reaps every orphan, and its own child still reports to it" {
  local parent
  unshare --fork --pid --mount-proc --kill-child "$SSECHAT" --journal journal --listen "unix:$PWD/socket" \
    </dev/null >/dev/null 2>log 3>&- &
  parent=$!
  CLIENTS+=("$parent")
  eventually 'curl -sf --unix-socket socket http://localhost/healthz'
  SERVER_PID=$(pgrep -P "$parent")
  URL=http://localhost
  post '{"message":"kept"}' --unix-socket socket
  same "$STATUS" 201
  for _ in {1..5}; do
    nsenter --target "$SERVER_PID" --pid sh -c '(for _ in 1 2 3; do sleep 0.1 & done) 3>&- &'
    rm journal
    eventually '[ -e journal ]'
  done
  eventually '[ "$(grep -c recovered=1 log)" = 5 ]'
  eventually '[ -z "$(pgrep -P "$SERVER_PID")" ]'
  same "$(grep -c compacted=0 log)" 0
  kill -s TERM "$SERVER_PID"
  await_end "$parent"
  same "$CLIENT_STATUS" 0
}

@test "a child that the server had before it was executed is reaped" {
  start_through 'sleep 0.1 & sleep 0.1 & exec'
  eventually '[ -z "$(pgrep -P "$SERVER_PID")" ]'
}

# ---- Memory ----

# Prints what --check says, and sets nothing else: says [options].
says() {
  "$SSECHAT" --check --listen 127.0.0.1:0 "$@" 2>&1
}

@test "at the start the log says how much memory the settings allow, and warns about no default" {
  local streams line
  "$SSECHAT" --listen 127.0.0.1:0 2>log 3>&- &
  CLIENTS+=("$!")
  eventually 'grep -q ^listening log'
  streams=$(sed -n 's/.*limits descriptors=.* streams=//p' log)
  streams=$(((streams * 5 + 1023) / 1024))
  line=$(grep memory log)
  contains "$line" " rooms=129M buffers=129M streams=${streams}M "
  between "$(sed 's/.* most=\([0-9]*\)M .*/\1/' <<<"$line")" $((257 + streams)) $((258 + streams))
  lacks "$(<log)" warn:
  same "$(says)" "$line"
  same "$(says --log-level warn)" ''
}

@test "the memory of rooms, buffers and streams follows from the settings" {
  contains "$(says --history 1M --max-rooms 10 --max-streams 2048 --max-body 1M)" \
    'memory most=176M rooms=22M buffers=144M streams=10M machine='
  contains "$(says --history 1M --room a --room b)" ' rooms=4M '
  contains "$(says --max-rooms 0)" 'memory most=unlimited rooms=unlimited buffers=129M '
}

@test "settings that allow over three quarters of the machine's memory get a warning that says what to change" {
  contains "$(says --history 1024M --max-rooms 1000)" \
    'warn: memory hint="these settings allow more than three quarters of the memory of this machine; lower --history '
  contains "$(says --max-rooms 0)" 'warn: memory hint="these settings allow more than three quarters of the memory of this machine; set --max-rooms'
  start_server --history 1024M --max-rooms 1000
  grep -q '^warn: memory hint=' "$SERVER_LOG"
}

# Runs --check in a control group whose parent has this memory.max; its own has none. The files are in
# a mount namespace, because not every machine lets a test limit memory.
in_group() { # LIMIT [options]
  unshare --mount sh -c '
    mount -t tmpfs none /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/a/b
    echo "$1" >/sys/fs/cgroup/a/memory.max
    echo max >/sys/fs/cgroup/a/b/memory.max
    printf "2:cpu:/x\n0::/a/b\n" >groups
    mount --bind groups "/proc/$$/cgroup"
    shift
    exec "$@" 2>&1' sh "$1" "$SSECHAT" --check "${@:2}"
}

# Runs --check in a real control group with this memory.max, if the machine has such groups.
in_real_group() { # LIMIT [options]
  local group=/sys/fs/cgroup/ssechat-test-$$ status=0
  mkdir "$group"
  echo "$1" >"$group/memory.max"
  sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@" 2>&1' sh "$group" "$SSECHAT" --check "${@:2}" || status=$?
  rmdir "$group"
  return "$status"
}

@test "a control group's limit counts if it is less than the machine's memory" {
  local in
  for in in in_group in_real_group; do
    [ "$in" = in_group ] || grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || continue
    contains "$("$in" 1073741824 --max-streams 1000)" ' cgroup=1024M'
    lacks "$("$in" 1073741824 --max-streams 1000)" warn:
    contains "$("$in" 1073741824 --max-streams 1000 --history 1M)" ' cgroup=1024M'
    lacks "$("$in" 1073741824 --max-streams 1000 --history 1M)" warn:
    contains "$("$in" 1073741824 --max-streams 1000 --history 2M)" \
      'warn: memory hint="these settings allow more than three quarters of the memory of this control group (memory.max); lower --history'
    contains "$("$in" 268435456 --max-streams 100000 --max-rooms 10 --max-body 32M)" '; lower --max-body"'
  done
  contains "$(in_group max)" ' machine='
}

@test "on a small machine the buffers may take an eighth of the memory, besides bodies" {
  contains "$(in_group $((64 << 20)) --max-body 16K)" ' buffers=9M ' # 2 x (64M / 16 + 8 x 16K)
  contains "$(in_group $((512 << 20)))" ' buffers=65M '
  contains "$(in_group $((2 << 30)))" ' buffers=129M '
}

@test "a limit of the address space counts like a machine's memory" {
  is_sanitized && return 0 # the sanitizers need terabytes of it
  contains "$(ulimit -v 65536 && says --max-streams 1000 --max-rooms 100)" ' buffers=9M streams=5M limit=64M'
  contains "$(ulimit -v 65536 && says --max-streams 1000 --max-rooms 100)" \
    'three quarters of the memory of this process (RLIMIT_AS); lower --history'
  lacks "$(ulimit -v 65536 && says --max-streams 1000 --max-rooms 50)" warn:
}

# Prints a cell of the first table in docs/machines.md: cell MACHINE COLUMN.
cell() {
  awk -F ' *[|] *' -v machine="$1 MB" -v column="$2" '
    /^[|]/ && $2 == machine { gsub(/`/, "", $column); print $column; exit }' "$ROOT/docs/machines.md"
}

@test "the settings that docs/machines.md recommends fit into the memory that it gives them" {
  local machine settings said
  for machine in 64 512 2048; do
    read -ra settings < <(cell "$machine" 5)
    said=$(ulimit -n "$(cell "$machine" 4)" &&
      export "${settings[@]}" && in_group "$(cell "$machine" 3 | numfmt --from=iec)")
    contains "$said" "cgroup=$(cell "$machine" 3)"
    lacks "$said" hint=
  done
}

@test "a machine of 64 MB: full rooms, all streams, clients that stop reading, half requests, a restart" {
  is_sanitized && return 0 # the sanitizers need more
  BENCH_FOLDER=$PWD run "$ROOT/test/bench/boxes" --server "$SSECHAT" --quick --limit 64
  printf '%s\n' "$output"
  same "$status" 0
  contains "$output" '| 64 MB | 32 MB |'
  # In a control group, if the machine has such that count memory, the kernel's memory counts too.
  if grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || [ -w /sys/fs/cgroup/memory/cgroup.procs ]; then
    BENCH_FOLDER=$PWD run "$ROOT/test/bench/boxes" --server "$SSECHAT" --quick 64
    printf '%s\n' "$output"
    same "$status" 0
  fi
}

@test "a server whose address space is far too small refuses messages and requests, and goes on" {
  is_sanitized && return 0
  start_through 'ulimit -v 4000 && exec' --history 1M --max-rooms 100
  listen stream ''
  head -c 3000 /dev/zero | tr '\0' x >text
  curl -sS -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/octet-stream' --data-binary @text \
    "$URL/messages?room=r[1-50]&i=[1-40]" | sort | uniq -c | xargs >answers
  [[ $(<answers) =~ ^[0-9]+\ 201\ [0-9]+\ 503$ ]] # those without memory get 503, and no other
  accepts '{"message":"still served"}'
  await_text stream 'still served'
  ask /healthz
  same "$STATUS" 200
  stop_server
}

@test "streams that only the limit of descriptors bounds are mentioned, and are no mistake" {
  local streams limit seen
  streams=$(($(says --max-rooms 1 | sed -n 's/.* streams=\([0-9]*\)M .*/\1/p')))
  limit=$((streams << 20)) # enough for all but the streams
  seen=$(in_group "$limit" --max-rooms 1)
  contains "$seen" 'info: memory hint='
  contains "$seen" '; set --max-streams"'
  lacks "$seen" warn:
}

@test "a burst of one address that could push out half of a room's history gets a warning" {
  local hint='; lower --post-rate or --max-body, or raise --history"'
  contains "$(says --history 128K)" "warn: posts burst=80K history=128K hint=\"one address may post over half of a room's history at once, before others can read it$hint"
  contains "$(says --post-rate 9)" "warn: posts burst=144K history=256K "
  lacks "$(says --post-rate 8)" warn:
  contains "$(says --max-body 129K)" "warn: posts burst=129K "
  lacks "$(says --max-body 128K)" warn:
  lacks "$(says --post-rate 50 --history 2M)" warn:
  contains "$(says --post-rate 0)" 'warn: posts burst=unlimited history=256K '
  contains "$(says --post-rate 0)" '; set --post-rate"'
  start_server
  lacks "$(<"$SERVER_LOG")" 'posts burst'
  start_server --post-rate 9
  contains "$(<"$SERVER_LOG")" 'warn: posts burst=144K '
}
