// SPDX-License-Identifier: Apache-2.0

package sdtest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }

func TestBootSystemd(t *testing.T) {
	s := sdtest.BootSystemd(t)
	t.Logf("booted in %v", s.Took)
	for _, tt := range []struct {
		cmd  string
		out  string
		code int
	}{
		{"cat /proc/1/comm", "systemd\n", 0},
		{"hostname; exit 3", "sdtest\n", 3},
		{"cat /proc/self/cgroup", "0::/enter\n", 0},
		{"systemctl show -P ActiveState sdtest.target", "active\n", 0},
		{"systemd-run -q --wait --pipe echo from a unit", "from a unit\n", 0},
	} {
		out, code := s.Enter(t, "sh", "-c", tt.cmd)
		if i := strings.LastIndex(out, "0::"); i > 0 {
			out = out[i:]
		}
		if out != tt.out || code != tt.code {
			t.Errorf("%s: %q, code %d; want %q, code %d", tt.cmd, out, code, tt.out, tt.code)
		}
	}
}

// TestKilled: the system dies with a test that is killed, and the next one removes what
// is left on the disk.
func TestKilled(t *testing.T) {
	sdtest.Require(t, sdtest.Systemd)
	if os.Getenv("SDTEST_DIE") != "" {
		s, err := sdtest.Boot(t.Context(), sdtest.BootOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("\nbooted", s.PID, filepath.Dir(s.Share))
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	cmd := again(t, "SDTEST_DIE=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatalf("it lives: %s", out)
	}
	var pid int
	var dir string
	_, report, _ := strings.Cut(string(out), "\nbooted ")
	if _, err := fmt.Sscan(report, &pid, &dir); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if f, err := kernel.Pidfd(pid); err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := kernel.WaitReadable(ctx, f); err != nil {
			t.Errorf("the system lives on: %v", err)
		}
		f.Close()
	}
	s, err := sdtest.Boot(t.Context(), sdtest.BootOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// again is this test in a process of its own, which is killed, and shows it, before that is all that is known.
func again(t *testing.T, env ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.timeout=90s", "-test.run=^"+t.Name()+"$")
	cmd.Env, cmd.WaitDelay = append(os.Environ(), env...), 5*time.Second
	return cmd
}

func TestInside(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	b, err := os.ReadFile("/proc/1/comm")
	if err != nil || string(b) != "systemd\n" {
		t.Errorf("PID 1 is %q, %v", b, err)
	}
}

// TestBootRootfs: other versions of systemd, from the guests' images where they have been built.
func TestBootRootfs(t *testing.T) {
	for _, release := range sdtest.Releases {
		t.Run(release, func(t *testing.T) {
			sdtest.Require(t, sdtest.Systemd, sdtest.Built(release))
			image, _, err := sdtest.FindImage(release)
			if err != nil {
				t.Fatal(err)
			}
			s := sdtest.BootRootfs(t, image.Rootfs())
			t.Logf("booted in %v", s.Took)
			out, code := s.Enter(t, "systemctl", "--version")
			if code != 0 || !strings.HasPrefix(out, "systemd 25") {
				t.Errorf("%q, code %d", out, code)
			}
			s.Run(t, "TestInside")
		})
	}
}

// TestLeftBehind: a test that leaves something fails, and so does its package.
func TestLeftBehind(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	const command = sdtest.ShareInside + "/sdcontainer"
	if os.Getenv("SDTEST_LEAVE") != "" {
		if out, err := exec.Command("systemd-run", "-r", "--unit=sdtest-left", "true").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(command, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		return
	}
	out, err := again(t, "SDTEST_LEAVE=1", "SDTEST_WATCHED=", "SDTEST_SETTLING=100ms").CombinedOutput()
	for _, want := range []string{"+ unit sdtest-left.service: loaded active exited", "+ file " + command + ": ",
		"--- FAIL: TestLeftBehind ", "--- FAIL: left behind "} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("no %q: %v: %s", want, err, out)
		}
	}
	if err := os.Remove(command); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("systemctl", "stop", "sdtest-left").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
