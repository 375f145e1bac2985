// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

func number[T any](n T) *T { return &n }

// What update is asked for is set, whatever the record says of the unit, and nothing else is.
func TestUpdateSetsWhatItIsAskedFor(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	const mib = 1 << 20
	spec := w.spec("limits", "/bin/sleep", "60")
	spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: number(int64(512 * mib)), Reservation: number(int64(64 * mib)), Swap: number(int64(768 * mib))}
	spec.Linux.Resources.Unified = map[string]string{"memory.high": "268435456", "cpu.weight": "300"}
	c, err := w.startSpec("limits", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := scope.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	elsewhere := func(p ...scope.Property) {
		t.Helper()
		if err := conn.SetProperties(t.Context(), scope.UnitName("limits"), true, p); err != nil {
			t.Fatal(err)
		}
	}
	const half = "uint32 2147483647"
	limit := func(mebibytes int64) *specs.LinuxResources {
		return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: number(mebibytes * mib)}}
	}
	var share uint64
	for _, step := range []struct {
		what  string
		first func()
		res   *specs.LinuxResources
		props map[string]string
		want  map[string]uint64 // 0: what 50% comes to
	}{
		{"a share", nil, nil, map[string]string{"MemoryMaxScale": half}, map[string]uint64{"MemoryMax": 0}},
		{"back to what was configured", nil, nil, map[string]string{"MemoryMax": "uint64 536870912"}, map[string]uint64{"MemoryMax": 512 * mib}},
		{"undo somebody else's", func() { elsewhere(scope.Property{Name: "MemoryMax", Value: uint64(1024 * mib)}) },
			nil, map[string]string{"MemoryMax": "uint64 536870912"}, map[string]uint64{"MemoryMax": 512 * mib}},
		{"the same by resources", func() {
			elsewhere(scope.Property{Name: "MemoryMax", Value: uint64(1024 * mib)}, scope.Property{Name: "MemoryLow", Value: uint64(1 * mib)})
		}, limit(512), nil, map[string]uint64{"MemoryMax": 512 * mib, "MemoryLow": 1 * mib}},
		{"a share again", nil, nil, map[string]string{"MemoryMaxScale": half}, map[string]uint64{"MemoryMax": 0}},
		{"resources over a share", nil, limit(256), nil, map[string]uint64{"MemoryMax": 256 * mib, "MemorySwapMax": 512 * mib}},
		{"resources over keys", nil, &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: number(uint64(1024))}}, nil, map[string]uint64{"CPUWeight": 100}},
		{"keys", nil, &specs.LinuxResources{Unified: map[string]string{"cpu.weight": "50"}}, nil, map[string]uint64{"CPUWeight": 50, "MemoryHigh": 256 * mib}},
	} {
		if step.first != nil {
			step.first()
		}
		if err := c.Update(t.Context(), step.res, step.props); err != nil {
			t.Errorf("%s: %v", step.what, err)
			continue
		}
		for name, want := range step.want {
			p, err := conn.Get(t.Context(), scope.UnitName("limits"), name)
			if want == 0 && share == 0 {
				share, _ = p[name].(uint64)
				if share == 512*mib {
					t.Fatal("half of this machine's memory is what the test began with")
				}
			}
			if want == 0 {
				want = share
			}
			if err != nil || p[name] != want {
				t.Errorf("%s: %s is %v, %v; want %d", step.what, name, p[name], err, want)
			}
		}
	}
	kept, err := c.readSpec()
	if err != nil {
		t.Fatal(err)
	}
	m := kept.Linux.Resources.Memory
	if m == nil || m.Limit == nil || *m.Limit != 256*mib || m.Reservation == nil || *m.Reservation != 64*mib || m.Swap == nil || *m.Swap != 768*mib {
		t.Errorf("the record's memory: %+v; want the new limit, and the rest as it was", m)
	}
	if s, err := configs.SettingsOf(kept); err != nil || s.UnitProperties["MemoryMaxScale"] != "" || s.UnitProperties["MemoryMax"] != "" {
		t.Errorf("the record's properties: %v, %v; want none of the memory limit", s.UnitProperties, err)
	}
}

// Texts become limits of the unit, which are read under the names that systemd has for them.
func TestPropertiesAfterUpdate(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("read", CreateOptions{Detach: true}, "/bin/sleep", "60")
	props := map[string]string{}
	for name, text := range map[string]string{"MemoryMax": "512M", "MemoryHigh": "50%", "TasksMax": "77"} {
		property, value, err := scope.LimitProperty(name, text)
		if err != nil {
			t.Fatal(err)
		}
		props[property] = value
	}
	if err := c.Update(t.Context(), nil, props); err != nil {
		t.Fatal(err)
	}
	p, err := c.Properties(t.Context(), "MemoryMax", "MemoryHighScale", "TasksMax", "RuntimeMaxSec", "ActiveState")
	high, _ := p["MemoryHigh"].(uint64)
	delete(p, "MemoryHigh")
	want := map[string]any{"MemoryMax": uint64(512 << 20), "TasksMax": uint64(77), "RuntimeMaxUSec": uint64(scope.Infinity), "ActiveState": "active"}
	if d := cmp.Diff(want, p); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if high == 0 || high == scope.Infinity {
		t.Errorf("MemoryHigh is %d, want half of the memory", high)
	}
	if p, err := c.Properties(t.Context(), "Bogus"); !errors.Is(err, scope.ErrUnsupported) || !strings.HasPrefix(err.Error(), "properties read: Get Bogus") {
		t.Errorf("what systemd does not have: %v, %v; want ErrUnsupported of properties", p, err)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Properties(t.Context(), "TasksMax"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of one that has ended: %v, %v; want ErrNotRunning", p, err)
	}
}

// A PID namespace's first process leaves its cgroup, which systemd then removes, before it waits for the others, and is
// no zombie until then.
func TestNothingIsReadOfOneThatIsEnding(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("ending", CreateOptions{Detach: true}, "/bin/sleep", "60")
	other, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sleep", "60"}}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.st.Init.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); err == nil; _, err = scope.ReadStats(c.st.Cgroup) {
		if ctx.Err() != nil {
			t.Fatal("the cgroup stays")
		}
	}
	if !c.st.Init.alive() || !kernel.Ending(c.st.Init.Pid) {
		t.Fatal("the first process does not wait for the other")
	}
	if _, err := c.Stats(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stats: %v, want ErrNotRunning", err)
	}
	if _, err := c.Processes(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("processes: %v, want ErrNotRunning", err)
	}
	if _, err := other.Wait(soon(t)); err != nil {
		t.Error(err)
	}
	if err := c.Destroy(soon(t), true); err != nil {
		t.Error(err)
	}
}

// A container that is being created has no cgroup yet, and the one without a name is the machine's.
func TestNothingIsReadOfOneInTheMaking(t *testing.T) {
	r := &Runtime{Dir: filepath.Join(t.TempDir(), "run")}
	l := reservation(r, "web")
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Creating {
		t.Fatalf("%+v, %v; want one being created", s, err)
	}
	if pids, err := c.Processes(); !errors.Is(err, ErrNotRunning) || !strings.HasPrefix(err.Error(), "processes web: ") {
		t.Errorf("processes: %v, %v; want ErrNotRunning of processes", pids, err)
	}
	if procs, err := c.Top(); !errors.Is(err, ErrNotRunning) || !strings.HasPrefix(err.Error(), "top web: ") {
		t.Errorf("top: %v, %v; want ErrNotRunning of top", procs, err)
	}
	if s, err := c.Stats(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stats: %+v, %v; want ErrNotRunning", s, err)
	}
	if err := c.Signal(soon(t), unix.SIGTERM, true); !errors.Is(err, ErrNotRunning) {
		t.Errorf("kill --all: %v; want ErrNotRunning", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if p, err := c.Properties(brief, "TasksMax"); !errors.Is(err, ErrBusy) {
		t.Errorf("properties: %v, %v; want that it waits for the one being created", p, err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
}

// R36: the names of units are the machine's, those of containers each directory's.
func TestSignalToAllMeetsNoNamesake(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	old := w.mustStart("same", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := old.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	other := &world{Runtime: &Runtime{Dir: filepath.Join(t.TempDir(), "other")}, root: w.root, t: t}
	live := other.mustStart("same", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := old.Signal(soon(t), unix.SIGKILL, true); !errors.Is(err, ErrNotRunning) {
		t.Errorf("kill --all of the one that has ended: %v; want ErrNotRunning", err)
	}
	if s, err := live.State(); err != nil || s.Status != Running {
		t.Fatalf("its namesake: %+v, %v; want it to run", s, err)
	}
	if err := live.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := live.Signal(soon(t), unix.SIGKILL, true); err != nil {
		t.Errorf("kill --all of a paused one: %v", err)
	}
	if e, err := live.Wait(soon(t)); err != nil || e.Signal != int(unix.SIGKILL) {
		t.Errorf("%+v, %v; want SIGKILL", e, err)
	}
}

// Its maker has the lock until it starts, for as long as that may be.
func TestSignalToAllBetweenCreateAndStart(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	made, err := w.Create(t.Context(), "between", w.spec("between", "/bin/true"), w.options(CreateOptions{Detach: true}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Load("between")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(soon(t), unix.SIGKILL, true); err != nil {
		t.Error(err)
	}
	if err := made.Start(soon(t)); err == nil {
		t.Error("what was killed starts")
	}
	w.nothingLeft("between")
}

// R41: a paused container is not entered; limits, processes and the stop are as of a running one.
func TestPauseUpdateStats(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("p", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := c.Resume(t.Context()); !errors.Is(err, ErrNotPaused) {
		t.Errorf("resume of a running one: %v", err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Paused {
		t.Errorf("paused: %+v, %v", s, err)
	}
	if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{}); !errors.Is(err, ErrPaused) {
		t.Errorf("exec while paused: %v", err)
	}
	limit := int64(64)
	if err := c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	conn, err := scope.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := conn.Get(t.Context(), scope.UnitName("p"), "TasksMax"); err != nil || p["TasksMax"] != uint64(64) {
		t.Errorf("TasksMax: %v, %v", p, err)
	}
	procs, err := c.Top()
	if err != nil || len(procs) != 1 || procs[0].Inside != 1 || procs[0].User != "0" || strings.Join(procs[0].Command, " ") != "/bin/sleep 60" {
		t.Errorf("processes: %+v, %v", procs, err)
	}
	if _, err := c.Stats(); err != nil {
		t.Error(err)
	}
	if err := c.Destroy(t.Context(), false); !errors.Is(err, ErrRunning) {
		t.Errorf("rm of a paused one: %v", err)
	}
	if err := c.Stop(t.Context(), 0); err != nil { // thaws first
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Stopped {
		t.Errorf("stopped: %+v, %v", s, err)
	}
}
