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

// controllers are those that the payload's own cgroup needs beyond those of its files: all where its root has cgroups of
// its own, as it would have in the unit's; and memory for systemd-oomd, which below what it watches looks for a
// cgroup with processes, and takes none without. A unit that is to be killed as a whole it takes before it looks below, but
// for one that it watches itself.
func (l *launch) controllers(unit string) ([]string, error) {
	_, _, owner := cgroupOwner(l.spec)
	managed := managesOOM(l.plan.unit)
	if !owner && !managed && l.plan.unit.Get("OOMPolicy") == "kill" {
		return nil, nil
	}
	have, err := scope.Controllers(unit)
	if err != nil {
		return nil, err
	}
	memory := slices.Contains(have, "memory")
	if managed && !memory {
		if err := l.c.rt.lack(l.settings.Strict, "systemd-oomd does not see the container: its cgroup has no memory controller"); err != nil {
			return nil, err
		}
	}
	switch {
	case owner:
		return have, nil
	case memory:
		return []string{"memory"}, nil
	}
	return nil, nil
}

// managesOOM says whether systemd-oomd watches the unit itself.
func managesOOM(u scope.Unit) bool {
	return u.Get("ManagedOOMMemoryPressure") == "kill" || u.Get("ManagedOOMSwap") == "kill"
}

// seenByOomd checks that systemd-oomd, when it is told to watch the unit, sees the container.
func (c *Container) seenByOomd(old, next scope.Unit, strict bool) error {
	if !managesOOM(next) || managesOOM(old) || c.st.Cgroup == scope.UnitCgroup(c.st.Cgroup) {
		return nil
	}
	have, err := scope.Controllers(c.st.Cgroup)
	if err != nil || slices.Contains(have, "memory") {
		return err
	}
	return c.rt.lack(strict, "systemd-oomd does not see the container, whose own cgroup was made without a memory controller: "+
		"set it in the configuration, and restart")
}

// needsPayload says whether the payload of a scope has a cgroup below the unit's: for its files, or to own. The unit's own stays root's, as
// that of a service does: who owns it sets marks there that systemd and its helpers believe, such as user.coredump_receive.
func (l *launch) needsPayload() bool {
	_, _, owner := cgroupOwner(l.spec)
	return owner || len(l.plan.unit.Payload) > 0
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
