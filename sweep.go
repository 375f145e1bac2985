// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// sweep removes what commands that were killed have left in the run directory under
// no container's name: records half made and half removed. What cannot be removed is left.
func (r *Runtime) sweep(entries []os.DirEntry) {
	for _, e := range entries {
		dir := r.path(e.Name())
		switch {
		case strings.HasPrefix(e.Name(), gonePrefix):
			// Nobody needs it any more; that somebody is at it as well does no harm.
			_ = removeGone(dir)
		case strings.HasPrefix(e.Name(), newPrefix):
			_ = r.sweepNew(dir)
		}
	}
}

// sweepAll is sweep for who has not read the directory, and has the keepers' scope end that a killed start has left empty.
func (r *Runtime) sweepAll() {
	entries, _ := os.ReadDir(r.dir()) // what is there of it
	r.sweep(entries)
	_ = scope.EndEmptyKeepers() // the next keeper takes over what stays
}

// sweepNew removes a record that is being made, unless its maker lives: he has its
// lock. If he has not come that far, rmdir, which takes only the empty, makes him begin anew.
func (r *Runtime) sweepNew(dir string) error {
	if err := unix.Rmdir(dir); err == nil || err != unix.ENOTEMPTY {
		return err
	}
	path := filepath.Join(dir, lockFile)
	lock, err := tryLock(path, exclusive)
	if errors.Is(err, errLocked) && !makerLives(dir) {
		// A child has it, which the maker was about to make the interpreter, until it is that or ends.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		lock, err = waitLock(ctx, path, exclusive)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return r.discard(dir)
}

// makerLives says whether there is the process that makes a record, whose number is in the name. Another one of
// that number is taken for it: then the next sweep removes the record.
func makerLives(dir string) bool {
	words := strings.Split(filepath.Base(dir), ".")
	pid, err := strconv.Atoi(words[max(0, len(words)-2)])
	if err != nil {
		return false
	}
	_, err = identify(pid)
	return !gone(err)
}

// discard removes the directory of a record. Renamed first: there is no moment when
// half a record is there, and what is left of it when we are killed here can be told.
func (r *Runtime) discard(dir string) error {
	for {
		gone := r.path(fmt.Sprintf("%s%s.%x", gonePrefix, strings.TrimPrefix(filepath.Base(dir), newPrefix), rand.Uint64()))
		err := kernel.Rename(dir, gone, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			return removeGone(gone)
		case errors.Is(err, unix.EEXIST):
			continue
		case errors.Is(err, unix.ENOENT):
			return nil
		}
		return roomFor(err)
	}
}

// removeGone removes what discard has renamed. The files by their names: that takes no descriptors, of which a start that
// failed for want of them may have none now.
func removeGone(dir string) error {
	for _, name := range []string{stateFile, configFile, exitFile, turnFile, lockFile} {
		_ = unix.Unlink(filepath.Join(dir, name)) // what stays is told below
	}
	if unix.Rmdir(dir) == nil {
		return nil
	}
	return os.RemoveAll(dir)
}

// removeRecord removes the directory: the last thing a container has. The
// caller holds the lock and has seen the container's end.
func (c *Container) removeRecord() error {
	if err := c.releaseClaims(); err != nil {
		return err
	}
	return c.rt.discard(c.path())
}

func (c *Container) releaseClaims() error {
	if c.st != nil {
		if err := c.rt.releaseUserns(c.st); err != nil {
			return roomFor(err)
		}
	}
	if c.st == nil || c.st.Phase != Created && c.st.Phase != Running {
		// Of a start that was killed, and a record that is damaged, only the claims themselves tell.
		return roomFor(c.rt.releaseNamed(c.id))
	}
	return nil
}

// ignoreMissing is err unless it says that something is not there.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
