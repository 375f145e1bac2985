// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// What fails while the process is being made takes that back.
func TestFailureMeanwhileLeavesNoProcess(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("meanwhile", CreateOptions{Detach: true}, "/bin/sleep", "60")
	files, processes := openFiles(t), children(t) // one is the keeper
	for range 10 {
		if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"nosuch"}}, ExecOptions{}); !errors.Is(err, ErrNotFound) {
			t.Fatalf("exec: %v, want ErrNotFound", err)
		}
		spec := w.spec("nosource", "/bin/true")
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/nosuch", Destination: "/mnt", Options: []string{"bind"}})
		if _, err := w.Create(t.Context(), "nosource", spec, w.options(CreateOptions{})); err == nil {
			t.Fatal("created with a source that is not there")
		}
		if now := children(t); now != processes {
			t.Fatalf("children %s, were %s", now, processes)
		}
	}
	if pids, err := c.Processes(); err != nil || len(pids) != 1 {
		t.Errorf("processes in the container: %v, %v", pids, err)
	}
	for end := soon(t); openFiles(t) > files; { // the last scope.Anticipate has one for a while
		select {
		case <-end.Done():
			t.Fatalf("%d descriptors stay open, were %d", openFiles(t), files)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// Whoever made a container has its lock until it starts, and does not wait for itself.
func TestBetweenCreateAndStart(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c, err := w.Create(t.Context(), "between", w.spec("between", "/bin/true"), w.options(CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	limit := int64(64)
	if err := c.Update(ctx, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	if err := c.Pause(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("pause: %v, want ErrNotRunning", err)
	}
	if _, err := c.Wait(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("wait: %v, want ErrNotRunning", err)
	}
	if _, err := c.Exec(ctx, &specs.Process{Args: []string{"true"}}, ExecOptions{}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("exec: %v, want ErrNotRunning", err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err == nil {
		t.Error("started a second time")
	}
	if e, err := c.Wait(ctx); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := c.Destroy(ctx, false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("between")
}

// A payload that must not start: what is attested differs from what is expected.
func TestAttestKills(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("lie", "/bin/true")
	l := w.launch(&Container{rt: w.Runtime, id: "lie"}, spec, w.options(CreateOptions{}))
	for _, step := range l.steps() {
		if step.name == "attest" {
			break
		}
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := l.attest(t.Context()); err != nil {
		t.Fatalf("the truth: %v", err)
	}
	spec.Root.Readonly = true // what was compiled is a writable root
	if err := l.attest(t.Context()); !errors.Is(err, ErrAttest) || !strings.Contains(err.Error(), "root mount") {
		t.Errorf("a lie: %v", err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
	w.nothingLeft("lie")
}

// R6: an init whose helper was killed is gone with it, and that is what the start says.
func TestInitGoneEarly(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for _, before := range []string{"attach", "build"} {
		w := newWorld(t)
		spec := w.spec("gone", "/bin/true")
		l := w.launch(&Container{rt: w.Runtime, id: "gone"}, spec, w.options(CreateOptions{Detach: true}))
		steps := l.steps()
		next := slices.IndexFunc(steps, func(s launchStep) bool { return s.name == before })
		for _, step := range steps[:next] {
			if err := step.do(t.Context()); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if err := l.helper.Kill(); err != nil {
			t.Fatal(err)
		}
		for ctx := soon(t); ; { // its parent then is one that reaps it
			if err := unix.Kill(l.pid, 0); err != nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatal("the init outlives its helper")
			}
			time.Sleep(time.Millisecond)
		}
		if err := steps[next].do(t.Context()); err == nil || !strings.Contains(err.Error(), "ended unexpectedly") {
			t.Errorf("%s: %v; want that it ended", before, err)
		}
		if err := l.takeBack(t.Context()); err != nil {
			t.Error(err)
		}
		w.nothingLeft("gone")
	}
}

// R6: an init that is killed takes its unit's cgroup along, and its files in /proc: the error is about the init.
func TestKilledInitIsNamed(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for _, before := range []string{"settle", "attest"} {
		t.Run(before, func(t *testing.T) {
			w, ctx := newWorld(t), soon(t)
			l := w.launch(&Container{rt: w.Runtime, id: "shot"}, w.spec("shot", "/bin/true"), w.options(CreateOptions{}))
			steps := l.steps()
			next := slices.IndexFunc(steps, func(s launchStep) bool { return s.name == before })
			if err := l.do(ctx, steps[:next]); err != nil {
				t.Fatal(err)
			}
			if before == "settle" {
				if err := l.waitJob(ctx); err != nil {
					t.Fatal(err)
				}
				l.plan.unit, l.job = l.job.Unit(), nil // it is not waited for again
			}
			gone, err := l.bus.WatchRemoved(ctx, l.plan.unit.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(l.pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := <-gone; err != nil {
				t.Fatal(err)
			}
			if err := steps[next].do(ctx); err == nil || !strings.Contains(err.Error(), "killed by SIGKILL") {
				t.Errorf("%v; want that the init was killed", err)
			}
			if err := l.takeBack(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			w.nothingLeft("shot")
		})
	}
}

// What was created is taken back, as by a deferred Destroy, whose context has ended.
func TestDestroyWithoutMuchTime(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	processes := children(t)
	c, err := w.Create(t.Context(), "late", w.spec("late", "/bin/true"), w.options(CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Destroy(ctx, true); err != nil {
		t.Error(err)
	}
	if now := children(t); now != processes {
		t.Errorf("children %s, were %s", now, processes)
	}
	w.nothingLeft("late")
}

// Whoever watches a container makes no service of it.
func TestDetachedIsNoService(t *testing.T) {
	l := &launch{c: &Container{rt: &Runtime{}, id: "both"}, o: CreateOptions{Detach: true, Service: true}}
	if err := l.check(t.Context()); err == nil || !strings.Contains(err.Error(), "Detach and Service") {
		t.Error(err)
	}
}

// Where somebody else reaps the payload nobody knows how it ended, and what it leaves is cleaned up all the same.
func TestReapedBySomebodyElse(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("stolen", CreateOptions{Remove: true}, "/bin/true")
	conn, err := scope.Dial(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	over, err := conn.WatchRemoved(soon(t), c.st.Unit) // which ends a moment after its last process
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := unix.Wait4(c.st.Init.Pid, nil, 0, nil); err != nil || pid != c.st.Init.Pid {
		t.Fatal(pid, err)
	}
	if e, err := c.Wait(t.Context()); !errors.Is(err, ErrExitUnknown) {
		t.Errorf("%+v, %v; want ErrExitUnknown", e, err)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	w.nothingLeft("stolen")
}

// One that never ran has no end to tell of.
func TestNoEndOfOneThatNeverRan(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, began := newWorld(t), time.Now()
	if err := os.Mkdir(w.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.put(t, record{ID: "unborn", BootID: thisBoot(t), Phase: Creating, Creator: procID{Pid: 1 << 21, Start: 1}, Created: began})
	c, err := w.Load("unborn")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(soon(t)); !errors.Is(err, ErrExitUnknown) {
		t.Errorf("wait: %v, want ErrExitUnknown", err)
	}
	if ends := endsInJournal(t, "unborn", began); len(ends) > 0 {
		t.Errorf("the journal says %v", ends)
	}
}
