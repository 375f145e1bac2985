// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// The last output of a payload is waited for as long as it comes, however slow its reader is.
func TestDrainGoesOnWhileOutputFlows(t *testing.T) {
	from, payload, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shown, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer shown.Close()
	const lines = 6
	var s streams
	s.copy(to, from)
	go func() {
		defer payload.Close()
		tick := time.NewTicker(drainTime / 4)
		defer tick.Stop()
		for i := range lines {
			<-tick.C
			fmt.Fprintln(payload, i)
		}
	}()
	s.finish()
	to.Close()
	text, err := io.ReadAll(shown)
	if err != nil || strings.Count(string(text), "\n") != lines {
		t.Errorf("%q, %v: want %d lines", text, err, lines)
	}
}

// Only once the payload has ended do signals end that wait, each of those that would end a program.
func TestDrainIsEndedBySignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1} {
		from, payload, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer payload.Close()
		var s streams
		s.copy(os.Stderr, from)
		if s.handle(sig) {
			t.Errorf("%v is kept from the payload", sig)
		}
		done := make(chan struct{})
		begin := time.Now()
		go func() { s.finish(); close(done) }()
		for s.enough.Load() == nil {
			select {
			case <-done:
				t.Fatal("the wait cannot be ended")
			default:
				runtime.Gosched()
			}
		}
		ends := sig != unix.SIGUSR1
		if got := s.handle(sig); got != ends {
			t.Errorf("%v is taken: %v, want %v", sig, got, ends)
		}
		<-done
		if got := time.Since(begin) < drainTime; got != ends {
			t.Errorf("%v ends the wait: %v, want %v", sig, got, ends)
		}
	}
}

// What a command leaves behind writes on and on: ^C gives the person their terminal back, with the command's exit code.
func TestInterruptWithAProcessLeftBehind(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=talker" // instead of --rm
	if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sleep", "1000")...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, out)
	}
	script := "trap '' HUP; p=$$; setsid sh -c \"while kill -0 $p 2>/dev/null; do :; done; while echo left; do sleep 0.2; done\" & exit 3"
	for _, flag := range []string{"-i", "-t"} {
		s := newScreen(t)
		begin := time.Now()
		cmd := s.start(t, append(flags[:2:2], "exec", flag, "talker", "sh", "-c", script)...)
		s.see(t, "left")
		ended := make(chan int)
		go func() { ended <- code(t, cmd) }()
		press := time.NewTicker(50 * time.Millisecond)
		defer press.Stop()
		for running := true; running; {
			select {
			case <-press.C:
				s.press(t, "\x03")
			case got := <-ended:
				running = false
				if got != 3 {
					t.Errorf("%s: exit status %d", flag, got)
				}
			}
		}
		if took := time.Since(begin); took > drainMost/2 {
			t.Errorf("%s: the terminal was held for %v:\n%s", flag, took, s.text())
		}
		if !s.local(t) {
			t.Errorf("%s: the terminal is still raw", flag)
		}
	}
	if out, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "-f", "talker")...).CombinedOutput(); err != nil {
		t.Errorf("rm: %v: %s", err, out)
	}
}
