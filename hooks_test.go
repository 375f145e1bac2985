// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// G7, R40: a hook that would not be run is refused before anything is made.
func TestHooksAreRefused(t *testing.T) {
	hook := []specs.Hook{{Path: "/bin/true"}}
	for name, h := range map[string]*specs.Hooks{
		"prestart": {Prestart: hook}, "createRuntime": {CreateRuntime: hook}, "createContainer": {CreateContainer: hook},
		"startContainer": {StartContainer: hook}, "poststart": {Poststart: hook}, "poststop": {Poststop: hook},
	} {
		spec, err := configs.FromRootfs("h", "/var/lib/machines/busybox", []string{"/bin/true"})
		if err != nil {
			t.Fatal(err)
		}
		spec.Hooks = h
		r := &Runtime{Dir: t.TempDir()}
		if _, err := r.Create(t.Context(), "h", spec, CreateOptions{}); err == nil || !strings.Contains(err.Error(), "hooks."+name+": not supported") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Explain("h", spec, unitgen.Options{}); err == nil || !strings.Contains(err.Error(), "hooks."+name+": not supported") {
			t.Errorf("explain %s: %v", name, err)
		}
		if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
