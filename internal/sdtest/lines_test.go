// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestLines(t *testing.T) {
	share, all := t.TempDir(), Lines[int]{}
	for name, text := range map[string]string{"line-a-b.json": `{"a b":2}`, "line-a.json": `{"a":1}`, "order.json": "{}"} {
		if err := os.WriteFile(filepath.Join(share, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what was collected is not there any more, and is not lost
		if err := all.Collect(share); err != nil {
			t.Fatal(err)
		}
		if got := all.Sorted(); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("lines %v", got)
		}
	}
	if err := os.WriteFile(filepath.Join(share, "line-bad.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := all.Collect(share); err == nil {
		t.Error("a line that cannot be read was passed over")
	}
}

func TestBounded(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"sh", "-c", "echo said; exit 3"}, 3, "said\n"},
		{[]string{"sh", "-c", "echo said; exec sleep 100"}, -1, "said\nnot done in time"},
	} {
		if out, code, took := Bounded(time.Second, c.args...); code != c.code || out != c.out || took <= 0 || took > 50*time.Second {
			t.Errorf("%v: %q, %d after %v", c.args, out, code, took)
		}
	}
	if _, code, _ := Bounded(time.Second, "/nosuch"); code != -1 {
		t.Errorf("what cannot be run has the code %d", code)
	}
}
