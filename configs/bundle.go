// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// LoadBundle reads an OCI bundle's config.json. A relative root starts at the bundle.
//
// Who wrote its annotations may be trusted less than who starts the container: an engine passes on those of
// a pod. So only some are accepted: of org.systemd.property.NAME limits and the few that engines set; of
// io.sdcontainer.KEY name, description, slice, profile, init, stop-signal, stop-timeout, and log.driver (journald, none),
// strict (true) and seccomp (default). A caller who trusts the author reads the file itself and calls [Validate], or sets
// them afterwards with [Settings.Annotate]. What remains may still replace limits of linux.resources and choose a slice:
// whose limits others may not touch has a slice with limits, and takes io.sdcontainer.slice out.
func LoadBundle(dir string) (*specs.Spec, error) {
	file := filepath.Join(dir, "config.json")
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	spec, err := bundle(dir, file, b)
	if err != nil {
		return nil, err
	}
	if err := checkForeign(spec.Annotations); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return spec, nil
}

// foreignLimits are the unit properties of resources, foreignLife the others that a bundle may set: Podman, CRI-O and
// what a configuration of ours compiles to have them. What a name is for is in the table of package scope, whose tests compare.
const (
	foreignLimits = `AllowedCPUs AllowedMemoryNodes CPUAccounting CPUQuotaPerSecUSec CPUQuotaPeriodUSec CPUWeight
		StartupAllowedCPUs StartupAllowedMemoryNodes StartupCPUWeight
		DefaultMemoryLow DefaultMemoryLowScale DefaultMemoryMin DefaultMemoryMinScale
		ManagedOOMMemoryPressure ManagedOOMMemoryPressureDurationUSec ManagedOOMMemoryPressureLimit ManagedOOMPreference ManagedOOMSwap
		MemoryAccounting MemoryHigh MemoryHighScale MemoryLow MemoryLowScale MemoryMax MemoryMaxScale MemoryMin MemoryMinScale
		MemorySwapMax MemorySwapMaxScale
		MemoryZSwapMax MemoryZSwapMaxScale MemoryZSwapWriteback
		StartupMemoryHigh StartupMemoryLow StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax
		TasksAccounting TasksMax TasksMaxScale
		IOAccounting IODeviceLatencyTargetUSec IODeviceWeight IOReadBandwidthMax IOReadIOPSMax IOWeight
		IOWriteBandwidthMax IOWriteIOPSMax StartupIOWeight
		IPAccounting IPAddressDeny RestrictNetworkInterfaces SocketBindAllow SocketBindDeny`
	foreignLife = "After CollectMode DefaultDependencies KillSignal OOMPolicy RuntimeMaxUSec TimeoutStopUSec"
)

// foreignSettings are the annotations of ours that a bundle may have, with the values where not each will do. The others are for
// who starts the container: whose files it writes (idmap-rootfs) and which ids it takes (userns-auto), what it says to
// systemd (notify) and under whose name or to which terminals in the journal (log.*), what ends it (parent-death-signal).
var foreignSettings = map[string][]string{
	"name": nil, "description": nil, "slice": nil, "stop-signal": nil, "stop-timeout": nil, "init": nil,
	"profile":    nil, // it chose defaults while TOML was compiled, and chooses nothing in a Spec
	"log.driver": {"journald", "none"},
	"strict":     {"true"},
	"seccomp":    {"default"},
}

// checkForeign refuses annotations that would reach beyond the container.
func checkForeign(annotations map[string]string) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if name, ok := strings.CutPrefix(k, propertyPrefix); ok && !foreignProperty(name) {
			errs = append(errs, fmt.Errorf("annotation %s: not accepted from a bundle: want a limit, such as MemoryMax, or one of %s",
				k, strings.Join(strings.Fields(foreignLife), ", ")))
		}
		name, ours := strings.CutPrefix(k, prefix)
		values, ok := foreignSettings[name]
		switch v := annotations[k]; {
		case !ours || ok && (values == nil || slices.Contains(values, v)):
		case ok:
			errs = append(errs, fmt.Errorf("annotation %s: %.80q is not accepted from a bundle: want %s", k, v, strings.Join(values, " or ")))
		default:
			errs = append(errs, fmt.Errorf("annotation %s: not accepted from a bundle (take it out: who starts the container sets it); accepted are %s",
				k, strings.Join(slices.Sorted(maps.Keys(foreignSettings)), ", ")))
		}
	}
	return errors.Join(errs...)
}

// foreignProperty also knows the names that end in Sec for USec.
func foreignProperty(name string) bool {
	if base, ok := strings.CutSuffix(name, "Sec"); ok && !strings.HasSuffix(base, "U") {
		name = base + "USec"
	}
	return slices.Contains(strings.Fields(foreignLimits+" "+foreignLife), name)
}
