#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# measure.sh SDVM PROGRAM DIR: what PROGRAM sees under the defaults of podman, docker and systemd-nspawn
# in Debian 13, as DIR/inside-*-13.txt. The guest is the usual one with docker, and with AppArmor, whose
# profiles are part of the defaults of podman and docker; it stays in the cache.
set -eu

sdvm=$1 program=$2 dir=$3
recipe=test/vm/image.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sdcontainer/inside-$(sha256sum test/inside/measure.sh | cut -c1-12)
image=$cache/sdcontainer/vm/13-$(sha256sum $recipe | cut -c1-12)
mkdir -p "$cache/sdcontainer/vm"
if [ ! -e "$image/disk.ext4" ]; then
	# Their services wait until they are wanted: under emulation each costs a minute of the boot.
	sed -e 's/,podman,netavark/&,nftables,docker.io,docker-cli,apparmor/' \
		-e '/etc\/\.updated/a for unit in docker.service docker.socket containerd.service apparmor.service; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done' \
		$recipe >"$cache/image.sh"
	if [ "$(grep -c -e docker.io -e docker.socket "$cache/image.sh")" != 2 ]; then
		echo "measure.sh: $recipe has no place any more for docker and its services: adapt the edits" >&2
		exit 1
	fi
	sh "$cache/image.sh" 13 "$image"
fi
XDG_CACHE_HOME=$cache "$sdvm" run 13 -push "$program=/root/inside" -push test/inside/guest.sh=/root/guest.sh -- /bin/sh /root/guest.sh >"$cache/out.tar"
# Several tars in a row.
tar -C "$dir" --ignore-zeros --no-same-owner -xvf "$cache/out.tar"
