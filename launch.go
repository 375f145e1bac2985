// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// startTimeout bounds a start as a whole: every wait inside is under it.
const startTimeout = 90 * time.Second

// A launch is one start under way. The fields are filled from top to bottom.
type launch struct {
	c        *Container
	spec     *specs.Spec
	settings configs.Settings
	o        CreateOptions
	unlock   func()

	plan     *plan
	conn     <-chan dialed // being dialled while the helper starts
	bus      *scope.Conn
	helper   *nsexec.Helper
	pid      int
	pidfd    *os.File
	job      *scope.Job
	waited   bool         // for job
	keeping  nsexec.Event // of the keeper
	last     nsexec.Event // the one until stopped at
	events   *os.File     // its memory.events, nil without a memory controller
	who      *caps.Payload
	become   *nsexec.Program // the one that makes the init that
	terminal *os.File        // master side of the payload's
	cleanup  []string

	undo []func(context.Context) error // what to take back, first done first
}

type dialed struct {
	conn *scope.Conn
	err  error
}

// Create builds a container from spec and leaves it one step before its
// payload: everything is made, limited and attested. Call Start next, or Destroy.
// spec is completed with automatic ranges. Errors: ErrExist, ErrNotFound,
// ErrNotExecutable, ErrAttest, ErrUnsupported, *nsexec.StepError.
func (r *Runtime) Create(ctx context.Context, id string, spec *specs.Spec, o CreateOptions) (*Container, error) {
	c := &Container{rt: r, id: id}
	l := &launch{c: c, spec: spec, o: o}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.create(ctx); err != nil {
		return nil, wrap("create", id, errors.Join(err, l.takeBack(context.WithoutCancel(ctx))))
	}
	c.start, c.terminal = l, l.terminal
	return c, nil
}

// create is the start in order. Each step that leaves something behind adds how
// to take it back.
func (l *launch) create(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"check", l.check},
		{"reserve", l.reserve},
		{"plan", l.makePlan},
		{"spawn", l.spawn},
		{"attach", l.attach},
		{"build", l.build},
		{"find", l.find},
		{"settle", l.settle},
		{"enter", l.enter},
		{"attest", l.attest},
		{"record", l.record},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return err
		}
		l.timing(s.name)
	}
	return nil
}

func (l *launch) timing(phase string) {
	if l.o.Timing != nil {
		l.o.Timing(phase, time.Now())
	}
}

func (l *launch) onFailure(f func(context.Context) error) { l.undo = append(l.undo, f) }

// takeBack undoes a failed start, last thing first.
func (l *launch) takeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	var errs []error
	for _, f := range slices.Backward(l.undo) {
		errs = append(errs, f(ctx))
	}
	l.undo = nil
	l.close()
	closeAll([]*os.File{l.events, l.terminal})
	return errors.Join(errs...)
}

// close frees what only the start needed.
func (l *launch) close() {
	if l.helper != nil {
		l.helper.Close()
	}
	if l.conn != nil && l.bus == nil {
		if d := <-l.conn; d.err == nil {
			d.conn.Close()
		}
	} else if l.bus != nil {
		l.bus.Close()
	}
	if l.unlock != nil {
		l.unlock()
	}
	l.helper, l.conn, l.bus, l.unlock = nil, nil, nil, nil
}

func (l *launch) check(context.Context) (err error) {
	if err := checkID(l.c.id); err != nil {
		return err
	}
	if err := configs.Validate(l.spec); err != nil {
		return err
	}
	if l.settings, err = configs.SettingsOf(l.spec); err != nil {
		return err
	}
	//lint:ignore SA1019 engines still write prestart hooks
	if h := l.spec.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.StartContainer)+len(h.Poststart)+len(h.Poststop) > 0 {
		return fmt.Errorf("%w yet: hooks other than createContainer", ErrUnsupported)
	}
	l.settings.Name = l.c.id
	return nil
}

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
	if err != nil {
		return errors.Join(err, os.RemoveAll(made))
	}
	for {
		err := unix.Renameat2(unix.AT_FDCWD, made, unix.AT_FDCWD, l.c.path(), unix.RENAME_NOREPLACE)
		if err == nil {
			break
		}
		if err == unix.EEXIST {
			err = l.replaceStopped(ctx)
		} else {
			err = &os.LinkError{Op: "rename", Old: made, New: l.c.path(), Err: err}
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(made))
		}
	}
	l.onFailure(func(context.Context) error { return l.c.removeRecord() })
	return nil
}

// newRecord makes the record in a place of its own and takes its lock.
//
// Order: complete and locked before it gets its name: whoever sees it can tell
// whose it is, and nobody takes it for one that can go.
func (l *launch) newRecord() (dir string, err error) {
	if dir, err = os.MkdirTemp(l.c.rt.dir(), newPrefix+l.c.id+"."); err != nil { // mode 0700
		return "", err
	}
	d, err := os.Open(dir)
	if err != nil {
		return dir, err
	}
	l.unlock = func() { d.Close() }
	if err := flock(d); err != nil {
		return dir, err
	}
	self, err := identify(os.Getpid())
	if err != nil {
		return dir, err
	}
	l.c.st = &record{
		Version: recordVersion, ID: l.c.id, BootID: kernel.BootID(), Phase: Creating, Creator: self,
		Unit: scope.UnitName(l.c.id), Service: l.o.Service, Foreground: !l.o.Detach && !l.o.Service, Remove: l.o.Remove,
		Rootfs: l.spec.Root.Path, Source: l.settings.Source, Command: l.spec.Process.Args, Created: time.Now(),
	}
	if l.c.st.Foreground {
		l.c.st.Keeper = self
	}
	if err := os.WriteFile(filepath.Join(dir, exitFile), nil, 0o600); err != nil {
		return dir, err
	}
	return dir, l.c.writeTo(dir)
}

// replaceStopped removes the record of a container of the same name that has
// ended. Errors: ErrExist when it has not.
func (l *launch) replaceStopped(ctx context.Context) error {
	old := &Container{rt: l.c.rt, id: l.c.id}
	if err := old.ended(); err != nil { // before the lock, for which there may be long to wait
		return ignore(err, ErrNotExist)
	}
	unlock, err := old.lock()
	if err != nil {
		return ignore(err, ErrNotExist)
	}
	defer unlock()
	if err := old.ended(); err != nil {
		return ignore(err, ErrNotExist)
	}
	if !old.st.Foreground && old.st.Keeper.alive() {
		// It ended a moment ago: its keeper needs the lock to finish.
		unlock()
		return waitFor(ctx, old.st.Keeper)
	}
	return old.removeRecord()
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
	case c.status() != Stopped:
		return fmt.Errorf("%w and is %s (stop it first, or choose another name)", ErrExist, c.status())
	}
	return nil
}

// makePlan compiles what can be compiled before the container exists, while the
// connection to systemd is made.
func (l *launch) makePlan(context.Context) error {
	if !l.o.Service {
		l.c.rt.Prepare()
		c := make(chan dialed, 1)
		l.conn = c
		go func() {
			conn, err := scope.Dial(context.Background())
			c <- dialed{conn, err}
		}()
	}
	if n := l.settings.AutoUserns; n > 0 {
		first, err := l.c.rt.claimUserns(l.c.id, n)
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
	if l.o.Service && l.settings.Notify == "container" {
		if err := passNotifySocket(l.spec); err != nil {
			return err
		}
	}
	facts, err := findFacts(l.spec, true)
	if err != nil {
		return err
	}
	o := compileOptions{facts: facts, service: l.o.Service}
	if l.o.Detach {
		if o.keeper, err = l.cleanupCommand(); err != nil {
			return err
		}
	}
	l.plan, err = compile(l.spec, l.settings, o)
	return err
}

// spawn starts the interpreter and has it make the namespaces and the init.
func (l *launch) spawn(ctx context.Context) error {
	stdio, err := l.openStdio()
	if err != nil {
		return err
	}
	defer stdio.close()
	l.helper, err = nsexec.Start(nsexec.StartOptions{
		Stdin: stdio.in, Stdout: stdio.out, Stderr: stdio.err, Keeper: l.o.Detach || l.o.Service,
	})
	if err != nil {
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
	if err := l.helper.Send(l.plan.spawn, files...); err != nil {
		return err
	}
	e, err := l.helper.Next(ctx)
	if err != nil {
		return err
	}
	if e.Kind != nsexec.Forked {
		return fmt.Errorf("nsexec: %s, want forked", e.Kind)
	}
	l.pid, l.pidfd = e.Pid, e.File
	l.onFailure(l.killInit)
	if l.c.st.Init, err = identify(l.pid); err != nil {
		return err
	}
	if l.o.Detach {
		if l.c.st.Keeper, err = identify(l.helper.Pid); err != nil {
			return err
		}
	}
	return l.c.write()
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

func (l *launch) killInit(ctx context.Context) error {
	if err := kernel.Signal(l.pidfd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if err := kernel.WaitReadable(ctx, l.pidfd); err != nil {
		return err
	}
	if !l.o.Detach {
		var ws unix.WaitStatus
		_, _ = unix.Wait4(l.pid, &ws, 0, nil) // nobody wants to know how it died
	}
	return l.pidfd.Close()
}

// closeAll closes files; a nil one is none.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written, or its writer has seen to it
	}
}

// attach writes the id maps and starts the job that makes the container's unit.
func (l *launch) attach(ctx context.Context) (err error) {
	// Order: maps before the init does anything in its user namespace: until
	// then all its files and devices belong to the overflow id (user_namespaces(7)).
	if l.plan.made(specs.UserNamespace) {
		if err := nsexec.WriteIDMaps(l.pid, l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings); err != nil {
			return err
		}
	}
	if l.spec.Process.OOMScoreAdj != nil {
		if err := writeOOMScore(l.pid, *l.spec.Process.OOMScoreAdj); err != nil {
			return err
		}
	}
	if l.o.Service {
		return nil // born in its cgroup
	}
	d := <-l.conn
	l.conn = nil
	if d.err != nil {
		return d.err
	}
	l.bus = d.conn
	l.job, err = l.bus.Start(ctx, l.plan.unit, uint32(l.pid))
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

func ignore(err error, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// writeOOMScore must be done by us: lowering the score needs CAP_SYS_RESOURCE
// in the initial user namespace.
func writeOOMScore(pid, score int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), fmt.Append(nil, score), 0)
}

// build opens what the init needs from the host and has it make its world.
func (l *launch) build(ctx context.Context) error {
	files, err := l.openSources(ctx)
	defer closeAll(files)
	if err != nil {
		return err
	}
	if err := l.helper.Send(l.plan.world.Program, files...); err != nil {
		return err
	}
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
		default:
			return fmt.Errorf("nsexec: unexpected %s %#x", e.Kind, e.ID)
		}
		if err := l.helper.Answer(e, nil); err != nil {
			return err
		}
	}
}

// settle waits for the unit and finds the payload's cgroup.
func (l *launch) settle(ctx context.Context) error {
	if l.job != nil {
		if err := l.waitJob(ctx); err != nil {
			return err
		}
		l.plan.unit = l.job.Unit() // without what this systemd lacks and strict = false gives up
		for _, d := range l.job.Dropped {
			l.c.rt.warn("not supported: " + d.String())
		}
		l.timing("job")
	}
	path, err := scope.CgroupOf(l.pid)
	if err != nil {
		return err
	}
	if l.job != nil && filepath.Base(path) != l.plan.unit.Name {
		return fmt.Errorf("%w: the init is in %s, not in %s", ErrAttest, path, l.plan.unit.Name)
	}
	switch {
	case len(l.plan.unit.Payload) == 0:
	case l.o.Service:
		err = scope.WritePayload(path, l.plan.unit.Payload)
	default:
		// Order: before unshare(CLONE_NEWCGROUP), which fixes the namespace's root.
		path, err = scope.MakePayload(path, l.plan.unit.Payload, l.pid)
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
	if l.events, err = scope.OpenEvents(path); errors.Is(err, fs.ErrNotExist) {
		return nil // no memory controller: nobody will know of OOM kills
	}
	return err
}

// find looks in the container's own files for who the payload is and what it
// executes, while systemd makes the unit.
func (l *launch) find(context.Context) error {
	root, err := openRoot(l.pid)
	if err != nil {
		return err
	}
	defer root.Close()
	if l.who, err = findPayload(root, l.spec.Process, l.spec.Linux); err != nil {
		return err
	}
	l.who.Keyring = keyring(l.c.id)
	if l.who.DeathSignal, err = l.deathSignal(); err != nil {
		return err
	}
	if l.become, err = l.plan.enter(l.who); err != nil {
		return err
	}
	return l.c.writeSpec(l.spec)
}

// enter has the init become that, one step before exec.
func (l *launch) enter(ctx context.Context) error {
	if err := l.helper.Send(l.become); err != nil {
		return err
	}
	return l.until(ctx, nsexec.Synced, syncReady)
}

// keyring names the session keyring of a container's processes: the caller's is never theirs.
func keyring(id string) string { return "sdcontainer:" + id }

// deathSignal is what the payload gets when its parent dies. In the foreground that is us:
// without us nobody would clean up.
func (l *launch) deathSignal() (unix.Signal, error) {
	switch {
	case l.settings.ParentDeathSignal != "":
		return configs.ParseSignal(l.settings.ParentDeathSignal)
	case l.c.st.Foreground:
		return unix.SIGKILL, nil
	}
	return 0, nil
}

// findPayload finds the user and the executable of p in the container's files.
func findPayload(root *os.File, p *specs.Process, linux *specs.Linux) (*caps.Payload, error) {
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
	y, err := caps.Plan(p, linux, who)
	if err != nil {
		return nil, err
	}
	y.Path, err = lookPath(root, cmp.Or(p.Cwd, "/"), p.Args[0], y.Env)
	return y, err
}

// attest sets the limits only we may set, and compares the init with what was
// compiled. It can do nothing more by itself: it waits for our answer.
func (l *launch) attest(context.Context) error {
	// Order: last before exec: the init itself may need more files than the payload.
	if err := l.setRlimits(); err != nil {
		return err
	}
	e, err := l.expect()
	if err != nil {
		return err
	}
	return attest(l.pid, filepath.Join(scope.Mount(), l.c.st.Cgroup), e)
}

// joins says whether the container joins a namespace that exists.
func joins(spec *specs.Spec, typ specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == typ && n.Path != "" })
}

// mapsOf reads the id maps of a process's user namespace.
func mapsOf(pid int) (uids, gids []specs.LinuxIDMapping, err error) {
	u, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	g, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/gid_map", pid))
	return parseIDMap(string(u)), parseIDMap(string(g)), errors.Join(err1, err2)
}

// setRlimits sets the payload's limits. Where we lack the right to raise one
// (no CAP_SYS_RESOURCE), strict = false goes on with our own.
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

// expect says, from the Spec, what must be true of the init now.
func (l *launch) expect() (*expectation, error) {
	e, err := l.expectProcess(l.c.st.Cgroup)
	if err != nil {
		return nil, err
	}
	e.rootRO, e.shared = l.spec.Root.Readonly, sharesMounts(l.spec)
	e.masked, e.readonly = l.spec.Linux.MaskedPaths, l.spec.Linux.ReadonlyPaths
	for _, k := range namespaceKinds {
		if l.plan.made(k.typ) {
			e.newNS = append(e.newNS, k.kind)
		}
	}
	for _, j := range l.plan.joins {
		if e.joinedNS[j.kind], err = namespaceOf(j); err != nil {
			return nil, err
		}
	}
	e.limits, err = l.expectLimits()
	return e, err
}

// expectProcess is what holds for any process of the container.
func (l *launch) expectProcess(cgroup string) (*expectation, error) {
	y, linux := l.who, l.spec.Linux
	e := &expectation{
		caps:       [5]uint64{uint64(y.Inheritable), uint64(y.Permitted), uint64(y.Effective), uint64(y.Bounding), uint64(y.Ambient)},
		noNewPrivs: l.spec.Process.NoNewPrivileges, seccomp: l.plan.filter != nil,
		umask: 0o022, joinedNS: map[string]string{}, cgroup: cgroup,
		rlimits: map[int][2]uint64{}, oomScore: l.spec.Process.OOMScoreAdj,
	}
	if u := l.spec.Process.User.Umask; u != nil {
		e.umask = *u
	}
	var err error
	if l.plan.made(specs.UserNamespace) {
		e.uidMap, e.gidMap = linux.UIDMappings, linux.GIDMappings
	} else if joins(l.spec, specs.UserNamespace) {
		// That it is the right namespace is attested; its maps are its maker's.
		if e.uidMap, e.gidMap, err = mapsOf(l.pid); err != nil {
			return nil, err
		}
	}
	if e.uid, err = mapOne(y.UID, e.uidMap); err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	if e.gid, err = mapOne(y.GID, e.gidMap); err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	for _, g := range y.Groups {
		m, err := mapOne(g, e.gidMap)
		if err != nil {
			return nil, fmt.Errorf("groups: %w", err)
		}
		e.groups = append(e.groups, m)
	}
	for _, r := range y.Rlimits {
		e.rlimits[r.Resource] = [2]uint64{r.Soft, r.Hard}
	}
	return e, nil
}

// namespaceOf is the text a link in /proc/PID/ns has for a joined namespace.
func namespaceOf(j join) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(j.path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: j.path, Err: err}
	}
	return fmt.Sprintf("%s:[%d]", j.kind, st.Ino), nil
}

// expectLimits are the files of the cgroup that hold the unit's limits. A missing controller is an error, or with
// strict = false a warning.
func (l *launch) expectLimits() ([]scope.Limit, error) {
	// Limits belong to the unit: of payload/, to the cgroup above.
	unit := filepath.Join(scope.Mount(), l.c.st.Cgroup)
	own := scope.Limits(l.plan.unit)
	if filepath.Base(unit) == "payload" {
		for i := range own {
			own[i].File = filepath.Join("..", own[i].File)
		}
		own = append(own, scope.PayloadLimits(l.plan.unit)...)
	}
	var have []scope.Limit
	var errs []error
	for _, limit := range own {
		_, err := os.Stat(filepath.Join(unit, limit.File))
		if !errors.Is(err, fs.ErrNotExist) {
			have = append(have, limit)
			continue
		}
		missing := fmt.Errorf("%w: %s: the cgroup has no %s: its controller is missing (strict = false goes without)",
			ErrUnsupported, limit.Property, filepath.Base(limit.File))
		if l.settings.Strict {
			errs = append(errs, missing)
		} else {
			l.c.rt.warn(missing.Error())
		}
	}
	return have, errors.Join(errs...)
}

func (r *Runtime) warn(msg string) {
	if r.Warn != nil {
		r.Warn(msg)
	}
}

// sharesMounts says whether the Spec itself asks for mounts that propagate.
func sharesMounts(spec *specs.Spec) bool {
	shares := func(o string) bool {
		o = strings.TrimPrefix(o, "r")
		return o == "shared" || o == "slave"
	}
	return shares(spec.Linux.RootfsPropagation) || slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return slices.ContainsFunc(m.Options, shares)
	})
}

// record writes down that the container is complete.
func (l *launch) record(ctx context.Context) error {
	if l.o.Detach {
		if err := l.prepareKeeper(ctx); err != nil {
			return err
		}
	}
	l.c.st.Phase = Created
	return l.c.write()
}

// prepareKeeper gives the keeper what it watches, and leaves it waiting to be
// told to stay.
func (l *launch) prepareKeeper(ctx context.Context) error {
	k := l.helper.Keeper()
	e, err := k.Next(ctx)
	if err != nil {
		return err
	}
	if e.Kind != nsexec.Synced || e.ID != syncEvents {
		return fmt.Errorf("keeper: unexpected %s %#x", e.Kind, e.ID)
	}
	events := l.events
	if events == nil {
		// No memory controller: something that never has an event.
		if events, err = os.Open(os.DevNull); err != nil {
			return err
		}
		defer events.Close()
	}
	if err := k.Answer(e, events); err != nil {
		return err
	}
	if l.keeping, err = k.Next(ctx); err != nil {
		return err
	}
	if l.keeping.Kind != nsexec.Keeping {
		return fmt.Errorf("keeper: unexpected %s, want keeping", l.keeping.Kind)
	}
	return nil
}

// cleanupCommand is what the keeper becomes in the end.
func (l *launch) cleanupCommand() ([]string, error) {
	l.cleanup = l.o.Cleanup
	if l.cleanup == nil {
		exe, err := exec.LookPath("sdcontainer")
		if err != nil {
			return nil, fmt.Errorf("a detached container needs a cleanup command: %w (install sdcontainer, or set CreateOptions.Cleanup)", err)
		}
		l.cleanup = []string{exe, "cleanup", "--run-dir", l.c.rt.dir()}
	}
	return append(slices.Clone(l.cleanup), l.c.id), nil
}
