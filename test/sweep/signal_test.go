// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

var signals = []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP}

// endings are verbs that end a container. One that is interrupted leaves it whole, or ended, or gone.
var endings = []verb{
	{"stop", running, args("stop", name), wholeOrOver, 6},
	{"rm", func(m *machine) { m.must("run", m.file) }, args("rm", name), over, 6},
	{"rm -f", running, args("rm", "-f", name), wholeOrOver, 6},
}

// lasting are verbs about a container that stays as it was, whatever becomes of them.
var lasting = []verb{
	{"exec", nothing, args("exec", name, "/bin/true"), untouched, 6},
	{"update", nothing, args("update", "--tasks", "77", name), updated, 6},
	{"wait", nothing, args("wait", name), untouched, 6},
	{"logs -f", nothing, args("logs", "-f", name), untouched, 6},
}

func over(m *machine, _ state) error {
	if now := m.inspect(); now.Status != "" && now.Status != "stopped" {
		return fmt.Errorf("the container is %+v", now)
	}
	return nil
}

func wholeOrOver(m *machine, before state) error {
	now := m.inspect() // once: it may be ending
	if now.Status != "" && now.Status != "stopped" && (now.Status != "running" || now.Pid != before.Pid) {
		return fmt.Errorf("the container is %+v, was %+v", now, before)
	}
	return nil
}

// R5: the command gets a signal at its first, second, third ... system call. A start is called
// off and leaves nothing, or the container runs by then; of what there is see the tables.
func TestSignals(t *testing.T) {
	for _, v := range helperVerbs[:2] {
		for i, sig := range signals {
			t.Run(v.name+" "+unix.SignalName(sig), func(t *testing.T) {
				if o, ok := inside(t); ok {
					m := newMachine(t, o, plain)
					m.sweepSignal(unix.SignalName(sig)+" "+v.name, uint64(i), v.quick, func(n int) (int, string, error) { return m.signal(v, sig, n) })
				}
			})
		}
	}
	for _, v := range endings {
		t.Run(v.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				newMachine(t, o, plain).sweepSignals(v.name, v.quick, v.ending)
			}
		})
	}
	for _, v := range lasting {
		t.Run(v.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				m := newMachine(t, o, logged)
				m.sweepSignals(v.name, v.quick, m.stays(v).lasting)
			}
		})
	}
	t.Run("run --unit", func(t *testing.T) {
		if o, ok := inside(t); ok {
			s := newMachine(t, o, plain).newService("1s")
			s.sweepSignals("run --unit", 6, s.ended)
		}
	})
}

func (m *machine) sweepSignal(what string, salt uint64, quick int, one func(n int) (int, string, error)) {
	line := tally{Sweep: what}
	defer func() { tell(m.t, line) }()
	m.every(&line, what, salt, quick, one)
}

// sweepSignals sends one signal at one call, and another one at the next.
func (m *machine) sweepSignals(name string, quick int, one func(*machine, *sending) error) {
	rounds := 0
	m.sweepSignal("TERM, INT or HUP "+name, 4, quick, func(n int) (int, string, error) {
		rounds++
		s := &sending{sig: signals[rounds%len(signals)], n: n}
		err := one(m, s)
		if err != nil {
			err = fmt.Errorf("%s: %w", unix.SignalName(s.sig), err)
		}
		if !s.sent {
			s.calls = min(s.calls, n-1) // how many follow it depends
		}
		return s.calls, s.last, err
	})
}

// A sending is a signal sent to the command at its n-th call, or when it has waited long after fewer.
type sending struct {
	sig   unix.Signal
	n     int
	calls int
	last  string
	sent  bool
}

// waiting is how long a verb that waits for ever makes no call at all before it gets the signal.
const waiting = 400 * time.Millisecond

func (s *sending) options() (o trace.Options, done func()) {
	var pid atomic.Int64
	idle := time.AfterFunc(patience, func() {
		if p := int(pid.Load()); p > 0 { // 0 is this test and whoever runs it
			_ = unix.Kill(p, s.sig) // it may have ended
		}
	})
	return trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
		pid.Store(int64(c.PID))
		idle.Reset(waiting)
		s.calls++
		if s.calls != s.n {
			return trace.Verdict{}
		}
		s.sent, s.last = true, describe(c)
		return trace.Verdict{Signal: s.sig}
	}}, func() { idle.Stop() }
}

// killedBy tells whether it was killed by the signal.
//
// While a signal that is deadly yet is handled, the command may begin to catch it: Go's runtime then can forward it to
// its own handler without end, and dies of that (golang.org/issue/20748). A program that has no unsafe code ends by
// SIGSEGV in no other way.
func (e ended) killedBy(sig unix.Signal) bool {
	return e.signaled && (e.signal == int(sig) || e.signal == int(unix.SIGSEGV))
}

// interrupted: it ended by the signal, or had finished.
func (s *sending) interrupted(e ended, out string) error {
	want := 128 + int(s.sig)
	if e.killedBy(s.sig) || !e.signaled && (e.code == 0 || e.code == want) {
		return nil
	}
	return fmt.Errorf("want exit %d, or 0, have %v: %s", want, e, out)
}

func (v verb) ending(m *machine, s *sending) error {
	v.setup(m)
	before := m.inspect()
	o, done := s.options()
	end, out, err := m.traced(v.args(m), o)
	done()
	if err == nil {
		err = errors.Join(s.interrupted(end, out), v.after(m, before))
	}
	return errors.Join(err, m.removed(), m.cleaned())
}

func (r ready) lasting(m *machine, s *sending) error {
	o, done := s.options()
	end, out, err := r.run(o)
	done()
	return errors.Join(err, s.interrupted(end, out), r.after(end), m.cleaned())
}

func (s *service) ended(_ *machine, g *sending) error {
	o, done := g.options()
	end, out, err := s.traced(o)
	done()
	return errors.Join(err, g.interrupted(end, out), s.systemctl("stop", serviceName), s.over())
}

// signal sends one at the n-th call. How many calls follow it depends.
func (m *machine) signal(v verb, sig unix.Signal, n int) (calls int, last string, err error) {
	sent := false
	end, out, err := m.traced(v.args(m), trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
		calls++
		if calls != n {
			return trace.Verdict{}
		}
		sent, last = true, describe(c)
		return trace.Verdict{Signal: sig}
	}})
	if err != nil {
		return calls, last, err
	}
	var errs []error
	switch want := 128 + int(sig); {
	case end.killedBy(sig): // before it was caught, or after everything was made
	case end.code == want && strings.Contains(out, "sdcontainer: "):
	case end.code == want: // the payload's own: it was forwarded
	case end.code == 0: // it came too late, or the payload took no notice
	default:
		errs = append(errs, fmt.Errorf("want exit %d, or 0, have %v: %s", want, end, out))
	}
	if late := m.inspect().Status; v.name == "run -d" && (end.code == 0 || late == "running") {
		if late != "running" {
			errs = append(errs, fmt.Errorf("exit 0, and the container is %q", late))
		}
		if text, code, _ := m.do("rm", "-f", name); code != 0 {
			errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
		}
	}
	if end.signaled {
		// It came just before it was caught. Go's runtime takes some calls to die then, and
		// traced, the start gets far meanwhile: it is as if killed (TestKill).
		if text, code, _ := m.do("rm", "-f", name); code != 0 {
			errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
		}
	}
	if err := m.cleaned(); err != nil {
		errs = append(errs, fmt.Errorf("%v: %s: %w", end, out, err))
	}
	if !sent {
		calls = min(calls, n-1)
	}
	return calls, last, errors.Join(errs...)
}
