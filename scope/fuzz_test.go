// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzCounters: the kernel's text in a form we do not know is left out.
func FuzzCounters(f *testing.F) {
	f.Add("low 0\nhigh 0\noom_kill 3\n", "8:0 rbytes=1 wbytes=2 rios=3 wios=4", uint64(1))
	f.Add("oom_kill\noom_kill -1\n \n", "rbytes= rbytes=18446744073709551615 rbytes=2 =", uint64(1<<63))
	f.Fuzz(func(t *testing.T, flat, io string, n uint64) {
		if got := parseFlat(fmt.Sprintf("%s\noom_kill %d\n", flat, n))["oom_kill"]; got != n {
			t.Errorf("after %q %d is read as %d", flat, n, got)
		}
		before := parseIO(io + " ").WriteOps
		if got := parseIO(fmt.Sprintf("%s wios=%d\n", io, n)).WriteOps; got != before+n {
			t.Errorf("after %q %d more than %d is read as %d", io, n, before, got)
		}
		for key := range parseFlat(flat) {
			if !strings.Contains(flat, key) || strings.ContainsAny(key, " \n") {
				t.Errorf("%q has the key %q", flat, key)
			}
		}
	})
}

// serverConn is a connection to a server that says this and no more.
type serverConn struct {
	net.Conn // nil: nothing else is called
	says     io.Reader
	heard    bytes.Buffer
}

func (c *serverConn) Read(b []byte) (int, error)       { return c.says.Read(b) }
func (c *serverConn) Write(b []byte) (int, error)      { return c.heard.Write(b) }
func (c *serverConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzAuth: whatever a server answers, godbus hears either that we are refused, or what
// the sieve passes on of all that came after the first line.
func FuzzAuth(f *testing.F) {
	f.Add([]byte("OK 0123\r\nl\x01"))
	f.Add([]byte("REJECTED\r\n"))
	f.Add([]byte("OK"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		p := newPipelined(&serverConn{says: bytes.NewReader(answer)})
		for _, line := range []string{"\x00", "AUTH\r\n", "AUTH EXTERNAL 30\r\n", "BEGIN\r\n", strings.Repeat("m", pipelineMin)} {
			if _, err := p.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		want := "REJECTED EXTERNAL\r\nOK 0\r\n"
		first, rest, ended := bytes.Cut(answer, []byte{'\n'})
		got, err := io.ReadAll(p)
		switch {
		case len(first) > 4000: // longer than a line may be
		case ended && bytes.HasPrefix(first, []byte("OK ")):
			passed, wantErr := io.ReadAll(&sieve{in: bufio.NewReader(bytes.NewReader(rest))})
			if fmt.Sprint(err) != fmt.Sprint(wantErr) || string(got) != want+string(passed) {
				t.Errorf("%q: heard %q, %v", answer, got, err)
			}
		case ended:
			if !errors.Is(err, errAuth) || string(got) != want {
				t.Errorf("%q: heard %q, %v", answer, got, err)
			}
		case string(got) != want:
			t.Errorf("%q: heard %q, %v", answer, got, err)
		}
	})
}
