// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/signal"
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
