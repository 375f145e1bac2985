// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/scope"
)

// A record that was deleted by hand while its container runs is still open in the container's keeper.

// reclaim takes the name of such a container: it is to be
// removed like one whose record cannot be read. The unit alone does not tell that it is ours: there may
// be a container of that name in another run directory. Errors: ErrNotExist where there is no unit.
func (c *Container) reclaim(ctx context.Context) error {
	if err := c.salvage(ctx); err != nil {
		return err
	}
	if c.st.Cgroup == "" {
		return ErrNotExist
	}
	lost, err := c.rt.deleted(nil)
	if err != nil {
		return err
	}
	if slices.Contains(lost, c.id) {
		return os.MkdirAll(c.path(), 0o700)
	}
	// Somebody may have started one of that name since there was no record, and it may have ended.
	switch _, err := os.Lstat(c.path()); {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !scope.Populated(c.st.Cgroup):
		return ErrNotExist
	}
	return fmt.Errorf("no record of it in %s, and no keeper of %s that has had one there (if the unit is not in use elsewhere: systemctl stop %s)",
		c.rt.dir(), c.st.Unit, c.st.Unit)
}

// deleted are the names of the containers in this run directory whose keepers live and whose records were deleted by
// hand. The keepers of those known have theirs.
func (r *Runtime) deleted(known []*Container) (ids []string, err error) {
	all, err := keepers()
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(all, func(pid int) bool {
		return slices.ContainsFunc(known, func(c *Container) bool { return c.st.Keeper.Pid == pid })
	})
	if len(others) == 0 {
		return nil, nil
	}
	dir, err := r.realDir()
	if err != nil {
		return nil, ignoreMissing(err)
	}
	for _, pid := range others {
		for _, name := range namesOpen(pid) {
			id, ok := strings.CutPrefix(name, dir+"/")
			id, was := strings.CutSuffix(id, "/"+exitFile+" (deleted)")
			if ok && was && checkID(id) == nil { // one that is being removed has another name
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// keptElsewhere says whether there is a keeper of a container of that name in another run directory, and none in this one.
func (r *Runtime) keptElsewhere(id string) (theirs bool, err error) {
	all, err := keepers()
	if err != nil || len(all) == 0 {
		return false, err
	}
	dir, err := r.realDir()
	if err != nil {
		return false, err
	}
	for _, pid := range all {
		for _, name := range namesOpen(pid) {
			at, ok := strings.CutSuffix(strings.TrimSuffix(name, " (deleted)"), "/"+id+"/"+exitFile)
			if ok && at == dir {
				return false, nil
			}
			theirs = theirs || ok
		}
	}
	return theirs, nil
}

// keepers are those of all run directories.
func keepers() ([]int, error) {
	cgroup, err := scope.KeepersCgroup()
	if err != nil {
		return nil, ignore(err, scope.ErrNoHierarchy) // then there are none
	}
	pids, err := scope.Procs(cgroup)
	return pids, ignoreMissing(err)
}

// realDir is the run directory as the kernel calls it, also where it was deleted.
func (r *Runtime) realDir() (string, error) {
	dir, err := filepath.Abs(r.dir())
	if err != nil {
		return "", err
	}
	there, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		there, err = filepath.EvalSymlinks(filepath.Dir(dir))
		there = filepath.Join(there, filepath.Base(dir))
	}
	return there, err
}

// namesOpen are the names that the kernel gives to what a process has open; none of one that has ended.
func namesOpen(pid int) (names []string) {
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	list, _ := os.ReadDir(fds)
	for _, fd := range list {
		if name, err := os.Readlink(filepath.Join(fds, fd.Name())); err == nil {
			names = append(names, name)
		}
	}
	return names
}
