// SPDX-License-Identifier: Apache-2.0

// Package unitgen writes systemd unit files for configurations: a whole service, or the
// drop-in of an instance of the template sdcontainer@.service. [Install] and [Remove]
// write and remove the files and have systemd read them; the rest only computes text. Limits
// are those of [scope.Plan], spelt as unit files spell them, so that a container
// has the same ones as a scope and as a service.
//
// Every value that comes from a configuration is escaped so that it is one value
// of one directive, and reads back as what it was; what cannot be written at all
// (control characters, text that is not UTF-8) is an [InvalidValueError].
package unitgen
