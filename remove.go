// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
		return l.takeBack(ctx)
	}
	if err := c.rt.trusted(); err != nil { // force goes on without a record, not with a forged one
		return err
	}
	err := c.locked(func() error {
		if c.status() != Stopped && !force {
			return ErrRunning
		}
		return nil
	})
	if errors.Is(err, ErrNotExist) || errors.Is(err, ErrRunning) {
		return err
	}
	if err != nil && !force {
		return err
	}
	if c.st == nil { // an unreadable record: the name alone tells the unit
		c.st = &record{ID: c.id, Unit: scope.UnitName(c.id)}
		err := c.withBus(ctx, func(conn *scope.Conn) (err error) {
			c.st.Cgroup, err = conn.ControlGroup(ctx, c.st.Unit)
			return ignore(err, scope.ErrNoSuchUnit)
		})
		if err != nil {
			return err
		}
	}
	var errs []error
	if c.st.Service && c.status() != Stopped {
		errs = append(errs, c.withBus(ctx, func(conn *scope.Conn) error { return conn.Stop(ctx, c.st.Unit) }))
	}
	errs = append(errs, c.kill(ctx), c.settle(ctx), c.endUnit(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	unlock, err := c.lock()
	if errors.Is(err, ErrNotExist) { // the keeper removed it
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return c.removeRecord()
}

// endUnit stops the container's scope and waits until it is gone: the same name
// can start again at once. An empty scope would end by itself a moment later.
func (c *Container) endUnit(ctx context.Context) error {
	if c.st.Service || c.st.Unit == "" {
		return nil
	}
	// Without a cgroup the start did not come that far, and a unit of that name is
	// somebody else's.
	unit := strings.TrimSuffix(c.st.Cgroup, "/payload")
	if unit == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(scope.Mount(), unit)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return c.withBus(ctx, func(conn *scope.Conn) error { return ignore(conn.Stop(ctx, c.st.Unit), scope.ErrNoSuchUnit) })
}

// removeRecord removes the directory: the last thing a container has. The
// caller holds the lock and has seen the container's end.
func (c *Container) removeRecord() error {
	if c.st != nil {
		if err := c.rt.releaseUserns(c.st); err != nil {
			return err
		}
	}
	// Renamed first: there is no moment when half a record is there.
	gone := c.rt.path(fmt.Sprintf("%s%s.%d", gonePrefix, c.id, os.Getpid()))
	err := os.Rename(c.path(), gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(gone)
}
