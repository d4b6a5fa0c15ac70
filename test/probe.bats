#!/usr/bin/env bats
# `ssechat probe`: against servers that are well, in trouble, silent, endless, or no ssechat at all.
#
# seconds: 20
# quick: yes
# shellcheck disable=SC2153

bats_require_minimum_version 1.5.0
load lib/helper

# Runs the probe and checks its exit code, that it ends in time, and that it prints nothing, or one
# line on standard error: probe STATUS SENTENCE [argument...].
probe() {
  local status=0 expected=$1 sentence=$2
  shift 2
  timeout 20 "$SSECHAT" probe "$@" </dev/null >out 2>err || status=$?
  same "$status $(<err)" "$expected ${sentence:+ssechat: $sentence}"
  same "$(wc -c <out)" 0
}

# Starts a server in Python that reads a request, runs the lines of standard input for its
# connection `c`, and waits until the client has gone. Sets FAKE to its address, and keeps requests.
fake() {
  cat >fake.py <<END
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], file=open("port.new", "w"), flush=True)
__import__("os").rename("port.new", "port")
while True:
    c, _ = listener.accept()
    try:
        with open("request", "wb") as f: f.write(c.recv(65536))
$(sed 's/^/        /')
        c.shutdown(socket.SHUT_WR)
        c.recv(1)
    except OSError:
        pass
    c.close()
END
  rm -f port
  python3 fake.py </dev/null >fake.log 2>&1 3>&- &
  CLIENTS+=($!)
  eventually '[ -e port ]'
  FAKE=http://127.0.0.1:$(<port)
}

@test "a server that is well gets 0, on IPv4, IPv6 and a unix socket" {
  (umask 077 && printf '%064d' 1 >key)
  start_server --listen 127.0.0.1:0 --listen '[::1]:0' --listen "unix:$PWD/socket" \
    --listen "unix:@ssechat-test-$BASHPID" --key key --host chat.example
  probe 0 '' "$URL"
  probe 0 '' "http://localhost:$PORT"
  probe 0 '' "HTTP://127.0.0.1:$PORT/healthz"
  probe 0 '' "$(sed -n 's/^listening on \(http:..\[.*\)/\1/p' "$SERVER_LOG")/healthz" --timeout 10s
  probe 0 '' "unix:$PWD/socket"
  probe 0 '' "unix:$PWD/socket?mode=0660"
  probe 0 '' "unix:@ssechat-test-$BASHPID"
}

@test "another path is asked for as it is, and its status is reported" {
  start_server --room lobby
  probe 0 '' "$URL/messages?room=lobby&limit=1"
  probe 0 '' "$URL/"
  probe 1 "$URL/messages?room=%zz: status 400: $(curl -s "$URL/messages?room=%zz" | jq -r .detail)" \
    "$URL/messages?room=%zz"
  probe 1 "$URL/none: status 404: $(curl -s "$URL/none" | jq -r .detail)" "$URL/none"
}

@test "a server that cannot keep messages gets 1 and the reason" {
  start_through 'ulimit -f 8 && exec' --journal journal
  probe 0 '' "$URL"
  ask /messages -d '{"message":"'"$(times 4000 x)"'"}' -H 'Content-Type: application/json'
  ask /messages -d '{"message":"'"$(times 4000 x)"'"}' -H 'Content-Type: application/json'
  ask /messages -d '{"message":"'"$(times 4000 x)"'"}' -H 'Content-Type: application/json'
  ask /healthz
  same "$STATUS" 503
  probe 1 "$URL: status 503: $(jq -r .detail <<<"$BODY")" "$URL"
  contains "$(<err)" 'journal'
}

@test "where no server listens, the probe says so" {
  start_server
  stop_server
  probe 1 "$URL: no server listens there" "$URL"
  probe 1 "unix:$PWD/none: no server listens there" "unix:$PWD/none"
  probe 1 'unix:@ssechat-test-none: no server listens there' 'unix:@ssechat-test-none'
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("stale")'
  probe 1 "unix:$PWD/stale: no server listens there" "unix:$PWD/stale"
}

@test "without a URL the probe asks port 8080 of this machine" {
  strace -f -o trace -e trace=connect "$SSECHAT" probe --timeout 1s || true
  contains "$(<trace)" ', {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}'
}

@test "a server that does not answer, or does not end its answer, does not hold the probe up" {
  fake <<<'c.recv(1)'
  probe 1 "$FAKE: no answer within 1 s" "$FAKE" --timeout 1
  kill -STOP "${CLIENTS[0]}" # the kernel connects for it
  probe 1 "$FAKE: no answer within 1 s" "$FAKE" --timeout 1s
  kill -CONT "${CLIENTS[0]}"
  fake <<<'while True: c.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n" * 100)'
  probe 0 '' "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 500 Oh\r\n")
while True: c.sendall(b"X: " + b"y" * 1000 + b"\r\n")'
  probe 1 "$FAKE: status 500" "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 503 No\r\n\r\n{\"detail\":")
c.recv(1)'
  probe 1 "$FAKE: status 503" "$FAKE" --timeout 1
  fake <<<'import time
for b in b"HTTP/1.1 200 OK\r\n\r\n": c.sendall(bytes([b])); time.sleep(0.01)'
  probe 0 '' "$FAKE"
  fake <<<'import time
while True: c.sendall(b"H"); time.sleep(0.3)'
  probe 1 "$FAKE: the answer is not HTTP/1; another program listens there" "$FAKE" --timeout 2
}

@test "a connection that the other side ends, and an answer that is not HTTP, are errors" {
  fake <<<'pass'
  probe 1 "$FAKE: the connection ended without an answer" "$FAKE"
  same "$(tr -d '\r' <request)" "GET /healthz HTTP/1.0
Host: ${FAKE#http://}
User-Agent: ssechat-probe"
  fake <<<'c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")'
  probe 1 "$FAKE: the answer is not HTTP/1; another program listens there" "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 2")'
  probe 1 "$FAKE: the connection ended without an answer" "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 20x OK\r\n\r\n")'
  probe 1 "$FAKE: the answer is not HTTP/1; another program listens there" "$FAKE"
  fake <<<'c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"); c.close()'
  probe 1 "$FAKE: Connection reset by peer" "$FAKE"
}

@test "a detail is decoded, and its control characters do not reach the terminal" {
  fake <<<'c.sendall(b"HTTP/1.1 503 No\r\nA: b\r\n\r\n" + rb"""{"a":[1],"detail":"full \u00fc\u001b[31m\n"}""")'
  probe 1 "$FAKE: status 503: full ü?[31m?" "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 204 None\r\n\r\n")'
  probe 1 "$FAKE: status 204" "$FAKE"
  fake <<<'c.sendall(b"HTTP/1.1 503 No\r\n\r\n" + rb"""{"detail":7}""")'
  probe 1 "$FAKE: status 503" "$FAKE"
}

@test "a wrong URL or option gets 2 and a sentence that says what to write" {
  local url
  refused 2 probe https://chat.example
  contains "$(<err)" 'curl -f'
  for url in '' ftp://127.0.0.1 127.0.0.1:8080 http:// http://chat.example http://127.0.0.1:0 http://127.0.0.1:65536 \
    'http://[::1' 'http://::1' 'http://127.0.0.1/a b' 'http://127.0.0.1/#a' 'http://127.0.0.1?a=b' \
    "http://127.0.0.1/$(times 1100 x)" unix: unix:@ "unix:/$(times 107 x)" unix:@a?mode=0660 http://u@127.0.0.1; do
    refused 2 probe "$url"
  done
  refused 2 probe http://127.0.0.1 http://127.0.0.1
  refused 2 probe --timeout 0
  refused 2 probe --timeout
  refused 2 probe --wait 5
  run -0 "$SSECHAT" probe --help
  contains "$output" 'usage: ssechat probe [URL] [--timeout TIME]'
}
