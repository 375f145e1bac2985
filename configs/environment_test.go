// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironmentOrder(t *testing.T) {
	dir := write(t, "x.toml", `version = 1
rootfs.path = "root"
[process]
args = ["%%n"]
env_files = ["vars", "-missing"]
env_pass = ["B", "UNSET"]
env = { C = "env %n", N = 5, T = true }
`, "vars", "# comment\n\nA=file\nB=\"quo ted\"\nC=file\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{Env: func(k string) (string, bool) { return "caller", k == "B" }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A=file", "B=caller", "C=env x", "N=5", "T=true"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
	if spec.Root.Path != filepath.Join(dir, "root") || spec.Process.Args[0] != "%n" {
		t.Errorf("root %q, args %q", spec.Root.Path, spec.Process.Args)
	}
}

// A glob of env_pass takes the caller's variables whose names it matches, also from the real caller.
func TestEnvironmentGlobs(t *testing.T) {
	for _, v := range []string{"SDC_LC_ALL", "SDC_LC_TIME", "SDC_A1", "SDC_B1", "SDC_LCX"} {
		t.Setenv(v, "of "+v)
	}
	for globs, want := range map[string][]string{
		`"SDC_LC_*"`:              {"SDC_LC_ALL=of SDC_LC_ALL", "SDC_LC_TIME=of SDC_LC_TIME"},
		`"SDC_[AB]?", "SDC_LCX"`:  {"SDC_A1=of SDC_A1", "SDC_B1=of SDC_B1", "SDC_LCX=of SDC_LCX"},
		`"SDC_NONE_*", "SDC_\\*"`: nil,
	} {
		dir := write(t, "x.toml", minimal+"process.env_pass = ["+globs+"]\n")
		spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, spec.Process.Env); diff != "" {
			t.Errorf("%s: %s", globs, diff)
		}
	}
	dir := write(t, "x.toml", minimal+"process.env_pass = ['*']\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{EnvNames: func() []string { return []string{"B", "A", "GONE", "NO NAME", "NO\nLINE", ""} },
		Env: func(k string) (string, bool) { return "fake", k != "GONE" }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A=fake", "B=fake"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
}

// Variables of the service reach the payload by process.env_pass alone, or commands that stand beside it.
func TestEnvironmentOfService(t *testing.T) {
	dir := write(t, "x.toml", "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n[systemd.service]\nEnvironment = []\n")
	if _, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{}); err != nil {
		t.Errorf("none is given: %v", err)
	}
	for _, name := range []string{"Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment"} {
		for more, refused := range map[string]bool{
			"": true, "ExecSearchPath = '/x'\n": true, "ExecStartPre = []\n": true, "ExecStartPre = '/bin/x $A'\n": false,
			"[process]\nenv_pass = []\n": true, "[process]\nenv_pass = ['A']\n": false, "[process]\nenv_pass = ['A*']\n": false,
		} {
			text := "version = 1\nrootfs.path = 'root'\n[systemd.service]\n" + name + " = 'A'\n" + more
			if !strings.Contains(more, "[process]") {
				text += "[process]\n"
			}
			dir := write(t, "x.toml", text+"args = ['x']\n")
			_, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{})
			want := "x.toml:4:1: systemd.service." + name + ": has no effect on the payload: set process.env instead, or name the variables in process.env_pass"
			if refused != (err != nil) || refused && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error: %t", text, err, refused)
			}
		}
	}
}
