// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// others are what this test binary does as another process: its name and arguments
// follow the word "other".
var others = map[string]func(args []string) error{
	"hold":       holdLock,
	"records":    makeRecords,
	"history":    playHistory,
	"foreground": runForeground,
	"ping":       ping,
	"notifier":   runNotifier,
	"pinned":     runPinned,
	"leaver":     runLeaver,
	"user":       intrude,
}

// serve makes a container of the service that this process is the main one of, and starts it.
func serve(r *Runtime, name string, spec *specs.Spec) error {
	c, err := r.Create(context.Background(), name, spec, CreateOptions{Service: true, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	return c.Start(context.Background())
}

// A other is another process of ours. It is killed with the test at the latest.
type other struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startOther(t *testing.T, args ...string) *other {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{"other"}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &other{cmd, in, bufio.NewReader(out)}
	t.Cleanup(o.kill)
	return o
}

func (o *other) kill() {
	_ = o.Process.Kill() // it may have ended
	_ = o.Wait()         // killed
}

// line waits for what it has to say.
func (o *other) line(t *testing.T) string {
	t.Helper()
	s, err := o.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the other process: %q, %v", s, err)
	}
	return s[:len(s)-1]
}

// holdLock takes the lock, says so, and keeps it until its input ends.
func holdLock(args []string) error {
	f, err := waitLock(context.Background(), args[0], exclusive)
	if err != nil {
		return err
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	f.Close()
	return err
}

// makeRecords makes and removes records until it is killed.
func makeRecords(args []string) error {
	r := &Runtime{Dir: args[0]}
	ctx := context.Background()
	fmt.Println("begun")
	for {
		l := reservation(r, "x")
		if err := l.reserve(ctx); err != nil {
			return err
		}
		first, err := r.claimUserns(ctx, "x", 3*usernsBlock)
		if err != nil {
			return err
		}
		l.c.st.Userns, l.c.st.Phase = [2]uint32{first, 3 * usernsBlock}, Created
		if err := l.c.write(); err != nil {
			return err
		}
		if err := l.takeBack(ctx); err != nil {
			return err
		}
	}
}
