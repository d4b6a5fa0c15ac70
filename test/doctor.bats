#!/usr/bin/env bats
# dist/ssechat-doctor: behind proxies that are configured well it finds nothing, and behind wrong ones
# it names the fault and the line to change.
#
# The proxies are the real ones. The doctor connects from 127.0.0.2, so that its address differs from
# the proxy's. Each test compares the names of all faults found, so a fault that is not there fails
# it too. Tests of timeouts use short ones; the others leave out the silence (--quick).

# shellcheck disable=SC2016,SC2030,SC2031,SC2094,SC2154
#
# seconds: 120
# build: plain

bats_require_minimum_version 1.5.0

load lib/helper
load lib/token
load lib/proxies

GOOD='proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'

# Starts a server that a proxy on this machine may stand in front of, with the default limits.
start_chat() {
  start_server --post-rate 5 --max-streams-per-ip 64 --trust-proxy 127.0.0.1 --heartbeat 1 "$@"
}

# Starts a proxy on a free port, and sets URL to the proxy's URL. `configure`, which the caller
# defines, writes its configuration for a port.
start_configured() { # COMMAND...
  local pid
  for _ in {1..20}; do
    pick_port
    configure "$PROXY_PORT"
    "$@" </dev/null >proxy.log 2>&1 3>&- &
    pid=$!
    CLIENTS+=("$pid")
    URL=$SCHEME://127.0.0.1:$PROXY_PORT
    # If the port is taken, the proxy gives up.
    eventually "! kill -0 $pid 2>/dev/null || { has_port $pid && curl -sk -o /dev/null $URL/healthz; }"
    ! kill -0 "$pid" 2>/dev/null || return 0
    unset 'CLIENTS[-1]'
  done
  cat proxy.log >&2
  return 1
}

# Starts nginx in front of the server, with lines for its location, for `http` and for `listen`.
nginx_with() { # LOCATION [HTTP [LISTEN [LOCATIONS]]]
  local location=$1 http=${2:-} listen=${3:-} locations=${4:-} chat=$URL
  SCHEME=http
  [[ $listen != *ssl* ]] || SCHEME=https
  mkdir -p nginx
  configure() {
    nginx_begin >nginx/conf
    cat >>nginx/conf <<END
  $http
  server {
    listen 127.0.0.1:$1 $listen;
    $locations
    location / { proxy_pass $chat; $location }
  }
}
END
  }
  start_configured nginx -p "$PWD" -e nginx/log -c nginx/conf
}

# Starts HAProxy in front of the server, with lines for its frontend, its backend and its timeouts.
haproxy_with() { # [LINES [TIMEOUTS]]
  local lines=${1:-} timeouts=${2:-timeout server 1h} chat=${URL#http://}
  SCHEME=http
  configure() {
    printf '%s\n' defaults 'mode http' 'timeout connect 5s' 'timeout client 1h' "$timeouts" \
      'listen chat' "bind 127.0.0.1:$1" 'option forwardfor' "$lines" "server chat $chat" >haproxy.conf
  }
  start_configured haproxy -db -dR -f haproxy.conf
}

# Runs the doctor and checks its exit status: diagnose STATUS [options]. Sets FAULTS to the names of
# the faults, in order.
diagnose() {
  local expected=$1
  shift
  run --separate-stderr "$ROOT/dist/ssechat-doctor" --interface 127.0.0.2 "$@" "$URL"
  printf '%s\n' "$output" "$stderr"
  same "$status" "$expected"
  FAULTS=$(sed -n 's/^FAULT  \([^ ]*\).*/\1/p' <<<"$output" | xargs)
  same "$stderr" ''
}

# Checks that the doctor finds exactly this fault, and says this of it and of the line to change:
# finds NAME SENTENCE FIX [options].
finds() {
  diagnose 1 "${@:4}"
  same "$FAULTS" "$1"
  contains "$output" "$2"
  contains "$output" "$3"
}

# Checks that the doctor finds nothing, and that it has tried everything.
finds_nothing() {
  diagnose 0 "$@"
  same "$FAULTS" ''
  contains "$output" 'Nothing wrong was found.'
  contains "$output" 'an event while the stream is open'
  contains "$output" 'Last-Event-ID gets what it missed'
  contains "$output" 'last_event_id in the URL gets what it missed'
  contains "$output" 'cannot escape the limits'
  contains "$output" 'ssechat counts this client as 127.0.0.2;'
  contains "$output" 'Heartbeats pass (every 1 seconds)'
  contains "$output" 'is held for 5 seconds and then answered'
  contains "$output" 'works after 5 seconds of silence'
}

# ---- Nothing is wrong ----

@test "the doctor finds nothing without a proxy" {
  start_chat
  finds_nothing --idle 5
  contains "$output" 'no proxy in front'
  # Its events stay in a room that is not listed.
  ask /rooms
  same "$BODY" '{"rooms":[],"more":false}'
}

@test "the doctor finds nothing behind nginx, with HTTP/1.0 and with kept connections" {
  start_chat
  local chat=$URL
  nginx_with "$GOOD"
  finds_nothing --idle 5
  contains "$output" 'behind nginx'
  URL=$chat
  nginx_with "$GOOD proxy_http_version 1.1; proxy_set_header Connection '';"
  diagnose 0 --quick
  same "$FAULTS" ''
}

@test "the doctor finds nothing behind HAProxy" {
  start_chat
  haproxy_with
  finds_nothing --idle 5
  contains "$output" 'behind HAProxy'
}

@test "the doctor finds nothing behind TLS and HTTP/2 if it trusts the certificate, and names it if not" {
  start_chat
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=chat \
    -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt 2>/dev/null
  nginx_with "$GOOD" "ssl_certificate $PWD/tls.crt; ssl_certificate_key $PWD/tls.key;" 'ssl http2'
  finds_nothing --idle 5 --cacert tls.crt
  contains "$output" 'HTTP/2'
  contains "$output" 'The certificate is valid.'
  diagnose 0 --quick -k
  contains "$output" 'The certificate was not checked'
  diagnose 3 --quick
  same "$FAULTS" reachable
  contains "$output" 'it is self-signed'
}

@test "with a token, the doctor finds nothing; no process list shows the token" {
  start_chat --key key
  nginx_with "$GOOD"
  "$SSECHAT" token --key key --rooms '*' --publish --ttl 1h >token
  mkdir bin
  cat >bin/curl <<END
#!/bin/sh
echo "\$*" >>"$PWD/commands"
exec $(command -v curl) "\$@"
END
  chmod +x bin/curl
  SSECHAT_TOKEN=$(<token) PATH=$PWD/bin:$PATH finds_nothing --idle 5
  contains "$output" 'The token arrives'
  contains "$(<commands)" --data-binary
  lacks "$(<commands)" "$(<token)"
}

@test "without a token, the doctor says how to give one; a reading token leaves out what needs a POST" {
  start_chat --key key
  diagnose 2
  contains "$output" SSECHAT_TOKEN
  diagnose 2 --token aaaa.bbbb.cccc
  contains "$output" 'The token is not accepted'
  "$SSECHAT" token --key key --rooms news --ttl 1h >token
  diagnose 2 --token "$(<token)"
  contains "$output" 'Give --room a room'
  diagnose 0 --idle 5 --token "$(<token)" --room news
  contains "$output" 'The token is for reading only'
  contains "$output" 'Heartbeats pass'
}

# ---- nginx is wrong ----

@test "nginx buffers the stream" {
  start_chat
  nginx_with "$GOOD proxy_ignore_headers X-Accel-Buffering;"
  finds buffering 'holds the stream back' 'nginx: proxy_buffering off;' --quick
}

@test "nginx compresses the stream" {
  start_chat
  nginx_with "$GOOD gzip on; gzip_types text/event-stream; gzip_http_version 1.0; gzip_proxied any;"
  finds compression 'compresses the stream (gzip)' 'take text/event-stream (or *) out of gzip_types' --quick
}

@test "nginx cuts a silent stream" {
  start_chat --heartbeat 30
  nginx_with "$GOOD proxy_read_timeout 2s;"
  finds 'idle poll' 'cut the silent stream' 'nginx: proxy_read_timeout 1h;' --idle 5
  contains "$output" 'gets 504 from the proxy before ssechat answers after 5 seconds'
}

@test "nginx gives up a held request even though heartbeats keep streams open" {
  start_chat
  nginx_with "$GOOD proxy_read_timeout 3s;"
  finds poll 'gets 504 from the proxy' 'nginx: proxy_read_timeout 1h;' --idle 5
}

@test "nginx does not pass Host" {
  start_chat
  nginx_with 'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'
  finds host 'because the proxy changes Host' 'nginx: proxy_set_header Host $http_host;' --quick
}

@test "nginx changes Origin" {
  start_chat
  nginx_with "$GOOD proxy_set_header Origin http://localhost;"
  finds host 'because the proxy changes Host (or Origin)' 'nginx: proxy_set_header Host $http_host;' --quick
}

@test "nginx drops Last-Event-ID" {
  start_chat
  nginx_with "$GOOD proxy_set_header Last-Event-ID '';"
  finds resume 'drops the field Last-Event-ID' 'nginx: remove `proxy_set_header Last-Event-ID`' --quick
}

@test "nginx drops the query" {
  start_chat
  nginx_with "$GOOD" '' '' "location /events { proxy_pass $URL/events?; rewrite ^ /events? break; $GOOD }"
  finds query 'drops the query' 'nginx: proxy_pass http://127.0.0.1:8080;' --quick
}

@test "nginx drops the token, from the URL or from the field" {
  start_chat --key key
  local chat=$URL
  "$SSECHAT" token --key key --rooms '*' --publish --ttl 1h >token
  nginx_with "$GOOD" '' '' "location /events { rewrite ^ /events? break; proxy_pass $URL; $GOOD }"
  finds query 'the token in it does not arrive' 'nginx: proxy_pass http://127.0.0.1:8080;' --quick --token "$(<token)"
  URL=$chat
  nginx_with "$GOOD proxy_set_header Authorization '';"
  finds token 'drops the field Authorization' 'nginx: remove `proxy_set_header Authorization`' --quick --token "$(<token)"
}

@test "nginx passes on a forged X-Forwarded-For" {
  start_chat
  local chat=$URL
  nginx_with 'proxy_set_header Host $http_host;'
  finds forged 'A forged X-Forwarded-For is believed' 'nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;' --quick
  # The field is missing unless the client forges it, or it is the client's alone.
  URL=$chat
  nginx_with 'proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For "$xff";' \
    'map $http_x_forwarded_for $xff { "" $remote_addr; default $http_x_forwarded_for; }'
  finds forged 'A forged X-Forwarded-For is believed' 'nginx: proxy_set_header X-Forwarded-For' --quick
}

@test "the server does not know its proxy" {
  start_server --post-rate 5 --max-streams-per-ip 64
  local chat=$URL
  nginx_with "$GOOD"
  finds address 'counts this client as 127.0.0.1, which is not an address of this machine' \
    'ssechat: --trust-proxy 127.0.0.1' --quick
  contains "$output" 'nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'
  URL=$chat
  haproxy_with
  finds address 'counts this client as 127.0.0.1, which is not an address of this machine' 'HAProxy: option forwardfor' --quick
  lacks "$output" if-none
}

@test "nginx answers from a cache" {
  start_chat
  nginx_with "$GOOD" 'proxy_cache_path nginx/cache keys_zone=chat:1m;' '' "
    location /messages {
      proxy_pass $URL; $GOOD
      proxy_cache chat; proxy_cache_valid any 1m; proxy_ignore_headers Cache-Control;
    }"
  finds cache 'An old answer comes instead of the history' 'nginx: remove proxy_cache' --quick
}

@test "nginx refuses POST, or large bodies" {
  start_chat
  local chat=$URL
  nginx_with "$GOOD limit_except GET { deny all; }"
  finds post 'The proxy refuses POST with 403.' 'nginx: remove limit_except' --quick
  URL=$chat
  nginx_with "$GOOD client_max_body_size 1k;"
  finds body 'The proxy refuses a body of 60 KB (413)' 'nginx: client_max_body_size 64k;' --quick
}

@test "nginx allows one connection per address" {
  start_chat
  nginx_with "$GOOD limit_conn one 1;" 'limit_conn_zone $http_accept zone=one:1m;'
  finds second 'A second stream at the same time is refused with 503' 'raise the limit on connections' --quick
}

@test "nginx limits requests: the doctor says what it could not try" {
  start_chat
  nginx_with "$GOOD" 'limit_req_zone $request_method zone=one:1m rate=1r/m;' '' "
    location /messages { limit_req zone=one burst=2 nodelay; proxy_pass $URL; $GOOD }"
  diagnose 0 --quick
  contains "$output" 'The proxy limits requests itself (503)'
}

@test "nginx replaces errors by its own pages" {
  start_chat
  nginx_with "$GOOD proxy_intercept_errors on; error_page 400 429 /oops;" '' '' \
    'location = /oops { internal; return 200 oops; }'
  finds errors 'replaces errors of ssechat' 'nginx: proxy_intercept_errors off;' --quick
}

@test "the server has another --host than the address" {
  start_chat --host chat.example
  nginx_with "$GOOD"
  finds host 'does not answer for this name (421)' 'ssechat: --host 127.0.0.1' --quick
}

@test "a kept connection fails after silence" {
  start_chat
  # nginx stands for a proxy whose upstream is gone when the connection is used again.
  nginx_with "$GOOD" 'map $connection_requests $late { default ""; 2 late; }' '' '
    location = /messages { if ($late) { return 502; } proxy_pass '"$URL; $GOOD"' }'
  finds kept 'a kept connection gets 502' 'nginx: keepalive_timeout 50s;' --idle 2
}

# ---- HAProxy is wrong ----

@test "HAProxy cuts a silent stream" {
  start_chat --heartbeat 30
  haproxy_with '' 'timeout server 2s'
  finds 'idle poll' 'cut the silent stream' 'HAProxy: timeout server 1h' --idle 5
}

@test "HAProxy waits for the body of an answer" {
  start_chat
  haproxy_with 'http-response wait-for-body time 1h at-least 1m'
  finds buffering 'holds the stream back' 'HAProxy: remove `http-response wait-for-body`' --quick
}

@test "HAProxy refuses POST, drops fields, changes Host" {
  start_chat
  local chat=$URL
  haproxy_with 'http-request deny if METH_POST'
  finds post 'The proxy refuses POST with 403.' 'HAProxy: remove the `http-request deny` rule' --quick
  URL=$chat
  haproxy_with 'http-request del-header Last-Event-ID
http-request set-header Host chat.internal'
  diagnose 1 --quick
  same "$FAULTS" 'host resume'
  contains "$output" 'HAProxy: remove `http-request set-header Host`'
  contains "$output" 'HAProxy: remove `http-request del-header Last-Event-ID`'
}

# ---- No ssechat ----

@test "the doctor exits with 3 if it reaches no ssechat, and says why" {
  start_chat
  nginx_with "$GOOD"
  stop_server
  diagnose 3
  contains "$output" 'it cannot reach ssechat'
  local chat=$URL
  URL=$chat/nothing
  diagnose 3
  URL=http://127.0.0.1:1
  diagnose 3
  contains "$output" 'Nothing accepts connections there'
  URL=http://$(times 64 x).example # a label has at most 63 letters, so no name server is asked
  diagnose 3
  contains "$output" 'The name in the address is not known'
  URL=$chat
  nginx_with 'root .;' '' '' 'location = /healthz { return 200 "hello"; }'
  diagnose 3
  contains "$output" 'is not ssechat'
}

@test "the doctor follows a redirect from http to https, and no other" {
  start_chat --key key
  local chat=$URL
  nginx_with "$GOOD" '' '' 'location /healthz { return 301 http://elsewhere.invalid/healthz; }'
  diagnose 3
  contains "$output" 'redirects to http://elsewhere.invalid/healthz'
  URL=$chat
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=chat \
    -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt 2>/dev/null
  nginx_with "$GOOD" "ssl_certificate $PWD/tls.crt; ssl_certificate_key $PWD/tls.key;" ssl
  local secure=$URL
  nginx_with "access_log nginx/plain fields; return 301 $secure\$request_uri;" \
    'log_format fields "$request $http_authorization";'
  "$SSECHAT" token --key key --rooms '*' --publish --ttl 1h >token
  diagnose 0 --quick --cacert tls.crt --token "$(<token)"
  contains "$output" "the checks go on with $secure"
  contains "$output" 'The token arrives'
  # The token did not go over HTTP.
  contains "$(<nginx/plain)" 'GET /healthz'
  lacks "$(<nginx/plain)" "$(<token)"
}

@test "wrong options of the doctor get one sentence and 2" {
  local options
  while read -r options; do
    # shellcheck disable=SC2086  # several words
    run -2 --separate-stderr "$ROOT/dist/ssechat-doctor" $options
    same "$output" ''
    contains "$stderr" ssechat-doctor:
  done <<'END'

chat.example
ftp://chat.example
https://ann@chat.example
https://chat.example/?room=x
https://chat.example https://other.example
--idle 0 https://chat.example
--idle x https://chat.example
--room a/b https://chat.example
--token "x https://chat.example
--token
--nothing https://chat.example
END
  run -0 "$ROOT/dist/ssechat-doctor" --help
  contains "$output" 'usage: ssechat-doctor'
  contains "$output" 'Exit codes: 0'
}
