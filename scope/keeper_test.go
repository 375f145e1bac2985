// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

// TestKeepersAtOnce: many first keepers at once. One makes the scope; the others wait until its job is done, however busy
// the manager is with them.
func TestKeepersAtOnce(t *testing.T) {
	m := fakesystemd.New(t)
	attached := make(chan struct{})
	m.On("AttachProcessesToUnit", func(p *fakesystemd.Peer, msg *dbus.Message) {
		select {
		case <-attached:
			p.Reply(msg)
		default:
			p.Fail(msg, invalidArgs, "Unit not active")
		}
	})
	m.On("StartTransientUnit", failing(unitExists))
	m.On("GetUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, unitPath(KeepersUnit)) })
	m.On("Subscribe", ok)
	m.Set(KeepersUnit+" ActiveState", "inactive")
	m.Set(KeepersUnit+" Transient", true)
	m.Set(KeepersUnit+" ControlGroup", "")
	m.On("Get", func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.Property(msg)
		if msg.Body[1] == "Job" {
			close(attached)
			p.JobRemoved(testJob, KeepersUnit, "done")
		}
	})
	m.Set(KeepersUnit+" Job", struct {
		ID   uint32
		Path dbus.ObjectPath
	}{7, testJob})
	begin := time.Now()
	if err := dialFake(t, m).StartKeeper(t.Context(), 42); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > askAfter/2 {
		t.Errorf("it took %v: nobody waited for the job", took)
	}
}

// Where systemd is not at the root of its hierarchy, nor are the keepers.
func TestKeepersBelow(t *testing.T) {
	for manager, want := range map[string]string{
		"/init.scope": "/sdcontainer.slice/" + KeepersUnit, "/": "/sdcontainer.slice/" + KeepersUnit,
		"/docker/0123/init.scope": "/docker/0123/sdcontainer.slice/" + KeepersUnit, "": "/sdcontainer.slice/" + KeepersUnit,
	} {
		if got := keepersBelow(manager); got != want {
			t.Errorf("%s: %s, want %s", manager, got, want)
		}
	}
}
