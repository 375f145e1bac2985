// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// spawn has the interpreter make the namespaces and the init. It needs the least of
// the Spec, and takes the longest: so it comes first.
func (l *launch) spawn(ctx context.Context) error {
	if err := l.choose(ctx); err != nil {
		return err
	}
	o := compileOptions{service: l.o.Service}
	var err error
	if l.o.Detach {
		if o.keeper, err = l.cleanupCommand(); err != nil {
			return err
		}
	}
	if l.plan, err = newPlan(l.spec, l.settings, o); err != nil {
		return err
	}
	stdio, err := l.openStdio()
	if err != nil {
		return err
	}
	defer stdio.close()
	l.null, l.pipes = stdio.kinds()
	if l.helper, err = l.ahead.takeHelper(); err != nil {
		return err
	}
	// Order: taken back after the init was killed: at the gate it handles no
	// signal, and systemd would wait for it.
	l.onFailure(l.stopUnit)
	l.onFailure(func(context.Context) error { return l.helper.Kill() })
	files, err := l.spawnFiles()
	defer closeAll(files)
	if err != nil {
		return err
	}
	return l.makeInit(l.plan.spawn, append(stdio.files(), files...)...)
}

// makeInit has the interpreter make the init.
func (l *launch) makeInit(spawn *nsexec.Program, files ...*os.File) error {
	if err := l.helper.Send(spawn, files...); err != nil {
		return err
	}
	l.onFailure(l.killInit)
	return nil
}

// choose settles what the Spec leaves to us.
func (l *launch) choose(ctx context.Context) error {
	if n := l.settings.AutoUserns; n > 0 {
		first, err := l.c.rt.claimUserns(ctx, l.c.id, n)
		if err != nil {
			return err
		}
		maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: first, Size: n}}
		l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings = maps, maps
		l.settings.AutoUserns = 0
		l.settings.Annotate(l.spec) // the range is in the Spec now
		l.c.st.Userns = [2]uint32{first, n}
	}
	if l.o.Detach && (joins(l.spec, specs.UserNamespace) || joins(l.spec, specs.MountNamespace)) {
		return fmt.Errorf("%w: a detached container that joins a user or mount namespace: its keeper would be inside (run it in the foreground, or as a service)", ErrUnsupported)
	}
	switch {
	case !l.o.Service:
	case l.settings.Notify == "container":
		return passNotifySocket(l.spec)
	case os.Getenv(watchdogEnv) != "": // of a unit that we have not written
		l.c.rt.warn(`WatchdogSec= of the unit: the payload has no socket to answer on, and systemd will end the service (set systemd.notify = "container")`)
	}
	return nil
}

// fork waits for the init.
func (l *launch) fork(ctx context.Context) error {
	e, err := l.helper.Next(ctx)
	if err != nil {
		return err
	}
	if e.Kind != nsexec.Forked {
		return fmt.Errorf("nsexec: %s, want forked", e.Kind)
	}
	l.pid, l.pidfd = e.Pid, e.File
	if l.o.Detach || l.o.Service {
		return nil
	}
	return l.helper.Keeper().Close() // there is nothing to keep: that process ends
}

// spawnFiles opens what the spawn program receives, in its order.
func (l *launch) spawnFiles() ([]*os.File, error) {
	files, err := l.plan.openJoins()
	if err != nil {
		return files, err
	}
	if l.o.Service {
		dir, err := l.serviceCgroup()
		if err != nil {
			return files, err
		}
		files = append(files, dir)
	}
	if l.o.Detach {
		record, err := os.OpenFile(l.c.path(exitFile), os.O_WRONLY, 0)
		if err != nil {
			return files, err
		}
		files = append(files, record)
		exe, err := kernel.OpenPath(l.cleanup[0])
		if err != nil {
			return files, err
		}
		files = append(files, exe)
	}
	return files, nil
}

// killInit ends the init, also one that nobody has waited for yet.
func (l *launch) killInit(ctx context.Context) error {
	if l.pidfd == nil {
		// A helper that hangs says nothing: what it made all the same ends when its socket is closed.
		soon, cancel := context.WithTimeout(ctx, forkTimeout)
		_ = l.fork(soon) // the start has failed already
		cancel()
	}
	if l.pidfd == nil {
		return nil // none was made
	}
	if l.o.Detach {
		return endProcess(ctx, l.pidfd)
	}
	return endChild(ctx, l.pid, l.pidfd)
}

// endProcess kills a process and waits for its end. It closes its pidfd.
func endProcess(ctx context.Context, pidfd *os.File) error {
	defer pidfd.Close()
	if err := kernel.Signal(pidfd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return kernel.WaitReadable(ctx, pidfd)
}

// endChild is endProcess for a child of ours, which it reaps.
func endChild(ctx context.Context, pid int, pidfd *os.File) error {
	if err := endProcess(ctx, pidfd); err != nil {
		return err
	}
	var ws unix.WaitStatus
	_ = reapEnded(pid, &ws) // nobody wants to know how it died
	return nil
}

// attach writes the id maps, starts the job that makes the container's unit, and
// writes down which processes there are.
func (l *launch) attach(ctx context.Context) (err error) {
	// Order: maps before the init does anything in its user namespace: until
	// then all its files and devices belong to the overflow id (user_namespaces(7)).
	if l.plan.made(specs.UserNamespace) {
		if err := nsexec.WriteIDMaps(l.pid, l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings); err != nil {
			return l.unlessGone(err)
		}
	}
	if err := l.checkJoinedIDs(); err != nil {
		return err
	}
	if l.spec.Process.OOMScoreAdj != nil {
		if err := writeOOMScore(l.pid, *l.spec.Process.OOMScoreAdj); err != nil {
			return l.unlessGone(err)
		}
	}
	if !l.o.Service { // there it was born in its cgroup
		if l.bus, err = l.ahead.takeConn(ctx); err != nil {
			return err
		}
		if l.job, err = l.bus.Start(ctx, l.plan.unit, uint32(l.pid)); err != nil {
			return err
		}
	}
	// Until a keeper stays or the payload runs, all processes die with this one.
	if l.c.st.Init, err = identify(l.pid); err != nil {
		return l.helper.Died(err)
	}
	if l.o.Detach {
		if l.c.st.Keeper, err = identify(l.helper.Pid); err != nil {
			return l.helper.Keeper().Died(err)
		}
	}
	return l.c.write()
}

// unlessGone is the error of what was done to the init, or that it is there no more.
func (l *launch) unlessGone(err error) error {
	if err == nil {
		return nil
	}
	if _, none := identify(l.pid); gone(none) {
		return l.helper.Died(err)
	}
	return err
}

// waitJob waits for the unit. One that was there before is somebody else's: then
// there is no job of ours.
func (l *launch) waitJob(ctx context.Context) error {
	l.waited = true
	err := l.job.Wait(ctx)
	if errors.Is(err, scope.ErrUnitExists) {
		l.job = nil
	}
	return err
}

// stopUnit ends what may be left of the unit.
func (l *launch) stopUnit(ctx context.Context) error {
	if l.job != nil && !l.waited {
		_ = l.waitJob(ctx) // only for whose the unit is
	}
	if l.job == nil {
		return nil
	}
	return ignore(l.bus.Stop(ctx, l.plan.unit.Name), scope.ErrNoSuchUnit)
}

// writeOOMScore must be done by us: lowering the score needs CAP_SYS_RESOURCE
// in the initial user namespace.
func writeOOMScore(pid, score int) error {
	return kernel.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), fmt.Append(nil, score))
}

// build opens what the init needs from the host and has it make its world.
func (l *launch) build(ctx context.Context) error {
	files, err := l.openSources(ctx)
	defer closeAll(files)
	if err != nil {
		return l.unlessGone(err) // of which the namespace of an idmapped mount is
	}
	if err := l.helper.Send(l.plan.world.Program, files...); err != nil {
		return err
	}
	l.saved = begin(func() (struct{}, error) { return struct{}{}, l.c.writeSpec(l.spec) })
	return l.until(ctx, nsexec.Done, 0)
}

// until answers what the init reports, up to the event wanted.
func (l *launch) until(ctx context.Context, kind nsexec.EventKind, id uint32) error {
	for {
		e, err := l.helper.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case e.Kind == kind && e.ID == id:
			l.last = e
			return nil
		case e.Kind == nsexec.Synced && e.ID == rootfs.SyncConsole && e.File != nil:
			l.terminal = e.File
			if err := setSize(e.File, l.spec.Process.ConsoleSize); err != nil {
				return err
			}
		case e.Kind == nsexec.Synced && e.ID == syncUnexecuted && l.o.Service:
			l.takeOver(ctx)
		case e.Kind == nsexec.Executed: // not yet: the death of a process that is to reap looks like it
			return l.helper.Died(errors.New("connection closed"))
		default:
			return fmt.Errorf("nsexec: unexpected %s %#x", e.Kind, e.ID)
		}
		if err := l.helper.Answer(e, nil); err != nil {
			return err
		}
	}
}

// setSize gives a terminal the size that the Spec says, if it does.
func setSize(terminal *os.File, size *specs.Box) error {
	if size == nil {
		return nil
	}
	w := &unix.Winsize{Row: uint16(min(size.Height, math.MaxUint16)), Col: uint16(min(size.Width, math.MaxUint16))}
	conn, err := terminal.SyscallConn() // Fd would make it blocking
	if err != nil {
		return err
	}
	var err2 error
	err = conn.Control(func(fd uintptr) { err2 = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, w) })
	return errors.Join(err, os.NewSyscallError("TIOCSWINSZ", err2))
}

// settle waits for the unit and finds the payload's cgroup.
func (l *launch) settle(ctx context.Context) error {
	if l.job != nil {
		if err := l.waitJob(ctx); err != nil {
			return err
		}
		l.plan.unit = l.job.Unit() // without what this systemd lacks and systemd.strict = false gives up
		l.c.rt.tell(l.job.Dropped)
		l.timing("job")
	}
	return l.unlessGone(l.settleIn(ctx)) // with its last process systemd removes the cgroup
}

// settleIn finds the cgroup that the init is in, and makes it the payload's.
func (l *launch) settleIn(ctx context.Context) error {
	path, err := scope.CgroupOf(l.pid)
	if err != nil {
		return err
	}
	if l.job != nil && filepath.Base(path) != l.plan.unit.Name {
		return fmt.Errorf("%w: the init is in %s, not in %s", ErrAttest, path, l.plan.unit.Name)
	}
	switch {
	case l.o.Service: // it was born in its payload's
		err = l.limitPayload(path)
	case l.needsPayload():
		// Order: before unshare(CLONE_NEWCGROUP), which fixes the namespace's root.
		path, err = l.makePayload(path)
	}
	if err != nil {
		return err
	}
	l.c.st.Cgroup = path
	if l.o.Service {
		if err := l.adjustService(ctx); err != nil {
			return err
		}
	}
	if uid, gid, ok := cgroupOwner(l.spec); ok {
		if err := scope.Hand(path, int(uid), int(gid)); err != nil {
			return err
		}
	}
	if l.o.Service {
		return nil // systemd watches
	}
	if l.oom, err = openOOM(path, !l.o.Detach); err != nil {
		return err
	}
	l.c.st.Inode, err = scope.InodeOf(l.oom.unit)
	return err
}
