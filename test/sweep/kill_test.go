// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// payload ends when it is told to, as pid 1 of its namespace too.
var payload = []string{"/bin/sh", "-c", "echo here; trap 'exit 0' TERM; sleep 1000 & wait"}

// A verb is one to be interrupted. Every round begins with its container made anew.
type verb struct {
	name  string
	setup func(*machine)
	args  func(*machine) []string
	// after is what must hold when it was interrupted, before the container is removed.
	after func(*machine, state) error
	quick int // rounds of the quick form
}

func running(m *machine) { m.must(append([]string{"run", "-d", m.file}, payload...)...) }

func nothing(*machine) {}

func args(a ...string) func(*machine) []string { return func(*machine) []string { return a } }

// untouched: the container's own process is as it was.
func untouched(m *machine, before state) error {
	if now := m.inspect(); now.Pid != before.Pid || now.Status != "running" {
		return fmt.Errorf("the container is %+v, was %+v", now, before)
	}
	return nil
}

// updated: so it is, and can be updated again, which tidies up as well.
func updated(m *machine, before state) error {
	if out, code, _ := m.do("update", "--tasks", "78", name); code != 0 {
		return fmt.Errorf("update again: exit %d: %s", code, out)
	}
	return untouched(m, before)
}

var verbs = []verb{
	{"run", nothing, func(m *machine) []string { return m.foreground() }, nil, 20},
	{"run -d", nothing, func(m *machine) []string { return append([]string{"run", "-d", m.file}, payload...) }, nil, 20},
	{"exec", running, args("exec", name, "/bin/true"), untouched, 12},
	{"stop", running, args("stop", name), nil, 8},
	{"update", running, args("update", "--tasks", "77", name), updated, 8},
	{"pause", running, args("pause", name), nil, 8},
	{"resume", func(m *machine) { running(m); m.must("pause", name) }, args("resume", name), nil, 6},
	{"kill", running, args("kill", name), nil, 6},
	{"rm", func(m *machine) { m.must("run", m.file) }, args("rm", name), nil, 8},
	{"rm -f", running, args("rm", "-f", name), nil, 8},
}

// R1, R2: the command is killed at its first, second, third ... system call.
func TestKill(t *testing.T) {
	for _, v := range verbs {
		t.Run(v.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				newMachine(t, o, plain).sweep(v)
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		if o, ok := inside(t); ok {
			newMachine(t, o, full).sweep(verbs[0])
		}
	})
}

// giveUp is how many dirty rounds say enough. sure is how often a round has no call so late, where that is not known to be too late, before it
// is believed: one round has fewer calls by accident, or got its signal because it waited.
const (
	giveUp = 5
	sure   = 3
)

// every makes one round for each call: for the first, the second, the third ..., or in the quick form for about so many of them, from a
// random one on, until there is none so late.
func (m *machine) every(line *tally, what string, salt uint64, quick int, one func(n int) (calls int, last string, err error)) {
	m.t.Helper()
	stride, n, known := 1, 1, math.MaxInt
	if !m.order.Soak {
		calls, _, err := one(1 << 30)
		if err != nil {
			m.t.Fatal(err)
		}
		known, stride = calls, max(1, calls/quick)
		n = 1 + rand.New(rand.NewPCG(m.order.Seed, salt)).IntN(stride)
	}
	for ; ; n += stride {
		calls, last, err := one(n)
		most := calls
		for again := 1; calls < n && n <= known && err == nil && again < sure; again++ {
			calls, last, err = one(n)
			most = max(most, calls)
		}
		if calls < n && err == nil {
			line.Calls += most
			return
		}
		line.Stopped++
		if err == nil {
			line.Clean++
			continue
		}
		m.t.Errorf("%s at call %d, %s: %v", what, n, last, err)
		if line.Stopped-line.Clean >= giveUp {
			line.Note = "(given up)"
			return
		}
		m.restore()
	}
}

// sweep interrupts a verb until it ends by itself.
func (m *machine) sweep(v verb) {
	line := tally{Sweep: "kill " + v.name + m.config.name}
	defer func() { tell(m.t, line) }()
	m.every(&line, "killed", 0, v.quick, func(n int) (int, string, error) {
		r, err := m.round(v, n)
		line.took(r)
		return r.calls, r.last, err
	})
}

// took keeps the longest times.
func (l *tally) took(r round) {
	l.Gone = max(l.Gone, float64(r.gone.Microseconds())/1000)
	l.Removed = max(l.Removed, float64(r.removed.Microseconds())/1000)
}

type round struct {
	calls         int
	last          string
	gone, removed time.Duration
}

// killAt counts calls, and kills the process at the n-th.
func (r *round) killAt(n int) func(trace.Call) trace.Verdict {
	return func(c trace.Call) trace.Verdict {
		r.calls++
		if r.calls != n {
			return trace.Verdict{}
		}
		r.last = describe(c)
		return trace.Verdict{Signal: unix.SIGKILL}
	}
}

// round kills the command at its n-th call, and looks.
func (m *machine) round(v verb, n int) (r round, err error) {
	v.setup(m)
	m.known = nil
	if m.known, err = m.helpers(); err != nil {
		return r, err
	}
	var before state
	if v.after != nil {
		before = m.inspect()
	}
	end, out, err := m.traced(v.args(m), trace.Options{Manager: true, OnCall: r.killAt(n)})
	if err != nil {
		return r, err
	}
	if r.calls < n && end.code != 0 {
		return r, fmt.Errorf("by itself: %v: %s", end, out)
	}
	var errs []error
	r.gone, err = m.helpersGone()
	errs = append(errs, err)
	if v.after != nil {
		errs = append(errs, v.after(m, before))
	}
	text, code, took := m.do("rm", "-f", name)
	if r.removed = took; code != 0 {
		errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
	}
	errs = append(errs, m.cleaned())
	if again := v.args(m); again[0] == "run" { // the others' set-up shows it
		if text, code, _ := m.do(m.foreground("--rm")...); code != 0 {
			errs = append(errs, fmt.Errorf("the same name again: exit %d: %s", code, text))
		}
	}
	return r, errors.Join(errs...)
}

// restore takes what is there for given, so that one failure is reported once.
func (m *machine) restore() {
	_, _, _ = m.do("rm", "-f", name) // it has been complained about
	_, _, _ = sdtest.Bounded(patience, "systemctl", "reset-failed", serviceName)
	m.look()
	if m.again != nil {
		m.again()
	}
}

// describe describes a call for people.
func describe(c trace.Call) string {
	s := fmt.Sprintf("system call %d", c.NR)
	for _, a := range c.Args[:4] {
		if path := trace.ReadString(c.PID, a); len(path) > 1 && strings.HasPrefix(path, "/") {
			s += " " + path
		}
	}
	return s
}
