// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

// An Rlimit is one resource limit. The parent sets it with prlimit(2) just
// before the payload is released: raising a limit needs privileges on the host, and
// a low one would hit the set-up.
type Rlimit struct {
	Resource   int
	Name       string
	Soft, Hard uint64
}

var resources = sync.OnceValue(func() map[string]int {
	return map[string]int{
		"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA,
		"RLIMIT_STACK": unix.RLIMIT_STACK, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
		"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
		"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
		"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
		"RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	}
})

// Rlimits understands the process's resource limits.
func Rlimits(list []specs.POSIXRlimit) ([]Rlimit, error) {
	var out []Rlimit
	for _, l := range list {
		r, ok := resources()[l.Type]
		switch {
		case !ok:
			return nil, fmt.Errorf("rlimit %q: want one of %s", l.Type, strings.Join(slices.Sorted(maps.Keys(resources())), ", "))
		case l.Soft > l.Hard:
			return nil, fmt.Errorf("rlimit %s: soft limit %d above hard limit %d", l.Type, l.Soft, l.Hard)
		case slices.ContainsFunc(out, func(o Rlimit) bool { return o.Resource == r }):
			return nil, fmt.Errorf("rlimit %s is given twice", l.Type)
		}
		out = append(out, Rlimit{r, l.Type, l.Soft, l.Hard})
	}
	return out, nil
}

func oomScore(v *int) (*int, error) {
	if v != nil && (*v < -1000 || *v > 1000) {
		return nil, fmt.Errorf("oomScoreAdj %d: want -1000 to 1000", *v)
	}
	return v, nil
}

var policies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04,
	specs.SchedFlagKeepPolicy: 0x08, specs.SchedFlagKeepParams: 0x10,
	specs.SchedFlagUtilClampMin: 0x20, specs.SchedFlagUtilClampMax: 0x40,
}

func scheduler(s *specs.Scheduler) (*unix.SchedAttr, error) {
	if s == nil {
		return nil, nil
	}
	policy, ok := policies[s.Policy]
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	deadline := s.Policy == specs.SchedDeadline
	switch {
	case !ok:
		return nil, fmt.Errorf("scheduler policy %q: want SCHED_OTHER, _BATCH, _IDLE, _FIFO, _RR or _DEADLINE", s.Policy)
	case s.Nice < -20 || s.Nice > 19:
		return nil, fmt.Errorf("scheduler nice %d: want -20 to 19", s.Nice)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return nil, fmt.Errorf("scheduler priority %d: want 1 to 99 with %s", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		return nil, fmt.Errorf("scheduler priority %d: only SCHED_FIFO and SCHED_RR have one", s.Priority)
	case !deadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		return nil, fmt.Errorf("scheduler runtime, deadline and period are for SCHED_DEADLINE")
	}
	a := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period}
	for _, f := range s.Flags {
		bit, ok := schedFlags[f]
		if !ok {
			return nil, fmt.Errorf("scheduler flag %q is unknown", f)
		}
		a.Flags |= bit
	}
	return a, nil
}

func ioPriority(p *specs.LinuxIOPriority) (*uint64, error) {
	if p == nil {
		return nil, nil
	}
	classes := map[specs.IOPriorityClass]uint64{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}
	class, ok := classes[p.Class]
	if !ok {
		return nil, fmt.Errorf("ioPriority class %q: want IOPRIO_CLASS_RT, _BE or _IDLE", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return nil, fmt.Errorf("ioPriority priority %d: want 0 to 7", p.Priority)
	}
	v := class<<13 | uint64(p.Priority)
	return &v, nil
}

func personality(p *specs.LinuxPersonality) (*uint64, error) {
	if p == nil {
		return nil, nil
	}
	if len(p.Flags) > 0 {
		return nil, fmt.Errorf("personality flag %q: none are defined", p.Flags[0])
	}
	domains := map[specs.LinuxPersonalityDomain]uint64{specs.PerLinux: 0, specs.PerLinux32: 8}
	v, ok := domains[p.Domain]
	if !ok {
		return nil, fmt.Errorf("personality domain %q: want LINUX or LINUX32", p.Domain)
	}
	return &v, nil
}

// ParseCPUs turns a list such as "0-3,8" into the mask that
// sched_setaffinity(2) takes: whole words.
func ParseCPUs(list string) ([]byte, error) {
	mask, err := configs.CPUMask(list)
	if err != nil {
		return nil, fmt.Errorf("CPU list %q: %w", list, err)
	}
	return append(mask, make([]byte, -len(mask)&7)...), nil
}
