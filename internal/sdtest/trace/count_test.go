// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func count(t *testing.T, cmd *exec.Cmd) Tally {
	t.Helper()
	tally, ws, err := Count(cmd, 10*time.Second)
	if err != nil || ws.ExitStatus() != 0 {
		t.Fatalf("%v, %#x", err, ws)
	}
	return tally
}

func measure(t *testing.T, cmd *exec.Cmd) Own {
	t.Helper()
	own, ws, err := Measure(cmd, 10*time.Second)
	if err != nil || ws.ExitStatus() != 0 {
		t.Fatalf("%v, %#x", err, ws)
	}
	return own
}

// TestCount: each more of something is one more in the tally.
func TestCount(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	one := func(text string) Tally {
		cmd, _ := script(t, text)
		return count(t, cmd)
	}
	base := one(":")
	if base.Processes != 0 || base.Execs != 0 || base.Messages != 0 || base.Calls < 5 {
		t.Errorf("of nothing: %+v", base)
	}
	if got := one("(:); (:)"); got.Processes != 2 || got.Execs != 0 {
		t.Errorf("two shells: %+v", got)
	}
	if got := one("/bin/true; exec /bin/true"); got.Processes != 1 || got.Execs != 2 {
		t.Errorf("a child, and becoming another program: %+v", got)
	}
	if got := one("kill -0 $$; kill -0 $$; kill -0 $$"); got.Calls != base.Calls+3 {
		t.Errorf("three calls more than %d: %d", base.Calls, got.Calls)
	}
	if got := count(t, exec.Command(os.Args[0], "-test.run=^$")); got.Processes != 0 {
		t.Errorf("a program with threads: %+v", got)
	}
}

func TestThreads(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	if got := measure(t, exec.Command(os.Args[0], "-test.run=^$")); got.Threads == 0 {
		t.Error("a program in Go has none")
	}
	if got := measure(t, exec.Command("sh", "-c", "(:); /bin/true")); got.Threads != 0 {
		t.Errorf("%d, and it made only processes", got.Threads)
	}
}

// TestPeakIsTheProgramsOwn: what forked it may be larger by far.
func TestPeakIsTheProgramsOwn(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	big := bytes.Repeat([]byte{1}, 64<<20)
	small := measure(t, exec.Command("/bin/true"))
	if small.Peak < 100 || small.Peak > 16<<10 {
		t.Errorf("/bin/true has %d KiB", small.Peak)
	}
	if got := measure(t, exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=32M", "count=1", "status=none")); got.Peak < 32<<10 {
		t.Errorf("with a buffer of 32 MiB: %d KiB", got.Peak)
	}
	if big[0] != 1 {
		t.Error("kept until here")
	}
}

// TestCountedIsNotSeenTraced: who looks at a process's status does not see that it is, and its calls after that count.
func TestCountedIsNotSeenTraced(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	// The child waits in a call meanwhile, and then makes some more.
	one := func(look, then string) (Tally, string) {
		cmd, out := script(t, `fifo=$1.fifo; mkfifo "$fifo"; (read x; `+then+`) <"$fifo" & exec 3>"$fifo"; `+look+` /proc/$!/status >"$1"; echo >&3; wait`)
		tally := count(t, cmd)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return tally, string(text)
	}
	base, text := one("grep TracerPid", ":")
	if strings.Join(strings.Fields(text), " ") != "TracerPid: 0" {
		t.Errorf("it sees %q", text)
	}
	// A shell that waits makes some calls more or less as its children end sooner or later.
	more, _ := one("grep TracerPid", strings.Repeat("kill -0 $$; ", 100)+":")
	if n := more.Calls - base.Calls; n < 90 || n > 110 {
		t.Errorf("a hundred calls more came to %d", n)
	}
}

func TestCountDeadline(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	cmd, _ := script(t, "sleep 1000 & kill -STOP $$")
	_, ws, err := Count(cmd, 200*time.Millisecond)
	if !errors.Is(err, ErrDeadline) || ws.Signal() != unix.SIGKILL {
		t.Errorf("%#x, %v", ws, err)
	}
}

// message is one of D-Bus with so much in its fields and body.
func message(fields, body int) []byte {
	b := make([]byte, 16+(fields+7)&^7+body)
	b[0], b[1], b[3] = 'l', 1, 1
	binary.LittleEndian.PutUint32(b[4:], uint32(body))
	binary.LittleEndian.PutUint32(b[12:], uint32(fields))
	return b
}

// TestMessages: three messages in two writes, with what begins a connection.
func TestMessages(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	if path := os.Getenv("TRACE_TEST_BUS"); path != "" {
		speak(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer func(old []string) { busSockets = old }(busSockets)
	for _, tt := range []struct {
		known string
		want  int
	}{{path, 3}, {"/elsewhere", 0}} {
		busSockets = []string{tt.known}
		cmd := exec.Command(os.Args[0], "-test.run=^TestMessages$")
		cmd.Env = append(os.Environ(), "TRACE_TEST_BUS="+path)
		if got := count(t, cmd); got.Messages != tt.want {
			t.Errorf("%d messages to %s, want %d", got.Messages, tt.known, tt.want)
		}
	}
}

func speak(t *testing.T, path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all := append([]byte("\x00AUTH EXTERNAL 30\r\nBEGIN\r\n"), message(5, 3)...)
	all = append(append(all, message(16, 0)...), message(9, 20)...)
	buffers := net.Buffers{all[:40], all[40:60]} // writev
	if _, err := buffers.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(all[60:]); err != nil {
		t.Fatal(err)
	}
}
