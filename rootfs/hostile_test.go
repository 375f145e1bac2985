// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// B1: CVE-2026-41579, CVE-2026-47766.
func TestB1DevIsLink(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"absolute":  {"dev": "-> CANARY/dev"},
		"relative":  {"dev": "-> ../../../../../../CANARY/dev"},
		"chain":     {"dev": "-> one", "one": "-> /two", "two": "-> CANARY/dev"},
		"root":      {"dev": "-> /"},
		"parent":    {"dev": "-> .."},
		"into proc": {"dev": "-> /proc/self/root/dev"},
	} {
		for _, tmpfs := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " tmpfs"}[tmpfs], func(t *testing.T) {
				both(t, func(t *testing.T, w *world) {
					c := newCanary(t)
					w.plant(files, c)
					if !tmpfs {
						w.without("/dev")
					}
					v, err := w.run("stat /dev/null", "ls /..")
					if err != nil {
						t.Log("refused:", err)
						return
					}
					if !strings.HasPrefix(v.Ran["stat /dev/null"], "20666 1:3 ") {
						t.Errorf("/dev/null is %s", v.Ran["stat /dev/null"])
					}
				})
			})
		}
	}
}

// B2: CVE-2026-88264.
func TestB2ConsoleIsLink(t *testing.T) {
	for _, target := range []string{"CANARY/new", "CANARY/file", "../../../../CANARY/new", "null", "/look"} {
		for _, tty := range []bool{false, true} {
			for _, ro := range []bool{false, true} {
				both(t, func(t *testing.T, w *world) {
					c := newCanary(t)
					w.plant(map[string]string{"dev/console": "-> " + target}, c)
					w.without("/dev")
					w.spec.Process.Terminal, w.spec.Root.Readonly = tty, ro
					v, err := w.run("stat /dev/console")
					if err != nil {
						t.Log("refused:", err)
					} else if tty && !strings.Contains(v.Ran["stat /dev/console"], "136:0") {
						t.Errorf("console is %s", v.Ran["stat /dev/console"])
					}
				})
			}
		}
	}
}

// B3, B4, B5: CVE-2026-88265, CVE-2025-31133.
func TestB3NullIsSomethingElse(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"link to a volume": {"dev/null": "-> /vol/file"},
		"link to proc":     {"dev/null": "-> /proc/sys/kernel/core_pattern"},
		"file":             {"dev/null": "I am a file"},
		"directory":        {"dev/null": "/"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				c := newCanary(t)
				w.plant(files, c)
				w.without("/dev")
				w.bind(c.dir, "/vol")
				v, err := w.run("stat /dev/null", "write /proc/keys", "cat /proc/keys")
				if err != nil {
					t.Log("refused:", err)
					return
				}
				// A user namespace has a node that the parent made bound over the file.
				if !strings.HasPrefix(v.Ran["stat /dev/null"], "20666 1:3 ") {
					t.Errorf("/dev/null is %s", v.Ran["stat /dev/null"])
				}
				if write, text := v.Ran["write /proc/keys"], v.Ran["cat /proc/keys"]; write != "EROFS" || text != "" {
					t.Errorf("what is masked can be opened to write: %s, and has %q", write, text)
				}
			})
		})
	}
}

func TestB5MasksNeedNoNull(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.image(map[string]string{"etc/secret": "secret", "opt/secret/key": "secret", "link": "-> /etc/secret"})
		w.own(map[bool]int{true: 0, false: 100000}[w.spec.Linux.UIDMappings == nil])
		w.spec.Linux.MaskedPaths = append(w.spec.Linux.MaskedPaths, "/etc/secret", "/opt/secret", "/missing", "/etc/secret")
		w.see(map[string]string{"cat /etc/secret": "", "cat /link": "", "ls /opt/secret": "",
			"cat /opt/secret/key": "ENOENT", "write /etc/secret": "EROFS", "stat /etc/secret": "100000 0:0 0:0"})
	})
}

// B8: CVE-2019-16884, CVE-2019-19921, CVE-2023-27561.
func TestB8ProcIsLink(t *testing.T) {
	for _, dir := range []string{"proc", "sys"} {
		for _, target := range []string{"/evil", "evil", "CANARY/dir", ".", "/dev/shm"} {
			both(t, func(t *testing.T, w *world) {
				c := newCanary(t)
				w.plant(map[string]string{dir: "-> " + target, "evil": "/"}, c)
				if _, err := w.run("cwd"); err == nil || !strings.Contains(err.Error(), "on /"+dir) {
					t.Errorf("/%s -> %s: %v, want a refusal that names the mount", dir, target, err)
				}
			})
		}
		t.Run(dir+" is a file", func(t *testing.T) {
			w := newWorld(t)
			w.image(map[string]string{dir: "file"})
			if _, err := w.run("cwd"); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// B12, B13: CVE-2026-87766, and what its first fix broke.
func TestB13LinksInside(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		c := newCanary(t)
		w.plant(map[string]string{"run": "/", "var/run": "-> /run", "var/lock": "-> ../run/lock", "a": "-> /b", "b": "-> c", "c": "/",
			"etc/resolv.conf": "-> ../run/systemd/resolve/stub.conf", "up": "-> ../../../../..", "out": "-> CANARY/dir"}, c)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte("bound"), 0o644); err != nil {
			t.Fatal(err)
		}
		dirs := map[string]string{"/var/run/x": "/run/x", "/var/lock": "/run/lock", "/a/b/c": "/c/b/c", "/up/top": "/top"}
		for at := range dirs {
			w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: at})
		}
		w.bind(file, "/etc/resolv.conf")
		w.bind(file, "/out/new/file")
		v := w.see(map[string]string{"ls " + c.dir + "/dir/new": "file"})
		for at, want := range dirs {
			if m := v.at(want); m.Type != "tmpfs" {
				t.Errorf("%s is not at %s", at, want)
			}
		}
		if m := v.at("/run/systemd/resolve/stub.conf"); m.Point == "" {
			t.Error("the dangling link's target was not made")
		}
	})
}

func TestB13LinkLoops(t *testing.T) {
	w := newWorld(t)
	w.image(map[string]string{"loop": "-> loop", "ping": "-> /pong", "pong": "-> ping"})
	for _, dest := range []string{"/loop/x", "/ping"} {
		w := &world{t: t, root: w.root, spec: usual(w.root), facts: Facts{Sources: map[string]SourceKind{}}}
		w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: dest})
		if _, err := w.run("cwd"); err == nil || !strings.Contains(err.Error(), unix.ELOOP.Error()) {
			t.Errorf("%s: %v, want %v", dest, err, unix.ELOOP)
		}
	}
}

// B14, B15: CVE-2026-115521; mount points are not made in a read-only source.
func TestB15MissingPointInReadOnlyBind(t *testing.T) {
	w := newWorld(t)
	c := newCanary(t)
	w.bind(c.dir, "/vol", "ro")
	w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/vol/missing"})
	if _, err := w.run("cwd"); err == nil || !strings.Contains(err.Error(), "/vol/missing") || !strings.Contains(err.Error(), unix.EROFS.Error()) {
		t.Errorf("got %v, want an error that names the mount and says read-only", err)
	}
}

// B16: CVE-2026-55686.
func TestB16DirectoryThroughLink(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		c := newCanary(t)
		w.plant(map[string]string{"l": "-> CANARY"}, c)
		w.spec.Process.Cwd = "/l/x/y"
		w.see(map[string]string{"cwd": c.dir + "/x/y"})
	})
}

// B16, second half: a file the command brings where the image planted something.
func TestB16PlantedTargets(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		c := newCanary(t)
		w.plant(map[string]string{"etc/hosts": "-> CANARY/file", "etc/hostname": "-> CANARY/new", "etc/machine-id": "mine"}, c)
		etc := filepath.Join(w.root, "etc")
		for _, err := range []error{
			unix.Mkfifo(etc+"/resolv.conf", 0o600), unix.Mknod(etc+"/localtime", unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))),
			unix.Mknod(etc+"/adjtime", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Link(etc+"/machine-id", etc+"/timezone"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		w.without("/dev/mqueue")
		file := filepath.Join(t.TempDir(), "brought")
		if err := os.WriteFile(file, []byte("brought"), 0o644); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, name := range []string{"/etc/hosts", "/etc/machine-id", "/etc/resolv.conf", "/etc/hostname", "/etc/localtime", "/etc/adjtime", "/etc/timezone"} {
			w.bind(file, name, "ro")
			want["cat "+name] = "brought"
		}
		w.see(want)
		if b, err := os.ReadFile(filepath.Join(w.root, "etc/machine-id")); err != nil || string(b) != "mine" {
			t.Errorf("the image's file: %q, %v", b, err)
		}
	})
	both(t, func(t *testing.T, w *world) {
		w.plant(map[string]string{"etc/hosts/x": "x"}, newCanary(t))
		w.bind("/proc/version", "/etc/hosts", "ro")
		if _, err := w.run("ls /"); err == nil || !strings.Contains(err.Error(), "mount bind on /etc/hosts: ") {
			t.Errorf("a file over a directory: %v", err)
		}
	})
}

// B21: the rootfs lies on a shared mount of the host's.
func TestB21NothingPropagates(t *testing.T) {
	w := newWorld(t)
	if err := unix.Mount("tmpfs", w.root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for unix.Unmount(w.root, unix.MNT_DETACH) == nil { // what came by propagation, too
		}
	})
	if err := unix.Mount("", w.root, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	w.spec.Root.Path = filepath.Join(w.root, "rootfs")
	if err := os.Mkdir(w.spec.Root.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	v := w.see(map[string]string{"ls /..": "dev look proc sys"})
	for _, m := range v.Mounts {
		if m.Tags != "" {
			t.Errorf("%s is %s", m.Point, m.Tags)
		}
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if d := cmp.Diff(string(before), string(after)); d != "" || err != nil {
		t.Errorf("the host's mounts changed: %s%v", d, err)
	}
}

// B22, E7: what an ordinary container can write below /proc and /sys.
func TestB22KernelFilesAreReadOnly(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		v, err := w.run("write /proc/sys/kernel/core_pattern", "write /proc/sysrq-trigger", "write /proc/irq/default_smp_affinity",
			"mkdir /sys/fs/cgroup/x", "write /sys/kernel/mm/transparent_hugepage/enabled", "write /proc/kcore", "write /proc/keys", "cat /proc/timer_list")
		if err != nil {
			t.Fatal(err)
		}
		for command, result := range v.Ran {
			if result == "ok" {
				t.Errorf("%s: %s", command, result)
			}
		}
	})
}

// B7: CVE-2025-52881. Somebody mounts over the container's /proc, by propagation,
// while kernel settings are written: they go where they belong.
func TestB7MountsOverProc(t *testing.T) {
	w := newWorld(t)
	if err := unix.Mount("tmpfs", w.root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for unix.Unmount(w.root, unix.MNT_DETACH) == nil { // what came by propagation, too
		}
	})
	if err := unix.Mount("", w.root, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(w.root, "rootfs")
	for _, dir := range []string{"proc/self", "proc/thread-self", "proc/sys/net/ipv4", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	forged := filepath.Join(t.TempDir(), "forged")
	if err := os.WriteFile(forged, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/sys/net/ipv4/ip_forward"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	farm := t.TempDir() // every name below it that is written to leads to the forged file
	for _, name := range []string{"net/ipv4/ip_forward", "sys/net/ipv4/ip_forward", "attr/exec", "attr/current", "oom_score_adj", "uid_map", "setgroups"} {
		at := filepath.Join(farm, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(forged, at)); err != nil {
			t.Fatal(err)
		}
	}
	over := map[string]string{"proc/sys/net/ipv4/ip_forward": forged, "proc/sys": farm, "proc/self": farm, "proc/thread-self": farm, "proc": farm}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
			}
			for point, source := range over { // in any order
				at := filepath.Join(root, point)
				if unix.Mount(source, at, "", unix.MS_BIND, "") == nil {
					_ = unix.Unmount(at, unix.MNT_DETACH) // again
				}
			}
		}
	}()
	made, attempts := 0, sdtest.Loops(t, 30, 11500)
	for i := range attempts {
		next := &world{t: t, root: root, spec: usual(root), facts: Facts{Sources: map[string]SourceKind{}}}
		next.spec.Linux.RootfsPropagation = "rslave"
		next.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		next.without("/dev/mqueue")
		if i%8 == 7 { // all there is at /proc is the image's: nothing is to be seen, nor may anything be written
			next.without("/proc")
			_, _ = next.run("cwd") // look may miss its mountinfo
			next.end()
			continue
		}
		v, err := next.run("cat /proc/sys/net/ipv4/ip_forward")
		next.end()
		if err != nil {
			continue // refused
		}
		switch got := v.Ran["cat /proc/sys/net/ipv4/ip_forward"]; got {
		case "1":
			made++
		case "ENOENT": // the payload's look met a mount below its /proc that was being taken away; the link there leads nowhere
		default:
			t.Errorf("the setting is %q", got)
		}
	}
	close(end)
	<-ended
	t.Logf("%d were made", made)
	sdtest.MustHaveSome(t, "was made", made, attempts)
	for _, file := range []string{forged, filepath.Join(root, "proc/sys/net/ipv4/ip_forward")} {
		if b, err := os.ReadFile(file); err != nil || len(b) != 0 {
			t.Errorf("the forged file was written: %q, %v", b, err)
		}
	}
	if after, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(after) != string(before) {
		t.Errorf("the host's setting was %q, is %q, %v", before, after, err)
	}
}

// CVE-2026-115521. An image whose own /proc and /dev are forged; whatever is to be
// read-only is, recursively.
func TestB14ReadOnlyMeansAll(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		c := newCanary(t)
		w.plant(map[string]string{"proc/self/fd": "-> CANARY/dir", "dev/fd": "-> CANARY/dir", "work": "/"}, c)
		w.spec.Root.Readonly = true
		w.bind(c.dir, "/vol", "rro")
		v := w.see(map[string]string{"mkdir /work/x": "EROFS", "mkdir /vol/x": "EROFS", "mkdir /x": "EROFS", "create /vol/file": "EROFS"})
		for _, point := range []string{"/", "/vol"} {
			if !v.at(point).has("ro") {
				t.Errorf("%s has %q", point, v.at(point).Options)
			}
		}
	})
}
