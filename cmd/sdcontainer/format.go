// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// formatFlag adds --format, and --json for its word json. Its value is one of words or a Go template.
func formatFlag(cmd *cobra.Command, format *string, words ...string) {
	shortFormatFlag(cmd, "", format, words...)
}

// shortFormatFlag gives it a letter too.
func shortFormatFlag(cmd *cobra.Command, letter string, format *string, words ...string) {
	def := ""
	if len(words) > 0 {
		def = words[0]
	}
	cmd.Flags().StringVarP(format, "format", letter, def,
		strings.Join(append(words, "Go `template`, or \"table TEMPLATE\""), ", "))
	must(cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
	if slices.Contains(words, "json") {
		cmd.Flags().VarPF(jsonFormat{format}, "json", "", "the same as --format json").NoOptDefVal = "true"
		cmd.MarkFlagsMutuallyExclusive("json", "format")
	}
}

// jsonFormat is a flag without a value that sets a format.
type jsonFormat struct{ format *string }

func (j jsonFormat) Type() string { return "bool" }

func (j jsonFormat) String() string { return "" }

func (j jsonFormat) Set(text string) error {
	yes, err := strconv.ParseBool(text)
	if yes {
		*j.format = "json"
	}
	return err
}

// must stops on an error that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// writeJSON prints one document. Its strings come from containers too, and encoding/json
// leaves controls from U+007F on as they are, which a terminal obeys.
func (a *app) writeJSON(v any) error {
	b, err := encodeJSON(v, "  ")
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(printableJSON(b))
	return err
}

// encodeJSON has no escapes for web pages, and ends in a new line.
func encodeJSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// printableJSON is an equal document without characters that are not printable: outside of
// ASCII there is nothing but text in strings.
func printableJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		if r < 0x7f || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := encodeJSON(v, "")
			return strings.TrimSuffix(string(b), "\n"), err
		},
		"join":  func(list []string, sep string) string { return strings.Join(list, sep) },
		"split": strings.Split,
		"upper": func(v any) string { return strings.ToUpper(fmt.Sprint(v)) },
		"lower": func(v any) string { return strings.ToLower(fmt.Sprint(v)) },
		"size":  size,
		"truncate": func(s string, n int) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n])
			}
			return s
		},
		"pad": func(s string, left, right int) string {
			return strings.Repeat(" ", left) + s + strings.Repeat(" ", right)
		},
	}
}

// tablePrefix asks for columns, with a header made of the field names.
const tablePrefix = "table "

// writeTemplate prints each item through a Go template, one a line.
func writeTemplate[T any](a *app, format string, items []T) error {
	format, columns := splitTable(format)
	tmpl, err := parseTemplate[T](format)
	if err != nil {
		return err
	}
	var out []string
	var wrong error // of the last item that has no such thing: the others are printed
	for _, item := range items {
		var b strings.Builder
		if err := tmpl.Execute(&b, item); err != nil {
			wrong = usageError{err}
			continue
		}
		out = append(out, b.String())
	}
	if columns {
		return errors.Join(a.columns(tmpl, format, out), wrong)
	}
	for _, line := range out {
		if _, err := io.WriteString(a.stdout, a.escapeLines(line)+"\n"); err != nil {
			return err
		}
	}
	return wrong
}

// splitTable takes the prefix off, and reads the escapes.
func splitTable(format string) (template string, columns bool) {
	format, columns = strings.CutPrefix(format, tablePrefix)
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format), columns
}

// parseTemplate refuses what items of T do not have.
func parseTemplate[T any](format string) (*template.Template, error) {
	tmpl, err := template.New("--format").Funcs(templateFuncs()).Parse(format)
	if err != nil {
		return nil, usageError{err}
	}
	return tmpl, knownFields(tmpl, reflect.TypeFor[T]())
}

// escapeLines escapes what is between the line breaks that a template made.
func (a *app) escapeLines(s string) string {
	parts := strings.Split(s, "\n")
	for i := range parts {
		parts[i] = a.escape(parts[i])
	}
	return strings.Join(parts, "\n")
}

func (a *app) columns(tmpl *template.Template, format string, lines []string) error {
	t := a.table(true, headers(tmpl, strings.Count(format, "\t")+1)...)
	for _, line := range lines {
		var row []cell
		for _, field := range strings.SplitN(line, "\t", len(t.header)) {
			row = append(row, text(field))
		}
		t.add(row...)
	}
	return t.write(a.stdout)
}

// headers names n columns after the last field that each one's template prints.
func headers(tmpl *template.Template, n int) []string {
	head := make([]string, n)
	at := 0
	for _, node := range tmpl.Root.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
			at = min(at+strings.Count(string(node.Text), "\t"), n-1)
		case *parse.ActionNode:
			if head[at] == "" {
				head[at] = strings.ToUpper(lastField(node.Pipe))
			}
		}
	}
	return head
}

// lastField is the field that a pipeline begins with, without what it is in.
func lastField(pipe *parse.PipeNode) string {
	for _, c := range pipe.Cmds {
		for _, arg := range c.Args {
			switch arg := arg.(type) {
			case *parse.FieldNode:
				return arg.Ident[len(arg.Ident)-1]
			case *parse.PipeNode:
				if name := lastField(arg); name != "" {
					return name
				}
			}
		}
	}
	return ""
}

// knownFields refuses a template that prints a field that items do not have: also when there are none to
// show it. What lies deeper, or in a condition, is found with the first item.
func knownFields(tmpl *template.Template, item reflect.Type) error {
	if item.Kind() != reflect.Struct {
		return nil
	}
	for _, node := range tmpl.Root.Nodes {
		action, ok := node.(*parse.ActionNode)
		if !ok {
			continue
		}
		for _, c := range action.Pipe.Cmds {
			for _, arg := range c.Args {
				f, ok := arg.(*parse.FieldNode)
				if !ok {
					continue
				}
				_, isField := item.FieldByName(f.Ident[0])
				if _, isMethod := item.MethodByName(f.Ident[0]); !isField && !isMethod {
					return usage("--format: no field %s: want one of %s", f, strings.Join(fieldNames(item), ", "))
				}
			}
		}
	}
	return nil
}

func fieldNames(item reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(item) {
		if f.IsExported() && !f.Anonymous {
			names = append(names, "."+f.Name)
		}
	}
	return names
}

// checkFormat refuses words that are neither a known format nor a template.
func checkFormat(format string, words ...string) error {
	if slices.Contains(words, format) || strings.Contains(format, "{{") {
		return nil
	}
	return usage("--format %s: want %s or a Go template with {{...}}", format, strings.Join(words, ", "))
}

// checkFormatOf refuses a template of other fields than T's as well: for what is printed only after a long time.
func checkFormatOf[T any](format string, words ...string) error {
	if err := checkFormat(format, words...); err != nil || slices.Contains(words, format) {
		return err
	}
	format, _ = splitTable(format)
	_, err := parseTemplate[T](format)
	return err
}

// count is "1 thing" or "n things".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
