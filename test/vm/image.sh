#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the test guest of one Debian release: image.sh 12|13 DIR
#
# DIR appears whole or not at all and holds
#   rootfs/     the guest's root as a directory (also booted in private namespaces)
#   disk.ext4   the same as a file system image, only ever opened read-only
#   vmlinuz     its kernel, and boot/: busybox and the modules needed to reach the disk, in order
# Deleting DIR at any time is safe: the next run builds it again. Needs root, mmdebstrap and e2fsprogs.
set -eu

release=$1 dir=$2

case $release in
12) suite=bookworm extra= ;;
13) suite=trixie extra=,runc,systemd-container,podman,netavark ;; # the last three to compare with
*) echo "image.sh: release $release: want 12 or 13" >&2; exit 2 ;;
esac
include=systemd-sysv,dbus,linux-image-cloud-amd64,busybox-static,nginx-light,crun,bubblewrap,iproute2,procps,systemd-oomd$extra

work=$dir.tmp.$$
root=$work/rootfs
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf --one-file-system "$dir".tmp.*
mkdir -p "$work/boot"
# umask decides the modes inside the guest; uid 0 there must be able to hand files to others.
umask 022
chmod 755 "$work"

# mirror prints the Debian mirror this machine's apt uses, or the public one.
mirror() {
	if [ -n "${SDCONTAINER_MIRROR:-}" ]; then echo "$SDCONTAINER_MIRROR"; return; fi
	apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 -E '/debian/?$' || echo http://deb.debian.org/debian
}

proxy=$(apt-config shell p Acquire::http::Proxy 2>/dev/null | sed "s/^p='\(.*\)'$/\1/")

# INITRD=No keeps the kernel's hook from building an initramfs: the harness makes its own, of busybox and few modules.
INITRD=No mmdebstrap --mode=root --variant=minbase --include="$include" \
	${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/gpu/*' \
	--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/*' \
	--setup-hook='mkdir -p "$1/usr/sbin" && printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"' \
	--quiet "$suite" "$root" "$(mirror)"

rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old

# What a guest never is or does: an initrd of systemd's, a TPM, sleep, updates, devices that come and go.
# Every unit costs an emulated PID 1 some 20 ms of each daemon-reload.
for unit in 'initrd*' '*tpm2*' '*pcr*' '*hibernate*' '*suspend*' '*sleep*' '*sysext*' '*confext*' '*importd*' '*hostnamed*' \
	'*battery*' '*bsod*' '*soft-reboot*' '*quota*' '*fsck*' '*growfs*' '*repart*' '*hwdb*' '*binfmt*' '*ask-password*' '*pstore*' \
	'*initctl*' '*creds.*' '*credentials.service' 'rescue*' 'emergency*' 'apt*' 'dpkg*' 'fstrim*' 'e2scrub*' '*networkd*' \
	'*rfkill*' '*backlight*' '*storagetm*' '*getty*' '*system-update*' '*machine-id-commit*' \
	'*firstboot*' 'nginx*' 'netavark*' 'podman-auto-update*' 'syslog*' '*udev-trigger*'; do
	find "$root/etc/systemd/system" "$root/usr/lib/systemd/system" -depth -name "$unit" -exec rm -rf {} +
done
rm -f "$root"/etc/systemd/system/*.wants/systemd-oomd.* # who needs it starts it
touch "$root/etc/.updated" "$root/var/.updated" # ldconfig and the like were run

# A second root for containers to run in: the same packages without the kernel.
machines=$root/var/lib/machines
mkdir -p "$work/debian"
tar -C "$root" --one-file-system --exclude=./boot --exclude='./usr/lib/modules' --exclude='./lib/modules' \
	--exclude=./vmlinuz --exclude='./initrd.img*' --exclude=./usr/bin/podman --exclude='./usr/lib*/podman' -cf - . | tar -C "$work/debian" -xpf -
mkdir -p "$machines" "$work/debian/boot"
chmod 700 "$machines" # as systemd-container would have it
mv "$work/debian" "$machines/debian"
echo container >"$machines/debian/etc/hostname"
mkdir -p "$machines/debian/srv/www"
echo '<h1>it works</h1>' >"$machines/debian/srv/www/index.html"

# And the smallest useful one.
bb=$machines/busybox
for d in bin dev etc proc root run sys tmp usr/bin var/tmp; do mkdir -p "$bb/$d"; done
chmod 1777 "$bb/tmp" "$bb/var/tmp"
chmod 700 "$bb/root"
cp "$root/bin/busybox" "$bb/bin/busybox"
for applet in $("$bb/bin/busybox" --list); do
	[ "$applet" = busybox ] || ln -s /bin/busybox "$bb/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000:app:/tmp:/bin/sh\n' >"$bb/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\napp:x:1000:\naudio:x:29:app\n' >"$bb/etc/group"
echo busybox >"$bb/etc/hostname"

# The guest itself: no login prompts, no timers, nothing that waits for a network.
echo sdvm >"$root/etc/hostname"
printf '127.0.0.1 localhost sdvm\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
printf '%s\n' 5dc0a1e5b0075dc0a1e5b0075dc0a1e5 >"$root/etc/machine-id"
# The monitor of a Go program wakes every 20 us, which an emulated processor has no time for.
mkdir -p "$root/etc/systemd/system.conf.d"
printf '[Manager]\nTimerSlackNSec=1ms\n' >"$root/etc/systemd/system.conf.d/sdvm.conf"

# What reaching the disk needs, in loading order.
kernel=$(basename "$root"/usr/lib/modules/* 2>/dev/null)
[ "$kernel" != '*' ] || kernel=$(basename "$root"/lib/modules/*)
cp "$root/boot/vmlinuz-$kernel" "$work/vmlinuz"
cp "$root/bin/busybox" "$work/boot/busybox"
n=10
for module in virtio_pci virtio_blk virtio_console ext4; do
	for ko in $(chroot "$root" modprobe --quiet --show-depends --set-version "$kernel" "$module" | awk '$1 == "insmod" { print $2 }'); do
		name=$(basename "$ko" | sed 's/\.ko.*//')
		[ -z "$(find "$work/boot" -name "??-$name.ko")" ] || continue
		case $ko in
		*.xz) xz -dc "$root$ko" >"$work/boot/$n-$name.ko" ;;
		*) cp "$root$ko" "$work/boot/$n-$name.ko" ;;
		esac
		n=$((n + 1))
	done
done
rm -f "$root"/boot/vmlinuz-* "$root"/boot/System.map-* "$root"/boot/initrd.img-* "$root"/vmlinuz* "$root"/initrd.img*

size=$(du -sm "$root" | cut -f1)
truncate -s $((size + size / 4 + 1024))M "$work/disk.ext4"
mkfs.ext4 -q -F -m 0 -L sdvm -O ^has_journal,^metadata_csum -E lazy_itable_init=1,nodiscard -d "$root" "$work/disk.ext4"

rm -rf --one-file-system "$dir"
mv "$work" "$dir"
