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

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// growth is how much more of a processor the command may need for a start, or a stop, in the last tenth than in the first. The
// tenths of few have too few to have a steady median.
func growth(n int) float64 {
	if n < 1000 {
		return 2
	}
	return 1.3
}

// R32, R33: many containers, all running together, started by one command after the other and by 16 at once. None fails, ps
// has all of them, the system's mounts are not touched, and nothing is left. What the command needs of a processor does not
// depend on how many there are.
func TestCrowd(t *testing.T) {
	if !inside(t) {
		return
	}
	m := newMachine(t)
	for _, managers := range []int{1, 16} {
		m.crowd(loops(t, 40, 1000, 8, "containers"), managers)
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
	each := func(verb ...string) (took phase) {
		took, failed := m.each(names, managers, verb...)
		line.Failed += failed
		return took
	}
	start := each("run", file)
	line.StartMs, line.StartCPUMs, line.SystemdMs = start.took, start.own, start.systemd
	if now := mountinfo(m.t); now != mounts {
		m.t.Errorf("mounts of PID 1 are\n%swere\n%s", now, mounts)
	}
	out, code, took := m.do("ps", "-q")
	listed := slices.DeleteFunc(strings.Fields(out), func(s string) bool { return !strings.HasPrefix(s, "crowd-") })
	if code != 0 || !slices.Equal(listed, names) {
		m.t.Errorf("ps -q: exit %d, %d names of %d: %s", code, len(listed), n, out)
	}
	line.Note = fmt.Sprintf("ps %d ms", took.Milliseconds())
	var stop phase
	if managers == 1 {
		stop = each("stop")
		each("rm") // nothing but its record is left
	} else {
		stop = each("rm", "-f")
	}
	line.StopMs, line.StopCPUMs = stop.took, stop.own
	m.cleaned()
	tell(m.t, line)
	if managers == 1 && start.own != nil { // of many at once each has the processor's caches to itself for less long
		m.flat("start", start, growth(n))
		m.flat("stop", stop, growth(n))
	}
}

// A phase is what one verb took for each tenth of the containers, in ms. How long is also how long it waited for systemd, which
// looks at all units of a slice when one comes or goes; what the command needed of a processor itself does not grow with that.
type phase struct {
	took, own []float64 // medians
	systemd   []float64 // the mean of what PID 1 had of a processor
	// scale is what the command has for something that looks at no container, at the same time; with one manager alone.
	scale []float64
}

// each does something to every container, some at a time.
func (m *machine) each(names []string, managers int, verb ...string) (p phase, failures int) {
	times, own, busy, scale := make([]time.Duration, len(names)), make([]time.Duration, len(names)), make([]time.Duration, len(names)), make([]time.Duration, len(names))
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range managers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				var out string
				var code int
				args := arrange(verb, names[i])
				out, code, times[i], own[i] = sdtest.Measured(patience(), append([]string{m.bin}, args...)...)
				if code != 0 && failed.Add(1) <= 5 {
					m.t.Errorf("%s: exit %d: %s", strings.Join(args, " "), code, out)
				}
				busy[i] = managerTime()
				if managers == 1 {
					_, _, _, scale[i] = sdtest.Measured(patience(), m.bin, "version")
				}
			}
		})
	}
	all.Wait()
	slices.Sort(busy) // in the order of the ends
	for i := range 10 {
		from, to := len(busy)*i/10, max(len(busy)*i/10, len(busy)*(i+1)/10-1)
		p.systemd = append(p.systemd, ms(busy[to]-busy[from])/float64(max(1, to-from)))
	}
	p.took, p.own, p.scale = tenths(times), tenths(own), tenths(scale)
	return p, int(failed.Load())
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

// flat: what our part of a start takes does not depend on how many there are. A machine that becomes busier makes everything
// dearer, which the scale shows.
func (m *machine) flat(what string, p phase, most float64) {
	const last = 9
	grown := p.own[last] / p.own[0] / (p.scale[last] / p.scale[0])
	m.t.Logf("of a %s our part grows to %.2f: %v ms on a scale of %v", what, grown, p.own, p.scale)
	if grown > most {
		m.t.Errorf("a %s needs %.2f times as much of a processor among many as among few, want at most %.1f: %v ms on a scale of %v",
			what, grown, most, p.own, p.scale)
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
