// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Caught in two steps, held while nobody wants them, and given to whoever comes next.
func TestSignalsAreCaught(t *testing.T) {
	s := catch(false)
	defer signal.Reset()
	got := make(chan unix.Signal, 4)
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGHUP} {
		if err := unix.Kill(unix.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	s.rest()
	const rtmin3 = 34 + 3 // what systemd is told to power off by
	if err := unix.Kill(unix.Getpid(), rtmin3); err != nil {
		t.Fatal(err)
	}
	s.hand(func(sig unix.Signal) { got <- sig })
	var have []unix.Signal
	for len(have) < 3 {
		select {
		case sig := <-got:
			have = append(have, sig)
		case <-time.After(10 * time.Second):
			t.Fatalf("got %v, no more", have)
		}
	}
	slices.Sort(have)
	if want := []unix.Signal{unix.SIGHUP, unix.SIGUSR1, rtmin3}; !slices.Equal(have, want) {
		t.Errorf("got %v, want %v", have, want)
	}
}

// Who has the old container's lock keeps --replace, but not a person who has enough of it.
func TestReplaceIsCalledOff(t *testing.T) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	a.rt.Dir = t.TempDir()
	lock := filepath.Join(a.rt.Dir, "old", "lock")
	if err := errors.Join(os.Mkdir(filepath.Dir(lock), 0o700), unix.Mkfifo(lock, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sigs := &signals{held: []unix.Signal{unix.SIGINT}}
	err = a.replace(ctx, sigs, "old")
	if got := exitCode("run", err); got != 130 || ctx.Err() != nil {
		t.Errorf("%v: exit code %d, want 130", err, got)
	}
	if err := a.replace(ctx, sigs, "none"); err != nil {
		t.Errorf("nothing to replace: %v", err)
	}
}
