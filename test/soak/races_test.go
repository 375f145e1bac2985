// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// Whatever test would make more attempts in a soak is run in one. What docs/security-tests.md has in brackets is of such tests.
func TestSoakRunsEveryRace(t *testing.T) {
	root, err := sdtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	wanted, found := regexp.MustCompile(races), 0
	err = filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (name[0] == '.' || name == "testdata" || name == "bin") {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		pkg := strings.TrimSuffix("./"+strings.TrimPrefix(rel, "."), "/")
		for _, test := range patient(t, dir) {
			found++
			if pkg != sweeps && pkg != crowds && !(slices.Contains(racing, pkg) && wanted.MatchString(test)) {
				t.Errorf("make soak leaves out %s of %s", test, pkg)
			}
		}
		return nil
	})
	if err != nil || found < 15 {
		t.Errorf("%d tests, %v", found, err)
	}
}

// The sweeps are in halves, each test in one: what is not in the first is in the second, but for those that are alone.
func TestHalves(t *testing.T) {
	chosen, found, others := regexp.MustCompile(exactly(firstHalf+"|"+alone)), 0, 0
	for name := range functions(t, "../sweep") {
		switch {
		case chosen.MatchString(name):
			found++
		case strings.HasPrefix(name, "Test") && name != "TestMain":
			others++
		}
	}
	if want := len(strings.Split(firstHalf+"|"+alone, "|")); found != want || others == 0 {
		t.Errorf("%d tests of the %d that are named, %d others", found, want, others)
	}
}

// patient are the tests of a directory that come, by themselves or through functions beside them, to a count that a soak makes larger.
func patient(t *testing.T, dir string) (tests []string) {
	t.Helper()
	funcs := functions(t, dir)
	for name, fn := range funcs {
		if strings.HasPrefix(name, "Test") && name != "TestMain" && reaches(fn, funcs, map[string]bool{}) {
			tests = append(tests, name)
		}
	}
	return tests
}

// functions are those of a directory's tests, by name.
func functions(t *testing.T, dir string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	funcs := map[string]*ast.FuncDecl{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				funcs[fn.Name.Name] = fn
			}
		}
	}
	return funcs
}

func reaches(fn *ast.FuncDecl, funcs map[string]*ast.FuncDecl, seen map[string]bool) (found bool) {
	seen[fn.Name.Name] = true
	ast.Inspect(fn, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, _ := s.X.(*ast.Ident)
			found = found || x != nil && x.Name == "sdtest" && (s.Sel.Name == "Loops" || s.Sel.Name == "Amount" || s.Sel.Name == "Soaking")
		}
		if id, ok := n.(*ast.Ident); ok && !found && funcs[id.Name] != nil && !seen[id.Name] {
			found = reaches(funcs[id.Name], funcs, seen)
		}
		return !found
	})
	return found
}
