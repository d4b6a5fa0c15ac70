#!/usr/bin/env bats
# http.c, through its driver: what requests mean, and which are refused. The driver parses each input
# in one piece, cut in two at every point, byte by byte, and handed over at every point, always next to
# an unreadable page; it fails when the results differ.
#
# seconds: 12

# shellcheck disable=SC2119,SC2120 # only some calls pass options to `document`

load ../lib/helper

# Prints a request: each line gets a CRLF, except a line that ends with a backslash. Other bytes are
# written with the escapes of printf.
request() {
    local line
    while IFS= read -r line; do
        case $line in
        *\\) printf '%b' "${line%\\}" ;;
        *) printf '%b\r\n' "$line" ;;
        esac
    done
}

# Checks a request. Standard input: the request, a line "means", and the driver's description.
document() {
    local text expected
    text=$(cat)
    expected=${text#*$'\n'means$'\n'}
    run "$UNIT/http" "${1:-65536}" < <(request <<<"${text%%$'\n'means$'\n'*}")
    if [ "$status" -ne 0 ] || [ "$output" != "$expected" ]; then
        diff <(printf '%s\n' "$expected") <(printf '%s\n' "$output") || true
        return 1
    fi
}

# Checks the cases on standard input, one per line: "status | request", with the escapes of printf.
# The status is the driver's last line.
table() {
    local wanted bytes failed=0 count=0
    while IFS='|' read -r wanted bytes; do
        wanted=${wanted% } bytes=${bytes# }
        count=$((count + 1))
        run "$UNIT/http" "${1:-65536}" < <(printf '%b' "$bytes")
        if [ "$status" -ne 0 ] || [ "${output##*$'\n'}" != "$wanted" ]; then
            printf '%s\n' "$bytes" "expected: $wanted" "got $status: $output"
            failed=1
        fi
    done
    [ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
}

# Expands the abbreviations in the tables of bodies.
short() {
    sed -e 's#| CHUNKED #| POST TE: chunked\\r\\n\\r\\n#' \
        -e 's#| POST #| POST / HTTP/1.1\\r\\nHost: a\\r\\n#' \
        -e 's#TE#Transfer-Encoding#g; s#CL#Content-Length#g'
}

# Prints the driver's last line for standard input.
verdict() {
    "$UNIT/http" "$@" | tail -n 1
}

early() {
    printf '%b' "$1" | "$UNIT/http" early "${@:2}"
}

# Prints a letter COUNT times.
letters() { # COUNT [LETTER]
    head -c "$1" /dev/zero | tr '\0' "${2:-a}"
}

# ---- What a request means ------------------------------------------------------------------------

@test "http: a browser's request for a stream is understood" {
    document <<'END'
GET /events?room=a&name=ann HTTP/1.1
Host: localhost:8080
User-Agent: somebody
Accept: text/event-stream
last-event-id: 1760000000000-0
Accept-Encoding:\tgzip, br\t
Cookie: a=b

means
GET /events HTTP/1.1
query: room=a&name=ann
authority: localhost:8080
then: keep-alive
host: localhost:8080
last-event-id: 1760000000000-0
accept-encoding: gzip, br
cookie: a=b
end
END
}

@test "http: a POST is understood, and the next request after its body" {
    document <<'END'
POST /messages HTTP/1.1
HOST: a
Content-Type: application/json
Content-Length: 16
Idempotency-Key: k

{"message":"hi"}\
HEAD / HTTP/1.1
host: a

means
POST /messages HTTP/1.1
authority: a
then: keep-alive, has-length
host: a
content-type: application/json
content-length: 16
idempotency-key: k
body: {"message":"hi"}
HEAD / HTTP/1.1
authority: a
then: keep-alive
host: a
end
END
}

@test "http: a chunked body is joined, and its extensions and trailers are dropped" {
    document <<'END'
POST /messages HTTP/1.1
Host: a
Transfer-Encoding: Chunked

5
hello
0001;plain;name = value ; quoted="a;\\"b"
,
00a
\r\n\x00 world!
0
Content-Length: 5
X-Trailer: anything

GET /next HTTP/1.1
Host: a

means
POST /messages HTTP/1.1
authority: a
then: keep-alive, has-length, chunked
host: a
transfer-encoding: Chunked
body: hello,\x0d\x0a\x00 world!
GET /next HTTP/1.1
authority: a
then: keep-alive
host: a
end
END
}

@test "http: an empty body is a body, and an empty value is a value" {
    document <<'END'
POST / HTTP/1.1
Host:
Content-Length: 0
Last-Event-ID:

POST / HTTP/1.1
Host: a
Transfer-Encoding: chunked

0

means
POST / HTTP/1.1
then: keep-alive, has-length
host:
content-length: 0
last-event-id:
POST / HTTP/1.1
authority: a
then: keep-alive, has-length, chunked
host: a
transfer-encoding: chunked
end
END
}

@test "http: HTTP/1.0 closes the connection unless it asks for keep-alive, and needs no Host" {
    document <<'END'
GET / HTTP/1.0
Connection: Keep-Alive
Expect: a miracle

GET / HTTP/1.0

means
GET / HTTP/1.0
then: keep-alive
connection: Keep-Alive
expect: a miracle
GET / HTTP/1.0
then: close
end
END
}

@test "http: an HTTP/1.1 connection stays open unless a Connection field says close" {
    document <<'END'
GET / HTTP/1.1
Host: a
Connection: upgrade, keep-alive
Connection: foo,\tCLOSE

GET / HTTP/1.7
Host: a
Connection: closed

means
GET / HTTP/1.1
authority: a
then: close
host: a
connection: upgrade, keep-alive
connection: foo,\x09CLOSE
GET / HTTP/1.1
authority: a
then: keep-alive
host: a
connection: closed
end
END
}

@test "http: 100-continue counts only when a body follows" {
    document <<'END'
POST / HTTP/1.1
Host: a
Content-Length: 2
Expect: 100-Continue

okGET / HTTP/1.1
Host: a
Expect: 100-continue

means
POST / HTTP/1.1
authority: a
then: keep-alive, has-length, expects-continue
host: a
content-length: 2
expect: 100-Continue
body: ok
GET / HTTP/1.1
authority: a
then: keep-alive
host: a
expect: 100-continue
end
END
}

@test "http: all four forms of a target are understood" {
    document <<'END'
GET HTTP://example.org:81/a?b?c=d HTTP/1.1
Host: other

GET https://[::1]?q HTTP/1.1
Host: other

GET http://example.org HTTP/1.0

OPTIONS * HTTP/1.1
Host: a

CONNECT example.org:443 HTTP/1.1
Host: example.org

GET /%2e%2e//*"<\\>|~? HTTP/1.1
Host: a

means
GET /a HTTP/1.1
query: b?c=d
authority: example.org:81
then: keep-alive
host: other
GET / HTTP/1.1
query: q
authority: [::1]
then: keep-alive
host: other
GET / HTTP/1.0
authority: example.org
then: close
OPTIONS * HTTP/1.1
authority: a
then: keep-alive
host: a
known (no path) HTTP/1.1
authority: example.org:443
then: keep-alive
host: example.org
GET /%2e%2e//*"<\\>|~ HTTP/1.1
authority: a
then: keep-alive
host: a
end
END
}

@test "http: methods are case-sensitive, and those of RFC 9110 are distinguished from unknown ones" {
    document <<'END'
PUT / HTTP/1.0

DELETE / HTTP/1.0

TRACE / HTTP/1.0

PATCH / HTTP/1.0

get / HTTP/1.0

GETS / HTTP/1.0

!#$%&'*+-.^_`|~09azAZ / HTTP/1.0

means
known / HTTP/1.0
then: close
known / HTTP/1.0
then: close
known / HTTP/1.0
then: close
known / HTTP/1.0
then: close
unknown / HTTP/1.0
then: close
unknown / HTTP/1.0
then: close
unknown / HTTP/1.0
then: close
end
END
}

@test "http: field values may contain bytes from 0x80 on, names may not" {
    document <<'END'
GET / HTTP/1.0
Cookie: \xe9\xff
X-\xe9: a

means
error 400
END
    document <<'END'
GET / HTTP/1.0
Cookie: \xe9\xff

means
GET / HTTP/1.0
then: close
cookie: \xe9\xff
end
END
}

@test "http: a field with nearly the same name is another field" {
    document <<'END'
POST / HTTP/1.1
Host: a
Content-Lengt: 5
Content-Length2: 5
Content_Length: 5
X-Transfer-Encoding: chunked
Transfer-Encodin: chunked

means
POST / HTTP/1.1
authority: a
then: keep-alive
host: a
end
END
}

@test "http: an incomplete request needs more bytes" {
    table <<'END'
more needed | G
more needed | GET / HTTP/1.1\r\nHost: a\r\n
more needed | GET / HTTP/1.1\r\nHost: a\r\n\r
more needed | \r\n
more needed | POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab
more needed | POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab
more needed | POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r
more needed | POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n
more needed | POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n\r
END
}

# ---- What is refused -----------------------------------------------------------------------------

@test "http: a malformed request line is refused" {
    table <<'END'
error 400 | GET /\r\n\r\n
error 400 | GET / \r\n\r\n
error 400 | GET  / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /  HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 |  GET / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1.1 \r\nHost: a\r\n\r\n
error 400 | GET / http/1.1\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1.10\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/11\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1.\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1,1\r\nHost: a\r\n\r\n
error 400 | GET / HTTPS/1.1\r\nHost: a\r\n\r\n
error 400 | GET / FTP\r\nHost: a\r\n\r\n
error 400 | G(T / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET: / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | \x00GET / HTTP/1.1\r\nHost: a\r\n\r\n
error 505 | PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n
error 505 | GET / HTTP/0.9\r\n\r\n
error 505 | GET / HTTP/3.0\r\n\r\n
END
}

@test "http: a malformed target is refused" {
    table <<'END'
error 400 | GET a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET * HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /#a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http:// HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http://?a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http://me@a/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http://me:secret@a/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | PUT a:1 HTTP/1.1\r\nHost: a\r\n\r\n
END
}

@test "http: bare line ends, folded lines and control bytes in the head are refused" {
    table <<'END'
error 400 | GET / HTTP/1.1\nHost: a\n\n
error 400 | GET / HTTP/1.1\r\nHost: a\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\n\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\rX: b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\n\r\r\n
error 400 | GET / HTTP/1.1\r\rHost: a\r\n\r\n
error 400 | \nGET / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | \r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n
error 400 | GET / HTTP/1.1\r\n Host: a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost : a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost\t: a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\x00\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\x1bc\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n
END
}

@test "http: Host must be present once and be well-formed" {
    table <<'END'
error 400 | GET / HTTP/1.1\r\n\r\n
error 400 | GET http://a/ HTTP/1.1\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n
error 400 | GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n
error 400 | GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a/b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: me@a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a?b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a#b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a, b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a%2\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a%g0\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: :80\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: ::1\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: [::1\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: []\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n
error 400 | GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n
end | GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.1]:65535\r\n\r\n
end | GET / HTTP/1.1\r\nHost: 192.0.2.1:\r\n\r\n
end | GET / HTTP/1.1\r\nHost: a%2Fb_c~.example\r\n\r\n
END
}

@test "http: a field with a single value is refused when it comes twice" {
    local name
    for name in Content-Type Authorization Origin Idempotency-Key; do
        expect "error 400" verdict < <(printf 'GET / HTTP/1.0\r\n%s: a\r\n%s: a\r\n\r\n' \
            "$name" "${name,,}")
    done
    for name in Accept-Encoding Connection Content-Encoding Cookie Forwarded If-None-Match If-Range Last-Event-ID Range \
        X-Forwarded-For X-Other; do
        expect "end" verdict < <(printf 'GET / HTTP/1.0\r\n%s: a\r\n%s: a\r\n\r\n' "$name" "$name")
    done
}

@test "http: an expectation that cannot be met is refused" {
    table <<'END'
error 417 | GET / HTTP/1.1\r\nHost: a\r\nExpect: a\r\n\r\n
end | GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n
end | GET / HTTP/1.1\r\nHost: a\r\nExpect: , 100-continue,,\r\n\r\n
error 417 | GET / HTTP/1.1\r\nHost: a\r\nExpect: ,a\r\n\r\n
error 417 | GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, a\r\n\r\n
error 417 | GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;a\r\n\r\n
error 417 | POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\nExpect: a\r\n\r\n
END
}

# Request smuggling: each line is a way to make two readers see different requests.
@test "http: framing that two readers could understand differently is refused" {
    short <<'END' | table
error 400 | POST CL: 6\r\nTE: chunked\r\n\r\n0\r\n\r\nG
error 400 | POST TE: chunked\r\nCL: 4\r\n\r\n0\r\n\r\n
error 400 | POST TE: identity\r\nCL: 4\r\n\r\nabcd
error 400 | POST TE: xchunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: identity\r\n\r\n0\r\n\r\n
error 400 | POST TE:\r\n\r\n0\r\n\r\n
error 400 | POST TE: \x0bchunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\x0b\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\x0c\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\x00\r\n\r\n0\r\n\r\n
error 400 | POST TE: \xa0chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: \x85chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE:\r\n chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE : chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE\t: chunked\r\n\r\n0\r\n\r\n
error 400 | POST  TE: chunked\r\n\r\n0\r\n\r\n
error 400 | POST X: a\nTE: chunked\r\n\r\n0\r\n\r\n
error 400 | POST X: a\rTE: chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: "chunked"\r\n\r\n0\r\n\r\n
error 400 | POST TE: chun ked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked a\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked;a=b\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked;\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked,\r\n\r\n0\r\n\r\n
error 400 | POST TE: ,chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked, chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked, identity\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked, gzip, chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\r\nTE: chunked\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\r\nTE: identity\r\n\r\n0\r\n\r\n
error 400 | POST TE: chunked\r\nTE:\r\n\r\n0\r\n\r\n
error 501 | POST TE: identity\r\nTE: chunked\r\n\r\n0\r\n\r\n
error 501 | POST TE: gzip, chunked\r\n\r\n0\r\n\r\n
error 501 | POST TE: gzip;q=1 ,\tchunked\r\n\r\n0\r\n\r\n
error 400 | POST CL: 1\r\nCL: 2\r\n\r\nab
error 400 | POST CL: 1, 2\r\n\r\nab
error 400 | POST CL: 1\r\nCL: 01\r\n\r\na
error 400 | POST CL:\r\n\r\n
error 400 | POST CL: ,\r\n\r\n
error 400 | POST CL: 1,\r\n\r\na
error 400 | POST CL: +1\r\n\r\na
error 400 | POST CL: -1\r\n\r\na
error 400 | POST CL: 0x1\r\n\r\na
error 400 | POST CL: 1 0\r\n\r\n0123456789
error 400 | POST CL: 1\x0b\r\n\r\na
error 400 | POST CL: 1.0\r\n\r\na
error 400 | POST CL: 1e1\r\n\r\na
error 400 | POST CL: 1;a\r\n\r\na
error 400 | POST CL: 18446744073709551617\r\n\r\na
error 400 | POST CL: 9223372036854775808\r\n\r\na
error 400 | POST CL : 1\r\n\r\na
error 400 | POST CL: 1\n\r\na
error 400 | POST CL\x00: 1\r\n\r\na
end | POST CL: 1\r\nCL: 1\r\n\r\na
end | POST CL: 1, 1\r\n\r\na
end | POST CL:\t 01 \t\r\n\r\na
end | POST TE:\t chunked \t\r\n\r\n0\r\n\r\n
end | POST TE: CHUNKED\r\n\r\n0\r\n\r\n
END
    table <<'END'
error 400 | POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
END
}

@test "http: chunks that two readers could understand differently are refused" {
    short <<'END' | table
end | CHUNKED 1\r\na\r\n0\r\n\r\n
end | CHUNKED 0000000000000001\r\na\r\n0000000000000000\r\n\r\n
end | CHUNKED a\r\n0123456789\r\n0\r\n\r\n
end | CHUNKED A\r\n0123456789\r\n0\r\n\r\n
end | CHUNKED 1 ;a\r\na\r\n0\r\n\r\n
end | CHUNKED 1\t; a =\tb; c="\\"\xe9"\r\na\r\n0;d\r\n\r\n
error 400 | CHUNKED 00000000000000001\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 10000000000000001\r\na\r\n0\r\n\r\n
error 413 | CHUNKED ffffffffffffffff\r\na\r\n0\r\n\r\n
error 413 | CHUNKED 1\r\na\r\nffffffffffffffff\r\na\r\n0\r\n\r\n
error 400 | CHUNKED \r\na\r\n0\r\n\r\n
error 400 | CHUNKED 0x1\r\na\r\n0\r\n\r\n
error 400 | CHUNKED +1\r\na\r\n0\r\n\r\n
error 400 | CHUNKED -1\r\na\r\n0\r\n\r\n
error 400 | CHUNKED  1\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1 \r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1\t\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1_0\r\na\r\n0\r\n\r\n
error 400 | CHUNKED g\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1\na\r\n0\r\n\r\n
error 400 | CHUNKED 1\ra\r\n0\r\n\r\n
error 400 | CHUNKED 1\r\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1\x00\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a \r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;=b\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a=\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a="b\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a="b"c\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a="\\\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a=b c\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a\nb\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a\n\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a\rb\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a="\rb"\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;a="\x00"\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1;\xe9\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 1\r\nab\r\n0\r\n\r\n
error 400 | CHUNKED 1\r\na\n0\r\n\r\n
error 400 | CHUNKED 1\r\na\r0\r\n\r\n
error 400 | CHUNKED 1\r\na0\r\n\r\n
error 400 | CHUNKED 2\r\na\r\n0\r\n\r\n
error 400 | CHUNKED 0\r\n\n
error 400 | CHUNKED 0\r\n\r\r\n
error 400 | CHUNKED 0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n
error 400 | CHUNKED 0\r\na : b\r\n\r\n
error 400 | CHUNKED 0\r\n a: b\r\n\r\n
error 400 | CHUNKED 0\r\na: b\n\r\n
error 400 | CHUNKED 0\r\na: \x00\r\n\r\n
error 400 | CHUNKED 0\r\na\r\n\r\n
END
}

# ---- Limits --------------------------------------------------------------------------------------

@test "http: a body over the limit is refused before it arrives" {
    short <<'END' | table 4
end | POST CL: 4\r\n\r\nabcd
error 413 | POST CL: 5\r\n\r\n
error 413 | POST CL: 9223372036854775807\r\n\r\n
end | CHUNKED 3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n
error 413 | CHUNKED 5\r\n
error 413 | CHUNKED 3\r\nabc\r\n2\r\n
END
    expect "end" verdict 0 < <(printf 'POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n')
    expect "error 413" verdict 0 < <(printf 'POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n')
}

@test "http: a target of more than 8,000 bytes is refused" {
    expect "end" verdict < <(printf 'GET /%s HTTP/1.0\r\n\r\n' "$(letters 7999)")
    expect "error 414" verdict < <(printf 'GET /%s HTTP/1.0\r\n\r\n' "$(letters 8000)")
    expect "error 414 at byte 8005" early "GET /$(letters 9000)"
}

@test "http: a head of more than 16 KiB, its last line end included, is refused" {
    # "GET / HTTP/1.0" and "a: " and three line ends have 23 bytes.
    expect "end" verdict < <(printf 'GET / HTTP/1.0\r\na: %s\r\n\r\n' "$(letters 16361)")
    expect "error 431" verdict < <(printf 'GET / HTTP/1.0\r\na: %s\r\n\r\n' "$(letters 16362)")
    expect "error 431 at byte 16384" early "GET / HTTP/1.0\r\na: $(letters 17000)"
    expect "error 431 at byte 16384" early "$(letters 17000)"
}

@test "http: a head with more than 100 fields is refused" {
    local fields
    printf -v fields 'f: %s\r\n' {1..100}
    expect "end" verdict < <(printf 'GET / HTTP/1.0\r\n%s\r\n' "$fields")
    expect "error 431" verdict < <(printf 'GET / HTTP/1.0\r\n%sf: 101\r\n\r\n' "$fields")
    printf -v fields 'Cookie: %s\r\n' {1..100}
    expect "end" verdict < <(printf 'GET / HTTP/1.0\r\n%s\r\n' "$fields")
    expect "error 431" verdict < <(printf 'GET / HTTP/1.0\r\n%sf: 101' "$fields$fields")
}

@test "http: chunk lines and trailers have limits" {
    local head='POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n' fields chunks
    expect "end" verdict < <(printf "$head"'0;%s\r\n\r\n' "$(letters 252)")
    expect "error 400" verdict < <(printf "$head"'0;%s\r\n\r\n' "$(letters 253)")
    expect "error 400" verdict < <(printf "$head"'0;%s' "$(letters 254)")
    printf -v fields 'f: %s\r\n' {1..98} # with two in the head
    expect "end" verdict < <(printf "$head"'0\r\n%s\r\n' "$fields")
    expect "error 431" verdict < <(printf "$head"'0\r\n%sf: 99\r\n\r\n' "$fields")
    expect "end" verdict < <(printf "$head"'0\r\na: %s\r\n\r\n' "$(letters 16377)")
    expect "error 431" verdict < <(printf "$head"'0\r\na: %s\r\n\r\n' "$(letters 16379)")
    printf -v chunks "1;$(letters 200)"'\r\n%.1s\r\n' {1..100}
    expect "error 431" verdict < <(printf "$head"'%s0\r\n\r\n' "$chunks")
}

# Prints a request with these lines in its head and, after the head, these bytes.
head_with() { # LINE... [-- BYTES]
    printf 'POST / HTTP/1.1\r\nHost: a\r\n'
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        printf '%b\r\n' "$1"
        shift
    done
    printf '\r\n%b' "${2:-}"
}

@test "http: each refusal names the rule that is broken" {
    local text bytes detail seen='' many
    # shellcheck disable=SC2034 # the table uses it
    many=$(printf 'a: b\\r\\n%.0s' {1..100})
    while IFS='|' read -r text bytes; do
        bytes=${bytes# }
        case $bytes in
        '$ '*) run "$UNIT/http" why < <(eval "${bytes#'$ '}") ;;
        *) run "$UNIT/http" why < <(printf '%b' "$bytes") ;;
        esac
        detail=${output##*$'\n'error }
        detail=${detail#error }
        seen+=${detail/: / }$'\n'
        read -r text <<<"$text"
        contains "$detail" "$text" || {
            echo "$bytes"
            return 1
        }
    done <<'END'
the PROXY protocol     | PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n
the PROXY protocol     | \r\n\r\n\x00\r\nQUIT\n
not TLS                | \x16\x03\x01
a method               | \x80
a method               | /events
a method               | \r\n\r\n\r\n\r\n\r\n
CRLF                   | \nGET / HTTP/1.1\r\nHost: a\r\n\r\n
a method               | G(ET / HTTP/1.1\r\nHost: a\r\n\r\n
one space              | GET  / HTTP/1.1\r\nHost: a\r\n\r\n
percent-encoded        | GET /?room=größe HTTP/1.1\r\nHost: a\r\n\r\n
percent-encoded        | GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n
#; leave out           | GET /#a HTTP/1.1\r\nHost: a\r\n\r\n
8000 bytes             | $ printf 'GET /%s HTTP/1.1\r\nHost: a\r\n\r\n' "$(letters 8000)"
begins with a slash    | GET a HTTP/1.1\r\nHost: a\r\n\r\n
begins with a slash    | GET http://ann@a/ HTTP/1.1\r\nHost: a\r\n\r\n
only for OPTIONS       | GET * HTTP/1.1\r\nHost: a\r\n\r\n
HOST:PORT              | CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n
and the version        | GET /\r\n
and the version        | GET /?room=a b HTTP/1.1\r\nHost: a\r\n\r\n
and the version        | GET / http/1.1\r\nHost: a\r\n\r\n
only HTTP/1.1          | PRI * HTTP/2.0\r\n\r\n
CRLF                   | GET / HTTP/1.1\nHost: a\r\n\r\n
CRLF                   | GET / HTTP/1.1\r\nHost: a\n\r\n
begins with white      | GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n
before its colon       | GET / HTTP/1.1\r\nHost : a\r\n\r\n
not `Name: value`      | GET / HTTP/1.1\r\nHost\r\n\r\n
not `Name: value`      | GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n
control character      | GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n
only once              | GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n
100 fields             | $ head_with "$many"
16 KiB                 | $ head_with "a: $(letters 17000)"
Host is missing        | GET / HTTP/1.1\r\n\r\n
Host must be           | GET / HTTP/1.1\r\nHost: a b\r\n\r\n
a decimal number       | $ head_with 'Content-Length: x'
repeated with another  | $ head_with 'Content-Length: 1' 'Content-Length: 2'
exclude each other     | $ head_with 'Content-Length: 1' 'Transfer-Encoding: chunked'
HTTP/1.0 has no        | POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n
must be chunked        | $ head_with 'Transfer-Encoding: chunked, gzip'
supports is chunked    | $ head_with 'Transfer-Encoding: gzip, chunked'
100-continue           | $ head_with 'Content-Length: 1' 'Expect: 200-ok'
GET and HEAD have no   | GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n
GET and HEAD have no   | HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n
--max-body             | $ head_with 'Content-Length: 65537'
--max-body             | $ head_with 'Transfer-Encoding: chunked' -- '10001\r\n'
its size in hex        | $ head_with 'Transfer-Encoding: chunked' -- 'x\r\n'
bytes of extensions    | $ head_with 'Transfer-Encoding: chunked' -- "1;a=$(letters 300)"
size says              | $ head_with 'Transfer-Encoding: chunked' -- '1\r\nab\r\n'
and the trailer are    | $ head_with 'Transfer-Encoding: chunked' -- "0\r\na: $(letters 17000)"
END
    same "$(sort -u <<<"${seen%$'\n'}")" \
        "$("$UNIT/http" rules | grep -v 'too long to arrive\|requests are arriving' | sort -u)"
}

@test "http: the details of refusals are sentences" {
    same "$("$UNIT/http" rules | wc -l)" 37
    same "$("$UNIT/http" rules | grep -vE '^[45][0-9]{2} [A-Z].{20,}\.$')" ''
}

@test "http: a chunked body without bytes is no body, so that a GET may have it" {
    document <<'END'
GET / HTTP/1.1
Host: a
Transfer-Encoding: chunked

0

means
GET / HTTP/1.1
authority: a
then: keep-alive, has-length, chunked
host: a
transfer-encoding: chunked
end
END
}

@test "http: bytes that cannot become a request are refused at once" {
    expect "error 400 at byte 1" early '\x16\x03\x01\x02'
    expect "error 400 at byte 1" early '\x00'
    expect "error 400 at byte 1" early ' GET'
    expect "error 400 at byte 1" early '\nGET'
    expect "error 400 at byte 4" early 'GET\tx'
    expect "error 400 at byte 6" early 'GET /\r\n'
    expect "error 400 at byte 7" early 'GET / FTP'
    expect "error 505 at byte 16" early 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    expect "head at byte 18" early 'GET / HTTP/1.0\r\n\r\nrest'
}

@test "http: a few empty lines before a request are skipped" {
    expect "end" verdict < <(printf '\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n')
    expect "error 400 at byte 9" early '\r\n\r\n\r\n\r\n\r\n'
}

@test "http: a body that is as long as its limit is accepted" {
    expect "end" verdict < <(
        printf 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n'
        letters 65536
    )
}

# ---- The readers of values -----------------------------------------------------------------------

@test "http: percent-encoding is decoded, and refused when malformed" {
    local bytes meaning
    while read -r bytes meaning; do
        expect "$meaning" "$UNIT/http" decode < <(printf '%s' "$bytes")
    done <<'END'
/a /a
a+b a+b
%41%7a Az
%2b%2B ++
%25%32%30 %20
%00%c3%A9 \x00\xc3\xa9
% malformed
a% malformed
%4 malformed
%g1 malformed
%1g malformed
%%41 malformed
END
    expect "a b + %" "$UNIT/http" form < <(printf 'a+b+%%2b+%%25')
    expect "" "$UNIT/http" form </dev/null
}

@test "http: a media type is compared without its case and parameters" {
    local answer type
    while IFS='|' read -r answer type; do
        expect "${answer% }" "$UNIT/http" type "${type# }" application/json
    done <<'END'
yes | application/json
yes | Application/JSON
yes | application/json; charset=utf-8
yes | application/json ;charset=utf-8
no | application/jsonp
no | application/jso
no | application/json, text/plain
no | text/plain; application/json
no |
END
}

@test "http: a body with a coding other than identity is noticed" {
    local answer value
    while IFS='|' read -r answer value; do
        expect "${answer% }" "$UNIT/http" identity "${value# }"
    done <<'END'
yes | identity
yes | IDENTITY, ,
yes |
no | gzip
no | identity, br
no | aes128gcm
END
    expect yes "$UNIT/http" identity
    expect no "$UNIT/http" identity identity deflate
}

@test "http: gzip is sent only to a client that accepts it" {
    local answer value
    while IFS='|' read -r answer value; do
        expect "${answer% }" "$UNIT/http" gzip "${value# }"
    done <<'END'
yes | gzip
yes | GZIP
yes | x-gzip
yes | deflate, gzip;q=1.0, *;q=0.5
yes | gzip ; q=0.001
yes | gzip;Q=1
yes | br,gzip
yes | *
yes | ,, gzip
yes | gzip, *;q=0
no | gzip;q=0
no | gzip;q=0.000
no | gzip;q=0, *
no | *;q=0
no | gzip;q=
no | gzip;q=a
no | gzip;q
no | gzips
no | identity
no | 
END
    expect no "$UNIT/http" gzip
    expect yes "$UNIT/http" gzip br gzip
    expect no "$UNIT/http" gzip 'gzip;q=0' '*'
}

@test "http: an entity tag is compared weakly, in a list or as an asterisk" {
    local answer value
    while IFS='|' read -r answer value; do
        expect "${answer% }" "$UNIT/http" etag '"a,b"' "${value# }"
    done <<'END'
yes | "a,b"
yes | W/"a,b"
yes | *
yes | "x", "a,b"
yes | "x",W/"a,b" , "y"
yes | , "a,b"
no | "A,B"
no | "a"
no | a,b
no | "a,b
no | "x" *
no | w/"a,b"
no | 
END
    expect no "$UNIT/http" etag '"a,b"'
    expect yes "$UNIT/http" etag '"a"' '"b"' '"a"'
    expect yes "$UNIT/http" etag 'W/"a"' '"a"'
}

@test "http: a range is clamped to the file, or beyond it, or ignored" {
    local answer size value
    while IFS='|' read -r answer size value; do
        expect "${answer% }" "$UNIT/http" range "$size" "${value# }"
    done <<'END'
2 from 0 | 10 | bytes=0-1
1 from 0 | 10 | bytes=0-0
1 from 9 | 10 | bytes=9-9
10 from 0 | 10 | bytes=0-
3 from 7 | 10 | bytes=7-
3 from 7 | 10 | bytes=7-10
3 from 7 | 10 | bytes=7-18446744073709551615
3 from 7 | 10 | bytes=7-99999999999999999999999999
3 from 7 | 10 | bytes=-3
10 from 0 | 10 | bytes=-10
10 from 0 | 10 | bytes=-11
10 from 0 | 10 | bytes=-99999999999999999999999999
2 from 1 | 10 | BYTES=01-0000000000000000000000000000002
2 from 0 | 10 | bytes= 0-1 ,
2 from 0 | 10 | bytes=, 0-1
1 from 18446744073709551614 | 18446744073709551615 | bytes=18446744073709551614-
beyond | 10 | bytes=10-
beyond | 10 | bytes=10-11
beyond | 10 | bytes=18446744073709551615-
beyond | 10 | bytes=18446744073709551616-18446744073709551617
beyond | 10 | bytes=-0
beyond | 0 | bytes=0-
beyond | 0 | bytes=0-0
beyond | 0 | bytes=-0
whole | 0 | bytes=-1
whole | 10 | bytes=0-1,3-4
whole | 10 | bytes=0-1,0-1
whole | 10 | bytes=10-,20-
whole | 10 | bytes=2-1
whole | 10 | bytes=20-19
whole | 10 | bytes=99999999999999999999999999-1
whole | 10 | bytes=-
whole | 10 | bytes=--1
whole | 10 | bytes=1
whole | 10 | bytes=a-1
whole | 10 | bytes=1-a
whole | 10 | bytes=1-2-
whole | 10 | bytes=-1-
whole | 10 | bytes=-1a
whole | 10 | bytes=+1-2
whole | 10 | bytes=0x1-2
whole | 10 | bytes=1 -2
whole | 10 | bytes=1- 2
whole | 10 | bytes=1-2 3
whole | 10 | bytes=
whole | 10 | bytes=,
whole | 10 | bytes
whole | 10 | bytes 0-1
whole | 10 | bytes:0-1
whole | 10 | bytes =0-1
whole | 10 | byte=0-1
whole | 10 | bytess=0-1
whole | 10 | items=0-1
whole | 10 | =0-1
whole | 10 | 0-1
whole | 10 | 
END
}

@test "http: dates and status lines are written as in RFC 9110" {
    expect "Thu, 01 Jan 1970 00:00:00 GMT" "$UNIT/http" date 0
    expect "Sun, 06 Nov 1994 08:49:37 GMT" "$UNIT/http" date 784111777
    expect "Thu, 29 Feb 2024 23:59:59 GMT" "$UNIT/http" date 1709251199
    expect "Fri, 31 Dec 9999 23:59:59 GMT" "$UNIT/http" date 9223372036854775807
    expect "Thu, 01 Jan 1970 00:00:00 GMT" "$UNIT/http" date -1
    expect $'HTTP/1.1 413 Content Too Large\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r' \
        "$UNIT/http" response 413
    expect $'HTTP/1.1 299 Unknown\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r' \
        "$UNIT/http" response 299
}
