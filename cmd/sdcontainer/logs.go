// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

type logOptions struct {
	follow, timestamps bool

	since, until string
	lines        lineCount
}

// lineCount is a number of lines, -1 for all.
type lineCount int

func (n *lineCount) String() string {
	if *n < 0 {
		return "" // help shows no default
	}
	return strconv.Itoa(int(*n))
}

func (n *lineCount) Type() string { return "int" }

func (n *lineCount) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return errors.New("want a number of lines; without it all are printed")
	}
	*n = lineCount(v)
	return nil
}

func (a *app) logs() *cobra.Command {
	o := logOptions{lines: -1}
	cmd := &cobra.Command{
		Use:   "logs [flags] NAME",
		Short: "Print a container's output from the journal",
		Long: `Prints what a container's processes wrote, as the journal has it. Lines of a worse
level than info go to standard error, which are those of their standard error unless
the configuration has other levels (log.stdout_level, stderr_level, level_prefix).
With -f it goes on until the container ends. What ran in the foreground wrote to
its caller's output instead.

A container that was removed keeps its lines: its name is enough, for those of its scope
and of its service; sdcontainer@NAME.service asks for the service's alone.
journalctl -u UNIT shows them too, with what systemd says of the unit.`,
		Example: `  sdcontainer logs web
  sdcontainer logs -f -n 20 web
  sdcontainer logs --since '10 min ago' -t web`,
		ValidArgsFunction: a.completeOne,
		Args:              arguments(1, 1, "the name of one container"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.showLogs(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until the container ends")
	f.StringVar(&o.since, "since", "", "from this `time`: \"10 min ago\", \"2026-01-31 12:00\", 10m (default: the container's creation)")
	f.StringVar(&o.until, "until", "", "to this `time`")
	f.VarP(&o.lines, "lines", "n", "only the last `N` lines")
	f.BoolVarP(&o.timestamps, "timestamps", "t", false, "print times")
	alias(f, map[string]string{"tail": "lines"}) // podman's
	return cmd
}

func (a *app) showLogs(ctx context.Context, name string, o logOptions) error {
	switch c, err := a.load(ctx, name); {
	case err == nil:
		name = c.ID()
	case !errors.Is(err, sdcontainer.ErrNotExist): // one that was removed keeps its lines
		return err
	}
	from := sdcontainer.LogOptions{Since: journalTime(o.since), Until: journalTime(o.until), Follow: o.follow}
	switch {
	case o.lines > 0:
		from.Last = int(o.lines)
	case o.lines == 0:
		from.Last = -1
	}
	for e, err := range a.rt.Logs(ctx, name, from) {
		if bad := (*sdcontainer.TimeError)(nil); errors.As(err, &bad) {
			text := map[string]string{"since": o.since, "until": o.until}[bad.Option]
			return usage(`--%s %q: want a time like "10 min ago", "2026-01-31 12:00" or 10m`, bad.Option, text)
		}
		if err != nil {
			return err
		}
		if err := a.printLog(e, o.timestamps); err != nil {
			return err
		}
	}
	return nil
}

// infoLevel is the syslog priority of what is no complaint.
const infoLevel = 6

func (a *app) printLog(e sdcontainer.LogEntry, timestamps bool) error {
	out := a.stdout
	if e.Level < infoLevel {
		out = a.stderr
	}
	line := escapeFor(out, e.Message) + "\n"
	if timestamps {
		line = e.Time.Format(time.RFC3339Nano) + " " + line
	}
	_, err := io.WriteString(out, line)
	return err
}

// journalTime lets people write 10m as well as what journalctl takes, such as -10m and +10m.
func journalTime(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil || s[0] < '0' || s[0] > '9' {
		return s
	}
	return "-" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
