// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// The payload of hostile containers is the test binary itself. It says "up" when
// it has begun, and one line for everything it got hold of and should not have.

// hostile is a Spec whose payload is spy(what).
func (w *world) hostile(id, what string) *specs.Spec {
	w.t.Helper()
	self := sdtest.Payload(w.t)
	spec := w.spec(id, "/spy", "spy", what)
	// Where the cgroup has a CPU controller, Go's runtime keeps its file open, which is no leak of ours.
	spec.Process.Env = append(spec.Process.Env, "GODEBUG=containermaxprocs=0")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: self, Destination: "/spy", Options: []string{"bind", "ro", "exec"}})
	return spec
}

// seize makes the calling thread the tracer of a process.
func seize(pid int) error {
	const ptraceSeize = 0x4206 // PTRACE_SEIZE
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceSeize, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// readMemory reads a byte of a process, at an address of ours.
func readMemory(pid int) error {
	var b [1]byte
	local := unix.Iovec{Base: &b[0], Len: 1}
	remote := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&b[0])), Len: 1}
	_, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
	return err
}

// endFirstThread ends the process's first thread alone, and says when it has. Whoever is on another keeps that one, so that the first
// one's turn comes.
func endFirstThread() {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		go endFirstThread()
		select {}
	}
	go func() {
		for f, err := kernel.StatFields(1); err == nil && f[0] != "Z"; f, err = kernel.StatFields(1) {
			runtime.Gosched()
		}
		fmt.Println("up")
		time.Sleep(time.Hour)
	}()
	// Not raw: Go's runtime would wait for the thread to stop for the garbage collector.
	_, _, errno := unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	fmt.Println(errno)
}

func spy(what string, args ...string) {
	switch what {
	case "tracer":
		fmt.Println("up")
		runtime.LockOSThread()
		trace()
	case "child": // of a shell that it holds on to
		runtime.LockOSThread()
		if err := seize(os.Getppid()); err != nil {
			fmt.Println(err)
		}
		fmt.Println("traced")
		time.Sleep(time.Hour)
	case "headless":
		endFirstThread()
	case "helpers":
		fmt.Println("up")
		runtime.LockOSThread() // a tracer is a thread
		spyOnHelpers()
	case "swap":
		fmt.Println("up")
		for {
			_ = unix.Renameat2(unix.AT_FDCWD, "/work/d", unix.AT_FDCWD, "/work/link", unix.RENAME_EXCHANGE) // again and again
		}
	case "cwd":
		b := make([]byte, unix.PathMax)
		n, err := unix.Getcwd(b)
		fmt.Printf("%q %v\n", b[:max(n-1, 0)], err)
	case "stdio":
		var open []string
		for fd := range 3 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				open = append(open, strconv.Itoa(fd))
			}
		}
		if err := os.WriteFile(args[0], []byte(strings.Join(open, " ")), 0o600); err != nil {
			panic(err)
		}
	case "hoarder": // of keys, until there are no more for its user
		for n := 0; ; n++ {
			if _, err := unix.AddKey("user", strconv.Itoa(n), []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING); err != nil {
				break
			}
		}
		fmt.Println("up")
		time.Sleep(time.Hour)
	case "keys":
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", "sdc-canary", 0)
		fmt.Println(err)
	case "notify":
		if err := abuseNotify(); err != nil {
			panic(err)
		}
	case "watchdog", "silent":
		if err := answerWatchdog(what == "watchdog"); err != nil {
			panic(err)
		}
	case "nodes":
		makeNodes()
	case "sleep":
		fmt.Println("up")
		time.Sleep(time.Hour)
	case "files":
		list, err := os.ReadDir("/proc/self/fd")
		fmt.Print(err)
		for _, e := range list {
			if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:[event") {
				fmt.Print(" ", e.Name())
			}
		}
		fmt.Println()
	}
}

// trace holds on to the first process it sees that is not its own, and never lets go.
func trace() {
	for {
		list, _ := os.ReadDir("/proc") // there will be another look
		for _, e := range list {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() || isHelper(e.Name()) {
				continue
			}
			if seize(pid) == nil {
				fmt.Println("traced")
				time.Sleep(time.Hour)
			}
		}
	}
}

// spyOnHelpers tries to get hold of every process that has entered the container
// and not executed its program yet.
func spyOnHelpers() {
	seen := map[string]bool{}
	for {
		list, err := os.ReadDir("/proc")
		if err != nil {
			fmt.Println("GOT nothing:", err)
			return
		}
		for _, e := range list {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() || !isHelper(e.Name()) {
				continue
			}
			if !seen[e.Name()] {
				seen[e.Name()] = true
				fmt.Println("seen", pid)
			}
			for what, try := range spyWays {
				if try("/proc/"+e.Name(), pid) && isHelper(e.Name()) {
					fmt.Println("GOT", what, "of", pid)
				}
			}
		}
	}
}

// isHelper: one that was forked and has not executed anything since. The kernel
// takes that mark away a little after it exchanged the memory: what has a program
// of the container's already is no helper, and the container's own to look at.
func isHelper(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 7 || f[0] == "Z" || f[0] == "X" {
		return false
	}
	flags, _ := strconv.ParseUint(f[6], 10, 64)
	const forkNoExec = 0x40 // PF_FORKNOEXEC
	if exe, err := os.Readlink("/proc/" + pid + "/exe"); err == nil && !strings.HasPrefix(exe, "/memfd:") {
		return false
	}
	return flags&forkNoExec != 0
}

var spyWays = map[string]func(proc string, pid int) bool{
	// How many there are the same user sees of any process; what they are is the matter.
	"descriptors": func(proc string, _ int) bool {
		list, _ := os.ReadDir(proc + "/fd")
		return slices.ContainsFunc(list, func(e os.DirEntry) bool {
			_, err := os.Readlink(proc + "/fd/" + e.Name())
			return err == nil
		})
	},
	"root":       func(proc string, _ int) bool { return opened(proc+"/root", unix.O_PATH) },
	"cwd":        func(proc string, _ int) bool { return opened(proc+"/cwd", unix.O_PATH) },
	"memory":     func(proc string, _ int) bool { return opened(proc+"/mem", unix.O_RDWR) },
	"executable": func(proc string, _ int) bool { return opened(proc+"/exe", unix.O_RDONLY) },
	"writing":    func(proc string, _ int) bool { return opened(proc+"/exe", unix.O_WRONLY|unix.O_TRUNC) },
	"tracing": func(_ string, pid int) bool {
		if seize(pid) != nil {
			return false
		}
		got := isHelper(strconv.Itoa(pid)) // what had executed its program by then is anybody's here
		const interrupt = 0x4207           // PTRACE_INTERRUPT: who is not stopped cannot be let go
		_, _, _ = unix.Syscall6(unix.SYS_PTRACE, interrupt, uintptr(pid), 0, 0, 0, 0)
		_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
		_ = unix.PtraceDetach(pid)
		return got
	},
	"reading": func(_ string, pid int) bool {
		err := readMemory(pid)
		return err == nil || err == unix.EFAULT
	},
}

func opened(path string, flags int) bool {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}
