// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer"
)

// Where --format json works --json does, and what tells programs anything has one of them.
func TestJSONIsOneFlag(t *testing.T) {
	var have []string
	for name, cmd := range commands(newRoot()) {
		format, short := cmd.Flags().Lookup("format"), cmd.Flags().Lookup("json")
		if short == nil {
			if format != nil {
				t.Errorf("%s has --format and no --json", name)
			}
			continue
		}
		have = append(have, name)
		if format == nil { // check and explain have nothing to make a template of
			continue
		}
		if err := cmd.ParseFlags([]string{"--json"}); err != nil || format.Value.String() != "json" {
			t.Errorf("%s --json is --format %s: %v", name, format.Value, err)
		}
		cmd = commands(newRoot())[name]
		if err := cmd.ParseFlags([]string{"--json=false"}); err != nil || cmd.Flags().Lookup("format").Value.String() != format.DefValue {
			t.Errorf("%s --json=false changes the format: %v", name, err)
		}
		if err := cmd.ParseFlags([]string{"--json=x"}); err == nil {
			t.Errorf("%s takes --json=x", name)
		}
	}
	slices.Sort(have)
	want := []string{"check", "doctor", "explain", "inspect", "ps", "stats", "top", "version", "wait"}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

// What programs read from doctor, stats and top is documented field by field.
func TestFieldsAreDocumented(t *testing.T) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	var check func(string, reflect.Type)
	check = func(long string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && !regexp.MustCompile(`\b`+name+`\b`).MatchString(long) {
				t.Errorf("%s of %s is not in the text of its verb", name, typ)
			}
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[time.Time]() {
				check(long, f.Type)
			}
		}
	}
	check(a.stats().Long, reflect.TypeFor[sample]())
	check(a.doctor().Long, reflect.TypeFor[finding]())
	check(a.top().Long, reflect.TypeFor[sdcontainer.ProcessInfo]())
}
