// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// onOff are the attributes by their options, as mountinfo has them.
var onOff = []struct{ on, off string }{
	{"ro", "rw"}, {"nosuid", "suid"}, {"nodev", "dev"}, {"noexec", "exec"}, {"nosymfollow", "symfollow"},
	{"nodiratime", "diratime"}, {"noatime", "strictatime"}, {"noatime", "atime"}, {"relatime", "strictatime"},
}

// Each attribute is set and cleared by its option: of the mount, and with an r before it
// of those below too.
func TestEachAttribute(t *testing.T) {
	w := newWorld(t)
	bare, full := hostTree(t), hostTree(t)
	const all = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NODIRATIME | unix.MS_NOATIME | unix.MS_NOSYMFOLLOW
	for dir, flags := range map[string]uintptr{bare: unix.MS_STRICTATIME, full: all} {
		if err := unix.Mount("", dir+"/sub", "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range onOff {
		for _, r := range []string{"", "r"} {
			w.bind(bare, "/at/"+r+a.on, r+a.on)
			w.bind(full, "/at/"+r+a.off, r+a.off)
		}
	}
	v := w.see(map[string]string{"cwd": "/"})
	for _, a := range onOff {
		for point, want := range map[string]bool{
			a.on: true, a.on + "/sub": false, "r" + a.on: true, "r" + a.on + "/sub": true,
			a.off + "/sub": a.on != "relatime", "r" + a.off + "/sub": false,
		} {
			if m := v.at("/at/" + point); m.Point == "" || m.has(a.on) != want {
				t.Errorf("%s has %q; want %s: %v", point, m.Options, a.on, want)
			}
		}
	}
}

// The kernel takes what becomes of each option of any filesystem.
func TestEachSuperblockOption(t *testing.T) {
	w := newWorld(t)
	for _, option := range []string{"sync", "dirsync", "lazytime", "iversion", "mand"} {
		for _, o := range []string{option, "no" + option} {
			if o == "nosync" {
				o = "async"
			}
			w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/" + o, Options: []string{o}})
		}
	}
	v := w.see(map[string]string{"cwd": "/"})
	for _, m := range w.spec.Mounts {
		if v.at(m.Destination).Point == "" {
			t.Errorf("%s is not mounted", m.Destination)
		}
	}
}

// Of options that contradict each other the last one counts, of the mount itself; for those below it the last with an r
// before it. What the kernel then has is what is expected of it.
func TestContradictions(t *testing.T) {
	w := newWorld(t)
	dir := hostTree(t)
	if err := unix.Mount("", dir+"/sub", "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil { // with nothing forbidden
		t.Fatal(err)
	}
	rows := map[string]struct{ top, below string }{
		"ro,rw": {}, "rw,ro": {"ro", ""}, "rro,rw": {"", "ro"}, "rw,rro": {"ro", "ro"}, "ro,rrw": {}, "rrw,ro": {"ro", ""},
		"rro,rrw": {}, "rrw,rro": {"ro", "ro"}, "rro,rw,rro": {"ro", "ro"}, "rro,rrw,ro": {"ro", ""}, "ro,rro,rw": {"", "ro"},
		"nosuid,rsuid,rnodev,dev,noexec": {"noexec", "nodev"}, "rnoexec,nosuid,rsuid,nodev": {"nodev,noexec", "noexec"},
	}
	for options := range rows {
		list := strings.Split(options, ",")
		w.bind(dir, "/at/bind/"+options, list...)
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/at/tmpfs/" + options, Options: list})
	}
	v := w.see(map[string]string{"cwd": "/"})
	for options, want := range rows {
		if got := strings.Join(Restrictions(strings.Split(options, ",")), ","); got != want.top {
			t.Errorf("%s: %q is expected, want %q", options, got, want.top)
		}
		for point, want := range map[string]string{"bind/" + options: want.top, "bind/" + options + "/sub": want.below, "tmpfs/" + options: want.top} {
			m := v.at("/at/" + point)
			have := slices.DeleteFunc([]string{"nodev", "noexec", "nosuid", "ro"}, func(o string) bool { return !m.has(o) })
			if got := strings.Join(have, ","); m.Point == "" || got != want {
				t.Errorf("%s has %q (%s), want %q", point, got, m.Options, want)
			}
		}
	}
}
