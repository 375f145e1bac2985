// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Start executes the payload of a container that Create built. It must be
// called by the process that called Create, once. A container that is not detached must be
// waited for afterwards: Wait reaps its process, and nothing else of the caller's may. Errors: ErrNotExecutable, ErrNotFound.
func (c *Container) Start(ctx context.Context) error {
	l := c.start
	if l == nil || l.helper == nil {
		return wrap("start", c.id, errors.New("it has been started, or another process created it: only that one can start it"))
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.release(ctx); err != nil {
		c.start = nil
		return wrap("start", c.id, errors.Join(err, l.takeBack(context.WithoutCancel(ctx))))
	}
	return nil
}

func (l *launch) release(ctx context.Context) error {
	// Written before the payload runs: a record that says "created" for a running
	// payload would be worse than the other way round.
	l.c.st.Phase, l.c.st.Started = Running, time.Now()
	if err := l.c.write(); err != nil {
		return err
	}
	if l.o.Service {
		if err := l.handOver(ctx); err != nil {
			return err
		}
	}
	if err := l.execute(ctx); err != nil {
		return err
	}
	l.timing("exec")
	if l.o.Detach {
		if err := l.bus.StartKeeper(ctx, uint32(l.helper.Pid)); err != nil {
			return err
		}
		if err := l.helper.Keeper().Answer(l.keeping, nil); err != nil {
			return err
		}
		l.timing("keeper")
	}
	l.undo = nil
	l.close()
	if !l.c.st.Foreground {
		l.c.start = nil
		l.oom.close() // Wait of a foreground run needs it, and the pidfd
		closeAll([]*os.File{l.pidfd})
	}
	return nil
}

// execute has the process go on to what it was made for.
func (l *launch) execute(ctx context.Context) error {
	if err := l.helper.Answer(l.last, nil); err != nil {
		return err
	}
	err := l.until(ctx, nsexec.Executed, 0)
	if err == nil && l.unexecuted {
		err = errors.New("execve failed, and then did not: who changes the rootfs while it starts?") // nobody knows its main process
	}
	return execError(err)
}

// unexecutable are the errors of execve that have an exit status: the first is of what is not there.
var unexecutable = []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.EISDIR}

// takeOver makes us the main process of the service again, in place of an init whose exec has failed and that is to die.
func (l *launch) takeOver(ctx context.Context) {
	l.unexecuted = true
	err := kernel.Signal(l.pidfd, 0) // killed meanwhile, its number may be that of another service's
	if err == nil {
		err = journal.NotifyAs(ctx, l.pid, fmt.Sprintf("MAINPID=%d", os.Getpid()))
	}
	if err != nil {
		l.c.rt.warn(fmt.Sprintf("%s: the exit status of %s does not say why the payload was not executed: %v", l.c.id, l.c.st.Unit, err))
	}
}

// execError tells the sentinel for a failed execve.
func execError(err error) error {
	var step *nsexec.StepError
	if !errors.As(err, &step) || step.Call != "execve" {
		return err
	}
	switch {
	case errors.Is(err, unexecutable[0]):
		return fmt.Errorf("%w: %w (the file is there: its interpreter or loader is not in the rootfs)", ErrNotFound, err)
	case slices.ContainsFunc(unexecutable, func(e unix.Errno) bool { return errors.Is(err, e) }):
		return fmt.Errorf("%w: %w", ErrNotExecutable, err)
	}
	return err
}

// handOver makes the init the main process of the service we run in, one step
// before it executes the payload.
//
// Order: before exec: of a payload that ends at once, PID 1 would reap the status
// without knowing whose it was, and without READY=1 before it take it for a failed start.
func (l *launch) handOver(ctx context.Context) error {
	// Order: before systemd hears of it, the init must be PID 1's child: see compileSpawn.
	aside, err := kernel.Pidfd(l.helper.Pid)
	if err != nil {
		return err
	}
	defer aside.Close()
	if err := l.helper.Keeper().Close(); err != nil {
		return err
	}
	if err := kernel.WaitReadable(ctx, aside); err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("MAINPID=%d", l.pid)}
	if l.settings.Notify != "container" {
		lines = append(lines, "READY=1")
	}
	return journal.Notify(ctx, strings.Join(lines, "\n"))
}

// reap waits for the payload of a foreground run, whose parent we are, and
// writes down how it ended.
func (l *launch) reap(ctx context.Context) (Exit, error) {
	watch, err := watchOOM(l.oom, l.c.st.Cgroup)
	if err != nil {
		return Exit{}, err
	}
	err = kernel.WaitReadable(ctx, l.pidfd)
	// Before the zombie is reaped: systemd removes the cgroup soon after.
	watch.end()
	if err != nil {
		return Exit{}, err
	}
	var ws unix.WaitStatus
	unknown := reapEnded(l.pid, &ws)
	oom, known := watch.result(ws)
	rec := nsexec.ExitRecord{Status: ws, OOMKnown: known, OOMKilled: oom > 0, ManagedOOM: watch.managed(ws), At: time.Now()}
	l.c.start = nil
	l.oom.close()
	closeAll([]*os.File{l.pidfd})
	if unknown != nil { // ECHILD: something else in this process reaps whatever ends
		return Exit{}, errors.Join(fmt.Errorf("%w: %w", ErrExitUnknown, unknown), l.c.rt.Cleanup(ctx, l.c.id))
	}
	e := exitIn(rec)
	// Removed by force meanwhile, or not to be written to: how the payload ended is known
	// all the same.
	err = ignoreMissing(l.c.writeExit(rec))
	return e, errors.Join(err, l.c.rt.Cleanup(ctx, l.c.id))
}

// Cleanup does what is left to do for a container that has ended: its end goes
// to the journal, what its unit still holds is stopped, and with Remove the
// record goes too. The keeper, ExecStopPost= and Wait call it; again is harmless. How a service
// ended it takes from what systemd tells ExecStopPost=: $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS.
func (r *Runtime) Cleanup(ctx context.Context, id string) error {
	c, err := r.Load(id)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = c.lockedPatiently(ctx, func() error { return c.cleanup(ctx) }) // nobody would call it again
	return wrap("cleanup", id, ignore(err, ErrNotExist))
}

func (c *Container) cleanup(ctx context.Context) error {
	status, err := c.look()
	if err != nil {
		return err // what looks alive for that would be left, and nobody calls again
	}
	if status != Stopped {
		return nil // not yet
	}
	if c.st.Keeper.Pid != os.Getpid() {
		if kept, err := c.st.Keeper.lives(); kept || err != nil {
			return err // its own keeper will
		}
	}
	record := c.recordTraced
	if c.st.Service {
		record = c.recordServiceExit
	}
	if err := record(); err != nil {
		return err
	}
	var errs []error
	if !c.st.Logged {
		errs = append(errs, c.amendOOM(), c.logEnd())
		c.st.Logged = true
		if !c.st.Remove {
			errs = append(errs, c.write())
		}
	}
	// An empty scope ends by itself: systemd needs no asking, and a start that comes too
	// soon for the name waits.
	if c.st.Cgroup != "" && scope.Populated(c.st.Cgroup) {
		if err := c.endUnit(ctx); err != nil {
			return errors.Join(append(errs, err, c.write())...) // whoever removes it needs the record, and what is left its user IDs
		}
	}
	// Of a service systemd itself knows how it ended.
	if c.st.Remove || c.st.Service {
		errs = append(errs, c.removeRecord())
	}
	return errors.Join(errs...)
}

// recordTraced writes down how a container ended whose keeper, which we are, could not reap it: something of it that
// outlives it traces it, and keeps the zombie.
func (c *Container) recordTraced() error {
	if c.st.Foreground || c.st.Keeper.Pid != os.Getpid() { // in the foreground reap has done so
		return nil
	}
	if e, err := c.exit(); e != nil || err != nil {
		return err
	}
	ws, err := kernel.ZombieStatus(c.st.Init.Pid)
	if gone(err) || errors.Is(err, kernel.ErrNoZombie) {
		return nil // nobody knows
	}
	if err != nil {
		return err
	}
	return c.writeExit(nsexec.ExitRecord{Status: ws, At: time.Now()})
}

// MessageEnded is the MESSAGE_ID of the journal entry written when a container
// has ended. Its fields are CONTAINER_ID and CONTAINER_NAME, OBJECT_SYSTEMD_UNIT, EXIT_CODE ("exited" or "killed"),
// EXIT_STATUS, EXIT_TIMESTAMP and OOM_KILLED ("true" or "false"); of an end that nobody saw those from EXIT_CODE on are missing.
const MessageEnded = "5c6c9b8f1d1e4b6f9a3f0c2d7e8b4a10"

// logEnd writes the one journal entry that says how the container ended, so that
// journalctl -u UNIT shows it: not of one that never ran.
func (c *Container) logEnd() error {
	if c.st.Phase != Running {
		return nil
	}
	e, err := c.exit()
	if err != nil {
		return err
	}
	msg, prio := c.id+": exit status unknown: nobody was there to see it", "4"
	fields := map[string]string{
		"MESSAGE_ID": MessageEnded, configs.NameField: c.id, "CONTAINER_ID": c.id,
		"OBJECT_SYSTEMD_UNIT": c.st.Unit, "SYSLOG_IDENTIFIER": "sdcontainer",
	}
	if e != nil {
		msg, prio = c.id+": "+e.String(), "6"
		if e.Code != 0 {
			prio = "5"
		}
		code := "exited"
		if e.Signal != 0 {
			code = "killed"
		}
		fields["EXIT_CODE"], fields["EXIT_STATUS"] = code, fmt.Sprint(e.Code)
		fields["EXIT_TIMESTAMP"] = e.At.UTC().Format(time.RFC3339Nano)
		fields["OOM_KILLED"] = fmt.Sprint(e.OOMKilled)
	}
	fields["MESSAGE"], fields["PRIORITY"] = msg, prio
	err = journal.Send(fields)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil // no journal here; the record has it
	}
	if errors.Is(err, unix.EAGAIN) {
		c.rt.warn(c.id + ": journald takes no entry that says how it ended (systemctl restart systemd-journald); the record has it")
		return nil
	}
	return err
}

// logUnlogged does so for a container that is being removed, whose keeper was killed before it could.
func (c *Container) logUnlogged() {
	if c.st.Logged {
		return
	}
	if err := c.logEnd(); err != nil {
		c.rt.warn(err.Error())
	}
}

// String says in words how the payload ended.
func (e Exit) String() string {
	switch {
	case e.ManagedOOM:
		return fmt.Sprintf("killed by systemd-oomd: out of memory (signal %d)", e.Signal)
	case e.OOMKilled && e.Signal != 0:
		return fmt.Sprintf("killed by the kernel: out of memory (signal %d)", e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("killed by %s", unix.SignalName(unix.Signal(e.Signal)))
	case e.OOMKilled:
		return fmt.Sprintf("exited with code %d; the kernel killed a process of it: out of memory", e.Code)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}
