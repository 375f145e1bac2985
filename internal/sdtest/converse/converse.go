// SPDX-License-Identifier: Apache-2.0

// Package converse talks to the interpreter for tests of planners.
package converse

import (
	"context"
	"fmt"
	"os"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// Spawn runs a program up to its Fork: the event has pid and pidfd.
func Spawn(ctx context.Context, h *nsexec.Helper, p *nsexec.Program, files ...*os.File) (nsexec.Event, error) {
	if err := h.Send(p, files...); err != nil {
		return nsexec.Event{}, err
	}
	e, err := h.Next(ctx)
	if err == nil && e.Kind != nsexec.Forked {
		err = fmt.Errorf("program %s: %s instead of forked", p.Name(), e.Kind)
	}
	return e, err
}

// Run runs a program until it is done or has executed something else. Each Sync on the
// way is shown to event and answered when that returns nil.
func Run(ctx context.Context, h *nsexec.Helper, p *nsexec.Program, files []*os.File, event func(nsexec.Event) error) error {
	if err := h.Send(p, files...); err != nil {
		return err
	}
	for {
		e, err := h.Next(ctx)
		if err != nil || e.Kind == nsexec.Done || e.Kind == nsexec.Executed {
			return err
		}
		if e.Kind != nsexec.Synced {
			return fmt.Errorf("program %s: %s instead of a sync", p.Name(), e.Kind)
		}
		if err := event(e); err != nil {
			return err
		}
		if err := h.Answer(e, nil); err != nil {
			return err
		}
	}
}
