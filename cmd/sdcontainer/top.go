// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

func (a *app) top() *cobra.Command {
	var noTrunc bool
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
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "table", "json"); err != nil {
				return err
			}
			c, err := a.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			procs, err := c.Top()
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
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

func (a *app) topTable(procs []sdcontainer.ProcessInfo, noTrunc bool) error {
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
