// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// TestE5Injection is row E5: whatever a value is, the unit has the same directives,
// and the value reads back.
func TestE5Injection(t *testing.T) {
	plain, err := service(t, func(*specs.Spec, *configs.Settings) {})
	if err != nil {
		t.Fatal(err)
	}
	places := []struct {
		name   string
		set    func(*specs.Spec, *configs.Settings, string)
		key    string
		reads  func(string) ([]string, error)
		want   func(string) []string
		spaces bool // may begin and end with spaces
	}{
		{"description", func(_ *specs.Spec, s *configs.Settings, v string) { s.Description = v }, "Unit.Description",
			whole, func(v string) []string { return []string{v} }, false},
		{"identifier", func(_ *specs.Spec, s *configs.Settings, v string) { s.Log.Identifier = v }, "Service.SyslogIdentifier",
			whole, func(v string) []string { return []string{v} }, false},
		{"source", func(_ *specs.Spec, s *configs.Settings, v string) { s.Source = "/etc/" + v }, "Service.ExecStart",
			commandLine, func(v string) []string {
				return []string{"/usr/bin/sdcontainer", "run", "--unit", "--name", "web", "/etc/" + v}
			}, false},
		{"rootfs", func(spec *specs.Spec, _ *configs.Settings, v string) { spec.Root.Path = "/srv/" + v }, "Unit.RequiresMountsFor",
			plainWords, func(v string) []string { return []string{"/srv/" + v} }, true},
		{"label", func(_ *specs.Spec, s *configs.Settings, v string) { s.Log.Fields = map[string]string{"A_LABEL": v} }, "Service.LogExtraFields",
			plainWords, func(v string) []string { return []string{"A_LABEL=" + v} }, true},
	}
	for _, p := range places {
		for _, v := range nasty {
			got, err := service(t, func(spec *specs.Spec, s *configs.Settings) { p.set(spec, s, v) })
			var invalid *InvalidValueError
			if !p.spaces && strings.TrimSpace(v) != v && errors.As(err, &invalid) {
				continue
			}
			if err != nil {
				if p.name == "description" && len(v) > 1024 {
					continue // the scope bounds it
				}
				t.Errorf("%s %q: %v", p.name, v, err)
				continue
			}
			if diff := cmp.Diff(keys(plain), keys(got)); diff != "" {
				t.Errorf("%s %q: other directives (-want +got):\n%s", p.name, v, diff)
			}
			back, err := p.reads(got[p.key][len(got[p.key])-1])
			if err != nil || !slices.Equal(back, p.want(v)) {
				t.Errorf("%s %q: reads back as %q, %v (written %s)", p.name, v, back, err, got[p.key])
			}
		}
		for _, v := range impossible {
			_, err := service(t, func(spec *specs.Spec, s *configs.Settings) { p.set(spec, s, v) })
			if err == nil {
				t.Errorf("%s %q: accepted", p.name, v)
			}
		}
	}
}

// How values of a kind of directive are read.
func whole(s string) ([]string, error) {
	s, err := specifiers(s)
	return []string{s}, err
}

func plainWords(s string) ([]string, error) {
	w, err := words(s)
	for i := range w {
		if err == nil {
			w[i], err = specifiers(w[i])
		}
	}
	return w, err
}

func commandLine(s string) ([]string, error) {
	w, err := plainWords(s)
	for i := range w {
		if i > 0 {
			w[i] = strings.ReplaceAll(w[i], "$$", "$")
		}
	}
	return w, err
}

// TestE4Injective has no two arguments with the same text.
func TestE4Injective(t *testing.T) {
	seen := map[string]string{}
	r := rand.New(rand.NewPCG(1, 1))
	alphabet := []rune(`ab "'\%$;#`)
	for range 200000 {
		v := make([]rune, r.IntN(7))
		for i := range v {
			v[i] = alphabet[r.IntN(len(alphabet))]
		}
		got, err := argument(string(v))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got]; ok && other != string(v) {
			t.Fatalf("%q and %q are both written %s", other, string(v), got)
		}
		seen[got] = string(v)
	}
}

func FuzzEscape(f *testing.F) {
	for _, v := range append(nasty, impossible...) {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, w := range []struct {
			write func(string) (string, error)
			read  func(string) ([]string, error)
		}{
			{text, whole}, {word, plainWords},
			{func(v string) (string, error) { return command("")("x", v) }, func(s string) ([]string, error) {
				b, err := commandLine(s)
				return b[min(1, len(b)):], err
			}},
		} {
			got, err := w.write(v)
			if err != nil {
				continue // refused
			}
			lines, err := parse("[S]\nK=" + got + "\nL=1\n")
			if err != nil || len(lines) != 2 {
				t.Fatalf("%q is written %s: %d lines, %v", v, got, len(lines), err)
			}
			back, err := w.read(lines[0].value)
			if err != nil || len(back) != 1 || back[0] != v {
				t.Fatalf("%q is written %s, reads back as %q, %v", v, got, back, err)
			}
		}
	})
}
