// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// FuzzService fills every place of a configuration that ends in the unit with any text:
// what is written has the directives it would have without, and those asked for by name.
func FuzzService(f *testing.F) {
	for _, v := range append(nasty, impossible...) {
		f.Add(v, v, v, "A_LABEL", v, "After", v, "OOMScoreAdjust", v)
	}
	for _, v := range impossible { // each place alone: another's refusal says nothing
		for i := range 5 {
			s := [9]string{"web", "A site", "x.toml", "A_LABEL", "b", "After", "a.service", "Nice", "5"}
			s[[]int{0, 1, 2, 4, 8}[i]] = "a" + v
			f.Add(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8])
		}
	}
	f.Add("web", "A site", "/etc/x.toml", "X", "y", "After", "a.service", "Nice", "5")
	f.Fuzz(func(t *testing.T, name, description, path, field, value, unit, unitValue, own, ownValue string) {
		spec, s := small()
		s.Install = map[string][]string{"WantedBy": {"multi-user.target"}}
		plainSpec, plainSettings := *spec, s
		plainSettings.Source = "/etc/x.toml"
		s.Name, s.Description, s.Source, s.Log.Identifier = "w"+name, description, "/etc/"+path, name
		spec.Root.Path = "/srv/" + path
		spec.Mounts = []specs.Mount{{Destination: "/x", Type: "bind", Source: path}}
		s.Log.Fields = map[string]string{field: value}
		s.Unit, s.Service = map[string][]string{unit: {unitValue}}, map[string][]string{own: {ownValue}}
		for _, write := range []writer{Service, DropIn} {
			text, err := write(spec, s, Options{Version: 257})
			if err != nil {
				continue // refused
			}
			got, plain := mustParse(t, text), directives(t, write, &plainSpec, plainSettings)
			for key, values := range got {
				asked := key == "Unit."+unit || key == "Service."+own || key == "Service.LogExtraFields" || key == "Service.ExecStart" || key == "Service.ExecStop" || key == "Service.ExecStopPost"
				if n := len(plain[key]); !asked && len(values) != n {
					t.Errorf("%s stands %d times, not %d:\n%s", key, len(values), n, text)
				}
				if asked && len(values) > len(plain[key])+1 {
					t.Errorf("%s stands %d times:\n%s", key, len(values), text)
				}
			}
			if back, err := whole(got["Unit.Description"][0]); unit != "Description" && (err != nil || description != "" && back[0] != description) {
				t.Errorf("description %q reads back as %q, %v:\n%s", description, back, err, text)
			}
		}
	})
}

type writer func(*specs.Spec, configs.Settings, Options) (string, error)

func directives(t testing.TB, write writer, spec *specs.Spec, s configs.Settings) map[string][]string {
	t.Helper()
	text, err := write(spec, s, Options{Version: 257})
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, text)
}

// FuzzFile: what is put into a file's lines is what systemd reads from its text.
func FuzzFile(f *testing.F) {
	for _, v := range append(nasty, impossible...) {
		f.Add("a"+v, v, v)
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		file := &file{version: Floor, head: []string{"# from us"}}
		file.add(sectionUnit, "Description", one(text), a)
		file.add(sectionUnit, "RequiresMountsFor", many(word), a, b)
		file.add(sectionService, "ExecStart", command("-"), "/bin/"+a, b, c)
		file.user(sectionService, map[string][]string{"Environment": {b, c}})
		if len(file.errs) > 0 {
			return
		}
		lines, err := parse(file.String())
		if err != nil {
			t.Fatal(err)
		}
		var want []line
		for i, section := range file.lines {
			for _, d := range section {
				want = append(want, line{sectionNames[i], d.name, strings.TrimSpace(d.value)})
			}
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%q read back from %q", lines, want)
		}
	})
}

// FuzzProperty: a property's text from a configuration, if it is accepted, is one line for
// each of its values, and none of them ends a line.
func FuzzProperty(f *testing.F) {
	for name, text := range spelt {
		f.Add(name, text)
	}
	f.Add("After", `["a\u2028b", '[Service]', '\\\\']`)
	f.Fuzz(func(t *testing.T, name, text string) {
		p, err := scope.Parse(name, text)
		if err != nil {
			return
		}
		file := &file{version: 257}
		file.property(p)
		if len(file.errs) > 0 {
			return
		}
		lines, err := parse(file.String() + "End=1\n")
		want := len(file.lines[sectionUnit]) + len(file.lines[sectionService])
		if err != nil || len(lines) != want+1 {
			t.Errorf("%s %q is %d values and %d lines, %v:\n%s", p.Name, text, want, len(lines)-1, err, file)
		}
	})
}

// FuzzNumbers: systemd reads back the number that was written.
func FuzzNumbers(f *testing.F) {
	for _, v := range []uint64{0, 1, 1000, 1024, 512 << 20, 90e6, 5400e6, 1<<64 - 1} {
		f.Add(v)
	}
	sizes := map[string]uint64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
	times := map[string]uint64{"": 1e6, "us": 1, "ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6}
	f.Fuzz(func(t *testing.T, v uint64) {
		for text, units := range map[string]map[string]uint64{size(v): sizes, configs.UnitSpan(v): times} {
			digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzKMGT")
			n, err := strconv.ParseUint(digits, 10, 64)
			if unit, ok := units[text[len(digits):]]; err != nil || !ok || n*unit != v {
				t.Errorf("%d is written %s", v, text)
			}
		}
	})
}

// spelt are texts of some properties, one of each type.
var spelt = map[string]string{
	"MemoryMax": "5", "CPUQuotaPerSecUSec": "15000", "AllowedCPUs": "[byte 0x01]", "After": "['a.service']", "KillSignal": "9",
	"IOReadBandwidthMax": "[('/dev/sda', uint64 5)]", "DeviceAllow": "[('/dev/null', 'rw')]", "IPAddressDeny": "[(2, [byte 10, 0, 0, 0], 8)]",
	"SocketBindAllow": "[(2, 6, 1, 80)]", "NFTSet": "[(3, 1, 'a', 'b')]", "BPFProgram": "[('egress', '/sys/fs/bpf/x')]",
	"SendSIGHUP": "true", "DevicePolicy": "'closed'", "RestrictNetworkInterfaces": "(true, ['lo'])",
}
