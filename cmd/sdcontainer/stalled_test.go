// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// CVE-2022-1708, CVE-2022-31030: what is printed while nobody reads must wait inside, not in the command.
func TestG4NobodyReads(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=talker" // instead of --rm
	if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sleep", "1000")...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, out)
	}
	megabytes := int64(sdtest.Amount(t, 32, 500, "megabytes"))
	for name, verb := range map[string][]string{"terminal": {"exec", "-t"}, "pipe": {"exec"}} {
		t.Run(name, func(t *testing.T) {
			s := newStillScreen(t)
			cmd := s.start(t, append(append(flags[:2:2], verb...), "talker", "sh", "-c", "echo begin; exec cat /dev/zero")...)
			nobodyReads(t, s, cmd.Process.Pid, megabytes<<20)
		})
	}
	if out, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "-f", "talker")...).CombinedOutput(); err != nil {
		t.Errorf("rm: %v: %s", err, out)
	}
}

// nobodyReads has a command print without end: for nobody, for somebody who reads that much and resizes the
// terminal meanwhile, and for nobody again.
func nobodyReads(t *testing.T, s *screen, pid int, much int64) {
	const start, more = 64 << 10, 16 << 10 // kB

	_ = s.slave.Close() // so that the command's end is seen
	for seen, b := "", make([]byte, 1); !strings.HasSuffix(seen, "begin"); seen += string(b) {
		if _, err := s.master.Read(b); err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
	}
	before := standsStill(t, pid, start)
	files := openIn(t, pid)
	for i := range uint16(much >> 18) {
		s.resize(t, 20+i%10, 80)
		if _, err := io.CopyN(io.Discard, s.master, 1<<18); err != nil { // such as when it took a minute
			t.Fatal(err)
		}
	}
	after := standsStill(t, pid, before+more)
	t.Logf("%d kB, after %d MB %d kB", before, much>>20, after)
	if n := openIn(t, pid); n > files {
		t.Errorf("%d descriptors, %d at the beginning", n, files)
	}
}

// standsStill waits until a process reads no more, and returns the most memory it had; more than limit is a failure.
func standsStill(t *testing.T, pid, limit int) int {
	t.Helper()
	const samples = 10
	deadline := time.Now().Add(20 * time.Second)
	for same, last := 0, -1; same < samples; time.Sleep(50 * time.Millisecond) {
		if most := procNumber(t, pid, "status", "VmHWM:"); most > limit {
			t.Fatalf("it has had %d kB, want at most %d", most, limit)
		}
		if time.Now().After(deadline) {
			t.Fatal("it reads on, and nobody reads what it writes")
		}
		if n := procNumber(t, pid, "io", "rchar:"); n == last {
			same++
		} else {
			same, last = 0, n
		}
	}
	return procNumber(t, pid, "status", "VmHWM:")
}

func procNumber(t *testing.T, pid int, file, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name)
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("%s: %v in %q", name, err, b)
	}
	return n
}

func openIn(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
