// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

var negative = regexp.MustCompile(` -[0-9]`)

// R28: a deadline is a stretch of time and not a point in it, and what is shown to people makes sense, when
// the machine's clock is set a day ahead or back.
func TestClockJumps(t *testing.T) {
	sdtest.Require(t, sdtest.Guest) // the host's clock is not ours to set
	m := newMachine(t)
	begin, wall := time.Now(), time.Now().Unix()
	set := func(days int) {
		now := wall + int64(time.Since(begin).Seconds()) + int64(days)*24*3600
		system(t, "date", "-s", fmt.Sprintf("@%d", now))
	}
	defer set(0)
	const grace = 5 // longer than a command takes on an emulated processor
	deaf := m.config("clock", fmt.Sprintf("stop_timeout = \"%ds\"\n[log]\ndriver = \"none\"\n", grace),
		"/bin/sh", "-c", "trap : TERM; while :; do sleep 1; done")
	for _, days := range []int{1, -1} {
		name := fmt.Sprintf("clock%d", days+1)
		m.must("run", "-d", "--name", name, deaf)
		waited := make(chan string, 1)
		go func() {
			out, code, _ := m.do("wait", name)
			waited <- fmt.Sprintf("%d %s", code, out)
		}()
		stopped := make(chan time.Duration, 1)
		go func() {
			out, code, took := m.do("stop", name)
			if code != 0 {
				t.Errorf("stop: exit %d: %s", code, out)
			}
			stopped <- took
		}()
		set(days)
		if took := <-stopped; took < grace*time.Second*9/10 || took > patience() {
			t.Errorf("%d days: stop took %v, want the %d s it was given", days, took, grace)
		}
		if w := <-waited; !strings.HasPrefix(w, "137 ") {
			t.Errorf("%d days: wait: %s", days, w)
		}
		shown := m.must("ps", "-a")
		if negative.MatchString(shown) || !strings.Contains(shown, "exited") {
			t.Errorf("%d days: ps -a:\n%s", days, shown)
		}
		m.must("inspect", name)
		m.must("run", "--rm", "--name", "while", deaf, "/bin/true")
		set(0)
		m.must("rm", name)
	}
	m.cleaned()
}

// R22: with every limit on tasks a container works, or one error says why not.
func TestFewTasks(t *testing.T) {
	sdtest.Require(t, sdtest.Guest) // cgroups have a pids controller there
	m := newMachine(t)
	works := 0
	for limit := 1; limit <= 3; limit++ {
		file := m.config("tasks", fmt.Sprintf("[log]\ndriver = \"none\"\n[resources]\ntasks = %d\n", limit), "/bin/true")
		out, code, _ := m.do("run", "--rm", file)
		switch errors := strings.Count("\n"+out, "\nsdcontainer: run tasks: "); {
		case code == 0 && works == 0:
			works = limit
		case code == 0:
		case works > 0 || code != 125 || errors != 1:
			t.Errorf("%d tasks: exit %d: %s", limit, code, out)
		}
		file = m.config("detached", fmt.Sprintf("[log]\ndriver = \"none\"\n[resources]\ntasks = %d\n", limit))
		out, code, _ = m.do("run", "-d", file)
		if (code == 0) != (works > 0) {
			t.Errorf("%d tasks, detached: exit %d: %s", limit, code, out)
		}
		if out, code, _ := m.do("exec", "detached", "/bin/true"); works > 0 && code != 0 && strings.Count("\n"+out, "\nsdcontainer: ") != 1 {
			t.Errorf("%d tasks, exec: exit %d: %s", limit, code, out)
		}
		m.must("rm", "-f", "detached")
		m.cleaned()
	}
	t.Logf("works with %d", works)
	if works != 1 {
		t.Errorf("it works with %d tasks, want 1: nothing of ours is in the unit", works)
	}
}
