// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// The wait for the last output of a payload that has ended is bounded: a process it left behind may keep a pipe open for
// ever. A slow terminal that takes some in each drainTime has drainMost, unless a signal says that nobody wants the rest.
const (
	drainTime = 2 * time.Second
	drainMost = time.Minute
)

// streams connects a payload's standard streams with the caller's.
//
// Files and pipes are passed through as they are. A terminal of the caller is
// never handed to a payload, which could read from it, push input into it or change
// its settings: it gets a pipe, or with -t a terminal of its own, and we copy.
type streams struct {
	in, out, err *os.File // what the payload gets; nil is what the library does for nil
	theirs       []*os.File
	copies       []chan struct{}                    // closed when an output has been copied to its end
	copied       atomic.Int64                       // bytes so far
	enough       atomic.Pointer[context.CancelFunc] // ends that wait; nil while the payload runs
	tty          *os.File                           // the caller's terminal, in raw mode
	state        *term.State
	master       *os.File
}

// pipes sets up the streams of a payload without a terminal of its own.
func (a *app) pipes(interactive bool) (s *streams, err error) {
	s = &streams{}
	defer func() {
		if err != nil {
			s.started()
		}
	}()
	if interactive {
		if s.in, err = s.input(a.stdin); err != nil {
			return nil, err
		}
	}
	if s.out, err = s.output(a.stdout); err != nil {
		return nil, err
	}
	s.err, err = s.output(a.stderr)
	return s, err
}

func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

func (s *streams) input(f *os.File) (*os.File, error) {
	if !isTerminal(f) {
		return f, nil
	}
	r, w, err := pipe()
	if err != nil {
		return nil, err
	}
	s.theirs = append(s.theirs, r)
	go func() {
		_, _ = io.Copy(w, f) // either end being gone is the end of it
		_ = w.Close()
	}()
	return r, nil
}

func (s *streams) output(f *os.File) (*os.File, error) {
	if !isTerminal(f) {
		return f, nil
	}
	r, w, err := pipe()
	if err != nil {
		return nil, err
	}
	s.theirs = append(s.theirs, w)
	s.copy(f, r)
	return w, nil
}

func (s *streams) copy(to, from *os.File) {
	done := make(chan struct{})
	s.copies = append(s.copies, done)
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(to, counter{&s.copied}), from) // a pty ends with EIO
	}()
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// started closes our copies of the payload's ends, once it has its own: only
// then does a pipe end with the payload.
func (s *streams) started() {
	for _, f := range s.theirs {
		_ = f.Close()
	}
	s.theirs = nil
}

// attach connects the master of a payload's terminal with ours.
func (a *app) attach(s *streams, master *os.File) error {
	s.master = master
	for _, f := range []*os.File{a.stdin, a.stdout, a.stderr} {
		if isTerminal(f) {
			s.tty = f
			break
		}
	}
	s.resize()
	if isTerminal(a.stdin) {
		state, err := term.MakeRaw(int(a.stdin.Fd()))
		if err != nil {
			return err
		}
		s.state, s.tty = state, a.stdin
	} else if !isDevice(a.stdin) {
		a.warn("standard input is no terminal: its end is typed as ^D, which a program that reads keys may miss (leave out -t if none is needed)")
	}
	s.copy(a.stdout, master)
	go s.type_(a.stdin, master)
	return nil
}

// isDevice is true of /dev/null, which has nothing to type.
func isDevice(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// type_ copies the caller's input into a terminal. Where a file ends, the
// terminal is told so the way a person does it.
func (s *streams) type_(stdin, master *os.File) {
	defer s.restoreOnPanic()
	_, err := io.Copy(master, stdin)
	if err == nil && s.state == nil {
		const endOfTransmission = "\x04"
		_, _ = io.WriteString(master, endOfTransmission) // the payload may be gone
	}
}

// resize gives the payload's terminal the size of the caller's.
func (s *streams) resize() {
	if s.tty == nil || s.master == nil {
		return
	}
	size, err := unix.IoctlGetWinsize(int(s.tty.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	conn, err := s.master.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { // a terminal that is gone needs no size
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size)
	})
}

// rawAgain puts the caller's terminal back into raw mode after a stop, during
// which the shell had it.
func (s *streams) rawAgain() {
	if s.state != nil {
		_, _ = term.MakeRaw(int(s.tty.Fd())) // it worked before
	}
	if s.enough.Load() != nil {
		s.keysAreSignals()
	}
}

// keysAreSignals has the caller's terminal, raw as it is, make signals of ^C and ^\ again: there is no payload to type them to.
func (s *streams) keysAreSignals() {
	if s.state == nil {
		return
	}
	fd := int(s.tty.Fd())
	if mode, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil { // a terminal that is gone has no keys
		mode.Lflag |= unix.ISIG
		mode.Cc[unix.VSUSP] = 0 // ^Z would stop us with the terminal raw
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
}

// restore gives the caller's terminal its mode back. It may be called again.
func (s *streams) restore() {
	if s.state != nil {
		_ = term.Restore(int(s.tty.Fd()), s.state) // a terminal that is gone needs no mode
	}
}

func (s *streams) restoreOnPanic() {
	if p := recover(); p != nil {
		s.restore()
		panic(p)
	}
}

// handle does what a signal means for the streams and says whether that was all.
func (s *streams) handle(sig unix.Signal) bool {
	switch sig {
	case unix.SIGWINCH:
		s.resize()
		return true
	case unix.SIGCONT:
		s.rawAgain()
		s.resize()
		return true
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
		if enough := s.enough.Load(); enough != nil {
			(*enough)()
			return true
		}
	}
	return false
}

// finish waits until the output of a payload that has ended is written. What the payload left behind may write on and on:
// from here to the end, a signal that would end a program ends the wait, and so do the keys for it.
func (s *streams) finish() {
	ctx, enough := context.WithCancel(context.Background())
	defer enough()
	s.enough.Store(&enough)
	s.keysAreSignals()
	look := time.NewTicker(drainTime)
	defer look.Stop()
	end, before := time.Now().Add(drainMost), s.copied.Load()
	for _, done := range s.copies {
		for open := true; open; {
			select {
			case <-done:
				open = false
			case <-ctx.Done():
				return
			case now := <-look.C:
				n := s.copied.Load()
				if n == before || now.After(end) {
					return
				}
				before = n
			}
		}
	}
	if s.master != nil {
		_ = s.master.Close()
	}
}
