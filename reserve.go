// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// reserve makes the record: from here on the container can be found and removed
// by name, whatever happens to this process.
func (l *launch) reserve(ctx context.Context) error {
	if err := os.MkdirAll(l.c.rt.dir(), 0o700); err != nil {
		return err
	}
	if err := l.c.rt.trusted(); err != nil {
		return err
	}
	made, err := l.newRecord()
	for errors.Is(err, errSwept) {
		l.unlock()
		made, err = l.newRecord()
	}
	for err == nil {
		err = kernel.Rename(made, l.c.path(), unix.RENAME_NOREPLACE)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EEXIST) {
			var replaced bool
			if replaced, err = l.replaceStopped(ctx, made); replaced {
				l.onFailure(func(context.Context) error { return l.c.removeRecord() })
				return err
			}
		}
	}
	if err != nil {
		return errors.Join(roomFor(err), l.c.rt.discard(made))
	}
	l.onFailure(func(context.Context) error { return l.c.removeRecord() })
	return nil
}

// errSwept says that somebody took the record that we had begun for one left behind.
var errSwept = errors.New("swept")

// newRecord makes the record in a place of its own and takes its lock.
//
// Order: complete and locked before it gets its name: whoever sees it can tell
// whose it is, and nobody takes it for one that can go.
func (l *launch) newRecord() (dir string, err error) {
	l.unlock = func() {}
	if dir, err = os.MkdirTemp(l.c.rt.dir(), fmt.Sprintf("%s%s.%d.", newPrefix, l.c.id, os.Getpid())); err != nil { // mode 0700
		return "", err
	}
	lock, err := tryLock(filepath.Join(dir, lockFile), exclusive)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errLocked):
		return dir, errSwept
	case err != nil:
		return dir, err
	}
	l.unlock = func() { lock.Close() }
	if at, err := isAt(lock, filepath.Join(dir, lockFile)); err != nil {
		return dir, err
	} else if !at {
		return dir, errSwept
	}
	self, err := identify(os.Getpid())
	if err != nil {
		return dir, err
	}
	boot, err := kernel.BootID()
	if err != nil {
		return dir, err
	}
	l.c.st = &record{
		Version: recordVersion, ID: l.c.id, BootID: boot, Phase: Creating, Creator: self,
		Unit: scope.UnitName(l.c.id), Service: l.o.Service, Foreground: !l.o.Detach && !l.o.Service, Remove: l.o.Remove,
		Rootfs: l.spec.Root.Path, Source: l.settings.Source, Command: l.spec.Process.Args, Created: time.Now(),
	}
	if l.c.st.Foreground {
		l.c.st.Keeper = self
	}
	if err := makeExit(filepath.Join(dir, exitFile)); err != nil {
		return dir, err
	}
	return dir, l.c.writeTo(dir)
}

// replaceStopped puts the record made in the place of one of the same name whose
// container has ended; or says that its name may be free now. Errors: ErrExist when it has not.
func (l *launch) replaceStopped(ctx context.Context, made string) (replaced bool, err error) {
	old := &Container{rt: l.c.rt, id: l.c.id}
	if err := old.ended(); err != nil { // before the lock, for which there may be long to wait
		return false, ignore(err, ErrNotExist)
	}
	unlock, err := old.lock(ctx, exclusive)
	if err != nil {
		return false, ignore(err, ErrNotExist)
	}
	defer unlock()
	if err := old.ended(); err != nil {
		return false, ignore(err, ErrNotExist)
	}
	if !old.st.Foreground && old.st.Keeper.alive() {
		// It ended a moment ago: its keeper needs the lock to finish.
		unlock()
		return false, waitFor(ctx, old.st.Keeper)
	}
	if err := errors.Join(old.endRest(ctx), old.releaseClaims()); err != nil {
		return false, err
	}
	// There is no moment without a container of that name.
	if err := kernel.Rename(made, old.path(), unix.RENAME_EXCHANGE); err != nil {
		return false, err
	}
	return true, l.c.rt.discard(made)
}

// ended reads the record. Errors: ErrNotExist, ErrExist when the container has
// not ended, or nobody can tell.
func (c *Container) ended() error {
	err := c.read()
	switch {
	case errors.Is(err, ErrNotExist):
		return err
	case err != nil:
		return fmt.Errorf("%w, and its record cannot be read: %w", ErrExist, err)
	case c.status() == Creating:
		return fmt.Errorf("%w: another command is creating it (wait for it, or choose another name)", ErrExist)
	case c.status() != Stopped:
		return fmt.Errorf("%w and is %s (stop it first, or choose another name)", ErrExist, c.status())
	}
	return nil
}
