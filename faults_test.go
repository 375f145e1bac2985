// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
	"github.com/sdcontainer/sdcontainer/scope"
)

// withoutManager runs the test again in a mount namespace of its own, where a fake manager can be where systemd's socket
// would be, and says whether this is that run.
func withoutManager(t *testing.T) bool {
	t.Helper()
	sdtest.Require(t, sdtest.Root)
	if os.Getenv("SDCONTAINER_TEST_FAULTS") == "" {
		cmd := exec.Command("unshare", "--mount", "--propagation=private", must(os.Executable()), "-test.v", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SDCONTAINER_TEST_FAULTS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return false
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("/run/systemd", 0o755); err != nil {
		t.Fatal(err)
	}
	return true
}

// What fails in exec is that the container is not running where systemd stops it or has, and nothing else: not where a
// service is not ready yet or reloads.
func TestExecInAStoppedUnit(t *testing.T) {
	if !withoutManager(t) {
		return
	}
	m := fakesystemd.Listen(t, "/run/systemd/private")
	failed := errors.New("connection lost")
	for state, stopped := range map[string]bool{
		"active": false, "activating": false, "reloading": false, "refreshing": false, "maintenance": false,
		"deactivating": true, "inactive": true, "failed": true,
	} {
		m.Set("web.service ActiveState", state)
		l := &launch{c: &Container{id: "web", st: &record{Unit: "web.service"}}, pid: 1}
		if err := l.unlessStopped(t.Context(), failed); !errors.Is(err, failed) || errors.Is(err, ErrNotRunning) != stopped {
			t.Errorf("%s: %v; want ErrNotRunning: %t", state, err, stopped)
		}
	}
}

// R11, R12, R13: what a start does when systemd is not what it should be: one clear error, soon, and
// nothing is left.
func TestManagerFaults(t *testing.T) {
	if !withoutManager(t) {
		return
	}
	const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
	gone := func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.Fail(msg, "org.freedesktop.systemd1.NoSuchUnit", "gone")
	}
	for name, c := range map[string]struct {
		start func(*fakesystemd.Peer, *dbus.Message) // answers StartTransientUnit; nil: nobody listens
		is    error
		says  string
	}{
		"nobody listens": {nil, scope.ErrNoManager, "/run/systemd/private"},
		"lets nobody in": {nil, context.DeadlineExceeded, "create"},
		"refuses": {func(p *fakesystemd.Peer, msg *dbus.Message) {
			p.Fail(msg, "org.freedesktop.DBus.Error.AccessDenied", "not you")
		}, nil, "not you"},
		"property unknown": {func(p *fakesystemd.Peer, msg *dbus.Message) {
			p.Fail(msg, "org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property OOMPolicy")
		}, ErrUnsupported, "OOMPolicy"},
		"job fails": {func(p *fakesystemd.Peer, msg *dbus.Message) {
			p.Reply(msg, job)
			p.JobRemoved(job, msg.Body[0].(string), "failed")
		}, nil, "failed"},
		"job is never heard of again": {func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, job) }, context.DeadlineExceeded, "job of"},
		"never answers":               {func(*fakesystemd.Peer, *dbus.Message) {}, context.DeadlineExceeded, "StartTransientUnit"},
		"goes away":                   {func(p *fakesystemd.Peer, _ *dbus.Message) { p.Hangup() }, context.DeadlineExceeded, "job of"},
		"answers with another type":   {func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, uint32(7)) }, context.DeadlineExceeded, "job of"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "lets nobody in" {
				silentBus(t)
			}
			if c.start != nil {
				m := fakesystemd.Listen(t, "/run/systemd/private")
				m.Set("Version", "257")
				m.Set("sdc-x.scope ActiveState", "activating")
				m.Set("sdc-x.scope Job", []any{uint32(1), job})
				m.On("StartTransientUnit", c.start)
				for _, method := range []string{"StopUnit", "ResetFailedUnit", "KillUnit"} {
					m.On(method, gone)
				}
			}
			patience := time.Minute // nothing is waited for
			if errors.Is(c.is, context.DeadlineExceeded) {
				patience = sdtest.Slower(2*time.Second, 3) // to come as far as the call
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			_, err := w.Create(ctx, "x", w.spec("x", "/bin/true"), CreateOptions{})
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %v with %q", err, c.is, c.says)
			}
			if took := time.Since(began); took > sdtest.Slower(10*time.Second, 3) {
				t.Errorf("it took %v", took)
			}
			nothingLeftOf(t, w.Runtime)
		})
	}
}

// silentBus accepts connections, and that is all.
func silentBus(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll("/run/dbus", 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", "/run/dbus/system_bus_socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// nothingLeftOf says that there is no record, and this process has no child.
func nothingLeftOf(t *testing.T, r *Runtime) {
	t.Helper()
	if left := r.names(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if left := children(t); left != "" {
		t.Errorf("children left: %s", left)
	}
}

// children are this process's, those that have ended included.
func children(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		b, _ := os.ReadFile(file) // its thread may have ended
		all = append(all, strings.Fields(string(b))...)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
