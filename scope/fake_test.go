// SPDX-License-Identifier: Apache-2.0

package scope

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

	"github.com/godbus/dbus/v5"
)

// fakeManager listens as systemd does on its private socket. Each method is answered by a
// function of the test; a method without one is unknown.
type fakeManager struct {
	path   string
	listen net.Listener

	mu     sync.Mutex
	answer map[string]func(*peer, *dbus.Message)
	props  map[string]any // "Version", "sdc-web.scope ActiveState"
	calls  []string
	peers  []*peer
}

// peer is one connection to the fake.
type peer struct {
	m    *fakeManager
	conn net.Conn
	auth string // what the client sent before BEGIN
}

func newFake(t testing.TB) *fakeManager {
	t.Helper()
	t.Attr("tier", "bus")
	m := &fakeManager{
		path: filepath.Join(t.TempDir(), "private"), answer: map[string]func(*peer, *dbus.Message){}, props: map[string]any{},
	}
	var err error
	if m.listen, err = net.Listen("unix", m.path); err != nil {
		t.Fatal(err)
	}
	m.answer["Get"] = (*peer).getProperty
	m.answer["Subscribe"] = func(p *peer, msg *dbus.Message) { p.reply(msg) }
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := m.listen.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { m.serve(&peer{m: m, conn: c}) })
		}
	})
	t.Cleanup(func() {
		m.listen.Close()
		m.drop()
		wg.Wait()
	})
	return m
}

// drop ends all connections, as daemon-reexec does.
func (m *fakeManager) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.conn.Close()
	}
	m.peers = nil
}

func (m *fakeManager) on(method string, f func(*peer, *dbus.Message)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer[method] = f
}

func (m *fakeManager) set(name string, v any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.props[name] = v
}

// count is how often a method was called.
func (m *fakeManager) count(method string) int {
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

func (m *fakeManager) dial(t testing.TB) *Conn {
	t.Helper()
	c, err := dial(t.Context(), []address{{m.path, true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (m *fakeManager) serve(p *peer) {
	m.mu.Lock()
	m.peers = append(m.peers, p)
	m.mu.Unlock()
	defer p.conn.Close()
	in := bufio.NewReader(p.conn)
	for !strings.HasSuffix(p.auth, "BEGIN\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		p.auth += line
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
			p.fail(msg, "org.freedesktop.DBus.Error.UnknownMethod", "no "+member)
			continue
		}
		f(p, msg)
	}
}

func (p *peer) getProperty(msg *dbus.Message) {
	path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	name := fmt.Sprint(msg.Body[1])
	p.m.mu.Lock()
	v, ok := p.m.props[name]
	for full, value := range p.m.props {
		if unit, property, has := strings.Cut(full, " "); has && property == name && unitPath(unit) == path {
			v, ok = value, true
		}
	}
	p.m.mu.Unlock()
	if !ok {
		p.fail(msg, "org.freedesktop.DBus.Error.UnknownProperty", "no "+name)
		return
	}
	p.reply(msg, dbus.MakeVariant(v))
}

func (p *peer) reply(to *dbus.Message, body ...any) {
	p.send(dbus.TypeMethodReply, map[dbus.HeaderField]any{dbus.FieldReplySerial: to.Serial()}, body)
}

func (p *peer) fail(to *dbus.Message, name, text string) {
	p.send(dbus.TypeError, map[dbus.HeaderField]any{dbus.FieldReplySerial: to.Serial(), dbus.FieldErrorName: name}, []any{text})
}

func (p *peer) signal(member string, body ...any) {
	p.send(dbus.TypeSignal, map[dbus.HeaderField]any{
		dbus.FieldPath: managerPath, dbus.FieldInterface: managerIface, dbus.FieldMember: member,
	}, body)
}

func (p *peer) jobRemoved(job dbus.ObjectPath, unit, result string) {
	p.signal("JobRemoved", uint32(7), job, unit, result)
}

func (p *peer) send(kind dbus.Type, headers map[dbus.HeaderField]any, body []any) {
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

// sent is the properties of a StartTransientUnit or SetUnitProperties call.
func sent(msg *dbus.Message) map[string]any {
	i := slices.IndexFunc(msg.Body, func(v any) bool { _, ok := v.([][]any); return ok })
	m := map[string]any{}
	for _, p := range msg.Body[i].([][]any) {
		m[p[0].(string)] = p[1].(dbus.Variant).Value()
	}
	return m
}
