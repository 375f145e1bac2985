// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

const (
	// jobTimeout bounds the wait for a job where the caller's context does not.
	jobTimeout = 2 * time.Minute
	// resetTimeout bounds the wait for a failed unit to be unloaded after its reset.
	resetTimeout = time.Second
	// askAfter is how long a job may be silent before its unit is asked.
	askAfter = 3 * time.Second
	// returnTimeout bounds how long a manager that went away may take to come back.
	returnTimeout = 15 * time.Second
	// resends bounds how often a request is written anew that a manager which went away did not take along.
	resends = 5
	// askAgain is the pause between questions, and between attempts to reach a manager that
	// re-executes: it announces neither.
	askAgain = 50 * time.Millisecond
)

// A Job is a unit being started. Dropped is known after Wait.
type Job struct {
	Dropped []Dropped

	conn    *Conn
	unit    Unit
	pids    []uint32
	signals *signals
	call    *dbus.Call
}

// auxUnit is an element of StartTransientUnit's last argument, which is always empty.
type auxUnit struct {
	Name       string
	Properties []sdbus.Property
}

// Start asks for the unit with these processes in it, and returns when the
// request is written. Wait tells how it went.
//
//   - the processes stay alive, or unreaped, until Wait returns
//   - they must not fork before: such children would stay outside
func (c *Conn) Start(ctx context.Context, u Unit, pids ...uint32) (*Job, error) {
	if len(pids) == 0 {
		return nil, fmt.Errorf("start %s: want at least one process (a scope cannot be empty)", u.Name)
	}
	j := &Job{conn: c, unit: u, pids: pids}
	if err := again(ctx, func() error { return j.send(ctx) }); err != nil {
		return nil, err
	}
	return j, nil
}

// Unit is what was asked for in the end: without what was dropped.
func (j *Job) Unit() Unit { return j.unit }

func (j *Job) send(ctx context.Context) error {
	bus, s, err := j.conn.current(ctx)
	if err != nil {
		return err
	}
	properties := append(wire(j.unit.Properties), sdbus.Property{Name: "PIDs", Value: dbus.MakeVariant(j.pids)})
	// Order: watch before the call: the job may end before its reply is handled.
	s.watch(j.unit.Name)
	j.signals = s
	j.call = bus.Object(destination, managerPath).GoWithContext(ctx, managerIface+".StartTransientUnit", 0,
		make(chan *dbus.Call, 1), j.unit.Name, "fail", properties, []auxUnit{})
	return nil
}

// wire gives properties their D-Bus types.
func wire(properties []Property) []sdbus.Property {
	list := make([]sdbus.Property, 0, len(properties)+1)
	for _, p := range properties {
		list = append(list, sdbus.Property{Name: p.Name, Value: dbus.MakeVariant(p.Value)})
	}
	return list
}

// Wait returns when the unit is active and the processes are in its cgroup. A failed leftover of an
// earlier container is cleared away once. Errors: ErrUnitExists, ErrUnsupported,
// ErrNoProcess, ErrTimeout, *JobError, *CallError. After an error the unit may
// still come to life: stop it.
func (j *Job) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	cleared, sent := false, 0
	for {
		err := j.wait(ctx)
		j.signals.unwatch(j.unit.Name)
		switch {
		case errors.Is(err, ErrUnitExists) && !cleared:
			cleared = true
			err = j.conn.clear(ctx, j.unit.Name)
		case errors.Is(err, ErrUnsupported) && len(j.Dropped) == 0:
			j.unit, j.Dropped, err = j.conn.reduce(ctx, j.unit, err)
		case errors.Is(err, errForgotten) && sent < resends:
			sent++
			err = nil
		default:
			return err
		}
		if err == nil {
			err = again(ctx, func() error { return j.send(ctx) })
		}
		if err != nil {
			return err
		}
	}
}

func (j *Job) wait(ctx context.Context) error {
	what := "StartTransientUnit " + j.unit.Name
	var job dbus.ObjectPath
	select {
	case <-j.call.Done:
	case <-time.After(callTimeout):
		return fmt.Errorf("%s: %w", what, ErrTimeout)
	case <-ctx.Done():
		return overdue(ctx, what)
	}
	err := finish(ctx, j.call, what, &job)
	if errors.Is(err, ErrLost) {
		return j.conn.ask(ctx, j.unit.Name, "active")
	}
	if err != nil {
		return err
	}
	return j.conn.jobEnd(ctx, j.signals, j.unit.Name, job, "active")
}

// errForgotten is the error of a job whose unit a manager that went away does not have, now that it is back.
var errForgotten = errors.New("the manager has not taken it along")

// jobEnd waits for the end of a job that is to bring the unit into a state. A unit whose job is silent
// is asked from time to time: a signal may get lost with a full queue on a bus.
func (c *Conn) jobEnd(ctx context.Context, s *signals, unit string, job dbus.ObjectPath, state string) error {
	end := s.job(job)
	defer s.forgetJob(job)
	silent := time.NewTicker(askAfter)
	defer silent.Stop()
	for {
		select {
		case result, ok := <-end:
			switch {
			case !ok:
				return c.ask(ctx, unit, state)
			case result == "done":
				return nil
			}
			return c.jobFailed(ctx, unit, result)
		case <-silent.C:
			if ended, err := c.askOnce(ctx, unit, state); ended {
				return err
			}
		case <-ctx.Done():
			return overdue(ctx, "job of "+unit)
		}
	}
}

// jobFailed frees the unit's name.
func (c *Conn) jobFailed(ctx context.Context, unit, result string) error {
	_ = c.ResetFailed(ctx, unit) // the job may have left nothing to reset
	return &JobError{Unit: unit, Result: result}
}

// ask finds out from the unit itself how a job ended when the connection, and the signal with it,
// is gone. It goes on until there is no job any more.
func (c *Conn) ask(ctx context.Context, unit, want string) error {
	for {
		if ended, err := c.askOnce(ctx, unit, want); ended {
			if failed := (*JobError)(nil); errors.As(err, &failed) && failed.Result == "inactive" {
				return fmt.Errorf("%w: %w", err, errForgotten)
			}
			return err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return overdue(ctx, "job of "+unit)
		}
	}
}

// askOnce tells whether the unit has no job any more, and if so, whether it is in the state that was wanted.
func (c *Conn) askOnce(ctx context.Context, unit, want string) (ended bool, err error) {
	// Order: the job before the state: a job that ends between the two is seen as one, not as a state it has left behind.
	p, err := c.Get(ctx, unit, "Job", "ActiveState")
	state := p["ActiveState"]
	switch {
	case errors.Is(err, ErrLost), errors.Is(err, ErrNoManager), errors.Is(err, ErrTimeout):
		return false, nil
	case err != nil:
		return true, err
	case hasJob(p["Job"]), state == "activating", state == "deactivating":
		return false, nil
	case state == want, want == "inactive" && state == "failed":
		return true, nil
	}
	return true, c.jobFailed(ctx, unit, fmt.Sprint(state))
}

// hasJob reads a unit's Job property, (uo), in which 0 is none.
func hasJob(v any) bool {
	fields, ok := v.([]any)
	if !ok || len(fields) == 0 {
		return false
	}
	id, _ := fields[0].(uint32)
	return id != 0
}

// A UnitExistsError says that a unit has the name already and is not ours to clear away.
type UnitExistsError struct {
	Unit  string
	State string // its ActiveState
	File  bool   // it comes from a unit file
}

func (e *UnitExistsError) Error() string {
	if e.File {
		return fmt.Sprintf("unit %s exists already as a unit file (choose another name)", e.Unit)
	}
	return fmt.Sprintf("unit %s exists already and is %s (stop it, or choose another name)", e.Unit, e.State)
}

// Is makes ErrUnitExists match.
func (e *UnitExistsError) Is(target error) bool { return target == ErrUnitExists }

func ignoreGone(err error) error {
	if errors.Is(err, ErrNoSuchUnit) {
		return nil
	}
	return err
}

// clear makes room for a unit whose name is taken: a failed leftover is reset, an empty one
// stopped, one that is on its way out waited for. Anything else is somebody's.
func (c *Conn) clear(ctx context.Context, unit string) error {
	gone, err := c.WatchRemoved(ctx, unit)
	if err != nil {
		return err
	}
	p, err := c.occupant(ctx, unit)
	if err != nil {
		return err
	}
	state, _ := p["ActiveState"].(string)
	if empty(p) {
		if err := c.Stop(ctx, unit); err != nil {
			return ignoreGone(err)
		}
		state = "deactivating"
	}
	switch {
	case p["Transient"] == false && state != "inactive":
		return &UnitExistsError{Unit: unit, State: state, File: true}
	case state == "failed":
		if err := c.ResetFailed(ctx, unit); err != nil {
			return ignoreGone(err)
		}
		// What still refers to the unit keeps it loaded: then the next attempt says so.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, resetTimeout)
		defer cancel()
		select {
		case <-gone:
		case <-ctx.Done():
		}
		return nil
	case state == "inactive":
		return nil
	case state != "deactivating":
		return &UnitExistsError{Unit: unit, State: state}
	}
	select {
	case err := <-gone:
		return err
	case <-ctx.Done():
		return overdue(ctx, "end of "+unit)
	}
}

// EndEmpty stops a transient unit that is active without a process. One that has processes, or is
// none, is left alone.
//
// Such a unit may stay for ever: systemd hears of an empty cgroup when its last process leaves
// it, and one that died on its way in never does.
func (c *Conn) EndEmpty(ctx context.Context, unit string) error {
	p, err := c.occupant(ctx, unit)
	if err != nil || !empty(p) {
		return ignoreGone(err)
	}
	return ignoreGone(c.Stop(ctx, unit))
}

// occupant asks for what tells whose a unit is.
//
// Order: the state last: a unit that ends between two answers is seen as ended, not as an active one
// that has lost its cgroup.
func (c *Conn) occupant(ctx context.Context, unit string) (map[string]any, error) {
	return c.Get(ctx, unit, "Transient", "ControlGroup", "ActiveState")
}

func empty(p map[string]any) bool {
	cgroup, _ := p["ControlGroup"].(string)
	return p["ActiveState"] == "active" && p["Transient"] == true && cgroup != "" && !Populated(cgroup)
}
