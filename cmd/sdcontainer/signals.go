// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// notForwarded says whether a signal is about this process, not about the
// payload: its children, its pipes, its terminal, its job control, its own
// mistakes, what cannot be caught and what the Go runtime uses.
func notForwarded(sig unix.Signal) bool {
	switch sig {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGPROF, unix.SIGVTALRM,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT, unix.SIGWINCH,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGSYS, unix.SIGSTKFLT,
		unix.SIGKILL, unix.SIGSTOP:
		return true
	}
	return sig >= firstReserved && sig <= lastReserved
}

const (
	lastSignal    = 64
	firstReserved = 32 // 32 and 33 belong to the C library
	lastReserved  = 33
)

func forwarded() []os.Signal {
	var all []os.Signal
	for n := unix.Signal(1); n <= lastSignal; n++ {
		if !notForwarded(n) {
			all = append(all, n)
		}
	}
	return all
}

// signals catches what is sent to this process and gives it to whoever is in
// charge at the moment; while nobody is, it is held for the next.
type signals struct {
	ch   chan os.Signal
	mu   sync.Mutex
	to   func(unix.Signal) // nil: nobody
	held []unix.Signal
}

// early are the signals that people and managers send to what has only just started.
var early = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2}

// catch catches the early signals, and with a terminal those that are about it. To catch one takes Go's runtime four
// changes of thread, 20 µs and more: all of them would be a tenth of a start.
func catch(terminal bool) *signals {
	s := &signals{ch: make(chan os.Signal, lastSignal)}
	signal.Notify(s.ch, early...)
	if terminal {
		signal.Notify(s.ch, unix.SIGWINCH, unix.SIGCONT)
	}
	go func() {
		for sig := range s.ch {
			s.mu.Lock()
			if s.to != nil {
				s.to(sig.(unix.Signal))
			} else {
				s.held = append(s.held, sig.(unix.Signal))
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// soon is how long a payload runs before the signals are caught that nobody sends to what has just begun. One that
// has ended by then is spared what that costs.
const soon = 20 * time.Millisecond

// catchRest catches the others, too, now that there is a payload to forward them to. They stay caught: the
// process ends when the payload has.
func (s *signals) catchRest() { time.AfterFunc(soon, s.rest) }

func (s *signals) rest() { signal.Notify(s.ch, append(forwarded(), unix.SIGWINCH, unix.SIGCONT)...) }

// hold keeps all further signals.
func (s *signals) hold() { s.hand(nil) }

// hand gives the signals that were held, and all further ones, to somebody else,
// one at a time.
func (s *signals) hand(to func(unix.Signal)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
	if to == nil {
		return
	}
	for _, sig := range s.held {
		to(sig)
	}
	s.held = nil
}

// callable runs f, which signals call off; those that come after are held. It says by which it was.
func (s *signals) callable(ctx context.Context, f func(context.Context)) (sig interrupted, called bool) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.hand(callOff(cancel))
	f(running)
	s.hold()
	called = errors.As(context.Cause(running), &sig)
	return sig, called
}

// callOff cancels a start on the signals that mean it is not wanted any more.
func callOff(cancel context.CancelCauseFunc) func(unix.Signal) {
	return func(sig unix.Signal) {
		switch sig {
		case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
			cancel(interrupted{sig})
		}
	}
}

// patience is a person's, at a terminal, with a payload that does not hear ^C: the
// first process of a PID namespace ignores signals it has no handler for.
type patience struct {
	presses int
	first   time.Time
}

const (
	enough     = 3
	patienceOf = 5 * time.Second
)

// over counts one more ^C and says whether to kill now.
func (p *patience) over(a *app, name string) bool {
	if !isTerminal(a.stdin) || !isTerminal(a.stderr) {
		return false
	}
	if now := time.Now(); p.presses == 0 || now.Sub(p.first) > patienceOf {
		p.presses, p.first = 0, now
	}
	p.presses++
	if p.presses == enough-1 {
		fmt.Fprintf(a.stderr, "sdcontainer: %s does not end by itself: ^C once more kills it\n", name)
	}
	return p.presses >= enough
}
