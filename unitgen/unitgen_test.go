// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"math"
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
		"the hash of a root":   set("Service", "RootHash", "/x.roothash"),
		"options of a root":    set("Service", "RootImageOptions", "ro"),
		"images":               set("Service", "MountImages", "/x.raw:/x"),
		"extensions":           set("Service", "ExtensionImages", "/x.raw"),
		"extended directories": set("Service", "ExtensionDirectories", "/x"),
		"kill nothing":         set("Service", "KillMode", "none"),
		"kill the main one":    set("Service", "KillMode", "process"),
		"another umask":        set("Service", "UMask", "0077"),
		"another OOM score":    set("Service", "OOMScoreAdjust", "300"),
		"another rlimit":       set("Service", "LimitNOFILE", "4096"),
		"no kill":              set("Service", "SendSIGKILL", "no"),
		"a kill that is none":  set("Service", "FinalKillSignal", "SIGQUIT"),
		"a stop signal":        set("Service", "KillSignal", "SIGHUP"),
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

// What is refused by its name is a directive, of some systemd.
func TestHarmfulIsKnown(t *testing.T) {
	for _, name := range harmful {
		if !configs.KnownDirective("service", name) {
			t.Errorf("%s is no directive", name)
		}
	}
}

// systemd makes runtime directories anew and removes them with the unit, so that none may be where the records are.
func TestRuntimeDirectory(t *testing.T) {
	for _, v := range []string{"sdcontainer", "sdcontainer/web", "./sdcontainer/", "a sdcontainer//x", "a:sdcontainer", "a:sdcontainer/x:ro", "%p", "%p/%i", "%j/x", "%P/web", "%J", `"sdcontainer" a`, "'sdcontainer'"} {
		err := permitted(sectionService, "RuntimeDirectory", []string{"a", v})
		if err == nil || !strings.Contains(err.Error(), "a stop would remove the records of containers") {
			t.Errorf("%s: %v, want the reason", v, err)
		}
	}
	if err := permitted(sectionService, "RuntimeDirectory", []string{"", "a", "sdcontainer-web", "a/sdcontainer", "%n", "%p-%i"}); err != nil {
		t.Error(err)
	}
	if err := permitted(sectionService, "StateDirectory", []string{"sdcontainer", "%p/%i"}); err != nil {
		t.Error(err)
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
		if n := strings.Count(fmt.Sprint(err), "needs systemd "); n != 2 || !strings.Contains(err.Error(), "unit file: RestartSteps: needs systemd 254, ") {
			t.Errorf("%+v: %v: want both that it lacks", o, err)
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

// TestNewerValues asks for words that only a newer systemd has for a directive, and for those that all have.
func TestNewerValues(t *testing.T) {
	spec, s := small()
	s.Unit = map[string][]string{"FailureAction": {"soft-reboot"}, "StartLimitAction": {"kexec"}, "SuccessAction": {"reboot"}}
	s.Service, s.Install = map[string][]string{"RestartMode": {"debug"}}, map[string][]string{"UpheldBy": {"a.target"}}
	_, err := Service(spec, s, Options{})
	for _, want := range []string{"FailureAction=soft-reboot: needs systemd 254, ", "StartLimitAction=kexec: needs systemd 254, ", "UpheldBy: needs systemd 254, ", "RestartMode=debug: needs systemd 257, "} {
		if !errors.Is(err, scope.ErrUnsupported) || !strings.Contains(err.Error(), "unit file: "+want) || strings.Contains(err.Error(), "SuccessAction") {
			t.Errorf("strict: %v, want %q", err, want)
		}
	}
	s.Strict = false
	text, err := Service(spec, s, Options{Version: 254})
	if err != nil || strings.Contains(text, "\nRestartMode=") || !strings.Contains(text, "# RestartMode=debug is left out: it needs systemd 257, ") || !strings.Contains(text, "\nFailureAction=soft-reboot\n") {
		t.Errorf("254: %v\n%s", err, text)
	}
	text, err = Service(spec, s, Options{Version: Newest})
	if err != nil || !strings.Contains(text, "\n# RestartMode=debug needs systemd 257.\n") || !strings.Contains(text, "\nUpheldBy=a.target\n") {
		t.Errorf("newest: %v\n%s", err, text)
	}
}

// What never ends is written as systemd has it, by its own name too.
func TestStopsNever(t *testing.T) {
	for name, s := range map[string]configs.Settings{
		"setting": {StopTimeout: math.MaxInt64}, "property": {UnitProperties: map[string]string{"TimeoutStopUSec": "18446744073709551615"}},
	} {
		got, err := service(t, func(_ *specs.Spec, set *configs.Settings) {
			set.StopTimeout, set.UnitProperties = s.StopTimeout, s.UnitProperties
		})
		if d := cmp.Diff([]string{"infinity"}, got["Service.TimeoutStopSec"]); d != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
}

func TestOverrides(t *testing.T) {
	got, err := service(t, func(_ *specs.Spec, s *configs.Settings) {
		s.StopSignal, s.StopTimeout, s.Notify, s.Slice = "SIGRTMIN+3", 90*time.Second, "container", "a-b.slice"
		s.Service = map[string][]string{"SendSIGKILL": {"True"}, "Restart": {"on-failure"}, "OOMPolicy": {"stop"}, "SuccessExitStatus": {"3"}}
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

// The configuration itself may be on a mount, but where it always is.
func TestMountOfTheConfiguration(t *testing.T) {
	got, err := service(t, func(_ *specs.Spec, s *configs.Settings) { s.Source = "/net/conf/web.toml" })
	if want := []string{"/net/conf/web.toml /srv/web"}; err != nil || !slices.Equal(got["Unit.RequiresMountsFor"], want) {
		t.Errorf("%v, %v, want %v", got["Unit.RequiresMountsFor"], err, want)
	}
}

func TestMounts(t *testing.T) {
	got, err := service(t, func(spec *specs.Spec, s *configs.Settings) {
		spec.Root.Path = "rootfs"
		spec.Mounts = []specs.Mount{
			{Type: "bind", Source: "/data", Destination: "/data"}, {Type: "none", Options: []string{"rbind"}, Source: "/srv/x y"},
			{Type: "tmpfs", Source: "tmpfs"}, {Type: "bind", Source: "/data"},
			{Type: "overlay", Options: []string{`lowerdir=/a\:b:/l::/d`, "upperdir=/u", "workdir=/w", "ro"}}, {Type: "overlay", Options: []string{"lowerdir+=/m:n"}},
			{Type: "bind", Source: "/may/fail", Options: []string{"rbind", "x-sdc.optional"}}, // the container goes without
		}
	})
	if want := []string{`/a:b /d /data /etc/sdcontainer/rootfs /l /m:n "/srv/x y" /u /w`}; err != nil || !slices.Equal(got["Unit.RequiresMountsFor"], want) {
		t.Errorf("%v, %v, want %v", got["Unit.RequiresMountsFor"], err, want)
	}
}
