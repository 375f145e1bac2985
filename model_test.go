// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"slices"
	"testing"
)

// phase is a state of the model: what a container of one name can be.
type phase string

const (
	absent   phase = "absent"
	creating phase = "creating" // run has begun
	running  phase = "running"
	paused   phase = "paused"
	doomed   phase = "doomed" // killed before its run was done
	dying    phase = "dying"  // killed, and nobody has waited for its end
	ended    phase = "ended"
)

// A move is what a verb's point, with this result, makes of a container.
type move struct {
	from        phase
	point, what string
	to          phase
}

// begins marks the first point of a verb that has two.
const begins = " begins"

// moves is the model.
var moves = func() (all []move) {
	add := func(from phase, point, result string, to phase) { all = append(all, move{from, point, result, to}) }
	for _, p := range []phase{creating, running, paused, dying, ended} {
		shown := map[phase]string{creating: "creating", running: "running", paused: "paused", dying: "running", ended: "stopped"}[p]
		add(p, "inspect", shown, p)
		if p != ended {
			add(p, "run", "exist", p)
		}
	}
	for _, v := range []string{"stop", "kill", "pause", "resume", "update", "exec", "rm", "rm -f", "inspect"} {
		add(absent, v, "none", absent)
	}
	// run: the name is taken, and the payload runs.
	add(absent, "run"+begins, "", creating)
	add(ended, "run"+begins, "", creating)
	add(creating, "run", "ok", running)
	add(creating, "inspect", "created", creating)
	add(creating, "inspect", "running", creating) // the record says so one step before run does
	add(creating, "kill", "notrunning", creating)
	add(creating, "exec", "notrunning", creating)
	// What is killed under its hands, run takes back; unless it was just done.
	for _, p := range []phase{creating, doomed} {
		add(p, "kill", "ok", doomed)
		add(p, "stop"+begins, "", doomed)
		add(p, "rm -f"+begins, "", doomed)
	}
	add(doomed, "run", "ok", dying)
	add(doomed, "run", "exist", doomed)
	add(doomed, "kill", "notrunning", doomed)
	add(doomed, "exec", "notrunning", doomed)
	for _, status := range []string{"creating", "created", "running", "stopped"} {
		add(doomed, "inspect", status, doomed)
	}
	for _, p := range []phase{running, paused} {
		add(p, "kill", "ok", dying)
		add(p, "update", "ok", p)
		add(p, "rm", "isrunning", p)
	}
	add(running, "pause", "ok", paused)
	add(running, "resume", "notpaused", running)
	add(running, "exec", "ok", running)
	add(paused, "pause", "ispaused", paused)
	add(paused, "resume", "ok", running)
	add(paused, "exec", "ispaused", paused)
	// Killed, and not dead: as if it ran or not, for a moment. A pause that hits it is one
	// of the dead.
	add(dying, "inspect", "paused", dying)
	add(dying, "kill", "ok", dying)
	add(dying, "rm", "isrunning", dying)
	for _, v := range []string{"update", "pause", "resume", "exec"} {
		for _, result := range []string{"ok", "ispaused", "notpaused", "notrunning"} {
			add(dying, v, result, dying)
		}
	}
	for _, v := range []string{"kill", "pause", "resume", "update", "exec"} {
		add(ended, v, "notrunning", ended)
	}
	// stop, rm, rm -f: it dies; its end is recorded, or it is gone. What has the name by
	// then is another one.
	for _, p := range []phase{running, paused, dying} {
		add(p, "stop"+begins, "", dying)
		add(p, "rm -f"+begins, "", dying)
	}
	add(dying, "rm"+begins, "", dying)
	for _, v := range []string{"stop", "rm -f", "rm"} {
		add(ended, v+begins, "", ended)
		for _, p := range []phase{absent, creating, running, paused} {
			add(p, v, "ok", p)
		}
	}
	add(ended, "stop", "ok", ended)
	add(ended, "rm", "ok", absent)
	add(ended, "rm -f", "ok", absent)
	// run fails when it was killed half way, see excused: nothing is left of it.
	for _, p := range []phase{absent, creating, doomed, running, paused, dying, ended} {
		add(p, "run", "failed", p)
	}
	return all
}()

// step is what the model makes of a verb's point with this result, if it can have it.
func (p phase) step(point, result string) (phase, bool) {
	for _, m := range moves {
		if m.from == p && m.point == point && m.what == result {
			return m.to, true
		}
	}
	return "", false
}

// linearizable says whether there is an order of the events, each somewhere between its
// begin and its end, that the model can go through. Some verbs are two points: they begin,
// and they are done.
func linearizable(history []event) bool {
	var all []event
	for _, e := range history {
		if !excused(e, history) {
			return false
		}
		if e.twoPoints() {
			all = append(all, event{Verb: e.Verb + begins, Begin: e.Begin, End: e.End})
		}
		all = append(all, e)
	}
	return search(all, make([]bool, len(all)), absent, map[string]bool{})
}

func (e event) twoPoints() bool {
	switch e.Verb {
	case "run":
		return e.Result != "exist"
	case "stop", "rm", "rm -f":
		return e.Result == "ok"
	}
	return false
}

// excused: a run that failed has somebody who killed it half way, and so at the same time.
func excused(e event, history []event) bool {
	return e.Verb != "run" || e.Result != "failed" || slices.ContainsFunc(history, func(k event) bool {
		kills := k.Verb == "stop" || k.Verb == "kill" || k.Verb == "rm -f"
		return kills && k.Result == "ok" && k.Player != e.Player && k.Begin < e.End && k.End > e.Begin
	})
}

// remains says whether the i-th, a run that failed, would leave what it made: one that is being created, or taken back, is
// somebody else's only where another run has begun.
func remains(all []event, done []bool, i int, p phase) bool {
	if e := all[i]; e.Verb != "run" || e.Result != "failed" || p != creating && p != doomed {
		return false
	}
	for j, e := range all {
		if j != i && e.Verb == "run" && e.twoPoints() && done[j-1] && !done[j] {
			return false
		}
	}
	return true
}

func search(all []event, done []bool, p phase, seen map[string]bool) bool {
	key := fmt.Sprint(done, p)
	if seen[key] {
		return false
	}
	seen[key] = true
	first := int64(1<<63 - 1) // whoever begins after this has somebody before him
	left := false
	for i, e := range all {
		if !done[i] {
			first, left = min(first, e.End), true
		}
	}
	if !left {
		return true
	}
	// It dies, and is taken back, when it likes.
	if p == dying && search(all, done, ended, seen) || p == doomed && search(all, done, absent, seen) {
		return true
	}
	for i, e := range all {
		if done[i] || e.Begin > first {
			continue
		}
		if e.twoPoints() && !done[i-1] {
			continue // it has not begun
		}
		if remains(all, done, i, p) {
			continue
		}
		next, ok := p.step(e.Verb, e.Result)
		if !ok {
			continue
		}
		done[i] = true
		if search(all, done, next, seen) {
			return true
		}
		done[i] = false
	}
	return false
}

func TestLinearizable(t *testing.T) {
	for name, tt := range map[string]struct {
		history []event
		want    bool
	}{
		"in turn":          {[]event{{0, "run", 0, 1, "ok", ""}, {0, "pause", 2, 3, "ok", ""}, {0, "rm -f", 4, 5, "ok", ""}}, true},
		"rm of none":       {[]event{{0, "rm", 0, 1, "none", ""}}, true},
		"two winners":      {[]event{{0, "run", 0, 9, "ok", ""}, {1, "run", 1, 8, "ok", ""}}, false},
		"winner and loser": {[]event{{0, "run", 0, 9, "ok", ""}, {1, "run", 1, 8, "exist", ""}}, true},
		"lost too early":   {[]event{{1, "run", 0, 1, "exist", ""}, {0, "run", 2, 9, "ok", ""}}, false},
		"stopped, and it runs": {[]event{{0, "run", 0, 9, "ok", ""}, {1, "stop", 1, 2, "ok", ""},
			{1, "inspect", 10, 11, "running", ""}}, false},
		"killed, dead later": {[]event{{0, "run", 0, 1, "ok", ""}, {0, "kill", 2, 3, "ok", ""}, {0, "inspect", 4, 5, "running", ""},
			{0, "inspect", 6, 7, "stopped", ""}}, true},
		"risen":              {[]event{{0, "run", 0, 1, "ok", ""}, {0, "stop", 2, 3, "ok", ""}, {0, "inspect", 4, 5, "running", ""}}, false},
		"killed half way":    {[]event{{0, "run", 0, 9, "failed", ""}, {1, "kill", 1, 2, "ok", ""}, {0, "inspect", 10, 11, "none", ""}}, true},
		"left over":          {[]event{{0, "run", 0, 9, "failed", ""}, {1, "kill", 1, 2, "ok", ""}, {0, "inspect", 10, 11, "stopped", ""}}, false},
		"left half made":     {[]event{{0, "run", 0, 9, "failed", ""}, {1, "kill", 10, 11, "ok", ""}, {2, "kill", 1, 2, "ok", ""}}, false},
		"failed for nothing": {[]event{{0, "run", 0, 9, "failed", ""}}, false},
		"failed after a kill": {[]event{{0, "run", 0, 1, "ok", ""}, {1, "kill", 2, 3, "ok", ""}, {0, "inspect", 4, 5, "stopped", ""},
			{0, "run", 6, 9, "failed", ""}}, false},
		"failed before a kill":            {[]event{{0, "run", 0, 1, "failed", ""}, {1, "kill", 2, 3, "none", ""}}, false},
		"failed beside a kill of nothing": {[]event{{0, "run", 0, 9, "failed", ""}, {1, "kill", 1, 2, "none", ""}}, false},
		"removed half way":                {[]event{{0, "run", 0, 9, "failed", ""}, {1, "rm -f", 1, 8, "ok", ""}}, true},
	} {
		if got := linearizable(tt.history); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
