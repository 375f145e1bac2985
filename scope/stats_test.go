// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadStats(t *testing.T) {
	fakeTree(t, map[string]string{
		"a/cpu.stat":       "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 9\nnr_throttled 2\nthrottled_usec 100\n",
		"a/memory.current": "100\n", "a/memory.peak": "200\n", "a/memory.max": "max\n", "a/memory.high": "400\n",
		"a/memory.swap.current": "5\n", "a/memory.swap.max": "0\n", "a/memory.events": "oom_kill 2\n",
		"a/pids.current": "3\n", "a/pids.max": "12\n",
		"a/io.stat":      "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 rbytes=10 wbytes=20 rios=30 wios=40 dbytes=50 dios=60\n253:0\n",
		"small/cpu.stat": "usage_usec 1\n",
	})
	s, err := ReadStats("/a")
	if err != nil || time.Since(s.At) > time.Minute {
		t.Fatal(s.At, err)
	}
	want := Stats{
		At:     s.At,
		CPU:    CPUStats{Usage: 7 * time.Microsecond, User: 4 * time.Microsecond, System: 3 * time.Microsecond, Periods: 9, Throttled: 2},
		Memory: MemStats{Current: 100, Peak: 200, High: 400, Swap: 5},
		Tasks:  TaskStats{Current: 3, Max: 12},
		IO:     IOStats{11, 22, 33, 44}, OOMKills: 2,
	}
	if d := cmp.Diff(want, s); d != "" {
		t.Error(d)
	}
	if s, err := ReadStats("/small"); err != nil || s.CPU.Usage != time.Microsecond || s.Memory != (MemStats{}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := ReadStats("/gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
	b, err := json.Marshal(want.Tasks)
	if string(b) != `{"current":3,"peak":0,"max":12}` || err != nil {
		t.Errorf("JSON is %s, %v", b, err)
	}
}
