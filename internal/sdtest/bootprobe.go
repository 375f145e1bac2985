// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// probeSystemd tells why BootSystemd cannot work here.
func probeSystemd() error {
	if InSystemd() {
		return nil
	}
	if err := probeRoot(); err != nil {
		return err
	}
	if _, err := os.Stat(systemdPath); err != nil {
		return err
	}
	if err := probeOverlay(); err != nil {
		return err
	}
	_, err := cgroup2Mount()
	return err
}

// systemdPath is the manager's binary, in a rootfs or here.
const systemdPath = "/usr/lib/systemd/systemd"

// bootMark is in the environment of a System's PID 1.
const bootMark = "SDCONTAINER_BOOTED=1"

// InSystemd tells whether this process runs in a [System] or a guest:
// PID 1 is systemd and may be disturbed.
func InSystemd() bool {
	if probePID1() != nil {
		return false
	}
	env, _ := os.ReadFile("/proc/1/environ") // unreadable: not ours
	return bytes.Contains(env, []byte(bootMark)) || probeGuest() == nil
}

// cgroup2Mount is where the machine has its cgroup2 hierarchy.
func cgroup2Mount() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if left, right, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(right, "cgroup2 ") {
			return strings.Fields(left)[4], nil
		}
	}
	return "", errors.New("no cgroup2 file system is mounted")
}
