// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"fmt"
	"math/bits"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// names has every capability at its number.
var names = configs.CapabilityNames

// All is the set of every known capability.
const All Set = 1<<len(names) - 1

// A Set is a set of capabilities, one bit each.
type Set uint64

// Names returns the names of the set, by number. Bits without a name are given
// as "CAP_41" and so on.
func (s Set) Names() []string {
	var list []string
	for n := range 64 {
		if s&(1<<n) == 0 {
			continue
		}
		if n < len(names) {
			list = append(list, names[n])
		} else {
			list = append(list, fmt.Sprintf("CAP_%d", n))
		}
	}
	return list
}

func (s Set) String() string {
	missing := All &^ s
	switch {
	case s == 0:
		return "none"
	case s == All:
		return "all"
	case bits.OnesCount64(uint64(missing)) < bits.OnesCount64(uint64(s)):
		return "all but " + strings.Join(missing.Names(), " ")
	}
	return strings.Join(s.Names(), " ")
}

// ParseSet returns the set that has the capabilities of list.
func ParseSet(list []string) (Set, error) {
	var s Set
	for _, name := range list {
		n, err := number(name)
		if err != nil {
			return 0, err
		}
		s |= 1 << n
	}
	return s, nil
}

func number(name string) (int, error) {
	for n, known := range names {
		if known == name {
			return n, nil
		}
	}
	return 0, fmt.Errorf("unknown capability %q (did you mean %s?)", name, nearest(name))
}

// nearest finds the capability somebody may have meant.
func nearest(name string) string {
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	best, least := "", 1<<30
	for _, known := range names {
		if d := configs.EditDistance(name, known, least); d < least {
			best, least = known, d
		}
	}
	return best
}

// Sets are the five capability sets of a process.
type Sets struct{ Bounding, Effective, Inheritable, Permitted, Ambient Set }

// setsField is the Spec's field that has the sets.
const setsField = "process.capabilities"

// ParseSets understands the Spec's capability sets. Without any the process has
// none. Sets that the kernel would refuse, or silently cut, are errors.
func ParseSets(c *specs.LinuxCapabilities) (Sets, error) {
	var s Sets
	if c == nil {
		return s, nil
	}
	for _, x := range []struct {
		name string
		list []string
		set  *Set
	}{
		{"bounding", c.Bounding, &s.Bounding},
		{"effective", c.Effective, &s.Effective},
		{"inheritable", c.Inheritable, &s.Inheritable},
		{"permitted", c.Permitted, &s.Permitted},
		{"ambient", c.Ambient, &s.Ambient},
	} {
		var err error
		if *x.set, err = ParseSet(x.list); err != nil {
			return s, &configs.FieldError{Field: setsField, Entry: x.name, Err: err}
		}
	}
	return s, s.check()
}

func (s Sets) check() error {
	for _, x := range []struct {
		extra    Set
		set, not string
	}{
		{s.Effective &^ s.Permitted, "effective", "permitted"},
		{s.Inheritable &^ s.Bounding, "inheritable", "bounding"},
		{s.Ambient &^ s.Permitted, "ambient", "permitted"},
		{s.Ambient &^ s.Inheritable, "ambient", "inheritable"},
	} {
		if x.extra != 0 {
			return &configs.FieldError{Field: setsField, Entry: x.set, Err: fmt.Errorf("%v: is not in the %s set", x.extra, x.not)}
		}
	}
	return nil
}
