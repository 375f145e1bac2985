// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A bind mount is shown through the container's mapping, with what is mounted below it only
// if that was asked for, or through one of its own.
func TestIdmappedBinds(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	// Not a tmpfs, which has no mappings before Linux 6.3.
	if err := unix.Mount(t.TempDir(), sub, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(sub, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, f := range []string{dir + "/file", sub + "/file"} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(f, 7, 8); err != nil {
			t.Fatal(err)
		}
	}
	const first = 300000
	spec := w.spec("idmaps", "/bin/stat", "-c", "%n %u:%g")
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.AutoUserns = 0
	s.Annotate(spec)
	spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: first, Size: 65536}}
	spec.Linux.GIDMappings = spec.Linux.UIDMappings
	bind := func(dest string, options ...string) *specs.Mount {
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: dir, Destination: dest, Options: append(options, "rbind", "ro")})
		spec.Process.Args = append(spec.Process.Args, dest+"/file", dest+"/sub/file")
		return &spec.Mounts[len(spec.Mounts)-1]
	}
	bind("/plain")
	bind("/idmap", "idmap")
	bind("/ridmap", "ridmap")
	m := bind("/own", "ridmap")
	m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 7, HostID: first + 70, Size: 1}}
	m.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 8, HostID: first + 80, Size: 1}}
	out, _ := w.outputOf("idmaps", spec)
	want := []string{
		"/plain/file 65534:65534", "/plain/sub/file 65534:65534", "/idmap/file 7:8", "/idmap/sub/file 65534:65534",
		"/ridmap/file 7:8", "/ridmap/sub/file 7:8", "/own/file 70:80", "/own/sub/file 70:80",
	}
	if d := cmp.Diff(want, strings.Split(strings.TrimSpace(out), "\n")); d != "" {
		t.Error(d)
	}
}

// What a mount fails of is told, and what would be right.
func TestMountHints(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t) // below a directory that the ids of the container do not pass
	shut := t.TempDir()
	file := filepath.Join(shut, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]specs.Mount{
		"permission denied (lower, upper and work must lie where": {Destination: "/mnt", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + shut + ":" + w.root}},
		"invalid argument (a directory can only be mounted on a":  {Destination: "/tmp", Type: "bind", Source: file, Options: []string{"bind"}},
	} {
		spec := w.spec("hint", "/bin/true")
		spec.Mounts = append(spec.Mounts, m)
		if _, err := w.Create(t.Context(), "hint", spec, w.options(CreateOptions{})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
