// SPDX-License-Identifier: Apache-2.0

// Package configs turns what people write (TOML, or an OCI bundle) into the one
// description the rest of the program works on: a [specs.Spec] with annotations.
//
// [Load] compiles a TOML file and its drop-ins, [Find] finds that of a name, [Check] lists everything that is wrong with
// one, [SettingsOf] and [Settings.Annotate] read and write what the Spec cannot say,
// [Validate] looks at any Spec. What it asks of the host is what a configuration names: its files and
// drop-ins, environment and seccomp files, device nodes, the caller's variables, and what
// specifiers stand for, such as the host's name. It changes nothing and knows nothing of
// programs, units or running containers.
package configs

//go:generate go run ./gen ..
