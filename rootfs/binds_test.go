// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// hostTree makes a directory with a file and another filesystem below it, until
// the test ends.
func hostTree(t *testing.T) string {
	t.Helper()
	sdtest.Require(t, sdtest.Root)
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", sub, "tmpfs", unix.MS_NOSUID, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(sub, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestB15BindAttributes(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		dir := hostTree(t)
		for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		w.bind(dir, "/ro", "ro", "nosuid")
		w.bind(dir, "/rro", "rro", "rnoexec", "rsuid")
		w.bind(filepath.Join(dir, "file"), "/etc/file", "rw", "nodev", "noatime")
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "bind", Source: dir, Destination: "/flat", Options: []string{"bind"}})
		v := w.see(map[string]string{
			"create /ro/x": "EROFS", "create /ro/sub/x": "ok",
			"create /rro/x": "EROFS", "create /rro/sub/x": "EROFS", "ls /flat": "file sub", "ls /flat/sub": "", "cat /etc/file": "host",
		})
		for point, want := range map[string]string{"/ro": "ro,nosuid,relatime", "/rro": "ro,noexec,relatime", "/rro/sub": "ro,noexec,relatime",
			"/etc/file": "rw,nodev,noatime", "/ro/sub": "rw,nosuid,relatime"} {
			if m := v.at(point); m.Options != want {
				t.Errorf("%s has %q, want %q", point, m.Options, want)
			}
		}
	})
}

// TestBindPropagation needs a shared source; what the container's mounts are then
// is the peer groups' affair.
func TestBindPropagation(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"} {
		w.bind(dir, "/"+p, p)
	}
	w.bind(dir, "/default")
	v := w.see(map[string]string{"cwd": "/"})
	for point, want := range map[string]string{"/": "", "/default": "", "/private": "", "/rprivate": "", "/slave": "master", "/rslave": "master",
		"/shared": "shared", "/rshared": "shared", "/unbindable": "unbindable"} {
		tags, _, _ := strings.Cut(v.at(point).Tags, ":")
		if tags != want {
			t.Errorf("%s is %q, want %q", point, v.at(point).Tags, want)
		}
	}
}

func TestIdmappedBind(t *testing.T) {
	w := newWorld(t)
	w.inUserns()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "of-root"), []byte("mapped"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.bind(dir, "/data", "idmap")
	w.see(map[string]string{"cat /data/of-root": "mapped", "stat /data/of-root": "100600 0:0 0:0", "create /data/new": "ok"})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "new"), &st); err != nil || st.Uid != 0 {
		t.Errorf("new file has uid %d on the host, %v", st.Uid, err)
	}
}
