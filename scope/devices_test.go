// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// rule reads "deny c 1:3 rwm", "allow a *:* rwm".
func rule(t *testing.T, text string) specs.LinuxDeviceCgroup {
	t.Helper()
	f := strings.Fields(text)
	number := func(s string) *int64 {
		if s == "*" {
			return nil
		}
		n, _, err := deviceNumbers(s + ":0")
		if err != nil {
			t.Fatal(err)
		}
		return &n
	}
	major, minor, _ := strings.Cut(f[2], ":")
	return specs.LinuxDeviceCgroup{Allow: f[0] == "allow", Type: f[1], Major: number(major), Minor: number(minor), Access: f[3]}
}

func planDevices(t *testing.T, rules ...string) (Unit, error) {
	r := &specs.LinuxResources{}
	for _, text := range rules {
		r.Devices = append(r.Devices, rule(t, text))
	}
	return Plan(&specs.Spec{Linux: &specs.Linux{Resources: r}}, configs.Settings{Name: "web"})
}

// always is what every container may use.
var always = []string{
	"char-* m", "block-* m", "/dev/char/1:3 rwm", "/dev/char/1:5 rwm", "/dev/char/1:7 rwm", "/dev/char/1:8 rwm", "/dev/char/1:9 rwm",
	"/dev/char/5:0 rwm", "/dev/char/5:2 rwm", "char-136 rwm",
}

func TestDevices(t *testing.T) {
	for name, c := range map[string]struct {
		rules  []string
		policy string
		allow  []string // besides those that are always there
	}{
		"none":                 {nil, "strict", nil},
		"deny all":             {[]string{"deny a *:* rwm"}, "strict", nil},
		"one":                  {[]string{"deny a *:* rwm", "allow c 10:200 rw"}, "strict", []string{"/dev/char/10:200 rw"}},
		"all minors":           {[]string{"allow b 8:* r"}, "strict", []string{"block-8 r"}},
		"letters are joined":   {[]string{"allow c 10:1 r", "allow c 10:1 w"}, "strict", []string{"/dev/char/10:1 rw"}},
		"letters are sorted":   {[]string{"allow c 10:1 mwr"}, "strict", []string{"/dev/char/10:1 rwm"}},
		"taken back":           {[]string{"allow c 10:1 rwm", "deny c 10:1 rwm"}, "strict", nil},
		"partly taken back":    {[]string{"allow c 10:1 rwm", "deny c 10:1 w"}, "strict", []string{"/dev/char/10:1 rm"}},
		"class taken back":     {[]string{"allow c 10:1 rwm", "allow c 10:2 r", "deny c 10:* rwm"}, "strict", nil},
		"start again":          {[]string{"allow c 10:1 rwm", "deny a *:* rwm", "allow c 10:2 r"}, "strict", []string{"/dev/char/10:2 r"}},
		"allow all":            {[]string{"allow a *:* rwm"}, "auto", nil},
		"allow all, then none": {[]string{"allow a *:* rwm", "deny a *:* rwm"}, "strict", nil},
		"all block":            {[]string{"allow b *:* r"}, "strict", []string{"block-* rm"}},
		"deny what is not":     {[]string{"deny c 10:1 rwm"}, "strict", nil},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := planDevices(t, c.rules...)
			if err != nil {
				t.Fatal(err)
			}
			if p := u.Get("DevicePolicy"); p != c.policy {
				t.Errorf("policy is %v, want %s", p, c.policy)
			}
			have := map[string]bool{}
			words, _ := u.Get("DeviceAllow").([]PathWord)
			for _, w := range words {
				have[w.Path+" "+w.Word] = true
			}
			want := map[string]bool{}
			for _, w := range c.allow {
				want[w] = true
			}
			for _, w := range always {
				if c.policy == "strict" && !(w == "block-* m" && want["block-* rm"]) {
					want[w] = true
				}
			}
			if d := cmp.Diff(want, have); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDeviceErrors(t *testing.T) {
	for name, c := range map[string]struct {
		rules []string
		want  string
	}{
		"hole in a class":      {[]string{"allow b 8:* rwm", "deny b 8:1 w"}, "deny of /dev/block/8:1 out of the allowed block-8"},
		"hole in everything":   {[]string{"allow a *:* rwm", "deny c 1:1 rwm"}, "allow of everything"},
		"minor of every major": {[]string{"allow c *:5 rwm"}, "cannot express"},
		"type":                 {[]string{"allow p 1:1 rwm"}, `type "p": want a, b or c`},
		"access":               {[]string{"allow c 1:1 rx"}, `access "rx"`},
		"all with a number":    {[]string{"allow a 1:1 rwm"}, "want type b or c"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := planDevices(t, c.rules...)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "linux.resources.devices[") {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// A list that came by its name gets what no start goes without: the right to make the nodes of this container,
// and no others; and the null device.
func TestDevicesByName(t *testing.T) {
	made := []string{"/dev/char/1:3 rwm", "/dev/char/1:5 m", "/dev/char/1:7 m", "/dev/char/1:8 m", "/dev/char/1:9 m", "/dev/char/5:0 m"}
	fuse := specs.LinuxDevice{Type: "c", Major: 10, Minor: 229}
	for name, c := range map[string]struct {
		allow, policy string
		linux         specs.Linux
		want          []string
	}{
		"nothing":               {"@a(ss) []", "strict", specs.Linux{}, made},
		"of a user namespace":   {"@a(ss) []", "strict", specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}, made},
		"one":                   {"[('/dev/char/10:229', 'r')]", "strict", specs.Linux{Devices: []specs.LinuxDevice{fuse}}, append([]string{"/dev/char/10:229 rm"}, made...)},
		"a node that is closed": {"[('char-pts', 'rw')]", "closed", specs.Linux{Devices: []specs.LinuxDevice{{Type: "b", Major: 8}, {Type: "p"}}}, append([]string{"char-pts rw", "/dev/block/8:0 m"}, made...)},
		"a standard device":     {"[('/dev/char/1:9', 'r')]", "strict", specs.Linux{}, []string{"/dev/char/1:3 rwm", "/dev/char/1:5 m", "/dev/char/1:7 m", "/dev/char/1:8 m", "/dev/char/1:9 rm", "/dev/char/5:0 m"}},
		"no letters are all":    {"[('/dev/char/1:5', ''), ('/dev/fuse', '')]", "strict", specs.Linux{}, append([]string{"/dev/char/1:5 rwm", "/dev/fuse rwm"}, slices.DeleteFunc(slices.Clone(made), func(s string) bool { return s == "/dev/char/1:5 m" })...)},
		"nothing, of all":       {"@a(ss) []", "auto", specs.Linux{}, nil},
		"one, of all":           {"[('/dev/char/10:229', 'r')]", "auto", specs.Linux{}, append([]string{"/dev/char/10:229 r"}, made...)},
	} {
		t.Run(name, func(t *testing.T) {
			set := configs.Settings{Name: "web", UnitProperties: map[string]string{"DeviceAllow": c.allow, "DevicePolicy": "'" + c.policy + "'"}}
			u, err := Plan(&specs.Spec{Linux: &c.linux}, set)
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for _, w := range u.Get("DeviceAllow").([]PathWord) {
				have = append(have, w.Path+" "+w.Word)
			}
			slices.Sort(have)
			slices.Sort(c.want)
			if d := cmp.Diff(c.want, have); d != "" {
				t.Error(d)
			}
		})
	}
}

// A terminal is refused where nothing in a strict list opens it. To every other list systemd adds what does.
func TestTerminalNeedsItsDevice(t *testing.T) {
	for name, c := range map[string]struct {
		allow, policy string
		refused       bool
	}{
		"none":             {"", "", false},
		"empty":            {"@a(ss) []", "", true},
		"another":          {"[('/dev/fuse', 'rw')]", "'strict'", true},
		"another, closed":  {"[('/dev/fuse', 'rw')]", "'closed'", false},
		"another, of auto": {"[('/dev/fuse', 'rw')]", "'auto'", false},
		"ptmx":             {"[('/dev/ptmx', 'rw')]", "", false},
		"ptmx to read":     {"[('/dev/ptmx', 'r')]", "", true},
		"all of ptmx":      {"[('/dev/char/5:2', '')]", "", false},
		"a class":          {"[('char-*', 'rwm')]", "", false},
		"a block device":   {"[('block-*', 'rwm')]", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			set := configs.Settings{Name: "web", UnitProperties: map[string]string{}}
			for property, value := range map[string]string{"DeviceAllow": c.allow, "DevicePolicy": c.policy} {
				if value != "" {
					set.UnitProperties[property] = value
				}
			}
			if _, err := Plan(&specs.Spec{Process: &specs.Process{}}, set); err != nil {
				t.Errorf("without one: %v", err)
			}
			_, err := Plan(&specs.Spec{Process: &specs.Process{Terminal: true}}, set)
			var field *configs.FieldError
			if errors.As(err, &field) != c.refused || c.refused && field.Entry != "DeviceAllow" {
				t.Errorf("%v; want it refused: %t", err, c.refused)
			}
		})
	}
}
