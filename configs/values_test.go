// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// refused stands for an error.
type refused struct{}

func TestParsers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parse parser
		in    any
		want  any
	}{
		{"size", parseSize, "512M", Size{Bytes: 512 << 20}},
		{"size", parseSize, "1.5G", Size{Bytes: 3 << 29}},
		{"size", parseSize, "2KiB", Size{Bytes: 2048}},
		{"size", parseSize, "2kb", Size{Bytes: 2048}},
		{"size", parseSize, "7", Size{Bytes: 7}},
		{"size", parseSize, "7B", Size{Bytes: 7}},
		{"size", parseSize, int64(0), Size{}},
		{"size", parseSize, "50%", Size{Percent: 50}},
		{"size", parseSize, "infinity", Size{Bytes: Infinity}},
		{"size", parseSize, "101%", refused{}},
		{"size", parseSize, "-1", refused{}},
		{"size", parseSize, int64(-1), refused{}},
		{"size", parseSize, "1..5G", refused{}},
		{"size", parseSize, "9000P", refused{}},
		{"size", parseSize, "M", refused{}},
		{"size", parseSize, "5 M", refused{}},
		{"size", parseSize, "5IB", refused{}},
		{"size", parseSize, 1.5, refused{}},
		{"bytes", parseBytes, "50%", refused{}},
		{"bytes", parseBytes, "1K", uint64(1024)},
		{"rate", parseRate, "0", refused{}},
		{"rate", parseRate, "20M", uint64(20 << 20)},
		{"span", parseSpan, "1min 30s", 90 * time.Second},
		{"span", parseSpan, "1h2m3s", time.Hour + 2*time.Minute + 3*time.Second},
		{"span", parseSpan, "500ms", 500 * time.Millisecond},
		{"span", parseSpan, "250us", 250 * time.Microsecond},
		{"span", parseSpan, "1.5 s", 1500 * time.Millisecond},
		{"span", parseSpan, int64(5), 5 * time.Second},
		{"span", parseSpan, 0.5, 500 * time.Millisecond},
		{"span", parseSpan, "2 weeks", 14 * 24 * time.Hour},
		{"span", parseSpan, "5", 5 * time.Second},
		{"span", parseSpan, "infinity", maxSpan},
		{"span", parseSpan, "10 parsecs", refused{}},
		{"span", parseSpan, "", refused{}},
		{"span", parseSpan, "s", refused{}},
		{"span", parseSpan, int64(-1), refused{}},
		{"span", parseSpan, "-1s", refused{}},
		{"span", parseSpan, "999999 weeks", refused{}},
		{"quota", parseQuota, "150%", uint64(1500000)},
		{"quota", parseQuota, "1%", uint64(10000)},
		{"quota", parseQuota, "infinity", uint64(Infinity)},
		{"quota", parseQuota, "0%", refused{}},
		{"quota", parseQuota, "1.5", refused{}},
		{"quota", parseQuota, int64(2), refused{}},
		{"count", parseCount, int64(5), Size{Bytes: 5}},
		{"count", parseCount, "5", Size{Bytes: 5}},
		{"count", parseCount, "15%", Size{Percent: 15}},
		{"count", parseCount, "infinity", Size{Bytes: Infinity}},
		{"count", parseCount, int64(0), refused{}},
		{"count", parseCount, "5K", refused{}},
		{"weight", parseWeight, int64(10000), uint64(10000)},
		{"weight", parseWeight, "200", uint64(200)},
		{"weight", parseWeight, "idle", idleWeight},
		{"weight", parseWeight, int64(10001), refused{}},
		{"weight", parseWeight, int64(0), refused{}},
		{"io weight", parseIOWeight, "idle", refused{}},
		{"cpus", parseCPUs, "0-3,8", "0-3,8"},
		{"cpus", parseCPUs, "3-0", refused{}},
		{"cpus", parseCPUs, "", refused{}},
		{"cpus", parseCPUs, "1,", refused{}},
		{"cpus", parseCPUs, "0, 1", refused{}},
		{"cpus", parseCPUs, "8191", "8191"},
		{"cpus", parseCPUs, "0-8192", refused{}},
		{"mode", parseMode, "0755", uint32(0o755)},
		{"mode", parseMode, "0855", refused{}},
		{"mode", parseMode, int64(755), refused{}},
		{"share", parseShare, "60%", 60.0},
		{"share", parseShare, "60", refused{}},
		{"rlimit", parseRlimit, int64(5), [2]uint64{5, 5}},
		{"rlimit", parseRlimit, "5:infinity", [2]uint64{5, Infinity}},
		{"rlimit", parseRlimit, "6:5", refused{}},
		{"rlimit", parseRlimit, "infinity:5", refused{}},
		{"rlimit", parseRlimit, []any{}, refused{}},
		{"networks", parseAddresses, []any{"10.1.2.3/8", "::1"}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		{"networks", parseAddresses, []any{"localhost"}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		{"networks", parseAddresses, []any{"example.org"}, refused{}},
		{"networks", parseAddresses, []any{"fe80::1%eth0"}, refused{}},
		{"networks", parseAddresses, "any", refused{}},
		{"ids", parseIDs, []any{int64(0), int64(10)}, []uint32{0, 10}},
		{"ids", parseIDs, []any{int64(1<<32 - 1)}, refused{}},
		{"ids", parseIDs, "10", refused{}},
		{"namespace", orPath("private", "host").parse, "path:/proc/1/ns/net", "path:/proc/1/ns/net"},
		{"namespace", orPath("private", "host").parse, "path:relative", refused{}},
		{"access", parseAccess, "rwm", "rwm"},
		{"access", parseAccess, "x", refused{}},
		{"level", parseLevel, "warning", 4},
		{"level", parseLevel, "loud", refused{}},
		{"property", parseProperty, int64(5), "5"},
		{"property", parseProperty, "word's", `'word\'s'`},
		{"property", parseProperty, "uint64 7", "uint64 7"},
		{"property", parseProperty, []any{"x", "y"}, "['x', 'y']"},
		{"property", parseProperty, true, "true"},
		{"property", parseProperty, "[('/dev/sda', 5)]", "[('/dev/sda', 5)]"},
		{"property", parseProperty, map[string]any{}, refused{}},
		{"directive", parseDirective, "x", []string{"x"}},
		{"directive", parseDirective, []any{"y", "z"}, []string{"y", "z"}},
		{"directive", parseDirective, int64(1), []string{"1"}},
		{"directive", parseDirective, []any{"y", int64(1)}, refused{}},
		{"string", parseString, "a\x00b", refused{}},
		{"strings", parseStrings, []any{"a", int64(1)}, refused{}},
	} {
		got, err := tt.parse(tt.in)
		if err != nil {
			got = refused{}
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s %#v:\n%s", tt.name, tt.in, diff)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]unix.Signal{
		"SIGTERM": 15, "term": 15, "15": 15, "SIGRTMIN+3": 37, "RTMIN": 34, "SIGRTMAX-1": 63, "SIGRTMAX": 64,
		"SIGNOTHING": 0, "0": 0, "65": 0, "SIGRTMIN-1": 0, "SIGRTMAX+1": 0, "SIGRTMIN+x": 0, "": 0,
	} {
		got, err := ParseSignal(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"memory", "max", "swap_max", "high"}
	for in, want := range map[string]string{"memroy": "memory", "mx": "max", "swapmax": "swap_max", "something": "", "hihg": "high"} {
		if got := Nearest(in, words); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSpecifiers(t *testing.T) {
	expand := specifiers("web")
	for in, want := range map[string]string{"plain": "plain", "%n-%N-%p-%i": "web-web-web-web", "100%%": "100%", "%%n": "%n", "%T/x": "/tmp/x"} {
		if got, err := expand(in); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for bad, want := range map[string]string{"%": "ends in %", "a%": "ends in %", "%Q": "unknown specifier %Q: known are %n ", "% n": "unknown specifier % ",
		"%d/x": "%d: credentials come in a later version", "%y": "unknown", "%r": "unknown", "%1": "unknown"} {
		if got, err := expand(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want %s", bad, got, err, want)
		}
	}
	seen := map[byte]bool{}
	for _, s := range Specifiers() {
		if seen[s.Letter] {
			t.Errorf("%%%c is there twice", s.Letter)
		}
		seen[s.Letter] = true
	}
}

// What a name stands for as a path; systemd refuses the same ones.
func TestSpecifiersOfNames(t *testing.T) {
	for name, want := range map[string]string{"web": "web web /web", "a-b_c": "a/b_c b_c /a/b_c", "a-.b": "a/.b .b /a/.b", "a--b": "", "a-": "", "a-..": "", "a-.": "", "a-.-b": "", "x-..-..-etc": ""} {
		got, err := specifiers(name)("%P %j %f")
		if got != want || (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), "stands for no path") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestAssigned(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	text := "# A=1\nA='x \"y\"'\n B=\"5\\\"\\$\\\\\"\nC=\nD=one\nD=two\nAB=no\nE='\nF=\"\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"A": `x "y"`, "B": `5"$\`, "C": "", "D": "two", "E": "'", "F": "", "NONE": ""} {
		if got, err := assigned(file, field); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", field, got, err, want)
		}
	}
	if _, err := assigned(file+".none", "A"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("root:x:0:0:root:/root:/bin/x\nbad\nu:x:7:8::/home/u:/bin/zsh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"7": "u /bin/zsh", "8": " "} {
		name, err := account(file, id, 0)
		shell, err2 := account(file, id, 6)
		if got := name + " " + shell; got != want || err != nil || err2 != nil {
			t.Errorf("%s: %q, %v, %v", id, got, err, err2)
		}
	}
}

func TestSystemdArch(t *testing.T) {
	for machine, want := range map[string]string{"x86_64": "x86-64", "aarch64": "arm64", "i686": "x86", "armv7l": "arm", "ppc64le": "ppc64-le", "riscv64": "riscv64", "s390x": "s390x"} {
		if got := systemdArch(machine); got != want {
			t.Errorf("%s: %s, want %s", machine, got, want)
		}
	}
}

// No text makes a parser panic, and what one accepts it accepts again from the
// same text.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{"512M", "50%", "1min 30s", "0-3,8", "SIGRTMIN+3", "10.0.0.0/8", "path:/x", "5:6", "0:100000:65536", "dir:0755:0:0", "%n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range Keys() {
			kind := &k.Kind
			if kind.elem != nil {
				kind = kind.elem
			}
			for _, v := range []any{s, []any{s}, map[string]any{s: s}} {
				got, err := kind.parse(v)
				if (got == nil) == (err == nil) {
					t.Fatalf("%s %q: %v, %v", k.Path, s, got, err)
				}
			}
		}
		if d, ok := spanOf(s); ok && d < 0 {
			t.Fatalf("%q is %v", s, d)
		}
		if n, err := bytesOf(s); err == nil && n > 1<<63 {
			t.Fatalf("%q is %d", s, n)
		}
		if m, ok := parseIDMap(s); ok && !validMap(m) {
			t.Fatalf("%q is %v", s, m)
		}
		_, _ = specifiers("x")(s)
	})
}
