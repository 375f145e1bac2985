// SPDX-License-Identifier: Apache-2.0

// Package rootfs plans what a container sees as "/": mounts, devices, console,
// kernel settings, masks and the change of root. It turns a [specs.Spec] into
// the steps of an nsexec program and makes no system call itself.
//
// [Binds] says what the parent must look at before, [Plan] compiles the program,
// [World.Sources] are the mounts the parent opens and sends with it. Nothing below
// the root is ever named by a path twice: every step works on a descriptor that
// an earlier one opened inside the root.
package rootfs
