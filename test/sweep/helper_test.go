// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// A report of the interpreter, as nsexec.h has it.
type report struct {
	kind, program, step uint32
	errno               int32
	value               uint64
}

const (
	reportSize = 24
	synced     = 2
	failed     = 4
	refused    = 0xffffffff
	readySync  = 1
)

// reportOf reads the report that a call writes, if it does.
func reportOf(c trace.Call) (r report, ok bool) {
	if c.NR != unix.SYS_WRITE || c.Args[2] != reportSize {
		return r, false
	}
	b, err := trace.Read(c.PID, c.Args[1], reportSize)
	if err != nil || len(b) < reportSize {
		return r, false
	}
	le := binary.LittleEndian
	return report{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:]), int32(le.Uint32(b[12:])), le.Uint64(b[16:])}, true
}

// letGo is the init's last report before it executes the payload. From here on it must not be
// traced: the command would see that, and refuse it.
func letGo(c trace.Call) bool {
	r, ok := reportOf(c)
	return ok && c.Role == trace.Init && r.kind == synced && r.value == readySync
}

// helperVerbs start an interpreter.
var helperVerbs = []verb{
	{name: "run", setup: nothing, args: func(m *machine) []string { return m.foreground("--rm") }, quick: 10},
	{name: "run -d", setup: nothing, args: func(m *machine) []string { return append([]string{"run", "-d", m.file}, payload...) }, quick: 10},
	{name: "exec", setup: running, args: args("exec", name, "/bin/true"), after: untouched, quick: 6},
}

// R3: the interpreter, or its child, is killed at its first, second, third ... call. The
// command says so, and cleans up by itself.
func TestKillHelper(t *testing.T) {
	for _, v := range helperVerbs {
		t.Run(v.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				newMachine(t, o, plain).sweepHelper(v)
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		if o, ok := inside(t); ok {
			newMachine(t, o, full).sweepHelper(helperVerbs[0])
		}
	})
}

func (m *machine) sweepHelper(v verb) {
	line := tally{Sweep: "kill helper of " + v.name + m.config.name}
	defer func() { tell(m.t, line) }()
	for _, role := range []trace.Role{trace.Helper, trace.Init} {
		m.every(&line, "the "+role.String()+" killed", 1, v.quick/2, func(n int) (int, string, error) { return m.killHelper(v, role, n) })
	}
}

// killHelper kills at the n-th call of one of the two, which run at the same time.
func (m *machine) killHelper(v verb, role trace.Role, n int) (calls int, last string, err error) {
	v.setup(m)
	var before state
	if v.after != nil {
		before = m.inspect()
	}
	end, out, err := m.traced(v.args(m), trace.Options{Helpers: true, OnCall: func(c trace.Call) trace.Verdict {
		if c.Role == role {
			calls++
			if calls == n {
				last = describe(c)
				return trace.Verdict{Signal: unix.SIGKILL}
			}
		}
		return trace.Verdict{Detach: letGo(c)}
	}})
	if err != nil {
		return calls, last, err
	}
	var errs []error
	switch {
	case calls < n && end.code != 0:
		errs = append(errs, fmt.Errorf("by itself: %v: %s", end, out))
	case calls < n:
	case end.code == 0 && role == trace.Helper: // its work was done, or it was the keeper's: the end will be unknown
	case end.code == 125 && role == trace.Helper && strings.Contains(out, "ended unexpectedly"): // its child had noticed first
	case end.code != 125 || !strings.Contains(out, "SIGKILL"):
		errs = append(errs, fmt.Errorf("want exit 125 and SIGKILL named, have %v: %s", end, out))
	}
	if v.after != nil {
		errs = append(errs, v.after(m, before))
	}
	if v.after != nil || end.code == 0 {
		if text, code, _ := m.do("rm", "-f", name); code != 0 {
			errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
		}
	}
	errs = append(errs, m.cleaned())
	return calls, last, errors.Join(errs...)
}
