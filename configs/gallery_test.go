// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// caller is the environment the examples are compiled in.
func caller(name string) (string, bool) { return "C.UTF-8", name == "LANG" }

// Each example compiles to the config.json beside it. Paths that start at the
// directory of the file are shown as below /etc/sdcontainer.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("%d examples: want at least ten", len(files))
	}
	readme, err := os.ReadFile("examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			spec, err := Load(file, LoadOptions{Env: caller})
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.MarshalIndent(spec, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(string(b), here, "/etc/sdcontainer") + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".config.json"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(string(readme), "("+filepath.Base(file)+")") {
				t.Errorf("examples/README.md does not mention it")
			}
		})
	}
}
