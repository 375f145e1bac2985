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
		"a = {b = 1\nc = 2}\n":              "2:1: a: expected a comma or an inline table terminator",
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
	const overlay = "[[mount]]\ntype = 'overlay'\ntarget = '/o'\n"
	for more, want := range map[string]string{
		"[[mount]]\nsource = '/'\ntarget = '/a'\nread_only = true\noptions = ['noexec', 'rw']":    `8:22: mount.options: "rw": contradicts read_only = true`,
		"[[mount]]\nsource = '/'\ntarget = '/a'\npropagation = 'slave'\noptions = ['rshared']":    `8:12: mount.options: "rshared": contradicts propagation`,
		"[[mount]]\nsource = '/'\ntarget = '/a'\nrecursive = false\noptions = ['rbind']":          `8:12: mount.options: "rbind": contradicts recursive = false`,
		"[[mount]]\nsource = '/'\ntarget = '/a'\nidmap = false\noptions = ['ridmap']":             `8:12: mount.options: "ridmap": want the key idmap instead`,
		"[[mount]]\nsource = '/'\ntarget = '/a'\ncreate = 'dir'\noptions = ['x-sdc.create=file']": `8:12: mount.options: "x-sdc.create=file": want the key create instead`,
		"[[mount]]\nsource = '/'\ntarget = '/a'\noptions = ['noexec', 'x-sdc.optional']":          `7:22: mount.options: "x-sdc.optional": want the key optional instead`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/a'\noptions = ['idmap']":                           `7:12: mount.options: "idmap": want the key idmap instead`,
		overlay + "lower = ['/a', '/b']\noptions = ['lowerdir=/c']":                               `8:12: mount.options: "lowerdir=/c": want the key lower instead`,
		overlay + "lower = ['/a', '/b']\noptions = ['metacopy=off', 'upperdir=/c']":               `8:28: mount.options: "upperdir=/c": want the key upper instead`,
		overlay + "lower = ['/a', '/b', '/a/']":                                                   `7:22: mount.lower: "/a": is a directory of lower already`,
		overlay + "lower = ['/a']\nupper = '/b'\nwork = '/b/'":                                    `9:1: mount.work: "/b/": want a directory beside that of upper`,
		overlay + "lower = ['/a']\nupper = '/b/c'\nwork = '/b'":                                   `9:1: mount.work: "/b": want a directory beside that of upper`,
		overlay + "lower = ['/a', '/b']\nupper = '/b'\nwork = '/bb'":                              `7:16: mount.lower: "/b": is a directory of upper already`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/a'\nsize = '1M'\noptions = ['size=2M']":            `8:12: mount.options: "size=2M": contradicts size`,
		"security = { unmask = ['/proc/kcore'], mask = ['/srv', '/proc/kcore'] }":                 `4:56: security.mask: "/proc/kcore": is in security.unmask too`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/a'\noptions = ['size=2%']":                         `7:12: mount.options: "size=2%": ends in %`,
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
		`process.env_pass = ["A\nB"]`:                                     `4:21: process.env_pass: "A\nB": want the name of a variable`,
		`process.env = { "A\nB" = "x" }`:                                  `4:17: process.env.`,
		`process.env = { "A B" = "x" }`:                                   `4:17: process.env.A B: "A B": want a name without '=', spaces and control characters`,
		`process.rlimits = { nofile = "9:infinity" }`:                     "4:21: process.rlimits.nofile: infinity: the kernel takes",
		`process.rlimits = { nofile = 5, RLIMIT_NOFILE = 6 }`:             "4:21: process.rlimits.nofile: RLIMIT_NOFILE is given already",
		"userns.mode = 'none'\nsystemd.notify = 'container'":              `5:9: systemd.notify: "container": needs a user namespace without id 0 of the host, which may name systemd any main PID (userns.mode is "none")`,
		"userns = { mode = 'manual', uid_map = ['0:0:65536'], gid_map = ['0:0:65536'] }\nsystemd.notify = 'container'": `5:9: systemd.notify: "container": needs a user namespace without id 0 of the host, which may name systemd any main PID (userns.uid_map has it)`,
		"userns.mode = 'manual'\nuserns.uid_map = ['0:4294967290:6']\nuserns.gid_map = ['0:9:1']":                      `5:19: userns.uid_map: "0:4294967290:6": want "CONTAINER:HOST:COUNT" with a COUNT above 0 and ids up to 4294967294`,
		// What goes with a value is not known of a wrong one.
		"resources.cpu = { quota = '1500m', period = '50ms', burst = '1ms' }":                     `4:19: resources.cpu.quota: "1500m": `,
		"userns = { mode = 'manul', uid_map = ['0:1:2'], gid_map = ['0:1:2'], size = 5 }":         `4:12: userns.mode: "manul": `,
		"resources.memory = { managed_oom_pressure = 'kil', managed_oom_pressure_limit = '60%' }": `4:22: resources.memory.managed_oom_pressure: "kil": `,
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
		overlay + "lower = ['/a', '/a/b']\nupper = '/u'\nwork = '/uu'", `systemd.slice = "-.slice"`, `systemd.slice = "a-b_c.slice"`, `network.hostname = "a_b.c-d"`, `process.groups = [65535]`,
		`systemd.after = ["a@b.service", "a@.service", "srv-a\\x2db.mount", "dbus-:1.2-a.b.swap", "%i.socket", "-.slice"]`,
		`systemd.wanted_by = ["` + strings.Repeat("a", 248) + `.timer"]`,
		"userns = { mode = 'manual', uid_map = ['0:1:5'], gid_map = ['0:1:5'] }\nsystemd.notify = 'container'\nsecurity.profile = 'system'",
		"userns.mode = 'path:/proc/9/ns/user'\nsystemd.notify = 'container'\nsecurity.profile = 'system'",
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

// Each mistake is told, in words that are true of it, and once.
func TestEachMistakeOnce(t *testing.T) {
	const overlay = "[[mount]]\ntype = 'overlay'\ntarget = '/o'\n"
	many := rangesOf(60, "%d:9%02[1]d:1")
	for more, want := range map[string][]string{
		overlay + "upper = '/u'":                {"4:1: mount.lower: missing", "7:1: mount.upper: upper and work go together"},
		overlay + "work = '/u'":                 {"4:1: mount.upper: upper and work go together", "4:1: mount.lower: missing"},
		overlay + "work = '/u'\nlower = ['/l']": {"4:1: mount.upper: upper and work go together"},
		// What may be meant is not missing.
		"[[mount]]\nsrc = '/'\ndst = '/a'":                                {`5:1: mount.src: unknown key; did you mean mount.source?`, "6:1: mount.dst: unknown key; did you mean mount.target?"},
		"[[mount]]\nsorce = '/'\ntarget = '/a'\n[[mount]]\ntarget = '/b'": {`5:1: mount.sorce: unknown key; did you mean "source"?`, "7:1: mount.source: missing"},
		"[[device]]\npth = '/dev/null'":                                   {`5:1: device.pth: unknown key; did you mean "path"?`},
		// What is in the place of a table.
		"[[systemd.service]]\nNice = 5": {"4:1: systemd.service: a list of tables: want a table like { NAME = ... }"},
		"[[network.mode]]\na = 5":       {`4:1: network.mode: a list of tables: want "none", "host"`},
		// Paths in the container.
		"security.mask = ['/proc/kcore/', '/', '', 'a', '/a/../b', '/a//b']": {
			`4:18: security.mask: "/proc/kcore/": want "/proc/kcore", without the slash at its end`, `4:34: security.mask: "/": is the root itself`, `4:39: security.mask: "": want an absolute path`,
			`4:43: security.mask: "a": want an absolute path`, `4:48: security.mask: "/a/../b": want an absolute path without ., .. and double slashes`, `4:59: security.mask: "/a//b": want an absolute path without ., .. and double`},
		"process.env_files = ['', '-', 'no such']": {`4:22: process.env_files: "": want a file`, `4:26: process.env_files: "-": want a file`, `4:31: process.env_files: "no such": no such file or directory (a leading -`},
		"userns = { mode = 'manual', uid_map = [" + many + "], gid_map = ['0:9:1'] }\nprocess.user = '70'": {
			`5:9: process.user: 70: is not among the ids of the user namespace, 0-0 and 1-1 and 2-2 and 3-3 and 56 more ranges`},
	} {
		got := problemsOf(t, "x.toml", minimal+more)
		if !slices.EqualFunc(got, want, func(got, want string) bool { return strings.HasPrefix(got, "x.toml:"+want) }) {
			t.Errorf("%s:\n got %q\nwant %q", more, got, want)
		}
	}
	for doc, want := range map[string][]string{
		"version = 1\nrootfs.path = '/r'\n[process]\narg = ['x']":                 {`4:1: process.arg: unknown key; did you mean "args"?`},
		"version = 1\nrootfs.path = '/r'\ncommand = ['x']":                        {"3:1: command: unknown key; did you mean process.args?"},
		"version = 1\nrootfs.path = '/r'\n[proces]\nargs = ['x']":                 {`3:1: proces: unknown key; did you mean "process"?`},
		"versoin = 1\nrootfs.pth = '/r'\n[process]\nargs = ['x']":                 {`1:1: versoin: unknown key; did you mean "version"?`, `2:8: rootfs.pth: unknown key; did you mean "path"?`},
		"version = 1\nrootfs.path = '/r'\n[process]\nargs = ['x']\n[process.arg]": {`5:1: process.arg: unknown key; did you mean "args"?`},
	} {
		got := problemsOf(t, "x.toml", doc)
		if !slices.EqualFunc(got, want, func(got, want string) bool { return strings.HasPrefix(got, "x.toml:"+want) }) {
			t.Errorf("%s:\n got %q\nwant %q", doc, got, want)
		}
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

// A name from elsewhere gets the one it has here.
func TestGuesses(t *testing.T) {
	for more, want := range map[string]string{
		"[stop]\ntimeout = 5":                                 "stop: unknown key; did you mean process.stop_signal or systemd.stop_timeout?",
		"[image]\nname = 'x'":                                 "image: not supported yet (use rootfs.path)",
		"[process.capabilities]\nadd = ['x']":                 "process.capabilities: unknown key; did you mean [capabilities]?",
		"process.capability = ['x']":                          "process.capability: unknown key; did you mean [capabilities]?",
		"process.stop_timeout = '5s'":                         "process.stop_timeout: unknown key; did you mean systemd.stop_timeout?",
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
		`bad.toml:37:1: resources.cpu.quota: 1.5: want a share of CPU time like "150%" (one and a half CPUs), at least "1%", or "infinity"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
