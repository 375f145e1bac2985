// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample(calls, answers string) string {
	return "# measured with\nx 1\n# status\nCapBnd: 0000000000000021\nNoNewPrivs: 1\n# id maps\n# namespaces\nuser its own\ncgroup path 0::/\n# open files\n" +
		"0 /dev/null\n3 /sys/fs/cgroup/cpu.max\n# environment\nHOME=/root\n# limits\nMax open files 1 2 files\npids.max 5\ncpu.max max 100000\n# devices\n/dev/fd -> x\n/dev/null 20666 1:3 open ok\n" +
		"mknod 1:1 EPERM\n# network\nlo\nroutes 0\n# kernel files that can be read\n/proc/a ok true\n/proc/b ok false\n/sys/c ok 3\nkernel log EPERM\n" +
		"# sockets of the file system\n/run/x\n/root EACCES\n# other ABIs\nint 0x80 SIGSYS\nx32 runs\n" +
		"# files of /proc and /sys that can be opened for writing\n/proc/mtrr\n/proc/stat\n/proc/pressure/cpu\n/sys/a/b/c\n/sys/a/b/d/e\n# system calls\n" + calls +
		"# all system call numbers\n" + answers
}

func TestCells(t *testing.T) {
	s, err := parse(sample("mount EPERM\nunshare bad flag EINVAL\n", "EBADF: 0-1 3\nEPERM: 2\nnot tried: 15\nok: 39\n"))
	if err != nil {
		t.Fatal(err)
	}
	type cells = map[string]string
	for name, c := range map[string]struct{ got, want cells }{
		"capabilities": {capabilities(s), cells{"`CHOWN`": "yes", "`KILL`": "yes"}},
		"identity":     {identity(s), cells{"NoNewPrivs": "`1`"}},
		"namespaces":   {spaces(s), cells{"user": "its own"}},
		"writable":     {writables(s), cells{"`/proc/`": "1", "`/proc/mtrr`": "1", "`/proc/pressure/`": "1", "`/sys/a/b/`": "2"}},
		"kernel files": {leaks(s), cells{"`/proc/a`": "**read**", "`/proc/b`": "empty", "`/sys/c`": "**3 entries**", "kernel log": "EPERM"}},
		"devices":      {devices(s), cells{"`/dev/null`": "**ok**", "mknod 1:1": "EPERM"}},
		"calls":        {calls(s), cells{"mount": "EPERM", "unshare bad flag": "**EINVAL**"}},
		"limits":       {limits(s), cells{"Max open files": "1 / 2", "pids.max": "5", "cpu.max": "max 100000"}},
		"descriptors":  {descriptors(s), cells{"0": "`/dev/null`"}},
		"environment":  {environment(s), cells{"`HOME`": "`/root`"}},
		"sockets":      {socketFiles(s), cells{"`/run/x`": "**yes**", "`/root`": "EACCES"}},
		"other ABIs":   {abis(s), cells{"int 0x80": "SIGSYS", "x32": "**runs**"}},
		"numbers":      {cells{"n": reachedCount(s)}, cells{"n": "4"}},
		"network":      {network(s), cells{"`lo`": "yes", "routes": "0"}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// What only one column has is a row; what all have is not.
func TestRows(t *testing.T) {
	var all []sheet
	for _, calls := range []string{"a EPERM\nb ok\n", "a EPERM\nb EPERM\n", "a EPERM\n", "a EPERM\n", "a EPERM\n", "a EPERM\n", "a EPERM\n"} {
		s, err := parse(sample(calls, ""))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	var b strings.Builder
	topic{title: "Calls", cells: calls, absent: "–"}.write(&b, all)
	want := "### Calls\n\n|  | app | nonroot | system | hostids | podman | docker | nspawn |\n|---|---|---|---|---|---|---|---|\n| b | **ok** | EPERM | – | – | – | – | – |\n\n" +
		"The same everywhere: a EPERM.\n\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// Those that reach the kernel everywhere or nowhere are no row, and those that do in the same columns are one.
func TestNumbers(t *testing.T) {
	var all []sheet
	for i := range columns {
		answers := "EPERM: 1-2 165\nEINVAL: 0 3\n"
		if i == 1 {
			answers = "EACCES: 1\nEINVAL: 0 2-3\nok: 165 600\n"
		}
		s, err := parse(sample("", answers))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	var b strings.Builder
	differing(&b, all)
	_, got, _ := strings.Cut(b.String(), "---|\n")
	if d := cmp.Diff("| `600`, `mount`, `open` |  | **yes** |  |  |  |  |  |\n\n", got); d != "" {
		t.Error(d)
	}
}

// A file cut short by a measurement that went wrong is no page.
func TestTruncated(t *testing.T) {
	if _, err := parse(strings.SplitN(sample("", ""), "# devices", 2)[0]); err == nil {
		t.Error("accepted")
	}
}
