#!/usr/bin/env bats
# GET /metrics: the format, what each number counts, and what a scrape costs.
#
# Most tests read a number, cause what it counts, and read it again (`counts`). promtool and
# prometheus are Debian's; no test leaves a Prometheus running.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154
#
# seconds: 60

bats_require_minimum_version 1.5.0
load lib/helper
load lib/journal

# Starts a server with metrics on a free port; sets METRICS to their URL.
metrics_server() {
  start_server --metrics 127.0.0.1:0 "$@"
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
