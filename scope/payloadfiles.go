// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// payloadFiles say what is wrong with a line of the files of cgroup v2 that have no property, which a start would tell: the kernel as
// EINVAL, or the attestation, which finds a size with a unit written out in bytes. Those that are not here are the kernel's to judge: it has more of them with each version.
func payloadFiles() map[string]func(line string) error {
	return map[string]func(string) error{
		"hugetlb.*.max":         limitIn("bytes"),
		"memory.swap.high":      limitIn("bytes"),
		"misc.max":              limitOf("NAME", "a number"),
		"dmem.min":              limitOf("REGION", "bytes"),
		"dmem.low":              limitOf("REGION", "bytes"),
		"dmem.max":              limitOf("REGION", "bytes"),
		"rdma.max":              rdmaLine,
		"cpu.uclamp.min":        percentage,
		"cpu.uclamp.max":        percentage,
		"cpu.weight.nice":       niceness,
		"cpuset.cpus.exclusive": cpus,
		"cpuset.cpus.partition": oneOf("member", "root", "isolated"),
		"io.prio.class":         oneOf("no-change", "none-to-rt", "promote-to-rt", "restrict-to-be", "idle"),
	}
}

// checkPayload looks at the value of a file that systemd has no property for.
func (p *planner) checkPayload(at, file, value string) {
	for pattern, wrong := range payloadFiles() {
		if ok, _ := path.Match(pattern, file); !ok {
			continue
		}
		if value == "" {
			p.wrong(at, `"": want a value`)
		}
		for line := range strings.Lines(value) {
			line = strings.TrimSpace(line)
			if err := wrong(line); err != nil {
				p.wrong(at, "%q: %w", line, err)
			}
		}
		return
	}
}

func limitIn(unit string) func(string) error {
	return func(line string) error {
		if _, err := parseMax(line); err != nil {
			return fmt.Errorf("want %s or max", unit)
		}
		return nil
	}
}

// limitOf is a limit of one of several things, where a size may have a unit.
func limitOf(what, unit string) func(string) error {
	return func(line string) error {
		if f := strings.Fields(line); len(f) == 2 {
			n := f[1]
			if unit == "bytes" && n != "" {
				n = n[:len(n)-1] + strings.Trim(n[len(n)-1:], "KMGTPEkmgtpe")
			}
			if _, err := parseMax(n); err == nil {
				return nil
			}
		}
		return fmt.Errorf("want %s and %s or max", what, unit)
	}
}

func rdmaLine(line string) error {
	f := strings.Fields(line)
	ok := len(f) > 1
	for i, pair := range f {
		key, n, _ := strings.Cut(pair, "=")
		if i > 0 {
			_, err := parseMax(n)
			ok = ok && err == nil && (key == "hca_handle" || key == "hca_object")
		}
	}
	if !ok {
		return errors.New("want a device with hca_handle=, hca_object= or both, each a number or max")
	}
	return nil
}

func percentage(line string) error {
	n, err := strconv.ParseFloat(line, 64)
	if line == "max" || err == nil && n >= 0 && n <= 100 && strings.Trim(line, "0123456789.") == "" {
		return nil
	}
	return errors.New("want a percentage from 0 to 100 without a sign, or max")
}

func niceness(line string) error {
	if n, err := strconv.Atoi(line); err != nil || n < -20 || n > 19 {
		return errors.New("want -20 to 19")
	}
	return nil
}

func cpus(line string) error {
	_, err := configs.CPUMask(line)
	return err
}

func oneOf(words ...string) func(string) error {
	return func(line string) error {
		if !slices.Contains(words, line) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}
