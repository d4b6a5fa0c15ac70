#!/usr/bin/env bats
# What the operator writes about hosts, origins, networks and rooms: the values that are accepted
# must match what browsers send, and all others must be refused with a sentence that says what to
# write instead, by --check too.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153
#
# seconds: 15
# quick: yes

bats_require_minimum_version 1.5.0
load lib/helper
load lib/webdriver

setup() {
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  webdriver_stop
  stop_all
}

# Reads lines "VALUE | PART OF THE SENTENCE" and checks that each value of an option is refused with
# that sentence, in which the value and its option are named: refuses_values OPTION.
refuses_values() {
  local value sentence name=SSECHAT_${1#--}
  name=${name^^}
  name=${name//-/_}
  while IFS= read -r line; do
    value=${line%% | *} sentence=${line#* | }
    refused 2 --check "$1" "$value"
    contains "$(<err)" "ssechat: $1: \"$value\" "
    contains "$value: $(<err)" "$sentence"
    [[ $value != *,* ]] || continue
    env "$name=$value" "$SSECHAT" --check 2>err && return 1
    contains "$(<err)" "ssechat: $name: \"$value\" "
  done
}

# ---- --cors ----

# Values of --cors, and the origins that browsers send for them.
origins() {
  cat <<'END'
https://one.example https://one.example
https://two.example:443 https://two.example
http://three.example:80 http://three.example
https://four.example:80 https://four.example:80
http://five.example:443 http://five.example:443
https://six.example/ https://six.example
HTTPS://Seven.EXAMPLE https://seven.example
http://Eight.example:08080/ http://eight.example:8080
https://nine.example:0443 https://nine.example
https://[2001:DB8:0:0::1] https://[2001:db8::1]
https://[2001:db8::2:0:0:0]:443/ https://[2001:db8:0:0:2::]
http://[::0001]:3000 http://[::1]:3000
http://[1:0:0:2:0:0:0:3] http://[1:0:0:2::3]
http://[1:0:2:3:4:5:6:7] http://[1:0:2:3:4:5:6:7]
http://[::ffff:192.0.2.1] http://[::ffff:c000:201]
http://[::FFFF:c000:0202] http://[::ffff:c000:202]
http://192.0.2.7:80 http://192.0.2.7
http://192.0.2.8. http://192.0.2.8
http://192.0.2.7:8080 http://192.0.2.7:8080
http://localhost:3000 http://localhost:3000
https://dot.example. https://dot.example.
https://XN--Bcher-KVA.example https://xn--bcher-kva.example
https://under_score.example https://under_score.example
https://a-b.1x.example https://a-b.1x.example
https://0xg.0x1z https://0xg.0x1z
END
}

@test "each --cors value that is accepted matches what a browser sends, and what a program may send" {
  local written sent options=()
  while read -r written sent; do
    options+=(--cors "$written")
  done < <(origins)
  run -0 "$SSECHAT" --check --log-level warn "${options[@]}"
  same "$output" ''
  start_server "${options[@]}"
  while read -r written sent; do
    ask /healthz -H "Origin: $sent"
    same "$written: $(field Access-Control-Allow-Origin)" "$written: $sent"
    ask /healthz -H "Origin: ${written%/}"
    same "$written: $(field Access-Control-Allow-Origin)" "$written: ${written%/}"
    accepts '{"message":"x"}' -H "Origin: $sent"
  done < <(origins)
  for sent in http://one.example https://one.example. https://one.example:8443 https://one.example:80 https://one.example:0 http://two.example:443 \
    https://four.example http://five.example https://dot.example https://six.example.evil https://evil.six.example \
    'http://[::1]' 'http://[::1]:30001' 'http://[2001:db8::1]' 'https://[2001:db8::3]' http://192.0.2.7:81 https://192.0.2.7 \
    http://192.0.2.1 null https:// https://: 'https://[' 'https://[]' 'https://[::1' one.example https://one.example@evil.example \
    'https://one.example:' https://one.example:44 "https://$(times 300 x)"; do
    ask /healthz -H "Origin: $sent"
    [ "$sent" = 'https://one.example:' ] || same "$sent: $(field Access-Control-Allow-Origin)" "$sent: "
    [ "$sent" = 'https://one.example:' ] || refuses 403 '{"message":"x"}' -H "Origin: $sent"
  done
}

@test "a browser writes each of these origins in the form that the server expects" {
  local written sent
  start_server
  webdriver_start
  browser
  open_page "$URL/healthz"
  while read -r written sent; do
    same "$written $(script 'return new URL(arguments[0]).origin' "$written")" "$written $sent"
  done < <(origins)
  # These cannot match: a browser does not accept them, or sends another origin.
  while read -r written; do
    lacks "$(script 'try { return new URL(arguments[0]).origin + "|" } catch { return "invalid" }' "$written")" "$written|"
  done <<'END'
http://127.1
http://0x7f.1
http://0177.0.0.1
http://127.0.0.1.
http://2130706433
http://1.2.3.256
http://a.123
http://a.0x
https://é.example
https://a.example:70000
https://a.example:
https://ann@a.example
https://a.example/chat
https://a.example?x
https://a.example\x
https://[fe80::1%25lo]
https://::1
END
}

@test "the origins of apps and extensions are accepted, and match" {
  local origin
  start_server --cors capacitor://localhost --cors chrome-extension://abcdefghijklmnop --cors app://. --cors Tauri://localhost/ \
    --cors moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc
  for origin in capacitor://localhost chrome-extension://abcdefghijklmnop app://. tauri://localhost \
    moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc; do
    ask /healthz -H "Origin: $origin"
    same "$(field Access-Control-Allow-Origin)" "$origin"
  done
}

@test "a --cors value that can never match is refused with a sentence that says what to write" {
  refuses_values --cors <<'END'
a.example | write https://a.example, or http://a.example
A.example:08080/chat | write https://a.example:8080, or http://a.example:8080
localhost:3000 | write https://localhost:3000, or http://localhost:3000
//a.example | write it like https://example.com
https:a.example | write it like https://example.com
://a.example | write it like https://example.com
1http://a.example | write it like https://example.com
https://A.example:443/chat | write https://a.example
http://a.example:8080/chat/ | write http://a.example:8080
https://a.example// | write https://a.example
https://a.example?x=y | write https://a.example
https://a.example#x | write https://a.example
https://a.example\x | write https://a.example
https://*.example | wildcard
https://a.example:* | wildcard
*.example | wildcard
** | wildcard
null | the origin of files and of sandboxed frames
NULL | the origin of files and of sandboxed frames
file:///home/ann/page.html | not the origin of a page
ws://a.example | not the origin of a page
wss://a.example | not the origin of a page
https://é.example | Punycode
https://bücher.example:8080 | Punycode
https://ann@a.example | user name
https://ann:secret@a.example | user name
https:// | no host
https:/// | no host
https://:8080 | no host
app:// | no host
https://a.example: | from 1 to 65535
https://a.example:0 | from 1 to 65535
https://a.example:65536 | from 1 to 65535
https://a.example:99999999999999999999 | from 1 to 65535
https://a.example:80x | from 1 to 65535
https://a.example:-1 | from 1 to 65535
https://::1 | in brackets
https://2001:db8::1 | in brackets
https://[::1 | in brackets, like [::1]
https://[::1]x | in its brackets
https://[] | in its brackets
https://[127.0.0.1] | in its brackets
https://[1:2:3:4:5:6:7:8:9] | in its brackets
https://[fe80::1%lo] | in its brackets
https://127.1 | four decimal numbers
https://0x7f.1 | four decimal numbers
https://0X7F000001 | four decimal numbers
https://0177.0.0.1 | four decimal numbers
https://127.0.0.01 | four decimal numbers
https://2130706433 | four decimal numbers
https://1.2.3.256 | four decimal numbers
https://127.0.0.1.. | empty
https://a.123 | four decimal numbers
https://a.0x | four decimal numbers
https://a..example | empty
https://.a.example | empty
https://. | empty
https://a.example.. | empty
https://a b.example | a character that no host has
https://a%2eexample | a character that no host has
https://a.example;x | a character that no host has
https://a.example,https://b.example | comma
END
  refuses_values --cors <<<"https://$(times 64 a).example | over 63"
  refuses_values --cors <<<"https://$(times 60 aaaa.).example | more than 253"
  refused 2 --cors ''
  refused 2 --cors 'https://a.example '
  refused 2 --cors $'https://a.example\nhttps://b.example'
  refused 2 --cors $'https://a\tb'
  SSECHAT_CORS='https://a.example, https://b.example/x' refused 2
  contains "$(<err)" 'SSECHAT_CORS: "https://b.example/x" has a path, but an origin has none; write https://b.example'
}

@test "--cors values from the environment are normalised too" {
  SSECHAT_CORS='https://A.example:443/, http://[0::1]:80' start_server
  for origin in https://a.example 'http://[::1]'; do
    ask /healthz -H "Origin: $origin"
    same "$(field Access-Control-Allow-Origin)" "$origin"
  done
}

# ---- --host ----

@test "each --host value that is accepted matches the Host that clients send" {
  local written host status
  while read -r status written host; do
    [ "$written" = "${last:-}" ] || {
      [ -z "${last:-}" ] || stop_server
      last=$written
      start_server --host other.example --host "$written"
    }
    ask /rooms -H "Host: $host"
    same "$written $host $STATUS" "$written $host $status"
  done <<'END'
200 chat.example. chat.example
200 chat.example. chat.example.
200 chat.example. CHAT.example.:8080
200 chat.example. other.example
421 chat.example. chat.example..
421 chat.example. chat
200 Chat.Example chat.example
200 Chat.Example chat.example:
200 Chat.Example chat.example:1
421 Chat.Example chat.example.org
421 Chat.Example .chat.example
200 chat.example:443 chat.example
200 chat.example:443 chat.example:443
200 chat.example:443 chat.example.
421 chat.example:443 chat.example:80
421 chat.example:443 chat.example:4430
200 chat.example:0080 chat.example
200 chat.example:0080 chat.example:80
200 chat.example:0080 chat.example:080
421 chat.example:0080 chat.example:443
200 Chat.example.:08080 chat.example:8080
200 Chat.example.:08080 CHAT.example.:8080
421 Chat.example.:08080 chat.example
421 Chat.example.:08080 chat.example:80
200 [2001:DB8:0::1] [2001:db8::1]
200 [2001:DB8:0::1] [2001:0DB8::0:1]:8080
421 [2001:DB8:0::1] [2001:db8::2]
200 [::1]:8080 [::1]:8080
200 [::1]:8080 [0::1]:8080
421 [::1]:8080 [::1]
421 [::1]:8080 [::1]:80
200 [::ffff:192.0.2.1] [::ffff:c000:201]
421 [::ffff:192.0.2.1] 192.0.2.1
200 192.0.2.1 192.0.2.1:8080
200 192.0.2.1. 192.0.2.1
421 192.0.2.1 192.0.2.10
200 XN--Bcher-KVA.example xn--bcher-kva.example
END
}

@test "a --host value that can never match is refused with a sentence that says what to write" {
  refuses_values --host <<'END'
https://chat.example | is a URL; write only its host: chat.example
HTTP://Chat.example.:08080/a?b | is a URL; write only its host: chat.example:8080
chat.example/ | is a URL; write only its host: chat.example
chat.example/chat | is a URL; write only its host: chat.example
chat.example?x | is a URL; write only its host: chat.example
https://[::0001]:8080 | is a URL; write only its host: [::1]:8080
//chat.example | no host
/chat | no host
:8080 | no host
* | leave --host out
*.example | leave --host out
::1 | in brackets, like [::1]
::1:8080 | in brackets, like [::1]
2001:db8::1 | in brackets, like [::1]
[::1 | in brackets, like [::1]
[::g] | in its brackets
[127.0.0.1]:80 | in its brackets
chat.example: | from 1 to 65535
chat.example:0 | from 1 to 65535
chat.example:65536 | from 1 to 65535
chat.example:http | from 1 to 65535
ann@chat.example | user name
é.example | Punycode
127.1 | four decimal numbers
0x7f000001 | four decimal numbers
010.0.0.1 | four decimal numbers
chat..example | empty
. | empty
.example | empty
chat example | a character that no host has
chat%2eexample | a character that no host has
a.example,b.example | comma
END
  refused 2 --host ''
  SSECHAT_HOST='chat.example, https://chat.example' refused 2
  contains "$(<err)" 'SSECHAT_HOST: "https://chat.example" is a URL; write only its host: chat.example'
}

@test "--host values from the environment are normalised too" {
  SSECHAT_HOST='Chat.example., [0::1]:80' start_server
  for host in chat.example 'chat.example.:8080' '[::1]'; do
    ask /rooms -H "Host: $host"
    same "$host $STATUS" "$host 200"
  done
  ask /rooms -H 'Host: 127.0.0.1'
  is_problem 421
}

@test "a page's own origin is recognised in any spelling of its Host" {
  local origin host answer
  start_server
  while read -r answer origin host; do
    ask /messages -H 'Content-Type: application/json' -H "Origin: $origin" -H "Host: $host" --data-raw '{"message":"x"}'
    same "$STATUS $origin $host" "$answer $origin $host"
  done <<'END'
201 https://chat.example chat.example:
201 https://chat.example chat.example:0443
201 http://chat.example CHAT.example:080
201 http://[::1] [0::1]:80
201 http://[2001:db8::1]:8080 [2001:DB8::0001]:8080
201 http://chat.example. chat.example.
403 https://chat.example chat.example:80
403 http://chat.example chat.example:443
403 http://chat.example. chat.example
403 http://chat.example chat.example.
403 http://[::1] [::2]
403 http://[::1]:8080 [::1]
403 http://ann@chat.example chat.example
403 http://chat.example/ chat.example
403 http://chat.example:x chat.example
403 http://chat.example:65616 chat.example
END
}

# ---- The other lists ----

@test "a network with bits after its prefix, or that no proxy is in, is refused with what to write" {
  refuses_values --trust-proxy <<'END'
10.0.0.1/8 | write 10.0.0.0/8, or for this address only 10.0.0.1
192.0.2.255/31 | write 192.0.2.254/31, or for this address only 192.0.2.255
2001:DB8::1/32 | write 2001:db8::/32, or for this address only 2001:DB8::1
::ffff:10.1.2.3/104 | write ::ffff:a00:0/104, or for this address only ::ffff:10.1.2.3
0.0.0.0 | no proxy's address
0.0.0.0/32 | no proxy's address
:: | no proxy's address
::ffff:0.0.0.0 | no proxy's address
proxy.example | write it like 10.0.0.0/8
127.1 | write it like 10.0.0.0/8
127.0.0.1:80 | write it like 10.0.0.0/8
[::1] | write it like 10.0.0.0/8
10.0.0.0/33 | write it like 10.0.0.0/8
UNIX | unix means unix sockets
10.0.0.0/8,127.0.0.1 | repeat the option
END
}

@test "a room's name that breaks the rule is refused, in every command and in the environment" {
  refused 2 --check --room a/b
  refused 2 --check --room a,b
  contains "$(<err)" 'repeat the option'
  SSECHAT_ROOM='lobby, a/b' refused 2 --check
  contains "$(<err)" 'ssechat: SSECHAT_ROOM: '
  start_server --journal journal
  accepts '{"message":"x"}'
  refused 2 journal export journal --room a/b
  refused 2 journal export journal --room ''
  run -0 "$SSECHAT" journal export journal --room other
}

# ---- Files that --check looks at ----

@test "--check finds a journal that cannot be used, and changes nothing" {
  local files
  mkdir folder
  printf 'precious' >file
  refused 1 --check --journal /nowhere/journal
  refused 1 --check --journal folder
  refused 1 --check --journal file
  contains "$(<err)" 'it is not a journal of ssechat'
  same "$(<file)" precious
  run -0 "$SSECHAT" --check --log-level warn --journal folder/new
  same "$output$(ls folder)" ''
  # It also works while a server uses the journal.
  start_server --journal journal
  accepts '{"message":"x"}'
  sha256sum journal >sum
  files=$(find . | sort)
  run -0 "$SSECHAT" --check --log-level warn --journal journal
  same "$output" ''
  sha256sum -c --quiet sum
  same "$(find . | sort)" "$files"
  accepts '{"message":"y"}'
}

@test "--check finds a journal and a socket in a folder that belongs to another user" {
  [ "$(id -u)" = 0 ] || skip 'only root can become another user'
  local option
  mkdir theirs
  chmod 755 . theirs
  : >theirs/journal
  chmod 644 theirs/journal
  ln -s theirs/journal link # its lock would be beside the journal, not beside the link
  mkdir ours && chown 65534 ours && ln -s "$PWD/link" ours/link
  for option in '--journal theirs/journal' '--journal theirs/new' '--journal ours/link' '--listen unix:theirs/socket'; do
    # shellcheck disable=SC2086
    run -1 setpriv --reuid 65534 --regid 65534 --clear-groups "$SSECHAT" --check $option
    contains "$output" "ssechat: ${option%% *} "
    contains "$output" 'Permission denied'
  done
}
