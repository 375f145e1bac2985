// SPDX-License-Identifier: Apache-2.0

// Package wire is the conversation between the test harness and the agent in
// a guest, over one virtio-serial port. It knows frames and nothing else: the
// host side is internal/sdtest, the guest side test/vm/agent.
//
//	guest                                host
//	  Hello            ->                          once, when the agent is up
//	                   <-  Exec Request            one command at a time
//	                   <-  Stdin*, StdinEOF        in any order with
//	  Stdout*, Stderr* ->                          the output
//	                   <-  Resize, Signal          at any time
//	  Exit Result      ->                          then the next Exec
//
// A frame is one byte of kind, four bytes of big-endian length, payload.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Kind tells what a frame carries.
type Kind byte

// The kinds of frames, in the order of the conversation.
const (
	Hello Kind = iota + 1
	Exec
	Stdin
	StdinEOF
	Stdout
	Stderr
	Resize
	Signal
	Exit
)

// MaxPayload bounds one frame; longer streams are cut into several.
const MaxPayload = 64 << 10

// Request is the payload of an Exec frame.
type Request struct {
	Args []string // Args[0] is looked up in the guest's PATH
	Env  []string // added to the agent's own
	Dir  string   // "" is /
	TTY  bool     // run on a pseudo-terminal; its output is all Stdout
	Rows uint16
	Cols uint16
}

// Size is the payload of a Resize frame.
type Size struct{ Rows, Cols uint16 }

// Result is the payload of an Exit frame.
type Result struct {
	Code  int    // as a shell would say it: 128+n after signal n
	Error string // why the command could not run
}

// Frame is one message.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// Decode reads the JSON payload of f into v.
func (f Frame) Decode(v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("frame of kind %d: %w", f.Kind, err)
	}
	return nil
}

// Read returns the next frame.
func Read(r io.Reader) (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxPayload {
		return Frame{}, fmt.Errorf("frame of kind %d with %d bytes: want at most %d", head[0], n, MaxPayload)
	}
	f := Frame{Kind: Kind(head[0]), Payload: make([]byte, n)}
	_, err := io.ReadFull(r, f.Payload)
	return f, err
}

// Writer writes whole frames from several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one frame.
//
//   - payload is at most MaxPayload bytes.
func (w *Writer) Send(kind Kind, payload []byte) error {
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload)))
	frame = append(frame, payload...)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(frame)
	return err
}

// SendJSON writes one frame whose payload is v.
func (w *Writer) SendJSON(kind Kind, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Send(kind, payload)
}

// Stream returns an io.Writer that sends what it gets as frames of one kind.
func (w *Writer) Stream(kind Kind) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind Kind
}

func (s stream) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		chunk := p[done:min(len(p), done+MaxPayload)]
		if err := s.w.Send(s.kind, chunk); err != nil {
			return done, err
		}
		done += len(chunk)
	}
	return done, nil
}
