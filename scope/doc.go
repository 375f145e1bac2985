// SPDX-License-Identifier: Apache-2.0

// Package scope makes a container's cgroup as a systemd unit.
//
// [Plan] is pure: it turns a Spec into one [Unit] with every limit as a property.
// [Conn] talks to the manager: it starts the unit in one call and waits for the job,
// changes, freezes, kills and stops it. The rest reads the unit's cgroup, and makes
// the payload's sub-cgroup for what systemd cannot express.
//
// Of a cgroup that systemd made it writes only cgroup.subtree_control, to hand controllers down to
// the payload's, and where the container makes cgroups of its own, whose that is and how many they
// may be ([Hand]). The module root and unitgen (the property table) call it.
package scope
