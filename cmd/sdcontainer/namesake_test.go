// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// While the last output of a container that has ended is written, another may have its name: a signal is not for that one.
func TestSignalsAreForwardedToNoNamesake(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	a.rt.Dir = flags[1]
	self, err := exec.LookPath("sdcontainer")
	if err != nil {
		t.Fatal(err)
	}
	start := func(script string) *sdcontainer.Container {
		t.Helper()
		spec, err := configs.FromRootfs("same", filepath.Clean(flags[len(flags)-1]), []string{"sh", "-c", script},
			configs.Setting{Flag: "--no-strict", Key: "systemd.strict", Value: false})
		if err != nil {
			t.Fatal(err)
		}
		r, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o := sdcontainer.CreateOptions{Remove: true, Stdout: out, Cleanup: []string{self, "cleanup", "--run-dir", a.rt.Dir}}
		c, err := a.rt.Create(t.Context(), "same", spec, o)
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err != nil { // it hears signals now
			t.Fatal(err)
		}
		return c
	}
	const script = `trap 'exit 7' USR1; trap 'exit 8' USR2; echo; while :; do sleep 0.1; done`
	ended := start("echo")
	if e, err := ended.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Fatalf("%v, %v", e, err)
	}
	forward := a.forward(t.Context(), ended, &streams{})
	for sig, want := range map[unix.Signal]int{unix.SIGUSR1: 8, unix.SIGUSR2: 7} {
		c := start(script)
		forward(sig)
		a.forward(t.Context(), c, &streams{})(map[int]unix.Signal{7: unix.SIGUSR1, 8: unix.SIGUSR2}[want])
		if e, err := c.Wait(t.Context()); err != nil || e.Code != want {
			t.Errorf("%v for the one that has ended, and its namesake ends with %v, %v; want code %d", sig, e, err, want)
		}
	}
}
