// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Only a container's own root, in namespaces of its own, with a view it may
// write, gets cgroups to own.
func TestCgroupOwner(t *testing.T) {
	spec := func() *specs.Spec {
		maps := []specs.LinuxIDMapping{{HostID: 100000, Size: 10}}
		return &specs.Spec{
			Mounts: []specs.Mount{{Type: "cgroup2", Options: []string{"nosuid", "rw"}}},
			Linux: &specs.Linux{UIDMappings: maps, GIDMappings: maps, Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace}, {Type: specs.CgroupNamespace}}},
		}
	}
	if uid, gid, ok := cgroupOwner(spec()); uid != 100000 || gid != 100000 || !ok {
		t.Errorf("%d:%d, %v", uid, gid, ok)
	}
	for name, change := range map[string]func(*specs.Spec){
		"read-only view":          func(s *specs.Spec) { s.Mounts[0].Options[1] = "ro" },
		"no view":                 func(s *specs.Spec) { s.Mounts = nil },
		"host's users":            func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] },
		"host's cgroups":          func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:1] },
		"joined user namespace":   func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/user" },
		"joined cgroup namespace": func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/proc/1/ns/cgroup" },
		"no root":                 func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 5, Size: 1}} },
	} {
		s := spec()
		change(s)
		if uid, gid, ok := cgroupOwner(s); ok {
			t.Errorf("%s: %d:%d, want nobody", name, uid, gid)
		}
	}
}

// A container that may make cgroups meets a bound, in number and in depth, which is not its
// to move: they are no tasks, and the machine has only so many.
func TestHandedCgroupsAreBounded(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	tried, made := 5000, 4096
	if sdtest.Stride(2) > 1 { // cgroups by the thousand take an emulated guest half a minute
		tried, made = 10, 12+10
	}
	spec := w.spec("handed", "/bin/sh", "-c", fmt.Sprintf(`exec 2>/dev/null
cd /sys/fs/cgroup
for limit in descendants depth; do echo max >cgroup.max.$limit && echo moved $limit; done
deep=0; at=.; while [ $deep -lt 50 ] && busybox mkdir $at/d; do at=$at/d; deep=$((deep+1)); done
busybox seq %d | busybox xargs busybox mkdir
set -- $(busybox find . -type d)
echo $deep deep, $(($#-1)) in all`, tried))
	writableCgroups(spec)
	out, e := w.outputOf("handed", spec)
	if want := fmt.Sprintf("12 deep, %d in all", made); strings.TrimSpace(out) != want || e.Code != 0 {
		t.Errorf("%q, %+v; want %q", out, e, want)
	}
}

// writableCgroups gives the payload cgroups of its own.
func writableCgroups(spec *specs.Spec) {
	for i, m := range spec.Mounts {
		if m.Type == "cgroup2" {
			spec.Mounts[i].Options = append(slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" }), "rw")
		}
	}
}

// R35, R43: however deep a payload goes, with names as long as there are, it is found, entered and ended.
func TestHandedCgroupsHideNobody(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("deep", "/bin/sh", "-c", `exec 2>/dev/null
cd /sys/fs/cgroup; name=$(busybox printf %0255d 1); deep=0
while [ $deep -lt 20 ] && busybox mkdir $name && cd -P $name; do deep=$((deep+1)); done
trap "exit 3" TERM
echo 0 >cgroup.procs && echo $deep
busybox sleep 1000 & wait`)
	writableCgroups(spec)
	r, out := pipe(t)
	c, err := w.startSpec("deep", spec, CreateOptions{Stdout: out, Detach: true})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "12\n" {
		t.Errorf("%q, %v; want 12", line, err)
	}
	if procs, err := c.Top(); err != nil || len(procs) == 0 {
		t.Errorf("top: %v, %v", procs, err)
	}
	if p, err := c.Exec(soon(t), &specs.Process{Args: []string{"true"}}, ExecOptions{}); err != nil {
		t.Error(err)
	} else if e, err := p.Wait(soon(t)); err != nil || e.Code != 0 {
		t.Errorf("exec: %+v, %v", e, err)
	}
	if err := c.Signal(soon(t), unix.SIGCONT, true); err != nil {
		t.Errorf("kill all: %v", err)
	}
	if out, err := exec.Command("systemctl", "stop", scope.UnitName(c.ID())).CombinedOutput(); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	if e, err := c.Wait(soon(t)); err != nil || e.Code != 3 {
		t.Errorf("%+v, %v; want 3", e, err)
	}
}

// What systemd and its helpers believe of a unit is written on its cgroup, which no container owns.
func TestHandedCgroupIsNotTheUnits(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("below", "/bin/sleep", "1000")
	writableCgroups(spec)
	c, err := w.startSpec("below", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	owner := func(cgroup string) (st unix.Stat_t) {
		if err := unix.Stat(filepath.Join(scope.Mount(), cgroup), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	if unit := scope.UnitCgroup(c.st.Cgroup); unit == c.st.Cgroup || owner(unit).Uid != 0 {
		t.Errorf("the unit's cgroup is %s, of user %d", unit, owner(unit).Uid)
	}
	if uid := owner(c.st.Cgroup).Uid; uid == 0 {
		t.Errorf("%s is root's", c.st.Cgroup)
	}
}
