// SPDX-License-Identifier: Apache-2.0

package canary_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

// TestSeesKeyrings: a session keyring without a name is seen as long as a process lives on with it, root's by itself and others' by
// their number; one that systemd gave to a service is not.
func TestSeesKeyrings(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	if os.Getenv(holdUser) != "" {
		holdKeyring(t)
		return
	}
	somebody := 1900000000 + os.Getpid()
	for _, tt := range []struct {
		name, holds string
		uid         int
		want        func(serial string) string
	}{
		{"root's", "", 0, func(serial string) string { return "+ key " + serial + ": keyring _ses of uid 0\n" }},
		{"somebody's", "", somebody, func(string) string { return fmt.Sprintf("+ key count of uid %d: 1\n", somebody) }},
		{"of a service", "invocation_id", 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := keysNow(t)
			serial, end := keyring(t, tt.uid, tt.holds)
			diff := before.Diff(keysNow(t))
			if tt.want == nil {
				if strings.Contains(diff, serial) {
					t.Errorf("it is seen:\n%s", diff)
				}
				return
			}
			want := tt.want(serial)
			if !strings.Contains(diff, want) {
				t.Errorf("want %q, have:\n%s", want, diff)
			}
			end()
			for limit := time.Now().Add(10 * time.Second); strings.Contains(before.Diff(keysNow(t)), want); time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("its process has ended, and it is still there: %s", want)
				}
			}
		})
	}
}

// keysNow are those of the whole kernel: others may have some, and make more.
func keysNow(t *testing.T) canary.Snapshot {
	t.Helper()
	s := canary.Snapshot{}
	if err := canary.KeysOfKernel(s); err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	holdUser = "SDTEST_KEYRING_OF"
	holdKey  = "SDTEST_KEYRING_HAS"
)

// keyring starts a process with a session keyring of its own, and returns its number and how to end the process.
func keyring(t *testing.T, uid int, key string) (serial string, end func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSeesKeyrings$")
	cmd.Env = append(os.Environ(), fmt.Sprint(holdUser, "=", uid), holdKey+"="+key)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			in.Close()
			_ = cmd.Wait() // what it had to say it has said
		}
	}
	t.Cleanup(end)
	if serial, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(serial, "\n"), end
}

// holdKeyring is that process: whoever reads its first line may look.
func holdKeyring(t *testing.T) {
	runtime.LockOSThread() // whose user and whose keyring it is
	var uid int
	if _, err := fmt.Sscan(os.Getenv(holdUser), &uid); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		t.Fatal(errno)
	}
	id, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	if key := os.Getenv(holdKey); key != "" {
		if _, err := unix.AddKey("user", key, []byte("x"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("%08x\n", id)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other end is closed
}
