// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// see runs the world and compares what commands gave.
func (w *world) see(want map[string]string) *view {
	w.t.Helper()
	v, err := w.run(slices.Sorted(maps.Keys(want))...)
	if err != nil {
		w.t.Fatal(err)
	}
	if d := cmp.Diff(want, v.Ran); d != "" {
		w.t.Error(d)
	}
	return v
}

func both(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("root", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("userns", func(t *testing.T) {
		w := newWorld(t)
		w.inUserns()
		f(t, w)
	})
}

func TestUsualWorld(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		before, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		v := w.see(map[string]string{
			"ls /":                   "dev look proc sys x",
			"ls /..":                 "dev look proc sys x",
			"ls /dev":                "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
			"stat /dev/null":         "20666 1:3 0:0",
			"stat /dev/zero":         "20666 1:5 0:0",
			"stat /dev/full":         "20666 1:7 0:0",
			"stat /dev/random":       "20666 1:8 0:0",
			"stat /dev/urandom":      "20666 1:9 0:0",
			"stat /dev/tty":          "20666 5:0 0:0",
			"stat /dev":              "40755 0:0 0:0",
			"stat /dev/pts/ptmx":     "20666 5:2 0:0",
			"stat /dev/shm":          "41777 0:0 0:0",
			"link /dev/stdin":        "/proc/self/fd/0",
			"link /dev/ptmx":         "pts/ptmx",
			"link /dev/fd":           "/proc/self/fd",
			"write /dev/null":        "ok",
			"create /x":              "ok",
			"create /dev/shm/x":      "ok",
			"mkdir /sys/x":           "EROFS",
			"mkdir /sys/fs/cgroup/x": "EROFS",
			"ls /proc/acpi":          "",
			"ls /sys/firmware":       "",
			"cat /proc/keys":         "",
			"mkdir /proc/acpi/x":     "EROFS",
			"cwd":                    "/",
			"lo":                     "0x9",
			"cat /proc/1/comm":       "look",
		})
		if v.Hostname != "box" {
			t.Errorf("hostname %q", v.Hostname)
		}
		roots := 0
		for _, m := range v.Mounts {
			if m.Point == "/" {
				roots++
			}
			if m.Tags != "" {
				t.Errorf("%s is %s: mounts would come or go", m.Point, m.Tags)
			}
		}
		if roots != 1 {
			t.Errorf("%d mounts on /: the old root is still there", roots)
		}
		for point, options := range map[string]string{
			"/": "rw nodev", "/proc": "rw nosuid nodev noexec", "/dev": "rw nosuid noexec", "/dev/pts": "rw nosuid noexec",
			"/dev/mqueue": "rw nosuid nodev noexec", "/sys": "ro nosuid nodev noexec", "/sys/fs/cgroup": "ro nosuid nodev noexec",
			"/proc/sys": "ro nosuid nodev noexec", "/proc/acpi": "ro nosuid nodev noexec", "/look": "ro",
		} {
			for o := range strings.FieldsSeq(options) {
				if m := v.at(point); !m.has(o) {
					t.Errorf("%s has %q, want %s", point, m.Options, o)
				}
			}
		}
		after, err := os.ReadFile("/proc/self/mountinfo")
		if d := cmp.Diff(string(before), string(after)); d != "" || err != nil {
			t.Errorf("the host's mounts changed: %s%v", d, err)
		}
	})
}

func TestReadOnlyRoot(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.spec.Root.Readonly = true
		w.spec.Process.Cwd = "/srv/app"
		w.spec.Mounts = append(w.spec.Mounts,
			specs.Mount{Type: "tmpfs", Destination: "/run", Options: []string{"ro", "mode=700"}},
			specs.Mount{Type: "tmpfs", Destination: "/run/inner", Options: []string{"mode=1777"}})
		v := w.see(map[string]string{
			"create /x": "EROFS", "create /srv/app/x": "EROFS", "create /run/x": "EROFS", "create /run/inner/x": "ok",
			"create /dev/shm/x": "ok", "cwd": "/srv/app", "stat /run": "40700 0:0 0:0",
		})
		if m := v.at("/"); !m.has("ro") {
			t.Errorf("root is %q", m.Options)
		}
	})
}

// A /dev that is "ro" is filled first, by everything that puts something there, and is read-only
// for the payload; what is mounted below it stays as it is, and devices open for writing.
func TestReadOnlyDev(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for i, m := range w.spec.Mounts {
			if m.Destination == "/dev" {
				w.spec.Mounts[i].Options = append(m.Options, "ro")
			}
		}
		w.spec.Process.Terminal = true
		w.spec.Process.Cwd = "/dev/work"
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/dev/later"})
		w.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/dir/fifo", Type: "p"}}
		w.spec.Linux.MaskedPaths = append(w.spec.Linux.MaskedPaths, "/dev/full", "/dev/dir")
		w.spec.Linux.ReadonlyPaths = append(w.spec.Linux.ReadonlyPaths, "/dev/later")
		v := w.see(map[string]string{
			"ls /dev":       "console core dir fd full later mqueue null ptmx pts random shm stderr stdin stdout tty urandom work zero",
			"create /dev/x": "EROFS", "mkdir /dev/x": "EROFS", "create /dev/work/x": "EROFS", "create /dev/later/x": "EROFS",
			"create /dev/shm/x": "ok", "create /dev/mqueue/x": "ok", "write /dev/null": "ok", "ls /dev/dir": "", "cwd": "/dev/work",
			"tty": "136:0 session 1",
		})
		if m := v.at("/dev"); !m.has("ro") || !m.has("noexec") || !m.has("nosuid") {
			t.Errorf("/dev is %q", m.Options)
		}
	})
}

func TestRootPropagation(t *testing.T) {
	for p, want := range map[string][2]string{"": {"", ""}, "private": {"", ""}, "shared": {"shared", ""},
		"rshared": {"shared", "shared"}, "unbindable": {"unbindable", ""}} {
		w := newWorld(t)
		w.spec.Linux.RootfsPropagation = p
		v := w.see(map[string]string{"cwd": "/"})
		root, _, _ := strings.Cut(v.at("/").Tags, ":")
		proc, _, _ := strings.Cut(v.at("/proc").Tags, ":")
		if d := cmp.Diff(want, [2]string{root, proc}); d != "" {
			t.Errorf("%q: %s", p, d)
		}
	}
}

// A root that is a slave hears of the host's mounts only where the host shares them.
func TestRootSlaveIsNeverShared(t *testing.T) {
	w := newWorld(t)
	w.spec.Linux.RootfsPropagation = "rslave"
	if root, _, _ := strings.Cut(w.see(map[string]string{"cwd": "/"}).at("/").Tags, ":"); root != "" && root != "master" {
		t.Errorf("root is %q", root)
	}
}

func TestIdmappedRoot(t *testing.T) {
	w := newWorld(t)
	w.inUserns()
	w.own(0)
	w.set = configs.Settings{IdmapRootfs: true}
	w.see(map[string]string{"stat /": "40755 0:0 0:0", "create /x": "ok", "stat /x": "100666 0:0 0:0"})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(w.root, "x"), &st); err != nil || st.Uid != 0 {
		t.Errorf("new file has uid %d on the host, %v", st.Uid, err)
	}
}

func TestDevices(t *testing.T) {
	mode := os.FileMode(0o640)
	id := uint32(7)
	devices := []specs.LinuxDevice{
		{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode, UID: &id, GID: &id},
		{Path: "/dev/null", Type: "c", Major: 1, Minor: 3, FileMode: &mode},
		{Path: "/dev/initctl", Type: "p"},
		{Path: "/opt/kmsg", Type: "u", Major: 1, Minor: 11},
	}
	w := newWorld(t)
	w.spec.Linux.Devices = devices
	v := w.see(map[string]string{"stat /dev/net/tun": "20640 10:200 7:7", "stat /dev/null": "20640 1:3 0:0", "stat /dev/initctl": "10666 0:0 0:0",
		"stat /opt/kmsg": "20666 1:11 0:0"})
	if m := v.at("/"); m.has("nodev") {
		t.Error("a device in the root cannot be opened: it is nodev")
	}
	full := []specs.LinuxDevice{{Path: "/dev/full", Type: "c", Major: 1, Minor: 8}}
	w = newWorld(t)
	w.inUserns()
	w.spec.Linux.Devices = full
	w.see(map[string]string{"stat /dev/full": "20666 1:8 0:0", "stat /dev/null": "20666 1:3 0:0", "write /dev/null": "ok"})
	// Where the parent may make none, they are the host's.
	w = newWorld(t)
	w.inUserns()
	w.facts.HostNodes = true
	w.see(map[string]string{"stat /dev/null": "20666 1:3 65534:65534", "write /dev/null": "ok"})
	w = newWorld(t)
	w.inUserns()
	w.facts.HostNodes, w.spec.Linux.Devices = true, full
	if _, err := w.run(); err == nil || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("the host's /dev/full was taken for 1:8: %v", err)
	}
}

func TestSysctls(t *testing.T) {
	for _, options := range [][]string{nil, {"ro"}} { // which needs another procfs to write to
		both(t, func(t *testing.T, w *world) {
			w.spec.Mounts[0].Options = options
			w.spec.Linux.Sysctl = map[string]string{
				"net.ipv4.ping_group_range": "0 1000", "net/ipv4/ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "20",
			}
			w.spec.Domainname = "example"
			w.see(map[string]string{"cat /proc/sys/net/ipv4/ip_forward": "1", "cat /proc/sys/net/ipv4/ping_group_range": "0\t1000",
				"cat /proc/sys/kernel/shm_rmid_forced": "1", "cat /proc/sys/fs/mqueue/msg_max": "20", "cat /proc/sys/kernel/domainname": "example",
				"write /proc/sys/net/ipv4/ip_forward": "EROFS"})
		})
	}
}

// TestForeignNamespaces has a user namespace whose root has no power over the
// network and PID namespaces: proc and sysfs must be copies.
func TestForeignNamespaces(t *testing.T) {
	w := newWorld(t)
	w.inUserns()
	w.spec.Linux.Namespaces = w.spec.Linux.Namespaces[:0]
	for _, n := range []nsType{mountNS, utsNS, userNS} {
		w.spec.Linux.Namespaces = append(w.spec.Linux.Namespaces, specs.LinuxNamespace{Type: n})
	}
	w.without("/dev/mqueue") // not every host has one to copy
	v := w.see(map[string]string{"ls /..": "dev look proc sys", "mkdir /sys/fs/cgroup/x": "EROFS", "stat /dev/null": "20666 1:3 0:0",
		"cat /proc/self/comm": "look"})
	for point, typ := range map[string]string{"/proc": "proc", "/sys": "sysfs"} {
		if m := v.at(point); m.Type != typ {
			t.Errorf("%s is of type %q", point, m.Type)
		}
	}
	if m := v.at("/sys"); !m.has("ro") {
		t.Errorf("/sys has %q", m.Options)
	}
}

// B25: nothing in a directory's name ends it, or is an option of its own.
func TestOverlay(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Overlay)
	upper, more, ways := "u,lowerdir=x\ny", "b,redirect_dir=on\nc", []bool{false, true}
	if !kernel.HaveOverlayLowerPlus() { // nor commas: overlayfs parses one string before Linux 6.5
		upper, more, ways = "u\nx", "b\nc", ways[:1]
	}
	for _, plus := range ways {
		t.Run(fmt.Sprintf("lowerdir+=%v", plus), func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			for _, d := range []string{"a", "b:c", more, upper, "w"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for f, content := range map[string]string{"a/one": "a", "b:c/one": "b", "b:c/two": "b", more + "/two": "c", more + "/three": "c"} {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			w.facts.OverlayLowerPlus = plus
			w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "overlay", Source: "overlay", Destination: "/merged",
				Options: []string{"lowerdir=" + dir + "/a:" + dir + `/b\:c:` + dir + "/" + more, "upperdir=" + dir + "/" + upper, "workdir=" + dir + "/w"}})
			v := w.see(map[string]string{"cat /merged/one": "a", "cat /merged/two": "b", "cat /merged/three": "c", "create /merged/new": "ok"})
			if super := v.at("/merged").Super; strings.Contains(super, ",redirect_dir=on") {
				t.Errorf("a part of a name is an option: %s", super)
			}
			if _, err := os.Stat(filepath.Join(dir, upper, "new")); err != nil {
				t.Error(err)
			}
		})
	}
}

// B25: what a new filesystem is called, and where it is, are none of its options; nor are they of a bind.
func TestB25NamesAreNoOptions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const name = "a,nr_inodes=9,gid=7:b\\c\nuid=7"
		source := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(filepath.Join(source, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		w.bind(source, "/bound,rw:x\ny", "ro")
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Source: name, Destination: "/t,mode=0777", Options: []string{"size=64k", "mode=0710"}})
		v := w.see(map[string]string{"stat /t,mode=0777": "40710 0:0 0:0", "ls /bound,rw:x\ny": "in", "mkdir /bound,rw:x\ny/z": "EROFS"})
		if super := "," + v.at("/t,mode=0777").Super + ","; !strings.Contains(super, ",size=64k,") || strings.Contains(super, "nr_inodes=9") || strings.Contains(super, "id=7") {
			t.Errorf("the tmpfs has %s", super)
		}
	})
}

func TestNothingLeftOpen(t *testing.T) {
	w := newWorld(t)
	w.spec.Process.Terminal = true
	w.see(map[string]string{"files": "/dev/pts/0 /dev/pts/0 /dev/pts/0"})
}

// A directory of the host's root that the container's root may not look into, as
// /sys/fs/bpf where the host's network namespace is shared, is hidden all the same.
func TestMaskOfAnInaccessibleDirectory(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		if err := os.MkdirAll(filepath.Join(w.root, "locked/in"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(w.root, "locked"), 0o700); err != nil {
			t.Fatal(err)
		}
		w.spec.Linux.MaskedPaths = append(w.spec.Linux.MaskedPaths, "/locked")
		w.see(map[string]string{"ls /locked": "", "stat /locked": "40555 0:0 0:0", "mkdir /locked/x": "EROFS"})
	})
}

// inUserns gives the Spec a user namespace of 65536 ids from 100000.
func (w *world) inUserns() {
	m := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	w.spec.Linux.Namespaces = append(w.spec.Linux.Namespaces, specs.LinuxNamespace{Type: userNS})
	w.spec.Linux.UIDMappings, w.spec.Linux.GIDMappings = m, m
	w.own(100000)
}

// own gives the rootfs to uid and lets everybody reach it.
func (w *world) own(uid int) {
	w.t.Helper()
	for dir := w.root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := filepath.WalkDir(w.root, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	}); err != nil {
		w.t.Fatal(err)
	}
}
