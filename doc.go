// SPDX-License-Identifier: Apache-2.0

// Package sdcontainer runs containers as systemd units.
//
// There is no daemon. A container is described by a [specs.Spec] with a few
// annotations (package configs compiles TOML to it). [Runtime.Create] compiles the
// Spec into one StartTransientUnit call and three programs of kernel calls for a small
// interpreter: the first makes the namespaces, the second their content while systemd
// makes the scope, the third leads up to the payload, which [Container.Start]
// executes. systemd holds the limits, the journal has the output, and /run/sdcontainer
// has one directory of records for each container. [Runtime.Load] and [Runtime.List]
// find those of other processes, [Runtime.Logs] what they wrote; package unitgen makes
// services of configurations.
//
//	rt := &sdcontainer.Runtime{}
//	c, err := rt.Create(ctx, "web", spec, sdcontainer.CreateOptions{})
//	...
//	err = c.Start(ctx)
//	exit, err := c.Wait(ctx)
//	err = c.Destroy(ctx, false)
//
// What the package does not do: fetch images, set up networks, restart
// anything (that is the unit's business), or parse command lines.
//
// [specs.Spec]: https://pkg.go.dev/github.com/opencontainers/runtime-spec/specs-go#Spec
package sdcontainer

//go:generate go test . -run ^(TestOrderingPage|TestExplainExamples)$ -update
