// SPDX-License-Identifier: Apache-2.0

package oncejson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
)

// Unmarshal decodes what Marshal encoded into what v points to, the zero value of its type. The names of fields must
// be as they are in the type; what has another name is left out, and none may be there twice.
func Unmarshal(b []byte, v any) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		return err
	}
	return decodeValue(compact.Bytes(), reflect.ValueOf(v).Elem())
}

// decodeValue takes JSON that is valid and has no spaces.
func decodeValue(b []byte, v reflect.Value) error {
	switch {
	case !hasFields(v.Type()):
		return json.Unmarshal(b, v.Addr().Interface())
	case string(b) == "null":
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(b, v.Elem())
	case v.Kind() == reflect.Slice && b[0] == '[':
		return decodeSlice(b, v)
	case v.Kind() == reflect.Map && b[0] == '{':
		return decodeMap(b, v)
	case v.Kind() == reflect.Struct && b[0] == '{':
		return decodeStruct(b, v)
	}
	return fmt.Errorf("%.20q where a %s is expected", b, v.Type())
}

// hasFields says whether values of the type are structs, or made of them: for those encoding/json builds decoders.
func hasFields(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return !decodesItself(t) && hasFields(t.Elem())
	case reflect.Map:
		return !decodesItself(t) && hasFields(t.Elem()) && t.Key() == reflect.TypeFor[string]()
	case reflect.Struct:
		return !decodesItself(t)
	default:
		return false
	}
}

func decodesItself(t reflect.Type) bool {
	if t.PkgPath() == "" {
		return false // a type without a name has no methods of its own
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func decodeSlice(b []byte, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty one is not nil
	for part := range parts(b) {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := decodeValue(part, element); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
	return nil
}

func decodeMap(b []byte, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	members, err := membersOf(b)
	for key, value := range members {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := decodeValue(value, element); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		v.SetMapIndex(reflect.ValueOf(key), element)
	}
	return err
}

func decodeStruct(b []byte, v reflect.Value) error {
	members, err := membersOf(b)
	if err != nil {
		return err
	}
	return decodeFields(members, v)
}

func decodeFields(members map[string][]byte, v reflect.Value) error {
	for field, value := range v.Fields() {
		name, _, err := naming(field)
		if err != nil {
			return err
		}
		if embeds(field) {
			err = decodeFields(members, value)
		} else if b, ok := members[name]; ok && name != "" {
			err = decodeValue(b, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", field.Name, err)
		}
	}
	return nil
}

// membersOf are the values of an object by their names.
func membersOf(b []byte) (map[string][]byte, error) {
	members := map[string][]byte{}
	for part := range parts(b) {
		n := quoted(part)
		var name string
		if err := json.Unmarshal(part[:n], &name); err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("%q: twice", name)
		}
		members[name] = part[n+1:]
	}
	return members, nil
}

// parts are what is between the commas of an array or an object.
func parts(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for b = b[1:]; len(b) > 1; {
			n := length(b)
			if !yield(b[:n]) {
				return
			}
			b = b[min(n+1, len(b)):] // and the comma, or the end
		}
	}
}

// length is that of what comes before the comma or the end of what b is part of.
func length(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += quoted(b[i:]) - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if depth < 0 || depth == 0 && b[i] == ',' {
			return i
		}
	}
	return len(b)
}

// quoted is the length of the string that b begins with.
func quoted(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}
