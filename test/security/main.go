// SPDX-License-Identifier: Apache-2.0

// Command security writes docs/security-tests.md: which test guards against which
// known escape or fault of the world. A test names its row, as TestB9… does; more rows
// may begin its comment, as in "B9, B10: …". The rows are in rows.txt: what a row is
// about, and behind a bar why it has no test, or what of it has none.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed rows.txt
var rows string

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: security DIRECTORY FILE")
	}
	tests, err := find(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	passed, err := results(filepath.Join(os.Args[1], "docs/figures"))
	if err != nil {
		log.Fatal(err)
	}
	page, err := write(tests, passed)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[2], page, 0o644); err != nil {
		log.Fatal(err)
	}
}

// results are the tiers in which each test has passed, and what a soak made of it; nil where nothing was measured.
func results(dir string) (map[string]string, error) {
	tiers, err := measured(filepath.Join(dir, "test.json"))
	if err != nil {
		return nil, err
	}
	soaked, err := measured(filepath.Join(dir, "soak.json"))
	for name, amount := range soaked {
		if tiers == nil {
			tiers = map[string]string{}
		}
		tiers[name] = strings.TrimPrefix(strings.TrimSpace(tiers[name]+", soak "+amount), ", ")
	}
	return tiers, err
}

// measured is what passed in a run; nil where it was not measured.
func measured(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var kept struct {
		Results struct {
			Passed map[string]string `json:"passed"`
		} `json:"results"`
	}
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	return kept.Results.Passed, err
}

// A test guards rows.
type test struct{ name, dir, tier, loops string }

var (
	inName    = regexp.MustCompile(`^Test([A-JR][0-9]+)(?:[A-Z]|$)`)
	inComment = regexp.MustCompile(`^([A-JR][0-9]+(?:, [A-JR][0-9]+)*)[:.]`)
)

// find reads every test file below dir.
func find(dir string) (map[string][]test, error) {
	tests := map[string][]test{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); len(name) > 1 && (name[0] == '.' || name[0] == '_') || name == "testdata" || name == "bin" {
			return fs.SkipDir
		}
		return findIn(dir, path, tests)
	})
	return tests, err
}

func findIn(top, dir string, tests map[string][]test) error {
	fset := token.NewFileSet()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return err
	}
	funcs := map[string]*ast.FuncDecl{}
	var order []*ast.FuncDecl
	for _, name := range files {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				funcs[fn.Name.Name] = fn
				order = append(order, fn)
			}
		}
	}
	rel, err := filepath.Rel(top, dir)
	if err != nil {
		return err
	}
	for _, fn := range order {
		for _, row := range rowsOf(fn) {
			seen := traits{calls: map[string]bool{}}
			seen.look(fn, funcs)
			tests[row] = append(tests[row], test{fn.Name.Name, rel, seen.tier(rel), seen.loops})
		}
	}
	return nil
}

func rowsOf(fn *ast.FuncDecl) []string {
	var list []string
	if m := inName.FindStringSubmatch(fn.Name.Name); m != nil {
		list = append(list, m[1])
	}
	if m := inComment.FindStringSubmatch(fn.Doc.Text()); m != nil && strings.HasPrefix(fn.Name.Name, "Test") {
		for _, row := range strings.Split(m[1], ", ") {
			if !slices.Contains(list, row) {
				list = append(list, row)
			}
		}
	}
	return list
}

// traits are what a test calls, itself or through functions of its package.
type traits struct {
	calls map[string]bool
	loops string
}

func (t *traits) look(fn *ast.FuncDecl, funcs map[string]*ast.FuncDecl) {
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			t.follow(n.Sel.Name, funcs)
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "sdtest" {
				t.calls["sdtest."+n.Sel.Name] = true
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok {
				t.follow(id.Name, funcs)
			}
			if amount := loops(n); amount != "" {
				t.loops = amount
			}
		}
		return true
	})
}

// loops are the amounts of a call of sdtest.Loops, or of one alike, with their unit where they are no attempts.
func loops(call *ast.CallExpr) string {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	if name != "Loops" && name != "Amount" && name != "loops" || len(call.Args) < 3 {
		return ""
	}
	quick, ok1 := call.Args[1].(*ast.BasicLit)
	soak, ok2 := call.Args[2].(*ast.BasicLit)
	if !ok1 || !ok2 {
		return ""
	}
	text := quick.Value + " (" + soak.Value + ")"
	if unit, ok := call.Args[len(call.Args)-1].(*ast.BasicLit); ok && unit.Kind == token.STRING {
		text += strings.TrimSuffix(" "+strings.Trim(unit.Value, `"`), " attempts")
	}
	return text
}

func (t *traits) follow(name string, funcs map[string]*ast.FuncDecl) {
	if fn := funcs[name]; fn != nil && !t.calls[name] {
		t.calls[name] = true
		t.look(fn, funcs)
	}
}

func (t *traits) tier(dir string) string {
	if dir == "test/vm/guest" {
		return "vm"
	}
	for _, tier := range []struct{ name, calls string }{
		{"vm", "Guest"}, {"systemd", "Inside InsideAll BootSystemd Systemd"}, {"bus", "Bus NewFakeSystemd"}, {"root", "Root Userns Overlay"},
	} {
		for _, c := range strings.Fields(tier.calls) {
			if t.calls["sdtest."+c] {
				return tier.name
			}
		}
	}
	return "pure"
}

// write makes the page. A row without a test must say why; a test for a row there
// is not is a mistake.
func write(tests map[string][]test, passed map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`<!-- Written by test/security; do not edit. -->
# Tests of known escapes

One row for each class of escape, or of harm done without one, that other runtimes had; R are faults of the world around containers. A test names its row in its name or at the beginning of its comment. Tiers are those of
[testing.md](testing.md). Loops: attempts that the test is written to make in an ordinary run, and with ` + "`SDCONTAINER_SOAK=1`" + ` in brackets. Result:
the tiers in which it passed when ` + "`make test`" + ` was last measured ([figures](figures.md)), and, if it was among those of ` + "`make soak`" + `, how many
attempts it made there; a dash is none, or a test that has got its row since.

| row | guards against | tier | test | loops | result |
|---|---|---|---|---|---|
`)
	var missing []string
	guarded, total := 0, 0
	for line := range strings.Lines(rows) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		what, why, _ := strings.Cut(rest, " | ")
		list := tests[id]
		delete(tests, id)
		total++
		if len(list) > 0 {
			guarded++
		}
		if len(list) == 0 && why == "" {
			missing = append(missing, id)
		}
		for _, t := range list {
			name := fmt.Sprintf("`%s` in `%s`", t.name, t.dir)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", id, what, t.tier, name, t.loops, result(passed, name))
			id, what = "", "" // once
		}
		if why != "" {
			fmt.Fprintf(&b, "| %s | %s | |  *%s* | | |\n", id, what, why)
		}
	}
	fmt.Fprintf(&b, "\n%d rows, %d with a test.\n", total, guarded)
	for id := range tests {
		missing = append(missing, id+" (no such row)")
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, fmt.Errorf("rows without a test or a reason: %s", strings.Join(missing, ", "))
	}
	return b.Bytes(), nil
}

func result(passed map[string]string, name string) string {
	switch tiers := passed[name]; {
	case passed == nil:
		return ""
	case tiers == "":
		return "-"
	default:
		return "passed: " + tiers
	}
}
