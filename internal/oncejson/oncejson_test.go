// SPDX-License-Identifier: Apache-2.0

package oncejson

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func same(t *testing.T, v any) {
	t.Helper()
	want, wantErr := json.Marshal(v)
	got, err := Marshal(v)
	if string(got) != string(want) && wantErr == nil || (err == nil) != (wantErr == nil) {
		t.Errorf("%T: %s, %v\nwant %s, %v", v, got, err, want, wantErr)
	}
	if err == nil && v != nil {
		sameBack(t, reflect.TypeOf(v), got)
	}
}

// sameBack decodes into a new value of the type.
func sameBack(t *testing.T, typ reflect.Type, b []byte) {
	t.Helper()
	want, got := reflect.New(typ), reflect.New(typ)
	wantErr, err := json.Unmarshal(b, want.Interface()), Unmarshal(b, got.Interface())
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Errorf("%s into a %s: %+v, %v\nwant %+v, %v", b, typ, got.Elem(), err, want.Elem(), wantErr)
	}
}

// Every field of every type of the Spec, filled in, and again with nothing in it.
func TestSpecAsEncodingJSON(t *testing.T) {
	var full specs.Spec
	fill(reflect.ValueOf(&full).Elem(), 0)
	same(t, &full)
	same(t, &specs.Spec{})
	same(t, specs.Spec{Linux: &specs.Linux{}, Process: &specs.Process{}})
}

func fill(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				fill(f, depth+1)
			} else if f.Kind() == reflect.Struct { // embedded without a public name: its fields are public
				fill(f, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 3 {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(e, depth+1)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("key", 2-i)).Convert(v.Type().Key()), e)
		}
	case reflect.String:
		v.SetString("text <&> " + v.Type().Name())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Interface:
		v.Set(reflect.ValueOf("anything"))
	default:
		panic(v.Kind())
	}
}

// What is written by hand, or damaged.
func TestUnmarshalAsEncodingJSON(t *testing.T) {
	for _, text := range []string{
		"", "{", "nul", "null", "[]", "{}", `"x"`, "1", "{} {}", `{"root":1}`, `{"root":[]}`, `{"root":null,"mounts":null,"linux":{}}`,
		` { "root" : { "path" : "a\u0000\"]},{[" } , "mounts" : [ ] , "unknown" : [ {"a":[1,2]}, "]" ] } `,
		`{"mounts":[{"options":["a","b"],"destination":"/x"},{},null]}`, `{"mounts":{}}`, `{"mounts":[1]}`, `{"mounts":[{"type":1}]}`,
		`{"annotations":{"a":"b"},"process":{"user":{"uid":-1}}}`, `{"linux":{"timeOffsets":{"a\n":{"secs":1},"b":null}}}`,
		`{"linux":{"timeOffsets":[]}}`, `{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":8,"minor":1,"weight":2}]}}}}`,
		`{"process":{"terminal":true,"rlimits":[{"type":"x","hard":1,"soft":18446744073709551615}]}}`,
	} {
		for _, typ := range []reflect.Type{reflect.TypeFor[specs.Spec](), reflect.TypeFor[*specs.Spec](), reflect.TypeFor[odd](), reflect.TypeFor[[]odd](), reflect.TypeFor[map[string]odd]()} {
			sameBack(t, typ, []byte(text))
		}
	}
}

// Names that count once: encoding/json puts the values of both together.
func TestUnmarshalRefusesTwice(t *testing.T) {
	for _, text := range []string{`{"version":"1","version":"1"}`, `{"process":{"args":["a"],"args":["b"]}}`, `{"linux":{"timeOffsets":{"a":null,"a":null}}}`} {
		var spec specs.Spec
		if err := Unmarshal([]byte(text), &spec); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is decoded from anything is decoded once more from what it is encoded to.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"root":{"path":"/"},"mounts":[{"options":["ro"]}],"linux":{"timeOffsets":{"x":{"secs":1}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec specs.Spec
		if err := Unmarshal(b, &spec); err == nil {
			same(t, spec)
		}
	})
}

type inner struct {
	A int `json:"a"`
	b int
}

// Types that encode themselves, by a method of the value or of the pointer.
type yes bool

func (yes) MarshalText() ([]byte, error) { return []byte("yes"), nil }

type loud string

func (l *loud) MarshalJSON() ([]byte, error) { return json.Marshal(string(*l) + "!") }

type point struct{ X int }

func (p *point) MarshalText() ([]byte, error) { return fmt.Append(nil, "x=", p.X), nil }

type odd struct {
	Yes    yes
	Loud   loud
	Point  point
	Points []point
	inner
	Plain   string
	Skipped string `json:"-"`
	//lint:ignore SA5008 an odd tag is what is tested
	Dash    string      `json:"-,"`
	Empty   []string    `json:"empty,omitempty"`
	Zero    time.Time   `json:"zero,omitzero"`
	Time    time.Time   `json:"time"`
	Addr    *netip.Addr `json:"addr"`
	Bytes   []byte      `json:"bytes"`
	Nil     []int       `json:"nil"`
	Map     map[int]bool
	Any     any
	Mode    fs.FileMode
	Struct  struct{} `json:"struct,omitempty"`
	private string
}

func TestOddTypesAsEncodingJSON(t *testing.T) {
	addr := netip.MustParseAddr("::1")
	for _, v := range []any{
		odd{Points: []point{{1}, {2}}}, &odd{Loud: "x", Points: []point{{1}}}, yes(true), loud("x"), map[string]point{"a": {1}},
		nil, 1, "x", []string{}, map[string]int{}, map[string]int(nil), (*odd)(nil), odd{},
		&odd{inner: inner{1, 2}, Time: time.Unix(1, 2), Addr: &addr, Bytes: []byte("abc"), Map: map[int]bool{2: true, 1: false}, Any: inner{}, private: "x"},
		[]any{1.5, "x", nil}, make(chan int),
	} {
		same(t, v)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\/<>&'", "\b\f\n\r\t", "äöü\u2028\u2029\U0001F600", "\xff\xc3\x28", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { same(t, map[string]string{s: s}) })
}

// What would be encoded otherwise than encoding/json does is refused.
func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, v := range []any{
		struct{ *Exported }{}, struct {
			N int `json:"n,string"`
		}{},
	} {
		if b, err := Marshal(v); err == nil {
			t.Errorf("%T: %s", v, b)
		}
	}
}

type Exported struct{ A int }
