// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Releases are the Debian releases there are guests of, the newest last.
var Releases = []string{"12", "13"}

// Image is the built guest of one release; see test/vm/image.sh for what is in it.
type Image struct {
	Release string
	Dir     string
}

// Rootfs is the guest's root as a directory of the host.
func (i Image) Rootfs() string { return filepath.Join(i.Dir, "rootfs") }

// ModuleRoot is the top of the source tree the caller was started in.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}

// CacheDir is where guests are kept. Deleting it at any time is safe.
func CacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "sdcontainer", "vm"), nil
}

// FindImage returns where the guest of a release is or will be, and whether it is there.
func FindImage(release string) (Image, bool, error) {
	recipe, err := recipePath()
	if err != nil {
		return Image{}, false, err
	}
	text, err := os.ReadFile(recipe)
	if err != nil {
		return Image{}, false, err
	}
	cache, err := CacheDir()
	if err != nil {
		return Image{}, false, err
	}
	sum := sha256.Sum256(text)
	image := Image{release, filepath.Join(cache, release+"-"+hex.EncodeToString(sum[:6]))}
	_, err = os.Stat(filepath.Join(image.Dir, "disk.ext4"))
	return image, err == nil, nil
}

// EnsureImage returns the guest of a release, building it when the cache has none.
//
//   - building needs root, mmdebstrap and e2fsprogs, and takes half a minute
//   - what the recipe prints goes to log
func EnsureImage(ctx context.Context, release string, log io.Writer) (Image, error) {
	image, ok, err := FindImage(release)
	if ok || err != nil {
		return image, err
	}
	unlock, err := lockFile(image.Dir + ".lock")
	if err != nil {
		return image, err
	}
	defer unlock()
	if image, ok, err = FindImage(release); ok || err != nil {
		return image, err
	}
	recipe, err := recipePath()
	if err != nil {
		return image, err
	}
	cmd := exec.CommandContext(ctx, "sh", recipe, release, image.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return image, fmt.Errorf("build the guest of Debian %s: %w", release, err)
	}
	dropStale(image)
	return image, nil
}

func recipePath() (string, error) {
	root, err := ModuleRoot()
	return filepath.Join(root, "test", "vm", "image.sh"), err
}

// dropStale removes guests of the same release made by other recipes.
func dropStale(keep Image) {
	old, _ := filepath.Glob(filepath.Join(filepath.Dir(keep.Dir), keep.Release+"-*")) // the pattern is well formed
	for _, dir := range old {
		if !strings.HasPrefix(dir, keep.Dir) {
			_ = os.RemoveAll(dir) // a cache: what stays is only space
		}
	}
}

func lockFile(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock "+path, err)
	}
	return func() { f.Close() }, nil
}

// initScript is the guest's /init: reach the disk, plant the agent in /run, go.
const initScript = `#!/bin/busybox sh
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs dev /dev
for m in /modules/*; do /bin/busybox insmod $m || /bin/busybox echo "insmod $m failed"; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root || exec /bin/busybox echo "no root"
/bin/busybox mount -t tmpfs -o mode=755,nosuid,nodev run /root/run
/bin/busybox cp -a /run/. /root/run/
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
`

// agentUnit runs the agent as the last thing of a boot. What it starts must
// survive it and may be killed for memory without taking it along.
const agentUnit = `[Unit]
Description=Test harness agent
After=dbus.service systemd-journald.service
[Service]
ExecStart=/run/sdvm/agent
Environment=HOME=/root LANG=C.UTF-8
Restart=always
KillMode=process
OOMPolicy=continue
OOMScoreAdjust=-1000
TasksMax=infinity
`

// initramfs returns what the kernel unpacks before the disk is reachable: the
// guest's busybox and modules, the agent and its unit.
func initramfs(image Image, agent string) ([]byte, error) {
	var c cpio
	for _, dir := range []string{"bin", "modules", "run", "run/sdvm", "run/systemd", "run/systemd/system",
		"run/systemd/system/multi-user.target.wants", "run/systemd/system-generators"} {
		c.add(dir, unix.S_IFDIR|0o755, nil)
	}
	if err := c.maskGenerators(image); err != nil {
		return nil, err
	}
	c.add("init", unix.S_IFREG|0o755, []byte(initScript))
	c.add("run/systemd/system/sdvm-agent.service", unix.S_IFREG|0o644, []byte(agentUnit))
	c.add("run/systemd/system/multi-user.target.wants/sdvm-agent.service", unix.S_IFLNK|0o777, []byte("../sdvm-agent.service"))
	files := map[string]string{"run/sdvm/agent": agent, "bin/busybox": filepath.Join(image.Dir, "boot", "busybox")}
	modules, err := filepath.Glob(filepath.Join(image.Dir, "boot", "*.ko"))
	if err != nil {
		return nil, err
	}
	for _, file := range modules {
		files["modules/"+filepath.Base(file)] = file
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		data, err := os.ReadFile(files[name])
		if err != nil {
			return nil, err
		}
		c.add(name, unix.S_IFREG|0o755, data)
	}
	return c.close(), nil
}

// maskGenerators keeps a reload from running what writes no unit in a guest: a dozen programs, and
// half the time of a reload where the processor is emulated.
func (c *cpio) maskGenerators(image Image) error {
	generators, err := filepath.Glob(filepath.Join(image.Rootfs(), "usr/lib/systemd/system-generators/*"))
	if err != nil {
		return err
	}
	for _, g := range generators {
		c.add("run/systemd/system-generators/"+filepath.Base(g), unix.S_IFLNK|0o777, []byte("/dev/null"))
	}
	return nil
}

// cpio is an archive in the "newc" format the kernel unpacks.
type cpio struct {
	buf bytes.Buffer
	ino int
}

func (c *cpio) add(name string, mode uint32, data []byte) {
	c.ino++
	fmt.Fprintf(&c.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.buf.WriteString(name + "\x00")
	c.pad()
	c.buf.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

func (c *cpio) close() []byte {
	c.add("TRAILER!!!", 0, nil)
	return c.buf.Bytes()
}
