// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R4: the helper's processes are stopped (SIGSTOP) at each stage of a start. The start's
// deadline ends it, kills them, and says whom it waited for; meanwhile other containers are
// started and listed as ever.
func TestR4StoppedHelper(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	stages := []string{"spawn", "fork", "attach", "build", "find", "settle", "enter", "attest", "record"}
	var all []*stoppedStart
	for _, stage := range stages {
		s := &stoppedStart{stage: stage, id: "stopped-" + stage, stopped: make(chan struct{}), done: make(chan struct{})}
		// As long as one that is not stopped in time, as its init may be made already, takes to get to who is stopped.
		ctx, cancel := context.WithTimeout(t.Context(), sdtest.Slower(5*time.Second, 3))
		defer cancel()
		go func() {
			defer close(s.done)
			s.run(ctx, w)
		}()
		all = append(all, s)
	}
	for _, s := range all {
		select {
		case <-s.stopped:
		case <-s.done:
			t.Errorf("%s: it was not stopped: %v", s.stage, s.err)
		}
	}
	began := time.Now()
	other := w.mustStart("other", CreateOptions{Detach: true}, "/bin/sleep", "1000")
	list, err := w.List()
	if err != nil || len(list) != len(stages)+1 {
		t.Errorf("meanwhile list says %v, %v", list, err)
	}
	for _, c := range list {
		if _, err := c.State(); err != nil {
			t.Errorf("meanwhile state of %s: %v", c.ID(), err)
		}
	}
	took := time.Since(began)
	for _, s := range all {
		select {
		case <-s.done:
			s.check(t)
		case <-soon(t).Done():
			t.Fatalf("%s: no end", s.stage)
		}
	}
	t.Logf("another start and list meanwhile took %v", took)
	if err := other.Destroy(soon(t), true); err != nil {
		t.Error(err)
	}
	for _, s := range all {
		w.nothingLeft(s.id)
	}
	nothingLeftOf(t, w.Runtime)
}

// A stoppedStart is one whose processes are stopped after a stage of it.
type stoppedStart struct {
	stage, id string
	pids      []*os.File
	stopped   chan struct{} // closed then
	done      chan struct{}
	err       error
	late      time.Duration // after the deadline
}

func (s *stoppedStart) run(ctx context.Context, w *world) {
	spec, err := testSpec(s.id, w.root, []string{"/bin/sleep", "1000"})
	if err != nil {
		s.err = err
		return
	}
	c := &Container{rt: w.Runtime, id: s.id}
	l := w.launch(c, spec, w.options(CreateOptions{Detach: true}))
	l.o.Timing = func(phase string, _ time.Time) {
		if phase == s.stage {
			s.err = s.stop(l)
			close(s.stopped)
		}
	}
	err = l.create(ctx)
	if err != nil {
		err = errors.Join(err, l.takeBack(context.WithoutCancel(ctx)))
	} else {
		c.start = l
		err = c.Start(ctx)
	}
	s.err = errors.Join(s.err, err)
	deadline, _ := ctx.Deadline()
	s.late = time.Since(deadline)
}

func (s *stoppedStart) stop(l *launch) error {
	for _, pid := range []int{l.helper.Pid, l.pid} {
		if pid == 0 {
			continue // not yet
		}
		f, err := kernel.Pidfd(pid)
		if err != nil {
			return err
		}
		s.pids = append(s.pids, f)
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			return err
		}
	}
	return nil
}

func (s *stoppedStart) check(t *testing.T) {
	t.Helper()
	if !errors.Is(s.err, context.DeadlineExceeded) || !strings.Contains(s.err.Error(), "wait for ") || strings.Contains(s.err.Error(), "\n") {
		t.Errorf("%s: %v; want one line that says whom it waited for till the deadline", s.stage, s.err)
	} else {
		t.Logf("%s: %v (%v later)", s.stage, s.err, s.late)
	}
	if s.late > killTimeout/2 {
		t.Errorf("%s: it ended %v after the deadline", s.stage, s.late)
	}
	for _, pid := range s.pids {
		if err := kernel.WaitReadable(soon(t), pid); err != nil {
			t.Errorf("%s: a stopped process lives: %v", s.stage, err)
		}
		pid.Close()
	}
}
