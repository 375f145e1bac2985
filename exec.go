// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Exec starts another process in the container: in all its namespaces and its
// cgroup, with its filter, and never with more rights than the container has. What p leaves out
// (user, capabilities, environment, working directory, limits, OOM score, scheduler, I/O priority, CPUs for exec) is taken from the container's
// own process as its Spec has it; a user and group of 0 and no name are left out: the container's root is
// Username "0". Errors: ErrNotRunning, ErrPaused, ErrNotFound, ErrNotExecutable.
func (c *Container) Exec(ctx context.Context, p *specs.Process, o ExecOptions) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, err := c.exec(ctx, p, o)
	return proc, wrap("exec", c.id, err)
}

func (c *Container) exec(ctx context.Context, p *specs.Process, o ExecOptions) (*Process, error) {
	if err := c.read(); err != nil {
		return nil, err
	}
	if err := c.joinable(); err != nil { // before the lock: one that is being created has it for long
		return nil, err
	}
	// Order: under the lock, which other execs share: a container that is paused half way
	// through would hold us in its cgroup.
	unlock, err := c.lock(ctx, shared)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.joinable(); err != nil {
		return nil, err
	}
	x, err := c.another(p, o)
	if err != nil {
		return nil, err
	}
	if err := x.join(ctx); err != nil {
		return nil, errors.Join(x.unlessStopped(ctx, c.unlessEnded(err)), x.takeBack(context.WithoutCancel(ctx)))
	}
	x.close()
	return &Process{Pid: x.pid, Terminal: x.terminal, pidfd: x.pidfd}, nil
}

// unlessStopped is the error of a process that did not get as far as its command; where systemd stops the container, it kills
// what it finds in it, and that is the reason.
func (l *launch) unlessStopped(ctx context.Context, err error) error {
	var step *nsexec.StepError
	if l.pid == 0 || errors.Is(err, ErrNotRunning) || errors.As(err, &step) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var unit map[string]any
	noBus := l.c.withBus(ctx, func(conn *scope.Conn) (err error) {
		unit, err = conn.Get(ctx, l.c.st.Unit, "ActiveState")
		return err
	})
	// Not one that starts, which it does until the payload is ready, that reloads or is refreshed.
	if noBus == nil && slices.Contains([]any{"deactivating", "inactive", "failed"}, unit["ActiveState"]) {
		return fmt.Errorf("%w: it is being stopped (%w)", ErrNotRunning, err)
	}
	return err
}

// another is the start of another process in the container.
func (c *Container) another(p *specs.Process, o ExecOptions) (*launch, error) {
	spec, err := c.readSpec()
	if err != nil {
		return nil, err
	}
	settings, err := configs.SettingsOf(spec)
	if err != nil {
		return nil, err
	}
	if err := within(p, spec.Process); err != nil {
		return nil, err
	}
	p = inherit(p, spec.Process)
	p.Terminal = o.Terminal
	x := &launch{c: c, spec: &specs.Spec{Version: spec.Version, Root: spec.Root, Mounts: spec.Mounts, Linux: spec.Linux, Process: p}, settings: settings, ahead: c.rt.prepared(false)}
	x.plan = &plan{spec: x.spec, settings: settings}
	x.o.Stdin, x.o.Stdout, x.o.Stderr = o.Stdin, o.Stdout, o.Stderr
	return x, nil
}

// joinable says whether a process can be added. Errors: ErrNotRunning, ErrPaused.
func (c *Container) joinable() error {
	switch c.status() {
	case Running:
		return nil
	case Paused:
		return ErrPaused
	}
	return ErrNotRunning
}

// within refuses what no process of the container can ever get, or is not given yet.
func within(p, from *specs.Process) error {
	if len(p.Args) == 0 {
		return fmt.Errorf("%w: empty command", ErrNotFound)
	}
	if p.ApparmorProfile != "" || p.SelinuxLabel != "" {
		return errors.New("process.apparmorProfile, selinuxLabel: not supported yet")
	}
	c := p.Capabilities
	if c == nil {
		return nil
	}
	var most []string
	if from.Capabilities != nil {
		most = from.Capabilities.Bounding
	}
	for _, name := range slices.Concat(c.Bounding, c.Permitted, c.Effective, c.Inheritable, c.Ambient) {
		if !slices.Contains(most, name) {
			return fmt.Errorf("%s: the container's bounding set does not have it", name)
		}
	}
	return nil
}

// inherit completes p with what the container's process has.
func inherit(p, from *specs.Process) *specs.Process {
	q := *p
	if q.Cwd == "" {
		q.Cwd = from.Cwd
	}
	if own := q.User; own.Username == "" && own.UID == 0 && own.GID == 0 {
		q.User = from.User
		q.User.Umask = own.Umask
		if own.AdditionalGids != nil {
			q.User.AdditionalGids = own.AdditionalGids
		}
	}
	if q.User.Umask == nil {
		q.User.Umask = from.User.Umask
	}
	if q.Capabilities == nil {
		q.Capabilities = from.Capabilities
	}
	q.Env = slices.Concat(withoutEnv(from.Env, watchdogEnv), p.Env) // of one name the last counts; the watchdog waits for the payload
	q.NoNewPrivileges = q.NoNewPrivileges || from.NoNewPrivileges
	if q.Rlimits == nil {
		q.Rlimits = from.Rlimits
	}
	if q.ExecCPUAffinity == nil {
		q.ExecCPUAffinity = from.ExecCPUAffinity
	}
	if q.OOMScoreAdj == nil {
		q.OOMScoreAdj = from.OOMScoreAdj
	}
	if q.Scheduler == nil && (from.Scheduler == nil || from.Scheduler.Policy != specs.SchedDeadline) { // one is of one thread, which cannot fork
		q.Scheduler = from.Scheduler
	}
	if q.IOPriority == nil {
		q.IOPriority = from.IOPriority
	}
	return &q
}

// join starts the interpreter, has it enter the container and become the process.
func (l *launch) join(ctx context.Context) error {
	if err := l.do(ctx, l.joinSteps()); err != nil {
		return err
	}
	// It is in the container already, where others can stop it.
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := l.do(limited, l.becomeSteps())
	if limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("process %d does not get as far as its command: %w (stopped by a process of the container?)", l.pid, err)
	}
	return err
}

// joinSteps are what Exec does until there is a process in the container.
func (l *launch) joinSteps() []launchStep {
	return []launchStep{
		{name: "plan", do: l.planJoin},
		{name: "join", do: l.sendJoin},
		{name: "find", do: l.findJoined}, // while the process is made
		{name: "fork", do: l.fork},
		{name: "score", do: l.scoreJoined},
	}
}

// becomeSteps are what it does then.
func (l *launch) becomeSteps() []launchStep {
	return []launchStep{
		{name: "enter", do: l.enter},
		{name: "limit", do: func(context.Context) error { return l.unlessGone(l.setLimits()) }},
		{name: "attest", do: l.attestJoined},
		{name: "execute", do: l.execute},
	}
}

func (l *launch) planJoin(context.Context) (err error) {
	if err := l.checkStreams(l.o.Stdin, l.o.Stdout, l.o.Stderr); err != nil {
		return err
	}
	if l.joined, err = compileJoin(l.c.st.Init.Pid); err != nil {
		return err
	}
	return l.pin()
}

// pin has what is executed in a service with CPUs of its own run where its first process may now: CPUAffinity= says on which of
// them it began.
func (l *launch) pin() error {
	if !l.c.st.Service || !l.plan.ownCPUs() || l.spec.Process.ExecCPUAffinity != nil {
		return nil
	}
	b, err := procFile(l.c.st.Init.Pid, "status")
	if list := statusFields(string(b))["Cpus_allowed_list"]; list != "" {
		l.spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: list}
	}
	return err
}

// sendJoin has the interpreter make a process in the container.
func (l *launch) sendJoin(context.Context) error {
	stdio := &stdio{in: l.o.Stdin, out: l.o.Stdout, err: l.o.Stderr}
	defer stdio.close()
	if err := stdio.fill(); err != nil {
		return err
	}
	l.null, l.pipes = stdio.kinds()
	fds, err := l.openJoined()
	defer closeAll(fds)
	if err != nil {
		return err
	}
	if l.helper, err = l.ahead.takeHelper(); err != nil {
		return err
	}
	l.onFailure(func(context.Context) error { return l.helper.Kill() })
	return l.makeInit(l.joined.spawn, append(stdio.files(), fds...)...)
}

// openJoined opens what the program of that receives besides the standard streams.
func (l *launch) openJoined() (fds []*os.File, err error) {
	// Order: after the files of /proc/PID were read: that the pidfd can be had then shows that they were this process's.
	target, err := l.c.st.Init.open()
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	fds = append(fds, target)
	l.joined.leaf = l.c.leaf()
	paths := []string{filepath.Join(scope.Mount(), l.joined.leaf)}
	if l.joined.cgroupns {
		paths = append(paths, fmt.Sprintf("/proc/%d/ns/cgroup", l.c.st.Init.Pid))
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fds, err
		}
		fds = append(fds, f)
	}
	return fds, nil
}

// findJoined looks in the container's files for who the process is, and compiles the
// program that makes it that.
func (l *launch) findJoined(ctx context.Context) (err error) {
	if err := l.plan.compileFilter(); err != nil {
		return err
	}
	if l.who, err = findIn(ctx, l.c.st.Init.Pid, l.spec.Process, nil); err != nil {
		return err
	}
	l.who.DeathSignal = unix.SIGKILL // nobody would learn how it ended
	l.become, err = l.compileEnter(l.joined)
	return err
}

func (l *launch) scoreJoined(context.Context) error {
	s := l.spec.Process.OOMScoreAdj
	if s == nil {
		return nil
	}
	if err := writeOOMScore(l.pid, *s); err != nil {
		return l.unlessGone(err)
	}
	return nil
}

// attestJoined compares the process with what was compiled, and its namespaces
// with those of the container's init.
func (l *launch) attestJoined(context.Context) error {
	if err := l.openPipes(); err != nil {
		return err
	}
	return l.unlessGone(l.attestInside())
}

func (l *launch) attestInside() error {
	e, err := l.expectProcess(l.joined.leaf)
	if err != nil {
		return err
	}
	for _, k := range namespaceKinds {
		if !haveNamespace(k.kind) {
			continue
		}
		e.joinedNS[k.kind], err = os.Readlink("/proc/" + strconv.Itoa(l.c.st.Init.Pid) + "/ns/" + k.kind)
		if err != nil {
			return err
		}
	}
	return attestProcess(l.pid, e)
}
