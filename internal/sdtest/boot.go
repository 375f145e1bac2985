// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// System is a real systemd booted as PID 1 of private namespaces: no virtual machine, the
// host's kernel, about a second. It has a cgroup2 hierarchy of its own (a sub-directory of
// ours), its own network, /dev, /run and /tmp, a journal, and D-Bus where the root has it.
// Writes to its root go to memory. Its cgroups have the controllers the host's have to
// give: limits may have no effect.
//
// In a test, let the test itself run inside (see [Inside]):
//
//	func TestScope(t *testing.T) {
//		if !sdtest.Inside(t) {
//			return // it ran inside, and its outcome is this test's
//		}
//		conn, err := scope.Dial(t.Context()) // PID 1 is the test system's
//		...
//	}
//
//	func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }
//
// or run commands:
//
//	s := sdtest.BootSystemd(t)
//	out, code := s.Enter(t, "systemctl", "is-system-running")
//
// A program that is no test boots its own:
//
//	s, err := sdtest.Boot(ctx, sdtest.BootOptions{Rootfs: dir})
//	defer s.Close()
//	cmd := s.Command(ctx, "/run/host/sdtest/bench") // a file put into s.Share
//	err = cmd.Run()
type System struct {
	PID   int    // of the system's PID 1, here
	Share string // this directory is /run/host/sdtest in there, writable from both sides
	Took  time.Duration

	dir    string // parent of Share
	cgroup string
	enter  *os.File // the cgroup commands are started in
	init   *exec.Cmd
	ended  chan struct{} // closed when init has ended
	leave  chan struct{} // closed to let go of the thread that init is bound to
}

// ShareInside is where a system sees its Share.
const ShareInside = "/run/host/sdtest"

// BootOptions says what to boot. The zero value shows the host's own root.
type BootOptions struct {
	// Rootfs is a directory with systemd in it, as in an [Image]. It is not written to.
	Rootfs string
}

// bootTimeout bounds a boot on a busy machine.
const bootTimeout = 90 * time.Second

//go:embed boot.sh
var bootScript string

// Boot boots a systemd and returns when it has started its units. It dies with this process.
//
//   - needs root, overlayfs, and systemd in the rootfs
func Boot(ctx context.Context, o BootOptions) (*System, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	begin := time.Now()
	s := &System{leave: make(chan struct{})}
	err := s.boot(ctx, o)
	if err != nil {
		console, _ := os.ReadFile(filepath.Join(s.Share, "console")) // may not have been made yet
		return nil, errors.Join(fmt.Errorf("boot systemd: %w", err), s.Close(), tail(console))
	}
	s.Took = time.Since(begin)
	return s, nil
}

// tail is the end of a console as an error, nil if it is empty.
func tail(console []byte) error {
	if len(console) == 0 {
		return nil
	}
	return fmt.Errorf("its console:\n%s", console[max(0, len(console)-4096):])
}

func (s *System) boot(ctx context.Context, o BootOptions) (err error) {
	if err := removeStale(os.TempDir(), os.RemoveAll); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", ownPrefix()); err != nil {
		return err
	}
	s.Share = filepath.Join(s.dir, "share")
	work := filepath.Join(s.dir, "work")
	for _, d := range []string{s.Share, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.Share, "console"), nil, 0o644); err != nil {
		return err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.Share, "notify"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()
	if err := s.makeCgroup(); err != nil {
		return err
	}
	if err := s.start(o, work); err != nil {
		return err
	}
	return s.waitReady(ctx, notify)
}

// start runs the script in its namespaces. The child is bound to the thread that
// makes it: when this process dies, so does the system.
func (s *System) start(o BootOptions, work string) error {
	source, err := ModuleRoot()
	if err != nil {
		return err
	}
	lower := o.Rootfs
	if lower == "" {
		lower = "/"
	}
	top, err := os.Open(s.cgroup)
	if err != nil {
		return err
	}
	defer top.Close()
	console, err := os.OpenFile(filepath.Join(s.Share, "console"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	// unshare makes the cgroup namespace once it is in the cgroup.
	s.init = exec.Command("unshare", "--cgroup", "sh", "-c", bootScript)
	s.init.Env = append(os.Environ(), "LOWER="+lower, "WORK="+work, "SHARE="+s.Share, "SOURCE="+source)
	s.init.Stdout, s.init.Stderr = console, console
	s.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UseCgroupFD: true,
		CgroupFD:    int(top.Fd()),
		Pdeathsig:   unix.SIGKILL,
		Setsid:      true,
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- s.init.Start()
		<-s.leave
	}()
	if err := <-started; err != nil {
		s.init = nil
		return err
	}
	s.PID = s.init.Process.Pid
	return nil
}

// waitReady reads what PID 1 tells its container manager, until it is ready.
func (s *System) waitReady(ctx context.Context, notify *net.UnixConn) error {
	ended := make(chan struct{})
	go func() {
		_ = s.init.Wait() // its console says why
		close(ended)
		notify.Close()
	}()
	s.ended = ended
	stop := context.AfterFunc(ctx, func() { notify.Close() })
	defer stop()
	b := make([]byte, 4096)
	for {
		n, err := notify.Read(b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return errors.New("PID 1 ended")
		}
		for line := range strings.Lines(string(b[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}

// Close kills the system and removes what it had outside. Again is harmless.
func (s *System) Close() error {
	if s.init != nil {
		_ = s.init.Process.Kill() // it may have ended
		select {
		case <-s.ended:
		case <-time.After(bootTimeout):
			return fmt.Errorf("PID 1 of the system, process %d here, was killed and does not end", s.PID)
		}
		s.init = nil
		close(s.leave)
	}
	if s.enter != nil {
		s.enter.Close()
		s.enter = nil
	}
	var errs []error
	if s.cgroup != "" {
		errs = append(errs, removeCgroup(s.cgroup))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// bootPrefix begins the names of our directories and cgroups; what follows is the PID of the test.
const bootPrefix = "sdtest-boot-"

func ownPrefix() string { return fmt.Sprintf("%s%d-", bootPrefix, os.Getpid()) }

// removeStale removes what tests left behind that were killed.
func removeStale(parent string, remove func(string) error) error {
	all, err := filepath.Glob(filepath.Join(parent, bootPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range all {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), bootPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			_ = remove(path) // somebody else may be at it
		}
	}
	return nil
}

// makeCgroup makes the system's top cgroup below our own, and the one commands enter.
func (s *System) makeCgroup() error {
	parent, err := ownCgroup()
	if err != nil {
		return err
	}
	if err := removeStale(parent, removeCgroup); err != nil {
		return err
	}
	if s.cgroup, err = os.MkdirTemp(parent, ownPrefix()); err != nil {
		return err
	}
	enter := filepath.Join(s.cgroup, "enter")
	if err := os.Mkdir(enter, 0o755); err != nil {
		return err
	}
	s.enter, err = os.Open(enter)
	return err
}

// ownCgroup is the directory of this process's cgroup.
func ownCgroup() (string, error) {
	mount, err := cgroup2Mount()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(mount, path), nil
		}
	}
	return "", errors.New("/proc/self/cgroup: no cgroup2 entry")
}

// removeCgroup removes a tree of cgroups without processes, deepest first.
func removeCgroup(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
