// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// runForeground starts a container, as others[...] with directory, root and signal, and never ends.
func runForeground(args []string) error {
	r := &Runtime{Dir: args[0]}
	spec, err := testSpec("orphan", args[1], []string{"/bin/sh", "-c",
		"trap 'echo told; exit' USR1; echo up; while :; do sleep 0.1; done"})
	if err != nil {
		return err
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return err
	}
	s.ParentDeathSignal = args[2]
	s.Annotate(spec)
	c, err := r.Create(context.Background(), "orphan", spec, CreateOptions{Stdout: os.Stdout})
	if err != nil {
		return err
	}
	if err := c.Start(context.Background()); err != nil {
		return err
	}
	time.Sleep(time.Hour) // killed long before
	return nil
}

// When the command of a foreground run dies, so does the payload; or it gets the signal it asked for.
func TestParentDeath(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for signal, want := range map[string]string{"": "", "SIGUSR1": "told"} {
		w := newWorld(t)
		o := startOther(t, "foreground", w.Dir, w.root, signal)
		if up := o.line(t); up != "up" {
			t.Fatalf("the payload says %q", up)
		}
		if err := o.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// Its output ends when the payload has: nobody else has it.
		said, end := make(chan string, 1), soon(t)
		go func() {
			line, _ := o.out.ReadString('\n') // the end is an answer, too
			said <- line
		}()
		select {
		case line := <-said:
			if line != want+map[bool]string{true: "\n"}[want != ""] {
				t.Errorf("%q: the payload says %q, want %q", signal, line, want)
			}
		case <-end.Done():
			t.Errorf("%q: the payload outlives its parent", signal)
		}
		c, err := w.Load("orphan")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Destroy(t.Context(), true); err != nil {
			t.Error(err)
		}
		w.nothingLeft("orphan")
	}
}
