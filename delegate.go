// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/scope"
)

// cgroupOwner is who on the host is to own the cgroups below the container's: its
// root, when it has a writable view of them in namespaces of its own, as a systemd inside needs.
func cgroupOwner(spec *specs.Spec) (uid, gid uint32, ok bool) {
	made := func(typ specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == typ && n.Path == "" })
	}
	writable := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return m.Type == "cgroup2" && !slices.Contains(m.Options, "ro")
	})
	if !writable || !made(specs.CgroupNamespace) || !made(specs.UserNamespace) {
		return 0, 0, false
	}
	uid, err1 := mapOne(0, spec.Linux.UIDMappings)
	gid, err2 := mapOne(0, spec.Linux.GIDMappings)
	return uid, gid, err1 == nil && err2 == nil
}

// leaf is the cgroup new processes go to: the init's, which is below the container's when
// it makes cgroups of its own. Then the container's takes no processes (cgroups(7)).
func (c *Container) leaf() string {
	own, err := scope.CgroupOf(c.st.Init.Pid)
	if err == nil && strings.HasPrefix(own, c.st.Cgroup+"/") {
		return own
	}
	return c.st.Cgroup
}
