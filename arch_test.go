// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const module = "github.com/sdcontainer/sdcontainer"

// mayImport is the import rule: for each package of the module the others it
// may use. docs/architecture.md has the picture.
var mayImport = map[string][]string{
	"configs":           {},
	"internal/kernel":   {},
	"internal/oncejson": {},
	"nsexec":            {"configs", "internal/kernel"},
	"scope":             {"configs", "internal/kernel"},
	"unitgen":           {"configs", "internal/kernel", "scope"},
	"rootfs":            {"configs", "internal/kernel", "nsexec"},
	"caps":              {"configs", "internal/kernel", "nsexec"},
	"internal/seccomp":  {"configs", "internal/kernel"},
	"internal/journal":  {"configs", "internal/kernel"},
	".": {"configs", "internal/kernel", "nsexec", "scope", "unitgen", "rootfs", "caps",
		"internal/seccomp", "internal/journal", "internal/oncejson"},
	"cmd/sdcontainer": {".", "configs", "internal/journal", "internal/kernel", "nsexec", "scope", "unitgen"},
}

// onlyIn says which packages may import a module, and why nobody else.
var onlyIn = map[string][]string{
	"github.com/BurntSushi/toml":                  {"configs"},
	"github.com/spf13/cobra":                      {"cmd"},
	"github.com/godbus/dbus":                      {"scope"},
	"github.com/coreos/go-systemd":                {"scope"},
	"github.com/opencontainers/runc/libcontainer": {"caps"},
	"net/http":                        {"test"},
	"os/user":                         {"cmd", "test"},
	"C":                               {},
	module + "/internal/sdtest":       {"test"},
	"github.com/google/go-cmp":        {"test"},
	"github.com/rogpeppe/go-internal": {"test"},
}

func TestImportRule(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go")) // there are no sources where there is no compiler
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || file != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(file))
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
			checkImport(t, file, pkg, imp)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("the rule names package %s, which does not exist", pkg)
		}
	}
}

func checkImport(t *testing.T, file, pkg, imp string) {
	top, _, _ := strings.Cut(pkg, "/")
	if strings.HasPrefix(pkg, "internal/sdtest") || top == "test" {
		return // test support
	}
	for prefix, where := range onlyIn {
		if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !slices.Contains(where, top) {
			t.Errorf("%s imports %s, which only %v may", file, imp, where)
		}
	}
	rel, ours := strings.CutPrefix(imp, module)
	if !ours {
		return
	}
	if rel = strings.TrimPrefix(rel, "/"); rel == "" {
		rel = "."
	}
	allowed, known := mayImport[pkg]
	if !known && top == "configs" {
		return // generators of the schema
	}
	if !known {
		t.Errorf("package %s is not in the import rule", pkg)
	} else if !slices.Contains(allowed, rel) {
		t.Errorf("%s imports %s: %s may import %v", file, rel, pkg, allowed)
	}
}
