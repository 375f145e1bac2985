// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// samples are values that are not the defaults; with what a key needs beside it,
// and what stands in its place in the file without it.
var samples = map[string]struct{ value, beside, without string }{
	"name": {`"other"`, "", ""}, "description": {`"x"`, "", ""},
	"rootfs.path": {`"/elsewhere"`, "", "rootfs.path = '/srv/root'\n"}, "rootfs.read_only": {"true", "", ""}, "rootfs.propagation": {`"rslave"`, "", ""}, "rootfs.idmap": {"false", "", ""},
	"process.args": {`["/bin/false"]`, "", "process.args = ['/bin/true']\n"}, "process.cwd": {`"/tmp"`, "", ""}, "process.user": {`"app"`, "", ""}, "process.groups": {"[5]", "", ""},
	"process.umask": {`"0077"`, "", ""}, "process.env": {`{ A = "b" }`, "", ""}, "process.env_files": {`["vars"]`, "", ""}, "process.env_pass": {`["PASSED"]`, "", ""},
	"process.terminal": {"true", "", ""}, "process.init": {"true", "", ""}, "process.no_new_privileges": {"false", "", ""}, "process.oom_score_adj": {"5", "", ""},
	"process.rlimits": {"{ cpu = 5 }", "", ""}, "process.nice": {"5", "", ""}, "process.scheduler": {`"batch"`, "", ""}, "process.io_class": {`"idle"`, "", ""},
	"process.exec_cpus": {`"0"`, "", ""}, "process.stop_signal": {`"SIGINT"`, "", ""}, "process.parent_death_signal": {`"SIGTERM"`, "", ""},
	"capabilities.preset": {`"none"`, "", ""}, "capabilities.add": {`["NET_RAW"]`, "", ""}, "capabilities.drop": {`["CHOWN"]`, "", ""}, "capabilities.ambient": {`["CHOWN"]`, "", ""},
	"capabilities.bounding": {`["CHOWN"]`, "", ""}, "capabilities.effective": {`["CHOWN"]`, "", ""}, "capabilities.permitted": {`["CHOWN"]`, "", ""}, "capabilities.inheritable": {`["CHOWN"]`, "", ""},
	"namespaces.pid": {`"host"`, "", ""}, "namespaces.ipc": {`"host"`, "", ""}, "namespaces.uts": {`"path:/proc/1/ns/uts"`, "", ""}, "namespaces.cgroup": {`"host"`, "", ""}, "namespaces.time": {`"private"`, "", ""}, "namespaces.mount": {`"path:/run/ns/mnt"`, "", ""},
	"userns.mode": {`"path:/proc/1/ns/user"`, "", ""}, "userns.size": {"1000", "", ""},
	"userns.uid_map":   {`["0:2000:1"]`, "userns.mode = 'manual'\nuserns.gid_map = ['0:1:5']\n", "userns.uid_map = ['0:1:5']\n"},
	"userns.gid_map":   {`["0:2000:1"]`, "userns.mode = 'manual'\nuserns.uid_map = ['0:1:5']\n", "userns.gid_map = ['0:1:5']\n"},
	"mount[].type":     {`"tmpfs"`, "target = '/t'\n", "source = '/a'\n"},
	"mount[].source":   {`"/other"`, "target = '/t'\n", "source = '/a'\n"},
	"mount[].target":   {`"/other"`, "source = '/a'\n", "target = '/t'\n"},
	"mount[].optional": {"true", "target = '/t'\nsource = '/a'\n", ""}, "mount[].create": {`"dir"`, "target = '/t'\nsource = '/a'\n", ""}, "mount[].propagation": {`"rslave"`, "target = '/t'\nsource = '/a'\n", ""},
	"mount[].read_only": {"true", "target = '/t'\nsource = '/a'\n", ""}, "mount[].recursive": {"false", "target = '/t'\nsource = '/a'\n", ""}, "mount[].idmap": {"true", "target = '/t'\nsource = '/a'\n", ""},
	"mount[].size": {`"5M"`, "target = '/t'\ntype = 'tmpfs'\n", ""}, "mount[].mode": {`"0700"`, "target = '/t'\ntype = 'tmpfs'\n", ""}, "mount[].options": {`["noexec"]`, "target = '/t'\nsource = '/a'\n", ""},
	"mount[].lower": {`["/l", "/m"]`, "target = '/t'\ntype = 'overlay'\n", "lower = ['/x', '/y']\n"}, "mount[].upper": {`"/u"`, "target = '/t'\ntype = 'overlay'\nlower = ['/l']\nwork = '/w'\n", "upper = '/old'\n"},
	"mount[].work": {`"/u"`, "target = '/t'\ntype = 'overlay'\nlower = ['/l']\nupper = '/w'\n", "work = '/old'\n"}, "mount[].fstype": {`"proc"`, "target = '/t'\ntype = 'raw'\n", "fstype = 'sysfs'\n"},
	"device[].path": {`"/dev/full"`, "", "path = '/dev/null'\n"}, "device[].target": {`"/dev/other"`, "path = '/dev/zero'\n", ""}, "device[].access": {`"m"`, "path = '/dev/x'\ntype = 'c'\nmajor = 1\nminor = 2\n", ""},
	"device[].type": {`"b"`, "path = '/dev/x'\nmajor = 1\nminor = 2\n", "type = 'c'\n"}, "device[].major": {"77", "path = '/dev/x'\ntype = 'c'\nminor = 2\n", "major = 1\n"}, "device[].minor": {"77", "path = '/dev/x'\ntype = 'c'\nmajor = 2\n", "minor = 1\n"},
	"network.mode": {`"host"`, "", ""}, "network.hostname": {`"other"`, "", ""}, "network.domainname": {`"other"`, "", ""}, "network.allow": {`["localhost"]`, "", ""}, "network.deny": {`["any"]`, "", ""},
	"resources.tasks": {"5", "", ""}, "resources.memory.max": {`"5M"`, "", ""}, "resources.memory.high": {`"50%"`, "", ""}, "resources.memory.low": {`"5M"`, "", ""}, "resources.memory.min": {`"5M"`, "", ""},
	"resources.memory.swap_max": {"0", "", ""}, "resources.memory.zswap_max": {`"infinity"`, "", ""}, "resources.memory.oom_policy": {`"continue"`, "", ""},
	"resources.memory.managed_oom_pressure": {`"kill"`, "", ""}, "resources.memory.managed_oom_swap": {`"kill"`, "", ""}, "resources.memory.managed_oom_preference": {`"omit"`, "", ""},
	"resources.memory.managed_oom_pressure_limit": {`"50%"`, "resources.memory.managed_oom_pressure = 'kill'\n", ""},
	"resources.cpu.quota":                         {`"50%"`, "", ""}, "resources.cpu.period": {`"10ms"`, "resources.cpu.quota = '50%'\n", ""}, "resources.cpu.burst": {`"10ms"`, "resources.cpu.quota = '50%'\n", ""},
	"resources.cpu.weight": {`"idle"`, "", ""}, "resources.cpu.cpus": {`"0"`, "", ""}, "resources.cpu.mems": {`"0"`, "", ""}, "resources.io.weight": {"5", "", ""},
	"resources.io.read_bps": {`{ "/dev/x" = "5M" }`, "", ""}, "resources.io.write_bps": {`{ "/dev/x" = "5M" }`, "", ""}, "resources.io.read_iops": {`{ "/dev/x" = 5 }`, "", ""},
	"resources.io.write_iops": {`{ "/dev/x" = 5 }`, "", ""}, "resources.io.latency": {`{ "/dev/x" = "5ms" }`, "", ""}, "resources.hugepages": {`{ 2MB = "64M" }`, "", ""},
	"resources.unified": {`{ "misc.max" = "res 5" }`, "", ""},
	"security.profile":  {`"system"`, "", ""}, "security.seccomp": {`"unconfined"`, "", ""}, "security.mask": {`["/x"]`, "", ""}, "security.unmask": {`["/proc/acpi"]`, "", ""},
	"security.read_only_paths": {`["/x"]`, "", ""}, "security.sysctl": {`{ "net.ipv4.ip_forward" = 1 }`, "", ""}, "security.device_policy": {`"strict"`, "", ""}, "security.personality": {`"LINUX32"`, "", ""},
	"systemd.slice": {`"x.slice"`, "", ""}, "systemd.strict": {"false", "", ""}, "systemd.notify": {`"container"`, "", ""}, "systemd.stop_timeout": {`"1s"`, "", ""}, "systemd.runtime_max": {`"1s"`, "", ""},
	"systemd.restart": {`"always"`, "", ""}, "systemd.restart_delay": {`"1s"`, "", ""}, "systemd.start_limit": {`"5/10s"`, "", ""}, "systemd.start_timeout": {`"1s"`, "", ""},
	"systemd.wanted_by": {`["x.target"]`, "", ""}, "systemd.after": {`["x.target"]`, "", ""}, "systemd.wants": {`["x.target"]`, "", ""}, "systemd.requires": {`["x.target"]`, "", ""}, "systemd.before": {`["x.target"]`, "", ""},
	"systemd.binds_to": {`["x.target"]`, "", ""}, "systemd.part_of": {`["x.target"]`, "", ""}, "systemd.conflicts": {`["x.target"]`, "", ""},
	"systemd.unit": {`{ X-A = "x" }`, "", ""}, "systemd.service": {`{ X-A = "x" }`, "", ""}, "systemd.install": {`{ X-A = "x" }`, "", ""}, "systemd.scope": {`{ CPUWeight = 5 }`, "", ""},
	"log.driver": {`"none"`, "", ""}, "log.identifier": {`"other"`, "", ""}, "log.stdout_level": {`"debug"`, "", ""}, "log.stderr_level": {`"debug"`, "", ""}, "log.level_prefix": {"true", "", ""}, "log.fields": {`{ A = "x" }`, "", ""},
}

// opening is the text a key stands below, and the key as it is written there.
func opening(path string) (text, key string) {
	text = "version = 1\n"
	if path != "rootfs.path" {
		text += "rootfs.path = '/srv/root'\n"
	}
	if path != "process.args" {
		text += "process.args = ['/bin/true']\n"
	}
	if key, ok := strings.CutPrefix(path, "mount[]."); ok {
		return text + "[[mount]]\n", key
	}
	if key, ok := strings.CutPrefix(path, "device[]."); ok {
		return text + "userns.mode = 'none'\n[[device]]\n", key
	}
	return text, path
}

// textOf is the Spec of a document as text.
func textOf(t *testing.T, doc string) string {
	t.Helper()
	dir := write(t, "x.toml", doc, "vars", "FROM=file\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{Env: func(k string) (string, bool) { return "caller", k == "PASSED" }})
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), dir, "DIR")
}

// No key is accepted and ignored: each of them changes what the file compiles to.
func TestEveryKeyHasAnEffect(t *testing.T) {
	for _, k := range Keys() {
		if k.Path == "version" {
			continue
		}
		t.Run(k.Path, func(t *testing.T) {
			s, ok := samples[k.Path]
			if !ok {
				t.Fatal("no sample")
			}
			text, key := opening(k.Path)
			with := text + s.beside + key + " = " + s.value + "\n"
			if textOf(t, with) == textOf(t, text+s.beside+s.without) {
				t.Errorf("no effect:\n%s", with)
			}
		})
	}
}

// A wrong type is told at the key, once, whatever the key. No key is a date.
func TestEveryKeyHasAType(t *testing.T) {
	for _, k := range Keys() {
		text, key := opening(k.Path)
		if k.Path == "version" {
			text = ""
		}
		found := 0
		for _, p := range problemsOf(t, "x.toml", text+key+" = 1979-05-27\n") {
			if strings.Contains(p, ": "+strings.ReplaceAll(k.Path, "[]", "")+": ") {
				found++
			}
			if strings.Contains(p, "1979-05-27") != strings.Contains(p, "want ") {
				t.Errorf("%s: %s", k.Path, p)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d problems", k.Path, found)
		}
	}
}

// elsewhereDefault are the keys whose default is that of systemd, of the kernel or of a planner.
var elsewhereDefault = map[string]bool{
	"rootfs.propagation": true, "resources.cpu.period": true, "resources.cpu.weight": true, "resources.io.weight": true,
	"systemd.restart": true, "systemd.restart_delay": true, "systemd.wanted_by": true,
}

// What the pages have for a default changes nothing, in either profile.
func TestDefaultsAreThose(t *testing.T) {
	for _, k := range Keys() {
		value := k.Default
		if k.Kind.Name == "time" {
			value = strconv.Quote(value)
		}
		if _, err := toml.Decode("x = "+value, new(any)); err != nil || k.Default == "" {
			continue
		}
		for _, profile := range []string{ProfileApp, ProfileSystem} {
			text, key := opening(k.Path)
			beside := samples[k.Path].beside
			switch k.Path {
			case "mount[].type":
				beside = "target = '/t'\nsource = '/a'\n"
			case "device[].access":
				beside, text = "path = '/dev/fuse'\ntype = 'c'\nmajor = 10\nminor = 229\n", strings.Replace(text, "userns.mode = 'none'\n", "", 1)
			case "security.profile":
				profile = ProfileApp
			}
			if profile != ProfileApp {
				text = strings.Replace(text, "version = 1\n", "version = 1\nsecurity.profile = '"+profile+"'\n", 1)
			}
			with, without := textOf(t, text+beside+key+" = "+value+"\n"), textOf(t, text+beside)
			if with != without != elsewhereDefault[k.Path] {
				t.Errorf("%s = %s is not the default of profile %s", k.Path, value, profile)
			}
		}
	}
}
