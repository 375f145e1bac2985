// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/scope"
)

// An oomWatch remembers the OOM kills of a cgroup, which systemd removes as soon
// as it is empty: what counts is what was seen before.
type oomWatch struct {
	events *os.File
	stop   *os.File // closed to end the watch
	ended  sync.WaitGroup

	kills uint64
	known bool
}

// watchOOM watches memory.events; nil is a cgroup without a memory controller.
func watchOOM(events *os.File) (*oomWatch, error) {
	w := &oomWatch{events: events}
	if events == nil {
		return w, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	w.stop = os.NewFile(uintptr(p[1]), "stop")
	w.read()
	w.ended.Go(func() {
		defer unix.Close(p[0])
		fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}, {Fd: int32(p[0]), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, -1)
			if err == unix.EINTR {
				continue
			}
			w.read() // also the last time: the watch may be told to end before it saw the event
			if err != nil || fds[1].Revents != 0 || fds[0].Revents&unix.POLLNVAL != 0 {
				return
			}
		}
	})
	return w, nil
}

// read takes the count while there is one.
func (w *oomWatch) read() {
	if n, ok := scope.OOMKills(w.events); ok {
		w.kills, w.known = n, true
	}
}

// end stops watching and says how many processes were killed, if anybody knows.
func (w *oomWatch) end() (kills uint64, known bool) {
	if w.stop != nil {
		_ = w.stop.Close() // nothing was written
		w.ended.Wait()
	}
	return w.kills, w.known
}
