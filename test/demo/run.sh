#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The host's half of `make demo`: run.sh SDVM STAGE
#
# Boots the Debian 13 guest, copies the staged installation and the examples
# into it and runs demo.sh there. With HOST=1 demo.sh runs on this machine
# instead, which must run systemd with unified cgroups. The command and the guest's two
# roots are copied to a directory of their own and the units to /run, and all
# of it is removed again. ROOTS=DIR names roots that are here already.
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
if grep -qE '^ *[0-9]+: [0-9A-F]+:1F90 [0-9A-F:]+ 0A ' /proc/net/tcp /proc/net/tcp6; then
	echo "HOST=1: somebody listens on port 8080, which the web server wants" >&2
	exit 1
fi

work=$(mktemp -d /var/tmp/sdcontainer-demo.XXXXXX)
units=
[ ! -e /run/sdcontainer ] && records=/run/sdcontainer || records=
systemctl -q is-active sdcontainer.slice && slice= || slice=sdcontainer.slice
tidy() {
	# The demo has removed its own; others' may have come meanwhile.
	[ -z "$("$work/bin/sdcontainer" ps -aq 2>/dev/null)" ] || slice='' records=''
	[ -z "$slice" ] || systemctl stop "$slice" >/dev/null 2>&1
	for unit in $units; do rm -f "/run/systemd/system/$unit"; done
	systemctl daemon-reload
	[ -z "$records" ] || rm -rf --one-file-system "$records"
	rm -rf --one-file-system "$work"
}
trap tidy EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"

if [ -n "${ROOTS:-}" ]; then
	ROOTS=$(realpath "$ROOTS")
	"$here/../deps.sh" busybox-static procps
else
	"$here/../deps.sh" busybox-static procps mmdebstrap e2fsprogs xz-utils debian-archive-keyring
	"$sdvm" build 13
	ROOTS=$work/roots
	cp -a --reflink=auto "$("$sdvm" dir 13)/rootfs/var/lib/machines" "$ROOTS" # containers may write to them
fi
for root in busybox debian; do
	[ -d "$ROOTS/$root" ] || { echo "HOST=1: no $ROOTS/$root" >&2; exit 1; }
done

install -D "$stage/usr/bin/sdcontainer" "$work/bin/sdcontainer"
cp -r "$here/../../configs/examples" "$work/examples"
sed -i "s,/var/lib/machines,$ROOTS," "$work/examples/hello.toml" "$work/examples/web.toml"
mkdir -p /run/systemd/system
for file in "$stage"/usr/lib/systemd/system/*; do
	unit=$(basename "$file")
	! systemctl cat "$unit" >/dev/null 2>&1 || continue # this machine has its own
	units="$units $unit"
	sed "s,/usr/bin/sdcontainer,$work/bin/sdcontainer," "$file" >"/run/systemd/system/$unit"
done
systemctl daemon-reload
PATH=$work/bin:$PATH sh "$here/demo.sh" "$work/examples" "$ROOTS"
