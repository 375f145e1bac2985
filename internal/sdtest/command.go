// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BuildCommand builds sdcontainer as it is shipped.
func BuildCommand(file string) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./cmd/sdcontainer")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Environment is a plain one for the command.
func Environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LANG=C.UTF-8"}
}

// Bounded runs a command for no longer than limit, and tells how long it took. What was not
// run to its end has the code -1, and its output says why.
func Bounded(limit time.Duration, args ...string) (out string, code int, took time.Duration) {
	out, code, took, _ = Measured(limit, args...)
	return out, code, took
}

// Measured is [Bounded], and tells how much of a processor the command had itself, in what it waited for too.
func Measured(limit time.Duration, args ...string) (out string, code int, took, busy time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// Of a hundred commands that end together some are read late: what they said is not to be lost.
	cmd.Env, cmd.WaitDelay = Environment(), 10*time.Second
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	begin := time.Now()
	err := cmd.Run()
	took = time.Since(begin)
	if s := cmd.ProcessState; s != nil { // of what was not started there is none
		busy = s.UserTime() + s.SystemTime()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return b.String() + "not done in time", -1, took, busy
	case err != nil && !errors.As(err, &exit):
		return b.String() + err.Error(), -1, took, busy
	}
	return b.String(), cmd.ProcessState.ExitCode(), took, busy
}

// Zombie is a process that has ended and that nobody waits for until the test is over.
func Zombie(t testing.TB) uint32 {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // only to be rid of it
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	return uint32(cmd.Process.Pid)
}
