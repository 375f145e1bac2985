// SPDX-License-Identifier: Apache-2.0

package main

// serviceName is the unit of a container that runs as an instance of the template.
func serviceName(name string) string { return "sdcontainer@" + name + ".service" }
