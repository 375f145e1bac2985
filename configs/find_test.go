// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	here, dir := t.TempDir(), t.TempDir()
	t.Chdir(here)
	for _, file := range []string{"web", "here.toml", "both.toml", "only"} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"web.toml", "both.toml", "plain"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub.toml"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"web":       dir + "/web.toml", // though there is one here
		"web.toml":  dir + "/web.toml",
		"plain":     dir + "/plain",
		"both":      dir + "/both.toml",
		"both.toml": "both.toml",
		"here.toml": "here.toml",
		"here":      "here",
		"only":      "only",
		"./web":     "./web",
		"./both":    "./both",
		"sub":       "sub", // which is a directory
		"nowhere":   "nowhere",
		"":          "",
	} {
		if got := findIn(dir, file); got != want {
			t.Errorf("%q: %q, want %q", file, got, want)
		}
	}
	if got := Find("/srv/web.toml"); got != "/srv/web.toml" {
		t.Errorf("a path: %q", got)
	}
}
