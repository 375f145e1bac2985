// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestTenMistakes keeps what check says of files that are wrong. Refresh with
// -update, and read what changed.
func TestTenMistakes(t *testing.T) {
	for file, least := range map[string]int{"testdata/ten-mistakes.toml": 11, "testdata/syntax.toml": 1} {
		var got strings.Builder
		problems := LoadOptions{}.Check(file)
		for _, p := range problems {
			got.WriteString(p.String() + "\n")
		}
		if len(problems) < least {
			t.Errorf("%s: %d problems, want %d", file, len(problems), least)
		}
		golden := strings.TrimSuffix(file, ".toml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
}

// A document that is no TOML is told with the place that cannot be read.
func TestJ4SyntaxErrors(t *testing.T) {
	for doc, want := range map[string]string{
		"a = 1\nb = \"x\nc = 2\n":           "2:7: b: strings cannot contain newlines",
		"a = 1\n\n\n\tb = = 2\n":            "4:6: b: expected value but found '=' instead",
		"a = 1\na = 2\n":                    "2:1: a: given twice, first in line 1",
		"[a]\nb = 1\n[c]\n[a]\nd = 1\n":     "4:2: a: given twice, first in line 1; the keys of this table were not read",
		"[[a]]\nb = 1\n[[a]]\nb = 2\nb = 3": "5:1: a.b: given twice, first in line 4",
		"a = {b = 1, b = 2}":                "1:13: a.b: given twice",
		"[x\ny = 1\n":                       `1:3: expected '.' or ']' to end table name, but got '\n' instead`,
		"k = \"\"\"\nfoo\nbar":              "3:3: k: unexpected EOF",
		"a = 2021-13-01\n":                  `1:5: a: invalid datetime: "2021-13-01"`,
		"x=1\nd = 0x\n":                     `2:5: d: not a hexadecimal number: '0x\n'`,
		"a = {b = 1\nc = 2}\n":              "2:1: a.b: expected a comma or an inline table terminator",
		"b = [1,\n2,\n3 4]\n":               "3:3: b: expected a comma (',') or array terminator (']')",
		"x = 1\r\ny = \r\n":                 "2:5: ",
		"version = 1\n[[mount]]\n[mount]":   "3:2: mount: given twice, first in line 2",
	} {
		got := problemsOf(t, "x.toml", doc)
		is := func(p string) bool { return strings.HasPrefix(p, "x.toml:"+want) }
		if !slices.ContainsFunc(got, is) || strings.Contains(strings.Join(got, ""), "\n") {
			t.Errorf("%q: %q, want %q", doc, got, want)
		}
	}
}

// What the kernel or systemd would refuse late is told early, at its place.
func TestRefusedEarly(t *testing.T) {
	for more, want := range map[string]string{
		"[[mount]]\nsource = '/'\ntarget = '/a'\nread_only = true\noptions = ['noexec', 'rw']": `8:22: mount.options: "rw": contradicts read_only = true`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/a'\nsize = '1M'\noptions = ['size=2M']":         `8:12: mount.options: "size=2M": contradicts size`,
		"security = { unmask = ['/proc/kcore'], mask = ['/srv', '/proc/kcore'] }":              `4:56: security.mask: "/proc/kcore": is in security.unmask too`,
		`description = "%z %d %z%"`:                                       `4:1: description: "%z %d %z%": unknown specifier %z: known are`,
		`description = "%d %d%"`:                                          `4:1: description: "%d %d%": %d: credentials come in a later version; ends in %: write %% for a percent sign`,
		`description = "two\nlines"`:                                      "4:1: description: ",
		`network.hostname = "a b"`:                                        "4:9: network.hostname: ",
		`network.domainname = "a\tb"`:                                     "4:9: network.domainname: ",
		`log.identifier = "a\u0001"`:                                      "4:5: log.identifier: ",
		`systemd.slice = "a--b.slice"`:                                    "4:9: systemd.slice: ",
		`systemd.slice = "web"`:                                           "4:9: systemd.slice: ",
		`systemd.slice = ".slice"`:                                        "4:9: systemd.slice: ",
		`systemd.slice = "a-.slice"`:                                      "4:9: systemd.slice: ",
		`systemd.slice = "` + strings.Repeat("a", 249) + `.slice"`:        "4:9: systemd.slice: ",
		`systemd.slice = ""`:                                              "4:9: systemd.slice: ",
		`systemd.after = ["network"]`:                                     `4:18: systemd.after: "network": want a unit name such as "network.target"`,
		`systemd.wants = ["a.service", "foo bar.service"]`:                "4:31: systemd.wants: ",
		`systemd.requires = ["%i"]`:                                       `4:21: systemd.requires: "x": `,
		`systemd.before = [""]`:                                           "4:19: systemd.before: ",
		`systemd.binds_to = ["@a.service"]`:                               "4:21: systemd.binds_to: ",
		`systemd.part_of = [".service"]`:                                  "4:20: systemd.part_of: ",
		`systemd.conflicts = ["a.Service"]`:                               "4:22: systemd.conflicts: ",
		`systemd.wanted_by = ["` + strings.Repeat("a", 249) + `.target"]`: "4:22: systemd.wanted_by: ",
		`process.env_pass = ["HOME", "A=B"]`:                              `4:29: process.env_pass: "A=B": want the name of a variable`,
		`process.env_pass = ["LC_*", "[A"]`:                               `4:29: process.env_pass: "[A": want a glob like "LC_*"`,
		`process.env_pass = [""]`:                                         `4:21: process.env_pass: "": want the name of a variable`,
		`process.rlimits = { nofile = 5, RLIMIT_NOFILE = 6 }`:             "4:21: process.rlimits.nofile: RLIMIT_NOFILE is given already",
		"userns.mode = 'none'\nsystemd.notify = 'container'":              `5:9: systemd.notify: "container": needs a user namespace`,
		"userns.mode = 'manual'\nuserns.uid_map = ['0:4294967290:6']\nuserns.gid_map = ['0:9:1']": `5:19: userns.uid_map: "0:4294967290:6": want "CONTAINER:HOST:COUNT" with a COUNT above 0 and ids up to 4294967294`,
		// Values are shown as they are written.
		`process.nice = 1.0`:                                           `4:9: process.nice: 1.0: want a whole number`,
		`process.nice = 1e3`:                                           `4:9: process.nice: 1000.0: want a whole number`,
		`process.nice = -inf`:                                          `4:9: process.nice: -inf: want a whole number`,
		`process.nice = nan`:                                           `4:9: process.nice: nan: want a whole number`,
		`process.nice = 1979-05-27`:                                    `4:9: process.nice: 1979-05-27: want a whole number`,
		`process.nice = 07:32:00`:                                      `4:9: process.nice: 07:32:00: want a whole number`,
		`process.nice = 1979-05-27 07:32:00`:                           `4:9: process.nice: 1979-05-27T07:32:00: want a whole number`,
		`process.nice = 1979-05-27T07:32:00Z`:                          `4:9: process.nice: 1979-05-27T07:32:00Z: want a whole number`,
		`capabilities.add = ["any"]`:                                   `4:21: capabilities.add: "any": no such capability: want names like CAP_CHOWN (capabilities(7))`,
		`network.allow = "10.0.0.0/8"`:                                 `4:9: network.allow: "10.0.0.0/8": want a list of networks`,
		"resources.memory = { max = '1K', min = 1025 }":                `4:34: resources.memory.min: 1025: is above resources.memory.max, which is "1K"`,
		"resources.cpu = { quota = '50%', burst = '1s' }":              `4:34: resources.cpu.burst: "1s": want at most the quota of one period, 50ms`,
		"resources.cpu = { quota = '1%', period = '1ms' }":             `4:19: resources.cpu.quota: "1%": comes to 10 µs in 1ms`,
		"resources.cpu = { quota = '1%', period = '2s' }":              `4:33: resources.cpu.period: "2s": want 1ms to 1s`,
		`resources.cpu.cpus = "0-8192"`:                                `4:15: resources.cpu.cpus: "0-8192": want numbers and ranges of CPUs or nodes up to 8191`,
		`systemd.service = { Nice = [1, 2], Type = "x" }`:              `4:21: systemd.service.Nice: [1,2]: want a string, number, boolean or list of strings`,
		`systemd.scope = { CPUWeight = { a = 1 } }`:                    `4:19: systemd.scope.CPUWeight: a table: want a string, number, boolean or list of strings`,
		`systemd.runtime_max = 0`:                                      `4:9: systemd.runtime_max: 0: want at least "1ms"`,
		`systemd.stop_timeout = "0s"`:                                  "4:9: systemd.stop_timeout: ",
		`process.groups = [5, 70000]`:                                  "4:22: process.groups: ",
		`security.sysctl."net.ipv4.ping_group_range" = "0 2147483647"`: "4:17: security.sysctl.net.ipv4.ping_group_range: ",
		`security.sysctl."net.ipv4.ping_group_range" = "0 many"`:       "4:17: security.sysctl.net.ipv4.ping_group_range: ",
	} {
		if got := problemsOf(t, "x.toml", minimal+more); len(got) != 1 || !strings.HasPrefix(got[0], "x.toml:"+want) {
			t.Errorf("%s: %q, want %s", more, got, want)
		}
	}
	for _, more := range []string{
		`security.sysctl."kernel.sem" = "1 2 3 4"`, `security.sysctl."kernel/shm_rmid_forced" = 1`, `security.sysctl."fs.mqueue.msg_max" = 9`,
		`systemd.slice = "-.slice"`, `systemd.slice = "a-b_c.slice"`, `network.hostname = "a_b.c-d"`, `process.groups = [65535]`,
		`systemd.after = ["a@b.service", "a@.service", "srv-a\\x2db.mount", "dbus-:1.2-a.b.swap", "%i.socket", "-.slice"]`,
		`systemd.wanted_by = ["` + strings.Repeat("a", 248) + `.timer"]`,
		`security.sysctl."net.ipv4.ping_group_range" = "0 65535"`, `systemd.stop_timeout = "infinity"`,
		"userns.mode = 'none'\n" + `security.sysctl."net.ipv4.ping_group_range" = "0 2147483647"`,
	} {
		if got := problemsOf(t, "x.toml", minimal+more); len(got) > 0 {
			t.Errorf("%s: %q", more, got)
		}
	}
}

// The caller's knowledge of mounts is told at the table; not of one that is wrong already.
func TestMountsAreChecked(t *testing.T) {
	dir := write(t, "x.toml", minimal+"[[mount]]\nsource = '/a'\ntarget = '/a'\n\n[[mount]]\nsource = '/b'\ntarget = '/b'\n"+
		"[[mount]]\nsource = '/c'\ntarget = '/c'\nsize = 5\n")
	o := LoadOptions{Mount: func(m specs.Mount) error {
		if m.Source != "/a" {
			return errors.New("not this one")
		}
		return nil
	}}
	var got []string
	for _, p := range o.Check(filepath.Join(dir, "x.toml")) {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	if diff := cmp.Diff([]string{"x.toml:8:1: mount: not this one", `x.toml:14:1: mount.size: does not go with type "bind"`}, got); diff != "" {
		t.Error(diff)
	}
}

// Of a mount that its options make wrong, those are told.
func TestMountOptionsAreChecked(t *testing.T) {
	dir := write(t, "x.toml", minimal+"[[mount]]\nsource = '/a'\ntarget = '/a'\noptions = ['foo', 'nosuid', 'bar']\n"+
		"[[mount]]\nsource = '/b'\ntarget = '/b'\noptions = ['foo']\n[[mount]]\nsource = '/c'\ntarget = '/c'\noptions = ['one', 'two']\n")
	o := LoadOptions{Mount: func(m specs.Mount) error {
		for _, o := range m.Options {
			if m.Source == "/b" || o == "foo" || o == "bar" {
				return errors.New("not " + m.Source + " " + o)
			}
		}
		if slices.Contains(m.Options, "one") && slices.Contains(m.Options, "two") {
			return errors.New("not both")
		}
		return nil
	}}
	var got []string
	for _, p := range o.Check(filepath.Join(dir, "x.toml")) {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
	}
	want := []string{"x.toml:7:12: mount.options: not /a foo", "x.toml:7:29: mount.options: not /a bar", "x.toml:8:1: mount: not /b rnosuid", "x.toml:12:1: mount: not both"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A table that is none misses no keys.
func TestNoTableMissesNothing(t *testing.T) {
	got := problemsOf(t, "x.toml", "version = 1\nrootfs = 'x'\nprocess = ['x']")
	if len(got) != 2 || !strings.HasPrefix(got[0], "x.toml:2:1: rootfs: want a table") || !strings.HasPrefix(got[1], "x.toml:3:1: process: want a table") {
		t.Errorf("%q", got)
	}
}

// A byte order mark is no part of the first key.
func TestByteOrderMark(t *testing.T) {
	got := problemsOf(t, "x.toml", "\ufeffprocess.nice = 50\n"+minimal)
	if len(got) != 1 || !strings.HasPrefix(got[0], "x.toml:1:9: process.nice: ") {
		t.Errorf("%q", got)
	}
}

// What is to come is refused by name, with what does for now.
func TestLater(t *testing.T) {
	for more, want := range map[string]string{
		"image.ref = 'x'":                           "image: not supported yet (use rootfs.path)",
		"[[image]]\nref = 'x'":                      "image: not supported yet (use rootfs.path)",
		"health.cmd = ['x']":                        "health: not supported yet (use systemd.notify or a timer)",
		"update.policy = 'registry'":                "update: not supported yet",
		"network.mode = 'bridge:br0'":               `network.mode: "bridge:br0": want "none", "host" or "path:/FILE": mode bridge is not supported yet`,
		"network.mode = 'macvlan:eth0'":             `network.mode: "macvlan:eth0": want "none", "host" or "path:/FILE": mode macvlan is not supported yet`,
		"network.hosts = ['x']":                     "network.hosts: not supported yet (mount a hosts file)",
		"network.dns_search = ['x']":                "network.dns_search: not supported yet (mount a resolv.conf)",
		"namespaces.pid = 'container:web'":          `namespaces.pid: "container:web": want "private", "host" or "path:/FILE": container is not supported yet`,
		"process.stdin = true":                      "process.stdin: not supported yet (run -i gives the payload its own)",
		"process.reload_signal = 'HUP'":             "process.reload_signal: not supported yet (use systemd.service ExecReload)",
		"process.scheduler = 'deadline:1'":          `process.scheduler: "deadline:1": want "other", "batch", "idle", or "fifo:N", "rr:N" with N from 1 to 99; deadline is not supported yet`,
		"systemd.notify = 'healthy'":                `systemd.notify: "healthy": want one of "started", "container"; "healthy" is not supported yet`,
		"systemd.conditions = { PathExists = '/' }": "systemd.conditions: not supported yet (use systemd.unit ConditionPathExists and the like)",
		"log.driver = 'k8s-file'":                   `log.driver: "k8s-file": want one of "journald", "passthrough", "none"; "k8s-file" is not supported yet`,
		"log.rate_burst = 5":                        "log.rate_burst: not supported yet (use systemd.service LogRateLimitBurst)",
		"[[mount]]\nrelabel = 'shared'":             "mount.relabel: not supported yet",
		"[[device]]\ncdi = 'a/b=c'":                 "device.cdi: not supported yet",
	} {
		if got := problemsOf(t, "x.toml", minimal+more); !slices.ContainsFunc(got, func(p string) bool { return strings.HasSuffix(p, ": "+want) }) {
			t.Errorf("%s: %q, want %s", more, got, want)
		}
	}
}

// Every key the format is to have in the end is accepted, renamed with a hint, or refused by name as one of a coming version:
// none of them is a mistake. The three of minimal are accepted all the time.
func TestEveryKeyToCome(t *testing.T) {
	const later, mount = "not supported yet", "[[mount]]\nsource = '/a'\ntarget = '/a'\n"
	for _, k := range []struct{ key, value, want string }{
		{"name", "'a'", ""},
		{"description", "'a'", ""},
		{"extends", "['a']", later},
		{"labels", "{ a = 'b' }", later},
		{"annotations", "{ a = 'b' }", later},
		{"image.ref", "'a'", later},
		{"image.pull", "'a'", later},
		{"image.platform", "'a'", later},
		{"image.auth_file", "'a'", later},
		{"image.verify", "'a'", later},
		{"rootfs.read_only", "true", ""},
		{"rootfs.overlay", "'tmpfs'", later},
		{"rootfs.overlay_size", "'1M'", later},
		{"rootfs.propagation", "'rslave'", ""},
		{"process.entrypoint", "['a']", later + " (use process.args, which is the whole command)"},
		{"process.cwd", "'/a'", ""},
		{"process.user", "'a'", ""},
		{"process.groups", "[1]", ""},
		{"process.umask", "'0022'", ""},
		{"process.env", "{ A = 'b' }", ""},
		{"process.env_files", "['-/none']", ""},
		{"process.env_pass", "['LC_*']", ""},
		{"process.terminal", "true", ""},
		{"process.stdin", "true", later},
		{"process.init", "true", ""},
		{"process.no_new_privileges", "true", ""},
		{"process.oom_score_adj", "0", ""},
		{"process.rlimits", "{ nofile = '4096:8192' }", ""},
		{"process.stop_signal", "'SIGTERM'", ""},
		{"process.reload_signal", "'HUP'", later},
		{"process.reload_cmd", "['a']", later},
		{"process.nice", "1", ""},
		{"process.scheduler", "'fifo:10'", ""},
		{"process.io_class", "'be:4'", ""},
		{"process.exec_cpus", "'0'", ""},
		{"capabilities.preset", "'none'", ""},
		{"capabilities.add", "['CHOWN']", ""},
		{"capabilities.drop", "['CAP_CHOWN']", ""},
		{"capabilities.ambient", "['CHOWN']", ""},
		{"namespaces.pid", "'private'", ""},
		{"namespaces.ipc", "'private'", ""},
		{"namespaces.uts", "'private'", ""},
		{"namespaces.cgroup", "'private'", ""},
		{"namespaces.time", "'private'", ""},
		{"namespaces.mount", "'private'", ""},
		{"namespaces.pid", "'container:a'", later},
		{"namespaces.join", "'a'", later},
		{"userns.mode", "'none'", ""},
		{"userns.mode", "'auto'", ""},
		{"userns.mode", "'keep-id'", later},
		{"userns.mode", "'managed'", later},
		{"userns.size", "65536", ""},
		{"userns", "{ mode = 'manual', uid_map = ['0:1:2'], gid_map = ['0:1:2'] }", ""},
		{"userns.subid_owner", "'a'", later},
		{"mount.type", "'bind'", ""},
		{"mount.read_only", "true", ""},
		{"mount.recursive", "true", ""},
		{"mount.create", "'none'", ""},
		{"mount.create", "'dir'", ""},
		{"mount.create", "'file'", ""},
		{"mount.create", "'dir:0755:1000:1000'", ""},
		{"mount.idmap", "true", ""},
		{"mount.propagation", "'rprivate'", ""},
		{"mount.optional", "true", ""},
		{"mount.relabel", "'none'", later},
		{"mount.type", "'volume'", later},
		{"mount.type", "'image'", later},
		{"device", "[{ path = '/dev/null', access = 'rwm' }]", ""},
		{"device", "[{ cdi = 'a/b=c' }]", later},
		{"network.mode", "'none'", ""},
		{"network.mode", "'host'", ""},
		{"network.mode", "'bridge'", later},
		{"network.mode", "'bridge:a'", later},
		{"network.mode", "'pasta'", later},
		{"network.mode", "'cni:a'", later},
		{"network.mode", "'netavark:a'", later},
		{"network.mode", "'container:a'", later},
		{"network.mode", "'macvlan:a'", later},
		{"network.hostname", "'a'", ""},
		{"network.publish", "['a']", later},
		{"network.dns", "['a']", later},
		{"network.dns_search", "['a']", later},
		{"network.hosts", "['a']", later},
		{"network.address", "['a']", later},
		{"network.aliases", "['a']", later},
		{"network.devices", "['a']", later},
		{"network.mac", "'a'", later},
		{"network.allow", "['10.0.0.0/8', 'localhost']", ""},
		{"network.deny", "['any']", ""},
		{"resources.tasks", "'10%'", ""},
		{"resources.memory.max", "'1M'", ""},
		{"resources.memory.high", "'1M'", ""},
		{"resources.memory.low", "'1M'", ""},
		{"resources.memory.min", "'1M'", ""},
		{"resources.memory.swap_max", "'1M'", ""},
		{"resources.memory.zswap_max", "'1M'", ""},
		{"resources.cpu", "{ quota = '150%', period = '100ms', burst = '1ms', weight = 'idle', cpus = '0-3,8', mems = '0' }", ""},
		{"resources.io.weight", "5", ""},
		{"resources.io.read_bps", "{ '/dev/sda' = 5 }", ""},
		{"resources.io.write_bps", "{ '/dev/sda' = 5 }", ""},
		{"resources.io.read_iops", "{ '/dev/sda' = 5 }", ""},
		{"resources.io.write_iops", "{ '/dev/sda' = 5 }", ""},
		{"resources.io.latency_target", "{ '/dev/sda' = '5ms' }", "did you mean resources.io.latency?"},
		{"resources.hugepages", "{ '2MB' = '2M' }", ""},
		{"resources.unified", "{ 'memory.high' = '5' }", ""},
		{"security.profile", "'strict'", later},
		{"security.profile", "'privileged'", later},
		{"security.seccomp", "'default'", ""},
		{"security.apparmor", "'a'", later},
		{"security.selinux.type", "'a'", later},
		{"security.mask", "['/a']", ""},
		{"security.unmask", "['/proc/kcore']", ""},
		{"security.read_only_paths", "['/a']", ""},
		{"security.sysctl", "{ 'net.ipv4.ip_forward' = 1 }", ""},
		{"security.device_policy", "'closed'", ""},
		{"security.personality", "'LINUX32'", ""},
		{"systemd.slice", "'a.slice'", ""},
		{"systemd.unit", "'scope'", later},
		{"systemd.unit", "'split'", later},
		{"systemd.type", "'notify'", later},
		{"systemd.notify", "'started'", ""},
		{"systemd.notify", "'healthy'", later},
		{"systemd.watchdog", "'5s'", later},
		{"systemd.restart", "'no'", ""},
		{"systemd.restart_delay", "'100ms'", ""},
		{"systemd.start_limit", "'5/10s'", ""},
		{"systemd.start_timeout", "'5s'", ""},
		{"systemd.stop_timeout", "'5s'", ""},
		{"systemd.runtime_max", "'5s'", ""},
		{"systemd.kill_mode", "'mixed'", later},
		{"systemd.oom_policy", "'kill'", "did you mean resources.memory.oom_policy?"},
		{"systemd.delegate", "true", later},
		{"systemd.after", "['a.service']", ""},
		{"systemd.before", "['a.service']", ""},
		{"systemd.requires", "['a.service']", ""},
		{"systemd.wants", "['a.service']", ""},
		{"systemd.binds_to", "['a.service']", ""},
		{"systemd.part_of", "['a.service']", ""},
		{"systemd.conflicts", "['a.service']", ""},
		{"systemd.conditions", "{ PathExists = '/x' }", later},
		{"systemd.wanted_by", "['a.target']", ""},
		{"systemd.scope", "{ CPUWeight = 5 }", ""},
		{"systemd.service", "{ Nice = 5 }", ""},
		{"socket", "[{ listen = ['tcp:[::]:80'] }]", later},
		{"credential", "[{ name = 'a' }]", later},
		{"log.driver", "'journald'", ""},
		{"log.driver", "'k8s-file'", later},
		{"log.identifier", "'a'", ""},
		{"log.stdout_level", "'info'", ""},
		{"log.stderr_level", "'warning'", ""},
		{"log.fields", "{ A = 'b' }", ""},
		{"log.level_max", "'5'", later},
		{"log.rate_burst", "'5'", later},
		{"log.rate_interval", "'5'", later},
		{"log.namespace", "'5'", later},
		{"log.path", "'5'", later},
		{"log.max_size", "'5'", later},
		{"health.cmd", "['a']", later},
		{"hooks.dirs", "['a']", later},
		{"update.policy", "'off'", later},
		{"checkpoint.on_stop", "true", later},
		{"oci.base", "'a'", later},
		{"oci.patch", "{}", later},
	} {
		doc := minimal
		key, inMount := strings.CutPrefix(k.key, "mount.")
		if inMount {
			doc += mount
		}
		doc += key + " = " + k.value + "\n"
		got := problemsOf(t, "x.toml", doc)
		if (len(got) > 0) != (k.want != "") || len(got) > 1 || len(got) == 1 && !strings.Contains(got[0], k.want) {
			t.Errorf("%s = %s: %q, want %q", k.key, k.value, got, k.want)
		}
	}
}

// A name from elsewhere gets the one it has here.
func TestGuesses(t *testing.T) {
	for more, want := range map[string]string{
		"[stop]\ntimeout = 5":                                 "stop: unknown key; did you mean process.stop_signal or systemd.stop_timeout?",
		"[image]\nname = 'x'":                                 "image: not supported yet (use rootfs.path)",
		"[process.capabilities]\nadd = ['x']":                 "process.capabilities: unknown key; did you mean [capabilities]?",
		"process.capability = ['x']":                          "process.capability: unknown key; did you mean [capabilities]?",
		"[process]\nstop_timeout = '5s'":                      "process.stop_timeout: unknown key; did you mean systemd.stop_timeout?",
		"[memory]\nmax = '64M'":                               "memory: unknown key; did you mean [resources.memory]?",
		"[resource]\nmemory = '64M'":                          `resource: unknown key; did you mean "resources"?`,
		"resources.memory = '64M'":                            "resources.memory: want a table: [resources.memory] of high, low, managed_oom_preference, managed_oom_pressure, managed_oom_pressure_limit, managed_oom_swap, max, min, oom_policy, swap_max, zswap_max",
		"resources.memory.limit = '64M'":                      "resources.memory.limit: unknown key; did you mean resources.memory.max?",
		"resources.memory_max = '64M'":                        "resources.memory_max: unknown key; did you mean resources.memory.max?",
		"resources.limits.memory = '64M'":                     "resources.limits: unknown key; did you mean [resources]?",
		"[systemd]\nMemoryMax = '64M'":                        "systemd.MemoryMax: unknown key; did you mean resources.memory.max?",
		"hostname = 'x'":                                      "hostname: unknown key; did you mean network.hostname?",
		"user = 'x'":                                          "user: unknown key; did you mean process.user?",
		"command = 'x'":                                       "command: unknown key; did you mean process.args?",
		"[[mounts]]\nsource = '/x'":                           `mounts: unknown key; did you mean "mount"?`,
		"volumes = ['/a:/b']":                                 "volumes: unknown key; did you mean [[mount]]?",
		"[[mount]]\ntarget = '/x'\nsource = '/s'\npath = '/'": "mount.path: unknown key; did you mean mount.target?",
		"noNewPrivileges = true":                              "noNewPrivileges: unknown key; did you mean process.no_new_privileges?",
		"restart = 'always'":                                  "restart: unknown key; did you mean systemd.restart?",
		"namespaces.user = 'host'":                            "namespaces.user: unknown key; did you mean userns.mode?",
		"zzz = 1":                                             "zzz: unknown key; accepted here: ",
	} {
		if got := problemsOf(t, "x.toml", minimal+more); len(got) == 0 || !strings.Contains(got[0], ": "+want) {
			t.Errorf("%s: %q, want %s", more, got, want)
		}
	}
	for name, key := range elsewhere() {
		if find(key) == nil && !hasPrefix(key+".") && !hasPrefix(key+"[].") && !strings.HasPrefix(key, "mount.") && !strings.HasPrefix(key, "device.") {
			t.Errorf("%s: there is no %s", name, key)
		}
	}
}
