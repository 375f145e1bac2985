// SPDX-License-Identifier: Apache-2.0

// Package seccomp turns an OCI seccomp profile into the classic BPF program
// seccomp(2) takes. It only computes: it loads no filter and reads no file. The
// launcher calls [Compile] and hands the bytes to the nsexec program.
//
// What a profile means, where the OCI specification leaves it open:
//
//   - The conditions of one rule must all hold, also when two are about the same
//     argument. Values are compared as 64 bits. (Registers may carry rubbish above
//     an int argument: profiles that mean an int use SCMP_CMP_MASKED_EQ.)
//   - Rules for one system call: one with conditions that match beats one without
//     conditions, and among equals the strictest action wins, in the kernel's order
//     (kill process, kill thread, trap, errno, trace, log, allow); with the same
//     action the first. So an explicit refusal is never undone by a broad permission.
//   - Where the default action refuses, a number above the highest one the profile
//     names gets ENOSYS: the author cannot have known that system call, and C
//     libraries fall back on ENOSYS only.
//   - The native architecture always counts as listed. A foreign one that is not
//     listed kills the process; the x32 bit, not listed, gives ENOSYS.
//   - A name unknown here is skipped where the default action refuses, or is no laxer
//     than the rule; otherwise the profile would be weaker than written, and that is
//     an [UnknownSyscallError].
package seccomp

//go:generate go run gen.go
