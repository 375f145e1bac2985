// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"path/filepath"
	"testing"
)

// A container that is being created has no cgroup yet, and the one without a name is the machine's.
func TestNothingIsReadOfOneInTheMaking(t *testing.T) {
	r := &Runtime{Dir: filepath.Join(t.TempDir(), "run")}
	l := reservation(r, "web")
	if err := l.reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Creating {
		t.Fatalf("%+v, %v; want one being created", s, err)
	}
	if pids, err := c.Processes(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("processes: %v, %v; want ErrNotRunning", pids, err)
	}
	if s, err := c.Stats(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stats: %+v, %v; want ErrNotRunning", s, err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
}
