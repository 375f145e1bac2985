// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// TestSignals: the manager gets a signal at its first, second, third ... system call. It calls the
// start off and leaves nothing, or the container runs by then.
func TestSignals(t *testing.T) {
	for _, v := range helperVerbs[:2] {
		for i, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
			t.Run(v.name+" "+unix.SignalName(sig), func(t *testing.T) {
				if o, ok := inside(t); ok {
					newMachine(t, o).sweepSignal(v, sig, uint64(i))
				}
			})
		}
	}
}

func (m *machine) sweepSignal(v verb, sig unix.Signal, salt uint64) {
	line := tally{Sweep: unix.SignalName(sig) + " " + v.name}
	defer func() { line.Keepers = m.emptyKeepers; tell(m.t, line) }()
	stride, n := 1, 1
	if !m.order.Soak {
		calls, _, err := m.signal(v, sig, 1<<30)
		if err != nil {
			m.t.Fatal(err)
		}
		stride = max(1, calls/6)
		n = 1 + rand.New(rand.NewPCG(m.order.Seed, salt)).IntN(stride)
	}
	for ; ; n += stride {
		calls, last, err := m.signal(v, sig, n)
		if calls < n && err == nil {
			line.Calls = calls
			return
		}
		line.Stopped++
		if err == nil {
			line.Clean++
			continue
		}
		m.t.Errorf("%s at call %d, %s: %v", unix.SignalName(sig), n, last, err)
		if line.Stopped-line.Clean >= giveUp {
			line.Note = "(given up)"
			return
		}
		m.restore()
	}
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
	case end.signaled && end.signal == int(sig): // before it was caught, or after everything was made
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
