// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// What a process of Exec leaves out, and nothing else, is the container's.
func TestInheritUser(t *testing.T) {
	container := specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}, Umask: new(uint32(0o077))}
	from := &specs.Process{User: container}
	for name, tt := range map[string]struct{ own, want specs.User }{
		"nothing": {specs.User{}, container},
		"umask":   {specs.User{Umask: new(uint32(0o007))}, specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}, Umask: new(uint32(0o007))}},
		"groups":  {specs.User{AdditionalGids: []uint32{4}}, specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{4}, Umask: container.Umask}},
		"user":    {specs.User{UID: 1, GID: 2}, specs.User{UID: 1, GID: 2, Umask: container.Umask}},
		"root":    {specs.User{Username: "0"}, specs.User{Username: "0", Umask: container.Umask}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, inherit(&specs.Process{User: tt.own}, from).User); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Of all else that a process may have, each field is the container's where it is not said.
func TestInheritAll(t *testing.T) {
	from := &specs.Process{User: specs.User{UID: 7}, Env: []string{"A=b"}, Cwd: "/srv", Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
		Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}, NoNewPrivileges: true, OOMScoreAdj: new(5), Scheduler: &specs.Scheduler{Policy: specs.SchedBatch},
		IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}, ExecCPUAffinity: &specs.CPUAffinity{Final: "0"}}
	own := []string{"Args", "Terminal", "ConsoleSize", "CommandLine", "ApparmorProfile", "SelinuxLabel"} // the last three nobody has
	got := inherit(&specs.Process{}, from)
	if diff := cmp.Diff(from, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if s := inherit(&specs.Process{}, &specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline}}).Scheduler; s != nil {
		t.Errorf("%+v: the bandwidth of one thread, a second time", s)
	}
	v := reflect.ValueOf(*got)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != slices.Contains(own, name) {
			t.Errorf("%s is not looked at here", name)
		}
	}
}

// R46: a kernel without one kind of namespace: that its link is missing is no sign of an end.
func TestKernelWithoutANamespace(t *testing.T) {
	kinds := namespaceKinds
	t.Cleanup(func() { namespaceKinds = kinds })
	namespaceKinds = append(kinds[:len(kinds):len(kinds)], kinds[0])
	namespaceKinds[len(kinds)].kind = "nosuch"
	flags, cgroup, err := foreignNamespaces(os.Getpid())
	if flags != 0 || cgroup || err != nil {
		t.Errorf("our own: %#x, %v, %v; want none", flags, cgroup, err)
	}
	if _, _, err := foreignNamespaces(1 << 30); err != ErrNotRunning {
		t.Errorf("nobody's: %v, want ErrNotRunning", err)
	}
}

// What was looked for too long is let go of when it comes after all.
func TestLookDropsWhatComesLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answer, dropped := make(chan int), make(chan int)
	cancel()
	_, err := look(ctx, "look", func() (int, error) { return <-answer, nil }, func(n int) { dropped <- n })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want canceled", err)
	}
	answer <- 7
	select {
	case n := <-dropped:
		if n != 7 {
			t.Errorf("dropped %d, want 7", n)
		}
	case <-soon(t).Done():
		t.Error("not dropped")
	}
}

func TestExec(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("ex", CreateOptions{Detach: true}, "/bin/sleep", "60")
	r, out := pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sh", "-c", "hostname; id -u; cat /proc/1/comm; cat /proc/self/cgroup; exit 5"},
		Env: []string{"X=1"}}, ExecOptions{Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	host, err := scope.CgroupOf(p.Pid)
	if s, err2 := c.State(); err != nil || err2 != nil || host != s.Cgroup {
		t.Errorf("cgroup on the host: %q, %v; want %q", host, errors.Join(err, err2), s.Cgroup)
	}
	out.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 || lines[0] != "ex" || lines[1] != "0" || lines[2] != "sleep" || !bytes.Contains(b, []byte("0::/\n")) {
		t.Errorf("inside: %q", b)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 5 {
		t.Errorf("%+v, %v; want code 5", e, err)
	}
	if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"nothing"}}, ExecOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("exec of nothing: %v", err)
	}
	term, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sh", "-c", "test -t 0 && echo tty"}}, ExecOptions{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	defer term.Terminal.Close()
	b = make([]byte, 5)
	if _, err := io.ReadFull(term.Terminal, b); err != nil || string(b) != "tty\r\n" {
		t.Errorf("terminal: %q, %v", b, err)
	}
	if e, err := term.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// R41: exec races a stop, ours or systemd's, of a payload that takes its time to end: each exec runs, or says that the container is not running.
func TestExecRacesStop(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	conn, err := scope.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var ran, during atomic.Int64
	for n := range sdtest.Loops(t, 20, 300) {
		c := w.mustStart("raced", CreateOptions{Detach: true}, "/bin/sh", "-c",
			"trap 'i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; exit 3' TERM; sleep 1000 & wait")
		var players sync.WaitGroup
		var stopping atomic.Bool
		began := make(chan struct{}, 3)
		for range cap(began) {
			players.Go(func() {
				for tell := began; ; tell = nil {
					late := stopping.Load()
					err := execOnce(soon(t), w.Runtime, "raced")
					if tell != nil {
						tell <- struct{}{}
					}
					if err != nil {
						if !errors.Is(err, ErrNotRunning) || !late && !stopping.Load() {
							t.Errorf("%d, told to stop before it: %v: %v", n, late, err)
						}
						return
					}
					ran.Add(1)
					if late {
						during.Add(1)
					}
				}
			})
		}
		<-began
		stopping.Store(true)
		if n%2 == 0 {
			err = c.Stop(soon(t), -1)
		} else {
			err = conn.Stop(soon(t), scope.UnitName("raced"))
		}
		if err != nil {
			t.Error(err)
		}
		if _, err := c.Wait(soon(t)); err != nil {
			t.Error(err)
		}
		players.Wait()
		if s, err := c.State(); err != nil || s.Status != Stopped || s.Exit == nil {
			t.Errorf("%d: after the stop: %+v, %v", n, s, err)
		}
		if err := w.Remove(soon(t), "raced", false); err != nil {
			t.Fatal(err)
		}
		w.nothingLeft("raced")
	}
	t.Logf("%d execs ran, of which %d began during a stop", ran.Load(), during.Load())
	sdtest.MustHaveSome(t, "ran during a stop", int(during.Load()), int(ran.Load()))
}

// execOnce runs a command in a container, which may be killed with it.
func execOnce(ctx context.Context, r *Runtime, id string) error {
	c, err := r.Load(id)
	if err != nil {
		return err
	}
	p, err := c.Exec(ctx, &specs.Process{Args: []string{"true"}}, ExecOptions{})
	if err != nil {
		return err
	}
	e, err := p.Wait(ctx)
	if err == nil && e.Code != 0 && e.Signal == 0 {
		err = fmt.Errorf("the command ended with %+v", e)
	}
	return err
}
