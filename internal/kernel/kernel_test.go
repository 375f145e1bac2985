// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
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

// A process that is being reaped looks, for a moment, like a thread.
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
