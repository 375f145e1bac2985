// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	for _, p := range Check(filepath.Join(dir, files[0])) {
		out = append(out, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	return out
}

func TestCheckManyMistakes(t *testing.T) {
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
		`bad.toml:34:1: resources.memory.high: is above resources.memory.max: it would never take effect`,
		`bad.toml:37:1: resources.cpu.quota: 1.5: want a share of CPU time like "150%" (one and a half CPUs) or "infinity"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
