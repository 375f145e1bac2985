// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// IsVariable tells whether a name can be a variable's where people write it. More than a shell's are: programs want names with dots and
// dashes. A space or a line break in one is a slip, or somebody who wants more lines where variables are listed.
func IsVariable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r == '=' || unicode.IsSpace(r) || unicode.IsControl(r) })
}

// CheckEnv tells all that is wrong with the environment of a Spec: entries that are no NAME=VALUE, and names with control
// characters. Names may have spaces: Kubernetes accepts all printable ASCII but the sign. Values may have line breaks.
func CheckEnv(env []string) error {
	var errs []error
	for i, kv := range env {
		switch name, _, ok := strings.Cut(kv, "="); {
		case !ok || name == "" || strings.ContainsFunc(name, unicode.IsControl):
			errs = append(errs, fmt.Errorf("env[%d] %.80q: want NAME=VALUE, the name without control characters", i, kv))
		case strings.ContainsRune(kv, 0):
			errs = append(errs, fmt.Errorf("env[%d] %.80q: want no NUL character", i, kv))
		}
	}
	return errors.Join(errs...)
}
