// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildNamespaces() {
	c.namespace(specs.MountNamespace, "namespaces.mount", "private")
	c.namespace(specs.PIDNamespace, "namespaces.pid", "private")
	c.namespace(specs.IPCNamespace, "namespaces.ipc", "private")
	c.namespace(specs.UTSNamespace, "namespaces.uts", "private")
	c.namespace(specs.CgroupNamespace, "namespaces.cgroup", "private")
	c.namespace(specs.TimeNamespace, "namespaces.time", "host")
	c.namespace(specs.NetworkNamespace, "network.mode", "none")
	if c.set.Init && get(c, "namespaces.pid", "private") != "private" {
		c.problem("process.init", `goes with namespaces.pid = "private": there it is pid 1`)
	}
	c.buildUserns()
}

// namespace adds one that is new or joined, as the key says or by default; the host's is not listed.
func (c *compiler) namespace(typ specs.LinuxNamespaceType, at, def string) {
	mode := get(c, at, def)
	if mode == "host" {
		return
	}
	file, ok := joined(mode)
	if ok {
		file = c.inside(at, c.expanded(at, file))
	}
	c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: file})
}

func (c *compiler) buildUserns() {
	mode := get(c, "userns.mode", "auto")
	if c.wrong("userns.mode") && (c.has("userns.uid_map") || c.has("userns.gid_map")) {
		mode = "manual" // as meant, it seems: the maps may be wrong too
	}
	for _, k := range []string{"userns.uid_map", "userns.gid_map"} {
		switch {
		case mode != "manual":
			c.also(k, "userns.mode", `userns.mode = "manual"`)
		case !c.has(k):
			c.missing(k, `ranges like ["0:100000:65536"]`)
		}
	}
	if mode != "auto" {
		c.also("userns.size", "userns.mode", `userns.mode = "auto"`)
	}
	if mode == "none" {
		if get(c, "rootfs.idmap", false) {
			c.problem("rootfs.idmap", `needs a user namespace, and userns.mode is "none"`)
		}
		return
	}
	c.namespace(specs.UserNamespace, "userns.mode", mode)
	c.set.IdmapRootfs = get(c, "rootfs.idmap", true)
	switch mode {
	case "auto":
		c.set.AutoUserns = uint32(get(c, "userns.size", int64(defaultUserns)))
	case "manual":
		c.spec.Linux.UIDMappings = c.idMap("userns.uid_map")
		c.spec.Linux.GIDMappings = c.idMap("userns.gid_map")
	}
	c.mapped()
}

// withoutHostRoot reports what does not go with id 0 of the host, where the container has it.
func (c *compiler) withoutHostRoot() {
	var has string
	switch l := c.spec.Linux; {
	case get(c, "userns.mode", "auto") == "none":
		has = `userns.mode is "none"`
	case HasHostRoot(l.UIDMappings, nil):
		has = "userns.uid_map has it"
	case HasHostRoot(nil, l.GIDMappings):
		has = "userns.gid_map has it"
	default:
		return
	}
	for _, x := range notForHostRoot {
		if x.of(&c.set) == x.value {
			c.problem(x.key, "%q: %s (%s)", x.value, x.why, has)
		}
	}
}

// mapped reports ids that the user namespace does not have. Names wait for the
// container's files.
func (c *compiler) mapped() {
	l, u := c.spec.Linux, c.spec.Process.User
	user, group, _ := strings.Cut(cmp.Or(u.Username, fmt.Sprintf("%d:%d", u.UID, u.GID)), ":")
	c.mappedID("process.user", user, l.UIDMappings)
	c.mappedID("process.user", group, l.GIDMappings)
	for i, gid := range u.AdditionalGids {
		c.mappedID(index("process.groups", i), strconv.FormatUint(uint64(gid), 10), l.GIDMappings)
	}
}

// mostRanges of a map are told beside an id that is in none of them, which may be 340.
const mostRanges = 4

// mappedID reports a number that is no id of the user namespace.
func (c *compiler) mappedID(at, text string, maps []specs.LinuxIDMapping) {
	id, number, _ := ParseID(text) // a name that cannot be one has been told
	if !number || c.isMapped(id, maps) || c.wrong(at) {
		return
	}
	if n := c.set.AutoUserns; n > 0 {
		maps = []specs.LinuxIDMapping{{Size: n}}
	}
	var have []string
	for i, m := range maps {
		if more := len(maps) - i; i == mostRanges && more > 1 {
			have = append(have, fmt.Sprintf("%d more ranges", more))
			break
		}
		have = append(have, fmt.Sprintf("%d-%d", m.ContainerID, m.ContainerID+m.Size-1))
	}
	c.problem(at, "%s: is not among the ids of the user namespace, %s", text, strings.Join(have, " and "))
}

func (c *compiler) isMapped(id uint32, maps []specs.LinuxIDMapping) bool {
	if c.set.AutoUserns > 0 {
		return id < c.set.AutoUserns
	}
	return len(maps) == 0 || slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool {
		return id >= m.ContainerID && id-m.ContainerID < m.Size
	})
}

func (c *compiler) idMap(at string) []specs.LinuxIDMapping {
	var maps []specs.LinuxIDMapping
	for i, text := range get(c, at, []string(nil)) {
		m, ok := parseIDMap(text)
		if !ok {
			c.problem(index(at, i), `%q: want "CONTAINER:HOST:COUNT" with a COUNT above 0 and ids up to %d`, text, uint32(MaxID))
			continue
		}
		for _, o := range maps {
			if overlap(m, o) {
				c.problem(index(at, i), "%q overlaps %d:%d:%d", text, o.ContainerID, o.HostID, o.Size)
			}
		}
		maps = append(maps, m)
	}
	if err := CheckIDMapSize(maps); err != nil {
		c.problem(at, "%v (put ranges together)", err)
	}
	return maps
}

func parseIDMap(text string) (specs.LinuxIDMapping, bool) {
	f := strings.Split(text, ":")
	if len(f) != 3 {
		return specs.LinuxIDMapping{}, false
	}
	var n [3]uint64
	for i := range f {
		var err error
		if n[i], err = strconv.ParseUint(f[i], 10, 32); err != nil {
			return specs.LinuxIDMapping{}, false
		}
	}
	m := specs.LinuxIDMapping{ContainerID: uint32(n[0]), HostID: uint32(n[1]), Size: uint32(n[2])}
	return m, validMap(m)
}

// validMap says whether a range is not empty and ends below the id that means none.
func validMap(m specs.LinuxIDMapping) bool {
	const end = 1<<32 - 1
	return m.Size > 0 && uint64(m.ContainerID)+uint64(m.Size) <= end && uint64(m.HostID)+uint64(m.Size) <= end
}

func overlap(a, b specs.LinuxIDMapping) bool {
	meet := func(x, y uint32) bool {
		return uint64(x) < uint64(y)+uint64(b.Size) && uint64(y) < uint64(x)+uint64(a.Size)
	}
	return meet(a.ContainerID, b.ContainerID) || meet(a.HostID, b.HostID)
}
