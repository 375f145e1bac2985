// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// write makes files in a new directory: name, content, name, content ...
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const minimal = `version = 1
rootfs.path = "/srv/root"
process.args = ["/bin/true"]
`

// problemsOf is what Check says, without the directory.
func problemsOf(t testing.TB, files ...string) []string {
	t.Helper()
	dir := write(t, files...)
	var out []string
	for _, p := range (LoadOptions{}).Check(filepath.Join(dir, files[0])) {
		out = append(out, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	return out
}

func TestJ4CheckManyMistakes(t *testing.T) {
	got := problemsOf(t, "bad.toml", `version = 2
nmae = "x"

[rootfs]
path = 5

[process]
args = "echo"
umask = 22
env = { OK = "fine", BAD = [1] }
rlimits = { nofile = "9:3", nofiles = 1 }

[image]
ref = "docker.io/library/nginx"

[userns]
uid_map = ["0:1000:1"]

[[mount]]
type = "tmpfs"
target = "tmp"
size = "5X"

[[mount]]
source = "/a"
target = "/a"
lower = ["/b"]

[network]
mode = "bridge"

[resources.memory]
max = "64M"
high = "128M"

[resources.cpu]
quota = 1.5
`)
	want := []string{
		`bad.toml:1:1: version: 2: want 1`,
		`bad.toml:2:1: nmae: unknown key; did you mean "name"?`,
		`bad.toml:5:1: rootfs.path: 5: want a string in quotes, without NUL characters`,
		`bad.toml:8:1: process.args: "echo": want a list of strings like ["a", "b"]`,
		`bad.toml:9:1: process.umask: 22: want an octal mode in quotes like "0755"`,
		`bad.toml:10:22: process.env.BAD: [1]: want a string, number or boolean, without NUL characters`,
		`bad.toml:11:13: process.rlimits.nofile: "9:3": want a number, "infinity", or "SOFT:HARD" with SOFT at most HARD`,
		`bad.toml:11:29: process.rlimits.nofiles: unknown limit: want one of as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack`,
		`bad.toml:13:1: image: not supported yet (use rootfs.path)`,
		`bad.toml:17:1: userns.uid_map: goes with userns.mode = "manual"`,
		`bad.toml:21:1: mount.target: "tmp": want an absolute path`,
		`bad.toml:22:1: mount.size: "5X": want a size like "512M" (K, M, G, T are powers of 1024), a number of bytes, "50%" or "infinity"`,
		`bad.toml:27:1: mount.lower: does not go with type "bind"`,
		`bad.toml:30:1: network.mode: "bridge": want "none", "host" or "path:/FILE": mode bridge is not supported yet`,
		`bad.toml:34:1: resources.memory.high: "128M": is above resources.memory.max, which is "64M": it would never take effect`,
		`bad.toml:37:1: resources.cpu.quota: 1.5: want a share of CPU time like "150%" (one and a half CPUs) or "infinity"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each line below is wrong in one way beside the minimal file, and is told so.
func TestContradictions(t *testing.T) {
	for _, tt := range []struct{ more, want string }{
		{`name = "-x"`, `4:1: name: "-x": want 1 to 63 letters`},
		{`rootfs.propagation = "sideways"`, `4:8: rootfs.propagation: "sideways": want one of "private"`},
		{`process.cwd = "tmp"`, `4:9: process.cwd: "tmp": want an absolute path`},
		{`process.user = "a b"`, `4:9: process.user: "a b": want NAME, UID`},
		{`process.user = "4294967295"`, `4:9: process.user: "4294967295": want a number from 0 to 4294967294 without a leading zero, or a name`},
		{`process.user = "01:01"`, `4:9: process.user: "01": want a number from 0 to`},
		{`process.user = "1:01"`, `4:9: process.user: "01": want a number from 0 to`},
		{`process.user = "000"`, `4:9: process.user: "000": want a number from 0 to`},
		{`process.user = "0x0"`, `4:9: process.user: "0x0": want a number from 0 to`},
		{`process.user = "-1"`, `4:9: process.user: "-1" is not a user or group name`},
		{`process.user = "1000:-1"`, `4:9: process.user: "-1" is not a user or group name`},
		{`process.user = "70000:70000"`, `4:9: process.user: 70000:70000: is not among the ids of the user namespace`},
		{`process.scheduler = "fifo"`, `4:9: process.scheduler: "fifo": want "other"`},
		{`process = { args = ["x"], scheduler = "rr:5", nice = 1 }`, `process.args: given twice`},
		{`process.io_class = "be:9"`, `4:9: process.io_class: "be:9": want "idle"`},
		{`process.env_files = ["none"]`, `4:22: process.env_files: none: no such file or directory (a leading - makes a missing file no mistake)`},
		{`process.env_files = ["/dev/zero"]`, `/dev/zero: not a regular file`},
		{`process.stop_signal = "SIGFOO"`, `4:9: process.stop_signal: "SIGFOO": want a signal`},
		{`process.terminal = true` + "\n" + `log.driver = "journald"`, `5:5: log.driver: goes with process.terminal = false`},
		{`log.driver = "none"` + "\n" + `log.identifier = "x"`, `5:5: log.identifier: goes with log.driver = "journald"`},
		{`log.driver = "none"` + "\n" + `log.level_prefix = true`, `5:5: log.level_prefix: goes with log.driver = "journald"`},
		{`log.fields = { CONTAINER_NAME = "x" }`, `4:16: log.fields.CONTAINER_NAME: "CONTAINER_NAME": every line has it already`},
		{`log.fields = { lower = "x" }`, `4:16: log.fields.lower: "lower": want a name of capital letters`},
		{`capabilities.add = ["CHOWNN"]`, `4:21: capabilities.add: "CHOWNN": no such capability; did you mean CAP_CHOWN?`},
		{`capabilities = { add = ["SYS_TIME", "net_raw"], drop = ["KILL", "CAP_NET_RAW"] }`, `4:65: capabilities.drop: "CAP_NET_RAW": capabilities.add has it, too`},
		{`capabilities.drop = ["ALL"]`, `4:22: capabilities.drop: "ALL": want capabilities.preset = "none"`},
		{`capabilities.add = ["cap_all"]`, `4:21: capabilities.add: "cap_all": want capabilities.preset = "all"`},
		{`capabilities.bounding = ["all"]`, `4:26: capabilities.bounding: "all": want each by its name`},
		{`capabilities = { drop = ["CHOWN"], bounding = [] }`, `4:18: capabilities.drop: does not go with capabilities.bounding`},
		{`capabilities = { effective = ["CHOWN"], permitted = [] }`, `4:18: capabilities.effective: CAP_CHOWN: is not in the permitted set`},
		{`capabilities.add = ["NET_RAW"]` + "\n" + `process.user = "app"`, `4:14: capabilities.add: CAP_NET_RAW: user "app" would lose it at exec (use capabilities.ambient)`},
		{`namespaces.pid = "container:x"`, `4:12: namespaces.pid: "container:x": want "private", "host" or "path:/FILE"`},
		{`namespaces.mount = "host"`, `4:12: namespaces.mount: "host": want "private" or "path:/FILE"`},
		{`namespaces.pid = "host"` + "\n" + `process.init = true`, `5:9: process.init: goes with namespaces.pid = "private"`},
		{`namespaces.uts = "host"` + "\n" + `network.hostname = "x"`, `5:9: network.hostname: needs namespaces.uts = "private"`},
		{`userns.mode = "manual"`, `userns.gid_map: missing: ranges like`},
		{`userns = { mode = "manual", uid_map = ["0:1:5", "4:100:2"], gid_map = ["0:1:5"] }`, `4:49: userns.uid_map: "4:100:2" overlaps 0:1:5`},
		{`userns = { mode = "manual", uid_map = ["0:1:0"], gid_map = ["0:1"] }`, `4:40: userns.uid_map: "0:1:0": want "CONTAINER:HOST:COUNT"`},
		{`userns = { mode = "none", size = 5 }`, `4:27: userns.size: goes with userns.mode = "auto"`},
		{`userns.mode = "none"` + "\n" + `rootfs.idmap = true`, `5:8: rootfs.idmap: needs a user namespace`},
		{`userns.mode = "none"` + "\n" + `security.profile = "system"`, `4:8: userns.mode: "none": profile "system" gives CAP_SYS_ADMIN`},
		{"[[mount]]\nsource = '/a'", `4:1: mount.target: missing: where to mount it`},
		{"[[mount]]\ntarget = '/a'", `4:1: mount.source: missing: what to mount`},
		{"[[mount]]\nsource = '/a'\ntarget = '/x/..'", `6:1: mount.target: "/": is the root itself`},
		{"[[mount]]\ntype = 'tmpfs'\ntarget = '/proc/x'", `6:1: mount.target: "/proc/x": would hide a part of /proc`},
		{"[[mount]]\nsource = '/a'\ntarget = '/x'\n[[mount]]\ntype = 'tmpfs'\ntarget = '/x/'", `9:1: mount.target: "/x": is the target of another [[mount]] already`},
		{"[[mount]]\nsource = '/a'\ntarget = '/x'\noptional = true\ncreate = 'dir'", `8:1: mount.create: goes with optional = false`},
		{"[[mount]]\nsource = '/a'\ntarget = '/x'\ncreate = 'dir:999'", `7:1: mount.create: "dir:999": want "dir" or "file"`},
		{"[[mount]]\nsource = '/a'\ntarget = '/x'\noptions = ['ro,noexec']", `7:12: mount.options: "ro,noexec": want one option in each string`},
		{"[[mount]]\ntype = 'overlay'\ntarget = '/x'\nlower = ['/a']", `7:1: mount.lower: one directory alone`},
		{"[[mount]]\ntype = 'overlay'\ntarget = '/x'\nlower = ['/a']\nupper = '/b'", `8:1: mount.upper: upper and work go together`},
		{"[[mount]]\ntype = 'volume'\ntarget = '/x'", `5:1: mount.type: "volume": want one of "bind", "tmpfs", "overlay", "raw"; "volume" is not supported yet`},
		{"[[device]]\npath = '/etc/passwd'", `5:1: device.path: "/etc/passwd": is no device`},
		{"[[device]]\npath = '/dev/x'\ntype = 'c'", `5:1: device.path: "/dev/x": type, major and minor go together`},
		{"[[device]]\npath = '/dev/null'\ntarget = '/dev/nul'", `6:1: device.target: "/dev/nul": in a user namespace a device keeps its path`},
		{"[[device]]\npath = '/dev/null'\n[[device]]\npath = '/dev//null'", `7:1: device.path: "/dev/null": is the place of another [[device]] already`},
		{"userns.mode = 'none'\n[[device]]\npath = '/dev/null'\n[[device]]\npath = '/dev/zero'\ntarget = '/dev/null'",
			`9:1: device.target: "/dev/null": is the place of another [[device]] already`},
		{`security.device_policy = "strict"` + "\n" + `process.terminal = true`, `4:10: security.device_policy: "strict": a terminal needs devices`},
		{`security.sysctl = { "kernel.panic" = 1 }`, `4:21: security.sysctl.kernel.panic: belongs to no namespace`},
		{`security.sysctl = { "kernel.msgmaximum" = 1 }`, `4:21: security.sysctl.kernel.msgmaximum: belongs to no namespace`},
		{`security.sysctl = { "kernel/semaphore" = 1 }`, `4:21: security.sysctl.kernel/semaphore: belongs to no namespace`},
		{`security.sysctl = { "fs.mqueue" = 1 }`, `4:21: security.sysctl.fs.mqueue: belongs to no namespace`},
		{`security.sysctl = { "net/ipv4/ip_forward" = 1 }` + "\n" + `network.mode = "host"`, `4:21: security.sysctl.net/ipv4/ip_forward: would change the host's setting`},
		{`security.seccomp = "/dev/null"`, `4:10: security.seccomp: "/dev/null": not a regular file`},
		{`security.unmask = ["/proc/nothing"]`, `4:20: security.unmask: "/proc/nothing": is neither hidden nor protected`},
		{`security.mask = ["/a/../b"]`, `4:18: security.mask: "/a/../b": want an absolute path`},
		{`resources.memory = { low = "2G", max = "1G" }`, `4:22: resources.memory.low: "2G": is above resources.memory.max`},
		{`resources.memory.max = 0`, `4:18: resources.memory.max: 0: no process can run without memory`},
		{`resources.cpu = { quota = "1%", period = "2ms" }`, `4:19: resources.cpu.quota: "1%": comes to 20 µs in 2ms`},
		{`resources.cpu.period = "10ms"`, `4:15: resources.cpu.period: goes with a resources.cpu.quota`},
		{`resources.cpu = { quota = "10%", burst = "1s" }`, `4:34: resources.cpu.burst: "1s": want at most the quota of one period, 10ms`},
		{`resources.io.read_bps = { sda = "1M" }`, `4:27: resources.io.read_bps.sda: want the absolute path of a device`},
		{`resources.io.read_bps = { "%m" = "1M" }`, `4:27: resources.io.read_bps.%m: want the absolute path of a device`},
		{`resources.io.latency = { "/dev/%Q" = "1ms" }`, `4:26: resources.io.latency./dev/%Q: "/dev/%Q": unknown specifier %Q`},
		{`resources.io.read_iops = { "/dev/%n" = 5, "/dev/x" = 6 }`, `4:43: resources.io.read_iops./dev/x: "/dev/x" has a limit here already`},
		{`namespaces.ipc = "path:%n/ipc"`, `4:12: namespaces.ipc: "x/ipc": want an absolute path`},
		{`namespaces.uts = "path:/run/%Q"`, `4:12: namespaces.uts: "/run/%Q": unknown specifier %Q`},
		{`network.mode = "path:50%"`, `4:9: network.mode: "path:50%": want "none", "host" or "path:/FILE"`},
		{`resources.unified = { "cgroup.freeze" = 1 }`, `4:23: resources.unified.cgroup.freeze: want a file of a cgroup v2 controller`},
		{`resources = { memory.high = 5, unified = { "memory.high" = 6 } }`, `4:44: resources.unified.memory.high: contradicts resources.memory.high, which sets MemoryHigh= too (leave one out)`},
		{`resources.hugepages = { big = "1M" }`, `4:25: resources.hugepages.big: want the size of a huge page`},
		{`systemd.slice = "web"`, `4:9: systemd.slice: "web": want a name like "web.slice"`},
		{`systemd.start_limit = "5"`, `4:9: systemd.start_limit: "5": want starts in a time`},
		{`systemd = { restart = "always", service = { Restart = "no" } }`, `4:45: systemd.service.Restart: contradicts systemd.restart, which sets Restart= too (leave one out)`},
		{`systemd = { runtime_max = 5, scope = { RuntimeMaxUSec = 6 } }`, `4:40: systemd.scope.RuntimeMaxUSec: contradicts systemd.runtime_max, which sets RuntimeMaxSec= too (leave one out)`},
		{`systemd.scope = { "a b" = 1 }`, `4:19: systemd.scope.a b: "a b": want the name of a property`},
		{`rootfs.read_only = true` + "\n" + `rootfs.path = "/x"`, `rootfs.path: given twice, first in line `},
		{`process.oom_score_adj = "5"`, `4:9: process.oom_score_adj: "5": want a whole number from -1000 to 1000`},
		{`log = 5`, `4:1: log: want a table: [log]`},
		{`mount = 5`, `4:1: mount: want tables: [[mount]]`},
		{`network.publish = ["80:80"]`, `4:9: network.publish: not supported yet (use network.mode "host"`},
		{`health.cmd = ["x"]`, `4:1: health: not supported yet`},
		{`description = "%Q"`, `4:1: description: "%Q": unknown specifier %Q`},
		{`description = "50%"`, `4:1: description: "50%": ends in %: write %% for a percent sign`},
	} {
		t.Run(tt.more, func(t *testing.T) {
			got := problemsOf(t, "x.toml", minimal+tt.more+"\n")
			if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
			if len(got) > 1 && !strings.Contains(tt.more, "manual") {
				t.Errorf("more than one problem: %q", got)
			}
		})
	}
}

func load1(t testing.TB, files ...string) *specs.Spec {
	t.Helper()
	dir := write(t, files...)
	spec, err := Load(filepath.Join(dir, files[0]), LoadOptions{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestDropIns(t *testing.T) {
	spec := load1(t, "web.toml", minimal+"process.env = { A = '1', B = '2' }\n[[mount]]\nsource='/a'\ntarget='/a'\n[[mount]]\nsource='/b'\ntarget='/b'\n",
		"web.toml.d/20-last.toml", "process.env.B = '4'\n",
		"web.toml.d/10-first.toml", "process.env = { B = '3', C = '5' }\nprocess.args = ['/bin/false']\n[[mount]]\nsource='/c'\ntarget='/c'\n",
		"web.toml.d/not-this.bak", "nonsense",
		"web.toml.d/.hidden.toml", "nonsense")
	if diff := cmp.Diff([]string{"A=1", "B=4", "C=5"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/bin/false"}, spec.Process.Args); diff != "" {
		t.Error(diff)
	}
	if last := spec.Mounts[len(spec.Mounts)-1]; last.Source != "/c" || len(spec.Mounts) != len(defaultMounts())+1 {
		t.Errorf("the list of mounts was not replaced: %v", spec.Mounts)
	}
}

// A problem of a drop-in is shown there, one of the file there; what a drop-in
// replaced leaves no place behind.
func TestDropInPlaces(t *testing.T) {
	got := problemsOf(t, "web.toml", minimal+"nonsense = 1\nprocess.umask = 1\n[[mount]]\nsource = '/a'\ntarget = '/a'\n",
		"web.toml.d/a.toml", "# comment\nprocess.umask = 2\n\n[[mount]]\nsource = '/b'\n", "web.toml.d/b.toml", "process.cwd = \n")
	want := []string{
		`web.toml:4:1: nonsense: unknown key; accepted here: `,
		`web.toml.d/a.toml:2:9: process.umask: 2: want an octal mode`,
		`web.toml.d/a.toml:4:1: mount.target: missing`,
		`web.toml.d/b.toml:1:`,
	}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q: want %q", got[i], want[i])
		}
	}
}

// A file in the directory of drop-ins that is none is told; what is left of one is not.
func TestDropInNames(t *testing.T) {
	got := problemsOf(t, "web.toml", minimal, "web.toml.d/10-a.conf", "process.cwd = '/a'", "web.toml.d/README", "", "web.toml.d/b.TOML", "",
		"web.toml.d/.hidden.conf", "", "web.toml.d/c.toml~", "", "web.toml.d/c.toml.bak", "", "web.toml.d/c.toml.dpkg-old", "",
		"web.toml.d/c.toml.rpmnew", "", "web.toml.d/old/c.conf", "")
	want := []string{
		"web.toml.d/10-a.conf: is not read: the names of drop-ins end in .toml",
		"web.toml.d/README: is not read: the names of drop-ins end in .toml",
		"web.toml.d/b.TOML: is not read: the names of drop-ins end in .toml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMissing(t *testing.T) {
	got := problemsOf(t, "empty.toml", "")
	want := []string{
		"empty.toml:1:1: version: missing: write version = 1",
		"empty.toml:1:1: rootfs.path: missing: the directory with the container's files",
		`empty.toml:1:1: process.args: missing: the command, like ["/bin/sh"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := (LoadOptions{}).Check("/nonexistent/x.toml"); len(got) != 1 || got[0].String() != "/nonexistent/x.toml: no such file or directory" {
		t.Errorf("%v", got)
	}
}

func TestPropertiesAreChecked(t *testing.T) {
	dir := write(t, "x.toml", minimal+"[systemd.scope]\nCPUWeight = 5\nCPUWait = 'x'\n'a b' = 1\n")
	o := LoadOptions{Property: func(name, value string) error {
		if name == "CPUWeight" {
			return nil
		}
		return fmt.Errorf("no such property with %s", value)
	}}
	var got []string
	for _, p := range o.Check(filepath.Join(dir, "x.toml")) {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	want := []string{`x.toml:6:1: systemd.scope.CPUWait: no such property with 'x'`,
		`x.toml:7:1: systemd.scope.a b: "a b": want the name of a property, like MemoryHigh`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentOrder(t *testing.T) {
	dir := write(t, "x.toml", `version = 1
rootfs.path = "root"
[process]
args = ["%%n"]
env_files = ["vars", "-missing"]
env_pass = ["B", "UNSET"]
env = { C = "env %n", N = 5, T = true }
`, "vars", "# comment\n\nA=file\nB=\"quo ted\"\nC=file\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{Env: func(k string) (string, bool) { return "caller", k == "B" }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A=file", "B=caller", "C=env x", "N=5", "T=true"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
	if spec.Root.Path != filepath.Join(dir, "root") || spec.Process.Args[0] != "%n" {
		t.Errorf("root %q, args %q", spec.Root.Path, spec.Process.Args)
	}
}

// The paths of namespaces and of devices with limits have their specifiers expanded, as all others.
func TestSpecifiersInPaths(t *testing.T) {
	spec := load1(t, "web.toml", minimal+`userns.mode = "path:/run/%n/user"
network.mode = "path:/run/netns/%N"
namespaces = { mount = "path:/run/%n/mnt", pid = "path:/run/%p/pid", ipc = "path:/run/%i/ipc", uts = "path:/run/%j/uts", cgroup = "path:%T/100%%", time = "path:/run/%n" }
resources.io.write_iops = { "/dev/disk/by-label/%n" = 5 }
`)
	got := map[string]string{}
	for _, n := range spec.Linux.Namespaces {
		got[string(n.Type)] = n.Path
	}
	want := map[string]string{"mount": "/run/web/mnt", "user": "/run/web/user", "network": "/run/netns/web", "pid": "/run/web/pid", "ipc": "/run/web/ipc",
		"uts": "/run/web/uts", "cgroup": "/tmp/100%", "time": "/run/web"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s, err := SettingsOf(spec)
	if v := s.UnitProperties["IOWriteIOPSMax"]; v != "[('/dev/disk/by-label/web', 5)]" || err != nil {
		t.Errorf("IOWriteIOPSMax is %s, %v", v, err)
	}
}

// A glob of env_pass takes the caller's variables whose names it matches, also from the real caller.
func TestEnvironmentGlobs(t *testing.T) {
	for _, v := range []string{"SDC_LC_ALL", "SDC_LC_TIME", "SDC_A1", "SDC_B1", "SDC_LCX"} {
		t.Setenv(v, "of "+v)
	}
	for globs, want := range map[string][]string{
		`"SDC_LC_*"`:              {"SDC_LC_ALL=of SDC_LC_ALL", "SDC_LC_TIME=of SDC_LC_TIME"},
		`"SDC_[AB]?", "SDC_LCX"`:  {"SDC_A1=of SDC_A1", "SDC_B1=of SDC_B1", "SDC_LCX=of SDC_LCX"},
		`"SDC_NONE_*", "SDC_\\*"`: nil,
	} {
		dir := write(t, "x.toml", minimal+"process.env_pass = ["+globs+"]\n")
		spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, spec.Process.Env); diff != "" {
			t.Errorf("%s: %s", globs, diff)
		}
	}
	dir := write(t, "x.toml", minimal+"process.env_pass = ['*']\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{EnvNames: func() []string { return []string{"B", "A", "GONE"} },
		Env: func(k string) (string, bool) { return "fake", k != "GONE" }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A=fake", "B=fake"}, spec.Process.Env); diff != "" {
		t.Error(diff)
	}
}

func TestFromRootfs(t *testing.T) {
	args := []string{"printf", "%s 100%", "%n"}
	spec, err := FromRootfs("one", "some%dir", args)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(args, spec.Process.Args); diff != "" {
		t.Errorf("arguments of a command line are as they are: %s", diff)
	}
	if err := Validate(spec); err != nil || filepath.Base(spec.Root.Path) != "some%dir" || spec.Hostname != "one" {
		t.Errorf("%v, root %q, hostname %q", err, spec.Root.Path, spec.Hostname)
	}
	for _, bad := range []struct {
		name, dir string
		args      []string
	}{{"../x", "/r", args}, {"x", "/r", nil}, {"x", "/", args}} {
		if _, err := FromRootfs(bad.name, bad.dir, bad.args); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

// What Load accepts is a valid Spec; nothing makes it panic.
func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	examples, err := filepath.Glob("examples/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range examples {
		b, err := os.ReadFile(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	file := filepath.Join(f.TempDir(), "x.toml")
	f.Fuzz(func(t *testing.T, doc string) {
		c := newCompiler(file, LoadOptions{Env: func(string) (string, bool) { return "", false }})
		tree, at, s := decode(file, []byte(doc))
		lines := strings.Split(strings.TrimPrefix(doc, "\ufeff"), "\n")
		for _, p := range s.problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 || p.Msg == "" {
				t.Errorf("%q: outside of it: %+v", doc, p)
			}
		}
		if tree == nil {
			return
		}
		c.problems, c.partial = s.problems, s.partial
		c.place("", file, at)
		c.compile(tree)
		if len(c.problems) == 0 {
			if err := Validate(c.spec); err != nil {
				t.Fatal(err)
			}
			return
		}
		for _, p := range c.problems[len(s.problems):] {
			if p.Line < 1 || p.Column < 1 || p.Msg == "" {
				t.Errorf("%q: problem without a place: %+v", doc, p)
			}
			if strings.HasPrefix(p.Msg, "annotation") || p.Key == "" {
				t.Errorf("%q: only Validate found: %v", doc, p)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load("examples/web.toml", LoadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
