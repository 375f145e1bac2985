// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
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
