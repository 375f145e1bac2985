// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestRealKeepers(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	for range 3 {
		pid := sleeper(t)
		if err := c.StartKeeper(ctx, pid); err != nil {
			t.Fatal(err)
		}
		if path, err := CgroupOf(int(pid)); err != nil || path != keepersCgroup(t, c) {
			t.Errorf("keeper is in %s, %v", path, err)
		}
	}
	if p, err := c.Get(ctx, KeepersUnit, "TasksMax"); err != nil || p["TasksMax"] != uint64(Infinity) {
		t.Errorf("%v, %v: the number of keepers is bounded", p, err)
	}
	if err := c.Kill(ctx, KeepersUnit, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The scope may be on its way out: the next keeper gets a new one.
	pid := sleeper(t)
	if err := c.StartKeeper(ctx, pid); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(ctx, KeepersUnit); err != nil {
		t.Error(err)
	}
}

// A keeper that was killed on its way in leaves a scope of which systemd hears nothing more.
func TestRealEmptyKeepers(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := dialTest(t)
	if err := EndEmptyKeepers(); err != nil {
		t.Errorf("without a scope: %v", err)
	}
	if err := c.StartKeeper(ctx, sdtest.Zombie(t)); err != nil {
		t.Fatal(err) // a later systemd may well refuse it: then there is no such scope any more
	}
	cgroup := keepersCgroup(t, c)
	if Populated(cgroup) {
		t.Fatalf("%s is populated by a dead process", cgroup)
	}
	gone, err := c.WatchRemoved(ctx, KeepersUnit)
	if err != nil {
		t.Fatal(err)
	}
	if err := EndEmptyKeepers(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the empty scope stays")
	}

	// One in which there is a keeper is left alone.
	if err := errors.Join(c.StartKeeper(ctx, sleeper(t)), EndEmptyKeepers()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(ctx); err != nil { // systemd has looked
		t.Fatal(err)
	}
	if !Populated(keepersCgroup(t, c)) {
		t.Error("the scope of a living keeper is gone")
	}
	if err := c.Stop(ctx, KeepersUnit); err != nil {
		t.Error(err)
	}
}

// R9: the manager re-executes itself and takes every connection along.
func TestRealReexec(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx := t.Context()
	c := dialTest(t)
	u, _ := startTest(t, c, "reexec", nil)
	gone, err := c.WatchRemoved(ctx, u.Name)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemctl", "daemon-reexec").CombinedOutput(); err != nil {
		t.Fatalf("daemon-reexec: %v: %s", err, out)
	}
	if _, err := c.ControlGroup(ctx, u.Name); err != nil {
		t.Error(err)
	}
	select {
	case err := <-gone:
		t.Errorf("the watch of a living unit ended with %v", err)
	default:
	}
	if err := c.Stop(ctx, u.Name); err != nil {
		t.Error(err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

// TestRealBus: the same over dbus-daemon.
func TestRealBus(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bus := []address{{"/run/dbus/system_bus_socket", false}}
	c, err := dial(ctx, bus)
	for errors.Is(err, ErrNoManager) && ctx.Err() == nil { // the first client starts the bus, then PID 1 goes there
		c, err = dial(ctx, bus)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	u, _ := startTest(t, c, "bus", nil)
	gone, err := c.WatchRemoved(t.Context(), u.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context(), u.Name); err != nil {
		t.Error(err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

// TestRealSmallCalls: systemd does not look at a small message that it reads together with
// the authentication.
func TestRealSmallCalls(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout/2)
	defer cancel()
	for range 20 {
		c := dialTest(t)
		if _, err := c.Version(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.StartKeeper(ctx, sleeper(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// keepersCgroup is what systemd says, which must be what is found without it.
func keepersCgroup(t *testing.T, c *Conn) string {
	t.Helper()
	want, err := c.ControlGroup(t.Context(), KeepersUnit)
	if got, err2 := KeepersCgroup(); got != want || err != nil || err2 != nil {
		t.Errorf("the keepers' cgroup is %s, %v; systemd says %s, %v", got, err2, want, err)
	}
	return want
}
