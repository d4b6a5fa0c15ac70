# shellcheck shell=bash
# A small Debian in a folder that boots with a real systemd, in a container of systemd-nspawn: only
# root can start one. It needs no systemd on this machine. Load this after debian.bash.
#
# The container has its own control group, so that it does not matter what else runs here, and a
# network of its own with nothing but the loopback address.
#
# All tests of a suite share a container: BOX is its folder, BOX_PID systemd-nspawn, BOX_LEADER its
# process 1, and BOX_GROUP the name of its control group. setup_file exports them.

# Prints the hierarchies of control groups in which systemd keeps its groups.
box_hierarchies() {
  local folder
  for folder in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ ! -e "$folder/cgroup.procs" ] || echo "$folder"
  done
}

# Boots the system in FOLDER, and waits until all is started; its console is in the file FOLDER.console.
box_boot() { # FOLDER
  local folder tries state=''
  BOX=$1 BOX_GROUP=ssechat-box-$$
  (
    for folder in $(box_hierarchies); do
      mkdir -p "$folder/$BOX_GROUP"
      echo "$BASHPID" >"$folder/$BOX_GROUP/cgroup.procs"
    done
    exec systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$BOX" --boot
  ) </dev/null >"$BOX.console" 2>&1 3>&- &
  BOX_PID=$!
  for ((tries = 0; tries < 600; tries++)); do
    BOX_LEADER=$(pgrep -P "$BOX_PID" -x systemd) || true
    [ -z "$BOX_LEADER" ] || state=$(in_box systemctl is-system-running 2>/dev/null) || true
    case $state in
    running | degraded) return 0 ;;
    esac
    sleep 0.2
  done
  cat "$BOX.console"
  return 1
}

# Runs a command in the container.
in_box() {
  nsenter -t "${BOX_LEADER:?}" --mount --uts --ipc --net --pid --root --wd -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@"
}

# Shuts the container down, and removes its control group.
box_end() {
  local folder tries
  [ -n "${BOX_PID:-}" ] || return 0
  kill "$BOX_PID" 2>/dev/null || true
  for ((tries = 0; tries < 300; tries++)); do
    kill -0 "$BOX_PID" 2>/dev/null || break
    sleep 0.1
  done
  kill -s KILL "$BOX_PID" 2>/dev/null || true
  for folder in $(box_hierarchies); do
    find "$folder/$BOX_GROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
