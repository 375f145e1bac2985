// SPDX-License-Identifier: Apache-2.0

// Package crowd runs many containers at once, and a few while what they need is disturbed: the service manager reloads and
// re-executes itself, the journal ends or is full, the clock jumps. No start may fail, and nothing may be left behind. Its
// tests run in a booted systemd at native speed, where cgroups may have no controllers, and in the guests, where they have.
// `make test` has the quick form, `make soak` the full one.
package crowd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A result is one line of the report.
type result struct {
	Test    string    `json:"test"`
	Starts  int       `json:"starts"`
	Failed  int       `json:"failed"`
	StartMs []float64 `json:"startMs,omitempty"` // the median of each tenth
	// StartCPUMs is what of a processor the command had itself.
	StartCPUMs []float64 `json:"startCPUMs,omitempty"`
	// SystemdMs is what of a processor systemd had for each start.
	SystemdMs []float64 `json:"systemdMs,omitempty"`
	StopMs    []float64 `json:"stopMs,omitempty"`
	StopCPUMs []float64 `json:"stopCPUMs,omitempty"`
	// LimitFiles is how many files of a cgroup's limits were compared.
	LimitFiles int    `json:"limitFiles,omitempty"`
	Note       string `json:"note,omitempty"`
}

// all are the lines of this run.
var all = sdtest.Lines[result]{}

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
	if err := sdtest.BuildCommand(filepath.Join(share, "sdcontainer")); err != nil {
		t.Fatal(err)
	}
	sdtest.Inside(t)
	if err := all.Collect(share); err != nil {
		t.Error(err)
	}
	return false
}

// loops is how often, or how many: a few in a guest, whose processor may be emulated, unless nobody waits.
func loops(t *testing.T, quick, soak, guest int, unit string) int {
	t.Helper()
	if !native() && !sdtest.Soaking() {
		return guest
	}
	return sdtest.Amount(t, quick, soak, unit)
}

// native says that this is a booted systemd, with the command in its share, and not a guest.
func native() bool {
	_, err := os.Stat(filepath.Join(sdtest.ShareInside, "sdcontainer"))
	return err == nil
}

// tell leaves a line of the report.
func tell(t *testing.T, r result) {
	t.Helper()
	if native() {
		t.Logf("%+v", r)
		sdtest.Tell(t, r.Test, r)
		return
	}
	r.Test += ", Debian " + os.Getenv("SDCONTAINER_GUEST")
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("crowd: %s", b) // test/soak reads it
}

// summary writes the lines of a full run to bin/crowd.json.
func summary() error {
	if len(all) == 0 || !sdtest.Soaking() {
		return nil
	}
	return all.Write("crowd.json")
}
