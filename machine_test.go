// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"os"
	"path/filepath"
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
