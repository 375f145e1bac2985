// SPDX-License-Identifier: Apache-2.0

// Package fakesystemd is a service manager that does what a test says: refuse, be silent,
// lie, go away. It speaks D-Bus on a socket as systemd does on its private one. Test
// support only.
package fakesystemd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

const (
	managerPath  = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerIface = "org.freedesktop.systemd1.Manager"
)

// A Manager listens as systemd does on its private socket. Each method is answered by a
// function of the test; a method without one is unknown.
type Manager struct {
	Path   string
	listen net.Listener

	mu     sync.Mutex
	answer map[string]func(*Peer, *dbus.Message)
	props  map[string]any // "Version", "sdc-web.scope ActiveState"
	calls  []string
	peers  []*Peer
}

// A Peer is one connection to the fake.
type Peer struct {
	m    *Manager
	conn net.Conn
	Auth string // what the client sent before BEGIN
}

// New starts one on a socket of its own, until the test ends.
func New(t testing.TB) *Manager {
	t.Helper()
	return Listen(t, filepath.Join(t.TempDir(), "private"))
}

// Listen starts one on the socket path.
func Listen(t testing.TB, path string) *Manager {
	t.Helper()
	t.Attr("tier", "bus")
	m := &Manager{
		Path: path, answer: map[string]func(*Peer, *dbus.Message){}, props: map[string]any{},
	}
	var err error
	if m.listen, err = net.Listen("unix", m.Path); err != nil {
		t.Fatal(err)
	}
	m.answer["Get"] = (*Peer).Property
	m.answer["Subscribe"] = func(p *Peer, msg *dbus.Message) { p.Reply(msg) }
	var accepting, serving sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := m.listen.Accept()
			if err != nil {
				return
			}
			p := m.meet(c)
			serving.Go(func() { m.serve(p) })
		}
	})
	t.Cleanup(func() {
		m.listen.Close()
		accepting.Wait() // whoever came last is dropped too: its client may never hang up
		m.Drop()
		serving.Wait()
	})
	return m
}

func (m *Manager) meet(c net.Conn) *Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &Peer{m: m, conn: c}
	m.peers = append(m.peers, p)
	return p
}

// Drop ends all connections, as daemon-reexec does.
func (m *Manager) Drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.conn.Close()
	}
	m.peers = nil
}

// On has f answer a method.
func (m *Manager) On(method string, f func(*Peer, *dbus.Message)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer[method] = f
}

// Set gives a property, of the manager ("Version") or a unit ("web.scope ActiveState"), its value.
func (m *Manager) Set(name string, v any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.props[name] = v
}

// Count is how often a method was called.
func (m *Manager) Count(method string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.calls {
		if c == method {
			n++
		}
	}
	return n
}

func (m *Manager) serve(p *Peer) {
	defer p.conn.Close()
	in := bufio.NewReader(p.conn)
	for !strings.HasSuffix(p.Auth, "BEGIN\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		p.Auth += line
	}
	if _, err := p.conn.Write([]byte("OK 0123456789abcdef0123456789abcdef\r\n")); err != nil {
		return
	}
	for {
		msg, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		member, _ := msg.Headers[dbus.FieldMember].Value().(string)
		m.mu.Lock()
		m.calls = append(m.calls, member)
		f := m.answer[member]
		m.mu.Unlock()
		if f == nil {
			p.Fail(msg, "org.freedesktop.DBus.Error.UnknownMethod", "no "+member)
			continue
		}
		f(p, msg)
	}
}

// Property answers a Get, as is done unless the test does otherwise.
func (p *Peer) Property(msg *dbus.Message) {
	path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	name := fmt.Sprint(msg.Body[1])
	p.m.mu.Lock()
	v, ok := p.m.props[name]
	for full, value := range p.m.props {
		if unit, property, has := strings.Cut(full, " "); has && property == name && UnitPath(unit) == path {
			v, ok = value, true
		}
	}
	p.m.mu.Unlock()
	if !ok {
		p.Fail(msg, "org.freedesktop.DBus.Error.UnknownProperty", "no "+name)
		return
	}
	p.Reply(msg, dbus.MakeVariant(v))
}

// Reply answers a call.
func (p *Peer) Reply(to *dbus.Message, body ...any) {
	p.send(dbus.TypeMethodReply, map[dbus.HeaderField]any{dbus.FieldReplySerial: to.Serial()}, body)
}

// Fail answers a call with an error.
func (p *Peer) Fail(to *dbus.Message, name, text string) {
	p.send(dbus.TypeError, map[dbus.HeaderField]any{dbus.FieldReplySerial: to.Serial(), dbus.FieldErrorName: name}, []any{text})
}

// Signal sends a signal of the manager.
func (p *Peer) Signal(member string, body ...any) {
	p.send(dbus.TypeSignal, map[dbus.HeaderField]any{
		dbus.FieldPath: managerPath, dbus.FieldInterface: managerIface, dbus.FieldMember: member,
	}, body)
}

// JobRemoved tells the end of a job.
func (p *Peer) JobRemoved(job dbus.ObjectPath, unit, result string) {
	p.Signal("JobRemoved", uint32(7), job, unit, result)
}

func (p *Peer) send(kind dbus.Type, headers map[dbus.HeaderField]any, body []any) {
	msg := &dbus.Message{Type: kind, Flags: dbus.FlagNoReplyExpected, Headers: map[dbus.HeaderField]dbus.Variant{}, Body: body}
	for k, v := range headers {
		msg.Headers[k] = dbus.MakeVariant(v)
	}
	if len(body) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	var b bytes.Buffer
	if err := msg.EncodeTo(&b, binary.LittleEndian); err != nil {
		panic(err)
	}
	binary.LittleEndian.PutUint32(b.Bytes()[8:], 1) // the serial, which godbus leaves to its Conn
	_, _ = p.conn.Write(b.Bytes())                  // the client may be gone, as the test wants
}

// Changed tells everybody that a property of the unit is another.
func (m *Manager) Changed(unit string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.send(dbus.TypeSignal, map[dbus.HeaderField]any{
			dbus.FieldPath: UnitPath(unit), dbus.FieldInterface: "org.freedesktop.DBus.Properties", dbus.FieldMember: "PropertiesChanged",
		}, []any{"org.freedesktop.systemd1.Unit", map[string]dbus.Variant{}, []string{}})
	}
}

// Hangup ends the connection.
func (p *Peer) Hangup() { p.conn.Close() }

// Calls is every method that was called, in order.
func (m *Manager) Calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// UnitPath is the object of a unit.
func UnitPath(unit string) dbus.ObjectPath {
	return managerPath + "/unit/" + dbus.ObjectPath(sdbus.PathBusEscape(unit))
}

// Sent is the properties of a StartTransientUnit or SetUnitProperties call.
func Sent(msg *dbus.Message) map[string]any {
	i := slices.IndexFunc(msg.Body, func(v any) bool { _, ok := v.([][]any); return ok })
	m := map[string]any{}
	for _, p := range msg.Body[i].([][]any) {
		m[p[0].(string)] = p[1].(dbus.Variant).Value()
	}
	return m
}
