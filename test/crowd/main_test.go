// SPDX-License-Identifier: Apache-2.0

// Package crowd runs many containers at once, and a few while what they need is disturbed: the service manager reloads and
// re-executes itself, the journal ends or is full, the clock jumps. No start may fail, and nothing may be left behind. Its
// tests run in a booted systemd at native speed, where cgroups may have no controllers, and in the guests, where they have.
// `make test` has the quick form, `make soak` the full one.
package crowd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const soakEnv = "SDCONTAINER_SOAK"

// A result is one line of the report.
type result struct {
	Test    string    `json:"test"`
	Starts  int       `json:"starts"`
	Failed  int       `json:"failed"`
	StartMs []float64 `json:"startMs,omitempty"` // the median of each tenth
	// SystemdMs is what of a processor systemd had for each start.
	SystemdMs []float64 `json:"systemdMs,omitempty"`
	StopMs    []float64 `json:"stopMs,omitempty"`
	Note      string    `json:"note,omitempty"`
}

// all are the lines of this run.
var all = map[string]result{}

func TestMain(m *testing.M) {
	code := sdtest.Main(m)
	if !sdtest.InSystemd() {
		if err := summary(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// inside is sdtest.Inside with the command in the system's share.
func inside(t *testing.T) bool {
	t.Helper()
	if sdtest.InSystemd() {
		return sdtest.Inside(t)
	}
	share := sdtest.BootSystemd(t).Share
	if err := prepare(share); err != nil {
		t.Fatal(err)
	}
	sdtest.Inside(t)
	if err := collect(share); err != nil {
		t.Error(err)
	}
	return false
}

// prepare builds the command as it is shipped.
func prepare(share string) error {
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(share, "sdcontainer"), "../../cmd/sdcontainer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// loops is how often, or how many: a few in a guest, whose processor may be emulated.
func loops(t *testing.T, quick, soak, guest int) int {
	t.Helper()
	if !native() {
		return guest
	}
	return sdtest.Loops(t, quick, soak)
}

// native says that this is a booted systemd, with the command in its share, and not a guest.
func native() bool {
	_, err := os.Stat(filepath.Join(sdtest.ShareInside, "sdcontainer"))
	return err == nil
}

// tell leaves a line for collect.
func tell(t *testing.T, r result) {
	t.Helper()
	t.Logf("%+v", r)
	if !native() {
		return
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(filepath.Join(sdtest.ShareInside, "result-"+strings.ReplaceAll(r.Test, " ", "-")+".json"), b, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

func collect(share string) error {
	files, err := filepath.Glob(filepath.Join(share, "result-*.json"))
	for _, f := range files {
		b, readErr := os.ReadFile(f)
		var r result
		err = errors.Join(err, readErr, json.Unmarshal(b, &r), os.Remove(f))
		all[r.Test] = r
	}
	return err
}

// summary writes the lines of a full run to bin/crowd.json.
func summary() error {
	if len(all) == 0 || os.Getenv(soakEnv) == "" {
		return nil
	}
	lines := make([]result, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, all[name])
	}
	b, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	root, err := sdtest.ModuleRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "bin/crowd.json"), append(b, '\n'), 0o644)
}
