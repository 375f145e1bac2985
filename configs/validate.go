// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A checker collects what is wrong with a Spec.
type checker struct {
	spec *specs.Spec
	set  Settings
	ns   map[specs.LinuxNamespaceType]*specs.LinuxNamespace
	errs []error
}

func (k *checker) bad(format string, a ...any) { k.errs = append(k.errs, fmt.Errorf(format, a...)) }

// Validate looks at what no single planner sees: that the parts a container
// needs are there, and what contradicts what. It returns all problems at once, joined.
func Validate(spec *specs.Spec) error {
	if spec == nil || spec.Linux == nil || spec.Process == nil || spec.Root == nil {
		return errors.New("the Spec needs root, process and linux")
	}
	k := &checker{spec: spec, ns: map[specs.LinuxNamespaceType]*specs.LinuxNamespace{}}
	var err error
	if k.set, err = SettingsOf(spec); err != nil {
		k.errs = append(k.errs, err)
	}
	k.basics()
	k.namespaces()
	k.mappings()
	k.settings()
	k.unsupported()
	return errors.Join(k.errs...)
}

func (k *checker) absolute(what, p string) {
	if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
		k.bad("%s %q: want an absolute path", what, p)
	}
}

func (k *checker) basics() {
	p := k.spec.Process
	k.absolute("root.path", k.spec.Root.Path)
	if path.IsAbs(k.spec.Root.Path) && path.Clean(k.spec.Root.Path) == "/" {
		k.bad("root.path %q: want a directory of its own", k.spec.Root.Path)
	}
	if p.Cwd != "" {
		k.absolute("process.cwd", p.Cwd)
	}
	if len(p.Args) == 0 || p.Args[0] == "" {
		k.bad("process.args: want a command")
	}
	for i, s := range p.Args {
		if strings.ContainsRune(s, 0) {
			k.bad("process.args[%d] %q: want no NUL character", i, s)
		}
	}
	if err := CheckEnv(p.Env); err != nil {
		k.errs = append(k.errs, fmt.Errorf("process: %w", err))
	}
	for i, m := range k.spec.Mounts {
		k.absolute(fmt.Sprintf("mounts[%d].destination", i), m.Destination)
	}
	for _, m := range k.spec.Linux.MaskedPaths {
		k.absolute("linux.maskedPaths", m)
	}
	for _, m := range k.spec.Linux.ReadonlyPaths {
		k.absolute("linux.readonlyPaths", m)
	}
}

// namespaceTypes are those there are. Another one is no namespace of its own: what it was meant to be would be
// the host's.
var namespaceTypes = []specs.LinuxNamespaceType{
	specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace,
	specs.UTSNamespace, specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace,
}

func (k *checker) namespaces() {
	for i, n := range k.spec.Linux.Namespaces {
		if !slices.Contains(namespaceTypes, n.Type) {
			k.bad("linux.namespaces: type %q: want one of %v", n.Type, namespaceTypes)
		}
		if k.ns[n.Type] != nil {
			k.bad("linux.namespaces: %s twice", n.Type)
		}
		k.ns[n.Type] = &k.spec.Linux.Namespaces[i]
		if n.Path != "" {
			k.absolute(fmt.Sprintf("linux.namespaces: %s: path", n.Type), n.Path)
		}
	}
	if k.ns[specs.UTSNamespace] == nil && (k.spec.Hostname != "" || k.spec.Domainname != "") {
		k.bad("hostname %q, domainname %q: without a uts namespace they would be the host's", k.spec.Hostname, k.spec.Domainname)
	}
	if n := k.ns[specs.TimeNamespace]; len(k.spec.Linux.TimeOffsets) > 0 && (n == nil || n.Path != "") {
		k.bad("linux.timeOffsets: want a new time namespace")
	}
	for _, clock := range slices.Sorted(maps.Keys(k.spec.Linux.TimeOffsets)) {
		if clock != "monotonic" && clock != "boottime" {
			k.bad("linux.timeOffsets: clock %q: want monotonic or boottime", clock)
		}
	}
	if n := k.ns[specs.PIDNamespace]; k.set.Init && (n == nil || n.Path != "") {
		k.bad("annotation %sinit: want a new pid namespace", prefix)
	}
}

func (k *checker) mappings() {
	l := k.spec.Linux
	user := k.ns[specs.UserNamespace]
	maps := len(l.UIDMappings) + len(l.GIDMappings)
	switch {
	case user == nil && maps > 0:
		k.bad("linux.uidMappings, gidMappings: there is no user namespace they could be for")
	case user == nil && (k.set.AutoUserns > 0 || k.set.IdmapRootfs):
		k.bad("annotations %suserns-auto, %sidmap-rootfs: want a user namespace", prefix, prefix)
	case user != nil && user.Path != "" && k.set.AutoUserns > 0:
		k.bad("annotation %suserns-auto: the user namespace is joined, and has its ids (take out one of them)", prefix)
	case user == nil || user.Path != "":
	case k.set.AutoUserns > 0 && maps > 0:
		k.bad("linux.uidMappings, gidMappings: an automatic range is asked for as well")
	case k.set.AutoUserns == 0 && (len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0):
		k.bad("linux.uidMappings, gidMappings: a new user namespace needs both")
	}
	uids, gids := l.UIDMappings, l.GIDMappings
	if user == nil {
		uids = []specs.LinuxIDMapping{{Size: MaxID}}
	}
	if err := k.set.CheckHostRoot(uids, gids); err != nil {
		k.errs = append(k.errs, err)
	}
	k.ranges("linux.uidMappings", l.UIDMappings)
	k.ranges("linux.gidMappings", l.GIDMappings)
}

func (k *checker) ranges(what string, list []specs.LinuxIDMapping) {
	if err := CheckIDMapSize(list); err != nil {
		k.bad("%s: %w", what, err)
	}
	for i, m := range list {
		if !validMap(m) {
			k.bad("%s[%d]: want a size above 0 and ids below 4294967295", what, i)
		}
		for j, o := range list[:i] {
			if overlap(m, o) {
				k.bad("%s[%d]: overlaps [%d]", what, i, j)
			}
		}
	}
}

func (k *checker) settings() {
	s := k.set
	for _, w := range []struct {
		key, value string
		want       []string
	}{
		{"profile", s.Profile, []string{ProfileApp, ProfileSystem}},
		{"seccomp", s.Seccomp, []string{"", "default", "unconfined"}},
		{"notify", s.Notify, []string{"started", "container"}},
		{"log.driver", s.Log.Driver, []string{"journald", "passthrough", "none"}},
	} {
		if !slices.Contains(w.want, w.value) {
			k.bad("annotation %s%s: %q: want one of %s", prefix, w.key, w.value, strings.TrimSpace(strings.Join(w.want, " ")))
		}
	}
	if s.Seccomp != "" && k.spec.Linux.Seccomp != nil {
		k.bad("annotation %sseccomp: %q: linux.seccomp says something else", prefix, s.Seccomp)
	}
	if err := CheckName(s.Name); err != nil && s.Name != "" {
		k.bad("annotation %sname: %w", prefix, err)
	}
	for _, signal := range []string{s.StopSignal, s.ParentDeathSignal} {
		if _, err := ParseSignal(signal); err != nil && signal != "" {
			k.errs = append(k.errs, err)
		}
	}
	if s.StopTimeout < 0 {
		k.bad("annotation %sstop-timeout: %v: want a positive time", prefix, s.StopTimeout)
	}
}

func (k *checker) unsupported() {
	p, l := k.spec.Process, k.spec.Linux
	if k.spec.VM != nil || k.spec.Windows != nil || k.spec.Solaris != nil || k.spec.ZOS != nil || k.spec.FreeBSD != nil {
		k.bad("vm, windows, solaris, zos, freebsd: this is Linux")
	}
	if l.IntelRdt != nil {
		k.bad("linux.intelRdt: not supported")
	}
	if p.ApparmorProfile != "" || p.SelinuxLabel != "" || l.MountLabel != "" {
		k.bad("process.apparmorProfile, selinuxLabel, linux.mountLabel: not supported yet")
	}
	if l.CgroupsPath != "" {
		k.bad("linux.cgroupsPath: %q: not supported yet (the unit is the container's own, in the slice of annotation %sslice)", l.CgroupsPath, prefix)
	}
	if l.Seccomp != nil && (l.Seccomp.ListenerPath != "" || l.Seccomp.ListenerMetadata != "") {
		k.bad("linux.seccomp.listenerPath, listenerMetadata: not supported, nor is the action SCMP_ACT_NOTIFY")
	}
	if len(l.NetDevices) > 0 {
		k.bad("linux.netDevices: not supported yet")
	}
	k.hooks()
}

// hooks refuses them: nothing runs one, with the state that it may ask for.
func (k *checker) hooks() {
	h := k.spec.Hooks
	if h == nil {
		return
	}
	for _, kind := range []struct {
		name string
		list []specs.Hook
	}{
		//lint:ignore SA1019 engines and vendors still write prestart hooks
		{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		if len(kind.list) > 0 {
			k.bad("hooks.%s: not supported yet", kind.name)
		}
	}
}

// bundle is the Spec of a bundle's config.json, b.
func bundle(dir, file string, b []byte) (*specs.Spec, error) {
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if spec.Root != nil && !filepath.IsAbs(spec.Root.Path) {
		abs, err := filepath.Abs(filepath.Join(dir, spec.Root.Path))
		if err != nil {
			return nil, err
		}
		spec.Root.Path = abs
	}
	if err := Validate(&spec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &spec, nil
}
