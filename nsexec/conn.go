// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// EventKind says what an [Event] reports.
type EventKind uint32

// The kinds of event. The numbers up to Keeping are those of the wire.
const (
	Forked   EventKind = 1 // Pid and File (its pidfd) are the new process
	Synced   EventKind = 2 // a Sync step waits for the answer to ID
	Done     EventKind = 3 // the program came to its End; the next one is awaited
	failed   EventKind = 4 // becomes a *StepError
	Keeping  EventKind = 5 // a Keep step waits to be told to stay
	Executed EventKind = 6 // the program ended in Exec and its socket is closed
)

func (k EventKind) String() string {
	names := [...]string{Forked: "forked", Synced: "synced", Done: "done", failed: "failed", Keeping: "keeping", Executed: "executed"}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("event %d", uint32(k))
}

// An Event is what a process running a program tells its parent.
type Event struct {
	Kind EventKind
	ID   uint32 // of a Sync
	Pid  int    // of Forked, as K sees it
	// File is what came along: the pidfd of Forked, the descriptor of a Sync.
	// The receiver closes it.
	File    *os.File
	program uint32
}

// sentPrograms numbers the programs sent over the sockets of one Helper.
type sentPrograms struct {
	mu   sync.Mutex
	list []*Program
}

func (s *sentPrograms) add(p *Program) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, p)
	return uint32(len(s.list))
}

func (s *sentPrograms) get(n uint32) *Program {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 1 || int(n) > len(s.list) {
		return nil
	}
	return s.list[n-1]
}

// A Conn is the conversation with one process that runs programs.
type Conn struct {
	f    *os.File
	sent *sentPrograms
	h    *Helper
	who  string // for messages
	pid  int    // who is at the other end; 0 if not known

	running *Program
}

// Close closes the parent's end. A process that waits for an order ends.
func (c *Conn) Close() error {
	err := c.f.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// Send sends a program and the descriptors it receives, in its order. It does not
// wait: events tell what became of it.
func (c *Conn) Send(p *Program, files ...*os.File) error {
	if len(files) != len(p.received) {
		return fmt.Errorf("program %s: %d descriptors, it receives %d: %q", p.name, len(files), len(p.received), p.received)
	}
	b, err := p.Encode()
	if err != nil {
		return err
	}
	memfd, err := sealData("program", b)
	if err != nil {
		return fmt.Errorf("program %s: %w", p.name, err)
	}
	defer unix.Close(memfd)
	fds := make([]int, 0, len(files)+1)
	fds = append(fds, memfd)
	for i, f := range files {
		if f == nil {
			return fmt.Errorf("program %s: no descriptor for %q", p.name, p.received[i])
		}
		fds = append(fds, int(f.Fd()))
	}
	c.running = p
	o := order{Kind: orderProgram, Program: c.sent.add(p), Value: uint32(os.Getpid()), Count: uint32(len(fds))}
	if err := c.write(o, fds); err != nil {
		return c.Died(fmt.Errorf("send program %s: %w", p.name, err))
	}
	return nil
}

// Answer lets the process go on after a [Synced] or [Keeping] event. file goes to a
// SyncReceive; else it is nil.
func (c *Conn) Answer(e Event, file *os.File) error {
	o := order{Kind: orderAnswer, Program: e.program, Value: e.ID}
	var fds []int
	if file != nil {
		fds, o.Count = []int{int(file.Fd())}, 1
	}
	if err := c.write(o, fds); err != nil {
		return c.Died(fmt.Errorf("answer %s: %w", e.Kind, err))
	}
	if e.Kind == Keeping && c.h != nil {
		c.h.kept = true
	}
	return nil
}

func (c *Conn) write(o order, fds []int) error {
	rc, err := c.f.SyscallConn()
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	b := put(nil, o)
	var sendErr error
	err = rc.Write(func(fd uintptr) bool {
		sendErr = kernel.Retry(func() error { return unix.Sendmsg(int(fd), b, oob, nil, unix.MSG_NOSIGNAL) })
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sendErr)
}

// Next waits for the next event. A step that failed is a [*StepError]; a process
// that died, or a context that ended, is another error.
func (c *Conn) Next(ctx context.Context) (Event, error) {
	r, file, err := c.hear(ctx)
	if err != nil {
		return Event{}, err
	}
	if r == nil {
		if c.running != nil && execs(c.running.steps[len(c.running.steps)-1]) && !c.diedBeforeExec() {
			return Event{Kind: Executed}, nil
		}
		return Event{}, c.explainEOF(errors.New("connection closed"))
	}
	e := Event{Kind: r.Kind, File: file, program: r.Program}
	switch {
	case r.Kind == Forked && file != nil && r.Value > 0 && r.Value < 1<<31:
		e.Pid = int(r.Value)
		if c.h != nil && c == c.h.Conn {
			c.pid, c.who = e.Pid, "init"
		}
		return e, nil
	case r.Kind == Synced && r.Value <= 0xffffffff:
		e.ID = uint32(r.Value)
		return e, nil
	case (r.Kind == Done || r.Kind == Keeping) && file == nil:
		return e, nil
	case r.Kind == failed && file == nil:
		return Event{}, c.stepError(r)
	}
	if file != nil {
		_ = file.Close() // of a message nobody can use
	}
	return Event{}, fmt.Errorf("%s: unexpected report %+v", c.who, *r)
}

// diedBeforeExec tells a process that was killed on its way to execve (by its own
// seccomp filter, say) from one whose socket execve closed. As long as nobody has
// reaped it, the kernel knows. With a reaper, the process we know never executes anything.
func (c *Conn) diedBeforeExec() bool {
	reaps := func(s Step) bool { return s.Op == OpReap }
	if c.pid <= 0 || slices.ContainsFunc(c.running.steps, reaps) {
		return false
	}
	f, err := kernel.StatFields(c.pid)
	const flagsField, forkNoExec = 6, 0x40 // PF_FORKNOEXEC
	if err != nil || len(f) <= flagsField {
		return false
	}
	flags, err := strconv.ParseUint(f[flagsField], 10, 64)
	return err == nil && flags&forkNoExec != 0
}

// read takes one report; nil is the end of the connection.
func (c *Conn) read(ctx context.Context) (*report, *os.File, error) {
	rc, err := c.f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	defer kernel.Interrupt(ctx, c.f)()
	var b [reportSize + 1]byte
	oob := make([]byte, unix.CmsgSpace(4*2))
	var n, oobn, flags int
	var recvErr error
	err = rc.Read(func(fd uintptr) bool {
		for range 2 {
			recvErr = kernel.Retry(func() (err error) {
				n, oobn, flags, _, err = unix.Recvmsg(int(fd), b[:], oob, unix.MSG_CMSG_CLOEXEC)
				return err
			})
			if recvErr != unix.ECONNRESET {
				break
			}
			// It ended without reading all that we sent. What it said before comes now.
		}
		return recvErr != unix.EAGAIN
	})
	if ctx.Err() != nil && err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.waiting(), ctx.Err())
	}
	if err = errors.Join(err, recvErr); err != nil && !errors.Is(err, unix.ECONNRESET) {
		return nil, nil, fmt.Errorf("%s: %w", c.waiting(), err)
	}
	if err != nil || n == 0 {
		return nil, nil, nil
	}
	fd, err := oneFD(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	var r report
	if _, e := binary.Decode(b[:n], le, &r); e != nil || n != reportSize || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		if fd >= 0 {
			_ = unix.Close(fd) // of a message nobody can use
		}
		return nil, nil, fmt.Errorf("%s: report of %d bytes, flags %#x", c.who, n, flags)
	}
	switch {
	case fd < 0:
		return &r, nil, nil
	case r.Kind == Forked:
		f, err := pollable(fd, "pidfd")
		return &r, f, err
	}
	_ = unix.SetNonblock(fd, true) // of a terminal: who closes it ends a read, and reads have deadlines; what is O_PATH has none
	return &r, os.NewFile(uintptr(fd), "received"), nil
}

func (c *Conn) waiting() string {
	if c.running == nil {
		return "wait for " + c.who
	}
	return "wait for " + c.who + " in program " + c.running.name
}

// oneFD takes the descriptor out of a control message, -1 if there is none.
func oneFD(oob []byte) (int, error) {
	if len(oob) == 0 {
		return -1, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	var fds []int
	for i := range messages {
		f, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return -1, err
		}
		fds = append(fds, f...)
	}
	if len(fds) != 1 {
		for _, fd := range fds {
			_ = unix.Close(fd) // of a message nobody can use
		}
		return -1, fmt.Errorf("report with %d descriptors", len(fds))
	}
	return fds[0], nil
}
