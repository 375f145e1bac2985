// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A payload whose first thread has ended alone, as by pthread_exit in main, looks like a zombie, and runs: every verb works
// on it but exec, which has no namespaces to enter any more.
func TestFirstThreadEnded(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for name, end := range map[string]func(*Container) error{
		"stop": func(c *Container) error { return c.Stop(soon(t), time.Second) },
		"kill": func(c *Container) error { return c.Signal(soon(t), unix.SIGKILL, false) },
		"all":  func(c *Container) error { return c.Signal(soon(t), unix.SIGKILL, true) },
		"rm":   func(c *Container) error { return c.Destroy(soon(t), true) },
	} {
		c, _ := w.startHostile(name, w.hostile(name, "headless"))
		if s, err := c.State(); err != nil || s.Status != Running || s.Pid == 0 {
			t.Errorf("%s: %+v, %v; want running", name, s, err)
		}
		if procs, err := c.Top(); err != nil || len(procs) != 1 {
			t.Errorf("%s: top: %v, %v; want its process", name, procs, err)
		}
		if _, err := c.Stats(); err != nil {
			t.Errorf("%s: stats: %v", name, err)
		}
		if err := errors.Join(c.Pause(soon(t)), c.Resume(soon(t)), c.Update(soon(t), nil, map[string]string{"TasksMax": "uint64 77"})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Exec(soon(t), &specs.Process{Args: []string{"/bin/true"}}, ExecOptions{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: exec: %v, want ErrUnsupported", name, err)
		}
		if err := c.Destroy(soon(t), false); !errors.Is(err, ErrRunning) {
			t.Errorf("%s: rm: %v, want ErrRunning", name, err)
		}
		ended, err := c.st.Init.open()
		if err != nil {
			t.Fatal(err)
		}
		defer ended.Close()
		if err := end(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := kernel.WaitReadable(soon(t), ended); err != nil {
			t.Errorf("%s: it runs on: %v", name, err)
		}
		if e, err := c.Wait(soon(t)); name != "rm" && (err != nil || e.Signal == 0 && e.Code == 0) { // Go's runtime hears SIGTERM
			t.Errorf("%s: %+v, %v; want a violent end", name, e, err)
		}
		if err := w.Remove(soon(t), name, false); err != nil && name != "rm" {
			t.Errorf("%s: rm: %v", name, err)
		}
		w.nothingLeft(name)
	}
}
