// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func reservation(r *Runtime, id string) *launch {
	spec := &specs.Spec{Root: &specs.Root{Path: "/"}, Process: &specs.Process{Args: []string{"x"}}}
	return &launch{c: &Container{rt: r, id: id}, spec: spec}
}

// R29: of starts of one name at the same moment one gets it, and those that do not
// leave its record alone.
func TestReserveOnce(t *testing.T) {
	for range 100 {
		r := &Runtime{Dir: t.TempDir()}
		const n = 4
		all := make([]*launch, n)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			all[i] = reservation(r, "one")
			wg.Go(func() {
				if errs[i] = all[i].reserve(t.Context()); errs[i] != nil {
					errs[i] = errors.Join(errs[i], all[i].takeBack(t.Context()))
				}
			})
		}
		wg.Wait()
		var winner *launch
		for i, err := range errs {
			switch {
			case err == nil && winner == nil:
				winner = all[i]
			case err == nil:
				t.Fatal("two got the name")
			case !errors.Is(err, ErrExist):
				t.Error(err)
			}
		}
		if winner == nil {
			t.Fatal("nobody got the name")
		}
		if _, err := r.Load("one"); err != nil {
			t.Fatalf("the winner's record: %v", err)
		}
		if err := winner.takeBack(t.Context()); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
}

// A record that takes the place of one that is just being read: there is no moment without.
func TestReadWhileItIsReplaced(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	first := reservation(r, "one")
	if err := first.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.unlock()
	replace := func() error {
		made := first.c.path() + ".new"
		if err := os.Mkdir(made, 0o700); err != nil {
			return err
		}
		if err := first.c.writeTo(made); err != nil {
			return err
		}
		err := unix.Renameat2(unix.AT_FDCWD, made, unix.AT_FDCWD, first.c.path(), unix.RENAME_EXCHANGE)
		return errors.Join(err, os.RemoveAll(made))
	}
	loops := sdtest.Loops(t, 1000, 20000)
	done := make(chan error)
	go func() {
		for range loops {
			if err := replace(); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
			if _, err := r.Load("one"); err != nil {
				t.Error(err)
				<-done
				return
			}
		}
	}
}

// A record that cannot be read may be a running container's.
func TestReserveKeepsUnreadable(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	r.fakeRecord(t, "old")
	if err := os.WriteFile(r.path("old", stateFile), []byte(`{"version":99,"id":"old"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := reservation(r, "old")
	if err := l.reserve(t.Context()); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "rm -f") {
		t.Errorf("%v; want ErrExist, and what to do", err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.path("old", stateFile)); err != nil {
		t.Error(err)
	}
}

func TestForeignDirIsRefused(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	l := reservation(r, "web")
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.Dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	_, load := r.Load("web")
	for what, err := range map[string]error{
		"load": load, "remove": r.Remove(t.Context(), "web", true), "create": reservation(r, "other").reserve(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "forge") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Chmod(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
}

// Several layers say what to do about a run directory that is full; people read it once.
func TestRoomForSaysItOnce(t *testing.T) {
	err := roomFor(fmt.Errorf("reserve: %w", roomFor(&os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC})))
	if !errors.Is(err, unix.ENOSPC) || strings.Count(err.Error(), "make room") != 1 {
		t.Error(err)
	}
}

// Who waits for a container that another command is still creating learns of its end,
// or that it never came to be.
func TestWaitWhileItIsCreated(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	l := reservation(r, "early")
	l.o.Detach = true
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Load("early")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if e, err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v; want that it still waits", e, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Wait(soon(t))
		ended <- err
	}()
	if err := l.takeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrNotExist) {
		t.Errorf("%v, want that there is no such container", err)
	}
	if _, err := c.Wait(t.Context()); !errors.Is(err, ErrNotExist) {
		t.Errorf("again: %v, want that there is no such container", err)
	}
}
