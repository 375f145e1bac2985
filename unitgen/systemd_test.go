// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

const manager = "/usr/lib/systemd/systemd"

// E5: what systemd's own parser dumps of each unit it has read is what went in.
func TestSystemdReads(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the manager runs as nobody
		t.Fatal(err)
	}
	target := "[Unit]\nDefaultDependencies=no\n"
	var values []string
	for _, v := range nasty {
		if strings.TrimSpace(v) != v || len(v) > 1000 {
			continue
		}
		spec, s := small()
		spec.Root.Path, s.Description, s.Log.Fields = "/srv/"+v, "is "+v, map[string]string{"A_LABEL": v}
		s.Source = "/etc/x/" + v
		text, err := Service(spec, s, Options{Binary: program})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("sdc-%d.service", len(values))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		target += "Wants=" + name + "\n"
		values = append(values, v)
	}
	if err := os.WriteFile(filepath.Join(dir, "all.target"), []byte(target), 0o644); err != nil {
		t.Fatal(err)
	}
	units := dump(t, dir, "all.target")
	for i, v := range values {
		got := units[fmt.Sprintf("sdc-%d.service", i)]
		for key, want := range map[string]string{
			"Description": "is " + v, "RequiresMountsFor": filepath.Clean("/srv/"+v) + " (origin-file)",
			"Source Path": "/etc/x/" + v, "LogExtraFields": "A_LABEL=" + v,
		} {
			if !slices.Contains(got[key], want) {
				t.Errorf("%q: %s is %q, want %q", v, key, got[key], want)
			}
		}
		// A $ is undoubled when the command is run, which it is not.
		want := []string{program, "run", "--unit", "--name", "web", strings.ReplaceAll("/etc/x/"+v, "$", "$$")}
		if len(got["Command Line"]) != 3 {
			t.Errorf("%q: commands %q, want three", v, got["Command Line"])
		} else if argv, err := words(got["Command Line"][0]); err != nil || !slices.Equal(argv, want) {
			t.Errorf("%q: command %q, want %q", v, argv, want)
		}
	}
}

// dump has the manager read a unit and all it wants, and prints what it understood:
// by unit and key, every value.
func dump(t *testing.T, dir, unit string) map[string]map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), manager, "--test", "--system", "--unit="+unit, "--no-pager")
	cmd.Env = []string{"SYSTEMD_UNIT_PATH=" + dir + ":", "LC_ALL=C.UTF-8"}
	// It refuses to test as root, and others may not read all of a booted system's cgroups.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH}}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd --test: %v\n%s%s", err, out, complaint.String())
	}
	units := map[string]map[string][]string{}
	var current map[string][]string
	for l := range strings.Lines(string(out)) {
		l = strings.TrimSuffix(l, "\n")
		l = strings.Replace(l, "→ ", "-> ", 1) // since 257
		if name, ok := strings.CutPrefix(strings.TrimSpace(l), "-> Unit "); ok {
			current = map[string][]string{}
			units[strings.TrimSuffix(name, ":")] = current
			continue
		}
		if key, value, ok := strings.Cut(strings.TrimLeft(l, "\t"), ": "); ok && current != nil {
			current[key] = append(current[key], value)
		}
	}
	return units
}

// full has a value for every property that may be set by name, as a bundle or
// configuration would write it.
var full = map[string]string{
	"CollectMode": "'inactive-or-failed'", "DefaultDependencies": "true", "Description": "'all'",
	"Documentation": "['https://github.com/sdcontainer/sdcontainer']", "FailureAction": "'none'", "FinalKillSignal": "9", "IgnoreOnIsolate": "true",
	"KillMode": "'mixed'", "KillSignal": "15", "OOMPolicy": "'kill'", "RestartKillSignal": "15", "RuntimeMaxUSec": "uint64 60000000",
	"RuntimeRandomizedExtraUSec": "uint64 1500000", "SendSIGHUP": "true", "SendSIGKILL": "true", "SuccessAction": "'none'",
	"TimeoutStopUSec": "uint64 5000000", "WatchdogSignal": "6",
	"After": "['a.service','b.service']", "Before": "['c.service']", "BindsTo": "['basic.target']", "Conflicts": "['d.service']",
	"JoinsNamespaceOf": "['e.service']", "OnFailure": "['f.service']", "OnSuccess": "['f.service']", "PartOf": "['basic.target']",
	"PropagatesReloadTo": "['g.service']", "PropagatesStopTo": "['g.service']", "ReloadPropagatedFrom": "['g.service']",
	"Requires": "['basic.target']", "RequiresMountsFor": "['/srv/one', '/srv/two words']", "Requisite": "['basic.target']",
	"StopPropagatedFrom": "['g.service']", "Upholds": "['basic.target']", "Wants": "['basic.target']",
	"AllowedCPUs": "[byte 0x0f, 0x01]", "AllowedMemoryNodes": "[byte 0x01]", "CPUAccounting": "true",
	"CPUQuotaPerSecUSec": "uint64 1250000", "CPUQuotaPeriodUSec": "uint64 50000", "CPUWeight": "uint64 150",
	"StartupAllowedCPUs": "[byte 0xff]", "StartupAllowedMemoryNodes": "[byte 0x01]", "StartupCPUWeight": "uint64 20",
	"DefaultMemoryLow": "uint64 1048576", "DefaultMemoryMin": "uint64 1048576", "ManagedOOMMemoryPressure": "'kill'",
	"ManagedOOMMemoryPressureLimit": "uint32 2147483648", "ManagedOOMPreference": "'avoid'", "ManagedOOMSwap": "'kill'",
	"MemoryAccounting": "true", "MemoryHigh": "uint64 1000000", "MemoryLow": "uint64 4096", "MemoryMax": "uint64 536870912",
	"MemoryMin": "uint64 0", "MemorySwapMax": "uint64 0", "TasksAccounting": "true", "TasksMax": "uint64 512",
	"IOAccounting": "true", "IODeviceLatencyTargetUSec": "[('/dev/sda', uint64 25000)]", "IODeviceWeight": "[('/dev/sda', uint64 200)]",
	"IOReadBandwidthMax": "[('/dev/sda', uint64 1000000)]", "IOReadIOPSMax": "[('/dev/sda', uint64 1000)]", "IOWeight": "uint64 200",
	"IOWriteBandwidthMax": "[('/dev/my disk', uint64 1572864)]", "IOWriteIOPSMax": "[('/dev/sda', uint64 1000)]", "StartupIOWeight": "uint64 300",
	"BPFProgram": "[('egress', '/sys/fs/bpf/x')]", "DeviceAllow": "[('/dev/fuse', 'rw'), ('char-pts', 'rwm')]", "DevicePolicy": "'closed'",
	"DisableControllers": "['io']", "IPAccounting": "true", "IPAddressAllow": "[(2, [byte 10,1,2,0], uint32 24)]",
	"IPAddressDeny":      "[(2, [byte 0,0,0,0], uint32 0), (10, [byte 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0], uint32 0)]",
	"IPEgressFilterPath": "['/sys/fs/bpf/e']", "IPIngressFilterPath": "['/sys/fs/bpf/i']",
	"RestrictNetworkInterfaces": "(false, ['eth0', 'eth1'])", "SocketBindAllow": "[(2, 6, uint16 11, uint16 80), (0, 17, uint16 1, uint16 53)]",
	"SocketBindDeny": "[(0, 0, uint16 0, uint16 0)]",
}

// TestDirectives: configurations can have every directive that the running systemd knows, and of the others it is known
// that they are newer.
func TestDirectives(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	out, err := exec.Command(manager, "--dump-configuration-items").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, section := map[string][]string{}, ""
	for line := range strings.Lines(string(out)) {
		if name, _, ok := strings.Cut(line, "="); ok {
			all[section] = append(all[section], name)
		} else if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.Trim(line, "[]"))
		}
	}
	version := runningVersion(t)
	for _, name := range sectionNames {
		section := strings.ToLower(name)
		if len(all[section]) < 5 {
			t.Errorf("[%s]: %q: want more", name, all[section])
		}
		for _, d := range all[section] {
			if !configs.KnownDirective(section, d) {
				t.Errorf("[%s]: %s is not in configs/directives.txt", name, d)
			}
		}
		for _, d := range configs.Directives(section) {
			if need := newerThan(d, ""); version <= configs.DirectivesOf && !slices.Contains(harmful, d) && slices.Contains(all[section], d) != (need <= version) {
				t.Errorf("[%s]: systemd %d knows %s: %t, said to need %d", name, version, d, need > version, need)
			}
		}
	}
}

// TestSystemdReadsLimits has systemd accept every property in its unit file
// spelling, and understand the numbers.
func TestSystemdReadsLimits(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	spec, s := small()
	s.UnitProperties = map[string]string{}
	for _, p := range scope.Properties() {
		value, ok := full[p.Name]
		switch {
		case value != "":
			s.UnitProperties[p.Name] = value
		case !ok && p.Since <= Floor && !strings.HasSuffix(p.Name, "Scale") && !slices.Contains(notByName, p.Name):
			t.Errorf("%s: no value to try", p.Name)
		}
	}
	text, err := Service(spec, s, Options{Binary: program})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the manager runs as nobody
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sdc-full.service"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := verify(t, dir, "sdc-full.service"); out != "" {
		t.Errorf("%s\n%s", out, text)
	}
	got := dump(t, dir, "sdc-full.service")["sdc-full.service"]
	for key, want := range map[string]string{
		"MemoryMax": "536870912", "MemoryHigh": "1000000", "MemorySwapMax": "0", "TasksMax": "512", "CPUWeight": "150",
		"CPUQuotaPerSecSec": "1.250000s", "CPUQuotaPeriodSec": "50ms", "AllowedCPUs": "0-3 8", "OOMPolicy": "kill",
		"DeviceAllow": "/dev/fuse rw", "IODeviceWeight": "/dev/sda 200", "IODeviceLatencyTargetSec": "/dev/sda 25ms",
		"IPAddressAllow": "10.1.2.0/24", "IOWriteBandwidthMax": "/dev/my disk 1.5M", "RequiresMountsFor": "/srv/two words (origin-file)",
		"TimeoutStopSec": "5s", "RuntimeMaxSec": "1min", "KillMode": "mixed",
	} {
		if !slices.Contains(got[key], want) {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

// notByName are properties that only the program itself sets.
var notByName = []string{"AddRef", "Controller", "Delegate", "DelegateControllers", "DelegateSubgroup", "Group", "PIDs", "Slice", "User"}
