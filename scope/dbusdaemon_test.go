// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const busConfig = `<busconfig>
<listen>unix:path=%s</listen>
<auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
<limit name="max_match_rules_per_connection">%d</limit>
</busconfig>
`

// busRules is how many match rules the bus lets a connection have; that of a system has 512.
const busRules = 8

// newBus starts a dbus-daemon and returns the path of its socket.
func newBus(t *testing.T) string {
	t.Helper()
	sdtest.Require(t, sdtest.Bus)
	dir := t.TempDir()
	socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket, busRules), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to finish
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
		t.Fatal(err)
	}
	return socket
}

// busPeer connects to the bus.
func busPeer(t *testing.T, socket string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect("unix:path=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// busManager is a peer that owns systemd's name and answers StartTransientUnit.
func busManager(t *testing.T, socket string, start func(client dbus.Sender, unit string)) *dbus.Conn {
	t.Helper()
	conn := busPeer(t, socket)
	methods := map[string]any{
		"StartTransientUnit": func(client dbus.Sender, unit, mode string, properties []struct {
			Name  string
			Value dbus.Variant
		}, aux []dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
			start(client, unit)
			return testJob, nil
		},
		"ResetFailedUnit": func(string) *dbus.Error { return nil },
	}
	if err := conn.ExportMethodTable(methods, managerPath, managerIface); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(destination, 0); err != nil {
		t.Fatal(err)
	}
	return conn
}

func emitJobRemoved(t *testing.T, conn *dbus.Conn, unit, result string) {
	t.Helper()
	if err := conn.Emit(managerPath, managerIface+".JobRemoved", uint32(7), testJob, unit, result); err != nil {
		t.Error(err)
	}
}

func dialBus(t *testing.T, socket string) *Conn {
	t.Helper()
	c, err := dial(t.Context(), []address{{socket, false}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestBusStart(t *testing.T) {
	socket := newBus(t)
	ready := make(chan *dbus.Conn, 1)
	ready <- busManager(t, socket, func(_ dbus.Sender, unit string) { emitJobRemoved(t, <-ready, unit, "done") })
	if err := start(t, dialBus(t, socket), testUnit(t)); err != nil {
		t.Error(err)
	}
}

// TestE12BusForgedSignal: a signal that somebody else addresses to us passes every match,
// and must not count.
func TestE12BusForgedSignal(t *testing.T) {
	socket := newBus(t)
	stranger := busPeer(t, socket)
	busManager(t, socket, func(client dbus.Sender, unit string) {
		forged := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(string(client)),
			dbus.FieldPath:        dbus.MakeVariant(managerPath),
			dbus.FieldInterface:   dbus.MakeVariant(managerIface),
			dbus.FieldMember:      dbus.MakeVariant("JobRemoved"),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(uint32(7), testJob, unit, "done")),
		}, Body: []any{uint32(7), testJob, unit, "done"}}
		stranger.Send(forged, make(chan *dbus.Call, 1))
		// The bus has passed it on when it answers what was sent after it.
		if err := stranger.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
			t.Error(err)
		}
	})
	job, err := dialBus(t, socket).Start(t.Context(), testUnit(t), 42)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := job.Wait(ctx); !errors.Is(err, ErrTimeout) {
		t.Errorf("error is %v, want to go on waiting for the real signal", err)
	}
}

// R11: a bus that systemd is not on, or has left, is no manager.
func TestBusWithoutManager(t *testing.T) {
	socket := newBus(t)
	if c, err := dial(t.Context(), []address{{socket, false}}); !errors.Is(err, ErrNoManager) {
		t.Errorf("a bus that systemd is not on: %v, %v", c, err)
	}
	manager := busManager(t, socket, nil)
	c := dialBus(t, socket)
	if _, err := manager.ReleaseName(destination); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Freeze(ctx, "a.scope"); !errors.Is(err, ErrNoManager) {
		t.Errorf("systemd has left the bus: %v", err)
	}
}

// R9, R11: a manager that re-executes itself leaves the bus, with the call, and comes back under another
// name. Its signals count, and no question in between was needed to find that out.
func TestBusManagerReturns(t *testing.T) {
	socket := newBus(t)
	first := make(chan *dbus.Conn, 1)
	first <- busManager(t, socket, func(dbus.Sender, string) {
		(<-first).Close()
		second := make(chan *dbus.Conn, 1)
		back := busManager(t, socket, func(_ dbus.Sender, unit string) { emitJobRemoved(t, <-second, unit, "done") })
		get := func(_, name string) (dbus.Variant, *dbus.Error) {
			if name == "Job" {
				return dbus.MakeVariant(struct {
					ID   uint32
					Path dbus.ObjectPath
				}{0, "/"}), nil
			}
			return dbus.MakeVariant("inactive"), nil
		}
		if err := back.ExportMethodTable(map[string]any{"Get": get}, unitPath("sdc-web.scope"), propertyIface); err != nil {
			t.Error(err)
		}
		second <- back
	})
	begin := time.Now()
	if err := start(t, dialBus(t, socket), testUnit(t)); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > askAfter/2 {
		t.Errorf("it took %v: the signal did not count", took)
	}
}

// However often a service changes while somebody waits for its end, the bus has one rule
// of ours for it, not one more each time.
func TestBusWaitServiceKeepsOneMatch(t *testing.T) {
	socket := newBus(t)
	manager := busManager(t, socket, nil)
	state := make(chan string) // given when it is asked for: then somebody watches
	get := func(_, name string) (dbus.Variant, *dbus.Error) {
		switch name {
		case "InvocationID":
			return dbus.MakeVariant([]byte{1, 2}), nil
		case "ActiveState":
			return dbus.MakeVariant(<-state), nil
		case "ExecMainCode", "ExecMainStatus":
			return dbus.MakeVariant(int32(0)), nil
		case "ExecMainExitTimestamp":
			return dbus.MakeVariant(uint64(0)), nil
		}
		return dbus.MakeVariant(""), nil
	}
	if err := manager.ExportMethodTable(map[string]any{"Get": get}, unitPath(webService), propertyIface); err != nil {
		t.Fatal(err)
	}
	if err := manager.ExportMethodTable(map[string]any{"Subscribe": func() *dbus.Error { return nil }}, managerPath, managerIface); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	c := dialBus(t, socket)
	go func() {
		_, err := c.WaitService(t.Context(), webService, "0102")
		ended <- err
	}()
	for range busRules + 10 {
		select {
		case state <- "active":
		case err := <-ended:
			t.Fatal(err)
		}
		if err := manager.Emit(unitPath(webService), propertyIface+".PropertiesChanged"); err != nil {
			t.Fatal(err)
		}
	}
	state <- "inactive"
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
