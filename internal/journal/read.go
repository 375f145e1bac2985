// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// An Entry is one record of the journal.
type Entry struct {
	Time   time.Time
	Cursor string
	Fields map[string]string
}

// Message is what people see.
func (e Entry) Message() string { return e.Fields["MESSAGE"] }

// Priority is the syslog priority, 6 where the entry has none.
func (e Entry) Priority() int {
	if n, err := strconv.Atoi(e.Fields["PRIORITY"]); err == nil {
		return n
	}
	return 6
}

// A Query selects entries. Zero fields select everything.
type Query struct {
	// Match is FIELD=value words: different fields must all match, one of the same
	// field must. "+" between them begins an alternative.
	Match  []string
	Since  string // as journalctl takes it: "10 min ago", "2026-01-31 12:00"
	Until  string
	Cursor string // only what follows it
	Lines  int    // only the last ones; -1 for none before a Follow
	Follow bool   // wait for more
}

func (q Query) args() []string {
	args := []string{"--output=json", "--all", "--quiet", "--no-pager"}
	option := func(name, value string) {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	option("since", q.Since)
	option("until", q.Until)
	option("after-cursor", q.Cursor)
	switch {
	case q.Lines > 0:
		option("lines", strconv.Itoa(q.Lines))
	case q.Lines < 0:
		option("lines", "0")
	case q.Follow:
		option("lines", "all")
	}
	if q.Follow {
		args = append(args, "--follow")
	}
	return append(append(args, "--"), q.Match...)
}

// Read yields the entries of a query in order, by running journalctl. With Follow it
// goes on until the context ends or the caller breaks off. The last pair may be an error; that the context ended is none.
func Read(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		cmd := kernel.Command(ctx, "journalctl", q.args()...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			if ctx.Err() == nil {
				yield(Entry{}, err)
			}
			return
		}
		more, err := entries(out, yield)
		cancelled := ctx.Err() != nil
		cancel() // it may be following
		if werr := cmd.Wait(); more && err == nil && !cancelled && exited(werr) {
			err = fmt.Errorf("journalctl: %w: %s", werr, strings.TrimSpace(stderr.String()))
		}
		if more && err != nil && !cancelled {
			yield(Entry{}, err)
		}
	}
}

// BadTime says whether systemd cannot read a time as a Query has it; not where it cannot be asked. It is for after a
// Read that failed: journalctl has one exit status for everything.
func BadTime(ctx context.Context, text string) bool {
	err := kernel.Command(ctx, "systemd-analyze", "timestamp", "--", text).Run()
	return ctx.Err() == nil && exited(err)
}

// syncTimeout bounds the wait for a journald that hangs: what it has stored can be read all the same.
const syncTimeout = 5 * time.Second

// Sync makes journald write what it has been sent.
func Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	out, err := kernel.Command(ctx, "journalctl", "--sync").CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err() // and not that it was killed for that
	}
	if err != nil {
		return fmt.Errorf("journalctl --sync: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// exited tells a failure of journalctl itself from the signal we end it with.
func exited(err error) bool {
	var e *exec.ExitError
	return errors.As(err, &e) && e.Exited()
}

// entries yields what r has until its end; more is false when the caller broke off.
func entries(r io.Reader, yield func(Entry, error) bool) (more bool, err error) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			e, perr := parse(line)
			if perr != nil {
				return true, perr
			}
			if !yield(e, nil) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return true, err
		}
	}
}

// parse reads one line of journalctl's JSON. A field is a string, an array of bytes where the
// value is not text, null where it is too long, or an array of those where the entry has
// it several times: then the first counts.
func parse(line []byte) (Entry, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return Entry{}, fmt.Errorf("journal entry: %w", err)
	}
	e := Entry{Fields: make(map[string]string, len(raw))}
	for name, value := range raw {
		if s, ok := fieldText(value); ok {
			e.Fields[name] = s
		}
	}
	us, err := strconv.ParseInt(e.Fields["__REALTIME_TIMESTAMP"], 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("journal entry: time %q: want microseconds", e.Fields["__REALTIME_TIMESTAMP"])
	}
	e.Time, e.Cursor = time.UnixMicro(us), e.Fields["__CURSOR"]
	return e, nil
}

func fieldText(value json.RawMessage) (string, bool) {
	var s string
	if string(value) == "null" {
		return "", false
	}
	if json.Unmarshal(value, &s) == nil {
		return s, true
	}
	var numbers []int
	if json.Unmarshal(value, &numbers) == nil {
		b := make([]byte, len(numbers))
		for i, n := range numbers {
			b[i] = byte(n)
		}
		return string(b), true
	}
	var several []json.RawMessage
	if json.Unmarshal(value, &several) == nil && len(several) > 0 {
		return fieldText(several[0])
	}
	return "", false
}
