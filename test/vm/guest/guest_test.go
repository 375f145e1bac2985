// SPDX-License-Identifier: Apache-2.0

// Package guest tests the installed command where it is meant to run: on
// Debian with systemd as PID 1 and a unified cgroup hierarchy. Its tests run
// inside the guests of internal/sdtest only, as root.
package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// patience is how long one command may take on an emulated processor.
const patience = 2 * time.Minute

// busybox is the small root every guest has.
const busybox = "/var/lib/machines/busybox"

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", o.code, o.stdout, o.stderr)
}

// run executes a command with a deadline, whatever its exit code.
func run(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// What a detached container leaves behind must not keep our pipes open.
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("%s: something it started holds its output open", strings.Join(args, " "))
	}
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s: not done after %v\n%s%s", strings.Join(args, " "), patience, stdout.String(), stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must executes a command that has to succeed and returns its standard output
// without the last newline.
func must(t *testing.T, args ...string) string {
	t.Helper()
	o := run(t, args...)
	if o.code != 0 {
		t.Fatalf("%s: %v", strings.Join(args, " "), o)
	}
	return strings.TrimSuffix(o.stdout, "\n")
}

// sd runs the command under test.
func sd(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t, append([]string{"sdcontainer"}, args...)...)
}

// container writes a configuration and removes the container of that name when
// the test ends. body is TOML that follows the version line.
func container(t *testing.T, name, body string) (file string) {
	t.Helper()
	sdtest.Require(t, sdtest.Guest)
	file = filepath.Join(t.TempDir(), name+".toml")
	if err := os.WriteFile(file, []byte("version = 1\n"+body), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("unit:\n%s", run(t, "systemctl", "status", "--no-pager", "sdc-"+name+".scope").stdout)
			t.Logf("journal:\n%s", run(t, "journalctl", "-b", "--no-pager", "-n", "30").stdout)
		}
		_ = sd(t, "rm", "-f", name) // it may be gone, which is fine
		left := run(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "sdc-"+name+".scope").stdout
		if strings.TrimSpace(left) != "" {
			t.Errorf("left behind: %s", left)
		}
	})
	return file
}

// shell is the body of a container of the busybox root that runs a script.
func shell(script string) string {
	text, _ := json.Marshal(script) // a JSON string is a TOML string
	return "[rootfs]\npath = \"" + busybox + "\"\n[process]\nargs = [\"/bin/sh\", \"-c\", " + string(text) + "]\n"
}

// detached starts a configuration in the background.
func detached(t *testing.T, file string) state {
	t.Helper()
	must(t, "sdcontainer", "run", "-d", file)
	return inspect(t, strings.TrimSuffix(filepath.Base(file), ".toml"))
}

// state is what these tests read of `sdcontainer inspect`.
type state struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	Pid         int    `json:"pid"`
	KeeperPid   int    `json:"keeperPid"`
	Unit        string `json:"unit"`
	Cgroup      string `json:"cgroup"`
	ExitUnknown bool   `json:"exitUnknown"`
	Exit        *struct {
		Code       int  `json:"code"`
		Signal     int  `json:"signal"`
		OOMKilled  bool `json:"oomKilled"`
		ManagedOOM bool `json:"managedOOM"`
	} `json:"exit"`
}

func inspect(t *testing.T, name string) state {
	t.Helper()
	text := must(t, "sdcontainer", "inspect", name)
	var all []state
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("inspect %s: %v\n%s", name, err, text)
	}
	if len(all) != 1 {
		t.Fatalf("inspect %s: %d containers", name, len(all))
	}
	return all[0]
}

// cgroupFile reads a file of a container's cgroup, or of the unit's if the
// container has its own below it.
func cgroupFile(t *testing.T, s state, file string) string {
	t.Helper()
	dir := strings.TrimSuffix(filepath.Join("/sys/fs/cgroup", s.Cgroup), "/payload")
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// eventually waits for a condition that no descriptor announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("never seen: %s", what)
		case <-tick.C:
		}
	}
}
