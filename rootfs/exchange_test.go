// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// B9, B10: CVE-2021-30465, CVE-2024-45310. Somebody exchanges a directory on the
// way to a mount point with a link to the host, all the while.
func TestB9ExchangedDirectory(t *testing.T) {
	w := newWorld(t)
	c := newCanary(t)
	w.plant(map[string]string{"vol/d": "/", "vol/link": "-> CANARY/dir", "vol/up": "-> ../../../../../../../CANARY"}, c)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		vol := filepath.Join(w.root, "vol")
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			other := []string{"/link", "/up"}[i%2]
			_ = unix.Renameat2(unix.AT_FDCWD, vol+"/d", unix.AT_FDCWD, vol+other, unix.RENAME_EXCHANGE) // one that fails is one less
		}
	}()
	defer func() { close(stop); <-stopped }()
	made := 0
	attempts := sdtest.Loops(t, 60, 10000)
	for i := range attempts {
		next := &world{t: t, root: w.root, spec: usual(w.root), facts: Facts{Sources: map[string]SourceKind{}}}
		next.bind(filepath.Join(c.dir, "file"), fmt.Sprintf("/vol/d/new%d/file", i))
		next.spec.Mounts = append(next.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/vol/d/t"})
		if v, err := next.run("ls /.."); err == nil {
			made++
			if !strings.Contains(v.Ran["ls /.."], "vol") {
				t.Errorf("/.. is %s", v.Ran["ls /.."])
			}
		}
		next.end()
	}
	t.Logf("%d of %d worlds were made", made, attempts)
	sdtest.MustHaveSome(t, "was made", made, attempts)
}

// B4, B6: CVE-2025-31133, CVE-2025-52565. Another container shares the directory
// mounted at /dev and exchanges what lies in it while this one starts.
func TestB4SharedDev(t *testing.T) {
	w := newWorld(t)
	c := newCanary(t)
	vol := t.TempDir()
	for _, name := range []string{"pts", "shm", "mqueue"} {
		if err := os.Mkdir(filepath.Join(vol, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"null": "/proc/sys/kernel/core_pattern", "console": c.dir + "/file", "evil": "/proc"} {
		if err := os.Symlink(target, filepath.Join(vol, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, dev := range map[string]uint64{"null2": unix.Mkdev(1, 3), "console2": unix.Mkdev(5, 1)} {
		if err := unix.Mknod(filepath.Join(vol, name), unix.S_IFCHR|0o666, int(dev)); err != nil {
			t.Fatal(err)
		}
	}
	defer exchanging(vol, "null", "null2", "console", "console2", "pts", "evil")()
	made, terminals := 0, 0
	attempts := sdtest.Loops(t, 60, 11500)
	for i := range attempts {
		next := &world{t: t, root: w.root, spec: usual(w.root), facts: Facts{Sources: map[string]SourceKind{}}}
		next.spec.Process.Terminal = i%8 != 0 // in a soak 10062 times
		next.without("/dev")
		next.without("/dev/mqueue")
		next.spec.Mounts = append([]specs.Mount{{Type: "bind", Source: vol, Destination: "/dev", Options: []string{"bind", "dev"}}}, next.spec.Mounts...)
		commands := []string{"write /proc/sys/kernel/core_pattern", "write /proc/sysrq-trigger", "write /proc/keys", "cat /proc/keys"}
		if next.spec.Process.Terminal {
			commands = append(commands, "tty")
		}
		v, err := next.run(commands...)
		next.end()
		if err != nil {
			continue // refused
		}
		made++
		for command, result := range v.Ran {
			if strings.HasPrefix(command, "write") && result == "ok" || command == "cat /proc/keys" && result != "" && result != "ENOENT" {
				t.Errorf("%s: %q", command, result)
			}
		}
		if next.spec.Process.Terminal {
			// By its name /dev/console is what the other put there since; what the payload got is a descriptor.
			if terminals++; !strings.HasPrefix(v.Ran["tty"], "136:0 ") {
				t.Errorf("the terminal is %s", v.Ran["tty"])
			}
		}
	}
	t.Logf("%d were made, %d with a terminal", made, terminals)
	sdtest.MustHaveSome(t, "was made with a terminal", terminals, attempts)
}

// B9: who shares the rootfs renames mount points, which are none in its own mount
// namespace, before nodes and masks are made, and back when they are.
func TestB9RenamedMountPoints(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		dirs := []string{"proc", "sys", "dev"}
		w.spec.Process.Terminal = true
		w.spec.Linux.MaskedPaths = append(w.spec.Linux.MaskedPaths, "/dev/zero")
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/last", Options: []string{"mode=751"}})
		w.between = func(int) error {
			for _, dir := range dirs {
				at := filepath.Join(w.root, dir)
				if err := errors.Join(os.Rename(at, at+".away"), os.Mkdir(at, 0o777), os.Chmod(at, 0o777)); err != nil {
					return err
				}
			}
			return nil
		}
		w.during = func(int) error {
			for _, dir := range dirs {
				at := filepath.Join(w.root, dir)
				if err := errors.Join(os.Remove(at), os.Rename(at+".away", at)); err != nil { // not empty: it got nodes
					return err
				}
			}
			return nil
		}
		v := w.see(map[string]string{
			"cat /proc/keys": "", "ls /proc/acpi": "", "mkdir /proc/acpi/x": "EROFS", "ls /sys/firmware": "", "cat /dev/zero": "",
			"ls /dev": "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
		})
		for _, point := range append(w.spec.Linux.ReadonlyPaths, "/proc/acpi", "/sys/firmware", "/sys/fs/cgroup") {
			if _, err := os.Lstat(point); err == nil && !v.at(point).has("ro") {
				t.Errorf("%s has %q, want ro", point, v.at(point).Options)
			}
		}
	})
}

// exchanging exchanges pairs of names in dir until the function it returns is called.
func exchanging(dir string, names ...string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i += 2 {
			select {
			case <-end:
				return
			default:
			}
			a, b := names[i%len(names)], names[i%len(names)+1]
			_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, a), unix.AT_FDCWD, filepath.Join(dir, b), unix.RENAME_EXCHANGE) // one that fails is one less
		}
	}()
	return func() { close(end); <-ended }
}
