// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A followed is a thread, and the process it is of.
type followed interface{ ids() (tid, pid int) }

// live are the threads that are followed, and what a deadline does to them.
type live[T followed] struct {
	mu   sync.Mutex // for the deadline
	by   map[int]T  // by TID
	late bool       // the deadline came
}

func (l *live[T]) add(th T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[int]T{}
	}
	tid, _ := th.ids()
	l.by[tid] = th
}

func (l *live[T]) remove(tid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, tid)
}

func (l *live[T]) killAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = true
	for _, th := range l.by {
		_, pid := th.ids()
		_ = unix.Kill(pid, unix.SIGKILL) // may have ended
	}
}
