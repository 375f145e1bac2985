// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// summary describes a profile in words, one fact a line, as compiled to filter for the
// native instruction set of arch.
func summary(t *testing.T, s *specs.LinuxSeccomp, arch string, filter []byte) string {
	t.Helper()
	p, err := parse(s, arch)
	if err != nil {
		t.Fatal(err)
	}
	var allowed int
	var conditional, refused []string
	native := p.sections[0]
	in := p.intervals(native)
	for i := range syscalls {
		nr, ok := native.isa.number(&syscalls[i])
		if !ok {
			continue
		}
		switch o := at(in, nr); {
		case len(o.rules) > 0:
			conditional = append(conditional, syscalls[i].name)
		case refuses(o.action):
			refused = append(refused, syscalls[i].name)
		default:
			allowed++
		}
	}
	return fmt.Sprintf("%d instructions for %s; otherwise %s\nallowed: %d system calls\nby argument: %s\nrefused: %s\n",
		len(filter)/8, arch, actionName(p.fallback), allowed, strings.Join(conditional, " "), strings.Join(refused, " "))
}

// at is the interval nr lies in.
func at(in []interval, nr uint32) interval {
	i := 0
	for i+1 < len(in) && in[i+1].start <= nr {
		i++
	}
	return in[i]
}

// actionName is an action value as people write it.
func actionName(v uint32) string {
	data := v & unix.SECCOMP_RET_DATA
	switch v & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "kill process"
	case unix.SECCOMP_RET_KILL_THREAD:
		return "kill thread"
	case unix.SECCOMP_RET_TRAP:
		return "trap"
	case unix.SECCOMP_RET_ERRNO:
		if name := unix.ErrnoName(unix.Errno(data)); name != "" {
			return "errno " + name
		}
		return fmt.Sprintf("errno %d", data)
	case unix.SECCOMP_RET_TRACE:
		return fmt.Sprintf("trace %d", data)
	case unix.SECCOMP_RET_LOG:
		return "log"
	}
	return "allow"
}
