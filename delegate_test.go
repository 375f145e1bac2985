// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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
