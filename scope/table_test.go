// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
)

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Properties() {
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
		if info, ok := Lookup(p.Name); !ok || info != p {
			t.Errorf("Lookup of %s is %v", p.Name, info)
		}
		if p.Since < 205 || p.Since > 260 {
			t.Errorf("%s is since %d", p.Name, p.Since)
		}
		if strings.HasSuffix(p.Name, "USec") != (p.Kind == KindUSec || p.Kind == KindPercent || p.Kind == KindPathDuration) {
			t.Errorf("%s has kind %d", p.Name, p.Kind)
		}
	}
	for _, name := range []string{"", "A", "MemoryMa", "MemoryMaxx", "zzz"} {
		if _, ok := Lookup(name); ok {
			t.Errorf("Lookup of %q finds something", name)
		}
	}
	for old, name := range spellings() {
		if _, ok := Lookup(name); !ok {
			t.Errorf("%s is said to be %s, which is not in the table", old, name)
		}
	}
	for name := range reserved() {
		if _, ok := Lookup(name); !ok {
			t.Errorf("%s is reserved and not in the table", name)
		}
	}
}

// everything is resources of which each field has an effect.
func everything() *specs.LinuxResources {
	one, n := ptr(int64(1)), uint64(1)
	device := specs.LinuxThrottleDevice{Rate: 1}
	throttle := []specs.LinuxThrottleDevice{device}
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: one, Swap: one, Reservation: one},
		CPU: &specs.LinuxCPU{
			Shares: ptr(n), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0", Mems: "0",
		},
		Pids: &specs.LinuxPids{Limit: one},
		BlockIO: &specs.LinuxBlockIO{
			Weight: ptr(uint16(100)), WeightDevice: []specs.LinuxWeightDevice{{Weight: ptr(uint16(100))}},
			ThrottleReadBpsDevice: throttle, ThrottleWriteBpsDevice: throttle,
			ThrottleReadIOPSDevice: throttle, ThrottleWriteIOPSDevice: throttle,
		},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: ptr(uint32(1))}},
	}
}

// unifiedExamples has a value for each unified key that becomes a property.
var unifiedExamples = map[string]string{
	"cpu.max": "50000 100000", "cpu.idle": "1", "io.weight": "default 1\n8:0 1", "io.latency": "8:0 target=1",
	"io.max": "8:0 rbps=1 wbps=1 riops=1 wiops=1",
}

// origins is where each property and payload file comes from.
func origins(t *testing.T) map[string][]string {
	t.Helper()
	from := map[string][]string{}
	collect := func(u Unit) {
		for _, p := range u.Properties {
			if at, ok := strings.CutPrefix(p.Source, "linux.resources."); ok {
				from[at] = append(from[at], p.Name)
			}
		}
	}
	u := planOf(t, everything())
	collect(u)
	for key := range unifiedKeys() {
		value := unifiedExamples[key]
		if value == "" {
			value = "1"
		}
		one := planOf(t, &specs.LinuxResources{Unified: map[string]string{key: value}})
		one.Properties = slices.DeleteFunc(one.Properties, func(p Property) bool { return !strings.Contains(p.Source, ".unified.") })
		collect(one)
	}
	from["cpu.idle"] = []string{"CPUWeight"}
	from["cpu.burst"] = []string{"the payload's cpu.max and cpu.max.burst"}
	from["hugepageLimits"] = []string{"the payload's hugetlb.SIZE.max"}
	from["rdma"] = []string{"the payload's rdma.max"}
	from["unified.(others)"] = []string{"the payload's file of that name"}
	for at := range from {
		slices.Sort(from[at])
		from[at] = slices.Compact(from[at])
	}
	return from
}

// A file of the table resources.unified and the property it becomes are one thing to a configuration
// too: it refuses both.
func TestUnifiedContradicts(t *testing.T) {
	for at, names := range origins(t) {
		key, ok := strings.CutPrefix(at, "unified.")
		if !ok || unifiedKeys()[key] == nil {
			continue
		}
		for _, name := range names {
			value := cmp.Or(unifiedExamples[key], "1")
			file := filepath.Join(t.TempDir(), "x.toml")
			text := fmt.Sprintf("version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\nresources.unified = { %q = %q }\nsystemd.scope.%s = 1\n", key, value, name)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			want := "systemd.scope." + name + ": contradicts resources.unified." + key
			if got := fmt.Sprint(configs.LoadOptions{}.Check(file)); !strings.Contains(got, want) {
				t.Errorf("%s and %s: %s", key, name, got)
			}
		}
	}
}

// TestReference keeps the generated page of the documentation.
func TestReference(t *testing.T) {
	golden.Check(t, "../docs/reference/properties.md", string(reference(t)))
}

func reference(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`# Unit properties

<!-- Made from scope/table.go by go test ./scope -run Reference -update. -->

A container runs in a systemd scope, or in a service that has the same limits. This page lists every property
the scope may have, and which of them the fields of an OCI configuration become.

## From an OCI configuration

Fields of ` + "`linux.resources`" + `. Where two name the same property, the one under ` + "`unified`" + ` wins. In a
TOML file that is an error.
What systemd has no property for is written to the sub-cgroup ` + "`payload`" + ` of the scope.

| field | becomes |
|---|---|
`)
	from := origins(t)
	for _, at := range slices.Sorted(maps.Keys(from)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", at, strings.Join(from[at], ", "))
	}
	b.WriteString(`
Set always: ` + strings.Join(permanent(t), ", ") + `.

## By systemd's own name

A TOML file's ` + "`systemd.scope`" + ` sets any property by its name, and it is an error there to contradict what is above. In a Spec the
annotation ` + "`org.systemd.property.NAME`" + ` does, and wins over everything above. Of the annotations of an OCI bundle, whose author
may be trusted less, ` + "`configs.LoadBundle`" + ` accepts those of the limits below, and of those engines set: ` + "`After`, `CollectMode`, `DefaultDependencies`," + `
` + "`KillSignal`, `OOMPolicy`, `RuntimeMaxUSec` and `TimeoutStopUSec`" + `. A value is GVariant text, such as the examples here. A name that ends in ` + "`USec`" + ` may end in ` + "`Sec`" + ` and then takes seconds. What
systemd would refuse, ` + "`check`" + ` and ` + "`update --set`" + ` tell; an end that would leave processes behind (` + "`KillMode`, `SendSIGKILL`, `FinalKillSignal`" + `) is refused.
So is another ` + "`CollectMode`" + ` than ` + "`" + collected + "`: " + whyCollected + `.

*systemd* is the first version that has the property on scopes. *live* properties can be changed while the container
runs; those that say *once* only where the unit has none yet: what is taken out of such a list is back after systemd's next daemon-reload.
`)
	for g, title := range []string{"Limits", "Life of the unit", "Ordering", "Beyond the container"} {
		fmt.Fprintf(&b, "\n### %s\n\n| property | systemd | live | cgroup file | example |\n|---|---|---|---|---|\n", title)
		for _, p := range Properties() {
			why, isReserved := reserved()[p.Name]
			switch {
			case p.Group != Group(g):
			case isReserved:
				fmt.Fprintf(&b, "| %s | %d | | | not to be set: %s |\n", p.Name, p.Since, why)
			default:
				live := mark(p.Live)
				if p.merges() {
					live = "once"
				}
				fmt.Fprintf(&b, "| %s | %d | %s | %s | `%s` |\n", p.Name, p.Since, live, p.File, example(p))
			}
		}
	}
	return b.Bytes()
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// permanent is the properties every unit has.
func permanent(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, p := range planOf(t, nil).Properties {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}
