// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"slices"
	"strings"
)

// A Kind says how a property's value is written in a unit file and read from text.
type Kind int

// The kinds of values.
const (
	KindBool         Kind = iota
	KindString            // a word or text
	KindStrings           // words, separated by spaces
	KindBytes             // a size, all ones is infinity
	KindCount             // a number, all ones is infinity
	KindUSec              // microseconds on the bus, a time span in the file
	KindPercent           // microseconds of CPU per second on the bus, percent in the file
	KindScale             // a fraction of 2^32-1 on the bus, percent in the file
	KindSignal            // a signal number
	KindSet               // a bit mask of CPUs or nodes on the bus, a list in the file
	KindPathValue         // (path, number)
	KindPathWord          // (path, word)
	KindAddress           // (family, address, prefix length)
	KindBind              // (family, protocol, count, first port)
	KindInterfaces        // allow-list flag, names
	KindNFT               // (source, protocol, table, set)
	KindProcesses         // process IDs, or descriptors of processes
	KindPathDuration      // (path, microseconds)
)

// A Group says what a property is about.
type Group int

// The groups of properties.
const (
	Resource Group = iota // limits of the container itself
	Life                  // how the unit is stopped and collected
	Order                 // when the unit runs in respect to others
	Host                  // reaches beyond the container: other units, paths and programs of the host
)

// Info is one row of the property table.
type Info struct {
	Name  string
	Sig   string // D-Bus signature
	Since int    // systemd version that has it on scopes
	Live  bool   // can be changed while the unit runs
	Kind  Kind
	Group Group
	File  string // the cgroup file it ends up in, "" when there is no single one
}

// Properties is every property a scope accepts, sorted by name.
func Properties() []Info {
	return slices.SortedFunc(slices.Values(properties[:]), func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
}

// properties is the only place that knows types and versions: the bus, the text of annotations,
// unit files and the reference page are made from it.
var properties = [...]Info{
	// Identity and life.
	{"AddRef", "b", 228, false, KindBool, Host, ""},
	{"CollectMode", "s", 236, false, KindString, Life, ""},
	{"Controller", "s", 205, false, KindString, Host, ""},
	{"CoredumpReceive", "b", 255, false, KindBool, Life, ""},
	{"DefaultDependencies", "b", 205, false, KindBool, Order, ""},
	{"Delegate", "b", 218, false, KindBool, Host, ""},
	{"DelegateControllers", "as", 236, false, KindStrings, Host, ""},
	{"DelegateSubgroup", "s", 254, false, KindString, Host, ""},
	{"Description", "s", 205, true, KindString, Life, ""},
	{"Documentation", "as", 205, false, KindStrings, Life, ""},
	{"FailureAction", "s", 236, false, KindString, Host, ""},
	{"FinalKillSignal", "i", 240, false, KindSignal, Life, ""},
	{"Group", "s", 252, false, KindString, Host, ""},
	{"IgnoreOnIsolate", "b", 205, false, KindBool, Life, ""},
	{"KillMode", "s", 205, false, KindString, Life, ""},
	{"KillSignal", "i", 205, false, KindSignal, Life, ""},
	{"OOMPolicy", "s", 252, false, KindString, Life, "memory.oom.group"}, // 253, and the 252 of Debian 12 and RHEL 9
	{"PIDFDs", "ah", 255, false, KindProcesses, Host, ""},
	{"PIDs", "au", 205, false, KindProcesses, Host, ""},
	{"RestartKillSignal", "i", 244, false, KindSignal, Life, ""},
	{"RuntimeMaxUSec", "t", 244, false, KindUSec, Life, ""},
	{"RuntimeRandomizedExtraUSec", "t", 250, false, KindUSec, Life, ""},
	{"SendSIGHUP", "b", 207, false, KindBool, Life, ""},
	{"SendSIGKILL", "b", 205, false, KindBool, Life, ""},
	{"Slice", "s", 205, false, KindString, Host, ""},
	{"SuccessAction", "s", 236, false, KindString, Host, ""},
	{"SurviveFinalKillSignal", "b", 255, false, KindBool, Host, ""},
	{"TimeoutStopUSec", "t", 205, false, KindUSec, Life, ""},
	{"User", "s", 252, false, KindString, Host, ""},
	{"WatchdogSignal", "i", 240, false, KindSignal, Life, ""},

	// Dependencies.
	{"After", "as", 205, false, KindStrings, Order, ""},
	{"Before", "as", 205, false, KindStrings, Order, ""},
	{"BindsTo", "as", 205, false, KindStrings, Host, ""},
	{"Conflicts", "as", 205, false, KindStrings, Host, ""},
	{"JoinsNamespaceOf", "as", 209, false, KindStrings, Host, ""},
	{"OnFailure", "as", 205, false, KindStrings, Host, ""},
	{"OnSuccess", "as", 249, false, KindStrings, Host, ""},
	{"PartOf", "as", 205, false, KindStrings, Host, ""},
	{"PropagatesReloadTo", "as", 205, false, KindStrings, Host, ""},
	{"PropagatesStopTo", "as", 249, false, KindStrings, Host, ""},
	{"ReloadPropagatedFrom", "as", 205, false, KindStrings, Host, ""},
	{"Requires", "as", 205, false, KindStrings, Host, ""},
	{"RequiresMountsFor", "as", 205, false, KindStrings, Host, ""},
	{"Requisite", "as", 205, false, KindStrings, Host, ""},
	{"StopPropagatedFrom", "as", 249, false, KindStrings, Host, ""},
	{"Upholds", "as", 249, false, KindStrings, Host, ""},
	{"Wants", "as", 205, false, KindStrings, Host, ""},
	{"WantsMountsFor", "as", 256, false, KindStrings, Host, ""},

	// Processors.
	{"AllowedCPUs", "ay", 244, true, KindSet, Resource, "cpuset.cpus"},
	{"AllowedMemoryNodes", "ay", 244, true, KindSet, Resource, "cpuset.mems"},
	{"CPUAccounting", "b", 208, true, KindBool, Resource, ""},
	{"CPUQuotaPerSecUSec", "t", 213, true, KindPercent, Resource, "cpu.max"},
	{"CPUQuotaPeriodUSec", "t", 242, true, KindUSec, Resource, "cpu.max"},
	{"CPUWeight", "t", 232, true, KindCount, Resource, "cpu.weight"},
	{"StartupAllowedCPUs", "ay", 250, true, KindSet, Resource, ""},
	{"StartupAllowedMemoryNodes", "ay", 250, true, KindSet, Resource, ""},
	{"StartupCPUWeight", "t", 232, true, KindCount, Resource, ""},

	// Memory.
	{"DefaultMemoryLow", "t", 242, true, KindBytes, Resource, ""},
	{"DefaultMemoryLowScale", "u", 242, true, KindScale, Resource, ""},
	{"DefaultMemoryMin", "t", 242, true, KindBytes, Resource, ""},
	{"DefaultMemoryMinScale", "u", 242, true, KindScale, Resource, ""},
	{"ManagedOOMMemoryPressure", "s", 247, true, KindString, Resource, ""},
	{"ManagedOOMMemoryPressureDurationUSec", "t", 257, true, KindUSec, Resource, ""},
	{"ManagedOOMMemoryPressureLimit", "u", 248, true, KindScale, Resource, ""},
	{"ManagedOOMPreference", "s", 248, true, KindString, Resource, ""},
	{"ManagedOOMSwap", "s", 247, true, KindString, Resource, ""},
	{"MemoryAccounting", "b", 208, true, KindBool, Resource, ""},
	{"MemoryHigh", "t", 231, true, KindBytes, Resource, "memory.high"},
	{"MemoryHighScale", "u", 231, true, KindScale, Resource, ""},
	{"MemoryLow", "t", 231, true, KindBytes, Resource, "memory.low"},
	{"MemoryLowScale", "u", 231, true, KindScale, Resource, ""},
	{"MemoryMax", "t", 231, true, KindBytes, Resource, "memory.max"},
	{"MemoryMaxScale", "u", 231, true, KindScale, Resource, ""},
	{"MemoryMin", "t", 240, true, KindBytes, Resource, "memory.min"},
	{"MemoryMinScale", "u", 240, true, KindScale, Resource, ""},
	{"MemoryPressureThresholdUSec", "t", 254, false, KindUSec, Resource, ""},
	{"MemoryPressureWatch", "s", 254, false, KindString, Resource, ""},
	{"MemorySwapMax", "t", 232, true, KindBytes, Resource, "memory.swap.max"},
	{"MemorySwapMaxScale", "u", 232, true, KindScale, Resource, ""},
	{"MemoryZSwapMax", "t", 253, true, KindBytes, Resource, "memory.zswap.max"},
	{"MemoryZSwapMaxScale", "u", 253, true, KindScale, Resource, ""},
	{"MemoryZSwapWriteback", "b", 256, true, KindBool, Resource, "memory.zswap.writeback"},
	{"StartupMemoryHigh", "t", 254, true, KindBytes, Resource, ""},
	{"StartupMemoryLow", "t", 254, true, KindBytes, Resource, ""},
	{"StartupMemoryMax", "t", 254, true, KindBytes, Resource, ""},
	{"StartupMemorySwapMax", "t", 254, true, KindBytes, Resource, ""},
	{"StartupMemoryZSwapMax", "t", 254, true, KindBytes, Resource, ""},

	// Tasks.
	{"TasksAccounting", "b", 227, true, KindBool, Resource, ""},
	{"TasksMax", "t", 227, true, KindCount, Resource, "pids.max"},
	{"TasksMaxScale", "u", 239, true, KindScale, Resource, ""},

	// Block devices.
	{"IOAccounting", "b", 230, true, KindBool, Resource, ""},
	{"IODeviceLatencyTargetUSec", "a(st)", 240, true, KindPathDuration, Resource, "io.latency"},
	{"IODeviceWeight", "a(st)", 230, true, KindPathValue, Resource, "io.weight"},
	{"IOReadBandwidthMax", "a(st)", 230, true, KindPathValue, Resource, "io.max"},
	{"IOReadIOPSMax", "a(st)", 230, true, KindPathValue, Resource, "io.max"},
	{"IOWeight", "t", 230, true, KindCount, Resource, "io.weight"},
	{"IOWriteBandwidthMax", "a(st)", 230, true, KindPathValue, Resource, "io.max"},
	{"IOWriteIOPSMax", "a(st)", 230, true, KindPathValue, Resource, "io.max"},
	{"StartupIOWeight", "t", 230, true, KindCount, Resource, ""},

	// Devices and network.
	{"BPFProgram", "a(ss)", 249, false, KindPathWord, Host, ""},
	{"DeviceAllow", "a(ss)", 208, true, KindPathWord, Host, ""},
	{"DevicePolicy", "s", 208, true, KindString, Host, ""},
	{"DisableControllers", "as", 240, true, KindStrings, Host, ""},
	{"IPAccounting", "b", 235, true, KindBool, Resource, ""},
	{"IPAddressAllow", "a(iayu)", 235, true, KindAddress, Host, ""},
	{"IPAddressDeny", "a(iayu)", 235, true, KindAddress, Resource, ""},
	{"IPEgressFilterPath", "as", 243, true, KindStrings, Host, ""},
	{"IPIngressFilterPath", "as", 243, true, KindStrings, Host, ""},
	{"NFTSet", "a(iiss)", 255, true, KindNFT, Host, ""},
	{"RestrictNetworkInterfaces", "(bas)", 250, true, KindInterfaces, Resource, ""},
	{"SocketBindAllow", "a(iiqq)", 249, true, KindBind, Resource, ""},
	{"SocketBindDeny", "a(iiqq)", 249, true, KindBind, Resource, ""},
}

// Words are those that a property takes, or each entry of its list; nil if it takes others too.
func Words(name string) []string {
	switch name {
	case "CollectMode":
		return []string{"inactive", "inactive-or-failed"}
	case "DelegateControllers", "DisableControllers":
		return []string{"cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids",
			"bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces"}
	case "DevicePolicy":
		return []string{"auto", "closed", "strict"}
	case "FailureAction", "SuccessAction":
		return []string{"none", "reboot", "reboot-force", "reboot-immediate", "poweroff", "poweroff-force", "poweroff-immediate",
			"exit", "exit-force", "soft-reboot", "soft-reboot-force", "kexec", "kexec-force", "halt", "halt-force", "halt-immediate"}
	case "ManagedOOMMemoryPressure", "ManagedOOMSwap":
		return []string{"auto", "kill"}
	case "ManagedOOMPreference":
		return []string{"none", "avoid", "omit"}
	case "MemoryPressureWatch":
		return []string{"auto", "on", "off", "skip", "yes", "no", "true", "false"}
	case "OOMPolicy":
		return []string{"continue", "stop", "kill"}
	}
	return nil
}

// Lookup finds a property by systemd's name.
func Lookup(name string) (Info, bool) {
	for i := range properties {
		if properties[i].Name == name {
			return properties[i], true
		}
	}
	return Info{}, false
}

// lookupSec finds the property that a name with Sec sets, instead of USec.
func lookupSec(name string) (Info, bool) {
	base, isSec := strings.CutSuffix(name, "Sec")
	info, ok := Lookup(base + "USec")
	return info, isSec && ok && info.Kind == KindUSec
}

// ReadName is the name under which systemd gives back what the property sets: MemoryMax for
// MemoryMaxScale, RuntimeMaxUSec for RuntimeMaxSec. Others, also unknown ones, stay.
func ReadName(name string) string {
	info, ok := Lookup(name)
	if sec, isSec := lookupSec(name); !ok && isSec {
		return sec.Name
	}
	if twin := Twin(name); ok && info.Kind == KindScale && twin != "" {
		return twin
	}
	return name
}

// List says whether the property has entries, which systemd adds to those it has; "ay" is a set of processors.
func (i Info) List() bool {
	return strings.HasPrefix(i.Sig, "a") && i.Sig != "ay" || i.Kind == KindInterfaces
}

// merges says whether what systemd writes of a changed list leaves the old entries where it found them: they are back
// with the next daemon-reload. Seen with 252.
func (i Info) merges() bool {
	return i.Kind == KindBind || i.Kind == KindInterfaces || i.Name == "DisableControllers"
}

// Twin is the property that says the same as a share of the machine, or not as one:
// MemoryMaxScale for MemoryMax, and the reverse. "" is none.
func Twin(name string) string {
	twin, scaled := strings.CutSuffix(name, "Scale")
	if !scaled {
		twin += "Scale"
	}
	if _, ok := Lookup(twin); !ok {
		return ""
	}
	return twin
}
