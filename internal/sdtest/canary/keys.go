// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// keyKind are keyrings and numbers of keys. That they become fewer is no difference: a keyring ends with the last process, and
// the last open file, that has it, and is collected some time after that, so a first snapshot may still have others' last ones.
const keyKind = "key"

// keys are the session keyrings of root, and how many keys the users of containers have: a container's keyring has no name, belongs
// to its root, and /proc/keys shows nobody another user's. Keys are the kernel's, not a namespace's: where others may use it, they
// come and go, and are not looked at.
func keys(_ context.Context, _ Watch, s Snapshot) error {
	if !alone() {
		return nil
	}
	return keysOfKernel(s)
}

// alone says whether all processes of this kernel are seen from here: the first pid namespace has always this number (PROC_PID_INIT_INO).
func alone() bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && ns == "pid:[4026531836]"
}

func keysOfKernel(s Snapshot) error {
	for _, list := range []struct {
		file string
		look func(Snapshot, []string)
	}{{"/proc/keys", sessionKeyring}, {"/proc/key-users", keysOfUser}} {
		b, err := os.ReadFile(list.file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a kernel without keys
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			list.look(s, strings.Fields(line))
		}
	}
	return nil
}

// sessionKeyring looks at a line of /proc/keys: serial, flags, usage, timeout, permissions, uid, gid, type, description.
func sessionKeyring(s Snapshot, f []string) {
	if len(f) < 9 || f[7] != "keyring" || !strings.HasPrefix(f[8], "_ses") {
		return
	}
	serial, err := strconv.ParseInt(f[0], 16, 32)
	if err == nil && !ofService(int(serial)) {
		s.put(keyKind, f[0], fmt.Sprintf("keyring %s of uid %s", strings.TrimSuffix(f[8], ":"), f[5]))
	}
}

// ofService says whether systemd made a session keyring, which has the invocation's id in it.
func ofService(keyring int) bool {
	b := make([]byte, 4096) // more keys than a service has when it starts
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, keyring, b, 0)
	for b = b[:min(max(n, 0), len(b))]; err == nil && len(b) >= 4; b = b[4:] {
		about, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(int32(binary.NativeEndian.Uint32(b))))
		if err == nil && strings.HasPrefix(about, "user;") && strings.HasSuffix(about, ";invocation_id") {
			return true
		}
	}
	return false
}

// keysOfUser looks at a line of /proc/key-users: uid, usage, keys/instantiated, keys/quota, bytes/quota.
func keysOfUser(s Snapshot, f []string) {
	if len(f) < 4 {
		return
	}
	uid, err := strconv.ParseUint(strings.TrimSuffix(f[0], ":"), 10, 32)
	if count, _, _ := strings.Cut(f[3], "/"); err == nil && !ofDistribution(uid) && count != "0" {
		s.put(keyKind, fmt.Sprintf("count of uid %d", uid), count)
	}
}

// ofDistribution tells the users of the system's services: each that starts has a keyring.
func ofDistribution(uid uint64) bool {
	const dynamic, dynamicEnd = 61184, 65519 // DynamicUser= of systemd.exec(5)
	return uid < 1000 || uid >= dynamic && uid <= dynamicEnd
}
