// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/godbus/dbus/v5"
)

// encoded is a message on the wire.
func encoded(t testing.TB, order binary.ByteOrder, typ dbus.Type, path dbus.ObjectPath, member string, body ...any) []byte {
	t.Helper()
	m := &dbus.Message{Type: typ, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldInterface: dbus.MakeVariant(managerIface),
		dbus.FieldMember: dbus.MakeVariant(member), dbus.FieldReplySerial: dbus.MakeVariant(uint32(7)),
	}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSieve(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var wire bytes.Buffer
		add := func(typ dbus.Type, member string, body ...any) {
			wire.Write(encoded(t, order, typ, managerPath, member, body...))
		}
		add(dbus.TypeSignal, "UnitNew", "a.scope")
		add(dbus.TypeMethodReply, "PropertiesChanged", "a reply is never left out")
		add(dbus.TypeSignal, "PropertiesChanged", strings.Repeat("x", 10_000))
		add(dbus.TypeSignal, "JobRemoved", uint32(1), "done")
		wire.Write(encoded(t, order, dbus.TypeSignal, dbus.ObjectPath(strings.Repeat("/long", 2000)), "NotLookedAt"))
		add(dbus.TypeSignal, "JobNew")
		add(dbus.TypeMethodCall, "JobNew")
		add(dbus.TypeSignal, "UnitRemoved", "b.scope")
		add(dbus.TypeSignal, "Reloading", true)

		in := &sieve{in: bufio.NewReader(iotest.OneByteReader(&wire))}
		var got []string
		for {
			m, err := dbus.DecodeMessage(in)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			member, _ := m.Headers[dbus.FieldMember].Value().(string)
			got = append(got, member)
		}
		want := []string{"PropertiesChanged", "JobRemoved", "NotLookedAt", "JobNew", "UnitRemoved"}
		if !slices.Equal(got, want) {
			t.Errorf("%v: passed %q, want %q", order, got, want)
		}
	}
}

// Whatever the peer sends, nothing panics, and what is not a signal comes through whole.
func FuzzSieve(f *testing.F) {
	f.Add(encoded(f, binary.LittleEndian, dbus.TypeSignal, managerPath, "UnitNew", "a.scope"))
	f.Add(encoded(f, binary.BigEndian, dbus.TypeMethodReply, managerPath, "Reply", "a.scope"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := io.ReadAll(&sieve{in: bufio.NewReader(bytes.NewReader(b))})
		if !isSubsequence(got, b) {
			t.Errorf("%x is not in %x", got, b)
		}
		if len(b) >= headerSize && b[1] != typeSignal && len(got) > 0 && !bytes.HasPrefix(b, got[:headerSize]) {
			t.Errorf("%x begins %x", b, got)
		}
	})
}

func isSubsequence(part, of []byte) bool {
	for _, c := range of {
		if len(part) > 0 && part[0] == c {
			part = part[1:]
		}
	}
	return len(part) == 0
}
