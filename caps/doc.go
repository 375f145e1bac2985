// SPDX-License-Identifier: Apache-2.0

// Package caps plans who the payload is: user, groups, capabilities, limits,
// scheduling and environment. It turns a [specs.Process] into the steps of an
// nsexec program between the gate and exec, and makes no system call itself.
//
// [Resolve] finds the user in the container's own files, [Plan] checks the
// process, [Payload.Enter] adds the steps in their one right order. What the parent
// does from outside is returned as values: [Payload.Rlimits], [Payload.OOMScoreAdj],
// [Payload.Scheduler], [Payload.IOPriority].
package caps
