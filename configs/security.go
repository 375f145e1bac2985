// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (c *compiler) buildDevices() {
	r := c.spec.Linux.Resources
	policy := get(c, "security.device_policy", "closed")
	// Nothing but what is listed; the standard devices are in every container.
	r.Devices = []specs.LinuxDeviceCgroup{{Allow: policy == "auto", Access: "rwm"}}
	allowed := map[string]string{}
	seen := map[string]bool{}
	for i := range c.devices {
		at := index("device", i) + "."
		d, ok := c.device(at)
		if !ok {
			continue
		}
		if seen[d.Path] {
			key := map[bool]string{true: "target", false: "path"}[c.has(at+"target")]
			c.problem(at+key, "%q: is the place of another [[device]] already", d.Path)
		}
		seen[d.Path] = true
		access := get(c, at+"access", "rw")
		if c.has(at+"access") && !c.wrong(at+"access") {
			c.accessInVain(at+"access", policy, access, d)
		}
		r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
		node := fmt.Sprintf("/dev/%s/%d:%d", map[string]string{"c": "char", "b": "block"}[d.Type], d.Major, d.Minor)
		allowed[node] += access
		c.spec.Linux.Devices = append(c.spec.Linux.Devices, d)
	}
	if policy != "strict" {
		return
	}
	if c.spec.Process.Terminal {
		c.problem("security.device_policy", `"strict": a terminal needs devices (use "closed")`)
	}
	var list []string // to which [scope.Plan] adds what no start goes without
	for _, node := range sortedKeys(allowed) {
		list = append(list, fmt.Sprintf("(%s, %s)", variantString(node), variantString(allowed[node])))
	}
	for name, value := range map[string]string{"DevicePolicy": variantString("strict"), "DeviceAllow": "@a(ss) [" + strings.Join(list, ", ") + "]"} {
		c.property("security.device_policy", name, value)
		c.keysOf(name, c.propertyAt[name]...)
	}
}

// accessInVain warns of rights over a standard device that are less than every container has.
func (c *compiler) accessInVain(at, policy, access string, d specs.LinuxDevice) {
	has := func(letters ...string) bool {
		return !slices.ContainsFunc(letters, func(l string) bool { return !strings.Contains(access, l) })
	}
	switch s := standard(d); {
	case s == nil:
	case policy == "closed" && !has("r", "w", "m"):
		c.warning(at, fmt.Errorf(`%q: every container has all rights over the standard devices, with security.device_policy = "strict" these`, access))
	case policy == "strict" && *s == Null && !has("r", "w"):
		c.warning(at, fmt.Errorf("%q: every container reads and writes /dev/null, without which none starts", access))
	}
}

// A StandardDevice is a character device of every container. A Minor of -1 stands for every one. Name is that of its
// node in /dev; what has none is made by devpts.
type StandardDevice struct {
	Name         string
	Major, Minor int64
}

// Null is the one that no start goes without.
var Null = StandardDevice{"null", 1, 3}

// StandardDevices are those that a container may use unless it says otherwise: the default devices of the OCI runtime
// specification, ptmx and the ptys.
var StandardDevices = []StandardDevice{Null, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"", 5, 2}, {"", 136, -1}}

// standard is the one of the [StandardDevices] that a device is, or nil.
func standard(d specs.LinuxDevice) *StandardDevice {
	i := slices.IndexFunc(StandardDevices, func(n StandardDevice) bool { return n.Major == d.Major && (n.Minor == -1 || n.Minor == d.Minor) })
	if d.Type != "c" || i < 0 {
		return nil
	}
	return &StandardDevices[i]
}

// device looks at the node on this host unless its numbers are given.
func (c *compiler) device(at string) (specs.LinuxDevice, bool) {
	file := c.text(at + "path")
	if file == "" {
		if !c.wrong(at + "cdi") { // which would name it
			c.missing(at+"path", "the device's path on the host")
		}
		return specs.LinuxDevice{}, false
	}
	d := specs.LinuxDevice{Path: path.Clean(c.inside(at+"path", file))}
	given := 0
	for _, k := range []string{"type", "major", "minor"} {
		if c.has(at + k) {
			given++
		}
	}
	switch given {
	case 3:
		d.Type, d.Major, d.Minor = get(c, at+"type", ""), get(c, at+"major", int64(0)), get(c, at+"minor", int64(0))
	case 0:
		if err := lookAt(&d); err != nil && !c.wrong(at+"path") {
			c.problem(at+"path", "%q: %v (with type, major and minor it need not be here yet)", file, err)
		}
	default:
		c.problem(at+"path", "%q: type, major and minor go together", file)
	}
	if c.has(at + "target") {
		d.Path = path.Clean(c.inside(at+"target", c.text(at+"target")))
	}
	return d, !c.wrong(at+"path") && !c.wrong(at+"target")
}

var errNoDevice = errors.New("is no device")

// lookAt fills in the type and numbers of a device node.
func lookAt(d *specs.LinuxDevice) error {
	var st unix.Stat_t
	if err := unix.Stat(d.Path, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return errNoDevice
	}
	d.Major, d.Minor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	return nil
}

func (c *compiler) buildSecurity() {
	l := c.spec.Linux
	d := Defaults(c.set.Profile)
	if get(c, "userns.mode", "auto") != "auto" {
		d.ReadOnly = append(slices.Clone(d.ReadOnly), readonlyForRoot)
	}
	shown := c.containerPaths("security.unmask")
	for i, p := range shown {
		if !slices.Contains(d.Masked, p) && !slices.Contains(d.ReadOnly, p) && !c.wrong(index("security.unmask", i)) {
			c.problem(index("security.unmask", i), "%q: is neither hidden nor protected by default", p)
		}
	}
	for i, p := range c.list("security.mask") {
		if slices.Contains(shown, p) && !c.wrong(index("security.mask", i)) {
			c.problem(index("security.mask", i), "%q: is in security.unmask too (leave one out)", p)
		}
	}
	without := func(list, more []string) []string {
		out := slices.DeleteFunc(slices.Concat(list, more), func(p string) bool { return slices.Contains(shown, p) })
		slices.Sort(out)
		return slices.Compact(out)
	}
	l.MaskedPaths = without(d.Masked, c.containerPaths("security.mask"))
	l.ReadonlyPaths = without(d.ReadOnly, c.containerPaths("security.read_only_paths"))
	c.buildSysctl()
	c.buildSeccomp()
	if p := get(c, "security.personality", ""); p != "" {
		l.Personality = &specs.LinuxPersonality{Domain: specs.LinuxPersonalityDomain(p)}
	}
}

func (c *compiler) containerPaths(at string) []string {
	list := c.list(at)
	for i, p := range list {
		switch clean := path.Clean(p); {
		case c.wrong(index(at, i)):
		case clean == "/":
			c.problem(index(at, i), "%q: is the root itself", p)
		case path.IsAbs(p) && p == clean+"/":
			c.problem(index(at, i), "%q: want %q, without the slash at its end", p, clean)
		case !path.IsAbs(p) || p != clean:
			c.problem(index(at, i), "%q: want an absolute path without ., .. and double slashes", p)
		}
	}
	return list
}

// The files below /proc/sys/kernel that belong to the IPC namespace (ipc/ipc_sysctl.c).
var ipcSettings = []string{"msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced",
	"msg_next_id", "sem_next_id", "shm_next_id", "auto_msgmni"}

// IPCSysctl says whether a file below /proc/sys belongs to the IPC namespace.
func IPCSysctl(file string) bool {
	name, ok := strings.CutPrefix(file, "kernel/")
	return ok && slices.Contains(ipcSettings, name) || strings.HasPrefix(file, "fs/mqueue/")
}

var swapSeparators = strings.NewReplacer("/", ".", ".", "/")

// buildSysctl takes the settings of namespaces the container has: others would be
// changed for the host. Everybody may ping, which needs neither a capability nor a set-uid program then.
func (c *compiler) buildSysctl() {
	given, set, files := false, map[string]string{}, []string{}
	for _, k := range sortedKeys(c.table("security.sysctl")) {
		at := join("security.sysctl", k)
		// The first separator says which of the two separates; the other belongs to the names.
		name, file := k, k
		if i := strings.IndexAny(k, "./"); i >= 0 && k[i] == '/' {
			name = swapSeparators.Replace(k)
		} else {
			file = swapSeparators.Replace(k)
		}
		if slices.Contains(files, file) {
			c.problem(at, "is given already under another spelling")
		}
		files = append(files, file)
		switch {
		case strings.HasPrefix(name, "net.") && get(c, "network.mode", "none") == "host":
			c.problem(at, `would change the host's setting: network.mode is "host"`)
		case strings.HasPrefix(name, "net."):
		case strings.HasPrefix(name, "user.") && get(c, "userns.mode", "auto") == "none":
			c.problem(at, `would change the host's setting: userns.mode is "none"`)
		case strings.HasPrefix(name, "user."):
		case IPCSysctl(file):
			if get(c, "namespaces.ipc", "private") == "host" {
				c.problem(at, `would change the host's setting: namespaces.ipc is "host"`)
			}
		case name == "kernel.hostname" || name == "kernel.domainname":
			c.problem(at, "use network.%s", name[len("kernel."):])
		default:
			c.problem(at, "belongs to no namespace: want net.*, user.*, fs.mqueue.* or kernel.msg*, sem, shm*")
		}
		set[k] = c.expanded(at, c.table("security.sysctl")[k].(string))
		if name == pingGroups {
			given = true
			c.checkGroups(at, set[k])
		}
	}
	// Written through the container's own procfs, which one that sees the host's processes does not have.
	if groups := c.allGroups(); !given && groups != "" && c.ownNetwork() && get(c, "namespaces.pid", "private") == "private" {
		set[pingGroups] = groups
	}
	if len(set) > 0 {
		c.spec.Linux.Sysctl = set
	}
}

// pingGroups is the setting that says who may ping without a capability.
const pingGroups = "net.ipv4.ping_group_range"

// ownNetwork says whether the container has a new network namespace: what is set in one
// that it joins is its owner's affair.
func (c *compiler) ownNetwork() bool {
	return slices.ContainsFunc(c.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace && n.Path == ""
	})
}

// allGroups is the range of every group the container has, as [pingGroups] wants it. The kernel
// takes groups of the user namespace only (EINVAL), and compares them as the host has them. It
// is "" where there is no such range: ids in another order than the host's, or a user namespace
// that is joined, whose ids are not known here.
func (c *compiler) allGroups() string {
	maps, last := c.spec.Linux.GIDMappings, int64(math.MaxInt32) // the kernel's highest
	switch {
	case c.set.AutoUserns > 0:
		last = min(last, int64(c.set.AutoUserns)-1)
	case get(c, "userns.mode", "auto") == "none":
		last = min(last, groupsHere()-1)
	case len(maps) == 0:
		return ""
	default:
		byHost := func(a, b specs.LinuxIDMapping) int { return cmp.Compare(a.HostID, b.HostID) }
		low, high := slices.MinFunc(maps, byHost), slices.MaxFunc(maps, byHost)
		first := int64(low.ContainerID)
		if last = min(last, int64(high.ContainerID)+int64(high.Size)-1); first > last {
			return ""
		}
		return fmt.Sprintf("%d %d", first, last)
	}
	return fmt.Sprintf("0 %d", last)
}

// groupsHere is how many groups, from 0 on, our own user namespace has: all, unless this machine is a container itself.
var groupsHere = func() int64 {
	b, _ := os.ReadFile("/proc/self/gid_map") // without it there are no user namespaces
	var first, host, count int64
	if n, _ := fmt.Sscan(string(b), &first, &host, &count); n == 3 && first == 0 {
		return count
	}
	return math.MaxInt32 + 1
}

// checkGroups reports groups the user namespace does not have: the kernel would
// say no more than EINVAL.
func (c *compiler) checkGroups(at, value string) {
	for _, f := range strings.Fields(value) {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil || get(c, "userns.mode", "auto") != "none" && !c.isMapped(uint32(n), c.spec.Linux.GIDMappings) {
			c.problem(at, "%q: want two groups of the user namespace, like \"0 65535\"", value)
			return
		}
	}
}
