// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// What lies in the working directory of the command configures nothing, by whatever name.
func TestI6HostileWorkingDirectory(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	root, hostile := filepath.Join(t.TempDir(), "rootfs"), t.TempDir()
	if err := sdtest.BusyboxRoot(root, applets...); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(configs.Dir, "i6.toml")
	if err := os.MkdirAll(configs.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("version = 1\nprocess.args = ['sh']\nrootfs.path = '"+root+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(own) })
	const evil = "version = 1\nname = \"evil\"\ndescription = \"evil\"\nprocess.env = { EVIL = \"1\" }\nuserns.mode = \"none\"\n"
	for _, name := range []string{"sdcontainer.toml", "i6.toml", "i6", "config.json", "i6.toml.d/evil.toml", "rootfs.toml",
		".sdcontainer.toml", ".config/sdcontainer/i6.toml", "etc/sdcontainer/i6.toml", "sh", "hooks.d/evil.json"} {
		file := filepath.Join(hostile, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(evil), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	explained := func(dir string) string {
		cmd := exec.CommandContext(t.Context(), "sdcontainer", "explain", "i6")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PWD="+dir)
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if !strings.Contains(string(b), root) {
			t.Errorf("in %s it is not of %s: %s", dir, own, b)
		}
		return string(b)
	}
	if d := cmp.Diff(explained("/"), explained(hostile)); d != "" {
		t.Error(d)
	}
}
