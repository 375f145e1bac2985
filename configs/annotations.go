// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The annotations' keys. Unit properties have the prefix other OCI runtimes know.
const (
	prefix         = "io.sdcontainer."
	propertyPrefix = "org.systemd.property."
)

// An annotation is one field of [Settings] as text.
type annotation struct {
	key  string
	get  func(*Settings) string // "" is not written
	set  func(*Settings, string) error
	want string
}

func text(key string, field func(*Settings) *string) annotation {
	return annotation{key,
		func(s *Settings) string { return *field(s) },
		func(s *Settings, v string) error { *field(s) = v; return nil }, "text"}
}

func boolean(key string, field func(*Settings) *bool, def bool) annotation {
	return annotation{key,
		func(s *Settings) string {
			if *field(s) == def {
				return ""
			}
			return strconv.FormatBool(*field(s))
		},
		func(s *Settings, v string) (err error) { *field(s), err = strconv.ParseBool(v); return err }, "true or false"}
}

func level(key string, field func(*Settings) *int, def int) annotation {
	return annotation{key,
		func(s *Settings) string {
			if *field(s) == def {
				return ""
			}
			return strconv.Itoa(*field(s))
		},
		func(s *Settings, v string) (err error) {
			*field(s), err = strconv.Atoi(v)
			if err == nil && (*field(s) < 0 || *field(s) > 7) {
				err = errors.New("out of range")
			}
			return err
		}, "a syslog priority, 0 to 7"}
}

func table[T map[string]string | map[string][]string](key string, field func(*Settings) *T) annotation {
	return annotation{key,
		func(s *Settings) string {
			if len(*field(s)) == 0 {
				return ""
			}
			b, _ := json.Marshal(*field(s)) // strings always marshal
			return string(b)
		},
		func(s *Settings, v string) error { return json.Unmarshal([]byte(v), field(s)) }, "a JSON object"}
}

var annotations = sync.OnceValue(func() []annotation {
	return []annotation{
		text("name", func(s *Settings) *string { return &s.Name }),
		text("description", func(s *Settings) *string { return &s.Description }),
		text("source", func(s *Settings) *string { return &s.Source }),
		text("profile", func(s *Settings) *string { return &s.Profile }),
		boolean("strict", func(s *Settings) *bool { return &s.Strict }, true),
		text("slice", func(s *Settings) *string { return &s.Slice }),
		text("seccomp", func(s *Settings) *string { return &s.Seccomp }),
		{"userns-auto",
			func(s *Settings) string {
				if s.AutoUserns == 0 {
					return ""
				}
				return strconv.FormatUint(uint64(s.AutoUserns), 10)
			},
			func(s *Settings, v string) error {
				n, err := strconv.ParseUint(v, 10, 32)
				s.AutoUserns = uint32(n)
				return err
			}, "a number of ids"},
		boolean("idmap-rootfs", func(s *Settings) *bool { return &s.IdmapRootfs }, false),
		boolean("init", func(s *Settings) *bool { return &s.Init }, false),
		text("stop-signal", func(s *Settings) *string { return &s.StopSignal }),
		{"stop-timeout",
			func(s *Settings) string {
				if s.StopTimeout == DefaultStopTimeout {
					return ""
				}
				return s.StopTimeout.String()
			},
			func(s *Settings, v string) (err error) { s.StopTimeout, err = time.ParseDuration(v); return err }, "a duration like 10s"},
		text("parent-death-signal", func(s *Settings) *string { return &s.ParentDeathSignal }),
		text("log.driver", func(s *Settings) *string { return &s.Log.Driver }),
		text("log.identifier", func(s *Settings) *string { return &s.Log.Identifier }),
		level("log.stdout-level", func(s *Settings) *int { return &s.Log.StdoutLevel }, 6),
		level("log.stderr-level", func(s *Settings) *int { return &s.Log.StderrLevel }, 3),
		boolean("log.level-prefix", func(s *Settings) *bool { return &s.Log.LevelPrefix }, false),
		table("log.fields", func(s *Settings) *map[string]string { return &s.Log.Fields }),
		text("notify", func(s *Settings) *string { return &s.Notify }),
		table("property-keys", func(s *Settings) *map[string][]string { return &s.PropertyKeys }),
		table("unit.unit", func(s *Settings) *map[string][]string { return &s.Unit }),
		table("unit.service", func(s *Settings) *map[string][]string { return &s.Service }),
		table("unit.install", func(s *Settings) *map[string][]string { return &s.Install }),
	}
})

// DefaultStopTimeout is how long stop waits before it kills.
const DefaultStopTimeout = 10 * time.Second

// DefaultSettings is what a Spec without annotations has.
func DefaultSettings() Settings {
	return Settings{Strict: true, StopTimeout: DefaultStopTimeout, Log: LogSettings{StdoutLevel: 6, StderrLevel: 3}}
}

// Annotate writes the settings into the Spec's annotations; other annotations stay.
func (s Settings) Annotate(spec *specs.Spec) {
	if spec.Annotations == nil {
		spec.Annotations = map[string]string{}
	}
	maps.DeleteFunc(spec.Annotations, func(k, _ string) bool {
		return strings.HasPrefix(k, prefix) || strings.HasPrefix(k, propertyPrefix)
	})
	for _, a := range annotations() {
		if v := a.get(&s); v != "" {
			spec.Annotations[prefix+a.key] = v
		}
	}
	for name, v := range s.UnitProperties {
		spec.Annotations[propertyPrefix+name] = v
	}
}

// SettingsOf reads the settings from the Spec's annotations. A key under our
// prefix that does not exist is an error: a newer version may have meant something by it.
func SettingsOf(spec *specs.Spec) (Settings, error) {
	s := DefaultSettings()
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(spec.Annotations)) {
		v := spec.Annotations[k]
		if name, ok := strings.CutPrefix(k, propertyPrefix); ok {
			if s.UnitProperties == nil {
				s.UnitProperties = map[string]string{}
			}
			s.UnitProperties[name] = v
			continue
		}
		name, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		i := slices.IndexFunc(annotations(), func(a annotation) bool { return a.key == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("annotation %s: unknown", k))
		} else if err := annotations()[i].set(&s, v); err != nil {
			errs = append(errs, fmt.Errorf("annotation %s: %q: want %s", k, v, annotations()[i].want))
		}
	}
	s.fill()
	return s, errors.Join(errs...)
}

// Rename gives the container another name, and its lines in the journal where they have the name of the container.
func (s *Settings) Rename(name string) {
	if s.Log.Identifier == s.Name {
		s.Log.Identifier = name
	}
	s.Name = name
}

// fill puts in the defaults that are not the zero value of their type.
func (s *Settings) fill() {
	for _, d := range []struct {
		field *string
		value string
	}{
		{&s.Profile, "app"}, {&s.Slice, "sdcontainer.slice"}, {&s.StopSignal, "SIGTERM"},
		{&s.Log.Driver, "journald"}, {&s.Log.Identifier, s.Name}, {&s.Notify, "started"},
	} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
}
