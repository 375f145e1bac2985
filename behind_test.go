// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// R44: what systemctl does to a unit behind our back is seen, and is no obstacle.
func TestBehindOurBack(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	systemctl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
			t.Fatalf("systemctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	start := func(name string) (c *Container, unit string) {
		t.Helper()
		r, out := pipe(t)
		c = w.mustStart(name, CreateOptions{Detach: true, Stdout: out},
			"/bin/sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 60 & wait; done")
		out.Close()
		if _, err := r.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		return c, scope.UnitName(name)
	}
	ended := func(c *Container, code int) {
		t.Helper()
		if e, err := c.Wait(soon(t)); err != nil || e.Code != code {
			t.Errorf("%s: %+v, %v; want code %d", c.ID(), e, err, code)
		}
		if err := c.Destroy(soon(t), false); err != nil {
			t.Error(err)
		}
		w.nothingLeft(c.ID())
	}

	c, unit := start("frozen")
	systemctl("freeze", unit)
	if s, err := c.State(); err != nil || s.Status != Paused {
		t.Errorf("frozen: %+v, %v", s, err)
	}
	if err := c.Stop(soon(t), -1); err != nil {
		t.Errorf("stop of a frozen one: %v", err)
	}
	ended(c, 3)

	_, unit = start("frozen-rm")
	systemctl("freeze", unit)
	if err := w.Remove(soon(t), "frozen-rm", true); err != nil {
		t.Errorf("rm -f of a frozen one: %v", err)
	}
	w.nothingLeft("frozen-rm")

	c, unit = start("thawed")
	if err := c.Pause(soon(t)); err != nil {
		t.Fatal(err)
	}
	systemctl("thaw", unit)
	if s, err := c.State(); err != nil || s.Status != Running {
		t.Errorf("thawed: %+v, %v", s, err)
	}
	systemctl("kill", "--signal=KILL", unit)
	ended(c, 137)

	spec := w.spec("late", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 60 & wait; done")
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	// It counts from the scope's start: the payload's trap must be set by then.
	s.UnitProperties = map[string]string{"RuntimeMaxUSec": "uint64 " + strconv.FormatInt(sdtest.Slower(time.Second, 5).Microseconds(), 10)}
	s.Annotate(spec)
	late, err := w.startSpec("late", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	ended(late, 3)

	// The keepers' scope is in that slice too: it ends after them.
	c, _ = start("sliced")
	systemctl("stop", scope.DefaultSlice)
	ended(c, 3)
}
