# shellcheck shell=bash disable=SC2034,SC2016
# Runs the real nginx in front of the server. Load lib/helper first.

# Starts nginx in front of the server, with the location that the operating manual gives. Sets URL to
# nginx's URL, and SERVER_URL to the server's.
start_nginx() {
  local pid attempt port
  PATH=$PATH:/usr/sbin # where Debian installs nginx
  command -v nginx >/dev/null || skip 'nginx is not installed'
  SERVER_URL=$URL
  mkdir -p nginx
  for attempt in {1..20}; do
    port=$((10000 + RANDOM % 20000))
    cat >nginx/conf <<END
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
  server {
    listen 127.0.0.1:$port;
$(sed -n '/^```nginx$/,/^```$/{/^```/!p;}' "$ROOT/docs/operating.md" | sed "s|http://127.0.0.1:8080|$URL|")
  }
}
END
    nginx -p "$PWD" -e nginx/log -c nginx/conf </dev/null >/dev/null 2>&1 3>&- &
    pid=$!
    # If the port is taken, nginx gives up, and an answer from that port is from another program.
    eventually "! kill -0 $pid 2>/dev/null || grep -qs . nginx/pid && curl -sf http://127.0.0.1:$port/healthz"
    if kill -0 "$pid" 2>/dev/null; then
      CLIENTS+=("$pid")
      URL=http://127.0.0.1:$port
      return 0
    fi
  done
  cat nginx/log >&2
  return 1
}
