// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildSeccomp() {
	const at = "security.seccomp"
	c.set.Seccomp = get(c, at, "default")
	if c.set.Seccomp == "default" || c.set.Seccomp == "unconfined" {
		return
	}
	file := c.path(at)
	c.set.Seccomp = ""
	b, err := readFile(file)
	if err != nil {
		c.problem(at, `%q: %s (want "default", "unconfined" or a file with an OCI seccomp profile)`, file, reason(err))
		return
	}
	var errs []error
	if c.spec.Linux.Seccomp, errs = parseSeccomp(b); len(errs) > 0 {
		for _, err := range errs {
			c.problem(at, "%q: %v", file, err)
		}
		c.spec.Linux.Seccomp = nil // what it would mean is unknown
	}
}

// parseSeccomp reads an OCI seccomp profile. What it does not know it does not leave out, as a bundle's is read: the
// filter would be another than the one written.
func parseSeccomp(b []byte) (*specs.LinuxSeccomp, []error) {
	s := &specs.LinuxSeccomp{}
	err := json.Unmarshal(b, s)
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return nil, []error{fmt.Errorf("line %d: %w (want an OCI seccomp profile in JSON)", lineAt(b, syntax.Offset), err)}
	case errors.As(err, &typ) && typ.Field == "":
		return nil, []error{fmt.Errorf("is a JSON %s: want the object of an OCI seccomp profile", typ.Value)}
	}
	w := &jsonWalk{text: b, d: json.NewDecoder(bytes.NewReader(b))}
	w.value(reflect.TypeFor[specs.LinuxSeccomp](), "")
	switch {
	case w.docker != "":
		return nil, []error{errors.New(w.docker)}
	case errors.As(err, &typ):
		w.errs = append(w.errs, fmt.Errorf("line %d: %s: want %s, not a JSON %s", lineAt(b, typ.Offset), typ.Field, jsonKind(typ.Type.Kind()), typ.Value))
	case err != nil:
		w.errs = append(w.errs, err)
	case s.DefaultAction == "" && len(w.errs) == 0:
		w.errs = append(w.errs, errors.New("has no defaultAction: want an OCI seccomp profile"))
	case s.ListenerPath != "" || s.ListenerMetadata != "":
		w.errs = append(w.errs, errors.New("listenerPath, listenerMetadata: not supported, nor is the action SCMP_ACT_NOTIFY"))
	}
	return s, w.errs
}

func lineAt(text []byte, at int64) int { return offset(string(text), int(at)).line }

// jsonKind is what JSON calls what a field takes.
func jsonKind(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	}
	return "a whole number of 0 or more"
}

// dockerFields are conditions of the profiles of Docker and Podman, which they turn into OCI ones.
var dockerFields = []string{"archMap", "includes", "excludes"}

// A jsonWalk holds a document to the fields of a type: those that it does not have, and those given twice, of which
// encoding/json takes the last.
type jsonWalk struct {
	text   []byte
	d      *json.Decoder
	errs   []error
	docker string // what is wrong with all of it
}

// value looks at the next one, which the decoder has accepted as JSON.
func (w *jsonWalk) value(t reflect.Type, at string) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch token, _ := w.d.Token(); token {
	case json.Delim('{'):
		w.object(t, at)
		_, _ = w.d.Token() // the end
	case json.Delim('['):
		var elem reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			elem = t.Elem()
		}
		for i := 0; w.d.More(); i++ {
			w.value(elem, index(at, i))
		}
		_, _ = w.d.Token()
	}
}

func (w *jsonWalk) object(t reflect.Type, at string) {
	var seen []string
	for w.d.More() {
		token, _ := w.d.Token()
		name, _ := token.(string)
		key, end := join(at, name), w.d.InputOffset()
		line := func() int { return lineAt(w.text, end) } // which reads all that comes before
		field, fields := jsonField(t, name)
		switch {
		case t == nil || t.Kind() != reflect.Struct: // whose type is wrong, which is told
		case slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, name) }):
			w.errs = append(w.errs, fmt.Errorf("line %d: %s: given twice", line(), key))
		case field == nil && slices.Contains(dockerFields, name):
			w.docker = fmt.Sprintf("line %d: %s: this is the format of Docker and Podman, with conditions that no OCI profile has: "+
				"want the OCI one, as linux.seccomp of a config.json", line(), key)
		case field == nil:
			hint := "accepted here: " + strings.Join(fields, ", ")
			if n := nearest(name, fields); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			w.errs = append(w.errs, fmt.Errorf("line %d: %s: unknown field; %s", line(), key, hint))
		}
		seen = append(seen, name)
		w.value(field, key)
	}
}

// jsonField is the type of the field that encoding/json reads a name into, nil if there is none, and the names of all.
func jsonField(t reflect.Type, name string) (field reflect.Type, all []string) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil, nil
	}
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if all = append(all, tag); strings.EqualFold(tag, name) {
			field = t.Field(i).Type
		}
	}
	return field, all
}
