// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What cannot be read hides nothing else.
func TestSyntaxHidesNothing(t *testing.T) {
	got := problemsOf(t, "x.toml", `version = 2
name = "a"
name = "b"
[process]
args = ["/bin/sh", "-c"
cwd = "etc
nice = = 1
umask = 22
[rootfs]
path = 5
[network
mode = "bridge"
[process]
user = 5
[resources]
tasks = "many"
[nmaes]
[log]
driver = """
[security]
`)
	want := []string{"1:1: version: 2: ", "3:1: name: ", "6:1: process.args: ", "6:11: process.cwd: strings", "7:8: process.nice: ", "8:1: process.umask: ", "10:1: rootfs.path: ",
		"11:9: expected", "13:2: process: given twice, first in line 4", "16:1: resources.tasks: ", "17:1: nmaes: ", "20:11: log.driver: "}
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], "x.toml:"+w) {
			t.Errorf("%q, want %q", got[i], w)
		}
	}
}

// What is never closed does not cost its length again for each line that follows.
func TestSyntaxOfALongFile(t *testing.T) {
	start := time.Now()
	_, _, s := decode("long.toml", []byte(strings.Repeat("[a]\nx = {\n", 100_000)))
	if len(s.problems) == 0 || !s.partial {
		t.Errorf("%d problems", len(s.problems))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A value without quotes, the commonest slip, is told by its key with what that takes.
func TestSyntaxTellsWhatTheKeyTakes(t *testing.T) {
	const size = `want a size like "512M" (K, M, G, T are powers of 1024), a number of bytes, "50%" or "infinity"`
	for more, want := range map[string]string{
		"[resources.memory]\nmax = 512M # most\nhigh = 1":          `5:10: resources.memory.max: 512M: ` + size + `; write it in quotes: "512M"`,
		"[resources.memory]\nhigh = infinity":                      `5:11: resources.memory.high: infinity: ` + size + `; write it in quotes: "infinity"`,
		"resources.memory = { high = 1, max = 5 M, low = 1 }":      `4:40: resources.memory.max: 5 M: ` + size,
		"resources = { memory = { max = 512M } }":                  `4:35: resources.memory.max: 512M: ` + size + `; write it in quotes: "512M"`,
		"[systemd]\nstop_timeout = 10s\nrestart = 'no'":            `5:18: systemd.stop_timeout: 10s: want a time like "10s", "1min 30s", "500ms", a number of seconds or "infinity"; write it in quotes: "10s"`,
		"process.terminal = yes":                                   `4:20: process.terminal: yes: want true or false, without quotes`,
		"process.umask = 022":                                      `4:17: process.umask: 022: want an octal mode in quotes like "0755"; write it in quotes: "022"`,
		"network.mode = host":                                      `4:16: network.mode: host: want "none", "host" or "path:/FILE"; write it in quotes: "host"`,
		"process.nice = 5 6":                                       `4:17: process.nice: 5 6: want a whole number from -20 to 19`,
		"process.env_pass = [HOME]":                                `4:21: process.env_pass: HOME: want a string; write it in quotes: "HOME"`,
		"process.env_pass = HOME":                                  `4:20: process.env_pass: HOME: want a list of strings like ["a", "b"]`,
		"process.env = { A = b, C = 'd' }":                         `4:21: process.env.A: b: want a string, number or boolean, without NUL characters; write it in quotes: "b"`,
		"process.env = b":                                          `4:15: process.env: "b": want a table of text like { NAME = ... }`,
		"resources = b":                                            `4:13: resources: want a table: [resources] of cpu, `,
		"mount = /x":                                               `4:9: mount: want tables: [[mount]]`,
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/x'\nsize = 5M":      `7:9: mount.size: 5M: ` + size + `; write it in quotes: "5M"`,
		"mount = [{ type = 'tmpfs', target = '/x', size = 5M }]":   `4:51: mount.size: 5M: ` + size + `; write it in quotes: "5M"`,
		"process.nice = 99999999999999999999":                      `4:16: process.nice: 99999999999999999999: want a number from -9223372036854775808 to`,
		"process.cwd = ":                                           `4:1`,
		"process = { cwd = '/', nice 5 }":                          `4:29: process: expected '.' or '=', but got '5' instead`,
		"nonsense = x\nprocess.nice = 1":                           `4:12: nonsense: expected value but found "x" instead`,
		"[process.env]\n\"a.b\" = c":                               `5:9: process.env.a.b: c: want a string, number or boolean, without NUL characters; write it in quotes: "c"`,
		"process.env_files = ['-/a',\n  -/b,\n]\nprocess.nice = 1": `5:3: process.env_files: -/b: want a string; write it in quotes: "-/b"`,
		"[resources.cpu]\nquota = 50%, weight = 5":                 `5:11: resources.cpu.quota: 50%: want a share of CPU time like "150%" (one and a half CPUs), at least "1%", or "infinity"; write it in quotes: "50%"; write each key on a line of its own`,
		"[resources.memory]\nlow = 512M; high = 5":                 `5:10: resources.memory.low: 512M: ` + size + `; write it in quotes: "512M"; write each key on a line of its own`,
		"[log]\nidentifier = \"a, b = c\", driver = 'none'":        `5:24: log.driver: write each key on a line of its own`,
		"[log]\nidentifier = 'a'; driver = 'none'":                 `5:17: log.driver: write each key on a line of its own`,
		"[resources.memory]\nmax = 5, high = '4'\nlow = 3":         `5:8: resources.memory.high: write each key on a line of its own`,
		"[resources.memory]\nmax = 5; high = '4'":                  `5:8: resources.memory.max: write each key on a line of its own`,
	} {
		for _, end := range []string{"", "\n"} {
			got := problemsOf(t, "x.toml", minimal+more+end)
			if len(got) != 1 || !strings.HasPrefix(got[0], "x.toml:"+want) {
				t.Errorf("%s: %q, want %s", more, got, want)
			}
		}
	}
}

// A key that is given twice is told as other keys are: where it begins, its quote counted, and as it is written.
func TestSyntaxTellsWhatIsGivenTwice(t *testing.T) {
	for more, want := range map[string]string{
		"[resources.io.read_bps]\n'/dev/sda' = '5M'\n\"/dev/sda\" = '6M'":                                        "6:1: resources.io.read_bps./dev/sda: given twice, first in line 5",
		"[resources.io.read_bps]\n\"/dev/sd.a[0]\" = '5M'\n\"/dev/sd.a[0]\" = '6M'":                              "6:1: resources.io.read_bps./dev/sd.a[0]: given twice, first in line 5",
		"resources.io.read_bps.'/dev/sda' = 5\nresources.io.read_bps.'/dev/sda' = 6":                             "5:23: resources.io.read_bps./dev/sda: given twice, first in line 4",
		"[resources.memory]\nmax = 5\n[resources]\nmemory.'max' = 6":                                             "7:8: resources.memory.max: given twice, first in line 5",
		"process.env = { A = 'b', 'A' = 'c', B = '', B = '' }":                                                   "4:26: process.env.A: given twice, first in line 4",
		"process.env = { A = 'b', 'A' = 'c' }":                                                                   "4:26: process.env.A: given twice, first in line 4",
		"[systemd.scope]\n'CPUWeight' = 5\n  \"CPUWeight\" = 6":                                                  "6:3: systemd.scope.CPUWeight: given twice, first in line 5",
		"[[mount]]\ntype = 'tmpfs'\ntarget = '/a'\n[[mount]]\ntype = 'tmpfs'\ntarget = '/b'\n\"type\" = 'tmpfs'": "10:1: mount.type: given twice, first in line 8",
		"[process.env]\n\"\\u0041.B\" = 'x'\n'A.B' = 'y'":                                                        "6:1: process.env.A.B: given twice, first in line 5",
	} {
		got := problemsOf(t, "x.toml", minimal+more)
		if len(got) != 1 || got[0] != "x.toml:"+want {
			t.Errorf("%s: %q, want %s", more, got, want)
		}
	}
}

// A key whose value cannot be read is not missing, and what follows its end is read.
func TestSyntaxMissesNothing(t *testing.T) {
	for text, want := range map[string][]string{
		"version = 1\nrootfs.path = '/r'\nprocess.args = sh":                                        {`3:16: process.args: sh: want a list of strings like ["a", "b"]`},
		"version = 1\nrootfs.path = '/r'\nprocess.args = ['sh'":                                     {"3:20: process.args: expected a comma"},
		"version = 1\nprocess.args = ['sh']\nrootfs = { path = /r }":                                {"3:19: rootfs.path: /r: want a string in quotes"},
		"version = 1\nrootfs.path = '/r'\nprocess.args = ['sh\x00']\nfoo\xff = 1\nbar = 1":          {"3:19: process.args: TOML files cannot contain control characters: '0x00'", "4:1: ", "5:1: bar: unknown key"},
		"version = 1\nrootfs.path = '/r'\nprocess.args = [\n 'sh\x01', # ]\n '-c'] # x\n+\nbar = 1": {"4:4: process.args: TOML files", "6:1: ", "7:1: bar: unknown key"},
	} {
		got := problemsOf(t, "x.toml", text)
		if !slices.EqualFunc(got, want, func(got, want string) bool { return strings.HasPrefix(got, "x.toml:"+want) }) {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
}
