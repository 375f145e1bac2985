// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// I2: with rights that its caller has not, the command does nothing at all.
func TestI2SetUserID(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sdcontainer") // what this binary then is
	if err := os.WriteFile(file, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o755: false, 0o755 | os.ModeSetuid: true, 0o755 | os.ModeSetgid: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(file, "version")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if says := strings.Contains(string(out), "refuses to run"); says != refused || (cmd.ProcessState.ExitCode() == exitEngine) != refused {
			t.Errorf("mode %v: %v: %s", mode, err, out)
		}
	}
}
