// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// -histories N has TestHistories play N times as many.
var rounds = flag.Int("histories", 1, "how many times to play random histories of verbs")

const (
	historyPlayers = 3
	historyLength  = 6 // verbs of each player
)

// An event is one verb of a history: when it began and ended, on one clock for
// all processes, and what came of it.
type event struct {
	Player     int
	Verb       string
	Begin, End int64
	Result     string // "ok", an inspected status, or the name of a sentinel
	Detail     string `json:",omitempty"`
}

func (e event) String() string {
	return fmt.Sprintf("%d: %9d to %9d us  %-7s %s %s", e.Player, e.Begin/1000, e.End/1000, e.Verb, e.Result, e.Detail)
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

var sentinels = map[string]error{
	"exist": ErrExist, "none": ErrNotExist, "isrunning": ErrRunning, "notrunning": ErrNotRunning, "ispaused": ErrPaused, "notpaused": ErrNotPaused,
}

func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	return "failed"
}

// playHistory plays random verbs on the container "h" and prints what came of them.
// Arguments: run directory, root, player, seed.
func playHistory(args []string) error {
	r := &Runtime{Dir: args[0]}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	player, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[3], 10, 64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	do := verbs(ctx, r, "h")
	do["rm -f"] = func() error { return r.Remove(ctx, "h", true) }
	do["run"] = func() error {
		spec, err := testSpec("h", args[1], []string{"/bin/sleep", "1000"})
		if err != nil {
			return err
		}
		c, err := r.Create(ctx, "h", spec, CreateOptions{Detach: true, Cleanup: []string{self, "cleanup", r.Dir}})
		if err != nil {
			return err
		}
		return c.Start(ctx)
	}
	do["exec"] = func() error {
		c, err := r.Load("h")
		if err != nil {
			return err
		}
		p, err := c.Exec(ctx, &specs.Process{Args: []string{"true"}}, ExecOptions{})
		if err == nil { // who does not reap it keeps the container's PID namespace from ending
			_ = p.Signal(unix.SIGKILL) // a pause that comes next could freeze it for good
			_, err = p.Wait(ctx)
		}
		return err
	}
	rng := rand.New(rand.NewPCG(seed, uint64(player)))
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // all at once
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for range historyLength {
		// A name more often is a verb that is played more often.
		names := []string{"run", "run", "run", "stop", "kill", "pause", "resume", "update", "exec", "rm", "rm -f", "inspect"}
		e := event{Player: player, Verb: names[rng.IntN(len(names))]}
		e.Begin = monotonic()
		var err error
		if e.Verb == "inspect" {
			var c *Container
			var s State
			if c, err = r.Load("h"); err == nil {
				s, err = c.State()
			}
			e.Result = resultOf(err)
			if err == nil {
				e.Result = string(s.Status)
			}
		} else {
			err = do[e.Verb]()
			e.Result = resultOf(err)
		}
		e.End = monotonic()
		if e.Result == "failed" {
			e.Detail = err.Error()
		}
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// R30: whatever several processes do to one name at the same time, each sees a container
// that goes through its states in one order.
func TestHistories(t *testing.T) {
	if !sdtest.Inside(t) {
		for range *rounds - 1 {
			sdtest.Inside(t)
		}
		return
	}
	w := newWorld(t)
	for n := range sdtest.Loops(t, 8, 300) {
		seed := rand.Uint64()
		if n == 0 && sdtest.Stride(2) == 1 { // a guest plays but one, at random
			seed = 1
		}
		history := w.play(seed)
		if !linearizable(history) {
			slices.SortFunc(history, func(a, b event) int { return int(a.Begin - b.Begin) })
			t.Errorf("seed %d: no order explains this:", seed)
			for _, e := range history {
				t.Log(e)
			}
		}
		if err := ignore(w.Remove(t.Context(), "h", true), ErrNotExist); err != nil {
			t.Fatal(err)
		}
		if left := w.names(t); len(left) > 0 {
			t.Fatalf("seed %d: left: %q", seed, left)
		}
		w.nothingLeft("h")
	}
}

func (w *world) play(seed uint64) (history []event) {
	w.t.Helper()
	var players []*other
	for i := range historyPlayers {
		players = append(players, startOther(w.t, "history", w.Dir, w.root, strconv.Itoa(i), strconv.FormatUint(seed, 10)))
	}
	for _, p := range players {
		if _, err := p.in.Write([]byte("go\n")); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, p := range players {
		for range historyLength {
			var e event
			if err := json.Unmarshal([]byte(p.line(w.t)), &e); err != nil {
				w.t.Fatal(err)
			}
			history = append(history, e)
		}
		if err := p.Wait(); err != nil {
			w.t.Fatal(err)
		}
	}
	return history
}
