# shellcheck shell=bash disable=SC2034,SC2154
# Runs real proxies in front of the server, with the configurations that the project gives: the files
# in dist/ and the blocks in docs/proxies.md. Only names of files, ports and users are replaced.
# Load lib/helper first.
#
# Each proxy has its own process in the foreground, its own folder and a port on loopback: its port
# 443 becomes that port of 127.0.0.1, and its port 80 the same port of 127.0.0.2. It ends with the
# test. Services that Debian runs from the same packages are not used.

PATH=$PATH:/usr/sbin # where Debian installs most proxies
PROXY=               # the proxy that was started last

# Sets PROXY_PORT to a port at which nothing listens, on any address.
pick_port() {
  until
    PROXY_PORT=$((10000 + RANDOM % 20000))
    [ -z "$(ss -tlnH "sport = :$PROXY_PORT")" ]
  do :; done
}

# Succeeds if the process listens at PROXY_PORT: has_port PID. Another program could have taken the port
# since pick_port, and would answer in its place.
has_port() {
  ss -tlnpH "sport = :$PROXY_PORT" | grep -q "pid=$1,"
}

# Starts a proxy in front of the server: start_proxy NAME. Sets PROXY, PROXY_PORT, PROXY_PID and
# URL, the proxy's URL; SERVER_URL stays the server's. From then on curl knows the proxy's name and
# trusts its certificate.
start_proxy() {
  local attempt program
  PROXY=$1
  case $PROXY in
  apache) program=apache2 ;;
  varnish) program=varnishd ;;
  *) program=$PROXY ;;
  esac
  command -v "$program" >/dev/null || skip "$program is not installed"
  make_certificate
  SERVER_URL=$URL
  for attempt in {1..20}; do
    pick_port
    URL=https://chat.example:$PROXY_PORT
    [ "$PROXY" != varnish ] || URL=${URL/https:/http:}
    rm -rf "$PROXY" # a folder in the test's folder
    mkdir "$PROXY"
    "write_$PROXY"
    write_curlrc
    "run_$PROXY" </dev/null >"$PROXY/output" 2>&1 3>&- &
    PROXY_PID=$!
    CLIENTS+=("$PROXY_PID")
    # If the port is taken, the proxy gives up.
    eventually "! kill -0 $PROXY_PID 2>/dev/null || { has_port $PROXY_PID && curl -sf $URL/healthz; }"
    ! kill -0 "$PROXY_PID" 2>/dev/null || return 0
    unset 'CLIENTS[-1]'
  done
  tail -n 20 "$PROXY"/* >&2
  return 1
}

# Makes a certificate for chat.example, once for each suite, and copies it to the test's folder.
make_certificate() {
  local folder=$BATS_FILE_TMPDIR/certificate
  if [ ! -d "$folder" ]; then
    mkdir "$folder"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=chat.example \
      -addext subjectAltName=DNS:chat.example,IP:127.0.0.1 -keyout "$folder/key" -out "$folder/cert" 2>/dev/null
    cat "$folder/cert" "$folder/key" >"$folder/both"
  fi
  cp "$folder"/* .
}

# Tells curl, in this test, how to reach chat.example. The certificate is not in the file, because
# `--next` clears what curl has read from there.
write_curlrc() {
  mkdir -p curl
  echo "resolve = chat.example:$PROXY_PORT:127.0.0.1" >>curl/.curlrc
  export CURL_HOME=$PWD/curl CURL_CA_BUNDLE=$PWD/cert
}

# Prints the block of docs/proxies.md in a language: block LANGUAGE.
block() {
  sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/{/^\`\`\`/!p;}" "$ROOT/docs/proxies.md"
}

# Replaces texts in CONFIG: replace TEXT BY... Each text must be there, or the proxy would use what
# is in the file: the machine's ports and files.
replace() {
  while [ $# -gt 0 ]; do
    contains "$CONFIG" "$1"
    CONFIG=${CONFIG//"$1"/"$2"}
    shift 2
  done
}

is_root() {
  [ "$(id -u)" = 0 ]
}

# ---- nginx ----

# Prints the beginning of nginx's configuration, up to the contents of its http block: the folder
# `nginx` has everything that nginx writes.
nginx_begin() {
  cat <<'END'
daemon off;
master_process off;
pid nginx/pid;
error_log nginx/log;
events {}
http {
  access_log off;
  client_body_temp_path nginx/body;
  proxy_temp_path nginx/proxy;
  fastcgi_temp_path nginx/fastcgi;
  uwsgi_temp_path nginx/uwsgi;
  scgi_temp_path nginx/scgi;
END
}

# The site is included as Debian's nginx.conf does it. Its IPv6 addresses become unix sockets,
# because a machine can lack IPv6. UPSTREAM is set if the server listens on a unix socket.
write_nginx() {
  CONFIG=$(<"$ROOT/dist/nginx.conf")
  replace 'listen 80;' "listen 127.0.0.2:$PROXY_PORT;" '[::]:80' unix:nginx/plain \
    'listen 443 ' "listen 127.0.0.1:$PROXY_PORT " '[::]:443' unix:nginx/socket \
    /etc/ssl/certs/chat.example.pem "$PWD/cert" /etc/ssl/private/chat.example.key "$PWD/key" \
    127.0.0.1:8080 "${UPSTREAM:-${SERVER_URL#http://}}"
  printf '%s\n' "$CONFIG" >nginx/site
  nginx_begin >nginx/conf
  cat >>nginx/conf <<END
  gzip on;
  include $PWD/nginx/site;
}
END
}

run_nginx() {
  exec nginx -p "$PWD" -e nginx/log -c nginx/conf
}

# ---- HAProxy ----

# A second file makes HAProxy tell how it sees the server: see health.
write_haproxy() {
  CONFIG=$(<"$ROOT/dist/haproxy.cfg")
  replace ':::80 v4v6' "127.0.0.2:$PROXY_PORT" ':::443 v4v6' "127.0.0.1:$PROXY_PORT" \
    /etc/haproxy/chat.example.pem "$PWD/both" \
    127.0.0.1:8080 "${SERVER_URL#http://}"
  is_root || replace '    user haproxy' '' '    group haproxy' ''
  printf '%s\n' "$CONFIG" >haproxy/conf
  cat >haproxy/statistics <<END
listen statistics
    bind unix@$PWD/haproxy/socket
    stats enable
    stats uri /
END
}

# -dR makes a port that is taken an error; HAProxy would share it with another HAProxy.
run_haproxy() {
  exec haproxy -db -dR -f haproxy/conf -f haproxy/statistics
}

# Prints the state that HAProxy gives the server, as in "UP L7OK 200".
health() {
  curl -s --unix-socket haproxy/socket 'http://x/;csv' |
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
      $1 == "ssechat" && $2 == "ssechat" { print $at["status"], $at["check_status"], $at["check_code"] }'
}

# ---- Caddy ----

write_caddy() {
  CONFIG=$(<"$ROOT/dist/Caddyfile")
  replace 'chat.example {' "chat.example:$PROXY_PORT {" '#tls ' 'tls ' \
    /etc/caddy/chat.example.pem "$PWD/cert" /etc/caddy/chat.example.key "$PWD/key" \
    127.0.0.1:8080 "${SERVER_URL#http://}"
  cat >caddy/conf - <(printf '%s\n' "$CONFIG") <<'END'
{
	admin off
	default_bind 127.0.0.1
	auto_https disable_redirects
	grace_period 1s
}
END
}

run_caddy() {
  export HOME=$PWD/caddy XDG_DATA_HOME=$PWD/caddy XDG_CONFIG_HOME=$PWD/caddy
  exec caddy run --config caddy/conf --adapter caddyfile
}

# ---- Apache ----

# The modules and settings are Debian's after `a2enmod ssl http2 proxy_http`.
write_apache() {
  local name modules=/etc/apache2/mods-available
  CONFIG=$(block apache)
  replace '*:80' "127.0.0.2:$PROXY_PORT" '*:443' "127.0.0.1:$PROXY_PORT" /etc/ssl/certs/chat.example.pem "$PWD/cert" \
    /etc/ssl/private/chat.example.key "$PWD/key" http://127.0.0.1:8080 "$SERVER_URL"
  {
    printf '%s\n' "ServerRoot $PWD/apache" "DefaultRuntimeDir $PWD/apache" "PidFile $PWD/apache/pid" \
      "ErrorLog $PWD/apache/log" 'User www-data' 'Group www-data' 'ServerName localhost' \
      "Listen 127.0.0.1:$PROXY_PORT" "Listen 127.0.0.2:$PROXY_PORT"
    for name in mpm_event alias authz_core setenvif filter deflate reqtimeout socache_shmcb ssl http2 proxy proxy_http; do
      echo "Include $modules/$name.load"
    done
    for name in mpm_event deflate reqtimeout; do
      echo "Include $modules/$name.conf"
    done
    grep -E '^(Timeout|KeepAlive|MaxKeepAliveRequests|KeepAliveTimeout) ' /etc/apache2/apache2.conf
    printf '%s\n' "$CONFIG"
  } >apache/conf
}

run_apache() {
  exec apache2 -d apache -f "$PWD/apache/conf" -D FOREGROUND
}

# ---- lighttpd ----

# The address outside the block is Debian's port 80. The IPv6 address becomes a third one of this machine,
# because a machine can lack IPv6.
write_lighttpd() {
  CONFIG=$(block lighttpd)
  replace '":443"' "\"127.0.0.1:$PROXY_PORT\"" '"[::]:443"' "\"127.0.0.3:$PROXY_PORT\"" /etc/lighttpd/chat.example.pem "$PWD/both" \
    '"port" => 8080' "\"port\" => ${SERVER_URL##*:}"
  {
    printf '%s\n' "server.document-root = \"$PWD/lighttpd\"" "server.bind = \"127.0.0.2\"" \
      "server.port = $PROXY_PORT" "server.errorlog = \"$PWD/lighttpd/log\"" 'server.modules = ( "mod_redirect" )'
    sed -n '/^server.http-parseopts/,/^)/p' /etc/lighttpd/lighttpd.conf
    printf '%s\n' "$CONFIG"
  } >lighttpd/conf
}

run_lighttpd() {
  exec lighttpd -D -f lighttpd/conf
}

# ---- Varnish ----

write_varnish() {
  CONFIG=$(block vcl)
  replace '"8080"' "\"${SERVER_URL##*:}\""
  printf '%s\n' "$CONFIG" >varnish/default.vcl
}

run_varnish() {
  exec varnishd -j none -F -n "$PWD/varnish/state" -f "$PWD/varnish/default.vcl" -T none -s malloc,16m \
    -a "127.0.0.1:$PROXY_PORT"
}
