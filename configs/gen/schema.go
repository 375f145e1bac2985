// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// A node is a table of the TOML or a key in one.
type node struct {
	name  string
	array bool
	key   *configs.Key
	below []*node
}

// tree arranges the keys as they nest.
func tree() *node {
	root := &node{}
	for _, k := range configs.Keys() {
		at := root
		for part := range strings.SplitSeq(k.Path, ".") {
			name, array := strings.CutSuffix(part, "[]")
			at = at.child(name)
			at.array = at.array || array
		}
		at.key = &k
	}
	return root
}

func (n *node) child(name string) *node {
	for _, c := range n.below {
		if c.name == name {
			return c
		}
	}
	c := &node{name: name}
	n.below = append(n.below, c)
	return c
}

// schema is the JSON Schema, in the order of the table.
func schema() []byte {
	var b bytes.Buffer
	b.WriteString(`{"$schema": "http://json-schema.org/draft-07/schema#", "title": "sdcontainer container, version 1", `)
	tree().members(&b)
	b.WriteString(`, "required": ["version"]}`)
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		panic(fmt.Sprintf("%v in %s", err, b.Bytes()))
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func (n *node) members(b *bytes.Buffer) {
	b.WriteString(`"type": "object", "additionalProperties": false, "properties": {`)
	for i, c := range n.below {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%s: ", quote(c.name))
		c.write(b)
	}
	b.WriteByte('}')
}

func (n *node) write(b *bytes.Buffer) {
	switch {
	case n.key != nil:
		fmt.Fprintf(b, `{"description": %s, `, quote(describe(n.key)))
		b.WriteString(strings.TrimPrefix(n.key.Kind.Schema, "{"))
	case n.array:
		b.WriteString(`{"type": "array", "items": {`)
		n.members(b)
		b.WriteString("}}")
	default:
		b.WriteByte('{')
		n.members(b)
		b.WriteByte('}')
	}
}

func describe(k *configs.Key) string {
	s := k.Doc
	if k.Default != "" {
		s += " Default: " + k.Default + "."
	}
	return s
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}
