// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// processes are those whose programs are kept as golden files.
func processes() map[string]*specs.Process {
	umask := uint32(0o027)
	list := []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
	return map[string]*specs.Process{
		"app":  {NoNewPrivileges: true},
		"root": {Capabilities: &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}},
		"full": {
			NoNewPrivileges: true, Cwd: "/srv", User: specs.User{Umask: &umask},
			Capabilities: &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list, Inheritable: list, Ambient: list[:1]},
			Scheduler:    &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5},
			IOPriority:   &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6},
		},
	}
}

func program(t *testing.T, p *specs.Process) *nsexec.Program {
	t.Helper()
	y, err := Plan(p, &specs.Linux{Personality: &specs.LinuxPersonality{Domain: specs.PerLinux32}}, Identity{UID: 33, GID: 44, Groups: []uint32{44, 55}, Home: "/"})
	if err != nil {
		t.Fatal(err)
	}
	y.Path, y.DeathSignal = "/bin/app", unix.SIGKILL
	prog := nsexec.New("enter")
	y.Enter(prog, func() {
		prog.At("terminal", "")
		prog.Setsid()
	}, func() {
		prog.At("filter", "")
		prog.Seccomp(make([]byte, 8), 0)
	})
	prog.At("exec", "")
	prog.Exec(y.Path, nil, y.Env)
	if _, err := prog.Encode(); err != nil {
		t.Fatal(err)
	}
	return prog
}

// What the parent sets is in the kernel's numbers.
func TestPriorities(t *testing.T) {
	reset := []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}
	for _, tt := range []struct {
		p    specs.Process
		want unix.SchedAttr
		io   uint64
	}{
		{specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}, IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}},
			unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: 5}, 2<<13 | 6},
		{specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedRR, Priority: 7, Flags: reset}, IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}},
			unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 7, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 3 << 13},
	} {
		y, err := Plan(&tt.p, nil, Identity{Home: "/"})
		if err != nil {
			t.Fatal(err)
		}
		tt.want.Size = unix.SizeofSchedAttr
		if *y.Scheduler != tt.want || *y.IOPriority != tt.io {
			t.Errorf("%+v, %#x, want %+v, %#x", *y.Scheduler, *y.IOPriority, tt.want, tt.io)
		}
	}
}

func TestEnterGolden(t *testing.T) {
	for name, p := range processes() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := program(t, p).Format(&b); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/"+name+".txt", b.String())
		})
	}
}

// TestD7Order asserts on the compiled programs what the "Order:" comments say.
func TestD7Order(t *testing.T) {
	for name, p := range processes() {
		t.Run(name, func(t *testing.T) {
			steps := program(t, p).Explain()
			at := func(last bool, parts ...string) int {
				found := -1
				for i, s := range steps {
					text, _ := json.Marshal(s)
					ok := !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s.Name+" "+s.String()+string(text), part) })
					if ok && (last || found < 0) {
						found = i
					}
				}
				if found < 0 && !strings.Contains(parts[0], "scheduler") {
					t.Fatalf("no step with %q", parts)
				}
				return found
			}
			sequence := []int{
				at(false, "keyctl"), at(true, "personality"), at(true, "terminal"), at(false, "chdir"), at(false, "check("),
				at(false, "PR_CAPBSET_DROP"), at(true, "PR_CAPBSET_DROP"),
				at(false, "PR_SET_KEEPCAPS, 1"), at(false, "setgroups"), at(false, "setresgid"), at(false, "setresuid"), at(false, "PR_SET_KEEPCAPS, 0"),
				at(false, "capset"), at(false, "PR_CAP_AMBIENT_CLEAR_ALL"), at(false, "PR_SET_PDEATHSIG, SIGKILL"), at(false, "umask"), at(false, "faccessat2"), at(false, "execve"),
			}
			if !slices.IsSorted(sequence) {
				t.Errorf("order: %v", sequence)
			}
			filter, creds := at(false, "seccomp"), at(false, "setresuid")
			if p.NoNewPrivileges {
				nnp := at(false, "PR_SET_NO_NEW_PRIVS, 1")
				if nnp < at(true, "faccessat2") || filter != len(steps)-2 || nnp > filter {
					t.Errorf("with no_new_privs (%d) the filter (%d of %d) comes last", nnp, filter, len(steps))
				}
			} else if filter > creds || filter < at(true, "PR_CAPBSET_DROP") {
				t.Errorf("without no_new_privs the filter (%d) comes before the credentials (%d)", filter, creds)
			}
		})
	}
}

// A9: CVE-2016-9962. A change of ids makes a process as dumpable as
// fs.suid_dumpable says; the step after it takes that back.
func TestA9NotDumpableAfterIDs(t *testing.T) {
	for name, p := range processes() {
		steps := program(t, p).Steps()
		changes := 0
		for i, s := range steps {
			if s.NR != unix.SYS_SETRESUID && s.NR != unix.SYS_SETRESGID {
				continue
			}
			changes++
			next := steps[i+1]
			if next.NR != unix.SYS_PRCTL || next.Args[0] != nsexec.Imm(unix.PR_SET_DUMPABLE) || next.Args[1] != nsexec.Imm(0) {
				t.Errorf("%s: step %d changes ids, and the next is %+v", name, i, next)
			}
		}
		if changes != 2 {
			t.Errorf("%s: %d changes of ids", name, changes)
		}
	}
}

func TestExecOfLaterProcess(t *testing.T) {
	y, err := Plan(&specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Final: "0"}}, nil, Identity{Home: "/"})
	if err != nil {
		t.Fatal(err)
	}
	prog := nsexec.New("exec")
	none := func() {}
	y.Enter(prog, none, none)
	var b bytes.Buffer
	if err := prog.Format(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"keyctl", "sched_setaffinity", `chdir("/")`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, &b)
		}
	}
	for _, not := range []string{"faccessat2", "PR_SET_NO_NEW_PRIVS"} {
		if strings.Contains(b.String(), not) {
			t.Errorf("%s in\n%s", not, &b)
		}
	}
}

// FuzzPlan feeds processes as JSON: a payload is refused, or its steps can be written.
func FuzzPlan(f *testing.F) {
	for _, p := range processes() {
		b, err := json.Marshal(specs.Spec{Process: p, Linux: &specs.Linux{Personality: &specs.LinuxPersonality{Domain: specs.PerLinux32}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec specs.Spec
		if json.Unmarshal(b, &spec) != nil {
			return
		}
		y, err := Plan(spec.Process, spec.Linux, Identity{Home: "/"})
		if err != nil {
			return
		}
		// What no process may have more of than it can ever get (capabilities(7)).
		if y.Effective&^y.Permitted != 0 || y.Ambient&^(y.Permitted&y.Inheritable) != 0 {
			t.Errorf("%s: sets %+v", b, y.Sets)
		}
		for _, l := range y.Rlimits {
			if l.Soft > l.Hard {
				t.Errorf("%s: %+v", b, l)
			}
		}
		prog := nsexec.New("enter")
		y.Enter(prog, func() {}, func() {})
		prog.Exec("/x", nil, y.Env)
		if _, err := prog.Encode(); err != nil && !strings.Contains(err.Error(), "NUL") && !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: %v", b, err)
		}
	})
}
