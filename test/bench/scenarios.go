// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A bed is the system that is measured on.
type bed struct {
	ctx  context.Context
	here string // where the share is
}

// A kind is how containers are made: the configuration of ours, the bundle with the same for others, and what those add to a
// unit that take neither.
type kind struct {
	said, suffix, file, bundle, nspawn, quadlet string
}

var (
	plain  = kind{file: "bench.toml", bundle: "bundle"}
	userns = kind{
		said: " in a user namespace", suffix: "-userns", file: "userns.toml", bundle: "bundle-userns",
		nspawn: "--private-users=524288:65536 --private-users-ownership=off", quadlet: "UIDMap=0:524288:65536\nGIDMap=0:524288:65536",
	}
)

// unitLimits are those of limits.toml, for who has a unit and no config.json.
var unitLimits = []string{"MemoryMax=128M", "TasksMax=64", "CPUWeight=200"}

// limited puts something before each limit.
func limited(before string) (all []string) {
	for _, l := range unitLimits {
		all = append(all, before+l)
	}
	return all
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
		{name: "run /bin/true", share: 1, contenders: append(b.runs(plain), b.marks()...)},
		{name: "run /bin/true" + userns.said, share: 1, contenders: b.runs(userns)},
		{name: "run /bin/true, against systemd-nspawn", share: 5, contenders: append(b.runs(plain)[:2], b.nspawn())},
		b.detached(plain, 2),
		b.detached(userns, 4),
		b.execs(plain, 1),
		b.execs(userns, 2),
		b.looks(),
		b.services(plain, 1),
		b.services(userns, 4),
	}
	for _, n := range []int{1, 2, 4, 8} {
		all = append(all,
			scenario{name: fmt.Sprintf("16 runs, %d at a time", n), share: 14, contenders: append(b.parallel(n, plain), b.parallelMarks(n)...)},
			scenario{name: fmt.Sprintf("16 runs in user namespaces, %d at a time", n), share: 20, contenders: b.parallel(n, userns)})
	}
	return all
}

// flaky is who fails now and then by itself: once in hundreds runc finds the clone of itself busy.
const flaky = "runc"

// shell is a contender whose round is a script; $N is the round's number.
func (b *bed) shell(name, script string) *contender {
	return &contender{name: name, flaky: name == flaky, command: func(n int) *exec.Cmd {
		cmd := exec.CommandContext(b.ctx, "/bin/sh", "-ec", script)
		cmd.Env = append(os.Environ(), fmt.Sprintf("N=%d", n), "B="+b.here)
		return cmd
	}}
}

func (b *bed) command(name string, args func(id string) []string) *contender {
	return &contender{name: name, flaky: name == flaky, command: func(n int) *exec.Cmd {
		a := args(fmt.Sprintf("bench-%d", n))
		return exec.CommandContext(b.ctx, a[0], a[1:]...)
	}}
}

func (b *bed) ours(args ...string) []string {
	return append([]string{b.here + "/sdcontainer"}, args...)
}

// runs is the foreground, in ours and in runtimes that get the very same config.json.
func (b *bed) runs(k kind) []*contender {
	oci := func(runtime string) *contender {
		return b.command(runtime, func(id string) []string {
			return []string{runtime, "--systemd-cgroup", "run", "--bundle", b.here + "/" + k.bundle, id}
		})
	}
	return []*contender{
		b.command("sdcontainer", func(id string) []string { return b.ours("run", "--rm", "--name="+id, b.here+"/"+k.file) }),
		oci("crun"), oci("runc"),
	}
}

// marks on the scale: systemd-run --scope makes no container, bwrap no unit and no filter.
func (b *bed) marks() []*contender {
	return []*contender{
		b.fixed("systemd-run --scope", systemdRun("--scope")...),
		b.fixed("systemd-run --wait", systemdRun("--wait")...),
		b.fixed("bwrap", bwrap...),
	}
}

// nspawn takes several times as long: it is measured apart.
func (b *bed) nspawn() *contender {
	args := append([]string{"systemd-nspawn", "--quiet", "--register=no", "--read-only", "--private-network"}, limited("--property=")...)
	return b.fixed("systemd-nspawn", append(args, "--directory=/var/lib/machines/busybox", "/bin/true")...)
}

func systemdRun(how string) []string {
	return append(append([]string{"systemd-run", how, "--quiet", "--collect"}, limited("-p")...), "/bin/true")
}

var bwrap = []string{"bwrap", "--unshare-all", "--ro-bind", "/var/lib/machines/busybox", "/",
	"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--cap-drop", "ALL", "/bin/true"}

func (b *bed) detached(k kind, share int) scenario {
	oci := func(runtime string) *contender {
		return b.shell(runtime, runtime+` --systemd-cgroup run --detach --bundle $B/`+k.bundle+`-long d-$N </dev/null >/dev/null 2>&1; `+
			runtime+` --systemd-cgroup delete --force d-$N`)
	}
	return scenario{name: "run -d" + k.said + ", then rm -f", share: share, contenders: []*contender{
		b.shell("sdcontainer", `$B/sdcontainer run -d --name d-$N $B/`+k.file+` /bin/sleep 1000000; $B/sdcontainer rm -f d-$N`),
		oci("crun"), oci("runc"),
	}}
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
func (b *bed) among(k kind, s scenario) scenario {
	start := b.script(`$B/sdcontainer run -d --name e $B/` + k.file + ` /bin/sleep 1000000
		crun --systemd-cgroup run --detach --bundle $B/` + k.bundle + `-long ec </dev/null >/dev/null 2>&1
		runc --systemd-cgroup run --detach --bundle $B/` + k.bundle + `-long er </dev/null >/dev/null 2>&1`)
	s.before = func() error {
		if err := start(); err != nil {
			return err
		}
		return b.haveLimits("sdc-e.scope", "crun-ec.scope", "runc-er.scope")
	}
	s.after = b.script(`$B/sdcontainer rm -f e; crun --systemd-cgroup delete -f ec; runc --systemd-cgroup delete -f er`)
	return s
}

// fixed is a contender that does the same each round.
func (b *bed) fixed(name string, args ...string) *contender {
	return b.command(name, func(string) []string { return args })
}

// execs enters a container that runs.
func (b *bed) execs(k kind, share int) scenario {
	return b.among(k, scenario{name: "exec /bin/true" + k.said, share: share, contenders: []*contender{
		b.fixed("sdcontainer", b.ours("exec", "e", "/bin/true")...),
		b.fixed("crun", "crun", "--systemd-cgroup", "exec", "ec", "/bin/true"),
		b.fixed("runc", "runc", "--systemd-cgroup", "exec", "er", "/bin/true"),
	}})
}

// looks are the verbs of which most of the time is the program's own start.
func (b *bed) looks() scenario {
	return b.among(plain, scenario{name: "look at a container", share: 1, contenders: []*contender{
		b.fixed("sdcontainer ps", b.ours("ps")...),
		b.fixed("sdcontainer inspect", b.ours("inspect", "e")...),
		b.fixed("sdcontainer kill", b.ours("kill", "-s", "CONT", "e")...),
		b.fixed("crun list", "crun", "list"),
		b.fixed("crun state", "crun", "state", "ec"),
		b.fixed(emptyProgram, b.here+"/empty"),
	}})
}

// parallel is 16 runs, by so many processes at once.
func (b *bed) parallel(managers int, k kind) []*contender {
	return []*contender{
		b.shell("sdcontainer", sixteen(managers, `$B/sdcontainer run --rm --name ID $B/`+k.file+` 2>/dev/null`)),
		b.shell("crun", sixteen(managers, `crun --systemd-cgroup run --bundle $B/`+k.bundle+` ID`)),
		b.shell("runc", sixteen(managers, `runc --systemd-cgroup run --bundle $B/`+k.bundle+` ID`)),
	}
}

func (b *bed) parallelMarks(managers int) []*contender {
	return []*contender{
		b.shell("systemd-run --scope", sixteen(managers, strings.Join(systemdRun("--scope"), " "))),
		b.shell("bwrap", sixteen(managers, strings.Join(bwrap, " "))),
	}
}

// sixteen has a command with ID in it run 16 times, by so many shells.
func sixteen(managers int, one string) string {
	var s strings.Builder
	for m := range managers {
		fmt.Fprintf(&s, "(for i in $(seq %d); do %s; done) & all=\"$all $!\"\n", 16/managers, strings.ReplaceAll(one, "ID", fmt.Sprintf("p-$N-%d-$i", m)))
	}
	return s.String() + "for one in $all; do wait $one; done" // each for itself: a mere wait tells of no failure
}
