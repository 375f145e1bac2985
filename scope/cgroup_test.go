// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// fakeTree makes the hierarchy a directory of the test's. Keys are files below it.
func fakeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := mount
	mount = func() string { return root }
	t.Cleanup(func() { mount = before })
	return root
}

func TestEvents(t *testing.T) {
	fakeTree(t, map[string]string{
		"a/cgroup.events": "populated 1\nfrozen 0\n",
		"b/cgroup.events": "populated 0\nfrozen 1\n",
	})
	for path, want := range map[string][2]bool{"/a": {true, false}, "/b": {false, true}, "/gone": {}, "/../../a": {true, false}} {
		if have := [2]bool{Populated(path), Frozen(path)}; have != want {
			t.Errorf("%s: populated, frozen are %v, want %v", path, have, want)
		}
	}
	if fakeTree(t, map[string]string{"c": "no directory"}); !Populated("/c") || Frozen("/c") {
		t.Error("what cannot be looked at is taken for empty, or for frozen")
	}
}

// A cgroup that is made anew has another number, by whichever way it is asked for.
func TestInode(t *testing.T) {
	root := fakeTree(t, map[string]string{"a/cgroup.procs": "", "b/cgroup.procs": ""})
	a, err := Inode("/a")
	if err != nil || a == 0 {
		t.Fatal(a, err)
	}
	open, err := os.Open(filepath.Join(root, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := os.RemoveAll(filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := Inode("/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of one that is gone: %v", err)
	}
	if same, err := InodeOf(open); same != a || err != nil {
		t.Errorf("by its directory: %d, %v; want %d", same, err, a)
	}
	if err := os.Rename(filepath.Join(root, "b"), filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	if other, err := Inode("/a"); other == a || err != nil {
		t.Errorf("of another in its place: %d, %v; want another than %d", other, err, a)
	}
}

func TestProcs(t *testing.T) {
	fakeTree(t, map[string]string{
		"a/cgroup.procs": "30\n4\n", "a/b/cgroup.procs": "5\n0\n", "a/b/c/cgroup.procs": "", "other/cgroup.procs": "6\n",
		"bad/cgroup.procs": "x\n",
	})
	have, err := Procs("/a")
	if d := cmp.Diff([]int{4, 5, 30}, have); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if _, err := Procs("/gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
	if _, err := Procs("/bad"); err == nil || !strings.Contains(err.Error(), "bad/cgroup.procs") {
		t.Errorf("error is %v", err)
	}
}

// Who owns a tree can go on making it while somebody walks through.
func TestProcsComesToAnEnd(t *testing.T) {
	root := fakeTree(t, map[string]string{"cgroup.procs": "3\n", "a/cgroup.procs": "2\n", "a/b/cgroup.procs": "1\n"})
	if pids, err := procsBelow(root, 3); err != nil || !slices.Equal(pids, []int{1, 2, 3}) {
		t.Errorf("three cgroups: %v, %v", pids, err)
	}
	if pids, err := procsBelow(root, 2); err == nil || !strings.Contains(err.Error(), "more than 2 cgroups") {
		t.Errorf("one too many: %v, %v", pids, err)
	}
}

func TestCgroupOf(t *testing.T) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, want, unified := strings.Cut("\n"+string(b), "\n0::")
	have, err := CgroupOf(os.Getpid())
	if have != strings.TrimSuffix(want, "\n") || (err == nil) != unified {
		t.Errorf("%q, %v; want %q", have, err, want)
	}
	if _, err := CgroupOf(1 << 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
}

// A cgroup may be called as the kernel calls those that are gone.
func TestUndeleted(t *testing.T) {
	fakeTree(t, map[string]string{"u/x/cgroup.procs": "", "u/x (deleted)/cgroup.procs": ""})
	for path, want := range map[string]string{"/u/x": "/u/x", "/u/x (deleted)": "/u/x (deleted)", "/u/y": "/u/y", "/u/y (deleted)": "/u/y"} {
		if got := undeleted(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestOOMKills(t *testing.T) {
	root := fakeTree(t, map[string]string{"a/memory.events": "low 0\noom 5\noom_kill 3\noom_group_kill 1\n"})
	f, err := OpenEvents("/a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 { // it can be read again
		if n, ok := OOMKills(f); n != 3 || !ok {
			t.Errorf("%d, %v; want 3", n, ok)
		}
	}
	if err := os.Truncate(filepath.Join(root, "a/memory.events"), 0); err != nil {
		t.Fatal(err)
	}
	if n, ok := OOMKills(f); n != 0 || ok {
		t.Errorf("%d, %v; want unknown", n, ok)
	}
	if _, err := OpenEvents("/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
}

// Who gets a cgroup to make others below it is bounded first.
func TestHand(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	files := map[string]string{"u/cgroup.max.descendants": "", "u/cgroup.max.depth": "", "u/memory.max": ""}
	for _, file := range handed[1:] {
		files["u/"+file] = ""
	}
	root := fakeTree(t, files)
	if err := Hand("/u", 1234, 5678); err != nil {
		t.Fatal(err)
	}
	owner := func(file string) (uid, gid uint32) {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, "u", file), &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid, st.Gid
	}
	for _, file := range handed {
		if uid, gid := owner(file); uid != 1234 || gid != 5678 {
			t.Errorf("%q is %d:%d's", file, uid, gid)
		}
	}
	for file, want := range map[string]string{"cgroup.max.descendants": "4096", "cgroup.max.depth": "12", "memory.max": ""} {
		b, err := os.ReadFile(filepath.Join(root, "u", file))
		if uid, gid := owner(file); string(b) != want || err != nil || uid != 0 || gid != 0 {
			t.Errorf("%s is %q of %d:%d, %v; want %q of root", file, b, uid, gid, err, want)
		}
	}
}

func TestDepthBelow(t *testing.T) {
	for length, want := range map[int]int{20: 12, 960: 12, 961: 11, 3776: 1, 3777: 0, 5000: 0} {
		if got := depthBelow(strings.Repeat("x", length)); got != want {
			t.Errorf("below %d bytes: %d, want %d", length, got, want)
		}
	}
}

// Anticipate moves us to where we are, and does not queue behind another call.
func TestAnticipate(t *testing.T) {
	own, err := CgroupOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	procs := filepath.Join(own, "cgroup.procs")
	root := fakeTree(t, map[string]string{procs: "-"})
	read := func() string {
		b, err := os.ReadFile(filepath.Join(root, procs))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	anticipating.Lock()
	Anticipate()
	anticipating.Unlock()
	if have := read(); have != "-" {
		t.Errorf("a second call wrote %q", have)
	}
	Anticipate()
	if have := read(); have != "0" {
		t.Errorf("cgroup.procs has %q, want our own 0", have)
	}
}

// What systemd-oomd counted is read of the unit's cgroup and the payload's, also when they are gone, whoever wrote it.
func TestManagedOOMKills(t *testing.T) {
	root := fakeTree(t, map[string]string{"s/u/payload/cgroup.procs": "", "s/plain/cgroup.procs": ""})
	mark := func(value string) {
		if err := unix.Setxattr(filepath.Join(root, "s/u/payload"), "user.oomd_ooms", []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	unit, payload, err := OpenCgroups("/s/u/payload")
	if err != nil {
		t.Fatal(err)
	}
	defer unit.Close()
	defer payload.Close()
	if n := ManagedOOMKills(unit, payload); n != 0 {
		t.Errorf("%d kills before there is a mark", n)
	}
	for value, want := range map[string]uint64{"1": 1, "12": 12, "x": 0, "-1": 0, "": 0, "99999999999999999999": 0} {
		if mark(value); ManagedOOMKills(unit, payload) != want {
			t.Errorf("mark %q: %d kills, want %d", value, ManagedOOMKills(unit, payload), want)
		}
	}
	mark("3")
	if err := unix.Setxattr(filepath.Join(root, "s/u"), "user.oomd_ooms", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "s/u")); err != nil {
		t.Fatal(err)
	}
	if n := ManagedOOMKills(unit, payload); n != 5 {
		t.Errorf("of removed cgroups: %d kills, want 5", n)
	}
	unit, payload, err = OpenCgroups("/s/plain")
	if err != nil || payload != nil {
		t.Fatalf("without a payload's: %v, %v", payload, err)
	}
	defer unit.Close()
	if n := ManagedOOMKills(unit, payload); n != 0 {
		t.Errorf("of one without a mark: %d", n)
	}
}

// The root of the hierarchy is no container's: what is asked of it would be the whole machine's, and what is
// done to it done to all.
func TestRootIsNoUnits(t *testing.T) {
	root := fakeTree(t, map[string]string{
		"cgroup.procs": "1\n", "cpu.stat": "usage_usec 1\n", "memory.events": "oom_kill 1\n", "a/cgroup.procs": "2\n",
		"cgroup.subtree_control": "", "cgroup.threads": "", "cgroup.controllers": "",
	})
	for _, path := range []string{"", "/", "//", "/..", "/a/.."} {
		for name, f := range map[string]func() error{
			"Procs":       func() error { _, err := Procs(path); return err },
			"ReadStats":   func() error { _, err := ReadStats(path); return err },
			"OpenEvents":  func() error { _, err := OpenEvents(path); return err },
			"Hand":        func() error { return Hand(path, os.Getuid(), os.Getgid()) },
			"MakePayload": func() error { _, err := MakePayload(path, nil, nil, 0); return err },
			"StepAside":   func() error { return StepAside(path) },
			"Inode":       func() error { _, err := Inode(path); return err },
			"OpenCgroups": func() error { _, _, err := OpenCgroups(path); return err },
		} {
			if err := f(); err == nil || !strings.Contains(err.Error(), "want that of a unit") {
				t.Errorf("%s(%q): error is %v", name, path, err)
			}
		}
	}
	for _, made := range []string{payloadName, asideName} {
		if _, err := os.Lstat(filepath.Join(root, made)); err == nil {
			t.Errorf("made %s in the root", made)
		}
	}
}
