// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// What only the planners know is found by Check, too, with its place where it has one.
func TestCheck(t *testing.T) {
	const minimal = "version = 1\nrootfs.path = '/srv/root'\nprocess.args = ['x']\n"
	for more, want := range map[string]string{
		"": "",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['nonsense']":      `4:1: mount: unknown option "nonsense"`,
		"[[mount]]\nsource = '/a'\ntarget = '/proc/x'":                          `4:1: mount: destination /proc/x would hide a part of proc`,
		"[[mount]]\ntype = 'raw'\nfstype = 'ext9'\ntarget = '/x'":               `4:1: mount: type "ext9": want bind or one of`,
		"systemd.scope.MemoryMaxx = 5":                                          `4:15: systemd.scope.MemoryMaxx: property "MemoryMaxx": unknown (did you mean MemoryMax?)`,
		"systemd.scope.MemoryMax = 'lots'":                                      `4:15: systemd.scope.MemoryMax: property MemoryMax: value`,
		"systemd.scope.Slice = 'x.slice'":                                       `4:15: systemd.scope.Slice: property Slice: not to be set`,
		"[resources.unified]\n'memory.max' = 'lots'":                            ` linux.resources.unified.memory.max "lots": want bytes or max`,
		"security.mask = ['/sys/fs/cgroup/x']":                                  ` rootfs: maskedPaths: /sys/fs/cgroup/x lies in the cgroup mount`,
		"systemd.service.ExecStart = '/bin/x'":                                  ` unit file: ExecStart: cannot be set`,
		"resources.memory.zswap_max = '10M'":                                    "",
		"systemd.service.ExecStopPost = ''":                                     ` unit file: ExecStopPost: cannot be empty: it would forget the clean-up`,
		"systemd.service.ExecStopPost = '/bin/x'":                               "",
		"nothing = 1\n[[mount]]\nsource = '/a'\ntarget = '/a'\noptions = ['x']": "4:1: nothing: unknown key\n5:1: mount: unknown option",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.toml")
		if err := os.WriteFile(file, []byte(minimal+more+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		problems := sdcontainer.Check(file, unitgen.Options{})
		lines := strings.Split(want, "\n")
		if want == "" {
			lines = nil
		}
		if len(problems) != len(lines) {
			t.Errorf("%s: %v, want %q", more, problems, want)
			continue
		}
		for i, p := range problems {
			if got := strings.TrimPrefix(p.String(), file+":"); !strings.HasPrefix(got, lines[i]) {
				t.Error(cmp.Diff(lines[i], got))
			}
		}
	}
}
