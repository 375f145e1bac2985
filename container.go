// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/sdcontainer/sdcontainer/scope"
)

// Status is where a container is in its life.
type Status string

// The states of a container.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// Runtime is where containers are kept: the directory of their records. The
// zero Runtime uses /run/sdcontainer. It may be used by many goroutines at once, and Warn may be called by them.
type Runtime struct {
	Dir string
	// Warn, if there is one, is told what makes no call fail: what a container has to do without here, as with
	// systemd.strict = false, what of its end the journal lacks or was not cleaned up, and what Logs may lack.
	Warn func(msg string)

	ahead atomic.Pointer[preparation] // see PrepareCreate
}

// CreateOptions says how a container is to live.
type CreateOptions struct {
	// Stdin, Stdout and Stderr are the payload's. nil means /dev/null for Stdin
	// and what the log settings say for the others. Pipes get a mode by which it
	// can open them as /dev/stdin and the like; all else stays as it is. A directory is refused, and so is a
	// terminal, unless the Spec asks for one of the payload's own, which then takes their place: see [Container.Terminal].
	Stdin, Stdout, Stderr *os.File
	// Detach leaves a keeper behind that records how the container ended.
	Detach bool
	// Remove makes the keeper (or Wait) remove the record at the end.
	Remove bool
	// Service builds the container inside the calling service's own cgroup and
	// hands the main PID over to systemd. The process must be the service's main process, with
	// the environment systemd gave it: $INVOCATION_ID, and $NOTIFY_SOCKET if the unit has one.
	Service bool
	// Cleanup is the command the keeper becomes when the container has ended; it
	// gets the container's ID as last argument and must call [Runtime.Cleanup]. The first element is
	// an executable's path. Without any it is the sdcontainer installed in one of root's
	// directories, /usr/bin or /usr/local/bin say: PATH is not searched.
	Cleanup []string
	// Timing, if set, is told when each phase of the start ends.
	Timing func(phase string, at time.Time)
}

// A Container is one container: running, or the record of one that ended. Its methods are for
// one goroutine at a time; [Runtime.Load] gives another its own Container, so that it can Signal
// while the first is in Wait.
type Container struct {
	rt *Runtime
	id string
	st *record
	// start is there between Create and Start, in the process that called Create.
	start *launch
	// terminal is the payload's pty, in the process that called Create.
	terminal *os.File
}

// ID is the container's name.
func (c *Container) ID() string { return c.id }

// Same says whether other, found by name, is this container and not one that has had the name since. It may be asked of one
// that is not detached while another goroutine is in Wait.
func (c *Container) Same(other *Container) bool { return c.st.same(other.st) }

// Terminal is the master end of the payload's pty, if its Spec asks for one: from
// Create on, in the process that called Create, which closes it.
func (c *Container) Terminal() *os.File { return c.terminal }

// Exit is how a container's payload ended.
type Exit struct {
	Code      int  `json:"code"`             // 0-255, or 128+n
	Signal    int  `json:"signal,omitempty"` // n, when a signal ended it
	OOMKilled bool `json:"oomKilled"`        // processes of it were killed for want of memory
	// ManagedOOM: it was systemd-oomd, by the mark it leaves on the unit's cgroup or the payload's below.
	ManagedOOM bool      `json:"managedOOM,omitempty"`
	At         time.Time `json:"at"`
}

// State is what is known of a container. Its JSON form is what inspect prints.
type State struct {
	ID          string     `json:"id"`
	Status      Status     `json:"status"`
	Pid         int        `json:"pid,omitempty"`
	KeeperPid   int        `json:"keeperPid,omitempty"`
	Unit        string     `json:"unit"`
	Service     bool       `json:"service,omitempty"`
	Cgroup      string     `json:"cgroup,omitempty"` // below /sys/fs/cgroup, the payload's
	Rootfs      string     `json:"rootfs"`
	Source      string     `json:"source,omitempty"`
	Command     []string   `json:"command"`
	Created     time.Time  `json:"created"`
	Started     *time.Time `json:"started,omitempty"`
	Exit        *Exit      `json:"exit,omitempty"`
	ExitUnknown bool       `json:"exitUnknown,omitempty"`
}

// ExecOptions is for [Container.Exec].
type ExecOptions struct {
	// As of [CreateOptions], but nil means /dev/null for each, and Terminal says whether others matter.
	Stdin, Stdout, Stderr *os.File
	// Terminal gives the process a new pty of the container; its master is [Process.Terminal]. That of a [specs.Process] does not count.
	Terminal bool
}

// A Process is one that Exec started.
type Process struct {
	Pid int
	// Terminal is the master end of the process's pty, if it has one. The caller closes it.
	Terminal *os.File

	pidfd *os.File
}

// Stats is one reading of a container's cgroup. A limit of 0 means none.
type Stats = scope.Stats
