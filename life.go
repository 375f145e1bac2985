// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// killTimeout bounds the wait for processes that were sent SIGKILL.
const killTimeout = 10 * time.Second

// forkTimeout bounds the wait, in a start that has failed, for a process that the helper may have made.
const forkTimeout = time.Second

// settleTimeout bounds the wait for a keeper whose container has ended.
var settleTimeout = 10 * time.Second

// Signal sends sig to the payload's first process, or with all to every process
// of the container. Errors: ErrNotRunning.
func (c *Container) Signal(ctx context.Context, sig unix.Signal, all bool) error {
	return wrap("kill", c.id, c.signal(ctx, sig, all))
}

func (c *Container) signal(ctx context.Context, sig unix.Signal, all bool) error {
	if err := c.read(); err != nil {
		return err
	}
	if all {
		return c.signalAll(ctx, sig)
	}
	err := c.st.Init.signal(sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	return err
}

// signalAll has systemd signal the container's unit, which is known by its name alone: a
// container of another Runtime may have it by now.
func (c *Container) signalAll(ctx context.Context, sig unix.Signal) error {
	// Order: under the lock, so that the name passes to nobody meanwhile. Whoever is between
	// Create and Start has it: to that one nobody else has to give way.
	if s := c.status(); s != Creating && s != Created {
		unlock, err := c.lock(ctx, shared)
		if err != nil {
			return err
		}
		defer unlock()
		if err := c.read(); err != nil {
			return err
		}
	}
	if !c.hasUnit() {
		return ErrNotRunning
	}
	return c.unlessEnded(c.withBus(ctx, func(conn *scope.Conn) error { return conn.Kill(ctx, c.st.Unit, sig) }))
}

// hasUnit says whether the container's first process lives, and in the unit of the record.
func (c *Container) hasUnit() bool {
	if c.status() == Stopped {
		return false
	}
	own, err := scope.CgroupOf(c.st.Init.Pid)
	return err == nil && slices.Contains(strings.Split(own, "/"), c.st.Unit) && c.st.Init.alive()
}

func (c *Container) withBus(ctx context.Context, f func(*scope.Conn) error) error {
	conn, err := scope.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(conn)
}

// Stop sends the stop signal, waits up to timeout (the container's own if
// negative) and kills what is left. A container in a service is stopped through its
// unit, so that systemd neither restarts it nor counts it as failed; the unit has the
// timeout, and timeout must be negative. Errors: ErrUnsupported when it is not.
func (c *Container) Stop(ctx context.Context, timeout time.Duration) error {
	return wrap("stop", c.id, c.stop(ctx, timeout))
}

func (c *Container) stop(ctx context.Context, timeout time.Duration) error {
	if err := c.read(); err != nil {
		return err
	}
	if err := c.created(ctx); err != nil {
		return err
	}
	if c.status() == Stopped {
		return nil
	}
	if c.st.Service && timeout >= 0 {
		return fmt.Errorf("%w: a timeout for %s, which systemd stops (systemd.stop_timeout in the configuration, or TimeoutStopSec= in the unit)", ErrUnsupported, c.st.Unit)
	}
	if err := c.thawFrozen(ctx); err != nil {
		return ignore(err, ErrNotExist)
	}
	if c.st.Service {
		return c.withBus(ctx, func(conn *scope.Conn) error { return conn.Stop(ctx, c.st.Unit) })
	}
	sig, own, err := c.stopSettings()
	if err != nil {
		return ignore(err, ErrNotExist)
	}
	if timeout < 0 {
		timeout = own
	}
	if c.hears(sig) && timeout > 0 {
		if err := ignore(c.st.Init.signal(sig), unix.ESRCH); err != nil {
			return err
		}
		soft, cancel := context.WithTimeout(ctx, timeout)
		err := waitFor(soft, c.st.Init)
		cancel()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := errors.Join(c.killInit(ctx), c.settle(ctx)); err != nil {
		return err
	}
	if !scope.Populated(c.st.Cgroup) {
		return nil
	}
	return ignore(c.lockedStill(ctx, func() error { return c.killRest(ctx) }), ErrNotExist)
}

// lockedStill is locked, but refuses if the container has been replaced since it was last read.
// Errors: ErrNotExist.
func (c *Container) lockedStill(ctx context.Context, f func() error) error {
	was := c.st
	return c.locked(ctx, func() error {
		if !c.st.same(was) {
			return ErrNotExist
		}
		return f()
	})
}

// thawFrozen thaws a container that is to be stopped: a frozen process handles no signal.
func (c *Container) thawFrozen(ctx context.Context) error {
	if !c.frozen() {
		return nil
	}
	// Order: under the lock: systemd refuses to thaw while it is about to, for somebody else.
	err := c.lockedStill(ctx, func() error {
		if !c.frozen() {
			return nil
		}
		return c.unlessEnded(c.thaw(ctx))
	})
	return ignore(err, ErrNotRunning)
}

func (c *Container) stopSettings() (unix.Signal, time.Duration, error) {
	spec, err := c.readSpec()
	if err != nil {
		return 0, 0, err
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return 0, 0, err
	}
	u, _ := scope.Plan(spec, s) // it started: what is found wrong with it now keeps nobody from a stop
	sig, timeout := u.Stop()
	return sig, timeout, nil
}

// hears says whether sig can have an effect on the init. The first process of a
// PID namespace ignores every signal it has no handler for: waiting would be in vain.
func (c *Container) hears(sig unix.Signal) bool {
	b, err := kernel.ReadFile("/proc/" + strconv.Itoa(c.st.Init.Pid) + "/status")
	if err != nil {
		return true
	}
	var heard uint64
	nested := false
	for line := range strings.Lines(string(b)) {
		name, v, _ := strings.Cut(line, ":")
		switch name {
		case "SigCgt", "SigBlk": // a blocked signal is kept for signalfd or sigwait
			n, _ := strconv.ParseUint(strings.TrimSpace(v), 16, 64) // the kernel's own hex
			heard |= n
		case "NSpid": // one number for each PID namespace the process is in
			ids := strings.Fields(v)
			nested = len(ids) > 1 && ids[len(ids)-1] == "1"
		}
	}
	return !nested || heard&(1<<(uint(sig)-1)) != 0
}

// killInit kills the container's first process, and with it its PID namespace, and
// waits for it. It can meet no other process.
func (c *Container) killInit(ctx context.Context) error {
	return killProcess(ctx, "process", c.st.Init)
}

// killProcess kills a process and waits for it.
func killProcess(ctx context.Context, what string, p procID) error {
	f, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := kernel.Signal(f, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if err := kernel.WaitReadable(ctx, f); err != nil {
		return fmt.Errorf("%s %d does not end: %w", what, p.Pid, err)
	}
	return nil
}

// killRest kills what the container has beside its PID namespace. The caller holds the lock.
func (c *Container) killRest(ctx context.Context) error {
	if c.st.Cgroup == "" || !scope.Populated(c.st.Cgroup) {
		return nil
	}
	if own, err := c.ownsCgroup(); err != nil || !own {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if c.st.Service {
		return c.killPayload(ctx)
	}
	err := c.withBus(ctx, func(conn *scope.Conn) error { return conn.Kill(ctx, c.st.Unit, unix.SIGKILL) })
	return ignore(err, scope.ErrNoSuchUnit)
}

// ownsCgroup says whether the cgroup of the container's unit is there and still the one it had: the names of units are the
// machine's, and a container of another Runtime may have this one by now. The record of an older command does not say.
func (c *Container) ownsCgroup() (bool, error) {
	inode, err := scope.Inode(scope.UnitCgroup(c.st.Cgroup))
	return err == nil && (c.st.Inode == 0 || c.st.Inode == inode), ignoreMissing(err)
}

// killPayload kills what a service has left in its payload's cgroup, and waits for it. The next start of the service may be
// who does it, in that unit itself.
//
// Not by cgroup.kill: whatever is born into a cgroup (CLONE_INTO_CGROUP) that was ever killed so, Linux 6.18 kills, and
// there the next payload is to be born.
func (c *Container) killPayload(ctx context.Context) error {
	for {
		pids, err := scope.Procs(c.st.Cgroup)
		if err != nil {
			return ignoreMissing(err)
		}
		var killed []procID
		for _, pid := range pids {
			// Order: identified before its cgroup is read: that is this process's then, or it is not found again.
			p, err1 := identify(pid)
			own, err2 := scope.CgroupOf(pid)
			switch {
			case gone(err1) || gone(err2) || err2 == nil && !strings.HasPrefix(own+"/", c.st.Cgroup+"/"):
				continue // it has ended
			case err1 != nil || err2 != nil:
				return errors.Join(err1, err2)
			}
			if err := ignore(p.signal(unix.SIGKILL), unix.ESRCH); err != nil {
				return err
			}
			killed = append(killed, p)
		}
		if len(killed) == 0 {
			return nil
		}
		for _, p := range killed {
			if err := waitFor(ctx, p); err != nil {
				return fmt.Errorf("process %d does not end: %w", p.Pid, err)
			}
		}
	}
}

// settle waits until the keeper has recorded the end.
func (c *Container) settle(ctx context.Context) error {
	if c.st.Keeper.Pid == os.Getpid() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := c.waitRecorded(ctx); err != nil {
		return fmt.Errorf("keeper %d does not end: %w", c.st.Keeper.Pid, err)
	}
	return nil
}

// unlessEnded is the error of a verb that wants a running container; where it has
// ended meanwhile, that is the reason.
func (c *Container) unlessEnded(err error) error {
	if err != nil && !errors.Is(err, ErrNotRunning) && (c.status() == Stopped || kernel.Ending(c.st.Init.Pid) || !scope.Populated(c.st.Cgroup)) {
		return fmt.Errorf("%w: it ended meanwhile (%w)", ErrNotRunning, err)
	}
	return err
}

// Pause freezes the container's unit. Errors: ErrNotRunning, ErrPaused.
func (c *Container) Pause(ctx context.Context) error {
	return wrap("pause", c.id, c.locked(ctx, func() error {
		switch c.status() {
		case Paused:
			return ErrPaused
		case Running:
			return c.unlessEnded(c.withBus(ctx, func(conn *scope.Conn) error { return conn.Freeze(ctx, c.st.Unit) }))
		}
		return ErrNotRunning
	}))
}

// Resume thaws a paused container. Errors: ErrNotRunning, ErrNotPaused.
func (c *Container) Resume(ctx context.Context) error {
	return wrap("resume", c.id, c.locked(ctx, func() error {
		switch c.status() {
		case Paused:
			return c.unlessEnded(c.thaw(ctx))
		case Running:
			return ErrNotPaused
		}
		return ErrNotRunning
	}))
}

func (c *Container) thaw(ctx context.Context) error {
	return c.withBus(ctx, func(conn *scope.Conn) error { return conn.Thaw(ctx, c.st.Unit) })
}
