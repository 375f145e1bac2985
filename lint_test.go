// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// B11, C10, E11, E14, G8: calls that must not appear, and where each may. Who needs
// another place gives the reason in its commit.
func TestB11ForbiddenCalls(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go")) // the sources are there then
	for _, rule := range []struct {
		why, pattern string
		where        []string
	}{
		{"writes through links: only below our own directories", `\bos\.(Create|MkdirAll|RemoveAll|WriteFile|Chmod|Chown|Lchown|Rename)\(`, []string{
			"reclaim.go", "record.go", "reserve.go", "sweep.go", "userns.go", "unitgen/install.go",
			"scope/cgroup.go", "scope/payload.go"}}, // in cgroupfs, which has no links
		{"executes what PATH finds (CVE-2026-41567): kernel.Command does not", `\bexec\.(Command|CommandContext|LookPath)\(`, []string{
			"internal/kernel/command.go"}},
		{"starts a shell", `"(/bin/)?(sh|bash)", "-c"`, []string{"cmd/sdcontainer/main.go"}},
		{"speaks to machined", `machine1|machined`, nil},
		{"loads BPF programs into the kernel", `SYS_BPF|unix\.Bpf`, nil},
		{"listens (CVE-2020-15257)", `\b(net\.Listen|unix\.Listen)\w*\(`, nil},
		{"joins a path to a root", `(Root\.Path|rootfs\.Path)\s*\+|filepath\.Join\([^)]*Root\.Path`, []string{"configs/validate.go"}},
	} {
		pattern := regexp.MustCompile(rule.pattern)
		err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
			skip := d.IsDir() && (path == "test" || path == "bin" || path == "internal/sdtest" || d.Name() == "gen" || len(path) > 1 && path[0] == '.')
			switch {
			case err != nil:
				return err
			case skip:
				return fs.SkipDir
			case filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"), filepath.Base(path) == "gen.go", slices.Contains(rule.where, path):
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i, line := range strings.Split(string(b), "\n") {
				code, _, _ := strings.Cut(line, "//")
				if pattern.MatchString(code) {
					t.Errorf("%s:%d: %s: %s", path, i+1, rule.why, strings.TrimSpace(line))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// B11: what the interpreter opens, makes and asks by itself, not as a step of its program: below a root by openat2(2), in a directory that
// came from there, or where no name of the container's is looked up.
func TestB11PathsInC(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go")) // the sources are there then
	calls := regexp.MustCompile(`SYS\((open|mk|statx?\b|newfstat|readlink|exec|ch|fch|lch|mount|umount|move_mount|pivot|unlink|rename|symlink|link|access|faccess|truncate|utime|[gs]etxattr|l[gs]etxattr)[a-z0-9_]*,[^)]*`)
	allowed := []string{
		`SYS(openat2, root, path, &how, `,
		`SYS(mkdirat, dir, name, `, `SYS(mknodat, dir, name, S_IFREG | mode`, `SYS(readlinkat, dir, name, `,
		`SYS(statx, a[0], "", AT_EMPTY_PATH, `, `SYS(execveat, a[3], "", `,
		`SYS(openat, a[2], "payload", `, `SYS(openat, a[2], "memory.events", `, // of a cgroup
		`SYS(openat, AT_FDCWD, "/proc/self/exe", `, // before there is a container
		`SYS(execve, a[2], `,                       // a hook, in the root of who runs its step: none is compiled, as hooks are refused
	}
	source, err := os.ReadFile("nsexec/nsexec.c")
	if err != nil {
		t.Fatal(err)
	}
	found := calls.FindAllString(string(source), -1)
	if len(found) < len(allowed) {
		t.Errorf("%d calls with a path, of %d known: %q", len(found), len(allowed), found)
	}
	for _, call := range found {
		if !slices.ContainsFunc(allowed, func(form string) bool { return strings.HasPrefix(call, form) }) {
			t.Errorf("nsexec.c: %s): a path that is not known to stay in its root", call)
		}
	}
}
