// SPDX-License-Identifier: Apache-2.0

package configs

import "time"

// Settings is what a container has and [specs.Spec] cannot say. It travels in
// the Spec's annotations: [Settings.Annotate] writes them, [SettingsOf] reads
// them, and nothing else knows their keys.
type Settings struct {
	// Name is the container's ID.
	Name        string
	Description string
	// Source is the file the container was compiled from, for messages and SourcePath=.
	Source string

	// Profile is "app" or "system".
	Profile string
	// Strict makes an unsupported systemd property an error; otherwise it is a warning.
	Strict bool

	// Slice is the unit's slice, "sdcontainer.slice" by default.
	Slice string
	// UnitProperties are org.systemd.property.NAME annotations: systemd's own
	// property names with values as GVariant text, e.g. "uint64 5" or "'kill'".
	UnitProperties map[string]string
	// PropertyKeys are the keys behind unit properties where neither their names nor the Spec tell: by the name of one of
	// UnitProperties, or by the field of the Spec that it comes from. Only explanations read it.
	PropertyKeys map[string][]string

	// Seccomp is "default" (the built-in filter), "unconfined", or "" when the Spec
	// itself says: then linux.seccomp is all there is.
	Seccomp string

	// AutoUserns asks for an automatic user namespace range of that many ids;
	// the Spec then has a user namespace and no mappings.
	AutoUserns uint32
	// IdmapRootfs mounts the rootfs through the user namespace's mapping.
	IdmapRootfs bool

	// Init runs the payload under a reaping pid 1.
	Init bool
	// StopSignal ("SIGTERM") is sent by stop; StopTimeout later everything is killed, if that is not the longest of all.
	StopSignal  string
	StopTimeout time.Duration
	// ParentDeathSignal is what the payload gets when a foreground run dies, "" SIGKILL.
	ParentDeathSignal string

	Log LogSettings

	// Notify is "started" (ready when the payload is about to be executed) or "container"
	// (the payload says READY=1 itself). For services.
	Notify string
	// Unit and Service are directives for the [Unit] and [Service] sections of the unit file,
	// Install for [Install], by systemd's names: Restart, After, WantedBy.
	Unit, Service, Install map[string][]string
}

// LogSettings says where the payload's output goes when nobody holds a terminal.
type LogSettings struct {
	Driver      string // "journald" (default), "passthrough", "none"
	Identifier  string // SYSLOG_IDENTIFIER, the name by default
	StdoutLevel int    // syslog priority, 6
	StderrLevel int    // 3
	LevelPrefix bool   // a line may begin with "<N>", its own priority
	Fields      map[string]string
}
