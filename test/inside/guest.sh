#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs in the guest that measure.sh made: /root/inside, the program of TestB23SeenFromInside, under
# the defaults of systemd-nspawn, podman and docker. What it says comes out as tars of inside-NAME-13.txt.
set -eu
exec 3>&1 >&2 </dev/null

root=/var/lib/machines/busybox
cd "$(mktemp -d)"
set -- inside
for kind in cgroup ipc mnt net pid time user uts; do
	set -- "$@" "$(readlink /proc/self/ns/$kind)"
done

# keep NAME PACKAGES COMMAND...: what the command says, below the versions of the packages.
keep() {
	file=inside-$1-13.txt packages=$2
	shift 2
	{
		echo '# measured with'
		# shellcheck disable=SC2086
		dpkg-query -W -f '${Package} ${Version}\n' $packages
		timeout 600 "$@"
	} >"$file" || { echo "$file: $? from $*"; return 0; }
	# The terminal that nspawn makes ends lines as terminals do, and echoes what TIOCSTI put into it. Peer groups have other numbers each time.
	sed -i -E -e 's/\r$//' -e 's/ (shared|master):[0-9]+/ \1:N/g' -e 's/^.+# status$/# status/' -e 's/^(HOSTNAME|container_uuid)=.*/\1=N/' "$file"
	echo "$file: $(wc -l <"$file") lines"
	tar -cf - "$file" >&3
}

tar -C $root -cf - . | podman import -q - busybox
keep podman 'podman crun netavark apparmor' podman run --rm -v /root/inside:/inside:ro busybox /inside "$@"

cp -a $root busybox
keep nspawn systemd-container systemd-nspawn --quiet -D "$PWD/busybox" --bind-ro=/root/inside:/inside /inside "$@"

systemctl unmask docker.service docker.socket containerd.service
systemctl start docker.service
tar -C $root -cf - . | docker import - busybox
keep docker 'docker.io containerd runc apparmor' docker run --rm -v /root/inside:/inside:ro busybox /inside "$@"
