// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// rangesOf is n strings of a list.
func rangesOf(n int, format string) string {
	var list []string
	for i := range n {
		list = append(list, strconv.Quote(fmt.Sprintf(format, i)))
	}
	return strings.Join(list, ", ")
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
		{`process.user = "70000:70000"`, `4:9: process.user: 70000: is not among the ids of the user namespace, 0-65535`},
		{`process.user = "70000"`, `4:9: process.user: 70000: is not among the ids of the user namespace, 0-65535`},
		{`process.user = "app:70000"`, `4:9: process.user: 70000: is not among the ids of the user namespace, 0-65535`},
		{"process.user = '10'\nuserns.size = 10", `4:9: process.user: 10: is not among the ids of the user namespace, 0-9`},
		{"process.user = '7'\nprocess.groups = [6]\nuserns = { mode = 'manual', uid_map = ['0:1:2', '7:8:1'], gid_map = ['0:1:2', '9:9:1'] }",
			`5:19: process.groups: 6: is not among the ids of the user namespace, 0-1 and 9-9`},
		{`process.scheduler = "fifo"`, `4:9: process.scheduler: "fifo": want "other"`},
		{`process = { args = ["x"], scheduler = "rr:5", nice = 1 }`, `4:13: process.args: given twice, first in line 3`},
		{`process.io_class = "be:9"`, `4:9: process.io_class: "be:9": want "idle"`},
		{`process.env_files = ["none"]`, `4:22: process.env_files: "none": no such file or directory (a leading - makes a missing file no mistake)`},
		{`process.env_files = ["/dev/zero"]`, `"/dev/zero": not a regular file`},
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
		{`capabilities = { inheritable = ["SYS_ADMIN"] }`, `4:18: capabilities.inheritable: CAP_SYS_ADMIN: is not in the bounding set`},
		{`capabilities = { effective = ["CHOWN"], permitted = [] }`, `4:18: capabilities.effective: CAP_CHOWN: is not in the permitted set`},
		{`capabilities.add = ["NET_RAW"]` + "\n" + `process.user = "app"`, `4:14: capabilities.add: CAP_NET_RAW: user "app" would lose it at exec (use capabilities.ambient)`},
		{`namespaces.pid = "container:x"`, `4:12: namespaces.pid: "container:x": want "private", "host" or "path:/FILE"`},
		{`namespaces.mount = "host"`, `4:12: namespaces.mount: "host": want "private" or "path:/FILE"`},
		{`namespaces.pid = "host"` + "\n" + `process.init = true`, `5:9: process.init: goes with namespaces.pid = "private"`},
		{`namespaces.uts = "host"` + "\n" + `network.domainname = "x"`, `5:9: network.domainname: needs namespaces.uts = "private"`},
		{`resources.tasks = "100%"`, `4:11: resources.tasks: "100%": want a number like 512, "10%" (below 100%) or "infinity"`},
		{`namespaces.uts = "host"` + "\n" + `network.hostname = "x"`, `5:9: network.hostname: needs namespaces.uts = "private"`},
		{`userns.mode = "manual"`, `userns.gid_map: missing: ranges like`},
		{`userns = { mode = "manual", uid_map = ["0:1:5", "4:100:2"], gid_map = ["0:1:5"] }`, `4:49: userns.uid_map: "4:100:2" overlaps 0:1:5`},
		{`userns = { mode = "manual", uid_map = ["0:1:0"], gid_map = ["0:1"] }`, `4:40: userns.uid_map: "0:1:0": want "CONTAINER:HOST:COUNT"`},
		{`userns = { mode = "manual", uid_map = [` + rangesOf(341, "%d:%[1]d:1") + `], gid_map = ["0:1:5"] }`, `4:29: userns.uid_map: 341 ranges: the kernel takes at most 340 (put ranges together)`},
		{`userns = { mode = "manual", gid_map = [` + rangesOf(300, "%d:4000000%03[1]d:1") + `], uid_map = ["0:1:5"] }`, `4:29: userns.gid_map: 300 ranges, which are 4990 bytes: the kernel takes at most 4095`},
		{`userns = { mode = "none", size = 5 }`, `4:27: userns.size: goes with userns.mode = "auto"`},
		{`userns.mode = "none"` + "\n" + `rootfs.idmap = true`, `5:8: rootfs.idmap: needs a user namespace`},
		{`userns.mode = "none"` + "\n" + `security.profile = "system"`, `5:10: security.profile: "system": gives CAP_SYS_ADMIN, which only a user namespace without id 0 of the host confines (userns.mode is "none")`},
		{`userns = { mode = "manual", uid_map = ["0:9:5", "5:0:1"], gid_map = ["0:9:5"] }` + "\n" + `security.profile = "system"`, `5:10: security.profile: "system": gives CAP_SYS_ADMIN, which only a user namespace without id 0 of the host confines (userns.uid_map has it)`},
		{`userns = { mode = "manual", uid_map = ["0:9:5"], gid_map = ["0:0:5"] }` + "\n" + `security.profile = "system"`, `5:10: security.profile: "system": gives CAP_SYS_ADMIN, which only a user namespace without id 0 of the host confines (userns.gid_map has it)`},
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
		{"[[device]]\npath = '/dev/null'\n[[device]]\npath = '/dev//null'", `7:1: device.path: "/dev/null": is the place of another [[device]] already`},
		{"userns.mode = 'none'\n[[device]]\npath = '/dev/null'\n[[device]]\npath = '/dev/zero'\ntarget = '/dev/null'",
			`9:1: device.target: "/dev/null": is the place of another [[device]] already`},
		{`security.device_policy = "strict"` + "\n" + `process.terminal = true`, `4:10: security.device_policy: "strict": a terminal needs devices`},
		{`security.sysctl = { "kernel.panic" = 1 }`, `4:21: security.sysctl.kernel.panic: belongs to no namespace`},
		{`security.sysctl = { "kernel.msgmaximum" = 1 }`, `4:21: security.sysctl.kernel.msgmaximum: belongs to no namespace`},
		{`security.sysctl = { "kernel/semaphore" = 1 }`, `4:21: security.sysctl.kernel/semaphore: belongs to no namespace`},
		{`security.sysctl = { "net.ipv4.ip_forward" = 1, "net/ipv4/ip_forward" = 0 }`, `4:48: security.sysctl.net/ipv4/ip_forward: is given already under another spelling`},
		{`security.sysctl = { "fs.mqueue" = 1 }`, `4:21: security.sysctl.fs.mqueue: belongs to no namespace`},
		{`security.sysctl = { "net/ipv4/ip_forward" = 1 }` + "\n" + `network.mode = "host"`, `4:21: security.sysctl.net/ipv4/ip_forward: would change the host's setting`},
		{`security.seccomp = "/dev/null"`, `4:10: security.seccomp: "/dev/null": not a regular file`},
		{`security.unmask = ["/proc/nothing"]`, `4:20: security.unmask: "/proc/nothing": is neither hidden nor protected`},
		{`security.mask = ["/a/../b"]`, `4:18: security.mask: "/a/../b": want an absolute path`},
		{`resources.memory = { low = "2G", max = "1G" }`, `4:22: resources.memory.low: "2G": is above resources.memory.max`},
		{`resources.memory = { low = "2G", max = "512Q" }`, `4:34: resources.memory.max: "512Q": want a size like`},
		{"resources.memory.max = '512Q'\nresources.memory.high = 100\nresources.memory.min = 100", `4:18: resources.memory.max: "512Q": want a size like`},
		{`resources.memory = { low = "1Q", max = "1M" }`, `4:22: resources.memory.low: "1Q": want a size like`},
		{"resources.memory.max = '1M'\nresources.unified = { 'memory.high' = 5000000 }",
			`5:23: resources.unified.memory.high: 5000000: is above resources.memory.max, which is "1M": it would never take effect`},
		{"resources.unified = { 'memory.max' = 4096, 'memory.low' = '4096', 'memory.min' = ' 5000 ' }",
			`4:67: resources.unified.memory.min: " 5000 ": is above resources.unified.memory.max, which is 4096: it could never be used up`},
		{"resources.unified = { 'memory.max' = 4096 }\nresources.memory = { high = 'infinity', low = '5K' }",
			`5:41: resources.memory.low: "5K": is above resources.unified.memory.max, which is 4096: it could never be used up`},
		{"resources.memory.max = 4096\n[systemd.scope]\nMemoryMin = 5000", `6:1: systemd.scope.MemoryMin: 5000: is above resources.memory.max, which is 4096: it could never be used up`},
		{"resources.memory.max = '64M'\n[systemd.service]\nMemoryHigh = '128M'",
			`6:1: systemd.service.MemoryHigh: "128M": is above resources.memory.max, which is "64M": it would never take effect`},
		{"[systemd.service]\nMemoryLow = '2G'\nMemoryMax = ['', '1G']", `5:1: systemd.service.MemoryLow: "2G": is above systemd.service.MemoryMax, which is`},
		{"resources.memory.low = '20%'\n[systemd.scope]\nMemoryMaxScale = 429496729", `4:18: resources.memory.low: "20%": is above systemd.scope.MemoryMaxScale, which is 429496729`},
		{"resources.unified = { 'memory.min' = 5000 }\n[systemd.scope]\nMemoryMax = 'uint64 4096'",
			`4:23: resources.unified.memory.min: 5000: is above systemd.scope.MemoryMax, which is "uint64 4096"`},
		{`resources.cpu = { quota = "1%", period = "1sec-", burst = "1s" }`, `4:33: resources.cpu.period: "1sec-": want`},
		{`resources.memory.high = 0`, `4:18: resources.memory.high: 0: systemd wants more than 0`},
		{`resources.memory.max = 0`, `4:18: resources.memory.max: 0: no process can run without memory`},
		{`resources.cpu = { quota = "1%", period = "2ms" }`, `4:19: resources.cpu.quota: "1%": comes to 20 µs in 2ms`},
		{`resources.cpu.period = "10ms"`, `4:15: resources.cpu.period: goes with a resources.cpu.quota`},
		{`resources.cpu = { quota = "10%", burst = "1s" }`, `4:34: resources.cpu.burst: "1s": want at most the quota of one period, 10ms`},
		{`resources.io.read_bps = { sda = "1M" }`, `4:27: resources.io.read_bps.sda: want the absolute path of a device`},
		{`resources.io.read_bps = { "/dev//sda" = "1M" }`, `4:27: resources.io.read_bps./dev//sda: want the path in its shortest form: /dev/sda`},
		{`resources.io.read_bps = { "/dev/sda" = "1M", "/dev/./sda" = "1M" }`, `4:46: resources.io.read_bps./dev/./sda: want the path in its shortest form: /dev/sda`},
		{`resources.io.read_bps = { "%m" = "1M" }`, `4:27: resources.io.read_bps.%m: want the absolute path of a device`},
		{`resources.io.latency = { "/dev/%Q" = "1ms" }`, `4:26: resources.io.latency./dev/%Q: "/dev/%Q": unknown specifier %Q`},
		{`resources.io.read_iops = { "/dev/%n" = 5, "/dev/x" = 6 }`, `4:43: resources.io.read_iops./dev/x: "/dev/x" has a limit here already`},
		{`namespaces.ipc = "path:%n/ipc"`, `4:12: namespaces.ipc: "x/ipc": want an absolute path`},
		{`namespaces.uts = "path:/run/%Q"`, `4:12: namespaces.uts: "/run/%Q": unknown specifier %Q`},
		{`network.mode = "path:50%"`, `4:9: network.mode: "path:50%": want "none", "host" or "path:/FILE"`},
		{`resources.unified = { "cgroup.freeze" = 1 }`, `4:23: resources.unified.cgroup.freeze: want a file of a cgroup v2 controller`},
		{`resources = { memory.high = 5, unified = { "memory.high" = 6 } }`, `4:44: resources.unified.memory.high: contradicts resources.memory.high, which sets MemoryHigh= too (leave one out)`},
		{`resources.hugepages = { 2M = "64M" }`, `4:25: resources.hugepages.2M: the kernel has another name for pages of this size: want "2MB"`},
		{`resources.hugepages = { "1024MB" = "64M" }`, `4:25: resources.hugepages.1024MB: the kernel has another name for pages of this size: want "1GB"`},
		{`resources.hugepages = { "64kB" = "64M" }`, `4:25: resources.hugepages.64kB: the kernel has another name for pages of this size: want "64KB"`},
		{"[[mount]]\ntarget = '/x'\ntype = 'tmpfs'\nsize = '12.5%'", `7:1: mount.size: 12.5%: want a whole percentage, like "12%", or a size`},
		{"[systemd.scope]\nMemoryHigh = 18446744073709551615", `5:14: systemd.scope.MemoryHigh: 18446744073709551615: want a number from -9223372036854775808 to 9223372036854775807 (put quotes`},
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
