// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestNames(t *testing.T) {
	// The numbers are the kernel's: what lies around the ends and the gaps.
	for name, n := range map[string]int{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_KILL": unix.CAP_KILL, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_MKNOD": unix.CAP_MKNOD, "CAP_SETFCAP": unix.CAP_SETFCAP,
		"CAP_AUDIT_READ": unix.CAP_AUDIT_READ, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if s, err := ParseSet([]string{name}); err != nil || s != 1<<n {
			t.Errorf("%s: %v, %v, want bit %d", name, s, err, n)
		}
	}
	if len(names) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, the kernel has %d", len(names), unix.CAP_LAST_CAP+1)
	}
	s, err := ParseSet(All.Names())
	if err != nil || s != All {
		t.Errorf("all names: %v, %v", s, err)
	}
}

func TestSetString(t *testing.T) {
	for s, want := range map[Set]string{0: "none", All: "all", 1: "CAP_CHOWN", 3: "CAP_CHOWN CAP_DAC_OVERRIDE", All &^ 1: "all but CAP_CHOWN",
		1 | 1<<41: "CAP_CHOWN CAP_41"} {
		if got := s.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint64(s), got, want)
		}
	}
}

func TestParseSetSuggests(t *testing.T) {
	for name, want := range map[string]string{
		"CAP_SYS_ADMN": "CAP_SYS_ADMIN", "NET_RAW": "CAP_NET_RAW", "cap_chown": "CAP_CHOWN", "": "CAP_BPF", "CAP_MKNODE": "CAP_MKNOD",
	} {
		_, err := ParseSet([]string{name})
		if err == nil || !strings.Contains(err.Error(), "did you mean "+want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

func TestParseSets(t *testing.T) {
	a, b := []string{"CAP_CHOWN"}, []string{"CAP_KILL"}
	for name, c := range map[string]struct {
		in  *specs.LinuxCapabilities
		err string
	}{
		"none":                  {nil, ""},
		"all sets":              {&specs.LinuxCapabilities{Bounding: a, Effective: a, Inheritable: a, Permitted: a, Ambient: a}, ""},
		"effective":             {&specs.LinuxCapabilities{Bounding: a, Effective: a}, `"effective": CAP_CHOWN: is not in the permitted set`},
		"inheritable":           {&specs.LinuxCapabilities{Bounding: a, Inheritable: b}, `"inheritable": CAP_KILL: is not in the bounding set`},
		"ambient":               {&specs.LinuxCapabilities{Bounding: a, Inheritable: a, Ambient: a}, `"ambient": CAP_CHOWN: is not in the permitted set`},
		"ambient inheritable":   {&specs.LinuxCapabilities{Bounding: a, Permitted: a, Ambient: a}, `"ambient": CAP_CHOWN: is not in the inheritable set`},
		"unknown":               {&specs.LinuxCapabilities{Ambient: []string{"CAP_X"}}, `capabilities "ambient": unknown`},
		"permitted not bounded": {&specs.LinuxCapabilities{Permitted: a, Effective: a}, ""},
	} {
		_, err := ParseSets(c.in)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}
