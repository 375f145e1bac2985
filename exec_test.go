// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a process of Exec leaves out, and nothing else, is the container's.
func TestInheritUser(t *testing.T) {
	container := specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}, Umask: new(uint32(0o077))}
	from := &specs.Process{User: container}
	for name, tt := range map[string]struct{ own, want specs.User }{
		"nothing": {specs.User{}, container},
		"umask":   {specs.User{Umask: new(uint32(0o007))}, specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}, Umask: new(uint32(0o007))}},
		"groups":  {specs.User{AdditionalGids: []uint32{4}}, specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{4}, Umask: container.Umask}},
		"user":    {specs.User{UID: 1, GID: 2}, specs.User{UID: 1, GID: 2, Umask: container.Umask}},
		"root":    {specs.User{Username: "0"}, specs.User{Username: "0", Umask: container.Umask}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, inherit(&specs.Process{User: tt.own}, from).User); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A kernel without one kind of namespace: that its link is missing is no sign of an end.
func TestKernelWithoutANamespace(t *testing.T) {
	kinds := namespaceKinds
	t.Cleanup(func() { namespaceKinds = kinds })
	namespaceKinds = append(kinds[:len(kinds):len(kinds)], kinds[0])
	namespaceKinds[len(kinds)].kind = "nosuch"
	flags, cgroup, err := foreignNamespaces(os.Getpid())
	if flags != 0 || cgroup || err != nil {
		t.Errorf("our own: %#x, %v, %v; want none", flags, cgroup, err)
	}
	if _, _, err := foreignNamespaces(1 << 30); err != ErrNotRunning {
		t.Errorf("nobody's: %v, want ErrNotRunning", err)
	}
}

// What was looked for too long is let go of when it comes after all.
func TestLookDropsWhatComesLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answer, dropped := make(chan int), make(chan int)
	cancel()
	_, err := look(ctx, "look", func() (int, error) { return <-answer, nil }, func(n int) { dropped <- n })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want canceled", err)
	}
	answer <- 7
	select {
	case n := <-dropped:
		if n != 7 {
			t.Errorf("dropped %d, want 7", n)
		}
	case <-soon(t).Done():
		t.Error("not dropped")
	}
}
