// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// hostNodes mounts a filesystem that forbids nothing, with a null device in it, on dir/sub until the test ends.
func hostNodes(t *testing.T, dir string) {
	t.Helper()
	sdtest.Require(t, sdtest.Root)
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", sub, "tmpfs", 0, "size=1m,mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(sub, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	null := filepath.Join(sub, "null")
	if err := unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(null, 0o666); err != nil {
		t.Fatal(err)
	}
}

// restrictions are those of nodev and nosuid that a mount has.
func (m mountLine) restrictions() string {
	return strings.Join(slices.DeleteFunc([]string{"nodev", "nosuid"}, func(o string) bool { return !m.has(o) }), ",")
}

// What a configuration's volumes forbid unless they say otherwise, they forbid for the mounts below too.
func TestVolumesForbidBelow(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		hostNodes(t, dir)
		for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		toml := "version = 1\n[rootfs]\npath = '/srv'\n[process]\nargs = ['/x']\n"
		rows := map[string]struct{ more, top, below string }{
			"plain":    {"", "nodev,nosuid", "nodev,nosuid"},
			"flat":     {"recursive = false", "nodev,nosuid", "none"},
			"dev":      {"options = ['dev']", "nosuid", "nosuid"},
			"suid":     {"options = ['suid']", "nodev", "nodev"},
			"both":     {"options = ['rsuid', 'rdev']", "", ""},
			"lastword": {"options = ['dev', 'nodev']", "nodev,nosuid", "nosuid"},
		}
		for name, row := range rows {
			toml += fmt.Sprintf("[[mount]]\nsource = %q\ntarget = '/at/%s'\n%s\n", dir, name, row.more)
		}
		path := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
			t.Fatal(err)
		}
		spec, err := configs.Load(path, configs.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range spec.Mounts {
			if strings.HasPrefix(m.Destination, "/at/") {
				w.spec.Mounts = append(w.spec.Mounts, m)
			}
		}
		v := w.see(map[string]string{"write /at/plain/sub/null": "EACCES", "write /at/suid/sub/null": "EACCES", "write /at/dev/sub/null": "ok"})
		for name, row := range rows {
			top, below := v.at("/at/"+name), v.at("/at/"+name+"/sub")
			if top.restrictions() != row.top || top.Point == "" {
				t.Errorf("%s: %q, want %q", name, top.Options, row.top)
			}
			if row.below == "none" && below.Point != "" || row.below != "none" && (below.Point == "" || below.restrictions() != row.below) {
				t.Errorf("below %s: %q, want %q", name, below.Options, row.below)
			}
		}
	})
}

// Of a filesystem that is mounted below the root directory on the host, the container can open no device; it is as
// writable as on the host also where the root is read-only, and mount points are made in it.
func TestRootForbidsDevicesBelow(t *testing.T) {
	for _, readonly := range []bool{false, true} {
		both(t, func(t *testing.T, w *world) {
			hostNodes(t, w.root)
			w.spec.Root.Readonly = readonly
			w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/sub/made"})
			v := w.see(map[string]string{"write /sub/null": "EACCES", "write /dev/null": "ok", "create /sub/made/x": "ok", "create /sub/x": "ok"})
			for _, point := range []string{"/", "/sub"} {
				if m := v.at(point); !m.has("nodev") {
					t.Errorf("%s has %q", point, m.Options)
				}
			}
			if m := v.at("/"); m.has("ro") != readonly {
				t.Errorf("root has %q; read-only: %v", m.Options, readonly)
			}
		})
	}
}

// Where a device of the configuration is in the root itself, those that came with it can be opened too.
func TestRootWithDevices(t *testing.T) {
	w := newWorld(t)
	hostNodes(t, w.root)
	w.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/opt/kmsg", Type: "c", Major: 1, Minor: 11}}
	w.see(map[string]string{"write /sub/null": "ok"})
}
