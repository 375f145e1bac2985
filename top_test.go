// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// However many they are, no more threads than that are lost.
func TestTopLosesFewThreads(t *testing.T) {
	var reading atomic.Int32
	never := make(chan struct{})
	defer close(never)
	args := readArgs(make([]int, 10*argsReaders), func(int) []string {
		reading.Add(1)
		<-never
		return []string{"late"}
	}, 200*time.Millisecond)
	if n := reading.Load(); len(args) > 0 || n < 2 || n > argsReaders {
		t.Errorf("%d at once, want up to %d; %v", n, argsReaders, args)
	}
}

func TestParseProcess(t *testing.T) {
	var p ProcessInfo
	p.parseStat("42 (evil) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000 0 0", 20*time.Second)
	p.parseStatus("Name:\tx\nUid:\t1\t524288\t3\t4\nNSpid:\t42\t7\nVmRSS:\t    100 kB\n")
	want := ProcessInfo{UID: 524288, Inside: 7, State: "S", CPU: 30, Time: 3 * time.Second, Memory: 102400, Command: []string{"[evil) name]"}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	var torn ProcessInfo
	torn.parseStat("42 (x", time.Second)
	torn.parseStat("42 (x) S 1", time.Second)
}

func TestUserInside(t *testing.T) {
	const idMap = "         0     524288      65536\n     70000     100        1\n"
	for uid, want := range map[uint32]string{524288: "0", 524321: "33", 100: "70000", 0: "-", 524288 + 65536: "-"} {
		if got := userInside(uid, idMap); got != want {
			t.Errorf("userInside(%d) = %s, want %s", uid, got, want)
		}
	}
}
