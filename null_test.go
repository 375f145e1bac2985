// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// hostRoot takes the user namespace from a Spec.
func hostRoot(t *testing.T, spec *specs.Spec) {
	t.Helper()
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.AutoUserns, s.IdmapRootfs = 0, false
	s.Annotate(spec)
	without(specs.UserNamespace)(spec)
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = nil, nil
}

// hostNull is a null device that stands for the host's: whoever changes it harms nobody.
func hostNull(t *testing.T) *os.File {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	node := filepath.Join(dir, "null")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// B3: without a user namespace, the host's null device as a standard stream could be
// changed by the payload; it gets the container's own instead, at start and by exec.
func TestB3NullIsItsOwn(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	null := hostNull(t)
	mode := func() os.FileMode {
		info, err := null.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	const same = "for fd in 0 2; do /bin/busybox stat -L -c '%t:%T %d:%i' /proc/self/fd/$fd; done; /bin/busybox stat -c '%t:%T %d:%i' /dev/null"
	const change = "; /bin/busybox chmod 600 /proc/self/fd/0 /proc/self/fd/2"
	check := func(how, out string) {
		t.Helper()
		lines := strings.Fields(strings.ReplaceAll(out, "1:3 ", ""))
		if len(lines) != 3 || len(slices.Compact(lines)) != 1 {
			t.Errorf("%s: stdin, stderr and /dev/null are %q", how, out)
		}
		if m := mode(); m != 0o666 {
			t.Errorf("%s: the host's null device has mode %v", how, m)
		}
	}
	spec := w.spec("null", "/bin/sh", "-c", same+change+"; echo done; sleep 60")
	hostRoot(t, spec)
	for i, m := range spec.Mounts { // where it can be changed, or the rest shows nothing
		if m.Destination == "/dev" {
			spec.Mounts[i].Options = append(m.Options, "rw")
		}
	}
	r, out := pipe(t)
	c, err := w.startSpec("null", spec, CreateOptions{Detach: true, Stdin: null, Stdout: out, Stderr: null})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	check("start", until(t, r, "done\n"))
	// The container may have made what it likes of its own device.
	r, out = pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", same + change + "; echo done"}}, ExecOptions{Stdin: null, Stdout: out, Stderr: null})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	check("exec", until(t, r, "done\n"))
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	// It is replaced: no exec gets the host's instead.
	p, err = c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", "/bin/busybox rm /dev/null; echo x >/dev/null"}}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/true"}}, ExecOptions{Stdin: null}); err == nil {
		t.Error("exec in a container whose /dev/null is a file: accepted")
		_, _ = p.Wait(t.Context())
	} else {
		t.Log(err)
	}
}

// until reads what comes from a pipe up to and without an end.
func until(t *testing.T, r *os.File, end string) string {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for !strings.HasSuffix(string(text), end) {
		b := make([]byte, 1)
		if _, err := r.Read(b); err != nil {
			t.Fatalf("%q and then %v", text, err)
		}
		text = append(text, b[0])
	}
	return strings.TrimSuffix(string(text), end)
}
