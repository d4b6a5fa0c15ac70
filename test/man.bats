#!/usr/bin/env bats
# The manual pages and the completion of bash: whether they name what the programs have.
#
# seconds: 5
# quick: yes
# build: plain

bats_require_minimum_version 1.5.0
load lib/helper

# Prints the options of a help text with their placeholders: "--listen ADDRESS".
options() { # COMMAND...
  "$@" --help | sed -nE 's/^  (-[a-z], )?(--[a-z-]+( [A-Z]+)?).*/\2/p'
}

# Prints the defaults of a help text: "--history 256K".
defaults() { # COMMAND...
  "$@" --help | awk '
    /^  -/ { name = $1 == "-k," ? $2 : $1 }
    name != "" && match($0, /\([0-9~][^ ;)]*[;)]/) { print name, substr($0, RSTART + 1, RLENGTH - 2); name = "" }
    name != "" && match($0, /[^ ]+ \(the default\)/) { print name, substr($0, RSTART, RLENGTH - 14); name = "" }'
}

# Prints a section or subsection of a page: section PAGE NAME.
section() {
  awk -v name="$2" '/^\.S[sh] / { inside = substr($0, 5) == name } inside' "$ROOT/dist/$1.8"
}

# Prints the options of a part of a page, in the same form.
named() { # reads the part
  sed -nE 's/^\.It Fl (k , )?-([a-z-]+)( Ar ([A-Z]+))?$/--\2 \4/p' | sed 's/ $//'
}

# Prints the defaults of a part of a page, in the same form.
named_defaults() { # reads the part
  awk '
    function flush() {
      if (match(text, /[^ ]+ ?is the default/)) print name, substr(text, RSTART, RLENGTH - 15)
      else if (match(text, /default(,|) (which |)is [^ ]+\./)) {
        value = substr(text, RSTART, RLENGTH - 1)
        sub(/.* /, "", value)
        print name, value
      }
      name = text = ""
    }
    /^\.It / { flush(); name = $3 == "k" ? "-" $5 : "-" $3; name = "-" name; sub(/^---/, "--", name); next }
    /^\.El/ { flush() }
    name != "" { sub(/^\.(Li|Cm|Fl) /, ""); text = text " " $0 }
    END { flush() }' | sed 's/ $//'
}

@test "mandoc finds nothing to say about the pages" {
  local page
  for page in "$ROOT"/dist/*.8; do
    # Whether other pages are installed is a matter of this machine.
    run mandoc -Tlint -W style "$page"
    same "$(grep -v 'STYLE: referenced manual not found\|outdated mandoc.db' <<<"$output")" ''
    awk 'length > 100 && !/^\.It Li/ { print FILENAME ": " FNR; exit 1 }' "$page"
  done
}

@test "the manual has the options of --help in the same order, with the same defaults" {
  local command part
  for command in server:Options token:Tokens journal:'The journal' probe:'Health checks'; do
    part=${command#*:} command=${command%%:*}
    same "$command: $(section ssechat "$part" | named)" \
      "$command: $(options "$SSECHAT" "${command/server/--log-level=info}")"
    same "$command: $(section ssechat "$part" | named_defaults)" \
      "$command: $(defaults "$SSECHAT" "${command/server/--log-level=info}")"
  done
  ((12 < $(section ssechat Options | named_defaults | wc -l)))
}

@test "the manual of ssechat-doctor has its options, with the same defaults" {
  same "$(named <"$ROOT/dist/ssechat-doctor.8")" "$(options "$ROOT/dist/ssechat-doctor")"
  same "$(named_defaults <"$ROOT/dist/ssechat-doctor.8")" "$(defaults "$ROOT/dist/ssechat-doctor")"
  same "$(defaults "$ROOT/dist/ssechat-doctor")" $'--idle 65\n--room ~ssechat-doctor'
}

@test "the manual's synopsis is that of --help" {
  same "$(mandoc -Tutf8 -O width=200 "$ROOT/dist/ssechat.8" | sed 's/.\x08//g' |
    sed -n '/^SYNOPSIS/,/^DESCRIPTION/s/^ \+\(ssechat.*\)/\1/p')" \
    "$("$SSECHAT" --help | sed -n '1,/^$/s/^\(usage:\| *\) *\(ssechat.*\)/\2/p')"
}

@test "messages and signals that the manual names exist in the program" {
  local words name
  while IFS= read -r words; do
    words=${words//\\(dq/\"} words=${words%% ...*} words=${words%%=*}
    words=${words%%;*}
    grep -rqF -- "${words#hint=}" "$ROOT"/{sse.c,host,net,store,api,base,auth} || {
      printf 'no source has: %s\n' "$words" >&2
      return 1
    }
  done < <(section ssechat DIAGNOSTICS | sed -n 's/^\.It Li //p')
  for name in $(section ssechat Signals | sed -n 's/^\.It Dv //p' | tr -d ,); do
    grep -qw "$name" "$ROOT/host/signals.c" || {
      printf 'the program does not handle %s\n' "$name" >&2
      return 1
    }
  done
}

@test "files that the manual names are installed, named by a unit, or made by the program; no other file is made" {
  local name
  run -0 env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" -o ssechat DESTDIR="$PWD/root" PREFIX=/usr install
  {
    find root -printf '/%P/\n'
    sed -E -e 's,%S,/var/lib,g' -e 's,^#?(LoadCredential=key|EnvironmentFile)[:=]-?(.*),\2/,' \
      -e 's,^RuntimeDirectory=(.*),/run/\1/,' -e 's,.*=(/var/lib/[^ ;]*),\1/,' "$ROOT"/dist/*.service
  } >places
  # Suffixes are the last argument of a format or a call: "%s.damaged-%08x", path_with(…, ".lock").
  grep -ohE '(path_with\(.*, "|"%s)(\.[a-z]+|~)|\? "[a-z]+" : "[a-z]+";' "$ROOT"/store/{aside,claim,compact}.c "$ROOT/net/listen.c" |
    sed -nE -e 's/.*"(%s)?([.~][a-z]*)$/\2/p' -e 's/^\? "([a-z]+)" : "([a-z]+)";/.\1\n.\2/p' | sort -u >suffixes
  for name in $(section ssechat FILES | sed -nE '/^\.It /{s/\.It //;s/(Ar|Ns) ([A-Z]+ )*//g;s/Pa|,//gp}'); do
    case $name in
    /*) grep -qF "${name%/}/" places ;;
    [.~]*)
      grep -qxF -- "${name%-}" suffixes && sed -i "\\|^${name%-}\$|d" suffixes
      ;;
    esac || {
      printf 'nothing makes the file %s\n' "$name" >&2
      return 1
    }
  done
  same "$(<suffixes)" ''
}

@test "the manual's exit statuses are those of the program" {
  same "$(section ssechat 'EXIT STATUS' | sed -n 's/^\.It //p' | xargs)" '0 1 2'
  start_server --journal journal
  accepts '{"message":"kept"}'
  run -0 "$SSECHAT" probe "$URL"
  run -1 "$SSECHAT" --listen "127.0.0.1:$PORT"
  stop_server # a signal, and 0
  run -1 "$SSECHAT" probe "$URL"
  run -0 "$SSECHAT" journal check journal
  sed -i 's/kept/KEPT/' journal
  run -1 "$SSECHAT" journal check journal
  run -2 "$SSECHAT" --nothing
  run -2 "$SSECHAT" --max-rooms x
}

@test "the manual's examples run" {
  # Those with systemctl and journalctl are in docs/begin.md, whose commands begin.bats runs. What the
  # others print does not matter, but a stream must begin.
  section ssechat EXAMPLES | sed 's/\\e$/\\/' | awk '
    /^\.Bd -literal/ { fence = "```console\n"; block = begin = 1; next }
    /^\.Ed/ { if (!fence) print "```"; block = 0 }
    !block || /^(systemctl|journalctl) / { next }
    { printf "%s", fence; fence = "" }
    begin { command = $0; printf "$ " }
    { print; begin = !/\\$/ }
    begin && command !~ /^ssechat --/ { print command ~ /^curl -N/ ? "retry: 1" : "…" }' |
    sed 's,/var/lib/ssechat/,,; s,^\$ ssechat ,$ ./ssechat ,' >examples.md
  run -0 "$ROOT/test/commands" "$PWD/examples.md"
  contains "$output" ' commands'
}

@test "the pages name the version of the program, and the folder of the examples" {
  run -0 env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" -o ssechat DESTDIR="$PWD/root" PREFIX=/opt install
  for name in ssechat ssechat-doctor; do
    contains "$(mandoc -Tascii "root/opt/share/man/man8/$name.8" | tail -n 1)" "ssechat $("$SSECHAT" --version | cut -d ' ' -f 2) "
  done
  contains "$(<root/opt/share/man/man8/ssechat.8)" '.Pa /opt/share/doc/ssechat/examples/'
  run -1 grep -r '@VERSION@' root
}

# ---- Completion ----

# Prints what bash offers for the last word: completes WORD... (an empty last word offers everything).
completes() {
  bash --norc -c '
    . "$0"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    $(complete -p ssechat | sed "s/.*-F \\([^ ]*\\).*/\\1/")
    printf "%s\n" "${COMPREPLY[@]}"' "$ROOT/dist/ssechat.bash" "$@" | sort | xargs
}

@test "bash completes the commands, and the options of each" {
  same "$(completes ssechat '')" "$({ options "$SSECHAT" --log-level=info && printf '%s\n' journal probe token; } |
    cut -d ' ' -f 1 | sort | xargs)"
  same "$(completes ssechat token '')" "$(options "$SSECHAT" token | cut -d ' ' -f 1 | sort | xargs)"
  same "$(completes ssechat journal export f '')" "$(options "$SSECHAT" journal | cut -d ' ' -f 1 | sort | xargs)"
  same "$(completes ssechat probe '')" "$(options "$SSECHAT" probe | cut -d ' ' -f 1 | sort | xargs)"
  same "$(completes ssechat to)" token
  same "$(completes ssechat --max-r)" --max-rooms
  same "$(completes ssechat --check --lis)" --listen
  same "$(completes ssechat journal '')" '--help check export'
}

@test "bash completes values: words, files and folders" {
  mkdir folder
  touch file 'file two'
  same "$(completes ssechat --sync '')" 'always none'
  same "$(completes ssechat --sync = a)" always
  same "$(completes ssechat --sync =)" 'always none'
  same "$(completes ssechat --check --log-level d)" debug
  same "$(completes ssechat --key f)" 'file file two folder'
  same "$(completes ssechat --key = f)" 'file file two folder'
  same "$(completes ssechat --www '')" folder
  same "$(completes ssechat journal check f)" 'file file two folder'
  same "$(completes ssechat --max-rooms '')" ''
  same "$(completes ssechat token --key f)" 'file file two folder'
}

@test "a real shell completes a command line" {
  printf '. %q\n' "$ROOT/dist/ssechat.bash" >rc
  mkfifo keys
  script -qfec 'bash --noprofile --rcfile rc -i' terminal <keys >/dev/null 2>&1 3>&- &
  CLIENTS+=($!)
  exec 4>keys
  printf 'PS1=rea; PS1+=dy\\ \n' >&4 # the echo of this line does not contain the prompt
  eventually 'grep -q "ready " terminal'
  # Completes the name of the option; then makes it the argument of a command that writes it down.
  printf 'ssechat --journ\t\001echo \005>line\nexit\n' >&4
  eventually '[ -s line ]'
  exec 4>&-
  same "$(<line)" 'ssechat --journal'
}
