#!/usr/bin/env bats
# text.c, through its driver: UTF-8, character classes, Base64. The driver also tries every prefix of each input, against an unreadable page, so that a read past the end crashes.

load ../lib/helper

# Passes the input to the driver, with the escapes of printf.
text() {
    printf '%b' "$2" | "$UNIT/text" "$1"
}

characters() {
    text utf8 "$1" | paste -sd ' '
}

base64_of() {
    "$UNIT/text" base64 <"$1"
}

spaces() {
    head -c "$1" /dev/zero | tr '\0' ' '
}

# Left: bytes. Right: the characters that text_next reads from them.
@test "text: UTF-8 is read strictly" {
    count=0
    while read -r bytes meaning; do
        expect "$meaning" characters "$bytes"
        count=$((count + 1))
    done <<'END'
a U+0061 end
\x00 U+0000 end
\x7f U+007F end
\xc2\x80 U+0080 end
\xdf\xbf U+07FF end
\xe0\xa0\x80 U+0800 end
\xed\x9f\xbf U+D7FF end
\xee\x80\x80 U+E000 end
\xef\xbb\xbf U+FEFF end
\xef\xbf\xbf U+FFFF end
\xf0\x90\x80\x80 U+10000 end
\xf4\x8f\xbf\xbf U+10FFFF end
a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z U+0061 U+00E9 U+20AC U+1F600 U+007A end
\x80 not UTF-8
a\xbf U+0061 not UTF-8
\xc0\x80 not UTF-8
\xc1\xbf not UTF-8
\xe0\x80\x80 not UTF-8
\xe0\x9f\xbf not UTF-8
\xf0\x80\x80\x80 not UTF-8
\xf0\x8f\xbf\xbf not UTF-8
\xed\xa0\x80 not UTF-8
\xed\xaf\xbf not UTF-8
\xed\xb0\x80 not UTF-8
\xed\xbf\xbf not UTF-8
\xf4\x90\x80\x80 not UTF-8
\xf5\x80\x80\x80 not UTF-8
\xf7\xbf\xbf\xbf not UTF-8
\xf8\x88\x80\x80\x80 not UTF-8
\xfc\x84\x80\x80\x80\x80 not UTF-8
\xfe not UTF-8
\xff not UTF-8
a\xc3 U+0061 not UTF-8
\xc3a not UTF-8
\xc3\xc3\xa9 not UTF-8
\xe2\x82 not UTF-8
\xe2\x82a not UTF-8
\xe2a\x82 not UTF-8
\xf0\x9f\x98 not UTF-8
\xf0\x9f\x98a not UTF-8
\xf0\x9fa\x80 not UTF-8
\xc3\xa9\xa9 U+00E9 not UTF-8
END
    [ "$count" -eq 42 ]
    expect 'end' text utf8 ''
}

@test "text: every sequence of bytes is read according to RFC 3629's grammar" {
    expect '' "$UNIT/text" sweep
}

@test "text: controls are C0, DEL and C1" {
    expect $'0000-001F\n007F-009F' "$UNIT/text" control
}

# Perl has Unicode's tables. The characters that are listed here are drawn blank, or not at all, but
# Unicode does not call them ignorable.
@test "text: the classes of characters are Unicode's properties" {
    classes=$(perl -e '
        my %blank = map { $_ => 1 } 0x2800, 0x1d159, 0xfff9 .. 0xfffb;
        my $mongolian = qr/[\x{180b}-\x{180d}\x{180f}]/;
        sub class {
            my $c = chr($_[0]);
            return $_[0] < 0x20 || $_[0] >= 0x7f && $_[0] < 0xa0 ? "control"
                : $_[0] == 0x2028 || $_[0] == 0x2029 ? "separator"
                : $c =~ /\p{Bidi_Control}/ ? "bidi"
                : $c =~ /\p{White_Space}/ ? "space"
                : $c =~ /\p{Join_Control}/ ? "joiner"
                : $c =~ /\p{Variation_Selector}/ && $c !~ $mongolian ? "selector"
                : $c =~ /\p{Default_Ignorable_Code_Point}/ || $blank{$_[0]} ? "invisible" : "visible";
        }
        for (my $c = 0; $c <= 0x10ffff; $c++) {
            my ($first, $class) = ($c, class($c));
            $c++ while $c < 0x10ffff && class($c + 1) eq $class;
            printf("%04X-%04X %s\n", $first, $c, $class) if $class ne "visible";
        }')
    contains "$classes" $'\n200C-200D joiner\n200E-200F bidi\n2028-2029 separator\n'
    expect "$classes" "$UNIT/text" classes
}

@test "text: a text is visible if one of its characters is" {
    for bytes in '' ' \t\r\n' '\x00' '\xc2\x85\xc2\xa0' '\xe2\x80\x8b' '\xe2\xa0\x80' '\xe3\x85\xa4' \
        '\xe2\x80\x8d\xef\xb8\x8f' '\xf3\xa0\x81\xa7' '\xe2\x80\xae\xe2\x80\xa8' ' \xff a'; do
        expect no text visible "$bytes"
    done
    for bytes in a ' .' '\xe2\x80\x8b\xe2\x80\x8bé' '\xcc\x81' '😀' '\xe2\xa0\x81' '\xef\xbf\xbd'; do
        expect yes text visible "$bytes"
    done
}

# The tags of letters a to z are f3 a0 81 a1 to f3 a0 81 ba; f3 a0 81 bf ends them.
@test "text: tags make the flags of England, Scotland and Wales, and no other" {
    tags() {
        for letter in $(fold -w 1 <<<"$1"); do
            printf '\\xf3\\xa0\\x81\\x%02x' $(($(printf '%d' "'$letter") + 0x40))
        done
    }
    end='\xf3\xa0\x81\xbf'
    for region in gbeng gbsct gbwls; do
        expect 24 text flag "$(tags $region)$end"
        expect 24 text flag "$(tags $region)${end}abc"
        expect 0 text flag "$(tags $region)"
        expect 0 text flag "$region$end"
        expect 0 text flag "a$(tags $region)$end"
        expect 0 text flag "$(tags "${region}x")$end"
    done
    for region in gb gbnir usca gbenx; do
        expect 0 text flag "$(tags "$region")$end"
    done
    expect 0 text flag "$end"
    expect 0 text flag ''
}

@test "text: white space is what Unicode calls White_Space" {
    expect "$(
        printf '%s\n' 0009-000D 0020 0085 00A0 1680 2000-200A 2028-2029 202F 205F 3000
    )" "$UNIT/text" space
}

@test "text: white space is trimmed at both ends, and only there" {
    expect '' text trim ''
    expect '' text trim ' \t\r\n'
    expect '' text trim '\xe3\x80\x80\xc2\xa0\xe2\x80\x83'
    expect 'a' text trim 'a'
    expect 'ann' text trim ' ann\n'
    expect $'a \xe3\x80\x80 b' \
        text trim '\xe3\x80\x80\xc2\xa0 a \xe3\x80\x80 b\xe2\x80\xa8\xc2\x85\t'
    expect 'é😀' text trim '\xe1\x9a\x80é😀\xe2\x81\x9f'
    # In Unicode the zero width space is not white space.
    expect $'\xe2\x80\x8b' text trim ' \xe2\x80\x8b '
}

@test "text: the length counts characters, not bytes" {
    expect 0 text length ''
    expect 3 text length 'abc'
    expect 3 text length 'a\x00b'
    expect 4 text length 'aé€😀'
    expect 2 text length 'e\xcc\x81'
}

@test "text: Base64 is what base64(1) writes" {
    # The test vectors of RFC 4648 10.
    expect '' text base64 ''
    expect 'Zg==' text base64 'f'
    expect 'Zm8=' text base64 'fo'
    expect 'Zm9v' text base64 'foo'
    expect 'Zm9vYg==' text base64 'foob'
    expect 'Zm9vYmE=' text base64 'fooba'
    expect 'Zm9vYmFy' text base64 'foobar'
    for ((i = 0; i < 256; i++)); do
        printf '%b' "$(printf '\\x%02x\\x%02x\\xff\\x%02x' "$i" $((255 - i)) "$i")"
    done >"$BATS_TEST_TMPDIR/bytes"
    for len in 1 2 3 4 63 64 65 255 256 257 1022 1023 1024; do
        head -c "$len" "$BATS_TEST_TMPDIR/bytes" >"$BATS_TEST_TMPDIR/part"
        expect "$(base64 -w 0 "$BATS_TEST_TMPDIR/part")" \
            base64_of "$BATS_TEST_TMPDIR/part"
    done
    head -c 100001 /dev/urandom >"$BATS_TEST_TMPDIR/random"
    "$UNIT/text" base64 <"$BATS_TEST_TMPDIR/random" | base64 -d >"$BATS_TEST_TMPDIR/again"
    run cmp "$BATS_TEST_TMPDIR/random" "$BATS_TEST_TMPDIR/again"
    [ "$status" -eq 0 ]
}

@test "text: the time to trim long white space grows only with its length" {
    trim_spaces() {
        spaces 1000000 | timeout 20 "$UNIT/text" trim
    }
    expect '' trim_spaces
}
