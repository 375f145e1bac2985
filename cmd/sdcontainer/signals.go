// SPDX-License-Identifier: Apache-2.0

package main

import (
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
// charge at the moment. See catch.
type signals struct {
	ch chan os.Signal
	mu sync.Mutex
	to func(unix.Signal)
}

// catch starts catching; to is called for each signal, one at a time.
func catch(to func(unix.Signal)) *signals {
	s := &signals{ch: make(chan os.Signal, lastSignal), to: to}
	signal.Notify(s.ch, append(forwarded(), unix.SIGWINCH, unix.SIGCONT)...)
	go func() {
		for sig := range s.ch {
			s.mu.Lock()
			s.to(sig.(unix.Signal))
			s.mu.Unlock()
		}
	}()
	return s
}

// hand gives all further signals to somebody else.
func (s *signals) hand(to func(unix.Signal)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
}

func (s *signals) stop() {
	signal.Stop(s.ch)
	close(s.ch)
}

// callsOff says whether a signal during a start means that it is not wanted any more.
func callsOff(sig unix.Signal) bool {
	return sig == unix.SIGHUP || sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGTERM
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
