// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// find looks in the container's own files for who the payload is and what it
// executes, while systemd makes the unit.
func (l *launch) find(ctx context.Context) (err error) {
	l.who, err = findIn(ctx, l.pid, l.spec.Process, l.spec.Linux)
	if errors.Is(err, errEnded) {
		return l.helper.Died(err)
	}
	if err != nil {
		return err
	}
	if l.who.DeathSignal, err = deathSignal(l.settings, l.c.st.Foreground); err != nil {
		return err
	}
	l.become, err = l.plan.enter(l.who)
	return err
}

// enter has the init become that, one step before exec.
func (l *launch) enter(ctx context.Context) error {
	if err := l.openPipes(); err != nil {
		return err
	}
	if err := l.helper.Send(l.become); err != nil {
		return err
	}
	return l.until(ctx, nsexec.Synced, syncReady)
}

// deathSignal is what the payload gets when its parent dies. In the foreground that is us: without us nobody would clean up.
// That of a service steps aside before the payload is executed.
func deathSignal(s configs.Settings, foreground bool) (unix.Signal, error) {
	switch {
	case !foreground:
		return 0, nil
	case s.ParentDeathSignal != "":
		return configs.ParseSignal(s.ParentDeathSignal)
	}
	return unix.SIGKILL, nil
}

// lookTimeout is how long the container's filesystem may take to answer.
var lookTimeout = 10 * time.Second

// doubtful has a place for each thread that may wait for ever. Go bears 10000 threads in a process: who looks at containers again and
// again would get there, if one of them wants it.
var doubtful = make(chan struct{}, 64)

// findIn is findPayload in the root of a process.
func findIn(ctx context.Context, pid int, p *specs.Process, linux *specs.Linux) (*caps.Payload, error) {
	return look(ctx, "look for the user and the command in the container's files", func() (*caps.Payload, error) {
		root, err := openRoot(pid)
		if err != nil {
			if errors.Is(err, unix.ENOENT) {
				err = fmt.Errorf("process %d: %w", pid, errEnded)
			}
			return nil, err
		}
		defer root.Close()
		return findPayload(root, p, linux)
	}, nil)
}

// errEnded is for a process that has no root any more.
var errEnded = errors.New("it has ended")

// look does what touches the container's filesystem. Whoever serves that (FUSE,
// NFS) may never answer: then the thread that waits is given up, and what it brings in
// the end goes to drop, if there is one.
func look[T any](ctx context.Context, what string, f func() (T, error), drop func(T)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var none T
	select {
	case doubtful <- struct{}{}: // at once, whatever else is true
	default:
		select {
		case doubtful <- struct{}{}:
		case <-ctx.Done():
			return none, fmt.Errorf("%s: %w (%d others wait for filesystems, FUSE or NFS, that do not answer)", what, ctx.Err(), cap(doubtful))
		}
	}
	seen := begin(func() (T, error) {
		defer func() { <-doubtful }()
		return f()
	})
	select {
	case <-seen.done:
		return seen.wait()
	case <-ctx.Done():
		if drop != nil {
			go func() {
				late, _ := seen.wait()
				drop(late)
			}()
		}
		return none, fmt.Errorf("%s: %w (a filesystem there, FUSE or NFS, does not answer)", what, ctx.Err())
	}
}

// findPayload finds the user and the executable of p in the container's files.
func findPayload(root *os.File, p *specs.Process, linux *specs.Linux) (*caps.Payload, error) {
	y, err := findUser(root, p, linux)
	if err != nil {
		return nil, err
	}
	y.Path, err = lookPath(root, cmp.Or(p.Cwd, "/"), p.Args[0], y.Env)
	return y, err
}

// findUser finds the user of p in the container's files.
func findUser(root *os.File, p *specs.Process, linux *specs.Linux) (*caps.Payload, error) {
	passwd, err := readOptional(root, "/etc/passwd")
	if err != nil {
		return nil, err
	}
	group, err := readOptional(root, "/etc/group")
	if err != nil {
		return nil, err
	}
	who, err := caps.Resolve(bytes.NewReader(passwd), bytes.NewReader(group), p.User)
	if err != nil {
		return nil, err
	}
	return caps.Plan(p, linux, who)
}

// setLimits sets those limits and priorities of the payload that only we may set.
//
// Order: after the process has its CPUs and its cgroup: SCHED_DEADLINE is refused to one that may not run on each of them
// (sched_setattr(2)).
func (l *launch) setLimits() error {
	if err := l.setRlimits(); err != nil {
		return err
	}
	if a := l.who.Scheduler; a != nil {
		if err := kernel.SetScheduler(l.pid, *a); err != nil {
			return fmt.Errorf("process.scheduler: %w", err)
		}
	}
	if v := l.who.IOPriority; v != nil {
		if err := kernel.SetIOPriority(l.pid, *v); err != nil {
			return fmt.Errorf("process.ioPriority: %w", err)
		}
	}
	return nil
}

// setRlimits sets the payload's limits. Where we lack the right to raise one
// (no CAP_SYS_RESOURCE), systemd.strict = false goes on with our own.
func (l *launch) setRlimits() error {
	for i, r := range l.who.Rlimits {
		err := kernel.Prlimit(l.pid, r.Resource, r.Soft, r.Hard)
		if errors.Is(err, unix.EPERM) && !l.settings.Strict {
			var own unix.Rlimit
			if err := unix.Getrlimit(r.Resource, &own); err != nil {
				return os.NewSyscallError("getrlimit", err)
			}
			r.Soft, r.Hard = min(r.Soft, own.Max), min(r.Hard, own.Max)
			l.c.rt.warn(fmt.Sprintf("%s: cannot be raised here: %d:%d", r.Name, r.Soft, r.Hard))
			l.who.Rlimits[i] = r
			err = kernel.Prlimit(l.pid, r.Resource, r.Soft, r.Hard)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}
