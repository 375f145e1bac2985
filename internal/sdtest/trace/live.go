// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrDeadline is returned when the command did not end, with what each of its threads was doing.
var ErrDeadline = errors.New("it did not end in time and was killed")

// A followed is a thread, and the process it is of.
type followed interface{ ids() (tid, pid int) }

// live are the threads that are followed, and what a deadline does to them.
type live[T followed] struct {
	mu   sync.Mutex // for the deadline
	by   map[int]T  // by TID
	late error      // the deadline came
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

// killAll ends what is followed, and the command, which may have been let go.
func (l *live[T]) killAll(command *os.Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pids := map[int]bool{}
	for _, th := range l.by {
		_, pid := th.ids()
		pids[pid] = true
	}
	if command != nil {
		pids[command.Pid] = true
	}
	l.late = ErrDeadline
	for pid := range pids {
		l.late = fmt.Errorf("%w%s", l.late, doing(pid))
	}
	for pid := range pids {
		if command == nil || pid != command.Pid {
			_ = unix.Kill(pid, unix.SIGKILL) // may have ended
		}
	}
	if command != nil {
		_ = command.Kill() // may have ended
	}
}

// doing says in which state each thread of a process is, where it waits in the kernel, and in which system call.
func doing(pid int) string {
	var b strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		read := func(name string) string {
			text, _ := os.ReadFile(filepath.Join(task, name)) // it may end
			return strings.TrimSpace(string(text))
		}
		state := read("stat")
		state, _, _ = strings.Cut(strings.TrimSpace(state[strings.LastIndex(state, ")")+1:]), " ")
		fmt.Fprintf(&b, "\n%d/%s %s: %s, %s, %s", pid, filepath.Base(task), read("comm"), state, read("wchan"), read("syscall"))
	}
	return b.String()
}
