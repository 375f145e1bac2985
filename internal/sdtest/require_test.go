// SPDX-License-Identifier: Apache-2.0

package sdtest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// TestPromises: what is missing skips a test, and fails it where it was promised: a program, a guest's
// image, and the image that InsideAll would do without.
func TestPromises(t *testing.T) {
	switch os.Getenv("SDTEST_NEED") {
	case "tool":
		sdtest.Require(t, sdtest.Tool("no-such-program"))
	case "image":
		sdtest.Require(t, sdtest.Built("12"))
	case "all":
		sdtest.InsideAll(t)
	}
	if os.Getenv("SDTEST_NEED") != "" || sdtest.InSystemd() {
		return
	}
	empty := "XDG_CACHE_HOME=" + t.TempDir()
	for _, tt := range []struct{ need, promise, want string }{
		{"tool", "", "SKIP"}, {"tool", "tool:no-such-program", "FAIL"},
		{"image", "", "SKIP"}, {"image", "image:13", "SKIP"}, {"image", "image:13,image:12", "FAIL"},
		{"all", "", "PASS"}, {"all", "image:12,image:13", "FAIL"},
	} {
		t.Run(tt.need+" "+tt.promise, func(t *testing.T) {
			if tt.need == "all" {
				sdtest.Require(t, sdtest.Systemd)
			}
			cmd := again(t, "SDTEST_NEED="+tt.need, "SDCONTAINER_MUST="+tt.promise, "SDCONTAINER_TIERS=", empty)
			cmd.Args = append(cmd.Args[:len(cmd.Args)-1], "-test.v", "-test.run=^TestPromises$")
			out, _ := cmd.CombinedOutput() // what it says is looked at
			if !strings.Contains(string(out), "\n--- "+tt.want+": TestPromises ") {
				t.Errorf("want %s:\n%s", tt.want, out)
			}
			if tt.want == "FAIL" && !strings.Contains(string(out), "SDCONTAINER_MUST promises") {
				t.Errorf("it does not say who promised what:\n%s", out)
			}
		})
	}
}
