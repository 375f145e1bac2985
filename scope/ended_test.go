// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

const webService = "sdcontainer@web.service"

// runningService is a fake in which a service runs under invocation 0102.
func runningService(t *testing.T) *fakesystemd.Manager {
	t.Helper()
	m := fakesystemd.New(t)
	for name, v := range map[string]any{
		"InvocationID": []byte{1, 2}, "ActiveState": "active", "SubState": "running", "Result": "success",
		"ExecMainCode": int32(0), "ExecMainStatus": int32(0), "ExecMainExitTimestamp": uint64(0),
	} {
		m.Set(webService+" "+name, v)
	}
	return m
}

// questions returns a channel that gets something for each complete question about the service.
func questions(m *fakesystemd.Manager) <-chan struct{} {
	asked := make(chan struct{}, 100)
	m.On("Get", func(p *fakesystemd.Peer, msg *dbus.Message) {
		p.Property(msg)
		if msg.Body[1] == "InvocationID" { // the last one
			asked <- struct{}{}
		}
	})
	return asked
}

func TestWaitService(t *testing.T) {
	killed := ServiceEnd{Code: 2, Status: 9, Result: "oom-kill", At: time.UnixMicro(1234)}
	stopPost := func(m *fakesystemd.Manager) {
		m.Set(webService+" SubState", "stop-post")
		m.Set(webService+" ActiveState", "deactivating")
		m.Set(webService+" ExecMainCode", killed.Code)
		m.Set(webService+" ExecMainStatus", killed.Status)
		m.Set(webService+" ExecMainExitTimestamp", uint64(1234))
		m.Set(webService+" Result", killed.Result)
	}
	for name, end := range map[string]func(*fakesystemd.Manager){
		"failed":        func(m *fakesystemd.Manager) { m.Set(webService+" ActiveState", "failed") },
		"will restart":  func(m *fakesystemd.Manager) { m.Set(webService+" SubState", "auto-restart") },
		"runs anew":     func(m *fakesystemd.Manager) { m.Set(webService+" InvocationID", []byte{3, 4}) },
		"was forgotten": func(m *fakesystemd.Manager) { m.Set(webService+" InvocationID", []byte{}) },
		"lost":          func(m *fakesystemd.Manager) { m.Set(webService+" ActiveState", "inactive"); m.Drop() },
	} {
		t.Run(name, func(t *testing.T) {
			m := runningService(t)
			asked := questions(m)
			type answer struct {
				end ServiceEnd
				err error
			}
			got := make(chan answer, 1)
			c := dialFake(t, m)
			go func() {
				end, err := c.WaitService(t.Context(), webService, "0102")
				got <- answer{end, err}
			}()
			<-asked
			stopPost(m)
			m.Changed(webService)
			<-asked
			end(m)
			m.Changed(webService)
			if a := <-got; a.err != nil || a.end != killed {
				t.Errorf("%+v, %v, want %+v", a.end, a.err, killed)
			}
		})
	}
	t.Run("runs anew while asked", func(t *testing.T) {
		m := runningService(t)
		stopPost(m)
		c := dialFake(t, m)
		var asked atomic.Int64
		m.On("Get", func(p *fakesystemd.Peer, msg *dbus.Message) {
			p.Property(msg)
			switch asked.Add(1) {
			case 7: // one whole question
				m.Changed(webService)
			case 8:
				m.Set(webService+" InvocationID", []byte{3, 4})
				m.Set(webService+" ExecMainCode", int32(0))
				m.Set(webService+" ExecMainStatus", int32(0))
				m.Changed(webService)
			}
		})
		if end, err := c.WaitService(t.Context(), webService, "0102"); err != nil || end != killed {
			t.Errorf("%+v, %v, want %+v", end, err, killed)
		}
	})
	t.Run("never", func(t *testing.T) {
		m := runningService(t)
		ctx, cancel := context.WithCancel(t.Context())
		asked := questions(m)
		c := dialFake(t, m)
		go func() { <-asked; cancel() }()
		if _, err := c.WaitService(ctx, webService, "0102"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want cancelled", err)
		}
	})
	t.Run("another one", func(t *testing.T) {
		end, err := dialFake(t, runningService(t)).WaitService(t.Context(), webService, "0304")
		if err != nil || end != (ServiceEnd{}) {
			t.Errorf("%+v, %v, want nothing known", end, err)
		}
	})
}

func TestServiceState(t *testing.T) {
	m := runningService(t)
	c := dialFake(t, m)
	for _, row := range []struct {
		state        string
		code, status int32
		result       string
		words        string
	}{
		{"active", 0, 0, "success", ""},
		{"inactive", Exited, 0, "success", "exit code 0"},
		{"failed", Exited, 3, "exit-code", "exit code 3"},
		{"failed", Killed, 9, "signal", "SIGKILL"},
		{"failed", Dumped, 6, "core-dump", "SIGABRT, core-dump"},
		{"failed", 0, 0, "timeout", "timeout"},
	} {
		m.Set(webService+" ActiveState", row.state)
		m.Set(webService+" ExecMainCode", row.code)
		m.Set(webService+" ExecMainStatus", row.status)
		m.Set(webService+" Result", row.result)
		want := ServiceEnd{Code: row.code, Status: row.status, Result: row.result}
		state, end, err := c.ServiceState(t.Context(), webService)
		if err != nil || state != row.state || end != want || end.String() != row.words {
			t.Errorf("%q, %#v (%s), %v; want %q, %#v (%s)", state, end, end, err, row.state, want, row.words)
		}
	}
}
