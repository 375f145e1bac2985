// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"

	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A future is a value that is being made in the background.
type future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func begin[T any](f func() (T, error)) *future[T] {
	x := &future[T]{done: make(chan struct{})}
	go func() {
		defer close(x.done)
		x.value, x.err = f()
	}()
	return x
}

func (f *future[T]) wait() (T, error) {
	<-f.done
	return f.value, f.err
}

// A preparation is what a start needs whatever it starts: an interpreter that waits
// for its first program, and a connection to systemd.
type preparation struct {
	helper *future[*nsexec.Helper]
	conn   *future[*scope.Conn] // nil where no unit is made
	hangUp context.CancelFunc   // stop dialling
}

func prepare(unit bool) *preparation {
	p := &preparation{}
	if unit {
		go scope.Anticipate()
		var ctx context.Context
		ctx, p.hangUp = context.WithCancel(context.Background())
		p.conn = begin(func() (*scope.Conn, error) { return scope.Dial(ctx) })
	}
	// With a keeper's socket, needed or not: without it the helper ends where it would become one.
	p.helper = begin(func() (*nsexec.Helper, error) { return nsexec.Start(nsexec.StartOptions{Keeper: true}) })
	return p
}

// takeHelper hands the interpreter over to a start, which ends it.
func (p *preparation) takeHelper() (*nsexec.Helper, error) {
	h, err := p.helper.wait()
	p.helper = nil
	return h, err
}

// takeConn hands the connection over to a start, which closes it. A start that is given up
// does not wait for a manager that lets nobody in.
func (p *preparation) takeConn(ctx context.Context) (*scope.Conn, error) {
	defer context.AfterFunc(ctx, p.hangUp)()
	conn, err := p.conn.wait()
	p.conn = nil
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return conn, err
}

// close frees what nobody took.
func (p *preparation) close() {
	if p.helper != nil {
		if h, err := p.helper.wait(); err == nil {
			_, _ = h.Kill(), h.Close() // it does nothing yet
		}
	}
	if p.conn == nil {
		return
	}
	p.hangUp()
	if conn, err := p.conn.wait(); err == nil {
		_ = conn.Close() // nothing was asked
	}
}

// PrepareCreate begins, in the background, what a Create with these options has to wait
// for. Call it as soon as it is clear that there will be a Create, before its Spec is
// there: without it Create takes some milliseconds longer. What was prepared, a process
// and a connection, is for the next Create, or the next Exec in a container that runs, whatever comes of that; until then
// they stay, or until [Runtime.Close]. Once more is nothing.
func (r *Runtime) PrepareCreate(o CreateOptions) { r.prepare(!o.Service) }

// Close gives up what was prepared and is not wanted any more. The Runtime can be used further.
func (r *Runtime) Close() {
	if p := r.ahead.Swap(nil); p != nil {
		p.close()
	}
}

// PrepareExec is PrepareCreate for [Container.Exec].
func (r *Runtime) PrepareExec() { r.prepare(false) }

func (r *Runtime) prepare(unit bool) {
	if r.ahead.Load() != nil {
		return
	}
	if p := prepare(unit); !r.ahead.CompareAndSwap(nil, p) {
		p.close()
	}
}

// prepared is what was prepared, or is now.
func (r *Runtime) prepared(unit bool) *preparation {
	p := r.ahead.Swap(nil)
	if p == nil {
		return prepare(unit)
	}
	if unit && p.conn == nil { // it was for something else
		p.close()
		return prepare(unit)
	}
	return p
}
