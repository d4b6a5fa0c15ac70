#!/usr/bin/env bats
# The service with a real systemd: a small Debian boots in a container, the package is installed
# there, and systemd starts, watches, restarts, confines and removes it. The tests build on each
# other, as an administrator's day does: each begins with the service that the one before has left.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
#
# seconds: 240
# build: plain
# long: a Debian system with systemd
# only: long

bats_require_minimum_version 1.5.0
load lib/helper
load lib/debian
load lib/box

setup_file() {
  [ "$(id -u)" = 0 ] || skip 'only root can boot a container'
  shared_deb
  mkdir "$BATS_FILE_TMPDIR/box"
  debian_system "$BATS_FILE_TMPDIR/box" '' systemd-sysv,curl
  cp "$DEB" "$BATS_FILE_TMPDIR/box/root/ssechat.deb"
  # The same with a higher version, for the upgrade.
  dpkg-deb -R "$DEB" "$BATS_FILE_TMPDIR/next"
  sed -i 's/^Version: .*/&.1/' "$BATS_FILE_TMPDIR/next/DEBIAN/control"
  dpkg-deb --root-owner-group -b "$BATS_FILE_TMPDIR/next" "$BATS_FILE_TMPDIR/box/root/next.deb"
  box_boot "$BATS_FILE_TMPDIR/box"
  export BOX BOX_PID BOX_LEADER BOX_GROUP
}

teardown_file() {
  box_end
}

teardown() {
  [ "${BATS_TEST_COMPLETED:-}" = 1 ] || {
    in_box systemctl status --no-pager --lines 30 'ssechat*' || true
  }
}

# Shows a line in the log of the test run.
show() {
  printf '# %s\n' "$@" >&3
}

# Prints a property of a unit: property NAME [UNIT].
property() {
  in_box systemctl show --value -p "$1" "${2:-ssechat}"
}

# Waits until a property of the unit matches: await_property NAME PATTERN [UNIT].
await_property() {
  eventually "property $1 ${3:-ssechat} | grep -qE -- $(printf %q "$2")"
}

in_curl() {
  in_box curl -sS -m 30 "$@"
}

# Posts a message to the server in the container: in_post TEXT [URL].
in_post() {
  same "$(in_curl -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' \
    -d "{\"message\":\"$1\"}" "${2:-http://127.0.0.1:8080}/messages")" 201
}

# Prints the texts that the server holds.
held() {
  in_curl "${1:-http://127.0.0.1:8080}/messages" | jq -r '[.messages[].message] | join(" ")'
}

# Writes a drop-in of a unit from standard input, and has systemd read it: drop_in UNIT NAME.
drop_in() {
  mkdir -p "${BOX:?}/etc/systemd/system/$1.d"
  cat >"${BOX:?}/etc/systemd/system/$1.d/$2.conf"
  in_box systemctl daemon-reload
}

remove_drop_in() {
  rm -r "${BOX:?}/etc/systemd/system/$1.d"
  in_box systemctl daemon-reload
}

# Prints lines that the unit has as comments, as settings: commented PATTERN.
commented() {
  sed -n "s/^#\($1\)/\1/p" "$ROOT/dist/ssechat.service"
}

# ---- The package and its service ----

@test "the package is installed, and the service runs: enabled, active, with a status" {
  run -0 in_box dpkg -i /root/ssechat.deb
  run -0 in_box systemctl enable --now ssechat
  await_property StatusText 'streams,'
  run -0 in_box systemctl status ssechat
  mapfile -t lines < <(head -n 9 <<<"$output")
  show "${lines[@]}"
  contains "$output" '; enabled'
  contains "$output" 'active (running)'
  same "$(in_curl http://127.0.0.1:8080/healthz)" '{"status":"ok"}'
  in_post first
  same "$(held)" first
  eventually 'property StatusText | grep -q "1 messages\|1 message"'
}

@test "the service is confined: its exposure, user, privileges, filter, files and processes" {
  local pid status
  run -0 in_box systemd-analyze security --no-pager --threshold=15 ssechat
  show "$(tail -n 1 <<<"$output" | tr -cd 'A-Za-z0-9 .:')"
  pid=$(property MainPID)
  status=$(in_box cat "/proc/$pid/status" | tr -s '\t' ' ')
  show "$(grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp|Seccomp_filters):' <<<"$status" | xargs)"
  contains "$status" 'CapBnd: 0000000000000000'
  contains "$status" 'NoNewPrivs: 1'
  contains "$status" 'Seccomp: 2'
  between "$(sed -n 's/^Uid: \([0-9]*\).*/\1/p' <<<"$status")" 61184 65519
  # What the process sees: the system is read-only, and no program but this one can be executed.
  in_box cat "/proc/$pid/mountinfo" >mounts
  awk '$5 == "/" { exit $6 !~ /^ro,/ || $6 !~ /noexec/ }' mounts
  awk '$5 == "/usr/bin/ssechat" { found = $6 !~ /noexec/ } END { exit !found }' mounts
  grep -qE ' /var/lib/private/ssechat rw,' mounts || grep -qE ' /var/lib/private/ssechat .*rw' mounts
  grep -qE ' /proc .*hidepid=invisible,subset=pid|hidepid=invisible.*subset=pid' mounts
  # systemd cannot execute another program within it either.
  drop_in ssechat.service other <<<$'[Service]\nExecStartPre=/bin/true'
  run ! in_box systemctl restart ssechat
  eventually "in_box journalctl -u ssechat -o cat --no-pager | grep -q 'code=exited, status=203/EXEC'"
  remove_drop_in ssechat.service
  in_box systemctl stop ssechat
  in_box systemctl reset-failed ssechat
  in_box systemctl start ssechat
}

@test "the log is in the journal, with levels" {
  run -0 in_box journalctl -u ssechat -o json --no-pager
  jq -r 'select(._COMM == "ssechat") | "\(.PRIORITY) \(.MESSAGE)"' <<<"$output" >log
  mapfile -t lines < <(head -n 5 log)
  show "${lines[@]}"
  grep -qE '^6 journal messages=' log
  grep -qE '^[56] listening on http://127.0.0.1:8080$' log
  echo 'SSECHAT_MAX_BODY=1M' >>"${BOX:?}/etc/default/ssechat"
  in_box systemctl restart ssechat
  eventually "in_box journalctl -u ssechat -p warning -o cat --no-pager | grep '^posts burst'"
}

@test "messages and the state folder outlive restarts, and the user's number does not matter" {
  same "$(held)" first
  in_box systemctl stop ssechat
  same "$(property Result)" success
  same "$(property ActiveState)" inactive
  same "$(readlink "${BOX:?}/var/lib/ssechat")" private/ssechat
  same "$(stat -c %a "${BOX:?}/var/lib/private/ssechat")" 700
  chown -R 65500:65500 "${BOX:?}/var/lib/private/ssechat" # as if the number were given to another service
  in_box systemctl start ssechat
  same "$(held)" first
}

@test "a wrong setting is reported in the journal, and the service gives up; mended, it starts" {
  cp "${BOX:?}/etc/default/ssechat" settings
  echo 'SSECHAT_HISTORY=1' >>"${BOX:?}/etc/default/ssechat"
  run ! in_box systemctl restart ssechat
  await_property ActiveState failed
  run -0 in_box journalctl -u ssechat -o cat --no-pager
  contains "$output" 'SSECHAT_HISTORY: '
  cp settings "${BOX:?}/etc/default/ssechat"
  in_box systemctl reset-failed ssechat
  in_box systemctl start ssechat
  same "$(held)" first
}

# ---- It is watched ----

@test "a server that is stopped is restarted by the watchdog, and one that is killed too" {
  local pid
  drop_in ssechat.service watch <<<$'[Service]\nWatchdogSec=2s'
  in_box systemctl restart ssechat
  pid=$(property MainPID)
  sleep 5 # it lives longer than the watchdog's time
  same "$(property MainPID) $(property NRestarts)" "$pid 0"
  in_box bash -c "kill -s STOP $pid"
  await_property NRestarts '^1$'
  await_property ActiveState '^active$'
  run -0 in_box journalctl -u ssechat -o cat --no-pager
  show "$(grep -i watchdog <<<"$output" | tail -n 1)"
  contains "$output" 'Watchdog timeout'
  in_box bash -c "kill -s KILL $(property MainPID)"
  await_property NRestarts '^2$'
  await_property ActiveState '^active$'
  same "$(held)" first
  remove_drop_in ssechat.service
}

@test "signals: SIGHUP and SIGUSR1 are logged, and systemctl stop ends a stream with a time to come back" {
  local pid
  in_box systemctl restart ssechat
  pid=$(property MainPID)
  in_box systemctl kill -s HUP ssechat
  eventually "in_box journalctl -u ssechat -o cat --no-pager | grep -q HUP"
  in_box systemctl kill -s USR1 ssechat
  eventually "in_box journalctl -u ssechat -o cat --no-pager | grep -q '^report '"
  same "$(property MainPID)" "$pid"
  in_box curl -sN -m 60 http://127.0.0.1:8080/events >stream 3>&- &
  await stream ready
  in_box systemctl stop ssechat
  wait $!
  contains "$(tail -n 5 stream)" retry:
  same "$(property Result)" success
  in_box systemctl start ssechat
}

# ---- Drop-ins ----

@test "the key is a credential: without a token 401, with one 200" {
  local token
  mkdir -p "${BOX:?}/etc/ssechat"
  (umask 077 && openssl rand -hex 32 >"${BOX:?}/etc/ssechat/key")
  { echo '[Service]' && commented 'LoadCredential=.*' && commented 'Environment=SSECHAT_KEY=.*'; } | drop_in ssechat.service key
  in_box systemctl restart ssechat
  same "$(in_curl -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/messages)" 401
  token=$(in_box ssechat token --key /etc/ssechat/key --sub ann --rooms lobby --ttl 1h)
  same "$(in_curl -H "Authorization: Bearer $token" http://127.0.0.1:8080/messages | jq -r '.messages[0].message')" first
  remove_drop_in ssechat.service
}

@test "port 80, and a folder of --www in /srv" {
  mkdir -p "${BOX:?}/srv/chat"
  echo 'my page' >"${BOX:?}/srv/chat/index.html"
  { echo '[Service]' && commented '\(AmbientCap\|CapabilityBound\|PrivateUsers\).*' &&
    printf 'Environment=SSECHAT_LISTEN=0.0.0.0:80\nEnvironment=SSECHAT_WWW=/srv/chat\n'; } | drop_in ssechat.service port
  in_box systemctl restart ssechat
  same "$(in_curl http://127.0.0.1/)" 'my page'
  remove_drop_in ssechat.service
}

@test "a journal elsewhere, a user of one's own, and two keys" {
  in_box useradd --system chat
  in_box install -d -o chat -m 700 /data/chat
  (umask 077 && openssl rand -hex 32 >"${BOX:?}/etc/ssechat/new")
  drop_in ssechat.service own <<'END'
[Service]
DynamicUser=no
User=chat
ReadWritePaths=/data/chat
Environment=SSECHAT_JOURNAL=/data/chat/chat.journal
LoadCredential=old:/etc/ssechat/key
LoadCredential=new:/etc/ssechat/new
Environment=SSECHAT_KEY=%d/new,%d/old
END
  in_box systemctl restart ssechat
  for key in key new; do
    token=$(in_box ssechat token --key "/etc/ssechat/$key" --rooms lobby --ttl 1h)
    same "$(in_curl -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" http://127.0.0.1:8080/messages)" 200
  done
  same "$(in_box stat -c '%U %a' /data/chat/chat.journal)" 'chat 600'
  remove_drop_in ssechat.service
  drop_in ssechat.service memory <<<$'[Service]\nUnsetEnvironment=SSECHAT_JOURNAL'
  in_box systemctl restart ssechat
  same "$(held)" ''
  remove_drop_in ssechat.service
  in_box systemctl restart ssechat
}

# Checks that a proxy's user can connect to a socket, and another user cannot.
is_for_www_data() { # PATH
  local connect=(curl -sS -m 30 --unix-socket "$1" http://localhost/healthz)
  same "$(in_box setpriv --reuid www-data --regid www-data --clear-groups "${connect[@]}")" '{"status":"ok"}'
  run -7 in_box setpriv --reuid nobody --regid nogroup --clear-groups "${connect[@]}"
}

@test "a unix socket of the server, for the group of a proxy" {
  in_box groupadd -f www-data
  drop_in ssechat.service proxy <<<$'[Service]\nGroup=www-data\nEnvironment=SSECHAT_LISTEN=unix:/run/ssechat/chat.sock?mode=0660'
  in_box systemctl restart ssechat
  same "$(in_box stat -c '%A %G' /run/ssechat/chat.sock)" 'srw-rw---- www-data'
  is_for_www_data /run/ssechat/chat.sock
  remove_drop_in ssechat.service
  in_box systemctl restart ssechat
}

@test "socket activation: the first connection starts the server, and connections wait during a restart" {
  local before
  in_box systemctl stop ssechat
  drop_in ssechat.socket proxy <<<$'[Socket]\nListenStream=/run/ssechat.sock\nSocketGroup=www-data\nSocketMode=0660'
  in_box systemctl enable --now ssechat.socket
  same "$(property ActiveState)" inactive
  same "$(in_box stat -c '%A %G' /run/ssechat.sock)" 'srw-rw---- www-data'
  same "$(held)" first
  same "$(property ActiveState)" active
  is_for_www_data /run/ssechat.sock
  before=$(property MainPID)
  # Not one of the requests during the restart is refused.
  in_box systemctl --no-block restart ssechat
  for _ in {1..30}; do
    same "$(in_curl -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/healthz)" 200
  done
  await_property MainPID '^[1-9]'
  [ "$(property MainPID)" != "$before" ]
  in_box systemctl disable --now ssechat.socket
  remove_drop_in ssechat.socket
  in_box systemctl restart ssechat
}

@test "instances: each has its port, journal and settings" {
  echo 'SSECHAT_ROOM=lobby' >"${BOX:?}/etc/default/ssechat-8082"
  in_box systemctl enable --now ssechat@8081 ssechat@8082
  in_post one http://127.0.0.1:8081
  in_post two http://127.0.0.1:8082
  same "$(held http://127.0.0.1:8081) $(held http://127.0.0.1:8082) $(held)" 'one two first'
  same "$(find "${BOX:?}"/var/lib/private -name chat.journal -printf '%P\n' | sort | xargs)" \
    'ssechat-8081/chat.journal ssechat-8082/chat.journal ssechat/chat.journal'
  run -0 in_box systemd-analyze security --no-pager --threshold=15 ssechat@8081
  in_box systemctl restart ssechat@8081
  same "$(held http://127.0.0.1:8081)" one
}

# ---- Upgrade and end ----

@test "the backup: the timer waits, its service copies the journal, and the server goes back to the copy" {
  local before
  run -0 in_box systemctl enable --now ssechat-backup.timer
  contains "$(in_box systemctl list-timers --no-pager)" ssechat-backup.service
  before=$(held)
  run -0 in_box systemctl start ssechat-backup
  run -0 in_box journalctl -u ssechat-backup -o cat --no-pager
  contains "$output" 'damaged 0'
  show "$(in_box ls -l /var/lib/ssechat-backup/ | tail -n 1)"
  in_post 'after the copy'
  contains "$(held)" 'after the copy'
  # As docs/begin.md says.
  sed -n '/^systemctl stop ssechat$/,/^```$/p' "$ROOT/docs/begin.md" | grep -v '^```' >"$BOX/root/restore"
  run -0 in_box sh -e /root/restore
  same "$(held)" "$before"
  in_post 'after the restore'
  same "$(held)" "$before after the restore"
  run -0 in_box systemd-analyze security --no-pager --threshold=15 ssechat-backup
  in_box systemctl disable --now ssechat-backup.timer
  run -0 in_box sh -e /root/restore # for the tests that follow
  rm "${BOX:?}/root/restore"
}

@test "an upgrade restarts the server: a reader comes back to all messages" {
  local before
  before=$(property MainPID)
  in_box curl -sN -m 60 http://127.0.0.1:8080/events >stream 3>&- &
  await stream ready
  run -0 in_box dpkg -i /root/next.deb
  wait $!
  contains "$(tail -n 5 stream)" retry:
  await_property ActiveState '^active$'
  [ "$(property MainPID)" != "$before" ]
  same "$(held)" first
  same "$(held http://127.0.0.1:8081)" one
}

@test "removal stops all servers and keeps messages and settings; a purge leaves only the backup" {
  same "$(held http://127.0.0.1:8082)" two
  run -0 in_box dpkg -r ssechat
  for port in 8080 8081 8082; do
    run -7 in_curl "http://127.0.0.1:$port/healthz"
  done
  same "$(in_box systemctl list-units --no-legend --state=active 'ssechat*')" ''
  [ -s "${BOX:?}/var/lib/private/ssechat/chat.journal" ]
  [ -s "${BOX:?}/etc/default/ssechat" ]
  run -0 in_box dpkg -P ssechat
  # The copies of the backup stay, and what the administrator has made.
  compgen -G "${BOX:?}/var/lib/private/ssechat-backup/chat-*.journal"
  rm -r "${BOX:?}"/var/lib/{private/,}ssechat-backup "${BOX:?}/etc/ssechat" "${BOX:?}/etc/default/ssechat-8082"
  run -0 in_box find / -xdev -name '*ssechat*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/root/*'
  same "$(grep -v -e /var/lib/systemd/ -e /run/systemd/ <<<"$output")" ''
  run -0 in_box systemctl is-system-running
}
