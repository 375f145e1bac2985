// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"os"
	"path/filepath"
	"testing"
)

// PlantInPath puts programs of these names before all others in PATH, and returns those of them that were run.
func PlantInPath(t testing.TB, names ...string) (ran func() []string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n: >\"$0.ran\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "*.ran"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
}
