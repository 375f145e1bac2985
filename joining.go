// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// A joining is the program that makes a process in a container, and what the next one,
// which becomes the command, has to know of it.
type joining struct {
	spawn                    *nsexec.Program
	flags                    uint64 // the namespaces joined
	cgroupns                 bool   // there is one to join yet
	leaf                     string // the cgroup it is born in
	target, cgroup, itsGroup nsexec.Reg
}

func compileJoin(init int) (*joining, error) {
	flags, cgroupns, err := foreignNamespaces(init)
	if err != nil {
		return nil, err
	}
	s := nsexec.New("spawn")
	stdio := receiveStdio(s)
	j := &joining{spawn: s, flags: flags, cgroupns: cgroupns, target: s.Receive("container's init"), cgroup: s.Receive("container's cgroup")}
	if cgroupns {
		j.itsGroup = s.Receive("container's cgroup namespace")
	}
	leaveKeys(s)
	s.At("standard streams", "those of the caller of exec")
	s.Stdio(stdio)
	s.At("join the container's namespaces", strings.Join(flagNames(flags), " "))
	// Order: without the cgroup namespace: from inside it our own cgroup cannot be
	// seen, and a process cannot be born across that border (cgroup_namespaces(7)).
	s.Setns(j.target, "container's namespaces", flags)
	s.At("new process in the container's cgroup", "the limits hold from its birth on")
	s.Fork(nsexec.Control, nsexec.CloneArgs{Sibling: true, Cgroup: j.cgroup})
	s.End()
	_, err = s.Encode()
	return j, err
}

func (l *launch) compileEnter(j *joining) (*nsexec.Program, error) {
	e := nsexec.Next("enter", j.spawn)
	if j.cgroupns {
		e.At("join the cgroup namespace", "nobody is born across its border, so it comes after the birth")
		// Not by pidfd: that takes the right to trace the container's init, and a reaper's program is the host's.
		e.Setns(j.itsGroup, "cgroup namespace", unix.CLONE_NEWCGROUP)
		e.Close(j.itsGroup)
	}
	e.At("close the host's descriptors", "what runs in the container can see this process")
	// Order: before any change of ids: until then only the host's root can look into this
	// process, whatever fs.suid_dumpable says (CVE-2016-8649).
	e.Close(j.target)
	e.Close(j.cgroup)
	if j.flags&unix.CLONE_NEWUSER != 0 {
		rootfs.BecomeRoot(e, l.spec.Linux)
	}
	if l.null != [3]bool{} && !l.spec.Process.Terminal && rootfs.OwnNull(l.spec) {
		root := e.OpenHere("/", unix.O_PATH|unix.O_DIRECTORY)
		rootfs.ExecNull(e, root, l.null)
		e.Close(root)
	}
	terminal := func() {
		if !l.spec.Process.Terminal {
			e.At("start session", "the process cannot reach the caller's terminal (CVE-2017-5226)")
			e.Setsid()
			return
		}
		e.At("open the container's root", "where its devpts is")
		root := e.OpenHere("/", unix.O_PATH|unix.O_DIRECTORY)
		rootfs.ExecTerminal(e, root, l.who.UID)
	}
	l.who.AnyCPU = l.plan.ownCPUs()
	l.who.Enter(e, terminal, func() { l.plan.addFilter(e) })
	ready(e, false)
	e.At("execute "+l.who.Path, executes)
	e.Exec(l.who.Path, l.spec.Process.Args, l.who.Env)
	_, err := e.Encode()
	return e, err
}
