// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// skip makes steps with a call's number, and a first argument if that is not nil, do nothing.
func skip(steps []nsexec.Step, nr uint32, arg nsexec.Arg) {
	for i, s := range steps {
		if s.Op == nsexec.OpCall && s.NR == nr && (arg == nil || s.Args[0] == arg) {
			nothing(&steps[i])
		}
	}
}

func nothing(s *nsexec.Step) {
	s.Op, s.NR, s.Args, s.Keeps = nsexec.OpCall, unix.SYS_GETPPID, [6]nsexec.Arg{}, false
}

// skipChecks has the init believe what it is told of the directory it is in, and of its executable.
func skipChecks(enter []nsexec.Step) {
	for i, s := range enter {
		if s.Op == nsexec.OpCheck {
			nothing(&enter[i])
		}
	}
	skip(enter, unix.SYS_FACCESSAT2, nil)
}

// inside has the payload's root where its working directory should be.
func inside(_, enter []nsexec.Step) {
	for i, s := range enter {
		if s.Op == nsexec.OpCall && s.NR == unix.SYS_CHDIR {
			enter[i].NR = unix.SYS_CHROOT
		}
	}
	skipChecks(enter)
}

// outside has the payload in the host's root directory, which lies on no mount of its own.
func outside(build, enter []nsexec.Step) {
	const kept = 90 // a number that nobody has
	hostRoot := nsexec.Arg(nil)
	for i, s := range build {
		switch {
		case s.Op != nsexec.OpCall:
		case s.NR == unix.SYS_MOVE_MOUNT && hostRoot == nil: // of the rootfs, over the host's
			hostRoot = s.Args[2]
		case s.NR == unix.SYS_CLOSE && s.Args[0] == hostRoot:
			build[i].NR, build[i].Args = unix.SYS_DUP3, [6]nsexec.Arg{hostRoot, nsexec.Imm(kept), nsexec.Imm(unix.O_CLOEXEC)}
			hostRoot = nsexec.Imm(kept) // once
		case s.NR == unix.SYS_CHDIR:
			build[i].NR, build[i].Args = unix.SYS_FCHDIR, [6]nsexec.Arg{nsexec.Imm(kept)}
		}
	}
	skip(enter, unix.SYS_CHDIR, nil)
	skipChecks(enter)
}

// twice has the filter installed once more, in the place of what closes the first descriptors.
func twice(_, enter []nsexec.Step) {
	from, to := -1, -1
	for i, s := range enter {
		switch {
		case s.Op != nsexec.OpCall:
		case s.NR == unix.SYS_SECCOMP:
			from = i
		case s.NR == unix.SYS_CLOSE_RANGE && to < 0:
			to = i
		}
	}
	if from >= 0 && to >= 0 {
		enter[to] = enter[from]
	}
}

func skipEnter(nr uint32, arg nsexec.Arg) func(_, enter []nsexec.Step) {
	return func(_, enter []nsexec.Step) { skip(enter, nr, arg) }
}

// change replaces argument n of every call of that number.
func change(nr uint32, first nsexec.Arg, n int, to nsexec.Imm) func(_, enter []nsexec.Step) {
	return func(_, enter []nsexec.Step) {
		for i, s := range enter {
			if s.Op == nsexec.OpCall && s.NR == nr && (first == nil || s.Args[0] == first) {
				enter[i].Args[n] = to
			}
		}
	}
}

func prctl(option int) nsexec.Arg { return nsexec.Imm(option) }
