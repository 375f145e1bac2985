// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// The oldest kernel that has what every container needs.
const floorMajor, floorMinor = 5, 14

func checkKernel(context.Context, *app) finding {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return bad(broken, "", "uname: %v", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return bad(lacking, "", "Linux %s: unknown version", release)
	}
	if major < floorMajor || major == floorMajor && minor < floorMinor {
		return bad(broken, "upgrade the kernel", "Linux %s: want at least %d.%d", release, floorMajor, floorMinor)
	}
	return good("Linux %s", release)
}

// checkMountCalls tries the calls by which every mount is made.
func checkMountCalls(context.Context, *app) finding {
	mount, err := detachedTmpfs()
	if err != nil {
		return bad(broken, "upgrade the kernel; in a container: give it CAP_SYS_ADMIN", "%v", err)
	}
	defer mount.Close()
	f, err := kernel.OpenIn(mount, ".", unix.O_PATH)
	if err != nil {
		return bad(broken, "upgrade the kernel; in a container: its filter forbids the call", "%v", err)
	}
	_ = f.Close()
	return good("fsopen, fsmount, openat2, mount_setattr")
}

// detachedTmpfs is an empty file system that is mounted nowhere.
func detachedTmpfs() (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	f := os.NewFile(uintptr(fd), "tmpfs")
	if err := kernel.SetMountAttr(f, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkOverlay(context.Context, *app) finding {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return bad(lacking, "modprobe overlay", "%v: overlay mounts will not work", os.NewSyscallError("fsopen overlay", err))
	}
	_ = unix.Close(fd)
	return good("there")
}

// probeUserns makes a user namespace as containers get it.
func probeUserns(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1 << 30, Size: 1 << 16}}
	return nsexec.NewUserns(ctx, ids, ids)
}

func checkUserns(ctx context.Context, _ *app) finding {
	ns, err := probeUserns(ctx)
	if err != nil {
		return noUserns(err)
	}
	_ = ns.Close()
	return good("there")
}

func noUserns(err error) finding {
	return bad(lacking, "sysctl -w user.max_user_namespaces=10000", "%v: only configurations with userns.mode = \"none\" work", err)
}

func checkIdmap(ctx context.Context, _ *app) finding {
	ns, err := probeUserns(ctx)
	if err != nil {
		return bad(lacking, "see user namespaces below", "not known without user namespaces")
	}
	defer ns.Close()
	mount, err := kernel.CloneMount("/", false)
	if err != nil {
		return bad(lacking, "see mount calls above", "%v", err)
	}
	defer mount.Close()
	if err := kernel.Idmap(mount, false, ns); err != nil {
		return bad(lacking, "use a root file system that has them: ext4, xfs, btrfs, since Linux 5.19 overlayfs",
			"the file system of / does not have them: %v", err)
	}
	return good("the file system of / has them")
}

func checkTimens(context.Context, *app) finding {
	if _, err := os.Stat("/proc/self/ns/time"); err != nil {
		return bad(lacking, "a kernel with CONFIG_TIME_NS", "missing: namespaces.time = \"private\" will not work")
	}
	return good("there")
}

// checkSeccomp asks whether the filter's strongest answer is known.
func checkSeccomp(context.Context, *app) finding {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return noSeccomp(os.NewSyscallError("seccomp", errno))
	}
	return good("filters")
}

func noSeccomp(err error) finding {
	return bad(lacking, "a kernel with CONFIG_SECCOMP_FILTER", "%v: only configurations with security.seccomp = \"unconfined\" work", err)
}

// checkMemfd looks at what could keep the interpreter from being executed.
func checkMemfd(context.Context, *app) finding {
	const sysctl = "vm.memfd_noexec"
	b, err := os.ReadFile("/proc/sys/vm/memfd_noexec")
	if err != nil {
		return good("allowed in memory files") // Linux before 6.3
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(string(b))); n >= 2 {
		return bad(broken, "sysctl -w "+sysctl+"=1", "%s is %d: no program may be executed from memory", sysctl, n)
	}
	return good("allowed in memory files")
}

func checkLSM(context.Context, *app) finding {
	b, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		return bad(lacking, "mount -t securityfs securityfs /sys/kernel/security", "not known: %v", err)
	}
	return good("%s", strings.TrimSpace(string(b)))
}
