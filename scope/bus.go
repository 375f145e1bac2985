// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	destination   = "org.freedesktop.systemd1"
	managerPath   = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerIface  = destination + ".Manager"
	busName       = "org.freedesktop.DBus"
	propertyIface = "org.freedesktop.DBus.Properties"

	// callTimeout bounds one call. systemd answers in microseconds unless it is reloading.
	callTimeout = 25 * time.Second
)

// A Conn is a connection to the systemd manager. Its methods may be called from any
// goroutine; each is bounded by its context and by a deadline of its own, and by those of another
// that dials a lost connection anew.
type Conn struct {
	addresses []address
	release   string

	mu      sync.Mutex
	closed  bool
	bus     *dbus.Conn
	signals *signals
	private bool // what bus is
}

// An address is one way to reach the manager.
type address struct {
	path    string
	private bool // the manager itself, no bus in between
}

// managerAddresses are tried in order. Root takes no address from the environment: it may
// have come through sudo from somebody else's.
func managerAddresses() []address {
	if os.Geteuid() == 0 {
		return []address{{"/run/systemd/private", true}, {"/run/dbus/system_bus_socket", false}}
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	return []address{{dir + "/systemd/private", true}, {dir + "/bus", false}}
}

// Dial connects to the manager: root to the system's, on its private socket or else on
// the system bus; others to their own. One that re-executes itself is waited for. Errors: ErrNoManager.
func Dial(ctx context.Context) (c *Conn, err error) {
	addresses := managerAddresses()
	mark := filepath.Dir(addresses[0].path) // a user's manager has it while it runs
	if os.Geteuid() == 0 {
		mark = "/run/systemd/system" // sd_booted(3); the directory above is in many images
	}
	if _, err := os.Stat(mark); err != nil {
		return dial(ctx, addresses) // there is none to wait for
	}
	err = again(ctx, func() error {
		c, err = dial(ctx, addresses)
		return err
	})
	return c, err
}

func dial(ctx context.Context, addresses []address) (*Conn, error) {
	c := &Conn{addresses: addresses}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Conn) connect(ctx context.Context) error {
	away, sep := ErrNoManager, ": "
	for _, a := range c.addresses {
		s := newSignals()
		if a.private {
			s.from(anyone)
		}
		bus, err := a.connect(ctx, s)
		if err == nil {
			c.bus, c.signals, c.private = bus, s, a.private
			return nil
		}
		away, sep = fmt.Errorf("%w%s%w", away, sep, err), "; " // one line, which errors.Join is not
	}
	return away
}

func (a address) connect(ctx context.Context, s *signals) (*dbus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "unix", a.path)
	if err != nil {
		return nil, err
	}
	// Not the bus: closing that waits for what is being written.
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	piped := newPipelined(raw)
	piped.messages.changes = &s.wantChanged
	bus, err := dbus.NewConn(piped, dbus.WithSignalHandler(s))
	if err != nil {
		raw.Close()
		return nil, err
	}
	err = bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil && !a.private {
		err = greet(ctx, bus, s)
	}
	if err != nil {
		bus.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w", a.path, err)
	}
	go func() {
		<-bus.Context().Done()
		s.lost()
	}()
	return bus, nil
}

// greet is what a bus wants first: a name for us, and which signals to pass on.
func greet(ctx context.Context, bus *dbus.Conn, s *signals) error {
	if err := bus.Hello(); err != nil {
		return err
	}
	// Order: before the owner is asked for: a manager that re-executes itself comes back under another name, and
	// what it is asked and tells then is not what this connection knows of.
	s.onGone(func() { bus.Close() })
	err := bus.AddMatchSignalContext(ctx, dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, destination))
	if err != nil {
		return err
	}
	err = bus.AddMatchSignalContext(ctx,
		dbus.WithMatchSender(destination), dbus.WithMatchObjectPath(managerPath), dbus.WithMatchInterface(managerIface))
	if err != nil {
		return err
	}
	// A match does not keep out signals that are addressed to us: only the owner's count.
	var owner string
	if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, destination).Store(&owner); err != nil {
		return err
	}
	s.from(owner)
	return nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.bus.Close()
}

// current is the living connection. One that was lost, as by daemon-reexec, is
// dialled again.
func (c *Conn) current(ctx context.Context) (*dbus.Conn, *signals, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, net.ErrClosed
	}
	if !c.bus.Connected() {
		if err := c.connect(ctx); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	return c.bus, c.signals, nil
}

// call is one method call of the manager. When the connection is lost before the answer, as by daemon-reexec,
// it is made again: nobody can tell whether it was heard. So it is for calls that do no harm the second time: see Kill.
func (c *Conn) call(ctx context.Context, what, method string, result any, args ...any) error {
	return c.callOn(ctx, managerPath, managerIface, what, method, result, args...)
}

func (c *Conn) callOn(ctx context.Context, path dbus.ObjectPath, iface, what, method string, result any, args ...any) error {
	return again(ctx, func() error { return c.callOnce(ctx, path, iface, what, method, result, args...) })
}

func (c *Conn) callOnce(ctx context.Context, path dbus.ObjectPath, iface, what, method string, result any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	bus, _, err := c.current(ctx)
	if err != nil {
		return err
	}
	call := bus.Object(destination, path).CallWithContext(ctx, iface+"."+method, 0, args...)
	return finish(ctx, call, method+what, result)
}

// again tries until the manager is not away, as it is while it re-executes itself, or has been away for too long. Where
// the context ends first, that it is away is the error.
func again(ctx context.Context, try func() error) error {
	var end time.Time
	var away error
	for {
		err := try()
		if !errors.Is(err, ErrLost) && !errors.Is(err, ErrNoManager) {
			if err != nil && away != nil && ctx.Err() != nil {
				return away
			}
			return err
		}
		away = err
		if now := time.Now(); end.IsZero() {
			end = now.Add(returnTimeout)
		} else if now.After(end) {
			return err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return err
		}
	}
}

// finish turns the end of a call into a result or a typed error.
func finish(ctx context.Context, call *dbus.Call, what string, result any) error {
	err := call.Err
	if err == nil && result != nil {
		err = call.Store(result)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrTimeout, err)
	}
	return callError(what, err)
}
