// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// small is a container with nothing special.
func small() (*specs.Spec, configs.Settings) {
	s := configs.DefaultSettings()
	s.Name, s.Source = "web", "/etc/sdcontainer/web.toml"
	return &specs.Spec{Root: &specs.Root{Path: "/srv/web"}}, s
}

func service(t testing.TB, change func(*specs.Spec, *configs.Settings)) (map[string][]string, error) {
	t.Helper()
	spec, s := small()
	change(spec, &s)
	text, err := Service(spec, s, Options{})
	if err != nil {
		return nil, err
	}
	return mustParse(t, text), nil
}

func keys(m map[string][]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestE5Injection is row E5: whatever a value is, the unit has the same directives,
// and the value reads back.
func TestE5Injection(t *testing.T) {
	plain, err := service(t, func(*specs.Spec, *configs.Settings) {})
	if err != nil {
		t.Fatal(err)
	}
	places := []struct {
		name   string
		set    func(*specs.Spec, *configs.Settings, string)
		key    string
		reads  func(string) ([]string, error)
		want   func(string) []string
		spaces bool // may begin and end with spaces
	}{
		{"description", func(_ *specs.Spec, s *configs.Settings, v string) { s.Description = v }, "Unit.Description",
			whole, func(v string) []string { return []string{v} }, false},
		{"identifier", func(_ *specs.Spec, s *configs.Settings, v string) { s.Log.Identifier = v }, "Service.SyslogIdentifier",
			whole, func(v string) []string { return []string{v} }, false},
		{"source", func(_ *specs.Spec, s *configs.Settings, v string) { s.Source = "/etc/" + v }, "Service.ExecStart",
			commandLine, func(v string) []string {
				return []string{"/usr/bin/sdcontainer", "run", "--unit", "--name", "web", "/etc/" + v}
			}, false},
		{"rootfs", func(spec *specs.Spec, _ *configs.Settings, v string) { spec.Root.Path = "/srv/" + v }, "Unit.RequiresMountsFor",
			plainWords, func(v string) []string { return []string{"/srv/" + v} }, true},
		{"label", func(_ *specs.Spec, s *configs.Settings, v string) { s.Log.Fields = map[string]string{"A_LABEL": v} }, "Service.LogExtraFields",
			plainWords, func(v string) []string { return []string{"A_LABEL=" + v} }, true},
	}
	for _, p := range places {
		for _, v := range nasty {
			got, err := service(t, func(spec *specs.Spec, s *configs.Settings) { p.set(spec, s, v) })
			var invalid *InvalidValueError
			if !p.spaces && strings.TrimSpace(v) != v && errors.As(err, &invalid) {
				continue
			}
			if err != nil {
				if p.name == "description" && len(v) > 1024 {
					continue // the scope bounds it
				}
				t.Errorf("%s %q: %v", p.name, v, err)
				continue
			}
			if diff := cmp.Diff(keys(plain), keys(got)); diff != "" {
				t.Errorf("%s %q: other directives (-want +got):\n%s", p.name, v, diff)
			}
			back, err := p.reads(got[p.key][len(got[p.key])-1])
			if err != nil || !slices.Equal(back, p.want(v)) {
				t.Errorf("%s %q: reads back as %q, %v (written %s)", p.name, v, back, err, got[p.key])
			}
		}
		for _, v := range impossible {
			_, err := service(t, func(spec *specs.Spec, s *configs.Settings) { p.set(spec, s, v) })
			if err == nil {
				t.Errorf("%s %q: accepted", p.name, v)
			}
		}
	}
}

// How values of a kind of directive are read.
func whole(s string) ([]string, error) {
	s, err := specifiers(s)
	return []string{s}, err
}

func plainWords(s string) ([]string, error) {
	w, err := words(s)
	for i := range w {
		if err == nil {
			w[i], err = specifiers(w[i])
		}
	}
	return w, err
}

func commandLine(s string) ([]string, error) {
	w, err := plainWords(s)
	for i := range w {
		if i > 0 {
			w[i] = strings.ReplaceAll(w[i], "$$", "$")
		}
	}
	return w, err
}

// TestE4Injective has no two arguments with the same text.
func TestE4Injective(t *testing.T) {
	seen := map[string]string{}
	r := rand.New(rand.NewPCG(1, 1))
	alphabet := []rune(`ab "'\%$;#`)
	for range 200000 {
		v := make([]rune, r.IntN(7))
		for i := range v {
			v[i] = alphabet[r.IntN(len(alphabet))]
		}
		got, err := argument(string(v))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got]; ok && other != string(v) {
			t.Fatalf("%q and %q are both written %s", other, string(v), got)
		}
		seen[got] = string(v)
	}
}

func FuzzEscape(f *testing.F) {
	for _, v := range append(nasty, impossible...) {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, w := range []struct {
			write func(string) (string, error)
			read  func(string) ([]string, error)
		}{
			{text, whole}, {word, plainWords},
			{func(v string) (string, error) { return command("")("x", v) }, func(s string) ([]string, error) {
				b, err := commandLine(s)
				return b[min(1, len(b)):], err
			}},
		} {
			got, err := w.write(v)
			if err != nil {
				continue // refused
			}
			lines, err := parse("[S]\nK=" + got + "\nL=1\n")
			if err != nil || len(lines) != 2 {
				t.Fatalf("%q is written %s: %d lines, %v", v, got, len(lines), err)
			}
			back, err := w.read(lines[0].value)
			if err != nil || len(back) != 1 || back[0] != v {
				t.Fatalf("%q is written %s, reads back as %q, %v", v, got, back, err)
			}
		}
	})
}

func TestSpell(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"MemoryMax", uint64(512 << 20), "MemoryMax=512M"},
		{"MemoryMax", uint64(1000), "MemoryMax=1000"},
		{"MemorySwapMax", uint64(0), "MemorySwapMax=0"},
		{"MemoryHigh", uint64(scope.Infinity), "MemoryHigh=infinity"},
		{"MemoryMaxScale", uint32(0x80000000), "MemoryMax=50%"},
		{"TasksMax", uint64(512), "TasksMax=512"},
		{"TasksMax", uint64(1024), "TasksMax=1024"},
		{"TasksMaxScale", uint32(429496730), "TasksMax=10%"},
		{"CPUQuotaPerSecUSec", uint64(1500000), "CPUQuota=150%"},
		{"CPUQuotaPerSecUSec", uint64(12500), "CPUQuota=1.25%"},
		{"CPUQuotaPerSecUSec", uint64(10), "CPUQuota=0.01%"},
		{"CPUQuotaPerSecUSec", uint64(scope.Infinity), "CPUQuota="},
		{"CPUQuotaPeriodUSec", uint64(50000), "CPUQuotaPeriodSec=50ms"},
		{"RuntimeMaxUSec", uint64(5400e6), "RuntimeMaxSec=90min"},
		{"CPUWeight", uint64(0), "CPUWeight=idle"},
		{"CPUWeight", uint64(200), "CPUWeight=200"},
		{"AllowedCPUs", []byte{0x0f, 0x01}, "AllowedCPUs=0-3,8"},
		{"AllowedCPUs", []byte{0x01, 0x80}, "AllowedCPUs=0,15"},
		{"AllowedCPUs", []byte{0xff}, "AllowedCPUs=0-7"},
		{"IOWeight", uint64(50), "IOWeight=50"},
		{"IOReadBandwidthMax", []scope.PathValue{{Path: "/dev/sda", Value: 1000000}, {Path: "/dev/my disk", Value: scope.Infinity}},
			"IOReadBandwidthMax=/dev/sda 1000000\nIOReadBandwidthMax=\"/dev/my disk\" infinity"},
		{"IODeviceLatencyTargetUSec", []scope.PathValue{{Path: "/dev/sda", Value: 25000}}, "IODeviceLatencyTargetSec=/dev/sda 25ms"},
		{"DeviceAllow", []scope.PathWord{{Path: "/dev/fuse", Word: "rw"}, {Path: "char-pts", Word: "rwm"}},
			"DeviceAllow=/dev/fuse rw\nDeviceAllow=char-pts rwm"},
		{"IPAddressDeny", []scope.Address{{Family: 2, Address: []byte{10, 0, 0, 0}, Prefix: 8}, {Family: 10, Address: make([]byte, 16)}},
			"IPAddressDeny=10.0.0.0/8\nIPAddressDeny=::/0"},
		{"SocketBindAllow", []scope.Bind{{Family: 2, Protocol: 6, Count: 11, Port: 80}, {}, {Protocol: 17, Count: 1, Port: 53}},
			"SocketBindAllow=ipv4:tcp:80-90\nSocketBindAllow=any\nSocketBindAllow=udp:53"},
		{"RestrictNetworkInterfaces", scope.Interfaces{Names: []string{"eth0", "eth1"}}, "RestrictNetworkInterfaces=~eth0 eth1"},
		{"RestrictNetworkInterfaces", scope.Interfaces{Allow: true, Names: []string{"lo"}}, "RestrictNetworkInterfaces=lo"},
		{"BPFProgram", []scope.PathWord{{Path: "egress", Word: "/sys/fs/bpf/x"}}, "BPFProgram=egress:/sys/fs/bpf/x"},
		{"NFTSet", []scope.NFT{{Source: 3, Protocol: 1, Table: "filter", Set: "web"}}, "NFTSet=cgroup:inet:filter:web"},
		{"IPEgressFilterPath", []string{"/sys/fs/bpf/a", "/sys/fs/bpf/b"}, "IPEgressFilterPath=/sys/fs/bpf/a\nIPEgressFilterPath=/sys/fs/bpf/b"},
		{"After", []string{"a.service", "b.service"}, "After=a.service b.service"},
		{"KillSignal", int32(15), "KillSignal=SIGTERM"},
		{"KillSignal", int32(37), "KillSignal=SIGRTMIN+3"},
		{"SendSIGHUP", true, "SendSIGHUP=yes"},
		{"ManagedOOMMemoryPressureLimit", uint32(0x80000000), "ManagedOOMMemoryPressureLimit=50%"},
		{"DevicePolicy", "closed", "DevicePolicy=closed"},
	} {
		name, values, err := spell(scope.Property{Name: tt.name, Value: tt.value})
		var lines []string
		for _, v := range values {
			lines = append(lines, name+"="+v)
		}
		if got := strings.Join(lines, "\n"); err != nil || got != tt.want {
			t.Errorf("%s %v: %q, %v, want %q", tt.name, tt.value, got, err, tt.want)
		}
	}
}

// TestSpellAll has a spelling for every property a scope can have.
func TestSpellAll(t *testing.T) {
	samples := map[string]any{"b": true, "s": "x", "t": uint64(1), "u": uint32(1), "i": int32(1), "as": []string{"x"}, "ay": []byte{1},
		"a(st)": []scope.PathValue{{Path: "/x"}}, "a(ss)": []scope.PathWord{{Path: "x", Word: "y"}},
		"a(iayu)": []scope.Address{{Family: 2, Address: []byte{1, 2, 3, 4}}}, "a(iiqq)": []scope.Bind{{}},
		"(bas)": scope.Interfaces{}, "a(iiss)": []scope.NFT{{Source: 3, Protocol: 1}}}
	for _, info := range scope.Properties() {
		if slices.Contains(own, info.Name) || info.Name == "PIDs" {
			continue
		}
		if _, values, err := spell(scope.Property{Name: info.Name, Value: samples[info.Sig]}); err != nil || len(values) != 1 {
			t.Errorf("%s: %q, %v", info.Name, values, err)
		}
	}
}

func TestRefused(t *testing.T) {
	set := func(section, name, value string) func(*specs.Spec, *configs.Settings) {
		return func(_ *specs.Spec, s *configs.Settings) {
			m := map[string][]string{name: {value}}
			switch section {
			case "Unit":
				s.Unit = m
			case "Service":
				s.Service = m
			default:
				s.Install = m
			}
		}
	}
	for name, change := range map[string]func(*specs.Spec, *configs.Settings){
		"another command":      set("Service", "ExecStart", "/bin/sh"),
		"no clean-up":          set("Service", "ExecStopPost", ""),
		"a blank clean-up":     set("Service", "ExecStopPost", " "),
		"no name in the log":   set("Service", "LogExtraFields", ""),
		"another type":         set("Service", "Type", "simple"),
		"private users":        set("Service", "PrivateUsers", "yes"),
		"no new privileges":    set("Service", "NoNewPrivileges", "yes"),
		"protected cgroups":    set("Service", "ProtectControlGroups", "yes"),
		"restricted namespace": set("Service", "RestrictNamespaces", "yes"),
		"w^x":                  set("Service", "MemoryDenyWriteExecute", "yes"),
		"kill nothing":         set("Service", "KillMode", "none"),
		"a section as name":    set("Unit", "X]\n[Service", "y"),
		"a newline":            set("Install", "WantedBy", "a\n[Service]"),
		"a name with =":        set("Unit", "After=x", "y"),
		"newer than the floor": set("Service", "RestartSteps", "5"),
		"no name":              func(_ *specs.Spec, s *configs.Settings) { s.Name = "" },
		"relative source":      func(_ *specs.Spec, s *configs.Settings) { s.Source = "web.toml" },
		"no root":              func(spec *specs.Spec, _ *configs.Settings) { spec.Root = nil },
		"journal's own field":  func(_ *specs.Spec, s *configs.Settings) { s.Log.Fields = map[string]string{"_PID": "1"} },
		"the name's field":     func(_ *specs.Spec, s *configs.Settings) { s.Log.Fields = map[string]string{"CONTAINER_NAME": "x"} },
		"no signal":            func(_ *specs.Spec, s *configs.Settings) { s.StopSignal = "SIGNOTHING" },
		"slice":                func(_ *specs.Spec, s *configs.Settings) { s.Slice = "a\n.slice" },
	} {
		if got, err := service(t, change); err == nil {
			t.Errorf("%s: accepted: %v", name, got)
		}
	}
}

// TestNewer asks for what only a newer systemd has.
func TestNewer(t *testing.T) {
	spec, s := small()
	s.Service = map[string][]string{"RestartSteps": {"5"}}
	s.UnitProperties = map[string]string{"MemoryZSwapMax": "uint64 1048576"}
	for want, o := range map[string]Options{
		"needs systemd 253, the unit is for 252, the oldest there are units for (": {},
		"needs systemd 253, the unit is for 252 (":                                 {Version: 252},
		"needs systemd 253, the running one is 252 (":                              {Version: 252, Running: true},
	} {
		_, err := Service(spec, s, o)
		if !errors.Is(err, scope.ErrUnsupported) || !strings.Contains(err.Error(), "unit file: MemoryZSwapMax: "+want) {
			t.Errorf("strict, %+v: %v, want %q", o, err, want)
		}
	}
	newest, err := Service(spec, s, Options{Version: Newest})
	if err != nil || strings.Count(newest, "\n# MemoryZSwapMax= needs systemd 253.\n") != 1 || strings.Count(newest, "\n# RestartSteps= needs systemd 254.\n") != 1 {
		t.Errorf("newest: %v\n%s", err, newest)
	}
	s.Strict = false
	text, err := Service(spec, s, Options{})
	got := mustParse(t, text)
	if err != nil || got["Service.MemoryZSwapMax"] != nil || got["Service.RestartSteps"] != nil || !strings.Contains(text, "# RestartSteps= is left out: it needs systemd 254") {
		t.Errorf("not strict: %v\n%s", err, text)
	}
	text, err = Service(spec, s, Options{Version: 257})
	got = mustParse(t, text)
	if err != nil || got["Service.MemoryZSwapMax"][0] != "1M" || got["Service.RestartSteps"][0] != "5" {
		t.Errorf("257: %v\n%s", err, text)
	}
}

func TestOverrides(t *testing.T) {
	got, err := service(t, func(_ *specs.Spec, s *configs.Settings) {
		s.StopSignal, s.StopTimeout, s.Notify, s.Slice = "SIGRTMIN+3", 90*time.Second, "container", "a-b.slice"
		s.Service = map[string][]string{"Restart": {"on-failure"}, "OOMPolicy": {"stop"}, "SuccessExitStatus": {"3"}}
		s.UnitProperties = map[string]string{"TimeoutStopSec": "5", "KillMode": "'control-group'"}
		s.Install = map[string][]string{"WantedBy": {"a.target", "b.target"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{
		"Service.KillSignal":        {"SIGRTMIN+3"},
		"Service.TimeoutStopSec":    {"5s"},
		"Service.KillMode":          {"control-group"},
		"Service.NotifyAccess":      {"all"},
		"Service.Slice":             {"a-b.slice"},
		"Service.Restart":           {"on-failure"},
		"Service.OOMPolicy":         {"stop"},
		"Service.SuccessExitStatus": {"165 SIGRTMIN+3", "3"},
		"Install.WantedBy":          {"a.target", "b.target"},
	} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

// What a payload prints says its priority only where the configuration lets it.
func TestLevelPrefix(t *testing.T) {
	for may, want := range map[bool]string{false: "no", true: "yes"} {
		got, err := service(t, func(_ *specs.Spec, s *configs.Settings) { s.Log.LevelPrefix = may })
		if err != nil || !slices.Equal(got["Service.SyslogLevelPrefix"], []string{want}) {
			t.Errorf("%v: %q, %v; want %s", may, got["Service.SyslogLevelPrefix"], err, want)
		}
	}
}

// TestDropIn has the command only where the template's would not do.
func TestDropIn(t *testing.T) {
	spec, s := small()
	s.UnitProperties = map[string]string{"MemoryMax": "uint64 67108864"}
	text, err := DropIn(spec, s, Options{})
	got := mustParse(t, text)
	if err != nil || got["Service.ExecStart"] != nil || got["Service.ExecStop"] != nil || got["Service.MemoryMax"][0] != "64M" || got["Install.WantedBy"] != nil ||
		got["Service.LogExtraFields"] != nil { // the template has the name, twice would be two fields
		t.Errorf("%v\n%s", err, text)
	}
	s.Source = "/srv/web.toml"
	text, err = DropIn(spec, s, Options{})
	got = mustParse(t, text)
	want := []string{"", "/usr/bin/sdcontainer run --unit --name web /srv/web.toml"}
	wantStop := []string{"", "-/usr/bin/sdcontainer prestop " + s.Name}
	if err != nil || !slices.Equal(got["Service.ExecStart"], want) || !slices.Equal(got["Service.ExecStop"], wantStop) {
		t.Errorf("%v\n%s", err, text)
	}
}

// What the template has is not added to: its lists are those of the configuration.
func TestDropInLists(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*configs.Settings)
		want   map[string][]string
	}{
		"nothing": {func(*configs.Settings) {}, map[string][]string{"Service.SuccessExitStatus": {"", "143"}}},
		"another signal": {func(s *configs.Settings) { s.StopSignal = "SIGQUIT" },
			map[string][]string{"Service.SuccessExitStatus": {"", "131 SIGQUIT"}}},
		"a signal that is a failure": {func(s *configs.Settings) { s.StopSignal = "SIGKILL" },
			map[string][]string{"Service.SuccessExitStatus": {""}}},
		"another target": {func(s *configs.Settings) { s.Install = map[string][]string{"WantedBy": {"a.target", "b.target"}} },
			map[string][]string{"Service.SuccessExitStatus": {"", "143"}, "Install.WantedBy": {"", "a.target", "b.target"}}},
		"no target": {func(s *configs.Settings) { s.Install = map[string][]string{"WantedBy": nil} },
			map[string][]string{"Service.SuccessExitStatus": {"", "143"}, "Install.WantedBy": {""}}},
		"elsewhere": {func(s *configs.Settings) { s.Source = "/srv/web.toml" },
			map[string][]string{"Service.SuccessExitStatus": {"", "143"}, "Unit.AssertPathExists": {""}}},
	} {
		spec, s := small()
		c.change(&s)
		text, err := DropIn(spec, s, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		all, got := mustParse(t, text), map[string][]string{}
		for _, key := range []string{"Service.SuccessExitStatus", "Install.WantedBy", "Unit.AssertPathExists", "Service.Environment", "Unit.Documentation"} {
			if all[key] != nil {
				got[key] = all[key]
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMounts(t *testing.T) {
	got, err := service(t, func(spec *specs.Spec, s *configs.Settings) {
		spec.Root.Path = "rootfs"
		spec.Mounts = []specs.Mount{
			{Type: "bind", Source: "/data", Destination: "/data"}, {Type: "none", Options: []string{"rbind"}, Source: "/srv/x y"},
			{Type: "tmpfs", Source: "tmpfs"}, {Type: "bind", Source: "/data"},
		}
	})
	if want := []string{`/data /etc/sdcontainer/rootfs "/srv/x y"`}; err != nil || !slices.Equal(got["Unit.RequiresMountsFor"], want) {
		t.Errorf("%v, %v, want %v", got["Unit.RequiresMountsFor"], err, want)
	}
}
