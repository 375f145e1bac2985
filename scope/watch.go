// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

// WatchRemoved returns a channel that gets nil once the unit is unloaded, which may be
// so already, or the error that ended the watch. The watch lives as long as ctx and
// goes on over a reload and a re-execution of the manager: both announce the
// removal of every unit there is.
func (c *Conn) WatchRemoved(ctx context.Context, unit string) (<-chan error, error) {
	next, err := c.watchOnce(ctx, unit)
	if err != nil {
		return nil, err
	}
	end := make(chan error, 1)
	go func() { end <- c.watchOn(ctx, unit, next) }()
	return end, nil
}

// watchOn asks after each announcement whether the unit is really gone.
func (c *Conn) watchOn(ctx context.Context, unit string, next <-chan error) (err error) {
	for next != nil {
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
		next, err = c.watchOnce(ctx, unit)
		for errors.Is(err, ErrLost) {
			select {
			case <-time.After(askAgain):
			case <-ctx.Done():
				return ctx.Err()
			}
			next, err = c.watchOnce(ctx, unit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watchOnce returns a channel for the next announcement, or nil if the unit is gone.
func (c *Conn) watchOnce(ctx context.Context, unit string) (<-chan error, error) {
	_, s, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.subscribe(ctx); err != nil {
		return nil, err
	}
	// Order: register before asking: the unit may go in between.
	ch := s.onRemoved(unit)
	var path dbus.ObjectPath
	if err := c.call(ctx, " "+unit, "GetUnit", &path, unit); err != nil {
		s.forget(unit, ch)
		return nil, ignoreGone(err)
	}
	return ch, nil
}

// subscribe has the manager send signals: on a bus only subscribers get them. A second
// subscription is an error that says so.
func (c *Conn) subscribe(ctx context.Context) error {
	err := c.call(ctx, "", "Subscribe", nil)
	if reply := (*CallError)(nil); errors.As(err, &reply) && reply.Name == destination+".AlreadySubscribed" {
		return nil
	}
	return err
}
