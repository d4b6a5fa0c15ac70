#!/usr/bin/env bats
# --key: which requests need a token, what a token allows and for how long, and how the server
# refuses all other requests. openssl makes the tokens (lib/token.bash), because the server's own
# code would agree with its own mistakes; `ssechat token` is tested at the end.
# shellcheck disable=SC2154,SC2016,SC2094,SC2153,SC2093,SC1083
#
# seconds: 90

bats_require_minimum_version 1.5.0
load lib/helper
load lib/token

JSON='Content-Type: application/json'
OCTETS='Content-Type: application/octet-stream'

# ---- Tokens -------------------------------------------------------------------------------------

# Prints a token with any claims and any header.
sign() { # CLAIMS [HEADER] [KEY] [HASH]
  sign_text "$(printf '%s' "${2-$HEADER}" | base64url).$(printf '%s' "$1" | base64url)" \
    "${3:-$KEY}" "${4:-sha256}"
}

# Prints a token with these claims, written in JSON, that is valid for an hour.
hour() {
  sign "{$1,\"exp\":$(($(date +%s) + 3600))}"
}

# Prints a token for all rooms, with the right to publish, that expires at the given Unix time.
until_second() {
  sign "{\"rooms\":[\"*\"],\"publish\":true,\"exp\":$1}"
}

# Prints a token that allows everything for an hour.
everything() {
  hour '"rooms":["*"],"publish":true'
}

# Prints the Authorization field for a token.
bearer() {
  printf 'Authorization: Bearer %s' "$1"
}

# Prints the header (1) or the claims (2) of a token.
part() { # TOKEN NUMBER
  local text
  text=$(cut -d. -f"$2" <<<"$1")
  while ((${#text} % 4)); do text+='='; done
  basenc -d --base64url <<<"$text"
}

# ---- Requests -----------------------------------------------------------------------------------

# Posts a message with a token and checks that it is accepted.
say() { # TOKEN ROOM MESSAGE
  accepts "{\"room\":\"$2\",\"message\":\"$3\"}" -H "$(bearer "$1")"
}

# Prints the texts of the chat messages in a file.
said() {
  events_of "$1" message .data.message | jq -r . | paste -sd ' '
}

# Checks that the last answer refuses the token, with these words in its detail.
is_refused() { # WORDS
  is_problem 401
  contains "$BODY" "$1"
  same "$(field WWW-Authenticate)" 'Bearer error="invalid_token"'
}

# Checks that the last answer says that the request has no token.
is_stranger() {
  is_problem 401
  contains "$BODY" 'needs a token'
  same "$(field WWW-Authenticate)" Bearer
}

# Checks that the last answer says that the token is valid but does not allow the request.
is_forbidden() { # WORDS
  is_problem 403
  contains "$BODY" "$1"
  same "$(field WWW-Authenticate)" 'Bearer error="insufficient_scope"'
}

# Checks that a stream, a page and a POST with this token get the same 401, whose detail contains
# these words and no part of the token.
refuses_token() { # WORDS TOKEN [WHAT IT SAYS]
  local answers expected piece detail
  answers=$(curl -sS -m 20 -i -H "$(bearer "$2")" "$URL/events" "$URL/messages" \
    --next -sS -m 20 -i -H "$(bearer "$2")" -H "$JSON" --data-raw '{"message":"x"}' "$URL/messages" |
    tr -d '\r' | grep -aE '^(HTTP/|WWW-Authenticate|Content-Type|\{)')
  detail=$(sed -n '/^{/{s/.*"detail":"\(.*\)"}$/\1/p;q}' <<<"$answers")
  expected='HTTP/1.1 401 Unauthorized
WWW-Authenticate: Bearer error="invalid_token"
Content-Type: application/problem+json
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"'"$detail"'"}'
  if [ "$answers" != "$expected"$'\n'"$expected"$'\n'"$expected" ] || [[ $detail != *"$1"* ]]; then
    printf 'expected 401 three times, with: %s\nseen: %s\ntoken: %s\nsays: %s\n' \
      "$1" "$answers" "${2:0:500}" "${3:0:500}"
    return 1
  fi
  for piece in ${2//./ }; do
    ((${#piece} < 8)) || lacks "$answers" "$piece"
  done
}

# Checks that a stream, a page and a POST are allowed with this token.
takes_token() { # TOKEN [WHAT IT SAYS]
  local statuses
  statuses=$(curl -sS -m 20 -o /dev/null -w '%{http_code} ' -I -H "$(bearer "$1")" "$URL/events" \
    --next -sS -m 20 -o /dev/null -w '%{http_code} ' -H "$(bearer "$1")" "$URL/messages" \
    --next -sS -m 20 -o /dev/null -w '%{http_code}' -H "$(bearer "$1")" -H "$JSON" \
    --data-raw '{"message":"x"}' "$URL/messages")
  same "$statuses ${2:-$1}" "200 200 201 ${2:-$1}"
}

# Reads sets of claims from standard input, one per line, and replaces the words for times (NOW, …).
# Checks that a token with each set is refused with WORDS, or accepted if WORDS is absent.
each_claims() { # [WORDS]
  local line claims now count=0
  while IFS= read -r line; do
    now=$(date +%s)
    claims=${line//NOW/$now}
    claims=${claims//PAST/$((now - 1))}
    claims=${claims//SOON/$((now + 3))}
    claims=${claims//HOUR/$((now + 3600))}
    if [ $# -gt 0 ]; then
      refuses_token "$1" "$(sign "$claims")" "$line"
    else
      takes_token "$(sign "$claims")" "$line"
    fi
    count=$((count + 1))
  done
  [ "$count" -gt 0 ]
}

# ---- Time ---------------------------------------------------------------------------------------

now_ms() {
  date +%s%3N
}

# Prints a Unix time at which a token can expire: late enough for STEPS steps to finish first, even
# on a busy machine. A step takes about as long as making a token, so this function times that.
second_after() { # STEPS
  local before
  before=$(now_ms)
  everything >/dev/null
  printf '%s' $((($(now_ms) + 2500 + 3 * $1 * ($(now_ms) - before)) / 1000))
}

# Runs curl in the background. When curl has ended, FILE.end contains its exit status and the time.
watch_end() { # FILE PATH [curl options]
  rm -f "$1" "$1.end"
  {
    local status=0
    curl -sSN -m 60 "${@:3}" "$URL$2" >"$1" || status=$?
    printf '%s %s\n' "$status" "$(now_ms)" >"$1.end.new"
    mv "$1.end.new" "$1.end"
  } 2>"$1.err" 3>&- &
  CLIENTS+=($!)
}

# Checks that the curl started by watch_end exits with 0, not before the Unix time SECOND and at
# most 1.5 seconds after it.
ended_at() { # FILE SECOND
  local status ms
  eventually "[ -e '$1.end' ]"
  read -r status ms <"$1.end"
  same "$1: $status" "$1: 0"
  between "$ms" "$2"000 "$(($2 + 1))"500
}

# Waits until the given Unix time in milliseconds.
until_ms() {
  eventually "[ \$(now_ms) -ge $1 ]"
}

# ---- What needs a token -------------------------------------------------------------------------

@test "a token gives access to streams, history, rooms, long polls and POSTs" {
  local token last
  start_server --key key
  token=$(hour '"rooms":["lobby"],"publish":true')
  listen stream '' -H "$(bearer "$token")"
  say "$token" lobby hello
  last=$ID
  await_text stream hello
  for path in /events /messages /rooms '/messages?wait=30'; do
    ask "$path" -I -H "$(bearer "$token")"
    same "$path $STATUS" "$path 200"
  done
  ask /messages -H "$(bearer "$token")"
  same "$STATUS $(jq -r '.messages[].message' <<<"$BODY")" '200 hello'
  ask /rooms -H "$(bearer "$token")"
  same "$STATUS $(jq -c '.rooms[] | [.room, .online]' <<<"$BODY")" '200 ["lobby",1]'
  watch_end poll "/messages?after=$last&wait=30" -H "$(bearer "$token")"
  # The server must hold the poll before the message is posted.
  await_polls 1
  say "$token" lobby again
  eventually '[ -e poll.end ]'
  same "$(jq -r '.messages[].message' poll)" again
}

@test "a GET, HEAD or POST without a token gets 401" {
  start_server --key key
  for path in /events /messages /rooms '/messages?wait=30' '/events?room=~x' '/messages?limit=x'; do
    ask "$path"
    is_stranger
    ask "$path" -I
    same "$path $STATUS $(field WWW-Authenticate)" "$path 401 Bearer"
  done
  post '{"message":"x"}'
  is_stranger
  ask /messages -H "$OCTETS" --data-raw x
  is_stranger
  # A client without a token is not told what else is wrong.
  post 'no json' -H 'Idempotency-Key: a b'
  is_stranger
  ask /messages -H 'Content-Type: text/plain' --data-raw x
  is_stranger
  ask /messages -H "$(bearer "$(everything)")"
  same "$(jq -c .messages <<<"$BODY")" '[]'
}

@test "the page, /healthz and OPTIONS need no token, and a wrong method or path is reported even without one" {
  start_server --key key --cors https://a.example
  for path in / /index.html /style.css /icon.svg /healthz; do
    ask "$path"
    same "$path $STATUS $(field WWW-Authenticate)" "$path 200 "
    ask "$path" -I
    same "$path $STATUS" "$path 200"
  done
  for path in /events /messages /rooms; do
    ask "$path" -X OPTIONS
    same "$path $STATUS" "$path 204"
    ask "$path" -X DELETE
    is_problem 405
  done
  ask /events -X POST -H 'Content-Length: 0'
  is_problem 405
  ask /nothing
  is_problem 404
  ask /nothing -X POST -H 'Content-Length: 0'
  is_problem 404
  ask /events -X BREW
  is_problem 501
  contains "$(raw 'OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')" 'HTTP/1.1 204 '
}

@test "a server without --key neither requires nor looks at a token" {
  start_server
  for token in x "$(everything)" "$(sign '{"exp":1}')"; do
    takes_token "$token"
    ask "/messages?access_token=$token"
    same "$STATUS" 200
  done
  post '{"name":"bob","message":"x"}' -H "$(bearer "$(hour '"sub":"ann","rooms":["x"]')")"
  same "$STATUS" 201
  ask '/messages?limit=1'
  same "$(jq -r '.messages[].name' <<<"$BODY")" bob
}

# ---- Where a token may be -----------------------------------------------------------------------

@test "a token may come in the head, in the URL or in a cookie" {
  local token
  start_server --key key
  token=$(everything)
  for field in "Authorization: Bearer $token" "Authorization: bearer $token" \
    "Authorization: BEARER $token" "authorization: bEaReR   $token" "Cookie: ssechat=$token" \
    "Cookie: a=b; ssechat=$token; c=d" "Cookie: a;ssechat=$token" "Cookie: ssechat2=x; ssechat=$token"; do
    ask /events -I -H "$field"
    same "$field $STATUS" "$field 200"
    ask /messages -H "$field"
    same "$field $STATUS" "$field 200"
    accepts '{"message":"x"}' -H "$field"
  done
  for query in "access_token=$token" "room=a&access_token=$token" "access_token=$token&room=a" \
    "access_token&access_token=$token"; do
    ask "/events?$query" -I
    same "$query $STATUS" "$query 200"
    ask "/messages?$query"
    same "$query $STATUS" "$query 200"
    ask "/messages?$query" -H "$OCTETS" --data-raw x
    same "$query $STATUS" "$query 201"
  done
  listen stream "access_token=$token&room=a&name=ann"
  await stream presence
  same "$(events_of stream presence .data)" '{"room":"a","online":1,"names":["ann"]}'
  # HTTP/1.1 allows one Cookie field, but a proxy can pass on several from an HTTP/2 request.
  contains "$(raw "GET /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: a=b\r\nCookie: c=d; ssechat=$token\r\n\r\n")" \
    'HTTP/1.1 200 '
}

# Checks that a POST with these options is published under NAME, which shows whose token was used.
posts_as() { # NAME [curl options]
  ask "/messages?room=lobby$QUERY" -H "$JSON" --data-raw '{"message":"x"}' "${@:2}"
  same "$STATUS" 201
  ask '/messages?limit=1' -H "$(bearer "$(everything)")"
  same "$(jq -r '.messages[].name' <<<"$BODY")" "$1"
}

@test "the head's token overrides the URL's, which overrides the cookie's, even if the overriding token is wrong" {
  local ann bob eve QUERY
  start_server --key key
  ann=$(hour '"sub":"ann","rooms":["*"],"publish":true')
  bob=$(hour '"sub":"bob","rooms":["*"],"publish":true')
  eve=$(hour '"sub":"eve","rooms":["*"],"publish":true')
  QUERY="&access_token=$bob"
  posts_as ann -H "$(bearer "$ann")" -b "ssechat=$eve"
  posts_as bob -b "ssechat=$eve"
  QUERY=
  posts_as eve -b "ssechat=$eve"
  posts_as ann -b "ssechat=$eve" -H "$(bearer "$ann")"

  ask "/messages?access_token=$bob" -H "$(bearer nonsense)" -b "ssechat=$eve"
  is_refused 'does not accept this token'
  ask '/messages?access_token=nonsense' -b "ssechat=$eve"
  is_refused 'does not accept this token'
  ask '/messages?access_token=' -b "ssechat=$eve"
  is_refused 'does not accept this token'
  ask '/messages?access_token=nonsense' -H "$(bearer "$ann")" -b 'ssechat=nonsense'
  same "$STATUS" 200
  ask "/messages?access_token=$bob" -b 'ssechat=nonsense'
  same "$STATUS" 200
  # If one place contains two tokens, the first counts.
  ask "/messages?access_token=$bob&access_token=nonsense" -b "ssechat=nonsense"
  same "$STATUS" 200
  ask "/messages?access_token=nonsense&access_token=$bob"
  is_refused 'does not accept this token'
  ask /messages -b "ssechat=nonsense; ssechat=$eve"
  is_refused 'does not accept this token'
}

@test "an Authorization field without a Bearer token is ignored" {
  local token field
  start_server --key key
  token=$(everything)
  for field in 'Basic YW5uOnNlY3JldA==' "Basic $token" Basic Bearer "Bearer$token" "$token" \
    "Digest username=\"Bearer $token\"" "Bearers $token" "Token $token"; do
    ask /messages -H "Authorization: $field"
    is_stranger
    ask "/messages?access_token=$token" -H "Authorization: $field"
    same "$STATUS" 200
    ask /messages -H "Authorization: $field" -b "ssechat=$token"
    same "$STATUS" 200
    ask '/messages?access_token=x' -H "Authorization: $field" -b "ssechat=$token"
    is_refused 'does not accept this token'
  done
}

@test "a token is ignored in places that only resemble the right ones" {
  local token
  start_server --key key
  token=$(everything)
  for query in "Access_token=$token" "token=$token" "access_token2=$token" "access_token" \
    "x=access_token=$token" "$token"; do
    ask "/messages?$query"
    is_stranger
  done
  for cookie in "Ssechat=$token" "ssechat" "xssechat=$token" "ssechat2=$token" "a=ssechat=$token" \
    "$token"; do
    ask /messages -H "Cookie: $cookie"
    is_stranger
  done
  ask /messages -H "Cookie: ssechat=\"$token\""
  is_refused 'does not accept this token'
  ask /messages -H 'Cookie: ssechat='
  is_refused 'does not accept this token'
  ask "/messages?access_token=$token%20"
  is_refused 'does not accept this token'
  # A token in a body is ignored.
  ask /messages -H "$JSON" --data-raw "{\"message\":\"x\",\"access_token\":\"$token\"}"
  is_stranger
}

@test "each request on a connection needs its own token" {
  local ann bob
  start_server --key key
  ann=$(hour '"sub":"ann","rooms":["*"],"publish":true')
  bob=$(hour '"sub":"bob","rooms":["a"]')
  same "$(raw "GET /messages HTTP/1.1\r\nHost: h\r\n$(bearer "$ann")\r\n\r\nGET /messages HTTP/1.1\r\nHost: h\r\n\r\nGET /messages HTTP/1.1\r\nHost: h\r\n$(bearer "$bob")\r\n\r\nGET /messages?room=a HTTP/1.1\r\nHost: h\r\n$(bearer "$bob")\r\n\r\nGET /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: ssechat=$ann\r\n\r\n" |
    grep -a '^HTTP/1\.1 ' | cut -d ' ' -f 2 | paste -sd ' ')" '200 401 403 200 200'
}

# ---- What is refused as a token -----------------------------------------------------------------

@test "a token is refused if its algorithm is not HS256 or its type or an extension is unknown" {
  local header claims count=0
  start_server --key key
  claims='{"rooms":["*"],"publish":true,"exp":99999999999}'
  while IFS= read -r header; do
    refuses_token 'does not accept this token' "$(sign "$claims" "$header")" "$header"
    count=$((count + 1))
  done <<END
{"alg":"none"}
{"alg":"None"}
{"alg":"NoNe","typ":"JWT"}
{"alg":"NONE"}
{"alg":"HS384","typ":"JWT"}
{"alg":"HS512","typ":"JWT"}
{"alg":"RS256","typ":"JWT"}
{"alg":"ES256"}
{"alg":"hs256"}
{"alg":256}
{"alg":["HS256"]}
{"alg":null}
{"alg":{"alg":"HS256"}}
{}
{"typ":"JWT"}
{"alg":"HS256","alg":"HS256"}
{"alg":"HS256","typ":"logout+jwt"}
{"alg":"HS256","typ":"secevent+jwt"}
{"alg":"HS256","typ":"JWE"}
{"alg":"HS256","typ":1}
{"alg":"HS256","crit":["exp"]}
{"alg":"HS256","crit":[]}
{"alg":"HS256","x":"\ud800"}
{"alg":"HS256","x":"$(printf '\xff')"}
{"alg":"HS256","x":$(times 64 '[')$(times 64 ']')}
{"alg":"HS256","x":$(times 3000 '[')
{"alg":"HS256"
["HS256"]
"HS256"
HS256
null

END
  same "$count" 32
  takes_token "$(sign "$claims" '{"typ":"at+jwt","alg":"HS256","kid":"1","jku":"https://a.example"}')"
}

@test "a token that is unsigned or signed with another algorithm is refused" {
  local claims text signature
  start_server --key key
  claims='{"rooms":["*"],"publish":true,"exp":99999999999}'
  takes_token "$(sign "$claims")"
  for header in '{"alg":"none"}' '{"alg":"none","typ":"JWT"}' "$HEADER"; do
    text=$(printf '%s' "$header" | base64url).$(printf '%s' "$claims" | base64url)
    refuses_token 'does not accept this token' "$text."
    refuses_token 'does not accept this token' "$text"
    refuses_token 'not signed' "$text.$(times 43 A)"
  done
  for bits in 224 384 512; do
    refuses_token 'does not accept this token' "$(sign "$claims" "{\"alg\":\"HS$bits\",\"typ\":\"JWT\"}" "$KEY" sha$bits)"
    refuses_token 'does not accept this token' "$(sign "$claims" "$HEADER" "$KEY" sha$bits)"
  done
  # The start of a longer signature, a hash without a key, and a hash of the key and the text.
  text=$(printf '%s' "$HEADER" | base64url).$(printf '%s' "$claims" | base64url)
  signature=$(printf '%s' "$text" | openssl dgst -sha512 -hmac "$KEY" -binary | head -c 32 | base64url)
  refuses_token 'not signed' "$text.$signature"
  refuses_token 'not signed' "$text.$(printf '%s' "$text" | openssl dgst -sha256 -binary | base64url)"
  refuses_token 'not signed' "$text.$(printf '%s' "$KEY$text" | openssl dgst -sha256 -binary | base64url)"
  # openssl prints signatures in hexadecimal digits, which a token must not contain.
  signature=$(printf '%s' "$text" | openssl dgst -sha256 -hmac "$KEY" -r | cut -d' ' -f1)
  refuses_token 'does not accept this token' "$text.$signature"
  # Everyone knows a public key, and a server that trusted the algorithm in the header would use
  # that key as the secret.
  openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa 2>/dev/null ||
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa 2>/dev/null
  text=$(printf '{"alg":"RS256","typ":"JWT"}' | base64url).$(printf '%s' "$claims" | base64url)
  refuses_token 'does not accept this token' "$text.$(printf '%s' "$text" | openssl dgst -sha256 -sign rsa | base64url)"
  refuses_token 'not signed' "$(sign "$claims" "$HEADER" "$(openssl pkey -in rsa -pubout)")"
}

@test "a token signed with another key is refused" {
  local claims
  start_server --key key
  claims='{"rooms":["*"],"publish":true,"exp":99999999999}'
  for key in an-old-song-that-only-we-two-sing "${KEY}s" "${KEY%?}" "${KEY^}" "$KEY"$'\n' x; do
    refuses_token 'not signed' "$(sign "$claims" "$HEADER" "$key")"
  done
}

@test "a changed, truncated or differently encoded token is refused" {
  local token text signature digits last i
  start_server --key key
  # The signature must contain both digits in which Base64 and base64url differ.
  for ((i = 0; i < 200; i++)); do
    token=$(sign "{\"rooms\":[\"*\"],\"publish\":true,\"exp\":9999999999,\"x\":$i}")
    [[ ${token##*.} != *-* || ${token##*.} != *_* ]] || break
  done
  takes_token "$token"
  text=${token%.*}
  signature=${token##*.}
  last=${signature: -1}

  # Change the first and the last digit of each part. The last two bits of a signature's last digit
  # carry no data and must be zero, as they are in A and E.
  for ((i = 0; i < ${#token}; i++)); do
    [[ $i == 0 || ${token:i+1:1} == . || ${token:i-1:1} == . || $i == $((${#token} - 1)) ]] || continue
    digits=A
    [ "${token:i:1}" != A ] || digits=E
    refuses_token 'not signed' "${token:0:i}$digits${token:i+1}"
  done
  digits=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_
  i=${digits%%"$last"*}
  refuses_token 'does not accept this token' "${token%?}${digits:${#i}+1:1}"
  refuses_token 'does not accept this token' "${token%?}${digits:${#i}+3:1}"

  refuses_token 'does not accept this token' "${token%?}"
  refuses_token 'does not accept this token' "${token%??}"
  refuses_token 'does not accept this token' "$text.${signature:1}"
  refuses_token 'does not accept this token' "${token}A"
  refuses_token 'does not accept this token' "$token="
  refuses_token 'does not accept this token' "$text.${signature//-/+}"
  refuses_token 'does not accept this token' "$text.${signature//_//}"
  refuses_token 'does not accept this token' "$text.${signature:0:20} ${signature:20}"
  refuses_token 'does not accept this token' "\"$token\""
  refuses_token 'does not accept this token' "$token,$token"
  # Change the header and the claims in similar ways, and sign the result.
  for wrong in "${text%%.*}=.${text#*.}" "$text=" "${text}A" "${text/./.+}" "${text/./.%41}" "$text "; do
    refuses_token 'does not accept this token' "$(sign_text "$wrong")"
  done
}

@test "a token that does not have three parts is refused" {
  local token header claims signature
  start_server --key key
  token=$(everything)
  IFS=. read -r header claims signature <<<"$token"
  for wrong in . .. ... x "$header" "$header.$claims" "$header.$signature" "$header..$signature." \
    "$header.$claims.$signature." "$header.$claims.$signature.$signature" \
    "$header.$signature.$claims.$signature.$claims" "$header.$claims." "$header$claims$signature" \
    "$header,$claims,$signature" ".$token" "$token.$token"; do
    refuses_token 'does not accept this token' "$wrong"
  done
  refuses_token 'not signed' ".$claims.$signature"
  refuses_token 'not signed' "..$signature"
  refuses_token 'not signed' "$header..$signature"
  refuses_token 'not signed' "$claims.$header.$signature"
}

@test "a token whose claims are not one JSON object is refused" {
  start_server --key key
  each_claims 'does not accept this token' <<END

{}
null
[]
"exp"
9999999999
{"exp":HOUR
{"exp":HOUR}}
{"exp":HOUR}{}
{"exp":HOUR,}
{'exp':HOUR}
{"exp":HOUR,"x":"\ud800"}
{"exp":HOUR,"sub":"\ud800"}
{"exp":HOUR,"sub":"\udc00\ud800"}
{"exp":HOUR,"x":"$(printf '\xff')"}
{"exp":HOUR,"sub":"$(printf 'a\xc3')"}
{"exp":HOUR,"sub":"$(printf '\xed\xa0\x80')"}
{"exp":HOUR,"rooms":["$(printf '\xc0\xaf')"]}
$(printf '\xef\xbb\xbf'){"exp":HOUR}
{"exp":HOUR,"x":$(times 64 '[')$(times 64 ']')}
{"exp":HOUR,"x":$(times 5000 '[')
END
  each_claims <<END
 { "exp" : HOUR , "publish" : true, "ro\u006fms" : [ "\u002a" ] , "x" : { "exp" : 1 } }
{"rooms":["*"],"publish":true,"exp":HOUR,"x":$(times 63 '[')$(times 63 ']')}
END
}

@test "a token may have 8192 bytes, and a longer one is refused" {
  local claims fill token
  start_server --key key
  refuses_token 'does not accept this token' "$(sign "{\"exp\":9999999999,\"x\":$(times 10000 '[')")" '10000 levels'
  refuses_token 'does not accept this token' "$(times 15000 x)"
  refuses_token 'does not accept this token' "$(times 15000 .)"
  # The header has 36 digits, the signature has 43, and there are two dots, so 8111 digits remain:
  # enough for 6083 bytes of claims.
  claims='{"rooms":["*"],"publish":true,"exp":9999999999,"x":""}'
  fill=$(times $((6083 - ${#claims})) x)
  token=$(sign "${claims/%'""}'/"\"$fill\"}"}")
  same "${#token}" 8192
  takes_token "$token"
  ask /messages -H "Cookie: ssechat=$token"
  same "$STATUS" 200
  token=$(sign "${claims/%'""}'/"\"x$fill\"}"}")
  same "${#token}" 8193
  refuses_token 'does not accept this token' "$token"
  # These tokens make the head or the URL too long.
  ask /messages -H "$(bearer "$(times 17000 x)")"
  is_problem 431
  ask "/messages?access_token=$token"
  is_problem 414
}

@test "exp is required, must be a number, and must be in the future" {
  start_server --key key
  each_claims 'does not accept this token' <<'END'
{"rooms":["*"],"publish":true}
{"rooms":["*"],"publish":true,"exp":"HOUR"}
{"rooms":["*"],"publish":true,"exp":null}
{"rooms":["*"],"publish":true,"exp":true}
{"rooms":["*"],"publish":true,"exp":[HOUR]}
{"rooms":["*"],"publish":true,"exp":{}}
{"rooms":["*"],"publish":true,"Exp":HOUR}
{"rooms":["*"],"publish":true,"exp":HOUR,"exp":HOUR}
{"rooms":["*"],"publish":true,"exp":PAST,"\u0065xp":HOUR}
END
  each_claims 'has expired' <<'END'
{"rooms":["*"],"publish":true,"exp":NOW}
{"rooms":["*"],"publish":true,"exp":NOW.0}
{"rooms":["*"],"publish":true,"exp":PAST}
{"rooms":["*"],"publish":true,"exp":PAST.5}
{"rooms":["*"],"publish":true,"exp":NOW000e-3}
{"rooms":["*"],"publish":true,"exp":0}
{"rooms":["*"],"publish":true,"exp":-HOUR}
{"rooms":["*"],"publish":true,"exp":1e-400}
{"rooms":["*"],"publish":true,"exp":-1e400}
END
  each_claims <<'END'
{"rooms":["*"],"publish":true,"exp":HOUR}
{"rooms":["*"],"publish":true,"exp":HOUR.5}
{"rooms":["*"],"publish":true,"exp":HOUR000e-3}
{"rooms":["*"],"publish":true,"exp":HOUR000}
{"rooms":["*"],"publish":true,"exp":4.2e9}
{"rooms":["*"],"publish":true,"exp":1e400}
{"rooms":["*"],"publish":true,"exp":18446744073709551617}
END
}

@test "nbf may be a few seconds in the future, because clocks differ" {
  start_server --key key
  each_claims 'not valid yet' <<'END'
{"rooms":["*"],"publish":true,"exp":HOUR000,"nbf":HOUR}
{"rooms":["*"],"publish":true,"exp":HOUR000,"nbf":HOUR.5}
{"rooms":["*"],"publish":true,"exp":1e400,"nbf":1e400}
END
  each_claims <<'END'
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":SOON}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":NOW}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":PAST.5}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":0}
{"rooms":["*"],"publish":true,"exp":HOUR,"iat":HOUR,"iss":7,"jti":null}
END
  each_claims 'does not accept this token' <<'END'
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":"NOW"}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":null}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":false}
{"rooms":["*"],"publish":true,"exp":HOUR,"nbf":NOW,"nbf":NOW}
END
}

@test "a token is refused if a claim has the wrong type, is repeated, or names another audience" {
  start_server --key key
  each_claims 'does not accept this token' <<END
{"exp":HOUR,"rooms":["*"],"publish":"true"}
{"exp":HOUR,"rooms":["*"],"publish":1}
{"exp":HOUR,"rooms":["*"],"publish":null}
{"exp":HOUR,"rooms":["*"],"publish":true,"publish":true}
{"exp":HOUR,"rooms":["*"],"sub":1}
{"exp":HOUR,"rooms":["*"],"sub":null}
{"exp":HOUR,"rooms":["*"],"sub":["ann"]}
{"exp":HOUR,"rooms":["*"],"sub":""}
{"exp":HOUR,"rooms":["*"],"sub":" ann"}
{"exp":HOUR,"rooms":["*"],"sub":"ann "}
{"exp":HOUR,"rooms":["*"],"sub":"an\nn"}
{"exp":HOUR,"rooms":["*"],"sub":"an\u0000n"}
{"exp":HOUR,"rooms":["*"],"sub":"an\u202en"}
{"exp":HOUR,"rooms":["*"],"sub":"ann\u200e"}
{"exp":HOUR,"rooms":["*"],"sub":"ann\u200b"}
{"exp":HOUR,"rooms":["*"],"sub":"\u3164"}
{"exp":HOUR,"rooms":["lobby\u200b"]}
{"exp":HOUR,"rooms":["*"],"sub":"$(times 33 é)"}
{"exp":HOUR,"rooms":["*"],"sub":"ann","s\u0075b":"bob"}
{"exp":HOUR,"rooms":"*"}
{"exp":HOUR,"rooms":"lobby"}
{"exp":HOUR,"rooms":null}
{"exp":HOUR,"rooms":{"lobby":true}}
{"exp":HOUR,"rooms":["lobby",7]}
{"exp":HOUR,"rooms":[["lobby"]]}
{"exp":HOUR,"rooms":[""]}
{"exp":HOUR,"rooms":["lobby","a/b"]}
{"exp":HOUR,"rooms":["a,b"]}
{"exp":HOUR,"rooms":["$(times 65 x)"]}
{"exp":HOUR,"rooms":[$(seq -s, 0 9 | sed 's/[0-9]/"&"/g'),$(seq -s, 10 64 | sed 's/[0-9]*/"&"/g')]}
{"exp":HOUR,"rooms":["lobby"],"rooms":["*"]}
{"exp":HOUR,"rooms":["*"],"aud":"shop"}
{"exp":HOUR,"rooms":["*"],"aud":["shop","mail"]}
{"exp":HOUR,"rooms":["*"],"aud":[]}
{"exp":HOUR,"rooms":["*"],"aud":null}
{"exp":HOUR,"rooms":["*"],"aud":7}
{"exp":HOUR,"rooms":["*"],"aud":{"ssechat":true}}
{"exp":HOUR,"rooms":["*"],"aud":["ssechat",7]}
{"exp":HOUR,"rooms":["*"],"aud":"ssechat","aud":"ssechat"}
END
  each_claims <<'END'
{"exp":HOUR,"rooms":["*"],"publish":true,"aud":"ssechat"}
{"exp":HOUR,"rooms":["*"],"publish":true,"aud":["shop","ssechat"]}
END
}

@test "a wrong token is refused in the same way wherever it appears" {
  local bad
  start_server --key key
  for bad in "$(sign '{"rooms":["*"],"exp":9}')" "$(sign '{"exp":9}' "$HEADER" another-key)" nonsense; do
    ask /rooms -H "$(bearer "$bad")"
    is_problem 401
    expected=$BODY
    for path in /events /messages /rooms '/messages?wait=9'; do
      ask "$path" -b "ssechat=$bad"
      same "$STATUS $BODY" "401 $expected"
      ask "$path$([[ $path == *\?* ]] && printf '&' || printf '?')access_token=$bad"
      same "$STATUS $BODY" "401 $expected"
      ask "$path" -I -b "ssechat=$bad"
      same "$STATUS $(field WWW-Authenticate)" '401 Bearer error="invalid_token"'
    done
  done
}

# ---- Rooms and rights ---------------------------------------------------------------------------

@test "a token opens only its own rooms" {
  local token
  start_server --key key
  token=$(hour '"rooms":["lobby","~den","a b"],"publish":true')
  for path in '/events' '/events?room=lobby' '/events?room=lobby,~den&room=a+b' '/messages' \
    '/messages?room=~den' '/messages?room=%6cobby' '/events?room=a%20b'; do
    ask "$path" -I -H "$(bearer "$token")"
    same "$path $STATUS" "$path 200"
  done
  for query in room=garden room=lobby,garden 'room=garden&room=lobby' room=Lobby room=lobb room=lobbyx \
    room=den room=%7e 'room=*'; do
    ask "/events?$query" -H "$(bearer "$token")"
    is_forbidden 'does not allow this room'
    ask "/events?$query" -I -H "$(bearer "$token")"
    same "$STATUS" 403
  done
  for query in room=garden 'room=garden&wait=30' 'room=garden&before=1-0' room=Lobby; do
    ask "/messages?$query" -H "$(bearer "$token")"
    is_forbidden 'does not allow this room'
  done
  refuses 403 '{"room":"garden","message":"x"}' -H "$(bearer "$token")"
  is_forbidden 'does not allow this room'
  refuses 403 '{"room":"garden","event":"x","data":1}' -H "$(bearer "$token")"
  ask '/messages?room=garden' -H "$OCTETS" -H "$(bearer "$token")" --data-raw x
  is_forbidden 'does not allow this room'
  # A request without a room is for the lobby.
  token=$(hour '"rooms":["garden"],"publish":true')
  for path in /events /messages; do
    ask "$path" -H "$(bearer "$token")"
    is_forbidden 'does not allow this room'
  done
  refuses 403 '{"message":"x"}' -H "$(bearer "$token")"
  ask /messages -H "$(bearer "$(everything)")"
  same "$(jq -c .messages <<<"$BODY")" '[]'
}

@test "a token without rooms opens none, a token with * opens all, and --room limits every token" {
  local token
  start_server --key key --room lobby --room garden
  for claims in '"publish":true' '"rooms":[],"publish":true' '"rooms":["**"],"publish":true'; do
    token=$(hour "$claims")
    for path in /events /messages; do
      ask "$path" -H "$(bearer "$token")"
      is_forbidden 'does not allow this room'
    done
    refuses 403 '{"message":"x"}' -H "$(bearer "$token")"
    ask /rooms -H "$(bearer "$token")"
    same "$STATUS $BODY" '200 {"rooms":[],"more":false}'
  done
  token=$(hour '"rooms":["x","*"],"publish":true')
  say "$token" lobby one
  say "$token" garden two
  # No token allows a room that the server does not allow.
  refuses 403 '{"room":"x","message":"x"}' -H "$(bearer "$token")"
  same "$(field WWW-Authenticate)" ''
  token=$(hour '"rooms":["x","lobby"],"publish":true')
  refuses 403 '{"room":"x","message":"x"}' -H "$(bearer "$token")"
  refuses 403 '{"room":"garden","message":"x"}' -H "$(bearer "$token")"
  say "$token" lobby three
}

@test "a token may list 64 rooms with names of 64 bytes" {
  local room rooms token
  start_server --key key
  room=$(times 62 r)
  rooms=$(printf '"%s",' "$room"{10..73})
  token=$(hour "\"rooms\":[${rooms%,}],\"publish\":true")
  for i in 10 41 73; do
    accepts "{\"room\":\"$room$i\",\"message\":\"x\"}" -H "$(bearer "$token")"
  done
  refuses 403 "{\"room\":\"${room}74\",\"message\":\"x\"}" -H "$(bearer "$token")"
}

@test "a token without publish is for reading only" {
  local token
  start_server --key key
  for claims in '"rooms":["*"]' '"rooms":["*"],"publish":false'; do
    token=$(hour "$claims")
    post '{"message":"x"}' -H "$(bearer "$token")"
    is_forbidden 'allows reading only'
    ask /messages -H "$OCTETS" -H "$(bearer "$token")" --data-raw x
    is_forbidden 'allows reading only'
    # The refusal comes before the body is sent.
    contains "$(raw "POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 15\r\n$(bearer "$token")\r\n\r\n" |
      head -n 1)" 'HTTP/1.1 403 '
    for path in '/events?room=a,b' /messages /rooms; do
      ask "$path" -I -H "$(bearer "$token")"
      same "$STATUS" 200
    done
  done
  ask /messages -H "$(bearer "$token")"
  same "$(jq -c .messages <<<"$BODY")" '[]'
}

@test "GET /rooms lists the token's rooms, except rooms that begin with ~" {
  local token
  start_server --key key
  token=$(everything)
  for room in lobby garden '~den'; do
    say "$token" "$room" hello
  done
  while IFS='|' read -r rooms seen; do
    ask /rooms -H "$(bearer "$(hour "\"rooms\":$rooms")")"
    same "$rooms $(jq -c '[.rooms[].room]' <<<"$BODY")" "$rooms $seen"
  done <<'END'
["*"]|["garden","lobby"]
["lobby"]|["lobby"]
["~den","garden","cellar"]|["garden"]
["~den"]|[]
["cellar"]|[]
[]|[]
END
}

# ---- Names --------------------------------------------------------------------------------------

# Prints the names in the last presence of a stream.
names_in() {
  events_of "$1" presence .data.names | tail -n 1
}

@test "the token's name overrides any name in the request" {
  local ann long
  start_server --key key
  ann=$(hour '"sub":"ann","rooms":["*"],"publish":true')
  listen stream 'name=bob' -H "$(bearer "$ann")"
  listen other '' -H "$(bearer "$ann")"
  same "$(names_in stream) $(names_in other)" '["ann"] ["ann"]'
  accepts '{"name":"bob","message":"1"}' -H "$(bearer "$ann")"
  accepts '{"message":"2"}' -H "$(bearer "$ann")"
  ask '/messages?name=bob' -H "$OCTETS" -H "$(bearer "$ann")" --data-raw 3
  ask /messages -H "$OCTETS" -H "$(bearer "$ann")" --data-raw 4
  accepts '{"message":"the end"}' -H "$(bearer "$ann")"
  await_text stream 'the end'
  same "$(events_of stream message .data.name | paste -sd ' ')" '"ann" "ann" "ann" "ann" "ann"'
  ask /messages -H "$(bearer "$ann")"
  same "$(jq -c '[.messages[] | .name // .data.name] | unique' <<<"$BODY")" '["ann"]'
  # This token's name replaces the name in the body, so the second POST repeats the first.
  accepts '{"name":"bob","message":"5"}' -H "$(bearer "$ann")" -H 'Idempotency-Key: k'
  post '{"name":"eve","message":"5"}' -H "$(bearer "$ann")" -H 'Idempotency-Key: k'
  same "$STATUS" 200
  # If the token leaves the name to the client, a repeated POST must have the same name.
  accepts '{"name":"ann","message":"5"}' -H "$(bearer "$(everything)")" -H 'Idempotency-Key: k'
  post '{"name":"ann","message":"5"}' -H "$(bearer "$(everything)")" -H 'Idempotency-Key: k'
  same "$STATUS" 200
  post '{"name":"bob","message":"5"}' -H "$(bearer "$(everything)")" -H 'Idempotency-Key: k'
  same "$STATUS" 422

  long=$(times 32 😀)
  listen long 'room=b' -H "$(bearer "$(hour "\"sub\":\"$long\",\"rooms\":[\"b\"]")")"
  same "$(names_in long)" "[\"$long\"]"
  listen escaped 'room=c' -H "$(bearer "$(hour '"sub":"\u00e9\"\\ \ud83d\ude00","rooms":["c"]')")"
  same "$(names_in escaped)" '["é\"\\ 😀"]'
}

@test "a client whose token has no sub may choose its name" {
  local token
  start_server --key key
  token=$(everything)
  listen stream 'name=bob' -H "$(bearer "$token")"
  same "$(names_in stream)" '["bob"]'
  listen nobody 'room=b' -H "$(bearer "$token")"
  same "$(names_in nobody)" '[]'
  accepts '{"name":"eve","message":"1"}' -H "$(bearer "$token")"
  accepts '{"message":"2"}' -H "$(bearer "$token")"
  ask '/messages?name=cam' -H "$OCTETS" -H "$(bearer "$token")" --data-raw 3
  ask /messages -H "$(bearer "$token")"
  same "$(jq -c '[.messages[] | .name // .data.name]' <<<"$BODY")" '["eve","anonymous","cam"]'
}

# Data in the default event could be {"name":"ann","message":"…"} and look like a message from ann.
@test "data cannot pass for another user's chat message" {
  local token forged='"data":{"id":"1-0","room":"lobby","name":"ann","message":"hello"}'
  start_server --key key
  token=$(hour '"sub":"eve","rooms":["*"],"publish":true')
  listen stream '' -H "$(bearer "$token")"
  for body in "{$forged}" '{"data":"text"}' '{"data":"{\"name\":\"ann\",\"message\":\"hello\"}"}' \
    '{"data":[]}' "{\"event\":null,$forged}" "{\"event\":\"message\",$forged}" \
    '{"event":"m\u0065ssage","data":"text"}'; do
    refuses 400 "$body" -H "$(bearer "$token")"
    contains "$BODY" event
  done
  accepts "{\"event\":\"news\",$forged}" -H "$(bearer "$token")"
  accepts "{\"event\":\"Message\",$forged}" -H "$(bearer "$token")"
  accepts '{"event":"news","data":"text"}' -H "$(bearer "$token")"
  # The server wraps octets in its own object, with the sender's name.
  for query in '' 'event=message' 'event=news'; do
    ask "/messages?$query" -H "$OCTETS" -H "$(bearer "$token")" --data-raw '{"name":"ann","message":"hello"}'
    same "$STATUS" 201
  done
  accepts '{"message":"the end"}' -H "$(bearer "$token")"
  await_text stream 'the end'
  same "$(events_of stream message '.data | [.name, .message]' | paste -sd ' ')" \
    '["eve",null] ["eve",null] ["eve","the end"]'
}

@test "without --key, data may be published in the default event, because no name is signed" {
  start_server
  accepts '{"data":{"x":1}}'
  accepts '{"data":"text"}'
  accepts '{"event":"message","data":1}'
}

# ---- Idempotency keys ---------------------------------------------------------------------------

# Prints a token for the lobby that allows publishing, made by ssechat token.
token_of() { # [NAME]
  "$SSECHAT" token --key key ${1:+--sub "$1"} --rooms lobby --publish
}

# Posts `data` with the key order-1, as an event that has no name.
order() { # TOKEN DATA
  post "{\"event\":\"sold\",\"data\":$2}" -H "$(bearer "$1")" -H 'Idempotency-Key: order-1'
}

# Checks that a repeated POST with the key order-1 has the id of the first one.
orders_again() { # TOKEN DATA ID
  order "$1" "$2"
  same "$STATUS $(jq -r .id <<<"$BODY")" "200 $3"
}

@test "a user cannot use up or take over another user's idempotency key" {
  local eve shop of_eve of_shop
  start_server --key key
  eve=$(token_of eve)
  shop=$(token_of shop)
  order "$eve" 1
  same "$STATUS" 201
  of_eve=$(jq -r .id <<<"$BODY")
  order "$shop" 2
  same "$STATUS" 201
  of_shop=$(jq -r .id <<<"$BODY")
  orders_again "$eve" 1 "$of_eve"
  orders_again "$shop" 2 "$of_shop"
  order "$shop" 1
  is_problem 422
  # The same message of two users is two messages. Each token of a user has the same keys.
  order "$eve" 2
  is_problem 422
  order "$(token_of bob)" 2
  same "$STATUS" 201
  orders_again "$(hour '"sub":"shop","rooms":["lobby"],"publish":true')" 2 "$of_shop"
  ask /messages -H "$(bearer "$eve")"
  same "$(jq -c '[.messages[].data]' <<<"$BODY")" '[1,2,2]'
}

@test "tokens without a sub share their idempotency keys, but not those of users" {
  local all first
  start_server --key key --trust-proxy 127.0.0.1
  order "$(token_of ann)" 1
  same "$STATUS" 201
  all=$(token_of)
  order "$all" 2
  same "$STATUS" 201
  first=$(jq -r .id <<<"$BODY")
  orders_again "$(everything)" 2 "$first"
  # The address of a client can change between two tries.
  post '{"event":"sold","data":2}' -H "$(bearer "$all")" -H 'Idempotency-Key: order-1' \
    -H 'X-Forwarded-For: 192.0.2.1'
  same "$STATUS $(jq -r .id <<<"$BODY")" "200 $first"
  order "$all" 1
  is_problem 422
}

@test "POSTs of two users with the same idempotency key at the same time are two messages" {
  local i body connections=() tokens
  start_server --key key --journal journal
  tokens=("$(token_of eve)" "$(token_of shop)")
  suspend_server
  for i in {0..3}; do
    body="{\"event\":\"sold\",\"data\":$((i % 2))}"
    exec {connections[i]}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nConnection: close\r\n%s\r\nContent-Length: %s\r\n\r\n%s' \
      "$(bearer "${tokens[i % 2]}")" "${#body}" "$body" >&"${connections[i]}"
  done
  resume_server
  for i in {0..3}; do
    timeout 20 cat <&"${connections[i]}" >"answer.$i"
    exec {connections[i]}>&-
  done
  same "$(head -qn 1 answer.? | cut -d ' ' -f 2 | sort | paste -sd ' ')" '200 200 201 201'
  same "$(tail -qn 1 answer.0 answer.2 | jq -r .id | uniq | wc -l)" 1
  same "$(tail -qn 1 answer.1 answer.3 | jq -r .id | uniq | wc -l)" 1
  ask /messages -H "$(bearer "${tokens[0]}")"
  same "$(jq -c '[.messages[].data] | sort' <<<"$BODY")" '[0,1]'
}

@test "after a restart, each user still has its own idempotency keys, unless the first key has changed" {
  local eve shop all of_eve of_shop of_all
  key_file newer "$KEY, but another one"
  start_server --key key --journal journal
  eve=$(token_of eve)
  shop=$(token_of shop)
  all=$(token_of)
  order "$eve" 1
  of_eve=$(jq -r .id <<<"$BODY")
  order "$all" 3
  of_all=$(jq -r .id <<<"$BODY")
  order "$shop" 2
  same "$STATUS" 201
  of_shop=$(jq -r .id <<<"$BODY")
  stop_server
  start_server --key key --key newer --journal journal
  orders_again "$eve" 1 "$of_eve"
  orders_again "$shop" 2 "$of_shop"
  orders_again "$all" 3 "$of_all"
  order "$shop" 1
  is_problem 422
  stop_server
  # The pseudonym of a user depends on the first key.
  start_server --key newer --key key --journal journal
  order "$shop" 2
  same "$STATUS" 201
  orders_again "$all" 3 "$of_all"
}

# ---- What ids tell ------------------------------------------------------------------------------

# Opens a stream, prints the id of its `ready`, and ends the stream.
ready_id() { # TOKEN QUERY [LAST-EVENT-ID]
  listen ready "$2" -H "$(bearer "$1")" ${3:+-H "Last-Event-ID: $3"}
  kill "$CLIENT_PID"
  events_of ready ready .id | jq -r .
}

# Prints the `newest` of a long poll of room a that gets nothing.
poll_id() { # TOKEN [PARAMETERS]
  ask "/messages?room=a&wait=1$2" -H "$(bearer "$1")"
  jq -r 'select(.messages == []) | .newest' <<<"$BODY"
}

# Prints whether a page of room a that begins after this id reports a gap.
gap_after() { # TOKEN ID
  ask "/messages?room=a&after=$2" -H "$(bearer "$1")"
  jq -r .gap <<<"$BODY"
}

# Resumes a stream, and prints the reasons of its gaps and the texts of its replay.
replay() { # TOKEN QUERY LAST-EVENT-ID
  ready_id "$@" >ready.id
  printf '%s' "$(events_of ready gap .data.reason | jq -r . | paste -sd ' '):$(said ready)"
}

@test "the ids that a client gets with a token for one room tell nothing of other rooms" {
  local all token first next ms
  start_server --key key
  all=$(everything)
  token=$(hour '"rooms":["a"]')
  first=$(ready_id "$token" room=a)
  say "$all" b 1
  ms=${ID%-*}
  same "$(ready_id "$token" room=a)" "$first"
  same "$(poll_id "$token")" "$first"
  same "$(poll_id "$token" "&after=$first")" "$first"
  same "$(poll_id "$token" "&after=$((ms - 1))-0")" "$((ms - 1))-0"
  say "$all" b 2
  same "$(ready_id "$token" room=a)" "$first"
  same "$(poll_id "$token")" "$first"
  # Nor does a gap tell whether an id is that of the newest message of all rooms.
  eventually "[ \$(now_ms) -gt ${ID%-*} ]"
  same "$(gap_after "$token" "$ID") $(gap_after "$token" "${ID%-*}-9")" 'false false'
  same "$(gap_after "$token" "$((${ID%-*} + 1))-0")" false
  same "$(gap_after "$token" 9999999999999-0)" true

  say "$all" a 3
  next=$ID
  say "$all" b 4
  same "$(ready_id "$token" room=a)" "$next"
  same "$(ready_id "$token" 'room=a&history=9')" "$next"
  same "$(poll_id "$token")" "$next"
  same "$(poll_id "$token" "&after=$next")" "$next"
  same "$(ready_id "$all" room=a,b)" "$ID"
  same "$(ready_id "$all" room=c)" "$first"
}

@test "without --key, ready and an empty long poll have the id of the newest message of all rooms" {
  start_server
  accepts '{"room":"b","message":"x"}'
  same "$(ready_id '' room=a)" "$ID"
  same "$(poll_id '')" "$ID"
  same "$(poll_id '' '&after=1-0')" "$ID"
}

@test "a client with a token misses nothing and gets nothing twice when it resumes from such an id" {
  local all ready poll
  start_server --key key
  all=$(everything)
  # A room without messages, and one that does not exist.
  ready=$(ready_id "$all" room=a)
  poll=$(poll_id "$all")
  say "$all" b 1
  say "$all" a 2
  same "$(replay "$all" room=a "$ready")" ':2'
  same "$(<ready.id)" "$ID"
  same "$(replay "$all" room=a "$(<ready.id)")" ':'
  ask "/messages?room=a&wait=1&after=$poll" -H "$(bearer "$all")"
  same "$(jq -c '[.gap, .messages[].message]' <<<"$BODY")" '[false,"2"]'
  # A poll without an id waits for new messages of its own room only.
  watch_end poll '/messages?room=a&wait=30' -H "$(bearer "$all")"
  await_polls 1
  say "$all" b 3
  say "$all" a 4
  eventually '[ -e poll.end ]'
  same "$(jq -c '[.messages[].message]' poll)" '["4"]'
  # A client that leaves a room and comes back does not get that room's messages again.
  say "$all" b 5
  same "$(replay "$all" room=a "$ID")" ':'
  same "$(<ready.id)" "$ID"
  same "$(replay "$all" room=a,b "$(<ready.id)")" ':'
  # A client without a place in time gets one.
  same "$(replay "$all" room=c nonsense)" 'unknown:'
  same "$(replay "$all" room=c "$(<ready.id)")" ':'
  ask '/messages?room=c&wait=1&after=9999999999999-0' -H "$(bearer "$all")"
  same "$(jq -c '[.gap, .messages, .newest]' <<<"$BODY")" "[true,[],\"$(<ready.id)\"]"
}

@test "a client with a token resumes from such an id after its room was forgotten" {
  local all ready
  start_server --key key --room-ttl 1s
  all=$(everything)
  say "$all" a 1
  ready=$(ready_id "$all" room=a)
  same "$ready" "$ID"
  eventually 'ask /rooms -H "$(bearer "$(everything)")"; [ "$BODY" = "{\"rooms\":[],\"more\":false}" ]'
  same "$(poll_id "$all" "&after=$ready")" "$ready"
  same "$(gap_after "$all" "$ready")" false
  same "$(replay "$all" room=a "$ready")" ':'
  same "$(<ready.id)" "$ready"
  listen keeper room=a -H "$(bearer "$all")" # with a stream, the room stays
  say "$all" a 2
  same "$(replay "$all" room=a "$ready")" ':2'
  same "$(replay "$all" room=a 1-0)" 'restarted:2'
}

@test "a client with a token resumes from such an id after a restart" {
  local all used unused
  start_server --key key --journal journal
  all=$(everything)
  unused=$(ready_id "$all" room=c)
  say "$all" a 1
  used=$(ready_id "$all" room=a)
  say "$all" b 2
  stop_server
  start_server --key key --journal journal
  same "$(replay "$all" room=a "$used") $(<ready.id)" ": $used"
  same "$(replay "$all" room=c "$unused") $(<ready.id)" ": $unused"
  same "$(gap_after "$all" "$used")" false
  say "$all" a 3
  say "$all" c 4
  same "$(replay "$all" room=a "$used")" ':3'
  same "$(replay "$all" room=c "$unused")" ':4'
  stop_server
  # Without the journal, everything before the start may be lost.
  start_server --key key
  same "$(replay "$all" room=a "$ID")" 'restarted:'
  used=$(<ready.id)
  say "$all" a 5
  same "$(replay "$all" room=a "$used")" ':5'
}

# ---- When a token expires -----------------------------------------------------------------------

@test "a stream ends when its token expires, and resumes with a new token" {
  local end token later round fraction id
  start_server --key key --heartbeat 0
  everything >all
  end=$(second_after 15)
  token=$(until_second "$end")
  fraction=$(until_second "$((end - 1)).01")
  later=$(until_second $((end + 30)))
  round=$(until_second $((end + 1024))) # waits in the same slot of the server's timer wheel
  watch_end new '/events' -H "$(bearer "$token")"
  watch_end rooms '/events?room=lobby,garden' -H "$(bearer "$token")"
  watch_end old '/events' -0 -b "ssechat=$token"
  watch_end part "/events?access_token=$fraction"
  open_stream later '' -H "$(bearer "$later")"
  open_stream round '' -H "$(bearer "$round")"
  for stream in new rooms old part later round; do
    await "$stream" ready
  done
  say "$(<all)" lobby one
  for stream in new rooms old part later round; do
    await_text "$stream" '"message":"one"'
  done
  for stream in new rooms old part; do
    ended_at "$stream" "$end"
    same "$stream $(names "$stream" | tr ' ' '\n' | grep -v presence | paste -sd ' ')" \
      "$stream retry ready message retry heartbeat"
  done
  for token in "$token" "$fraction"; do
    ask /events -H "$(bearer "$token")"
    is_refused 'has expired'
  done

  # Streams with unexpired tokens continue.
  id=$(events_of new message .id | tail -n 1 | jq -r .)
  say "$(<all)" lobby two
  say "$(<all)" garden elsewhere
  say "$(<all)" lobby three
  await_text later '"message":"three"'
  await_text round '"message":"three"'
  same "$(said later), $(said round)" 'one two three, one two three'
  listen new '' -H "$(bearer "$later")" -H "Last-Event-ID: $id"
  say "$(<all)" lobby four
  await_text new '"message":"four"'
  same "$(said new)" 'two three four'
  same "$(events_of new gap)" ''
  ask /rooms -H "$(bearer "$later")"
  same "$(jq -c '[.rooms[].online]' <<<"$BODY")" '[0,3]'
}

@test "each of thirty streams ends in the second in which its own token expires" {
  local i start second token
  start_server --key key --heartbeat 0
  start=$(second_after 30)
  for i in {0..29}; do
    token=$(until_second "$((start + i / 10)).$((i % 10))")
    watch_end "stream.$i" "/events?name=n$i" -H "$(bearer "$token")"
  done
  for i in {0..29}; do
    await "stream.$i" ready
  done
  for i in {0..29}; do
    second=$((start + i / 10 + (i % 10 > 0)))
    ended_at "stream.$i" "$second"
    contains "$(names "stream.$i")" 'retry ready presence'
    same "$(tail -n 4 "stream.$i" | head -c 7)" 'retry: '
  done
  ask /rooms -H "$(bearer "$(everything)")"
  same "$BODY" '{"rooms":[],"more":false}'
}

@test "three hundred streams that end in the same second get different retry times" {
  local end closed ended retry distinct least most
  start_server --key key
  end=$(second_after 15)
  crowd 300 "/events?access_token=$(until_second "$end")"
  tell wait-close
  between "$(now_ms)" "$end"000 "$((end + 1))"500
  read -r _ closed _ ended _ retry _ distinct _ least _ most <<<"$ANSWER"
  same "$closed $ended $retry" '300 300 300'
  between "$distinct" 100 300
  between "$least" 3000 4500
  between "$most" 3000 4500
}

# The poll begins late in a second, so that the test notices a server that waits for whole seconds.
@test "a long poll is answered when its token expires" {
  local end token
  start_server --key key
  everything >all
  end=$(second_after 4)
  token=$(until_second "$end")
  until_ms "$((end - 2))"700
  watch_end poll '/messages?wait=30' -H "$(bearer "$token")"
  watch_end short '/messages?wait=1' -H "$(bearer "$token")"
  watch_end other '/messages?room=garden&wait=30' -H "$(bearer "$(<all)")"
  ended_at poll "$end"
  between "$(cut -d ' ' -f 2 poll.end)" "$end"000 "$end"650
  same "$(jq -c '[.messages, .more, .gap]' poll)" '[[],false,false]'
  eventually '[ -e short.end ]'
  between "$(cut -d ' ' -f 2 short.end)" "$((end - 1))"600 "$end"650
  ask '/messages?wait=30' -H "$(bearer "$token")"
  is_refused 'has expired'
  say "$(<all)" garden hello
  eventually '[ -e other.end ]'
  same "$(jq -r '.messages[].message' other)" hello
}

# The connection stays open after the poll; the expiry of the poll's token must not close it.
@test "a connection outlives the token of a long poll that was answered on it" {
  local end token connection
  start_server --key key
  everything >all
  end=$(second_after 4)
  token=$(until_second "$end")
  exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"
  timeout 20 cat <&"$connection" >answers 3>&- &
  CLIENTS+=($!)
  printf 'GET /messages?wait=1 HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n' "$(bearer "$token")" >&"$connection"
  await_polls 1
  say "$(<all)" lobby hello
  await_text answers hello
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"messa' "$(bearer "$(<all)")" >&"$connection"
  until_ms "$end"300
  printf 'ge":"x"}\n' >&"$connection"
  await_text answers ' 201 Created'
  exec {connection}>&-
}

@test "a stream that does not read is closed when its token expires" {
  local end live replay token
  start_server --key key --history 8M --log-level debug
  everything >all
  printf '{"event":"x","data":"%s"}' "$(times 60000 x)" >body
  end=$(second_after 25)
  token=$(until_second "$end")
  exec {live}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET /events HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n' "$(bearer "$token")" >&"$live"
  eventually 'ask /rooms -H "$(bearer "$(<all)")"; [ "$(jq -c "[.rooms[].online]" <<<"$BODY")" = "[1]" ]'
  # shellcheck disable=SC2046 # one argument for each word
  curl -sf $(for _ in {1..60}; do printf -- '-o /dev/null %s ' "$URL/messages"; done) \
    -H "$(bearer "$(<all)")" -H "$JSON" --data-binary @body
  exec {replay}<>"/dev/tcp/127.0.0.1/$PORT" # this stream stalls in its replay
  printf 'GET /events?history=60 HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n' "$(bearer "$token")" >&"$replay"
  eventually 'ask /rooms -H "$(bearer "$(<all)")"; [ "$(jq -c "[.rooms[].online]" <<<"$BODY")" = "[2]" ]'
  between "$(now_ms)" 0 "$end"000
  eventually 'ask /rooms -H "$(bearer "$(<all)")"; [ "$(jq -c "[.rooms[].online]" <<<"$BODY")" = "[0]" ]'
  between "$(now_ms)" "$end"000 "$((end + 1))"500
  same "$(grep -c 'stream=1 reason="token"' "$SERVER_LOG")" 2
  # Both streams are reset, so that the kernel does not keep the unread bytes.
  run --separate-stderr -1 timeout 20 cat <&"$live"
  printf '%s' "$output" >live
  contains "$stderr" reset
  run --separate-stderr -1 timeout 20 cat <&"$replay"
  printf '%s' "$output" >replay
  exec {live}>&- {replay}>&-
  for stream in live replay; do # without a last chunk, the client knows that the body was cut off
    [ "$(tail -c 5 "$stream" | od -An -c | tr -d ' ')" != '0\r\n\r\n' ]
  done
}

@test "a POST is refused if its token expires before its body arrives" {
  local end token length chunked
  start_server --key key
  end=$(second_after 4)
  token=$(until_second "$end")
  exec {length}<>"/dev/tcp/127.0.0.1/$PORT" {chunked}<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'POST /messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n' \
    "$(bearer "$token")" >&"$length"
  printf 'POST /messages?access_token=%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"mes\r\n' \
    "$token" >&"$chunked"
  read -r -t 20 line <&"$length"
  same "$line" $'HTTP/1.1 100 Continue\r' # the token was still valid
  printf '{"mess' >&"$length"
  until_ms "$end"000
  printf 'age":"x"}' >&"$length"
  printf 'a\r\nsage":"x"}\r\n0\r\n\r\n' >&"$chunked"
  for connection in "$length" "$chunked"; do
    timeout 20 cat <&"$connection" >answer
    contains "$(<answer)" 'HTTP/1.1 401 Unauthorized'
    contains "$(<answer)" 'The token has expired'
  done
  exec {length}>&- {chunked}>&-
  ask /messages -H "$(bearer "$(everything)")"
  same "$(jq -c .messages <<<"$BODY")" '[]'
}

@test "a refused stream gets no lease, and a stream that ends frees its place and its rooms" {
  local end token
  start_server --key key --max-streams 2
  end=$(second_after 8)
  token=$(until_second "$end")
  watch_end first '/events?room=a' -H "$(bearer "$token")"
  watch_end second '/events?room=b' -H "$(bearer "$token")"
  await first ready
  await second ready
  ask '/events?room=a' -H "$(bearer "$token")"
  contains "$STATUS $BODY" '"reason":"full"'
  ask '/messages?room=a&wait=9' -H "$(bearer "$token")"
  is_problem 503
  ended_at first "$end"
  ended_at second "$end"
  token=$(everything)
  listen first 'room=c' -H "$(bearer "$token")"
  ask /rooms -H "$(bearer "$token")"
  same "$(jq -c '[.rooms[].room]' <<<"$BODY")" '["c"]'
}

@test "SIGTERM ends streams with unexpired tokens as it ends all others" {
  local token
  start_server --key key
  token=$(everything)
  open_stream stream '' -H "$(bearer "$token")"
  watch_end poll '/messages?wait=60' -H "$(bearer "$token")"
  await stream ready
  await_polls 1
  stop_server
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0
  same "$(names stream | tr ' ' '\n' | tail -n 2 | paste -sd ' ')" 'retry heartbeat'
}

# ---- Keys ---------------------------------------------------------------------------------------

@test "a token may be signed with any key given on the command line or in the environment" {
  local old=the-key-that-we-used-until-yesterday new=the-key-that-we-are-going-to-use-now
  local claims='{"rooms":["*"],"publish":true,"exp":99999999999}'
  key_file old "$old"
  key_file new "$new"
  start_server --key old --key=new
  takes_token "$(sign "$claims" "$HEADER" "$old")"
  takes_token "$(sign "$claims" "$HEADER" "$new")"
  refuses_token 'not signed' "$(sign "$claims")"
  stop_server
  SSECHAT_KEY='new, old' start_server
  takes_token "$(sign "$claims" "$HEADER" "$old")"
  takes_token "$(sign "$claims" "$HEADER" "$new")"
  refuses_token 'not signed' "$(sign "$claims")"
  stop_server
  SSECHAT_KEY=old,new start_server --key key
  takes_token "$(sign "$claims")"
  refuses_token 'not signed' "$(sign "$claims" "$HEADER" "$old")"
  refuses_token 'not signed' "$(sign "$claims" "$HEADER" "$new")"
}

@test "a key is the content of its file, without one final newline" {
  local claims='{"rooms":["*"],"publish":true,"exp":99999999999}' text hex key_32
  key_32=$(times 32 k)
  while read -r file key; do
    key_file key "$file"
    start_server --key key
    takes_token "$(sign "$claims" "$HEADER" "$(printf '%b_' "$key" | sed 's/_$//')")" "$file"
    stop_server
  done <<END
$key_32 $key_32
$key_32\\n $key_32
$(times 4096 k) $(times 4096 k)
$key_32\\r\\n $key_32\\r
END
  key_file key "$key_32\\n\\n"
  start_server --key key
  takes_token "$(sign "$claims" "$HEADER" "$key_32"$'\n')"
  refuses_token 'not signed' "$(sign "$claims" "$HEADER" "$key_32")"
  stop_server
  # These bytes are not text, so openssl gets them in hexadecimal.
  hex=000a0dff$(times 20 80fe01)00
  printf '%s' "${hex^^}" | basenc -d --base16 >key
  start_server --key key
  text=$(printf '%s' "$HEADER" | base64url).$(printf '%s' "$claims" | base64url)
  takes_token "$text.$(printf '%s' "$text" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary | base64url)"
}

# Checks that the program refuses to run and that its message contains no part of the key.
refused_quietly() {
  refused "$@"
  lacks "$(<err)" "${KEY:0:6}"
}

# Checks that the server, --check and ssechat token refuse this key file.
refuses_key() { # FILE WORDS
  refused_quietly 1 --listen 127.0.0.1:0 --key "$1"
  contains "$(<err)" "$2"
  refused_quietly 1 --check --key "$1"
  contains "$(<err)" "$2"
  SSECHAT_KEY="$1" refused_quietly 1 --check
  contains "$(<err)" "$2"
  refused_quietly 1 token --key "$1" --rooms lobby
  contains "$(<err)" "$2"
}

@test "a key file that is missing, too short, too long or not a regular file is refused" {
  refuses_key nothing 'No such file'
  refuses_key no/thing 'No such file'
  key_file short "${KEY:0:31}"
  refuses_key short '32 bytes'
  key_file short "${KEY:0:31}\\n"
  refuses_key short '32 bytes'
  key_file empty ''
  refuses_key empty '32 bytes'
  { printf '%s' "$KEY" && times $((4097 - ${#KEY})) k; } >long
  chmod 600 long
  refuses_key long '4096 bytes'
  mkdir folder
  chmod 700 folder
  refuses_key folder 'not a regular file'
  mkfifo -m 600 fifo
  refuses_key fifo 'not a regular file'
  refuses_key /dev/zero 'not a regular file'
  # One wrong file out of two is enough to fail.
  refused_quietly 1 --check --key key --key nothing
  contains "$(<err)" nothing
  refused_quietly 2 --check --key ''
  refused_quietly 2 --check --key
  run -0 "$SSECHAT" --check --log-level warn --key key --key key
  same "$output" ''
}

@test "a key file that other users may read or change is refused" {
  for mode in 644 640 604 620 602 660 666 610 601; do
    chmod "$mode" key
    refuses_key key 'chmod 600'
  done
  for mode in 600 400 700; do
    chmod "$mode" key
    run -0 "$SSECHAT" --check --log-level warn --key key
    same "$output" ''
  done
  # The mode of the file counts, not the mode of a link to it.
  ln -s key link
  run -0 "$SSECHAT" --check --log-level warn --key link
  chmod 644 key
  refuses_key link 'chmod 600'
}

@test "the log contains no part of a token or a key" {
  local token bad end piece log
  start_server --key key --log-level debug --max-streams 2
  end=$(second_after 6)
  token=$(until_second "$end")
  bad=$(sign '{"sub":"mallory-the-forger","exp":9}' "$HEADER" "another-key-of-some-length-or-so")
  watch_end stream "/events?access_token=$token"
  watch_end cookie '/events' -b "ssechat=$token"
  await stream ready
  await cookie ready
  for shown in "$token" "$bad" "x$token"; do
    for path in /events /messages /rooms /nothing /; do
      ask "$path?access_token=$shown"
      ask "$path" -H "$(bearer "$shown")"
      ask "$path" -b "ssechat=$shown"
      ask "$path?access_token=$shown" -H "$JSON" --data-raw "{\"message\":\"$shown\"}"
    done
  done
  raw "GET /messages?access_token=$token HTTP/9\r\n$(bearer "$token")\r\n\r\n" >/dev/null
  raw "$token\r\n\r\n" >/dev/null
  ended_at stream "$end"
  ended_at cookie "$end"
  stop_server
  log=$(<"$SERVER_LOG")
  contains "$log" 'close fd='
  lacks "$log" "$KEY"
  lacks "$log" mallory
  lacks "$log" access_token
  for piece in ${token//./ } ${bad//./ }; do
    lacks "$log" "${piece:0:10}"
  done
}

# ---- Pages of other origins ---------------------------------------------------------------------

@test "a page from a --cors origin can read why its request was refused" {
  local token
  start_server --key key --cors https://a.example
  token=$(hour '"rooms":["lobby"]')
  for path in /events /messages /rooms; do
    ask "$path" -H 'Origin: https://a.example'
    is_stranger
    same "$(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" 'https://a.example true'
    ask "$path" -H 'Origin: https://a.example' -H "$(bearer x)"
    is_refused 'does not accept this token'
    same "$(field Access-Control-Allow-Origin)" https://a.example
    ask "$path" -H 'Origin: https://b.example'
    is_stranger
    same "$(field Access-Control-Allow-Origin)" ''
    # The browser's preflight carries no token.
    ask "$path" -X OPTIONS -H 'Origin: https://a.example' -H 'Access-Control-Request-Method: GET' \
      -H 'Access-Control-Request-Headers: authorization'
    same "$STATUS $(field Access-Control-Allow-Origin)" '204 https://a.example'
    contains ", $(field Access-Control-Allow-Headers)," ', Authorization,'
  done
  ask '/events?room=garden' -H 'Origin: https://a.example' -H "$(bearer "$token")"
  is_forbidden 'does not allow this room'
  same "$(field Access-Control-Allow-Origin)" https://a.example
  post '{"message":"x"}' -H 'Origin: https://a.example'
  is_stranger
  same "$(field Access-Control-Allow-Origin)" https://a.example
  post '{"message":"x"}' -H 'Origin: https://a.example' -H "$(bearer "$token")"
  is_forbidden 'allows reading only'
  same "$(field Access-Control-Allow-Origin)" https://a.example
}

@test "a page from a --cors origin can read why its request was refused before a handler saw it" {
  local head='Host: h\r\nOrigin: https://a.example\r\nContent-Type: application/json\r\n' status rest
  start_server --cors https://a.example
  while IFS='|' read -r status rest; do
    HEAD=$(raw "${rest/HEAD/$head}" | tr -d '\r')
    contains "${HEAD%%$'\n'*}" "HTTP/1.1 $status"
    same "$rest $(field Access-Control-Allow-Origin)" "$rest https://a.example"
    same "$rest $(field Access-Control-Allow-Credentials)" "$rest true"
    contains "$HEAD" '"detail":"'
  done <<'END'
413|POST /messages HTTP/1.1\r\nHEADContent-Length: 100000\r\n\r\n
413|POST /messages HTTP/1.1\r\nHEADTransfer-Encoding: chunked\r\n\r\nfffff\r\n
413|GET /messages HTTP/1.1\r\nHEADContent-Length: 1\r\n\r\nx
417|POST /messages HTTP/1.1\r\nHEADContent-Length: 1\r\nExpect: x\r\n\r\n
501|POST /messages HTTP/1.1\r\nHEADTransfer-Encoding: gzip, chunked\r\n\r\n
400|POST /messages HTTP/1.1\r\nHEADContent-Length: x\r\n\r\n
400|GET /messages HTTP/1.1\r\nHEADTransfer-Encoding: chunked\r\n\r\n-\r\n
END
  # An origin in a head that is not complete is not believed.
  HEAD=$(raw 'GET / HTTP/1.1\r\nOrigin: https://a.example\r\nHost : a\r\n\r\n')
  same "${HEAD:9:3} $(field Access-Control-Allow-Origin)" '400 '
}

@test "a token in the query is decoded, and so is the name of its parameter" {
  local token
  start_server --key key
  token=$(everything)
  for query in "access_token=${token//./%2E}" "access%5Ftoken=$token" "%61ccess_token=${token/e/%65}"; do
    ask "/messages?$query"
    same "$query $STATUS" "$query 200"
  done
  ask "/messages?access_token=${token//./%2}"
  is_problem 401
  ask "/messages?access_token=${token//./%252E}"
  is_problem 401
}

# Browsers add cookies automatically, even to requests from pages of other sites.
@test "a page from another site cannot post with the user's cookie" {
  local token
  start_server --key key --cors https://a.example
  token=$(everything)
  post '{"message":"x"}' -H 'Origin: https://b.example' -b "ssechat=$token"
  is_problem 403
  same "$(field Access-Control-Allow-Origin)" ''
  accepts '{"message":"x"}' -H 'Origin: https://a.example' -b "ssechat=$token"
  accepts '{"message":"x"}' -H "Origin: $URL" -b "ssechat=$token"
  ask /messages -H 'Origin: https://b.example' -b "ssechat=$token"
  same "$STATUS $(field Access-Control-Allow-Origin)" '200 '
}

@test "with --cors '*', any page that sends no credentials can read why its request was refused" {
  start_server --key key --cors '*'
  ask /messages -H 'Origin: https://b.example'
  is_stranger
  same "$(field Access-Control-Allow-Origin) $(field Access-Control-Allow-Credentials)" '* '
}

# ---- ssechat token ------------------------------------------------------------------------------

# Makes a token with ssechat token and decodes it. Sets TOKEN, TTL, and CLAIMS without the times.
make_token() {
  "$SSECHAT" token --key key "$@" >token 2>err
  same "$(wc -l <token) $(wc -c <err)" '1 0'
  TOKEN=$(<token)
  CLAIMS=$(part "$TOKEN" 2)
  same "$(part "$TOKEN" 1)" "$HEADER"
  same "$TOKEN" "$(sign "$CLAIMS")" # openssl must make the same signature
  between "$(jq .iat <<<"$CLAIMS")" $(($(date +%s) - 10)) "$(date +%s)"
  TTL=$(jq '.exp - .iat' <<<"$CLAIMS")
  CLAIMS=$(jq -c 'del(.iat, .exp)' <<<"$CLAIMS")
}

@test "ssechat token prints a token with the claims that its options specify" {
  make_token --rooms lobby
  same "$TTL $CLAIMS" '3600 {"rooms":["lobby"],"publish":false}'
  make_token --sub ann --rooms a,b --publish
  same "$TTL $CLAIMS" '3600 {"sub":"ann","rooms":["a","b"],"publish":true}'
  make_token --rooms a --rooms=b,c --rooms d
  same "$CLAIMS" '{"rooms":["a","b","c","d"],"publish":false}'
  make_token --rooms '*'
  same "$CLAIMS" '{"rooms":["*"],"publish":false}'
  make_token --rooms '~den,a b' --sub='é "\ 😀'
  same "$CLAIMS" '{"sub":"é \"\\ 😀","rooms":["~den","a b"],"publish":false}'
  make_token --rooms a --sub "$(times 32 😀)" --publish
  same "$(jq '.sub | length' <<<"$CLAIMS")" 32
  while read -r ttl seconds; do
    make_token --rooms a --ttl "$ttl"
    same "$ttl $TTL" "$ttl $seconds"
  done <<'END'
1h 3600
90s 90
90 90
5m 300
7d 604800
1 1
36500d 3153600000
END
}

@test "a token made by ssechat token gives exactly the rights in its claims" {
  start_server --key key
  make_token --rooms '*' --publish
  takes_token "$TOKEN"
  make_token --sub ann --rooms lobby,~den --publish
  takes_token "$TOKEN"
  say "$TOKEN" '~den' hello
  listen stream 'room=~den&name=bob' -H "$(bearer "$TOKEN")"
  same "$(names_in stream)" '["ann"]'
  refuses 403 '{"room":"garden","message":"x"}' -H "$(bearer "$TOKEN")"
  make_token --rooms lobby
  ask /messages -H "$(bearer "$TOKEN")"
  same "$STATUS" 200
  post '{"message":"x"}' -H "$(bearer "$TOKEN")"
  is_forbidden 'allows reading only'
  make_token --rooms "$(printf 'r%02d,' {1..63})last" --publish
  accepts '{"room":"r63","message":"x"}' -H "$(bearer "$TOKEN")"
  make_token --rooms lobby --ttl 1
  until_ms "$(part "$TOKEN" 2 | jq .exp)000"
  ask /messages -H "$(bearer "$TOKEN")"
  is_refused 'has expired'
}

@test "ssechat token reports a wrong option in one sentence and exits with 2" {
  refused_quietly 2 token
  refused_quietly 2 token --key key
  refused_quietly 2 token --rooms lobby
  refused_quietly 2 token --key key --sub ann --publish
  refused_quietly 2 token --key key --rooms
  refused_quietly 2 token --key key --rooms ''
  refused_quietly 2 token --key key --rooms a/b
  refused_quietly 2 token --key key --rooms a,,b
  refused_quietly 2 token --key key --rooms a,
  refused_quietly 2 token --key key --rooms "$(times 65 x)"
  refused_quietly 2 token --key key --rooms $'a\nb'
  refused_quietly 2 token --key key --rooms $'\xff'
  refused_quietly 2 token --key key --rooms lobby --sub ''
  refused_quietly 2 token --key key --rooms lobby --sub ' ann'
  refused_quietly 2 token --key key --rooms lobby --sub 'ann '
  refused_quietly 2 token --key key --rooms lobby --sub "$(times 33 x)"
  refused_quietly 2 token --key key --rooms lobby --sub $'an\nn'
  refused_quietly 2 token --key key --rooms lobby --sub $'\xff'
  refused_quietly 2 token --key key --rooms lobby --ttl 0
  refused_quietly 2 token --key key --rooms lobby --ttl -1
  refused_quietly 2 token --key key --rooms lobby --ttl 1y
  refused_quietly 2 token --key key --rooms lobby --ttl 36501d
  refused_quietly 2 token --key key --rooms lobby --publish=yes
  refused_quietly 2 token --key key --rooms lobby --nothing
  refused_quietly 2 token --key key --rooms lobby --listen 127.0.0.1:0
  refused_quietly 2 token --key key --rooms lobby more
  refused_quietly 2 token key
  refused_quietly 2 --key key token
  # A wrong option is reported before the key file is read.
  refused_quietly 2 token --key nothing
}

@test "ssechat token prints no token that is too large for a server" {
  refused_quietly 2 token --key key --rooms "$(seq -s, 1 65)"
  contains "$(<err)" '64 rooms'
  # A quote takes two bytes in JSON, so 64 room names full of quotes do not fit in a token.
  refused_quietly 2 token --key key --rooms "$(for i in {10..73}; do printf '%s%s,' "$(times 62 '"')" "$i"; done)x"
  refused_quietly 2 token --key key --rooms "$(for i in {11..73}; do printf '%s%s,' "$(times 62 '"')" "$i"; done)x"
}

@test "ssechat token prints its help to standard output, and fails if it cannot print the token" {
  local status=0
  "$SSECHAT" token --help >out 2>err
  same "$(wc -c <err)" 0
  for option in key sub rooms publish ttl help; do
    contains "$(<out)" "  --$option"
  done
  contains "$(<out)" 'usage: ssechat token'
  "$SSECHAT" token --key nothing --help >out 2>err
  contains "$(<out)" 'usage: ssechat token'
  "$SSECHAT" token --key key --rooms lobby >/dev/full 2>err || status=$?
  same "$status $(wc -l <err)" '1 1'
  contains "$(<err)" 'standard output'
  # ssechat token does not read the server's environment variables.
  SSECHAT_KEY=key refused_quietly 2 token --rooms lobby
}
