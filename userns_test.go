// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// fakeRecord makes the directory of a record, which is what keeps a claim valid.
func (r *Runtime) fakeRecord(t *testing.T, id string) {
	t.Helper()
	if err := os.MkdirAll(r.path(id), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestClaimUsernsNeverOverlaps(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	const n = 200
	first := make([]uint32, n)
	var wg sync.WaitGroup
	for i := range n {
		id := fmt.Sprintf("c%d", i)
		r.fakeRecord(t, id)
		wg.Go(func() {
			var err error
			if first[i], err = r.claimUserns(t.Context(), id, uint32(1+i%3*usernsBlock)); err != nil {
				t.Errorf("claim %s: %v", id, err)
			}
		})
	}
	wg.Wait()
	owner := map[uint32]int{}
	for i, f := range first {
		size := uint32(1 + i%3*usernsBlock)
		if f < usernsFirst || f+size > 0x70000000 {
			t.Fatalf("c%d: range %d outside systemd's container ids", i, f)
		}
		for b := f; b < f+size; b += usernsBlock {
			if other, taken := owner[b]; taken {
				t.Fatalf("c%d and c%d share ids from %d", i, other, b)
			}
			owner[b] = i
		}
	}
}

func TestClaimUsernsIsStableAndReleased(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	r.fakeRecord(t, "web")
	a, err := r.claimUserns(t.Context(), "web", 65536)
	if err != nil {
		t.Fatal(err)
	}
	// A start that was killed left its claim: the same name gets it again.
	b, err := r.claimUserns(t.Context(), "web", 65536)
	if err != nil || a != b {
		t.Fatalf("second claim: %d, %v; want %d", b, err, a)
	}
	if err := r.releaseUserns(&record{ID: "web", Userns: [2]uint32{a, 65536}}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(r.path(usernsDir))
	if err != nil || len(left) != 0 {
		t.Fatalf("after release: %v, %v", left, err)
	}
}

func TestClaimUsernsTakesOverFromTheDead(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	r.fakeRecord(t, "gone")
	first, err := r.claimUserns(t.Context(), "gone", 65536)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.path("gone")); err != nil {
		t.Fatal(err)
	}
	r.fakeRecord(t, "new")
	ok, err := r.claimBlock(r.path(usernsDir, fmt.Sprint((first-usernsFirst)/usernsBlock)), "new")
	if !ok || err != nil {
		t.Fatalf("claim of a dead container's block: %v, %v", ok, err)
	}
}

// TestSubordinateIDs: what users were given in /etc/subuid and /etc/subgid is theirs.
func TestSubordinateIDs(t *testing.T) {
	old := subordinateFiles
	t.Cleanup(func() { subordinateFiles = old })
	dir := t.TempDir()
	subordinateFiles = []string{filepath.Join(dir, "subuid"), filepath.Join(dir, "subgid")}
	r := &Runtime{Dir: t.TempDir()}
	r.fakeRecord(t, "web")
	claim := func(subuid, subgid string) (uint32, error) {
		for i, text := range []string{subuid, subgid} {
			if err := os.WriteFile(subordinateFiles[i], []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return r.claimUserns(t.Context(), "web", 65536)
	}
	free, err := claim("alice:100000:65536\n", "# nobody:524288:4000000000\nbob:x:1:2\n")
	if err != nil || int(free-usernsFirst) != usernsStart("web")*usernsBlock {
		t.Fatalf("%d, %v; want the block of the name", free, err)
	}
	for _, line := range []string{
		fmt.Sprintf("alice:%d:65536", free), fmt.Sprintf("alice:%d:2", free-1), fmt.Sprintf("1000:%d:1\n", free+65535),
		fmt.Sprintf("alice:%#x:0x10000", free), fmt.Sprintf("alice: %d: 0200000", free),
	} {
		for _, files := range [][2]string{{line, ""}, {"", line}} {
			if got, err := claim(files[0], files[1]); err != nil || got != free+usernsBlock {
				t.Errorf("%q: %d, %v; want the block after %d", files, got, err, free)
			}
		}
	}
	if got, err := claim(fmt.Sprintf("alice:%d:65536", free-65536), fmt.Sprintf("bob:%d:65536", free+65536)); err != nil || got != free {
		t.Errorf("with neighbours: %d, %v; want %d", got, err, free)
	}
	if got, err := claim("root:1000000:1000000000\n", ""); err != nil || got < 1001000000 && got+65536 > 1000000 {
		t.Errorf("with a range as LXD's: %d, %v", got, err)
	}
	if got, err := claim(fmt.Sprintf("alice:%d:18446744073709551615", free+1), ""); err != nil || got >= free {
		t.Errorf("with all from there on: %d, %v", got, err)
	}
	if got, err := claim("root:0:4294967295\n", ""); err == nil || !strings.Contains(err.Error(), "subgid") {
		t.Errorf("with none to be had: %d, %v", got, err)
	}
}

func TestMapOne(t *testing.T) {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}, {ContainerID: 1000, HostID: 5, Size: 1}}
	for in, want := range map[uint32]int64{0: 100000, 9: 100009, 10: -1, 999: -1, 1000: 5, 1001: -1} {
		got, err := mapOne(in, maps)
		if (err != nil) != (want < 0) || err == nil && int64(got) != want {
			t.Errorf("mapOne(%d) = %d, %v; want %d", in, got, err, want)
		}
	}
	if got, err := mapOne(7, nil); got != 7 || err != nil {
		t.Errorf("without a map: %d, %v", got, err)
	}
}

// colliding returns names of which each begins its search for a range at the same place.
func colliding(n int) []string {
	by := map[int][]string{}
	for i := 0; ; i++ {
		id := fmt.Sprintf("c%d", i)
		at := usernsStart(id)
		if by[at] = append(by[at], id); len(by[at]) == n {
			return by[at]
		}
	}
}

// A claim whose container is gone is taken over by one of those that want it.
func TestClaimUsernsTakesOverOnce(t *testing.T) {
	ids := colliding(4)
	gone, ids := ids[0], ids[1:]
	for range 300 {
		r := &Runtime{Dir: t.TempDir()}
		if _, err := r.claimUserns(t.Context(), gone, 1); err != nil { // it has no record: the claim is void
			t.Fatal(err)
		}
		first := make([]uint32, len(ids))
		var wg sync.WaitGroup
		for i, id := range ids {
			r.fakeRecord(t, id)
			wg.Go(func() {
				var err error
				if first[i], err = r.claimUserns(t.Context(), id, 1); err != nil {
					t.Errorf("claim %s: %v", id, err)
				}
			})
		}
		wg.Wait()
		if first[0] == first[1] || first[1] == first[2] || first[0] == first[2] {
			t.Fatalf("%v got the ranges %v", ids, first)
		}
	}
}

// A countdown is over after so many looks at it.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// A range of most of the ids is had, or not, after each block was tried about once; what cannot be had, or is called off, leaves
// no claim.
func TestClaimUsernsOfMostIDs(t *testing.T) {
	for _, tt := range []struct {
		name          string
		blocks, taken int
		looks         int
		want          string // of the error; "" for none
	}{
		{"all", usernsCount, -1, 1 << 30, ""},
		{"beside another", usernsCount - 5001, 5000, 1 << 30, ""},
		{"no room", usernsCount - 5001, 14000, 1 << 30, "no automatic user namespace range of"},
		{"called off", usernsCount - 5001, 14000, 3000, context.Canceled.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &Runtime{Dir: t.TempDir()}
			for _, id := range []string{"first", "hog"} {
				r.fakeRecord(t, id)
			}
			if err := os.Mkdir(r.path(usernsDir), 0o700); err != nil {
				t.Fatal(err)
			}
			want := 0
			if tt.taken >= 0 {
				if err := os.Symlink("first", r.path(usernsDir, strconv.Itoa(tt.taken))); err != nil {
					t.Fatal(err)
				}
				want = 1
			}
			patience := sdtest.Slower(time.Minute, 4)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			looks := &countdown{ctx, tt.looks}
			first, err := r.claimUserns(looks, "hog", uint32(tt.blocks)*usernsBlock)
			if ctx.Err() != nil {
				t.Fatalf("it took %v", patience)
			}
			at := int(first-usernsFirst) / usernsBlock
			switch {
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
			case err != nil || at < 0 || at+tt.blocks > usernsCount || at <= tt.taken && tt.taken < at+tt.blocks:
				t.Errorf("blocks %d to %d, %v", at, at+tt.blocks-1, err)
			default:
				want += tt.blocks
			}
			if used := tt.looks - looks.left; used > 2*usernsCount+2 {
				t.Errorf("%d looks at its context: each block is to be tried about once", used)
			}
			left, err := os.ReadDir(r.path(usernsDir))
			if err != nil || len(left) != want {
				t.Errorf("%d claims, want %d (%v)", len(left), want, err)
			}
			if held, err := tryLock(r.path(usernsLock), exclusive); err != nil {
				t.Error("the lock is still held:", err)
			} else {
				held.Close()
			}
		})
	}
}
