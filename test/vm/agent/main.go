// SPDX-License-Identifier: Apache-2.0

// Command agent runs inside a test guest and executes what the harness sends
// over the virtio-serial port "sdvm": one command at a time, with its standard
// streams, on a pseudo-terminal if asked. The harness puts it into the guest's
// initramfs; systemd starts it there. internal/sdtest is its only caller.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// drain is how long output is awaited after the command itself has ended:
// what it left in the background may hold its streams for ever.
const drain = time.Second

func main() {
	log.SetFlags(0)
	port, err := openPort("sdvm")
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(port); err != nil {
		log.Fatal(err)
	}
}

// openPort opens the virtio-serial port of that name without help from udev.
func openPort(name string) (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		text, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(text)) == name {
			return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(file)), os.O_RDWR, 0)
		}
	}
	return nil, fmt.Errorf("no virtio-serial port named %s among %v", name, names)
}

// serve greets the host and runs its requests until the port is closed.
func serve(port io.ReadWriter) error {
	out := wire.NewWriter(port)
	if err := out.Send(wire.Hello, nil); err != nil {
		return err
	}
	frames := make(chan wire.Frame)
	lost := make(chan error, 1)
	go func() {
		in := bufio.NewReaderSize(port, wire.MaxPayload)
		for {
			f, err := wire.Read(in)
			if err != nil {
				lost <- err
				return
			}
			frames <- f
		}
	}()
	for {
		select {
		case err := <-lost:
			return err
		case f := <-frames:
			if f.Kind != wire.Exec {
				continue // input that crossed the exit of its command
			}
			res := run(f, out, frames)
			if err := out.SendJSON(wire.Exit, res); err != nil {
				return err
			}
		}
	}
}

// run executes one request and returns when it has ended.
func run(f wire.Frame, out *wire.Writer, frames <-chan wire.Frame) wire.Result {
	var req wire.Request
	if err := f.Decode(&req); err != nil {
		return wire.Result{Code: 125, Error: err.Error()}
	}
	if len(req.Args) == 0 {
		return wire.Result{Code: 125, Error: "a request without arguments"}
	}
	cmd := exec.Command(req.Args[0], req.Args[1:]...)
	cmd.Env = append(os.Environ(), req.Env...)
	cmd.Dir = "/"
	if req.Dir != "" {
		cmd.Dir = req.Dir
	}
	cmd.WaitDelay = drain
	s := session{cmd: cmd, out: out}
	start := s.pipes
	if req.TTY {
		start = func() error { return s.terminal(req.Rows, req.Cols) }
	}
	if err := start(); err != nil {
		code := 127
		if errors.Is(err, os.ErrPermission) {
			code = 126
		}
		return wire.Result{Code: code, Error: err.Error()}
	}
	return s.wait(frames)
}

// session is one running command.
type session struct {
	cmd  *exec.Cmd
	out  *wire.Writer
	in   io.WriteCloser
	pty  *os.File      // the terminal's other end, or nil
	done chan struct{} // closed when the terminal's output has ended
}

func (s *session) pipes() error {
	s.cmd.Stdout = s.out.Stream(wire.Stdout)
	s.cmd.Stderr = s.out.Stream(wire.Stderr)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.in = in
	return s.cmd.Start()
}

func (s *session) terminal(rows, cols uint16) error {
	pty, tty, err := openTerminal()
	if err != nil {
		return err
	}
	defer tty.Close()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.pty, s.in, s.done = pty, pty, make(chan struct{})
	s.resize(wire.Size{Rows: rows, Cols: cols})
	if err := s.cmd.Start(); err != nil {
		pty.Close()
		return err
	}
	go func() {
		defer close(s.done)
		_, _ = io.Copy(s.out.Stream(wire.Stdout), pty) // ends with EIO when the last one closes the terminal
	}()
	return nil
}

func openTerminal() (pty, tty *os.File, err error) {
	pty, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err == nil {
		var n int
		if n, err = unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN); err == nil {
			tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		}
	}
	if err != nil {
		pty.Close()
		return nil, nil, err
	}
	return pty, tty, nil
}

func (s *session) resize(size wire.Size) {
	if s.pty != nil && size.Rows > 0 {
		_ = unix.IoctlSetWinsize(int(s.pty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols}) // cosmetic
	}
}

// wait feeds the command until it has ended.
func (s *session) wait(frames <-chan wire.Frame) wire.Result {
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	for {
		select {
		case f := <-frames:
			s.feed(f)
		case err := <-ended:
			if s.pty != nil {
				select {
				case <-s.done:
				case <-time.After(drain):
				}
				s.pty.Close()
			}
			return result(s.cmd.ProcessState, err)
		}
	}
}

func (s *session) feed(f wire.Frame) {
	switch f.Kind {
	case wire.Stdin:
		_, _ = s.in.Write(f.Payload) // a command may end without reading its input
	case wire.StdinEOF:
		if s.pty == nil {
			_ = s.in.Close()
		}
	case wire.Resize:
		var size wire.Size
		if f.Decode(&size) == nil {
			s.resize(size)
		}
	case wire.Signal:
		var sig int
		if f.Decode(&sig) == nil {
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.Signal(sig)) // the group may be gone already
		}
	}
}

func result(state *os.ProcessState, err error) wire.Result {
	if state == nil {
		return wire.Result{Code: 125, Error: err.Error()}
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return wire.Result{Code: 128 + int(ws.Signal())}
	}
	return wire.Result{Code: state.ExitCode()}
}
