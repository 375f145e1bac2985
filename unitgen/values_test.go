// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

type valueCase struct {
	name           string
	refused, taken []string
}

// allCases are those of all files.
func allCases() []valueCase { return slices.Concat(valueCases, limitCases, wordCases) }

// valueCases are values of directives, those that systemd takes and those that it ignores.
var valueCases = []valueCase{
	{"MemoryMax", []string{"foo", "512m", "200%", "-1", "1.5.5G", "1M 1G", "1001‰", "10001‱", ".5G", "0x10", "1_000"}, []string{"512M", "1.5G", "1G 500M", "50%", "infinity", "100%", "1073741824", "5B", "500‰", "12.5‰", "5000‱", "1K 5", "5.", "+5G", "0x10%"}},
	{"MemoryLow", []string{"lots"}, []string{"0", "12.25%"}},
	{"TasksMax", []string{"200%", "0", "many", "1001‰", "08", "1_0", "0.555%", "5.%"}, []string{"5", "20%", "infinity", "0x10", "500‰", "0b11", "0o17", "+5"}},
	{"CPUQuota", []string{"abc", "50", "0%", "infinity", ".5%", "0‰", "1.55‰", "1.5‱", "5 %"}, []string{"50%", "1250%", "0.5%", "1500‰", "1.5‰", "5‱"}},
	{"CPUQuotaPeriodSec", []string{"x"}, []string{"10ms"}},
	{"CPUWeight", []string{"20000", "0", "much", "IDLE", "0x2711"}, []string{"idle", "1", "10000", "0x64"}},
	{"StartupIOWeight", []string{"idle", "10001", "0x"}, []string{"100", "0144"}},
	{"CPUAccounting", []string{"maybe", "2"}, []string{"yes", "ON", "0", "f"}},
	{"OOMPolicy", []string{"foo"}, []string{"kill"}},
	{"DevicePolicy", []string{"open"}, []string{"closed"}},
	{"RestartKillSignal", []string{"SIGFOO", "70", "SIG15", "kill", "stop", "sigkill", "Kill", "08", "-9", "0", "65", "SIGSIGKILL", "RTMIN+", "RTMIN-1", "RTMIN++3", "RTMIN+08", "RTMIN+31", "RTMAX--1",
		"RTMAX-31", "RTMAX+1", "IOT", "SIG", "SIG0x9", "SIG+9", "rtmin+3", "1_0", "%i"}, []string{"SIGTERM", "TERM", "RTMIN+3", "15", "0x10", "010", "+9", "0b11", "RTMIN", "SIGRTMAX", "RTMAX-3", "RTMIN+0x1", "RTMIN+010", "64", "IO"}},
	{"WatchdogSignal", []string{"abrt"}, []string{"0x6"}},
	{"SuccessExitStatus", []string{"kill", "08", "sigterm", "SIG15"}, []string{"KILL 010 0x10 SIGTERM RTMIN+3"}},
	{"RestartPreventExitStatus", []string{"1 term"}, []string{"1 TERM"}},
	{"Restart", []string{"foo", "yes"}, []string{"no", "always", "on-abnormal"}},
	{"IOWeight", []string{"0", "infinity"}, []string{"0x64"}},
	{"ExitType", []string{"x"}, []string{"cgroup"}},
	{"IOSchedulingClass", []string{"low", "9", "-1"}, []string{"idle", "2", "4", "8"}},
	{"CPUSchedulingPolicy", []string{"x", "-1", "2147483648"}, []string{"batch", "1", "7"}},
	{"TimeoutStopFailureMode", []string{"x"}, []string{"abort"}},
	{"WatchdogSec", []string{"abc", "5 parsecs", "-1"}, []string{"10s", "1min 30s", "1.5h", "infinity", "5", "2months 3 d", "0"}},
	{"RestartSec", []string{"soon", "5.s", ".s", "12.34.56", "0x5"}, []string{"100ms", ".5s", "1 .5s", "1s.5s", "+5s", "5 5"}},
	{"TimeoutStartSec", []string{"soon"}, []string{"5"}},
	{"Nice", []string{"20", "-21", "low", "08", "1_0"}, []string{"19", "-20", "+5", "-0x10"}},
	{"LogRateLimitBurst", []string{"-1", "x"}, []string{"5"}},
	{"Unit.StartLimitBurst", []string{"x"}, []string{"5"}},
	{"Unit.StartLimitIntervalSec", []string{"x"}, []string{"10s"}},
	{"Unit.StartLimitAction", []string{"x"}, []string{"none"}},
	{"Unit.FailureAction", []string{"x"}, []string{"reboot"}},
	{"Unit.CollectMode", []string{"x"}, []string{"inactive"}},
	{"Unit.JobTimeoutSec", []string{"x"}, []string{"10s"}},
	{"Unit.RefuseManualStop", []string{"x"}, []string{"yes"}},
	{"DisableControllers", []string{"newcontroller"}, []string{"cpu", "io memory"}},
	{"Unit.After", []string{"foo", "basic.target foo"}, []string{"basic.target sysinit.target", "%i.service", "\"basic.target\""}},
	{"Unit.RequiresMountsFor", []string{"srv"}, []string{"/srv /var"}},
	{"Unit.Documentation", []string{"foo"}, []string{"man:true(1)"}},
}

// sectionOf is where a directive of the cases stands.
func sectionOf(name string) (section, directive string) {
	if section, directive, ok := strings.Cut(name, "."); ok {
		return section, directive
	}
	return "Service", name
}

// empties are values that reset a list, unless it has something of ours.
func empties(name string) []string {
	if kept[name] != "" || !list(name) {
		return nil
	}
	return []string{"", " "}
}

func TestValues(t *testing.T) {
	for _, c := range allCases() {
		section, name := sectionOf(c.name)
		number := slices.Index(sectionNames[:], section)
		for _, v := range c.refused {
			err := permitted(number, name, append(empties(name), v))
			told := func(w string) bool {
				return err != nil && strings.Contains(err.Error(), fmt.Sprintf("value %q: want ", w))
			}
			if !told(v) && !slices.ContainsFunc(strings.Fields(v), told) {
				t.Errorf("%s=%s: %v, want the value and what is accepted", name, v, err)
			}
		}
		if err := permitted(number, name, append(empties(name), c.taken...)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is not known here is systemd's to read.
	for _, name := range []string{"ExecStartPre", "SystemCallLog", "ImportCredential", "X-Y"} {
		if err := permitted(sectionService, name, []string{"off"}); err != nil {
			t.Error(err)
		}
	}
}

// A stop signal by its directive would leave SuccessExitStatus= with another one's.
func TestStopSignal(t *testing.T) {
	if err := permitted(sectionService, "KillSignal", []string{"SIGHUP"}); err == nil || !strings.Contains(err.Error(), "set process.stop_signal instead") {
		t.Errorf("%v, want the key", err)
	}
	// As a property it is the scope's too, and what it ends is a success all the same.
	got, err := service(t, func(_ *specs.Spec, s *configs.Settings) { s.UnitProperties = map[string]string{"KillSignal": "12"} })
	if want := []string{"140 SIGUSR2"}; err != nil || !slices.Equal(got["Service.KillSignal"], []string{"SIGUSR2"}) || !slices.Equal(got["Service.SuccessExitStatus"], want) {
		t.Errorf("%v: %v, %v, want SIGUSR2 and %v", err, got["Service.KillSignal"], got["Service.SuccessExitStatus"], want)
	}
}

// No value is none for directives of which systemd would ignore the line, and a default is not replaced by one.
func TestNoValues(t *testing.T) {
	for _, name := range []string{"TimeoutStopSec", "RestartSec", "TimerSlackNSec", "CPUSchedulingPriority", "RuntimeDirectoryMode", "LogRateLimitBurst",
		"RestartKillSignal", "OOMPolicy", "SendSIGKILL", "RestartSteps", "StandardOutput"} {
		if err := permitted(sectionService, name, []string{" "}); err == nil || !strings.Contains(err.Error(), "cannot be empty: want ") {
			t.Errorf("%s: %v, want what it takes", name, err)
		}
	}
	for _, name := range []string{"Nice", "TimeoutAbortSec", "CPUQuota", "MemoryMax", "TasksMax", "KillMode", "Environment", "SuccessExitStatus", "Personality", "CoredumpFilter", "MemoryKSM", "X-A"} {
		if err := permitted(sectionService, name, []string{""}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Words that a newer systemd may take are written on demand, all else is not.
func TestStrangeValues(t *testing.T) {
	spec, s := small()
	for line, want := range map[string]string{
		"RestartMode=future": "want one of normal, direct, debug", "CPUSchedulingPolicy=deadline": "or its number", "TimeoutStopFailureMode=x": "want one of terminate",
		"DisableControllers=cpu newcontroller": `"newcontroller": want one of cpu,`, "OOMPolicy=some": "want one of continue", "RestrictNetworkInterfaces=averyverylongifname": "with up to 15 letters",
		"SocketBindDeny=0": "ports from 1 to 65535", "SocketBindAllow=tcp:0-1023": "ports from 1 to 65535",
		"RestrictNetworkInterfaces=averyverylongifname 0x10": "",
		"MemoryMax=lots": "", "KillMode=none": "", "Restart=no\nKillMode=none": "", "FinalKillSignal=SIGTERM": "", "SendSIGKILL=off": "", "Nice=20": "",
	} {
		name, value, _ := strings.Cut(line, "=")
		s.Service, s.Strict = map[string][]string{name: {value}}, true
		var strange *StrangeValueError
		_, err := Service(spec, s, Options{Version: Newest})
		if errors.As(err, &strange) != (want != "") || strings.Contains(fmt.Sprint(err), "systemd.strict = false accepts it") != (want != "") || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
		s.Strict = false
		text, err := Service(spec, s, Options{Version: Newest})
		if want == "" || strange == nil {
			if err == nil {
				t.Errorf("%s: accepted", line)
			}
			continue
		}
		if note := "# " + name + "=" + strange.Value + " is not a value that every systemd up to 257 takes.\n"; err != nil || !strings.Contains(text, note) || !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s: %v, want it and %q:\n%s", line, err, note, text)
		}
	}
}

// Whatever leaves no process behind may be said of the end.
func TestEnds(t *testing.T) {
	for name, values := range map[string][]string{"KillMode": {"mixed", "control-group"}, "SendSIGKILL": {"yes", "True", "1", "on"}, "FinalKillSignal": {"SIGKILL", "KILL", "9", "011"}} {
		if err := permitted(sectionService, name, values); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, values := range map[string][]string{"KillMode": {"process", "none", "'mixed'", "m%i"}, "SendSIGKILL": {"no", "0", "OFF"}, "FinalKillSignal": {"SIGTERM", "15", "017"}} {
		for _, v := range values {
			if err := permitted(sectionService, name, []string{v}); err == nil || !strings.Contains(err.Error(), "another would leave processes behind") {
				t.Errorf("%s=%s: %v", name, v, err)
			}
		}
	}
}

// The systemd at hand ignores exactly the values that are refused.
func TestRealValues(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	dir, version := t.TempDir(), runningVersion(t)
	var all []string
	lines := map[string]string{}
	add := func(key string, refused bool, value string) {
		section, name := sectionOf(key)
		unit := fmt.Sprintf("sdc-value-%s-%t-%d.service", name, refused, len(all))
		text := fmt.Sprintf("[Unit]\nX-A=b\n[Service]\nExecStart=%s\n[%s]\n%s=%s\n", program, section, name, value)
		if err := os.WriteFile(filepath.Join(dir, unit), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		all, lines[unit] = append(all, unit), name+"="+value
	}
	for _, c := range allCases() {
		section, name := sectionOf(c.name)
		if !configs.KnownDirective(strings.ToLower(section), name) {
			t.Errorf("%s is no directive", name)
		}
		if section == "Install" || slices.Contains([]string{"After", "BindTo", "PropagateReloadTo"}, name) || newerThan(name, "") > version {
			continue // of those it says less than a warning, or only a newer one does
		}
		for _, v := range c.refused {
			add(c.name, true, v)
		}
		for _, v := range c.taken {
			add(c.name, false, v)
		}
	}
	out := verify(t, dir, all...)
	complaint := regexp.MustCompile(`sdc-value-[A-Za-z]+-(true|false)-[0-9]+\.service`)
	told := complaint.FindAllString(out, -1)
	for _, unit := range all {
		if refused := strings.Contains(unit, "-true-"); refused != slices.Contains(told, unit) {
			t.Errorf("%s: refused %t, want what systemd does", lines[unit], refused)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
