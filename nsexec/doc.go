// SPDX-License-Identifier: Apache-2.0

// Package nsexec assembles programs of kernel calls and has them executed by a
// small C interpreter inside a container's namespaces.
//
// A [Program] is a flat list of steps. Planners (packages rootfs and caps) add
// steps through typed builders; Encode turns the list into bytes; the interpreter,
// started by [Start] from a sealed memfd, validates and runs them. Go decides every order
// and policy; C only executes. The package knows nothing of containers' configuration.
//
// A launcher talks to the processes through a [Conn]: Send a program, take events
// from Next, Answer those that wait. The picture of the conversation is at the head of
// wire.go and of nsexec.h. What fails is a [*StepError], named by the builder's
// caller through [Program.At].
package nsexec
