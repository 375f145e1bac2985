// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Hooks of the host find all mounts below the rootfs, where the bundle has it,
// and may add to them.
func TestHooks(t *testing.T) {
	w := newWorld(t)
	w.image(map[string]string{"hook": "/"})
	w.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}},
		CreateContainer: []specs.Hook{{Path: "/bin/mkdir", Args: []string{"mkdir", w.root + "/made"}}}}
	w.hooks = func(pid int) error {
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/root%s/dev/null", pid, w.root), &st); err != nil {
			return err
		}
		if st.Rdev != unix.Mkdev(1, 3) {
			return fmt.Errorf("dev/null is %#x", st.Rdev)
		}
		return nil
	}
	w.see(map[string]string{"ls /": "dev hook look made proc sys", "ls /..": "dev hook look made proc sys"})
}

func TestG7FailingHook(t *testing.T) {
	w := newWorld(t)
	w.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/false", Args: []string{"false"}}}}
	if _, err := w.run("cwd"); err == nil || !strings.Contains(err.Error(), "/bin/false") {
		t.Errorf("got %v, want the hook's failure", err)
	}
}
