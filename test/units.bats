#!/usr/bin/env bats
# The systemd units: systemd-analyze finds nothing wrong with them, they confine the server, and the
# server works within: under the system call filter, and in namespaces like the unit's (bubblewrap).
# boot.bats starts them with a real systemd.
#
# The long form runs all suites under strace, and compares the calls with the unit's list.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
#
# seconds: 60
# build: plain
# long: the system calls of all suites

bats_require_minimum_version 1.5.0
load lib/helper

UNITS=("$ROOT/dist/ssechat.service" "$ROOT/dist/ssechat@.service")

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  chmod 755 . .. "$BATS_RUN_TMPDIR" # for servers that run as another user
}

# Prints the settings of a unit without comments and empty lines.
settings() {
  grep -v -e '^#' -e '^$' "$1"
}

# Prints the value of a setting: value NAME UNIT.
value() {
  sed -n "s/^$1=//p" "$2"
}

# ---- The files ----

@test "systemd-analyze verify finds nothing to say about the units" {
  local unit files=()
  for unit in "$ROOT"/dist/*.{service,socket,timer}; do
    unit=${unit##*/}
    # The path of the program is this tree's, because verify looks whether it exists; and the copy of
    # an instance's unit has the name of an instance.
    sed "s|/usr/bin/ssechat|$ROOT/ssechat|" "$ROOT/dist/$unit" >"${unit/@/@8081}"
    files+=("./${unit/@/@8081}")
  done
  run -0 systemd-analyze verify --man=no "${files[@]}"
  same "$output" ''
  sed -i 's/^ProtectSystem=.*/ProtectSystem=strictly/' ssechat.service
  run systemd-analyze verify --man=no ./ssechat.service
  contains "$output" strictly
}

@test "the drop-ins that comments in the units suggest are right too" {
  local unit
  for unit in ssechat.service ssechat.socket; do
    grep -c '^#[A-Z][A-Za-z]*=' "$ROOT/dist/$unit" >count
    between "$(<count)" 3 20
    sed -e "s|/usr/bin/ssechat|$ROOT/ssechat|" -e 's/^#\([A-Z][A-Za-z]*=\)/\1/' "$ROOT/dist/$unit" >"$unit"
  done
  run -0 systemd-analyze verify --man=no ./ssechat.service ./ssechat.socket
  same "$output" ''
}

@test "the exposure of each service is 1.5 or less" {
  local unit
  for unit in "${UNITS[@]}"; do
    run -0 systemd-analyze security --offline=true --no-pager --threshold=15 "$unit"
    printf '# %s\n' "$(tail -n 1 <<<"$output" | tr -cd 'A-Za-z0-9 .:@')" >&3
    # The check can fail: without some of its confinements, the unit is over the limit.
    sed -e '/^Protect/d' -e '/^Private/d' "$unit" >"${unit##*/}"
    run systemd-analyze security --offline=true --no-pager --threshold=15 "${unit##*/}"
    [ "$status" != 0 ]
  done
}

@test "an instance has the settings of the service, and its own port, folders and file" {
  diff <(settings "${UNITS[0]}") <(settings "${UNITS[1]}") >differences || true
  same "$(sed -n 's/^> //p' differences)" 'Description=Chat and event server (Server-Sent Events) on port %i
Environment=SSECHAT_LISTEN=127.0.0.1:%i
Environment=SSECHAT_JOURNAL=%S/ssechat-%i/chat.journal
EnvironmentFile=-/etc/default/ssechat-%i
StateDirectory=ssechat-%i
RuntimeDirectory=ssechat-%i'
  same "$(grep -c '^<' differences)" 5
}

@test "the units leave the server more time than it takes by default" {
  local unit drain
  drain=$("$SSECHAT" --help | sed -n 's/.*graceful shutdown may take (\([0-9]*\)s).*/\1/p')
  for unit in "${UNITS[@]}"; do
    between "$(value TimeoutStopSec "$unit" | tr -d s)" $((drain * 2)) 60
    between "$(value WatchdogSec "$unit" | tr -d s)" 20 60
    same "$(value Type "$unit")" notify
  done
}

@test "the settings file shows options with their defaults, and the server accepts all of them" {
  local file=$ROOT/dist/ssechat.default variables
  # Each variable is an option.
  "$SSECHAT" --help | sed -n -e 's/^  --\([a-z-]*\) [A-Z].*/\1/p' -e 's/^  --\(access-log\) .*/\1/p' >options
  sed -n 's/^#SSECHAT_\([A-Z_]*\)=.*/\1/p' "$file" | tr '[:upper:]_' '[:lower:]-' >variables
  same "$(comm -13 <(sort options) <(sort variables) | xargs)" ''
  # One is not there: the unit explains it.
  same "$(comm -23 <(sort options) <(sort variables) | xargs)" key
  # As it is, the file sets nothing; every line of it is right.
  same "$(grep -cv -e '^#' -e '^$' "$file")" 0
  mkdir www
  sed -n 's/^#\(SSECHAT_.*\)/\1/p' "$file" | sed -e "s|=/srv/chat|=$PWD/www|" -e "s|/run/ssechat/|$PWD/|" -e "s|/var/lib/ssechat/|$PWD/|" >all
  mapfile -t variables <all
  run -0 --separate-stderr env "${variables[@]}" "$SSECHAT" --check
  [[ ! $stderr =~ ssechat: ]]
}

# ---- System calls ----

# A wrapper that runs the server under strace, which writes a table for each process to the folder
# `traces`. The server is not its child (-D), so it keeps its process id and its parent.
traced() {
  mkdir -p traces
  cat >traced <<END
#!/bin/sh
exec strace -D -f -c -S name -o "$PWD/traces/\$\$" "$ROOT/ssechat" "\$@"
END
  chmod 755 traced
}

# Runs a suite on another server: suite SERVER SUITE [bats options]. A suite that is ended here has too
# few tests that passed; the longest take five minutes, and twice that under strace.
suite() {
  SSECHAT=$1 UNIT=$UNIT TOOLS=$TOOLS LONG='' CI='' timeout 900 \
    bats --tap "${@:3}" "$ROOT/test/$2" </dev/null 3>&-
}

# Prints the names of all calls in the tables.
names() {
  eventually '! pgrep -f "^strace -D.*$PWD/traces/" >/dev/null'
  cat traces/* | awk '$1 ~ /^[0-9.]+$/ && $NF ~ /^[a-z_0-9]+$/ && $NF != "total" { print $NF }' | sort -u
}

# Checks that the calls in the tables are in the lists of both units, and that there are tables of as
# many calls as the server makes at the least. Writes the calls to the file `called`.
check_calls() {
  local unit
  names >called
  printf '# %s system calls by %s processes\n' "$(wc -l <called)" "$(find traces -type f | wc -l)" >&3
  between "$(wc -l <called)" 60 200
  for unit in "${UNITS[@]}"; do
    same "$(comm -23 called <("$ROOT/test/lib/units.py" names "$unit" | sort))" ''
  done
}

# Prints how many tests have passed, as "3 of 4".
results() { # TAP...
  awk '/^1\.\./ { planned += substr($0, 4) } /^ok/ && !/# skip/ { ok++ } END { print ok + 0, "of", planned + 0 }' "$@"
}

# Checks that PERCENT of the tests have passed.
passed() { # PERCENT TAP...
  local ok planned
  read -r ok _ planned < <(results "${@:2}")
  ((planned > 0 && ok * 100 >= planned * $1))
}

# Tests of other suites: options, signals, the drain, the service manager, unix sockets, files, the
# journal with compaction and damage, tokens, metrics, and few descriptors.
SELECTION=(
  'server.bats --help|--check warns|descriptors'
  'signals.bats terminal|whatever --log-level says'
  'systemd.bats manager is told|an abstract socket|queue is full the server|during the drain'
  'sockets.bats group that|abstract socket'
  'www.bats range|gzip|link'
  'journal.bats owner can access|byte for byte|recent ready'
  'access.bats cookie'
  'metrics.bats without a journal'
)

@test "every system call of a selection of tests is in the units' list" {
  local row expected
  traced
  for row in "${SELECTION[@]}"; do
    suite "$PWD/traced" "${row%% *}" -f "${row#* }" >"${row%%.*}.tap" 2>&1 || true
    passed 100 "${row%%.*}.tap" || {
      cat "${row%%.*}.tap"
      return 1
    }
    # Each alternative of the row is the name of a test.
    tr '|' '\n' <<<"${row#* }" | while read -r expected; do
      grep -q "^ok .*$expected" "${row%%.*}.tap" || echo "$row: $expected"
    done >missing
    same "$(<missing)" ''
  done
  # The commands.
  head -c 32 /dev/zero | tr '\0' k >key && chmod 600 key
  "$PWD/traced" token --key key --rooms lobby --ttl 1h
  start_server --journal journal
  accepts '{"message":"hello"}'
  "$PWD/traced" journal check journal
  "$PWD/traced" journal export journal
  "$PWD/traced" probe "$URL"
  check_calls
  # The selection reaches what it is meant to.
  for expected in io_submit fdatasync fork waitid sendfile openat2 rename link connect accept4 close_range \
    signalfd4 epoll_pwait fchmod prctl pipe2; do
    grep -qx "$expected" called || {
      printf 'the selection does not call %s\n' "$expected"
      return 1
    }
  done
}

@test "in the long form: every system call of all suites is in the units' list" {
  [ "${LONG:-}" = 1 ] || return 0 # about half an hour
  local file few=()
  traced
  for file in "$ROOT"/test/*.bats; do
    file=${file##*/}
    case $file in
    # These measure, build or lint; they start no server of their own, or none with $SSECHAT; or they
    # trace it themselves, which strace does not allow twice.
    units.bats | boot.bats | binary.bats | layers.bats | release.bats | package.bats | valgrind.bats) continue ;;
    container.bats | kernel.bats | syscalls.bats) continue ;;
    esac
    # Other suites have a few tests that measure or trace; these fail here.
    suite "$PWD/traced" "$file" >"$file.tap" 2>&1 &
    [ "$(jobs -r | wc -l)" -lt "$(nproc)" ] || wait -n || true
  done
  wait || true
  for file in *.tap; do
    printf '# %s: %s passed under strace\n' "${file%.tap}" "$(results "$file")" >&3
    passed 60 "$file" || few+=("${file%.tap}")
  done
  same "${few[*]}" ''
  passed 90 ./*.tap
  check_calls
}

@test "the server works under the filter, and a call that is not in it kills the process" {
  local wrapper=$PWD/filtered
  "$ROOT/test/lib/units.py" filter kill "${UNITS[0]}" kill.bpf
  printf '#!/bin/sh\nexec "%s" "%s" "%s" "$@"\n' "$TOOLS/filtered" "$PWD/kill.bpf" "$ROOT/ssechat" >"$wrapper"
  chmod 755 "$wrapper"
  run "$TOOLS/filtered" kill.bpf /bin/sh -c 'unshare -U true'
  same "$status" 159
  run -0 suite "$wrapper" journal.bats -f 'owner can access|byte for byte|export|recent ready'
  run -0 suite "$wrapper" www.bats -f 'range|gzip'
}

# ---- Namespaces ----

# Starts the server in namespaces like the unit's: everything read-only but the folder for its state,
# private folders for the rest, no devices but the harmless, a user without capabilities, and the
# filter. Sets SERVER_PID, URL and PORT. bubblewrap sets no_new_privs in any case.
confined() { # [options]
  local as=()
  mkdir -p state
  if [ "$(id -u)" = 0 ]; then
    chown 61234:61234 state
    as=(setpriv --reuid 61234 --regid 61234 --clear-groups)
  fi
  cp "$ROOT/ssechat" program && chmod 755 program
  "$ROOT/test/lib/units.py" filter eperm "${UNITS[0]}" eperm.bpf
  SERVER_LOG=$PWD/confined.log
  "${as[@]}" bwrap --unshare-all --share-net --as-pid-1 --new-session --die-with-parent --cap-drop ALL \
    --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /home --tmpfs /root --tmpfs /run \
    --tmpfs /var/lib --bind state /var/lib/ssechat --tmpfs /opt --ro-bind program /opt/ssechat \
    --clearenv --setenv SSECHAT_JOURNAL /var/lib/ssechat/chat.journal --info-fd 4 --seccomp 3 \
    "${PROGRAM[@]:-/opt/ssechat}" "$@" </dev/null >out 2>"$SERVER_LOG" 3<eperm.bpf 4>info &
  BWRAP=$!
  CLIENTS+=("$BWRAP")
}

@test "in namespaces like the unit's: page, stream, POST, compaction, drain, and the messages again" {
  confined --listen 127.0.0.1:0 --history 16K --post-rate 0
  eventually 'listens 1 || { cat confined.log; false; }'
  URL=$(sed -n 's/^listening on //p' confined.log)
  SERVER_PID=$(jq '.["child-pid"]' info)
  # It is as confined as it should be.
  same "$(grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$SERVER_PID/status" | tr -s '\t\n' ' ')" \
    'CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 '
  ask /
  same "$STATUS" 200
  contains "$BODY" '<!doctype html>'
  listen stream ''
  accepts '{"message":"first"}'
  await_text stream '"message":"first"'
  # Over 2 MiB in a small room: a child process rewrites the journal.
  printf '{"room":"big","data":"%s"}' "$(times 8000 x)" >big
  curl -sS -m 60 -H 'Content-Type: application/json' -d @big "$URL/messages?[1-300]" >answers
  await_text confined.log compacted=1
  accepts '{"message":"last"}'
  await_text stream '"message":"last"'
  kill "$SERVER_PID"
  await_end "$BWRAP"
  same "$CLIENT_STATUS" 0
  contains "$(tail -n 6 stream)" retry:
  same "$(grep -cE '^(warn|error)' confined.log)" 0
  # What it kept comes back, and only it could write there.
  confined --listen 127.0.0.1:0
  eventually 'listens 1 || { cat confined.log; false; }'
  URL=$(sed -n 's/^listening on //p' confined.log)
  ask /messages
  same "$(jq -r '[.messages[].message] | join(" ")' <<<"$BODY")" 'first last'
  kill "$(jq '.["child-pid"]' info)"
  await_end "$BWRAP"
}

@test "in namespaces like the unit's, another program can do nothing" {
  PROGRAM=(/bin/bash -c 'touch /etc/mine; touch /tmp/mine && echo tmp; ls /home; unshare -U true; mount -t tmpfs t /mnt; chroot / true; :')
  confined
  await_end "$BWRAP"
  cat confined.log
  same "$(<out)" tmp
  same "$(grep -c -e 'Read-only file system' -e 'Operation not permitted' -e 'must be superuser' confined.log)" 4
  [ ! -e /tmp/mine ]
}
