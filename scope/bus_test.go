// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

const testJob = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")

func testUnit(t testing.TB) Unit {
	t.Helper()
	u, err := Plan(&specs.Spec{}, configs.Settings{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// done answers a call that makes a job, and ends the job well.
func done(p *fakesystemd.Peer, msg *dbus.Message) {
	p.Reply(msg, testJob)
	p.JobRemoved(testJob, msg.Body[0].(string), "done")
}

func start(t testing.TB, c *Conn, u Unit) error {
	t.Helper()
	job, err := c.Start(t.Context(), u, 42)
	if err != nil {
		t.Fatal(err)
	}
	return job.Wait(t.Context())
}

func TestStartSendsEverything(t *testing.T) {
	m := fakesystemd.New(t)
	got := make(chan *dbus.Message, 1)
	m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { got <- msg; done(p, msg) })
	u, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{
		CPU: &specs.LinuxCPU{Cpus: "0"}, Pids: &specs.LinuxPids{Limit: ptr(int64(3))},
	}}}, configs.Settings{Name: "web", UnitProperties: map[string]string{
		"IPAddressDeny":             "[(2, [byte 10,0,0,0], uint32 8)]",
		"SocketBindAllow":           "[(2, 6, uint16 1, uint16 80)]",
		"RestrictNetworkInterfaces": "(true, ['eth0'])",
		"NFTSet":                    "[(3, 1, 'filter', 'web')]",
		"IOReadBandwidthMax":        "[('/dev/sda', uint64 5)]",
		"After":                     "['a.service']",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := start(t, dialFake(t, m), u); err != nil {
		t.Fatal(err)
	}
	msg := <-got
	if sig := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature).String(); sig != "ssa(sv)a(sa(sv))" {
		t.Errorf("signature is %s", sig)
	}
	if msg.Body[0] != "sdc-web.scope" || msg.Body[1] != "fail" {
		t.Errorf("name and mode are %v", msg.Body[:2])
	}
	signatures := map[string]string{}
	for _, p := range msg.Body[2].([][]any) {
		signatures[p[0].(string)] = p[1].(dbus.Variant).Signature().String()
	}
	if signatures["PIDs"] != "au" {
		t.Errorf("PIDs has type %q", signatures["PIDs"])
	}
	for _, p := range u.Properties {
		if info, _ := Lookup(p.Name); signatures[p.Name] != info.Sig {
			t.Errorf("%s was sent with type %q, want %q", p.Name, signatures[p.Name], info.Sig)
		}
	}
	if have := fakesystemd.Sent(msg)["PIDs"]; !reflect.DeepEqual(have, []uint32{42}) {
		t.Errorf("PIDs is %v", have)
	}
	if m.Count("Hello") != 0 || len(m.Calls()) != 1 {
		t.Errorf("calls %v, want the one", m.Calls())
	}
}

// The first write carries authentication and the call: no round trip before it. A small
// call waits, see TestRealSmallCalls.
func TestDialIsPipelined(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dial(t.Context(), []address{{path, true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Start(t.Context(), testUnit(t), 42); err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	b := make([]byte, 1<<16)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("\x00AUTH EXTERNAL 30\r\nBEGIN\r\nl\x01")) && os.Geteuid() == 0 {
		t.Errorf("first write is %q", b[:min(n, 64)])
	}
	if !bytes.Contains(b[:n], []byte("StartTransientUnit")) {
		t.Error("the call is not in the first write")
	}
}

func TestE12JobEndsBeforeReply(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.JobRemoved("/org/freedesktop/systemd1/job/6", "other.scope", "failed")
		p.JobRemoved(testJob, "sdc-web.scope", "done")
		p.Reply(msg, testJob)
	})
	if err := start(t, dialFake(t, m), testUnit(t)); err != nil {
		t.Error(err)
	}
}

// R12: a job that fails is an error with its result.
func TestJobFails(t *testing.T) {
	for _, result := range []string{"failed", "canceled", "timeout", "dependency", "frozen"} {
		t.Run(result, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("ResetFailedUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg) })
			m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) {
				p.Reply(msg, testJob)
				p.JobRemoved(testJob, "sdc-web.scope", result)
			})
			err := start(t, dialFake(t, m), testUnit(t))
			var failed *JobError
			if !errors.As(err, &failed) || failed.Result != result || failed.Unit != "sdc-web.scope" {
				t.Errorf("error is %v, want a JobError with %q", err, result)
			}
			if m.Count("ResetFailedUnit") != 1 {
				t.Error("the failed unit was not reset")
			}
		})
	}
}

// R12: a job that does not end is waited for no longer than the caller wants.
func TestJobNeverEnds(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, testJob) })
	m.Set("sdc-web.scope ActiveState", "activating")
	m.Set("sdc-web.scope Job", struct {
		ID   uint32
		Path dbus.ObjectPath
	}{7, testJob})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	job, err := dialFake(t, m).Start(ctx, testUnit(t), 42)
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(ctx); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want ErrTimeout", err)
	}
}

// R12, R13: a call without an answer is waited for no longer than the caller wants.
func TestNoReply(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", func(*fakesystemd.Peer, *dbus.Message) {})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	job, err := dialFake(t, m).Start(ctx, testUnit(t), 42)
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want a deadline", err)
	}
}

// R9, R12: daemon-reexec closes the connection before the job's signal: the unit itself says how it went.
func TestConnectionLost(t *testing.T) {
	for _, c := range []struct {
		state string
		check func(error) bool
	}{
		{"active", func(err error) bool { return err == nil }},
		{"inactive", func(err error) bool { var j *JobError; return errors.As(err, &j) && j.Result == "inactive" }},
	} {
		t.Run(c.state, func(t *testing.T) {
			m := fakesystemd.New(t)
			m.On("ResetFailedUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg) })
			m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) {
				p.Reply(msg, testJob)
				p.Hangup()
			})
			m.Set("sdc-web.scope ActiveState", c.state)
			m.Set("sdc-web.scope Job", struct {
				ID   uint32
				Path dbus.ObjectPath
			}{0, "/"})
			if err := start(t, dialFake(t, m), testUnit(t)); !c.check(err) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestConnectionLostBeforeReply(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", func(p *fakesystemd.Peer, _ *dbus.Message) { p.Hangup() })
	m.Set("sdc-web.scope ActiveState", "active")
	m.Set("sdc-web.scope Job", struct {
		ID   uint32
		Path dbus.ObjectPath
	}{0, "/"})
	if err := start(t, dialFake(t, m), testUnit(t)); err != nil {
		t.Error(err)
	}
}

func TestAuthRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dial(t.Context(), []address{{path, true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		s, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := s.Read(make([]byte, 1<<16)); err == nil {
			_, _ = s.Write([]byte("REJECTED EXTERNAL\r\n")) // the test waits for the effect
		}
	}()
	if err := start(t, c, testUnit(t)); !errors.Is(err, errAuth) || !strings.Contains(err.Error(), "REJECTED") {
		t.Errorf("error is %v, want a refusal", err)
	}
}

// Why is one line, with each address that was tried.
func TestNoManager(t *testing.T) {
	missing, deaf := filepath.Join(t.TempDir(), "nothing"), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(deaf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := dial(t.Context(), []address{{missing, true}, {deaf, false}})
	for _, is := range []error{ErrNoManager, unix.ENOENT, unix.ECONNREFUSED} {
		if !errors.Is(err, is) {
			t.Errorf("error %v is not %v", err, is)
		}
	}
	want := fmt.Sprintf("%v: dial unix %s: connect: %v; dial unix %s: connect: %v", ErrNoManager, missing, unix.ENOENT, deaf, unix.ECONNREFUSED)
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestClosedStaysClosed(t *testing.T) {
	c := dialFake(t, fakesystemd.New(t))
	c.Close()
	if err := c.Freeze(t.Context(), "sdc-web.scope"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error is %v, want net.ErrClosed", err)
	}
}

func TestE15ManagerAddresses(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/tmp/evil")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/5")
	want := []address{{"/run/user/5/systemd/private", true}, {"/run/user/5/bus", false}}
	if os.Geteuid() == 0 {
		want = []address{{"/run/systemd/private", true}, {"/run/dbus/system_bus_socket", false}}
	}
	if have := managerAddresses(); !reflect.DeepEqual(have, want) {
		t.Errorf("addresses are %v, want %v", have, want)
	}
}

func BenchmarkDialStart(b *testing.B) {
	m := fakesystemd.New(b)
	m.On("StartTransientUnit", done)
	u := testUnit(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := dial(b.Context(), []address{{m.Path, true}})
		if err != nil {
			b.Fatal(err)
		}
		if err := start(b, c, u); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// Who gives up waiting has not been kept waiting too long.
func TestGivenUpIsNoTimeout(t *testing.T) {
	m := fakesystemd.New(t)
	m.On("StartTransientUnit", func(p *fakesystemd.Peer, msg *dbus.Message) { p.Reply(msg, testJob) })
	ctx, cancel := context.WithCancel(t.Context())
	job, err := dialFake(t, m).Start(ctx, testUnit(t), 42)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for name, err := range map[string]error{
		"wait": job.Wait(ctx), "job": job.conn.jobEnd(ctx, job.signals, job.unit.Name, testJob, "active"), "ask": job.conn.ask(ctx, job.unit.Name, "active"),
	} {
		if errors.Is(err, ErrTimeout) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error is %v, want that it was called off", name, err)
		}
	}
}
