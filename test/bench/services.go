// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed units
var units embed.FS

// services is systemctl start until the unit is active; stopping is not measured. The bare one has no namespaces.
func (b *bed) services(k kind, share int) scenario {
	start := func(name, unit string) *contender {
		unit += k.suffix
		c := b.command(name, func(string) []string { return []string{"systemctl", "start", unit} })
		c.after = func() error { return exec.CommandContext(b.ctx, "systemctl", "stop", unit).Run() }
		return c
	}
	return scenario{
		name: "systemctl start of a service" + k.said, share: share, before: func() error { return b.installUnits(k) },
		contenders: []*contender{
			start("sdcontainer", "bench-ours"), start("bare Type=exec", "bench-bare"),
			start("systemd-nspawn", "bench-nspawn"), start("podman (Quadlet)", "bench-quadlet"),
		},
	}
}

func (b *bed) installUnits(k kind) error {
	const system, quadlet = "/run/systemd/system/", "/etc/containers/systemd/"
	var names []string
	for _, path := range []string{system + "bench-bare.service", system + "bench-ours.service", system + "bench-nspawn.service", quadlet + "bench-quadlet.container"} {
		text, err := units.ReadFile("units/" + filepath.Base(path))
		if err != nil {
			return err
		}
		stem, kind, _ := strings.Cut(path, ".")
		if err := write(stem+k.suffix+"."+kind, b.expand(k, string(text))); err != nil {
			return err
		}
		names = append(names, filepath.Base(stem)+k.suffix+".service")
	}
	// A place for podman's mount, which it makes by itself unless it is in a user namespace.
	if err := write("/var/lib/machines/busybox/etc/hosts", ""); err != nil {
		return err
	}
	text, err := units.ReadFile("units/storage.conf")
	if err == nil {
		err = write("/etc/containers/storage.conf", string(text))
	}
	if err == nil {
		err = exec.CommandContext(b.ctx, "systemctl", "daemon-reload").Run()
	}
	if err != nil {
		return err
	}
	return b.haveLimits(names...)
}

// expand puts into a unit's text what depends on the bed and the kind.
func (b *bed) expand(k kind, text string) string {
	return strings.NewReplacer("@here@", b.here, "@limits@", strings.Join(unitLimits, "\n"), "@config@", k.file,
		"@nspawn@", k.nspawn, "@quadlet@", k.quadlet).Replace(text)
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// haveLimits fails unless all of the units have the limits: features are equal.
func (b *bed) haveLimits(units ...string) error {
	for _, unit := range units {
		for property, want := range map[string]string{"MemoryMax": "134217728", "TasksMax": "64", "CPUWeight": "200"} {
			have, err := b.output("systemctl", "show", "-P", property, unit)
			if err == nil && have != want {
				err = fmt.Errorf("%s of %s is %s, want %s as all others have", property, unit, have, want)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
