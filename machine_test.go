// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// What a start would fail for on this machine as it is now is a warning at its key: an unknown setting of the kernel,
// an overlay over two mounts, directories that meet files.
func TestCheckWarnsOfThisMachine(t *testing.T) {
	const toml = `version = 1
rootfs.path = "root"
process = { args = ["/x"], cwd = "/opt" }
security.sysctl = { "net.ipv4.ip_forward" = 1, "net.ipv4.ip_foward" = 1, "net.ipv4.conf.eth9.forwarding" = 1, "net.ipv4.conf.eth9.none" = 1 }
[[mount]]
source = "root"
target = "/etc/passwd"
[[mount]]
source = "root/etc/passwd"
target = "/etc"
[[mount]]
source = "root"
target = "/x/y"
[[mount]]
source = "root"
target = "/link/passwd"
[[mount]]
source = "root/etc/passwd"
target = "/new"
[[mount]]
type = "overlay"
target = "/layers"
lower = ["root"]
upper = "upper"
work = "/proc"
[[mount]]
type = "overlay"
target = "/together"
lower = ["root"]
upper = "upper"
work = "work"
[[mount]]
source = "root/etc/passwd"
target = "/together/on-a-mount"
`
	dir := t.TempDir()
	for _, name := range []string{"root/etc", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "root/link")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x.toml")
	for name, text := range map[string]string{"root/etc/passwd": "", "root/x": "", "root/opt": "", "x.toml": toml} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	problems, warnings := sdcontainer.Check(file, unitgen.Options{})
	got := ""
	for _, w := range warnings {
		got += w.String()[len(file):] + "\n"
	}
	const want = `:3:28: process.cwd: "/opt": this or a part of it is a file in the root
:4:48: security.sysctl.net.ipv4.ip_foward: this kernel does not have it now: there is no /proc/sys/net/ipv4/ip_foward
:4:111: security.sysctl.net.ipv4.conf.eth9.none: this kernel does not have it now: there is no /proc/sys/net/ipv4/conf/eth9/none
:7:1: mount.target: "/etc/passwd": is a file in the root, and what is to be mounted there a directory
:10:1: mount.target: "/etc": is a directory in the root, and what is to be mounted there a file
:13:1: mount.target: "/x/y": a part of this path is a file in the root
:16:1: mount.target: "/link/passwd": is a file in the root, and what is to be mounted there a directory
:22:1: mount.target: "/layers": the directories of upper and work lie in different mounts: the kernel wants them in one
`
	if len(problems) > 0 || got != want {
		t.Errorf("%v, with the warnings\n%s", problems, got)
	}
}

// What this machine has not got is no mistake of the file: another may have it.
func TestCheckTellsWhatTheMachineLacks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	const text = "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n[resources]\n" +
		"io.latency = { '/dev/nothing' = '25ms' }\nhugepages = { '3MB' = '9M' }\n"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o700), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	problems, warnings := sdcontainer.Check(file, unitgen.Options{})
	told := strings.ReplaceAll(texts(warnings), file, "")
	if len(problems) > 0 || len(warnings) != 3 || !strings.Contains(told, "\n:5:4: resources.io.latency: stat /dev/nothing: no such file or directory\n"+
		":6:15: resources.hugepages.3MB: this machine has no huge pages of 3MB (it has: ") {
		t.Errorf("%v, with the warnings %q", problems, warnings)
	}
}

// CPUs and memory nodes that this machine has not got, and a share of its memory above what the container may have.
func TestCheckTellsWhatTheMachineIsTooSmallFor(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	const text = "version = 1\nrootfs.path = 'root'\nprocess = { args = ['x'], exec_cpus = '0,8001' }\n[resources]\n" +
		"cpu = { cpus = '0,8000-8002,8100', mems = '0,8003' }\nmemory = { min = '50%', low = '1K', high = '100%', max = '1M' }\n" +
		"[systemd.scope]\nStartupAllowedCPUs = '[byte 1]'\n"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o700), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	problems, warnings := sdcontainer.Check(file, unitgen.Options{})
	want := []string{":3:21: process.args: executable \"x\" is looked up", ":3:27: process.exec_cpus: this machine has no CPU 8001 now (it has: 0", ":5:9: resources.cpu.cpus: this machine has no CPU 8000-8002,8100 now (it has: 0",
		":5:36: resources.cpu.mems: this machine has no memory node 8003 now (it has: 0", ":6:12: resources.memory.min: is ", ":6:37: resources.memory.high: is "}
	told := strings.Split(strings.ReplaceAll(texts(warnings), file, ""), "\n")
	if len(problems) > 0 || len(warnings) != len(want) {
		t.Fatalf("%v, with the warnings %q", problems, told)
	}
	for i, w := range want {
		if !strings.HasPrefix(told[i], w) || i > 3 && !strings.HasSuffix(told[i], " bytes on this machine, more than the 1048576 that MemoryMax= lets it have") {
			t.Errorf("%q, want %q", told[i], w)
		}
	}
}
