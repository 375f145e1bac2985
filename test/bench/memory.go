// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A footprint is the memory of one program, in KiB.
type footprint struct {
	Name string `json:"name"`
	Peak int64  `json:"peakKiB,omitempty"` // resident, of the command while it starts a container
	// What stays beside a container that runs: nil is not measured, and 0 is that nothing does.
	Resident *int64 `json:"residentKiB,omitempty"`
	Private  int64  `json:"privateKiB,omitempty"` // what only it uses
	Pss      int64  `json:"pssKiB,omitempty"`     // with its part of what it shares
}

// memory is that of starts, which is known already, and of what stays.
func memory(b *bed, peaks []footprint) ([]footprint, error) {
	keeper, err := b.keeper()
	if err != nil {
		return nil, err
	}
	service, err := b.resident()
	return append(peaks, keeper, service), err
}

func (b *bed) output(args ...string) (string, error) {
	out, err := exec.CommandContext(b.ctx, args[0], args[1:]...).Output()
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), err
}

// keeper measures what stays beside a detached container.
func (b *bed) keeper() (footprint, error) {
	f := footprint{Name: "keeper of a detached container"}
	if _, err := b.output(b.ours("run", "-d", "--name=keeper", b.here+"/bench.toml", "/bin/sleep", "1000000")...); err != nil {
		return f, err
	}
	pid, err := b.output(b.ours("inspect", "--format={{.KeeperPid}}", "keeper")...)
	if err != nil {
		return f, err
	}
	if err := f.add(pid); err != nil {
		return f, err
	}
	_, err = b.output(b.ours("rm", "-f", "keeper")...)
	return f, err
}

// resident measures what stays in a service beside its payload.
func (b *bed) resident() (footprint, error) {
	f := footprint{Name: "beside a service's payload", Resident: new(int64)}
	if err := b.installUnits(plain); err != nil {
		return f, err
	}
	const unit = "bench-ours"
	if _, err := b.output("systemctl", "start", unit); err != nil {
		return f, err
	}
	show := func(property string) (string, error) {
		return b.output("systemctl", "show", "--value", "-p", property, unit)
	}
	group, err := show("ControlGroup")
	if err != nil {
		return f, err
	}
	payload, err := show("MainPID")
	if err != nil {
		return f, err
	}
	pids, err := members("/sys/fs/cgroup" + group)
	if err != nil {
		return f, err
	}
	if err := f.beside(payload, pids); err != nil {
		return f, err
	}
	_, err = b.output("systemctl", "stop", unit)
	return f, err
}

// beside adds all but the payload, which must be there, and must not be ours.
func (f *footprint) beside(payload string, pids []string) error {
	found := false
	for _, pid := range pids {
		if pid == payload {
			found = true
			continue
		}
		if err := f.add(pid); err != nil {
			return err
		}
	}
	exe, err := executed(payload)
	if err != nil {
		return err
	}
	if !found || filepath.Base(exe) != "busybox" {
		return fmt.Errorf("the service's main process %s is %s, want its payload among %s", payload, exe, strings.Join(pids, " "))
	}
	return nil
}

// executed is the program of a service's main process. One of ours is ready one step before it executes it.
func executed(pid string) (exe string, err error) {
	for range 100 {
		exe, err = os.Readlink("/proc/" + pid + "/exe")
		if err != nil || !strings.HasPrefix(exe, "/memfd:nsexec") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return exe, err
}

// members are the processes in a cgroup and below.
func members(dir string) (pids []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		text, err := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(text))...)
		return err
	})
	return pids, err
}

// add adds what a process has resident.
func (f *footprint) add(pid string) error {
	text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return err
	}
	if f.Resident == nil {
		f.Resident = new(int64)
	}
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		if len(field) < 3 {
			continue
		}
		n, _ := strconv.ParseInt(field[1], 10, 64) // the kernel's own number
		switch field[0] {
		case "Rss:":
			*f.Resident += n
		case "Pss:":
			f.Pss += n
		case "Private_Clean:", "Private_Dirty:":
			f.Private += n
		}
	}
	return nil
}

func printMemory(w io.Writer, all []footprint) {
	fmt.Fprintf(w, "\n%-32s %10s %10s %10s %10s\n", "memory", "peak", "resident", "private", "pss")
	for _, f := range all {
		fmt.Fprintf(w, "%-32s %10s %10s %10s %10s\n", f.Name, kib(&f.Peak, f.Peak > 0), kib(f.Resident, f.Resident != nil),
			kib(&f.Private, f.Resident != nil), kib(&f.Pss, f.Resident != nil))
	}
}

// kib is a number that was measured.
func kib(n *int64, measured bool) string {
	if !measured {
		return ""
	}
	return fmt.Sprintf("%d KiB", *n)
}
