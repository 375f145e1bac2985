// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// That there is no limit is so where there is no file for one.
func TestLimitOptional(t *testing.T) {
	dir := t.TempDir()
	for limit, want := range map[Limit]bool{
		{Property: "TasksMax", File: "pids.max", Value: "max"}:                 true,
		{Property: "TasksMax", File: "../pids.max", Value: "5"}:                false,
		{Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: "max 100000"}: true,
		{Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: "5000 10000"}: false,
		{Property: "MemoryMax", File: "memory.max", Value: "max"}:              true,
		{Property: "MemoryHigh", File: "memory.high", Value: "max"}:            true,
		{Property: "MemoryLow", File: "memory.low", Value: "max"}:              false,
		{Property: "MemoryMin", File: "memory.min", Value: "0"}:                true,
		{Property: "MemorySwapMax", File: "memory.swap.max", Value: "0"}:       false,
		{Property: "payload", File: "hugetlb.2MB.max", Value: "max"}:           true,
		{Property: "CPUWeight", File: "cpu.weight", Value: "100"}:              false,
		{Property: "OOMPolicy", File: "memory.oom.group", Value: "1"}:          true,
	} {
		if got := limit.Optional(dir); got != want {
			t.Errorf("%+v: %t, want %t", limit, got, want)
		}
	}
}

// What the kernel's files say of a limit: the forms are those of Linux 6.1 and 6.12.
func TestLimitIn(t *testing.T) {
	const rates = "254:16 rbps=7 wbps=7 riops=7 wiops=7\n254:0 rbps=1000 wbps=max riops=max wiops=400\n"
	const weights = "default 118\n254:0 113\n"
	for name, c := range map[string]struct {
		device, field, content, want string
		ok                           bool
	}{
		"all of it":         {"", "", "50000 100000\n", "50000 100000", true},
		"rate":              {"254:0", "rbps", rates, "1000", true},
		"last rate":         {"254:0", "wiops", rates, "400", true},
		"no rate":           {"254:0", "wbps", rates, "max", true},
		"no line":           {"254:1", "rbps", rates, "max", true},
		"nothing":           {"254:0", "rbps", "", "max", true},
		"default weight":    {"default", "", weights, "118", true},
		"weight":            {"254:0", "", weights, "113", true},
		"not of the device": {"254:1", "", weights, "max", false},
		"weight and model":  {"254:0", "", "254:0 ctrl=auto 113\n", "113", true},
		"latency":           {"254:0", "target", "254:0 target=25000\n", "25000", true},
	} {
		got, ok := Limit{Device: c.device, Field: c.field}.In(c.content)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, ok, c.want, c.ok)
		}
	}
}

// A disk is found from what is on it: partitions, and volumes on one device, of which the parts may be on the same disk.
func TestDiskOf(t *testing.T) {
	root := t.TempDir()
	sysBlock = root + "/dev/"
	t.Cleanup(func() { sysBlock = sysBlockDir })
	device := func(number, path string, partition bool, below ...string) {
		dir := filepath.Join(root, "block", path)
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "slaves"), 0o755), os.MkdirAll(sysBlock, 0o755),
			os.WriteFile(filepath.Join(dir, "dev"), []byte(number+"\n"), 0o644), os.Symlink(dir, sysBlock+number))
		if partition {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, "partition"), nil, 0o644))
		}
		for _, b := range below {
			err = errors.Join(err, os.Symlink(filepath.Join(root, "block", b), filepath.Join(dir, "slaves", filepath.Base(b))))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	device("8:0", "sda", false)
	device("8:1", "sda/sda1", true)
	device("8:2", "sda/sda2", true)
	device("8:16", "sdb", false)
	device("252:0", "dm-0", false, "sda/sda1")
	device("252:1", "dm-1", false, "dm-0")
	device("252:2", "dm-2", false, "sda/sda1", "sda/sda2")
	device("9:0", "md0", false, "sda/sda1", "sdb")
	device("9:1", "md0/md0p1", true)
	for number, want := range map[string]string{
		"8:0": "8:0", "8:1": "8:0", "252:0": "8:0", "252:1": "8:0", "252:2": "8:0", "9:0": "9:0", "9:1": "9:0", "7:7": "7:7",
	} {
		l := Limit{Device: "/dev/block/" + number}
		if ok, err := l.Find(); l.Device != want || !ok || err != nil {
			t.Errorf("%s is on %s, %v, %v; want %s", number, l.Device, ok, err, want)
		}
	}
	for path, want := range map[string]string{"/dev/null": "want a block device", "/proc": "on no block device", "/dev/block/8:1/x": "stat"} {
		l := Limit{Device: path}
		if ok, err := l.Find(); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", path, ok, err, want)
		}
	}
	gone := Limit{Device: filepath.Join(root, "gone")}
	if _, err := gone.Find(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such path: %v", err)
	}
	weight := Limit{Device: "default"}
	if ok, err := weight.Find(); !ok || err != nil || weight.Device != "default" {
		t.Errorf("the default: %v, %v, %q", ok, err, weight.Device)
	}
}
