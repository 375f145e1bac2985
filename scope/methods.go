// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Version is the manager's version number. What a distribution appends is left off.
func (c *Conn) Version(ctx context.Context) (int, error) {
	text, err := c.Release(ctx)
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))])
	if err != nil {
		return 0, fmt.Errorf("version of systemd %q: want a number", text)
	}
	return version, nil
}

// Release is the manager's version with all there is to it, as in 257.9-1~deb13u1. It is asked for once.
func (c *Conn) Release(ctx context.Context) (string, error) {
	c.mu.Lock()
	text := c.release
	c.mu.Unlock()
	if text != "" {
		return text, nil
	}
	if err := c.callOn(ctx, managerPath, propertyIface, " Version", "Get", &text, managerIface, "Version"); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.release = text
	c.mu.Unlock()
	return text, nil
}

// unitIface are the properties every type of unit has; others are the type's.
var unitIface = []string{
	"ActiveEnterTimestamp", "ActiveState", "CanFreeze", "CollectMode", "Description", "DropInPaths", "FragmentPath", "FreezerState", "Id",
	"InvocationID", "Job", "LoadState", "NeedDaemonReload", "StateChangeTimestamp", "SubState", "Transient",
}

// Get reads properties of a unit. A unit that is not loaded has a LoadState of "not-found"
// and an ActiveState of "inactive". When the connection is lost meanwhile, as by
// daemon-reexec, it asks again.
func (c *Conn) Get(ctx context.Context, unit string, names ...string) (values map[string]any, err error) {
	err = again(ctx, func() error {
		values, err = c.getOnce(ctx, unit, names)
		return err
	})
	return values, err
}

func (c *Conn) getOnce(ctx context.Context, unit string, names []string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	bus, _, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	object := bus.Object(destination, unitPath(unit))
	calls := make([]*dbus.Call, len(names))
	for i, name := range names {
		calls[i] = object.GoWithContext(ctx, propertyIface+".Get", 0, make(chan *dbus.Call, 1), ifaceOf(unit, name), name)
	}
	values := map[string]any{}
	for i, name := range names {
		var v dbus.Variant
		if err := finish(ctx, <-calls[i].Done, "Get "+name+" of "+unit, &v); err != nil {
			return nil, err
		}
		values[name] = v.Value()
	}
	return values, nil
}

func unitPath(unit string) dbus.ObjectPath {
	return managerPath + "/unit/" + dbus.ObjectPath(sdbus.PathBusEscape(unit))
}

func ifaceOf(unit, property string) string {
	kind := unit[strings.LastIndexByte(unit, '.')+1:]
	if slices.Contains(unitIface, property) || kind == "" {
		return destination + ".Unit"
	}
	return destination + "." + strings.ToUpper(kind[:1]) + kind[1:]
}

// ControlGroup is the path of a unit's cgroup below the hierarchy's root. Errors: ErrNoSuchUnit.
func (c *Conn) ControlGroup(ctx context.Context, unit string) (string, error) {
	p, err := c.Get(ctx, unit, "ControlGroup")
	if err != nil {
		return "", err
	}
	path, _ := p["ControlGroup"].(string)
	if path == "" {
		return "", fmt.Errorf("cgroup of %s: %w", unit, ErrNoSuchUnit)
	}
	return path, nil
}

// Stop stops a unit and waits until it has ended: its processes get the unit's KillSignal,
// and after TimeoutStopUSec they are killed. A frozen unit is thawed first. Errors:
// ErrNoSuchUnit.
func (c *Conn) Stop(ctx context.Context, unit string) error {
	var thawed error
	p, err := c.Get(ctx, unit, "FreezerState", "TimeoutStopUSec")
	if err == nil {
		limit, _ := p["TimeoutStopUSec"].(uint64)
		if limit < uint64(math.MaxInt64-int64(jobTimeout))/1000 { // else there is none
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(limit)*time.Microsecond+jobTimeout)
			defer cancel()
		}
		// Order: thaw before stop: systemd 257 fails the stop job of a frozen unit at once.
		// What cannot be thawed can be stopped all the same: SIGKILL ends what is frozen.
		if state := p["FreezerState"]; state != "running" {
			thawed = c.Thaw(ctx, unit)
		}
	}
	s, job, err := c.stopJob(ctx, unit)
	if err != nil {
		return errors.Join(err, thawed)
	}
	defer s.unwatch(unit)
	if job == "" {
		return nil
	}
	if err := c.jobEnd(ctx, s, unit, job, "inactive"); err != nil {
		return errors.Join(err, thawed)
	}
	return nil
}

// stopJob asks for the end of a unit, and watches it. There is no job when a manager that went away has
// ended the unit before.
func (c *Conn) stopJob(ctx context.Context, unit string) (s *signals, job dbus.ObjectPath, err error) {
	lost := false
	err = again(ctx, func() (err error) {
		if _, s, err = c.current(ctx); err != nil {
			return err
		}
		s.watch(unit)
		err = c.callOnce(ctx, managerPath, managerIface, " "+unit, "StopUnit", &job, unit, "replace")
		if err == nil || lost && errors.Is(err, ErrNoSuchUnit) {
			return nil
		}
		if lost = lost || errors.Is(err, ErrLost); errors.Is(err, ErrLost) && c.ended(ctx, unit) {
			return nil
		}
		s.unwatch(unit)
		return err
	})
	return s, job, err
}

// ended tells that a unit is known not to be active.
func (c *Conn) ended(ctx context.Context, unit string) bool {
	p, err := c.Get(ctx, unit, "ActiveState")
	return err == nil && (p["ActiveState"] == "inactive" || p["ActiveState"] == "failed")
}

// Kill sends a signal to every process of a unit. Errors: ErrNoSuchUnit; ErrLost when nobody
// can tell whether it arrived. SIGKILL is sent until that is known: twice is as good as once.
func (c *Conn) Kill(ctx context.Context, unit string, sig unix.Signal) error {
	send := func() error {
		return c.callOnce(ctx, managerPath, managerIface, " "+unit, "KillUnit", nil, unit, "all", int32(sig))
	}
	if sig == unix.SIGKILL {
		return again(ctx, send)
	}
	var unsure error
	err := again(ctx, func() error {
		err := send()
		if !errors.Is(err, ErrLost) || errors.Is(err, ErrNoManager) { // known, or not even connected
			return err
		}
		unsure = fmt.Errorf("%w: whether the signal arrived is unknown (send it again if twice does no harm)", err)
		return nil
	})
	return cmp.Or(unsure, err)
}

// Freeze stops every process of a unit where it is and returns when all are. When that fails, as where one
// sleeps in the kernel and is not to be had, those that are frozen go on.
func (c *Conn) Freeze(ctx context.Context, unit string) error {
	err := c.call(ctx, " "+unit, "FreezeUnit", nil, unit)
	if err != nil && !errors.Is(err, ErrNoSuchUnit) {
		thaw, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_ = c.callOnce(thaw, managerPath, managerIface, " "+unit, "ThawUnit", nil, unit) // what failed first says more
	}
	return err
}

// Thaw lets a frozen unit go on.
func (c *Conn) Thaw(ctx context.Context, unit string) error {
	return c.call(ctx, " "+unit, "ThawUnit", nil, unit)
}

// ResetFailed forgets that a unit failed, which frees its name. Errors: ErrNoSuchUnit.
func (c *Conn) ResetFailed(ctx context.Context, unit string) error {
	return c.call(ctx, " "+unit, "ResetFailedUnit", nil, unit)
}

// SetProperties changes a running unit; with runtime until the next boot only. All
// of them are changed or none, and a list is then what is given and no more, unless it is Added. Errors: ErrUnsupported,
// ErrNoSuchUnit, ErrInvalid.
func (c *Conn) SetProperties(ctx context.Context, unit string, runtime bool, properties []Property) error {
	return c.call(ctx, " "+unit, "SetUnitProperties", nil, unit, runtime, wire(emptied(properties)))
}

// SetKnown is SetProperties for a unit that need not be strict: what the running systemd lacks is left out then,
// and returned; else the error names it and its version.
func (c *Conn) SetKnown(ctx context.Context, u Unit, runtime bool) ([]Dropped, error) {
	err := c.SetProperties(ctx, u.Name, runtime, u.Properties)
	if !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	known, dropped, err := c.reduce(ctx, u, err)
	if err != nil || len(known.Properties) == 0 {
		return dropped, err
	}
	return dropped, c.SetProperties(ctx, u.Name, runtime, known.Properties)
}

// reduce leaves out of a unit that was refused what the running systemd lacks, if the unit need not be strict.
func (c *Conn) reduce(ctx context.Context, u Unit, refused error) (Unit, []Dropped, error) {
	version, err := c.Version(ctx)
	if err != nil {
		return u, nil, errors.Join(refused, err)
	}
	known, dropped, err := u.For(version)
	switch {
	case err != nil:
		return u, nil, err
	case len(dropped) == 0: // it is not for its age that systemd refuses
		return u, nil, fmt.Errorf("systemd %d: %w", version, refused)
	}
	return known, dropped, nil
}

// emptied has each list emptied before it is set, unless it is to be added.
func emptied(properties []Property) []Property {
	var all []Property
	for _, p := range properties {
		if info, _ := Lookup(p.Name); info.List() && !p.Added {
			// Order: emptied first. systemd adds to a list that it has.
			all = append(all, Property{Name: p.Name, Value: reflect.Zero(reflect.TypeOf(p.Value)).Interface(), Source: p.Source})
		}
		all = append(all, p)
	}
	// Order: by name, as the files are read that systemd keeps of them. It notes them in the order of the call, and where
	// that is another takes the unit for changed on disk: every systemctl verb then asks for a daemon-reload. Seen with 252.
	slices.SortStableFunc(all, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Attach moves processes into a unit that has Delegate=yes, or into a sub-cgroup of it
// ("/payload", "" for the unit's own). The sub-cgroup must exist. Errors: ErrNoSuchUnit,
// ErrNoProcess.
func (c *Conn) Attach(ctx context.Context, unit, subcgroup string, pids ...uint32) error {
	return c.call(ctx, " "+unit, "AttachProcessesToUnit", nil, unit, subcgroup, pids)
}
