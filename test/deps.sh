#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages given that are not there yet: deps.sh PACKAGE...
# Silent when there is nothing to do, one line when there is.
set -eu

missing=
for package; do
	case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
	*' ok installed') ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "these packages are needed: apt-get install$missing" >&2
	exit 1
fi

echo "installing$missing ..." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Lists older than the mirror name files that are gone; a first failure is cured by new lists.
# shellcheck disable=SC2086
for attempt in 1 2 3; do
	if [ "$attempt" -gt 1 ] || [ -z "$(ls /var/lib/apt/lists/*_Packages* 2>/dev/null)" ]; then
		apt-get -q update >>"$log" 2>&1 || true
	fi
	if apt-get -q install -y --no-install-recommends $missing >>"$log" 2>&1; then
		exit 0
	fi
done
cat "$log" >&2
exit 1
