// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// How a process ended, in systemd's properties: CLD_EXITED, CLD_KILLED, CLD_DUMPED of
// sigaction(2).
const (
	Exited int32 = 1
	Killed int32 = 2
	Dumped int32 = 3
)

// A ServiceEnd is how systemd saw a service's main process end.
type ServiceEnd struct {
	Code   int32  // Exited, Killed or Dumped; 0 is not known
	Status int32  // exit code or signal
	Result string // of the service: "success", "oom-kill" ...
	At     time.Time
}

// String is the end in words: "exit code 3", "SIGKILL, oom-kill"; empty if there was none.
func (e ServiceEnd) String() string {
	var words []string
	switch e.Code {
	case Exited:
		words = append(words, fmt.Sprintf("exit code %d", e.Status))
	case Killed, Dumped:
		words = append(words, unix.SignalName(unix.Signal(e.Status)))
	}
	if e.Result != "" && e.Result != "success" && e.Result != "exit-code" && e.Result != "signal" { // which say no more
		words = append(words, e.Result)
	}
	return strings.Join(words, ", ")
}

// ServiceState is where a service is now, as "active" or "failed", and how its main process ended when it last did.
// Of a unit that is not loaded it is "inactive".
func (c *Conn) ServiceState(ctx context.Context, unit string) (state string, end ServiceEnd, err error) {
	p, err := c.Get(ctx, unit, "ActiveState", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestamp", "Result")
	if err != nil {
		return "", end, err
	}
	state, _ = p["ActiveState"].(string)
	return state, endOf(p), nil
}

// endOf reads the properties of a service that are about its end.
func endOf(p map[string]any) (end ServiceEnd) {
	end.Code, _ = p["ExecMainCode"].(int32)
	end.Status, _ = p["ExecMainStatus"].(int32)
	end.Result, _ = p["Result"].(string)
	if usec, _ := p["ExecMainExitTimestamp"].(uint64); usec > 0 {
		end.At = time.UnixMicro(int64(usec))
	}
	return end
}

// WaitService waits until one invocation of a service has ended, ExecStopPost= included:
// the unit is inactive or failed, waits to restart, or runs anew. It goes on over a
// re-execution of the manager. What it returns is empty when the unit went before anybody
// looked.
func (c *Conn) WaitService(ctx context.Context, unit, invocation string) (ServiceEnd, error) {
	var last ServiceEnd
	for {
		changed, forget, err := c.watchChanges(ctx, unit)
		if err == nil {
			var now ServiceEnd
			var ended, same bool
			now, same, ended, err = c.serviceState(ctx, unit, invocation)
			if same {
				last = now
			}
			if err == nil && !ended {
				select {
				case <-changed: // or the connection was lost
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			forget()
			if ended {
				return last, nil
			}
		}
		switch {
		case errors.Is(err, ErrLost): // the manager re-executes: it announces no return
			select {
			case <-time.After(askAgain):
			case <-ctx.Done():
				return last, ctx.Err()
			}
		case err != nil:
			return last, err
		}
	}
}

// serviceState asks where a service is. Without an error it is ended when it is no
// longer in that invocation, or that is over.
func (c *Conn) serviceState(ctx context.Context, unit, invocation string) (end ServiceEnd, same, ended bool, err error) {
	// Order: the invocation last: a service that starts anew between two answers must not lend this one its empty results.
	p, err := c.Get(ctx, unit, "ActiveState", "SubState", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestamp", "Result", "InvocationID")
	if err != nil {
		return end, false, false, err
	}
	id, _ := p["InvocationID"].([]byte)
	if same = hex.EncodeToString(id) == invocation; !same {
		return end, false, true, nil
	}
	end = endOf(p)
	state, _ := p["ActiveState"].(string)
	sub, _ := p["SubState"].(string)
	return end, true, state == "inactive" || state == "failed" || strings.HasPrefix(sub, "auto-restart"), nil
}

// watchChanges returns a channel that gets something when a property of the unit changes,
// or the connection is lost.
func (c *Conn) watchChanges(ctx context.Context, unit string) (<-chan error, func(), error) {
	bus, s, err := c.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := c.subscribe(ctx); err != nil {
		return nil, nil, err
	}
	path := unitPath(unit)
	unmatch := func() {}
	if !c.onPrivate() {
		match := []dbus.MatchOption{dbus.WithMatchSender(destination), dbus.WithMatchObjectPath(path),
			dbus.WithMatchInterface(propertyIface), dbus.WithMatchMember("PropertiesChanged")}
		if err := bus.AddMatchSignalContext(ctx, match...); err != nil {
			return nil, nil, callError("AddMatch", err)
		}
		// Each rule counts: a bus has a limit for one connection.
		unmatch = func() { _ = bus.RemoveMatchSignalContext(ctx, match...) } // or it goes with the connection
	}
	ch := s.onChanged(path)
	return ch, func() { s.forgetChanged(path, ch); unmatch() }, nil
}

func (c *Conn) onPrivate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.private
}
