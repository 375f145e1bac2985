// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// Started without some of stdin, stdout and stderr, the command opens nothing of its own there that a payload would
// inherit: it has /dev/null, and no other descriptor.
func TestA13ClosedDescriptors(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	out, file := t.TempDir(), filepath.Join(t.TempDir(), "closed.toml")
	text := fmt.Sprintf("version = 1\nprocess.args = ['true']\nuserns.mode = 'none'\nrootfs.path = %q\nmount = [{ source = %q, target = '/out' }]\n", flags[len(flags)-1], out)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("sdcontainer", append(flags[:4:4], "--name=open", "-d", file, "sleep", "1000")...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, b)
	}
	// A child looks: in the shell itself are the pipes and files of what it runs.
	const look = `d=/proc/$$/fd; sh -c "{ readlink $d/0; readlink $d/1; readlink $d/2; echo $d/*; } >/out/seen"; true`
	verbs := map[string][]string{"run": append(flags[:5:5], "-i", file, "sh", "-c", look), "exec": append(flags[:2:2], "exec", "-i", "open", "sh", "-c", look)}
	for name, args := range verbs {
		for closed := range 8 {
			var shut string
			for fd, text := range []string{" 0<&-", " 1>&-", " 2>&-"} {
				if closed&(1<<fd) != 0 {
					shut += text
				}
			}
			t.Run(name+shut, func(t *testing.T) { startedWith(t, args, shut, closed, filepath.Join(out, "seen")) })
		}
	}
	if b, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "-f", "open")...).CombinedOutput(); err != nil {
		t.Errorf("rm: %v: %s", err, b)
	}
}

func startedWith(t *testing.T, args []string, shut string, closed int, seen string) {
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `exec sdcontainer "$@"` + shut, "sh"}, args...)...)
	cmd.Stdin = bytes.NewReader(nil) // a pipe
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(seen); err != nil {
		t.Error(err)
	}
	f := strings.Fields(string(b))
	if len(f) != 6 {
		t.Fatalf("want three descriptors, as they are and by number: %s", b)
	}
	for fd := range 3 {
		if null := f[fd] == "/dev/null"; null != (closed&(1<<fd) != 0) || !strings.HasSuffix(f[3+fd], fmt.Sprint("/fd/", fd)) {
			t.Errorf("descriptor %d: %s", fd, b)
		}
	}
}

// Whatever ends the command, the terminal is in its mode again, but after SIGKILL; and nobody else is given it.
func TestC16TerminalWhenTheCommandIsKilled(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			s := newScreen(t)
			before := ownerOf(t, s)
			flags := arena(t)
			flags[4] = "--name=attached" // instead of --rm
			cmd := s.start(t, append(flags, "-t", "--", "sh", "-c", "trap 'exit 3' TERM INT HUP QUIT; echo ready; while :; do sleep 0.1; done")...)
			s.see(t, "ready")
			if now := ownerOf(t, s); now != before || s.local(t) {
				t.Errorf("attached: %s, before %s; in its ordinary mode %v", now, before, s.local(t))
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // any end will do
			if now := ownerOf(t, s); now != before || !s.local(t) && sig != unix.SIGKILL {
				t.Errorf("afterwards: %s, before %s; in its ordinary mode %v\n%s", now, before, s.local(t), s.text())
			}
			if b, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "-f", "attached")...).CombinedOutput(); err != nil {
				t.Errorf("rm: %v: %s", err, b)
			}
		})
	}
}

// ownerOf tells owner and mode of the caller's terminal.
func ownerOf(t *testing.T, s *screen) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(s.slave.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode)
}
