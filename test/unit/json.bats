#!/usr/bin/env bats
# json.c, through its driver: which documents are accepted, and which are refused with which
# message. The driver also tries every beginning of each document, next to unreadable pages.

load ../lib/helper

decode() {
    printf '%s' "$1" | "$UNIT/json" decode "${@:2}"
}

compact() {
    printf '%s' "$1" | "$UNIT/json" compact "${@:2}"
}

strings() {
    printf '%s' "$1" | "$UNIT/json" strings "${@:2}"
}

escape() {
    printf '%b' "$1" | "$UNIT/json" escape
}

# Decodes a document with the escapes of printf, for bytes that this file cannot contain.
decode_bytes() {
    printf '%b' "$1" | "$UNIT/json" decode "${@:2}"
}

# Checks that the driver refuses the document with this sentence and exit code 1.
refuse() { # SENTENCE COMMAND...
    local sentence=$1
    shift
    run "$@"
    if [ "$status" -ne 1 ] || [ "$output" != "error: $sentence" ]; then
        printf '%s\n' "$*" "expected 1: error: $sentence" "got $status: $output"
        return 1
    fi
}

# Checks documents, one per line, that are all refused for the same reason.
refuse_lines() {
    local document count=0
    while IFS= read -r document; do
        refuse "$1" decode "$document" a
        count=$((count + 1))
    done
    [ "$count" -gt 0 ]
}

repeat() {
    yes -- "$1" | head -n "$2" | tr -d '\n'
}

@test "json: the requested fields are found, with their types" {
    document='{"message":"hi","n":-1.50e+3,"t":true,"f":false,"z":null,
        "a":[1,"x"],"o":{"message":2}}'
    run decode "$document" message n t f z a o nothing
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = 'message string hi' ]
    [ "${lines[1]}" = 'n number -1.50e+3' ]
    [ "${lines[2]}" = 't boolean true' ]
    [ "${lines[3]}" = 'f boolean false' ]
    [ "${lines[4]}" = 'z null null' ]
    [ "${lines[5]}" = 'a array [1,"x"]' ]
    [ "${lines[6]}" = 'o object {"message":2}' ]
    [ "${lines[7]}" = 'nothing absent' ]
    [ "${#lines[@]}" -eq 8 ]
}

@test "json: the empty object is accepted, and so is a document without requested fields" {
    expect 'a absent' decode '{}' a
    expect 'a absent' decode ' { } ' a
    expect '' decode '{"a":1}'
}

@test "json: only the outermost object's members count" {
    expect 'a absent' decode '{"b":{"a":1}}' a
    expect 'a absent' decode '{"b":[{"a":1},{"a":2}]}' a
    expect 'a number 2' decode '{"b":{"a":1},"a":2,"c":{"a":3}}' a
    expect 'a absent' decode '{"b":"a","c":"\"a\":1"}' a
}

@test "json: names are compared in full and case-sensitively" {
    expect 'room absent' decode '{"Room":1,"roo":2,"rooms":3," room":4,"room ":5}' room
    expect ' number 1' decode '{"":1}' ''
    expect ' absent' decode '{"x":1}' ''
}

@test "json: a name may be written with escapes" {
    expect 'room string x' decode '{"ro\u006fm":"x"}' room
    expect 'room string x' decode '{"\u0072\u006f\u006F\u006d":"x"}' room
    expect 'a/b string x' decode '{"a\/b":"x"}' a/b
    expect 'é string x' decode '{"\u00e9":"x"}' é
    expect 'é string x' decode '{"é":"x"}' é
    expect '😀 string x' decode '{"\ud83d\ude00":"x"}' 😀
    expect '😀 absent' decode '{"\ud83d\ude01":"x"}' 😀
    expect 'a\b string x' decode '{"a\\b":"x"}' 'a\b'
}

@test "json: a NUL in a name does not end it" {
    expect 'room absent' decode '{"room\u0000":1,"room\u0000x":2,"\u0000room":3}' room
    expect ' absent' decode '{"\u0000":1}' ''
}

@test "json: white space is space, tab, CR and LF, anywhere between tokens" {
    expect 'a array [1,{"b":2}]' decode_bytes \
        ' \t\r\n{ \t\r\n"a" \t\r\n: \t\r\n[ \t\r\n1 \t\r\n, \t\r\n{ "b" : 2 } ] \t\r\n} \t\r\n' a
}

@test "json: other white space is refused" {
    value="a value is missing; a value begins with a double quote, \
a digit, a minus, [, {, true, false or null"
    refuse "$value" decode_bytes '{"a":\f1}' a
    refuse "$value" decode_bytes '{"a":\v1}' a
    refuse "$value" decode_bytes '{"a":\xc2\xa01}' a
    refuse "$value" decode_bytes '{"a":\xe2\x80\xa81}' a
    refuse "$value" decode_bytes '{"a":\xe3\x80\x801}' a
    refuse "$value" decode_bytes '{"a":\x001}' a
    refuse 'the JSON must be an object, and begin with an opening brace' decode_bytes '\xc2\xa0{}'
    refuse "there is something after the object's closing brace; remove it" decode_bytes '{}\xc2\xa0'
    refuse "there is something after the object's closing brace; remove it" decode_bytes '{}\x00'
}

@test "json: a number of any size is accepted as it is written" {
    while IFS= read -r number; do
        expect "a number $number" decode "{\"a\":$number}" a
        expect "a array [$number,$number]" decode "{\"a\":[$number,$number]}" a
    done <<'END'
0
-0
7
10
-9007199254740993
123456789012345678901234567890123456789012345678901234567890
0.1
-0.000000000000000000000000000000000000000000000000000000000001
1e5
1E5
1e+5
1e-5
0e0
-0.0E-00
1.5e0099
1e999999999999
END
    long=$(repeat 9 50000)
    expect "a number $long.$long" decode "{\"a\":$long.$long}" a
}

@test "json: a number with a leading zero is refused" {
    refuse_lines 'a number has a leading zero; remove it' <<'END'
{"a":01}
{"a":-01}
{"a":00}
{"a":007.5}
{"b":[00]}
END
}

@test "json: a number that stops too early is refused" {
    refuse_lines 'a minus must be followed by a digit' <<'END'
{"a":-}
{"a":--1}
{"a":-.5}
{"a":-Infinity}
{"a":- 1}
{"a":-
END
    refuse_lines 'a decimal point must be followed by a digit' <<'END'
{"a":1.}
{"a":0.}
{"a":1.e5}
{"a":1..5}
{"a":-0.-1}
END
    refuse_lines 'an exponent must have a digit' <<'END'
{"a":1e}
{"a":1E+}
{"a":1e-}
{"a":0.5e}
{"a":1e+-1}
{"a":1e.5}
END
}

@test "json: a value that JSON does not have is refused" {
    refuse_lines "a value is missing; a value begins with a double quote, \
a digit, a minus, [, {, true, false or null" <<'END'
{"a":}
{"a":,"b":1}
{"a":.5}
{"a":+1}
{"a":NaN}
{"a":Infinity}
{"a":True}
{"a":NULL}
{"a":undefined}
{"a":'x'}
{"a":`x`}
{"a":/* x */1}
{"a":#1}
{"a":]}
{"a"::1}
{"b":[,]}
{"b":[,1]}
{"b":[1,]}
{"b":[1,,2]}
{"b":[}
{"b":(1)}
{"a":“x”}
{"a":１}
{"a":\u0031}
END
}

@test "json: a word that is almost a literal is refused" {
    refuse_lines "a bare word is used as a value; only true, false and null are allowed, \
and text needs double quotes" <<'END'
{"a":tru}
{"a":trUe}
{"a":fals}
{"a":nul}
{"a":nil}
{"a":none}
{"a":t
{"b":[truc]}
END
}

@test "json: a missing comma, or something after a value, is refused" {
    refuse_lines 'a value in an object must be followed by a comma or a closing brace' <<'END'
{"a":1 "b":2}
{"a":1;"b":2}
{"a":1]
{"a":truely}
{"a":nullnull}
{"a":0x10}
{"a":1_000}
{"a":1 000}
{"a":1e5.5}
{"a":1f}
{"a":"x""y"}
{"a":"x"y}
{"a":1:2}
{"a":1//x}
{"a":[1]]}
{"a":{}{}}
END
    refuse_lines 'a value in an array must be followed by a comma or a closing bracket' <<'END'
{"a":[1 2]}
{"a":[1}
{"a":[1}]
{"a":["x":1]}
{"a":[[1};]}
{"b":{"c":[{}}]}
END
}

@test "json: a name without double quotes and a comma before a brace are refused" {
    refuse_lines "a field must begin with its name in double quotes, \
and there must be no comma before a closing brace" <<'END'
{a:1}
{'a':1}
{1:1}
{null:1}
{,}
{,"a":1}
{"a":1,}
{"a":1,,"b":2}
{:1}
{]
{[]:1}
{"b":{"c":1,}}
{//
END
}

@test "json: a missing colon is refused" {
    refuse_lines "a field's name must be followed by a colon" <<'END'
{"a"}
{"a" 1}
{"a",1}
{"a"=1}
{"a";1}
{"a""b":1}
{"a"
END
}

@test "json: the top level must be an object" {
    refuse_lines 'the JSON must be an object, and begin with an opening brace' <<'END'
[]
[{"a":1}]
"a"
1
null
}
]
,{}
a=1
<a>1</a>
// {}
END
}

@test "json: an empty document and a document of only white space are refused" {
    refuse 'the JSON is empty; it must be an object' decode '' a
    refuse 'the JSON is empty; it must be an object' decode_bytes ' \t\r\n' a
}

@test "json: a byte order mark is refused with its own message" {
    refuse 'the JSON begins with a byte order mark; remove it' decode_bytes '\xef\xbb\xbf{}'
    refuse 'the JSON begins with a byte order mark; remove it' decode_bytes '\xef\xbb\xbf'
    object='the JSON must be an object, and begin with an opening brace'
    refuse "$object" decode_bytes ' \xef\xbb\xbf{}'
    refuse "$object" decode_bytes '\xef\xbb'
    refuse "$object" decode_bytes '\xff\xfe{\x00}\x00'
    refuse "$object" decode_bytes '\x00{\x00}'
}

@test "json: a truncated document is refused" {
    refuse_lines 'the JSON ends before it is complete' <<'END'
{
{"a":
{"a":1
{"a":12
{"a":1,
{"a":[
{"a":[1
{"a":[1,
{"a":{"b":1}
{"a":true
END
    refuse_lines 'a string has no closing quote' <<'END'
{"
{"a
{"a":"
{"a":"x
{"a":"x\
{"a":"x\"
{"a":"x\"}
END
}

@test "json: anything after the object is refused" {
    refuse_lines "there is something after the object's closing brace; remove it" <<'END'
{}{}
{} {}
{"a":1}}
{"a":1}]
{},
{}"
{}x
{"a":1} // x
{"a":1};
END
}

@test "json: every escape is decoded" {
    expect 'a string "\x5c/\x08\x0c\x0a\x0d\x09' decode '{"a":"\"\\\/\b\f\n\r\t"}' a
    expect 'a string A\x00\x1f\x7f' decode '{"a":"\u0041\u0000\u001f\u007f"}' a
    expect 'a string \xc2\x80\xdf\xbf' decode '{"a":"\u0080\u07FF"}' a
    expect 'a string \xe0\xa0\x80\xef\xbf\xbf' decode '{"a":"\u0800\uffff"}' a
    expect 'a string \xed\x9f\xbf\xee\x80\x80' decode '{"a":"\ud7ff\ue000"}' a
    expect 'a string \xc3\xaa\xc3\xaa' decode '{"a":"\u00Ea\u00eA"}' a
    expect 'a string \x5cu0041' decode '{"a":"\\u0041"}' a
    expect 'a string \x5c"' decode '{"a":"\\\""}' a
    expect 'a string ' decode '{"a":""}' a
}

@test "json: surrogate pairs are decoded to one character" {
    expect 'a string \xf0\x90\x80\x80' decode '{"a":"\ud800\udc00"}' a
    expect 'a string \xf0\x9f\x98\x80' decode '{"a":"\uD83D\uDE00"}' a
    expect 'a string x\xf4\x8f\xbf\xbfy' decode '{"a":"x\udbff\udfffy"}' a
}

@test "json: a lone surrogate is refused, wherever it is" {
    sentence='a \u escape is half of a surrogate pair; write both halves, as in \ud83d\ude00'
    refuse_lines "$sentence, or the character itself" <<'END'
{"a":"\ud800"}
{"a":"\udbff"}
{"a":"\udc00"}
{"a":"\udfff"}
{"a":"\ud800x"}
{"a":"\ud800\n"}
{"a":"\ud800\\udc00"}
{"a":"\ud800\u0041"}
{"a":"\ud800\ud800"}
{"a":"\ud800\ud800\udc00"}
{"a":"\udc00\ud800"}
{"a":"\udc00\udc00"}
{"a":"\ud83d\ude00\ude00"}
{"a":"\ud800 \udc00"}
{"ignored":"\ud800"}
{"ignored":[{"b":"\udc00"}]}
{"\ud800":1}
{"b":{"\udc00":1}}
END
}

@test "json: a wrong escape is refused" {
    sentence="a string contains a backslash that does not begin a JSON escape; write it as \\\\"
    refuse_lines "$sentence" <<'END'
{"a":"\x41"}
{"a":"\'"}
{"a":"\0"}
{"a":"\a"}
{"a":"\v"}
{"a":"\e"}
{"a":"\U0041"}
{"a":"\N"}
{"a":"\ "}
{"a":"C:\dir"}
{"a":"\é"}
{"\q":1}
{"b":["\'"]}
END
    refuse "$sentence" decode_bytes '{"a":"\\\x00"}'
    refuse "$sentence" decode_bytes '{"a":"\\\n"}'
    refuse_lines 'a \u escape must have four hexadecimal digits' <<'END'
{"a":"\u"}
{"a":"\u1"}
{"a":"\u12"}
{"a":"\u123"}
{"a":"\u123g"}
{"a":"\u-123"}
{"a":"\u+123"}
{"a":"\u 123"}
{"a":"\u0x41"}
{"a":"\u{41}"}
{"a":"\u１２３４"}
{"a":"\ud800\u"}
{"a":"\ud800\udc0"}
{"a":"\ud800\uDC0G"}
{"a":"\u00
END
}

@test "json: a raw control character in a string is refused" {
    sentence='a string contains a raw control character; write it as \u00XX, a line end as \n'
    for byte in 00 01 07 08 09 0a 0b 0c 0d 1b 1f; do
        refuse "$sentence" decode_bytes "{\"a\":\"x\\x${byte}y\"}" a
        refuse "$sentence" decode_bytes "{\"b\":[\"\\x$byte\"]}" a
        refuse "$sentence" decode_bytes "{\"\\x$byte\":1}" a
    done
}

@test "json: a string may contain DEL, C1 and U+2028" {
    expect 'a string \x7f\xc2\x85\xe2\x80\xa8\xef\xbb\xbf' \
        decode_bytes '{"a":"\x7f\xc2\x85\xe2\x80\xa8\xef\xbb\xbf"}' a
}

@test "json: UTF-8 is kept as it is" {
    expect 'a string \xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf' \
        decode_bytes '{"a":"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"}' a
    expect 'a string \xf0\x90\x80\x80\xf4\x8f\xbf\xbf' \
        decode_bytes '{"a":"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"}' a
}

@test "json: a string that is not UTF-8 is refused, even in ignored fields and names" {
    sentence='a string is not UTF-8; send the whole document as UTF-8'
    while IFS= read -r bytes; do
        refuse "$sentence" decode_bytes "{\"a\":\"$bytes\"}" a
        refuse "$sentence" decode_bytes "{\"b\":[\"x${bytes}y\"]}" a
        refuse "$sentence" decode_bytes "{\"$bytes\":1}" a
    done <<'END'
\x80
\xbf
\xc3
\xc3x
\xc0\x80
\xc1\xbf
\xe2\x82
\xe0\x9f\xbf
\xed\xa0\x80
\xed\xbf\xbf
\xed\xa0\xbd\xed\xb8\x80
\xf0\x9f\x98
\xf0\x8f\xbf\xbf
\xf4\x90\x80\x80
\xf5\x80\x80\x80
\xf8\x88\x80\x80\x80
\xfe
\xff
\xe9t\xe9
END
}

@test "json: a requested field may be given only once" {
    refuse_lines 'a field is given twice; send it once' <<'END'
{"a":1,"a":1}
{"a":1,"a":2}
{"a":null,"a":1}
{"a":1,"a":null}
{"a":1,"b":{"x":[1]},"a":{}}
{"a":[],"a":[]}
{"a":{"a":1},"a":1}
{"a":1,"\u0061":1}
{"\u0061":1,"a":1}
{"\u0061":1,"\u0061":1}
END
    refuse 'a field is given twice; send it once' decode '{"😀":1,"\ud83d\ude00":1}' 😀
    refuse 'a field is given twice; send it once' decode '{"a":1,"b":2,"b":3}' a b c
}

@test "json: other fields may be given more than once" {
    expect 'a number 1' decode '{"b":1,"b":2,"a":1,"b":3}' a
    expect 'a object {"a":1,"a":2}' decode '{"a":{"a":1,"a":2}}' a
    expect 'a number 1' decode '{"b":{"a":2},"a":1,"c":{"a":3,"a":4}}' a
}

@test "json: 64 levels are accepted, the 65th is refused" {
    deep='objects and arrays are nested more than 64 levels deep'
    for kind in '[ ]' '{"x": }'; do
        open=${kind% *}
        close=${kind#* }
        for levels in 63 64; do
            document='{"a":'
            for ((i = 0; i < levels; i++)); do document+=$open; done
            [ "$open" = '[' ] || document+=1
            for ((i = 0; i < levels; i++)); do document+=$close; done
            document+='}'
            if [ "$levels" -eq 63 ]; then
                run decode "$document" a
                [ "$status" -eq 0 ]
                run decode "${document/'"a"'/'"b"'}" a
                [ "$output" = 'a absent' ]
            else
                refuse "$deep" decode "$document" a
                refuse "$deep" decode "${document/'"a"'/'"b"'}" a
            fi
        done
    done
}

@test "json: the kind of each of 64 levels is remembered" {
    document='' closing=''
    for ((i = 0; i < 32; i++)); do
        document+='{"a":['
        closing+=']}'
    done
    run decode "$document$closing" a
    [ "$status" -eq 0 ]
    [ "a array ${document#*:}${closing%?}" = "$output" ]
    wrong=${closing:0:62}
    refuse 'a value in an object must be followed by a comma or a closing brace' \
        decode "$document$wrong]]" a
    refuse 'a value in an array must be followed by a comma or a closing bracket' \
        decode "$document$wrong}}" a
}

@test "json: many arrays side by side do not count as deep" {
    expect 'a number 1' decode "{\"b\":[$(repeat '[],' 1000)[[]]],\"a\":1}" a
}

@test "json: the time to read a document grows only with its length" {
    deep='objects and arrays are nested more than 64 levels deep'
    huge() {
        { printf '%s' "$1" && repeat "$2" "$3" && printf '%s' "$4"; } |
            timeout 20 "$UNIT/json" decode a room
    }
    refuse 'the JSON must be an object, and begin with an opening brace' huge '' '[' 100000 ''
    refuse "$deep" huge '' '{"a":' 100000 ''
    refuse "$deep" huge '{"b":' '[' 100000 ''
    refuse 'a string has no closing quote' huge '{"b":"' 'x' 300000 ''
    absent=$'a absent\nroom absent'
    expect "$absent" huge '{"b":[' '[],' 100000 '0]}'
    expect "$absent" huge '{' '"b":1,' 100000 '"c":2}'
    expect "$absent" huge '{' '"roo\u006e":1,' 50000 '"c":2}'
    expect "$absent" huge '{"' 'room' 100000 '":1}'
    expect "$absent" huge '{"b":"' '\"' 200000 '"}'
    expect "$absent" huge '{"b":"' '\ud83d\ude00' 50000 '"}'
    expect "$absent" huge '{"b":' ' ' 300000 '1}'
    expect "$absent" huge '{"b":' '1' 300000 '}'
    expect "$absent" huge '{"b":"' 'é' 200000 '"}'
}

@test "json: the compact form is one line and leaves strings alone" {
    expect '{"a":[1,2,{"b":null}],"c":"d  e"}' \
        compact $'\t{ "a" : [ 1 ,\r\n2, { "b":null } ] ,\n"c" : "d  e" }\n'
    expect '"a \" : \\ \n \u0041 \/"' compact '{"x": "a \" : \\ \n \u0041 \/" }' x
    expect '["\\"," ",{"\"":" \" "}]' compact '{"x": [ "\\" , " " , { "\"" : " \" " } ] }' x
    expect '-1.50E+07' compact '{"x" : -1.50E+07 }' x
    expect '[1,true,false,null,[],{}]' compact '{"x":[ 1 , true , false , null , [ ] , { } ]}' x
    expect '{}' compact ' { } '
}

@test "json: a line has U+0085, U+2028 and U+2029 escaped, and nothing else" {
    line_bytes() {
        printf '%b' "$1" | "$UNIT/json" line x
    }
    expect '["\u0085","\u2028\u2029",{"a\u0085":1}]' \
        line_bytes '{"x":["\xc2\x85", "\xe2\x80\xa8\xe2\x80\xa9", {"a\xc2\x85":1}]}'
    expect '"12345678901234\u2028x"' line_bytes '{"x":"12345678901234\xe2\x80\xa8x"}'
    expect $'"\x7f\xc2\x84\xc2\x86\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\xc3\x85é😀"' \
        line_bytes '{"x":"\x7f\xc2\x84\xc2\x86\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\xc3\x85é😀"}'
    # A backslash before the separator belongs to the escape before it: \\\\ is two backslashes.
    expect '"\\\\\u2028\"\u2028"' line_bytes '{"x":"\\\\\\\\\xe2\x80\xa8\\"\\u2028"}'
    expect '-1.5E+7' line_bytes '{"x": -1.5E+7}'
}

@test "json: the compact form means the same to jq" {
    document='{ "a" : [ 1 , "x \" y" , { "é" : "\ud83d\ude00" } ] , "b" : { } , "c" : [ ] }'
    run compact "$document"
    [ "$status" -eq 0 ]
    [ "$(jq -cS . <<<"$output")" = "$(jq -cS . <<<"$document")" ]
}

@test "json: the strings of an array are read one after the other" {
    expect $'*\nlobby\n\\xc3\\xa9\\x0a\nend' strings '{"rooms":[ "*" , "lob\u0062y",
        "é\n" ]}' rooms
    expect 'end' strings '{"rooms":[]}' rooms
    expect 'end' strings '{"rooms": [ ] }' rooms
    expect $'],[\n"\nend' strings '{"rooms":["],[","\""]}' rooms
    expect $'\nend' strings '{"rooms":[""]}' rooms
}

@test "json: an element that is not a string ends the walk over an array" {
    expect $'a\nno string' strings '{"rooms":["a",1]}' rooms
    expect 'no string' strings '{"rooms":[null,"a"]}' rooms
    expect 'no string' strings '{"rooms":[["a"]]}' rooms
    expect $'a\nno string' strings '{"rooms":["a",{"b":"c"},"d"]}' rooms
    expect 'no array' strings '{"rooms":"a"}' rooms
    expect 'no array' strings '{}' rooms
}

@test "json: escape escapes what RFC 8259 requires, and U+0085, U+2028 and U+2029" {
    expect '""' escape ''
    expect '"plain / '"'"' é 😀"' escape "plain / ' é 😀"
    expect '"\"\\"' escape '"\x5c'
    expect '"\b\f\n\r\t"' escape '\b\f\n\r\t'
    expect '"\u0000\u0001\u0007\u000b\u000e\u001b\u001f "' escape '\x00\x01\x07\x0b\x0e\x1b\x1f '
    expect '"x\u2028\u2029y\u0085"' escape 'x\xe2\x80\xa8\xe2\x80\xa9y\xc2\x85'
    expect $'"\x7f\xc2\x80\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8"' \
        escape '\x7f\xc2\x80\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8'
}

@test "json: jq reads back what escape writes" {
    every=''
    for ((i = 1; i < 128; i++)); do
        printf -v hex '\\x%02x' "$i"
        every+=$hex
    done
    every+='é€😀\xe2\x80\xa8\xe2\x80\xa9\xc2\x84\xc2\x85\xc2\x86'
    printf '%b' "$every" >"$BATS_TEST_TMPDIR/text"
    "$UNIT/json" escape <"$BATS_TEST_TMPDIR/text" | jq -j . >"$BATS_TEST_TMPDIR/again"
    run cmp "$BATS_TEST_TMPDIR/text" "$BATS_TEST_TMPDIR/again"
    [ "$status" -eq 0 ]
}

@test "json: every promise holds for the fuzzer's seeds" {
    for seed in "$ROOT"/test/fuzz/corpus/json/*; do
        run "$UNIT/json" decode message data event room name <"$seed"
        [ "$status" -le 1 ]
    done
}
