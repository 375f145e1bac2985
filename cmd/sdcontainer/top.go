// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

func (a *app) top() *cobra.Command {
	var noTrunc, asJSON bool
	var format string
	cmd := &cobra.Command{
		Use:   "top [flags] NAME",
		Short: "List the processes of a container",
		Long: `Lists the processes in a container's cgroup as the host's /proc has them. PID is
the host's number, INSIDE the container's own; USER is the id inside the
container, CPU the share of one CPU over the process's life. Of a command line of
more than 4096 bytes the first are shown, with "..." after them. A process without
one, or whose memory does not answer in time, has its name in brackets.

--format json prints an array; its fields, which stay:

    pid, insidePid, hostUid, user, state, cpuPercent, cpuNsec, residentBytes, command

A Go template, executed for each process, has them as Pid, Inside, UID, User, State,
CPU, Time, Memory and Command.`,
		Example: `  sdcontainer top web
  sdcontainer top --format '{{.Pid}} {{join .Command " "}}' web`,
		ValidArgsFunction: a.completeOne,
		Args:              arguments(1, 1, "the name of one container"),
		RunE: func(_ *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			if err := checkFormat(format, "table", "json"); err != nil {
				return err
			}
			c, err := a.load(args[0])
			if err != nil {
				return err
			}
			pids, err := c.Processes()
			if err != nil {
				return err
			}
			procs, err := processes(pids, readArgs(pids, processArgs, argsTimeout))
			if err != nil {
				return err
			}
			switch format {
			case "json":
				return a.writeJSON(procs)
			case "table":
				return a.topTable(procs, noTrunc)
			}
			return writeTemplate(a, format, procs)
		},
	}
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "do not cut lines at the terminal's width")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as --format json")
	formatFlag(cmd, &format, "table", "json")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	return cmd
}

// A process is one line of top.
type process struct {
	Pid     int           `json:"pid"`
	Inside  int           `json:"insidePid"`
	UID     uint32        `json:"hostUid"`
	User    string        `json:"user"` // inside; "-" if it has no name there
	State   string        `json:"state"`
	CPU     float64       `json:"cpuPercent"`
	Time    time.Duration `json:"cpuNsec"`
	Memory  uint64        `json:"residentBytes"`
	Command []string      `json:"command"`
}

func (a *app) topTable(procs []process, noTrunc bool) error {
	t := a.table(noTrunc, "PID", "INSIDE", "USER", "STATE", "CPU", "MEMORY", "TIME", "COMMAND")
	for _, p := range procs {
		t.add(number(strconv.Itoa(p.Pid)), number(strconv.Itoa(p.Inside)), text(p.User), text(p.State),
			number(fmt.Sprintf("%.1f%%", p.CPU)), number(size(p.Memory)), number(cpuTime(p.Time)), text(commandLine(p.Command)))
	}
	return t.write(a.stdout)
}

// cpuTime is minutes:seconds.hundredths.
func cpuTime(d time.Duration) string {
	return fmt.Sprintf("%d:%05.2f", d/time.Minute, (d % time.Minute).Seconds())
}

// processes are those of pids that there still are. args are their command lines, of those
// that have told one.
func processes(pids []int, args map[int][]string) ([]process, error) {
	uptime, err := uptime()
	if err != nil {
		return nil, err
	}
	procs := []process{}
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
	for range min(argsReaders, len(pids)) {
		go func() {
			for pid := range asked {
				answers <- answer{pid, read(pid)}
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

// readProcess reads what the kernel knows by itself: none of it waits for the process.
func readProcess(pid int, args []string, uptime time.Duration) (process, error) {
	stat, err := procFile(pid, "stat")
	if err != nil {
		return process{}, err
	}
	status, err := procFile(pid, "status")
	if err != nil {
		return process{}, err
	}
	ids, err := procFile(pid, "uid_map")
	if err != nil {
		return process{}, err
	}
	p := process{Pid: pid, Inside: pid}
	p.parseStat(string(stat), uptime)
	p.parseStatus(string(status))
	if len(args) > 0 {
		p.Command = args
	}
	p.User = inside(p.UID, string(ids))
	return p, nil
}

// ticks is USER_HZ, 100 on every architecture Linux has kept.
const ticks = time.Second / 100

// parseStat reads proc_pid_stat(5). The name may hold anything, parentheses too.
func (p *process) parseStat(stat string, uptime time.Duration) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return
	}
	p.Command = []string{"[" + stat[open+1:end] + "]"}
	f := strings.Fields(stat[end+1:]) // f[0] is field 3
	const state, utime, stime, starttime = 0, 11, 12, 19
	if len(f) <= starttime {
		return
	}
	p.State = f[state]
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

func (p *process) parseStatus(status string) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		switch name {
		case "Uid":
			p.UID = uint32(atoi(f[1])) // effective
		case "NSpid":
			p.Inside = int(atoi(f[len(f)-1]))
		case "VmRSS":
			p.Memory = uint64(atoi(f[0])) << 10
		}
	}
}

// inside is a host's user id as the user namespace with this map has it.
func inside(uid uint32, idMap string) string {
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
