// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A tree is the content of a root: "" a directory, "-" a file, else a link to this.
type tree map[string]string

// make builds the tree in a directory with a sibling that nothing may leak into.
func (tr tree) make(t testing.TB) (root, outside string) {
	t.Helper()
	top := t.TempDir()
	root, outside = filepath.Join(top, "root"), filepath.Join(top, "outside")
	for _, dir := range []string{root, outside} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, what := range tr {
		p := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case what == "":
			err = os.MkdirAll(p, 0o755)
		case what == "-":
			err = os.WriteFile(p, nil, 0o600)
		default:
			err = os.Symlink(what, p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root, outside
}

func openPath(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// mkpath runs one MkPath step in K itself and returns where the result lies.
func mkpath(t testing.TB, root, path string, kind Kind, mode uint32) (string, error) {
	t.Helper()
	h := startHelper(t, StartOptions{})
	p := New("mkpath")
	r := p.Receive("root")
	p.At("make "+path, "")
	p.Sync(Control, 1, p.MkPath(r, path, kind, mode))
	p.End()
	var where string
	err := h.run(testContext(t), p, []*os.File{openPath(t, root)}, func(e Event) error {
		defer e.File.Close()
		var err error
		where, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", e.File.Fd()))
		return err
	})
	return where, err
}

// J3: the one text of an image that the interpreter reads is where a link points: as long as the kernel lets it be, and of any bytes.
func TestMkPath(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	for name, c := range map[string]struct {
		tree tree
		path string
		kind Kind
		want string // below root
		errs unix.Errno
	}{
		"existing":                 {tree{"proc": ""}, "/proc", Dir, "proc", 0},
		"root":                     {tree{}, "/", Dir, "", 0},
		"missing":                  {tree{}, "/a", Dir, "a", 0},
		"deep":                     {tree{"a": ""}, "/a/b/c/d", Dir, "a/b/c/d", 0},
		"relative":                 {tree{}, "a/b", Dir, "a/b", 0},
		"slashes":                  {tree{}, "//a///b//", Dir, "a/b", 0},
		"dots":                     {tree{}, "/a/./b/../c", Dir, "a/c", 0},
		"dots above root":          {tree{}, "/../../a", Dir, "a", 0},
		"file":                     {tree{}, "/etc/hosts", File, "etc/hosts", 0},
		"existing file":            {tree{"etc/hosts": "-"}, "/etc/hosts", File, "etc/hosts", 0},
		"absolute link":            {tree{"run": "", "var/run": "/run"}, "/var/run/x", Dir, "run/x", 0},
		"relative link":            {tree{"run": "", "var/run": "../run"}, "/var/run/x/y", Dir, "run/x/y", 0},
		"dangling absolute link":   {tree{"var/run": "/run"}, "/var/run/x", Dir, "run/x", 0},
		"dangling relative link":   {tree{"var/run": "../run/deep"}, "/var/run/x", File, "run/deep/x", 0},
		"dangling last component":  {tree{"var/run": "/run"}, "/var/run", Dir, "run", 0},
		"dangling file":            {tree{"etc/resolv.conf": "../run/stub"}, "/etc/resolv.conf", File, "run/stub", 0},
		"chain":                    {tree{"a": "/b", "b": "c/d", "c/d": "/e"}, "/a/x", Dir, "e/x", 0},
		"chain, dangling":          {tree{"a": "/b", "b": "c/d"}, "/a/x", Dir, "c/d/x", 0},
		"link through link":        {tree{"deep/dir": "", "l": "/deep/dir", "deep/dir/m": "../n"}, "/l/m/x", Dir, "deep/n/x", 0},
		"link too long":            {tree{"a": "/" + strings.Repeat("b/", 2040)}, "/a/" + strings.Repeat("c", 100), Dir, "", unix.ENAMETOOLONG},
		"longest link":             {tree{"a": "/" + strings.Repeat("./", 2045) + "bb"}, "/a/x", Dir, "bb/x", 0},
		"a byte longer":            {tree{"a": "/" + strings.Repeat("./", 2045) + "bbb"}, "/a/x", Dir, "", unix.ENAMETOOLONG},
		"longest name":             {tree{"a": strings.Repeat("b", 255)}, "/a/x", Dir, strings.Repeat("b", 255) + "/x", 0},
		"name too long":            {tree{"a": strings.Repeat("b", 256)}, "/a/x", Dir, "", unix.ENAMETOOLONG},
		"link of odd bytes":        {tree{"a": "\xff\x01%s\n"}, "/a/x", Dir, "\xff\x01%s\n/x", 0},
		"link with slash":          {tree{"a": "/b/"}, "/a/x", Dir, "b/x", 0},
		"link out, absolute":       {tree{"a": "/../../../outside"}, "/a/x", Dir, "outside/x", 0},
		"link out, relative":       {tree{"d/a": "../../../outside"}, "/d/a/x", Dir, "outside/x", 0},
		"loop":                     {tree{"a": "b", "b": "a"}, "/a/x", Dir, "", unix.ELOOP},
		"dangling loop":            {tree{"a": "b/x", "b": "a/x"}, "/a/x", Dir, "", unix.ELOOP},
		"link to itself and below": {tree{"a": "a/x"}, "/a", Dir, "", unix.ELOOP},
		"file on the way":          {tree{"a": "-"}, "/a/b", Dir, "", unix.ENOTDIR},
		"directory wanted":         {tree{"a": "-"}, "/a", Dir, "", unix.ENOTDIR},
	} {
		t.Run(name, func(t *testing.T) {
			root, outside := c.tree.make(t)
			got, err := mkpath(t, root, c.path, c.kind, 0o711)
			if c.errs != 0 {
				if !errors.Is(err, c.errs) {
					t.Errorf("%q %v, want %v", got, err, c.errs)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(root, c.want); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
				t.Errorf("outside: %v %v", list, err)
			}
		})
	}
}

func TestMkPathModes(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	root, _ := tree{}.make(t)
	for _, c := range []struct {
		path string
		kind Kind
		mode uint32
		want os.FileMode
	}{
		{"/a/b", Dir, 0o1777, 0o777 | os.ModeSticky | os.ModeDir},
		{"/a/f", File, 0o640, 0o640},
	} {
		where, err := mkpath(t, root, c.path, c.kind, c.mode)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(where); err != nil || info.Mode() != c.want {
			t.Errorf("%s: %v %v, want %v", c.path, info.Mode(), err, c.want)
		}
	}
	// The mask of the program itself is what it was.
	h := startHelper(t, StartOptions{})
	p := New("mask")
	r := p.Receive("root")
	p.Umask(0o027)
	p.MkPath(r, "/m", Dir, 0o777)
	p.Mkdir(r, "n", 0o777)
	p.End()
	if err := h.run(testContext(t), p, []*os.File{openPath(t, root)}, noSync); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"m": 0o777, "n": 0o750} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	if info, err := os.Lstat(filepath.Join(root, "a")); err != nil || info.Mode() != 0o755|os.ModeDir {
		t.Errorf("parent: %v %v", info.Mode(), err)
	}
}

// While somebody exchanges a directory and a link out of the root, nothing is
// ever made outside, and no result lies there.
func TestB10MkPathUnderAttack(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	root, outside := tree{"d/sub": ""}.make(t)
	if err := os.Symlink(outside, filepath.Join(root, "evil")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../.."+outside, filepath.Join(root, "evil2")); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	swaps := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			evil := []string{"/evil", "/evil2"}[n%2]
			_ = unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+evil, unix.RENAME_EXCHANGE) // may lose the race
			_ = unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+evil, unix.RENAME_EXCHANGE)
		}
		swaps <- n
	}()
	made, rounds := 0, 0
	// Where the attacker gets no processor, one round may see only the link.
	for least := sdtest.Loops(t, 8, 300); rounds < least || made == 0 && rounds < least+50; rounds++ {
		made += makeBelow(t, root, outside, rounds)
	}
	stop.Store(true)
	if n := <-swaps; n < 10 {
		t.Errorf("only %d exchanges: no attack", n)
	}
	list, err := os.ReadDir(outside)
	if err != nil || len(list) > 0 {
		t.Errorf("made outside: %v %v", list, err)
	}
	if made == 0 {
		t.Errorf("none of %d times 180 paths made: no proof", rounds)
	}
}

// makeBelow has an interpreter make 180 paths of a round below root, and returns how many it made.
func makeBelow(t *testing.T, root, outside string, round int) (made int) {
	t.Helper()
	h := startHelper(t, StartOptions{})
	p := New("mkpath")
	r := p.Receive("root")
	for i := range 180 {
		p.MkPath(r, fmt.Sprintf("/d/sub/n%d/x%d", i, round), Kind(i%2), 0o755)
		p.steps[len(p.steps)-1].Tolerate(unix.ENOENT, unix.ENOTDIR, unix.ELOOP)
	}
	p.End()
	if err := h.run(testContext(t), p, []*os.File{openPath(t, root)}, noSync); err != nil {
		t.Error(err)
	}
	// The result of each step, as K has it open.
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		where, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", h.Pid, fd.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(where, outside) {
			t.Errorf("descriptor %s is %s", fd.Name(), where)
		}
		if strings.HasPrefix(where, root+"/") {
			made++
		}
	}
	return made
}
