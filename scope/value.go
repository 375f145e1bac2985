// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Infinity is "no limit" in properties of type t.
const Infinity = math.MaxUint64

// The Go types of property values that are not Go's own. Their fields are in the
// order of the D-Bus signature; in JSON they have names.
type (
	// PathValue is one (st): a device and a number.
	PathValue struct {
		Path  string `json:"path"`
		Value uint64 `json:"value"`
	}
	// PathWord is one (ss): a device and its permissions, an attach type and a program.
	PathWord struct {
		Path string `json:"path"`
		Word string `json:"word"`
	}
	// Address is one (iayu): a family, an address and the length of its prefix.
	Address struct {
		Family  int32  `json:"family"`
		Address []byte `json:"address"`
		Prefix  uint32 `json:"prefix"`
	}
	// Bind is one (iiqq) of SocketBindAllow.
	Bind struct {
		Family   int32  `json:"family"`
		Protocol int32  `json:"protocol"`
		Count    uint16 `json:"count"`
		Port     uint16 `json:"port"`
	}
	// Interfaces is the (bas) of RestrictNetworkInterfaces.
	Interfaces struct {
		Allow bool     `json:"allow"`
		Names []string `json:"names"`
	}
	// NFT is one (iiss) of NFTSet.
	NFT struct {
		Source   int32  `json:"source"`
		Protocol int32  `json:"protocol"`
		Table    string `json:"table"`
		Set      string `json:"set"`
	}
)

// maxText bounds the text of one property.
const maxText = 64 << 10

// Parse turns a property's name and its value in GVariant text format into a typed
// property. A name that ends in Sec instead of USec takes seconds, as in unit files.
// An unknown name is refused with a suggestion.
func Parse(name, text string) (Property, error) {
	info, ok := Lookup(name)
	seconds := false
	if !ok {
		info, ok = lookupSec(name)
		seconds = ok
	}
	if !ok {
		return Property{}, unknownProperty(name)
	}
	if len(text) > maxText {
		return Property{}, fmt.Errorf("property %s: value of %d bytes: want at most %d", name, len(text), maxText)
	}
	p := &parser{text: text}
	var v any
	if seconds {
		v = p.seconds()
	} else {
		v = p.value(info.Sig)
	}
	p.space()
	if p.err == nil && p.pos < len(p.text) {
		p.fail("nothing after the value")
	}
	if p.err != nil {
		return Property{}, fmt.Errorf("property %s: value %s: want GVariant text like %s: %w", name, strconv.Quote(text), example(info), p.err)
	}
	if err := info.check(v); err != nil {
		return Property{}, fmt.Errorf("property %s: %w", name, err)
	}
	return Property{Name: info.Name, Value: v, Since: info.Since}, nil
}

// examples are values of properties for which one of the type will not do.
func examples() map[string]string {
	return map[string]string{
		"BPFProgram": "[('device', '/sys/fs/bpf/program')]", "CollectMode": "'inactive-or-failed'", "Description": "'a web server'",
		"DelegateControllers": "['cpu']", "DevicePolicy": "'closed'", "DisableControllers": "['cpu']", "Documentation": "['https://example.org/']",
		"FailureAction": "'none'", "FinalKillSignal": "9", "IODeviceWeight": "[('/dev/sda', uint64 200)]",
		"IPEgressFilterPath": "['/sys/fs/bpf/egress']", "IPIngressFilterPath": "['/sys/fs/bpf/ingress']",
		"KillMode": "'mixed'", "ManagedOOMPreference": "'avoid'", "OOMPolicy": "'kill'", "RequiresMountsFor": "['/srv']",
		"SuccessAction": "'none'", "WantsMountsFor": "['/srv']",
	}
}

// example is a value of the property's type as it may be written.
func example(i Info) string {
	if e, ok := examples()[i.Name]; ok {
		return e
	}
	switch i.Kind {
	case KindCount:
		return "uint64 100"
	case KindBytes:
		return "uint64 67108864"
	case KindScale:
		return "uint32 2147483648"
	}
	switch i.Sig {
	case "b":
		return "true"
	case "s":
		return "'auto'"
	case "as":
		return "['a.service']"
	case "t":
		return "uint64 1000000"
	case "i":
		return "15"
	case "ay":
		return "[byte 0x0f]"
	case "au":
		return "[uint32 1]"
	case "ah":
		return "[handle 0]"
	case "a(st)":
		return "[('/dev/sda', uint64 1000000)]"
	case "a(ss)":
		return "[('/dev/null', 'rwm')]"
	case "a(iayu)":
		return "[(2, [byte 10, 0, 0, 0], uint32 8)]"
	case "a(iiqq)":
		return "[(2, 6, uint16 1, uint16 80)]"
	case "(bas)":
		return "(true, ['eth0'])"
	}
	return "[(3, 1, 'table', 'set')]"
}

// A parser reads GVariant text of a type that is known beforehand. The first
// error stays.
type parser struct {
	text string
	pos  int
	err  error
}

func (p *parser) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("at byte %d: want %s", p.pos, want)
	}
}

func (p *parser) value(sig string) any {
	switch sig {
	case "b":
		return p.bool()
	case "s":
		return p.str()
	case "t":
		return p.uint(64)
	case "u":
		return uint32(p.uint(32))
	case "i":
		return int32(p.int(32))
	case "as":
		return array(p, p.str)
	case "au":
		return array(p, func() uint32 { return uint32(p.uint(32)) })
	case "ah":
		return array(p, func() dbus.UnixFD { return dbus.UnixFD(p.int(32)) })
	case "ay":
		return p.bytes()
	case "a(st)":
		return array(p, func() PathValue {
			return tuple(p, func() PathValue { return PathValue{p.str(), p.nextUint(64)} })
		})
	case "a(ss)":
		return array(p, func() PathWord {
			return tuple(p, func() PathWord { return PathWord{p.str(), p.nextStr()} })
		})
	case "a(iayu)":
		return array(p, func() Address { return tuple(p, p.address) })
	case "a(iiqq)":
		return array(p, func() Bind {
			return tuple(p, func() Bind {
				return Bind{int32(p.int(32)), p.nextInt32(), uint16(p.nextUint(16)), uint16(p.nextUint(16))}
			})
		})
	case "(bas)":
		return tuple(p, func() Interfaces {
			allow := p.bool()
			p.token(",")
			return Interfaces{allow, array(p, p.str)}
		})
	case "a(iiss)":
		return array(p, func() NFT {
			return tuple(p, func() NFT { return NFT{int32(p.int(32)), p.nextInt32(), p.nextStr(), p.nextStr()} })
		})
	}
	p.fail("a known type, not " + sig)
	return nil
}

func (p *parser) address() Address {
	family := int32(p.int(32))
	p.token(",")
	b := p.bytes()
	return Address{family, b, uint32(p.nextUint(32))}
}

func (p *parser) nextStr() string          { p.token(","); return p.str() }
func (p *parser) nextUint(bits int) uint64 { p.token(","); return p.uint(bits) }
func (p *parser) nextInt32() int32         { p.token(","); return int32(p.int(32)) }
func array[T any](p *parser, f func() T) []T {
	p.annotation()
	p.token("[")
	list := []T{}
	for p.err == nil && !p.peek("]") {
		if len(list) > 0 {
			p.token(",")
		}
		list = append(list, f())
	}
	p.token("]")
	return list
}

func tuple[T any](p *parser, f func() T) T {
	p.annotation()
	p.token("(")
	v := f()
	p.token(")")
	return v
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) peek(token string) bool {
	p.space()
	return strings.HasPrefix(p.text[p.pos:], token)
}

func (p *parser) token(t string) {
	if !p.peek(t) {
		p.fail(strconv.Quote(t))
		return
	}
	p.pos += len(t)
}

// word reads letters, digits and what else numbers, names and signatures are made of.
func (p *parser) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.text) && !strings.ContainsRune(" \t\n,[]()<>'\"{}:", rune(p.text[p.pos])) {
		p.pos++
	}
	return p.text[start:p.pos]
}

// annotation skips a type written before a value, "uint64 5" or "@t 5". The value is
// checked against the property's own type.
func (p *parser) annotation() {
	p.space()
	start := p.pos
	if p.peek("@") {
		for p.pos < len(p.text) && p.text[p.pos] != ' ' {
			p.pos++
		}
		return
	}
	switch p.word() {
	case "boolean", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "handle", "double", "string":
	default:
		p.pos = start
	}
}

func (p *parser) bool() bool {
	p.annotation()
	switch w := p.word(); w {
	case "true":
		return true
	case "false":
	default:
		p.fail("true or false")
	}
	return false
}

func (p *parser) uint(bits int) uint64 {
	p.annotation()
	n, err := strconv.ParseUint(p.word(), 0, bits)
	if err != nil {
		p.fail(fmt.Sprintf("a number of %d bits", bits))
	}
	return n
}

func (p *parser) int(bits int) int64 {
	p.annotation()
	n, err := strconv.ParseInt(p.word(), 0, bits)
	if err != nil {
		p.fail(fmt.Sprintf("a signed number of %d bits", bits))
	}
	return n
}

func (p *parser) seconds() uint64 {
	p.annotation()
	f, err := strconv.ParseFloat(p.word(), 64)
	if err != nil || !(f >= 0 && f < math.MaxInt64/1e6) {
		p.fail("a number of seconds")
		return 0
	}
	return uint64(math.Round(f * 1e6))
}

func (p *parser) bytes() []byte {
	if p.peek("b'") || p.peek(`b"`) {
		p.pos++
		return append([]byte(p.str()), 0)
	}
	return array(p, func() byte { return byte(p.uint(8)) })
}

func (p *parser) str() string {
	p.annotation()
	if !p.peek("'") && !p.peek(`"`) {
		p.fail("a quoted string")
		return ""
	}
	quote := p.text[p.pos]
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch {
		case c == quote:
			return b.String()
		case c == '\\':
			p.escape(&b)
		case c == 0:
			p.fail("no NUL in a string")
			return ""
		default:
			b.WriteByte(c)
		}
	}
	p.fail("an end of the string")
	return ""
}

// escapes are the single-letter ones of GVariant text.
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

func (p *parser) escape(b *strings.Builder) {
	if p.pos == len(p.text) {
		p.fail("a character after the backslash")
		return
	}
	c := p.text[p.pos]
	p.pos++
	digits := map[byte]int{'u': 4, 'U': 8}[c]
	if digits == 0 {
		if e, ok := escapes[c]; ok {
			c = e
		}
		b.WriteByte(c)
		return
	}
	end := min(p.pos+digits, len(p.text))
	n, err := strconv.ParseUint(p.text[p.pos:end], 16, 32)
	if err != nil || end-p.pos < digits || n == 0 || n > 0x10ffff {
		p.fail(fmt.Sprintf("%d hexadecimal digits of a character", digits))
		return
	}
	p.pos = end
	b.WriteRune(rune(n))
}
