// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// KeepersUnit holds the keepers of all detached containers.
const KeepersUnit = "sdcontainer-keepers.scope"

// KeepersCgroup is its cgroup, while there are keepers. It is below systemd's own, which is not the root of the
// hierarchy in a container without a cgroup namespace; the bus would say so too, but the caller has none.
func KeepersCgroup() (string, error) {
	manager, err := CgroupOf(1)
	return keepersBelow(manager), err
}

func keepersBelow(manager string) string {
	return path.Join(strings.TrimSuffix(manager, "/init.scope"), "/", DefaultSlice, KeepersUnit)
}

// EndEmptyKeepers has systemd end the keepers' scope where no keeper is left in it. It would by itself, but hears of an
// empty cgroup only when a process leaves it: a keeper that was killed on its way in never does, and the scope stays.
//
// To be told of a change, systemd watches cgroup.events for writes, which a new time of last change is to inotify(7); then
// it looks for itself whether anybody is there. So a keeper that comes at this moment is never stopped.
func EndEmptyKeepers() error {
	cgroup, err := KeepersCgroup()
	if err != nil || Populated(cgroup) {
		return err
	}
	now := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, dir(cgroup, "cgroup.events"), now, 0)
	if vanished(err) {
		return nil
	}
	return err
}

// keeperTimeout bounds how long others may make and end the keepers' scope before a keeper has got into it.
const keeperTimeout = callTimeout

// StartKeeper puts a keeper into the keepers' scope, which it makes if there is none.
// It is not the container's scope: there it would be stopped together with what it watches.
func (c *Conn) StartKeeper(ctx context.Context, pid uint32) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	for {
		// Attaching is the usual case, and fails without a trace.
		err := c.Attach(ctx, KeepersUnit, "", pid)
		if err == nil || !gone(err) {
			return err
		}
		job, err := c.Start(ctx, keepers(), pid)
		if err != nil {
			return err
		}
		if err = job.Wait(ctx); err == nil || !errors.Is(err, ErrUnitExists) {
			return err
		}
		// Another's keeper makes it at this moment, or it ends with its last one.
		if waited := c.waitJob(ctx, KeepersUnit); waited != nil {
			return fmt.Errorf("keeper %d: %w", pid, errors.Join(err, waited))
		}
	}
}

// waitJob waits for the job that a unit has, whoever asked for it and however it ends; or a moment if
// there is none.
func (c *Conn) waitJob(ctx context.Context, unit string) error {
	_, s, err := c.current(ctx)
	if err != nil {
		return err
	}
	if err := c.subscribe(ctx); err != nil { // on a bus others' jobs are not told of
		return err
	}
	// Order: watch before asking: it may end in between.
	s.watch(unit)
	defer s.unwatch(unit)
	p, err := c.Get(ctx, unit, "Job")
	if err != nil {
		return err
	}
	if !hasJob(p["Job"]) {
		select {
		case <-time.After(askAgain):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	job, _ := p["Job"].([]any)[1].(dbus.ObjectPath)
	end := s.job(job)
	defer s.forgetJob(job)
	select {
	case <-end: // or the connection was lost
		return nil
	case <-time.After(askAfter):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gone tells that there is no such scope, or not any more.
func gone(err error) bool {
	var reply *CallError
	return errors.Is(err, ErrNoSuchUnit) || errors.Is(err, ErrInvalid) ||
		errors.As(err, &reply) && reply.Name == "org.freedesktop.DBus.Error.Failed"
}

func keepers() Unit {
	p := &planner{unit: Unit{Name: KeepersUnit, Slice: DefaultSlice}}
	p.set("keepers", "Description", "Keepers of detached containers")
	p.set("keepers", "Slice", DefaultSlice)
	p.set("keepers", "Delegate", true) // attaching needs it
	// The default is a share of what the machine may have: with more keepers than that none could become the
	// clean-up command, which has threads.
	p.set("keepers", "TasksMax", uint64(Infinity))
	p.set("keepers", "CollectMode", collected)
	return p.unit
}
