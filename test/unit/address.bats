#!/usr/bin/env bats
# address.c and forwarded.c, through their driver: which texts are addresses and networks, and which
# client a chain of proxies names. The driver also puts each input next to unreadable pages, and
# compares its answer with that of a second reader. In each table the driver's answer is on the left,
# the text on the right.

load ../lib/helper

# Passes the text to the driver, with the escapes of printf.
address() { # TEXT MODE [NETWORK...]
  printf '%b' "$1" | "$UNIT/address" "${@:2}"
}

# Checks the cases on standard input, one per line: "answer| text".
table() { # MODE [NETWORK...]
  local expected text count=0
  while IFS='|' read -r expected text; do
    same "${text% } : $(address "${text# }" "$@")" "${text% } : ${expected% }"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ]
}

# ---- Addresses ----------------------------------------------------------------------------------

@test "address: an IPv4 address is its own prefix" {
  table parse <<'END'
192.0.2.1 192.0.2.1| 192.0.2.1
0.0.0.0 0.0.0.0| 0.0.0.0
255.255.255.255 255.255.255.255| 255.255.255.255
127.0.0.1 127.0.0.1 loopback| 127.0.0.1
127.255.255.255 127.255.255.255 loopback| 127.255.255.255
126.255.255.255 126.255.255.255| 126.255.255.255
128.0.0.1 128.0.0.1| 128.0.0.1
END
}

@test "address: the prefix of an IPv6 address is its first 64 bits, and that of ::1 is ::1" {
  table parse <<'END'
2001:db8::1 2001:db8::| 2001:db8::1
2001:db8:0:1:ffff::1 2001:db8:0:1::| 2001:0DB8:0000:0001:FFFF:0:0:1
2001:db8:0:1:2:3:4:5 2001:db8:0:1::| 2001:db8:0:1:2:3:4:5
:: ::| ::
::1 ::1 loopback| ::1
::2 ::| ::2
1:: 1::| 1::
1:2:3:4:5:6:7:0 1:2:3:4::| 1:2:3:4:5:6:7::
0:2:3:4:5:6:7:8 0:2:3:4::| ::2:3:4:5:6:7:8
64:ff9b::c000:221 64:ff9b::| 64:ff9b::192.0.2.33
fe80::1 fe80::| fe80::1
END
}

@test "address: a mapped address is the IPv4 address that it maps" {
  table parse <<'END'
192.0.2.1 192.0.2.1| ::ffff:192.0.2.1
192.0.2.1 192.0.2.1| ::FFFF:c000:201
192.0.2.1 192.0.2.1| 0:0:0:0:0:ffff:192.0.2.1
192.0.2.1 192.0.2.1| [::ffff:192.0.2.1]:80
127.0.0.1 127.0.0.1 loopback| ::ffff:127.0.0.1
::ffff:0:c000:201 ::| ::ffff:0:192.0.2.1
END
}

@test "address: a port and brackets are accepted as proxies write them, and in no other way" {
  table parse <<'END'
192.0.2.1 192.0.2.1| 192.0.2.1:4711
192.0.2.1 192.0.2.1| 192.0.2.1:0
192.0.2.1 192.0.2.1| 192.0.2.1:65535
2001:db8::1 2001:db8::| [2001:db8::1]
2001:db8::1 2001:db8::| [2001:db8::1]:4711
2001:db8::1:4711 2001:db8::| 2001:db8::1:4711
none| 192.0.2.1:
none| 192.0.2.1:65536
none| 192.0.2.1:99999999999999999999
none| 192.0.2.1:-1
none| 192.0.2.1:http
none| 192.0.2.1:80:80
none| [192.0.2.1]
none| [192.0.2.1]:80
none| [2001:db8::1]:
none| [2001:db8::1]:65536
none| [2001:db8::1]80
none| [2001:db8::1]]
none| [[2001:db8::1]]
none| [2001:db8::1
none| 2001:db8::1]
none| []
none| []:80
none| [:]
none| [
none| :80
none| :
END
}

@test "address: any other text is refused" {
  table parse <<'END'
none|
none| unknown
none| _hidden
none| localhost
none| example.com
none| 256.1.1.1
none| 1.1.1.256
none| 1.1.1
none| 1.1.1.1.1
none| 1.1.1.
none| .1.1.1
none| 1..1.1
none| 01.1.1.1
none| 1.1.1.001
none| 1.1.1.00
none| 0x7f.0.0.1
none| 2130706433
none| 127.1
none| 1.1.1.1/32
none| -1.1.1.1
none| +1.1.1.1
none| 1.1.1.1\x00
none| 1.1.1.1\x002
none| \x001.1.1.1
none| 1.1.1.1\r
none| \x201.1.1.1
none| 1.1.1.1\x20
none| 1.1. 1.1
none| 1.1.1.1\t
none| \xd9\xa1.1.1.1
none| fe80::1%eth0
none| fe80::1%1
none| [fe80::1%25eth0]:80
none| ::1\x00
none| ::g
none| :1
none| 1:
none| :::
none| 1:::2
none| 1::2::3
none| 1:2:3:4:5:6:7
none| 1:2:3:4:5:6:7:
none| :1:2:3:4:5:6:7
none| 1:2:3:4:5:6:7:8:9
none| 1:2:3:4::5:6:7:8
none| 12345::
none| 00001::
none| ::1.2.3
none| ::1.2.3.256
none| ::01.2.3.4
none| ::1.2.3.4:5
none| 1:2:3:4:5:6:7:1.2.3.4
none| 1:2:3:4:5:6::1.2.3.4
none| 1.2.3.4::
none| 0000:0000:0000:0000:0000:ffff:255.255.255.2555
END
  same "$(address "$(times 8000 1)" parse)" none
  same "$(address "$(times 8000 :)" parse)" none
}

# ---- Networks -----------------------------------------------------------------------------------

@test "network: a network is a prefix or one address, and has one spelling" {
  table network <<'END'
10.0.0.0/8| 10.0.0.0/8
0.0.0.0/0| 0.0.0.0/0
192.0.2.1/32| 192.0.2.1/32
192.0.2.1/32| 192.0.2.1
192.0.2.128/25| 192.0.2.128/25
::/0| ::/0
2001:db8::/32| 2001:db8::/32
2001:db8::1/128| 2001:db8::1
8000::/1| 8000::/1
10.0.0.0/8| ::ffff:10.0.0.0/104
192.0.2.1/32| ::ffff:192.0.2.1
END
}

@test "network: any other text is refused, and so are bits after the prefix" {
  table network <<'END'
none|
none| /
none| /8
none| 10.0.0.0/
none| 10.0.0.0/33
none| 10.0.0.0/-1
none| 10.0.0.0/8/8
none| 10.0.0.0/ 8
none| 10.0.0.0 /8
none| 10.0.0.0/8\x20
none| 10.0.0.0/0x8
none| 10.0.0.0/255.0.0.0
none| 10.0.0.0/4294967304
none| 10/8
none| 10.1.2.3/8
none| 10.0.0.1/31
none| 192.0.2.128/24
none| 0.0.0.1/0
none| ::/129
none| ::1/127
none| 2001:db8::1/32
none| 2001:db8::/28
none| ::ffff:10.0.0.0/8
none| [::1]
none| [::]/0
none| 10.0.0.0:80
none| 10.0.0.0:80/8
none| fe80::%eth0/64
none| unix
none| localhost
none| 10.0.0.0\x00/8
END
}

@test "network: an address is in a network when it has the same prefix" {
  while read -r network answer text; do
    same "$network $text $(address "$text" has "$network")" "$network $text $answer"
  done <<'END'
10.0.0.0/8 yes 10.0.0.0
10.0.0.0/8 yes 10.255.255.255
10.0.0.0/8 no 11.0.0.0
10.0.0.0/8 no 9.255.255.255
10.0.0.0/8 yes ::ffff:10.1.2.3
10.0.0.0/8 yes 10.1.2.3:80
10.0.0.0/8 no ::10.1.2.3
10.0.0.0/8 no a00::1
192.0.2.128/25 yes 192.0.2.128
192.0.2.128/25 no 192.0.2.127
192.0.2.1 yes 192.0.2.1
192.0.2.1 no 192.0.2.0
0.0.0.0/0 yes 0.0.0.0
0.0.0.0/0 yes 255.255.255.255
0.0.0.0/0 yes ::ffff:203.0.113.1
0.0.0.0/0 no ::1
0.0.0.0/0 no ::
0.0.0.0/0 no 2001:db8::1
::/0 yes 2001:db8::1
::/0 yes 10.1.2.3
::1 yes ::1
::1 no 127.0.0.1
::1 no ::
2001:db8::/33 yes 2001:db8:7fff:ffff::
2001:db8::/33 no 2001:db8:8000::
::ffff:127.0.0.0/104 yes 127.0.0.1
END
}

# ---- Behind proxies -----------------------------------------------------------------------------

@test "X-Forwarded-For: the client is the rightmost address that is not trusted" {
  table forwarded 10.0.0.0/8 127.0.0.1 2001:db8:1::/48 <<'END'
192.0.2.7| X-Forwarded-For: 192.0.2.7
192.0.2.7| x-forwarded-for:192.0.2.7
192.0.2.7| X-Forwarded-For: 192.0.2.7, 10.0.0.1
192.0.2.7| X-Forwarded-For: 192.0.2.7,10.0.0.1,127.0.0.1
192.0.2.7| X-Forwarded-For: 203.0.113.9, 192.0.2.7, 10.0.0.1
192.0.2.7| X-Forwarded-For: 10.0.0.9, 192.0.2.7, 10.0.0.1
192.0.2.7| X-Forwarded-For: 203.0.113.9, 192.0.2.7
192.0.2.7| X-Forwarded-For: 192.0.2.7:4711, 10.0.0.1:80
192.0.2.7| X-Forwarded-For: ::ffff:192.0.2.7, ::ffff:10.0.0.1
2001:db8::7| X-Forwarded-For: 2001:db8::7, 2001:db8:1::1
2001:db8::7| X-Forwarded-For: [2001:db8::7]:4711, [2001:db8:1::1]:80
192.0.2.7| X-Forwarded-For: \t192.0.2.7\t ,\t10.0.0.1\t
END
}

@test "X-Forwarded-For: when all addresses are trusted, the client is the leftmost" {
  table forwarded 10.0.0.0/8 127.0.0.1 <<'END'
10.0.0.3| X-Forwarded-For: 10.0.0.3
10.0.0.3| X-Forwarded-For: 10.0.0.3, 10.0.0.2, 127.0.0.1
10.0.0.3| X-Forwarded-For: 10.0.0.3\nX-Forwarded-For: 127.0.0.1
END
}

@test "X-Forwarded-For: several lines are one list" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| X-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 192.0.2.7
192.0.2.7| X-Forwarded-For: 203.0.113.9, 192.0.2.7\nVia: 1.1 a\nX-FORWARDED-FOR: 10.0.0.1
192.0.2.7| X-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 192.0.2.7\nX-Forwarded-For: 10.0.0.2,10.0.0.1
END
}

@test "X-Forwarded-For: empty elements are skipped" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| X-Forwarded-For: ,192.0.2.7, ,,\t, 10.0.0.1,
192.0.2.7| X-Forwarded-For: 192.0.2.7\nX-Forwarded-For:
192.0.2.7| X-Forwarded-For:\nX-Forwarded-For: ,\nX-Forwarded-For: 192.0.2.7
no client| X-Forwarded-For:
no client| X-Forwarded-For: , ,
END
}

@test "X-Forwarded-For: the search ends at an element that is not an address" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| X-Forwarded-For: unknown, 192.0.2.7
192.0.2.7| X-Forwarded-For: <script>, 192.0.2.7, 10.0.0.1
192.0.2.7| X-Forwarded-For: 1.2.3.4 5.6.7.8, 192.0.2.7
10.0.0.1| X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.1
10.0.0.2| X-Forwarded-For: 192.0.2.7, fe80::1%eth0, 10.0.0.2, 10.0.0.1
no client| X-Forwarded-For: 192.0.2.7, unknown
no client| X-Forwarded-For: 192.0.2.7, 10.0.0.1, 256.1.1.1
no client| X-Forwarded-For: "192.0.2.7"
no client| X-Forwarded-For: for=192.0.2.7
END
}

@test "Forwarded: the 'for' of each element counts, under the same rules" {
  table forwarded 10.0.0.0/8 127.0.0.1 2001:db8:1::/48 <<'END'
192.0.2.7| Forwarded: for=192.0.2.7
192.0.2.7| forwarded: FOR=192.0.2.7
192.0.2.7| Forwarded: for="192.0.2.7"
192.0.2.7| Forwarded: for="192.0.2.7:4711";proto=http;by=10.0.0.1
192.0.2.7| Forwarded: proto=https ; by=203.0.113.43 ; For = 192.0.2.7
192.0.2.7| Forwarded: host=a.example;for=192.0.2.7;, for=10.0.0.1
192.0.2.7| Forwarded: for=203.0.113.9, for=192.0.2.7, for="10.0.0.1"
192.0.2.7| Forwarded: for=203.0.113.9, for=192.0.2.7\nForwarded: for=10.0.0.1
192.0.2.7| Forwarded: , ,for=192.0.2.7,,
2001:db8:cafe::17| Forwarded: for="[2001:db8:cafe::17]:4711"
2001:db8:cafe::17| Forwarded: for="[2001:db8:cafe::17]", for="[2001:db8:1::1]:80"
10.0.0.3| Forwarded: for=10.0.0.3, for=127.0.0.1
no client| Forwarded: for=unknown
no client| Forwarded: for=_hidden
no client| Forwarded: for="_SEVKISEK"
no client| Forwarded: for=192.0.2.7, for=_hidden
no client| Forwarded: for=192.0.2.7, proto=https
no client| Forwarded: for=192.0.2.7, by=192.0.2.8
no client| Forwarded: for=
no client| Forwarded: for=""
no client| Forwarded: for="
no client| Forwarded: for
no client| Forwarded: 192.0.2.7
no client| Forwarded: for="192.0.2.7
no client| Forwarded: for=192.0.2.7"
no client| Forwarded: fort=192.0.2.7
no client| Forwarded:
10.0.0.1| Forwarded: for=_hidden, for=10.0.0.1
END
}

@test "Forwarded: a quote that a client opens does not swallow what a proxy adds" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| Forwarded: for="203.0.113.9, for=192.0.2.7
192.0.2.7| Forwarded: for="203.0.113.9, for=192.0.2.7, for="10.0.0.1"
192.0.2.7| Forwarded: for="\\, for="192.0.2.7"
192.0.2.7| Forwarded: ";for=", for="192.0.2.7:80";proto=http
192.0.2.7| Forwarded: for="203.0.113.9;, for=192.0.2.7
192.0.2.7| Forwarded: for=203.0.113.9;, for=192.0.2.7
192.0.2.7| Forwarded: for="203.0.113.9\nForwarded: for=192.0.2.7
192.0.2.7| Forwarded: for="[2001:db8::9, for=192.0.2.7
END
}

@test "Forwarded: separators in a proxy's quoted strings separate nothing" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| Forwarded: for=192.0.2.7;host="x;for=203.0.113.9;y"
192.0.2.7| Forwarded: for=192.0.2.7;host="x,for=203.0.113.9;y"
192.0.2.7| Forwarded: for=192.0.2.7;host="x,y", for=10.0.0.1
192.0.2.7| Forwarded: for=192.0.2.7;host="a\";for=203.0.113.9;b=\""
192.0.2.7| Forwarded: for=192.0.2.7;host="a\\"
no client| Forwarded: for=192.0.2.7;for=203.0.113.9
no client| Forwarded: for=192.0.2.7;host="a\\";for=203.0.113.9
END
}

@test "X-Forwarded-For takes precedence over Forwarded, wherever it is" {
  table forwarded 10.0.0.0/8 <<'END'
192.0.2.7| X-Forwarded-For: 192.0.2.7\nForwarded: for=203.0.113.9
192.0.2.7| Forwarded: for=203.0.113.9\nX-Forwarded-For: 192.0.2.7
10.0.0.1| Forwarded: for=203.0.113.9\nX-Forwarded-For: 10.0.0.1
no client| Forwarded: for=203.0.113.9\nX-Forwarded-For: unknown
END
}

@test "only trusted networks and these two fields decide which client is named" {
  same "$(address 'X-Forwarded-For: 192.0.2.7, 10.0.0.1' forwarded)" 10.0.0.1
  same "$(address 'X-Forwarded-For: 192.0.2.7, 10.0.0.1' forwarded 10.0.0.2)" 10.0.0.1
  same "$(address 'X-Forwarded-For: 192.0.2.7, 10.0.0.1' forwarded 10.0.0.1)" 192.0.2.7
  same "$(address 'X-Forwarded-For: 192.0.2.7, 10.0.0.1' forwarded 0.0.0.0/0)" 192.0.2.7
  same "$(address 'X-Forwarded-For: ::7, ::1' forwarded 0.0.0.0/0)" ::1
  table forwarded 0.0.0.0/0 ::/0 <<'END'
no client| X: 192.0.2.7
no client| X-Forwarded: 192.0.2.7
no client| X-Forwarded-For2: 192.0.2.7
no client| X-Real-IP: 192.0.2.7
no client| True-Client-IP: 192.0.2.7
no client| Via: 192.0.2.7
not HTTP| X-Forwarded-For : 192.0.2.7
not HTTP| X-Forwarded-For: 192.0.2.7\n folded
not HTTP| X-Forwarded-For: 192.0.2.7\x00
END
}

@test "address: a chain can be as long as a request's head allows" {
  same "$(address "X-Forwarded-For: $(times 2000 9,)192.0.2.7$(times 300 ,10.0.0.1)" forwarded 10.0.0.0/8)" 192.0.2.7
  same "$(address "X-Forwarded-For: $(times 7000 ,)192.0.2.7" forwarded)" 192.0.2.7
  same "$(address "$(times 90 'X-Forwarded-For: 9\n')X-Forwarded-For: 192.0.2.7" forwarded)" 192.0.2.7
}

@test "address: every promise holds for the fuzzer's seeds" {
  local seed
  for seed in "$ROOT"/test/fuzz/corpus/address/*; do
    "$UNIT/address" promises <"$seed"
  done
}
