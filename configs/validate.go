// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Validate looks at what no single planner sees: that the parts a container
// needs are there, and what contradicts what. It returns all problems at once.
func Validate(spec *specs.Spec) error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if spec.Linux == nil || spec.Process == nil || spec.Root == nil {
		return errors.New("want root, process and linux")
	}
	if !path.IsAbs(spec.Root.Path) {
		bad("root.path %q: want an absolute path", spec.Root.Path)
	}
	if len(spec.Process.Args) == 0 || spec.Process.Args[0] == "" {
		bad("process.args: want a command")
	}
	for _, s := range slices.Concat(spec.Process.Args, spec.Process.Env) {
		if strings.ContainsRune(s, 0) {
			bad("process: NUL character in %q", s)
		}
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for _, n := range spec.Linux.Namespaces {
		if seen[n.Type] {
			bad("linux.namespaces: %s twice", n.Type)
		}
		seen[n.Type] = true
		if n.Path != "" && !path.IsAbs(n.Path) {
			bad("linux.namespaces: %s path %q: want an absolute path", n.Type, n.Path)
		}
	}
	s, err := SettingsOf(spec)
	if err != nil {
		errs = append(errs, err)
	}
	if maps := len(spec.Linux.UIDMappings) + len(spec.Linux.GIDMappings); maps > 0 && !seen[specs.UserNamespace] {
		bad("linux.uidMappings: there is no user namespace they could be for")
	} else if s.AutoUserns > 0 && maps > 0 {
		bad("linux.uidMappings: an automatic range is asked for as well")
	}
	if l := spec.Linux; l.IntelRdt != nil {
		bad("linux.intelRdt: not supported")
	}
	if spec.VM != nil || spec.Windows != nil || spec.Solaris != nil || spec.ZOS != nil {
		bad("vm, windows, solaris, zos: this is Linux")
	}
	if spec.Process.ApparmorProfile != "" || spec.Process.SelinuxLabel != "" || spec.Linux.MountLabel != "" {
		bad("process.apparmorProfile, selinuxLabel, linux.mountLabel: not supported yet")
	}
	if len(spec.Linux.NetDevices) > 0 {
		bad("linux.netDevices: not supported yet")
	}
	return errors.Join(errs...)
}

// LoadBundle reads an OCI bundle's config.json. A relative root starts at the bundle.
func LoadBundle(dir string) (*specs.Spec, error) {
	file := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if spec.Root != nil && !filepath.IsAbs(spec.Root.Path) {
		abs, err := filepath.Abs(filepath.Join(dir, spec.Root.Path))
		if err != nil {
			return nil, err
		}
		spec.Root.Path = abs
	}
	if err := Validate(&spec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &spec, nil
}
