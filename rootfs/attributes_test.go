// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"testing"

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
