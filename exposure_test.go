// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// C7: CVE-2021-41091. Where other users of the host get to, a container with a user namespace
// cannot make set-user-ID files that are root's there.
func TestC7OthersReachNoIdmappedSource(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	const want = "where other users of this machine get to"
	for _, tt := range []struct {
		name  string
		open  func(t *testing.T, root string) error
		place string // that the error names; "" for none
	}{
		{"private", func(*testing.T, string) error { return nil }, ""},
		{"open", func(_ *testing.T, root string) error {
			return eachAbove(root, func(dir string) error { return os.Chmod(dir, 0o755) })
		}, "%[1]s lies "},
		{"another's", func(_ *testing.T, root string) error {
			return eachAbove(root, func(dir string) error { return errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 1000, 1000)) })
		}, "%[1]s lies "},
		{"mounted below", func(t *testing.T, root string) error {
			return bind(t, openDirectory(t), filepath.Join(root, "proc"))
		}, "%[1]s/proc, found in whole or in part at %[2]s too, lies "},
		{"mounted elsewhere", func(t *testing.T, root string) error {
			return bind(t, root, openDirectory(t))
		}, "%[1]s, found in whole or in part at %[2]s too, lies "},
		{"a part mounted elsewhere", func(t *testing.T, root string) error {
			return bind(t, filepath.Join(root, "bin"), openDirectory(t))
		}, "%[1]s, found in whole or in part at %[2]s too, lies "},
		{"a layer of an overlay", func(t *testing.T, root string) error {
			point, other := openDirectory(t), t.TempDir()
			t.Cleanup(func() {
				if err := unix.Unmount(point, 0); err != nil {
					t.Error(err)
				}
			})
			return unix.Mount("overlay", point, "overlay", 0, "lowerdir="+root+":"+other)
		}, "%[1]s, found in whole or in part at %[2]s too, lies "},
	} {
		t.Run(tt.name, func(t *testing.T) {
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
			if err := tt.open(t, w.root); err != nil {
				t.Fatal(err)
			}
			if tt.place == "" {
				if err := create(false); err != nil || strings.Contains(fmt.Sprint(warned), want) {
					t.Errorf("%v, %q", err, warned)
				}
				return
			}
			place := strings.NewReplacer("%[1]s", w.root, "%[2]s", openPath(t)).Replace(tt.place) + want
			if err := create(true); err == nil || !strings.Contains(err.Error(), place) {
				t.Errorf("strict: %v, want %s", err, place)
			}
			if err := create(false); err != nil || !strings.Contains(fmt.Sprint(warned), place) {
				t.Errorf("not strict: %v, warnings %q, want %s", err, warned, place)
			}
		})
	}
}

func eachAbove(path string, do func(dir string) error) error {
	for dir := filepath.Dir(path); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := do(dir); err != nil {
			return err
		}
	}
	return nil
}

// openPath is where everybody gets to.
func openPath(t *testing.T) string { return filepath.Join(os.TempDir(), filepath.Base(t.Name())) }

func openDirectory(t *testing.T) string {
	dir := openPath(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func bind(t *testing.T, source, target string) error {
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
	return unix.Mount(source, target, "", unix.MS_BIND, "")
}

// C7: nor one that may mount, where it is to read only: what it cannot write now it can make writable.
func TestC7ReadOnlyIsNoneForWhoMounts(t *testing.T) {
	sources := []rootfs.Source{{Path: "/usr", For: "rootfs", ReadOnly: true, ReadOnlyBelow: true, IDMap: &rootfs.IDMap{}}}
	for profile, want := range map[string]string{configs.ProfileApp: "<nil>", configs.ProfileSystem: "/usr, which who has CAP_SYS_ADMIN makes writable, lies where other users"} {
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
		if msg := list[i].Error(); !strings.HasPrefix(msg, want) || strings.Contains(msg, "chmod") || !strings.Contains(msg, "(move it below a directory of root's with mode 0700, such as /var/lib/machines; or") {
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
	link := filepath.Join(machines, "link")
	t.Cleanup(func() { // several packages may share this system
		for _, path := range []string{machines + "/a", link, "/srv/x", "/srv/sticky", "/srv/users"} {
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	})
	for _, dir := range []string{machines + "/a", "/srv/x/root", "/srv/sticky/root", "/srv/users/root"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod("/srv/sticky", 0o755|os.ModeSticky), os.Chown("/srv/users", 1000, 0), os.Symlink("/usr", link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		machines + "/a": machines, "/srv/x/root": "/srv/x",
		"/srv/x": "", "/srv/sticky/root": "", "/usr": "", "/usr/lib": "", "/etc/passwd": "", "/tmp": "", link: "", "/none/x": "", "/srv/users/root": "",
	} {
		if _, dir, _ := strings.Cut(seclude(path), "chmod 700 "); dir != want {
			t.Errorf("%s: chmod 700 %q, want %q", path, dir, want)
		}
	}
}

// What is read-only for the container may have mounts below it that are not.
func TestHoldings(t *testing.T) {
	all, table := &rootfs.IDMap{Recursive: true}, []mountLine{}
	own, err := mountOf(unix.AT_FDCWD, "/usr")
	if err != nil {
		t.Fatal(err)
	}
	table = append(table, mountLine{id: own.Mnt_id, point: "/", dev: "8:1", root: "/@"}, mountLine{point: "/usrlocal", dev: "8:2", root: "/"},
		mountLine{point: "/usr/ro", dev: "8:3", root: "/x", options: []string{"ro"}}, mountLine{point: "/usr/rw", dev: "8:4", root: "/"})
	self := func(ro bool) holding { return holding{"/usr", ro, "8:1", "/@/usr"} }
	below := func(ro bool) []holding {
		return []holding{{"/usr/ro", true, "8:3", "/x"}, {"/usr/rw", ro, "8:4", "/"}}
	}
	for _, tt := range []struct {
		name string
		s    rootfs.Source
		want []holding
	}{
		{"alone", rootfs.Source{IDMap: &rootfs.IDMap{}}, []holding{self(false)}},
		{"with mounts below", rootfs.Source{ReadOnly: true, Recursive: true, IDMap: all}, append([]holding{self(true)}, below(false)...)},
		{"those are read-only too", rootfs.Source{ReadOnly: true, ReadOnlyBelow: true, Recursive: true, IDMap: all}, append([]holding{self(true)}, below(true)...)},
		{"those are not idmapped", rootfs.Source{Recursive: true, IDMap: &rootfs.IDMap{}}, []holding{self(false)}},
		{"not in the table", rootfs.Source{ReadOnly: true, IDMap: all}, []holding{{point: "/usr", ro: true}}},
		{"those are not taken along", rootfs.Source{IDMap: all}, []holding{self(false)}},
	} {
		tt.s.Path = "/usr"
		lines := table
		if tt.name == "not in the table" {
			lines = table[1:2]
		}
		if got := holdings(tt.s, lines); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	table[0].options = []string{"ro"}
	for _, writable := range []bool{false, true} {
		s := rootfs.Source{Path: "/usr", Recursive: true, IDMap: all, Writable: writable, WritableBelow: writable}
		want := append([]holding{self(!writable)}, below(false)...)
		want[1].ro = !writable
		if got := holdings(s, table); !slices.Equal(got, want) {
			t.Errorf("read-only on the host, writable %v: %+v, want %+v", writable, got, want)
		}
	}
}

// The same files have other names where their file system, or a part of it, is mounted too.
func TestNamesOfHoldings(t *testing.T) {
	table := []mountLine{
		{point: "/", dev: "8:1", root: "/@"}, {point: "/disk", dev: "8:1", root: "/"}, {point: "/pub", dev: "8:1", root: "/@/srv/web/pub"},
		{point: "/snap", dev: "8:1", root: "/@snap"}, {point: "/usb", dev: "8:2", root: "/"}, {point: "/srv", dev: "8:1", root: "/@/srv"},
	}
	got := holding{"/srv/web", false, "8:1", "/@/srv/web"}.names(table, overlays{})
	if want := []string{"/srv/web", "/disk/@/srv/web", "/pub"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// An overlay shows the files of its layers, and those made in it lie in its upper one.
func TestNamesInOverlays(t *testing.T) {
	disk := []mountLine{{point: "/", dev: "8:1", root: "/@"}, {point: "/srv", dev: "8:1", root: "/@/srv"}}
	overlay := func(dev, point, root string, layers ...string) mountLine {
		return mountLine{point: point, dev: dev, root: root, overlay: "rw,lowerdir=" + strings.Join(layers[1:], ":") + ",upperdir=" + layers[0]}
	}
	web := holding{"/srv/web", false, "8:1", "/@/srv/web"}
	for _, tt := range []struct {
		name  string
		h     holding
		table []mountLine
		want  []string
	}{
		{"equal", web, []mountLine{overlay("0:9", "/o", "/", "/up", "/x", "/srv/web")}, []string{"/o"}},
		{"above", web, []mountLine{overlay("0:9", "/o", "/", "/up", "/srv")}, []string{"/o/web"}},
		{"below", web, []mountLine{overlay("0:9", "/o", "/", "/srv/web/usr")}, []string{"/o"}},
		{"beside", web, []mountLine{overlay("0:9", "/o", "/", "/up", "/srv/webs", "srv/web")}, nil},
		{"of another disk", web, []mountLine{{point: "/srv/web", dev: "8:2", root: "/"}, overlay("0:9", "/o", "/", "/srv/web")}, nil},
		{"a part of it elsewhere", web, []mountLine{overlay("0:9", "/o", "/", "/srv"), {point: "/p", dev: "0:9", root: "/web/x"}, {point: "/q", dev: "0:9", root: "/x"}}, []string{"/o/web", "/p"}},
		{"over an overlay", web, []mountLine{overlay("0:9", "/o", "/", "/srv"), overlay("0:10", "/oo", "/", "/up", "/o/web")}, []string{"/o/web", "/oo"}},
		{"is one", holding{"/o/root", false, "0:9", "/root"}, []mountLine{overlay("0:9", "/o", "/", "/up", "/low")}, []string{"/up/root"}},
		{"is the root, whose upper one has another name here", holding{"/srv/web", false, "0:9", "/srv/web"},
			[]mountLine{overlay("0:9", "/", "/", "/cow/upper", "/ro")}, nil},
		{"two in a circle", holding{"/a/x", false, "0:9", "/x"}, []mountLine{overlay("0:9", "/a", "/", "/b/up"), overlay("0:10", "/b", "/", "/a/up")}, []string{"/b/up/x"}},
		{"a layer on the top one of a stack, in whatever order", holding{"/web", false, "8:4", "/web"}, []mountLine{{id: 34, parent: 33, point: "/lo", dev: "8:4", root: "/"},
			{id: 32, parent: 31, point: "/lo", dev: "8:2", root: "/"}, {id: 33, parent: 32, point: "/lo", dev: "8:3", root: "/"}, overlay("0:9", "/o", "/", "/up", "/lo/web")}, []string{"/lo/web", "/o"}},
		{"a layer below one covered", holding{"/web", false, "8:2", "/web"}, []mountLine{{id: 33, parent: 32, point: "/lo", dev: "8:3", root: "/"},
			{id: 32, parent: 31, point: "/lo", dev: "8:2", root: "/"}, overlay("0:9", "/o", "/", "/up", "/lo/web")}, []string{"/lo/web"}},
	} {
		table := append(slices.Clone(disk), tt.table...)
		want := append([]string{tt.h.point}, tt.want...)
		if got := tt.h.names(table, overlaysIn(table)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
}

// An owner gets in, and a group, other than root's, and whoever an ACL names: its mask is in the bits of the group.
func TestPassable(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	acl := []byte{2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 1, 0, 232, 3, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255,
		16, 0, 1, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255} // user::rwx, user:1000:--x, group::---, mask::--x, other::---
	for _, tt := range []struct {
		name string
		mode fs.FileMode
		uid  int
		gid  int
		acl  []byte
		want bool
	}{
		{"everybody", 0o701, 0, 0, nil, true}, {"nobody", 0o700, 0, 1000, nil, false}, {"its owner", 0o700, 1000, 0, nil, true},
		{"an owner who closed it", 0, 1000, 0, nil, true},
		{"a group", 0o710, 0, 1000, nil, true}, {"root's group", 0o710, 0, 0, nil, false}, {"a user", 0o700, 0, 0, acl, true},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, tt.mode), os.Chown(dir, tt.uid, tt.gid)); err != nil {
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
	sdtest.Require(t, sdtest.Root)
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
