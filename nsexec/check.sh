#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Asserts on the built interpreter and its source. Usage: check.sh ARCH...
set -eu
cd "$(dirname "$0")"
status=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

wrong() {
	echo "check-c: $*" >&2
	status=1
}

# The linker's view of one binary.
check_artefact() {
	f=bin/nsexec-$1
	headers=$(readelf -lW "$f")
	! echo "$headers" | grep -q INTERP || wrong "$f: has a dynamic loader"
	! echo "$headers" | grep -q ' RWE ' || wrong "$f: a segment is writable and executable"
	echo "$headers" | grep -q 'GNU_STACK.* RW ' || wrong "$f: executable stack"
	if readelf -hW "$f" | grep -q 'Type:.*DYN'; then
		echo "$headers" | grep -q GNU_RELRO || wrong "$f: no RELRO"
	elif [ "$1" = amd64 ]; then
		wrong "$f: not position independent"
	fi
	readelf -nW "$f" | grep -qE 'IBT, SHSTK|BTI, PAC' || wrong "$f: not marked for control-flow protection"
	readelf -rW "$f" | grep -qi 'no relocations' || wrong "$f: has relocations, and nobody to apply them"
	! readelf -dW "$f" | grep -q NEEDED || wrong "$f: needs a library"
	size=$(stat -c %s "$f")
	[ "$size" -le 32768 ] || wrong "$f: $size bytes, at most 32768"
	echo "$f: $size bytes"
}

# The same source gives the same bytes; and nothing but its own names are in them.
check_rebuild() {
	mkdir -p "$tmp/$1"
	make -s BIN="$tmp/$1" "$tmp/$1/nsexec-$1" >/dev/null
	cmp "bin/nsexec-$1" "$tmp/$1/nsexec-$1" || wrong "bin/nsexec-$1: a rebuild differs"
	rm "$tmp/$1/nsexec-$1"
	make -s BIN="$tmp/$1" STRIP= "$tmp/$1/nsexec-$1" >/dev/null
	[ -z "$(nm -u "$tmp/$1/nsexec-$1")" ] || wrong "nsexec-$1: undefined symbols"
	# The linker drops it where no function refers to it.
	nm "$tmp/$1/nsexec-$1" | grep -q ' __stack_chk_fail$' || wrong "nsexec-$1: no function has a stack protector"
	# Allowed: what the source defines, and what the linker does.
	nm "$tmp/$1/nsexec-$1" | awk '{print $NF}' | sed 's/\.\(part\|isra\|constprop\|cold\)\.*[0-9]*$//' | sort -u |
		while read -r name; do
			case $name in
			_DYNAMIC | _GLOBAL_OFFSET_TABLE_ | __bss_start* | _bss_end__ | __bss_end__ | _edata | _end | __end__ | _start | \$[xd]* | *.c) ;;
			malloc | calloc | realloc | free | alloca | *printf* | system | popen | exec[lv]p* | dlopen | getpw* | getenv | strtok)
				echo "$name" ;;
			*) grep -qw "$(echo "$name" | sed 's/\.[0-9]*$//')" nsexec.c parse.c nsexec.h sys.h || echo "$name" ;;
			esac
		done >"$tmp/names"
	[ ! -s "$tmp/names" ] || wrong "nsexec-$1: not allowed: $(tr '\n' ' ' <"$tmp/names")"
}

# At most 400 lines of code, without comments and blank lines, and 40 lines a function with all.
check_source() {
	lines=0
	for f in nsexec.c parse.c nsexec.h sys.h; do
		n=$(gcc -fpreprocessed -dD -E -P "$f" | grep -c .)
		lines=$((lines + n))
	done
	[ "$lines" -le 400 ] || wrong "$lines lines of C, at most 400"
	echo "$lines lines of C"
	long=$(awk '/^[a-z_].*\{$/ {name = $0; from = FNR}
		/^}/ && name {if (FNR - from + 1 > 40) print FILENAME ": " name " " FNR - from + 1; name = ""}' nsexec.c parse.c)
	[ -z "$long" ] || wrong "longer than 40 lines: $long"
	! grep -nE '\b(malloc|getenv|environ|printf|alloca|goto)\b' nsexec.c parse.c || wrong "not allowed in the source"
	wide=$(awk 'length > 132 {print FILENAME ":" FNR}' nsexec.c parse.c nsexec.h sys.h)
	[ -z "$wide" ] || wrong "lines too wide: $wide"
}

check_source
for arch; do
	check_artefact "$arch"
	check_rebuild "$arch"
done
exit $status
