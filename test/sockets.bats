#!/usr/bin/env bats
# Unix sockets: the file that a proxy connects to, with its permissions, is never missing and never
# taken from a live server; abstract sockets have no file.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153
#
# seconds: 10
# quick: yes

bats_require_minimum_version 1.5.0
load lib/helper

# Prints the permissions of a file.
mode_of() {
  stat -c %a "$1"
}

# Runs the server under strace: start_traced TRACE-OPTION... -- SERVER-OPTION...
start_traced() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  # The leak checker of a sanitizer build does not work under strace.
  ASAN_OPTIONS=detect_leaks=0 start_through "exec strace -D -o $PWD/trace ${options[*]@Q}" "${@:2}"
}

# Checks that a socket answers: answers SOCKET.
answers() {
  URL=http://localhost ask /healthz --unix-socket "$1"
  same "$STATUS" 200
}

# Ends the server as a crash does.
crash() {
  kill -s KILL "$SERVER_PID"
  wait "$SERVER_PID" || true
  unset "SERVERS[$SERVER_PID]"
}

@test "?mode= sets the permissions of a socket, whatever the umask, and is not part of its name" {
  local mask mode
  for mask in 000 077 177 777; do
    for mode in 0660 660 0600 777 0 0006; do
      start_through "umask $mask; exec" --listen "unix:$PWD/socket?mode=$mode"
      same "$mask $mode $(mode_of socket)" "$mask $mode $((10#$mode))"
      same "$(grep '^listening' "$SERVER_LOG")" "listening on unix:$PWD/socket"
      same "$(echo socket*)" socket
      [ "$mode" = 0 ] || [ "$(id -u)" != 0 ] || answers socket
      stop_server
      same "$(find . -name 'socket*')" ''
    done
  done
}

@test "without ?mode= the umask decides, as for other files" {
  local mask
  for mask in 000:777 022:755 007:770 077:700; do
    start_through "umask ${mask%:*}; exec" --listen "unix:$PWD/socket"
    same "${mask%:*}:$(mode_of socket)" "$mask"
    stop_server
  done
}

@test "a group that ?mode= admits can connect, and other users cannot" {
  [ "$(id -u)" = 0 ] || skip 'only root can become another user'
  chmod 755 . ..
  start_server --listen "unix:$PWD/socket?mode=0660"
  chgrp 65534 socket
  run -0 setpriv --reuid 65533 --regid 65534 --clear-groups curl -sS --unix-socket socket http://localhost/healthz
  contains "$output" '"ok"'
  run -7 setpriv --reuid 65533 --regid 65533 --clear-groups curl -sS --unix-socket socket http://localhost/healthz
}

@test "a socket gets its permissions and its listener under another name, before it is renamed" {
  local path=$PWD/socket
  start_traced -qq -e 'trace=bind,listen,?chmod,?fchmodat,?rename,?renameat,?renameat2,?unlink,?unlinkat' \
    -- --listen "unix:$path?mode=0640"
  same "$(sed -nE 's/^([a-z]+)(at2?)?\(.*/\1 &/p' trace |
    sed -E 's/ .*(socket~?)".*(socket~?)".*/ \1 \2/; s/ .*(socket~?)".*/ \1/; s/^listen .*/listen/' | xargs)" \
    'unlink socket~ bind socket~ chmod socket~ listen rename socket~ socket' || {
    cat trace
    return 1
  }
}

@test "the socket of a crashed server is replaced without a moment in which it is missing" {
  local path=$PWD/socket watcher
  start_server --listen "unix:$path"
  crash
  [ -S socket ]
  # Counts the looks at the path, and ends at the first at which it is missing.
  (
    looks=0
    while [ -S socket ]; do
      looks=$((looks + 1))
      echo "$looks" >looks
      [ ! -e enough ] || exit 0
    done
    exit 1
  ) 3>&- &
  watcher=$!
  CLIENTS+=("$watcher")
  eventually '[ "$(<looks)" -gt 0 ]'
  for _ in {1..10}; do
    start_server --listen "unix:$path?mode=0600"
    answers socket
    crash
  done
  touch enough
  await_end "$watcher"
  same "$CLIENT_STATUS" 0
  start_server --listen "unix:$path"
  same "$(find . -name 'socket*')" ./socket
}

@test "what a crash before the rename leaves is removed at the next start" {
  local path=$PWD/socket
  ASAN_OPTIONS=detect_leaks=0 run -137 timeout 20 strace -qqq -o /dev/null -e 'trace=?rename,?renameat,?renameat2' \
    -e 'inject=?rename,?renameat,?renameat2:signal=KILL' "$SSECHAT" --listen "unix:$path"
  [ -S 'socket~' ]
  [ ! -e socket ]
  start_server --listen "unix:$path"
  same "$(find . -name 'socket*')" ./socket
  answers socket
}

@test "if the socket cannot get its permissions or its name, nothing is left and one sentence says why" {
  local call
  for call in '?chmod,?fchmodat' '?rename,?renameat,?renameat2'; do
    ASAN_OPTIONS=detect_leaks=0 run -1 timeout 20 strace -qqq -o /dev/null -e "trace=$call" -e "inject=$call:error=EPERM" \
      "$SSECHAT" --listen "unix:$PWD/socket?mode=0600"
    contains "$output" "ssechat: --listen unix:$PWD/socket?mode=0600: Operation not permitted"
    same "$(find . -name 'socket*')" ''
  done
}

@test "a path of 107 bytes, the longest, is made under a temporary name too" {
  local path=$PWD/
  ((${#path} < 107)) || skip 'the path of the folder of this test is too long'
  path+=$(times $((107 - ${#path})) x)
  start_server --listen "unix:$path?mode=0600"
  answers "$path"
  same "$(grep '^listening' "$SERVER_LOG")" "listening on unix:$path"
  crash
  start_server --listen "unix:$path"
  answers "$path"
  stop_server
  same "$(find . -name 'x*')" ''
  refused 2 --listen "unix:${path}x"
}

@test "a socket in use is left alone, also when its server cannot accept, or is of another kind" {
  start_server --listen "unix:$PWD/socket"
  refused 1 --listen "unix:$PWD/socket?mode=0600"
  contains "$(<err)" "--listen unix:$PWD/socket?mode=0600: another program listens there"
  answers socket
  stop_server
  # A listener with a full backlog, and a datagram socket, do not refuse connect(2).
  perl -MSocket -e '
    socket(my $full, AF_UNIX, SOCK_STREAM, 0) or die;
    bind($full, pack_sockaddr_un("full")) && listen($full, 0) or die;
    for (1 .. 2) {
      socket(my $client, AF_UNIX, SOCK_STREAM | 04000, 0) or die;
      connect($client, pack_sockaddr_un("full"));
      push @clients, $client;
    }
    socket(my $datagrams, AF_UNIX, SOCK_DGRAM, 0) or die;
    bind($datagrams, pack_sockaddr_un("datagrams")) or die;
    open my $ready, ">", "ready"; close $ready;
    sleep 100' 3>&- &
  CLIENTS+=("$!")
  eventually '[ -e ready ]'
  for name in full datagrams; do
    refused 1 --listen "unix:$PWD/$name"
    contains "$(<err)" 'another program listens there'
    [ -S "$name" ]
  done
  same "$(find . -name '*~')" ''
}

@test "a file, a folder or a link with the socket's name, or with its temporary name, is left alone" {
  local name
  echo precious >file
  mkdir folder
  ln -s nowhere link
  for name in file folder link; do
    for option in --check --drain=5; do
      refused 1 "$option" --listen "unix:$PWD/$name"
      contains "$(<err)" 'a file with that name is in the way'
      mv "$name" "$name~"
      refused 1 "$option" --listen "unix:$PWD/$name"
      contains "$(<err)" 'a file with that name and a ~ at its end is in the way'
      mv "$name~" "$name"
    done
  done
  same "$(<file) $(readlink link)" 'precious nowhere'
}

@test "at its end a server removes its own socket, but not the one of its successor" {
  start_server --listen "unix:$PWD/socket"
  local first=$SERVER_PID
  rm socket # a live server's socket is refused; this is what a careless start script does
  start_server --listen "unix:$PWD/socket"
  stop_server TERM "$first"
  [ -S socket ]
  answers socket
  stop_server
  [ ! -e socket ]
}

@test "an abstract socket is served like any other, and has no file" {
  local name=ssechat-$$-$BATS_TEST_NUMBER
  start_server --listen "unix:@$name"
  same "$(grep '^listening' "$SERVER_LOG")" "listening on unix:@$name"
  URL=http://localhost
  ask /healthz --abstract-unix-socket "$name"
  same "$STATUS" 200
  listen stream '' --abstract-unix-socket "$name"
  post '{"message":"hello"}' --abstract-unix-socket "$name"
  await_text stream hello
  # The kernel compares all bytes of the name: those after its end would make it another name.
  same "$(awk -v name="@$name" '$NF == name' /proc/net/unix | grep -c '00010000')" 1
  refused 1 --listen "unix:@$name"
  contains "$(<err)" 'another program listens there'
  run -7 curl -s --abstract-unix-socket "$name-" http://localhost/healthz
  same "$(find . -name '*ssechat-*')" ''
  stop_server
  start_server --listen "unix:@$name" --listen "unix:@$name-" --listen "unix:./@$name"
  [ -S "@$name" ]
}

@test "a proxy on an abstract socket is trusted with --trust-proxy unix" {
  local name=ssechat-$$-$BATS_TEST_NUMBER
  start_server --listen "unix:@$name" --max-streams-per-ip 1 --trust-proxy unix
  URL=http://localhost
  listen one '' --abstract-unix-socket "$name" -H 'X-Forwarded-For: 192.0.2.1'
  ask /events --abstract-unix-socket "$name" -H 'X-Forwarded-For: 192.0.2.1'
  contains "$BODY" '"address"'
  listen two '' --abstract-unix-socket "$name" -H 'X-Forwarded-For: 192.0.2.2'
}

@test "a wrong unix address is refused with a sentence that says what to write" {
  local address sentence
  while IFS='|' read -r address sentence; do
    refused 2 --check --listen "$address"
    contains "$(<err)" "--listen $address: "
    contains "$(<err)" "$sentence"
  done <<END
unix:|must have 1 to 107 bytes
unix:?mode=0660|must have 1 to 107 bytes
unix:@|must have 1 to 107 bytes after the @
unix:@$(times 108 x)|must have 1 to 107 bytes after the @
unix:@name?mode=0660|an abstract socket has no file and so no mode
unix:socket?|in octal, like ?mode=0660
unix:socket?mode|in octal, like ?mode=0660
unix:socket?mode=|in octal, like ?mode=0660
unix:socket?mode=0x1ff|in octal, like ?mode=0660
unix:socket?mode=0680|in octal, like ?mode=0660
unix:socket?mode=rw|in octal, like ?mode=0660
unix:socket?mode=1777|in octal, like ?mode=0660
unix:socket?mode=00660|in octal, like ?mode=0660
unix:socket?mode=-1|in octal, like ?mode=0660
unix:socket?mode=0660&group=www-data|in octal, like ?mode=0660
unix:socket?Mode=0660|in octal, like ?mode=0660
END
  run -0 "$SSECHAT" --check --log-level warn --listen "unix:@$(times 107 x)" --listen unix:@a --listen unix:@aa --listen unix:./@a
  same "$output" ''
  for address in unix:@a 'unix:socket?mode=0660'; do
    refused 2 --check --listen unix:@a --listen unix:./socket --listen "$address"
    contains "$(<err)" "--listen $address: ssechat itself listens there already"
  done
}

@test "a comma separates the addresses in SSECHAT_LISTEN, with their modes" {
  SSECHAT_LISTEN="unix:$PWD/one?mode=0600, unix:$PWD/two?mode=0666,127.0.0.1:0" "$SSECHAT" 2>log 3>&- &
  CLIENTS+=("$!")
  eventually '[ "$(grep -c "^listening on" log)" = 3 ]'
  same "$(mode_of one) $(mode_of two)" '600 666'
}

@test "a client that waits in the backlog of an inherited socket gets the options of the others" {
  # The service manager's part: it opens the socket, and starts the server when a client is there.
  cat >manager <<'END'
#!/usr/bin/perl
use Fcntl;
use Socket;
$^F = 3;
socket(my $socket, AF_INET, SOCK_STREAM, 0) or die;
bind($socket, pack_sockaddr_in(0, INADDR_LOOPBACK)) && listen($socket, 10) or die;
fileno($socket) == 3 or die 'the socket is not descriptor 3';
open(my $file, '>', 'port.new') or die;
print $file (unpack_sockaddr_in(getsockname($socket)))[0];
close $file;
rename('port.new', 'port');
select(undef, undef, undef, 0.01) until -e 'client';
$ENV{LISTEN_PID} = $$;
$ENV{LISTEN_FDS} = 1;
exec @ARGV;
END
  chmod +x manager
  (
    eventually '[ -s port ]'
    URL=http://127.0.0.1:$(<port)
    curl -sN -m 60 "$URL/events" >early &
    eventually '[ -n "$(ss -tnH state established "dport = :$(<port)")" ]'
    touch client
    wait
  ) 3>&- &
  CLIENTS+=("$!")
  start_through "exec $PWD/manager" --listen 127.0.0.1:0
  await early ready
  # ss shows the timer of keepalive at the server's end.
  eventually '[ "$(ss -tnoH state established "sport = :$(<port)" | grep -c "timer:(keepalive")" = 1 ]'
  listen late ''
  eventually '[ "$(ss -tnoH state established "sport = :$(<port)" | grep -c "timer:(keepalive")" = 2 ]'
}
