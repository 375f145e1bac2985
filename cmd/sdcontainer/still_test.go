// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R42: a terminal that shows nothing for a while costs no processor time, and misses nothing of what the payload wrote.
func TestG5TerminalThatStopsReading(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	s := newStillScreen(t)
	lines := 60000 / sdtest.Stride(20)
	cmd := s.start(t, append(arena(t), "-t", "--", "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); done; exit 3", lines))...)
	deadline := time.Now().Add(20 * time.Second)
	for full, before := 0, -1; full == 0 || full != before; time.Sleep(300 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes wait for who reads the terminal, and more come or none", full)
		}
		n, err := unix.IoctlGetInt(int(s.master.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		before, full = full, n
	}
	const still = 2 * time.Second
	before := processorTime(t, cmd.Process.Pid)
	time.Sleep(still)
	if spent := processorTime(t, cmd.Process.Pid) - before; spent > still/4 {
		t.Errorf("%v of the processor spent on waiting %v", spent, still)
	}
	go s.read()
	if got := code(t, cmd); got != 3 {
		t.Errorf("exit status %d", got)
	}
	s.see(t, fmt.Sprintf("\n%d\n", lines-1))
	_, text, _ := strings.Cut("\n"+s.text(), "\n0\n") // after what the command says of this machine
	shown := strings.Fields("0\n" + text)
	for i, line := range shown {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if len(shown) != lines {
		t.Errorf("%d lines of %d", len(shown), lines)
	}
}

// G5: of a hundred megabytes in a soak, a few else, that go through a terminal to who reads them in small pieces, no byte is
// lost, added or changed.
func TestG5EveryByteArrives(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	data := make([]byte, sdtest.Amount(t, 8, 100, "megabytes")<<20)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(data) // never fails
	flags := arena(t)
	if err := os.WriteFile(filepath.Join(flags[len(flags)-1], "data"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s := newStillScreen(t)
	cmd := s.start(t, append(flags, "-t", "--", "sh", "-c", "stty raw -echo; echo begin; cat /data; exit 4")...)
	_ = s.slave.Close() // so that the command's end is seen
	r := bufio.NewReaderSize(pieces{s.master}, 16)
	for line := ""; !strings.HasSuffix(line, "begin\n"); {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatalf("%v after %q", err, line)
		}
	}
	came := sha256.New()
	if n, err := io.CopyN(came, r, int64(len(data))); err != nil {
		t.Fatalf("%v after %d bytes", err, n)
	}
	if want := sha256.Sum256(data); !bytes.Equal(came.Sum(nil), want[:]) {
		t.Error("what came is not what was written")
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 { // ends with EIO, as terminals do
		t.Errorf("%d bytes more: %.100q", len(rest), rest)
	}
	if got := code(t, cmd); got != 4 {
		t.Errorf("exit status %d", got)
	}
}

// pieces reads little at a time.
type pieces struct{ r io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), 777)]) }

// processorTime is what a process has had so far.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3 on
	var ticks time.Duration
	for _, text := range f[11:13] {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / 100
}
