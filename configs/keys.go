// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"slices"
	"sync"
)

// A Key is one key of the TOML. The table of them drives decoding, messages, the
// reference page and the JSON Schema.
type Key struct {
	Path    string // "resources.memory.max"; a leading "mount[]." is in each [[mount]]
	Kind    Kind
	Default string
	Maps    string // the OCI field or systemd property it becomes
	Doc     string
}

// Keys is every key there is, in the order of the reference page.
func Keys() []Key { return keys() }

// keys is made when a configuration is read: who needs none does not pay for it.
var keys = sync.OnceValue(allKeys)

// Later is every key a coming version will know, with what to use until then.
func Later() map[string]string { return later() }

func allKeys() []Key {
	return slices.Concat(topKeys(), processKeys(), namespaceKeys(), fileKeys(), networkKeys(), resourceKeys(), securityKeys(), unitKeys())
}

func topKeys() []Key {
	propagation := words("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
	return []Key{
		{"version", kindVersion, "", "–", "Version of this format: 1. Required."},
		{"name", shaped("^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"), "file name", "container ID", "Name of the container and part of its unit's."},
		{"description", kindString, "Container NAME", "Description=", "One line for people."},

		{"rootfs.path", kindString, "", "root.path", "Directory with the container's files. Required. A relative path starts at the TOML file."},
		{"rootfs.read_only", kindBool, "false", "root.readonly", "Mounts the root read-only; what is mounted below it on the host stays as writable as it is there. A payload with `CAP_SYS_ADMIN`, as of profile `system`, can undo that."},
		{"rootfs.propagation", propagation, `"private"`, "linux.rootfsPropagation", "How mounts spread from and to the host."},
		{"rootfs.idmap", kindBool, "true with a user namespace", "mount_setattr(2)", "Shows the files through the user namespace's mapping: files of the host's root belong to the container's. Where the payload can write to it, it must lie below a directory that other users of the host cannot enter, unless `systemd.strict = false`."},
	}
}

func processKeys() []Key {
	inside := shaped("^[/%]") // a path in the container, or a specifier
	umask := Kind{"mode", `{"type": "string", "pattern": "^0*[0-7]{1,3}$"}`, parseMode, nil}
	return []Key{
		{"process.args", kindStrings, "", "process.args", "The command. Required, unless `run` is given one."},
		{"process.cwd", inside, `"/"`, "process.cwd", "Working directory. The container's root must be able to enter it (on NFS with root_squash, or another user's FUSE, it is not); the user need not."},
		{"process.user", kindString, `"0"`, "process.user", "NAME, UID, NAME:GROUP or UID:GID; names are looked up in the container's files."},
		{"process.groups", kindIDs, "", "process.user.additionalGids", "Further group ids."},
		{"process.umask", umask, `"0022"`, "process.user.umask", "File mode creation mask."},
		{"process.env", kindTexts, "", "process.env", "Environment. Names have no spaces and control characters; values may have line breaks."},
		{"process.env_files", kindStrings, "", "process.env", "Files of NAME=VALUE lines; a leading - makes one optional."},
		{"process.env_pass", kindStrings, "", "process.env", "Variables taken over from the caller: names, or globs such as `LC_*` of `*`, `?` and `[...]`, which may match none. GOMAXPROCS=1, which units have for sdcontainer itself, is not passed to a service."},
		{"process.terminal", kindBool, "false", "process.terminal", "Gives the payload a terminal of its own."},
		{"process.init", kindBool, "false", "–", "Runs the payload under a pid 1 that reaps orphans and forwards signals."},
		{"process.no_new_privileges", kindBool, "true", "process.noNewPrivileges", "No program can give more rights than the payload began with."},
		{"process.oom_score_adj", between(-1000, 1000), "0", "process.oomScoreAdj", "-1000 (never) to 1000 (first) when memory runs out."},
		{"process.rlimits", tableOf(kindRlimit), "see Profiles", "process.rlimits", `Limits by name: nofile = "1024:4096" (soft:hard).`},
		{"process.nice", between(-20, 19), "", "process.scheduler.nice", "-20 to 19."},
		{"process.scheduler", shaped("^(other|batch|idle|(fifo|rr):[+]?0*[1-9][0-9]?)$"), "", "process.scheduler.policy", "other, batch, idle, or fifo:PRIORITY, rr:PRIORITY."},
		{"process.io_class", shaped("^(idle|(be|rt):[+]?0*[0-7])$"), "", "process.ioPriority", "idle, or be:LEVEL, rt:LEVEL with a level of 0 to 7."},
		{"process.exec_cpus", kindCPUs, "", "process.execCPUAffinity", "CPUs of what exec runs in the container. Without it and `resources.cpu.cpus` it runs on those of its caller."},
		{"process.stop_signal", kindSignal, "see Profiles", "KillSignal=", "What stop sends. `systemctl stop` of a scope, as `run` makes it, and a shutdown send it to every process in the container at once: a systemd inside, or another init that ends its own in order, belongs in a service, where only the first process gets it."},
		{"process.parent_death_signal", kindSignal, "", "prctl(2)", "What the payload gets when a foreground run dies. By default the container then dies. A detached container and a service live on."},

		{"capabilities.preset", words("default", "none", "all"), `"default"`, "process.capabilities", "default: eight for root, none for others; none; all."},
		{"capabilities.add", kindStrings, "", "process.capabilities", "More, by name."},
		{"capabilities.drop", kindStrings, "", "process.capabilities", "Fewer, by name."},
		{"capabilities.ambient", kindStrings, "", "process.capabilities.ambient", "Kept over exec by a user that is not root."},
		{"capabilities.bounding", kindStrings, "", "process.capabilities.bounding", "The set itself; excludes preset, add and drop."},
		{"capabilities.effective", kindStrings, "", "process.capabilities.effective", "The set itself."},
		{"capabilities.permitted", kindStrings, "", "process.capabilities.permitted", "The set itself."},
		{"capabilities.inheritable", kindStrings, "", "process.capabilities.inheritable", "The set itself."},
	}
}

func namespaceKeys() []Key {
	namespace := orPath("private", "host")
	userns := Kind{"string", orPath("auto", "manual", "none").Schema, parseUserns, nil}
	maps := Kind{"strings", `{"type": "array", "items": {"type": "string", "pattern": "^[0-9]+:[0-9]+:[0-9]+$"}}`, parseStrings, nil}
	return []Key{
		{"namespaces.pid", namespace, `"private"`, "linux.namespaces", "private, host or path:/FILE. A path needs userns.mode path:/FILE or none."},
		{"namespaces.ipc", namespace, `"private"`, "linux.namespaces", "private, host or path:/FILE. A path needs userns.mode path:/FILE or none."},
		{"namespaces.uts", namespace, `"private"`, "linux.namespaces", "private, host or path:/FILE."},
		{"namespaces.cgroup", namespace, `"private"`, "linux.namespaces", "private, host or path:/FILE."},
		{"namespaces.mount", orPath("private"), `"private"`, "linux.namespaces", "private or path:/FILE, of one made for it: the container's root takes the place of its root. Needs userns.mode path:/FILE or none; not with run -d."},
		{"namespaces.time", namespace, `"host"`, "linux.namespaces", "private, host or path:/FILE."},

		{"userns.mode", userns, `"auto"`, "linux.namespaces", "auto: a range of its own; manual: uid_map and gid_map; path:/FILE, not with run -d; none: the host's ids."},
		{"userns.size", between(1, 1<<31), "65536", "linux.uidMappings", "Ids of an automatic range."},
		{"userns.uid_map", maps, "", "linux.uidMappings", `"CONTAINER:HOST:COUNT" for each range.`},
		{"userns.gid_map", maps, "", "linux.gidMappings", `"CONTAINER:HOST:COUNT" for each range.`},
	}
}

func fileKeys() []Key {
	mountType := notYet(words("bind", "tmpfs", "overlay", "raw"), "volume", "image")
	propagation := words("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
	inside := shaped("^[/%]") // a path in the container, or a specifier
	return []Key{
		{"mount[].type", mountType, `"bind"`, "mounts[].type", "bind, tmpfs, overlay, or raw for any other filesystem."},
		{"mount[].source", kindString, "", "mounts[].source", "What to mount. A relative path starts at the TOML file."},
		{"mount[].target", inside, "", "mounts[].destination", "Where, in the container. Required."},
		{"mount[].read_only", kindBool, "false", "mounts[].options ro", "Read-only, as `rootfs.read_only` is; with recursive for the mounts below too."},
		{"mount[].recursive", kindBool, "true", "mounts[].options rbind", "With the mounts below source."},
		{"mount[].idmap", kindBool, "false", "mounts[].options idmap", "Shows the files through the user namespace's mapping. Where the payload can write to them, the same holds as for `rootfs.idmap`."},
		{"mount[].optional", kindBool, "false", "–", "Skips the mount when source is missing."},
		{"mount[].create", shaped("^(none|(dir|file)(:0*[0-7]{1,4}(:[0-9]+){0,2})?)?$"), `"none"`, "–", "Makes a missing source: dir, file, dir:MODE, dir:MODE:UID:GID; or none."},
		{"mount[].propagation", propagation, `"rprivate"`, "mounts[].options", "How mounts spread."},
		{"mount[].size", kindSize, "", "mounts[].options size=", "Of a tmpfs: 10% of memory unless given. The number of its files is limited by `options = [\"nr_inodes=16k\"]`."},
		{"mount[].mode", kindMode, `"1777"`, "mounts[].options mode=", "Of a tmpfs."},
		{"mount[].lower", kindStrings, "", "mounts[].options lowerdir=", "Lower directories of an overlay, topmost first. These, upper and work must lie where the container's root, an id of its range, gets to."},
		{"mount[].upper", kindString, "", "mounts[].options upperdir=", "Upper directory of an overlay."},
		{"mount[].work", kindString, "", "mounts[].options workdir=", "Work directory of an overlay."},
		{"mount[].fstype", kindString, "", "mounts[].type", "Filesystem of a raw mount; `check` names those that are known."},
		{"mount[].options", kindStrings, "", "mounts[].options", "More mount options. Of every mount: `ro`, `nosuid`, `nodev`, `noexec`, `nodiratime`, `nosymfollow`, `relatime`, `noatime`, `strictatime` and their opposites, each also with an `r` before it, as in `rro`, for the mounts below too; `private`, `slave`, `shared`, `unbindable`, these with an `r` as well. Of all but bind mounts: `sync`, `dirsync`, `lazytime`, `mand` and their opposites, and what the filesystem itself has: a tmpfs `nr_inodes`, `nr_blocks`, `uid`, `gid`, `huge`, `mpol`, `noswap`, `inode32`, `inode64`, `context`, `rootcontext`; an overlay `redirect_dir`, `index`, `uuid`, `nfs_export`, `xino`, `metacopy`, `verity`, `volatile`, `userxattr`, `default_permissions`, `context`; in a user namespace not `noswap`, nor, without `userxattr`, `verity` that is not off; `redirect_dir` that is not nofollow and `metacopy` that is not off go neither in a user namespace nor with `userxattr`. `defaults` stands for nothing; `iversion`, `noiversion`, `silent` and `loud` are accepted and do nothing. Everything else of mount(8) is refused: `remount`, and what says in fstab(5) when and by whom to mount, as `noauto`, `nofail`, `user`, `_netdev`, `x-systemd.automount`. Of contradicting ones the last counts, for the mount itself also one with an r. Every mount is nosuid and nodev, and so are those below a recursive bind, unless suid or dev is here: then those below keep what they have. Without a user namespace a mount with devices made in it, as one on `/dev`, needs dev."},

		{"device[].path", kindString, "", "linux.devices", "Device of the host, of which the container gets a node of its own. Required."},
		{"device[].target", kindString, "path", "linux.devices[].path", "Where, in the container."},
		{"device[].access", kindAccess, `"rw"`, "DeviceAllow=", "Any of r, w, m."},
		{"device[].type", words("c", "b"), "", "linux.devices[].type", "Type of the device. With major and minor it need not be on this host yet."},
		{"device[].major", between(0, 0xfff), "", "linux.devices[].major", "Its major number."},
		{"device[].minor", between(0, 0xfffff), "", "linux.devices[].minor", "Its minor number."},
	}
}

func networkKeys() []Key {
	network := Kind{"string", orPath("none", "host").Schema, parseNetwork, nil}
	return []Key{
		{"network.mode", network, `"none"`, "linux.namespaces", "none: a loopback of its own; host; path:/FILE. Except with none, `/sys` of a container with a user namespace of its own shows the host's interfaces."},
		{"network.hostname", shaped("^[A-Za-z0-9_.%-]*$"), "name", "hostname", "Host name in the container."},
		{"network.domainname", kindString, "", "domainname", "NIS domain name in the container."},
		{"network.allow", kindAddresses, "", "IPAddressAllow=", "Networks the container may talk to though deny has them, its own or its slice's. Alone it restricts nothing: `deny = [\"any\"]` leaves only these."},
		{"network.deny", kindAddresses, "", "IPAddressDeny=", "Networks it may not; allow wins."},
	}
}

func resourceKeys() []Key {
	return []Key{
		{"resources.tasks", kindCount, "see Profiles", "TasksMax=", "Processes and threads."},
		{"resources.memory.max", kindSize, "", "MemoryMax=", "Hard limit: beyond it processes are killed. Of a service, and with profile system, this and other limits are the unit's, above what the container sees of `/sys/fs/cgroup`: what sizes itself by them, as a JVM does, has to be told."},
		{"resources.memory.high", kindSize, "", "MemoryHigh=", "Above it the container is slowed down."},
		{"resources.memory.low", kindSize, "", "MemoryLow=", "Protected as long as others have more; see min."},
		{"resources.memory.min", kindSize, "", "MemoryMin=", "Protected always. What is protected, here and by low, is no more than each slice above the container has of it: sdcontainer.slice, and any other, needs `MemoryMin=` or `MemoryLow=` too (`systemctl set-property`)."},
		{"resources.memory.swap_max", kindSize, "", "MemorySwapMax=", "Swap."},
		{"resources.memory.zswap_max", kindBytes, "", "MemoryZSwapMax=", "Compressed swap; systemd 253."},
		{"resources.memory.oom_policy", words("continue", "stop", "kill"), "", "OOMPolicy=", "When the memory limit kills a process: kill all others too, stop the unit, or continue. Default with profile app: kill."},
		{"resources.memory.managed_oom_pressure", words("auto", "kill"), "", "ManagedOOMMemoryPressure=", "Lets systemd-oomd act on memory pressure."},
		{"resources.memory.managed_oom_swap", words("auto", "kill"), "", "ManagedOOMSwap=", "Lets systemd-oomd act on swap use."},
		{"resources.memory.managed_oom_pressure_limit", kindShare, "", "ManagedOOMMemoryPressureLimit=", "Pressure from which on systemd-oomd acts."},
		{"resources.memory.managed_oom_preference", words("none", "avoid", "omit"), "", "ManagedOOMPreference=", "How willingly systemd-oomd takes this one."},
		{"resources.cpu.quota", kindQuota, "", "CPUQuota=", `CPU time: "150%" is one and a half CPUs. systemd keeps whole percents: a part of one is rounded up, unless there is a burst.`},
		{"resources.cpu.period", kindSpan, "100ms", "CPUQuotaPeriodSec=", "Over which the quota counts."},
		{"resources.cpu.burst", kindSpan, "", "cpu.max.burst", "CPU time saved up and used beyond the quota. In the payload's own cgroup."},
		{"resources.cpu.weight", kindWeight, "100", "CPUWeight=", "Share against others."},
		{"resources.cpu.cpus", kindCPUs, "", "AllowedCPUs=", "CPUs to run on, whatever CPU affinity the caller of run or exec has. Of a service CPUAffinity= says which of them; what is executed in it has those that its first process has then."},
		{"resources.cpu.mems", kindCPUs, "", "AllowedMemoryNodes=", "Memory nodes to use."},
		{"resources.io.weight", kindIOWeight, "100", "IOWeight=", "Share against others."},
		{"resources.io.read_bps", tableOf(kindRate), "", "IOReadBandwidthMax=", `Bytes a second by device: { "/dev/sda" = "20M" }.`},
		{"resources.io.write_bps", tableOf(kindRate), "", "IOWriteBandwidthMax=", "Bytes a second by device."},
		{"resources.io.read_iops", tableOf(between(1, 1<<40)), "", "IOReadIOPSMax=", "Operations a second by device."},
		{"resources.io.write_iops", tableOf(between(1, 1<<40)), "", "IOWriteIOPSMax=", "Operations a second by device."},
		{"resources.io.latency", tableOf(kindSpan), "", "IODeviceLatencyTargetSec=", `Latency target by device: { "/dev/sda" = "25ms" }.`},
		{"resources.hugepages", tableOf(kindBytes), "", "linux.resources.hugepageLimits", `Huge pages by their size: { "2MB" = "64M" }. In the payload's own cgroup.`},
		{"resources.unified", kindTexts, "", "linux.resources.unified", "Any file of cgroup v2 by its name. What systemd cannot express goes to the payload's own cgroup."},
	}
}

func securityKeys() []Key {
	profile := notYet(words(ProfileApp, ProfileSystem), "strict", "privileged")
	return []Key{
		{"security.profile", profile, `"app"`, "–", "app; or system: for a payload that is systemd itself, with a user namespace without id 0 of the host."},
		{"security.seccomp", kindString, `"default"`, "linux.seccomp", "default (refuses ptrace without a user namespace or CAP_SYS_PTRACE), unconfined, or a file with an OCI profile: `linux.seccomp` of a `config.json`, not the format of Docker and Podman, and without `SCMP_ACT_NOTIFY`, `listenerPath` and `listenerMetadata`: calls are for no program to decide."},
		{"security.mask", kindStrings, "", "linux.maskedPaths", "More paths to hide."},
		{"security.unmask", kindStrings, "", "linux.maskedPaths", "Paths of the default lists not to hide or protect."},
		{"security.read_only_paths", kindStrings, "", "linux.readonlyPaths", "More paths to protect. Except with an automatic user namespace, `/proc/dynamic_debug` is one."},
		{"security.sysctl", kindTexts, "", "linux.sysctl", "Kernel settings of the container's own namespaces. In one that is joined, which may not be the host's, they need userns.mode path:/FILE or none."},
		{"security.device_policy", words("closed", "strict", "auto"), `"closed"`, "linux.resources.devices", "closed: the standard devices and [[device]]; strict: [[device]] and `/dev/null`, without which nothing starts; the others of `/dev` are there and cannot be opened, and there is no terminal; auto: all."},
		{"security.personality", words("LINUX", "LINUX32"), "", "linux.personality", "Execution domain: LINUX32 is a 32-bit uname."},
	}
}

func unitKeys() []Key {
	level := Kind{"string", words(Levels()...).Schema, parseLevel, nil}
	return []Key{
		{"systemd.slice", kindString, `"sdcontainer.slice"`, "Slice=", "Slice of the unit."},
		{"systemd.strict", kindBool, "true", "–", "What this machine or this systemd lacks, and a writable idmapped root or mount that other users can reach, is an error; false makes it a warning."},
		{"systemd.notify", notYet(words("started", "container"), "healthy"), `"started"`, "Type=notify", `Who says that the service is ready: we, just before the payload is executed (where the kernel then finds no interpreter or loader, or no program, systemctl start has succeeded and the service ends with 127 or 126), or the container itself, which can then put off the end of its stop timeout too (SECURITY.md); "container" needs a user namespace without id 0 of the host. WatchdogSec= in systemd.service goes with it: the payload has WATCHDOG_USEC and says WATCHDOG=1 (sd_watchdog_enabled(3)). One that falls silent gets SIGABRT, which process 1 of a namespace only hears with a handler, and after the stop timeout SIGKILL.`},
		{"systemd.stop_timeout", kindSpan, "10s", "TimeoutStopSec=", "After it, what has not stopped is killed."},
		{"systemd.runtime_max", kindSpan, "infinity", "RuntimeMaxSec=", "After it the container is stopped."},
		{"systemd.restart", words("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"), `"no"`, "Restart=", "For services."},
		{"systemd.restart_delay", kindSpan, "100ms", "RestartSec=", "For services."},
		{"systemd.start_limit", shaped("^0*[1-9][0-9]*/(" + reSpan + "|infinity)$"), "", "StartLimitBurst=, StartLimitIntervalSec=", `Starts in a time, for services: "5/10s".`},
		{"systemd.start_timeout", kindSpan, "", "TimeoutStartSec=", "For services; 0 and infinity are none."},
		{"systemd.wanted_by", kindStrings, `["multi-user.target"]`, "WantedBy=", "For services."},
		{"systemd.after", kindStrings, "", "After=", "For services."},
		{"systemd.wants", kindStrings, "", "Wants=", "For services."},
		{"systemd.requires", kindStrings, "", "Requires=", "For services."},
		{"systemd.before", kindStrings, "", "Before=", "For services."},
		{"systemd.binds_to", kindStrings, "", "BindsTo=", "For services."},
		{"systemd.part_of", kindStrings, "", "PartOf=", "For services."},
		{"systemd.conflicts", kindStrings, "", "Conflicts=", "For services."},
		{"systemd.unit", kindDirectives, "", "[Unit]", "Directives, for services, as in systemd.service."},
		{"systemd.service", kindDirectives, "", "[Service]", "Directives, for services: those that systemd up to 257 knows there, and X-NAME. Another one that looks like one of them, or is one of another section, is an error, as systemd would ignore it; `systemd.strict = false` makes that a warning of check and a comment in the unit, as it always is of other names, which a newer systemd may have. A value that systemd would ignore is an error too, and with `systemd.strict = false` one of a fixed set of words may be another, as a newer systemd may take it. So may port 0 in SocketBind*= and a name of over 15 letters in RestrictNetworkInterfaces=, which 252 ignores. Left to systemd are entries of lists with quotes or backslashes, specifiers in names and paths (no number, size or fixed word has any), the values of Exec*=, SystemCallLog=, ImportCredential=, LogFilterPatterns= and DefaultInstance=, and of conditions that are not about paths: `systemd-analyze verify` tells of most. Variables of the service reach the payload by process.env_pass alone: without it, and without an Exec*= that could use them, they are refused."},
		{"systemd.install", kindDirectives, "", "[Install]", "Directives, for services, as in systemd.service."},
		{"systemd.scope", kindProperties, "", "any property", "Any property of the unit by its D-Bus name, in GVariant text where TOML is not enough. A scope requires none of the mounts it was made of, as a service does: with `RequiresMountsFor` a shutdown unmounts those only when it has ended."},

		{"log.driver", notYet(words("journald", "passthrough", "none"), "k8s-file"), `"journald"`, "–", "Where output goes without a terminal: journald, passthrough (the command's own output, which must be no terminal; of a service that of its StandardOutput= and StandardError=), none. With journald /dev/stdout and /dev/stderr are sockets: they are written to, but cannot be opened by these names (ENXIO), as a log file that is a link to one of them would be."},
		{"log.identifier", kindString, "name", "SYSLOG_IDENTIFIER=", "Name of the lines."},
		{"log.stdout_level", level, `"info"`, "PRIORITY=", "Level of standard output."},
		{"log.stderr_level", level, `"err"`, "PRIORITY=", "Level of standard error."},
		{"log.level_prefix", kindBool, "false", "SyslogLevelPrefix=", "Lines may begin with `<N>`, a priority as in sd-daemon(3); `<0>` reaches every terminal of the machine, as it is."},
		{"log.fields", kindTexts, "", "LogExtraFields=", "Further journal fields, for services."},
	}
}

// later has the keys that a coming version will know, with what to do until then.
var later = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"image": "use rootfs.path", "process.entrypoint": "use process.args, which is the whole command", "process.stdin": "run -i gives the payload its own",
		"process.reload_signal": "use systemd.service ExecReload", "process.reload_cmd": "use systemd.service ExecReload",
		"userns.subid_owner": "", "mount[].relabel": "", "device[].cdi": "", "network.dns_search": "mount a resolv.conf", "network.hosts": "mount a hosts file",
		"systemd.kill_mode": "use systemd.service KillMode", "systemd.conditions": "use systemd.unit ConditionPathExists and the like",
		"log.level_max": "use systemd.service LogLevelMax", "log.rate_burst": "use systemd.service LogRateLimitBurst",
		"log.rate_interval": "use systemd.service LogRateLimitIntervalSec", "log.namespace": "use systemd.service LogNamespace and `journalctl --namespace`",
		"log.path": `use log.driver = "passthrough" and systemd.service StandardOutput`, "log.max_size": "",
		"health": "use systemd.notify or a timer", "update": "",
		"socket":     "have a .socket unit start systemd-socket-proxyd, which connects to a socket of the payload in a mounted directory",
		"credential": "mount the file, in a user namespace with mount.idmap (systemd.service LoadCredential may make a ramfs, which has none)",
		"hooks":      "", "checkpoint": "", "extends": "use drop-ins in NAME.toml.d/",
		"oci": "", "labels": "", "annotations": "",
		"network.publish": `use network.mode "host" or "path:/FILE"`, "network.dns": "mount a resolv.conf", "network.devices": "", "network.address": "",
		"network.aliases": "", "network.mac": "", "systemd.type": "services are Type=notify", "systemd.delegate": "it is always on", "rootfs.overlay": `use a [[mount]] of type "overlay"`, "rootfs.overlay_size": "",
		"security.apparmor": "", "security.selinux": "", "systemd.watchdog": `use systemd.service WatchdogSec, with systemd.notify = "container"`,
		"namespaces.join": "use namespaces.* = \"path:/proc/PID/ns/...\"",
	}
})

func parseVersion(v any) (any, error) {
	if n, ok := v.(int64); ok && n == 1 {
		return n, nil
	}
	return nil, errors.New("1")
}
