// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// C10: one in PATH is not run, whether or not there is another.
func TestC10ProgramsAreNotThoseOfPath(t *testing.T) {
	const planted = "sdc-planted"
	ran := sdtest.PlantInPath(t, planted, "sh")
	if path, err := Program("sh"); err != nil || !inProgramDirs(path) {
		t.Errorf("sh is %q, %v", path, err)
	}
	if out, err := Command(t.Context(), "sh", "-c", "echo $0").Output(); err != nil || strings.TrimSpace(string(out)) == "" {
		t.Errorf("sh said %q, %v", out, err)
	}
	err := Command(t.Context(), planted).Run()
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), planted+" in /usr/bin, /bin, ") {
		t.Errorf("%v, want an error that says where it was looked for", err)
	}
	if ran := ran(); len(ran) != 0 {
		t.Errorf("%q ran", ran)
	}
}

func inProgramDirs(path string) bool {
	for _, dir := range programDirs {
		if filepath.Dir(path) == dir {
			return true
		}
	}
	return false
}

// Where /usr is merged a program is in both directories, where it is not in either: the first that can be executed counts.
func TestProgramsOfSeveralDirectories(t *testing.T) {
	old := programDirs
	t.Cleanup(func() { programDirs = old })
	top := t.TempDir()
	programDirs = []string{filepath.Join(top, "usr/bin"), filepath.Join(top, "bin"), filepath.Join(top, "none")}
	for file, mode := range map[string]os.FileMode{
		"usr/bin/both": 0o755, "bin/both": 0o755, "usr/bin/one": 0o755, "bin/other": 0o755, "usr/bin/text": 0o644, "bin/text": 0o755, "usr/bin/dir/x": 0o755, "bin/dir": 0o755,
	} {
		path := filepath.Join(top, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"both": "usr/bin/both", "one": "usr/bin/one", "other": "bin/other", "text": "bin/text", "dir": "bin/dir"} {
		if got, err := Program(name); err != nil || got != filepath.Join(top, want) {
			t.Errorf("%s is %q, %v; want %s", name, got, err, want)
		}
	}
}
