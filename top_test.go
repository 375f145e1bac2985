// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A process has a command line as long as it likes: top shows its beginning.
func TestTopCutsArguments(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	cmd := exec.Command("cat", long, "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	complaint, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	// That there is no such file: until then its command line may not be there yet.
	if _, err := complaint.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pids := []int{cmd.Process.Pid, os.Getpid()}
	procs, err := processes(pids, readArgs(pids, processArgs, time.Minute))
	if err != nil || len(procs) != 2 {
		t.Fatal(procs, err)
	}
	if got := procs[0].Command; len(got) != 2 || got[0] != "cat" || got[1] != long[:maxArgs-len("cat")-1]+"..." {
		t.Errorf("%d words, %.20q", len(got), got)
	}
	if got := procs[1].Command; !slices.Equal(got, os.Args) {
		t.Errorf("%q, want %q", got, os.Args)
	}
}

// A process that does not tell its arguments keeps top from nothing: it has its name, the others
// have theirs.
func TestTopDoesNotWaitForProcesses(t *testing.T) {
	mute := exec.Command("sleep", "1d")
	if err := mute.Start(); err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	defer func() { close(never); _ = mute.Process.Kill(); _ = mute.Wait() }()
	pids := []int{mute.Process.Pid, os.Getpid()}
	read := func(pid int) []string {
		if pid == mute.Process.Pid {
			<-never
		}
		return processArgs(pid)
	}
	procs, err := processes(pids, readArgs(pids, read, 2*time.Second))
	if err != nil || len(procs) != 2 {
		t.Fatal(procs, err)
	}
	if got := procs[0].Command; !slices.Equal(got, []string{"[sleep]"}) {
		t.Errorf("%q, want [sleep]", got)
	}
	if got := procs[1].Command; !slices.Equal(got, os.Args) {
		t.Errorf("%q, want %q", got, os.Args)
	}
}

// However many they are, and however often somebody asks, no more threads than that are lost.
func TestTopLosesFewThreads(t *testing.T) {
	var reading atomic.Int32
	never := make(chan struct{})
	read := func(int) []string {
		reading.Add(1)
		<-never
		return []string{"late"}
	}
	most := int32(argsReaders)
	for range 2 + cap(argsPlaces)/argsReaders {
		args := readArgs(make([]int, 10*argsReaders), read, 200*time.Millisecond)
		if n := reading.Load(); len(args) > 0 || n < 2 || n > min(most, int32(cap(argsPlaces))) {
			t.Errorf("%d at once, want up to %d; %v", n, most, args)
		}
		most += argsReaders
	}
	close(never)
}

// Nor by who looks for something in a container's files: beyond so many nobody begins to.
func TestLookLosesFewThreads(t *testing.T) {
	defer func(d time.Duration) { lookTimeout = d }(lookTimeout)
	lookTimeout = 20 * time.Millisecond
	never := make(chan struct{})
	for range cap(doubtful) {
		if _, err := look(t.Context(), "find it", func() (int, error) { <-never; return 0, nil }, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: that waits", err)
		}
	}
	if _, err := look(t.Context(), "find it", func() (int, error) { return 1, nil }, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: one more that may be lost", err)
	}
	close(never)
	lookTimeout = time.Minute
	if n, err := look(t.Context(), "find it", func() (int, error) { return 1, nil }, nil); n != 1 || err != nil {
		t.Errorf("%d, %v: they are there again", n, err)
	}
}

// However many groups a payload has for its processes, to look at them costs no more.
func TestTopCostsNoMoreWithGroups(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	groups := make([]uint32, 65536)
	for i := range groups {
		groups[i] = uint32(i)
	}
	var pids []int
	for range 10 {
		cmd := exec.Command("sleep", "1d")
		pids = append(pids, startAs(t, cmd, &syscall.Credential{Uid: 1000, Gid: 1000, Groups: groups}))
	}
	cost := func(what func() error) time.Duration {
		t.Helper()
		var before, after unix.Rusage
		err := unix.Getrusage(unix.RUSAGE_SELF, &before)
		if err = errors.Join(err, what(), unix.Getrusage(unix.RUSAGE_SELF, &after)); err != nil {
			t.Fatal(err)
		}
		return time.Duration(after.Stime.Nano() + after.Utime.Nano() - before.Stime.Nano() - before.Utime.Nano())
	}
	one := cost(func() error { _, err := procFile(pids[0], "status"); return err })
	all := cost(func() error { _, err := processes(pids, nil); return err })
	t.Logf("%d processes: %v; /proc/PID/status of one: %v", len(pids), all, one)
	if all > one*time.Duration(len(pids))/4 {
		t.Errorf("%d processes cost %v, /proc/PID/status of one %v", len(pids), all, one)
	}
}

// The files of a process that nobody may dump are root's. What top says of it is as of others.
func TestTopOfUndumpable(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(cat)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cat")
	if err := os.WriteFile(path, program, 0o711); err != nil { // a program its user may not read
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/fd/3", "/none", "-") // whatever the directories above let pass
	cmd.Args[0], cmd.ExtraFiles = "cat", []*os.File{f}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	complaint, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	pid := startAs(t, cmd, &syscall.Credential{Uid: 1000, Gid: 1000})
	if _, err := complaint.Read(make([]byte, 1)); err != nil { // until then it may not be what it is to be
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(procPath(pid, "status"), &st); err != nil || st.Uid != 0 {
		t.Fatalf("it can be dumped: its files are of user %d, %v", st.Uid, err)
	}
	procs, err := processes([]int{pid}, nil)
	if err != nil || len(procs) != 1 || procs[0].UID != 1000 || procs[0].Inside != pid || procs[0].Memory == 0 {
		t.Errorf("%+v, %v: want user 1000, %d inside and memory", procs, err, pid)
	}
}

// startAs starts cmd as somebody, until the test's end.
func startAs(t *testing.T, cmd *exec.Cmd, who *syscall.Credential) int {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if err := cmd.Start(); err != nil { // it returns when the program is executed
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func TestParseProcess(t *testing.T) {
	var p ProcessInfo
	p.parseStat("42 (evil) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000 1638400 25 0", 20*time.Second)
	want := ProcessInfo{State: "S", CPU: 30, Time: 3 * time.Second, Memory: uint64(25 * os.Getpagesize()), Command: []string{"[evil) name]"}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	var torn ProcessInfo
	torn.parseStat("42 (x", time.Second)
	torn.parseStat("42 (x) S 1", time.Second)
}

func TestInnermost(t *testing.T) {
	for list, want := range map[string]int{"": 42, "NSpid:\n": 42, "NSpid:\t42\n": 42, "NSpid:\t42\t7\n": 7, "NSpid:\t-1\n": 0} {
		got, err := innermost("pos:\t0\nPid:\t42\n"+list+"Uid:\t3\n", 42)
		if got != want || (want == 0) != errors.Is(err, unix.ESRCH) {
			t.Errorf("%q: %d, %v", list, got, err)
		}
	}
}

func TestUserInside(t *testing.T) {
	const idMap = "         0     524288      65536\n     70000     100        1\n"
	for uid, want := range map[uint32]string{524288: "0", 524321: "33", 100: "70000", 0: "-", 524288 + 65536: "-"} {
		if got := userInside(uid, idMap); got != want {
			t.Errorf("userInside(%d) = %s, want %s", uid, got, want)
		}
	}
}
