#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs as PID 1 of new PID, mount, UTS, IPC, network and cgroup namespaces and
# becomes systemd. LOWER is the root to show, SHARE a directory of the host, SOURCE the
# source tree, WORK an empty directory.
set -eu

mount --make-rprivate /
# Everything that is written lives in this tmpfs and goes with the mount namespace.
mount -t tmpfs -o mode=755 sdtest "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
mount -t overlay -o "lowerdir=$LOWER,upperdir=$WORK/upper,workdir=$WORK/work" sdtest "$WORK/root"
cd "$WORK/root"

mkdir -p proc sys dev run tmp etc/systemd/system etc/systemd/journald.conf.d
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=755,nosuid dev dev
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
	name=${node%%:*}
	number=${node#*:}
	mknod -m 666 "dev/$name" c "${number%:*}" "${number#*:}"
done
mkdir dev/pts dev/shm run/host run/host/sdtest
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5,nosuid,noexec devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
touch dev/console
mount --bind "$SHARE/console" dev/console
mount --bind "$SHARE" run/host/sdtest
mkdir -p ".$SOURCE"
mount --bind "$SOURCE" ".$SOURCE"
mount -o remount,bind,ro ".$SOURCE"

# The host's kernel is not ours to configure.
for unit in systemd-sysctl.service systemd-binfmt.service systemd-modules-load.service \
	systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
	proc-sys-fs-binfmt_misc.automount systemd-firstboot.service systemd-hwdb-update.service ldconfig.service \
	systemd-random-seed.service systemd-update-done.service systemd-update-utmp.service apparmor.service \
	networking.service keyboard-setup.service console-setup.service systemd-networkd.service systemd-resolved.service \
	systemd-timesyncd.service e2scrub_reap.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
	systemd-remount-fs.service systemd-logind.service getty.target; do
	ln -sf /dev/null "etc/systemd/system/$unit"
done
# No generator has a unit to write here, but podman's of the benchmark, and each reload would run them all, a dozen programs.
mkdir -p run/systemd/system-generators
for generator in usr/lib/systemd/system-generators/* etc/systemd/system-generators/*; do
	case $generator in */podman-*) continue ;; esac
	ln -sf /dev/null "run/systemd/system-generators/${generator##*/}"
done
rm -f etc/fstab
echo sdtest >etc/hostname
echo 5d7e571d5d7e571d5d7e571d5d7e571d >etc/machine-id
cat >etc/systemd/journald.conf.d/sdtest.conf <<END
[Journal]
Storage=volatile
RateLimitIntervalSec=0
ForwardToConsole=no
END
cat >etc/systemd/system/sdtest.target <<END
[Unit]
Description=Test system
Requires=sysinit.target
Wants=systemd-journald.service dbus.socket
After=sysinit.target systemd-journald.service dbus.socket
AllowIsolate=yes
END

mkdir run/old
pivot_root . run/old
cd /
umount -l run/old
rmdir run/old
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 container=sdtest \
	SDCONTAINER_BOOTED=1 NOTIFY_SOCKET=/run/host/sdtest/notify \
	/usr/lib/systemd/systemd --unit=sdtest.target --show-status=no </dev/null >/dev/console 2>&1
