// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// startHostile starts a detached container and waits until its payload says "up".
// What it says later comes line by line from the reader.
func (w *world) startHostile(id string, spec *specs.Spec) (*Container, *bufio.Reader) {
	w.t.Helper()
	r, out := pipe(w.t)
	c, err := w.Create(w.t.Context(), id, spec, w.options(CreateOptions{Detach: true, Stdout: out}))
	out.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := c.Destroy(context.Background(), true); err != nil && !errors.Is(err, ErrNotExist) {
			w.t.Errorf("destroy %s: %v", id, err)
		}
	})
	if err := c.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	said := bufio.NewReader(r)
	if line, err := said.ReadString('\n'); err != nil || line != "up\n" {
		w.t.Fatalf("the payload said %q, %v", line, err)
	}
	return c, said
}

// unconfined gives the payload what an attacker would like to have.
func unconfined(t *testing.T, spec *specs.Spec, more ...string) {
	t.Helper()
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Seccomp = "unconfined"
	s.Annotate(spec)
	c := spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective} {
		*set = append(slices.Clone(*set), more...)
	}
}

// A14: CVE-2020-14370. Nothing of the command's environment comes along.
func TestA14Environment(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for _, name := range []string{"SECRET", "LISTEN_FDS", "LD_PRELOAD", "GODEBUG", "DBUS_SYSTEM_BUS_ADDRESS", "CREDENTIALS_DIRECTORY"} {
		t.Setenv(name, "x")
	}
	w := newWorld(t)
	spec := w.spec("env", "/bin/cat", "/proc/self/environ")
	spec.Process.Env = []string{"A=first", "EMPTY=", "A=b\nC=d"} // of one name the last counts
	out, _ := w.outputOf("env", spec)
	got := strings.Split(strings.TrimRight(out, "\x00"), "\x00")
	slices.Sort(got)
	want := []string{"A=b\nC=d", "EMPTY=", "HOME=/", "PATH=" + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=sdcontainer"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for bad, cause := range map[string]string{
		"FOO": "want NAME=VALUE", "*": "want NAME=VALUE", "A\nB=x": "want NAME=VALUE",
		"LONG=" + strings.Repeat("x", 200<<10): "argument list too long", "LONGER=" + strings.Repeat("x", 1<<20): "bytes of data",
	} {
		spec.Process.Env = []string{"EMPTY=", bad}
		c, err := w.startSpec("bad", spec, CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), cause) {
			t.Errorf("%.20q: %v, want %s", bad, err, cause)
		}
		if c != nil {
			_ = c.Destroy(t.Context(), true) // the next one has its name
		}
	}
}

// impatient lets the container's filesystem take but a moment to answer.
func impatient(t *testing.T) {
	old := lookTimeout
	lookTimeout = sdtest.Slower(300*time.Millisecond, 5) // what does answer must be quick enough
	t.Cleanup(func() { lookTimeout = old })
}

// B18: a filesystem below /etc that never answers holds nobody up for ever.
func TestB18FilesystemThatDoesNotAnswer(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	silent := mountFuse(t)
	impatient(t)
	spec := w.spec("fuse", "/bin/sleep", "60")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: silent.dir, Destination: "/etc", Options: []string{"bind"}})
	c, err := w.Create(t.Context(), "fuse", spec, w.options(CreateOptions{Detach: true}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent.mute.Store(true)
	for range 2 {
		_, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("exec: %v, want a deadline exceeded", err)
		}
	}
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Error(err)
	}
	spec = w.spec("fuse", "/bin/true")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: silent.dir, Destination: "/etc", Options: []string{"bind"}})
	if _, err := w.Create(t.Context(), "fuse", spec, w.options(CreateOptions{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create: %v, want a deadline exceeded", err)
	}
	w.nothingLeft("fuse")
}

// B18: a source of a bind that answered when it was looked at, and does not any more.
func TestB18SourceThatFallsSilent(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	source := mountFuse(t)
	impatient(t)
	spec := w.spec("silent", "/bin/true")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: filepath.Join(source.dir, fuseDir), Destination: "/mnt", Options: []string{"bind"}})
	l := w.launch(&Container{rt: w.Runtime, id: "silent"}, spec, w.options(CreateOptions{}))
	for _, s := range l.steps() {
		if s.name == "build" {
			break
		}
		if err := s.do(t.Context()); err != nil {
			t.Fatal(s.name, err)
		}
	}
	source.mute.Store(true)
	if err := l.build(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "sources of mounts") {
		t.Errorf("%v, want a deadline exceeded", err)
	}
	if err := l.takeBack(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	w.nothingLeft("silent")
}

// C7: CVE-2021-41091. Nobody else can enter the directories of records.
func TestC7RecordsArePrivate(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	old := unix.Umask(0)
	defer unix.Umask(old)
	c := w.mustStart("private", CreateOptions{Detach: true}, "/bin/sleep", "60")
	for _, dir := range []string{w.Dir, w.path(usernsDir), c.path("")} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", dir, info.Mode(), err)
		}
	}
	err := filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// C3, C6: a set-user-id program of the image gives nothing, at start and by exec.
func TestC6SetUserID(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	busybox, err := os.ReadFile(filepath.Join(w.root, "bin/busybox"))
	if err != nil {
		t.Fatal(err)
	}
	suid := filepath.Join(w.root, "bin/busybox-suid")
	if err := os.WriteFile(suid, busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(suid, 0o4755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	script := "/bin/busybox-suid grep -E '^(Uid|CapEff|NoNewPrivs|Groups)' /proc/self/status"
	spec := w.spec("suid", "/bin/sh", "-c", script+"; sleep 60")
	spec.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{7}}
	r, out := pipe(t)
	c, err := w.Create(t.Context(), "suid", spec, w.options(CreateOptions{Detach: true, Stdout: out}))
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Destroy(context.Background(), true) }()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "Uid:\t1000\t1000\t1000\t1000\nGroups:\t7 1000 \nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Errorf("started: %q, %v; want %q", b, err, want)
	}
	r, out = pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", script}}, ExecOptions{Stdout: out})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r); string(b) != want {
		t.Errorf("by exec: %q; want %q", b, want)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// The command was started with none, or some, of its standard descriptors: no file
// that it opens takes their place.
func TestA13MissingStandardDescriptors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{"0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", ""} {
		file := filepath.Join(t.TempDir(), "out")
		cmd := exec.Command("sh", "-c", `exec "$0" spy stdio "$1" `+closed, self, file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", closed, err, out)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "0 1 2" {
			t.Errorf("%q: open are %q, %v", closed, b, err)
		}
	}
}

// E13: the notify socket is passed to nobody systemd would believe everything.
func TestE13NotifyNeedsUserNamespace(t *testing.T) {
	const notify, system = `systemd.notify = "container" needs a user namespace`, `security.profile = "system" gives CAP_SYS_ADMIN`
	maps := func(more ...specs.LinuxIDMapping) []specs.LinuxIDMapping {
		return append([]specs.LinuxIDMapping{{HostID: 100000, Size: 9}}, more...)
	}
	root := specs.LinuxIDMapping{ContainerID: 9, Size: 1}
	for name, tt := range map[string]struct {
		userns     []specs.LinuxNamespace
		uids, gids []specs.LinuxIDMapping
		refused    bool
	}{
		"none": {nil, nil, nil, true}, "ids of its own": {[]specs.LinuxNamespace{{Type: specs.UserNamespace}}, maps(), maps(), false},
		"root of the host": {[]specs.LinuxNamespace{{Type: specs.UserNamespace}}, maps(root), maps(), true}, "its group": {[]specs.LinuxNamespace{{Type: specs.UserNamespace}}, maps(), maps(root), true},
		"joined": {[]specs.LinuxNamespace{{Type: specs.UserNamespace, Path: "/x"}}, nil, nil, false},
	} {
		s := configs.DefaultSettings()
		s.Notify, s.Profile = "container", configs.ProfileSystem
		spec := &specs.Spec{Root: &specs.Root{Path: "/x"}, Process: &specs.Process{Args: []string{"/x"}, Cwd: "/"},
			Linux: &specs.Linux{Namespaces: tt.userns, UIDMappings: tt.uids, GIDMappings: tt.gids}}
		s.Annotate(spec)
		if got := fmt.Sprint(configs.Validate(spec)); strings.Contains(got, notify) != tt.refused || strings.Contains(got, system) != tt.refused {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestNotifySocketIsPassed(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	spec := &specs.Spec{Process: &specs.Process{Env: []string{"NOTIFY_SOCKET=/of/the/image"}}, Linux: &specs.Linux{}}
	if err := passNotifySocket(spec); err != nil || len(spec.Mounts) != 1 {
		t.Errorf("%v, %v", err, spec.Mounts)
	}
	if !slices.Equal(spec.Process.Env, []string{"NOTIFY_SOCKET=" + notifyPlace}) {
		t.Errorf("environment: %q", spec.Process.Env)
	}
	t.Setenv("NOTIFY_SOCKET", "@abstract")
	if err := passNotifySocket(spec); err == nil {
		t.Error("an abstract socket")
	}
}
