// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
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
		Long: `Prints what a container's processes wrote, as the journal has it: lines of their
standard error, or of a worse level than info, go to standard error. With -f it
goes on until the container ends. What ran in the foreground wrote to its
caller's output instead.

A container that was removed keeps its lines: its name is enough.
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
	q := journal.Query{Since: journalTime(o.since), Until: journalTime(o.until)}
	c, err := a.load(name)
	if err != nil && !errors.Is(err, sdcontainer.ErrNotExist) {
		return err
	}
	running := false
	if c == nil {
		// The record is gone, the lines are not.
		q.Match = []string{"_SYSTEMD_UNIT=" + scope.UnitName(name), "_SYSTEMD_UNIT=" + unitgen.Instance(name)}
	} else {
		st, err := c.State()
		if err != nil {
			return err
		}
		running = st.Status != sdcontainer.Stopped
		q.Match = []string{"_SYSTEMD_UNIT=" + st.Unit}
		if q.Since == "" && !st.Service {
			q.Since = fmt.Sprintf("@%d", st.Created.Unix())
		}
	}
	p := printer{a: a, o: o}
	if !o.follow {
		_ = syncJournal(ctx) // what has been written is wanted; without, what the journal has
	}
	if err := p.last(ctx, q); err != nil {
		return err
	}
	if o.follow && running {
		return p.follow(ctx, c, q)
	}
	if c == nil && !p.any && o.lines != 0 {
		return noRecord(name)
	}
	return nil
}

func noRecord(name string) error {
	return &sdcontainer.Error{Op: "logs", ID: name, Err: fmt.Errorf("%w, and the journal has no line of one", sdcontainer.ErrNotExist)}
}

// journalTime lets people write 10m as well as what journalctl takes, such as -10m and +10m.
func journalTime(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil || s[0] < '0' || s[0] > '9' {
		return s
	}
	return "-" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// A printer prints entries and remembers where it is.
type printer struct {
	a      *app
	o      logOptions
	cursor string
	any    bool
}

func (p *printer) print(ctx context.Context, q journal.Query) error {
	for e, err := range journal.Read(ctx, q) {
		if err != nil {
			return err
		}
		if err := p.entry(e); err != nil {
			return err
		}
	}
	return nil
}

// last prints the last lines there are, or all. journalctl's --lines are the first ones
// when there is a --since.
func (p *printer) last(ctx context.Context, q journal.Query) error {
	if p.o.lines < 0 {
		return p.print(ctx, q)
	}
	var tail []journal.Entry
	for e, err := range journal.Read(ctx, q) {
		if err != nil {
			return err
		}
		tail = append(tail, e)
		if over := len(tail) - int(p.o.lines); over > 0 {
			tail = tail[over:]
		}
		p.cursor = e.Cursor
	}
	for _, e := range tail {
		if err := p.entry(e); err != nil {
			return err
		}
	}
	return nil
}

// follow prints what comes until the container has ended and the journal has its last line.
func (p *printer) follow(ctx context.Context, c *sdcontainer.Container, q journal.Query) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = c.Wait(following) // how it ended is for wait and ps to say
		stop()
	}()
	more := p.after(q)
	more.Follow = true
	if err := p.print(following, more); err != nil || ctx.Err() != nil {
		return err
	}
	if err := syncJournal(ctx); err != nil {
		p.a.warn(err.Error() + ": the last lines may be missing")
	}
	return p.print(ctx, p.after(q))
}

// after is what follows the entry printed last.
func (p *printer) after(q journal.Query) journal.Query {
	if p.cursor != "" {
		q.Since, q.Cursor = "", p.cursor // journalctl takes one or the other
	}
	return q
}

// syncTimeout bounds the wait for a journald that hangs: what it has stored can be read all the same.
const syncTimeout = 5 * time.Second

// syncJournal makes journald write what it has been sent.
func syncJournal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "journalctl", "--sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("journalctl --sync: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// infoLevel is the syslog priority of what is no complaint.
const infoLevel = 6

func (p *printer) entry(e journal.Entry) error {
	p.cursor, p.any = e.Cursor, true
	out := p.a.stdout
	if e.Priority() < infoLevel {
		out = p.a.stderr
	}
	line := escapeFor(out, e.Message()) + "\n"
	if p.o.timestamps {
		line = e.Time.Format(time.RFC3339Nano) + " " + line
	}
	_, err := io.WriteString(out, line)
	return err
}
