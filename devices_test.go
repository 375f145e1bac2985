// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// nodes are devices that nobody is given, and some that everybody is.
var nodes = []struct {
	name         string
	mode         uint32
	major, minor uint32
	given        bool
}{
	{"sda", unix.S_IFBLK, 8, 0, false},
	{"mem", unix.S_IFCHR, 1, 1, false},
	{"loop-control", unix.S_IFCHR, 10, 237, false},
	{"console", unix.S_IFCHR, 5, 1, false},
	{"tty1", unix.S_IFCHR, 4, 1, false},
	{"null", unix.S_IFCHR, 1, 3, true},
	{"zero", unix.S_IFCHR, 1, 5, true},
	{"urandom", unix.S_IFCHR, 1, 9, true},
}

// nodeDirs are the directories of the test's container in which somebody could wish for a device, and what becomes
// of one. Only where the mount lets devices be used is the list of the cgroup what decides.
var nodeDirs = []struct{ dir, given, other string }{
	{"/", "mknod ok, open EACCES", "mknod ok, open EACCES"},
	{"/dev", "mknod EROFS, open ENOENT", "mknod EROFS, open ENOENT"},
	{"/dev/shm", "mknod ok, open EACCES", "mknod ok, open EACCES"},
	{"/tmp", "mknod ok, open EACCES", "mknod ok, open EACCES"},
	{"/volume", "mknod ok, open ok", "mknod ok, open EPERM"},
}

// makeNodes makes every device in each of the directories and says what came of making and opening it.
func makeNodes() {
	for _, d := range nodeDirs {
		for _, n := range nodes {
			path := filepath.Join(d.dir, "made-"+n.name)
			made := unix.Mknod(path, n.mode|0o666, int(unix.Mkdev(n.major, n.minor)))
			fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			_ = unix.Unlink(path) // the next look is the same
			fmt.Printf("%s %s: mknod %s, open %s\n", d.dir, n.name, errnoWord(made), errnoWord(err))
		}
	}
}

func errnoWord(err error) string {
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	return "ok"
}

// C13: a payload that may make devices, with no user namespace to forbid their use, opens those of the list alone:
// also after the manager has read its units again, and after it has executed itself.
func TestC13OnlyTheDevicesGiven(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	w := newWorld(t)
	spec := w.hostile("devices", "sleep")
	hostRoot(t, spec)
	unconfined(t, spec, "CAP_MKNOD")
	spec.Root.Readonly = false
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/volume", Options: []string{"dev", "nosuid", "mode=755"}})
	c, _ := w.startHostile("devices", spec)
	var want []string
	for _, d := range nodeDirs {
		for _, n := range nodes {
			outcome := d.other
			if n.given {
				outcome = d.given
			}
			want = append(want, fmt.Sprintf("%s %s: %s", d.dir, n.name, outcome))
		}
	}
	for _, verb := range []string{"is-system-running", "daemon-reload", "daemon-reexec", "daemon-reload"} {
		if out, err := exec.Command("systemctl", verb).CombinedOutput(); err != nil {
			t.Fatalf("systemctl %s: %v: %s", verb, err, out)
		}
		r, out := pipe(t)
		p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/spy", "spy", "nodes"}}, ExecOptions{Stdout: out, Stderr: out})
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
			t.Fatalf("%+v, %v: %s", e, err, b)
		}
		if d := cmp.Diff(want, strings.Split(strings.TrimSpace(string(b)), "\n")); d != "" {
			t.Errorf("after systemctl %s: %s", verb, d)
		}
	}
}

// The nodes of a container in a user namespace are its own too, and so are standard streams that are the null device: who watches the
// host's (inotify(7)) would see what all others do with them. Only where no devices may be made has it the host's.
func TestDevicesAreNotTheHosts(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	theHosts := func(file string) bool {
		t.Helper()
		at, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		st := at.Sys().(*syscall.Stat_t)
		for _, d := range configs.StandardDevices {
			var host unix.Stat_t
			if d.Name != "" && unix.Stat("/dev/"+d.Name, &host) == nil && host.Dev == st.Dev && host.Ino == st.Ino {
				return true
			}
		}
		return false
	}
	for name, may := range map[string]bool{"own": true, "hosts": false} {
		runtime.LockOSThread()
		restore := func() error { return nil }
		if !may {
			restore = dropEffective(t, unix.CAP_MKNOD)
		}
		c, err := w.start(name, CreateOptions{Detach: true}, "/bin/sleep", "1000")
		if err := errors.Join(err, restore()); err != nil {
			t.Fatal(err)
		}
		runtime.UnlockOSThread()
		proc := fmt.Sprintf("/proc/%d/", c.st.Init.Pid)
		for _, file := range []string{"root/dev/null", "root/dev/tty", "root/dev/urandom", "fd/0", "fd/1"} {
			if theHosts(proc+file) == may {
				t.Errorf("%s: %s is the host's: %t", name, file, may)
			}
		}
	}
	// And what is executed in it.
	c, err := w.Load("own")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sleep", "1000"}}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if theHosts(fmt.Sprintf("/proc/%d/fd/0", p.Pid)) {
		t.Error("exec has the host's null device")
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// dropEffective takes an effective capability from this thread, until it is restored.
func dropEffective(t *testing.T, capability uint) (restore func() error) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		t.Fatal(err)
	}
	less := have
	less[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &less[0]); err != nil {
		t.Fatal(err)
	}
	return func() error { return unix.Capset(&header, &have[0]) }
}
