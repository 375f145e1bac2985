// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
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
