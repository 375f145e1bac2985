// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A bed is the system that is measured on.
type bed struct {
	ctx    context.Context
	here   string // where the share is
	limits bool
}

// A scenario is one thing that several programs can do.
type scenario struct {
	name       string
	contenders []*contender
	// share is the part of the rounds that it gets: what takes long is done less often.
	share         int
	before, after func() error
}

func (s scenario) measure(rounds int, progress io.Writer) (sums []summary, err error) {
	fmt.Fprintln(progress, s.name, "...")
	if s.before != nil {
		if err := s.before(); err != nil {
			return nil, err
		}
	}
	if s.after != nil {
		defer func() { err = errors.Join(err, s.after()) }()
	}
	if err := compare(s.contenders, 2, max(rounds/s.share, 3), progress); err != nil {
		return nil, err
	}
	return summarize(s.contenders), nil
}

func (b *bed) scenarios() []scenario {
	all := []scenario{
		{name: "run /bin/true", share: 1, contenders: append(b.runs("bench.toml", "bundle"), b.marks()...)},
		{name: "run /bin/true in a user namespace", share: 1, contenders: b.runs("userns.toml", "bundle-userns")},
		{name: "run /bin/true, against systemd-nspawn", share: 5, contenders: append(b.runs("bench.toml", "bundle")[:2], b.nspawn())},
		{name: "run -d, then rm -f", share: 2, contenders: b.detached()},
		b.execs(),
		b.looks(),
		b.services(),
	}
	for _, n := range []int{1, 2, 4, 8} {
		all = append(all, scenario{name: fmt.Sprintf("16 runs, %d at a time", n), share: 12, contenders: append(b.parallel(n, ""), b.parallelMarks(n)...)})
	}
	return append(all, scenario{name: "16 runs in user namespaces, 8 at a time", share: 20, contenders: b.parallel(8, "-userns")})
}

// shell is a contender whose round is a script; $N is the round's number.
func (b *bed) shell(name, script string) *contender {
	return &contender{name: name, command: func(n int) *exec.Cmd {
		cmd := exec.CommandContext(b.ctx, "/bin/sh", "-ec", script)
		cmd.Env = append(os.Environ(), fmt.Sprintf("N=%d", n), "B="+b.here)
		return cmd
	}}
}

func (b *bed) command(name string, args func(id string) []string) *contender {
	return &contender{name: name, command: func(n int) *exec.Cmd {
		a := args(fmt.Sprintf("bench-%d", n))
		return exec.CommandContext(b.ctx, a[0], a[1:]...)
	}}
}

func (b *bed) ours(args ...string) []string {
	return append([]string{b.here + "/sdcontainer"}, args...)
}

// runs is the foreground, in ours and in runtimes that get the very same config.json.
func (b *bed) runs(file, bundle string) []*contender {
	oci := func(runtime string) *contender {
		return b.command(runtime, func(id string) []string {
			return []string{runtime, "--systemd-cgroup", "run", "--bundle", b.here + "/" + bundle, id}
		})
	}
	return []*contender{
		b.command("sdcontainer", func(id string) []string { return b.ours("run", "--rm", "--name="+id, b.here+"/"+file) }),
		oci("crun"), oci("runc"),
	}
}

// marks on the scale: systemd-run --scope makes no container, bwrap no unit and no filter.
func (b *bed) marks() []*contender {
	return []*contender{
		b.fixed("systemd-run --scope", b.scope()...),
		b.fixed("systemd-run --wait", "systemd-run", "--wait", "--quiet", "--collect", "/bin/true"),
		b.fixed("bwrap", bwrap...),
	}
}

// nspawn takes several times as long: it is measured apart.
func (b *bed) nspawn() *contender {
	return b.fixed("systemd-nspawn", "systemd-nspawn", "--quiet", "--register=no", "--read-only", "--private-network",
		"--directory=/var/lib/machines/busybox", "/bin/true")
}

func (b *bed) scope() []string {
	args := []string{"systemd-run", "--scope", "--quiet", "--collect"}
	if b.limits {
		args = append(args, "-pMemoryMax=128M", "-pTasksMax=64", "-pCPUWeight=200")
	}
	return append(args, "/bin/true")
}

var bwrap = []string{"bwrap", "--unshare-all", "--ro-bind", "/var/lib/machines/busybox", "/",
	"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--cap-drop", "ALL", "/bin/true"}

func (b *bed) detached() []*contender {
	oci := func(runtime string) *contender {
		return b.shell(runtime, runtime+` --systemd-cgroup run --detach --bundle $B/bundle-long d-$N </dev/null >/dev/null 2>&1; `+runtime+` --systemd-cgroup delete --force d-$N`)
	}
	return []*contender{
		b.shell("sdcontainer", `$B/sdcontainer run -d --name d-$N $B/bench.toml /bin/sleep 1000000; $B/sdcontainer rm -f d-$N`),
		oci("crun"), oci("runc"),
	}
}

// script runs one of the shell, that is not measured.
func (b *bed) script(text string) func() error {
	return func() error {
		out, err := b.shell("", text).command(0).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// among has one container of each runtime running meanwhile: e of ours, ec and er.
func (b *bed) among(s scenario) scenario {
	s.before = b.script(`$B/sdcontainer run -d --name e $B/bench.toml /bin/sleep 1000000
		crun --systemd-cgroup run --detach --bundle $B/bundle-long ec </dev/null >/dev/null 2>&1
		runc --systemd-cgroup run --detach --bundle $B/bundle-long er </dev/null >/dev/null 2>&1`)
	s.after = b.script(`$B/sdcontainer rm -f e; crun --systemd-cgroup delete -f ec; runc --systemd-cgroup delete -f er`)
	return s
}

// fixed is a contender that does the same each round.
func (b *bed) fixed(name string, args ...string) *contender {
	return b.command(name, func(string) []string { return args })
}

// execs enters a container that runs.
func (b *bed) execs() scenario {
	runc := b.fixed("runc", "runc", "--systemd-cgroup", "exec", "er", "/bin/true")
	runc.flaky = true // once in hundreds the clone of itself is busy
	return b.among(scenario{name: "exec /bin/true", share: 1, contenders: []*contender{
		b.fixed("sdcontainer", b.ours("exec", "e", "/bin/true")...),
		b.fixed("crun", "crun", "--systemd-cgroup", "exec", "ec", "/bin/true"),
		runc,
	}})
}

// looks are the verbs of which most of the time is the program's own start.
func (b *bed) looks() scenario {
	return b.among(scenario{name: "look at a container", share: 1, contenders: []*contender{
		b.fixed("sdcontainer ps", b.ours("ps")...),
		b.fixed("sdcontainer inspect", b.ours("inspect", "e")...),
		b.fixed("sdcontainer kill", b.ours("kill", "-s", "CONT", "e")...),
		b.fixed("crun list", "crun", "list"),
		b.fixed("crun state", "crun", "state", "ec"),
		b.fixed(emptyProgram, b.here+"/empty"),
	}})
}

//go:embed units
var units embed.FS

// services is systemctl start until the unit is active; stopping is not measured.
func (b *bed) services() scenario {
	start := func(name, unit string) *contender {
		c := b.command(name, func(string) []string { return []string{"systemctl", "start", unit} })
		c.after = func() error { return exec.CommandContext(b.ctx, "systemctl", "stop", unit).Run() }
		return c
	}
	return scenario{
		name: "systemctl start of a service", share: 1, before: b.installUnits,
		contenders: []*contender{
			start("sdcontainer", "bench-ours"), start("bare Type=exec", "bench-bare"),
			start("systemd-nspawn", "bench-nspawn"), start("podman (Quadlet)", "bench-quadlet"),
		},
	}
}

func (b *bed) installUnits() error {
	files := map[string]string{
		"bench-bare.service": "/run/systemd/system", "bench-ours.service": "/run/systemd/system", "bench-nspawn.service": "/run/systemd/system",
		"bench-quadlet.container": "/etc/containers/systemd", "storage.conf": "/etc/containers",
	}
	for name, dir := range files {
		text, err := units.ReadFile("units/" + name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("@here@"), []byte(b.here))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return exec.CommandContext(b.ctx, "systemctl", "daemon-reload").Run()
}

// parallel is 16 runs, by so many processes at once.
func (b *bed) parallel(managers int, userns string) []*contender {
	file := map[string]string{"": "bench.toml", "-userns": "userns.toml"}[userns]
	return []*contender{
		b.shell("sdcontainer", sixteen(managers, `$B/sdcontainer run --rm --name ID $B/`+file+` 2>/dev/null`)),
		b.shell("crun", sixteen(managers, `crun --systemd-cgroup run --bundle $B/bundle`+userns+` ID`)),
		b.shell("runc", sixteen(managers, `runc --systemd-cgroup run --bundle $B/bundle`+userns+` ID`)),
	}
}

func (b *bed) parallelMarks(managers int) []*contender {
	return []*contender{
		b.shell("systemd-run --scope", sixteen(managers, strings.Join(b.scope(), " "))),
		b.shell("bwrap", sixteen(managers, strings.Join(bwrap, " "))),
	}
}

// sixteen has a command with ID in it run 16 times, by so many shells.
func sixteen(managers int, one string) string {
	var s strings.Builder
	for m := range managers {
		fmt.Fprintf(&s, "(for i in $(seq %d); do %s; done) &\n", 16/managers, strings.ReplaceAll(one, "ID", fmt.Sprintf("p-$N-%d-$i", m)))
	}
	return s.String() + "wait"
}
