// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// C11: CVE-2019-14271. No verb opens, of a container, what a C library loads or reads by itself: libraries, modules of the name
// service and of character sets, locales, the name service's configuration.
func TestC11NothingOfTheContainerIsLoaded(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=loader" // instead of --rm
	events, names := watchOpens(t, flags[len(flags)-1], strings.Fields("etc/ld.so.preload etc/ld.so.cache etc/nsswitch.conf etc/hosts etc/host.conf etc/gai.conf etc/resolv.conf etc/localtime"+
		" lib/libnss_files.so.2 lib/libc.so.6 lib64/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libnss_files.so.2 usr/lib/x86_64-linux-gnu/gconv/gconv-modules usr/lib/locale/locale-archive"))
	if err := os.WriteFile(filepath.Join(flags[len(flags)-1], "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	verb := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("sdcontainer", args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
		for _, name := range opened(t, events, names) {
			t.Errorf("%v: /%s of the container was opened", args, name)
		}
	}
	verb(append(flags, "-d", "--", "sleep", "1000")...)
	for _, args := range []string{"ps", "top loader", "stats --no-stream", "inspect loader", "exec loader true", "exec -u 1000:1000 loader true", "exec -u root loader true", "exec -t loader true",
		"logs loader", "update --tasks 50 loader", "pause loader", "resume loader", "kill -s CONT loader", "stop loader", "wait loader", "rm loader"} {
		if args == "wait loader" { // its code is the payload's
			_ = exec.Command("sdcontainer", append(flags[:2:2], strings.Fields(args)...)...).Run()
			continue
		}
		verb(append(flags[:2:2], strings.Fields(args)...)...)
	}
	verb(append(flags[:3:3], "--no-strict", "--rm", "--rootfs", flags[len(flags)-1], "--", "true")...)
	// The payload's own opening is seen.
	if out, err := exec.Command("sdcontainer", append(flags[:3:3], "--no-strict", "--rm", "--rootfs", flags[len(flags)-1], "--", "cat", "/etc/hosts")...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := opened(t, events, names); len(got) == 0 || got[0] != "etc/hosts" {
		t.Errorf("seen of the payload: %v, want etc/hosts", got)
	}
}

// watchOpens plants files in a root, and watches who opens them.
func watchOpens(t *testing.T, root string, files []string) (events *os.File, names map[int]string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	events = os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { events.Close() })
	names = map[int]string{}
	for _, name := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		wd, err := unix.InotifyAddWatch(fd, file, unix.IN_OPEN)
		if err != nil {
			t.Fatal(err)
		}
		names[wd] = name
	}
	return events, names
}

// opened are the files that were opened since.
func opened(t *testing.T, events *os.File, names map[int]string) (list []string) {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Read(int(events.Fd()), b)
	if err != nil && err != unix.EAGAIN {
		t.Fatal(err)
	}
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		list = append(list, names[int(binary.NativeEndian.Uint32(b[at:]))])
		at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[at+12:]))
	}
	return list
}
