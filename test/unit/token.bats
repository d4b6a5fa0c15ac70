#!/usr/bin/env bats
# token.c and sha256.c, through their driver: hashes against published examples, tokens against RFC
# 7515's example and against openssl, and the tokens that must be refused. The driver also puts each
# input next to unreadable pages, and tries every beginning of a good token, and the token with
# each bit flipped.
#
# seconds: 20

# shellcheck disable=SC2153
load ../lib/helper
load ../lib/token

NOW=1700000000

# Makes a token with any header and claims, without token.c.
sign() { # HEADER CLAIMS [KEY]
  sign_text "$(printf '%s' "$1" | base64url).$(printf '%s' "$2" | base64url)" "${3:-$KEY}"
}

check() { # TOKEN [NOW]
  printf '%s' "$1" | "$UNIT/token" check key "${2:-$NOW}"
}

# Checks the state; on a failure also prints what was signed (the fourth argument).
state_is() { # STATE TOKEN [NOW]
  run check "$2" "${3:-$NOW}"
  if [ "${lines[0]}" != "$1" ]; then
    printf 'expected %s, got %s\ntoken: %s\nsays:  %s\n' "$1" "$output" "$2" "${4:-}"
    return 1
  fi
}

claims_are() { # STATE CLAIMS [NOW]
  state_is "$1" "$(sign "$HEADER" "$2")" "${3:-$NOW}" "$2"
}

header_is() { # STATE HEADER
  state_is "$1" "$(sign "$2" '{"exp":1700000001}')" "$NOW" "$2"
}

# Checks claims or headers, one per line, that all have the same state.
each_line() { # FUNCTION STATE
  local line count=0
  while IFS= read -r line; do
    "$1" "$2" "$line"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ]
}

says() { # CLAIMS LINE...
  local expected
  expected=$(printf '%s\n' good "${@:2}")
  run check "$(sign "$HEADER" "$1")"
  same "$output" "$expected"
}

sha256() {
  printf '%s' "$1" | "$UNIT/token" sha256
}

hmac() { # KEYHEX DATAHEX
  printf '%s' "${2^^}" | basenc -d --base16 | "$UNIT/token" hmac "$1"
}

# ---- SHA-256 ------------------------------------------------------------------------------------

@test "token: SHA-256 gives the digests of NIST's examples for FIPS 180-4" {
  same "$(sha256 '')" e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  same "$(sha256 abc)" ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
  same "$(sha256 abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq)" \
    248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1
  text=abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr
  same "$(sha256 "${text}lmnopqrsmnopqrstnopqrstu")" \
    cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1
  same "$(head -c 1000000 /dev/zero | tr '\0' a | "$UNIT/token" sha256)" \
    cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0
}

@test "token: SHA-256 agrees with sha256sum at lengths around those of a block" {
  for length in {0..2} {54..66} {118..130} 191 192 193; do
    text=$(head -c "$length" "$BATS_TEST_FILENAME")
    same "$length $(sha256 "$text")" "$length $(printf '%s' "$text" | sha256sum | cut -d' ' -f1)"
  done
}

@test "token: SHA-256 agrees with sha256sum on every byte value" {
  for hex in {0..9}{{0..9},{A..F}} {A..F}{{0..9},{A..F}}; do printf '%b' "\\x$hex"; done >every
  same "$(wc -c <every)" 256
  same "$("$UNIT/token" sha256 <every)" "$(sha256sum <every | cut -d' ' -f1)"
}

# ---- HMAC ---------------------------------------------------------------------------------------

@test "token: HMAC-SHA-256 gives the results of RFC 4231's test cases" {
  same "$(hmac "$(times 20 0b)" 4869205468657265)" \
    b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7
  same "$(hmac 4a656665 7768617420646f2079612077616e7420666f72206e6f7468696e673f)" \
    5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843
  same "$(hmac "$(times 20 aa)" "$(times 50 dd)")" \
    773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe
  same "$(hmac 0102030405060708090a0b0c0d0e0f10111213141516171819 "$(times 50 cd)")" \
    82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b
  hex=54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204
  same "$(hmac "$(times 131 aa)" "${hex}b6579204669727374")" \
    60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54
  text='This is a test using a larger than block-size key and a larger than block-size data. '
  text+='The key needs to be hashed before being used by the HMAC algorithm.'
  same "$(printf '%s' "$text" | "$UNIT/token" hmac "$(times 131 aa)")" \
    9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2
}

@test "token: HMAC agrees with openssl for keys about as long as a block" {
  for length in 1 31 32 33 63 64 65 127 128 129; do
    same "$length $(printf message | "$UNIT/token" hmac "$(times "$length" 6b)")" \
      "$length $(printf message | openssl dgst -sha256 -hmac "$(times "$length" k)" -r |
        cut -d' ' -f1)"
  done
}

# ---- What is accepted ---------------------------------------------------------------------------

@test "token: the example of RFC 7515 A.1 is good until it expires" {
  octets='AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-'
  octets+='1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=='
  basenc -d --base64url <<<"$octets" >key
  text='eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.'
  text+='eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt'
  text+='cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.'
  text+='dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
  run check "$text" 1300819379
  same "$output" $'good\npublish no\nexpires 1300819380'
  [ "$status" -eq 0 ]
  run check "$text" 1300819380
  same "$output" expired
  [ "$status" -eq 1 ]
}

@test "token: a token gives a name, rooms and the right to publish" {
  says '{"sub":"ann","rooms":["lobby","news"],"publish":true,"exp":1700000001}' \
    'name ann' 'room lobby' 'room news' 'publish yes' 'expires 1700000001'
  says '{"exp":1700000001}' 'publish no' 'expires 1700000001'
  says '{"rooms":[],"publish":false,"exp":1700000001}' 'publish no' 'expires 1700000001'
  says '{"rooms":["a","*"],"exp":1700000001}' \
    'room a' 'room *' 'all rooms' 'publish no' 'expires 1700000001'
  says '{"rooms":["*a","**"],"exp":1700000001}' \
    'room *a' 'room **' 'publish no' 'expires 1700000001'
}

@test "token: claims may be written with escapes and white space, and be in any order" {
  says $' {\t"exp" : 1700000001 ,\r\n "rooms" : [ "lo\\u0062by" ,"\\"\\\\" , "é\\ud83d\\ude00" ],
    "\\u0073ub":"\\u0041nn\\u00e9" } ' \
    'name Ann\xc3\xa9' 'room lobby' 'room "\x5c' 'room \xc3\xa9\xf0\x9f\x98\x80' \
    'publish no' 'expires 1700000001'
}

@test "token: claims that ssechat does not know are ignored" {
  says '{"iss":1,"iat":"x","jti":{},"exp":1700000001,"b":1,"b":2,"Sub":1,"crit":["x"]}' \
    'publish no' 'expires 1700000001'
}

@test "token: a name has 1 to 32 characters, and is never changed" {
  long=$(times 32 😀)
  claims_are good "{\"sub\":\"$long\",\"exp\":1700000001}"
  claims_are malformed "{\"sub\":\"${long}x\",\"exp\":1700000001}"
  claims_are good '{"sub":"a b","exp":1700000001}'
  claims_are good '{"sub":"\u2764\ufe0f","exp":1700000001}'
  each_line claims_are malformed <<'END'
{"sub":"","exp":1700000001}
{"sub":" ","exp":1700000001}
{"sub":"ann ","exp":1700000001}
{"sub":" ann","exp":1700000001}
{"sub":"ann\u3000","exp":1700000001}
{"sub":"an\nn","exp":1700000001}
{"sub":"an\u0000n","exp":1700000001}
{"sub":"an\u202en","exp":1700000001}
{"sub":"ann\u200e","exp":1700000001}
{"sub":"ann\u200b","exp":1700000001}
{"sub":"ann\u200d","exp":1700000001}
{"sub":"\u3164","exp":1700000001}
END
}

@test "token: a token may have up to 64 rooms of up to 64 bytes" {
  room=$(times 64 r)
  rooms=$(yes "\"$room\"," | head -n 63 | tr -d '\n')\"$room\"
  claims_are good "{\"rooms\":[$rooms],\"exp\":1700000001}"
  claims_are malformed "{\"rooms\":[$rooms,\"x\"],\"exp\":1700000001}"
  claims_are malformed "{\"rooms\":[\"${room}r\"],\"exp\":1700000001}"
  each_line claims_are malformed <<'END'
{"rooms":[""],"exp":1700000001}
{"rooms":["a","a/b"],"exp":1700000001}
{"rooms":["a,b"],"exp":1700000001}
{"rooms":["a\u0000"],"exp":1700000001}
{"rooms":["a\n"],"exp":1700000001}
END
}

@test "token: an audience must contain ssechat" {
  each_line claims_are good <<'END'
{"aud":"ssechat","exp":1700000001}
{"aud":"sse\u0063hat","exp":1700000001}
{"aud":["ssechat"],"exp":1700000001}
{"aud":["shop","ssechat","mail"],"exp":1700000001}
END
  each_line claims_are malformed <<'END'
{"aud":"shop","exp":1700000001}
{"aud":"Ssechat","exp":1700000001}
{"aud":"","exp":1700000001}
{"aud":[],"exp":1700000001}
{"aud":["shop","mail"],"exp":1700000001}
{"aud":["ssechat",1],"exp":1700000001}
{"aud":[["ssechat"]],"exp":1700000001}
{"aud":{"ssechat":"ssechat"},"exp":1700000001}
{"aud":null,"exp":1700000001}
END
}

# ---- Time ---------------------------------------------------------------------------------------

@test "token: a token expires exactly at exp" {
  claims_are good '{"exp":1700000001}'
  claims_are expired '{"exp":1700000000}'
  claims_are expired '{"exp":1699999999}'
  claims_are expired '{"exp":0}'
  claims_are expired '{"exp":-1}'
  claims_are expired '{"exp":-1700000001}'
}

@test "token: nbf has a leeway of five seconds" {
  claims_are good '{"nbf":1700000000,"exp":1800000000}'
  claims_are good '{"nbf":1700000005,"exp":1800000000}'
  claims_are early '{"nbf":1700000006,"exp":1800000000}'
  claims_are early '{"nbf":1700000005.0001,"exp":1800000000}'
  claims_are good '{"nbf":0,"exp":1800000000}'
  claims_are good '{"nbf":-1e400,"exp":1800000000}'
  claims_are early '{"nbf":1e400,"exp":1e401}'
  claims_are expired '{"nbf":1800000000,"exp":1600000000}'
}

# Left: a date. Right: the second from which a token with that date is expired, or `expired`.
@test "token: a date is any JSON number, read exactly" {
  count=0
  while read -r date expires; do
    if [ "$expires" = expired ]; then
      claims_are expired "{\"exp\":$date}"
    else
      says "{\"exp\":$date}" 'publish no' "expires $expires"
    fi
    count=$((count + 1))
  done <<'END'
1700000000.0 expired
1700000000.000 expired
1700000000.5 1700000001
1700000000.000000000000000000000000000000000000000000000000000000000000001 1700000001
1699999999.999999999999999999999999999999999999999999999999999999999999999 expired
1700000001.000000000000 1700000001
1700000001.000000000001 1700000002
17e8 expired
1.7E+9 expired
1.7000000005e9 1700000001
1.7000000005E9 1700000001
1.70000000050e+0000000000000000000009 1700000001
1.7000000015e9 1700000002
17000000010e-1 1700000001
17000000011e-1 1700000002
1700000001000000000000000000000000000000e-30 1700000001
0.0000000000000000000000000000000017000000011e42 1700000002
170000000100000e-00005 1700000001
-17000000010e-1 expired
-0 expired
-0.5 expired
0e999999999999999999999999 expired
0.000e-999999999999999999999999 expired
1e-999999999999999999999999 expired
-1e999999999999999999999999 expired
1e999999999999999999999999 253402300799
9007199254740993 253402300799
18446744073709551617 253402300799
1700000000000 253402300799
253402300798 253402300798
253402300798.5 253402300799
253402300799 253402300799
253402300799.5 253402300799
25340230079.85e1 253402300799
END
  [ "$count" -eq 34 ]
}

@test "token: a date may be before 1970" {
  claims_are good '{"exp":-1.5}' -2
  claims_are expired '{"exp":-1.5}' -1
  claims_are good '{"exp":-15e-1,"nbf":3}' -2
  claims_are early '{"exp":-1.5,"nbf":3.5}' -2
  claims_are good '{"exp":-0.5}' -1
  claims_are expired '{"exp":-0.5}' 0
}

@test "token: a date may have thousands of digits" {
  zeros=$(times 3000 0)
  says "{\"exp\":1700000001.$zeros}" 'publish no' 'expires 1700000001'
  says "{\"exp\":1700000001.${zeros}1}" 'publish no' 'expires 1700000002'
  says "{\"exp\":1700000001${zeros}e-3000}" 'publish no' 'expires 1700000001'
  says "{\"exp\":0.${zeros}1700000001e3010}" 'publish no' 'expires 1700000001'
  claims_are expired "{\"exp\":0.${zeros}1700000001e3009}"
  says "{\"exp\":9$zeros}" 'publish no' 'expires 253402300799'
}

# ---- What is refused ----------------------------------------------------------------------------

@test "token: a claim that has the wrong type or is given twice is refused" {
  each_line claims_are malformed <<'END'
{}
{"exp":"1700000001"}
{"exp":null}
{"exp":true}
{"exp":[1700000001]}
{"exp":{}}
{"exp":1700000001,"exp":1700000001}
{"exp":1700000001,"\u0065xp":1700000002}
{"exp":1700000001,"nbf":"1700000000"}
{"exp":1700000001,"nbf":null}
{"exp":1700000001,"nbf":false}
{"exp":1700000001,"nbf":[]}
{"exp":1700000001,"nbf":1,"nbf":2}
{"exp":1700000001,"sub":1}
{"exp":1700000001,"sub":null}
{"exp":1700000001,"sub":["ann"]}
{"exp":1700000001,"sub":{"name":"ann"}}
{"exp":1700000001,"sub":"ann","sub":"bob"}
{"exp":1700000001,"rooms":"lobby"}
{"exp":1700000001,"rooms":"*"}
{"exp":1700000001,"rooms":null}
{"exp":1700000001,"rooms":true}
{"exp":1700000001,"rooms":{"lobby":true}}
{"exp":1700000001,"rooms":["lobby",1]}
{"exp":1700000001,"rooms":["lobby",null]}
{"exp":1700000001,"rooms":[["lobby"]]}
{"exp":1700000001,"rooms":["a"],"rooms":["b"]}
{"exp":1700000001,"publish":"true"}
{"exp":1700000001,"publish":1}
{"exp":1700000001,"publish":null}
{"exp":1700000001,"publish":[true]}
{"exp":1700000001,"publish":true,"publish":false}
END
}

@test "token: claims that are not a JSON object are refused" {
  each_line claims_are malformed <<'END'

null
[]
"x"
{"exp":1700000001
{"exp":1700000001}}
{"exp":1700000001}{}
{"exp":1700000001,}
{exp:1700000001}
{"exp":01700000001}
{"exp":+1700000001}
{"exp":1700000001.}
{"exp":.17e10}
{"exp":0x6553f101}
{"exp":Infinity}
{"exp":NaN}
END
  claims_are malformed $'\ufeff{"exp":1700000001}'
  claims_are malformed $'{"exp":1700000001,"x":"\xff"}'
  claims_are malformed "$(sign "$HEADER" '{"exp":1700000001}')"
}

@test "token: claims may be 64 levels deep, and a token 8,192 bytes long" {
  claims_are good "{\"x\":$(times 63 '[')$(times 63 ']'),\"exp\":1700000001}"
  claims_are malformed "{\"x\":$(times 64 '[')$(times 64 ']'),\"exp\":1700000001}"
  claims_are malformed "{\"x\":$(times 5000 '[')"
  # The header takes 36 bytes, the signature 43, the dots 2: the rest of 8192 encodes 6083 bytes.
  claims='{"x":"","exp":1700000001}'
  fill=$(times $((6083 - ${#claims})) x)
  token=$(sign "$HEADER" "${claims/'""'/"\"$fill\""}")
  same "${#token}" 8192
  state_is good "$token"
  token=$(sign "$HEADER" "${claims/'""'/"\"x$fill\""}")
  same "${#token}" 8193
  state_is malformed "$token"
}

@test "token: the header must say HS256, and contain nothing that ssechat does not know" {
  each_line header_is good <<'END'
{"alg":"HS256"}
{"alg":"HS256","typ":"JWT"}
{"typ":"JWT","alg":"HS256"}
{"alg":"HS256","typ":"jwt"}
{"alg":"HS256","typ":"application/jwt"}
{"alg":"HS256","typ":"at+jwt"}
{"alg":"HS256","typ":"AT+JWT"}
{"alg":"HS256","typ":"application/at+jwt"}
{ "\u0061lg" : "\u0048S256" }
{"alg":"HS256","kid":"k1","cty":"x","jku":"https://example.com/","jwk":{},"x5u":1}
END
  each_line header_is malformed <<'END'
{}
{"typ":"JWT"}
{"alg":"none"}
{"alg":"None"}
{"alg":""}
{"alg":"HS384"}
{"alg":"HS512"}
{"alg":"RS256"}
{"alg":"ES256"}
{"alg":"hs256"}
{"alg":"HS256 "}
{"alg":"HS256\u0000"}
{"alg":"HS2566"}
{"alg":"HS25"}
{"alg":["HS256"]}
{"alg":256}
{"alg":null}
{"alg":"HS256","alg":"HS256"}
{"alg":"none","\u0061lg":"HS256"}
{"ALG":"HS256"}
{"x":{"alg":"HS256"}}
{"alg":"HS256","typ":"JWE"}
{"alg":"HS256","typ":"JOSE"}
{"alg":"HS256","typ":""}
{"alg":"HS256","typ":"application/"}
{"alg":"HS256","typ":"text/jwt"}
{"alg":"HS256","typ":"application/application/jwt"}
{"alg":"HS256","typ":"logout+jwt"}
{"alg":"HS256","typ":"JWT\u0000"}
{"alg":"HS256","typ":1}
{"alg":"HS256","typ":null}
{"alg":"HS256","typ":["JWT"]}
{"alg":"HS256","typ":"JWT","typ":"JWT"}
{"alg":"HS256","crit":["exp"]}
{"alg":"HS256","crit":["b64"],"b64":true}
{"alg":"HS256","crit":[]}
{"alg":"HS256","crit":null}
{"alg":"HS256","\u0063rit":1}
[{"alg":"HS256"}]
"HS256"
HS256
{"alg":"HS256"
{"alg":"HS256"}x

END
}

# The signature is checked before the header is read, so a forged header does not count.
@test "token: a signature made with another algorithm is refused" {
  claims='{"exp":1700000001}'
  none=$(printf '{"alg":"none"}' | base64url).$(printf '%s' "$claims" | base64url)
  state_is malformed "$none."
  state_is malformed "$none"
  state_is forged "$none.$(times 43 A)"
  for algorithm in sha384 sha512 sha224 sha1; do
    for header in "$HEADER" "{\"alg\":\"HS${algorithm#sha}\"}"; do
      text=$(printf '%s' "$header" | base64url).$(printf '%s' "$claims" | base64url)
      state_is malformed \
        "$text.$(printf '%s' "$text" |
          openssl dgst "-$algorithm" -hmac "$KEY" -binary | base64url)"
    done
  done
  text=$(printf '%s' "$HEADER" | base64url).$(printf '%s' "$claims" | base64url)
  state_is forged "$text.$(printf '%s' "$text" | openssl dgst -sha256 -binary | base64url)"
  state_is malformed "$text.$(printf '%s' "$text" |
    openssl dgst -sha256 -hmac "$KEY" -r | cut -d' ' -f1 | base64url)"
}

# The driver does the same to the other parts.
@test "token: a signature that is changed or cut off anywhere is refused" {
  token=$(sign "$HEADER" '{"sub":"ann","rooms":["*"],"exp":1700000001}')
  text=${token%.*}
  signature=${token##*.}
  state_is good "$token"
  same "${#signature}" 43
  for ((i = 0; i < 43; i++)); do
    # Two bits of the last digit are unused and must be zero, as they are in A and E.
    digit=A
    [ "${signature:i:1}" != A ] || digit=E
    run check "$text.${signature:0:i}$digit${signature:i+1}"
    same "$i $output" "$i forged"
    run check "$text.${signature:0:i}"
    same "$i $output" "$i malformed"
  done
  each_line state_is malformed <<END
${token}A
${token}AA
${token}AAAA
${token}.
$token.$token
.$token
END
  state_is forged "AAAA$token"
  state_is forged "x$token"
}

@test "token: a token must have exactly three parts" {
  header=$(printf '%s' "$HEADER" | base64url)
  claims=$(printf '{"exp":1700000001}' | base64url)
  signature=$(sign "$HEADER" '{"exp":1700000001}')
  signature=${signature##*.}
  each_line state_is malformed <<END

.
..
...
$header
$header.$claims
$header..
.$claims.
$header.$claims.
$header.$claims.$signature.
$header.$claims.$signature.$signature
$header.$claims.$signature.$claims.$signature
$header$claims$signature
$header,$claims,$signature
END
  state_is forged "..$signature"
  state_is forged ".$claims.$signature"
  state_is forged "$header..$signature"
  state_is forged "$header.$claims$signature.$signature"
}

# These have the right signature, so that only their text is wrong.
@test "token: an empty header or empty claims are refused, even if signed" {
  state_is malformed "$(sign '' '{"exp":1700000001}')"
  state_is malformed "$(sign "$HEADER" '')"
  state_is malformed "$(sign '' '')"
}

@test "token: another spelling of base64url is refused, even if signed" {
  # Lengths of 27, 28 and 29 bytes leave zero, four and two unused bits.
  for header in '{"alg":"HS256","typ":"JWT"}' '{"alg":"HS256","typ":"JWT" }' \
    '{"alg":"HS256","typ":"JWT"  }'; do
    text=$(printf '%s' "$header" | base64url)
    claims=$(printf '%s' '{"exp":1700000001}' | base64url)
    state_is good "$(sign_text "$text.$claims")"
    for wrong in "$text=" "$text==" "$text===" " $text" "$text " "$text"$'\n' $'\r\n'"$text" \
      "${text:0:8} ${text:8}" "${text:0:8}=${text:8}" \
      "${text:0:8}+${text:8}" "${text:0:8}/${text:9}" \
      "${text}A" "${text:0:8}"$'\xc3\xa9'"${text:8}" "${text:0:8}%${text:9}"; do
      state_is malformed "$(sign_text "$wrong.$claims")"
    done
  done
  # The last byte, "}", becomes fQ. Four bits of the second digit are unused: R to f mean the same.
  for ((i = 0; i < 16; i++)); do
    digit=$(cut -c $((i + 1)) <<<QRSTUVWXYZabcdef)
    text=$(printf '%s' '{"alg":"HS256","typ":"JWT" ' | base64url)f$digit
    if [ "$i" -eq 0 ]; then
      state_is good "$(sign_text "$text.$claims")"
    else
      state_is malformed "$(sign_text "$text.$claims")"
    fi
  done
}

@test "token: another spelling of a signature is refused" {
  claims='{"exp":1700000001,"x":0}'
  # The signature of these claims contains both digits in which Base64 and base64url differ.
  for ((i = 1; i < 200; i++)); do
    token=$(sign "$HEADER" "${claims/0/$i}")
    signature=${token##*.}
    [[ $signature != *-* || $signature != *_* ]] || break
  done
  text=${token%.*}
  state_is good "$token"
  for wrong in "${signature//-/+}" "${signature//_//}" "$signature=" "$signature==" \
    " $signature" "$signature " "$signature"$'\n' "${signature:0:20}"$'\n'"${signature:20}"; do
    state_is malformed "$text.$wrong"
  done
  digits=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_
  before=${digits%%"${signature: -1}"*}
  for more in 1 2 3; do
    state_is malformed "$text.${signature:0:42}${digits:${#before}+more:1}"
  done
}

@test "token: white space around a token is refused" {
  token=$(sign "$HEADER" '{"exp":1700000001}')
  state_is malformed "$token "
  state_is malformed "$token"$'\n'
  state_is malformed "$token"$'\r\n'
  state_is forged " $token"
  state_is forged "Bearer $token"
}

@test "token: a NUL in a token is refused" {
  token=$(sign "$HEADER" '{"exp":1700000001}')
  same "$(printf '%s\0' "$token" | "$UNIT/token" check key $NOW)" malformed
  same "$(printf '%s\0%s' "${token:0:9}" "${token:9}" | "$UNIT/token" check key $NOW)" forged
}

# ---- Keys ---------------------------------------------------------------------------------------

@test "token: either of two keys is enough, and a third key is refused" {
  key_file old the-key-that-we-used-until-yesterday
  key_file new the-key-that-we-are-going-to-use-now
  for key in the-key-that-we-used-until-yesterday the-key-that-we-are-going-to-use-now; do
    token=$(sign "$HEADER" '{"exp":1700000001}' "$key")
    same "$(printf '%s' "$token" | "$UNIT/token" check old new $NOW | head -n 1)" good
    same "$(printf '%s' "$token" | "$UNIT/token" check new old $NOW | head -n 1)" good
    same "$(printf '%s' "$token" | "$UNIT/token" check key $NOW)" forged
    same "$(printf '%s' "$token" | "$UNIT/token" check $NOW)" forged
  done
  token=$(sign "$HEADER" '{"exp":1700000001}')
  same "$(printf '%s' "$token" | "$UNIT/token" check old new $NOW)" forged
}

@test "token: a key is the content of its file, without one newline at the end" {
  key_31=$(times 31 k)
  key_32=$(times 32 k)
  short='error: the key file has fewer than 32 bytes; make a good key with openssl rand -hex 32'
  count=0
  while read -r text answer; do
    key_file key "$text"
    run "$UNIT/token" key key
    same "$text: $output" "$text: $answer"
    count=$((count + 1))
  done <<END
$key_31 $short
$key_31\\n $short
$key_32 key of 32 bytes
$key_32\\n key of 32 bytes
${key_32}k\\n key of 33 bytes
$key_31\\n\\n key of 32 bytes
$key_32\\r\\n key of 33 bytes
\\n$key_32\\n key of 33 bytes
\\n $short
\\x00\\xff$(times 30 k) key of 32 bytes
END
  [ "$count" -eq 10 ]
  key_file key ''
  run "$UNIT/token" key key
  same "$output" "$short"
  [ "$status" -eq 1 ]
  key_file key "$KEY\\n"
  claims_are good '{"exp":1700000001}'
  key_file key "$KEY\\n\\n"
  claims_are forged '{"exp":1700000001}'
}

@test "token: a key file has at most 4096 bytes" {
  key_file key "$(times 4096 k)"
  same "$("$UNIT/token" key key)" 'key of 4096 bytes'
  state_is good "$(sign "$HEADER" '{"exp":1700000001}' "$(times 4096 k)")"
  key_file key "$(times 4097 k)"
  run "$UNIT/token" key key
  same "$output" 'error: the key file has more than 4096 bytes; a key of 32 bytes is enough'
  key_file key "$(times 4096 k)\\n"
  run "$UNIT/token" key key
  same "$output" 'error: the key file has more than 4096 bytes; a key of 32 bytes is enough'
}

@test "token: a key file that others may read or change is refused" {
  why='error: users other than its owner may read or change the key file; make it private with chmod 600'
  for mode in 640 604 644 620 602 660 666 610 444 440; do
    chmod "$mode" key
    run "$UNIT/token" key key
    same "$mode $output" "$mode $why"
  done
  for mode in 600 400 700; do
    chmod "$mode" key
    same "$mode $("$UNIT/token" key key)" "$mode key of 33 bytes"
  done
}

# Only root can make such a file; for any other user this test passes without any check.
@test "token: a group may read root's key file, as it may read a systemd credential" {
  [ "$(id -u)" -eq 0 ] || return 0
  folder=$(mktemp -d) # other users cannot read the tests' own folder
  chmod 755 "$folder"
  cp "$UNIT/token" key "$folder"
  chmod 755 "$folder/token"
  chgrp 65534 "$folder/key"
  as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups "$folder/token" key "$folder/key"
  }
  chmod 440 "$folder/key"
  run as_nobody
  output_440=$output
  chmod 444 "$folder/key"
  run as_nobody
  output_444=$output
  chmod 460 "$folder/key"
  run as_nobody
  rm -r "$folder"
  same "$output_440" 'key of 33 bytes'
  contains "$output_444" 'error: users other than its owner'
  contains "$output" 'error: users other than its owner'
}

@test "token: a key that is not a regular file is refused without waiting for it" {
  run "$UNIT/token" key nothing
  same "$output" 'error: No such file or directory'
  mkdir folder
  run "$UNIT/token" key folder
  same "$output" 'error: the key file is not a regular file'
  mkfifo -m 600 fifo
  run timeout 10 "$UNIT/token" key fifo
  same "$output" 'error: the key file is not a regular file'
  run "$UNIT/token" key /dev/zero
  same "$output" 'error: the key file is not a regular file'
  ln -s key link
  same "$("$UNIT/token" key link)" 'key of 33 bytes'
}

# ---- Making a token -----------------------------------------------------------------------------

make_token() { # NAME yes|no EXPIRES [ROOM...]
  "$UNIT/token" make key "$1" "$2" $NOW "${@:3}"
}

part() { # TOKEN NUMBER
  local text
  text=$(cut -d. -f"$2" <<<"$1")
  case $((${#text} % 4)) in
  2) text+='==' ;;
  3) text+='=' ;;
  esac
  basenc -d --base64url <<<"$text"
}

@test "token: a new token is compact, and signed as openssl would sign it" {
  token=$(make_token ann yes 1700003600 lobby news)
  claims='{"sub":"ann","rooms":["lobby","news"],"publish":true,"iat":1700000000,"exp":1700003600}'
  same "$(part "$token" 1)" "$HEADER"
  same "$(part "$token" 2)" "$claims"
  same "$token" "$(sign "$HEADER" "$claims")"
  run check "$token"
  same "$output" $'good\nname ann\nroom lobby\nroom news\npublish yes\nexpires 1700003600'
}

@test "token: a token can be made without a name, rooms and rights" {
  token=$(make_token '' no 1700000001)
  same "$(part "$token" 2)" '{"rooms":[],"publish":false,"iat":1700000000,"exp":1700000001}'
  run check "$token"
  same "$output" $'good\npublish no\nexpires 1700000001'
  run check "$(make_token '' no 1700000001 '*')"
  same "$output" $'good\nroom *\nall rooms\npublish no\nexpires 1700000001'
  run check "$(make_token '' no 1700000000)"
  same "$output" expired
}

@test "token: names and rooms are escaped in a new token" {
  token=$(make_token '"\ é😀' yes 1700000001 'a"b' 'c\d')
  claims='{"sub":"\"\\ é😀","rooms":["a\"b","c\\d"],"publish":true,'
  same "$(part "$token" 2)" "$claims\"iat\":1700000000,\"exp\":1700000001}"
  run check "$token"
  same "$output" 'good
name "\x5c \xc3\xa9\xf0\x9f\x98\x80
room a"b
room c\x5cd
publish yes
expires 1700000001'
}

@test "token: a new token with a name of any length is read back" {
  for length in {1..6} 31 32; do
    name=$(times "$length" n)
    token=$(make_token "$name" no 1700000001)
    same "$(part "$token" 2 | jq -r .sub)" "$name"
    run check "$token"
    same "${lines[1]}" "name $name"
  done
}

@test "token: every promise holds for the fuzzer's seeds" {
  for seed in "$ROOT"/test/fuzz/corpus/token/*; do
    run "$UNIT/token" promises <"$seed"
    same "$seed $status $output" "$seed 0 "
  done
}
