// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// TestProbeKnowsItsVersion keeps what a probe finds and the version its comment
// claims honest with each other.
func TestProbeKnowsItsVersion(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Overlay)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	want := major > 6 || major == 6 && minor >= 7
	if got := kernel.HaveOverlayLowerPlus(); got != want {
		t.Errorf("lowerdir+ on Linux %d.%d: %v, want %v", major, minor, got, want)
	}
}

// R26: a process that is being reaped looks, for a moment, like a thread.
func TestPidfdOfNoProcess(t *testing.T) {
	tid := make(chan int)
	release := make(chan struct{})
	defer close(release)
	go func() {
		runtime.LockOSThread() // the main thread's would be a process's
		tid <- unix.Gettid()
		<-release
	}()
	if id := <-tid; id != os.Getpid() {
		if _, err := kernel.Pidfd(id); !errors.Is(err, unix.ESRCH) {
			t.Errorf("of a thread: %v", err)
		}
	}
	if _, err := kernel.Pidfd(0); errors.Is(err, unix.ESRCH) {
		t.Error("0 is no process that ended")
	}
}

// B18: a thing that is no regular file is not even opened: of a device that may be
// an action.
func TestB18OnlyFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := kernel.OpenPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	opened := func() string {
		b := make([]byte, 4096)
		n, _ := unix.Read(fd, b) // EAGAIN: nothing was
		return string(b[:max(n, 0)])
	}
	if b, err := kernel.ReadIn(root, "/fifo", 10); err == nil {
		t.Errorf("fifo: %q", b)
	}
	if seen := opened(); seen != "" {
		t.Errorf("was opened: %q", seen)
	}
	if b, err := kernel.ReadIn(root, "/file", 10); err != nil || string(b) != "text" {
		t.Errorf("file: %q, %v", b, err)
	}
	if !strings.Contains(opened(), "file") {
		t.Error("the watch sees nothing")
	}
}

// B18: nor is one of the kernel's, which can do something too.
func TestB18NoFileOfTheKernels(t *testing.T) {
	root, err := kernel.OpenPath("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, file := range []string{"/proc/version", "/proc/self/status", "/proc/sys/kernel/ostype", "/sys/kernel/fscaps"} {
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
		if b, err := kernel.ReadIn(root, file, 1<<20); !errors.Is(err, unix.EACCES) {
			t.Errorf("%s: %q, %v; want EACCES", file, b, err)
		}
	}
}

func TestEnding(t *testing.T) {
	if kernel.Ending(os.Getpid()) {
		t.Error("this process is not ending")
	}
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := kernel.Pidfd(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := kernel.WaitReadable(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if !kernel.Ending(cmd.Process.Pid) {
		t.Error("a zombie has ended")
	}
	_ = cmd.Wait() // reaps it
	if !kernel.Ending(cmd.Process.Pid) {
		t.Error("one that is gone has ended")
	}
}

// A wait that was called off leaves nothing behind: the same file can be waited for again.
func TestWaitAfterOneThatWasCalledOff(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kernel.WaitReadable(ctx, r); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want cancelled", err)
	}
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := kernel.WaitReadable(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// Who has waited for a process closes its pidfd: another may have the number by then.
func TestSignalAfterTheEnd(t *testing.T) {
	f, err := kernel.Pidfd(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := kernel.Signal(f, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("%v, want ESRCH", err)
	}
}
