// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

// hangups answers the first calls by hanging up, as a manager does that re-executes itself.
func hangups(n int64, then func(*fakesystemd.Peer, *dbus.Message)) func(*fakesystemd.Peer, *dbus.Message) {
	var calls atomic.Int64 // each connection is served by itself
	return func(p *fakesystemd.Peer, msg *dbus.Message) {
		if calls.Add(1) <= n {
			p.Hangup()
			return
		}
		then(p, msg)
	}
}

// R9: what was written just before the manager re-executed itself may have been read or not. Every
// call that does no harm the second time is made again.
func TestManagerComesBack(t *testing.T) {
	const unit = "sdc-web.scope"
	for _, c := range []struct {
		method string
		answer func(*fakesystemd.Peer, *dbus.Message)
		state  string
		calls  int
		do     func(context.Context, *Conn) error
	}{
		{"FreezeUnit", ok, "active", 3, func(ctx context.Context, c *Conn) error { return c.Freeze(ctx, unit) }},
		{"ThawUnit", ok, "active", 3, func(ctx context.Context, c *Conn) error { return c.Thaw(ctx, unit) }},
		{"KillUnit", ok, "active", 3, func(ctx context.Context, c *Conn) error { return c.Kill(ctx, unit, unix.SIGKILL) }},
		{"SetUnitProperties", ok, "active", 3, func(ctx context.Context, c *Conn) error {
			return c.SetProperties(ctx, unit, true, []Property{{Name: "TasksMax", Value: uint64(5)}})
		}},
		{"AttachProcessesToUnit", ok, "active", 3, func(ctx context.Context, c *Conn) error { return c.StartKeeper(ctx, 42) }},
		{"StopUnit", done, "active", 3, func(ctx context.Context, c *Conn) error { return c.Stop(ctx, unit) }},
		{"StopUnit", failing(noSuchUnit), "active", 3, func(ctx context.Context, c *Conn) error { return c.Stop(ctx, unit) }},
		{"StopUnit", done, "inactive", 1, func(ctx context.Context, c *Conn) error { return c.Stop(ctx, unit) }},
		{"StartTransientUnit", done, "inactive", 3, func(ctx context.Context, c *Conn) error {
			job, err := c.Start(ctx, testUnit(t), 42)
			if err != nil {
				return err
			}
			return job.Wait(ctx)
		}},
	} {
		t.Run(c.method+" "+c.state, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("ResetFailedUnit", failing(noSuchUnit))
			m.Set(unit+" ActiveState", c.state)
			m.Set(unit+" FreezerState", "running")
			m.Set(unit+" TimeoutStopUSec", uint64(1000))
			m.Set(unit+" Job", struct {
				ID   uint32
				Path dbus.ObjectPath
			}{0, "/"})
			m.On(c.method, hangups(2, c.answer))
			if err := c.do(t.Context(), dialFake(t, m)); err != nil {
				t.Error(err)
			}
			if n := m.Count(c.method); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

// R12: a manager runs its jobs between two calls. What it says of a unit's job and of its state is of
// two moments, and a start that is just happening must not look like one that was lost.
func TestJobEndsBetweenQuestions(t *testing.T) {
	const unit = "sdc-web.scope"
	type job struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	m := fakesystemd.New(t)
	m.Set(unit+" ActiveState", "inactive")
	m.Set(unit+" Job", job{7, testJob})
	m.On("StartTransientUnit", hangups(1, failing("org.freedesktop.systemd1.UnitExists")))
	var asked atomic.Int64
	m.On("Get", func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.Property(msg)
		if asked.Add(1) == 1 {
			m.Set(unit+" ActiveState", "active")
			m.Set(unit+" Job", job{0, "/"})
		}
	})
	started, err := dialFake(t, m).Start(t.Context(), testUnit(t), 42)
	if err != nil {
		t.Fatal(err)
	}
	if err := started.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := m.Count("StartTransientUnit"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestFrozenByHalf: a process that sleeps in the kernel keeps a unit from being frozen. The others go on, and what
// cannot be thawed is stopped.
func TestFrozenByHalf(t *testing.T) {
	const unit = "sdc-web.scope"
	m := fakesystemd.New(t)
	for name, v := range map[string]any{"FreezerState": "freezing", "TimeoutStopUSec": uint64(1000), "ActiveState": "inactive"} {
		m.Set(unit+" "+name, v)
	}
	refuse := failing("org.freedesktop.DBus.Error.Failed")
	m.On("FreezeUnit", refuse)
	m.On("ThawUnit", refuse)
	m.On("StopUnit", done)
	c := dialFake(t, m)
	if err := c.Freeze(t.Context(), unit); err == nil || !strings.Contains(err.Error(), "FreezeUnit") || m.Count("ThawUnit") != 1 {
		t.Errorf("freeze: %v, %d thawed", err, m.Count("ThawUnit"))
	}
	if err := c.Stop(t.Context(), unit); err != nil || m.Count("StopUnit") != 1 {
		t.Errorf("stop: %v, %d asked", err, m.Count("StopUnit"))
	}
	m.On("StopUnit", refuse)
	if err := c.Stop(t.Context(), unit); err == nil || !strings.Contains(err.Error(), "StopUnit") || !strings.Contains(err.Error(), "ThawUnit") {
		t.Errorf("neither: %v", err)
	}
}

// TestSignalIsNotSentTwice: a payload would see it twice. What was surely not heard is sent again.
func TestSignalIsNotSentTwice(t *testing.T) {
	var calls atomic.Int64
	for name, c := range map[string]struct {
		answer func(*fakesystemd.Peer, *dbus.Message)
		calls  int
		err    error
	}{
		"lost": {hangups(1, ok), 1, ErrLost},
		"not there": {func(p *fakesystemd.Peer, msg *dbus.Message) {
			if calls.Add(1) == 1 {
				failing("org.freedesktop.DBus.Error.ServiceUnknown")(p, msg)
				return
			}
			ok(p, msg)
		}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("KillUnit", c.answer)
			err := dialFake(t, m).Kill(t.Context(), "sdc-web.scope", unix.SIGTERM)
			if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), "whether the signal arrived is unknown") {
				t.Errorf("got %v, want %v", err, c.err)
			}
			if n := m.Count("KillUnit"); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}
