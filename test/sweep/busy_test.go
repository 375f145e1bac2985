// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R50: with many busy processes beside it on one processor everything takes longer, and no deadline passes for it: each verb works,
// and a payload that does what it is told is not killed. Other processors are left to other tests.
func TestR50LittleTime(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	bound := []string{"taskset", "--cpu-list", processor(t)}
	for range 32 {
		spin(t, bound)
	}
	m.look() // they are there all the time
	longest := time.Duration(0)
	defer func() { t.Logf("the longest took %v", longest) }()
	must := func(want int, args ...string) string {
		t.Helper()
		out, code, took := sdtest.Bounded(10*patience, slices.Concat(bound, []string{m.bin}, args)...)
		if code != want {
			t.Errorf("sdcontainer %s: exit %d after %v, want %d: %s", strings.Join(args, " "), code, took, want, out)
		}
		longest = max(longest, took)
		return out
	}
	const payload = "trap 'exit 3' TERM; echo >/cache/up; sleep 1000 & wait"
	rounds := 1
	if o.Soak {
		rounds = 10
	}
	for range rounds {
		must(5, "run", "--rm", m.file, "/bin/sh", "-c", "exit 5")
		must(0, "run", "-d", m.file, "/bin/sh", "-c", payload)
		must(7, "exec", name, "/bin/sh", "-c", "until [ -e /cache/up ]; do :; done; exit 7")
		must(0, "pause", name)
		must(0, "resume", name)
		must(0, "update", "--tasks", "50", name)
		must(0, "stop", name)
		if out := must(3, "wait", name); strings.TrimSpace(out) != "3" {
			t.Errorf("it ended with %q, want its own 3", out)
		}
		must(0, "rm", name)
		if err := m.cleaned(); err != nil {
			t.Fatal(err)
		}
	}
}

// processor is one that we may use.
func processor(t *testing.T) string {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	n := 0
	for !set.IsSet(n) {
		n++
	}
	return strconv.Itoa(n)
}

// spin takes all it can get of its processor until the test ends; a session of its own, or all of them count as one.
func spin(t *testing.T, bound []string) {
	t.Helper()
	args := slices.Concat(bound, []string{"sh", "-c", "while :; do :; done"})
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
}
