// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// growth is how much longer the last tenth of the starts, or stops, may take than the first.
const growth = 2

// TestCrowd: many containers, all running together, started by one manager after the other and by 16 at once. None fails, ps
// has all of them, the system's mounts are not touched, and nothing is left. How long it takes us does not depend on how many
// there are.
func TestCrowd(t *testing.T) {
	if !inside(t) {
		return
	}
	m := newMachine(t)
	for _, managers := range []int{1, 16} {
		m.crowd(loops(t, 40, 1000, 8), managers)
	}
}

func (m *machine) crowd(n, managers int) {
	file := m.config("crowd", "[log]\ndriver = \"none\"\n")
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("crowd-%d-%04d", managers, i)
	}
	m.t.Cleanup(func() {
		if m.t.Failed() {
			for _, name := range names {
				_, _, _ = m.do("rm", "-f", name) // it may not be there
			}
		}
	})
	line := result{Test: fmt.Sprintf("crowd of %d, %d at a time", n, managers), Starts: n}
	mounts := mountinfo(m.t)
	each := func(verb ...string) (times, systemd []float64) {
		times, systemd, failed := m.each(names, managers, verb...)
		line.Failed += failed
		return times, systemd
	}
	line.StartMs, line.SystemdMs = each("run", file)
	if now := mountinfo(m.t); now != mounts {
		m.t.Errorf("mounts of PID 1 are\n%swere\n%s", now, mounts)
	}
	out, code, took := m.do("ps", "-q")
	listed := slices.DeleteFunc(strings.Fields(out), func(s string) bool { return !strings.HasPrefix(s, "crowd-") })
	if code != 0 || !slices.Equal(listed, names) {
		m.t.Errorf("ps -q: exit %d, %d names of %d: %s", code, len(listed), n, out)
	}
	line.Note = fmt.Sprintf("ps %d ms", took.Milliseconds())
	if managers == 1 {
		line.StopMs, _ = each("stop")
		_, _ = each("rm") // nothing but its record is left
	} else {
		line.StopMs, _ = each("rm", "-f")
	}
	m.cleaned()
	tell(m.t, line)
	if n >= 1000 && managers == 1 { // many wait for the one PID 1
		ours := make([]float64, 10)
		for i := range ours {
			ours[i] = line.StartMs[i] - line.SystemdMs[i]
		}
		m.flat("start", ours)
		m.flat("stop", line.StopMs)
	}
}

// each does something to every container, some at a time. It tells how long each took, and how much of the processor
// systemd had for one of each tenth: it looks at all units of a slice when one comes or goes.
func (m *machine) each(names []string, managers int, verb ...string) (medians, systemd []float64, failures int) {
	times, busy := make([]time.Duration, len(names)), make([]time.Duration, len(names))
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range managers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				var out string
				var code int
				args := arrange(verb, names[i])
				if out, code, times[i] = m.do(args...); code != 0 && failed.Add(1) <= 5 {
					m.t.Errorf("%s: exit %d: %s", strings.Join(args, " "), code, out)
				}
				busy[i] = managerTime()
			}
		})
	}
	all.Wait()
	slices.Sort(busy) // in the order of the ends
	for i := range 10 {
		from, to := len(busy)*i/10, max(len(busy)*i/10, len(busy)*(i+1)/10-1)
		systemd = append(systemd, ms(busy[to]-busy[from])/float64(max(1, to-from)))
	}
	return tenths(times), systemd, int(failed.Load())
}

// managerTime is how much of a processor PID 1 has had.
func managerTime() time.Duration {
	const user, system, hertz = 11, 12, 100
	b, _ := os.ReadFile("/proc/1/stat") // it is there
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	a, _ := strconv.Atoi(f[user])
	c, _ := strconv.Atoi(f[system])
	return time.Duration(a+c) * time.Second / hertz
}

// arrange puts the name last; after FILE everything is the payload's.
func arrange(verb []string, name string) []string {
	if verb[0] == "run" {
		return []string{"run", "-d", "--name", name, verb[1]}
	}
	return append(slices.Clone(verb), name)
}

func (m *machine) flat(what string, medians []float64) {
	if first, last := medians[0], medians[9]; last > growth*first {
		m.t.Errorf("a %s takes %.1f ms among few and %.1f ms among many: %v", what, first, last, medians)
	}
}

func mountinfo(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/1/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
