// SPDX-License-Identifier: Apache-2.0

// Command bench measures how long containers take to start, enter, look at, stop, one after the other and at once, against crun,
// runc, systemd-run, bwrap, systemd-nspawn and Podman's Quadlet, and counts what one start makes of processes, system calls and memory:
//
//	bench [-rounds N] [-only SCENARIO] [-sequence N] [-json FILE] [-command FILE]
//
// It boots the Debian 13 root of the test guest as a systemd in private
// namespaces, at native speed, and runs itself in there. crun and runc get the
// very config.json our TOML compiles to: the same namespaces, capabilities, seccomp
// filter, masks and limits. systemd-run --scope makes no container and bwrap no
// unit and no filter: they are marks on the scale, not competitors.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// result is the JSON file.
type result struct {
	sdtest.Verdict
	At time.Time `json:"at"`
	// Limits says that the kernel holds everybody to those of memory, tasks and processor, OnUnits that all units have them.
	Limits    bool             `json:"limits"`
	OnUnits   bool             `json:"limitsOnUnits"`
	Scenarios []scenarioResult `json:"scenarios"`
	// Phases are the medians of where our own start is after each phase.
	Phases       []phase      `json:"phases"`
	Growth       growthResult `json:"growth"`
	GrowthUserns growthResult `json:"growthUserns"`
	Memory       []footprint  `json:"memory"`
	Costs        []cost       `json:"costs"`
	Sizes        []size       `json:"sizes"`
}

type scenarioResult struct {
	Name       string    `json:"name"`
	Contenders []summary `json:"contenders"`
}

type options struct {
	inside   bool
	limits   bool
	rounds   int
	sequence int
	only     string
	json     string
	command  string
}

func main() {
	var o options
	flag.BoolVar(&o.inside, "inside", false, "measure here (what bench calls itself with)")
	flag.BoolVar(&o.limits, "limits", false, "the kernel holds to limits here (likewise)")
	flag.IntVar(&o.rounds, "rounds", 100, "measured `rounds`")
	flag.IntVar(&o.sequence, "sequence", 500, "containers in `sequence`, for growth")
	flag.StringVar(&o.only, "only", "", "only scenarios whose name has this `text`")
	flag.StringVar(&o.json, "json", "bin/bench.json", "write the result to this `file` too")
	flag.StringVar(&o.command, "command", "bin/sdcontainer", "the sdcontainer `file` to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	measure := outside
	if o.inside {
		measure = inside
	}
	err := measure(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// outside boots the system and has the measuring done in there.
func outside(ctx context.Context, o options) (err error) {
	start := time.Now()
	image, err := sdtest.EnsureImage(ctx, "13", os.Stderr)
	if err != nil {
		return err
	}
	s, err := sdtest.Boot(ctx, sdtest.BootOptions{Rootfs: image.Rootfs()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Fprintf(os.Stderr, "systemd booted in %.1f s, measuring %d rounds ...\n", s.Took.Seconds(), o.rounds)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	limits, err := controllers(ctx, s)
	if err != nil {
		return err
	}
	empty, err := buildEmpty(ctx, filepath.Dir(s.Share))
	if err != nil {
		return err
	}
	if err := fill(s.Share, self, o.command, empty, limits); err != nil {
		return err
	}
	cmd := s.Command(ctx, sdtest.ShareInside+"/bench", "-inside", fmt.Sprintf("-rounds=%d", o.rounds),
		fmt.Sprintf("-sequence=%d", o.sequence), "-only="+o.only, fmt.Sprintf("-limits=%v", limits), "-json="+sdtest.ShareInside+"/result.json")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return conclude(ctx, filepath.Join(s.Share, "result.json"), o.json, time.Since(start))
}

// conclude prints the last lines of what was measured and keeps both.
func conclude(ctx context.Context, measured, file string, took time.Duration) error {
	var res result
	text, err := os.ReadFile(measured)
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err != nil {
		return err
	}
	res.Verdict = sdtest.Verdicted(ctx, said(res.Scenarios, took))
	fmt.Printf("\n%s\n", res.Said)
	return sdtest.WriteMeasured(file, res)
}

// controllers tells whether the kernel can hold anybody to a limit in there.
func controllers(ctx context.Context, s *sdtest.System) (bool, error) {
	text, err := s.Command(ctx, "cat", "/sys/fs/cgroup/cgroup.controllers").Output()
	if err != nil {
		return false, err
	}
	have := strings.Fields(string(text))
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, c) {
			fmt.Fprintf(os.Stderr, "limits of units only: the cgroup hierarchy has no %s controller to give\n", c)
			return false, nil
		}
	}
	return true, nil
}

// buildEmpty builds the program that does nothing, as ours is built.
func buildEmpty(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, "empty")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./test/bench/empty")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the empty program: %w: %s", err, out)
	}
	return file, nil
}

// fill puts everything that is needed inside into the shared directory.
func fill(share, self, command, empty string, limits bool) error {
	files := map[string]string{
		"bench": self, "sdcontainer": command, "empty": empty, "nsexec": "nsexec/bin/nsexec-" + runtime.GOARCH,
	}
	for _, k := range []kind{plain, userns} {
		files[k.file], files[k.file+".d/limits.toml"] = "test/bench/"+k.file, "test/bench/limits.toml"
	}
	for name, src := range files {
		dst := filepath.Join(share, name)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return err
		}
		if err := copyFile(dst, src); err != nil {
			return err
		}
	}
	for _, k := range []kind{plain, userns} {
		dir, file := filepath.Join(share, k.bundle), filepath.Join(share, k.file)
		if err := errors.Join(bundle(dir, file, limits, nil), bundle(dir+"-long", file, limits, []string{"/bin/sleep", "1000000"})); err != nil {
			return err
		}
	}
	return nil
}

// bundle makes an OCI bundle of what our configuration compiles to, with another command if args has one.
func bundle(dir, file string, limits bool, args []string) error {
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		return err
	}
	if args != nil {
		spec.Process.Args = args
	}
	// The unit's name is derived from the container's, and ours are annotations nobody else reads.
	spec.Linux.CgroupsPath, spec.Annotations = "", nil
	if len(spec.Linux.UIDMappings) > 0 {
		// In a user namespace crun cannot mount cgroup2 on this kind of bed (EBUSY): it is spared that mount.
		spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
	}
	if !limits {
		onUnit(spec)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

// onUnit has a runtime set limits as properties of its scope alone, as ours does where the kernel cannot hold to them:
// crun and runc refuse what is in resources without controllers.
func onUnit(spec *specs.Spec) {
	r := spec.Linux.Resources
	spec.Linux.Resources = &specs.LinuxResources{Devices: r.Devices}
	const property = "org.systemd.property."
	spec.Annotations = map[string]string{
		property + "MemoryMax": fmt.Sprintf("uint64 %d", *r.Memory.Limit),
		property + "TasksMax":  fmt.Sprintf("uint64 %d", *r.Pids.Limit),
		property + "CPUWeight": "uint64 " + r.Unified["cpu.weight"],
	}
}

// copyFile copies, and links nothing: what the go command's linker has written lies in the page cache in small
// folios, and starts 20 % slower than the very same file copied. So every program that is measured is a copy.
func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// inside measures on the system it runs on.
func inside(ctx context.Context, o options) error {
	b := &bed{ctx: ctx, here: sdtest.ShareInside}
	// The others enter the root as a user of the user namespace.
	if err := os.Chmod("/var/lib/machines", 0o755); err != nil {
		return err
	}
	res := result{At: time.Now(), Limits: o.limits, OnUnits: true}
	for _, s := range b.scenarios() {
		if o.only != "" && !strings.Contains(s.name, o.only) {
			continue
		}
		sums, err := s.measure(o.rounds, os.Stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		res.Scenarios = append(res.Scenarios, scenarioResult{s.name, sums})
		table(os.Stdout, s.name, sums)
	}
	if err := b.rest(&res, o); err != nil {
		return err
	}
	return sdtest.WriteMeasured(o.json, res)
}

// rest is all that is no scenario.
func (b *bed) rest(res *result, o options) (err error) {
	if res.Phases, err = phases(b, 20); err != nil {
		return err
	}
	printPhases(os.Stdout, res.Phases)
	if res.Growth, err = growth(b, plain, o.sequence); err != nil {
		return err
	}
	if res.GrowthUserns, err = growth(b, userns, o.sequence); err != nil {
		return err
	}
	var peaks []footprint
	if res.Costs, peaks, err = costs(b); err != nil {
		return err
	}
	printCosts(os.Stdout, res.Costs)
	if res.Memory, err = memory(b, peaks); err != nil {
		return err
	}
	printMemory(os.Stdout, res.Memory)
	if res.Sizes, err = sizes(b); err != nil {
		return err
	}
	printSizes(os.Stdout, res.Sizes)
	return nil
}
