// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// TestLastWords: what a process said before it ended without reading more is heard.
func TestLastWords(t *testing.T) {
	for _, early := range []bool{true, false} {
		near, far, err := socketpair("test")
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		c := &Conn{f: near, sent: &sentPrograms{}, who: "helper"}
		if _, err := unix.Write(far, put(nil, report{Kind: failed, Step: refused, Errno: int32(unix.EMFILE)})); err != nil {
			t.Fatal(err)
		}
		if early {
			err = unix.Close(far)
		}
		p := New("spawn")
		p.End()
		err = errors.Join(err, c.Send(p))
		if !early {
			if err = errors.Join(err, unix.Close(far)); err != nil {
				t.Fatal(err)
			}
			_, err = c.Next(t.Context())
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("early %v: %v", early, err)
		}
	}
}

// TestLastOfSeveralWords: of one that is found dead the failure is told, also if reports before it were not taken.
func TestLastOfSeveralWords(t *testing.T) {
	near, far, err := socketpair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c := &Conn{f: near, sent: &sentPrograms{}, who: "keeper"}
	for _, r := range []report{{Kind: Synced, Value: 7}, {Kind: failed, Step: refused, Errno: int32(unix.EMFILE)}} {
		if _, err := unix.Write(far, put(nil, r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Close(far); err != nil {
		t.Fatal(err)
	}
	if err := c.Died(unix.ESRCH); !errors.Is(err, unix.EMFILE) {
		t.Error(err)
	}
}

// TestKilledForking: K is gone, and its child, of which nobody has heard, holds the socket.
func TestKilledForking(t *testing.T) {
	near, far, err := socketpair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer unix.Close(far)
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // it was only there to end
	h := &Helper{Pid: cmd.Process.Pid}
	if h.pidfd, err = kernel.Pidfd(h.Pid); err != nil {
		t.Fatal(err)
	}
	defer h.pidfd.Close()
	h.Conn = &Conn{f: near, sent: &sentPrograms{}, who: "helper", h: h, pid: h.Pid}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := h.Next(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("next: %v, %v", err, ctx.Err())
	}
	// Neither file is spoilt for those who wait next.
	if err := kernel.WaitReadable(ctx, h.pidfd); err != nil {
		t.Error(err)
	}
	if _, err := unix.Write(far, put(nil, report{Kind: Synced, Value: 7})); err != nil {
		t.Fatal(err)
	}
	if e, err := h.Next(ctx); err != nil || e.ID != 7 {
		t.Errorf("%+v, %v", e, err)
	}
}
