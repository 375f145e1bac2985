// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// An old name is refused with the one to use, which is one that may be set.
func TestOldNames(t *testing.T) {
	for name, use := range old() {
		number, section := sectionService, "service"
		if strings.HasPrefix(name, "Requi") {
			number, section = sectionUnit, "unit"
		}
		if err := permitted(number, name, []string{"5"}); err == nil || !strings.Contains(err.Error(), "(use "+use+")") {
			t.Errorf("%s: %v, want %s", name, err, use)
		}
		if err := permitted(number, use, nil); err != nil || !configs.KnownDirective(section, use) || !configs.KnownDirective(section, name) {
			t.Errorf("%s instead of %s: %v", use, name, err)
		}
	}
}

// What the payload has none of, or has otherwise, is refused with what to use.
func TestOfNoEffect(t *testing.T) {
	for name, want := range map[string]string{
		"SupplementaryGroups": "set process.groups", "Sockets": "systemd-socket-proxyd", "NonBlocking": "systemd-socket-proxyd", "OpenFile": "[[mount]]",
		"FileDescriptorStoreMax": "no descriptor", "FileDescriptorStorePreserve": "no descriptor", "ReloadSignal": "set ExecReload",
		"IgnoreSIGPIPE": "trap '' PIPE", "KeyringMode": "session keyring of its own",
	} {
		if err := permitted(sectionService, name, []string{"1"}); err == nil || !strings.Contains(err.Error(), "cannot be set: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if !configs.KnownDirective("service", name) {
			t.Errorf("%s is no directive", name)
		}
	}
}

// Directives about the service's streams are refused with the key for the payload's, unless it has the former.
func TestStreamsOfTheService(t *testing.T) {
	refused := func(driver, name, value string) string {
		_, err := service(t, func(_ *specs.Spec, s *configs.Settings) {
			s.Log.Driver, s.Service = driver, map[string][]string{name: {value}}
		})
		if err == nil {
			return "nothing"
		}
		return err.Error()
	}
	const key, driver = `(or log.driver = "passthrough" too)`, `(set log.driver = "passthrough" too)`
	for line, want := range map[string]struct{ other, passthrough string }{
		"StandardOutput=append:/x":  {driver, "nothing"},
		"StandardOutput=tty":        {driver, "could read what is typed"},
		"StandardError=null":        {driver, "nothing"},
		"SyslogFacility=daemon":     {driver, "nothing"},
		"SyslogIdentifier=a":        {"set log.identifier instead " + key, "nothing"},
		"SyslogLevel=debug":         {"set log.stdout_level and log.stderr_level instead " + key, "nothing"},
		"SyslogLevelPrefix=yes":     {"set log.level_prefix instead " + key, "nothing"},
		"StandardInput=socket":      {noInput, noInput},
		"StandardInputText=a":       {noInput, noInput},
		"TTYPath=/dev/tty1":         {noTerminal, noTerminal},
		"LogNamespace=a":            {"nothing", "nothing"},
		"LogRateLimitIntervalSec=5": {"nothing", "nothing"},
		"LogLevelMax=err":           {"nothing", "nothing"},
	} {
		name, value, _ := strings.Cut(line, "=")
		for _, d := range []string{"", "journald", "none"} {
			if got := refused(d, name, value); !strings.Contains(got, want.other) {
				t.Errorf("%s with log.driver = %q: %s, want %s", line, d, got, want.other)
			}
		}
		if got := refused("passthrough", name, value); !strings.Contains(got, want.passthrough) {
			t.Errorf("%s with passthrough: %s, want %s", line, got, want.passthrough)
		}
	}
}
