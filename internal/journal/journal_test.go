// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T, network string) (path string, c *net.UnixConn, l *net.UnixListener) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	addr := &net.UnixAddr{Name: path, Net: network}
	var err error
	if network == "unix" {
		l, err = net.ListenUnix(network, addr)
	} else {
		c, err = net.ListenUnixgram(network, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l != nil {
			l.Close()
		} else {
			c.Close()
		}
	})
	return path, c, l
}

func TestStreamHeader(t *testing.T) {
	for prefixes, want := range map[bool]string{
		false: "web\nweb.scope\n6\n0\n0\n0\n0\nhello\n", // what a payload prints chooses no level
		true:  "web\nweb.scope\n6\n1\n0\n0\n0\nhello\n",
	} {
		path, _, l := listen(t, "unix")
		f, err := stream(path, "web", "web.scope", 6, prefixes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("hello\n"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

// R14: a journald that is restarted lets go of connections it has not read from.
func TestStreamIsConnectedAgain(t *testing.T) {
	for refusals, want := range map[int]error{0: nil, 2: nil, 3: unix.EPIPE} {
		n := 0
		f, err := greet(func() (*os.File, error) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			if n++; n <= refusals {
				return os.NewFile(uintptr(pair[0]), "refused"), unix.Close(pair[1])
			}
			peer := os.NewFile(uintptr(pair[1]), "journald")
			t.Cleanup(func() { peer.Close() })
			return os.NewFile(uintptr(pair[0]), "taken"), nil
		}, "web\n")
		if !errors.Is(err, want) {
			t.Errorf("%d times let go of: %v, want %v", refusals, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	for _, tt := range []struct {
		id    string
		level int
	}{{"a\nb", 6}, {"a\x00", 6}, {"a", 8}, {"a", -1}} {
		if f, err := stream("/nonexistent", tt.id, "", tt.level, false); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("stream(%q, %d) = %v, %v", tt.id, tt.level, f, err)
		}
	}
}

func TestSend(t *testing.T) {
	path, c, _ := listen(t, "unixgram")
	if err := send(path, map[string]string{"MESSAGE": "two\nlines", "EXIT_STATUS": "3"}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	want := "EXIT_STATUS=3\nMESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n"
	if string(b[:n]) != want {
		t.Errorf("got %q, want %q", b[:n], want)
	}
	for _, bad := range []string{"", "lower", "_LEADING", "A-B", "1A"} {
		if err := send(path, map[string]string{bad: "x"}); err == nil {
			t.Errorf("field %q accepted", bad)
		}
	}
}

func TestSendLarge(t *testing.T) {
	path, c, _ := listen(t, "unixgram")
	if err := send(path, map[string]string{"MESSAGE": strings.Repeat("x", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	oob := make([]byte, 100)
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 10), oob)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages, %v", len(msgs), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != 1<<20+9 {
		t.Errorf("size %v, %v", info, err)
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(t.Context(), "READY=1"); !errors.Is(err, ErrNoManager) {
		t.Errorf("without a socket: %v", err)
	}
	path, c, _ := listen(t, "unixgram")
	t.Setenv("NOTIFY_SOCKET", path)
	done := make(chan error, 1)
	go func() { done <- Notify(t.Context(), "MAINPID=7\nREADY=1") }()
	b, oob := make([]byte, 100), make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != "MAINPID=7\nREADY=1" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil || string(b[:n]) != "BARRIER=1" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	select {
	case err := <-done:
		t.Fatalf("did not wait for the barrier: %v", err)
	default:
	}
	msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[0])
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNotifyDeadline(t *testing.T) {
	path, _, _ := listen(t, "unixgram")
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Notify(ctx, "READY=1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a manager that never reads: %v", err)
	}
}

// R14: a queue that is full, and stays so, is an error and no end of waiting; only a payload's own writes wait.
func TestJournaldHangs(t *testing.T) {
	path, _, _ := listen(t, "unixgram")
	var err error
	for i := 0; err == nil && i < 100000; i++ { // nobody reads
		err = send(path, map[string]string{"MESSAGE": "x"})
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("error is %v, want EAGAIN", err)
	}
	path, _, _ = listen(t, "unix")
	f, err := stream(path, "web", "web.scope", 6, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if tv, err := unix.GetsockoptTimeval(int(f.Fd()), unix.SOL_SOCKET, unix.SO_SNDTIMEO); err != nil || tv.Sec != 0 {
		t.Errorf("the payload has a deadline: %v, %v", tv, err)
	}
}

// FuzzSend: an entry is read back field by field as journald does it, whatever the values hold.
func FuzzSend(f *testing.F) {
	f.Add("A", "one line", "B_2", "two\nlines\nC=3")
	f.Add("MESSAGE", "", "X", "\x00\n")
	f.Add("_A", "b", "a", "b")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		if !validField(key1) || !validField(key2) || key1 == key2 {
			return
		}
		var b bytes.Buffer
		appendField(&b, key1, value1)
		appendField(&b, key2, value2)
		got, want := map[string]string{}, map[string]string{key1: value1, key2: value2}
		for rest := b.Bytes(); len(rest) > 0; {
			line, after, ok := bytes.Cut(rest, []byte{'\n'})
			name, value, text := strings.Cut(string(line), "=")
			if !text { // a length and so many bytes follow
				n := binary.LittleEndian.Uint64(after)
				value, after, ok = string(after[8:8+n]), after[8+n+1:], after[8+n] == '\n'
			}
			if !ok {
				t.Fatalf("%q does not end its line", name)
			}
			got[name], rest = value, after
		}
		if !maps.Equal(got, want) {
			t.Errorf("%q read as %q", want, got)
		}
	})
}
