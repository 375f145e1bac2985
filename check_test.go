// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// What only the planners know is found by Check, too, with its place where it has one.
func TestCheck(t *testing.T) {
	const minimal = "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n"
	for more, want := range map[string]string{
		"": "",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['nonsense']": `7:12: mount.options: unknown option "nonsense"`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['size=3Q', 'mode=9', 'nr_inodes=x', 'uid=root']": "7:12: mount.options: option \"size=3Q\": want a whole number of bytes\n" +
			"7:23: mount.options: option \"mode=9\": want an octal mode\n7:33: mount.options: option \"nr_inodes=x\": want a whole number, like\n7:48: mount.options: option \"uid=root\": want a number",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['size=3%%', 'nr_blocks=2k', 'uid=5', 'gid=0']":           "",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['noexec', 'bind', 'rww']":                                "7:22: mount.options: \"bind\": does not go with type \"tmpfs\"\n7:30: mount.options: unknown option \"rww\"",
		"[[mount]]\ntype = 'raw'\nfstype = 'proc'\ntarget = '/x'\noptions = ['rbind']":                                 "8:12: mount.options: \"rbind\": does not go with type \"raw\"",
		"[[mount]]\ntype = 'overlay'\nlower = ['/', '/usr']\ntarget = '/x'\noptions = ['rbind']":                       "8:12: mount.options: \"rbind\": does not go with type \"overlay\"",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['nodve']":                                                `7:12: mount.options: unknown option "nodve"; did you mean "nodev"?`,
		"[[mount]]\nsource = '.'\ntarget = '/x'\noptions = ['dirsyn', 'foo']":                                          "7:12: mount.options: unknown option \"dirsyn\": want one of atime\n7:22: mount.options: unknown option \"foo\": want one of atime",
		"[[mount]]\ntype = 'tmpfss'\ntarget = '/x'\noptions = ['bind']":                                                "5:1: mount.type: \"tmpfss\": want",
		"[[mount]]\nsource = '/nothing'\ntarget = '/x'\noptions = ['rww']":                                             "5:1: mount.source: \"/nothing\": no such file\n7:12: mount.options: unknown option \"rww\"",
		"[[mount]]\nsource = '.'\ntarget = 'x'\noptions = ['ro', 'rww']":                                               "6:1: mount.target: \"x\": want an absolute path\n7:18: mount.options: unknown option \"rww\"",
		"[[mount]]\ntype = 'tmpfs'\nsize = 'x'\noptions = ['rww']\n":                                                   "4:1: mount.target: missing\n6:1: mount.size: \"x\": want\n7:12: mount.options: unknown option \"rww\"",
		"[[mount]]\ntype = 'nothing'\ntarget = '/x'\noptions = ['rww']":                                                "5:1: mount.type: \"nothing\": want",
		"[[mount]]\nsource = '.'\ntarget = '/proc/x'":                                                                  `6:1: mount.target: "/proc/x": would hide a part of proc`,
		"[[mount]]\ntype = 'raw'\nfstype = 'ext9'\ntarget = '/x'":                                                      `6:1: mount.fstype: "ext9": want bind or one of`,
		"[[mount]]\ntype = 'raw'\nfstype = 'debugfs'\ntarget = '/x'":                                                   `7:1: mount.target: "/x": the kernel mounts debugfs in no user namespace: bind the host's (type = "bind")`,
		"[[mount]]\ntype = 'overlay'\nlower = ['/', '/usr']\ntarget = '/x'\noptions = ['metacopy=on']":                 `8:12: mount.options: option "metacopy=on": the kernel gives it to no user namespace (leave it out, or set userns`,
		"userns.mode = 'none'\n[[mount]]\ntype = 'tmpfs'\ntarget = '/dev'":                                             `7:1: mount.target: "/dev": is nodev: the device /dev/null`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/dev'":                                                                   "",
		"userns.mode = 'none'\n[[mount]]\ntype = 'tmpfs'\ntarget = '/dev'\noptions = ['dev']":                          "",
		"namespaces.pid = 'host'\n[[mount]]\ntype = 'raw'\nfstype = 'proc'\ntarget = '/proc'\noptions = ['hidepid=2']": `9:12: mount.options: option "hidepid=2": without a pid namespace of its own`,
		"[[mount]]\nsource = '.'\ntarget = '/proc'\n[[mount]]\nsource = '.'\ntarget = '/sys'":                          "6:1: mount.target: \"/proc\": is for type proc\n9:1: mount.target: \"/sys\": is for type sysfs",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['huge=baz', 'mpol=baz:0', 'noswap=1', 'uid=70000', 'gid=7']": "7:12: mount.options: option \"huge=baz\": want huge= with one of never,\n" +
			"7:24: mount.options: option \"mpol=baz:0\": want a policy of default, prefer\n7:38: mount.options: option \"noswap=1\": want noswap without a value\n" +
			"7:50: mount.options: 70000: is not among the ids of the user namespace, 0-65535",
		"[[mount]]\nsource = '.'\ntarget = '/x'\noptions = ['foo=5', 'noauto']\ncreate = 'dir:999'":                                "7:12: mount.options: unknown option \"foo=5\"\n7:21: mount.options: unknown option \"noauto\"\n8:1: mount.create: \"dir:999\": want",
		"[[mount]]\nsource = '.'\ntarget = '/x'\noptions = ['foo']\noptional = true\ncreate = 'dir'":                               "7:12: mount.options: unknown option \"foo\"\n9:1: mount.create: goes with optional = false",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['noswap', 'foo', 'a,b']":                                             "7:12: mount.options: option \"noswap\": the kernel gives it to no user namespace\n7:22: mount.options: unknown option \"foo\"\n7:29: mount.options: \"a,b\": want one option in each",
		"[[mount]]\ntype = 'overlay'\ntarget = '/x'\noptions = ['foo']":                                                            "4:1: mount.lower: missing\n7:12: mount.options: unknown option \"foo\"",
		"[[mount]]\ntype = 'overlay'\nlower = ['/']\nupper = '/tmp'\ntarget = '/x'\noptions = ['foo', 'metacopy=on', 'verity=on']": "7:1: mount.upper: upper and work go together\n9:12: mount.options: unknown option \"foo\"\n9:19: mount.options: option \"metacopy=on\": the kernel gives\n9:34: mount.options: option \"verity=on\": the kernel gives",
		"[[mount]]\ntype = 'overlay'\nlower = ['/', '/usr']\ntarget = '/x'\noptions = ['redirect_dir=foo', 'xino=auto', 'index']": "8:12: mount.options: option \"redirect_dir=foo\": want redirect_dir= with\n" +
			"8:45: mount.options: option \"index\": want index= with one of on, off",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\noptions = ['huge=never', 'mpol=bind=static:0']": "",
		"[[mount]]\ntype = 'raw'\nfstype = 'bind'\nsource = '/'\ntarget = '/x'":                    `6:1: mount.fstype: "bind": want type = "bind" instead`,
		"systemd.scope.MemoryMaxx = 5":        `4:15: systemd.scope.MemoryMaxx: property "MemoryMaxx": unknown (did you mean MemoryMax?)`,
		"systemd.scope.MemoryMax = 'lots'":    `4:15: systemd.scope.MemoryMax: property MemoryMax: value`,
		"systemd.scope.KillMode = \"'none'\"": `4:15: systemd.scope.KillMode: property KillMode: value "none": want control-group or mixed: another would leave processes behind`,
		"systemd.scope = { CPUWeight = 20000, After = \"['foo']\", SendSIGKILL = false }": "4:19: systemd.scope.CPUWeight: property CPUWeight: value 20000: want 1 to 10000, or 0 for idle\n" +
			"4:38: systemd.scope.After: property After: value \"foo\": want a unit name such as\n4:57: systemd.scope.SendSIGKILL: property SendSIGKILL: value false: want true",
		"[systemd.service]\nMemoryMax = 'foo'\nRestart = 'foo'\nTasksMax = '50%'\nWatchdogSec = ['5s', 'abc']\n": "5:1: systemd.service.MemoryMax: value \"foo\": want a size like\n" +
			"6:1: systemd.service.Restart: value \"foo\": want one of no, always\n8:1: systemd.service.WatchdogSec: value \"abc\": want a time like",
		"systemd.service.WatchdogSec = ['0', '5s']":                            `4:17: systemd.service.WatchdogSec: "5s": the payload has no socket to answer on`,
		"systemd.service.WatchdogSec = ['5s', '0 min']":                        "",
		"systemd.service.WatchdogSec = 'infinity'":                             "",
		"systemd = { notify = 'container', service = { WatchdogSec = '5s' } }": "",
		"systemd = { notify = 'containr', service = { WatchdogSec = '5s' } }":  `4:13: systemd.notify: "containr": want`,
		"systemd.service.MemoryPressureWatch = 'on'":                           `4:17: systemd.service.MemoryPressureWatch: cannot be set: the payload is not told, and could not watch: but for root in`,
		"systemd.scope.MemoryPressureThresholdUSec = 1":                        `4:15: systemd.scope.MemoryPressureThresholdUSec: property MemoryPressureThresholdUSec: not to be set: the payload is not told, and could not watch`,
		"systemd.service.WorkingDirectory = '/nosuch'":                         `4:17: systemd.service.WorkingDirectory: cannot be set: set process.cwd instead`,
		"systemd.scope.CollectMode = 'inactive'":                               `4:15: systemd.scope.CollectMode: property CollectMode: "inactive": want inactive-or-failed: a failed unit would`,
		"systemd.scope.CollectMode = 'inactive-or-failed'":                     "",
		"systemd.unit.CollectMode = 'inactive'":                                "", // the name of a service is its own for ever
		"systemd.scope.PIDFDs = '[1]'":                                         `4:15: systemd.scope.PIDFDs: property PIDFDs: not to be set: the start knows`,
		"systemd.scope.Slice = 'x.slice'":                                      `4:15: systemd.scope.Slice: property Slice: not to be set`,
		"[resources.unified]\n'memory.max' = 'lots'":                           `5:1: resources.unified.memory.max: "lots": want bytes or max`,
		"[resources.unified]\n'rdma.max' = 'abc'\n'misc.max' = 5\n'hugetlb.2MB.max' = 'max'\n'dmem.max' = 'zz'\n": "5:1: resources.unified.rdma.max: \"abc\": want a device with\n" +
			"6:1: resources.unified.misc.max: \"5\": want NAME and a number or max\n8:1: resources.unified.dmem.max: \"zz\": want REGION and bytes or max",
		"no = 1\n[resources.unified]\n'pids.max' = 'x'\n'cpu.weight' = 5\n'memory.oom.group' = 2\n'io.max' = '8:0 x=1'\n'foo.bar' = 1\n'cpu.max.burst' = 9": "4:1: no: unknown key\n" +
			"6:1: resources.unified.pids.max: \"x\": want a number or max\n8:1: resources.unified.memory.oom.group: \"2\": want 0 or 1\n" +
			"9:1: resources.unified.io.max: \"x=1\": want rbps\n10:1: resources.unified.foo.bar: want one of a cgroup v2\n11:1: resources.unified.cpu.max.burst: \"9\": want",
		"network.mode = 'path:/proc/self/ns/net'\nsecurity.sysctl = { 'net.a' = 1 }": "4:9: network.mode: network namespace: /proc/self/ns/net is the host's\n" +
			"5:21: security.sysctl.net.a: is for the root of the user namespace that owns the network namespace: join that too (userns.mode =",
		"security.mask = ['/x', '/sys/fs/cgroup/x']":                                                                 `4:24: security.mask: "/sys/fs/cgroup/x": lies in the cgroup mount`,
		"security.read_only_paths = ['/sys/fs/cgroup/x', '/sys/fs/cgroup/%n/y']":                                     "4:29: security.read_only_paths: \"/sys/fs/cgroup/x\": lies in\n4:49: security.read_only_paths: \"/sys/fs/cgroup/x/y\": lies in",
		"security.mask = ['%Q', '/sys/fs/cgroup/x']":                                                                 "4:18: security.mask: \"%Q\": unknown specifier\n4:24: security.mask: \"/sys/fs/cgroup/x\": lies in",
		"namespaces.ipc = 'path:/proc/self/ns/ipc'":                                                                  `4:12: namespaces.ipc: mount mqueue on /dev/mqueue shows it`,
		"security.sysctl = { 'net.a' = '', 'net.b..c' = 1, 'net.d' = 1 }":                                            "4:21: security.sysctl.net.a: value of 0 bytes\n4:35: security.sysctl.net.b..c: not a name",
		"security.seccomp = 'notify.json'":                                                                           `4:10: security.seccomp: "notify.json": seccomp: syscalls[0]: action SCMP_ACT_NOTIFY is not supported`,
		"security.seccomp = 'none.json'":                                                                             "4:10: security.seccomp: \"none.json\": seccomp: syscalls[0].names: at least one is needed",
		"[[mount]]\ntype = 'raw'\nfstype = 'cgroup2'\ntarget = '/x'":                                                 `7:1: mount.target: "/x": there is a cgroup mount on /sys/fs/cgroup already`,
		"[[mount]]\nsource = '.'\ntarget = '/sys/fs/cgroup/x'":                                                       `6:1: mount.target: "/sys/fs/cgroup/x": lies below the cgroup mount`,
		"[[device]]\npath = '/sys/x'\ntype = 'c'\nmajor = 1\nminor = 3":                                              `5:1: device.path: "/sys/x": a device in /proc or /sys cannot be made`,
		"userns.mode = 'none'\n[[device]]\npath = '/dev/null'\ntarget = '/proc//x'":                                  `7:1: device.target: "/proc/x": a device in /proc or /sys cannot be made`,
		"device = [{ path = '/dev/null' }, { path = '/dev/null' }]":                                                  `4:37: device.path: "/dev/null": is the place of another`,
		"systemd.service.ExecStart = '/bin/x'":                                                                       `4:17: systemd.service.ExecStart: cannot be set`,
		"systemd.scope.KillSignal = 99":                                                                              `4:15: systemd.scope.KillSignal: property KillSignal: value 99: want`,
		"network = { hostname = '" + strings.Repeat("h", 65) + "', domainname = '" + strings.Repeat("d", 65) + "' }": "4:13: network.hostname: \"" + strings.Repeat("h", 65) + "\": want at most 64 letters\n4:93: network.domainname: longer than the kernel's 64 bytes",
		"network.domainname = '" + strings.Repeat("d", 65) + "'":                                                     "4:9: network.domainname: longer than the kernel's 64 bytes",
		"resources.memory.zswap_max = '10M'":                                                                         "",
		"systemd.service.ExecStopPost = ''":                                                                          `4:17: systemd.service.ExecStopPost: cannot be empty: it would forget the clean-up`,
		"process.exec_cpus = '1-3'\nresources.cpu.cpus = '0,8'":                                                      `4:9: process.exec_cpus: "1-3": none of the container's, which has "0,8" (AllowedCPUs=)`,
		"process.exec_cpus = '1'\nresources.unified = { 'cpuset.cpus' = '0' }":                                       `4:9: process.exec_cpus: "1": none of the container's, which has "0" (AllowedCPUs=)`,
		"process.exec_cpus = '1'\nsystemd.scope.AllowedCPUs = '[byte 1]'":                                            `4:9: process.exec_cpus: "1": none of the container's, which has "0" (AllowedCPUs=)`,
		"process.exec_cpus = '0'\nsystemd.scope.AllowedCPUs = '[byte 0]'":                                            "",
		"process.terminal = true\nsystemd.scope.DeviceAllow = \"[('/dev/fuse', 'r')]\"":                              `5:15: systemd.scope.DeviceAllow: a terminal needs devices that are not in it`,
		"process.terminal = true\nsystemd.scope = { DeviceAllow = '@a(ss) []', DevicePolicy = 'closed' }":            "",
		"process.terminal = true\nsecurity.device_policy = 'auto'\nsystemd.scope.DeviceAllow = '@a(ss) []'":          "",
		"process.terminal = true\nsystemd.scope.DeviceAllow = \"[('char-pts', 'rw'), ('/dev/ptmx', 'rw')]\"":         "",
		"process.terminal = true\nsecurity.device_policy = 'strict'":                                                 `5:10: security.device_policy: "strict": a terminal needs devices (use "closed")`,
		"process.exec_cpus = '0'\nresources.cpu.cpus = '0'":                                                          "",
		"systemd.service.DeviceAllow = ['', '/dev/fuse rw']":                                                         `4:17: systemd.service.DeviceAllow: cannot be empty: it would take back what every start needs`,
		"systemd.service.StandardOutput = 'append:/x'":                                                               `4:17: systemd.service.StandardOutput: has no effect on the payload: its output goes where log.driver says`,
		"log.driver = 'passthrough'\nsystemd.service.StandardOutput = 'append:/x'":                                   "",
		"log.driver = 'passthrough'\nsystemd.service.StandardOutput = 'append:x'":                                    `5:17: systemd.service.StandardOutput: value "append:x": want `,
		"systemd = { scope = { Foo = 5 }, service = { Foo = 5 } }":                                                   `4:23: systemd.scope.Foo: "Foo" is no property of a scope`,
		"systemd = { scope = { MemoryMax = 'x' }, service = { MemoryMax = 5 } }":                                     "4:23: systemd.scope.MemoryMax: property MemoryMax: value\n4:54: systemd.service.MemoryMax: contradicts systemd.scope.MemoryMax",
		"systemd.service.ExecStopPost = '/bin/x'":                                                                    "",
		"systemd.unit.afterwards = ['a', 'b']":                                                                       "4:14: systemd.unit.afterwards: \"afterwards\" is not the name of a directive",
		"[systemd.service]\nKillMode = 'none'\nUser = 'x'\nExecStartPre = \"a\\nb\"\nNice = 5\n":                     "5:1: systemd.service.KillMode: value \"none\": want control-group or mixed: another would leave processes behind\n6:1: systemd.service.User: cannot be set\n7:1: systemd.service.ExecStartPre: \"a\\nb\": has control characters",
		"systemd.install.Alias = ['y.service', 'z.service']":                                                         "",
		"nothing = 1\n[[mount]]\nsource = '.'\ntarget = '/a'\noptions = ['x']":                                       "4:1: nothing: unknown key\n8:12: mount.options: unknown option",
		"security.seccomp = 'many.json'": "4:10: security.seccomp: \"many.json\": seccomp: flags[0]: \"FOO\" is not supported\n" +
			"4:10: security.seccomp: \"many.json\": seccomp: syscalls[0].names: at least one\n4:10: security.seccomp: \"many.json\": seccomp: syscalls[1]: action \"BAR\" is not known",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.toml")
		if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(minimal+more+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		const profile = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}`
		for name, profile := range map[string]string{
			"none.json": profile, "notify.json": strings.NewReplacer("[]", `["mkdir"]`, "ACT_ERRNO", "ACT_NOTIFY").Replace(profile),
			"many.json": strings.Replace(profile, "}]", `}, {"names": ["read"], "action": "BAR"}], "flags": ["FOO"]`, 1),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(profile), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		problems, warnings := sdcontainer.Check(file, unitgen.Options{})
		lines := strings.Split(want, "\n")
		if want == "" {
			lines = nil
		}
		if len(warnings) != 1-min(1, len(problems)) { // there is no x in any root
			t.Errorf("%s: warnings %q", more, warnings)
		}
		if len(problems) != len(lines) {
			t.Errorf("%s: %v, want %q", more, problems, want)
			continue
		}
		for i, p := range problems {
			if got := strings.ReplaceAll(strings.TrimPrefix(p.String(), file+":"), dir+"/", ""); !strings.HasPrefix(got, lines[i]) {
				t.Error(cmp.Diff(lines[i], got))
			}
		}
	}
}

// What only a planner or the unit file refuses is told at its key, beside what else is wrong and of nobody else's key.
func TestCheckTellsStagesTogether(t *testing.T) {
	const text = `version = 1
name = ""
description = " x"
rootfs.path = "/srv"
process = { args = ["/x"], terminal = true, stop_signal = "SIGNOT" }
network.deny = ["10.0.0.0/8"]
capabilities.inheritable = ["CAP_SYS_ADMIN"]
log.fields = { GOOD = "x", FOO = "a\nb" }
systemd.service.LogExtraFields = "A=b"
[systemd.scope]
FinalKillSignal = -1
IPAddressDeny = "[(2, [byte 1], 32)]"
NFTSet = "[(9, 1, 'a', 'b')]"
SocketBindAllow = "[(3, 6, 1, 80)]"
[[mount]]
type = "tmpfs"
target = "/dev/pts"
[network]
`
	want := []string{
		`2:1: name: "": want 1 to 63`, `3:1: description: " x": begins or ends with a space`,
		"5:28: process.terminal: want a mount of type devpts", `5:45: process.stop_signal: "SIGNOT": `,
		"7:14: capabilities.inheritable: CAP_SYS_ADMIN: is not in the bounding set",
		`8:28: log.fields.FOO: "FOO=a\nb": has control characters`, "11:1: systemd.scope.FinalKillSignal: property FinalKillSignal: value -1: want",
		"12:1: systemd.scope.IPAddressDeny: property IPAddressDeny: value ", "13:1: systemd.scope.NFTSet: property NFTSet: value ", "14:1: systemd.scope.SocketBindAllow: property SocketBindAllow: value ",
		"18:2: network: given twice",
	}
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, _ := sdcontainer.Check(file, unitgen.Options{})
	if len(problems) != len(want) {
		t.Fatalf("%d problems, want %d:\n%s", len(problems), len(want), texts(problems))
	}
	for i, p := range problems {
		if got := strings.TrimPrefix(p.String(), file+":"); !strings.HasPrefix(got, want[i]) {
			t.Errorf("%q, want %q", got, want[i])
		}
	}
}

// texts are problems, a line each.
func texts(problems []configs.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// A directive that no systemd knows, which would ignore it, or a word that it does not, is an error; without strict a warning, and a comment in the unit.
func TestCheckUnknownDirective(t *testing.T) {
	const text = "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\nsystemd.strict = false\n" +
		"[systemd.service]\nMemoryMaxx = '5G'\nX-Ours = 1\nRestartMode = 'future'\n"
	const name = ":6:1: systemd.service.MemoryMaxx: not a directive of [Service] that systemd up to 257 knows; did you mean MemoryMax?"
	const value = `:8:1: systemd.service.RestartMode: value "future": want one of normal, direct, debug`
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x.toml")
	for doc, strict := range map[string]bool{text: false, strings.Replace(text, "false", "true", 1): true} {
		if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, warnings := sdcontainer.Check(file, unitgen.Options{})
		if strict {
			if got, end := texts(problems), " (systemd.strict = false accepts it)\n"; got != file+name+end+file+value+end {
				t.Error(got)
			}
			continue
		}
		if got := texts(warnings); len(problems) > 0 || !strings.HasSuffix(got, file+name+"\n"+file+value+"\n") || strings.Contains(got, "X-Ours") {
			t.Error(problems, got)
		}
		spec, err := configs.Load(file, configs.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := sdcontainer.Explain("", spec, unitgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		const comment = "\n# MemoryMaxx= is not a directive of [Service] that systemd up to 257 knows.\n# RestartMode=future is not a value that every systemd up to 257 takes.\n"
		if strings.Count(x.Service, comment) != 1 || !strings.Contains(x.Service, "\nMemoryMaxx=5G\n") || !strings.Contains(x.Service, "\nX-Ours=1\n") ||
			strings.Contains(x.Service, "# X-Ours") {
			t.Error(x.Service)
		}
	}
}

// What systemd would ignore, or drops, is told where it stands, and nowhere else.
func TestCheckTellsIgnoredOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x.toml")
	for line, want := range map[string]string{
		`after = ["nounit"]`:                     `5:10: systemd.after: "nounit": want a unit name such as "network.target"` + "\n",
		`after = ["b.service", "a b.service"]`:   `5:23: systemd.after: "a b.service": want a unit name such as "network.target"` + "\n",
		`wanted_by = ["a.traget"]`:               `5:14: systemd.wanted_by: "a.traget": want a unit name such as "network.target"` + "\n",
		`unit.After = "nounit"`:                  `5:6: systemd.unit.After: value "nounit": want a unit name such as "network.target"` + "\n",
		`install.WantedBy = "multi-user.traget"`: `5:9: systemd.install.WantedBy: value "multi-user.traget": want a unit name such as "network.target"` + "\n",
		`service.IPAddressDeny = "any anyy"`:     `5:9: systemd.service.IPAddressDeny: value "anyy": want addresses like 10.0.0.0/8, any, localhost, link-local or multicast` + "\n",
		`service.CPUShares = 5`:                  "5:9: systemd.service.CPUShares: an old name, which newer systemd ignores (use CPUWeight)\n",
		`service.MemoryLimit = "5G"`:             "5:9: systemd.service.MemoryLimit: an old name, which newer systemd ignores (use MemoryMax)\n",
		`service.AllowedCPUs = "abc"`:            `5:9: systemd.service.AllowedCPUs: value "abc": want numbers like "0-3 8"` + "\n",
	} {
		if err := os.WriteFile(file, []byte("version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n[systemd]\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, _ := sdcontainer.Check(file, unitgen.Options{})
		if got := strings.ReplaceAll(texts(problems), file+":", ""); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
