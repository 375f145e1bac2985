// SPDX-License-Identifier: Apache-2.0

package configs_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sdcontainer/sdcontainer/configs"
)

// Every mistake of a file is told at once.
func ExampleLoadOptions_Check() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "web.toml")
	text := `version = 1
rootfs.path = "/srv/root"
process.args = "nginx"
resources.memory.mx = "512M"
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		panic(err)
	}
	for _, p := range (configs.LoadOptions{}).Check(file) {
		fmt.Printf("%d:%d: %s: %s\n", p.Line, p.Column, p.Key, p.Msg)
	}
	// Output:
	// 3:9: process.args: "nginx": want a list of strings like ["a", "b"]
	// 4:18: resources.memory.mx: unknown key; did you mean "max"?
}
