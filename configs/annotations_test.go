// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// anySettings is arbitrary settings, with every field set.
func anySettings(r *rand.Rand) Settings {
	text := func() string {
		b := []rune("x")
		for range r.IntN(9) {
			b = append(b, []rune(`aZ09 '"\={},;:%/ü` + "\n\t")[r.IntN(19)])
		}
		return string(b)
	}
	table := func() map[string]string {
		m := map[string]string{}
		for range 1 + r.IntN(3) {
			m[text()] = text()
		}
		return m
	}
	lists := func() map[string][]string {
		m := map[string][]string{}
		for range 1 + r.IntN(3) {
			m[text()] = []string{text(), text()}
		}
		return m
	}
	flip := func() bool { return r.IntN(2) == 0 }
	return Settings{
		Name: text(), Description: text(), Source: text(), Profile: text(), Strict: flip(), Slice: text(),
		UnitProperties: table(), Seccomp: text(), AutoUserns: r.Uint32(), IdmapRootfs: flip(), Init: flip(),
		StopSignal: text(), StopTimeout: time.Duration(r.Int64()), ParentDeathSignal: text(),
		Log:    LogSettings{Driver: text(), Identifier: text(), StdoutLevel: r.IntN(8), StderrLevel: r.IntN(8), LevelPrefix: flip(), Fields: table()},
		Notify: text(), Unit: lists(), Service: lists(), Install: lists(), PropertyKeys: lists(),
	}
}

func TestAnnotationsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		want := anySettings(r)
		spec := &specs.Spec{Annotations: map[string]string{"other": "stays", prefix + "slice": "old", propertyPrefix + "Old": "1"}}
		want.Annotate(spec)
		got, err := SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if spec.Annotations["other"] != "stays" {
			t.Fatal("an annotation of others is gone")
		}
	}
}

// A new field of Settings must be written by anySettings, or the test above says nothing of it.
func TestAnnotationsCoverEveryField(t *testing.T) {
	s := anySettings(rand.New(rand.NewPCG(1, 2)))
	s.Strict, s.IdmapRootfs, s.Init, s.Log.StdoutLevel, s.Log.StderrLevel, s.Log.LevelPrefix = true, true, true, 1, 1, true
	var zero func(v reflect.Value, name string)
	zero = func(v reflect.Value, name string) {
		if v.IsZero() {
			t.Errorf("%s is not set", name)
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Struct {
				zero(f, v.Type().Field(i).Name)
			} else if f.IsZero() {
				t.Errorf("%s.%s is not set", name, v.Type().Field(i).Name)
			}
		}
	}
	zero(reflect.ValueOf(s), "Settings")
}

func TestSettingsOfNothing(t *testing.T) {
	got, err := SettingsOf(&specs.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultSettings()
	want.fill()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want.Slice != "sdcontainer.slice" || want.StopSignal != "SIGTERM" || !want.Strict || want.Seccomp != "" {
		t.Errorf("%+v", want)
	}
}

func TestSettingsOfBadAnnotations(t *testing.T) {
	_, err := SettingsOf(&specs.Spec{Annotations: map[string]string{
		"io.sdcontainer.strict": "perhaps", "io.sdcontainer.stop-timeout": "soon", "io.sdcontainer.log.stdout-level": "8",
		"io.sdcontainer.log.fields": "[", "io.sdcontainer.userns-auto": "-1", "io.sdcontainer.unheard-of": "x", "com.example": "x",
	}})
	for _, key := range []string{"strict", "stop-timeout", "log.stdout-level", "log.fields", "userns-auto", "unheard-of: unknown"} {
		if err == nil || !strings.Contains(err.Error(), "io.sdcontainer."+key) {
			t.Errorf("no word about %s in: %v", key, err)
		}
	}
}
