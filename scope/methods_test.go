// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

const (
	unitExists  = destination + ".UnitExists"
	noSuchUnit  = destination + ".NoSuchUnit"
	readOnly    = "org.freedesktop.DBus.Error.PropertyReadOnly"
	invalidArgs = "org.freedesktop.DBus.Error.InvalidArgs"
)

// firstThen answers the first call one way and the later ones another.
func firstThen(first, later func(*fakesystemd.Peer, *dbus.Message)) func(*fakesystemd.Peer, *dbus.Message) {
	n := 0
	return func(p *fakesystemd.Peer, msg *dbus.Message) {
		if n++; n == 1 {
			first(p, msg)
			return
		}
		later(p, msg)
	}
}

func failing(name string) func(*fakesystemd.Peer, *dbus.Message) {
	return func(p *fakesystemd.Peer, msg *dbus.Message) { p.Fail(msg, name, "text of "+name) }
}

func ok(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg) }

// R7: a unit that has the name is made room for where it has ended, and left alone where it lives.
func TestUnitExists(t *testing.T) {
	const unit = "sdc-web.scope"
	removed := func(p *fakesystemd.Peer) { p.Signal("UnitRemoved", unit, unitPath(unit)) }
	getUnit := func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, unitPath(unit)) }
	fakeTree(t, map[string]string{
		"web/cgroup.events": "populated 1\n", "empty/cgroup.events": "populated 0\n",
	})
	endsNow := func() func(*fakesystemd.Peer, *dbus.Message) {
		return firstThen(func(p *fakesystemd.Peer, msg *dbus.Message) { getUnit(p, msg); removed(p) }, failing(noSuchUnit))
	}
	for _, c := range []struct {
		name, state string
		cgroup      string
		getUnit     func(*fakesystemd.Peer, *dbus.Message)
		starts      int
		file        bool
		want        error
	}{
		{"failed leftover", "failed", "", firstThen(getUnit, failing(noSuchUnit)), 2, false, nil},
		{"ends right now", "deactivating", "/web", endsNow(), 2, false, nil},
		{"is empty", "active", "/empty", endsNow(), 2, false, nil},
		{"ended meanwhile", "inactive", "", failing(noSuchUnit), 2, false, nil},
		{"runs", "active", "/web", getUnit, 1, false, ErrUnitExists},
		{"is a file", "active", "/empty", getUnit, 1, true, ErrUnitExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("StartTransientUnit", firstThen(failing(unitExists), done))
			m.On("GetUnit", c.getUnit)
			m.On("ResetFailedUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { ok(p, msg); removed(p) })
			m.On("StopUnit", done)
			m.Set(unit+" ActiveState", c.state)
			m.Set(unit+" Transient", !c.file)
			m.Set(unit+" ControlGroup", c.cgroup)
			err := start(t, dialFake(t, m), testUnit(t))
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if n := m.Count("StartTransientUnit"); n != c.starts {
				t.Errorf("%d attempts, want %d", n, c.starts)
			}
			if resets := m.Count("ResetFailedUnit"); (resets == 1) != (c.state == "failed") {
				t.Errorf("%d resets", resets)
			}
			var exists *UnitExistsError
			if c.want != nil && (!errors.As(err, &exists) || exists.State != c.state || exists.File != c.file) {
				t.Errorf("error is %#v", err)
			}
		})
	}
}

// A unit whose name is taken may end while it is asked what it is.
func TestUnitExistsUntilAsked(t *testing.T) {
	const unit = "sdc-web.scope"
	fakeTree(t, map[string]string{"web/cgroup.events": "populated 1\n"})
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", firstThen(failing(unitExists), done))
	m.On("GetUnit", failing(noSuchUnit))
	m.Set(unit+" Transient", true)
	m.Set(unit+" ControlGroup", "/web")
	m.Set(unit+" ActiveState", "active")
	m.On("Get", func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.Property(msg)
		m.Set(unit+" ControlGroup", "")
		m.Set(unit+" ActiveState", "inactive")
	})
	if err := start(t, dialFake(t, m), testUnit(t)); err != nil {
		t.Error(err)
	}
	if n := m.Count("StartTransientUnit"); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

func TestUnitExistsAgain(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", failing(unitExists))
	m.On("GetUnit", failing(noSuchUnit))
	m.Set("sdc-web.scope ActiveState", "inactive")
	m.Set("sdc-web.scope Transient", true)
	m.Set("sdc-web.scope ControlGroup", "")
	if err := start(t, dialFake(t, m), testUnit(t)); !errors.Is(err, ErrUnitExists) {
		t.Errorf("error is %v, want ErrUnitExists", err)
	}
	if n := m.Count("StartTransientUnit"); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

// An older systemd refuses the whole call for one property it does not know.
func TestPropertyRefused(t *testing.T) {
	newer := Property{Name: "MemoryZSwapMax", Value: uint64(1), Since: 253, Source: "here"}
	for _, strict := range []bool{false, true} {
		m := fakesystemd.New(t)
		m.Set("Version", "252 (252.39-1~deb12u1)")
		last := make(chan map[string]any, 2)
		m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) {
			properties := fakesystemd.Sent(msg)
			last <- properties
			if _, has := properties[newer.Name]; has {
				p.Fail(msg, readOnly, "Cannot set property "+newer.Name+", or unknown property.")
				return
			}
			done(p, msg)
		})
		u := testUnit(t)
		u.Strict = strict
		u.Properties = append(u.Properties, newer)
		job, err := dialFake(t, m).Start(t.Context(), u, 42)
		if err != nil {
			t.Fatal(err)
		}
		err = job.Wait(t.Context())
		if strict {
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "MemoryZSwapMax (here) needs systemd 253, this is 252") {
				t.Errorf("strict: error is %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(job.Dropped) != 1 || job.Dropped[0].Name != newer.Name || job.Unit().Get(newer.Name) != nil {
			t.Errorf("dropped %v", job.Dropped)
		}
		if <-last; len(<-last) != len(testUnit(t).Properties)+1 {
			t.Error("more than that one was left out")
		}
	}
}

// A change of a running unit goes without what this systemd lacks, as its start does.
func TestSetKnown(t *testing.T) {
	newer, known := Property{Name: "MemoryZSwapMax", Value: uint64(1), Since: 253, Source: "here"}, Property{Name: "TasksMax", Value: uint64(5)}
	for _, c := range []struct {
		name    string
		strict  bool
		all     []Property
		calls   int
		dropped int
		want    string
	}{
		{"known", true, []Property{known}, 1, 0, ""},
		{"strict", true, []Property{known, newer}, 1, 0, "MemoryZSwapMax (here) needs systemd 253, this is 252"},
		{"one is left", false, []Property{known, newer}, 2, 1, ""},
		{"none is left", false, []Property{newer}, 1, 1, ""},
	} {
		m := fakesystemd.New(t)
		m.Set("Version", "252 (252.39-1~deb12u1)")
		m.On("SetUnitProperties", func(p *fakesystemd.Peer, msg *dbus.Message) {
			if list, _ := msg.Body[2].([][]any); slices.ContainsFunc(list, func(one []any) bool { return one[0] == newer.Name }) {
				p.Fail(msg, readOnly, "Cannot set property "+newer.Name+", or unknown property.")
				return
			}
			ok(p, msg)
		})
		dropped, err := dialFake(t, m).SetKnown(t.Context(), Unit{Name: "x.scope", Properties: c.all, Strict: c.strict}, true)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.want)
		}
		if len(dropped) != c.dropped || m.Count("SetUnitProperties") != c.calls {
			t.Errorf("%s: %d calls, dropped %v", c.name, m.Count("SetUnitProperties"), dropped)
		}
	}
}

// A refusal that no version explains is passed on, not tried again for ever.
func TestPropertyRefusedForOtherReasons(t *testing.T) {
	m := fakesystemd.New(t)
	m.Set("Version", "257.4")
	m.On("StartTransientUnit", failing(readOnly))
	if err := start(t, dialFake(t, m), testUnit(t)); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "systemd 257") {
		t.Errorf("error is %v", err)
	}
	if n := m.Count("StartTransientUnit"); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

func TestErrorNames(t *testing.T) {
	for name, want := range byName() {
		m := fakesystemd.New(t)
		m.On("KillUnit", failing(name))
		c := dialFake(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a manager that is away is waited for
		defer cancel()
		err := c.Kill(ctx, "x.scope", unix.SIGTERM)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "text of "+name) || !strings.Contains(err.Error(), "KillUnit x.scope") {
			t.Errorf("%s: error is %v, want %v", name, err, want)
		}
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		freezer string
		calls   []string
	}{
		{"running", []string{"Get", "Get", "StopUnit"}},
		{"frozen", []string{"Get", "Get", "ThawUnit", "StopUnit"}},
	} {
		t.Run(c.freezer, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.Set("sdc-web.scope FreezerState", c.freezer)
			m.Set("sdc-web.scope TimeoutStopUSec", uint64(1000))
			m.On("ThawUnit", ok)
			m.On("StopUnit", done)
			if err := dialFake(t, m).Stop(t.Context(), "sdc-web.scope"); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.calls, m.Calls()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestStopNothing(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StopUnit", failing(noSuchUnit))
	if err := dialFake(t, m).Stop(t.Context(), "sdc-web.scope"); !errors.Is(err, ErrNoSuchUnit) {
		t.Errorf("error is %v, want ErrNoSuchUnit", err)
	}
}

func TestStopLosesManager(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StopUnit", func(p *fakesystemd.Peer, _ *dbus.Message) { p.Hangup() })
	m.Set("sdc-web.scope ActiveState", "inactive")
	m.Set("sdc-web.scope Job", struct {
		ID   uint32
		Path dbus.ObjectPath
	}{0, "/"})
	if err := dialFake(t, m).Stop(t.Context(), "sdc-web.scope"); err != nil {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]int{"252": 252, "255.4-1ubuntu8": 255, "v257": 0, "": 0} {
		m := fakesystemd.New(t)
		m.Set("Version", text)
		c := dialFake(t, m)
		for range 2 {
			if n, err := c.Version(t.Context()); n != want || (err == nil) != (want != 0) {
				t.Errorf("%q: %d, %v; want %d", text, n, err, want)
			}
		}
		if n := m.Count("Get"); want != 0 && n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	}
}

func TestSetProperties(t *testing.T) {
	m := fakesystemd.New(t)
	var got *dbus.Message
	m.On("SetUnitProperties", func(p *fakesystemd.Peer, msg *dbus.Message) { got = msg; ok(p, msg) })
	c := dialFake(t, m)
	if err := c.SetProperties(t.Context(), "x.scope", true, []Property{{Name: "TasksMax", Value: uint64(5)}}); err != nil {
		t.Fatal(err)
	}
	if got.Body[0] != "x.scope" || got.Body[1] != true {
		t.Errorf("called with %v", got.Body)
	}
	if d := cmp.Diff(map[string]any{"TasksMax": uint64(5)}, fakesystemd.Sent(got)); d != "" {
		t.Error(d)
	}
	m.On("SetUnitProperties", failing(invalidArgs))
	if err := c.SetProperties(t.Context(), "x.scope", true, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("error is %v, want ErrInvalid", err)
	}
}

func TestKeeper(t *testing.T) {
	for _, c := range []struct {
		name   string
		attach func(*fakesystemd.Peer, *dbus.Message)
		start  func(*fakesystemd.Peer, *dbus.Message)
		starts int
	}{
		{"there is one", ok, failing(unitExists), 0},
		{"first", failing(noSuchUnit), done, 1},
		{"ended just now", failing(invalidArgs), done, 1},
		{"another was first", firstThen(failing(noSuchUnit), ok), failing(unitExists), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("AttachProcessesToUnit", c.attach)
			m.On("StartTransientUnit", c.start)
			m.On("GetUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, unitPath(KeepersUnit)) })
			m.Set(KeepersUnit+" ActiveState", "active")
			m.Set(KeepersUnit+" Transient", true)
			m.Set(KeepersUnit+" ControlGroup", "")
			m.Set(KeepersUnit+" Job", struct {
				ID   uint32
				Path dbus.ObjectPath
			}{0, "/"})
			m.On("Subscribe", ok)
			if err := dialFake(t, m).StartKeeper(t.Context(), 42); err != nil {
				t.Fatal(err)
			}
			if n := m.Count("StartTransientUnit"); n != c.starts {
				t.Errorf("%d starts, want %d", n, c.starts)
			}
		})
	}
}
