// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the container's lock: an exclusive flock on its directory. The
// lock is gone with the process.
func (c *Container) lock() (unlock func(), err error) {
	if err := c.rt.trusted(); err != nil {
		return nil, err
	}
	d, err := os.Open(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	if err := flock(d); err != nil {
		d.Close()
		return nil, err
	}
	// The directory may have been removed, and made anew, while we waited.
	have, err1 := d.Stat()
	want, err2 := os.Stat(c.path())
	if err1 != nil || err2 != nil || !os.SameFile(have, want) {
		d.Close()
		return nil, ErrNotExist
	}
	return func() { d.Close() }, nil
}

// flock waits for the exclusive lock on f, which ends with f.
func flock(f *os.File) error {
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}

// locked runs f under the container's lock, on a fresh reading of its record.
func (c *Container) locked(f func() error) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.read(); err != nil {
		return err
	}
	return f()
}
