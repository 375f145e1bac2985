// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// oomFiles are what tells of processes killed for want of memory, opened while they live: systemd
// removes a cgroup as soon as it is empty.
type oomFiles struct {
	unit, payload *os.File // the cgroups, which systemd-oomd marks; payload is nil without one
	events        *os.File // memory.events of the unit's; nil without a memory controller, and unless asked for
}

func openOOM(cgroup string, events bool) (f oomFiles, err error) {
	if f.unit, f.payload, err = scope.OpenCgroups(cgroup); err != nil || !events {
		return f, err
	}
	if f.events, err = scope.OpenEvents(scope.UnitCgroup(cgroup)); errors.Is(err, fs.ErrNotExist) {
		return f, nil // nobody will know of OOM kills
	}
	return f, err
}

// count is how many processes the kernel killed, if that is known, and how often systemd-oomd killed all.
func (f oomFiles) count() (kernel, oomd uint64, known bool) {
	oomd = scope.ManagedOOMKills(f.unit, f.payload)
	if f.events != nil {
		kernel, known = scope.OOMKills(f.events)
	}
	return kernel, oomd, known
}

func (f oomFiles) close() { closeAll([]*os.File{f.unit, f.payload, f.events}) }

// An oomWatch remembers the OOM kills of a cgroup, which systemd removes as soon
// as it is empty: what counts is what was seen before.
type oomWatch struct {
	files oomFiles
	stop  *os.File // closed to end the watch
	ended sync.WaitGroup

	kills uint64
	known bool
	lost  bool // the cgroup was gone before the last look

	// slice is memory.events of the cgroup above, which outlives ours and counts
	// what happens below; before is its count at the start, above what came since.
	slice         *os.File
	before, above uint64
}

// watchOOM watches memory.events of a unit's cgroup, if it has one.
func watchOOM(files oomFiles, cgroup string) (*oomWatch, error) {
	w := &oomWatch{files: files}
	if files.events == nil {
		return w, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	if f, err := scope.OpenEvents(cgroupAbove(cgroup)); err == nil { // the root has none
		w.slice = f
		w.before, _ = scope.OOMKills(f)
	}
	w.stop = os.NewFile(uintptr(p[1]), "stop")
	w.read()
	w.ended.Go(func() {
		defer unix.Close(p[0])
		fds := []unix.PollFd{{Fd: int32(files.events.Fd()), Events: unix.POLLPRI}, {Fd: int32(p[0]), Events: unix.POLLIN}}
		for {
			err := kernel.Retry(func() error {
				_, err := unix.Poll(fds, -1)
				return err
			})
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
	if n, ok := scope.OOMKills(w.files.events); ok {
		w.kills, w.known = n, true
	} else {
		w.lost = true
	}
}

// end stops watching and takes the last look at the slice.
func (w *oomWatch) end() {
	if w.stop == nil {
		return
	}
	_ = w.stop.Close() // nothing was written
	w.ended.Wait()
	if w.slice == nil {
		return
	}
	defer w.slice.Close()
	if after, ok := scope.OOMKills(w.slice); ok && after > w.before {
		w.above = after - w.before
	}
}

// result says how many processes were killed, if anybody knows, when the payload
// ended with ws. Where systemd was faster than our last look and the payload was
// killed, what the slice counted in the meantime stands in.
func (w *oomWatch) result(ws unix.WaitStatus) (kills uint64, known bool) {
	if w.lost && w.above > 0 && nsexec.Killed(ws) {
		return max(w.kills, w.above), true
	}
	return w.kills, w.known
}

// managed says whether systemd-oomd killed a payload that ended with ws. It sends SIGKILL to all.
func (w *oomWatch) managed(ws unix.WaitStatus) bool {
	return nsexec.Killed(ws) && scope.ManagedOOMKills(w.files.unit, w.files.payload) > 0
}

// An oomMark is what the cgroup above a container's had counted when the container began.
type oomMark struct {
	Cgroup string `json:"cgroup"`
	Kills  uint64 `json:"kills"`
}

// For who decides what a keeper missed; tests put others in their place.
var (
	killsBelow = func(cgroup string) (uint64, bool) {
		f, err := scope.OpenEvents(cgroup)
		if err != nil {
			return 0, false
		}
		defer f.Close()
		return scope.OOMKills(f)
	}
	loggedOOM = kernel.LoggedOOM
)

// cgroupAbove is the cgroup above the unit's that a container lives in.
func cgroupAbove(cgroup string) string { return path.Dir(scope.UnitCgroup(cgroup)) }

// markOOM takes the count of the cgroup above; nil where there is none.
func markOOM(cgroup string) *oomMark {
	above := cgroupAbove(cgroup)
	kills, ok := killsBelow(above)
	if !ok {
		return nil
	}
	return &oomMark{above, kills}
}

// amendOOM completes the exit record where systemd removed the cgroup before the keeper's
// last look at memory.events. The cgroup above counts what happens below it, but for others
// too: it only says whether to look closer. What decides is the kernel's log, which names
// the process. Where that cannot be read, what the keeper saw stands.
func (c *Container) amendOOM() error {
	f, err := c.openFile(exitFile)
	if err != nil {
		return ignoreMissing(err)
	}
	defer f.Close()
	rec, err := c.readExitRecord(f)
	if rec == nil || err != nil || c.st.Above == nil {
		return err
	}
	if !rec.OOMKnown || rec.OOMKilled || rec.ManagedOOM || !nsexec.Killed(rec.Status) {
		return nil
	}
	if now, ok := killsBelow(c.st.Above.Cgroup); !ok || now <= c.st.Above.Kills {
		return nil
	}
	if killed, err := loggedOOM(c.st.Init.Pid); err != nil || !killed {
		return nil // nobody can tell, or it was somebody else
	}
	rec.OOMKilled = true
	return c.writeExit(*rec)
}
