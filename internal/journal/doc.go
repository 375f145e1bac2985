// SPDX-License-Identifier: Apache-2.0

// Package journal writes to systemd's journal and reads it back, and talks sd_notify.
//
// [Stream] gives a payload a standard output that is the journal itself: no process
// copies lines. [Send] writes one structured entry. [Read] runs journalctl, which
// knows every file format and permission. [Notify] tells the service manager
// about readiness and the main process.
package journal
