// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDropIns(t *testing.T) {
	spec := load1(t, "web.toml", minimal+"process.env = { A = '1', B = '2' }\n[[mount]]\nsource='/a'\ntarget='/a'\n[[mount]]\nsource='/b'\ntarget='/b'\n",
		"web.toml.d/20-last.toml", "process.env.B = '4'\n",
		"web.toml.d/10-first.toml", "process.env = { B = '3', C = '5' }\nprocess.args = ['/bin/false']\n[[mount]]\nsource='/c'\ntarget='/c'\n",
		"web.toml.d/not-this.bak", "nonsense",
		"web.toml.d/.hidden.toml", "nonsense")
	if diff := cmp.Diff([]string{"A=1", "B=4", "C=5"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/bin/false"}, spec.Process.Args); diff != "" {
		t.Error(diff)
	}
	if last := spec.Mounts[len(spec.Mounts)-1]; last.Source != "/c" || len(spec.Mounts) != len(defaultMounts())+1 {
		t.Errorf("the list of mounts was not replaced: %v", spec.Mounts)
	}
}

// A problem of a drop-in is shown there, one of the file there; what a drop-in
// replaced leaves no place behind.
func TestDropInPlaces(t *testing.T) {
	got := problemsOf(t, "web.toml", minimal+"nonsense = 1\nprocess.umask = 1\n[[mount]]\nsource = '/a'\ntarget = '/a'\n",
		"web.toml.d/a.toml", "# comment\nprocess.umask = 2\n\n[[mount]]\nsource = '/b'\n", "web.toml.d/b.toml", "process.cwd = \n")
	want := []string{
		`web.toml:4:1: nonsense: unknown key; accepted here: `,
		`web.toml.d/a.toml:2:9: process.umask: 2: want an octal mode`,
		`web.toml.d/a.toml:4:1: mount.target: missing`,
		`web.toml.d/b.toml:1:`,
	}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q: want %q", got[i], want[i])
		}
	}
}

// A file in the directory of drop-ins that is none is told; what is left of one is not.
func TestDropInNames(t *testing.T) {
	got := problemsOf(t, "web.toml", minimal, "web.toml.d/10-a.conf", "process.cwd = '/a'", "web.toml.d/README", "", "web.toml.d/b.TOML", "",
		"web.toml.d/.hidden.conf", "", "web.toml.d/c.toml~", "", "web.toml.d/c.toml.bak", "", "web.toml.d/c.toml.dpkg-old", "",
		"web.toml.d/c.toml.rpmnew", "", "web.toml.d/old/c.conf", "")
	want := []string{
		"web.toml.d/10-a.conf: is not read: the names of drop-ins end in .toml",
		"web.toml.d/README: is not read: the names of drop-ins end in .toml",
		"web.toml.d/b.TOML: is not read: the names of drop-ins end in .toml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What stands in the place of a table, or is a table where there are several, is told wherever it is, and hides nothing
// of the other files.
func TestDropInsLoseNoTable(t *testing.T) {
	const base = minimal + "resources.tasks = 'many'\nprocess.env.A = []\n[[mount]]\ntarget = 'x'\nsource = '/x'\n"
	kept := []string{
		`web.toml:4:11: resources.tasks: "many": want a number like 512`,
		`web.toml:5:13: process.env.A: []: want a string`,
		`web.toml:7:1: mount.target: "x": want an absolute path`,
	}
	for _, tt := range []struct{ first, second, want string }{
		{"resources = 'later'", "resources.cpu.weight = 50", "1:1: resources: want a table: [resources] of cpu, "},
		{"resources = ['later']", "resources.memory.max = '1M'", "1:1: resources: want a table: "},
		{"[[resources]]\ntasks = 5", "resources.cpu.weight = 50", "1:1: resources: want a table: "},
		{"process = 'x'", "process.env.B = 'x'", "1:1: process: want a table: "},
		{"process.env = 'x'", "process.env.B = 'x'", `1:9: process.env: "x": want a table of text like { NAME = ... }`},
		{"[[process.env]]\nB = 'x'", "process.env.B = 'x'", "1:1: process.env: a list of tables: want a table of text like"},
		{"process.env = []", "", "1:9: process.env: []: want a table of text like"},
		{"mount = 5", "", "1:1: mount: want tables: [[mount]]"},
		{"mount = [5]", "", "1:1: mount: want tables: [[mount]]"},
		{"[mount]\ntarget = '/y'\nsource = '/y'", "", "1:1: mount: want tables: [[mount]]"},
		{"mount.read_only = true", "", "1:1: mount: want tables: [[mount]]"},
		{"[device]\npath = '/dev/fuse'", "device = []", "1:1: device: want tables: [[device]]"},
	} {
		got := problemsOf(t, "web.toml", base, "web.toml.d/1.toml", tt.first, "web.toml.d/2.toml", tt.second)
		want := append(slices.Clone(kept), "web.toml.d/1.toml:"+tt.want)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s:\n got %q\nwant %q", tt.first, got, want)
		}
	}
	got := problemsOf(t, "web.toml", minimal+"resources = 5\nlog = 'x'", "web.toml.d/1.toml", "resources.tasks = 'many'", "web.toml.d/2.toml", "log = 'y'\n[resources]\ncpu = 1")
	want := []string{"web.toml:4:1: resources: want a table: ", "web.toml:5:1: log: want a table: ", "web.toml.d/1.toml:1:11: resources.tasks: ",
		"web.toml.d/2.toml:1:1: log: want a table: ", "web.toml.d/2.toml:3:1: resources.cpu: want a table: "}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A flag is laid over what is right of the files, and takes the place of no table itself.
func TestSettingsLoseNoTable(t *testing.T) {
	dir := write(t, "web.toml", minimal+"resources.tasks = 'many'\n", "web.toml.d/1.toml", "resources = 'x'\nprocess.env = 'x'\nmount = 'x'\n")
	got := LoadOptions{Set: []Setting{
		{Flag: "--cpus", Key: "resources.cpu.quota", Value: "150%"}, {Flag: "--env", Key: "process.env", Value: map[string]any{"A": "b"}},
		{Flag: "--tmpfs", Key: "mount", Value: map[string]any{"type": "tmpfs", "target": "/t"}}, {Flag: "--all", Key: "resources", Value: "x"},
	}}.Check(filepath.Join(dir, "web.toml"))
	want := []string{"--all want a table: [resources] of ", "web.toml:4:11: resources.tasks: ", "web.toml.d/1.toml:1:1: resources: want a table: ",
		"web.toml.d/1.toml:2:9: process.env: ", "web.toml.d/1.toml:3:1: mount: want tables: "}
	if !slices.EqualFunc(got, want, func(p Problem, want string) bool {
		return strings.HasPrefix(strings.TrimPrefix(p.String(), dir+"/"), want)
	}) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
