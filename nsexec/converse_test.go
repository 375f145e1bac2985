// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// A child is the process a program forked.
type child struct {
	Pid   int
	Pidfd *os.File
}

// spawn runs a program up to its Fork.
func (c *Conn) spawn(ctx context.Context, p *Program, files []*os.File) (child, error) {
	if err := c.Send(p, files...); err != nil {
		return child{}, err
	}
	e, err := c.Next(ctx)
	if err == nil && e.Kind != Forked {
		err = fmt.Errorf("program %s: %s instead of forked", p.name, e.Kind)
	}
	return child{e.Pid, e.File}, err
}

// errHold stops run at a Sync, where the process waits for release.
var errHold = errors.New("hold")

// held has the event at which each Conn is.
var held sync.Map

// run runs a program to its end: until it is done or has executed something else.
// Each Sync on the way is shown to event, and answered when that returns nil.
func (c *Conn) run(ctx context.Context, p *Program, files []*os.File, event func(Event) error) error {
	if err := c.Send(p, files...); err != nil {
		return err
	}
	return c.follow(ctx, event)
}

// release lets the process go on from the Sync where it is held to its program's end.
func (c *Conn) release(ctx context.Context) error {
	e, ok := held.LoadAndDelete(c)
	if !ok {
		return errors.New("not held at a sync")
	}
	if err := c.Answer(e.(Event), nil); err != nil {
		return err
	}
	return c.follow(ctx, noSync)
}

func (c *Conn) follow(ctx context.Context, event func(Event) error) error {
	for {
		e, err := c.Next(ctx)
		if err != nil || e.Kind == Done || e.Kind == Executed {
			return err
		}
		if e.Kind != Synced {
			return fmt.Errorf("%s instead of a sync", e.Kind)
		}
		if err := event(e); errors.Is(err, errHold) {
			held.Store(c, e)
			return nil
		} else if err != nil {
			return err
		}
		if err := c.Answer(e, nil); err != nil {
			return err
		}
	}
}
