#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Which lines and branches of the interpreter the tests reach: of its parser those without
# privilege, by gcov; of all of it those that run it, in the packages given and as root, by
# clang. Writes coverage.txt, one line for each, and what llvm-cov shows of every line to
# nsexec.cover. Usage: cover.sh OUTPUT-DIRECTORY PACKAGE...
#
# A counter that clang saves, because it follows from others, is wrong after a fork in which
# both sides go on: what comes after clone3 in SPAWN and clone in REAP counts as not reached.
set -eu
out=$(realpath "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
arch=$(go env GOARCH)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 711 "$tmp" # interpreters of other users map the counters too
counters=$tmp/counters

cd "$here/.."
echo "commit $(git describe --always --match= --abbrev=12 --dirty=+ 2>/dev/null || echo unknown)" >"$out/coverage.txt"
go test -count=1 -v -run '^TestParserCoverage$' ./nsexec >"$tmp/unit" || {
	cat "$tmp/unit"
	exit 1
}
sed -n 's/.* coverage parse.c, /parse.c, /p' "$tmp/unit" | tee -a "$out/coverage.txt"

cc() {
	clang -std=gnu11 -D_GNU_SOURCE "-DCOUNTERS=\"$counters\"" -O1 -fno-pie -Wno-unused-command-line-argument -fno-stack-protector -Wno-gnu "$@"
}
cd "$here/testdata"
cc -c -o "$tmp/first.o" page.c
cc -c -o "$tmp/last.o" page.c
for f in cover.c ../parse.c; do
	cc -ffreestanding -fno-builtin -fprofile-instr-generate -fcoverage-mapping -c -o "$tmp/$(basename "$f" .c).o" "$f"
done
objects="$tmp/first.o $tmp/cover.o $tmp/parse.o $tmp/last.o"

# shellcheck disable=SC2086
clang -static -nostdlib -Wl,-e,cover_start,--build-id=none -o "$tmp/nsexec" $objects
# In a program for this machine what the interpreter has of its own must not stand for libc's.
objcopy -L _start -L memcpy -L memset -L __stack_chk_fail -L __stack_chk_guard "$tmp/cover.o"
cc -c -o "$tmp/profile.o" profile.c
# shellcheck disable=SC2086
clang -no-pie -fprofile-instr-generate -o "$tmp/profile" $objects "$tmp/profile.o"

truncate -s "$(size -A "$tmp/nsexec" | awk '$1 == "__llvm_prf_cnts" {print $2}')" "$counters"
chmod 666 "$counters"
printf '{"Replace": {"%s": "%s"}}' "$here/bin/nsexec-$arch" "$tmp/nsexec" >"$tmp/overlay"
cd "$here/.."
CGO_ENABLED=0 SDCONTAINER_TIERS=root SDCONTAINER_MUST=root go test -count=1 -overlay "$tmp/overlay" "$@"

LLVM_PROFILE_FILE=$tmp/raw "$tmp/profile"
llvm-profdata merge -o "$tmp/profdata" "$tmp/raw"
cover() {
	llvm-cov "$@" "$tmp/nsexec" -instr-profile "$tmp/profdata" -ignore-filename-regex='cover\.c|sys\.h'
}
cover show -show-branches=count >"$out/nsexec.cover"
cover report | awk '$1 ~ /\.c$/ {
	sub(".*/", "", $1)
	printf "%s, tests that run it: %d of %d lines, %d of %d branches\n", $1, $8 - $9, $8, $11 - $12, $11
}' | tee -a "$out/coverage.txt"
