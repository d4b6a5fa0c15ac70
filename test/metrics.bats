#!/usr/bin/env bats
# GET /metrics: the format, what each number counts, and what a scrape costs.
#
# Most tests read a number, cause what it counts, and read it again. promtool and
# prometheus are Debian's; no test leaves a Prometheus running.
# shellcheck disable=SC2016,SC2004,SC2030,SC2031,SC2034,SC2153,SC2154
#
# seconds: 70
# long: 10,000 streams and rooms

bats_require_minimum_version 1.5.0
load lib/helper
load lib/journal

# Starts a server with metrics on a free port; sets METRICS to their URL.
metrics_server() {
  with_metrics start_server "$@"
}

# Starts a server in some way: with_metrics FUNCTION [options].
with_metrics() {
  "$1" --metrics 127.0.0.1:0 "${@:2}"
  METRICS=$(sed -n 's,^metrics on \(http://.*\),\1,p' "$SERVER_LOG")
}

# Prints all metrics.
scrape() {
  curl -sS -m 30 "$METRICS/metrics"
}

# Prints the value of one metric: value NAME, with its labels as they are written.
value() {
  scrape | awk -v name="$1" 'index($0, name " ") == 1 { print substr($0, length(name) + 2); found = 1 } END { exit !found }'
}

# Prints how many times of a histogram were longer than a bound: longer NAME BOUND.
longer() {
  scrape | awk -v bound="$1_bucket{le=\"$2\"}" -v all="$1_bucket{le=\"+Inf\"}" \
    '$1 == bound { n -= $2 } $1 == all { n += $2 } END { print n }'
}

# Prints the numbers of connections that were closed and of what was refused, by reason.
closed() {
  value "ssechat_closes_total{reason=\"$1\"}"
}

refused_for() {
  value "ssechat_refused_total{reason=\"$1\"}"
}

replays() {
  value "ssechat_replays_total{result=\"$1\"}"
}

# Prints all samples without their values.
samples() {
  scrape | sed '/^#/d; s/ [^ ]*$//'
}

# Prints a sum with fractions as a whole number: whole EXPRESSION.
whole() {
  awk "BEGIN { printf \"%.0f\", $1 }"
}

# Opens a connection and sends bytes, written with printf's escapes; sets CONNECTION.
connect() { # [BYTES]
  exec {CONNECTION}<>"/dev/tcp/127.0.0.1/$PORT"
  printf '%b' "${1:-}" >&"$CONNECTION"
}

disconnect() {
  exec {CONNECTION}>&-
}

# Waits until a metric has a value: becomes NAME VALUE.
becomes() {
  eventually "[ \"\$(value '$1')\" = '$2' ] || { value '$1'; false; }"
}

# Sends a request for a path of the metrics' address: ask_metrics PATH [curl options].
ask_metrics() {
  local URL=$METRICS
  ask "$@"
}

# ---- The answer ----

@test "the metrics are text of the exposition format, in which promtool finds nothing to mend" {
  metrics_server --journal "$JOURNAL"
  ask_metrics /metrics
  same "$STATUS" 200
  same "$(field Content-Type)" 'text/plain; version=0.0.4; charset=utf-8'
  same "$(field Content-Length)" "$(wc -c <answer.body)"
  same "$(field Cache-Control)" no-store
  run promtool check metrics <answer.body
  same "$status $output" '0 '
  # Each metric has a help text and a type, in this order, before its first value.
  same "$(awk '
    /^# HELP / { help = $3; if (NF < 5) print "no text: " $0; next }
    /^# TYPE / { if ($3 != help) print "no help: " $0; name = $3; type[name] = $4; next }
    { base = $1; sub(/[{].*/, "", base)
      if (type[name] == "histogram") sub(/_(bucket|sum|count)$/, "", base)
      if (base != name) print "no type: " $0 }' answer.body)" ''
}

@test "HEAD makes no page, another path is 404, another method 405" {
  metrics_server
  ask_metrics /metrics -I
  same "$STATUS $(field Content-Type)" '200 text/plain; version=0.0.4; charset=utf-8'
  same "$(field Content-Length)" ''
  ask_metrics /%6detrics
  same "$STATUS" 200
  ask_metrics '/metrics?name=x' -0
  same "$STATUS" 200
  local path
  for path in / /events /messages /healthz /metrics/ /metric; do
    ask_metrics "$path"
    is_problem 404
    contains "$BODY" /metrics
  done
  for method in POST PUT DELETE OPTIONS; do
    ask_metrics /metrics -X "$method"
    is_problem 405
    same "$(field Allow)" 'GET, HEAD'
  done
  ask_metrics /metrics -X BREW
  is_problem 501
  ask_metrics / -X POST
  is_problem 404
  ask_metrics /metrics -H 'Bad Name: x'
  is_problem 400
}

@test "the addresses of the chat do not serve metrics" {
  metrics_server
  ask /metrics
  is_problem 404
  ask /metrics -X POST
  is_problem 404
}

@test "metrics need no token and no name of --host, and are not shared with other origins" {
  (umask 077 && printf 0123456789abcdef0123456789abcdef >key)
  metrics_server --key key --host chat.example --cors '*'
  ask_metrics /metrics -H 'Host: elsewhere.example' -H 'Origin: http://elsewhere.example'
  same "$STATUS $(field Access-Control-Allow-Origin)" '200 '
  ask /healthz -H 'Origin: http://elsewhere.example'
  same "$STATUS $(field Access-Control-Allow-Origin)" '200 *'
}

@test "metrics on a unix socket" {
  start_server --metrics "unix:$PWD/socket"
  grep -qx "metrics on unix:$PWD/socket" "$SERVER_LOG"
  curl -sS --unix-socket socket http://h/metrics >page
  grep -qx 'ssechat_streams 0' page
}

@test "--metrics must not overlap --listen" {
  refused 2 --listen 127.0.0.1:8123 --metrics 127.0.0.1:8123
  contains "$(<err)" '--metrics 127.0.0.1:8123'
  refused 2 --listen '0.0.0.0:8123' --metrics 127.0.0.1:8123
  refused 2 --metrics 127.0.0.1:8080
  refused 2 --metrics 9464
  contains "$(<err)" '--metrics 9464'
  refused 2 --metrics ''
}

@test "an address that has reached its limit of connections can still be scraped" {
  local i
  metrics_server --max-streams-per-ip 1
  for i in {1..34}; do
    exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  done
  becomes 'ssechat_refused_total{reason="connection"}' 1
}

# ---- Messages and streams -----------------------------------------------------------------------

@test "messages, deliveries, rooms, and what is held" {
  metrics_server --history 16K
  same "$(value ssechat_rooms) $(value ssechat_messages_total)" '0 0'
  listen one 'room=a'
  listen two 'room=a,b'
  accepts '{"room":"a","message":"x"}' -H 'Idempotency-Key: k'
  same "$(value ssechat_rooms) $(value ssechat_messages_total) $(value ssechat_deliveries_total)" '2 1 2'
  accepts '{"room":"b","message":"x"}'
  accepts '{"room":"c","message":"x"}'
  same "$(value ssechat_rooms) $(value ssechat_messages_total) $(value ssechat_deliveries_total)" '3 3 3'
  same "$(value ssechat_history_messages)" 3
  post '{"room":"a","message":"x"}' -H 'Idempotency-Key: k'
  same "$STATUS $(value ssechat_messages_total)" '200 3'
  refuses 400 '{"room":"a"}'
  same "$(value ssechat_messages_total)" 3
  local held i
  held=$(value ssechat_history_bytes)
  accepts '{"room":"c","message":"123456789 123456789 123456789 x"}'
  # The same frame as the room's first, but for the text; the first of room a also has a key.
  same "$(($(value ssechat_history_bytes) - held))" "$(((held - 10) / 3 + 30))"
  for i in {1..8}; do
    accepts "{\"room\":\"a\",\"data\":\"$(times 4000 x)\"}"
  done
  same "$(value ssechat_messages_total)" 12
  between "$(value ssechat_history_messages)" 4 8
  between "$(value ssechat_history_bytes)" 8000 17000
}

@test "messages that a journal restores are held, but were not published by this process" {
  local i
  with_metrics journal_server
  for i in 1 2 3; do
    say "$i"
  done
  same "$(value ssechat_messages_total) $(value ssechat_history_messages)" '3 3'
  with_metrics restart_server
  same "$(value ssechat_messages_total) $(value ssechat_history_messages)" '0 3'
  say more
  same "$(value ssechat_messages_total) $(value ssechat_history_messages)" '1 4'
}

@test "streams, long polls and connections" {
  metrics_server
  same "$(value ssechat_streams) $(value ssechat_streams_opened_total)" '0 0'
  listen one ''
  local first=$CLIENT_PID
  listen two ''
  same "$(value ssechat_streams) $(value ssechat_streams_opened_total)" '2 2'
  curl -sS -m 60 -o page "$URL/messages?wait=50" 3>&- &
  CLIENTS+=("$!")
  becomes ssechat_streams 3
  same "$(value ssechat_connections)" 4 # with that of the scrape
  accepts '{"message":"x"}'
  same "$(value ssechat_deliveries_total)" 3
  becomes ssechat_streams 2
  kill "$first"
  becomes ssechat_streams 1
  same "$(value ssechat_streams_opened_total)" 3
  ask /events -I
  same "$(value ssechat_streams_opened_total)" 3
  becomes ssechat_connections 2
  local allowed
  allowed=$(sed -n 's/.* streams=\([0-9]*\)$/\1/p' "$SERVER_LOG" | tail -n 1)
  same "$(value ssechat_streams_allowed)" "$allowed"
}

@test "sent bytes are those that clients receive: pages, streams, errors, files" {
  local before size total=0
  mkdir site
  head -c 300000 /dev/urandom >site/file
  printf x >site/index.html
  metrics_server --www site
  : >sizes
  get() {
    curl -sS -m 30 -o answer.body -w '%{size_header} %{size_download}\n' "$@" >>sizes
  }
  get "$METRICS/metrics"
  before=$(awk '/^ssechat_sent_bytes_total / { print $2 }' answer.body)
  get "$URL/"
  get "$URL/file"
  get "$URL/nothing"
  get -I "$URL/rooms"
  get -H 'Content-Type: application/json' --data-raw '{"message":"x"}' "$URL/messages"
  printf 'GET /events?history=1 HTTP/1.0\r\n\r\n' >request
  exec {stream}<>"/dev/tcp/127.0.0.1/$PORT"
  cat request >&"$stream"
  cat <&"$stream" >received 3>&- &
  CLIENTS+=("$!")
  await received presence
  accepts "{\"data\":\"$(times 20000 y)\"}"
  printf '%s %s\n' "$(wc -c <answer.head)" "$(wc -c <answer.body)" >>sizes
  await_text received yyyy
  settled() {
    local expected
    expected=$((before + $(awk '{ sum += $1 + $2 } END { print sum }' sizes) + $(wc -c <received)))
    get "$METRICS/metrics"
    same "$(awk '/^ssechat_sent_bytes_total / { print $2 }' answer.body)" "$expected"
  }
  eventually settled
}

@test "responses by the class of their status" {
  local before
  responses() {
    scrape | sed -n 's/^ssechat_responses_total.* //p' | paste -sd ' '
  }
  mkdir site
  printf x >site/index.html
  metrics_server --www site
  same "$(responses)" '0 0 0 0' # before this answer
  ask /
  ask / -H "If-None-Match: $(field ETag)"
  same "$STATUS" 304
  ask /nothing
  ask /rooms -X BREW
  same "$(responses)" '2 1 1 1'
}

# ---- Reasons ------------------------------------------------------------------------------------

@test "replays: complete, or why not; a stream without an event id is none" {
  local id
  with_metrics journal_server --history 16K
  listen one ''
  listen two 'history=5'
  same "$(replays complete) $(replays expired) $(replays restarted) $(replays unknown)" '0 0 0 0'
  accepts '{"message":"x"}'
  id=$ID
  listen three "room=lobby,a&last_event_id=$id"
  same "$(replays complete) $(replays expired) $(replays restarted) $(replays unknown)" '1 0 0 0'
  local i
  for i in {1..8}; do
    accepts "{\"data\":\"$(times 4000 x)\"}"
  done
  listen four "room=lobby,a&last_event_id=$id"
  same "$(replays complete) $(replays expired) $(replays restarted) $(replays unknown)" '1 1 0 0'
  listen five '' -H 'Last-Event-ID: 1-0'
  same "$(replays complete) $(replays expired) $(replays restarted) $(replays unknown)" '1 1 1 0'
  listen six '' -H 'Last-Event-ID: nonsense'
  listen seven '' -H 'Last-Event-ID: 99999999999999-0'
  same "$(replays complete) $(replays expired) $(replays restarted) $(replays unknown)" '1 1 1 2'
}

@test "refusals: each limit has its count" {
  local i
  metrics_server --max-streams-per-ip 2 --max-streams 3 --post-rate 1 --max-rooms 4 --trust-proxy 127.0.0.1
  by() {
    printf 'X-Forwarded-For: %s' "$1"
  }
  listen one '' -H "$(by 192.0.2.1)"
  listen two '' -H "$(by 192.0.2.1)"
  same "$(refused_for stream)" 0
  ask /events -H "$(by 192.0.2.1)"
  same "$(refused_for stream)" 1
  ask '/messages?wait=1' -H "$(by 192.0.2.1)"
  same "$STATUS $(refused_for stream)" '429 2'
  listen three '' -H "$(by 192.0.2.2)"
  ask /events -H "$(by 192.0.2.3)" # the server is full
  same "$(refused_for stream) $(refused_for post)" '3 0'
  for i in {1..4}; do
    post '{"message":"x"}' -H "$(by 192.0.2.4)"
  done
  refuses 429 '{"message":"x"}' -H "$(by 192.0.2.4)"
  same "$(refused_for post) $(refused_for room)" '1 0'
  accepts '{"room":"a","message":"x"}' -H "$(by 192.0.2.5)"
  refuses 429 '{"room":"b","message":"x"}' -H "$(by 192.0.2.5)"
  same "$(refused_for room) $(refused_for connection)" '1 0'
  same "$(grep -c '^warn: refused what=' "$SERVER_LOG")" 3
}

@test "refusals: more than a share of the memory for large requests" {
  local i filler
  filler=$(printf '%0900000d' 0)
  metrics_server --max-streams-per-ip 64 --max-body 1M --drain 1
  for i in {1..8}; do
    connect
    (printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n%s' \
      "$filler" >&"$CONNECTION") 2>/dev/null || true
  done
  eventually '[ "$(refused_for buffer)" -ge 1 ]'
}

@test "closes: a connection that ends has a reason, and each reason its count" {
  mkdir site
  head -c 3000000 /dev/urandom >site/file
  metrics_server --www site --keep-alive 1
  # Between two requests, in the middle of one, as a stream.
  ask /healthz
  becomes 'ssechat_closes_total{reason="cut"}' 0
  connect 'GET / HT'
  disconnect
  becomes 'ssechat_closes_total{reason="cut"}' 1
  same "$(closed hang-up)" 0
  listen one ''
  kill "$CLIENT_PID"
  eventually '[ $(($(closed hang-up) + $(closed reset))) = 1 ]'
  local before
  before=$(closed "done")
  ask /healthz
  eventually '[ "$(closed "done")" -gt '"$before"' ]'
  # No further request in --keep-alive.
  before=$(closed idle)
  connect 'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'
  eventually "[ \"\$(closed idle)\" -gt $before ]"
  disconnect
  # After an error, a client that does not close.
  connect 'nonsense\r\n\r\n'
  becomes 'ssechat_closes_total{reason="refused"}' 1
  disconnect
  # A file that becomes shorter while it is sent.
  connect 'GET /file HTTP/1.1\r\nHost: h\r\n\r\n'
  read -r -u "$CONNECTION"
  truncate -s 1000 site/file
  cat <&"$CONNECTION" >/dev/null 2>&1 || true
  becomes 'ssechat_closes_total{reason="file cut"}' 1
  disconnect
}

@test "closes: streams that the ring has overrun" {
  local slow i
  metrics_server --history 128K
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n\r\n' >&"$slow"
  becomes ssechat_streams 1
  for i in {1..100}; do
    accepts "{\"data\":\"$i $(times 60000 x)\"}"
    [ "$(closed overrun)" = 0 ] || break
  done
  becomes 'ssechat_closes_total{reason="overrun"}' 1
  becomes ssechat_blocked_streams 0
  exec {slow}>&-
}

@test "closes: idle connections whose descriptors are needed, and those that a drain ends" {
  local i connections=()
  with_metrics with_few
  for i in {1..200}; do
    connect 'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'
    read -r -t 20 -u "$CONNECTION"
    connections+=("$CONNECTION")
    ((i % 20)) || [ "$(closed descriptors)" = 0 ] || break
  done
  between "$(closed descriptors)" 1 200
  local PORT=${METRICS##*:}
  connect 'GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n'
  scrape >page # the server has read the half request before this
  kill "$SERVER_PID"
  eventually 'grep -q "^info: drain " "$SERVER_LOG"'
  printf '\r\n' >&"$CONNECTION"
  timeout 20 cat <&"$CONNECTION" >page
  between "$(sed -n 's/^ssechat_closes_total{reason="drain"} //p' page)" 10 200
}

with_few() {
  start_limited 80 "$@"
}

@test "closes: clients that read nothing until their time is over, or their token expires" {
  local token
  (umask 077 && printf 0123456789abcdef0123456789abcdef >key)
  mkdir site
  head -c 20000000 /dev/zero >site/file
  metrics_server --www site --key key --history 8M
  token=$("$SSECHAT" token --key key --rooms '*' --publish)
  printf '{"event":"x","data":"%s"}' "$(times 60000 x)" >body
  curl -sS -m 60 -o answers -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d @body "$URL/messages?[1-80]"
  connect 'GET /file HTTP/1.1\r\nHost: h\r\n\r\n'
  # The history is more than the sockets take, so that the stream is blocked long before its token expires.
  connect "GET /events?history=80&access_token=$("$SSECHAT" token --key key --rooms '*' --ttl 10) HTTP/1.1\r\nHost: h\r\n\r\n"
  becomes ssechat_blocked_streams 1
  same "$(value ssechat_blocked_streams) $(closed token) $(closed stalled)" '1 0 0'
  becomes 'ssechat_closes_total{reason="token"}' 1
  is_sanitized || becomes 'ssechat_closes_total{reason="stalled"}' 1 # after half a minute: one build waits for it
}

# ---- Lag, the journal, the log ------------------------------------------------------------------

@test "the lag is that of the slowest blocked stream" {
  local before
  metrics_server --history 4M
  same "$(value ssechat_blocked_streams) $(value ssechat_lag_bytes)" '0 0'
  crowd 3 /events
  listen good ''
  tell stall
  printf '{"data":"%s"}' "$(times 60000 x)" >body
  curl -sS -m 60 -o answers -H 'Content-Type: application/json' -d @body "$URL/messages?[1-39]"
  accepts "{\"data\":\"<40> $(times 60000 x)\"}"
  becomes ssechat_blocked_streams 3
  # 40 frames, less what the sockets have taken; the next message is added to the lag.
  before=$(value ssechat_lag_bytes)
  between "$before" 60000 2405000
  accepts "{\"data\":\"$(times 1000 x)\"}"
  between "$(($(value ssechat_lag_bytes) - before))" 1000 1100
  tell resume
  tell 'count 1 <40> x'
  same "$ANSWER" ok
  becomes ssechat_blocked_streams 0
  same "$(value ssechat_lag_bytes)" 0
}

@test "the journal: its size, its syncs, its trouble" {
  local count
  with_metrics disk_server
  say one
  same "$(value ssechat_journal_bytes)" "$(stat -c %s "$JOURNAL")"
  count=$(value ssechat_journal_sync_seconds_count)
  between "$count" 1 5
  disk sync_delay_us=300000
  say two
  same "$(value ssechat_journal_sync_seconds_count)" $((count + 1))
  same "$(longer ssechat_journal_sync_seconds 0.25)" 1
  between "$(whole "$(value ssechat_journal_sync_seconds_sum) * 1000")" 300 60000
  same "$(value ssechat_journal_bytes)" "$(stat -c %s "$JOURNAL")"
  same "$(value ssechat_journal_failing)" 0
  disk sync_delay_us=0 stuck=1
  open_stream none '' # so that the server does something meanwhile
  curl -sS -m 60 -o answer -H 'Content-Type: application/json' --data-raw '{"message":"x"}' "$URL/messages" 3>&- &
  CLIENTS+=("$!")
  becomes ssechat_journal_failing 1
  disk stuck=0
  becomes ssechat_journal_failing 0
}

@test "without a journal there are no metrics of one" {
  metrics_server
  same "$(scrape | grep -c journal || true)" 0
}

@test "with --sync none a message costs no sync" {
  with_metrics journal_server --sync none
  say one
  same "$(value ssechat_journal_sync_seconds_count)" 0
  same "$(value ssechat_journal_bytes)" "$(stat -c %s "$JOURNAL")"
}

@test "lines of the log that are not read are counted" {
  local pipe
  mkfifo pipe
  exec {pipe}<>pipe
  "$SSECHAT" --log-level debug --listen "unix:$PWD/socket" --metrics "unix:$PWD/metrics" </dev/null >/dev/null \
    2>&"$pipe" 3>&- &
  SERVER_PID=$!
  SERVERS[$SERVER_PID]=/dev/null
  dropped() {
    curl -sS -m 30 --unix-socket metrics http://h/metrics | sed -n 's/^ssechat_log_dropped_total //p'
  }
  eventually '[ "$(dropped)" = 0 ]'
  # Each connection makes a line of about 60 bytes, and a pipe holds 65,536 bytes.
  curl -sS -m 60 --unix-socket socket -H 'Connection: close' -o /dev/null "http://h/healthz?[1-3000]"
  between "$(dropped)" 1000 3100
}

# ---- The program --------------------------------------------------------------------------------

@test "turns of the loop: every turn counts, and a turn that waits for the disk is a long one" {
  local count
  with_metrics journal_server
  count=$(value ssechat_turn_seconds_count)
  ask /healthz
  between "$(value ssechat_turn_seconds_count)" $((count + 1)) $((count + 50))
  say one
  fault_sync delay_enter=300000
  say two
  mend
  between "$(longer ssechat_turn_seconds 0.25)" 1 20
  between "$(whole "$(value ssechat_turn_seconds_sum) * 1000")" 300 60000
}

@test "a histogram's buckets are cumulative, and its bounds are the same everywhere" {
  with_metrics journal_server
  say one
  scrape >page
  local name
  for name in ssechat_turn_seconds ssechat_journal_sync_seconds; do
    same "$(sed -n "s/^${name}_bucket{le=\"\(.*\)\"}.*/\1/p" page | paste -sd ' ')" \
      '0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 +Inf'
    sed -n "s/^${name}_bucket.* //p" page | sort -n -c
    same "$(sed -n "s/^${name}_bucket{le=\"+Inf\"} //p" page)" "$(sed -n "s/^${name}_count //p" page)"
  done
}

@test "the process: memory, descriptors, processor time, start, version" {
  local before open
  with_metrics with_few
  same "$(value process_max_fds)" 80
  # Linux tells the number of open descriptors since 6.2; the scrape's connection is one of them.
  if [ "$(stat -c %s /proc/self/fd)" -gt 0 ]; then
    eventually '[ "$(value process_open_fds)" = $(($(descriptors) + 1)) ]'
    open=$(value process_open_fds)
    connect
    becomes process_open_fds $((open + 1))
  else
    same "$(scrape | grep -c process_open_fds || true)" 0
  fi
  local pages resident
  read -r pages resident _ <"/proc/$SERVER_PID/statm"
  resident=$((resident * $(getconf PAGESIZE)))
  between "$(value process_resident_memory_bytes)" $((resident / 2)) $((resident * 2))
  # A scrape may take a few pages, which the next one has.
  eventually 'read -r pages _ <"/proc/$SERVER_PID/statm" &&
    [ "$(value process_virtual_memory_bytes)" = $((pages * $(getconf PAGESIZE))) ]'
  between "$(whole "$(value process_start_time_seconds) - $(stat -c %Y "$SERVER_LOG")")" -60 60
  before=$(whole "$(value process_cpu_seconds_total) * 1000000")
  curl -sS -m 60 -o /dev/null "$URL/rooms?[1-200]"
  between "$(whole "$(value process_cpu_seconds_total) * 1000000 - $before")" 1000 60000000
  grep -qxF "ssechat_build_info{version=\"$("$SSECHAT" --version | cut -d ' ' -f 2)\"} 1" <(scrape)
}

@test "the samples are the same from the start on, and nothing that only grows falls" {
  local i
  with_metrics journal_server --history 16K
  scrape >before
  samples >names
  listen one 'name=ann&room=a,b'
  for i in {1..6}; do
    accepts "{\"room\":\"a\",\"data\":\"$(times 4000 x)\"}"
  done
  listen two 'room=b' -H 'Last-Event-ID: 1-0'
  ask /nothing
  refuses 400 '{}'
  kill "$CLIENT_PID"
  scrape >after
  samples | cmp - names
  # The samples whose type is counter or histogram.
  grow() {
    awk '/^# TYPE/ { grows = $4 != "gauge"; next } !/^#/ && grows' "$1"
  }
  same "$(paste <(grow before) <(grow after) |
    awk '{ n = NF / 2; if ($n > $NF) print "falls:", $0; if ($n < $NF) grown++ } END { print (grown > 5) }')" 1
}

# ---- What a scrape costs ------------------------------------------------------------------------

@test "many rooms and names make the answer no longer" {
  local size
  metrics_server --max-rooms 0 --history 16K
  samples >names
  curl -sS -m 60 -o /dev/null -H 'Content-Type: application/octet-stream' --data-raw x \
    "$URL/messages?room=room-[1-$(scaled 500 10000)]"
  same "$(value ssechat_rooms)" "$(scaled 500 10000)"
  samples | cmp - names
  between "$(scrape | wc -c)" 4000 12000
}

@test "a scrape with many streams, of which many are blocked, takes under 2 ms of the processor" {
  is_sanitized && return 0 # a measurement is for the plain build
  local streams i before
  streams=$(scaled 2000 10000)
  metrics_server --history 64M --heartbeat 0
  crowd "$streams" /events 300
  # Prints microseconds of the server's processor, about 100; test/bench/scrape measures the time too.
  cost() {
    before=$(cut -d ' ' -f 1 "/proc/$SERVER_PID/schedstat")
    curl -sS -m 60 -o /dev/null "$METRICS/metrics?[1-50]"
    echo $((($(cut -d ' ' -f 1 "/proc/$SERVER_PID/schedstat") - before) / 50000))
  }
  between "$(cost)" 1 1999
  tell stall
  for i in {1..40}; do
    accepts "{\"data\":\"$(times 60000 x)\"}"
  done
  becomes ssechat_blocked_streams "$streams"
  between "$(cost)" 1 1999
}

@test "a monitor that reads nothing, or never ends its request, delays no other client" {
  local i
  metrics_server --drain 1
  listen stream ''
  for i in {1..20}; do
    exec {CONNECTION}<>"/dev/tcp/127.0.0.1/${METRICS##*:}"
    printf 'GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n%.0s' {1..40} >&"$CONNECTION"
    exec {CONNECTION}<>"/dev/tcp/127.0.0.1/${METRICS##*:}"
    printf 'GET /metrics HTTP/1.1\r\nHo' >&"$CONNECTION"
  done
  accepts '{"message":"in time"}'
  await_text stream 'in time'
  same "$(value ssechat_streams)" 1
}

# ---- Prometheus itself --------------------------------------------------------------------------

@test "Prometheus scrapes the server, and answers a query for what it has found" {
  is_sanitized && return 0 # it sees what the other tests see
  local prometheus port
  metrics_server
  listen one ''
  accepts '{"message":"x"}'
  port=$((20000 + RANDOM % 10000))
  printf '%s\n' 'global: {scrape_interval: 1s}' 'scrape_configs:' '  - job_name: ssechat' \
    '    static_configs: [{targets: ["'"${METRICS#http://}"'"]}]' >prometheus.yml
  prometheus --config.file=prometheus.yml --storage.tsdb.path=data "--web.listen-address=127.0.0.1:$port" \
    >prometheus.log 2>&1 3>&- &
  prometheus=$!
  CLIENTS+=("$prometheus")
  asks() { # QUERY
    curl -sS -m 10 -G --data-urlencode "query=$1" "http://127.0.0.1:$port/api/v1/query" |
      jq -r '.data.result[].value[1]'
  }
  eventually '[ "$(asks up)" = 1 ] || { cat prometheus.log; false; }'
  eventually '[ "$(asks "ssechat_deliveries_total + ssechat_streams")" = 2 ]'
  same "$(asks 'ssechat_closes_total{reason="overrun"}')" 0
  eventually '[ -n "$(asks "histogram_quantile(0.99, ssechat_turn_seconds_bucket)")" ]'
  kill "$prometheus"
  wait "$prometheus" || true
}

# ---- The operating manual -----------------------------------------------------------------------

# Prints the n-th block of YAML in the manual's section on metrics.
yaml() {
  awk -v wanted="$1" '
    /^## / { inside = $0 == "## Metrics" }
    inside && /^```/ { block = $0 == "```yaml"; n += block; next }
    inside && block && n == wanted' "$ROOT/docs/operating.md"
}

@test "the operating manual lists all metrics and their labels, and no others" {
  with_metrics journal_server
  scrape >page
  awk '/^## / { inside = $0 == "## Metrics" } inside && /^\|/ { print $0 }' "$ROOT/docs/operating.md" |
    cut -d '|' -f 2 | grep -oE '`[a-z_]+(\{[a-z]+\})?`' | tr -d '`' | sort >documented
  sed '/^#/d; s/="[^"]*"//; s/ .*//' page | sed -E 's/_(bucket|sum|count)(\{le\})?$//' | sort -u >served
  [ "$(stat -c %s /proc/self/fd)" -gt 0 ] || sed -i /process_open_fds/d documented
  diff documented served
}

@test "promtool accepts the configuration and the rules in the operating manual" {
  local metric
  yaml 1 >prometheus.yml
  grep -q 127.0.0.1:9464 prometheus.yml
  run -0 promtool check config prometheus.yml
  yaml 2 >rules.yml
  run -0 promtool check rules rules.yml
  contains "$output" 'SUCCESS: 4 rules found'
  # The rules name metrics that exist.
  with_metrics journal_server
  scrape >page
  while read -r metric; do
    grep -qE "^$metric(\{| )" page
  done < <(grep -oE 'ssechat_[a-z_]+' rules.yml | sort -u)
}
