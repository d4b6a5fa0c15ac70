#!/usr/bin/env bats
# The service on a machine of its own: Debian's kernel and systemd boot in qemu, which emulates the
# processor, from a file system with the package. What a container cannot show is shown here: the
# unified control groups, with a limit of memory and a filter of addresses, and the descriptors that
# the unit asks for. boot.bats tests the rest, in less time.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
#
# seconds: 180
# build: plain
# long: a virtual machine
# only: long

bats_require_minimum_version 1.5.0
load lib/helper
load lib/debian

# Unpacks Debian's kernel for virtual machines and busybox into the folder `kernel`.
get_kernel() {
  local package file
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
  mkdir -p kernel debs
  (cd debs && apt-get -qq -o APT::Sandbox::User=root download "$package" busybox-static)
  for file in debs/*.deb; do
    dpkg-deb -x "$file" kernel
  done
}

# Makes the file `initrd`: it loads the driver of the disk, and starts systemd from there.
make_initrd() {
  mkdir -p initrd/{bin,modules,proc,sys,dev,new}
  cp kernel/bin/busybox initrd/bin
  find kernel/lib/modules -regextype egrep -regex '.*/virtio(_ring|_pci|_blk|_pci_modern_dev|_pci_legacy_dev)?\.ko' \
    -exec cp -t initrd/modules {} +
  cat >initrd/init <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
# Three rounds, because they depend on each other.
for round in 1 2 3; do
  for module in /modules/*.ko; do
    /bin/busybox insmod $module 2>/dev/null
  done
done
until [ -e /dev/vda ]; do
  /bin/busybox sleep 0.1
done
/bin/busybox mount -t ext4 /dev/vda /new
exec /bin/busybox switch_root /new /lib/systemd/systemd
END
  chmod 755 initrd/init
  (cd initrd && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) >initrd.cpio
}

# Makes the file `disk`: a Debian with the package, which runs `inside` when it has booted.
make_disk() { # DEB
  local wants=disk.root/etc/systemd/system/multi-user.target.wants
  mkdir disk.root
  debian_system disk.root '' systemd-sysv,curl
  dpkg-deb --fsys-tarfile "$1" | tar -C disk.root -x --keep-directory-symlink
  cp inside disk.root/root/inside
  chmod 755 disk.root/root/inside
  cat >disk.root/etc/systemd/system/inside.service <<'END'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/root/inside
ExecStopPost=/bin/systemctl --no-block poweroff -f
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
END
  mkdir -p "$wants"
  ln -s ../inside.service "$wants/inside.service"
  truncate -s 800M disk
  mke2fs -q -t ext4 -d disk.root disk
}

@test "on a machine of its own the service is enabled, confined, limited, watched, and keeps its messages" {
  [ "$(id -u)" = 0 ] || skip 'only root can make the file system'
  [ "$(uname -m)" = x86_64 ] || skip 'the kernel is for x86-64'
  copy_source source
  cat >inside <<'END'
#!/bin/bash
export SYSTEMD_COLORS=0 SYSTEMD_PAGER=
property() { systemctl show --value -p "$1" ssechat; }
say() { echo "seen: $*"; }
say kernel "$(uname -r)"
say cgroups "$(stat -fc %T /sys/fs/cgroup)"
systemctl enable --now ssechat
say state "$(systemctl is-enabled ssechat) $(systemctl is-active ssechat)"
systemctl status --no-pager -n 0 ssechat
say limit "$(sed -n 's/^Max open files *\([0-9]*\) .*/\1/p' "/proc/$(property MainPID)/limits")"
say memory "$(cat /sys/fs/cgroup/system.slice/ssechat.service/memory.peak)"
say tasks "$(cat /sys/fs/cgroup/system.slice/ssechat.service/pids.max)"
say posted "$(curl -s -o /dev/null -w '%{http_code}' localhost:8080/messages -H 'Content-Type: application/json' -d '{"message":"hello"}')"
mkdir -p /etc/systemd/system/ssechat.service.d
cat >/etc/systemd/system/ssechat.service.d/limits.conf <<'DROPIN'
[Service]
WatchdogSec=4s
MemoryMax=64M
IPAddressDeny=any
IPAddressAllow=127.0.0.1
Environment=SSECHAT_LISTEN=0.0.0.0:8080
DROPIN
systemctl daemon-reload
systemctl restart ssechat
ip=127.0.0.2
say allowed "$(curl -s -m 20 -o /dev/null -w '%{http_code}' 127.0.0.1:8080/healthz)"
say denied "$(curl -s -m 5 -o /dev/null -w '%{http_code}' --interface $ip 127.0.0.1:8080/healthz)"
say hint "$(journalctl -u ssechat -o cat --no-pager | grep -c 'memory hint=.*control group')"
kill -STOP "$(property MainPID)"
for _ in {1..60}; do
  [ "$(property NRestarts) $(property ActiveState)" != '1 active' ] || break
  sleep 1
done
say restarts "$(property NRestarts) $(property ActiveState)"
say held "$(curl -s localhost:8080/messages | grep -o '"message":"hello"')"
say "$(systemd-analyze security --no-pager ssechat | tail -n 1 | tr -cd 'A-Za-z0-9 .:')"
systemctl stop ssechat
say stopped "$(property Result)"
say end
END
  get_kernel
  make_initrd
  make_disk "source/$(make_deb source)"
  timeout 500 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 768 -nic none -nographic -no-reboot \
    -kernel kernel/boot/vmlinuz* -initrd initrd.cpio -append 'console=ttyS0 quiet panic=-1 systemd.show_status=0' \
    -drive file=disk,if=virtio,format=raw </dev/null 2>&1 3>&- | tr -d '\r' >console
  mapfile -t lines < <(sed -n 's/^seen: //p' console)
  printf '# %s\n' "${lines[@]}" >&3
  grep -qx 'seen: end' console || cat console
  for line in 'cgroups cgroup2fs' 'state enabled active' 'limit 65536' 'tasks 8' 'posted 201' 'allowed 200' 'denied 000' \
    'restarts 1 active' 'held "message":"hello"' 'stopped success' end; do
    grep -qxF "seen: $line" console || {
      printf 'not seen: %s\n' "$line"
      return 1
    }
  done
  between "$(sed -n 's/^seen: memory //p' console)" 100000 8000000
  between "$(sed -n 's/^seen: hint //p' console)" 1 10
}
