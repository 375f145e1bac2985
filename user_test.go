// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// C7: a user of the host gets at no record, cgroup, file or process of a container: neither while the interpreter is its init,
// nor when the payload is, nor at its keeper.
func TestC7AnotherUser(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for name, change := range map[string]func(*testing.T, *specs.Spec){
		"user namespace": func(*testing.T, *specs.Spec) {}, "host's users": hostRoot,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			spec := w.spec("private", "/bin/sleep", "60")
			change(t, spec)
			c, err := w.Create(t.Context(), "private", spec, w.options(CreateOptions{Detach: true}))
			if err != nil {
				t.Fatal(err)
			}
			// What keeps others out is not that of the test.
			if err := eachAbove(w.Dir, func(dir string) error { return os.Chmod(dir, 0o755) }); err != nil {
				t.Fatal(err)
			}
			c.isClosedToOthers(t, "created")
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.isClosedToOthers(t, "running")
			if err := c.Destroy(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
}

func (c *Container) isClosedToOthers(t *testing.T, when string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "other", "user", c.rt.Dir, c.id, filepath.Join(scope.Mount(), c.st.Cgroup), strconv.Itoa(c.st.Init.Pid), strconv.Itoa(c.st.Keeper.Pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", when, err, out)
	}
	tries := 0
	for line := range strings.Lines(string(out)) {
		what, errno, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if tries++; !ok || errno != "EACCES" && errno != "EPERM" {
			t.Errorf("%s: %s: %s", when, what, errno)
		}
	}
	if tries != len(strings.Fields(closedRecords+closedCgroups))+2*(len(userWays)+len(strings.Fields(closedFiles))) {
		t.Errorf("%s: %d tries:\n%s", when, tries, out)
	}
}

// What nobody else may open, and how.
const (
	closedRecords = "r:. r:CONTAINER r:CONTAINER/" + stateFile + " w:CONTAINER/" + stateFile + " r:CONTAINER/" + configFile + " w:CONTAINER/" + lockFile + " r:" + usernsDir + " "
	closedCgroups = "w:cgroup.procs w:cgroup.kill w:cgroup.freeze w:../cgroup.procs w:../cgroup.kill w:../cgroup.subtree_control "
	closedFiles   = "p:root p:root/bin/busybox p:cwd p:exe r:fd p:fd/0 w:mem r:mem r:environ r:auxv r:maps r:pagemap r:syscall r:stack r:io r:map_files " +
		"r:ns/mnt r:ns/user p:ns/net w:oom_score_adj w:clear_refs w:uid_map w:setgroups"
)

// userWays are what may be tried of a process without a file of its.
var userWays = map[string]func(pid, pidfd int) error{
	"ptrace":  func(pid, _ int) error { return seize(pid) },
	"reading": func(pid, _ int) error { return readMemory(pid) },
	"SIGKILL": func(pid, _ int) error { return unix.Kill(pid, unix.SIGKILL) },
	"pidfd signal": func(_, pidfd int) error {
		return unix.PidfdSendSignal(pidfd, unix.SIGSTOP, nil, 0)
	},
	"descriptor": func(_, pidfd int) error { _, err := unix.PidfdGetfd(pidfd, 0, 0); return err },
	"namespaces": func(_, pidfd int) error { return unix.Setns(pidfd, unix.CLONE_NEWNS|unix.CLONE_NEWPID) },
	"limits":     func(pid, _ int) error { return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{}, nil) },
	"processors": func(pid, _ int) error { return unix.SchedSetaffinity(pid, &unix.CPUSet{1}) },
	"priority":   func(pid, _ int) error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 19) },
}

// intrude is that user: it says of each way what came of it.
func intrude(args []string) error {
	dir, id, cgroup := args[0], args[1], args[2]
	say := func(what string, err error) { fmt.Printf("%s: %s\n", what, unix.ErrnoName(errnoOf(err))) }
	open := func(below, list string) {
		for f := range strings.FieldsSeq(list) {
			name := filepath.Join(below, f[2:])
			fd, err := unix.Open(name, map[byte]int{'r': unix.O_RDONLY, 'w': unix.O_WRONLY, 'p': unix.O_PATH}[f[0]], 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			say(f[:1]+" "+name, err)
		}
	}
	open(dir, strings.ReplaceAll(closedRecords, "CONTAINER", id))
	open(cgroup, closedCgroups)
	for _, arg := range args[3:] {
		pid, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return err
		}
		open("/proc/"+arg, closedFiles)
		for what, try := range userWays {
			say(what+" of "+arg, try(pid, pidfd))
		}
	}
	return nil
}

func errnoOf(err error) syscall.Errno {
	errno, _ := err.(syscall.Errno)
	return errno
}
