// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// ProcessInfo is what the kernel says of a process in a container. The names of its JSON stay.
type ProcessInfo struct {
	Pid     int           `json:"pid"`           // on the host
	Inside  int           `json:"insidePid"`     // in the container
	UID     uint32        `json:"hostUid"`       // the effective one, on the host
	User    string        `json:"user"`          // that in the container, a number; "-" if it has none there
	State   string        `json:"state"`         // a letter of proc_pid_stat(5)
	CPU     float64       `json:"cpuPercent"`    // of one CPU, over the process's life
	Time    time.Duration `json:"cpuNsec"`       // of processor
	Memory  uint64        `json:"residentBytes"` // shared pages too
	Command []string      `json:"command"`       // its arguments, at most 4096 bytes of them, then "..."; or its name in brackets
}

// Top tells what the container's processes are and use; those that end meanwhile are left out. Nothing it reads is waited
// for longer than two seconds: a process whose memory does not answer has its name for its arguments. All text is the
// payload's own: escape it for a terminal. Errors: ErrNotRunning.
func (c *Container) Top() ([]ProcessInfo, error) {
	pids, err := c.pids()
	if err != nil {
		return nil, wrap("top", c.id, err)
	}
	procs, err := processes(pids, readArgs(pids, processArgs, argsTimeout))
	return procs, wrap("top", c.id, err)
}

// processes are those of pids that there still are. args are their command lines, of those
// that have told one.
func processes(pids []int, args map[int][]string) ([]ProcessInfo, error) {
	uptime, err := uptime()
	if err != nil {
		return nil, err
	}
	procs := []ProcessInfo{}
	for _, pid := range pids {
		p, err := readProcess(pid, args[pid], uptime)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		procs = append(procs, p)
	}
	return procs, nil
}

func uptime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(ts.Nano()), nil
}

func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func procFile(pid int, name string) ([]byte, error) { return kernel.ReadFile(procPath(pid, name)) }

// maxArgs bounds what is read of a process's arguments: they are as long as it likes, up to
// all of its address space, and there may be thousands of processes.
const maxArgs = 4096

// argsTimeout is how long the command lines of all processes may take together.
const argsTimeout = 2 * time.Second

// argsReaders is how many are read at once: each may be a thread lost for good.
const argsReaders = 16

// argsPlaces are how many may be lost in a process, as with doubtful: who asks again and again is not the only one there.
var argsPlaces = make(chan struct{}, 64)

// readArgs reads the arguments of processes. They lie in a process's own memory, for which the
// kernel takes its lock; and that may never come free: a system call of the process that holds it, such
// as an mmap(2), may wait for a filesystem (FUSE) whose server is in the container. Then the thread
// that waits is given up. What /proc has else needs no lock of the process's.
func readArgs(pids []int, read func(pid int) []string, timeout time.Duration) map[int][]string {
	type answer struct {
		pid  int
		args []string
	}
	asked := make(chan int, len(pids))
	for _, pid := range pids {
		asked <- pid
	}
	close(asked)
	answers := make(chan answer, len(pids))
	over := make(chan struct{})
	defer close(over)
	for range min(argsReaders, len(pids)) {
		go func() {
			for pid := range asked {
				select {
				case argsPlaces <- struct{}{}:
				case <-over:
					return
				}
				args := read(pid)
				<-argsPlaces
				answers <- answer{pid, args}
			}
		}()
	}
	all := map[int][]string{}
	late := time.After(timeout)
	for range pids {
		select {
		case a := <-answers:
			all[a.pid] = a.args
		case <-late:
			return all
		}
	}
	return all
}

// processArgs are those of a process, none for one that has given them up, never had any or has ended.
func processArgs(pid int) []string {
	b, err := kernel.ReadStart(procPath(pid, "cmdline"), maxArgs+1)
	if err != nil {
		return nil
	}
	if len(b) > maxArgs {
		b = append(b[:maxArgs], "..."...)
	}
	if b = bytes.TrimRight(b, "\x00"); len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// readProcess reads what the kernel knows by itself: none of it waits for the process. /proc/PID/status would have most of it, but
// is written anew for each reader, with every group the process is in: a payload with 65536 of them made of that 24 ms a process.
func readProcess(pid int, args []string, uptime time.Duration) (ProcessInfo, error) {
	stat, err := procFile(pid, "stat")
	if err != nil {
		return ProcessInfo{}, err
	}
	ids, err := procFile(pid, "uid_map")
	if err != nil {
		return ProcessInfo{}, err
	}
	p := ProcessInfo{Pid: pid}
	if p.Inside, err = pidInside(pid); err != nil {
		return ProcessInfo{}, err
	}
	var owner unix.Stat_t // of the directory: the effective user, even where the files in it are root's
	if err := unix.Stat(procPath(pid, ""), &owner); err != nil {
		return ProcessInfo{}, &os.PathError{Op: "stat", Path: procPath(pid, ""), Err: err}
	}
	p.UID = owner.Uid
	p.parseStat(string(stat), uptime)
	if len(args) > 0 {
		p.Command = args
	}
	p.User = userInside(p.UID, string(ids))
	return p, nil
}

// pidInside is a process's number in its own PID namespace. Errors: ESRCH.
func pidInside(pid int) (int, error) {
	f, err := kernel.Pidfd(pid)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := kernel.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return 0, err
	}
	return innermost(string(b), pid)
}

// innermost is the last number in the fdinfo of the pidfd of pid: there is one for each PID namespace the process is in.
func innermost(fdinfo string, pid int) (int, error) {
	for line := range strings.Lines(fdinfo) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			if f := strings.Fields(list); len(f) > 0 {
				pid = int(atoi(f[len(f)-1]))
			}
		}
	}
	if pid <= 0 { // it has been reaped
		return 0, unix.ESRCH
	}
	return pid, nil
}

// ticks is USER_HZ, 100 on every architecture Linux has kept.
const ticks = time.Second / 100

// parseStat reads proc_pid_stat(5). The name may hold anything, parentheses too.
func (p *ProcessInfo) parseStat(stat string, uptime time.Duration) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return
	}
	p.Command = []string{"[" + stat[open+1:end] + "]"}
	f := strings.Fields(stat[end+1:]) // f[0] is field 3
	const state, utime, stime, starttime, rss = 0, 11, 12, 19, 21
	if len(f) <= rss {
		return
	}
	p.State = f[state]
	p.Memory = uint64(max(atoi(f[rss]), 0)) * uint64(os.Getpagesize())
	p.Time = (atoi(f[utime]) + atoi(f[stime])) * ticks
	if life := uptime - atoi(f[starttime])*ticks; life > 0 {
		p.CPU = 100 * float64(p.Time) / float64(life)
	}
}

// atoi reads a number of the kernel's.
func atoi(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n)
}

// userInside is a host's user id as the user namespace with this map has it.
func userInside(uid uint32, idMap string) string {
	for line := range strings.Lines(idMap) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		to, from, n := uint64(atoi(f[0])), uint64(atoi(f[1])), uint64(atoi(f[2]))
		if id := uint64(uid); id >= from && id < from+n {
			return strconv.FormatUint(to+id-from, 10)
		}
	}
	return "-"
}
