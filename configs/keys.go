// SPDX-License-Identifier: Apache-2.0

package configs

import "errors"

// A parser turns what TOML says into the value a key holds; its error says what
// the key accepts.
type parser func(any) (any, error)

// A Key is one key of the TOML. The table of them drives decoding, messages, the
// reference page and the JSON Schema.
type Key struct {
	Path    string // "resources.memory.max"; a leading "mount[]." is in each [[mount]]
	Type    string // for people and the schema: string, bool, int, strings, table, size, time ...
	Default string
	Maps    string // the OCI field or systemd property it becomes
	Doc     string
	parse   parser
}

// Keys is every key there is, in the order of the reference page.
func Keys() []Key { return keys }

var keys = []Key{
	{"version", "int", "", "–", "Version of this format: 1. Required.", parseVersion},
	{"name", "string", "file name", "container ID", "Name of the container and part of its unit's.", parseString},
	{"description", "string", "", "Description=", "One line for people.", parseString},

	{"rootfs.path", "string", "", "root.path", "Directory with the container's files. Required. A relative path starts at the TOML file.", parseString},
	{"rootfs.read_only", "bool", "false", "root.readonly", "Mounts the root read-only.", parseBool},
	{"rootfs.propagation", "string", `"private"`, "linux.rootfsPropagation", "How mounts spread from and to the host.", oneOf("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")},
	{"rootfs.idmap", "bool", "true with a user namespace", "mount_setattr(2)", "Shows the files through the user namespace's mapping: files of the host's root belong to the container's.", parseBool},

	{"process.args", "strings", "", "process.args", "The command. Required.", parseStrings},
	{"process.cwd", "string", `"/"`, "process.cwd", "Working directory.", parseString},
	{"process.user", "string", `"0"`, "process.user", "NAME, UID, NAME:GROUP or UID:GID; names are looked up in the container's files.", parseString},
	{"process.groups", "ints", "", "process.user.additionalGids", "Further group ids.", parseIDs},
	{"process.umask", "mode", `"0022"`, "process.user.umask", "File mode creation mask.", parseMode},
	{"process.env", "table", "", "process.env", "Environment.", parseStringTable},
	{"process.env_files", "strings", "", "process.env", "Files of NAME=VALUE lines; a leading - makes one optional.", parseStrings},
	{"process.env_pass", "strings", "", "process.env", "Names of variables taken over from the caller.", parseStrings},
	{"process.terminal", "bool", "false", "process.terminal", "Gives the payload a terminal of its own.", parseBool},
	{"process.init", "bool", "false", "–", "Runs the payload under a pid 1 that reaps orphans and forwards signals.", parseBool},
	{"process.no_new_privileges", "bool", "true", "process.noNewPrivileges", "No program can give more rights than the payload began with.", parseBool},
	{"process.oom_score_adj", "int", "", "process.oomScoreAdj", "-1000 (never) to 1000 (first) when memory runs out.", parseRange(-1000, 1000)},
	{"process.rlimits", "table", "see docs", "process.rlimits", `Limits by name: nofile = "1024:4096" (soft:hard).`, parseStringTable},
	{"process.nice", "int", "", "process.scheduler.nice", "-20 to 19.", parseRange(-20, 19)},
	{"process.scheduler", "string", "", "process.scheduler.policy", "other, batch, idle, or fifo:PRIORITY, rr:PRIORITY.", parseString},
	{"process.io_class", "string", "", "process.ioPriority", "idle, or be:LEVEL, rt:LEVEL with a level of 0 to 7.", parseString},
	{"process.stop_signal", "string", `"SIGTERM"`, "KillSignal=", "What stop sends.", parseSignalName},
	{"process.parent_death_signal", "string", "", "prctl(2)", "What the payload gets when a foreground run dies. By default the container then dies.", parseSignalName},

	{"capabilities.preset", "string", `"default"`, "process.capabilities", "default: eight for root, none for others; none; all.", oneOf("default", "none", "all")},
	{"capabilities.add", "strings", "", "process.capabilities", "More, by name.", parseStrings},
	{"capabilities.drop", "strings", "", "process.capabilities", "Fewer, by name.", parseStrings},
	{"capabilities.ambient", "strings", "", "process.capabilities.ambient", "Kept over exec by a user that is not root.", parseStrings},
	{"capabilities.bounding", "strings", "", "process.capabilities.bounding", "The set itself; excludes preset, add and drop.", parseStrings},
	{"capabilities.effective", "strings", "", "process.capabilities.effective", "The set itself.", parseStrings},
	{"capabilities.permitted", "strings", "", "process.capabilities.permitted", "The set itself.", parseStrings},
	{"capabilities.inheritable", "strings", "", "process.capabilities.inheritable", "The set itself.", parseStrings},

	{"namespaces.pid", "string", `"private"`, "linux.namespaces", "private, host or path:/FILE.", parseNamespace},
	{"namespaces.ipc", "string", `"private"`, "linux.namespaces", "private, host or path:/FILE.", parseNamespace},
	{"namespaces.uts", "string", `"private"`, "linux.namespaces", "private, host or path:/FILE.", parseNamespace},
	{"namespaces.cgroup", "string", `"private"`, "linux.namespaces", "private, host or path:/FILE.", parseNamespace},
	{"namespaces.time", "string", `"host"`, "linux.namespaces", "private, host or path:/FILE.", parseNamespace},

	{"userns.mode", "string", `"auto"`, "linux.namespaces", "auto: a range of its own; manual: uid_map and gid_map; path:/FILE; none: the host's ids.", parseUserns},
	{"userns.size", "int", "65536", "linux.uidMappings", "Ids of an automatic range.", parseRange(1, 1<<31)},
	{"userns.uid_map", "strings", "", "linux.uidMappings", `"CONTAINER:HOST:COUNT" for each range.`, parseStrings},
	{"userns.gid_map", "strings", "", "linux.gidMappings", `"CONTAINER:HOST:COUNT" for each range.`, parseStrings},

	{"mount[].type", "string", `"bind"`, "mounts[].type", "bind, tmpfs, overlay, or raw for any other filesystem.", oneOf("bind", "tmpfs", "overlay", "raw")},
	{"mount[].source", "string", "", "mounts[].source", "What to mount. A relative path starts at the TOML file.", parseString},
	{"mount[].target", "string", "", "mounts[].destination", "Where, in the container. Required.", parseString},
	{"mount[].read_only", "bool", "false", "mounts[].options ro", "Read-only; with recursive for the mounts below too.", parseBool},
	{"mount[].recursive", "bool", "true", "mounts[].options rbind", "With the mounts below source.", parseBool},
	{"mount[].idmap", "bool", "false", "mounts[].options idmap", "Shows the files through the user namespace's mapping.", parseBool},
	{"mount[].optional", "bool", "false", "–", "Skips the mount when source is missing.", parseBool},
	{"mount[].create", "string", "", "–", "Makes a missing source: dir, file, dir:MODE, dir:MODE:UID:GID.", parseString},
	{"mount[].propagation", "string", `"rprivate"`, "mounts[].options", "How mounts spread.", oneOf("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")},
	{"mount[].size", "size", "", "mounts[].options size=", "Of a tmpfs.", parseSize},
	{"mount[].mode", "mode", "", "mounts[].options mode=", "Of a tmpfs.", parseMode},
	{"mount[].lower", "strings", "", "mounts[].options lowerdir=", "Lower directories of an overlay, topmost first.", parseStrings},
	{"mount[].upper", "string", "", "mounts[].options upperdir=", "Upper directory of an overlay.", parseString},
	{"mount[].work", "string", "", "mounts[].options workdir=", "Work directory of an overlay.", parseString},
	{"mount[].fstype", "string", "", "mounts[].type", "Filesystem of a raw mount.", parseString},
	{"mount[].options", "strings", "", "mounts[].options", "More mount options, as mount(8) has them.", parseStrings},

	{"device[].path", "string", "", "linux.devices", "Device of the host. Required.", parseString},
	{"device[].target", "string", "path", "linux.devices[].path", "Where, in the container.", parseString},
	{"device[].access", "string", `"rw"`, "DeviceAllow=", "Any of r, w, m.", parseAccess},

	{"network.mode", "string", `"none"`, "linux.namespaces", "none: a loopback of its own; host; path:/FILE.", parseNetwork},
	{"network.hostname", "string", "name", "hostname", "Host name in the container.", parseString},
	{"network.domainname", "string", "", "domainname", "NIS domain name in the container.", parseString},
	{"network.allow", "addresses", "", "IPAddressAllow=", "Networks the container may talk to.", parseAddresses},
	{"network.deny", "addresses", "", "IPAddressDeny=", "Networks it may not; allow wins.", parseAddresses},

	{"resources.tasks", "count", "2048", "TasksMax=", "Processes and threads.", parseCount},
	{"resources.memory.max", "size", "", "MemoryMax=", "Hard limit: beyond it processes are killed.", parseSize},
	{"resources.memory.high", "size", "", "MemoryHigh=", "Above it the container is slowed down.", parseSize},
	{"resources.memory.low", "size", "", "MemoryLow=", "Protected as long as others have more.", parseSize},
	{"resources.memory.min", "size", "", "MemoryMin=", "Protected always.", parseSize},
	{"resources.memory.swap_max", "size", "", "MemorySwapMax=", "Swap.", parseSize},
	{"resources.memory.zswap_max", "size", "", "MemoryZSwapMax=", "Compressed swap; systemd 253.", parseSize},
	{"resources.memory.oom_policy", "string", "", "OOMPolicy=", "What systemd does after an OOM kill: continue, stop or kill (all).", oneOf("continue", "stop", "kill")},
	{"resources.memory.managed_oom_pressure", "string", "", "ManagedOOMMemoryPressure=", "Lets systemd-oomd act on memory pressure.", oneOf("auto", "kill")},
	{"resources.memory.managed_oom_swap", "string", "", "ManagedOOMSwap=", "Lets systemd-oomd act on swap use.", oneOf("auto", "kill")},
	{"resources.cpu.quota", "cpu", "", "CPUQuota=", `CPU time: "150%" is one and a half CPUs.`, parseQuota},
	{"resources.cpu.period", "time", "100ms", "CPUQuotaPeriodSec=", "Over which the quota counts.", parseSpan},
	{"resources.cpu.weight", "weight", "100", "CPUWeight=", "Share against others.", parseWeight},
	{"resources.cpu.cpus", "cpus", "", "AllowedCPUs=", "CPUs to run on.", parseCPUs},
	{"resources.cpu.mems", "cpus", "", "AllowedMemoryNodes=", "Memory nodes to use.", parseCPUs},
	{"resources.io.weight", "weight", "100", "IOWeight=", "Share against others.", parseIOWeight},
	{"resources.io.read_bps", "table", "", "IOReadBandwidthMax=", `Bytes a second by device: { "/dev/sda" = "20M" }.`, parseStringTable},
	{"resources.io.write_bps", "table", "", "IOWriteBandwidthMax=", "Bytes a second by device.", parseStringTable},
	{"resources.io.read_iops", "table", "", "IOReadIOPSMax=", "Operations a second by device.", parseStringTable},
	{"resources.io.write_iops", "table", "", "IOWriteIOPSMax=", "Operations a second by device.", parseStringTable},
	{"resources.io.latency", "table", "", "IODeviceLatencyTargetSec=", `Latency target by device: { "/dev/sda" = "25ms" }.`, parseStringTable},

	{"security.profile", "string", `"app"`, "–", "app; or system: for a payload that is systemd itself.", oneOf("app", "system")},
	{"security.seccomp", "string", `"default"`, "linux.seccomp", "default, unconfined, or a file with an OCI profile.", parseString},
	{"security.mask", "strings", "", "linux.maskedPaths", "More paths to hide.", parseStrings},
	{"security.unmask", "strings", "", "linux.maskedPaths", "Paths of the default lists not to hide or protect.", parseStrings},
	{"security.read_only_paths", "strings", "", "linux.readonlyPaths", "More paths to protect.", parseStrings},
	{"security.sysctl", "table", "", "linux.sysctl", "Kernel settings of the container's own namespaces.", parseStringTable},
	{"security.device_policy", "string", `"closed"`, "DevicePolicy=", "closed: the standard devices and [[device]]; strict: [[device]] only; auto: all.", oneOf("closed", "strict", "auto")},

	{"systemd.slice", "string", `"sdcontainer.slice"`, "Slice=", "Slice of the unit.", parseString},
	{"systemd.strict", "bool", "true", "–", "A property this systemd lacks is an error; false makes it a warning.", parseBool},
	{"systemd.notify", "string", `"started"`, "Type=notify", "Who says that the service is ready: we, or the container itself.", oneOf("started", "container")},
	{"systemd.stop_timeout", "time", "10s", "TimeoutStopSec=", "After it, what has not stopped is killed.", parseSpan},
	{"systemd.runtime_max", "time", "infinity", "RuntimeMaxSec=", "After it the container is stopped.", parseSpan},
	{"systemd.restart", "string", `"no"`, "Restart=", "For services.", oneOf("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog")},
	{"systemd.restart_delay", "time", "100ms", "RestartSec=", "For services.", parseSpan},
	{"systemd.wanted_by", "strings", `["multi-user.target"]`, "WantedBy=", "For services.", parseStrings},
	{"systemd.after", "strings", "", "After=", "For services.", parseStrings},
	{"systemd.wants", "strings", "", "Wants=", "For services.", parseStrings},
	{"systemd.requires", "strings", "", "Requires=", "For services.", parseStrings},
	{"systemd.unit", "table", "", "[Unit]", "Any directive, for services.", parseListTable},
	{"systemd.service", "table", "", "[Service]", "Any directive, for services.", parseListTable},
	{"systemd.install", "table", "", "[Install]", "Any directive, for services.", parseListTable},
	{"systemd.scope", "table", "", "any property", "Any property of the unit by its D-Bus name, in GVariant text where TOML is not enough.", parseScope},

	{"log.driver", "string", `"journald"`, "–", "Where output goes without a terminal: journald, passthrough, none.", oneOf("journald", "passthrough", "none")},
	{"log.identifier", "string", "name", "SYSLOG_IDENTIFIER=", "Name of the lines.", parseString},
	{"log.stdout_level", "string", `"info"`, "PRIORITY=", "Level of standard output.", parseLevel},
	{"log.stderr_level", "string", `"err"`, "PRIORITY=", "Level of standard error.", parseLevel},
	{"log.fields", "table", "", "LogExtraFields=", "Further journal fields, for services.", parseStringTable},
}

// later has the keys that a coming version will know, with what to do until then.
var later = map[string]string{
	"image": "use rootfs.path", "health": "use systemd.notify or a timer", "update": "", "socket": "use a .socket unit and systemd.unit",
	"credential": "use systemd.service LoadCredential and a mount", "hooks": "", "checkpoint": "", "extends": "use drop-ins in NAME.toml.d/",
	"oci": "", "labels": "", "annotations": "",
	"network.publish": `use network.mode "host" or "path:/FILE"`, "network.dns": "mount a resolv.conf", "network.devices": "", "network.address": "",
	"network.aliases": "", "network.mac": "", "rootfs.overlay": `use a [[mount]] of type "overlay"`, "rootfs.overlay_size": "",
	"security.apparmor": "", "security.selinux": "", "resources.hugepages": "", "systemd.watchdog": "use systemd.service WatchdogSec",
	"namespaces.join": "use namespaces.* = \"path:/proc/PID/ns/...\"",
}

func parseVersion(v any) (any, error) {
	if n, ok := v.(int64); ok && n == 1 {
		return n, nil
	}
	return nil, errors.New("1")
}
