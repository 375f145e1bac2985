// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// E9, R8: the process is in the unit's cgroup when Wait returns, and systemd
// has every property as it was planned, after a reload too.
func TestRealStart(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	c := dialTest(t)
	u, pid := startTest(t, c, "start", &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(33333)), Period: ptr(uint64(100000)), Cpus: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(99))},
		Unified: map[string]string{
			"memory.high": "50000000", "io.weight": "50",
		},
	})
	defer c.Stop(context.WithoutCancel(t.Context()), u.Name)

	path, err := CgroupOf(int(pid))
	if want := "/sdcontainer.slice/sdc-start.scope"; err != nil || path != want {
		t.Errorf("the process is in %s, %v; want %s", path, err, want)
	}
	if group, err := c.ControlGroup(t.Context(), u.Name); err != nil || group != path {
		t.Errorf("ControlGroup is %s, %v; want %s", group, err, path)
	}
	compareProperties(t, c, u)
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("daemon-reload: %v: %s", err, out)
	}
	compareProperties(t, c, u)
}

// compareProperties asks for every property of the unit that the manager shows as it was set.
func compareProperties(t *testing.T, c *Conn, u Unit) {
	t.Helper()
	for _, p := range u.Properties {
		info, _ := Lookup(p.Name)
		if info.Sig == "a(ss)" || info.Sig == "a(st)" {
			continue // come back in another order, or resolved
		}
		got, err := c.Get(t.Context(), u.Name, p.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		if mask, ok := got[p.Name].([]byte); ok {
			got[p.Name] = bytes.TrimRight(mask, "\x00")
		}
		if d := cmp.Diff(p.Value, got[p.Name]); d != "" {
			t.Errorf("%s: %s", p.Name, d)
		}
	}
}

func TestRealStop(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprint("frozen=", frozen), func(t *testing.T) {
			u, pid := startTest(t, c, "stop", nil)
			path, err := CgroupOf(int(pid))
			if err != nil {
				t.Fatal(err)
			}
			if !Populated(path) || Frozen(path) {
				t.Errorf("populated %v, frozen %v", Populated(path), Frozen(path))
			}
			if frozen {
				if err := c.Freeze(ctx, u.Name); err != nil {
					t.Fatal(err)
				}
				if !Frozen(path) {
					t.Error("not frozen")
				}
			}
			gone, err := c.WatchRemoved(ctx, u.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Stop(ctx, u.Name); err != nil {
				t.Fatal(err)
			}
			if Populated(path) {
				t.Error("processes are left")
			}
			select {
			case err := <-gone:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("no word of the unit's removal")
			}
			if err := c.Stop(ctx, u.Name); !errors.Is(err, ErrNoSuchUnit) {
				t.Errorf("second stop: %v", err)
			}
		})
	}
}

func TestRealKill(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	c := dialTest(t)
	u, pid := startTest(t, c, "kill", nil)
	pids, err := Procs("/sdcontainer.slice/" + u.Name)
	if d := cmp.Diff([]int{int(pid)}, pids); d != "" || err != nil {
		t.Errorf("processes: %v %s", err, d)
	}
	gone, err := c.WatchRemoved(t.Context(), u.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(t.Context(), u.Name, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if err := c.Kill(t.Context(), u.Name, unix.SIGKILL); !errors.Is(err, ErrNoSuchUnit) {
		t.Errorf("kill of nothing: %v", err)
	}
}

func TestRealSetProperties(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	u, _ := startTest(t, c, "set", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(10))}})
	defer c.Stop(context.WithoutCancel(ctx), u.Name)
	next, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(20))}}}},
		configs.Settings{Name: "set", StopTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := u.Changes(next, nil)
	if err != nil || len(changes) != 1 || changes[0].Name != "TasksMax" {
		t.Fatalf("changes %v, %v; want TasksMax alone", changes, err)
	}
	if err := c.SetProperties(ctx, u.Name, true, changes); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Get(ctx, u.Name, "TasksMax"); err != nil || p["TasksMax"] != uint64(20) {
		t.Errorf("TasksMax is %v, %v", p["TasksMax"], err)
	}
}

// TestRealListsAreReplaced: what a change leaves out of a list is no longer allowed, though systemd adds to lists. It
// stays so when systemd reads its files again.
func TestRealListsAreReplaced(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	lists := map[string]struct{ wide, narrow, gone, kept string }{
		"DeviceAllow":               {"[('/dev/char/10:229', 'rw'), ('/dev/char/10:200', 'rw')]", "[('/dev/char/10:200', 'rw')]", "10:229", "10:200"},
		"DisableControllers":        {"['io', 'cpuset']", "['io']", "cpuset", "io"},
		"IODeviceLatencyTargetUSec": {"[('/dev/sda', uint64 5), ('/dev/sdb', uint64 6)]", "[('/dev/sdb', uint64 6)]", "sda", "sdb"},
		"IODeviceWeight":            {"[('/dev/sda', uint64 5), ('/dev/sdb', uint64 6)]", "[('/dev/sdb', uint64 6)]", "sda", "sdb"},
		"IOReadBandwidthMax":        {"[('/dev/sda', uint64 5), ('/dev/sdb', uint64 6)]", "[('/dev/sdb', uint64 6)]", "sda", "sdb"},
		"IPAddressAllow":            {"[(2, [byte 10,0,0,0], uint32 8), (2, [byte 11,0,0,0], uint32 8)]", "[(2, [byte 11,0,0,0], uint32 8)]", "[10 0 0 0]", "[11 0 0 0]"},
		"IPAddressDeny":             {"[(2, [byte 10,0,0,0], uint32 8), (2, [byte 11,0,0,0], uint32 8)]", "[(2, [byte 11,0,0,0], uint32 8)]", "[10 0 0 0]", "[11 0 0 0]"},
		"RestrictNetworkInterfaces": {"(true, ['eth0', 'wg0'])", "(true, ['wg0'])", "eth0", "wg0"},
		"SocketBindAllow":           {"[(2, 6, uint16 1, uint16 80), (2, 6, uint16 1, uint16 90)]", "[(2, 6, uint16 1, uint16 90)]", "80", "90"},
	}
	look := func(when, unit, name string) {
		v := lists[name]
		p, err := c.Get(ctx, unit, name)
		if have := fmt.Sprint(p[name]); err != nil || strings.Contains(have, v.gone) || !strings.Contains(have, v.kept) {
			t.Errorf("%s %s: %s, %v, want no %s", name, when, have, err, v.gone)
		}
	}
	units := map[string]string{}
	for name, v := range lists {
		wide, err := Parse(name, v.wide)
		if err != nil {
			t.Fatal(err)
		}
		narrow, err := Parse(name, v.narrow)
		if err != nil {
			t.Fatal(err)
		}
		u := testUnit(t)
		u.Name = "sdc-list-" + strings.ToLower(name) + ".scope"
		if info, _ := Lookup(name); !info.merges() { // of these Changes sets the first one alone
			u.Properties = append(u.Properties, wide)
		}
		job, err := c.Start(ctx, u, sleeper(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		defer c.Stop(context.WithoutCancel(ctx), u.Name)
		if err := c.SetProperties(ctx, u.Name, true, []Property{narrow}); err != nil {
			t.Fatal(err)
		}
		look("at once", u.Name, name)
		units[name] = u.Name
	}
	if err := c.call(ctx, "", "Reload", nil); err != nil {
		t.Fatal(err)
	}
	for name, unit := range units {
		look("after a reload", unit, name)
	}
}

// R7: a running unit is left alone, a failed one makes room.
func TestRealUnitExists(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	u, _ := startTest(t, c, "twice", nil)
	defer c.Stop(context.WithoutCancel(ctx), u.Name)
	job, err := c.Start(ctx, u, sleeper(t))
	if err != nil {
		t.Fatal(err)
	}
	err = job.Wait(ctx)
	var exists *UnitExistsError
	if !errors.Is(err, ErrUnitExists) || !errors.As(err, &exists) || exists.State != "active" {
		t.Errorf("second start: %v", err)
	}
}

// R7: a failed unit keeps its name and makes room for the next.
func TestRealFailedLeftover(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	p := &planner{unit: Unit{Name: "sdc-left.scope"}}
	p.set("test", "CollectMode", "inactive") // keeps a failed unit
	p.set("test", "RuntimeMaxUSec", uint64(1000))
	for range 3 {
		job, err := c.Start(ctx, p.unit, sleeper(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		for state := any("active"); state != "failed"; {
			got, err := c.Get(ctx, p.unit.Name, "ActiveState")
			if err != nil {
				t.Fatal(err)
			}
			state = got["ActiveState"]
		}
	}
	if err := c.ResetFailed(ctx, p.unit.Name); err != nil {
		t.Error(err)
	}
}

// R6: a process that ends while systemd moves it leaves a unit that nothing
// ever ends, and that must not be in the way of the next.
func TestRealDeadOnArrival(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := dialTest(t)
	unit := Unit{Name: "sdc-dead.scope"}
	dead := func() {
		t.Helper()
		job, err := c.Start(ctx, unit, sdtest.Zombie(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Wait(ctx); err != nil { // a later systemd may well refuse it
			t.Logf("with a dead process: %v", err)
		}
	}
	dead()
	job, err := c.Start(ctx, unit, sleeper(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(ctx); err != nil {
		t.Fatalf("the same name again: %v", err)
	}
	if err := c.EndEmpty(ctx, unit.Name); err != nil {
		t.Error(err)
	}
	if path, err := c.ControlGroup(ctx, unit.Name); err != nil || !Populated(path) {
		t.Errorf("a unit with a process is gone: %q, %v", path, err)
	}
	if err := c.Stop(ctx, unit.Name); err != nil {
		t.Error(err)
	}
	dead()
	for range 2 {
		if err := c.EndEmpty(ctx, unit.Name); err != nil {
			t.Error(err)
		}
	}
	if p, err := c.Get(ctx, unit.Name, "ActiveState"); err == nil && p["ActiveState"] == "active" {
		t.Errorf("still %v", p)
	}
}

func BenchmarkStart(b *testing.B) {
	if !sdtest.Inside(b) {
		return
	}
	for b.Loop() {
		c, err := Dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		u, err := Plan(&specs.Spec{}, configs.Settings{Name: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		pid := sleeper(b)
		b.StartTimer()
		job, err := c.Start(b.Context(), u, pid)
		if err == nil {
			err = job.Wait(b.Context())
		}
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Stop(b.Context(), u.Name); err != nil {
			b.Fatal(err)
		}
		c.Close()
		b.StartTimer()
	}
}
