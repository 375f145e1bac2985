// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
)

// A flag that is a key comes to what the key in the file comes to, also over a file that has it.
func TestFlagsAreKeys(t *testing.T) {
	t.Setenv("OURS", "here")
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const minimal = "version = 1\nrootfs.path = '/srv'\nprocess.args = ['true']\n"
	seen := map[string]bool{}
	for flags, tt := range map[string]struct{ file, same string }{
		"-m 64M":                                 {"resources.memory.max = '1G'", "resources.memory.max = '64M'"},
		"--memory=1G --memory 50%":               {"", "resources.memory.max = '50%'"},
		"--cpus 1.5":                             {"resources.cpu.quota = '7%'", "resources.cpu.quota = '150%'"},
		"--cpus 20%":                             {"", "resources.cpu.quota = '20%'"},
		"--pids-limit 12":                        {"", "resources.tasks = 12"},
		"--pids-limit 1 --tasks 2 --tasks-max 3": {"", "resources.tasks = 3"},
		"-m 1G --memory-max 5M --cpus 1 --cpu-quota 20%": {"", "resources.memory.max = '5M'\nresources.cpu.quota = '20%'"},
		"-u www-data:5": {"process.user = '7'", "process.user = 'www-data:5'"},
		"-w /tmp":       {"process.cwd = '/x'", "process.cwd = '/tmp'"},
		"-e A=50%x=y -e OURS -e NOT_SET_ANYWHERE": {"process.env = { A = '1', B = '2' }", "process.env = { A = '50%%x=y', B = '2', OURS = 'here' }"},
		"--hostname h%n --hostname h":             {"network.hostname = 'x'", "network.hostname = 'h'"},
		"--network host":                          {"network.mode = 'none'", "network.mode = 'host'"},
		"-v /a%n:/b -v ./c:/d:ro,noexec": {"[[mount]]\nsource = '/x'\ntarget = '/y'\n", "[[mount]]\nsource = '/x'\ntarget = '/y'\n" +
			"[[mount]]\nsource = '/a%%n'\ntarget = '/b'\n[[mount]]\nsource = '" + here + "/c'\ntarget = '/d'\nread_only = true\noptions = ['noexec']"},
		"--volume /a:/b:rw": {"mount = [{ source = '/x', target = '/y' }]", "mount = [{ source = '/x', target = '/y' }, { source = '/a', target = '/b' }]"},
		"--tmpfs /t:size=5M,mode=0700 --tmpfs /u:ro": {"", "[[mount]]\ntype = 'tmpfs'\ntarget = '/t'\nsize = '5M'\nmode = '0700'\n" +
			"[[mount]]\ntype = 'tmpfs'\ntarget = '/u'\nread_only = true"},
		"--read-only":                      {"", "rootfs.read_only = true"},
		"--read-only=false":                {"rootfs.read_only = true", ""},
		"--cap-add SYSLOG --cap-drop KILL": {"capabilities.add = ['SYS_TIME']", "capabilities.add = ['SYS_TIME', 'SYSLOG']\ncapabilities.drop = ['KILL']"},
	} {
		var settings []configs.Setting
		cmd := newApp(os.Stdin, os.Stdout, os.Stderr).run()
		set := cmd.Flags()
		for _, k := range keyFlags() {
			for _, name := range append(k.aliases, k.name) {
				set.Lookup(name).Value.(*keyFlag).to = &settings
			}
		}
		if err := set.Parse(strings.Fields(flags)); err != nil {
			t.Errorf("%s: %v", flags, err)
			continue
		}
		for _, s := range settings {
			seen[s.Flag] = true
		}
		got := compiled(t, filepath.Join(here, "x.toml"), minimal+tt.file, settings)
		want := compiled(t, filepath.Join(here, "x.toml"), minimal+tt.same, nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", flags, diff)
		}
	}
	for _, k := range keyFlags() {
		for _, name := range append(k.aliases, k.name) {
			if !seen["--"+name] {
				t.Errorf("--%s is not tested", name)
			}
		}
	}
}

func compiled(t *testing.T, file, text string, set []configs.Setting) any {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := configs.Load(file, configs.LoadOptions{Set: set})
	if err != nil {
		t.Errorf("%s%v: %v", text, set, err)
	}
	return spec
}

// TestNoStrict: the flag is as systemd.strict = false in the file, for what reading that finds too.
func TestNoStrict(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	text := "version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\nsystemd.strict = true\nsystemd.service.Restrat = 'no'\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, lenient := range []bool{false, true} {
		o := runOptions{lenient: lenient}
		spec, err := o.spec([]string{file})
		if !lenient {
			if err == nil || !strings.Contains(err.Error(), "Restrat") {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, err := configs.SettingsOf(spec); err != nil || s.Strict {
			t.Error(s.Strict, err)
		}
	}
}

// What a unit sets for sdcontainer itself is no variable of the payload, whatever passes.
func TestOwnVariableStaysOutside(t *testing.T) {
	t.Chdir(t.TempDir())
	const file = "version = 1\nrootfs.path = '/srv'\nprocess.args = ['true']\nprocess.env_pass = ['GOMAX*']\n"
	if err := os.WriteFile("x.toml", []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		unit         bool
		value, other string
	}{{true, "1", ""}, {true, "2", "GOMAXPROCS=2"}, {false, "1", "GOMAXPROCS=1"}} {
		t.Setenv("GOMAXPROCS", tt.value)
		spec, err := (&runOptions{unit: tt.unit}).spec([]string{"./x.toml"})
		if err != nil {
			t.Fatal(err)
		}
		have := ""
		for _, v := range spec.Process.Env {
			if strings.HasPrefix(v, "GOMAX") {
				have = v
			}
		}
		if have != tt.other {
			t.Errorf("GOMAXPROCS=%s, unit %t: the payload has %q, want %q", tt.value, tt.unit, have, tt.other)
		}
	}
}
