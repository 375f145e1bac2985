// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// B20, I6: CVE-2026-40226. What lies in an image, beside it or in the working
// directory configures nothing.
func TestB20NothingIsReadFromAnImage(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	before, err := FromRootfs("x", root, []string{"true"})
	if err != nil {
		t.Fatal(err)
	}
	const evil = "version = 1\nname = \"evil\"\n[userns]\nmode = \"none\"\n"
	for _, at := range []string{root, dir} {
		for _, name := range []string{"sdcontainer.toml", "x.toml", "root.toml", "config.json", "root.nspawn", ".nspawn", "etc/sdcontainer/x.toml",
			"x.toml.d/evil.toml", "hooks.d/evil", "etc/containers/oci/hooks.d/evil.json"} {
			file := filepath.Join(at, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(evil), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	after, err := FromRootfs("x", root, []string{"true"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Error(d)
	}
}
