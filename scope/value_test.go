// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		as         string // the property's name, when it is another
		want       any
	}{
		{"CollectMode", `'inactive'`, "", "inactive"},
		{"KillMode", `"mixed"`, "", "mixed"},
		{"Description", `'it\'s \"two\"\n\u00e4\U0001f600 \\'`, "", "it's \"two\"\nä😀 \\"},
		{"SendSIGHUP", "true", "", true},
		{"SendSIGHUP", " false ", "", false},
		{"SendSIGHUP", "boolean true", "", true},
		{"TasksMax", "uint64 5", "", uint64(5)},
		{"TasksMax", "5", "", uint64(5)},
		{"TasksMax", "@t 0x10", "", uint64(16)},
		{"TasksMax", "18446744073709551615", "", uint64(Infinity)},
		{"KillSignal", "int32 15", "", int32(15)},
		{"MemoryMaxScale", "uint32 4294967295", "", uint32(4294967295)},
		{"TimeoutStopUSec", "5", "", uint64(5)},
		{"TimeoutStopSec", "5", "TimeoutStopUSec", uint64(5000000)},
		{"TimeoutStopSec", "uint64 5", "TimeoutStopUSec", uint64(5000000)},
		{"RuntimeMaxSec", "0.25", "RuntimeMaxUSec", uint64(250000)},
		{"After", "['a.service', \"b.service\"]", "", []string{"a.service", "b.service"}},
		{"After", "@as []", "", []string{}},
		{"AllowedCPUs", "[byte 0x0f, 1]", "", []byte{15, 1}},
		{"AllowedCPUs", `b'\a'`, "", []byte{7, 0}},
		{"IOReadBandwidthMax", "[('/dev/sda', uint64 5),('/dev/sdb',6)]", "", []PathValue{{"/dev/sda", 5}, {"/dev/sdb", 6}}},
		{"DeviceAllow", "[('char-pts', 'rw')]", "", []PathWord{{"char-pts", "rw"}}},
		{"IPAddressDeny", "[(2, [byte 10, 0, 0, 0], uint32 8)]", "", []Address{{2, []byte{10, 0, 0, 0}, 8}}},
		{"SocketBindAllow", "[(2, 6, uint16 1, uint16 80)]", "", []Bind{{2, 6, 1, 80}}},
		{"RestrictNetworkInterfaces", "(false, ['eth0'])", "", Interfaces{false, []string{"eth0"}}},
		{"NFTSet", "[(3, 1, 't', 's')]", "", []NFT{{3, 1, "t", "s"}}},
	} {
		t.Run(c.name+" "+c.text, func(t *testing.T) {
			p, err := Parse(c.name, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if c.as == "" {
				c.as = c.name
			}
			if d := cmp.Diff(c.want, p.Value); d != "" || p.Name != c.as {
				t.Errorf("%s %s", p.Name, d)
			}
			info, _ := Lookup(p.Name)
			if sig := dbus.SignatureOf(p.Value).String(); sig != info.Sig {
				t.Errorf("type is %s, want %s", sig, info.Sig)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"TasksMax", "'5'", "want GVariant text like uint64 100: at byte 0: want a number of 64 bits"},
		{"TasksMax", "-1", "a number of 64 bits"},
		{"TasksMax", "5 6", `at byte 2: want nothing after the value`},
		{"TasksMax", "", "a number"},
		{"KillSignal", "4294967296", "a signed number of 32 bits"},
		{"SendSIGHUP", "yes", "true or false"},
		{"CollectMode", "inactive", "a quoted string"},
		{"CollectMode", "'inactive", "an end of the string"},
		{"CollectMode", `'a\u12'`, "4 hexadecimal digits"},
		{"CollectMode", "'a\x00'", "no NUL"},
		{"After", "['a'", `want ","`},
		{"After", "['a' 'b']", `want ","`},
		{"SocketBindAllow", "[(2, 6, uint16 1, uint16 65536)]", "a number of 16 bits"},
		{"AllowedCPUs", "[256]", "a number of 8 bits"},
		{"RuntimeMaxSec", "-1", "a number of seconds"},
		{"RuntimeMaxSec", "NaN", "a number of seconds"},
		{"RuntimeMaxSec", "1e300", "a number of seconds"},
		{"CPUQuota", "5", "use CPUQuotaPerSecUSec"},
		{"MemoryLimit", "5", "use MemoryMax"},
		{"MemoryMaxx", "5", "did you mean MemoryMax?"},
		{"memorymax", "5", "did you mean MemoryMax?"},
		{"OOMScoreAdjust", "5", `"OOMScoreAdjust" is no property of a scope (org.freedesktop.systemd1(5) lists those)`},
		{"KillMode", "'none'", `value "none": want control-group or mixed: another would leave processes behind`},
		{"KillMode", "'bogus'", `value "bogus": want control-group or mixed`},
		{"OOMPolicy", "'bogus'", "want one of continue, stop, kill"},
		{"MemoryPressureWatch", "'maybe'", "want one of auto, on, off, skip"},
		{"ManagedOOMSwap", "''", "want one of auto, kill"},
		{"ManagedOOMPreference", "'x'", "want one of none, avoid, omit"},
		{"CollectMode", "'x'", "want one of inactive, inactive-or-failed"},
		{"DevicePolicy", "'x'", "want one of auto, closed, strict"},
		{"FailureAction", "'x'", "want one of none, reboot,"},
		{"Description", "'" + strings.Repeat("a", maxText) + "'", "want at most 65536"},
	} {
		t.Run(c.name+" "+c.text[:min(len(c.text), 20)], func(t *testing.T) {
			_, err := Parse(c.name, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestExamples: what an error message shows as an example is right.
func TestExamples(t *testing.T) {
	for _, info := range Properties() {
		if p, err := Parse(info.Name, example(info)); err != nil {
			t.Error(err)
		} else if sig := dbus.SignatureOf(p.Value).String(); sig != info.Sig {
			t.Errorf("%s: %s has type %s, want %s", info.Name, example(info), sig, info.Sig)
		}
	}
}

// FuzzParse: no text makes it panic, and what is accepted has the property's type, which
// godbus would panic about at the start.
func FuzzParse(f *testing.F) {
	for _, info := range Properties() {
		f.Add(info.Name, example(info))
	}
	f.Add("RuntimeMaxSec", "0.5")
	f.Add("After", `@as ['\u0041', "b"]`)
	f.Fuzz(func(t *testing.T, name, text string) {
		p, err := Parse(name, text)
		if err != nil {
			return
		}
		info, ok := Lookup(p.Name)
		if !ok || dbus.SignatureOf(p.Value).String() != info.Sig {
			t.Errorf("%s %q became %s %#v", name, text, p.Name, p.Value)
		}
	})
}

func TestUnitProperties(t *testing.T) {
	u, err := Plan(&specs.Spec{}, configs.Settings{Name: "web", UnitProperties: map[string]string{
		"CollectMode": "'inactive-or-failed'", "TimeoutStopSec": "7", "MemoryMax": "5",
	}})
	if err != nil {
		t.Fatal(err)
	}
	have := values(u)
	maps.DeleteFunc(have, func(name string, _ any) bool {
		return name != "CollectMode" && name != "TimeoutStopUSec" && name != "MemoryMax"
	})
	want := map[string]any{"CollectMode": "inactive-or-failed", "TimeoutStopUSec": uint64(7000000), "MemoryMax": uint64(5)}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
	if n := len(u.Properties) - len(values(u)); n != 0 {
		t.Errorf("%d properties are there twice", n)
	}
}

func TestE2UnitPropertiesRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"PIDs":                {"[uint32 1]", "not to be set"},
		"PIDFDs":              {"[handle 0]", "not to be set: the start knows"},
		"CollectMode":         {"'inactive'", "want inactive-or-failed: a failed unit would keep its name"},
		"Slice":               {"'system.slice'", "use the slice setting"},
		"Delegate":            {"false", "it is always on"},
		"DelegateControllers": {"['cpu']", "it is always on"},
		"User":                {"'root'", "not to be set"},
		"AddRef":              {"true", "not to be set"},
		"Controller":          {"':1.5'", "not to be set"},
		"Nonsense":            {"1", "no property of a scope"},
		"Description":         {`'a\nb'`, "without control characters"},
		"IPEgressFilterPath":  {`['/a\u000ab']`, "without control characters"},
	} {
		_, err := Plan(&specs.Spec{}, configs.Settings{Name: "web", UnitProperties: map[string]string{name: c.text}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q in it", name, err, c.want)
		}
	}
}

// E2: of a bundle no property is accepted that reaches beyond the container, and every limit is.
func TestE2BundlesSetLimits(t *testing.T) {
	engines := []string{"After", "CollectMode", "DefaultDependencies", "KillSignal", "OOMPolicy", "RuntimeMaxUSec", "TimeoutStopUSec"}
	for _, p := range Properties() {
		dir := t.TempDir()
		text := fmt.Sprintf(`{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["x"], "cwd": "/"}, "linux": {},
			"annotations": {"org.systemd.property.%s": %q}}`, p.Name, example(p))
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := configs.LoadBundle(dir)
		if want := p.Group == Resource && reserved()[p.Name] == "" || slices.Contains(engines, p.Name); (err == nil) != want {
			t.Errorf("%s: accepted: %v, want %v (%v)", p.Name, err == nil, want, err)
		}
	}
}
