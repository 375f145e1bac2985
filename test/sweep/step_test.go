// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A step, as explain tells it or the interpreter takes it.
type step struct {
	Program   string   `json:"program"`
	Index     int      `json:"index"`
	Name      string   `json:"name"`
	Call      string   `json:"call"`
	Tolerated []string `json:"tolerated"`
	Skip      int      `json:"skip"` // steps passed over then
	nr        uint64   // of its system call, if it is one
}

func (s *step) String() string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%s %d, %s: %s", s.Program, s.Index, s.Name, s.Call)
}

// special steps are of several calls.
func (s step) special() bool {
	return slices.Contains([]string{"mkpath", "sync", "fork", "spawn", "check", "keep", "reap"}, s.Call)
}

// answers are failures that a special step takes for an answer: what is missing is made, what is no link is there, and then it looks
// again.
var answers = map[string]map[uint64][]unix.Errno{
	"mkpath": {unix.SYS_OPENAT2: {unix.ENOENT, unix.EINVAL}, unix.SYS_READLINKAT: {unix.EINVAL}, unix.SYS_MKDIRAT: {unix.EINVAL}, unix.SYS_MKNODAT: {unix.EINVAL}},
}

// instead is what a special step reports when one of its calls fails, with whatever errno. Who has forked has not left that
// step until it has the next program.
var instead = map[string]map[uint64]unix.Errno{
	"fork":  {unix.SYS_GETPID: unix.ESRCH, unix.SYS_PIDFD_OPEN: unix.ESRCH, unix.SYS_RECVMSG: unix.EPROTO},
	"sync":  {unix.SYS_READ: unix.EPROTO, unix.SYS_RECVMSG: unix.EPROTO},
	"check": {unix.SYS_GETCWD: unix.EXDEV},
}

// tolerates: the step may go on when call nr of it fails with errno.
func (s step) tolerates(nr uint64, errno unix.Errno) bool {
	return slices.Contains(s.Tolerated, unix.ErrnoName(errno)) || slices.Contains(answers[s.Call][nr], errno)
}

// reported: the report is of this step, of the call that failed, and of how.
func (s step) reported(o outcome, errno unix.Errno) error {
	want := errno
	if other := instead[s.Call][o.nr]; other != 0 {
		want = other
	}
	switch {
	case int(o.report.step) != s.Index:
		return fmt.Errorf("step %d of program %d is reported", o.report.step, o.report.program)
	case !s.special() && s.nr != o.nr:
		return fmt.Errorf("it is system call %d, and %d failed", s.nr, o.nr)
	case unix.Errno(o.report.errno) != want:
		return fmt.Errorf("system call %d: %s is reported, want %s", o.nr, unix.Errno(o.report.errno), want)
	}
	return nil
}

// Of nsexec.h: a program's header and a step of it, and where in them is what.
const (
	headerSize, stepCount                  = 32, 12
	stepSize, stepSkip, stepNR, stepErrnos = 72, 2, 4, 16
)

// programOf is the program whose data the interpreter is about to read, the last that it does before it runs it; nil if that is no such
// call. Nobody can change it any more.
func programOf(c trace.Call) (steps []step) {
	file := fmt.Sprintf("/proc/%d/fd/%d", c.PID, c.Args[0])
	if c.NR != unix.SYS_PREAD64 || !strings.HasPrefix(descriptor(c), "/memfd:") {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil || len(b) < headerSize {
		return nil
	}
	le := binary.LittleEndian
	for i := range int(le.Uint32(b[stepCount:])) {
		at := b[headerSize+i*stepSize:][:stepSize]
		nr := le.Uint32(at[stepNR:])
		s := step{Program: "a program", Index: i, Call: nsexec.Step{Op: nsexec.Op(at[0]), NR: nr}.Call(), Skip: int(le.Uint16(at[stepSkip:])), nr: uint64(nr)}
		for e := at[stepErrnos : stepErrnos+8]; len(e) > 0; e = e[2:] {
			if errno := unix.Errno(le.Uint16(e)); errno != 0 {
				s.Tolerated = append(s.Tolerated, unix.ErrnoName(errno))
			}
		}
		steps = append(steps, s)
	}
	return steps
}
