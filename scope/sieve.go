// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bufio"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
)

// A sieve passes on only those messages of a D-Bus connection that somebody here reads. On
// its private socket systemd announces every change of every unit, about thirty for each
// container: decoding them took a quarter of the memory of a start, only to be dropped.
//
// It looks at nothing but the header (D-Bus Specification, "Message Format"):
//
//	0 byte order  1 type  2 flags  3 version  4 body length  8 serial  12 length of the fields
//	16 fields: (code, variant) ..., each aligned to 8; padding to 8; body
//
// What it does not understand it passes on: to refuse it is godbus's part.
type sieve struct {
	in   *bufio.Reader
	rest uint64 // of the message being passed on
	// changes says that somebody waits for a unit's properties to change; nil is nobody.
	changes *atomic.Bool
}

// Of signals, those that [signals.DeliverSignal] knows, and those of the bus itself.
var wantedSignals = []string{"JobRemoved", "UnitRemoved", "NameOwnerChanged", "NameAcquired", "NameLost"}

const (
	headerSize  = 16
	typeSignal  = 4
	fieldMember = 3
)

func (s *sieve) Read(b []byte) (int, error) {
	for s.rest == 0 {
		size, wanted, err := s.next()
		if err != nil {
			return 0, err
		}
		if wanted {
			s.rest = size
			break
		}
		if _, err := s.in.Discard(int(size)); err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(b[:min(uint64(len(b)), s.rest)])
	s.rest -= uint64(n)
	return n, err
}

// next looks at the header of the next message.
func (s *sieve) next() (size uint64, wanted bool, err error) {
	h, err := s.in.Peek(headerSize)
	if err != nil {
		return 0, false, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h[0] == 'B' {
		order = binary.BigEndian
	}
	fields := uint64(order.Uint32(h[12:]))
	size = headerSize + (fields+7)&^7 + uint64(order.Uint32(h[4:]))
	if h[1] != typeSignal {
		return size, true, nil
	}
	h, err = s.in.Peek(headerSize + int(fields))
	if errors.Is(err, bufio.ErrBufferFull) {
		return size, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	member, ok := findMember(h, order)
	return size, !ok || s.wants(string(member)), nil
}

func (s *sieve) wants(member string) bool {
	if member == "PropertiesChanged" {
		return s.changes != nil && s.changes.Load()
	}
	return slices.Contains(wantedSignals, member)
}

// findMember finds the field MEMBER in a header.
func findMember(h []byte, order binary.ByteOrder) (member []byte, ok bool) {
	for at := headerSize; at+8 <= len(h); at = (at + 7) &^ 7 {
		code, signature := h[at], string(h[at+1:at+4]) // a length of 1, the type, 0
		at += 4
		size := int(order.Uint32(h[at:])) // of a string; with a 0 after it
		switch signature {
		case "\x01s\x00", "\x01o\x00":
			if at += 4; size < 0 || size >= len(h)-at {
				return nil, false
			}
			if code == fieldMember {
				return h[at : at+size], true
			}
			at += size + 1
		case "\x01u\x00":
			at += 4
		case "\x01g\x00":
			at += 1 + int(h[at]) + 1
		default:
			return nil, false
		}
	}
	return nil, false
}
