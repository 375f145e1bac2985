// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Wait waits, from any process, for the container's end and returns how its
// payload ended. With an error the Exit counts where its At is not zero: then it is how the payload ended, and the error what of it
// could not be cleaned up. Errors: ErrExitUnknown, ErrNotExist when its record is gone already or it never came to be, ErrNotRunning
// before Start.
func (c *Container) Wait(ctx context.Context) (Exit, error) {
	e, err := c.wait(ctx)
	return e, wrap("wait", c.id, err)
}

func (c *Container) wait(ctx context.Context) (Exit, error) {
	if c.start != nil && c.start.helper != nil {
		return Exit{}, fmt.Errorf("%w: Start comes first", ErrNotRunning)
	}
	if c.start != nil && c.st.Foreground {
		return c.start.reap(ctx)
	}
	if err := c.read(); err != nil {
		return Exit{}, err
	}
	if err := c.created(ctx); err != nil {
		return Exit{}, err
	}
	// Opened before anything ends: with Remove the record is gone afterwards.
	f, err := c.openFile(exitFile)
	if ignoreMissing(err) != nil {
		return Exit{}, err
	}
	defer f.Close() // of none, too
	if err := waitFor(ctx, c.st.Init); err != nil {
		return Exit{}, err
	}
	if c.st.Service {
		return c.waitService(ctx, f)
	}
	if err := c.waitRecorded(ctx); err != nil {
		return Exit{}, err
	}
	e, err := c.readExit(f)
	if errors.Is(err, ErrExitUnknown) { // whoever had to see to it was killed: what is left to do is done here
		if err := c.rt.Cleanup(ctx, c.id); err != nil {
			c.rt.warn(err.Error())
		}
	}
	return e, err
}

// created waits while another command is creating the container: before it is there,
// nothing of it can be stopped or waited for. Errors: ErrNotExist when that failed.
func (c *Container) created(ctx context.Context) error {
	if c.status() != Creating || c.start != nil {
		return nil
	}
	return c.lockedPatiently(ctx, func() error { return nil })
}

// readExit reads an exit record. Errors: ErrExitUnknown when nothing is written there.
func (c *Container) readExit(f *os.File) (Exit, error) {
	e, err := c.exitFrom(f)
	if err != nil {
		return Exit{}, err
	}
	if e == nil {
		return Exit{}, ErrExitUnknown
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
		return ignore(err, ErrNotExist)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan error, 2)
	keeper := c.st.Keeper // who waits may go on before these end, and read the record anew
	go func() { first <- kernel.WaitReadable(ctx, w) }()
	go func() { first <- waitFor(ctx, keeper) }()
	return <-first
}

// waitService waits until ExecStopPost= has written record, which is the end's, or until
// the service is over and it has not: because it was killed, or taken out of the unit. Then
// systemd itself is asked.
func (c *Container) waitService(ctx context.Context, record *os.File) (Exit, error) {
	w, err := kernel.WatchWritten(c.path(exitFile))
	if errors.Is(err, fs.ErrNotExist) { // it was written before it went
		return c.readExit(record)
	}
	if err != nil {
		return Exit{}, err
	}
	defer w.Close()
	// Order: watch before reading: it may be written in between.
	if e, err := c.readExit(record); !errors.Is(err, ErrExitUnknown) {
		return e, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		exit Exit
		err  error
	}
	written, asked := make(chan error, 1), make(chan answer, 1)
	unit, invocation := c.st.Unit, c.st.Invocation // who waits may go on before these end, and read the record anew
	go func() { written <- kernel.WaitReadable(ctx, w) }()
	go func() {
		e, err := askService(ctx, unit, invocation)
		asked <- answer{e, err}
	}()
	var a answer
	select {
	case err := <-written:
		if err != nil {
			return Exit{}, err
		}
		if e, err := c.readExit(record); !errors.Is(err, ErrExitUnknown) {
			return e, err
		}
		a = <-asked // the record was removed as it was
	case a = <-asked:
	}
	if e, err := c.readExit(record); !errors.Is(err, ErrExitUnknown) {
		return e, err
	}
	return a.exit, a.err
}

// askService waits until the service has ended and returns what systemd knows of it.
// Errors: ErrExitUnknown.
func askService(ctx context.Context, unit, invocation string) (Exit, error) {
	conn, err := scope.Dial(ctx)
	if err != nil {
		return Exit{}, err
	}
	defer conn.Close()
	end, err := conn.WaitService(ctx, unit, invocation)
	if err != nil {
		return Exit{}, err
	}
	e, ok := exitOfService(end)
	if !ok {
		return Exit{}, fmt.Errorf("%w: %s left no record, and systemd has forgotten it", ErrExitUnknown, unit)
	}
	return e, nil
}

// exitOfService is what systemd saw of an end, if it saw one.
func exitOfService(end scope.ServiceEnd) (e Exit, ok bool) {
	switch end.Code {
	case scope.Exited:
		e = exitOf(unix.WaitStatus(end.Status << 8))
	case scope.Killed, scope.Dumped:
		e = exitOf(unix.WaitStatus(end.Status))
	default:
		return Exit{}, false
	}
	e.OOMKilled, e.At = end.Result == "oom-kill", end.At
	return e, true
}

// ServiceExit returns how the service of that container last ended, for who comes too late for Wait: a service leaves no
// record. systemd remembers it of one that has failed until that starts again or is reset, of others while something
// else needs the unit, as when it is enabled. Errors: ErrNotExist when systemd knows of no end.
func (r *Runtime) ServiceExit(ctx context.Context, id string) (Exit, error) {
	if err := checkID(id); err != nil {
		return Exit{}, err
	}
	conn, err := scope.Dial(ctx)
	if err != nil {
		return Exit{}, wrap("wait", id, err)
	}
	defer conn.Close()
	_, end, err := conn.ServiceState(ctx, unitgen.Instance(id))
	if err != nil {
		return Exit{}, wrap("wait", id, err)
	}
	e, ok := exitOfService(end)
	if !ok {
		return Exit{}, wrap("wait", id, ErrNotExist)
	}
	return e, nil
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
