// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// compiled is the Spec of a minimal configuration with more in it.
func compiled(t testing.TB, more string) *specs.Spec {
	t.Helper()
	spec, err := Load(filepath.Join(write(t, "c.toml", minimal+more), "c.toml"), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func targets(spec *specs.Spec) (list []string) {
	for _, m := range spec.Mounts {
		list = append(list, m.Destination)
	}
	return list
}

// What an option and a key both say is no contradiction.
func TestOptionSaysWhatItsKeySays(t *testing.T) {
	spec := compiled(t, "[[mount]]\ntarget = '/d'\nsource = '/mine'\npropagation = 'rslave'\ncreate = 'dir'\noptions = ['rslave', 'rbind']\n")
	if m := spec.Mounts[len(spec.Mounts)-1]; m.Destination != "/d" || !slices.Contains(m.Options, "rslave") {
		t.Errorf("%+v", m)
	}
}

// A mount in the place of a default one must not cover the defaults below it.
func TestMountReplacesDefaultInItsPlace(t *testing.T) {
	want := targets(compiled(t, ""))
	for _, target := range want {
		spec := compiled(t, "[[mount]]\ntarget = \""+target+"/.\"\nsource = \"/mine\"\n")
		if diff := cmp.Diff(want, targets(spec)); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
		i := slices.Index(want, target)
		if m := spec.Mounts[i]; m.Source != "/mine" || m.Type != "bind" {
			t.Errorf("%s: %+v", target, m)
		}
	}
	spec := compiled(t, "[[mount]]\ntarget = \"/data\"\nsource = \"/mine\"\n")
	if diff := cmp.Diff(append(slices.Clone(want), "/data"), targets(spec)); diff != "" {
		t.Error(diff)
	}
}

// Whoever starts a container, the kernel may kill it: a negative score would be inherited.
func TestOOMScoreIsAlwaysSet(t *testing.T) {
	for more, want := range map[string]int{"": 0, "process.oom_score_adj = -7\n": -7} {
		if got := compiled(t, more).Process.OOMScoreAdj; got == nil || *got != want {
			t.Errorf("%q: %v, want %d", more, got, want)
		}
	}
}

func TestB25SplitLower(t *testing.T) {
	for in, want := range map[string][]string{
		"/a": {"/a"}, "/a:/b": {"/a", "/b"}, `/a\:b:/c`: {"/a:b", "/c"}, `/a\\:/b`: {`/a\`, "/b"}, "/a,b": {"/a,b"}, `/a\`: {`/a\`},
	} {
		if d := cmp.Diff(want, SplitLower(in)); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
}
