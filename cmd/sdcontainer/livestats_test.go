// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// The table of stats is drawn anew over the last one until ^C, or the container's end; on a pipe as lines of JSON a
// reading each.
func TestLiveStats(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := arena(t)
	dir := run[:2]
	sd := func(args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "sdcontainer", slices.Concat(dir, args)...)
	}
	start := sd(append(slices.DeleteFunc(slices.Clone(run[2:]), func(s string) bool { return s == "--rm" }),
		"-d", "--name", "busy", "--", "sh", "-c", "while :; do :; done")...)
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() {
		if out, err := sd("rm", "-f", "busy").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}()

	s := newScreen(t)
	s.resize(t, 30, 100)
	cmd := s.start(t, append(slices.Clone(dir), "stats", "-i", "100ms", "busy")...)
	const again = "\x1b[H\x1b[J"
	for strings.Count(s.text(), again) < 4 && ctx.Err() == nil {
		select {
		case <-s.more:
		case <-ctx.Done():
		}
	}
	s.press(t, "\x03")
	if got := code(t, cmd); got != 0 {
		t.Errorf("exit status after ^C: %d", got)
	}
	screens := strings.Split(s.text(), again)
	last := screens[len(screens)-2] // the last may be cut off
	if !strings.Contains(last, "NAME") || strings.Count(last, "busy") != 1 || strings.Contains(last, " 0.0%") {
		t.Errorf("a screen without a busy container:\n%s", last)
	}

	lines := sd("stats", "--stream", "--format", "json", "-i", "100ms", "busy")
	out, err := lines.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lines.Start(); err != nil {
		t.Fatal(err)
	}
	readings := 0
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		var sample struct{ ID string }
		if err := json.Unmarshal(scanner.Bytes(), &sample); err != nil || sample.ID != "busy" {
			t.Errorf("%q: %v", scanner.Text(), err)
		}
		if readings++; readings == 2 {
			if out, err := sd("kill", "busy").CombinedOutput(); err != nil { // stats ends with it
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	if err := lines.Wait(); err != nil || readings < 2 {
		t.Errorf("stats of what ends, after %d readings: %v", readings, err)
	}
}
