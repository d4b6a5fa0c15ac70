#!/usr/bin/env bats
# HTTP as a client sees it: methods, errors, keep-alive connections, pipelining, and requests sent
# in pieces of any size. curl sends the well-formed requests; `raw` (helper.bash) sends bytes that
# curl would refuse to send. Parsing itself is tested in unit/http.bats.
# shellcheck disable=SC2016,SC2153
#
# seconds: 45

load lib/helper

# Prints the statuses of the answers in standard input, in order.
statuses() {
  grep -a '^HTTP/1\.1 ' | cut -d ' ' -f 2 | paste -sd ' '
}

# ---- Methods and paths ----

@test "HEAD gets the same head as GET, and no body; of pages and lists without their length" {
  local path get unsaid
  start_server
  accepts '{"message":"x"}'
  for path in / /index.html /style.css /messages '/messages?limit=1' /rooms /healthz /nothing '/messages?limit=x'; do
    unsaid='^Date'
    case $path in /messages | /messages*limit=1 | /rooms) unsaid='^Date\|^Content-Length' ;; esac
    ask "$path"
    get=$STATUS$(sed "/$unsaid/d" <<<"$HEAD")
    ask "$path" -I
    same "$STATUS$(sed '/^Date/d' <<<"$HEAD")" "$get"
    same "$(wc -c <answer.head)" "$(wc -c <answer.body)" # curl -I prints the head
  done
  # HEAD gets no byte of a body, so the next answer follows directly.
  same "$(raw 'HEAD /messages HTTP/1.1\r\nHost: h\r\n\r\nHEAD /nothing HTTP/1.1\r\nHost: h\r\n\r\nHEAD /events HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' |
    tr -d '\r' | grep -v '^[A-Z][-A-Za-z]*: ' | paste -sd '|')" \
    'HTTP/1.1 200 OK||HTTP/1.1 404 Not Found||HTTP/1.1 200 OK||HTTP/1.1 200 OK||{"status":"ok"}'
}

@test "an unknown path is answered with 404, whatever the method" {
  local path method
  start_server
  for path in /nothing /events/ /messages/ /Events /index.htm // '/%2e' '/..%2f' /metrics; do
    for method in GET -I POST PUT DELETE OPTIONS; do
      if [ "$method" = -I ]; then
        ask "$path" --path-as-is -I
      else
        ask "$path" --path-as-is -X "$method"
      fi
      same "$method $path $STATUS" "$method $path 404"
    done
  done
}

@test "a method that a path does not allow is answered with 405 and Allow" {
  local path method
  start_server
  for path in /events /rooms /healthz / /style.css; do
    for method in POST PUT DELETE PATCH TRACE; do
      ask "$path" -X "$method"
      is_problem 405
      same "$(field Allow)" 'GET, HEAD, OPTIONS'
    done
  done
  ask /messages -X DELETE
  is_problem 405
  same "$(field Allow)" 'GET, HEAD, POST, OPTIONS'
}

@test "an unknown method is answered with 501" {
  local method
  start_server
  for method in BREW get GETT PROPFIND; do
    ask /events -X "$method"
    is_problem 501
  done
}

@test "OPTIONS lists the methods of a path, and of the whole server" {
  start_server
  ask /messages -X OPTIONS
  same "$STATUS $(field Allow)" '204 GET, HEAD, POST, OPTIONS'
  ask /events -X OPTIONS
  same "$STATUS $(field Allow)" '204 GET, HEAD, OPTIONS'
  ask / -X OPTIONS
  same "$STATUS $(field Allow)" '204 GET, HEAD, OPTIONS'
  ask '' -X OPTIONS --request-target '*'
  same "$STATUS $(field Allow)" '204 GET, HEAD, POST, OPTIONS'
  same "$(field Content-Length)$BODY" ''
}

@test "an absolute target and a percent-encoded path are understood" {
  start_server
  contains "$(raw 'GET http://any.example/healthz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n')" 'HTTP/1.1 200 '
  ask '/index%2ehtml'
  same "$STATUS" 200
}

# ---- Errors ----

@test "an error is problem+json and repeats no part of the request" {
  local marker=Zq7xW
  start_server --room known
  while read -r status path arguments; do
    # shellcheck disable=SC2086
    ask "$path" $arguments
    is_problem "$status"
    lacks "$HEAD$BODY" "$marker"
  done <<END
404 /$marker
400 /events?history=$marker
400 /messages?after=$marker
403 /events?room=$marker
405 /rooms -X PUT -d $marker
501 /rooms -X $marker
415 /messages -d $marker
400 /messages -HContent-Type:application/json -d $marker
400 /messages -HContent-Type:application/json -d {"data":1,"event":"$marker$(times 64 x)"}
403 /messages -HOrigin:https://$marker -d $marker
400 /messages -HContent-Type:application/json -HIdempotency-Key:$marker$(times 64 x) -d $marker
END
  contains "$(field Content-Length)" "${#BODY}" || same "$(field Content-Length)" $((${#BODY} + 1))
}

@test "a malformed request is refused, and its connection closed" {
  local status bytes
  start_server
  while read -r status bytes; do
    same "$bytes: $(raw "$bytes" | statuses)" "$bytes: $status"
  done <<END
400 GET / HTTP/1.1\r\n\r\n
400 GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n
400 GET / HTTP/1.1\r\nHost : a\r\n\r\n
400 GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n
400 GET / HTTP/1.1\nHost: a\n\n
400 GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n
400 GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n
400 GET  / HTTP/1.1\r\nHost: a\r\n\r\n
400 GET / HTTP/1.1 \r\nHost: a\r\n\r\n
400 GET nothing HTTP/1.1\r\nHost: a\r\n\r\n
400 GET / http/1.1\r\nHost: a\r\n\r\n
505 GET / HTTP/2.0\r\nHost: a\r\n\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 3x\r\n\r\n
501 POST /messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n
400 POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n
414 GET /$(times 8000 x) HTTP/1.1\r\nHost: a\r\n\r\n
431 GET / HTTP/1.1\r\nHost: a\r\nX: $(times 16384 x)\r\n\r\n
431 GET / HTTP/1.1\r\nHost: a\r\n$(times 100 'X: y\r\n')\r\n
400 \x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n
END
}

@test "a target and a head just within their limits are accepted" {
  start_server
  same "$(raw "GET /$(times 7999 x) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" | statuses)" 404
  same "$(raw "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: $(times 16000 x)\r\n\r\n" | statuses)" 200
  same "$(raw "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n$(times 98 'X: y\r\n')\r\n" | statuses)" 200
}

@test "an error in the framing ends the connection, and a request after it is not read" {
  start_server
  same "$(raw 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 44\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' | statuses)" 415
  same "$(raw 'GET / HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' | statuses)" 400
  same "$(raw 'PUT /rooms HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' | statuses)" 405
}

@test "a connection continues after an error in the content of a request" {
  start_server
  same "$(raw 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nPOST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' | statuses)" \
    '404 400 200'
}

# ---- Connections ----

@test "a connection is kept alive, and closed if the client requests that" {
  start_server
  ask /healthz
  same "$(field Connection)" ''
  same "$(curl -sS -o /dev/null -o /dev/null -w '%{num_connects}' "$URL/healthz" "$URL/rooms")" 10
  ask /healthz -H 'Connection: close'
  same "$(field Connection)" close
  same "$(raw 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' | statuses)" 200
}

@test "an HTTP/1.0 connection is closed, or kept alive if the client requests that" {
  start_server
  same "$(raw 'GET /healthz HTTP/1.0\r\n\r\n' | statuses)" 200
  contains "$(raw 'GET /healthz HTTP/1.0\r\n\r\n' | tr -d '\r')" $'\nConnection: close\n'
  same "$(raw 'GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /rooms HTTP/1.0\r\n\r\n' | statuses)" '200 200'
  contains "$(raw 'GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /rooms HTTP/1.0\r\n\r\n' | tr -d '\r')" \
    $'\nConnection: keep-alive\n'
  same "$(raw 'POST /messages HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message":"x"}' | statuses)" 201
  same "$(raw 'HEAD /events HTTP/1.0\r\n\r\n' | statuses)" 200
}

@test "a GET with a chunked body of no bytes, as proxies make of HTTP/2, is an ordinary GET" {
  local chunked='Host: a\r\nTransfer-Encoding: chunked\r\n\r\n' path
  start_server
  for path in / /healthz /rooms /messages; do
    same "$path $(raw "GET $path HTTP/1.1\r\n${chunked}0\r\n\r\nHEAD $path HTTP/1.1\r\nConnection: close\r\n${chunked}0\r\n\r\n" | statuses)" \
      "$path 200 200"
    same "$path $(raw "GET $path HTTP/1.1\r\n${chunked}1\r\nx\r\n0\r\n\r\n" | statuses)" "$path 413"
    same "$path $(raw "GET $path HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" | statuses)" "$path 413"
  done
  exec {stream}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\n%b0\r\n\r\n' "$chunked" >request
  cat request >&"$stream"
  same "$(timeout 20 sed '/^event: ready/q' <&"$stream" | grep -cE '^(HTTP/1.1 200|event: ready)')" 2
  exec {stream}>&-
}

@test "an error says what to change in a URL that curl did not encode" {
  start_server
  ask '/rooms?room=größe'
  is_problem 400
  contains "$(jq -r .detail <<<"$BODY")" 'must be percent-encoded, as in UTF-8: write %C3%B6 for ö'
}

@test "paths are compared decoded, and an encoded slash is no slash" {
  local status path
  start_server
  while read -r status path; do
    ask "$path"
    same "$path $STATUS" "$path $status"
  done <<'END'
200 /room%73
200 /%72%6F%6fms
200 /%6dessages?limit=1
200 /h%65althz
200 /style%2Ecss
404 /%2Frooms
404 /rooms%2F
404 /room%2573
404 /rooms%00
404 /room%7
404 /room%zz
END
  ask /message%73 -H 'Content-Type: application/json' --data-raw '{"message":"x"}'
  same "$STATUS" 201
}

@test "the server closes the connection after an HTTP/1.0 answer that says close" {
  start_server
  HEAD=$(raw 'HEAD /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' | tr -d '\r')
  [ "$(field Connection)" = keep-alive ] || lacks "$HEAD" 'does not close'
}

@test "a request is answered after its sender has half-closed the connection" {
  start_server
  same "$(printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' | timeout 20 "$TOOLS/crowd" "$PORT" send | statuses)" 200
  same "$(printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message":"x"}' | timeout 20 "$TOOLS/crowd" "$PORT" send | statuses)" 201
}

@test "a thousand pipelined requests are all answered after a half-close" {
  start_server
  yes $'GET /healthz HTTP/1.1\r\nHost: a\r\n\r' | head -n 3000 >requests
  same "$("$TOOLS/crowd" "$PORT" send <requests | statuses)" "$(times 999 '200 ')200"
}

@test "pipelined requests are answered in order" {
  local requests='' i
  start_server
  for i in {1..20}; do
    requests+="POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"message\":\"$((i + 100))\"}"
  done
  same "$(raw "${requests}GET /messages?limit=20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" | tail -n 1 | jq -c '[.messages[].message | tonumber] == [range(101; 121)]')" true
}

# Replaces what differs from one run to the next: ids, times, dates and lengths.
normal() {
  sed -E 's/[0-9]{13}-[0-9]+/ID/g; s/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g; s/^Date: .*/DATE/; s/^Content-Length: .*/LENGTH/'
}

# Sends two requests in one piece, then in two pieces, cut at every byte in turn. Checks that the
# answers have these statuses and are the same each time.
cut_everywhere() { # REQUESTS STATUSES
  local connection i size whole
  raw "$1" >/dev/null # the first answers differ in their status or in `more`
  raw "$1" >/dev/null
  whole=$(raw "$1" | normal)
  same "$(statuses <<<"$whole")" "$2"
  size=$(wc -c <request)
  for ((i = 1; i < size; i++)); do
    exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
    head -c "$i" request >&"$connection"
    # This read of an empty pipe waits a millisecond, so that the server reads the first part.
    read -r -t 0.001 -u "$PAUSE" || true
    tail -c +$((i + 1)) request >&"$connection"
    timeout 20 cat <&"$connection" >answer
    exec {connection}>&-
    [ "$(normal <answer)" = "$whole" ] || {
      printf 'cut at %s:\n' "$i"
      diff <(printf '%s\n' "$whole") <(normal <answer)
      return 1
    }
  done
}

@test "two pipelined requests, cut at any byte, are answered as if in one piece" {
  start_server
  exec {PAUSE}<> <(:)
  cut_everywhere 'POST /messages?x=%20y HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: 15\r\n\r\n{"message":"x"}GET /messages?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' '200 200'
}

@test "two pipelined requests with a chunked body, cut at any byte, are answered as if in one piece" {
  start_server
  exec {PAUSE}<> <(:)
  cut_everywhere 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8;a=b\r\n{"messag\r\n7\r\ne":"x"}\r\n0\r\nT: u\r\n\r\nGET /messages?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' '201 200'
}

@test "a slow reader gets large answers in full, and the answer after them" {
  local connection
  start_server
  for _ in {1..3}; do
    accepts "{\"data\":\"$(times 60000 x)\"}"
  done
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  for _ in {1..60}; do # a page has one of the messages
    printf 'GET /messages HTTP/1.1\r\nHost: a\r\n\r\n' >&"$connection"
  done
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&"$connection"
  sleep 0.3
  timeout 20 cat <&"$connection" >answers
  exec {connection}>&-
  same "$(statuses <answers)" "$(times 60 '200 ')200"
  same "$(tail -n 1 answers)" '{"status":"ok"}'
  between "$(wc -c <answers)" 3600000 4000000
}

@test "a kept connection is closed after --keep-alive without a request" {
  local idle line
  start_server --keep-alive 1
  exec {idle}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' >&"$idle"
  read -r -t 20 line <&"$idle"
  same "${line%$'\r'}" 'HTTP/1.1 200 OK'
  contains "$(timeout 20 cat <&"$idle" && echo closed)" closed
  exec {idle}>&-
  refused 2 --keep-alive 0
  contains "$("$SSECHAT" --help)" '(75s); longer than a proxy keeps it'
}

# The time for a body is 30 seconds, and 30 more for each 64 KiB that has arrived.
@test "a large body on a slow link is accepted, and a body that nearly stops is not" {
  local slow upload
  start_server --max-body 8M --history 16M
  printf '{"event":"x","data":"%s"}' "$(head -c 3000000 /dev/zero | tr '\0' x)" >body
  curl -sS -m 120 --limit-rate 90K -o answer -w '%{http_code} %{time_total}\n' -H 'Content-Type: application/json' \
    -H 'Expect:' --data-binary @body "$URL/messages" >result 3>&- &
  upload=$!
  CLIENTS+=("$upload")
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n' >&"$slow"
  (while sleep 1; do printf xx; done >&"$slow") 2>/dev/null 3>&- &
  CLIENTS+=("$!")
  contains "$(timeout 60 head -n 1 <&"$slow")" 'HTTP/1.1 408'
  await_end "$upload"
  read -r status seconds <result
  same "$CLIENT_STATUS $status" '0 201'
  between "${seconds%.*}" 31 100
  exec {slow}>&-
}

@test "a head that takes too long gets 408, and a silent connection is closed without an answer" {
  local slow silent
  start_server
  exec {slow}<>"/dev/tcp/127.0.0.1/$PORT" {silent}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /healthz HTTP/1.1\r\nHo' >&"$slow"
  SECONDS=0
  same "$(timeout 20 cat <&"$slow" | statuses)" 408
  between "$SECONDS" 9 14
  same "$(timeout 5 cat <&"$silent")" ''
  exec {slow}>&- {silent}>&-
}
