// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
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
		tried, made = 10, 32+10
	}
	spec := w.spec("handed", "/bin/sh", "-c", fmt.Sprintf(`exec 2>/dev/null
cd /sys/fs/cgroup
for limit in descendants depth; do echo max >cgroup.max.$limit && echo moved $limit; done
deep=0; at=.; while [ $deep -lt 50 ] && busybox mkdir $at/d; do at=$at/d; deep=$((deep+1)); done
busybox seq %d | busybox xargs busybox mkdir
set -- $(busybox find . -type d)
echo $deep deep, $(($#-1)) in all`, tried))
	for i, m := range spec.Mounts {
		if m.Type == "cgroup2" {
			spec.Mounts[i].Options = append(slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" }), "rw")
		}
	}
	out, e := w.outputOf("handed", spec)
	if want := fmt.Sprintf("32 deep, %d in all", made); strings.TrimSpace(out) != want || e.Code != 0 {
		t.Errorf("%q, %+v; want %q", out, e, want)
	}
}
