// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A terminal that shows nothing for a while costs no processor time, and misses nothing of what the payload wrote.
func TestG5TerminalThatStopsReading(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newStillScreen(t)
	lines := 60000 / sdtest.Stride(20)
	cmd := s.start(t, append(arena(t), "-t", "--", "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); done; exit 3", lines))...)
	for full, before := 0, -1; full == 0 || full != before; time.Sleep(300 * time.Millisecond) {
		n, err := unix.IoctlGetInt(int(s.master.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		before, full = full, n
	}
	const still = 2 * time.Second
	before := processorTime(t, cmd.Process.Pid)
	time.Sleep(still)
	if spent := processorTime(t, cmd.Process.Pid) - before; spent > still/4 {
		t.Errorf("%v of the processor spent on waiting %v", spent, still)
	}
	go s.read()
	if got := code(t, cmd); got != 3 {
		t.Errorf("exit status %d", got)
	}
	s.see(t, fmt.Sprintf("\n%d\n", lines-1))
	_, text, _ := strings.Cut("\n"+s.text(), "\n0\n") // after what the command says of this machine
	shown := strings.Fields("0\n" + text)
	for i, line := range shown {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if len(shown) != lines {
		t.Errorf("%d lines of %d", len(shown), lines)
	}
}

// processorTime is what a process has had so far.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var p process
	p.parseStat(string(b), 0)
	return p.Time
}
