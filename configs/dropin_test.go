// SPDX-License-Identifier: Apache-2.0

package configs

import (
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
