// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// addNames sets what the container's UTS and network namespaces start with.
func (b *builder) addNames() {
	if b.spec.Hostname != "" {
		b.At("hostname "+b.spec.Hostname, "the UTS namespace begins with the host's")
		b.Sethostname(b.spec.Hostname)
	}
	if b.spec.Domainname != "" {
		b.At("domainname "+b.spec.Domainname, "the UTS namespace begins with the host's")
		b.Setdomainname(b.spec.Domainname)
	}
	if b.ns.made(netNS) {
		b.At("loopback up", "the network namespace is new")
		b.LoopbackUp()
	}
}

// A sysctl is one kernel setting: its file below /proc/sys.
type sysctl struct{ file, value string }

// parseSysctls allows the settings that belong to a namespace of the
// container's, and no other.
func (b *builder) parseSysctls() (out []sysctl, errs []error) {
	list := b.linux.Sysctl
	out = make([]sysctl, 0, len(list))
	for _, key := range slices.Sorted(maps.Keys(list)) {
		file, err := SysctlFile(key)
		if err == nil {
			err = checkValue(list[key])
		}
		if err == nil {
			err = b.allowSysctl(file)
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: "linux.sysctl", Entry: key, Err: err})
			continue
		}
		out = append(out, sysctl{file, list[key]})
	}
	return out, errs
}

// SysctlFile turns a key into a path below /proc/sys as sysctl(8) does: the first separator
// says which of '.' and '/' separates; the other one belongs to the names.
func SysctlFile(key string) (string, error) {
	if i := strings.IndexAny(key, "./"); i > 0 && key[i] == '.' {
		key = strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, badInName) {
			return "", fmt.Errorf("not a name of the form net.ipv4.ip_forward")
		}
	}
	if len(key) > maxValue || !strings.Contains(key, "/") {
		return "", fmt.Errorf("not a name of the form net.ipv4.ip_forward")
	}
	return key, nil
}

func badInName(r rune) bool {
	ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:@", r)
	return !ok
}

func checkValue(v string) error {
	if v == "" || len(v) > 1023 {
		return fmt.Errorf("value of %d bytes: want 1 to 1023", len(v))
	}
	for _, r := range v {
		if r < ' ' && r != '\t' || r == 0x7f {
			return fmt.Errorf("value %q has a control character", v)
		}
	}
	return nil
}

// SysctlNamespace is the kind of namespace that a file below /proc/sys is a setting of, "" if of none.
func SysctlNamespace(file string) specs.LinuxNamespaceType {
	top, _, _ := strings.Cut(file, "/")
	switch {
	case top == "net":
		return netNS
	case configs.IPCSysctl(file):
		return ipcNS
	case top == "user":
		return userNS
	case file == "kernel/hostname" || file == "kernel/domainname":
		return utsNS
	}
	return ""
}

func (b *builder) allowSysctl(file string) error {
	switch t := SysctlNamespace(file); {
	case t == "":
		return fmt.Errorf("belongs to no namespace: it would change the host's setting (want net.*, fs.mqueue.*, user.* or kernel.msg*, kernel.sem, kernel.shm*)")
	case t == utsNS:
		return fmt.Errorf("use the key %s", path.Base(file))
	case !b.ns.has(t):
		return fmt.Errorf("would change the host's setting: the container has no %s namespace", t)
	case !b.ns.owned(t) && !(t == netNS && b.hostRoot()):
		return fmt.Errorf("is for the root of the user namespace that owns the %s namespace: %s", t, b.orJoin())
	}
	return nil
}

// hostRoot says whether the container's root is the host's, as in a map that begins with it: most settings of networks
// are for who has that id.
func (b *builder) hostRoot() bool {
	return slices.ContainsFunc(b.linux.UIDMappings, func(m specs.LinuxIDMapping) bool { return m.ContainerID == 0 && m.HostID == 0 && m.Size > 0 })
}

// addSysctls writes the kernel settings.
func (b *builder) addSysctls() {
	if len(b.sysctl) == 0 {
		return
	}
	proc, ours := b.heldProc()
	if !ours {
		b.At("private procfs for sysctls", "no mount of the container's can redirect what is written (CVE-2025-52881)")
		proc = b.privateProc()
	}
	for _, s := range b.sysctl {
		b.At("sysctl "+strings.ReplaceAll(s.file, "/", "."), "linux.sysctl: of a namespace of the container's own, not the host's")
		// Order: after the namespaces they belong to, before readonlyPaths cover /proc/sys.
		f := b.OpenBeneath(proc, "sys/"+s.file, unix.O_WRONLY)
		b.Write(f, s.file, s.value)
		b.Close(f)
	}
	if !ours {
		b.At("let go of the private procfs", "nothing more is written there")
		b.Close(proc)
	}
}

// heldProc is the container's own procfs, by the descriptor it was made with, if it shows
// kernel settings and may be written. What is opened beneath that descriptor, across no other mount,
// is the kernel's, whatever lies over its place; and it costs nothing, when a private one is the dearest of these steps.
func (b *builder) heldProc() (proc nsexec.Reg, ok bool) {
	m := b.at("/proc", "proc")
	if m == nil || m.attr.set&unix.MOUNT_ATTR_RDONLY != 0 || given(m.params, "subset") {
		return nsexec.NoReg, false
	}
	for _, h := range b.held {
		if h.dest == "/proc" {
			proc, ok = h.fs, true
		}
	}
	return proc, ok
}

// privateProc returns a procfs that has no place in any tree. One that the
// container may not make is the host's, opened before the root changes.
func (b *builder) privateProc() nsexec.Reg {
	if !b.ns.owned(pidNS) {
		return b.OpenHere("/proc", unix.O_PATH|unix.O_DIRECTORY)
	}
	fs := b.Fsopen("proc")
	mnt := b.Fsmount(fs, "private proc", noFiles)
	b.Close(fs)
	return mnt
}
