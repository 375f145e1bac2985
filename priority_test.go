// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

// What exec runs in a service has the priorities that directives of its unit gave the first process, unless others are said.
func TestExecHasTheServicesPriorities(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	const whoProcess, idle = 1, 3 << 13 // both of which anybody may have
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(cmd.Process.Pid), idle); errno != 0 {
		t.Fatal(errno)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, 19); err != nil {
		t.Fatal(err)
	}
	now, err := unix.SchedGetAttr(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	its := &specs.Scheduler{Policy: map[uint32]specs.LinuxSchedulerPolicy{0: specs.SchedOther, 3: specs.SchedBatch, 5: specs.SchedIdle}[now.Policy], Nice: 19}
	itsIO := &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	other, otherIO := &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1}, &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE}
	for name, tt := range map[string]struct {
		directive string
		service   bool
		said      specs.Process
		scheduler *specs.Scheduler
		io        *specs.LinuxIOPriority
	}{
		"a scope": {directive: "Nice"}, "none of it": {directive: "CPUWeight", service: true}, "nice": {directive: "Nice", service: true, scheduler: its},
		"policy": {directive: "CPUSchedulingPolicy", service: true, scheduler: its}, "priority": {directive: "CPUSchedulingPriority", service: true, scheduler: its},
		"I/O class": {directive: "IOSchedulingClass", service: true, io: itsIO}, "I/O level": {directive: "IOSchedulingPriority", service: true, io: itsIO},
		"said":   {directive: "Nice", service: true, said: specs.Process{Scheduler: other}, scheduler: other},
		"I/O so": {directive: "IOSchedulingClass", service: true, said: specs.Process{IOPriority: otherIO}, io: otherIO},
	} {
		t.Run(name, func(t *testing.T) {
			l := &launch{c: &Container{st: &record{Service: tt.service, Init: procID{Pid: cmd.Process.Pid}}}, spec: &specs.Spec{Process: &tt.said, Linux: &specs.Linux{}}}
			l.plan, l.settings = &plan{spec: l.spec}, configs.Settings{Service: map[string][]string{tt.directive: {"1"}}}
			if err := l.planJoin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]any{tt.scheduler, tt.io}, []any{tt.said.Scheduler, tt.said.IOPriority}); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	l := &launch{c: &Container{st: &record{Service: true, Init: procID{Pid: cmd.Process.Pid}}}, spec: &specs.Spec{Process: &specs.Process{}}}
	l.settings.Service = map[string][]string{"Nice": {"1"}}
	if err := l.prioritize(); err == nil {
		t.Error("no error of a process that is gone")
	}
}
