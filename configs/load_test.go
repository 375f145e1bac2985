// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// write makes files in a new directory: name, content, name, content ...
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const minimal = `version = 1
rootfs.path = "/srv/root"
process.args = ["/bin/true"]
`

// problemsOf is what Check says, without the directory.
func problemsOf(t testing.TB, files ...string) []string {
	t.Helper()
	dir := write(t, files...)
	var out []string
	for _, p := range (LoadOptions{}).Check(filepath.Join(dir, files[0])) {
		out = append(out, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	return out
}

func load1(t testing.TB, files ...string) *specs.Spec {
	t.Helper()
	dir := write(t, files...)
	spec, err := Load(filepath.Join(dir, files[0]), LoadOptions{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestMissing(t *testing.T) {
	got := problemsOf(t, "empty.toml", "")
	want := []string{
		"empty.toml:1:1: version: missing: write version = 1",
		"empty.toml:1:1: rootfs.path: missing: the directory with the container's files",
		`empty.toml:1:1: process.args: missing: the command, like ["/bin/sh"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := (LoadOptions{}).Check("/nonexistent/x.toml"); len(got) != 1 || got[0].String() != "/nonexistent/x.toml: no such file or directory" {
		t.Errorf("%v", got)
	}
}

func TestPropertiesAreChecked(t *testing.T) {
	dir := write(t, "x.toml", minimal+"[systemd.scope]\nCPUWeight = 5\nCPUWait = 'x'\n'a b' = 1\n")
	o := LoadOptions{Property: func(name, value string) error {
		if name == "CPUWeight" {
			return nil
		}
		return fmt.Errorf("no such property with %s", value)
	}}
	var got []string
	for _, p := range o.Check(filepath.Join(dir, "x.toml")) {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	want := []string{`x.toml:6:1: systemd.scope.CPUWait: no such property with 'x'`,
		`x.toml:7:1: systemd.scope.a b: "a b": want the name of a property, like MemoryHigh`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The paths of namespaces and of devices with limits have their specifiers expanded, as all others.
func TestSpecifiersInPaths(t *testing.T) {
	spec := load1(t, "web.toml", minimal+`userns.mode = "path:/run/%n/user"
network.mode = "path:/run/netns/%N"
namespaces = { mount = "path:/run/%n/mnt", pid = "path:/run/%p/pid", ipc = "path:/run/%i/ipc", uts = "path:/run/%j/uts", cgroup = "path:%T/100%%", time = "path:/run/%n" }
resources.io.write_iops = { "/dev/disk/by-label/%n" = 5 }
`)
	got := map[string]string{}
	for _, n := range spec.Linux.Namespaces {
		got[string(n.Type)] = n.Path
	}
	want := map[string]string{"mount": "/run/web/mnt", "user": "/run/web/user", "network": "/run/netns/web", "pid": "/run/web/pid", "ipc": "/run/web/ipc",
		"uts": "/run/web/uts", "cgroup": "/tmp/100%", "time": "/run/web"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s, err := SettingsOf(spec)
	if v := s.UnitProperties["IOWriteIOPSMax"]; v != "[('/dev/disk/by-label/web', 5)]" || err != nil {
		t.Errorf("IOWriteIOPSMax is %s, %v", v, err)
	}
}

// What is run instead of process.args is as it is, and needs none in the file.
func TestArgs(t *testing.T) {
	args := []string{"printf", "%s 100%", "%n"}
	const root = "version = 1\nrootfs.path = '/srv/root'\n"
	for _, text := range []string{root, root + "process.args = ['a', 'b', '%%', '%n']\n"} {
		spec, err := Load(filepath.Join(write(t, "x.toml", text), "x.toml"), LoadOptions{Args: args})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(args, spec.Process.Args); diff != "" {
			t.Error(diff)
		}
	}
	_, err := Load(filepath.Join(write(t, "x.toml", root+"process.args = 5"), "x.toml"), LoadOptions{Args: []string{""}})
	if err == nil || !strings.Contains(err.Error(), "x.toml:3:9: process.args: 5: want a list of strings") {
		t.Errorf("%v", err)
	}
	_, err = Load(filepath.Join(write(t, "x.toml", root), "x.toml"), LoadOptions{Args: []string{""}})
	if err == nil || !strings.HasPrefix(err.Error(), "COMMAND missing: the command") {
		t.Errorf("%v", err)
	}
}

func TestFromRootfs(t *testing.T) {
	args := []string{"printf", "%s 100%", "%n"}
	spec, err := FromRootfs("one", "some%dir", args)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(args, spec.Process.Args); diff != "" {
		t.Errorf("arguments of a command line are as they are: %s", diff)
	}
	if err := Validate(spec); err != nil || filepath.Base(spec.Root.Path) != "some%dir" || spec.Hostname != "one" {
		t.Errorf("%v, root %q, hostname %q", err, spec.Root.Path, spec.Hostname)
	}
	for _, bad := range []struct {
		name, dir string
		args      []string
	}{{"../x", "/r", args}, {"x", "/r", nil}, {"x", "/", args}} {
		if _, err := FromRootfs(bad.name, bad.dir, bad.args); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

// What Load accepts is a valid Spec; nothing makes it panic.
func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	examples, err := filepath.Glob("examples/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range examples {
		b, err := os.ReadFile(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	file := filepath.Join(f.TempDir(), "x.toml")
	f.Fuzz(func(t *testing.T, doc string) {
		c := newCompiler(file, LoadOptions{Env: func(string) (string, bool) { return "", false }})
		tree, at, s := decode(file, []byte(doc))
		lines := strings.Split(strings.TrimPrefix(doc, "\ufeff"), "\n")
		for _, p := range s.problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 || p.Msg == "" {
				t.Errorf("%q: outside of it: %+v", doc, p)
			}
		}
		if tree == nil {
			return
		}
		c.problems, c.partial = s.problems, s.partial
		c.add(tree, file, at)
		c.compile()
		if len(c.problems) == 0 {
			if err := Validate(c.spec); err != nil {
				t.Fatal(err)
			}
			return
		}
		for _, p := range c.problems[len(s.problems):] {
			if p.Line < 1 || p.Column < 1 || p.Msg == "" {
				t.Errorf("%q: problem without a place: %+v", doc, p)
			}
			if strings.HasPrefix(p.Msg, "annotation") || p.Key == "" {
				t.Errorf("%q: only Validate found: %v", doc, p)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load("examples/web.toml", LoadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
