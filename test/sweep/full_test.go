// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A configuration is a container to be swept.
type configuration struct {
	name string // in the report, behind the verb's
	// toml has DIR for the test's directory, NETNS for another network namespace and DEVICE for a device.
	toml string
	dirs []string // in DIR
	// open lets others into DIR: who mounts an overlay goes there as the container's root.
	open bool
	// terminal is for run in the foreground, which alone can have one.
	terminal bool
}

// plain has something of everything that a container needs.
var plain = configuration{toml: `version = 1
[rootfs]
path = "DIR/root"
[process]
args = ["/bin/true"]
[network]
hostname = "swept"
[[mount]]
source = "DIR/data"
target = "/data"
idmap = true
[[mount]]
type = "tmpfs"
target = "/cache"
[log]
driver = "none"
[systemd]
strict = false
`, dirs: []string{"root/run", "root/data", "root/cache", "data"}}

// logged has its output in the journal.
var logged = configuration{toml: strings.Replace(plain.toml, "[log]\ndriver = \"none\"\n", "", 1), dirs: plain.dirs}

// full has something of everything that makes steps.
var full = configuration{name: " (full)", open: true, terminal: true, toml: `version = 1
[rootfs]
path = "DIR/root"
read_only = true
propagation = "slave"
[process]
args = ["/bin/true"]
cwd = "/data"
user = "1000:1000"
groups = [10, 20]
umask = "0027"
env = { SWEPT = "yes" }
init = true
oom_score_adj = 100
nice = 5
scheduler = "batch"
io_class = "be:6"
parent_death_signal = "SIGKILL"
rlimits = { nofile = "1024:2048", nproc = "512:512" }
[capabilities]
ambient = ["CAP_NET_BIND_SERVICE"]
[namespaces]
time = "private"
[userns]
size = 131072
[network]
mode = "path:NETNS"
hostname = "swept"
domainname = "example"
[security]
mask = ["/etc/secret", "/etc/secrets"]
read_only_paths = ["/cache"]
sysctl = { "kernel.shm_rmid_forced" = "1", "fs.mqueue.msg_max" = "7" }
personality = "LINUX32"
[[mount]]
source = "DIR/data"
target = "/data"
idmap = true
[[mount]]
source = "DIR/shared"
target = "/shared"
read_only = true
propagation = "rslave"
[[mount]]
type = "tmpfs"
target = "/cache"
size = "1M"
mode = "1777"
[[mount]]
type = "overlay"
target = "/layers"
lower = ["DIR/shared", "DIR/lower"]
upper = "DIR/top/upper"
work = "DIR/top/work"
[[device]]
path = "DEVICE"
access = "r"
[systemd]
strict = false
`, dirs: []string{"root/run", "root/data", "root/cache", "root/shared", "root/layers", "root/etc/secrets", "data", "shared", "lower", "top/upper", "top/work"}}

// netns is the path of a network namespace that is somebody else's, for as long as the test.
func netns(t *testing.T) string {
	t.Helper()
	other := exec.Command("unshare", "--net", "sh", "-c", "echo made; exec sleep 10000")
	out, err := other.StdoutPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill() // it may have ended
		_ = other.Wait()         // killed
	})
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/net", other.Process.Pid)
}

// device is the path of a device that no container has by itself.
func device(t *testing.T) string {
	t.Helper()
	path := "/dev/" + name
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil { // as /dev/zero
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

// in is the TOML for a directory.
func (c configuration) in(t *testing.T, dir string) []byte {
	t.Helper()
	text := strings.ReplaceAll(c.toml, "DIR", dir)
	for word, path := range map[string]func(*testing.T) string{"NETNS": netns, "DEVICE": device} {
		if strings.Contains(text, word) {
			text = strings.ReplaceAll(text, word, path(t))
		}
	}
	return []byte(text)
}

// foreground is the command line that runs the container so.
func (m *machine) foreground(flags ...string) []string {
	if m.config.terminal {
		flags = append(flags, "-t")
	}
	return append(append([]string{"run"}, flags...), m.file)
}
