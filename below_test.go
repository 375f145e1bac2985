// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// tasksBelow is how many tasks a container of this test may have: more than scatter makes once, and fewer than it makes twice.
const tasksBelow = 32

// scatter makes processes that are nobody's children, half of them in sessions of their own.
const scatter = "i=0; while [ $i -lt 10 ]; do (busybox setsid busybox sleep 1000 & sleep 1000 &); i=$((i+1)); done"

// E8: CVE-2025-47291. Whatever becomes of a container's processes, each is below the cgroup that has its limits: the host looks for all
// who are in the container's mounts, and compares. Where the cgroup has a limit, they are no more than that.
func TestE8EveryProcessIsBelow(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	limit, deep := int64(tasksBelow), "mkdir -p /sys/fs/cgroup/deep; echo $$ >/sys/fs/cgroup/deep/cgroup.procs && "
	for name, tt := range map[string]struct {
		toml, first string
		change      func(*testing.T, *specs.Spec)
	}{
		"ids of its own":     {},
		"the host's users":   {change: hostRoot},
		"the host's pids":    {change: func(t *testing.T, s *specs.Spec) { hostRoot(t, s); without(specs.PIDNamespace)(s) }},
		"cgroups of its own": {toml: "security.profile = 'system'\n", first: deep},
		"a pid 1 of ours":    {toml: "process.init = true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			spec, s := configured(t, fmt.Sprintf("rootfs.path = %q\nprocess.args = ['/bin/sh']\n", w.root)+tt.toml)
			s.Strict, s.Log.Driver = false, "none"
			s.Annotate(spec)
			spec.Process.Args = []string{"/bin/sh", "-c", tt.first + "(" + scatter + "); echo up; exec sleep 1000"}
			spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
			if tt.change != nil {
				tt.change(t, spec)
			}
			c, _ := w.startHostile("scattered", spec)
			c.everyProcessIsBelow(t, 20)
			p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", tt.first + scatter}}, ExecOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Wait(t.Context()); err != nil { // by then it may have met the limit
				t.Fatal(err)
			}
			c.everyProcessIsBelow(t, 21)
			if err := c.Destroy(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
}

// everyProcessIsBelow fails unless at least so many processes have the container's mounts, all of them below its cgroup.
func (c *Container) everyProcessIsBelow(t *testing.T, least int) {
	t.Helper()
	in := func(pid int, file string) string { return filepath.Join("/proc", strconv.Itoa(pid), file) }
	mounts, err := os.Readlink(in(c.st.Init.Pid, "ns/mnt"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := os.Readlink(in(pid, "ns/mnt")); err != nil || its != mounts {
			continue // it may have ended
		}
		at, err := os.ReadFile(in(pid, "cgroup"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		_, path, _ := strings.Cut("\n"+string(at), "\n0::")
		path, _, _ = strings.Cut(path, "\n")
		if count++; err != nil || !strings.HasPrefix(path+"/", c.st.Cgroup+"/") {
			t.Errorf("process %d is in %s, %v, want it below %s", pid, path, err, c.st.Cgroup)
		}
	}
	if count < least {
		t.Errorf("%d processes, want %d at least", count, least)
	}
	unit := filepath.Join(scope.Mount(), strings.TrimSuffix(c.st.Cgroup, "/payload"))
	if b, err := os.ReadFile(filepath.Join(unit, "pids.max")); err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(tasksBelow) && count > tasksBelow {
		t.Errorf("%d processes, of %d", count, tasksBelow)
	}
}
