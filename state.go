// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// DefaultDir is where records are kept.
const DefaultDir = "/run/sdcontainer"

func (r *Runtime) dir() string {
	if r.Dir == "" {
		return DefaultDir
	}
	return r.Dir
}

// trusted refuses a directory of records that others can write to: a record says
// what is killed and which unit is stopped.
func (r *Runtime) trusted() error {
	var st unix.Stat_t
	err := unix.Stat(r.dir(), &st)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &os.PathError{Op: "stat", Path: r.dir(), Err: err}
	}
	if said := forgeable(&st); said != "" {
		return fmt.Errorf("%s %s (want your own, mode 0700)", r.dir(), said)
	}
	return nil
}

// forgeable says why others than this user and root can write there; nothing if they cannot.
func forgeable(st *unix.Stat_t) string {
	if (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0 {
		return ""
	}
	return fmt.Sprintf("belongs to user %d and has mode %04o: others could forge records", st.Uid, st.Mode&0o7777)
}

func (r *Runtime) path(id string, elem ...string) string {
	return filepath.Join(append([]string{r.dir(), id}, elem...)...)
}

func (c *Container) path(elem ...string) string { return c.rt.path(c.id, elem...) }

// Load finds a container by ID. Errors: ErrNotExist.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{rt: r, id: id}
	if err := c.read(); err != nil {
		return nil, wrap("load", id, err)
	}
	return c, nil
}

// LoadUnit finds a container by the full name of its unit, such as sdc-web.scope. Errors:
// ErrNotExist; those of List, where a record that cannot be read may be the one.
func (r *Runtime) LoadUnit(unit string) (*Container, error) {
	list, err := r.List()
	for _, c := range list {
		if c.st.Unit == unit {
			return c, nil
		}
	}
	if err == nil {
		err = wrap("load", unit, ErrNotExist)
	}
	return nil, err
}

// List returns all containers, ordered by ID. Records that cannot be read, or were deleted while a detached
// container runs, are reported in the error, the others are returned all the same. A directory that others can
// write to is refused.
func (r *Runtime) List() ([]*Container, error) {
	if err := r.trusted(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r.sweep(entries)
	var list []*Container
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || checkID(e.Name()) != nil {
			continue
		}
		c, err := r.Load(e.Name())
		switch {
		case errors.Is(err, ErrNotExist): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			list = append(list, c)
		}
	}
	lost, err := r.deleted(list)
	errs = append(errs, err)
	for _, id := range lost {
		errs = append(errs, wrap("load", id, &damage{r.path(id), "deleted while the container runs"}))
	}
	slices.SortFunc(list, func(a, b *Container) int { return cmp.Compare(a.id, b.id) })
	return list, errors.Join(errs...)
}

func checkID(id string) error {
	if err := configs.CheckName(id); err != nil {
		return fmt.Errorf("container name %w", err)
	}
	return nil
}

// State reads what is true now.
func (c *Container) State() (State, error) {
	if err := c.read(); err != nil {
		return State{}, wrap("state", c.id, err)
	}
	st := c.st
	s := State{
		ID: st.ID, Unit: st.Unit, Cgroup: st.Cgroup, Rootfs: st.Rootfs, Source: st.Source,
		Command: st.Command, Created: st.Created, Service: st.Service,
	}
	if !st.Started.IsZero() {
		s.Started = &st.Started
	}
	s.Status = c.status()
	if s.Status != Stopped {
		s.Pid = st.Init.Pid
		if st.Keeper.alive() {
			s.KeeperPid = st.Keeper.Pid
		}
		return s, nil
	}
	// Order: before reading: a keeper that is gone now has written what it knew.
	kept := st.Keeper.alive()
	exit, err := c.exit()
	if err != nil {
		return s, wrap("state", c.id, err)
	}
	s.Exit = exit
	s.ExitUnknown = exit == nil && !kept
	return s, nil
}

func (c *Container) status() Status {
	s, _ := c.look() // as if what cannot be looked at lived
	return s
}

// look is status. The error is that a process could not be looked at, which is taken for alive.
func (c *Container) look() (Status, error) {
	st := c.st
	boot, _ := kernel.BootID() // known, or the record could not have been read or made
	if st.BootID != boot {
		return Stopped, nil
	}
	p := st.Init
	if st.Phase == Creating {
		p = st.Creator
	}
	lives, err := p.lives()
	switch {
	case !lives && err == nil:
		return Stopped, nil
	case st.Phase == Creating || st.Phase == Created:
		return st.Phase, err
	case c.frozen():
		return Paused, err
	}
	return Running, err
}
