// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// fakeQEMU puts a shell script in QEMU's place. It has the console's path in
// $console and the guest's end of the port as descriptor 3.
func fakeQEMU(t *testing.T, script string) Image {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	head := "#!/bin/sh\nfor a; do case $a in file:*) console=${a#file:};; esac; done\necho $$ >" + dir + "/pid\n"
	for name, text := range map[string]string{"qemu-system-x86_64": head + script, "boot/busybox": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return Image{Release: "13", Dir: dir}
}

// hello is the agent's greeting and its answer to the first command, which
// settles the boot: {} is a Result without an error.
const hello = `printf '\001\000\000\000\000\011\000\000\000\002{}' >&3; `

func TestHungBootIsKilledAndItsConsoleShown(t *testing.T) {
	image := fakeQEMU(t, `echo "last words" >$console; exec sleep 1000`)
	_, err := boot(t.Context(), image, "tcg", 500*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "last words") {
		t.Errorf("got %v, want the console in it", err)
	}
	gone(t, image)
}

func TestHungCommandIsKilled(t *testing.T) {
	image := fakeQEMU(t, `echo "booted" >$console;`+hello+`exec sleep 1000`)
	v, err := boot(t.Context(), image, "tcg", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = v.Exec(ctx, Command{Request: wire.Request{Args: []string{"loop"}}})
	if err == nil || !strings.Contains(err.Error(), "booted") || !strings.Contains(err.Error(), "loop") {
		t.Errorf("got %v, want the command and the console in it", err)
	}
	gone(t, image)
	if err := v.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestQEMUThatEndsIsNoticedAtOnce(t *testing.T) {
	image := fakeQEMU(t, `echo "no such machine" >&2; exit 1`)
	if _, err := boot(t.Context(), image, "tcg", time.Minute); !atOnce(err, "no such machine") {
		t.Errorf("got %v, want QEMU's complaint in it", err)
	}
}

func TestStoppedProcessorIsNoticedAtOnce(t *testing.T) {
	image := fakeQEMU(t, `echo "KVM internal error. Suberror: 1" >&2; exec sleep 1000`)
	if _, err := boot(t.Context(), image, "kvm", time.Minute); !atOnce(err, "KVM internal error") {
		t.Errorf("got %v, want QEMU's complaint in it", err)
	}
	gone(t, image)
}

// atOnce: the boot ended with a complaint of QEMU's, and not because it took too long.
func atOnce(err error, complaint string) bool {
	return err != nil && strings.Contains(err.Error(), complaint) && !errors.Is(err, context.DeadlineExceeded)
}

// TestEarlyComplaint: what QEMU says before anybody can end it is not lost.
func TestEarlyComplaint(t *testing.T) {
	var c complaints
	if _, err := c.Write([]byte("KVM internal error. Suberror: 1")); err != nil {
		t.Fatal(err)
	}
	ended := false
	c.onEnd(func() { ended = true })
	if !ended {
		t.Error("QEMU would stay stopped for ever")
	}
}

func TestKernelTroubleFailsTheRun(t *testing.T) {
	for line, bad := range map[string]bool{
		"BUG: kernel NULL pointer dereference, address: 0000000000000008":            true,
		"Oops: 0000 [#1] PREEMPT SMP NOPTI":                                          true,
		"Kernel panic - not syncing: Fatal exception":                                true,
		"WARNING: CPU: 1 PID: 212 at fs/namespace.c:1 mnt_init":                      true,
		"INFO: task sh:212 blocked for more than 120 seconds.":                       true,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 23s!":                          false, // emulated
		"BUG: soft lockup - CPU#0 stuck\nWARNING: CPU: 0 PID: 1 at mm/slub.c:1":      true,
		"Memory cgroup out of memory: Killed process 300 (sh) total-vm:1000kB":       false,
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed": false,
	} {
		image := fakeQEMU(t, `printf '%b\n' "`+line+`" >$console;`+hello+`exec sleep 1000`)
		v, err := boot(t.Context(), image, "tcg", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Close(); (err != nil) != bad {
			t.Errorf("%s: close says %v", line, err)
		}
	}
}

// gone fails the test when the fake is still there.
func gone(t *testing.T, image Image) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(image.Dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(text))); err == nil {
		t.Errorf("process %s of the guest is still there", text)
	}
}

func TestInitramfsFormat(t *testing.T) {
	var c cpio
	c.add("init", unix.S_IFREG|0o755, []byte("hi"))
	text := string(c.close())
	if !strings.HasPrefix(text, "070701") || len(text)%4 != 0 || !strings.Contains(text, "init\x00") || !strings.Contains(text, "TRAILER!!!") {
		t.Errorf("got %q", text)
	}
	if size := text[54:62]; size != "00000002" {
		t.Errorf("file size %s, want 00000002", size)
	}
}
