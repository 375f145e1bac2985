#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The host's half of `make demo`: run.sh SDVM STAGE
#
# Boots the Debian 13 guest, copies the staged installation and the examples
# into it and runs demo.sh there. With HOST=1 demo.sh runs on this machine
# instead, which must run systemd with unified cgroups, have sdcontainer installed
# and the two roots in /var/lib/machines.
set -eu

sdvm=$1 stage=$2
here=$(dirname "$0")

case ${HOST:-} in
'' | 0)
	"$here/../deps.sh" qemu-system-x86 mmdebstrap e2fsprogs xz-utils debian-archive-keyring
	"$sdvm" build 13
	echo "booting Debian 13 (a few seconds with KVM, about 20 without) ..."
	exec "$sdvm" run 13 -timeout 8m -push "$stage=/" -push configs/examples=/root/demo \
		-push "$here/demo.sh=/root/demo.sh" -- sh /root/demo.sh /root/demo
	;;
esac

[ "$(id -u)" -eq 0 ] || { echo "HOST=1 needs root" >&2; exit 1; }
if [ "$(cat /proc/1/comm)" != systemd ] || [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
	echo "HOST=1: this machine does not run systemd with unified cgroups" >&2
	exit 1
fi
for root in busybox debian; do
	[ -d "/var/lib/machines/$root" ] || {
		echo "HOST=1: /var/lib/machines/$root is missing; test/vm/image.sh shows how the guest's is made" >&2
		exit 1
	}
done
command -v sdcontainer >/dev/null || { echo "HOST=1: run make install first" >&2; exit 1; }
exec sh "$here/demo.sh" configs/examples
