// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Info says what a profile does to a payload.
type Info struct {
	Arch         string   `json:"arch"`
	Instructions int      `json:"instructions"`
	Default      string   `json:"default"`           // the default action, with its errno
	Allowed      int      `json:"allowed"`           // system calls allowed with any argument
	Conditional  []string `json:"conditional"`       // decided by their arguments
	Refused      []string `json:"refused"`           // refused with any argument
	Unknown      []string `json:"unknown,omitempty"` // names of the profile that were skipped
}

// Summary describes a profile as compiled for the native instruction set of arch.
func Summary(s *specs.LinuxSeccomp, arch string) (Info, error) {
	filter, err := Compile(s, arch)
	if err != nil {
		return Info{}, err
	}
	p, err := parse(s, arch)
	if err != nil {
		return Info{}, err
	}
	info := Info{Arch: arch, Instructions: len(filter) / 8, Default: actionName(p.fallback), Unknown: p.unknown}
	native := p.sections[0]
	in := p.intervals(native)
	for i := range syscalls {
		nr, ok := native.isa.number(&syscalls[i])
		if !ok {
			continue
		}
		switch o := at(in, nr); {
		case len(o.rules) > 0:
			info.Conditional = append(info.Conditional, syscalls[i].name)
		case refuses(o.action):
			info.Refused = append(info.Refused, syscalls[i].name)
		default:
			info.Allowed++
		}
	}
	return info, nil
}

// at is the interval nr lies in.
func at(in []interval, nr uint32) interval {
	i := 0
	for i+1 < len(in) && in[i+1].start <= nr {
		i++
	}
	return in[i]
}

// String is the summary for people, one fact a line.
func (i Info) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d instructions for %s; otherwise %s\n", i.Instructions, i.Arch, i.Default)
	fmt.Fprintf(&b, "allowed: %d system calls\n", i.Allowed)
	fmt.Fprintf(&b, "by argument: %s\n", strings.Join(i.Conditional, " "))
	fmt.Fprintf(&b, "refused: %s\n", strings.Join(i.Refused, " "))
	if len(i.Unknown) > 0 {
		fmt.Fprintf(&b, "skipped, not known: %s\n", strings.Join(i.Unknown, " "))
	}
	return b.String()
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
