#!/usr/bin/env bats
# origins.c, through its driver: the form of hosts and origins. In each table the driver's answer is
# on the left, the text on the right. The driver also puts each text next to unreadable pages.
# test/addresses.bats has the sentences of refused values, and a browser as the judge.

load ../lib/helper

# Passes the text to the driver, with the escapes of printf.
origins() { # TEXT MODE [OTHER]
  printf '%b' "$1" | "$UNIT/origins" "${@:2}"
}

# Checks the cases on standard input, one per line: "answer| text".
table() { # MODE [OTHER]
  local expected text count=0
  while IFS='|' read -r expected text; do
    same "$text: $(origins "${text# }" "$@")" "$text: ${expected% }"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ]
}

@test "origins: values of --cors get the form that browsers send" {
  table cors <<'END'
*| *
https://a.example| HTTPS://A.Example:443/
https://a.example:80| https://a.example:00080
http://a.example| http://a.example:80
http://a.example.| http://A.example.
http://127.0.0.1:1| http://127.0.0.1.:1
http://[::ffff:7f00:1]| http://[::ffff:127.0.0.1]
http://[1:0:0:2::]| http://[1:0:0:2:0:0:0:0]
http://[2001:db8::]:65535| http://[2001:DB8::]:65535
x-y.z+1://Host| X-y.Z+1://Host/
none| https://a.example:65536
none| https://a.example//
none| https://a.example/\x20
none| https://\xc3\xa9
none| https://a\x7f
none| https://a\x00b
none| app://a b
none| app://
none| a.example
none| https
none| https:
none| https:/
none| https://
none| https://[
none| https://]
none| https://:
none| https://[::1]]
none| https://[:]
none| http://0x
none| http://1
END
  same "$(origins "https://$(times 4 "$(times 62 a).")a" cors)" "https://$(times 4 "$(times 62 a).")a"
  same "$(origins "https://$(times 4 "$(times 63 a).")a" cors)" none
  same "$(origins "https://$(times 63 a).a" cors)" "https://$(times 63 a).a"
  same "$(origins "https://$(times 64 a).a" cors)" none
  same "$(origins "$(times 31 a)://x" cors)" "$(times 31 a)://x"
  same "$(origins "$(times 32 a)://x" cors)" none
  same "$(origins "$(times 4000 a)" cors)" none
}

@test "origins: values of --host get the form that browsers send" {
  table host <<'END'
a.example| A.Example.
a.example:443| a.example.:0443
127.0.0.1| 127.0.0.1.
[::1]:80| [0:0::1]:80
none| [::1
none| ::1
none| .
none| a..
none| a:
none| a:b
none| \x2a
none| a\x2cb:1
END
}

@test "origins: a listed origin matches the same origin only" {
  table match https://a.example <<'END'
yes| https://a.example
yes| https://a.example:443
yes| HTTPS://A.EXAMPLE
no| https://a.example.
no| https://a.example:80
no| http://a.example
no| http://a.example:443
no| https://a.example/
no| https://a.example:443x
no| https://xa.example
no| null
no| https://
END
  table match app://x <<'END'
yes| APP://X
no| app://x:80
no| app://y
END
}

@test "origins: a listed host matches the same host only, and a port that is the same or not listed" {
  table match-host a.example <<'END'
yes| a.example
yes| A.EXAMPLE.:8080
yes| a.example:
no| a.example:65536
no| a.example:x
no| a.example..
no| a.examples
no| a.exampl
no| :80
END
  table match-host a.example:80 <<'END'
yes| a.example
yes| a.example:080
yes| a.example.:80
no| a.example:443
no| a.example:800
no| a.example:8
END
  table match-host a.example:8080 <<'END'
no| a.example
yes| a.example:8080
END
  table match-host '[::1]' <<'END'
yes| [0::0:1]:8080
no| [::2]
no| [::1
no| ::1
END
}

@test "origins: a page is the server's own if its origin has the authority of Host" {
  table own a.example <<'END'
yes| http://a.example
yes| https://a.example:443
no| https://a.example:80
no| http://a.example:443
no| ftp://a.example
no| a.example
no| null
END
  table own a.example:443 <<'END'
yes| https://a.example
no| http://a.example
END
}
