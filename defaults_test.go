// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// ping asks this machine for an echo, as ping(8) does where it has no rights of its own.
func ping([]string) error {
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP); err == nil {
		unix.Close(fd)
		return fmt.Errorf("may have a raw socket")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// An echo request; identifier and checksum are the kernel's to fill in.
	if err := unix.Sendto(fd, []byte{8, 0, 0, 0, 0, 0, 0, 1, 'h', 'i'}, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 64)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	fmt.Printf("type %d, %s", answer[0], answer[8:n])
	return nil
}

// By default everybody may ping without a capability, with or without a user namespace, and
// nobody has a raw socket for it: the kernel's setting allows it and the filter does not refuse it.
func TestPingWithoutRights(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*specs.Spec){
		"user":           func(s *specs.Spec) { s.Process.User.UID, s.Process.User.GID = 1000, 1000 },
		"root":           func(*specs.Spec) {},
		"root of a host": func(s *specs.Spec) { hostRoot(t, s) },
	} {
		spec := w.spec("ping", "/self", "other", "ping")
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/self", Type: "bind", Source: self, Options: []string{"bind", "ro"}})
		change(spec)
		if out, e := w.outputOf("ping", spec); e.Code != 0 || out != "type 0, hi" {
			t.Errorf("%s: %v, %s; want an answer", name, e, strings.TrimSpace(out))
		}
	}
}

// By default nobody in the container can put something into /dev, a payload's terminal and
// devices work all the same; who needs it writable says so, as docs/reference/config.md shows.
func TestDevIsReadOnly(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	own := configs.Setting{Key: "mount", Value: map[string]any{"target": "/dev", "type": "tmpfs", "size": "64k", "mode": "0755",
		"options": []any{"dev", "noexec", "nr_inodes=1024"}}}
	const script = "echo x >/dev/null && echo x >/dev/shm/x && (echo x >/dev/x) 2>/dev/null && echo written || echo refused"
	for name, tt := range map[string]struct {
		set  []configs.Setting
		want string
	}{
		"default":   {nil, "refused\n"},
		"own":       {[]configs.Setting{own}, "written\n"},
		"as a host": {[]configs.Setting{own, {Key: "userns.mode", Value: "none"}}, "written\n"},
		"system":    {[]configs.Setting{{Key: "security.profile", Value: "system"}}, "written\n"},
	} {
		set := append(tt.set, configs.Setting{Key: "systemd.strict", Value: false}, configs.Setting{Key: "log.driver", Value: "none"})
		spec, err := configs.FromRootfs("dev", w.root, []string{"/bin/sh", "-c", script}, set...)
		if err != nil {
			t.Fatal(err)
		}
		if out, e := w.outputOf("dev", spec); e.Code != 0 || out != tt.want {
			t.Errorf("%s: %v, %q, want %q", name, e, out, tt.want)
		}
	}
}
