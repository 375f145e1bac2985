// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func script(t *testing.T, text string) (*exec.Cmd, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("sh", "-c", text, "sh", out)
	cmd.Stderr = os.Stderr
	return cmd, out
}

// TestVerdicts: a call is seen before it is made, and can be kept from being made.
func TestVerdicts(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	for _, tt := range []struct {
		name    string
		verdict Verdict
		code    int
		signal  unix.Signal
		made    bool
	}{
		{"go", Verdict{}, 0, 0, true},
		{"fail", Verdict{Errno: unix.EMFILE}, 2, 0, false},
		{"kill", Verdict{Signal: unix.SIGKILL}, 0, unix.SIGKILL, false},
		{"signal", Verdict{Signal: unix.SIGTERM}, 0, unix.SIGTERM, true},
		{"detach", Verdict{Detach: true}, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, out := script(t, `: >"$1"`)
			hits := 0
			ws, err := Run(cmd, Options{Manager: true, OnCall: func(c Call) Verdict {
				if c.Role != Manager || c.PID == 0 {
					t.Errorf("%+v", c)
				}
				if path := ReadString(c.PID, c.Args[1]); c.NR == unix.SYS_OPENAT && path == out {
					hits++
					return tt.verdict
				}
				return Verdict{}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if hits != 1 {
				t.Errorf("opened %d times", hits)
			}
			if tt.signal != 0 && ws.Signal() != tt.signal || tt.signal == 0 && ws.ExitStatus() != tt.code {
				t.Errorf("ended with %#x", ws)
			}
			if _, err := os.Stat(out); (err == nil) != tt.made {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

// TestDeadline: what does not end is killed. A stopped process stays so.
func TestDeadline(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	cmd, _ := script(t, "kill -STOP $$")
	ws, err := Run(cmd, Options{Manager: true, Helpers: true, Deadline: 200 * time.Millisecond, OnCall: func(Call) Verdict { return Verdict{} }})
	if !errors.Is(err, ErrDeadline) || ws.Signal() != unix.SIGKILL {
		t.Errorf("%#x, %v", ws, err)
	}
}

// TestDeadlineOfWhatIsLetGo: nobody stops it any more, and yet it is waited for.
func TestDeadlineOfWhatIsLetGo(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	cmd, _ := script(t, "exec sleep 1000")
	ws, err := Run(cmd, Options{Manager: true, Deadline: 500 * time.Millisecond, OnCall: func(Call) Verdict { return Verdict{Detach: true} }})
	if !errors.Is(err, ErrDeadline) || ws.Signal() != unix.SIGKILL || !strings.Contains(err.Error(), " sleep: S, ") {
		t.Errorf("%#x, %v", ws, err)
	}
}
