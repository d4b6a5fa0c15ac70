#!/usr/bin/env bats
# Storms of damaged requests, made by the storm tool (storm.c). The server must survive each storm:
# afterwards it must answer and deliver, have the same number of descriptors open, use no more
# memory and leak nothing. The sanitizers must be silent.
# shellcheck disable=SC2016,SC2034,SC2153,SC2154
#
# long: ten times as many requests
# seconds: 30

load lib/helper
load lib/journal

# Limits the sanitizer's quarantine of freed memory to 1 MB, and makes the leak checker log the
# threads that it examines, as proof that it has run.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
  JOURNAL=$BATS_TEST_TMPDIR/journal
  export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
  export LSAN_OPTIONS=${LSAN_OPTIONS:+$LSAN_OPTIONS:}log_threads=1
}

# Starts a server with a few small, short-lived rooms, which all fill up during the warm-up and are
# constantly dropped and created again.
stormy_server() {
  start_server --history 16K --max-rooms 16 --room-ttl 1 --max-body 16K --heartbeat 1 "$@"
  DESCRIPTORS=$(descriptors)
}

# Runs storm and checks that it finds nothing wrong: storm COUNT [SEED [SECONDS [TOKEN]]].
storm() {
  run "$TOOLS/storm" "$PORT" "$@"
  printf '%s\n' "$output"
  printf '# %s\n' "$output" >&3
  same "$status" 0
}

# Checks that the server is as it was before the storm.
is_as_before() {
  ask /healthz
  same "$STATUS $BODY" '200 {"status":"ok"}'
  eventually "same \"\$(descriptors)\" $DESCRIPTORS"
  # While all rooms are taken, the lobby cannot be created; some rooms must be dropped first.
  eventually 'post "{\"message\":\"the storm is over\"}"; same "$STATUS" 201'
  listen fresh ''
  accepts '{"message":"it is calm"}'
  await_text fresh 'it is calm'
  kill "$CLIENT_PID"
  eventually "same \"\$(descriptors)\" $DESCRIPTORS"
}

# Checks that the server exits with 0, that the sanitizers are silent and that the leak checker ran.
ends_well() {
  local log=$SERVER_LOG
  stop_server
  ! is_sanitized || grep -q 'Processing thread' "$log"
}

@test "60,000 damaged requests leak no memory and no descriptors" {
  local before after most=256
  # The memory that the sanitizer and its quarantine add varies from run to run.
  ! is_sanitized || most=4096
  stormy_server
  storm 15000 1 120
  eventually "same \"\$(descriptors)\" $DESCRIPTORS"
  before=$(private_memory)
  storm "$(scaled 45000 600000)" 2 "$(scaled 240 1200)"
  is_as_before
  after=$(private_memory)
  printf '# %d KB before, %d KB after\n' "$before" "$after" >&3
  between $((after - before)) -100000 "$most"
  ends_well
}

@test "20,000 damaged requests leave the journal intact" {
  local texts
  stormy_server --journal "$JOURNAL" --sync none
  storm "$(scaled 20000 200000)" 3 "$(scaled 120 1200)"
  is_as_before
  texts=$(served lobby | jq -c .id | sha256sum)
  ends_well
  start_server --history 16K --journal "$JOURNAL"
  lacks "$(<"$SERVER_LOG")" damaged
  lacks "$(<"$SERVER_LOG")" 'torn at the end'
  same "$(served lobby | jq -c .id | sha256sum)" "$texts"
  ends_well
}

@test "15,000 damaged requests do no harm with --www, --cors, --trust-proxy and --room" {
  mkdir -p site/folder
  times 30000 '<p>' >site/index.html
  printf 'file' >site/folder/file.txt
  stormy_server --www site --cors https://a.example --cors '*' --room lobby --room a \
    --trust-proxy 127.0.0.1 --max-streams-per-ip 4 --post-rate 5
  storm "$(scaled 15000 150000)" 4 "$(scaled 120 1200)"
  is_as_before
  ask /folder/file.txt
  same "$BODY" file
  ends_well
}

@test "5,000 damaged requests with an intact or damaged token do no harm" {
  (umask 077 && openssl rand -hex 32 >key)
  stormy_server --key key
  storm "$(scaled 5000 50000)" 5 "$(scaled 120 1200)" "$("$SSECHAT" token --key key --sub ann --rooms a,b,lobby --publish)"
  contains "$output" ' 201 '
  contains "$output" ' 401 '
  eventually "same \"\$(descriptors)\" $DESCRIPTORS"
  ask /rooms
  same "$STATUS" 401
  ends_well
}

@test "the storm tool fails if no server is listening, or if the server exits during the storm" {
  start_server
  stop_server
  run timeout 20 "$TOOLS/storm" "$PORT" 100
  same "$status" 1
  contains "$output" 'does not accept'
  start_server
  "$TOOLS/storm" "$PORT" 100000 5 >storm.log 2>&1 3>&- &
  local pid=$!
  CLIENTS+=("$pid")
  eventually 'ask /rooms && contains "$BODY" newest'
  stop_server
  await_end "$pid"
  same "$CLIENT_STATUS" 1
  contains "$(<storm.log)" 'does not accept'
}
