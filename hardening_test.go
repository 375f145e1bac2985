// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/seccomp"
)

// A container that was made and is not wanted goes away, with all it has.
func TestDestroyCreated(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, detach := range []bool{false, true} {
		c, err := w.Create(t.Context(), "made", w.spec("made", "/bin/true"), w.options(CreateOptions{Detach: detach}))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Destroy(t.Context(), true); err != nil {
			t.Errorf("detach %v: %v", detach, err)
		}
		w.nothingLeft("made")
	}
}

// An init killed before execve closes its socket as one does that succeeded.
func TestKilledBeforeExec(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, detach := range []bool{false, true} {
		spec := w.spec("filter", "/bin/true")
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.Seccomp = ""
		s.Annotate(spec)
		spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: specs.ActKillProcess}}}
		c, err := w.Create(t.Context(), "filter", spec, w.options(CreateOptions{Detach: detach}))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "SIGSYS") {
			t.Errorf("start: %v; want an error that names SIGSYS", err)
		}
		w.nothingLeft("filter")
	}
}

// A filter that allows what the payload needs, and of us no more than to answer and to execute, is enough.
func TestFilterForThePayloadAlone(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("narrow", "/bin/true")
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Seccomp = ""
	s.Annotate(spec)
	errno := uint(unix.EPERM)
	spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno,
		Syscalls: []specs.LinuxSyscall{{Action: specs.ActAllow, Names: []string{
			"read", "write", "execve", "exit_group", // ours; and the libc's
			"arch_prctl", "brk", "mmap", "mprotect", "munmap", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlinkat", "readlink", "getrandom", "getuid",
		}}}}
	if out, e := w.outputOf("narrow", spec); e.Code != 0 {
		t.Errorf("%q, %+v", out, e)
	}
	c, err := w.Load("narrow")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("narrow")
}

// R46: a reaper lets go of what the payload's start is waited for, though the filter is in force by then.
func TestReaperWithoutCloseRange(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("reaped", "/bin/sh", "-c", "exit 4")
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Seccomp, s.Init = "", true
	s.Annotate(spec)
	errno := uint(unix.EPERM)
	spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
		Syscalls: []specs.LinuxSyscall{{Names: []string{"close_range"}, Action: specs.ActErrno, ErrnoRet: &errno}}}
	if out, e := w.outputOf("reaped", spec); e.Code != 4 {
		t.Errorf("%q, %+v; want code 4", out, e)
	}
	if err := w.Remove(t.Context(), "reaped", false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("reaped")
}

// Pid 1 works under the default filter.
func TestInit(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	// The payload has the limits, not only pid 1 that is set them and attested.
	spec := w.spec("pid1", "/bin/sh", "-c", "test $(ulimit -n) = 77 && exit 4")
	spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Init = true
	s.Annotate(spec)
	c, err := w.Create(t.Context(), "pid1", spec, w.options(CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Code != 4 {
		t.Errorf("%+v, %v; want code 4", e, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
}

// Exec goes where pid 1 is the interpreter, too: with a user namespace and without.
func TestExecBesideInit(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, own := range []bool{true, false} {
		id := fmt.Sprintf("own-%v", own)
		spec := w.spec(id, "/bin/sleep", "1000")
		if !own {
			hostRoot(t, spec)
		}
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.Init = true
		s.Annotate(spec)
		c, err := w.startSpec(id, spec, CreateOptions{Detach: true})
		if err != nil {
			t.Fatal(err)
		}
		x, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", "exit 7"}}, ExecOptions{})
		if err != nil {
			t.Fatalf("user namespace %v: %v", own, err)
		}
		if e, err := x.Wait(t.Context()); err != nil || e.Code != 7 {
			t.Errorf("user namespace %v: %+v, %v; want code 7", own, e, err)
		}
		if err := c.Destroy(t.Context(), true); err != nil {
			t.Error(err)
		}
	}
}

// C2: what exec gives is never more than the container has.
func TestExecRights(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("rights", CreateOptions{Detach: true}, "/bin/sleep", "60")
	exec := func(p specs.Process) (string, error) {
		r, out := pipe(t)
		x, err := c.Exec(t.Context(), &p, ExecOptions{Stdout: out, Stderr: out})
		out.Close()
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		if _, e := x.Wait(t.Context()); err == nil {
			err = e
		}
		return string(b), err
	}
	more := []string{"CAP_SYS_ADMIN"}
	for _, set := range []*specs.LinuxCapabilities{
		{Bounding: more}, {Bounding: more, Permitted: more, Effective: more}, {Permitted: more},
	} {
		if out, err := exec(specs.Process{Args: []string{"true"}, Capabilities: set}); err == nil || !strings.Contains(err.Error(), more[0]) {
			t.Errorf("%+v: %q, %v; want an error that names %s", *set, out, err, more[0])
		}
	}
	if _, err := exec(specs.Process{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no command: %v", err)
	}
	out, err := exec(specs.Process{Args: []string{"sh", "-c", "cat /proc/self/status"}})
	if err != nil || !strings.Contains(out, "NoNewPrivs:\t1\n") || !strings.Contains(out, "Seccomp:\t2\n") {
		t.Errorf("%q, %v", out, err)
	}
	out, err = exec(specs.Process{Args: []string{"cat", "/proc/self/environ"}, Env: []string{"container=mine"}})
	if err != nil || strings.Count(out, "container=") != 1 || !strings.Contains(out, "container=mine") {
		t.Errorf("a variable of ours: %q, %v", out, err)
	}
}

// C12: a process that is to have a label is not executed without it.
func TestC12ExecRefusesLabels(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("unlabelled", CreateOptions{Detach: true}, "/bin/sleep", "60")
	for _, p := range []specs.Process{{ApparmorProfile: "unconfined"}, {SelinuxLabel: "system_u:system_r:container_t:s0"}} {
		p.Args = []string{"true"}
		if _, err := c.Exec(t.Context(), &p, ExecOptions{}); err == nil || !strings.Contains(err.Error(), "not supported yet") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// R7, R36: a name that is taken elsewhere, under another directory of records: the start
// fails, early or late, and does no harm.
func TestForeignUnitIsLeftAlone(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	theirs, ours := newWorld(t), newWorld(t)
	c := theirs.mustStart("dup", CreateOptions{Detach: true}, "/bin/sleep", "60")
	broken := ours.spec("dup", "/bin/true")
	broken.Mounts = append(broken.Mounts, specs.Mount{Type: "tmpfs", Destination: "/bin/busybox/x"})
	for _, spec := range []*specs.Spec{ours.spec("dup", "/bin/true"), broken} {
		if _, err := ours.Create(t.Context(), "dup", spec, ours.options(CreateOptions{})); err == nil {
			t.Error("two containers in one unit")
		}
		if s, err := c.State(); err != nil || s.Status != Running {
			t.Fatalf("theirs: %+v, %v", s, err)
		}
	}
}

// Without a user namespace of its own a payload is kept from reaching into other processes, one that joins a namespace is not.
func TestFilterKnowsTheUserNamespace(t *testing.T) {
	spec, err := testSpec("filter", t.TempDir(), []string{"/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	others := slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	for _, tt := range []struct {
		name   string
		userns []specs.LinuxNamespace
	}{{"made", []specs.LinuxNamespace{{Type: specs.UserNamespace}}}, {"joined", []specs.LinuxNamespace{{Type: specs.UserNamespace, Path: "/x"}}}, {"the host's", nil}} {
		spec.Linux.Namespaces = append(slices.Clone(others), tt.userns...)
		p := &plan{spec: spec, settings: settings}
		if err := p.compileFilter(); err != nil {
			t.Fatal(err)
		}
		want, err := seccomp.Compile(seccomp.Default(spec.Process.Capabilities.Bounding, tt.userns != nil), runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.filter, want) {
			t.Errorf("%s: another filter", tt.name)
		}
	}
}
