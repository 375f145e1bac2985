// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// B24: every spelling of a place is the place.
func TestB24Destination(t *testing.T) {
	for dest, want := range map[string]string{
		"/data": "/data", "//data/": "/data", "/a/../data": "/data", "/data/.": "/data", "/../../data": "/data",
		"/process": "/process", "/system": "/system", "/sys/fs/cgroup/..": "/sys/fs",
		"/proc/cpuinfo": "/proc/cpuinfo", "/proc/net/dev": "/proc/net/dev",
		"/": "", "/.": "", "//": "", "/a/..": "", "": "", "data": "", "../data": "", "/a\x00b": "",
		"/proc": "", "//proc": "", "/proc/": "", "/x/../proc": "", "/proc/self": "", "/proc/self/attr": "", "/proc/sys": "",
		"/proc/../proc/1": "", "/proc/cpuinfo/x": "", "/sys": "", "/" + strings.Repeat("x", 5000): "",
	} {
		m, err := parseMount(specs.Mount{Type: "bind", Source: "/src", Destination: dest})
		if (err == nil) != (want != "") || err == nil && m.dest != want {
			t.Errorf("%q: %q, %v, want %q", dest, m.dest, err, want)
		}
	}
	for dest, typ := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "tmpfs"} {
		if _, err := parseMount(specs.Mount{Type: typ, Destination: dest}); err != nil {
			t.Errorf("%s on %s: %v", typ, dest, err)
		}
	}
	if _, err := parseMount(specs.Mount{Type: "bind", Source: "/proc", Destination: "/proc"}); err != nil {
		t.Errorf("the host's own proc: %v", err)
	}
}

// Who wrote a TOML is told its keys, who wrote a Spec the options.
func TestMissingSource(t *testing.T) {
	spec := usual("/rootfs")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/missing", Destination: "/x"})
	for source, want := range map[string]string{"": "(option x-sdc.optional skips", "/etc/x.toml": "(optional = true leaves the mount out, create ="} {
		_, err := Plan(spec, configs.Settings{Source: source}, Facts{Sources: map[string]SourceKind{"/missing": IsMissing}})
		if err == nil || !strings.Contains(err.Error(), "source /missing does not exist "+want) {
			t.Errorf("%q: %v, want %s", source, err, want)
		}
	}
}

// What is refused in a user namespace the kernel would refuse, and each such filesystem is refused there alone.
func TestHostFilesystems(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Userns)
	mount := func(typ string) error {
		return exec.CommandContext(t.Context(), "unshare", "-Urmn", "mount", "-t", typ, typ, t.TempDir()).Run()
	}
	if err := mount("tmpfs"); err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, typ := range slices.Sorted(maps.Keys(fstypes())) {
		spec := usual("/rootfs")
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: typ, Source: typ, Destination: "/x"})
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: userNS})
		const want = `rootfs: mounts "/x": the kernel mounts `
		if err := Check(spec, configs.Settings{}); err == nil || !strings.HasPrefix(err.Error(), want+typ) {
			continue
		}
		refused = append(refused, typ)
		if mount(typ) == nil {
			t.Errorf("%s: refused, and the kernel does mount it in a user namespace", typ)
		}
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == userNS })
		if err := Check(spec, configs.Settings{}); err != nil {
			t.Errorf("%s without a user namespace: %v", typ, err)
		}
	}
	want := []string{"bpf", "configfs", "debugfs", "efivarfs", "fusectl", "hugetlbfs", "securityfs", "tracefs"}
	if !slices.Equal(refused, want) {
		t.Errorf("refused: %q, want %q", refused, want)
	}
}

// What shows a namespace that is not the container's is a copy of the host's, and no option of it is left out in silence.
func TestCopyOfHostsKeepsOptions(t *testing.T) {
	for _, c := range []struct{ typ, options, lost string }{
		{"proc", "hidepid=2", "hidepid=2"}, {"proc", "ro subset=pid", "subset=pid"}, {"mqueue", "sync", "sync"}, {"sysfs", "ro rw", "rw"},
		{"proc", "nosuid noexec nodev rw", ""}, {"sysfs", "rw ro", ""}, {"mqueue", "ro", ""},
	} {
		spec := withUserns(usual("/rootfs"))
		spec.Mounts = []specs.Mount{{Type: c.typ, Source: c.typ, Destination: "/" + c.typ, Options: strings.Fields(c.options)}}
		if c.typ == "proc" {
			spec.Mounts[0].Destination = "/proc"
		}
		if err := Check(spec, configs.Settings{}); err != nil {
			t.Errorf("%v, of its own: %v", c, err)
		}
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == shows[c.typ] })
		err := Check(spec, configs.Settings{})
		if c.lost == "" && err != nil || c.lost != "" && !strings.Contains(fmt.Sprint(err), fmt.Sprintf("option %q: without a %s namespace", c.lost, shows[c.typ])) {
			t.Errorf("%v, the host's: %v", c, err)
		}
	}
}

// Options that no user namespace may have, and those that contradict each other, are told before a start.
func TestHostOptions(t *testing.T) {
	const nowhere, both = "the kernel gives it to no user namespace", "does not go with userxattr"
	for _, c := range []struct{ typ, options, user, host string }{
		{"tmpfs", "noswap", nowhere, ""}, {"tmpfs", "huge=always", "", ""},
		{"overlay", "redirect_dir=on", nowhere, ""}, {"overlay", "redirect_dir=follow", nowhere, ""}, {"overlay", "redirect_dir=off", nowhere, ""},
		{"overlay", "redirect_dir=nofollow metacopy=off verity=off", "", ""},
		{"overlay", "metacopy=on", nowhere, ""}, {"overlay", "verity=on", nowhere, ""}, {"overlay", "index=on verity=require", nowhere, ""},
		{"overlay", "userxattr verity=on", "", ""}, {"overlay", "userxattr", "", ""}, {"overlay", "userxattr redirect_dir=nofollow", "", ""},
		{"overlay", "metacopy=on userxattr", both, both}, {"overlay", "userxattr redirect_dir=off", both, both},
	} {
		spec := usual("/rootfs")
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: c.typ, Source: c.typ, Destination: "/x", Options: strings.Fields(c.options)})
		for _, want := range []string{c.host, c.user} {
			if err := Check(spec, configs.Settings{}); (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%v: %v, want %q", c, err, want)
			}
			withUserns(spec)
		}
	}
}

// A device that is made here can be opened; one that comes from the parent is a mount of its own.
func TestDevicesInNodev(t *testing.T) {
	tun := specs.LinuxDevice{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200}
	tmpfs := func(dest string, options ...string) specs.Mount {
		return specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: dest, Options: options}
	}
	for _, c := range []struct {
		mounts []specs.Mount
		device specs.LinuxDevice
		want   string
	}{
		{[]specs.Mount{tmpfs("/dev", "nodev")}, tun, `mounts "/dev": is nodev: the device /dev/null, `},
		{[]specs.Mount{tmpfs("/dev", "nodev", "dev")}, tun, ""},
		{[]specs.Mount{tmpfs("/dev"), tmpfs("/dev/net", "nodev")}, tun, `mounts "/dev/net": is nodev: the device /dev/net/tun, `},
		{[]specs.Mount{tmpfs("/dev"), tmpfs("/dev/net", "nodev")}, specs.LinuxDevice{Path: "/dev/net/x", Type: "p"}, ""},
		{[]specs.Mount{tmpfs("/dev/net", "nodev"), tmpfs("/dev")}, tun, ""},                                                       // hidden
		{[]specs.Mount{{Type: "bind", Source: "/x", Destination: "/dev", Options: []string{"nodev", "x-sdc.optional"}}}, tun, ""}, // which may not be there
		{[]specs.Mount{tmpfs("/dev"), tmpfs("/dev/nets", "nodev")}, tun, ""},
		{[]specs.Mount{{Type: "bind", Source: "/x", Destination: "/dev", Options: []string{"rbind", "rnodev"}}}, tun, `mounts "/dev": is nodev: the device /dev/net/tun, `},
	} {
		spec := &specs.Spec{Root: &specs.Root{Path: "/rootfs"}, Mounts: c.mounts,
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: mountNS}}, Devices: []specs.LinuxDevice{c.device}}}
		if err := Check(spec, configs.Settings{}); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), "rootfs: "+c.want) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%v: %v, want %q", c.mounts, err, c.want)
		}
		if err := Check(withUserns(spec), configs.Settings{}); err != nil {
			t.Errorf("%v with a user namespace: %v", c.mounts, err)
		}
	}
}

// Where no device can be made is told, with a user namespace or without; what a bind brings may be the device.
func TestDevicesNowhere(t *testing.T) {
	for at, want := range map[string]string{
		"/dev/shm": "is the place of the tmpfs mount", "/dev/pts/0": "lies in the devpts mount", "/dev/mqueue/x": "lies in the mqueue mount",
		"/dev/null/x": "lies below the device /dev/null", "/dev/shm/x": "", "/dev/fuse": "", "/dev/nullx": "",
	} {
		spec := usual("/rootfs")
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/dev/fuse", Destination: "/dev/fuse"})
		spec.Mounts[3].Options = nil // of /dev/shm: nodev
		spec.Linux.Devices = []specs.LinuxDevice{{Path: at, Type: "c", Major: 10, Minor: 229}}
		for range 2 {
			err := Check(spec, configs.Settings{})
			if (err == nil) != (want == "") || want != "" && !strings.Contains(err.Error(), "linux.devices "+strconv.Quote(at)+": "+want) {
				t.Errorf("%s: %v, want %q", at, err, want)
			}
			withUserns(spec)
		}
	}
}

// All problems are told at once, and those of an entry say which.
func TestCheckTellsAll(t *testing.T) {
	spec := usual("/rootfs")
	spec.Hostname = strings.Repeat("x", 65)
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/x", Options: []string{"nodve"}}, specs.Mount{Type: "cgroup2", Destination: "/y/"})
	spec.Linux.MaskedPaths = []string{"/a", "/sys/fs/cgroup//x", "b"}
	spec.Linux.Sysctl = map[string]string{"net.x": "1", "vm.x": "1", "net.y": ""}
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/sys/x", Type: "p"}, {Path: "/dev/x", Type: "p"}, {Path: "/dev/x", Type: "p"}}
	var got []string
	for line := range strings.Lines(Check(spec, configs.Settings{}).Error()) {
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"rootfs: hostname: longer than the kernel's 64 bytes",
		`rootfs: mounts "/x": unknown option "nodve"; did you mean "nodev"?`,
		`rootfs: mounts "/y": there is a cgroup mount on /sys/fs/cgroup already`,
		`rootfs: linux.devices "/sys/x": a device in /proc or /sys cannot be made`,
		`rootfs: linux.devices "/dev/x": is listed twice`,
		`rootfs: linux.sysctl "net.y": value of 0 bytes: want 1 to 1023`,
		`rootfs: linux.sysctl "vm.x": belongs to no namespace: it would change the host's setting (want net.*, fs.mqueue.*, user.* or kernel.msg*, kernel.sem, kernel.shm*)`,
		`rootfs: linux.maskedPaths "/sys/fs/cgroup//x": lies in the cgroup mount, which is made last and has its own ro option`,
		`rootfs: linux.maskedPaths "b": path "b": want an absolute one`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// B25: among them NUL bytes, in whatever text there is of a mount.
func TestPlanRefuses(t *testing.T) {
	mount := func(typ, source, dest string, options ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: typ, Source: source, Destination: dest, Options: options})
		}
	}
	for want, change := range map[string]func(*specs.Spec){
		"no mount namespace": func(s *specs.Spec) { s.Linux.Namespaces = nil },
		`linux.namespaces "mount": a co`: func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces[1:], specs.LinuxNamespace{Type: mountNS, Path: "/run/mnt"}, specs.LinuxNamespace{Type: userNS})
		},
		"root.path":                func(s *specs.Spec) { s.Root.Path = "rootfs" },
		"no UTS namespace":         func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:1] },
		"64 bytes":                 func(s *specs.Spec) { s.Hostname = strings.Repeat("x", 65) },
		"rootfsPropagation":        func(s *specs.Spec) { s.Linux.RootfsPropagation = "rprivat" },
		`type "ext4"`:              mount("ext4", "/dev/sda1", "/x"),
		`unknown option "foo"`:     mount("tmpfs", "", "/x", "foo"),
		`mounts "/x"`:              mount("tmpfs", "", "/x", "foo"),
		"want an absolute path":    mount("bind", "src", "/x"),
		"has no effect on a bind":  mount("bind", "/src", "/x", "sync"),
		"contradict":               mount("bind", "/src", "/x", "x-sdc.optional", "x-sdc.create=dir"),
		"are for bind mounts":      mount("tmpfs", "", "/x", "x-sdc.optional"),
		"id mapping is for":        mount("tmpfs", "", "/x", "idmap"),
		"no user namespace":        mount("bind", "/src", "/x", "idmap"),
		"below the cgroup mount":   mount("tmpfs", "", "/sys/fs/cgroup/x"),
		"a cgroup mount on":        mount("cgroup2", "", "/cgroup"),
		"source /missing does not": mount("bind", "/missing", "/x"),
		`linux.maskedPaths "/proc": is looked at before`: func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc"} },
		`linux.maskedPaths "/sys/": is looked at before`: func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/sys/"} },
		`linux.maskedPaths "x": path`:                    func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"x"} },
		`linux.readonlyPaths "/": path`:                  func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/"} },
		`linux.readonlyPaths "/dev": exec could`:         func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/proc", "/dev/shm", "/dev"} },
		`linux.readonlyPaths "/dev/pts": exec could`:     func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/dev/pts"} },
		"lies in the cgroup mount":                       func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/sys/fs/cgroup/x"} },
		"type devpts on /dev/pts":                        func(s *specs.Spec) { s.Process.Terminal, s.Mounts = true, nil },
		"want c, b, u or p":                              func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} },
		"out of range": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Minor: 1 << 20}}
		},
		"listed twice": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "p"}, {Path: "/dev//x", Type: "p"}}
		},
		"cannot be made":       func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/proc/x", Type: "p"}} },
		`NUL byte in "1\x00"`:  mount("tmpfs", "", "/x", "context=1\x00"),
		`NUL byte in "s\x00"`:  mount("tmpfs", "s\x00", "/x"),
		`NUL byte in "/l\x00"`: mount("overlay", "o", "/x", "lowerdir=/l\x00"),
		"has a NUL byte":       mount("tmpfs", "", "/x\x00"),
		"want both or none": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/a", Destination: "/a", UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})
		},
		"source longer than":           mount("tmpfs", strings.Repeat("x", 256), "/x"),
		`linux.sysctl "vm.swappiness"`: func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} },
		"more than 4096 steps": func(s *specs.Spec) {
			for range 700 {
				mount("tmpfs", "", "/x")(s)
			}
		},
		"more than 191 registers": func(s *specs.Spec) {
			for range 200 {
				mount("bind", "/src", "/x")(s)
			}
		},
	} {
		spec := usual("/rootfs")
		change(spec)
		_, err := Plan(spec, configs.Settings{}, Facts{Sources: map[string]SourceKind{"/missing": IsMissing}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// E1: CVE-2022-0811 and relatives.
func TestE1SysctlsRefused(t *testing.T) {
	all := namespaces{netNS: "", ipcNS: "", utsNS: "", userNS: ""}
	pod := namespaces{netNS: "/run/net", userNS: "/run/user"}
	for _, c := range []struct {
		key, value string
		ns         namespaces
		want       string // the file, or a part of the error
		ok         bool
	}{
		{"net.ipv4.ip_forward", "1", all, "net/ipv4/ip_forward", true},
		{"net/ipv4/ip_forward", "1", all, "net/ipv4/ip_forward", true},
		{"net.ipv4.conf.eth0/1.rp_filter", "1", all, "net/ipv4/conf/eth0.1/rp_filter", true},
		{"net/ipv4/conf/eth0.1/rp_filter", "1", all, "net/ipv4/conf/eth0.1/rp_filter", true},
		{"kernel.shm_rmid_forced", "1", all, "kernel/shm_rmid_forced", true},
		{"kernel.sem", "1\t2 3", all, "kernel/sem", true},
		{"fs.mqueue.msg_max", "1", all, "fs/mqueue/msg_max", true},
		{"user.max_user_namespaces", "1", all, "user/max_user_namespaces", true},
		{"net.ipv4.ip_forward", "1", namespaces{ipcNS: ""}, "no network namespace", false},
		{"kernel.sem", "1", namespaces{netNS: ""}, "no ipc namespace", false},
		{"user.max_user_namespaces", "1", namespaces{netNS: ""}, "no user namespace", false},
		{"net.ipv4.ip_forward", "1", namespaces{netNS: "/run/net", userNS: ""}, "owns the network namespace: join that too, have none", false},
		{"kernel.sem", "1", namespaces{ipcNS: "/run/ipc", userNS: ""}, "owns the ipc namespace: join that too, have none", false},
		{"net.ipv4.ip_forward", "1", namespaces{netNS: "/run/net"}, "net/ipv4/ip_forward", true},
		{"net.ipv4.ip_forward", "1", pod, "net/ipv4/ip_forward", true},
		{"user.max_user_namespaces", "1", pod, "user/max_user_namespaces", true},
		{"kernel.core_pattern", "|/x", all, "belongs to no namespace", false},
		{"kernel.hostname", "x", all, "use the key hostname", false},
		{"kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x", all, "kernel/shm_rmid_forced", true}, // one value of one file
		{"kernel.shm_rmid_forced", "1\nx", all, "control character", false},
		{"kernel.shm_rmid_forced", "", all, "1 to 1023", false},
		{"net/../kernel/core_pattern", "x", all, "not a name", false},
		{"net...kernel.core_pattern", "x", all, "not a name", false},
		{"net.//kernel/core_pattern", "x", all, "net/..kernel.core_pattern", true}, // a name in net
		{"/net/x", "x", all, "not a name", false},
		{"net.", "x", all, "not a name", false},
		{"net", "x", all, "not a name", false},
		{"net.a\x00", "x", all, "not a name", false},
		{"net.a b", "x", all, "not a name", false},
	} {
		b := &builder{ns: c.ns, linux: &specs.Linux{Sysctl: map[string]string{c.key: c.value}}}
		got, errs := b.parseSysctls()
		err := errors.Join(errs...)
		switch {
		case c.ok && (err != nil || got[0] != sysctl{c.want, c.value}):
			t.Errorf("%q: %v, %v, want %s", c.key, got, err, c.want)
		case !c.ok && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, %v, want %q", c.key, got, err, c.want)
		}
	}
	// Who is root of the host may set what belongs to a network of the host's user namespace.
	for host, ok := range map[uint32]bool{0: true, 65536: false} {
		b := &builder{ns: namespaces{netNS: "/run/net", userNS: ""}, linux: &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{HostID: host, Size: 65536}}}}
		if err := b.allowSysctl("net/ipv4/ip_default_ttl"); (err == nil) != ok {
			t.Errorf("root is %d: %v", host, err)
		}
	}
}

func TestBinds(t *testing.T) {
	spec := usual("/rootfs")
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Type: "bind", Source: "/a", Destination: "/a", Options: []string{"x-sdc.optional", "rbind"}},
		specs.Mount{Source: "/b", Destination: "/b", Options: []string{"bind", "x-sdc.create=file", "ridmap"}},
		specs.Mount{Source: "/c", Destination: "/c", Options: []string{"bind", "ro", "nosuid"}},
		specs.Mount{Source: "/d", Destination: "/d", Options: []string{"rbind", "rro"}},
		specs.Mount{Source: "/e", Destination: "/e", Options: []string{"rbind", "rro", "rw"}},
		specs.Mount{Source: "/f", Destination: "/f", Options: []string{"rbind", "rnosuid"}}, // another restriction is not that one
		specs.Mount{Source: "/g", Destination: "/g", Options: []string{"rbind", "rrw", "ro"}})
	got, err := Binds(spec)
	want := []Source{
		{Path: "/a", For: "mount bind on /a", Target: "/a", Recursive: true},
		{Path: "/b", For: "mount bind on /b", Target: "/b", IDMap: &IDMap{Recursive: true}, Create: &Create{Kind: 1, Mode: 0o644}},
		{Path: "/c", For: "mount bind on /c", Target: "/c", ReadOnly: true},
		{Path: "/d", For: "mount bind on /d", Target: "/d", Recursive: true, ReadOnly: true, ReadOnlyBelow: true},
		{Path: "/e", For: "mount bind on /e", Target: "/e", Recursive: true, Writable: true, ReadOnlyBelow: true},
		{Path: "/f", For: "mount bind on /f", Target: "/f", Recursive: true},
		{Path: "/g", For: "mount bind on /g", Target: "/g", Recursive: true, ReadOnly: true, WritableBelow: true},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestOptionalSourceIsSkipped(t *testing.T) {
	spec := usual("/rootfs")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/a", Destination: "/a", Options: []string{"x-sdc.optional"}})
	for kind, want := range map[SourceKind]int{IsDir: 2, IsMissing: 1} {
		w, err := Plan(spec, configs.Settings{}, Facts{Sources: map[string]SourceKind{"/a": kind}})
		if err != nil || len(w.Sources) != want || len(w.Program.Received()) != want {
			t.Errorf("kind %d: %v, %v, want %d sources", kind, w.Sources, err, want)
		}
	}
}

// The owner of a device is one that the user namespace has; root is whoever comes first there.
func TestDevicesHaveOwners(t *testing.T) {
	spec := &specs.Spec{Root: &specs.Root{Path: "/rootfs"}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: mountNS}, {Type: userNS}}}}
	spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 5, HostID: 100000, Size: 10}}
	spec.Linux.GIDMappings = spec.Linux.UIDMappings
	for id, want := range map[uint32]string{0: "", 5: "", 14: "", 15: `linux.devices "/dev/x": has the owner 15:15`} {
		spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 1, Minor: 3, UID: &id, GID: &id}}
		if err := Check(spec, configs.Settings{}); (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%d: %v, want %q", id, err, want)
		}
	}
}
