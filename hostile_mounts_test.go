// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A10: CVE-2015-1334. What the container has at /proc matters to no start and no exec, and nobody goes where its links lead.
func TestA10ForgedProc(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("forged", "/bin/sleep", "60")
	spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/proc" })
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil
	for _, dir := range []string{"proc/self/attr/apparmor", "proc/self/ns", "proc/sys/kernel"} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"proc/self/fd": "/bin", "proc/thread-self": "self", "proc/1": "self", "proc/self/root": "/"}
	target := t.TempDir()
	for name := range strings.FieldsSeq("attr/exec attr/current attr/fscreate attr/apparmor/exec exe uid_map gid_map setgroups oom_score_adj ns/user ../sys/kernel/hostname") {
		file := filepath.Join(target, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(file, []byte("the host's"), 0o666); err != nil {
			t.Fatal(err)
		}
		links[filepath.Join("proc/self", name)] = file
	}
	for link, to := range links {
		if err := os.Symlink(to, filepath.Join(w.root, link)); err != nil {
			t.Fatal(err)
		}
	}
	before := everyFile(t, target)
	c, err := w.Create(t.Context(), "forged", spec, w.options(CreateOptions{Detach: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Destroy(context.Background(), true) }()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, out := pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"echo", "here"}}, ExecOptions{Stdout: out})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r)
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 || string(b) != "here\n" {
		t.Errorf("%q, %+v, %v", b, e, err)
	}
	if d := cmp.Diff(before, everyFile(t, target)); d != "" {
		t.Errorf("where the links lead: %s", d)
	}
}

// everyFile is what the directory and the files in it have, to the last time they were changed.
func everyFile(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err = errors.Join(err, unix.Lstat(path, &st)); err == nil {
			b, _ := os.ReadFile(path) // a directory has no text
			seen[path] = fmt.Sprintf("%o %d:%d %d %d.%09d %q", st.Mode, st.Uid, st.Gid, st.Nlink, st.Ctim.Sec, st.Ctim.Nsec, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// R37: a container leaves no mount behind, whatever was mounted in it and however it ends, and holds on to none of its sources: a
// directory that is deleted meanwhile, layers of an overlay, a filesystem that is unmounted afterwards.
func TestR37NoMountStays(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	disk := t.TempDir()
	source := fmt.Sprintf("source-%d", os.Getpid())
	if err := unix.Mount(source, disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })                                   // it should have been by then
	if err := eachAbove(disk, func(dir string) error { return os.Chmod(dir, 0o755) }); err != nil { // for an overlay
		t.Fatal(err)
	}
	before := w.mountsNow(disk)
	for end, kill := range map[string]func(*Container) error{
		"stopped": func(c *Container) error { return c.Stop(t.Context(), time.Second) },
		"killed":  func(c *Container) error { return c.Signal(t.Context(), unix.SIGKILL, true) },
		"removed": func(*Container) error { return nil },
	} {
		for _, dir := range []string{"gone", "a", "b", "upper", "work"} {
			if err := os.MkdirAll(filepath.Join(disk, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		spec, s := configured(t, fmt.Sprintf("rootfs.path = %q\nprocess.args = ['/bin/sh']\nsecurity.profile = 'system'\n", w.root))
		s.Strict, s.Log.Driver = false, "none"
		s.Annotate(spec)
		overlay := fmt.Sprintf("lowerdir=%s/a:%s/b", disk, disk)
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: disk + "/gone", Destination: "/gone", Options: []string{"bind"}},
			specs.Mount{Type: "overlay", Source: "overlay", Destination: "/over", Options: []string{overlay}})
		spec.Process.Args = []string{"/bin/sh", "-c", "cd /gone && busybox mount -t tmpfs x /tmp && busybox mkdir /tmp/in && busybox mount -t tmpfs y /tmp/in && busybox mount --bind /tmp /mnt && echo up; exec sleep 1000"}
		if err := os.MkdirAll(filepath.Join(w.root, "mnt"), 0o755); err != nil {
			t.Fatal(err)
		}
		c, _ := w.startHostile("mounts", spec)
		if err := os.Remove(filepath.Join(disk, "gone")); err != nil {
			t.Errorf("%s: a source: %v", end, err)
		}
		if err := errors.Join(kill(c), c.Destroy(t.Context(), true)); err != nil {
			t.Errorf("%s: %v", end, err)
		}
		if d := cmp.Diff(before, w.mountsNow(disk)); d != "" {
			t.Errorf("%s: %s", end, d)
		}
	}
	if err := unix.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[1-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), " "+source+" ") { // a process that has ended has none
			t.Errorf("%s has what was a source:\n%s", file, b)
		}
	}
}

// mountsNow are those at or below the run directory, the root and one more directory: elsewhere systemd mounts, and unmounts, what it likes.
func (w *world) mountsNow(dir string) (lines []string) {
	w.t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		for _, place := range []string{w.Dir, w.root, dir} {
			if strings.Contains(line, " "+place+" ") || strings.Contains(line, " "+place+"/") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
