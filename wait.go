// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// Wait waits, from any process, for the container's end and returns how its
// payload ended. Errors: ErrExitUnknown.
func (c *Container) Wait(ctx context.Context) (Exit, error) {
	e, err := c.wait(ctx)
	return e, wrap("wait", c.id, err)
}

func (c *Container) wait(ctx context.Context) (Exit, error) {
	if c.start != nil {
		return c.start.reap(ctx)
	}
	if err := c.read(); err != nil {
		return Exit{}, err
	}
	// Opened before anything ends: with Remove the record is gone afterwards.
	f, err := os.Open(c.path(exitFile))
	if err != nil {
		return Exit{}, err
	}
	defer f.Close()
	if err := waitFor(ctx, c.st.Init); err != nil {
		return Exit{}, err
	}
	if err := c.waitRecorded(ctx); err != nil {
		return Exit{}, err
	}
	b := make([]byte, 4096)
	n, _ := f.ReadAt(b, 0) // short: the record is smaller
	if n == 0 {
		return Exit{}, ErrExitUnknown
	}
	e, err := decodeExit(b[:n])
	if err != nil {
		return Exit{}, err
	}
	return *e, nil
}

// waitRecorded waits until whoever watches the container has written down how
// it ended, or is gone. A keeper ends when it has cleaned up, too. The process of
// a foreground run may live on: there the record itself is watched.
func (c *Container) waitRecorded(ctx context.Context) error {
	if !c.st.Foreground {
		return waitFor(ctx, c.st.Keeper)
	}
	w, err := kernel.WatchWritten(c.path(exitFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	if e, err := c.exit(); e != nil || err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan error, 2)
	go func() { first <- kernel.WaitReadable(ctx, w) }()
	go func() { first <- waitFor(ctx, c.st.Keeper) }()
	return <-first
}

// waitFor waits until a process has ended; one that is gone already has.
func waitFor(ctx context.Context, p procID) error {
	f, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return kernel.WaitReadable(ctx, f)
}
