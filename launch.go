// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
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

	ahead      *preparation
	plan       *plan
	null       [3]bool           // standard streams that are the host's null device
	pipes      [3]*os.File       // those that are pipes
	saved      *future[struct{}] // the Spec being written
	bus        *scope.Conn
	helper     *nsexec.Helper
	pid        int
	pidfd      *os.File
	job        *scope.Job
	waited     bool         // for job
	unexecuted bool         // the payload of a service, for what exec said
	keeping    nsexec.Event // of the keeper
	last       nsexec.Event // the one until stopped at
	oom        oomFiles
	who        *caps.Payload
	become     *nsexec.Program   // the one that makes the init that
	joined     *joining          // of a process that joins a container
	terminal   *os.File          // master side of the payload's
	devices    *os.File          // made for it, until they are sent
	theirs     func(string) bool // the properties that the administrator's files set of our service; nil until somebody had to look
	cleanup    []string

	undo []func(context.Context) error // what to take back, first done first
}

// Create builds a container from spec and leaves it one step before its
// payload: everything is made, limited and attested. Call Start next, or Destroy.
// An id other than the name that spec was compiled with leaves what was made of that (%n, the host name) as it is:
// a [configs.Setting] of the key "name" reaches all.
// spec is completed with what depends on the machine (automatic ranges of ids, the notification
// socket): it is for one Create, which takes 90 seconds at most. Errors: ErrExist, [scope.ErrUnitExists] where the name is taken in
// another directory of records, ErrNotFound, ErrNotExecutable, ErrAttest, ErrUnsupported, *nsexec.StepError.
func (r *Runtime) Create(ctx context.Context, id string, spec *specs.Spec, o CreateOptions) (*Container, error) {
	c := &Container{rt: r, id: id}
	l := r.launch(c, spec, o)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.create(ctx); err != nil {
		return nil, wrap("create", id, errors.Join(err, l.takeBack(context.WithoutCancel(ctx))))
	}
	c.start, c.terminal = l, l.terminal
	return c, nil
}

func (r *Runtime) launch(c *Container, spec *specs.Spec, o CreateOptions) *launch {
	return &launch{c: c, spec: spec, o: o, ahead: r.prepared(!o.Service)}
}

// create is the start in order.
func (l *launch) create(ctx context.Context) error { return l.do(ctx, l.steps()) }

func (l *launch) do(ctx context.Context, steps []launchStep) error {
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return err
		}
		l.timing(s.name)
	}
	return nil
}

type launchStep struct {
	name string
	do   func(context.Context) error
	tell func(*teller) // what do would do, for Explain
}

// steps are what Create does. Each that leaves something behind adds how to take it back.
func (l *launch) steps() []launchStep {
	return []launchStep{
		{"check", l.check, l.tellCheck},
		{"reserve", l.reserve, l.tellReserve},
		{"spawn", l.spawn, l.tellSpawn},
		{"plan", l.makePlan, l.tellPlan},
		{"fork", l.fork, l.tellFork},
		{"attach", l.attach, l.tellAttach},
		{"build", l.build, l.tellBuild},
		{"find", l.find, l.tellFind},
		{"settle", l.settle, l.tellSettle},
		{"enter", l.enter, l.tellEnter},
		{"attest", l.attest, l.tellAttest},
		{"record", l.record, l.tellRecord},
	}
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
	if l.saved != nil {
		_, _ = l.saved.wait() // so that it is not written after it was removed
	}
	// Order: what nobody needs any more gives back its descriptors first: where they are few, to take back needs them.
	l.closeAhead()
	l.oom.close()
	for _, f := range slices.Backward(l.undo) {
		errs = append(errs, f(ctx))
	}
	l.undo = nil
	l.close()
	closeAll([]*os.File{l.terminal, l.devices})
	if l.o.Detach {
		_ = scope.EndEmptyKeepers() // one that died on its way there leaves it; the next takes it over
	}
	return errors.Join(errs...)
}

// close frees what only the start needed.
func (l *launch) close() {
	if l.helper != nil {
		l.helper.Close()
	}
	if l.bus != nil {
		l.bus.Close()
	}
	l.closeAhead()
	if l.unlock != nil {
		l.unlock()
	}
	l.helper, l.bus, l.unlock = nil, nil, nil
}

// closeAhead frees what was prepared and not taken.
func (l *launch) closeAhead() {
	if l.ahead != nil {
		l.ahead.close()
		l.ahead = nil
	}
}

func (l *launch) check(context.Context) (err error) {
	if err := checkID(l.c.id); err != nil {
		return err
	}
	if l.o.Detach && l.o.Service {
		return errors.New("CreateOptions: Detach and Service exclude each other: systemd watches a service, no keeper does")
	}
	if err := configs.Validate(l.spec); err != nil {
		return err
	}
	if l.settings, err = configs.SettingsOf(l.spec); err != nil {
		return err
	}
	l.settings.Rename(l.c.id)
	if l.spec.Linux.Resources == nil { // a bundle may have none; what is recorded has
		l.spec.Linux.Resources = &specs.LinuxResources{}
	}
	return nil
}

// makePlan compiles the rest, while the helper makes the namespaces.
func (l *launch) makePlan(ctx context.Context) error {
	facts, err := look(ctx, "look at the sources of mounts", func() (rootfs.Facts, error) { return findFacts(l.spec, true, nil) }, nil)
	if err != nil {
		return err
	}
	facts.HostNull = l.null
	if facts.HostNodes, err = l.makeDevices(); err != nil {
		return err
	}
	if err := l.plan.complete(facts); err != nil {
		return err
	}
	return l.keepOthersOut(ctx, l.plan.world.Sources)
}

// closeAll closes files; a nil one is none.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written, or its writer has seen to it
	}
}

func ignore(err error, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

func (r *Runtime) warn(msg string) {
	if r.Warn != nil {
		r.Warn(msg)
	}
}
