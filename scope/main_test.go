// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"os"
	"os/exec"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/fakesystemd"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }

// sleeper is a process that does nothing until the test ends.
func sleeper(t testing.TB) uint32 {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been killed
		_ = cmd.Wait()         // by whatever
	})
	return uint32(cmd.Process.Pid)
}

func dialTest(t testing.TB) *Conn {
	t.Helper()
	c, err := Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// startTest starts the unit of a container with these resources and a sleeper in it.
func startTest(t testing.TB, c *Conn, name string, r *specs.LinuxResources) (Unit, uint32) {
	t.Helper()
	u, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: r}}, configs.Settings{Name: name, StopTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	pid := sleeper(t)
	job, err := c.Start(t.Context(), u, pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return u, pid
}

// dialFake connects to a fake manager.
func dialFake(t testing.TB, m *fakesystemd.Manager) *Conn {
	t.Helper()
	c, err := dial(t.Context(), []address{{m.Path, true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
