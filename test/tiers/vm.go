// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// vmPackages are the packages whose tests also run inside the guests: those
// that act on a kernel or a systemd. The last one sets the clock.
var vmPackages = []string{"./test/vm/guest", ".", "./caps", "./cmd/sdcontainer", "./internal/journal", "./internal/kernel", "./internal/sdtest/canary", "./nsexec", "./rootfs", "./scope", "./test/crowd"}

// sources is where the guest finds the module: tests read their testdata and
// the examples from there.
const sources = "/usr/src/sdcontainer"

// A package that prints nothing for stuck is made to show its goroutines and end;
// one that goes on for hung takes its guest with it.
const (
	stuck = 3 * time.Minute
	hung  = 20 * time.Minute
)

// patience is hung, or what a package may take when nobody waits.
func patience() time.Duration {
	if sdtest.Soaking() {
		return 2 * time.Hour
	}
	return hung
}

// testBinary is a compiled test package.
type testBinary struct {
	pkg  string // import path
	dir  string // in the module
	file string
	run  string // what -test.run= selects
}

// guests runs the vm packages in each wanted guest.
func guests(ctx context.Context, o options, wanted []string, all map[string]*tally) error {
	work, err := os.MkdirTemp("", "sdtiers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	packages := vmPackages
	if !slices.Equal(o.packages, everything) {
		packages = o.packages
	}
	binaries, err := compile(ctx, packages, work)
	errs := []error{err}
	if err != nil {
		all[wanted[0]].failed++
	}
	without, commit := map[string]bool{}, sdtest.Verdicted(ctx, "").Commit
	shared := o.shares(wanted, sdtest.Emulated())
	if shared {
		maps.Copy(without, all["pure"].tests)
		more := ""
		if passed := slices.AppendSeq(slices.Collect(maps.Keys(all["root"].tests)), maps.Keys(all["systemd"].tests)); o.takesTurns() && len(passed) > 0 {
			for _, test := range passed {
				without[test] = !hasTurn(commit, test)
			}
			more = fmt.Sprintf(", of what has passed here one in %d (CI=true runs it all)", turns)
		}
		fmt.Printf("\nemulated guests share the tests%s (SHARE=all runs all in both)\n", more)
	}
	queues := make([]*queue, len(wanted))
	for i := range wanted {
		if shared && i > 0 {
			queues[i] = queues[0]
			continue
		}
		if queues[i], err = newQueue(ctx, commit, o.run, binaries, without); err != nil {
			return errors.Join(append(errs, err)...)
		}
		queues[i].shared = shared
	}
	return errors.Join(append(errs, together(ctx, o, wanted, binaries, queues, all))...)
}

// together runs the guests at the same time, each on a processor of ours. The first one's
// output is shown as it comes, the others' when it is done.
func together(ctx context.Context, o options, wanted []string, binaries []testBinary, queues []*queue, all map[string]*tally) error {
	logs := make([]bytes.Buffer, len(wanted))
	failed := make([]error, len(wanted))
	var rest sync.WaitGroup
	for i, tier := range wanted[1:] {
		rest.Go(func() { failed[i+1] = timed(ctx, &logs[i+1], o, tier, binaries, queues[i+1], all[tier]) })
	}
	failed[0] = timed(ctx, os.Stdout, o, wanted[0], binaries, queues[0], all[wanted[0]])
	rest.Wait()
	for i := range wanted[1:] {
		_, _ = logs[i+1].WriteTo(os.Stdout) // the summary would fail too
	}
	return errors.Join(failed...)
}

// timed runs one guest and adds what happened in it to its tally.
func timed(ctx context.Context, log io.Writer, o options, tier string, binaries []testBinary, q *queue, into *tally) error {
	start := time.Now()
	r := newResults(log, map[string]string{"root": tier, "systemd": tier, "vm": tier}, tier)
	r.verbose, r.told = o.verbose, true
	err := guest(ctx, log, o, tier, binaries, q, r)
	r.count(map[string]*tally{tier: into})
	r.showSlow()
	if err != nil {
		into.failed++
	}
	into.took = time.Since(start)
	return err
}

// compile builds the test binaries below work. A package that does not compile
// is in the error and does not keep the others from being tested.
func compile(ctx context.Context, packages []string, work string) ([]testBinary, error) {
	list, err := goOutput(ctx, append([]string{"list", "-e", "-f",
		"{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}"}, packages...)...)
	if err != nil {
		return nil, err
	}
	root, err := sdtest.ModuleRoot()
	if err != nil {
		return nil, err
	}
	var binaries []testBinary
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		rel, err := filepath.Rel(root, f[1])
		if err != nil {
			return nil, err
		}
		binaries = append(binaries, testBinary{pkg: f[0], dir: rel, file: filepath.Join(work, fmt.Sprintf("%d.test", len(binaries)))})
	}
	errs := make([]error, len(binaries))
	var all sync.WaitGroup
	processors := make(chan bool, runtime.NumCPU()) // a linker uses little more than one
	for i, b := range binaries {
		all.Go(func() {
			processors <- true
			defer func() { <-processors }()
			_, errs[i] = goOutput(ctx, "test", "-c", "-ldflags=-s -w", "-o", b.file, b.pkg) // half as large, to be copied
		})
	}
	all.Wait()
	var built []testBinary
	for i, b := range binaries {
		if errs[i] == nil {
			built = append(built, b)
		}
	}
	return built, errors.Join(errs...)
}

func goOutput(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return string(out), nil
}

// guest boots one guest, runs in it what comes next in q until nothing is left, and fails when the guest or
// its kernel did.
func guest(ctx context.Context, log io.Writer, o options, tier string, binaries []testBinary, q *queue, r *results) (err error) {
	release := strings.TrimPrefix(tier, "vm")
	fmt.Fprintf(log, "\n== %s\n", tier)
	vm, err := sdtest.BootVM(ctx, release, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	fmt.Fprintf(log, "Debian %s booted in %.1f s (%s)\n", release, vm.Booted.Seconds(), vm.Accel)
	if err := fill(ctx, vm, o, binaries); err != nil {
		return err
	}
	for b, more := q.next(); more; b, more = q.next() {
		if err := runIn(ctx, vm, r, b); err != nil {
			return err
		}
	}
	return healthy(ctx, vm)
}

// fill copies the installation, the sources and the binaries into the guest.
func fill(ctx context.Context, vm *sdtest.VM, o options, binaries []testBinary) error {
	ctx, cancel := context.WithTimeout(ctx, stuck)
	defer cancel()
	root, err := sdtest.ModuleRoot()
	if err != nil {
		return err
	}
	push := []sdtest.Push{{Src: filepath.Join(root, "go.mod"), Dst: sources + "/go.mod"}}
	for _, dir := range []string{"configs/examples", "docs/reference", "docs/man", "packaging"} {
		if _, err := os.Stat(filepath.Join(root, dir)); err == nil {
			push = append(push, sdtest.Push{Src: filepath.Join(root, dir), Dst: path.Join(sources, dir)})
		}
	}
	for _, b := range binaries {
		push = append(push, sdtest.Push{Src: b.file, Dst: path.Join(sources, b.dir, "run.test")})
		data := filepath.Join(root, b.dir, "testdata")
		if _, err := os.Stat(data); err == nil {
			push = append(push, sdtest.Push{Src: data, Dst: path.Join(sources, b.dir, "testdata")})
		}
	}
	if o.stage != "" {
		push = append(push, sdtest.Push{Src: o.stage, Dst: "/"})
	}
	if err := vm.Push(ctx, push...); err != nil {
		return err
	}
	code, err := vm.Exec(ctx, sdtest.Command{
		Request: wire.Request{Args: []string{"systemctl", "daemon-reload"}}, Stdout: os.Stdout, Stderr: os.Stderr})
	if err == nil && code != 0 {
		err = fmt.Errorf("systemctl daemon-reload in Debian %s exited with %d", vm.Release, code)
	}
	return err
}

// runIn runs one test binary in the guest and reads its results.
func runIn(ctx context.Context, vm *sdtest.VM, r *results, b testBinary) error {
	args := []string{"./run.test", "-test.v=test2json", "-test.timeout=" + (patience() - stuck).String(), "-test.run=" + b.run}
	ctx, cancel := context.WithTimeout(ctx, patience())
	defer cancel()
	converter := exec.CommandContext(ctx, "go", "tool", "test2json", "-t", "-p", b.pkg)
	converter.Stderr = os.Stderr
	in, err := converter.StdinPipe()
	if err != nil {
		return err
	}
	out, err := converter.StdoutPipe()
	if err != nil {
		return err
	}
	if err := converter.Start(); err != nil {
		return err
	}
	read := make(chan error, 1)
	go func() { read <- r.read(out) }()
	start := time.Now()
	// SIGQUIT makes a Go program say where it is.
	watched := &watched{to: in, timer: time.AfterFunc(stuck, func() { _ = vm.Signal(syscall.SIGQUIT) })} // a lost guest is noticed by Exec
	defer watched.timer.Stop()
	code, execErr := vm.Exec(ctx, sdtest.Command{
		Request: wire.Request{
			Args: args, Dir: path.Join(sources, b.dir),
			Env: append(sdtest.Patience(), "SDCONTAINER_GUEST="+vm.Release, "SDCONTAINER_MUST=root,userns,overlay,static,cgroup2,systemd,vm",
				"SDCONTAINER_TIERS=root,systemd,vm", "NO_COLOR=1", "TMPDIR=/var/tmp"),
		},
		Stdout: watched, Stderr: watched,
	})
	err = errors.Join(execErr, in.Close(), <-read, converter.Wait())
	end := event{Action: "pass", Package: b.pkg, Elapsed: time.Since(start).Seconds()}
	if code != 0 || err != nil {
		end.Action = "fail"
	}
	r.endPackage(end)
	return err
}

// watched puts its timer off with each output.
type watched struct {
	to    io.Writer
	timer *time.Timer
}

func (w *watched) Write(p []byte) (int, error) {
	w.timer.Reset(stuck)
	return w.to.Write(p)
}

// healthy asks whether the guest itself came through the tests.
func healthy(ctx context.Context, vm *sdtest.VM) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var said strings.Builder
	code, err := vm.Exec(ctx, sdtest.Command{
		Request: wire.Request{Args: []string{"sh", "-c", "systemctl is-system-running; systemctl --failed --no-legend; " +
			"busctl call org.freedesktop.systemd1 / org.freedesktop.DBus.Peer Ping && test -z \"$(systemctl --failed --no-legend)\""}},
		Stdout: &said, Stderr: &said,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("after the tests Debian %s is %s", vm.Release, said.String())
	}
	return err
}
