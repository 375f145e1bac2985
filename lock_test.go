// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soon bounds what must not hang.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestLockWaitEndsWithItsContext(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	l := reservation(r, "web")
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- c.Pause(ctx) }()
		cancel(nil)
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another command") {
				t.Fatalf("%v; want that it was called off, and what it waited for", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the wait for the lock goes on without its context")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Remove(ctx, "web", true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("rm -f: %v; want its deadline", err)
	}
	if _, err := r.claimUserns(t.Context(), "web", 1); err != nil { // makes the lock
		t.Fatal(err)
	}
	held, err := tryLock(r.path(usernsLock), exclusive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.claimUserns(ctx, "web", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("claim: %v; want its deadline", err)
	}
	held.Close()
	if n := openFiles(t); n > before {
		t.Errorf("%d files open, %d before", n, before)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who does not get the lock is told whose it is, and does not wait for ever.
func TestBusyNamesTheHolder(t *testing.T) {
	defer func(d time.Duration) { lockTimeout = d }(lockTimeout)
	lockTimeout = 20 * time.Millisecond
	r := &Runtime{Dir: t.TempDir()}
	r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: stranger(t)})
	held, err := tryLock(r.path("web", lockFile), exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"pause": c.Pause(t.Context()), "update": c.Update(t.Context(), nil, nil)} {
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", os.Getpid())) {
			t.Errorf("%s: %v; want ErrBusy, and our process", name, err)
		}
	}
}

// Who gives up waiting for a lock is not told to retry.
func TestGivenUpIsNotBusy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	held, err := tryLock(file, exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitLock(ctx, file, exclusive); errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was called off", err)
	}
}

// One at a time, and each who waits is woken: also by those who only tried.
func TestLockExcludesAndWakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	ctx := soon(t)
	var n, inside atomic.Int32 // atomic for the race detector, which knows nothing of flock
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				f, err := waitLock(ctx, file, exclusive)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two have the lock")
				}
				n.Add(1)
				runtime.Gosched() // others may come in, if they can
				inside.Add(-1)
				f.Close()
			}
		})
	}
	wg.Wait()
	if n.Load() != 8*300 && !t.Failed() {
		t.Errorf("%d of %d turns", n.Load(), 8*300)
	}
}

func TestLockIsShared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	a, err := waitLock(soon(t), file, shared)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tryLock(file, shared)
	if err != nil {
		t.Fatalf("a second one who shares: %v", err)
	}
	if _, err := tryLock(file, exclusive); !errors.Is(err, errLocked) {
		t.Fatalf("one who does not share: %v", err)
	}
	got := make(chan error)
	go func() {
		f, err := waitLock(soon(t), file, exclusive)
		if err == nil {
			f.Close()
		}
		got <- err
	}()
	a.Close()
	b.Close()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// A lock goes with its holder, and those who wait for it are told, when he is killed.
func TestLockOfTheKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	ctx := soon(t)
	for range 20 {
		holder := startOther(t, "hold", file)
		if s := holder.line(t); s != "held" {
			t.Fatal(s)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				f, err := waitLock(ctx, file, exclusive)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
			})
		}
		holder.kill()
		wg.Wait()
	}
}

func TestWhatIsNoLock(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"zeros", "symlink", "directory"} {
		path := filepath.Join(dir, name)
		if err := damages[name](path); err != nil {
			t.Fatal(err)
		}
		if _, err := tryLock(path, exclusive); !errors.Is(err, errNotFIFO) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTurn: who wants the lock alone gets it though others share it without a gap.
func TestTurn(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	l := reservation(r, "web")
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.takeBack(t.Context()) }()
	l.unlock()
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	over, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	held, err := c.lock(over, shared)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { shareOn(over, c, held) })
	unlock, err := c.lock(soon(t), exclusive)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	stop()
	wg.Wait()
	if unlock, err = c.lock(soon(t), shared); err != nil { // where somebody had to wait once
		t.Fatal(err)
	}
	unlock()
}

// shareOn shares a lock, each time anew before it lets go, as long as ctx lasts. It does not wait
// long for the next one: what exec does while it has the lock is bounded.
func shareOn(ctx context.Context, c *Container, held func()) {
	for ctx.Err() == nil {
		next := make(chan func(), 1)
		go func() {
			unlock, err := c.lock(ctx, shared)
			if err != nil {
				unlock = func() {}
			}
			next <- unlock
		}()
		select {
		case unlock := <-next:
			held()
			held = unlock
		case <-time.After(100 * time.Millisecond):
			held()
			held = <-next
		}
	}
	held()
}
