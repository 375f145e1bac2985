// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

func TestE4UnitName(t *testing.T) {
	for id, want := range map[string]string{
		"web":        "sdc-web.scope",
		"a-b_c.d:e":  "sdc-a-b_c.d:e.scope",
		"a@b":        `sdc-a\x40b.scope`,
		`a\x40b`:     `sdc-a\x5cx40b.scope`,
		"a/b":        `sdc-a\x2fb.scope`,
		"ä":          `sdc-\xc3\xa4.scope`,
		"1+1":        `sdc-1\x2b1.scope`,
		".hidden":    "sdc-.hidden.scope",
		"web.scope":  "sdc-web.scope.scope",
		"%n":         `sdc-\x25n.scope`,
		"with space": `sdc-with\x20space.scope`,
	} {
		if have := UnitName(id); have != want {
			t.Errorf("%q: %s, want %s", id, have, want)
		}
	}
}

// R35: a name is refused where its unit's would be longer than systemd takes.
func TestE4LongUnitName(t *testing.T) {
	room := maxUnitName - 1 - len(unitPrefix) - len(scopeSuffix)
	for id, good := range map[string]bool{
		strings.Repeat("a", room): true, strings.Repeat("a", room+1): false,
		strings.Repeat("@", room/4): true, strings.Repeat("@", room/4+1): false,
	} {
		u, err := Plan(&specs.Spec{}, configs.Settings{Name: id})
		if (err == nil) != good || len(u.Name) >= maxUnitName == good {
			t.Errorf("%d bytes: %v, unit of %d bytes", len(id), err, len(u.Name))
		}
	}
}

// FuzzUnitName: names are valid, and different for different ids.
func FuzzUnitName(f *testing.F) {
	f.Add("a@b", `a\x40b`)
	f.Add(strings.Repeat("ä", 100), strings.Repeat("ä", 101))
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := UnitName(a), UnitName(b)
		if (a == b) != (x == y) {
			t.Errorf("%q and %q are %s and %s", a, b, x, y)
		}
		if strings.Trim(x, `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\`) != "" {
			t.Errorf("%q is %q", a, x)
		}
	})
}

// E6: what is no name of a slice, as a path is not, is none of a cgroup.
func TestSlice(t *testing.T) {
	for slice, good := range map[string]bool{
		"": true, "a.slice": true, "a-b.slice": true, "-.slice": true, `a\x2db.slice`: true,
		"a": false, ".slice": false, "a.service": false, "a--b.slice": false, "-a.slice": false, "a-.slice": false,
		"a/b.slice": false, "../a.slice": false, "/a.slice": false, "a b.slice": false, "a\n.slice": false, strings.Repeat("a", 260) + ".slice": false,
	} {
		_, err := Plan(&specs.Spec{}, configs.Settings{Name: "web", Slice: slice})
		if (err == nil) != good {
			t.Errorf("%q: error is %v", slice, err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("cpu.max", "5000 100000", "0-3", int64(5), int64(6))
	f.Add("io.max", "8:0 rbps=5\n8:1 wiops=max", "1", int64(-1), int64(-1))
	f.Add("hugetlb.2MB.max", "4", "", int64(0), int64(1))
	f.Add("cpu.max.burst", "4", "", int64(0), int64(1))
	f.Fuzz(func(t *testing.T, key, value, cpus string, limit, quota int64) {
		r := &specs.LinuxResources{
			Unified: map[string]string{key: value},
			CPU:     &specs.LinuxCPU{Cpus: cpus, Quota: &quota},
			Memory:  &specs.LinuxMemory{Limit: &limit, Swap: &quota},
		}
		u, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: r}}, configs.Settings{Name: key})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range u.Properties {
			if seen[p.Name] {
				t.Errorf("%s is there twice", p.Name)
			}
			seen[p.Name] = true
		}
		for file := range u.Payload {
			if err := checkFile(file); err != nil {
				t.Error(err)
			}
		}
		Limits(u)
	})
}
