// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"testing"
)

// TestPowerOffIsNotForOurOwn refuses a process that came out in our own PID namespace.
func TestPowerOffIsNotForOurOwn(t *testing.T) {
	init, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c := &Container{st: &record{Init: init}}
	if err := c.inPIDNamespace(os.Getpid()); !errors.Is(err, ErrAttest) {
		t.Errorf("%v, want ErrAttest", err)
	}
}
