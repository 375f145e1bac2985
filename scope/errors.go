// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// What callers tell apart. Every error of the bus that has one of these causes
// satisfies errors.Is.
var (
	ErrNoManager   = errors.New("no systemd manager can be reached")
	ErrUnsupported = errors.New("not supported") // what systemd refuses adds: by the running systemd
	ErrUnitExists  = errors.New("unit exists already")
	ErrNoSuchUnit  = errors.New("no such unit")
	ErrNoProcess   = errors.New("no such process")
	ErrNoHierarchy = errors.New("no cgroup2 hierarchy")
	ErrAccess      = errors.New("access denied by the manager")
	ErrInvalid     = errors.New("refused by the manager as invalid")
	ErrTimeout     = errors.New("the manager did not finish in time")
	ErrLost        = errors.New("connection to the manager lost")
)

var errOldSystemd = fmt.Errorf("%w by the running systemd", ErrUnsupported)

// byName maps the manager's error names. Texts differ between versions and are for people only.
func byName() map[string]error {
	return map[string]error{
		"org.freedesktop.systemd1.UnitExists":                         ErrUnitExists,
		"org.freedesktop.systemd1.NoSuchUnit":                         ErrNoSuchUnit,
		"org.freedesktop.systemd1.ScopeNotRunning":                    ErrNoSuchUnit,
		"org.freedesktop.systemd1.NoSuchProcess":                      ErrNoProcess,
		"org.freedesktop.DBus.Error.UnixProcessIdUnknown":             ErrNoProcess,
		"org.freedesktop.DBus.Error.PropertyReadOnly":                 errOldSystemd,
		"org.freedesktop.DBus.Error.UnknownProperty":                  errOldSystemd,
		"org.freedesktop.DBus.Error.UnknownMethod":                    errOldSystemd,
		"org.freedesktop.DBus.Error.InvalidArgs":                      ErrInvalid,
		"org.freedesktop.DBus.Error.AccessDenied":                     ErrAccess,
		"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": ErrAccess,
		"org.freedesktop.DBus.Error.ServiceUnknown":                   ErrNoManager,
		"org.freedesktop.DBus.Error.NameHasNoOwner":                   ErrNoManager,
		"org.freedesktop.DBus.Error.NoReply":                          ErrLost,
		"org.freedesktop.DBus.Error.Disconnected":                     ErrLost,
		"org.freedesktop.DBus.Error.NoServer":                         ErrLost,
	}
}

// A CallError is an error reply of the manager.
type CallError struct {
	Call string // "StartTransientUnit sdc-web.scope"
	Name string // D-Bus name
	Text string // for people
}

func (e *CallError) Error() string {
	if kind := byName()[e.Name]; kind != nil {
		return fmt.Sprintf("%s: %v: %s", e.Call, kind, e.Text)
	}
	return fmt.Sprintf("%s: %s: %s", e.Call, e.Name, e.Text)
}

// Is makes the sentinels of this package match.
func (e *CallError) Is(target error) bool {
	kind := byName()[e.Name]
	return kind != nil && errors.Is(kind, target)
}

// A JobError is a job that did not end with "done".
type JobError struct {
	Unit   string
	Result string // "failed", "canceled", "timeout", "dependency", ...
}

func (e *JobError) Error() string {
	hint := ""
	switch e.Result {
	case "failed":
		hint = " (systemctl status and journalctl -u of the unit may say more)"
	case "canceled":
		hint = " (somebody stopped the unit, or the system is going down)"
	}
	return fmt.Sprintf("unit %s: job ended with %q%s", e.Unit, e.Result, hint)
}

// overdue is why a wait for the manager ended with ctx: ErrTimeout where that was its deadline, and not where who waited gave up.
func overdue(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w: %w", what, ErrTimeout, ctx.Err())
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

// callError gives an error of godbus its type.
func callError(call string, err error) error {
	var reply dbus.Error
	if errors.As(err, &reply) {
		text := ""
		if len(reply.Body) > 0 {
			text, _ = reply.Body[0].(string) // systemd's errors have one string
		}
		return &CallError{Call: call, Name: reply.Name, Text: text}
	}
	for _, lost := range []error{dbus.ErrClosed, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, lost) {
			return fmt.Errorf("%s: %w", call, ErrLost)
		}
	}
	return fmt.Errorf("%s: %w", call, err)
}
