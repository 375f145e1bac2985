// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// record writes down that the container is complete.
func (l *launch) record(ctx context.Context) error {
	if l.o.Detach {
		if err := l.prepareKeeper(ctx); err != nil {
			return err
		}
		l.c.st.Above = markOOM(l.c.st.Cgroup)
	}
	if _, err := l.saved.wait(); err != nil {
		return err
	}
	l.c.st.Phase = Created
	return l.c.write()
}

// prepareKeeper gives the keeper the cgroup it watches, and leaves it waiting to be
// told to stay.
func (l *launch) prepareKeeper(ctx context.Context) error {
	k := l.helper.Keeper()
	e, err := k.Next(ctx)
	if err != nil {
		return err
	}
	if e.Kind != nsexec.Synced || e.ID != syncUnit {
		return fmt.Errorf("keeper: unexpected %s %#x", e.Kind, e.ID)
	}
	if err := k.Answer(e, l.oom.unit); err != nil {
		return err
	}
	if l.keeping, err = k.Next(ctx); err != nil {
		return err
	}
	if l.keeping.Kind != nsexec.Keeping {
		return fmt.Errorf("keeper: unexpected %s, want keeping", l.keeping.Kind)
	}
	return nil
}

// cleanupCommand is what the keeper becomes in the end.
func (l *launch) cleanupCommand() ([]string, error) {
	l.cleanup = l.o.Cleanup
	if len(l.cleanup) == 0 {
		exe, err := kernel.Program("sdcontainer")
		if err != nil {
			return nil, fmt.Errorf("a detached container needs a cleanup command: %w (install sdcontainer, or set CreateOptions.Cleanup)", err)
		}
		if l.cleanup, err = ownCleanup(exe, l.c.rt.dir()); err != nil {
			return nil, err
		}
	}
	return append(slices.Clone(l.cleanup), l.c.id), nil
}

// ownCleanup is the command of sdcontainer itself, but for the container's name. It finds dir from "/", where a keeper is.
func ownCleanup(exe, dir string) ([]string, error) {
	dir, err := filepath.Abs(dir)
	return []string{exe, "cleanup", "--run-dir", dir}, err
}
