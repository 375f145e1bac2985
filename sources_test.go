// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// Somebody who can write where a bind source is made puts a link in its place:
// what that leads to keeps its mode.
func TestMakeSourceOfOthers(t *testing.T) {
	dir := t.TempDir()
	canary, path := filepath.Join(dir, "canary"), filepath.Join(dir, "made")
	if err := os.Mkdir(canary, 0o700); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			if os.Remove(path) == nil {
				_ = os.Symlink(canary, path) // it may have been made anew
			}
		}
	}()
	c := &rootfs.Create{Kind: nsexec.Dir, Mode: 0o777, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for range 5000 {
		_ = makeSource(path, c) // it may fail: the other one is in the way
		if st, err := os.Stat(canary); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("canary: %v, %v", st.Mode(), err)
			break
		}
	}
	stop.Store(true)
	<-done
}

func TestMakeSource(t *testing.T) {
	for _, kind := range []nsexec.Kind{nsexec.Dir, nsexec.File} {
		path := filepath.Join(t.TempDir(), "made")
		c := &rootfs.Create{Kind: kind, Mode: 0o1757, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
		if err := makeSource(path, c); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.IsDir() != (kind == nsexec.Dir) || st.Mode().Perm() != 0o757 || st.Mode()&os.ModeSticky == 0 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
	}
}

// C7: CVE-2021-41091. Where other users of the host get to, a container with a user namespace
// cannot make set-user-ID files that are root's there.
func TestC7OthersReachNoIdmappedSource(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	var warned []string
	w.Warn = func(msg string) { warned = append(warned, msg) }
	create := func(strict bool) error {
		spec := w.spec("suid", "/bin/true")
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.Strict = strict
		s.Annotate(spec)
		c, err := w.Create(t.Context(), "suid", spec, w.options(CreateOptions{}))
		if err == nil {
			err = c.Destroy(t.Context(), true)
		}
		return err
	}
	const want = "where every user of this machine gets to"
	if err := create(false); err != nil || strings.Contains(fmt.Sprint(warned), want) {
		t.Errorf("below a private directory: %v, %q", err, warned)
	}
	for dir := filepath.Dir(w.root); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := create(true); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("strict: %v, want it to be refused", err)
	}
	if err := create(false); err != nil || !strings.Contains(fmt.Sprint(warned), want) {
		t.Errorf("not strict: %v, warnings %q", err, warned)
	}
}

// C7: nor one that may mount, where it is to read only: what it cannot write now it can make writable.
func TestC7ReadOnlyIsNoneForWhoMounts(t *testing.T) {
	sources := []rootfs.Source{{Path: "/usr", For: "rootfs", ReadOnly: true, ReadOnlyBelow: true, IDMap: &rootfs.IDMap{}}}
	for profile, want := range map[string]string{configs.ProfileApp: "<nil>", configs.ProfileSystem: "/usr, which who has CAP_SYS_ADMIN makes writable, lies where every user"} {
		process := &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: configs.Defaults(profile).Capabilities}}
		l := &launch{spec: &specs.Spec{Process: process}, settings: configs.Settings{Strict: true}}
		if err := l.keepOthersOut(t.Context(), sources); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %s", profile, err, want)
		}
	}
}

// Every source that others get to is told of, and nothing that the machine needs open is to be closed for it.
func TestExposuresAreAllTold(t *testing.T) {
	all := &rootfs.IDMap{Recursive: true}
	root := rootfs.Source{Path: "/usr", For: "rootfs", IDMap: all}
	list, err := exposures([]rootfs.Source{root, {Path: "/etc", For: "a", IDMap: all}, {Path: "/etc/passwd", For: "b", IDMap: all}, {Path: "/etc", For: "c"}}, false)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v: want three", list, err)
	}
	for i, want := range []string{"rootfs: /usr lies", "a: /etc lies", "b: /etc/passwd lies"} {
		if msg := list[i].Error(); !strings.HasPrefix(msg, want) || strings.Contains(msg, "chmod") || !strings.Contains(msg, "(move it below a directory of mode 0700, such as /var/lib/machines; or") {
			t.Errorf("%s: want %s and where to move it", msg, want)
		}
	}
	root.Path = "/etc/passwd"
	if list, err := exposures([]rootfs.Source{root, {Path: "/etc", For: "a", IDMap: all}}, false); !errors.Is(err, unix.ENOTDIR) || len(list) > 0 {
		t.Errorf("root is a file: %v, %v", list, err)
	}
}

// A directory is to be closed only where containers' files are kept.
func TestSeclude(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for _, dir := range []string{machines + "/a", "/srv/x/root", "/srv/sticky/root"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(machines, "link")
	if err := errors.Join(os.Chmod("/srv/sticky", 0o755|os.ModeSticky), os.Symlink("/usr", link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		machines + "/a": machines, "/srv/x/root": "/srv/x",
		"/srv/x": "", "/srv/sticky/root": "", "/usr": "", "/usr/lib": "", "/etc/passwd": "", "/tmp": "", link: "", "/none/x": "",
	} {
		if _, dir, _ := strings.Cut(seclude(path), "chmod 700 "); dir != want {
			t.Errorf("%s: chmod 700 %q, want %q", path, dir, want)
		}
	}
}

// What is read-only for the container may have mounts below it that are not.
func TestWritable(t *testing.T) {
	all := &rootfs.IDMap{Recursive: true}
	for _, tt := range []struct {
		name string
		s    rootfs.Source
		want bool
	}{
		{"writable", rootfs.Source{Path: "/", IDMap: &rootfs.IDMap{}}, true},
		{"with mounts below", rootfs.Source{Path: "/", ReadOnly: true, Recursive: true, IDMap: all}, true},
		{"those are read-only too", rootfs.Source{Path: "/", ReadOnly: true, ReadOnlyBelow: true, Recursive: true, IDMap: all}, false},
		{"those are not idmapped", rootfs.Source{Path: "/", ReadOnly: true, Recursive: true, IDMap: &rootfs.IDMap{}}, false},
		{"those are not taken along", rootfs.Source{Path: "/", ReadOnly: true, IDMap: all}, false},
		{"there are none", rootfs.Source{Path: t.TempDir(), ReadOnly: true, Recursive: true, IDMap: all}, false},
	} {
		if got := writable(tt.s); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A group gets in, other than root's, and whoever an ACL names: its mask is in the bits of the group.
func TestPassable(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	acl := []byte{2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 1, 0, 232, 3, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255,
		16, 0, 1, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255} // user::rwx, user:1000:--x, group::---, mask::--x, other::---
	for _, tt := range []struct {
		name string
		mode fs.FileMode
		gid  int
		acl  []byte
		want bool
	}{
		{"everybody", 0o701, 0, nil, true}, {"nobody", 0o700, 1000, nil, false},
		{"a group", 0o710, 1000, nil, true}, {"root's group", 0o710, 0, nil, false}, {"a user", 0o700, 0, acl, true},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, tt.mode), os.Chown(dir, 0, tt.gid)); err != nil {
			t.Fatal(err)
		}
		if tt.acl != nil {
			if err := unix.Setxattr(dir, "system.posix_acl_access", tt.acl, 0); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := passable(dir, info); got != tt.want {
			t.Errorf("%s: %v (%v), want %v", tt.name, got, info.Mode(), tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	private := t.TempDir()
	if err := os.Symlink("/usr", filepath.Join(private, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(private, "open"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/usr": true, "/usr/lib": true, filepath.Join(private, "link"): true,
		private + "/open": false, private + "/none": false,
	} {
		if got := reachable(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
