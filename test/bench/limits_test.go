// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// filled is a share with no programs in it, and the config.json of one bundle.
func filled(t *testing.T, limits bool, bundle string) (spec specs.Spec) {
	t.Helper()
	t.Chdir("../..")
	share, empty := t.TempDir(), os.DevNull
	if err := fill(share, empty, empty, empty, limits); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(share, bundle, "config.json"))
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestOthersHaveOurLimits: what crun and runc get are ours, of the kernel where it can hold to them, and of the unit alone where not.
func TestOthersHaveOurLimits(t *testing.T) {
	for _, k := range []kind{plain, userns} {
		t.Run("of the unit"+k.suffix, func(t *testing.T) {
			spec := filled(t, false, k.bundle)
			want := map[string]string{
				"org.systemd.property.MemoryMax": "uint64 134217728", "org.systemd.property.TasksMax": "uint64 64", "org.systemd.property.CPUWeight": "uint64 200",
			}
			if !maps.Equal(spec.Annotations, want) {
				t.Errorf("annotations are %v, want %v", spec.Annotations, want)
			}
			if r := spec.Linux.Resources; r.Memory != nil || r.Pids != nil || r.Unified != nil || r.Devices == nil {
				t.Errorf("resources are %+v, want those of devices alone", r)
			}
		})
		t.Run("of the kernel"+k.suffix, func(t *testing.T) {
			spec := filled(t, true, k.bundle+"-long")
			r := spec.Linux.Resources
			if r.Memory == nil || *r.Memory.Limit != 128<<20 || r.Pids == nil || *r.Pids.Limit != 64 || r.Unified["cpu.weight"] != "200" || spec.Annotations != nil {
				t.Errorf("resources are %+v, annotations %v", r, spec.Annotations)
			}
			if mapped := len(spec.Linux.UIDMappings) == 1; mapped != (k == userns) {
				t.Errorf("ids are mapped by %v", spec.Linux.UIDMappings)
			}
		})
	}
}

// TestUnitsHaveLimits: and so have the units of those that take neither, of both kinds.
func TestUnitsHaveLimits(t *testing.T) {
	entries, err := units.ReadDir("units")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := units.ReadFile("units/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []kind{plain, userns} {
			unit := (&bed{here: "/share"}).expand(k, string(text))
			if strings.Contains(unit, "@") {
				t.Errorf("%s%s has a variable nobody knows:\n%s", e.Name(), k.suffix, unit)
			}
			_, section, service := strings.Cut(unit, "\n[Service]\n")
			if has := strings.Contains(section, "MemoryMax=128M\nTasksMax=64\nCPUWeight=200\n"); service != has || service == (e.Name() == "storage.conf") {
				t.Errorf("%s%s is a service: %v, with limits: %v:\n%s", e.Name(), k.suffix, service, has, unit)
			}
			inside := strings.Contains(unit, "userns") || strings.Contains(unit, "524288")
			if want := service && k == userns && e.Name() != "bench-bare.service"; inside != want {
				t.Errorf("%s%s is in a user namespace: %v, want %v:\n%s", e.Name(), k.suffix, inside, want, unit)
			}
		}
	}
}
