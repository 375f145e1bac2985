// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

func TestMiddleIsTakenOfEachNumber(t *testing.T) {
	rounds := []cost{{"x", 1, 5, 2, 100, 7}, {"x", 3, 4, 9, 90, 6}, {"x", 2, 6, 3, 500, 8}}
	if got, want := middle(rounds), (cost{"x", 2, 5, 3, 100, 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestWhatFailsIsNotCounted(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	_, err := traced(exec.Command("sh", "-c", "echo reason >&2; exit 3"), trace.Count)
	if err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("%v", err)
	}
}

func TestResident(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	var f footprint
	if err := f.add(self); err != nil {
		t.Fatal(err)
	}
	if f.Resident == nil || *f.Resident < 1000 || f.Pss > *f.Resident || f.Private > f.Pss {
		t.Errorf("%+v", f)
	}
	// A main process that is still ours would be left out as if it were the payload.
	for payload, pids := range map[string][]string{self: {self}, strconv.Itoa(os.Getppid()): {}} {
		if err := f.beside(payload, pids); err == nil {
			t.Errorf("process %s among %v was taken for the payload", payload, pids)
		}
	}
}

func TestEveryScenarioIsComparedWithOneOfItsOwn(t *testing.T) {
	for _, s := range (&bed{}).scenarios() {
		found := false
		for _, c := range s.contenders {
			for _, base := range bases {
				found = found || c.name == base
			}
		}
		if !found || !strings.HasPrefix(s.contenders[0].name, "sdcontainer") {
			t.Errorf("%s: no base, or not ours first", s.name)
		}
	}
}
