#!/usr/bin/env bats
# The container that dist/Dockerfile describes: an empty image with the program as process 1, under
# another user, with nothing but the journal's folder to write to. The short form reads the
# Dockerfile, makes the image's folder, and enters it with bubblewrap; the long form builds the
# image with buildah, from a minimal Debian in a folder, and runs it with podman.
#
# seconds: 10
# build: plain
# long: builds and runs the image
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154

bats_require_minimum_version 1.5.0
load lib/helper
load lib/debian

# Prints the arguments of an instruction in the last stage of the Dockerfile, one line for each time.
instruction() { # NAME
  sed -e ':a; /\\$/{N; s/ *\\\n */ /; ba}' "$ROOT/dist/Dockerfile" | sed "1,/^FROM scratch$/d" | sed -n "s/^$1 //p"
}

# Makes the folder `image` from the lines that begin with COPY, and `data` for the volume.
make_image() {
  local from options to
  mkdir -p image/proc image/dev # a container's own
  while read -r from options; do
    same "$from" --from=build
    [[ $options != --chown=* ]] || options=${options#* }
    to=${options#* }
    case ${options% *} in
    /source/ssechat) cp "$SSECHAT" "image$to" ;;
    /data) mkdir -p "image$to" ;;
    *) false ;;
    esac
  done < <(instruction COPY)
  same "$(instruction VOLUME)" /data
  mkdir -p -m 700 data
}

# Starts the container with options for the program. Sets SERVER_PID and URL.
start_container() {
  local user variable arguments=()
  user=$(instruction USER)
  for variable in $(instruction ENV); do
    arguments+=(--setenv "${variable%%=*}" "${variable#*=}")
  done
  mapfile -t -O "${#arguments[@]}" arguments < <(
    printf '%s\n' --unshare-all --as-pid-1 --die-with-parent --new-session --cap-drop ALL
    printf '%s\n' --uid "${user%:*}" --gid "${user#*:}"
    printf '%s\n' --ro-bind image / --bind data /data --proc /proc --dev /dev --
    instruction ENTRYPOINT | jq -r '.[]'
  )
  bwrap --clearenv --info-fd 4 "${arguments[@]}" "$@" </dev/null >/dev/null 2>log 4>info 3>&- &
  CONTAINER=$!
  CLIENTS+=("$CONTAINER")
  eventually 'grep -q "^listening on " log || { cat log; false; }'
  SERVER_PID=$(jq '."child-pid"' info)
  URL=http://127.0.0.1:$(instruction EXPOSE)
}

# Runs a command in the container's network, as the machine's other programs reach it.
inside() {
  nsenter -t "$SERVER_PID" -U --preserve-credentials -n "$@"
}

# Sends requests from there, for the functions that ask and post.
curl() {
  inside curl "$@"
}

# Runs the health check of the Dockerfile in the container.
check_health() {
  local command
  mapfile -t command < <(instruction HEALTHCHECK | sed 's/.* CMD //' | jq -r '.[]')
  nsenter -t "$SERVER_PID" -U --preserve-credentials -n -r"/proc/$SERVER_PID/root" "${command[@]}"
}

# Ends the container as docker does, and checks that it has drained.
stop_container() {
  kill -s "$(instruction STOPSIGNAL)" "$SERVER_PID"
  await_end "$CONTAINER"
  same "$CLIENT_STATUS" 0
  grep -q '^info: drain' log
}

@test "the image serves the page and keeps messages in its volume, as process 1, another user, without a right" {
  make_image
  start_container
  same "$(awk '/^NSpid:/ { print $NF }' "/proc/$SERVER_PID/status")" 1
  same "$(awk '/^Cap(Eff|Prm|Bnd):/ { print $2 }' "/proc/$SERVER_PID/status" | sort -u)" 0000000000000000
  same "$(nsenter -t "$SERVER_PID" -U --preserve-credentials stat -c %u "/proc/$SERVER_PID")" "$(instruction USER | cut -d : -f 1)"
  same "$(find image -type f)" image/ssechat
  ask /
  same "$STATUS" 200
  cmp answer.body "$ROOT/www/index.html"
  listen stream room=lobby
  accepts '{"message":"in a container"}'
  await_text stream "id: $ID"
  run -0 check_health
  stop_container
  await_end "$CLIENT_PID"
  same "$CLIENT_STATUS" 0

  [ -s data/chat.journal ]
  start_container
  ask /messages
  same "$(jq -r '.messages[].message' <<<"$BODY")" 'in a container'
  stop_container
}

@test "the health check says why a container is not well, and fails if nothing listens" {
  make_image
  start_container
  rm -rf data # where the journal cannot be written again
  eventually '! check_health'
  run -1 check_health
  contains "$output" journal
  stop_container
  mkdir data
  start_container --listen 127.0.0.1:8081
  run -1 check_health
  contains "$output" 127.0.0.1:8080
  stop_container
}

@test "process 1 reaps processes that have lost their parent" {
  local orphan
  make_image
  start_container
  mkfifo end
  exec {END}<>end
  nsenter -t "$SERVER_PID" -U --preserve-credentials -p sh -c '(cat <&4 >/dev/null 2>&1 &)' 4<end 3>&-
  eventually '[ "$(pgrep -c -P "$SERVER_PID")" = 1 ]'
  orphan=$(pgrep -P "$SERVER_PID")
  kill "$orphan"
  eventually '[ ! -e /proc/'"$orphan"' ]'
  ask /healthz
  same "$STATUS" 200
  stop_container
}

@test "the context has all files that the program is built from, and little else" {
  mkdir context
  tar -C "$ROOT" --exclude-from=<(sed '/^#/d; s|^\([^*]\)|./\1|' "$ROOT/.dockerignore") -c . | tar -C context -x
  env -u MAKEFLAGS -u MAKELEVEL -u CC -u CFLAGS make -s -j2 -C context -n ssechat
  same "$(cd context && find . -mindepth 1 -maxdepth 1 -type f ! -name '.*' ! -name '*.[ch]' | sort | xargs)" './LICENSE ./Makefile'
  between "$(du -sk context | cut -f 1)" 100 3000
}

# ---- The long form ----

# Runs buildah or podman with a storage of its own. crun accepts only the second version of control
# groups, so elsewhere it sees none of the first.
with_storage() { # buildah|podman ARGUMENTS...
  unshare -m bash -c '
    if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
      umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
    fi
    program=$1
    exec "$program" --storage-driver vfs --root "$PWD/storage" --runroot "$RUN" "${@:2}"
  ' bash "$@" 3>&- 2>errors || {
    cat errors
    return 1
  }
}

teardown() {
  [ ! -d storage ] || with_storage podman rm -f -t 0 chat || true
  [ -z "${RUN:-}" ] || rm -rf "$RUN"
  stop_all
}

@test "in the long form: buildah builds the image, and podman runs it" {
  local base options
  [ "${LONG:-}" = 1 ] || return 0
  [ "$(id -u)" = 0 ] || skip 'only root can build an image here'
  same "$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' "$ROOT/dist/Dockerfile")" debian:12
  mkdir debian
  debian_system debian bookworm # 12
  export RUN
  RUN=$(mktemp -d /tmp/run.XXXXXX) # podman accepts only a short name
  base=$(with_storage buildah from scratch)
  with_storage buildah add -q "$base" debian /
  with_storage buildah commit -q --rm "$base" docker.io/library/debian:12
  with_storage buildah bud --isolation chroot --network host --pull-never --format docker \
    -f "$ROOT/dist/Dockerfile" -t ssechat "$ROOT" >build.log
  between "$(with_storage podman image inspect ssechat | jq '.[0].Size')" 200000 500000

  mkdir data
  chown "$(instruction USER)" data
  options=(--network none --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=64:64
    --read-only --cap-drop ALL -v "$PWD/data:/data" --name chat)
  with_storage podman run -d "${options[@]}" ssechat --log-level debug
  SERVER_PID=$(with_storage podman inspect -f '{{.State.Pid}}' chat)
  inside() {
    nsenter -t "$SERVER_PID" -n "$@"
  }
  URL=http://127.0.0.1:8080
  eventually 'curl -sf "$URL/healthz"'
  ask /
  cmp answer.body "$ROOT/www/index.html"
  accepts '{"message":"in a container"}'
  with_storage podman healthcheck run chat
  with_storage podman stop -t 10 chat
  same "$(with_storage podman inspect -f '{{.State.ExitCode}}' chat)" 0
  contains "$(with_storage podman logs chat; cat errors)" 'info: drain'
  with_storage podman start chat
  SERVER_PID=$(with_storage podman inspect -f '{{.State.Pid}}' chat)
  eventually 'curl -sf "$URL/healthz"'
  ask /messages
  same "$(jq -r '.messages[].message' <<<"$BODY")" 'in a container'
}
