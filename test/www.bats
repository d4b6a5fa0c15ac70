#!/usr/bin/env bats
# The page in the binary, and the --www folder: media types, caching, compression, and everything
# that must not be served. The tests compare bytes and fields with the files themselves.
# shellcheck disable=SC1083,SC2016,SC2093,SC2094,SC2153
#
# quick: yes

load lib/helper

# ---- The page in the binary ----

# Prints the paths of the page: every file of www/ but the one that puts them into the binary.
page_files() {
  local file
  echo /
  for file in "$ROOT"/www/*; do
    [[ $file == *.S ]] || echo "/${file##*/}"
  done
}

@test "every file of www/ is served, with its media type" {
  local path type
  start_server
  for path in $(page_files); do
    case $path in
      / | *.html) type='text/html; charset=utf-8' ;;
      *.css) type='text/css; charset=utf-8' ;;
      *.js) type='text/javascript; charset=utf-8' ;;
      *.svg) type='image/svg+xml' ;;
    esac
    ask "$path"
    same "$STATUS $path $(field Content-Type)" "200 $path $type"
    same "$(field Content-Length)" "$(wc -c <answer.body)"
    [ "$path" = / ] || cmp answer.body "$ROOT/www$path"
  done
  ask /
  cmp answer.body "$ROOT/www/index.html"
  ask /favicon.ico
  same "$(field Content-Type)" 'image/svg+xml'
  cmp answer.body "$ROOT/www/icon.svg"
  ask /www.S
  is_problem 404
}

@test "the files that the page and its scripts refer to exist" {
  local path
  start_server
  while read -r path; do
    ask "/${path#./}"
    same "$path $STATUS" "$path 200"
  done < <(
    grep -oE '(src|href)="[^"#:]+"' "$ROOT/www/index.html" | cut -d '"' -f 2
    grep -hoE "(from|import) *\(?'[^']+'" "$ROOT"/www/*.js | cut -d "'" -f 2
  )
}

@test "the page's files have the fields for caching and security" {
  local path
  start_server
  for path in $(page_files); do
    ask "$path"
    same "$(field Cache-Control)" no-cache
    same "$(field X-Content-Type-Options)" nosniff
    same "$(field Referrer-Policy)" no-referrer
    same "$(field Cross-Origin-Opener-Policy)" same-origin
    contains "$(field Vary)" Accept-Encoding
    same "$(field Content-Security-Policy)" "default-src 'none'; script-src 'self'; style-src 'self';$(
    ) img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';$(
    ) require-trusted-types-for 'script'; trusted-types worker"
    [[ $(field ETag) =~ ^\"[^\"]+\"$ ]]
  done
}

@test "the gzip form of a file unpacks to the same bytes and has its own ETag" {
  local path tag
  start_server
  for path in $(page_files); do
    ask "$path"
    cp answer.body plain
    tag=$(field ETag)
    same "$(field Content-Encoding)" ''
    ask "$path" -H 'Accept-Encoding: gzip'
    same "$(field Content-Encoding)" gzip
    same "$(field Content-Length)" "$(wc -c <answer.body)"
    contains "$(field Vary)" Accept-Encoding
    gzip -dc answer.body | cmp - plain
    [ "$(field ETag)" != "$tag" ]
  done
}

@test "the gzip form is sent only to clients that accept it" {
  local accept encoding
  start_server
  while IFS='|' read -r encoding accept; do
    ask / -H "Accept-Encoding: $accept"
    same "$accept: $(field Content-Encoding)" "$accept: $encoding"
  done <<'END'
gzip|gzip, deflate, br, zstd
gzip|br;q=1.0, gzip;q=0.8, *;q=0.1
gzip|GZIP
gzip|*
|gzip;q=0
|gzip;q=0.000, *
|identity
|br, deflate
|*;q=0
|gzipped
END
}

@test "If-None-Match gets 304 without a body if it has the ETag of the requested form" {
  local plain zipped value
  start_server
  ask /style.css
  plain=$(field ETag)
  ask /style.css -H 'Accept-Encoding: gzip'
  zipped=$(field ETag)
  for value in "$plain" "W/$plain" "\"x\", $plain" '*'; do
    ask /style.css -H "If-None-Match: $value"
    same "$STATUS$BODY" 304
    same "$(field ETag)" "$plain"
    contains "$(field Vary)" Accept-Encoding
    same "$(field Cache-Control)" no-cache
  done
  ask /style.css -H "If-None-Match: $zipped" -H 'Accept-Encoding: gzip'
  same "$STATUS $(field ETag)" "304 $zipped"
  ask /style.css -H "If-None-Match: $zipped"
  same "$STATUS" 200
  ask /style.css -H "If-None-Match: $plain" -H 'Accept-Encoding: gzip'
  same "$STATUS" 200
  ask /style.css -H 'If-None-Match: "x"'
  same "$STATUS" 200
  ask /style.css -I -H "If-None-Match: $plain"
  same "$STATUS" 304
  # The connection continues after a 304.
  same "$(raw "GET /style.css HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" | tail -n 1)" \
    '{"status":"ok"}'
}

@test "the ETag of a file is the same in every process" {
  local tag
  start_server
  ask /
  tag=$(field ETag)
  start_server
  ask / -H "If-None-Match: $tag"
  same "$STATUS" 304
}

@test "a query does not change which file is served" {
  start_server
  ask '/style.css?v=2'
  same "$STATUS" 200
}

# ---- A folder ----

# Starts a server with the folder `site`.
start_site() {
  mkdir -p site
  start_server --www site
}

# Prints the status for a path, which curl sends unchanged.
status_of() {
  ask "$1" --path-as-is -m 10
  printf '%s' "$STATUS"
}

@test "--www serves the folder's files instead of the page, with their media types" {
  local name type
  mkdir -p site/sub
  printf 'home' >site/index.html
  start_site
  ask /
  same "$STATUS $BODY $(field Content-Type)" '200 home text/html; charset=utf-8'
  same "$(status_of /style.css)" 404
  while read -r name type; do
    printf '%s' "$name" >"site/$name"
    ask "/$name"
    same "$name $BODY $(field Content-Type)" "$name $name $type"
    same "$(field X-Content-Type-Options)" nosniff
  done <<'END'
page.html text/html; charset=utf-8
PAGE.HTML text/html; charset=utf-8
a.css text/css; charset=utf-8
a.js text/javascript; charset=utf-8
a.mjs text/javascript; charset=utf-8
a.json application/json
a.txt text/plain; charset=utf-8
a.svg image/svg+xml
a.png image/png
a.jpg image/jpeg
a.webp image/webp
a.ico image/x-icon
a.woff2 font/woff2
a.wasm application/wasm
a.mp4 video/mp4
a.mov video/quicktime
a.wav audio/wav
a.vtt text/vtt; charset=utf-8
a.tar.gz application/octet-stream
README application/octet-stream
END
}

@test "the name of a file is percent-decoded once" {
  mkdir -p 'site/a b'
  printf 1 >'site/a b/ü+x.txt'
  printf 2 >'site/%41'
  start_site
  ask '/a%20b/%C3%BC+x.txt'
  same "$STATUS $BODY" '200 1'
  ask '/%2541'
  same "$STATUS $BODY" '200 2'
  same "$(status_of '/A')" 404
}

@test "a folder's path serves its index.html, and never a listing" {
  mkdir -p site/sub site/none
  printf sub >site/sub/index.html
  printf secret >site/none/file
  start_site
  ask /sub/
  same "$STATUS $BODY" '200 sub'
  ask /none/
  is_problem 404
  lacks "$BODY" file
  same "$(status_of /none)" 404
  same "$(status_of /)" 404
  same "$(status_of /sub/index.html/)" 404
}

@test "the server's own URLs take precedence over files of the same name" {
  mkdir -p site
  printf mine >site/healthz
  start_site
  ask /healthz
  same "$BODY" '{"status":"ok"}'
  listen stream ''
}

@test "no spelling of a path leads out of the folder" {
  local path
  mkdir -p site/sub
  printf secret >secret
  printf inside >site/inside
  start_site
  for path in /../secret /sub/../../secret /%2e%2e/secret /.%2e/secret /..%2fsecret /%2e%2e%2fsecret \
    /sub/..%2f..%2fsecret //secret "/$PWD/secret" "/%2f$PWD/secret" '/..\secret' '/..%5csecret' \
    /sub/../inside /./inside /sub%2f..%2finside //inside /inside/ /inside%00 /inside%00.txt /%00 \
    /site/secret '/inside%2' '/inside%zz'; do
    ask "$path" --path-as-is
    [ "$STATUS" = 404 ] || [ "$STATUS" = 400 ] || same "$path $STATUS" "$path 404"
    lacks "$BODY" secret
  done
  same "$(status_of /inside)" 200
}

@test "dot files are not served, nor files in dot folders" {
  local path
  mkdir -p site/.git site/sub/.hidden
  touch site/.env site/.git/config site/sub/.htpasswd site/sub/.hidden/file site/..data
  start_site
  for path in /.env /.git/config /.git/ /sub/.htpasswd /sub/.hidden/file /%2eenv /..data; do
    same "$path $(status_of "$path")" "$path 404"
  done
}

@test "links are followed inside the folder, but never out of it" {
  local path
  mkdir -p site/sub outside
  printf inside >site/sub/file
  printf secret >outside/secret
  ln -s sub/file site/link
  ln -s sub site/folder
  ln -s ../sub/file site/sub/up
  ln -s ../outside/secret site/out
  ln -s "$PWD/outside/secret" site/absolute
  ln -s ../outside site/outside
  ln -s /proc/self/environ site/environ
  ln -s loop site/loop
  ln -s nothing site/dangling
  start_site
  for path in /link /folder/file /sub/up; do
    ask "$path"
    same "$path $STATUS $BODY" "$path 200 inside"
  done
  for path in /out /absolute /outside/secret /environ /loop /dangling; do
    same "$path $(status_of "$path")" "$path 404"
  done
}

@test "a path to anything but a regular file is answered with 404 and does not block" {
  mkdir -p site
  mkfifo site/fifo
  ln -s /dev/zero site/zero
  start_server --listen "unix:$PWD/site/socket" --listen 127.0.0.1:0 --www site
  SECONDS=0
  same "$(status_of /fifo)" 404
  same "$(status_of /socket)" 404
  same "$(status_of /zero)" 404
  same "$(status_of /healthz)" 200
  between "$SECONDS" 0 4
}

@test "a changed or removed file is noticed at the next request" {
  local tag
  mkdir -p site
  printf one >site/file.txt
  start_site
  ask /file.txt
  tag=$(field ETag)
  same "$BODY $(field Cache-Control)" 'one no-cache'
  ask /file.txt -H "If-None-Match: $tag"
  same "$STATUS$BODY" 304
  printf two >site/file.txt
  ask /file.txt -H "If-None-Match: $tag"
  same "$STATUS $BODY" '200 two'
  printf three >site/new
  mv site/new site/file.txt
  ask /file.txt
  same "$STATUS $BODY" '200 three'
  rm site/file.txt
  same "$(status_of /file.txt)" 404
}

@test "HEAD gives the length of a file, and an empty file is served" {
  mkdir -p site
  printf hello >site/file.txt
  : >site/empty
  start_site
  ask /file.txt -I
  same "$STATUS $(field Content-Length)" '200 5'
  ask /empty
  same "$STATUS $(field Content-Length)$BODY" '200 0'
  same "$(raw 'HEAD /file.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\nGET /file.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' | tail -n 1)" hello
}

@test "a slow reader gets a file of 10 MB in full, and the connection continues" {
  local connection
  mkdir -p site
  head -c 10000000 /dev/urandom >site/big
  start_site
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' >&"$connection"
  head -c 100000 <&"$connection" >got
  sleep 0.2
  ask /healthz # other requests are served meanwhile
  same "$STATUS" 200
  timeout 20 cat <&"$connection" >>got
  exec {connection}>&-
  tail -n 1 got | grep -q '{"status":"ok"}'
  # The file begins after the head, which ends with the first empty line.
  tail -c +$(($(sed '/^\r$/q' got | wc -c) + 1)) got | head -c 10000000 | cmp - site/big
}

@test "truncating a file while it is being sent ends the connection, not the server" {
  local connection
  mkdir -p site
  head -c 30000000 /dev/zero >site/big
  start_site
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /big HTTP/1.1\r\nHost: h\r\n\r\n' >&"$connection"
  head -c 100000 <&"$connection" >/dev/null
  : >site/big
  timeout 20 cat <&"$connection" >rest
  exec {connection}>&-
  between "$(wc -c <rest)" 0 29000000
  same "$(status_of /healthz)" 200
}

# ---- Ranges ----

# Asks for a range, and prints the status, Content-Range, Content-Length and body of the answer:
# range_of PATH RANGE [curl options].
range_of() {
  ask "$1" -H "Range: $2" "${@:3}"
  printf '%s %s %s %s' "$STATUS" "$(field Content-Range)" "$(field Content-Length)" "$BODY"
}

# Starts a server with a file of the ten digits.
start_digits() {
  mkdir -p site
  printf 0123456789 >site/digits.txt
  start_server --www site "$@"
}

@test "a range of a file is answered with 206, and one beyond its end with 416" {
  local range answer
  start_digits
  while IFS='|' read -r range answer; do
    same "$range $(range_of /digits.txt "$range")" "$range $answer"
  done <<'END'
bytes=0-1|206 bytes 0-1/10 2 01
bytes=0-0|206 bytes 0-0/10 1 0
bytes=4-|206 bytes 4-9/10 6 456789
bytes=-3|206 bytes 7-9/10 3 789
bytes=0-|206 bytes 0-9/10 10 0123456789
bytes=-99|206 bytes 0-9/10 10 0123456789
bytes=8-99999999999999999999999999|206 bytes 8-9/10 2 89
bytes=0-1,4-5|200  10 0123456789
bytes=4-3|200  10 0123456789
bytes=x|200  10 0123456789
items=0-1|200  10 0123456789
END
  for range in bytes=10- bytes=10-20 bytes=-0 bytes=99999999999999999999999999-; do
    ask /digits.txt -H "Range: $range"
    is_problem 416
    same "$(field Content-Range)" 'bytes */10'
  done
}

@test "a part has the fields of the complete file, and HEAD ignores Range" {
  local fields whole
  fields='ETag|Cache-Control|Content-Type|X-Content-Type-Options|Cross-Origin-Resource-Policy'
  fields+='|Referrer-Policy|Accept-Ranges'
  start_digits
  ask /digits.txt
  same "$(field Accept-Ranges)" bytes
  whole=$(grep -E "^($fields): " <<<"$HEAD")
  same "$(wc -l <<<"$whole")" 7
  ask /digits.txt -r 2-3
  same "$STATUS $(grep -E "^($fields): " <<<"$HEAD")" "206 $whole"
  ask /digits.txt -I -H 'Range: bytes=2-3'
  same "$STATUS $(field Content-Length)$(field Content-Range)" '200 10'
  same "$(grep -E "^($fields): " <<<"$HEAD")" "$whole"
  ask /digits.txt -I -H 'Range: bytes=10-'
  same "$STATUS" 200
}

@test "If-None-Match is checked before Range" {
  local tag
  start_digits
  ask /digits.txt
  tag=$(field ETag)
  ask /digits.txt -H 'Range: bytes=2-3' -H "If-None-Match: $tag"
  same "$STATUS$BODY$(field Content-Range)" 304
  ask /digits.txt -H 'Range: bytes=10-' -H "If-None-Match: $tag"
  same "$STATUS$BODY$(field Content-Range)" 304
  same "$(range_of /digits.txt bytes=2-3 -H 'If-None-Match: "other"')" '206 bytes 2-3/10 2 23'
}

@test "If-Range allows a part only of the file with that strong ETag" {
  local tag other date
  start_digits
  ask /digits.txt
  tag=$(field ETag)
  date=$(field Date)
  same "$(field Last-Modified)" ''
  same "$(range_of /digits.txt bytes=2-3 -H "If-Range: $tag")" '206 bytes 2-3/10 2 23'
  ask /digits.txt -H 'Range: bytes=10-' -H "If-Range: $tag"
  is_problem 416
  for other in ": W/$tag" ': "other"' ": $tag, \"other\"" ': *' ": ${tag//\"/}" \; ": $date" ': junk'; do
    same "$other $(range_of /digits.txt bytes=2-3 -H "If-Range$other")" "$other 200  10 0123456789"
    same "$other $(range_of /digits.txt bytes=10- -H "If-Range$other")" "$other 200  10 0123456789"
  done
  ask /digits.txt -H "If-Range: $tag"
  same "$STATUS $BODY" '200 0123456789'
}

@test "a client that has parts of a file that was replaced gets the new file from its start" {
  local tag
  start_digits
  ask /digits.txt -r 0-1
  same "$STATUS $BODY" '206 01'
  tag=$(field ETag)
  printf abcdefghij >site/new
  mv site/new site/digits.txt
  same "$(range_of /digits.txt bytes=2- -H "If-Range: $tag")" '200  10 abcdefghij'
  ask /digits.txt -r 0-1
  [ "$(field ETag)" != "$tag" ]
}

@test "a file that is overwritten has another ETag, even if its time is set back" {
  local tag changed
  start_digits
  ask /digits.txt
  tag=$(field ETag)
  cp -p site/digits.txt old
  changed=$(stat -c %z site/digits.txt)
  eventually "printf 9876543210 >site/digits.txt; touch -r old site/digits.txt
    [ '$changed' != \"\$(stat -c %z site/digits.txt)\" ]"
  same "$(stat -c %y site/digits.txt)" "$(stat -c %y old)"
  same "$(range_of /digits.txt bytes=2-3 -H "If-Range: $tag")" '200  10 9876543210'
}

@test "an empty file has no ranges" {
  mkdir -p site
  : >site/empty
  start_site
  ask /empty -H 'Range: bytes=0-'
  is_problem 416
  same "$(field Content-Range)" 'bytes */0'
  same "$(range_of /empty bytes=-5)" '200  0 '
}

@test "ranges work over HTTP/1.0, and the connection continues after 206 and 416" {
  local part='GET /digits.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=7-\r\n\r\n'
  start_digits
  ask /digits.txt -0 -r 2-3
  same "$STATUS $BODY $(field Content-Range) $(field Connection)" '206 23 bytes 2-3/10 close'
  raw "$part${part/7-/10-}${part/7-/-2}GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" >answers
  same "$(grep -ao 'HTTP/1.1 [0-9]*' answers | paste -sd ' ')" \
    'HTTP/1.1 206 HTTP/1.1 416 HTTP/1.1 206 HTTP/1.1 200'
  grep -q '^789HTTP/1.1 416 Range Not Satisfiable' answers
  grep -q '^89HTTP/1.1 200' answers
  same "$(tail -n 1 answers)" '{"status":"ok"}'
}

@test "curl resumes a download, and a file over 4 GiB has ranges at its end" {
  mkdir -p site
  head -c 300000 /dev/urandom >site/big
  start_site
  head -c 100001 site/big >got
  curl -sS -m 30 -C - -o got "$URL/big"
  cmp got site/big
  truncate -s 5G site/huge
  printf end >>site/huge
  same "$(range_of /huge bytes=-3)" '206 bytes 5368709120-5368709122/5368709123 3 end'
  same "$(range_of /huge bytes=5368709121-)" '206 bytes 5368709121-5368709122/5368709123 2 nd'
  ask /huge -H 'Range: bytes=5368709123-'
  is_problem 416
  same "$(field Content-Range)" 'bytes */5368709123'
}

@test "a slow reader gets a part of 10 MB in full, and the connection continues" {
  local connection
  mkdir -p site
  head -c 20000000 /dev/urandom >site/big
  start_site
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /big HTTP/1.1\r\nHost: h\r\nRange: bytes=7000001-17000000\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' >&"$connection"
  head -c 100000 <&"$connection" >got
  ask /healthz # other requests are served meanwhile
  same "$STATUS" 200
  timeout 20 cat <&"$connection" >>got
  exec {connection}>&-
  tail -n 1 got | grep -q '{"status":"ok"}'
  # The part begins after the head, which ends with the first empty line.
  tail -c +$(($(sed '/^\r$/q' got | wc -c) + 1)) got | head -c 10000000 >part
  tail -c +7000002 site/big | head -c 10000000 | cmp - part
}

@test "truncating a file while a part of it is being sent ends the connection, not the server" {
  local connection
  mkdir -p site
  head -c 30000000 /dev/zero >site/big
  start_site
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /big HTTP/1.1\r\nHost: h\r\nRange: bytes=1000000-\r\n\r\n' >&"$connection"
  same "$(head -c 12 <&"$connection")" 'HTTP/1.1 206'
  truncate -s 1000000 site/big
  timeout 20 cat <&"$connection" >rest
  exec {connection}>&-
  between "$(wc -c <rest)" 0 28000000
  same "$(status_of /healthz)" 200
}

@test "with --cors, a page of another site can read the fields of a part" {
  start_digits --cors https://app.example
  ask /digits.txt -r 2-3 -H 'Origin: https://app.example'
  same "$STATUS $(field Access-Control-Allow-Origin)" '206 https://app.example'
  contains "$(field Access-Control-Expose-Headers)" 'Accept-Ranges, Content-Range, ETag'
  ask /digits.txt -r 10- -H 'Origin: https://app.example'
  same "$STATUS $(field Content-Range)" '416 bytes */10'
  contains "$(field Access-Control-Expose-Headers)" 'Content-Range'
}

@test "a repeated Range or If-Range is ignored" {
  start_digits
  ask /digits.txt -H 'Range: bytes=2-3' -H 'Range: bytes=4-5'
  same "$STATUS $BODY" '200 0123456789'
  ask /digits.txt
  tag=$(field ETag)
  ask /digits.txt -H 'Range: bytes=2-3' -H "If-Range: $tag" -H "If-Range: $tag"
  same "$STATUS $BODY" '200 0123456789'
}

@test "a file that has no offsets is sent complete, and a part of it closes only that connection" {
  start_digits
  fault lseek error=ESPIPE
  same "$(status_of /digits.txt)" 200
  curl -sS -m 20 -r 2-3 "$URL/digits.txt" || same "$?" 52
  same "$(status_of /digits.txt)" 200
}

@test "the page in the binary is always sent complete" {
  local complete
  start_server
  ask /style.css
  complete="200 $(field Content-Length) $(field ETag)"
  ask /style.css -r 0-1
  same "$STATUS $(field Content-Length) $(field ETag)$(field Accept-Ranges)" "$complete"
}
