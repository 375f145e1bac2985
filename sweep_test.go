// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// names are those of what lies in the run directory.
func (r *Runtime) names(t *testing.T) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != usernsLock && e.Name() != usernsDir {
			all = append(all, e.Name())
		}
	}
	claims, err := os.ReadDir(r.path(usernsDir))
	if ignoreMissing(err) != nil {
		t.Fatal(err)
	}
	for _, e := range claims {
		all = append(all, "claim "+e.Name())
	}
	return all
}

func TestSweepTakesTheDeadOnly(t *testing.T) {
	for what, sweep := range map[string]func(*Runtime) error{
		"list":       func(r *Runtime) error { _, err := r.List(); return err },
		"rm of none": func(r *Runtime) error { return ignore(r.Remove(t.Context(), "none", true), ErrNotExist) },
	} {
		t.Run(what, func(t *testing.T) {
			r := &Runtime{Dir: t.TempDir()}
			for _, dir := range []string{".new-empty.1", ".new-dead.2", ".gone-dead.3/sub", ".gone-empty.4"} {
				if err := os.MkdirAll(r.path(dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range []string{".new-dead.2/state.json", ".gone-dead.3/sub/x"} {
				if err := os.WriteFile(r.path(file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			alive := reservation(r, "alive")
			made, err := alive.newRecord()
			if err != nil {
				t.Fatal(err)
			}
			defer alive.close()
			if err := sweep(r); err != nil {
				t.Error(err)
			}
			if got := r.names(t); len(got) != 1 || got[0] != filepath.Base(made) {
				t.Errorf("left: %q; want what is being made", got)
			}
			if got, err := os.ReadDir(made); err != nil || len(got) != 3 {
				t.Errorf("of the living: %v, %v", got, err)
			}
		})
	}
}

// A child of a maker that was killed can have the lock for a moment; of one that lives nobody waits for it.
func TestSweepWaitsForTheDeadMakersChild(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dead, living := fmt.Sprintf(".new-a.b.%d.1", ended.Process.Pid), fmt.Sprintf(".new-a.b.%d.2", os.Getpid())
	locks := map[string]*os.File{}
	for _, dir := range []string{dead, living} {
		if err := os.Mkdir(r.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		lock, err := tryLock(r.path(dir, lockFile), exclusive)
		if err != nil {
			t.Fatal(err)
		}
		locks[dir] = lock
	}
	defer locks[living].Close()
	time.AfterFunc(50*time.Millisecond, func() { locks[dead].Close() })
	r.sweepAll()
	if got := r.names(t); !slices.Equal(got, []string{living}) {
		t.Errorf("left: %q; want what a living process makes", got)
	}
}

// Whoever makes and removes records is not disturbed by who sweeps.
func TestSweepDisturbsNobody(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	var stop atomic.Bool
	var sweepers, makers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for !stop.Load() {
				if _, err := r.List(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 4 {
		makers.Go(func() {
			for range 200 {
				l := reservation(r, string(rune('a'+i)))
				if err := l.reserve(t.Context()); err != nil {
					t.Errorf("reserve: %v", err)
				}
				if err := l.takeBack(t.Context()); err != nil {
					t.Errorf("take back: %v", err)
				}
			}
		})
	}
	makers.Wait()
	stop.Store(true)
	sweepers.Wait()
	r.sweepAll()
	if left := r.names(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Killed at any instruction, a command leaves nothing that rm -f does not find.
func TestKilledAnywhere(t *testing.T) {
	seen := map[string]int{}
	for n := 0; n < 150; n += sdtest.Stride(10) {
		r := &Runtime{Dir: t.TempDir()}
		o := startOther(t, "records", r.Dir)
		if s := o.line(t); s != "begun" {
			t.Fatal(s)
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // the moment is what is random
		o.kill()
		for _, name := range r.names(t) {
			kind, _, _ := strings.Cut(name, "-")
			kind, _, _ = strings.Cut(kind, " ")
			seen[kind]++
		}
		if err := r.Remove(t.Context(), "x", true); err != nil && !errors.Is(err, ErrNotExist) {
			t.Error(err)
		}
		if left := r.names(t); len(left) > 0 {
			t.Fatalf("left after rm -f: %q", left)
		}
	}
	t.Logf("left by the killed: %v", seen)
}
