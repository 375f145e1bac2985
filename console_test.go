// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"errors"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A terminal has the size that the Spec says, from the first on; that of an exec has its own.
func TestConsoleSize(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("sized", "/bin/sh", "-c", "stty size; exec sleep 60")
	spec.Process.Terminal, spec.Process.ConsoleSize = true, &specs.Box{Height: 33, Width: 99}
	c, err := w.startSpec("sized", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	terminal := c.Terminal()
	defer terminal.Close()
	if line, err := bufio.NewReader(terminal).ReadString('\n'); err != nil || line != "33 99\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"stty", "size"}, ConsoleSize: &specs.Box{Height: 44, Width: 88}}, ExecOptions{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Terminal.Close()
	if line, err := bufio.NewReader(p.Terminal).ReadString('\n'); err != nil || line != "44 88\r\n" {
		t.Errorf("exec: %q, %v", line, err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := p.Signal(unix.SIGTERM); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal after its end: %v, want ESRCH", err)
	}
	// Who closes a terminal ends its reads.
	read := make(chan error, 1)
	go func() {
		_, err := terminal.Read(make([]byte, 1))
		read <- err
	}()
	if err := terminal.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Errorf("deadline: %v", err)
	}
	terminal.Close()
	select {
	case err := <-read:
		if err == nil {
			t.Error("read something")
		}
	case <-soon(t).Done():
		t.Error("a read goes on after Close")
	}
}
