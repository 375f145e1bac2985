// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// limits is a container with some; limitFiles is what they must look like to the kernel, where it has the controllers.
const limits = `
[resources]
tasks = 99
[resources.memory]
high = "48M"
max  = "64M"
swap_max = "0"
[resources.cpu]
quota  = "50%"
weight = 200
[log]
driver = "none"
`

var limitFiles = map[string]string{
	"pids.max": "99", "memory.high": "50331648", "memory.max": "67108864", "memory.swap.max": "0",
	"cpu.max": "50000 100000", "cpu.weight": "200",
}

var limitProperties = map[string]string{
	"TasksMax": "99", "MemoryHigh": "50331648", "MemoryMax": "67108864", "MemorySwapMax": "0",
	"CPUQuotaPerSecUSec": "500ms", "CPUWeight": "200", "Slice": "sdcontainer.slice", "ActiveState": "active",
}

// A storm disturbs the manager: daemon-reload every 50 ms, or as fast as it can, and daemon-reexec every second; less often in a guest.
type storm struct {
	end           chan struct{}
	over          sync.WaitGroup
	reloads, exec int
}

func disturb() *storm {
	s := &storm{end: make(chan struct{})}
	pause, every := 50*time.Millisecond, time.Second
	if !native() { // there a reload takes seconds
		pause, every = time.Second, 20*time.Second
	}
	s.over.Go(func() {
		reload, reexec := time.NewTicker(pause), time.NewTimer(time.Second) // soon: a fast guest's storm is short
		defer reload.Stop()
		defer reexec.Stop()
		for {
			select {
			case <-s.end:
				return
			case <-reexec.C:
				if _, code, _ := command("systemctl", "daemon-reexec"); code == 0 {
					s.exec++
				}
				reexec.Reset(every)
			case <-reload.C:
				if _, code, _ := command("systemctl", "daemon-reload"); code == 0 { // else it re-executes at the moment
					s.reloads++
				}
			}
		}
	})
	return s
}

func (s *storm) stop() string {
	close(s.end)
	s.over.Wait()
	return fmt.Sprintf("%d reloads, %d re-executions", s.reloads, s.exec)
}

// R8, R9: while the manager reloads and re-executes itself all the time, every verb does what it should, and units
// and cgroups are what they are in calm weather.
func TestReloadStorm(t *testing.T) {
	if !inside(t) {
		return
	}
	soak := 100 // in a guest, where a reload takes seconds, and longer for each container that stays
	if native() {
		soak = 500
	}
	m := newMachine(t)
	n := loops(t, 20, soak, 4, "starts")
	limited, plain := m.config("limited", limits), m.config("plain", "[log]\ndriver = \"none\"\n")
	calm := map[string]map[string]string{}
	kind := func(i int) string { return []string{limited, plain}[i%2] }
	for i, name := range []string{"calm-limited", "calm-plain"} {
		t.Cleanup(func() { _, _, _ = m.do("rm", "-f", name) }) // of a test that failed half way
		m.must("run", "-d", "--name", name, kind(i))
		calm[kind(i)] = m.unit(name)
	}
	line := result{Test: "reload storm", Starts: n}
	storm := disturb()
	var times []time.Duration
	for i := range n {
		if i%10 == 9 {
			t.Logf("%d of %d", i+1, n) // an emulated guest that says nothing for minutes is taken for stuck
		}
		name := fmt.Sprintf("storm-%04d", i)
		t.Cleanup(func() { _, _, _ = m.do("rm", "-f", name) })
		took, err := m.weather(name, kind(i), i%4 < 2)
		if times = append(times, took); err != nil {
			t.Error(err)
			if line.Failed++; line.Failed > 5 {
				break
			}
		}
	}
	line.StartMs, line.Note = tenths(times), storm.stop()
	if storm.reloads < n/4 || storm.exec == 0 {
		t.Errorf("that was no storm: %s", line.Note)
	}
	for i := range n {
		if name := fmt.Sprintf("storm-%04d", i); i%4 < 2 && line.Failed == 0 {
			m.same(name, calm[kind(i)])
			m.must("rm", "-f", name)
		} else {
			_, _, _ = m.do("rm", "-f", name) // it is there after a failure only
		}
	}
	m.same("calm-limited", calm[limited])
	m.same("calm-plain", calm[plain])
	line.LimitFiles = m.asked("calm-limited")
	m.must("rm", "-f", "calm-limited")
	m.must("rm", "-f", "calm-plain")
	tell(t, line)
	m.cleaned()
}

// weather starts a container and, unless it is to stay, takes it through its life.
func (m *machine) weather(name, file string, stays bool) (time.Duration, error) {
	life := [][]string{{"run", "-d", "--name", name, file}}
	if !stays {
		life = append(life, []string{"exec", name, "/bin/true"}, []string{"pause", name}, []string{"resume", name},
			[]string{"update", "--tasks", "77", name}, []string{"stop", name}, []string{"rm", name},
			[]string{"run", "--rm", "--name", name, file, "/bin/true"})
	}
	var first time.Duration
	for i, args := range life {
		out, code, took := m.do(args...)
		if i == 0 {
			first = took
		}
		if code != 0 {
			return first, fmt.Errorf("%s: exit %d after %v: %s", strings.Join(args, " "), code, took, out)
		}
	}
	return first, nil
}

// unit is what systemd and the kernel have of a container's unit that does not change by itself: its name is NAME.
func (m *machine) unit(name string) map[string]string {
	unit := "sdc-" + name + ".scope"
	have, lists := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(system(m.t, "systemctl", "show", unit)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if !moves(key) {
			lists[key] = append(lists[key], value)
		}
	}
	for key, list := range lists { // the order of several means nothing, and is another after a reload
		slices.Sort(list)
		have[key] = strings.Join(list, "\n")
	}
	dir := filepath.Join("/sys/fs/cgroup/sdcontainer.slice", unit)
	files, err := os.ReadDir(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err == nil && settable(f.Name()) {
			have[f.Name()] = strings.TrimSpace(string(b))
		}
	}
	escaped := strings.NewReplacer(unitNames(name)...)
	for key, value := range have {
		have[key] = escaped.Replace(value)
	}
	return have
}

// unitNames are the forms in which a unit's properties have the container's name.
func unitNames(name string) []string {
	return []string{name, "NAME", strings.ReplaceAll(name, "-", `\x2d`), "NAME"}
}

// moves tells what is not set, but measured, or differs for each unit.
func moves(property string) bool {
	for _, part := range []string{"Timestamp", "Current", "UsageNSec", "InvocationID", "ControlGroupId", "MemoryPeak", "Peak", "Available",
		"IOReadBytes", "IOWriteBytes", "IOReadOperations", "IOWriteOperations", "IPIngress", "IPEgress", "DropInPaths"} {
		if strings.Contains(property, part) {
			return true
		}
	}
	return false
}

// settable tells the files of a cgroup that say what was asked for.
func settable(file string) bool {
	for _, end := range []string{".max", ".high", ".low", ".min", ".weight", ".weight.nice", ".idle", ".cpus", ".mems", ".subtree_control", ".controllers", ".freeze", ".oom.group", ".partition"} {
		if strings.HasSuffix(file, end) {
			return true
		}
	}
	return false
}

func (m *machine) same(name string, calm map[string]string) {
	m.t.Helper()
	now := m.unit(name)
	for _, key := range slices.Sorted(maps.Keys(calm)) {
		if now[key] != calm[key] {
			m.t.Errorf("%s after the storm: %s is %s, was %s", name, key, strconv.Quote(now[key]), strconv.Quote(calm[key]))
		}
	}
	for key := range now {
		if _, ok := calm[key]; !ok {
			m.t.Errorf("%s after the storm: %s is new", name, key)
		}
	}
}

// asked: what was asked for is there at all, and not the same nothing before and after. It counts the files of limits.
func (m *machine) asked(name string) (files int) {
	m.t.Helper()
	now := m.unit(name)
	for key, want := range limitProperties {
		if now[key] != want {
			m.t.Errorf("%s: %s is %s, want %s", name, key, now[key], want)
		}
	}
	for file, want := range limitFiles {
		have, ok := now[file]
		if (ok || !native()) && have != want {
			m.t.Errorf("%s: %s is %q, want %q", name, file, have, want)
		}
		if ok {
			files++
		}
	}
	return files
}
