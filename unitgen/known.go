// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sdcontainer/sdcontainer/scope"
)

// Floor is the oldest systemd there are units for, Newest stands for one that has every
// directive: the unit then says what it needs.
const (
	Floor  = 252
	Newest = math.MaxInt
)

// newerThan is the version a directive came with, or with a value that word of it, 0 for those that came before the floor:
// systemd.directives(7).
func newerThan(name, value string) int {
	if need := newerWord(name, strings.TrimSpace(value)); need > 0 {
		return need
	}
	switch name {
	case "MemoryZSwapMax", "ReloadSignal", "OpenFile", "LogFilterPatterns":
		return 253
	case "DelegateSubgroup", "RestartMode", "RestartSteps", "RestartMaxDelaySec",
		"FileDescriptorStorePreserve", "ImportCredential", "MemoryKSM", "MemoryPressureWatch",
		"MemoryPressureThresholdSec", "StartupMemoryLow", "StartupMemoryHigh", "StartupMemoryMax",
		"StartupMemorySwapMax", "StartupMemoryZSwapMax", "DefaultStartupMemoryLow", "UpheldBy":
		return 254
	case "NFTSet", "CoredumpReceive", "SurviveFinalKillSignal", "SetLoginEnvironment":
		return 255
	case "MemoryZSwapWriteback", "WantsMountsFor":
		return 256
	case "ManagedOOMMemoryPressureDurationSec":
		return 257
	}
	return 0
}

// newerWord is the version a directive got that word with, 0 for those that it had before the floor.
func newerWord(name, word string) int {
	switch name + "=" + word {
	case "Type=notify-reload":
		return 253
	case "RestartMode=debug": // systemd pull request 33877
		return 257
	case "OnFailureJobMode=restart-dependencies", "OnSuccessJobMode=restart-dependencies": // 28215
		return 254
	case "CPUSchedulingPolicy=ext": // 39474
		return 259
	}
	switch first, _, _ := strings.Cut(word, "-"); name {
	case "FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction":
		if slices.Contains([]string{"soft", "kexec", "halt"}, first) { // 27435, 28104
			return 254
		}
	}
	return 0
}

// ours are directives a configuration cannot set, because the container would not
// work with another value, or would not notice.
func ours() map[string]string {
	return map[string]string{
		"Type":             "sdcontainer reports the payload as the main process by notification",
		"NotifyAccess":     "set systemd.notify instead",
		"Delegate":         "the payload has its own cgroup below the unit's",
		"DelegateSubgroup": "sdcontainer makes the payload's cgroup itself",
		"ExecStart":        "set process.args instead",
		"ExecStop":         "set process.stop_signal instead",
		"KillSignal":       "set process.stop_signal instead: what that signal ends is a success, too",
		"PIDFile":          "sdcontainer reports the payload as the main process by notification",
		"GuessMainPID":     "sdcontainer reports the payload as the main process by notification",
		"RemainAfterExit":  "the unit ends with the container",
		"Slice":            "set systemd.slice instead",
		"SourcePath":       "it names this configuration",
		"User":             "set process.user instead; the container is built with privileges",
		"Group":            "set process.user instead; the container is built with privileges",
		"UMask":            "set process.umask instead: the payload has its own",
		"WorkingDirectory": "set process.cwd instead: the payload has its own",
		"OOMScoreAdjust":   "set process.oom_score_adj instead: the payload has its own",
		"DynamicUser":      "set process.user instead; the container is built with privileges",
		"ReloadSignal":     "set ExecReload instead: it is of services of another type",

		"IgnoreSIGPIPE": "the payload has no signal ignored at its start (process.args may do so: sh -c \"trap '' PIPE; exec ...\")",
		"KeyringMode":   "the payload has a session keyring of its own, always",

		"SupplementaryGroups":    "set process.groups instead: the payload has its own",
		"OpenFile":               noDescriptors + " (have the file in a [[mount]])",
		"FileDescriptorStoreMax": noDescriptors, "FileDescriptorStorePreserve": noDescriptors,
		"Sockets": noSocket, "NonBlocking": noSocket,

		"MemoryPressureWatch":        scope.NoPressureWatch,
		"MemoryPressureThresholdSec": scope.NoPressureWatch,
		"StandardInput":              noInput, "StandardInputText": noInput, "StandardInputData": noInput,
		"TTYPath": noTerminal, "TTYReset": noTerminal, "TTYVHangup": noTerminal, "TTYVTDisallocate": noTerminal, "TTYRows": noTerminal, "TTYColumns": noTerminal,
	}
}

const (
	noInput    = "the payload of a service reads from /dev/null"
	noTerminal = "the payload of a service has no terminal"

	noDescriptors = "no descriptor of the service but its output reaches the payload"
	noSocket      = noDescriptors + " (systemd-socket-proxyd can pass connections on to it)"
)

// instead are directives about the service's own streams, with the keys that say it of the payload's.
var instead = map[string]string{
	"StandardOutput": "", "StandardError": "", "SyslogFacility": "",
	"SyslogIdentifier": "log.identifier", "SyslogLevel": "log.stdout_level and log.stderr_level", "SyslogLevelPrefix": "log.level_prefix",
}

// inVain says why a directive would have no effect on the payload. It writes to streams of its own, unless log.driver says that it
// shall have the service's.
func inVain(name, driver string, values []string) error {
	key, own := instead[name]
	switch {
	case !own:
		return nil
	case driver != "passthrough" && key != "":
		return fmt.Errorf(`has no effect on the payload: set %s instead (or log.driver = "passthrough" too)`, key)
	case driver != "passthrough":
		return errors.New(`has no effect on the payload: its output goes where log.driver says (set log.driver = "passthrough" too)`)
	case slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "tty" }):
		return errors.New(`"tty": the payload could read what is typed there`)
	}
	return nil
}

// old are directives that systemd had before others, and has dropped or will, with the one to use.
func old() map[string]string {
	return map[string]string{
		"BlockIOAccounting": "IOAccounting", "BlockIODeviceWeight": "IODeviceWeight", "BlockIOReadBandwidth": "IOReadBandwidthMax",
		"BlockIOWeight": "IOWeight", "BlockIOWriteBandwidth": "IOWriteBandwidthMax", "CPUShares": "CPUWeight", "MemoryLimit": "MemoryMax",
		"RequiresOverridable": "Requires", "RequisiteOverridable": "Requisite", "StartupBlockIOWeight": "StartupIOWeight", "StartupCPUShares": "StartupCPUWeight",
	}
}

// kept are lists a configuration may add to and not empty: they have something of ours.
var kept = map[string]string{
	"ExecStopPost":   "it would forget the clean-up after the container",
	"DeviceAllow":    "it would take back what every start needs (systemd.scope has DeviceAllow too, which is the whole list)",
	"LogExtraFields": "it would forget the name that every line of a container has",
}

// harmful are sandbox options that would hit the program that builds the
// container before they would hit the payload, which has stronger ones.
var harmful = []string{
	"PrivatePIDs", "PrivateUsers", "PrivateMounts", "PrivateDevices", "PrivateTmp",
	"PrivateNetwork", "PrivateIPC", "RestrictNamespaces", "NoNewPrivileges",
	"ProtectControlGroups", "ProtectKernelTunables", "ProtectKernelModules",
	"ProtectKernelLogs", "ProtectClock", "ProtectHostname", "ProtectProc", "ProcSubset",
	"ProtectSystem", "ProtectHome", "MemoryDenyWriteExecute", "RestrictAddressFamilies",
	"RestrictRealtime", "RestrictSUIDSGID", "RestrictFileSystems", "LockPersonality",
	"SystemCallFilter", "SystemCallArchitectures", "CapabilityBoundingSet",
	"AmbientCapabilities", "SecureBits", "RootDirectory", "RootImage", "RootEphemeral",
	"RootHash", "RootHashSignature", "RootVerity", "RootImageOptions", "RootImagePolicy",
	"MountImages", "MountImagePolicy", "ExtensionImages", "ExtensionImagePolicy", "ExtensionDirectories",
	"MountAPIVFS", "MountFlags", "BindPaths", "BindReadOnlyPaths", "BindLogSockets", "TemporaryFileSystem",
	"ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "NoExecPaths", "ExecPaths",
	"ReadOnlyDirectories", "ReadWriteDirectories", "InaccessibleDirectories",
	"NetworkNamespacePath", "IPCNamespacePath", "AppArmorProfile", "SELinuxContext",
}

// directiveName is compiled when needed: most commands write no unit.
var directiveName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([A-Z][A-Za-z0-9]{1,63}|X-[A-Za-z0-9-]{1,62})$`) })

// permitted says whether a configuration may set a directive.
func permitted(section int, name string, values []string) error {
	switch {
	case !directiveName().MatchString(name):
		return fmt.Errorf("%q is not the name of a directive", name)
	case section == sectionInstall:
		return wrongInstall(name, values)
	case ours()[name] != "":
		return fmt.Errorf("cannot be set: %s", ours()[name])
	case old()[name] != "":
		return fmt.Errorf("an old name, which newer systemd ignores (use %s)", old()[name])
	case section == sectionService && strings.HasPrefix(name, "Limit"):
		return errors.New("cannot be set: set process.rlimits instead: the payload has its own")
	case section == sectionService && kept[name] != "" && slices.ContainsFunc(values, empty):
		return fmt.Errorf("cannot be empty: %s", kept[name])
	case section == sectionService && name == "RuntimeDirectory" && slices.ContainsFunc(values, ofRecords):
		return errors.New("cannot be below sdcontainer: a stop would remove the records of containers, which are in /run/sdcontainer (use another name)")
	case section == sectionService && slices.Contains(harmful, name):
		return fmt.Errorf("cannot be set: it would restrict the program that builds the container (use the tables [security] and [namespaces])")
	}
	return wrong(name, values)
}

// wrongInstall says which value is no list of units, for directives that have one. systemctl leaves out the whole list.
func wrongInstall(name string, values []string) error {
	if !slices.Contains([]string{"WantedBy", "RequiredBy", "UpheldBy", "Also", "Alias"}, name) {
		return nil
	}
	return wrong("Wants", values)
}

// empty says whether systemd takes a value for none.
func empty(value string) bool { return strings.TrimSpace(value) == "" }

// list says whether a directive may stand several times, each adding to the others.
func list(name string) bool {
	return strings.HasPrefix(name, "Exec") || strings.HasPrefix(name, "Condition") || strings.HasPrefix(name, "Assert") ||
		slices.Contains(lists, name)
}

var lists = []string{
	"After", "Before", "Requires", "Wants", "BindsTo", "PartOf", "Requisite",
	"Upholds", "Conflicts", "OnFailure", "OnSuccess", "PropagatesStopTo",
	"StopPropagatedFrom", "PropagatesReloadTo", "ReloadPropagatedFrom", "JoinsNamespaceOf",
	"RequiresMountsFor", "WantsMountsFor", "Documentation", "Environment",
	"EnvironmentFile", "LogExtraFields", "SuccessExitStatus", "RestartPreventExitStatus",
	"RestartForceExitStatus", "LoadCredential", "LoadCredentialEncrypted", "SetCredential",
	"SetCredentialEncrypted", "ImportCredential", "DeviceAllow", "IPAddressAllow",
	"IPAddressDeny", "IODeviceWeight", "IOReadBandwidthMax", "IOWriteBandwidthMax",
	"IOReadIOPSMax", "IOWriteIOPSMax", "IODeviceLatencyTargetSec", "SocketBindAllow",
	"SocketBindDeny", "BPFProgram", "IPIngressFilterPath", "IPEgressFilterPath", "NFTSet",
	"RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory",
	"ConfigurationDirectory", "LogFilterPatterns",
	"RestrictNetworkInterfaces", "DisableControllers",
}
