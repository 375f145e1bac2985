// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

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
	w.d.UseNumber()
	w.value(reflect.TypeFor[specs.LinuxSeccomp](), "")
	switch {
	case w.docker != "":
		return nil, []error{errors.New(w.docker)}
	case w.more > 0:
		return nil, append(w.errs, fmt.Errorf("%d more such mistakes", w.more))
	case len(w.errs) == 0 && err != nil:
		return nil, []error{err}
	case len(w.errs) == 0 && s.DefaultAction == "": // else it may be what is unknown
		w.errs = append(w.errs, errors.New("has no defaultAction: want an OCI seccomp profile"))
	}
	if s.ListenerPath != "" || s.ListenerMetadata != "" {
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

// MostMistakes are told of one seccomp profile: a file of another kind may have one in each line.
const MostMistakes = 20

// A jsonWalk holds a document to the fields of a type: those that it does not have, those given twice, of which
// encoding/json takes the last, and those of another type, of which it tells the first.
type jsonWalk struct {
	text    []byte
	d       *json.Decoder
	errs    []error
	more    int    // mistakes than are told
	docker  string // what is wrong with all of it
	counted int64  // how much of the text lies before what lineHere was asked for last
	line    int    // how many ends of lines that has
}

// value looks at the next one, which the decoder has accepted as JSON.
func (w *jsonWalk) value(t reflect.Type, at string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, _ := w.d.Token()
	if got := misplaced(token, t.Kind()); got != "" && t.Kind() != reflect.Interface {
		w.bad("%s: want %s, not a JSON %s", at, jsonKind(t.Kind()), got)
	}
	switch {
	case token == json.Delim('{') && t.Kind() == reflect.Struct:
		w.object(t, at)
	case token == json.Delim('[') && t.Kind() == reflect.Slice:
		for i := 0; w.d.More(); i++ {
			w.value(t.Elem(), index(at, i))
		}
		_, _ = w.d.Token() // the end
	case token == json.Delim('{') || token == json.Delim('['):
		w.leave()
	}
}

// misplaced is what a token that a type does not take is called, "" for one that it does.
func misplaced(token json.Token, k reflect.Kind) string {
	switch token := token.(type) {
	case json.Delim:
		if token == '[' && k != reflect.Slice {
			return "array"
		} else if token == '{' && k != reflect.Struct {
			return "object"
		}
	case string:
		if k != reflect.String {
			return "string"
		}
	case bool:
		return "boolean"
	case json.Number:
		if k != reflect.Uint && k != reflect.Uint64 {
			return "number"
		} else if _, err := strconv.ParseUint(token.String(), 10, 64); err != nil {
			return fmt.Sprintf("number like %.40s", token)
		}
	}
	return "" // null too, which leaves a field as it is
}

// leave passes over the rest of an object or an array.
func (w *jsonWalk) leave() {
	for depth := 1; depth > 0; {
		token, err := w.d.Token()
		switch {
		case err != nil:
			return
		case token == json.Delim('{') || token == json.Delim('['):
			depth++
		case token == json.Delim('}') || token == json.Delim(']'):
			depth--
		}
	}
}

// object looks at the fields of one up to its end.
func (w *jsonWalk) object(t reflect.Type, at string) {
	seen := map[string]bool{}
	for w.d.More() {
		token, _ := w.d.Token()
		name, _ := token.(string)
		folded := foldCase(name)
		field, fields := jsonField(t, name)
		key := strings.TrimPrefix(at+"."+name, ".")
		switch {
		case seen[folded]:
			w.bad("%s: given twice", key)
		case field == nil && slices.Contains(dockerFields, name):
			w.docker = fmt.Sprintf("line %d: %s: this is the format of Docker and Podman, with conditions that no OCI profile has: "+
				"want the OCI one, as linux.seccomp of a config.json", w.lineHere(), key)
		case field == nil:
			hint := "accepted here: " + strings.Join(fields, ", ")
			if n := Nearest(name, fields); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			w.bad("%s: unknown field; %s", key, hint)
		}
		seen[folded] = true
		w.value(cmp.Or(field, reflect.TypeFor[any]()), key)
	}
	_, _ = w.d.Token() // the end
}

// bad tells of a mistake here, or counts it.
func (w *jsonWalk) bad(format string, args ...any) {
	if len(w.errs) == MostMistakes {
		w.more++
		return
	}
	w.errs = append(w.errs, fmt.Errorf("line %d: "+format, append([]any{w.lineHere()}, args...)...))
}

// lineHere is the line of what was read last. It counts on from the line before.
func (w *jsonWalk) lineHere() int {
	end := w.d.InputOffset()
	w.line += bytes.Count(w.text[w.counted:end], []byte{'\n'})
	w.counted = end
	return w.line + 1
}

// foldCase gives names that encoding/json does not tell apart the same letters.
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r { // round to the first
				return next
			}
			r = next
		}
	}, name)
}

// jsonField is the type of the field that encoding/json reads a name into, nil if there is none, and the names of all.
func jsonField(t reflect.Type, name string) (field reflect.Type, all []string) {
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if all = append(all, tag); strings.EqualFold(tag, name) {
			field = t.Field(i).Type
		}
	}
	return field, all
}
