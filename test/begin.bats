#!/usr/bin/env bats
# "From nothing to a public chat in ten minutes" (docs/begin.md): its commands, run in their order on the
# package with real proxies; and the backup of the journal, which is a unit. The tests of the commands must run
# as root: test/begin/run changes what the machine is, for itself.
# shellcheck disable=SC2016,SC2153,SC2154
#
# seconds: 60
# build: plain

bats_require_minimum_version 1.5.0
load lib/helper
load lib/debian
load lib/journal

# ---- The page ----

setup_file() {
  shared_deb
  export DEB
}

needs_root() {
  [ "$(id -u)" = 0 ] || skip 'only root can change what the machine is'
}

# Runs the page's commands with one of the two proxies.
page() { # PROXY
  needs_root
  command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin
  run "$ROOT/test/begin/run" "$DEB" "$1"
  printf '%s\n' "$output"
  same "$status" 0
  [[ $output =~ ^3[0-9]\ commands$ ]]
}

@test "the commands of the page lead to a public chat behind Caddy" {
  page caddy
}

@test "the commands of the page lead to a public chat behind nginx" {
  page nginx
}

@test "the page fails if it shows something else than its commands do" {
  needs_root
  mkdir docs
  cp -r "$ROOT/test" "$SSECHAT" .
  sed 's/it is well$/it is fine/' "$ROOT/docs/begin.md" >docs/begin.md
  run test/begin/run "$DEB" caddy
  same "$status" 1
  contains "$output" 'the command prints something else'
}

# ---- The backup ----

# Runs the command of ssechat-backup.service, in the folder `lib` instead of /var/lib, as systemd does: it
# replaces the specifiers, and $$ by a dollar sign.
backup() { # [DAYS]
  KEEP_DAYS=${1:-14} backup_with env
}

# The same, with a program that executes it: backup_with PROGRAM [argument...].
backup_with() {
  local script words=()
  mkdir -p lib/ssechat-backup
  script=$(sed -e ':more' -e '/\\$/{N;s/\\\n *//;b more' -e '}' "$ROOT/dist/ssechat-backup.service" |
    sed -n 's/^ExecStart=//p' | sed "s,%S,$PWD/lib,g; s,%%,%,g; s,/usr/bin/ssechat,$SSECHAT,; s/\\\$\\\$/\$/g")
  eval "words=($script)"
  export KEEP_DAYS=${KEEP_DAYS:-14} SSECHAT_JOURNAL=$PWD/lib/ssechat/chat.journal
  run "$@" "${words[@]}"
  unset SSECHAT_JOURNAL
}

copy_today() {
  echo "lib/ssechat-backup/chat-$(date +%F).journal"
}

start_chat() {
  mkdir -p lib/ssechat
  start_server --journal lib/ssechat/chat.journal
}

# Prints the names of the files in the folder of the copies.
copies() {
  find lib/ssechat-backup -mindepth 1 -printf '%f\n' | sort | xargs
}

@test "a copy that is made while messages arrive is good, and a server that starts from it has what was there" {
  local i
  start_chat
  accepts '{"message":"before the copy"}'
  for i in {1..300}; do
    echo '{"message":"while it is made"}'
  done >bodies
  (while read -r i; do
    curl -s -o /dev/null -H 'Content-Type: application/json' -d "$i" "$URL/messages"
  done <bodies) 3>&- &
  CLIENTS+=("$!")
  backup
  same "$status" 0
  contains "$output" 'damaged 0'
  same "$(copies)" "$(basename "$(copy_today)")"
  wait "${CLIENTS[@]}"
  CLIENTS=()
  stop_server
  cp "$(copy_today)" lib/ssechat/chat.journal
  start_chat
  ask '/messages?after=0-0&limit=1'
  same "$(jq -r '.messages[0].message' <<<"$BODY")" 'before the copy'
}

@test "a second copy on the same day replaces the first" {
  start_chat
  accepts '{"message":"one"}'
  backup
  accepts '{"message":"two"}'
  backup
  same "$status $(copies)" "0 $(basename "$(copy_today)")"
  same "$("$SSECHAT" journal export "$(copy_today)" | jq -r .message | xargs)" 'one two'
}

@test "copies that are older than KEEP_DAYS are removed, and other files are not" {
  local days
  start_chat
  mkdir -p lib/ssechat-backup
  for days in 1 13 14 15 40; do # 14 days and less than one more are not older than 14 days for find
    touch -d "$days days ago" "lib/ssechat-backup/chat-$days.journal"
  done
  touch -d '40 days ago' lib/ssechat-backup/other
  backup
  same "$status" 0
  same "$(copies)" "chat-1.journal chat-13.journal chat-14.journal $(basename "$(copy_today)") other"
  backup 1
  same "$(copies)" "chat-1.journal $(basename "$(copy_today)") other"
}

@test "a damaged or missing journal makes the backup fail, and no copy is replaced or removed" {
  start_chat
  accepts '{"message":"good"}'
  accepts '{"message":"damaged"}'
  backup
  cp "$(copy_today)" good
  touch -d '40 days ago' lib/ssechat-backup/chat-old.journal
  stop_server
  sed -i 's/"damaged"/"DAMAGED"/' lib/ssechat/chat.journal
  backup
  same "$status" 1
  cmp good "$(copy_today)"
  [ -e lib/ssechat-backup/chat-old.journal ]
  rm lib/ssechat/chat.journal
  backup
  same "$status" 1
  cmp good "$(copy_today)"
  [ -e lib/ssechat-backup/chat-old.journal ]
}

@test "systemd finds nothing wrong with the units of the backup, and their exposure is 1.5 or less" {
  sed "s|/usr/bin/ssechat|$SSECHAT|" "$ROOT/dist/ssechat-backup.service" >ssechat-backup.service
  cp "$ROOT/dist/ssechat-backup.timer" .
  run -0 systemd-analyze verify --man=no ./ssechat-backup.service ./ssechat-backup.timer
  same "$output" ''
  run -0 systemd-analyze security --offline=true --no-pager --threshold=15 ./ssechat-backup.service
  printf '# %s\n' "$(tail -n 1 <<<"$output" | tr -cd 'A-Za-z0-9 .:@-')" >&3
}

@test "the unit of the backup allows every system call that the backup makes" {
  start_chat
  accepts '{"message":"kept"}'
  mkdir -p lib/ssechat-backup
  touch -d '40 days ago' lib/ssechat-backup/chat-old.journal
  backup_with strace -f -c -S name -o calls
  same "$status" 0
  [ ! -e lib/ssechat-backup/chat-old.journal ]
  awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { print $NF }' calls | sort >called
  between "$(wc -l <called)" 20 100
  same "$(comm -23 called <("$ROOT/test/lib/units.py" names "$ROOT/dist/ssechat-backup.service" | sort))" ''
}

@test "the timer starts the backup each day, also on a machine that was off" {
  local timer=$ROOT/dist/ssechat-backup.timer
  run -0 systemd-analyze calendar --base-time='2026-03-04 05:06:07 UTC' --iterations=2 "$(sed -n 's/^OnCalendar=//p' "$timer")"
  contains "$(grep -oE '2026-[0-9]+-[0-9]+ [0-9:]+' <<<"$output" | xargs)" '2026-03-05 00:00:00'
  contains "$output" '2026-03-06 00:00:00'
  same "$(sed -n 's/^Persistent=//p' "$timer")" yes
}
