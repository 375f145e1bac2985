// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A screen is a pseudo terminal with somebody who reads everything on it.
type screen struct {
	master, slave *os.File
	mode          unix.Termios // before anybody has it: what stty -g prints

	mu    sync.Mutex
	shown bytes.Buffer
	more  chan struct{}
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	s := newStillScreen(t)
	go s.read()
	return s
}

// newStillScreen is one that nobody reads yet.
func newStillScreen(t *testing.T) *screen {
	t.Helper()
	master, slave := sdtest.OpenTerminal(t)
	s := &screen{master: master, slave: slave, more: make(chan struct{}, 1)}
	s.mode = s.termios(t)
	// Settings of somebody's own, that no terminal has to begin with.
	s.mode.Iflag |= unix.IUTF8
	s.mode.Lflag &^= unix.ECHOK
	s.mode.Cflag = s.mode.Cflag&^unix.CBAUD | unix.B9600
	s.mode.Cc[unix.VERASE], s.mode.Cc[unix.VMIN], s.mode.Cc[unix.VTIME] = '\b', 3, 2
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &s.mode); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *screen) termios(t *testing.T) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

func (s *screen) read() {
	b := make([]byte, 4096)
	for {
		n, err := s.master.Read(b)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.shown.Write(b[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.shown.String(), "\r", "")
}

// see waits until text is on the screen.
func (s *screen) see(t *testing.T, text string) {
	t.Helper()
	if !s.sees(text, 20*time.Second) {
		t.Fatalf("never saw %q, but:\n%s", text, s.text())
	}
}

func (s *screen) sees(text string, limit time.Duration) bool {
	deadline := time.After(limit)
	for !strings.Contains(s.text(), text) {
		select {
		case <-s.more:
		case <-deadline:
			return false
		}
	}
	return true
}

func (s *screen) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (s *screen) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// local tells whether the terminal is as it was, to the last setting.
func (s *screen) local(t *testing.T) bool {
	t.Helper()
	m := s.termios(t)
	if m.Lflag&unix.ICANON != 0 && m != s.mode {
		t.Errorf("the terminal is neither raw nor as it was: %+v, was %+v", m, s.mode)
	}
	return m == s.mode
}

// start runs the command with the screen as its controlling terminal.
func (s *screen) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, "sdcontainer", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.slave, s.slave, s.slave
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return cmd
}

func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	_ = cmd.Wait() // the code says it
	return cmd.ProcessState.ExitCode()
}

// arena is a rootfs and the flags to run commands in it.
func arena(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if err := sdtest.BusyboxRoot(filepath.Join(dir, "rootfs"), applets...); err != nil {
		t.Fatal(err)
	}
	return []string{"--run-dir", filepath.Join(dir, "run"), "run", "--no-strict", "--rm", "--rootfs", filepath.Join(dir, "rootfs")}
}

// R42: the payload's terminal is the caller's for as long as it runs, with its size.
func TestRunWithTerminal(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newScreen(t)
	s.resize(t, 30, 100)
	cmd := s.start(t, append(arena(t), "-t", "--", "sh", "-c", "stty size; tty; exec sh")...)
	s.see(t, "30 100")
	s.see(t, "/dev/pts/0")
	s.see(t, "#")
	if s.local(t) {
		t.Error("the terminal is not raw while the payload has it")
	}
	s.resizeAndInterrupt(t)
	s.press(t, "echo al''ive; exit 9\n")
	s.see(t, "alive")
	if got := code(t, cmd); got != 9 {
		t.Errorf("exit status %d:\n%s", got, s.text())
	}
	if !s.local(t) {
		t.Error("the terminal is still raw")
	}
}

// resizeAndInterrupt has a shell see another size, and ^C end what it runs.
func (s *screen) resizeAndInterrupt(t *testing.T) {
	t.Helper()
	s.resize(t, 11, 22)
	s.press(t, "until [ \"$(stty size)\" = '11 22' ]; do :; done; echo re''sized\n")
	s.see(t, "resized")
	s.press(t, "sh -c \"echo sle''eping; exec sleep 1000\"\n")
	s.see(t, "sleeping")
	s.press(t, "\x03")
	s.see(t, "^C")
}

// A shell in a running container, as a person uses one: what is typed is seen once, ^C ends what the
// shell runs and not the shell, ^D the shell, and the terminal is as before.
func TestExecWithTerminal(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=shell" // instead of --rm
	if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sleep", "1000")...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, out)
	}
	s := newScreen(t)
	s.resize(t, 30, 100)
	cmd := s.start(t, append(flags[:2:2], "exec", "-it", "shell", "sh")...)
	s.see(t, "#")
	if s.local(t) {
		t.Error("the terminal is not raw while the command has it")
	}
	s.press(t, "stty size; tty; echo on''ce\n")
	s.see(t, "30 100\n/dev/pts/0\nonce\n")
	if n := strings.Count(s.text(), "echo on''ce"); n != 1 {
		t.Errorf("what is typed is seen %d times:\n%s", n, s.text())
	}
	s.resizeAndInterrupt(t)
	s.press(t, "echo al''ive; PS1='status $? '\n")
	s.see(t, "alive")
	s.press(t, "(exit 7)\n")
	s.see(t, "status 7 ") // only now does the shell read keys: before, ^D would be a line's
	s.press(t, "\x04")
	if got := code(t, cmd); got != 7 {
		t.Errorf("exit status %d:\n%s", got, s.text())
	}
	if !s.local(t) {
		t.Error("the terminal is still raw")
	}
	if out, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "-f", "shell")...).CombinedOutput(); err != nil {
		t.Errorf("rm: %v: %s", err, out)
	}
}

func TestC16TerminalIsRestoredWhenThePayloadIsKilled(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newScreen(t)
	flags := arena(t)
	cmd := s.start(t, append(flags, "--name", "killed", "-t", "--", "sh", "-c", "echo ready; exec sleep 1000")...)
	s.see(t, "ready")
	if out, err := exec.Command("sdcontainer", flags[0], flags[1], "kill", "killed").CombinedOutput(); err != nil {
		t.Fatalf("kill: %v: %s", err, out)
	}
	if got := code(t, cmd); got != 137 {
		t.Errorf("exit status %d:\n%s", got, s.text())
	}
	if !s.local(t) {
		t.Error("the terminal is still raw")
	}
}

// C15: a payload without a terminal gets none of the caller's.
func TestRunAtATerminalWithout(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newScreen(t)
	script := `for fd in 0 1 2; do if [ -t $fd ]; then echo terminal $fd; fi; done; trap 'echo heard; exit 4' INT; echo ready; while :; do sleep 0.1; done`
	cmd := s.start(t, append(arena(t), "-i", "--", "sh", "-c", script)...)
	s.see(t, "ready")
	if strings.Contains(s.text(), "terminal") {
		t.Errorf("the payload has the caller's terminal:\n%s", s.text())
	}
	s.press(t, "\x03")
	if got := code(t, cmd); got != 4 {
		t.Errorf("exit status %d:\n%s", got, s.text())
	}
	s.see(t, "heard")
}

// C15: nor gets one whose output passes through a terminal: it could read there what is typed to others.
func TestPassthroughOfATerminal(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newScreen(t)
	flags := arena(t)
	file := filepath.Join(t.TempDir(), "passing.toml")
	text := fmt.Sprintf("version = 1\n[process]\nargs = ['/bin/sh', '-c', 'echo passed']\n[rootfs]\npath = %q\n[log]\ndriver = 'passthrough'\n", flags[len(flags)-1])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(flags[:3:3], "--no-strict", "-d", file)
	if got := code(t, s.start(t, args...)); got != 125 {
		t.Errorf("exit status %d", got)
	}
	s.see(t, `"passthrough" would give the payload the terminal that is our /dev/stdout: redirect it`)
	run := func(stdout *os.File) (string, error) {
		cmd := exec.Command("sdcontainer", args...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = stdout, &said
		err := cmd.Run()
		return said.String(), err
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if said, err := run(dir); err == nil || !strings.Contains(said, "is the directory") {
		t.Errorf("a directory: %v, %s", err, said)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	said, err := run(w)
	w.Close()
	if out, _ := io.ReadAll(r); err != nil || !strings.Contains(string(out), "passed\n") {
		t.Errorf("a pipe: %v, %s: %q", err, said, out)
	}
}

func TestThirdInterruptKills(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newScreen(t)
	cmd := s.start(t, append(arena(t), "--", "sh", "-c", "trap '' INT; echo ready; exec sleep 1000")...)
	s.see(t, "ready")
	// Signals that come while one is pending are one signal.
	for range 100 {
		s.press(t, "\x03")
		if s.sees("once more kills it", 100*time.Millisecond) {
			break
		}
	}
	s.see(t, "once more kills it")
	s.press(t, "\x03")
	if got := code(t, cmd); got != 137 {
		t.Errorf("exit status %d:\n%s", got, s.text())
	}
}

func TestIsTerminal(t *testing.T) {
	s := newScreen(t)
	if !isTerminal(s.slave) || !term.IsTerminal(int(s.master.Fd())) {
		t.Error("a pseudo terminal is none")
	}
	if got := escapeFor(s.slave, "\x1b[2J"); got != `\x1b[2J` {
		t.Errorf("a terminal gets %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := paint(s.slave, red, "x"); got != "x" {
		t.Errorf("NO_COLOR gets %q", got)
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	if got := paint(s.slave, red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("a terminal gets %q", got)
	}
}
