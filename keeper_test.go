// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

func TestKilledKeeperMeansUnknown(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, began := newWorld(t), time.Now()
	c := w.mustStart("unseen", CreateOptions{Detach: true}, "/bin/sleep", "60")
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.KeeperPid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context()); !errors.Is(err, ErrExitUnknown) {
		t.Errorf("wait: %v", err)
	}
	if s, err := c.State(); err != nil || !s.ExitUnknown {
		t.Errorf("state: %+v, %v", s, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("unseen")
	if ends := endsInJournal(t, "unseen", began); len(ends) != 1 || !strings.Contains(ends[0]["MESSAGE"], "exit status unknown") || ends[0]["EXIT_CODE"] != "" {
		t.Errorf("the journal says %v", ends)
	}

	// Nobody waits: then rm says it.
	c = w.mustStart("unseen-rm", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if s, err = c.State(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.KeeperPid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), "unseen-rm", true); err != nil {
		t.Error(err)
	}
	w.nothingLeft("unseen-rm")
	if ends := endsInJournal(t, "unseen-rm", began); len(ends) != 1 || !strings.Contains(ends[0]["MESSAGE"], "exit status unknown") {
		t.Errorf("after rm -f the journal says %v", ends)
	}
}

// A start that was killed while systemd moved its keeper leaves the keepers' scope empty: rm ends it, and a detached start
// that fails.
func TestEmptyKeepersScopeEnds(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	conn, err := scope.Dial(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dead := sdtest.Zombie(t)
	for name, end := range map[string]func() error{
		"rm": func() error { return w.Remove(t.Context(), "nobody", true) },
		"run": func() error {
			_, err := w.start("nobody", CreateOptions{Detach: true}, "/nosuch")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := conn.StartKeeper(t.Context(), dead); err != nil {
				t.Fatal(err)
			}
			gone, err := conn.WatchRemoved(t.Context(), scope.KeepersUnit)
			if err != nil {
				t.Fatal(err)
			}
			if err := end(); !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			select {
			case err := <-gone:
				if err != nil {
					t.Error(err)
				}
			case <-soon(t).Done():
				t.Error("the empty scope stays")
			}
		})
	}
}

// A keeper that somebody has stopped records nothing: rm -f goes on without it.
func TestStoppedKeeper(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	defer func(d time.Duration) { settleTimeout = d }(settleTimeout)
	settleTimeout = 100 * time.Millisecond
	w := newWorld(t)
	c := w.mustStart("still", CreateOptions{Detach: true}, "/bin/sleep", "60")
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := kernel.Pidfd(s.KeeperPid)
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	if err := unix.Kill(s.KeeperPid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(soon(t), "still", true); err != nil {
		t.Errorf("rm -f: %v", err)
	}
	if err := kernel.WaitReadable(soon(t), keeper); err != nil {
		t.Errorf("the keeper lives: %v", err)
	}
	w.nothingLeft("still")
}

// C10: what a keeper becomes is root's.
func TestC10CleanupIsNotThatOfPath(t *testing.T) {
	sdtest.PlantInPath(t, "sdcontainer")
	l := &launch{c: &Container{rt: &Runtime{}, id: "x"}}
	planted, err := exec.LookPath("sdcontainer")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.cleanupCommand(); err == nil && got[0] == planted || err != nil && !strings.Contains(err.Error(), "set CreateOptions.Cleanup") {
		t.Errorf("%q, %v; want another than %s", got, err, planted)
	}
}

func TestOwnCleanupFindsTheRecords(t *testing.T) {
	t.Chdir("/usr")
	got, err := ownCleanup("/usr/bin/sdcontainer", "run")
	if want := []string{"/usr/bin/sdcontainer", "cleanup", "--run-dir", "/usr/run"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
