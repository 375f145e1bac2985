// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
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
	procs, err := processes([]int{cmd.Process.Pid, os.Getpid()})
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
