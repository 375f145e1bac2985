// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/scope"
)

// Remove is [Container.Destroy] by name. With force it also removes a container
// whose record cannot be read, which [Runtime.Load] refuses. Errors: ErrNotExist, ErrRunning.
func (r *Runtime) Remove(ctx context.Context, id string, force bool) error {
	if err := checkID(id); err != nil {
		return err
	}
	c := &Container{rt: r, id: id}
	return c.Destroy(ctx, force)
}

// Destroy removes the container and everything it has. A running one is refused
// with ErrRunning unless force is set: then it is killed.
func (c *Container) Destroy(ctx context.Context, force bool) error {
	return wrap("rm", c.id, c.destroy(ctx, force))
}

func (c *Container) destroy(ctx context.Context, force bool) error {
	if l := c.start; l != nil && len(l.undo) > 0 {
		if !force {
			return ErrRunning
		}
		// Created by us and not started: the lock is ours, and all that is there is known.
		c.start = nil
		return l.takeBack(context.WithoutCancel(ctx)) // nobody could do it again
	}
	if err := c.rt.trusted(); err != nil { // force goes on without a record, not with a forged one
		return err
	}
	defer c.rt.sweepAll()
	if _, err := os.Lstat(c.path()); errors.Is(err, fs.ErrNotExist) {
		if !force {
			return ErrNotExist
		}
		if err := c.reclaim(ctx); err != nil {
			return err
		}
	}
	r := removal{force: force}
	defer func() { r.pin.Close() }() // of none, too
	if force {
		r.pin = c.killUnlocked(ctx)
	}
	for killed := r.pin != nil; ; killed = true {
		wait, err := c.destroyLocked(ctx, &r)
		if errors.Is(err, ErrNotExist) && killed {
			return nil // its keeper, or somebody else, has removed it
		}
		if err != nil || wait == nil {
			return err
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
}

// A removal is one call of Destroy.
type removal struct {
	force bool
	// pin is the record's directory: held open, no other can be taken for it.
	pin *os.File
	// alone: nobody is waited for any more who should have recorded the end.
	alone bool
}

// killUnlocked ends a running container before the lock is had. Its processes can stop those that
// Exec brings into it, one after the other, and so keep the lock shared for ever. What cannot
// be done here is done, and told, under the lock. What was killed is what is to be removed, and no
// container that has the name by then: it returns the directory of its record.
func (c *Container) killUnlocked(ctx context.Context) (pin *os.File) {
	pin, err := os.OpenFile(c.path(), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	if at, err := isAt(pin, c.path()); err == nil && at && c.read() == nil && !c.st.Service {
		if s := c.status(); s == Running || s == Paused {
			_ = c.killInit(ctx)
			return pin
		}
	}
	pin.Close()
	return nil
}

// destroyLocked goes as far as it can under the lock. It returns what there is to wait for
// without it, because others need it to finish; then it is called again.
func (c *Container) destroyLocked(ctx context.Context, r *removal) (wait func(context.Context) error, err error) {
	unlock, err := c.lock(ctx, exclusive)
	if errors.Is(err, ErrDamaged) && r.force {
		unlock, err = func() {}, nil // whoever had it, nobody can have it now
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	first := r.pin == nil
	if first {
		if r.pin, err = os.OpenFile(c.path(), unix.O_PATH|unix.O_NOFOLLOW, 0); err != nil {
			return nil, err
		}
	}
	if at, err := isAt(r.pin, c.path()); err != nil {
		return nil, err
	} else if !at {
		return nil, ErrNotExist
	}
	if err := c.read(); err != nil {
		if !r.force || errors.Is(err, ErrNotExist) {
			return nil, err
		}
		if err := c.salvageOwn(ctx); err != nil {
			return nil, err
		}
	}
	if c.status() != Stopped && !r.force {
		return nil, ErrRunning
	}
	if c.st.Service && c.status() != Stopped && first {
		return func(ctx context.Context) error { // ExecStopPost= needs the lock
			return c.withBus(ctx, func(conn *scope.Conn) error { return conn.Stop(ctx, c.st.Unit) })
		}, nil
	}
	if err := c.killInit(ctx); err != nil {
		return nil, err
	}
	if c.kept() && !r.alone {
		return func(ctx context.Context) error {
			err := c.settle(ctx)
			if r.force && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				r.alone = true
				err = c.endKeeper(ctx)
			}
			return err
		}, nil
	}
	if err := errors.Join(c.killRest(ctx), c.endUnit(ctx)); err != nil {
		return nil, err
	}
	c.logUnlogged()
	return nil, c.removeRecord()
}

// endKeeper ends a keeper that does not end by itself: somebody has stopped or frozen it. The process of a foreground run
// is its caller's, and finds the record gone when it goes on.
func (c *Container) endKeeper(ctx context.Context) error {
	if c.st.Foreground {
		return nil
	}
	return killProcess(ctx, "keeper", c.st.Keeper)
}

// kept says whether somebody will still record the container's end, or is cleaning up.
func (c *Container) kept() bool {
	if c.st.Keeper.Pid == os.Getpid() || !c.st.Keeper.alive() {
		return false
	}
	if !c.st.Foreground {
		return true
	}
	e, err := c.exit() // its process may live on
	return e == nil && err == nil
}

// salvageOwn is salvage for who has a record, without the unit where that is known to be of a container in another run directory.
func (c *Container) salvageOwn(ctx context.Context) error {
	if err := c.salvage(ctx); err != nil || c.st.Cgroup == "" {
		return err
	}
	theirs, err := c.rt.keptElsewhere(c.id)
	if theirs {
		c.st.Cgroup = ""
	}
	return err
}

// salvage stands in for a record that cannot be read: the name alone tells the unit.
func (c *Container) salvage(ctx context.Context) error {
	c.st = &record{ID: c.id, Unit: scope.UnitName(c.id)}
	err := c.withBus(ctx, func(conn *scope.Conn) (err error) {
		c.st.Cgroup, err = conn.ControlGroup(ctx, c.st.Unit)
		return ignore(err, scope.ErrNoSuchUnit)
	})
	return ifBooted(err)
}

// ifBooted drops an error where no systemd runs, as sd_booted(3) tells: there are no units then.
func ifBooted(err error) error {
	if _, missing := os.Stat("/run/systemd/system"); errors.Is(missing, fs.ErrNotExist) {
		return nil
	}
	return err
}

// endRest ends what is left of a container whose keeper was killed.
func (c *Container) endRest(ctx context.Context) error {
	if c.st.Cgroup == "" || !scope.Populated(c.st.Cgroup) {
		return nil
	}
	return errors.Join(c.killRest(ctx), c.endUnit(ctx))
}

// endUnit stops the container's scope and waits until it is gone: the same name
// can start again at once. An empty scope would end by itself a moment later. Another's of that name is left alone.
func (c *Container) endUnit(ctx context.Context) error {
	if c.st.Service || c.st.Unit == "" {
		return nil
	}
	unit := scope.UnitCgroup(c.st.Cgroup)
	if unit == "" {
		// The start did not come so far as to know its cgroup. A unit of that name in which
		// there is a process is somebody else's: ours is dead.
		return ifBooted(c.withBus(ctx, func(conn *scope.Conn) error { return conn.EndEmpty(ctx, c.st.Unit) }))
	}
	if own, err := c.ownsCgroup(); err != nil || !own {
		return err
	}
	return c.withBus(ctx, func(conn *scope.Conn) error { return ignore(conn.Stop(ctx, c.st.Unit), scope.ErrNoSuchUnit) })
}
