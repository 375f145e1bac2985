// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// LogOptions says what [Runtime.Logs] yields. The zero LogOptions is all there is.
type LogOptions struct {
	// Since and Until are times as journalctl(1) takes them: "10 min ago", "2026-01-31 12:00",
	// "@1700000000". Without Since, a container that is not a service begins at its creation.
	Since, Until string
	// Last is how many of the lines there are: 0 for all, -1 for none before those that Follow.
	Last int
	// Follow goes on until the container ends.
	Follow bool
}

// A LogEntry is one line of a container's output.
type LogEntry struct {
	Time time.Time
	// Level is the syslog priority, from 0 to 7. It is log.stdout_level or log.stderr_level, and with
	// log.level_prefix what the line said; nothing else tells the streams apart.
	Level   int
	Message string // any bytes
}

// Logs yields what the processes of the container id wrote, as the journal has it. What ran in
// the foreground wrote to its caller's output instead. A container that was removed keeps its
// lines, those of its scope and of its service; the name of that service's unit in place of id
// asks for the latter alone, also of one that has a record, from its first on.
//
// The last pair may be an error: ErrNotExist of what has neither a record nor a line. When the
// context ends there is none. A [TimeError] is of a time that systemd cannot read. The Runtime's Warn is told when the last
// lines may be missing.
func (r *Runtime) Logs(ctx context.Context, id string, o LogOptions) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		l := logReader{r: r, o: o, yield: yield}
		if err := l.all(ctx, id); err != nil && !l.over {
			yield(LogEntry{}, o.explain(ctx, err))
		}
	}
}

// A TimeError is a time of [LogOptions] that systemd cannot read.
type TimeError struct {
	Option string // "since" or "until"
	Text   string
}

func (e *TimeError) Error() string {
	return fmt.Sprintf(`%s %q: want a time like "10 min ago", "2026-01-31 12:00" or "@1700000000"`, e.Option, e.Text)
}

// explain looks for what journalctl has failed of: it has one exit status for everything.
func (o LogOptions) explain(ctx context.Context, err error) error {
	if !errors.As(err, new(*exec.ExitError)) {
		return err
	}
	for _, e := range []*TimeError{{"since", o.Since}, {"until", o.Until}} {
		if e.Text != "" && journal.BadTime(ctx, e.Text) {
			return e
		}
	}
	return err
}

// A logReader passes entries on and remembers where it is.
type logReader struct {
	r      *Runtime
	o      LogOptions
	yield  func(LogEntry, error) bool
	cursor string
	any    bool
	over   bool      // the caller wants no more
	from   time.Time // what is older is another one's
}

func (l *logReader) all(ctx context.Context, id string) error {
	var c *Container
	units := []string{"_SYSTEMD_UNIT=" + id}
	if unitgen.InstanceName(id) == "" {
		var err error
		if c, err = l.r.Load(id); err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		units = []string{"_SYSTEMD_UNIT=" + scope.UnitName(id), "_SYSTEMD_UNIT=" + unitgen.Instance(id)}
	}
	q := journal.Query{Since: l.o.Since, Until: l.o.Until}
	running := false
	if c == nil {
		// The record is gone, the lines are not.
		q.Match = units
	} else {
		st, err := c.State()
		if err != nil {
			return err
		}
		running = st.Status != Stopped
		q.Match = []string{"_SYSTEMD_UNIT=" + st.Unit}
		switch {
		case q.Since != "" || st.Service:
		case q.Until != "": // which may be earlier: journalctl takes that for a mistake
			l.from = st.Created.Truncate(time.Second)
		default:
			q.Since = fmt.Sprintf("@%d", st.Created.Unix())
		}
	}
	if !l.o.Follow {
		_ = journal.Sync(ctx) // what has been written is wanted; without, what the journal has
	}
	if err := l.last(ctx, q); err != nil || l.over {
		return err
	}
	if l.o.Follow && running {
		return l.follow(ctx, c, q)
	}
	if c == nil && !l.any && ctx.Err() == nil {
		return wrap("logs", id, fmt.Errorf("%w, and the journal has no line of one", ErrNotExist))
	}
	return nil
}

// last passes on the last entries there are, or all. journalctl's --lines are the first ones
// when there is a --since.
func (l *logReader) last(ctx context.Context, q journal.Query) error {
	if l.o.Last == 0 {
		return l.read(ctx, q)
	}
	var tail []journal.Entry
	for e, err := range l.entries(ctx, q) {
		if err != nil {
			return err
		}
		l.any = true
		tail = append(tail, e)
		if over := len(tail) - max(0, l.o.Last); over > 0 {
			tail = tail[over:]
		}
		l.cursor = e.Cursor
	}
	for _, e := range tail {
		if !l.entry(e) {
			break
		}
	}
	return nil
}

// follow passes on what comes until the container has ended and the journal has its last line.
func (l *logReader) follow(ctx context.Context, c *Container, q journal.Query) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	waited := make(chan error, 1)
	go func() {
		_, err := c.Wait(following)
		waited <- err
		stop()
	}()
	more := l.after(q)
	more.Follow = true
	if err := l.read(following, more); err != nil || l.over || ctx.Err() != nil {
		return err
	}
	if following.Err() == nil {
		if q.Until != "" { // systemd 252 ends there
			return nil
		}
		return errors.New("journalctl was killed while the container runs")
	}
	if err := journal.Sync(ctx); err != nil {
		l.r.warn(err.Error() + ": the last lines may be missing")
	}
	err := errors.Join(l.read(ctx, l.after(q)), unwatched(<-waited))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// unwatched is why nobody knows whether a container has ended. How one ended that has is for Wait and State to say.
func unwatched(err error) error {
	if errors.Is(err, ErrExitUnknown) || errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// after is what follows the entry passed on last.
func (l *logReader) after(q journal.Query) journal.Query {
	if l.cursor != "" {
		q.Since, q.Cursor = "", l.cursor // journalctl takes one or the other
	}
	return q
}

func (l *logReader) read(ctx context.Context, q journal.Query) error {
	for e, err := range l.entries(ctx, q) {
		if err != nil {
			return err
		}
		if !l.entry(e) {
			break
		}
	}
	return nil
}

// entries are those that q asks for and that are not another one's.
func (l *logReader) entries(ctx context.Context, q journal.Query) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range journal.Read(ctx, q) {
			if (err != nil || !e.Time.Before(l.from)) && !yield(e, err) {
				return
			}
		}
	}
}

func (l *logReader) entry(e journal.Entry) (more bool) {
	l.cursor, l.any = e.Cursor, true
	l.over = !l.yield(LogEntry{e.Time, e.Priority(), e.Message()}, nil)
	return !l.over
}
