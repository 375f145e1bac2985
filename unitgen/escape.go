// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is below systemd's LONG_LINE_MAX of a mebibyte.
const maxLine = 1<<20 - 1

// InvalidValueError is returned for a value that no unit file can carry.
type InvalidValueError struct{ Value, Reason string }

func (e *InvalidValueError) Error() string { return fmt.Sprintf("value %q %s", e.Value, e.Reason) }

// check refuses what would end a line, or systemd would drop.
func check(value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not UTF-8"
	case strings.IndexFunc(value, unicode.IsControl) >= 0:
		return "has control characters"
	case len(value) > maxLine/4:
		return fmt.Sprintf("is longer than %d bytes", maxLine/4)
	}
	return ""
}

// text writes a value for a directive that takes the rest of the line and
// expands specifiers, such as Description=.
func text(value string) (string, error) {
	if reason := check(value); reason != "" {
		return "", &InvalidValueError{Value: value, Reason: reason}
	}
	if strings.TrimSpace(value) != value {
		return "", &InvalidValueError{Value: value, Reason: "begins or ends with a space"}
	}
	return endLine(strings.ReplaceAll(value, "%", "%%")), nil
}

// endLine keeps a backslash at the end of a line from joining the next one to it.
// systemd strips the space again.
func endLine(value string) string {
	if strings.HasSuffix(value, `\`) {
		return value + " "
	}
	return value
}

// word writes a value as one word of a directive that splits its line into
// words, removes quotes and expands specifiers, such as RequiresMountsFor=.
func word(value string) (string, error) {
	if reason := check(value); reason != "" {
		return "", &InvalidValueError{Value: value, Reason: reason}
	}
	value = strings.ReplaceAll(value, "%", "%%")
	if value != "" && strings.IndexFunc(value, special) < 0 {
		return value, nil
	}
	// Order: backslashes first, or they would be doubled before quotes.
	value = strings.ReplaceAll(value, `\`, `\\`)
	return `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`, nil
}

// special says whether a rune needs quotes around its word.
func special(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\"'\\;#", r)
}

// argument writes one argument of a command line, where $ also counts.
func argument(value string) (string, error) {
	return word(strings.ReplaceAll(value, "$", "$$"))
}

// joined writes values with w, separated by spaces.
func joined(w func(string) (string, error), values ...string) (string, error) {
	out := make([]string, len(values))
	for i, v := range values {
		var err error
		if out[i], err = w(v); err != nil {
			return "", err
		}
	}
	return strings.Join(out, " "), nil
}

// raw takes a value that is unit file text already, specifiers and quotes
// included, and refuses what would not stay on its line.
func raw(value string) (string, error) {
	value = strings.TrimSpace(value)
	if reason := check(value); reason != "" {
		return "", &InvalidValueError{Value: value, Reason: reason}
	}
	return endLine(value), nil
}
