// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// waitDead waits for the end of a process, whoever reaps it.
func waitDead(t *testing.T, pidfd *os.File, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := kernel.WaitReadable(ctx, pidfd); err != nil {
		t.Fatalf("still alive after %v: %v", within, err)
	}
}

// noClone3 is a filter that refuses clone3, whose flags no filter can see.
func noClone3() (filter []byte) {
	for _, i := range []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE3, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	} {
		filter = binary.NativeEndian.AppendUint16(filter, i.Code)
		filter = append(filter, i.Jt, i.Jf)
		filter = binary.NativeEndian.AppendUint32(filter, i.K)
	}
	return filter
}

// R43: pid 1 of ours ends as the payload does, reaps what was left to it and passes signals on.
func TestReap(t *testing.T) {
	for name, c := range map[string]struct {
		script, output string
		signal         unix.Signal
		status         int
	}{
		"exit":    {"echo $$; exit 6", "2\n", 0, 6},
		"killed":  {"kill -TERM $$", "", 0, 143},
		"orphans": {"(sleep 0.01 & exec 2>&-); i=0; while set -- /proc/[0-9]*; [ $# -gt 2 ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done; echo $#", "2\n", 0, 0},
		"forward": {"trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.01; done", "ready\ngot\n", unix.SIGUSR1, 9},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			h := startHelper(t, StartOptions{})
			ctx := testContext(t)
			spawn, init, err := spawnTo(ctx, h, w, unix.CLONE_NEWPID|unix.CLONE_NEWNS)
			if err != nil {
				t.Fatal(err)
			}
			defer init.Pidfd.Close()
			p := Next("enter", spawn)
			p.PropagateAll(unix.MS_PRIVATE)
			fs := p.Fsopen("proc")
			mnt := p.Fsmount(fs, "proc", 0)
			p.MoveMount(mnt, p.OpenHere("/proc", unix.O_PATH), "/proc")
			p.Seccomp(noClone3(), 0)
			p.Reap()
			p.Exec("/bin/sh", []string{"sh", "-c", c.script}, []string{"PATH=/bin:/usr/bin"})
			if err := h.run(ctx, p, nil, noSync); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(r)
			var got string
			if c.signal != 0 {
				if got, err = out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				if err := kernel.Signal(init.Pidfd, c.signal); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			waitDead(t, init.Pidfd, 5*time.Second)
			var ws unix.WaitStatus
			if _, err := unix.Wait4(init.Pid, &ws, 0, nil); err != nil || ws.ExitStatus() != c.status || got+string(rest) != c.output {
				t.Errorf("status %d, %v, output %q; want %d, %q", ws.ExitStatus(), err, got+string(rest), c.status, c.output)
			}
		})
	}
}

// orphanCommand makes the test binary a parent that can be killed.
const orphanCommand = "be-a-parent"

func orphanMain() {
	h, err := Start(StartOptions{Keeper: os.Args[2] == "detached" || os.Args[2] == "kept"})
	if err != nil {
		panic(err)
	}
	if os.Args[2] == "kept" {
		keptMain(h)
	}
	spawn := spawnProgram(unix.CLONE_NEWPID, os.Args[2] != "detached")
	if os.Args[2] == "detached" { // K must not wait for a program of its own
		spawn = New("spawn")
		child := spawn.Fork(Control, CloneArgs{Namespaces: unix.CLONE_NEWPID, Cgroup: NoReg})
		spawn.SyncReceive(Control, 1)
		spawn.Close(child)
		spawn.End()
	}
	init, err := h.spawn(context.Background(), spawn, nil)
	if err != nil {
		panic(err)
	}
	if os.Args[2] == "executed" {
		enter := Next("enter", spawn)
		enter.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
		if err := h.run(context.Background(), enter, nil, noSync); err != nil {
			panic(err)
		}
	}
	fmt.Println(init.Pid)
	_ = unix.Pause() // not select: with nothing else to do, Go would call it a deadlock
}

// Whoever waits or runs dies with the parent, unless a program said otherwise.
func TestParentDeath(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	for _, how := range []string{"foreground", "detached", "executed"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], orphanCommand, how)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pid int
			if _, err := fmt.Fscan(out, &pid); err != nil {
				t.Fatal(err)
			}
			pidfd, err := kernel.Pidfd(pid)
			if err != nil {
				t.Fatal(err)
			}
			defer pidfd.Close()
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			waitDead(t, pidfd, time.Second)
		})
	}
}

// R40: a hook gets the state, and is killed when its time is over; the error has its exit status or signal.
func TestG7SpawnHook(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	state := strings.Repeat("s", maxState)
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		want    unix.Errno
		status  int
		text    string
	}{
		"state":   {"cat > " + out + "; echo \"$1 $X\" >> " + out, time.Minute, 0, 0, ""},
		"exit":    {"exit 3", time.Minute, unix.ECHILD, 3, "hook: spawn /bin/sh: exit status 3"},
		"signal":  {"kill -TERM $$", 0, unix.ECHILD, 143, "hook: spawn /bin/sh: killed by SIGTERM"},
		"timeout": {"exec sleep 60", 50 * time.Millisecond, unix.ETIMEDOUT, 137, "hook: spawn /bin/sh: connection timed out (the hook's timeout is over)"},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, spawn := inNamespaces(t, unix.CLONE_NEWPID)
			p := Next("hooks", spawn)
			p.At("hook", "")
			p.Spawn("/bin/sh", []string{"sh", "-c", c.script, "x", "arg"}, []string{"X=y", "PATH=/bin:/usr/bin"}, []byte(state), c.timeout)
			p.End()
			err := h.run(testContext(t), p, nil, noSync)
			var step *StepError
			switch {
			case c.want == 0 && err != nil:
				t.Fatal(err)
			case c.want == 0:
				if b, err := os.ReadFile(out); err != nil || string(b) != state+"arg y\n" {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			case !errors.As(err, &step) || step.Errno != c.want || step.Status != c.status || err.Error() != c.text:
				t.Errorf("%v, want %q", err, c.text)
			}
		})
	}
}

// The numbers that a process's descriptors happen to have are its own business.
func TestStartWithHighDescriptors(t *testing.T) {
	image, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	for least := 90; least < 112; least++ {
		near, far, err := socketpair("nsexec")
		if err != nil {
			t.Fatal(err)
		}
		high, err := above(far, least)
		if err != nil {
			t.Fatal(err)
		}
		exe, err := sealExecutable(image)
		if err != nil {
			t.Fatal(err)
		}
		h := &Helper{Conn: &Conn{f: near}}
		if err := h.exec(exe, high, -1); err != nil {
			t.Errorf("the socket is %d: %v", high, err)
		} else if err := h.Close(); err != nil {
			t.Error(err)
		}
		for _, fd := range []int{far, high, exe} {
			unix.Close(fd)
		}
	}
}
