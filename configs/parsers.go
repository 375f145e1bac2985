// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

func parseIDs(v any) (any, error) {
	list, ok := v.([]any)
	var out []uint32
	for _, x := range list {
		n, isInt := x.(int64)
		ok = ok && isInt && n >= 0 && n < 1<<32-1
		out = append(out, uint32(n))
	}
	if !ok {
		return nil, errors.New("a list of group ids like [10, 20]")
	}
	return out, nil
}

func parseSignalName(v any) (any, error) {
	s, ok := v.(string)
	if ok {
		if _, err := ParseSignal(s); err == nil {
			return s, nil
		}
	}
	return nil, errors.New(`a signal like "SIGTERM", "SIGRTMIN+3" or "15"`)
}

// joined splits "path:/FILE". A file may begin with a specifier.
func joined(v string) (file string, ok bool) {
	file, ok = strings.CutPrefix(v, "path:")
	if !ok || !path.IsAbs(file) && !strings.HasPrefix(file, "%") {
		return "", false
	}
	return file, true
}

func modeOrPath(v any, words ...string) (any, error) {
	if s, ok := v.(string); ok {
		if _, isPath := joined(s); isPath || slices.Contains(words, s) {
			return s, nil
		}
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return nil, fmt.Errorf(`%s or "path:/FILE"`, strings.Join(quoted, ", "))
}

func parseUserns(v any) (any, error) {
	if v == "keep-id" || v == "managed" {
		return nil, fmt.Errorf(`"auto", "manual", "none" or "path:/FILE": mode %s is not supported yet`, v)
	}
	return modeOrPath(v, "auto", "manual", "none")
}

// notYet is a kind that also knows what is to come.
func notYet(k Kind, coming ...string) Kind {
	now := k.parse
	k.parse = func(v any) (any, error) {
		got, err := now(v)
		if s, ok := v.(string); ok && slices.Contains(coming, s) {
			err = fmt.Errorf("%w; %q is not supported yet", err, s)
		}
		return got, err
	}
	return k
}

func parseNetwork(v any) (any, error) {
	if s, ok := v.(string); ok {
		kind, _, _ := strings.Cut(s, ":")
		switch kind {
		case "bridge", "pasta", "macvlan", "cni", "netavark", "container":
			return nil, fmt.Errorf(`"none", "host" or "path:/FILE": mode %s is not supported yet`, kind)
		}
	}
	return modeOrPath(v, "none", "host")
}

func parseAccess(v any) (any, error) {
	s, ok := v.(string)
	if !ok || s == "" || strings.Trim(s, "rwm") != "" {
		return nil, errors.New(`any of the letters r, w and m, like "rw"`)
	}
	return s, nil
}

func parseIOWeight(v any) (any, error) {
	w, err := parseWeight(v)
	if err != nil || w == idleWeight {
		return nil, errors.New("a number from 1 to 10000")
	}
	return w, nil
}

// Levels are those of syslog(3), by their numbers.
func Levels() []string {
	return []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
}

func parseLevel(v any) (any, error) {
	if s, ok := v.(string); ok {
		if i := slices.Index(Levels(), s); i >= 0 {
			return i, nil
		}
	}
	return nil, errors.New("one of " + strings.Join(Levels(), ", "))
}

// parseProperty gives a property as GVariant text. What TOML can say needs no quotes of
// its own: numbers, booleans, lists of strings, and strings that are no GVariant text.
func parseProperty(v any) (any, error) {
	if list, err := parseStrings(v); err == nil {
		quoted := make([]string, 0)
		for _, s := range list.([]string) {
			quoted = append(quoted, variantString(s))
		}
		return "[" + strings.Join(quoted, ", ") + "]", nil
	}
	s, ok := scalar(v)
	if !ok {
		return nil, errors.New(wantFree)
	}
	if _, isString := v.(string); isString && !isVariant(s) {
		s = variantString(s)
	}
	return s, nil
}

const wantFree = `a string, number, boolean or list of strings, without NUL characters`

// isVariant says whether a string looks like GVariant text rather than a word.
func isVariant(s string) bool {
	if s == "" {
		return false
	}
	first, _, _ := strings.Cut(s, " ")
	if slices.Contains([]string{"boolean", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "double", "string", "true", "false"}, first) {
		return true
	}
	return strings.ContainsRune("'\"[(@<{", rune(s[0])) || strings.Trim(s, "0123456789") == ""
}

func variantString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(s) + "'"
}

// scalar is a string, number or boolean as text: what a table of free keys holds.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, !strings.ContainsRune(v, 0)
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

func parseText(v any) (any, error) {
	if s, ok := scalar(v); ok {
		return s, nil
	}
	return nil, errors.New("a string, number or boolean, without NUL characters")
}

// parseDirective gives the values of a directive, one a line.
func parseDirective(v any) (any, error) {
	if s, ok := scalar(v); ok {
		return []string{s}, nil
	}
	list, err := parseStrings(v)
	if err != nil {
		return nil, errors.New(wantFree)
	}
	return list, nil
}
