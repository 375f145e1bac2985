// SPDX-License-Identifier: Apache-2.0

// Package oncejson is json.Marshal and json.Unmarshal for a value that a process encodes or decodes once.
//
// encoding/json first builds an encoder, or a decoder, for every type that can be reached from a
// value's type, which pays when more values follow. Of an OCI Spec it is a hundred types, those of
// Windows and z/OS among them, and takes a tenth of the CPU time of a start. Here only what
// is there is looked at. Encoding gives the same to the byte, and decoding the same of what was
// encoded so; what this package does not know it leaves to encoding/json.
package oncejson

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Marshal encodes v.
func Marshal(v any) ([]byte, error) { return appendValue(make([]byte, 0, 4096), reflect.ValueOf(v)) }

func appendValue(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.String:
		if !special(v) {
			return appendString(b, v.String()), nil
		}
	case reflect.Bool:
		if !special(v) {
			return strconv.AppendBool(b, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !special(v) {
			return strconv.AppendInt(b, v.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if !special(v) {
			return strconv.AppendUint(b, v.Uint(), 10), nil
		}
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		if !special(v) {
			return appendValue(b, v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && !special(v) { // bytes are base64
			return appendSlice(b, v)
		}
	case reflect.Map:
		if v.Type().Key() == reflect.TypeFor[string]() && !special(v) {
			return appendMap(b, v)
		}
	case reflect.Struct:
		if !special(v) {
			return appendStruct(b, v)
		}
	default: // none of the others is in a Spec
	}
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	text, err := json.Marshal(itself(v))
	return append(b, text...), err
}

// special says whether a value encodes itself.
func special(v reflect.Value) bool {
	if v.Type().PkgPath() == "" && v.Kind() != reflect.Pointer {
		return false // a type without a name has no methods
	}
	switch itself(v).(type) {
	case json.Marshaler, encoding.TextMarshaler:
		return true
	}
	return false
}

// itself is the value with the methods that encoding/json would find: those of its
// pointer too, where it can have one.
func itself(v reflect.Value) any {
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		v = v.Addr()
	}
	return v.Interface()
}

func appendSlice(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, v.Index(i)); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	values := map[string]reflect.Value{}
	for it := v.MapRange(); it.Next(); {
		values[it.Key().String()] = it.Value()
	}
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		if b, err = appendValue(b, values[key]); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	start := len(b)
	b, err := appendFields(b, v)
	if err != nil {
		return b, err
	}
	if len(b) == start {
		b = append(b, '{')
	}
	b[start] = '{' // was the first field's comma
	return append(b, '}'), nil
}

// appendFields writes ,"name":value for each field.
func appendFields(b []byte, v reflect.Value) (_ []byte, err error) {
	for field, value := range v.Fields() {
		name, omit, err := naming(field)
		switch {
		case err != nil:
			return b, err
		case embeds(field):
			if b, err = appendFields(b, value); err != nil {
				return b, err
			}
			continue
		case name == "", omit == "omitempty" && empty(value), omit == "omitzero" && value.IsZero():
			continue
		}
		b = append(appendString(append(b, ','), name), ':')
		if b, err = appendValue(b, value); err != nil {
			return b, err
		}
	}
	return b, nil
}

// naming is what a field is called, "" if it is left out, and when it is left out.
func naming(field reflect.StructField) (name, omit string, err error) {
	tag := field.Tag.Get("json")
	name, omit, _ = strings.Cut(tag, ",")
	switch {
	case tag == "-":
		return "", "", nil
	case field.Anonymous && name == "" && field.Type.Kind() != reflect.Struct:
		return "", "", fmt.Errorf("embedded field %s: not a struct", field.Name)
	case !field.IsExported():
		return "", "", nil
	case omit != "" && omit != "omitempty" && omit != "omitzero":
		return "", "", fmt.Errorf("field %s: unknown option %q", field.Name, omit)
	}
	return cmp.Or(name, field.Name), omit, nil
}

// embeds is true of a struct whose fields count as those of the struct that it is in.
func embeds(field reflect.StructField) bool {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return field.Anonymous && name == ""
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

// appendString quotes as encoding/json does, safe for HTML and JavaScript.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c >= ' ' && c != '<' && c != '>' && c != '&':
				b = append(b, c)
			case strings.IndexByte("\b\f\n\r\t", c) >= 0:
				b = append(b, '\\', "bfnrt"[strings.IndexByte("\b\f\n\r\t", c)])
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028', r == '\u2029':
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return append(b, '"')
}
