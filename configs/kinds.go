// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"strconv"
	"strings"
)

// A parser turns what TOML says into the value a key holds; its error says what
// the key accepts.
type parser func(any) (any, error)

// A Kind is what a key accepts.
type Kind struct {
	Name   string // for people: string, size, time ...
	Schema string // the JSON Schema of one value
	parse  parser
	elem   *Kind // of a table with free names: of each value
}

const (
	// What a JSON Schema's pattern has for numbers and times. The loader takes the same, see spanUnits.
	reNumber = `([0-9]+(\\.[0-9]*)?|\\.[0-9]+)`
	reShare  = `(0*(100(\\.0*)?|[0-9]{1,2}(\\.[0-9]*)?)|\\.[0-9]+)%`
	reBytes  = `[0-9]+[bB]?|` + reNumber + `[KMGTPkmgtp]([iI]?[bB])?`
	reUnit   = `(us|usec|ms|msec|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?)`
	reSpan   = ` *(` + reNumber + ` *` + reUnit + ` *|` + reNumber + ` +)*` + reNumber + ` *` + reUnit + `? *`
	reWeight = `0*([1-9][0-9]{0,3}|10000)`
	reLimit  = `([0-9]+|infinity|unlimited)`

	schemaString  = `{"type": "string"}`
	schemaStrings = `{"type": "array", "items": {"type": "string"}}`
	schemaScalar  = `{"type": ["string", "number", "boolean"]}`
	schemaTexts   = `{"type": "object", "additionalProperties": ` + schemaScalar + `}`
	schemaFree    = `{"anyOf": [` + schemaScalar + `, ` + schemaStrings + `]}`
	schemaFrees   = `{"type": "object", "additionalProperties": ` + schemaFree + `}`
	schemaSize    = `{"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(` + reBytes + `|` + reShare + `|infinity)$"}]}`
	schemaBytes   = `{"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(` + reBytes + `|infinity)$"}]}`
	schemaCount   = `{"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^(0*[1-9][0-9]*|` + reShare + `|infinity)$"}]}`
	schemaSpan    = `{"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^(` + reSpan + `|infinity)$"}]}`
	schemaQuota   = `{"type": "string", "pattern": "^(` + reNumber + `%|infinity)$"}`
	schemaWeight  = `{"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10000}, {"type": "string", "pattern": "^(` + reWeight + `|idle)$"}]}`
	schemaIO      = `{"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10000}, {"type": "string", "pattern": "^` + reWeight + `$"}]}`
	schemaCPUs    = `{"type": "string", "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"}`
	schemaMode    = `{"type": "string", "pattern": "^0*[0-7]{1,4}$"}`
	schemaSignal  = `{"type": "string", "pattern": "^((SIG|sig)?[A-Za-z]+[0-9]*([+-][0-9]+)?|[0-9]+)$"}`
	schemaOrPath  = `{"type": "string", "pattern": "^(WORDS)$|^path:[/%]"}`
	schemaRlimit  = `{"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^` + reLimit + `(:` + reLimit + `)?$"}]}`
)

var (
	kindVersion    = Kind{"int", `{"const": 1}`, parseVersion, nil}
	kindString     = Kind{"string", schemaString, parseString, nil}
	kindBool       = Kind{"bool", `{"type": "boolean"}`, parseBool, nil}
	kindStrings    = Kind{"strings", schemaStrings, parseStrings, nil}
	kindIDs        = Kind{"ids", `{"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 4294967294}}`, parseIDs, nil}
	kindMode       = Kind{"mode", schemaMode, parseMode, nil}
	kindText       = Kind{"text", schemaScalar, parseText, nil}
	kindTexts      = Kind{"table of text", schemaTexts, nil, &kindText}
	kindDirective  = Kind{"directive", schemaFree, parseDirective, nil}
	kindDirectives = Kind{"table", schemaFrees, nil, &kindDirective}
	kindProperty   = Kind{"property", schemaFree, parseProperty, nil}
	kindProperties = Kind{"table", schemaFrees, nil, &kindProperty}
	kindSignal     = Kind{"signal", schemaSignal, parseSignalName, nil}
	kindSize       = Kind{"size", schemaSize, parseSize, nil}
	kindBytes      = Kind{"size", schemaBytes, parseBytes, nil}
	kindCount      = Kind{"count", schemaCount, parseCount, nil}
	kindSpan       = Kind{"time", schemaSpan, parseSpan, nil}
	kindQuota      = Kind{"cpu", schemaQuota, parseQuota, nil}
	kindWeight     = Kind{"weight", schemaWeight, parseWeight, nil}
	kindIOWeight   = Kind{"weight", schemaIO, parseIOWeight, nil}
	kindCPUs       = Kind{"cpus", schemaCPUs, parseCPUs, nil}
	kindAddresses  = Kind{"networks", schemaStrings, parseAddresses, nil}
	kindAccess     = Kind{"string", `{"type": "string", "pattern": "^[rwm]+$"}`, parseAccess, nil}
	kindRlimit     = Kind{"limit", schemaRlimit, parseRlimit, nil}
	kindRate       = Kind{"size", schemaBytes, parseRate, nil}
	kindShare      = Kind{"percent", `{"type": "string", "pattern": "^` + reShare + `$"}`, parseShare, nil}
)

// shaped is a string that matches a pattern for editors: what it means is looked at later.
func shaped(pattern string) Kind {
	return Kind{"string", `{"type": "string", "pattern": "` + pattern + `"}`, parseString, nil}
}

// tableOf is a table with free names.
func tableOf(elem Kind) Kind {
	return Kind{"table of " + elem.Name, `{"type": "object", "additionalProperties": ` + elem.Schema + `}`, nil, &elem}
}

// words is one of some words.
func words(list ...string) Kind {
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = strconv.Quote(w)
	}
	all := strings.Join(quoted, ", ")
	return Kind{"string", `{"enum": [` + all + `]}`, func(v any) (any, error) {
		if s, ok := v.(string); ok {
			for _, w := range list {
				if s == w {
					return s, nil
				}
			}
		}
		return nil, fmt.Errorf("one of %s", all)
	}, nil}
}

// between is a whole number in a range.
func between(low, high int64) Kind {
	schema := fmt.Sprintf(`{"type": "integer", "minimum": %d, "maximum": %d}`, low, high)
	return Kind{"int", schema, func(v any) (any, error) {
		if n, ok := v.(int64); ok && n >= low && n <= high {
			return n, nil
		}
		return nil, fmt.Errorf("a whole number from %d to %d", low, high)
	}, nil}
}

// orPath is one of some words, or the path of a namespace.
func orPath(list ...string) Kind {
	return Kind{"string", strings.Replace(schemaOrPath, "WORDS", strings.Join(list, "|"), 1), func(v any) (any, error) {
		got, err := modeOrPath(v, list...)
		if s, ok := v.(string); ok && err != nil && strings.HasPrefix(s, "container:") {
			err = fmt.Errorf("%w: container is not supported yet", err)
		}
		return got, err
	}, nil}
}

// Accepts says in words what a value of the kind may be.
func (k Kind) Accepts() string {
	if k.elem != nil {
		return "a table; each value " + k.elem.Accepts()
	}
	_, err := k.parse(nil)
	return err.Error()
}
