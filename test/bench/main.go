// SPDX-License-Identifier: Apache-2.0

// Command bench measures how long `run /bin/true` takes against crun, runc,
// systemd-run and bwrap:
//
//	bench [-rounds N] [-json FILE] [-command FILE]
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
	At         time.Time `json:"at"`
	Contenders []summary `json:"contenders"`
	// Phases are the medians of where our own start is after each phase.
	Phases []phase `json:"phases"`
}

type options struct {
	inside  bool
	limits  bool
	rounds  int
	json    string
	command string
}

func main() {
	var o options
	flag.BoolVar(&o.inside, "inside", false, "measure here (what bench calls itself with)")
	flag.BoolVar(&o.limits, "limits", false, "with limits (likewise)")
	flag.IntVar(&o.rounds, "rounds", 100, "measured `rounds`")
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
	if err := fill(s.Share, self, o.command, limits); err != nil {
		return err
	}
	cmd := s.Command(ctx, sdtest.ShareInside+"/bench", "-inside", fmt.Sprintf("-rounds=%d", o.rounds),
		fmt.Sprintf("-limits=%v", limits), "-json="+sdtest.ShareInside+"/result.json")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.json), 0o755); err != nil {
		return err
	}
	return copyFile(o.json, filepath.Join(s.Share, "result.json"))
}

// controllers tells whether limits can be set in there. Without controllers
// crun refuses them, so nobody gets any.
func controllers(ctx context.Context, s *sdtest.System) (bool, error) {
	text, err := s.Command(ctx, "cat", "/sys/fs/cgroup/cgroup.controllers").Output()
	if err != nil {
		return false, err
	}
	have := strings.Fields(string(text))
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, c) {
			fmt.Fprintf(os.Stderr, "no limits: the cgroup hierarchy has no %s controller to give\n", c)
			return false, nil
		}
	}
	return true, nil
}

// fill puts everything that is needed inside into the shared directory.
func fill(share, self, command string, limits bool) error {
	files := map[string]string{"bench": self, "sdcontainer": command, "bench.toml": "test/bench/bench.toml"}
	if limits {
		files["bench.toml.d/limits.toml"] = "test/bench/bench.toml.d/limits.toml"
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
	return bundle(filepath.Join(share, "bundle"), filepath.Join(share, "bench.toml"), limits)
}

// bundle makes an OCI bundle of what our configuration compiles to.
func bundle(dir, file string, limits bool) error {
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		return err
	}
	// The unit's name is derived from the container's, and ours are annotations nobody else reads.
	spec.Linux.CgroupsPath, spec.Annotations = "", nil
	if r := spec.Linux.Resources; r != nil && !limits {
		spec.Linux.Resources = &specs.LinuxResources{Devices: r.Devices}
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
	all := contenders(ctx, o.limits)
	if err := compare(all, 3, o.rounds, os.Stderr); err != nil {
		return err
	}
	res := result{At: time.Now(), Contenders: summarize(all)}
	table(os.Stdout, res.Contenders)
	var err error
	if res.Phases, err = phases(ctx, 20); err != nil {
		return err
	}
	printPhases(os.Stdout, res.Phases)
	return writeJSON(o.json, res)
}

func contenders(ctx context.Context, limits bool) []*contender {
	const here = sdtest.ShareInside
	oci := func(runtime string) func(int) *exec.Cmd {
		return func(n int) *exec.Cmd {
			return exec.CommandContext(ctx, runtime, "--systemd-cgroup", "run", "--bundle", here+"/bundle", fmt.Sprintf("bench-%d", n))
		}
	}
	return []*contender{
		{name: "sdcontainer", command: func(n int) *exec.Cmd { return ours(ctx, n) }},
		{name: "crun", command: oci("crun")},
		{name: "runc", command: oci("runc")},
		{name: "systemd-run --scope", command: func(int) *exec.Cmd {
			args := []string{"--scope", "--quiet", "--collect"}
			if limits {
				args = append(args, "-pMemoryMax=128M", "-pTasksMax=64", "-pCPUWeight=200")
			}
			return exec.CommandContext(ctx, "systemd-run", append(args, "/bin/true")...)
		}},
		{name: "bwrap", command: func(int) *exec.Cmd {
			return exec.CommandContext(ctx, "bwrap", "--unshare-all", "--ro-bind", "/var/lib/machines/busybox", "/",
				"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--cap-drop", "ALL", "/bin/true")
		}},
	}
}

func ours(ctx context.Context, n int) *exec.Cmd {
	const here = sdtest.ShareInside
	return exec.CommandContext(ctx, here+"/sdcontainer", "run", "--rm", fmt.Sprintf("--name=bench-%d", n), here+"/bench.toml")
}
