// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
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

// controllers are those that the payload's own cgroup needs beyond those of its files: all where its
// root has cgroups of its own, as it would have in the unit's; and memory where systemd-oomd watches the unit, since it
// looks below that one for whom to kill, and sees nobody without.
func (l *launch) controllers(unit string) ([]string, error) {
	if _, _, ok := cgroupOwner(l.spec); ok {
		return scope.Controllers(unit)
	}
	if !managesOOM(l.plan.unit) {
		return nil, nil
	}
	have, err := scope.Controllers(unit)
	if err == nil && !l.settings.Strict && !slices.Contains(have, "memory") {
		l.c.rt.warn("systemd-oomd does not see the container: its cgroup has no memory controller")
		return nil, nil
	}
	return []string{"memory"}, err
}

// managesOOM says whether systemd-oomd watches the unit.
func managesOOM(u scope.Unit) bool {
	return u.Get("ManagedOOMMemoryPressure") == "kill" || u.Get("ManagedOOMSwap") == "kill"
}

// seenByOomd checks that systemd-oomd sees the container where it watches the unit.
func (c *Container) seenByOomd(u scope.Unit) error {
	if !managesOOM(u) || c.st.Cgroup == scope.UnitCgroup(c.st.Cgroup) {
		return nil
	}
	have, err := scope.Controllers(c.st.Cgroup)
	if err == nil && !slices.Contains(have, "memory") {
		err = errors.New("systemd-oomd would not see the container, which was started without a memory controller of its own (restart it)")
	}
	return err
}

// makePayload makes the payload's own cgroup below a scope's.
func (l *launch) makePayload(unit string) (string, error) {
	controllers, err := l.controllers(unit)
	if err != nil {
		return "", err
	}
	return scope.MakePayload(unit, l.plan.unit.Payload, controllers, l.pid)
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
