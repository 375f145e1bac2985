// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Run a container in the foreground and report how it ended.
func Example() {
	ctx := context.Background()
	spec, err := configs.Load("/etc/sdcontainer/hello.toml", configs.LoadOptions{})
	if err != nil {
		log.Fatal(err) // every problem of the file, each with its line
	}
	rt := &sdcontainer.Runtime{}
	c, err := rt.Create(ctx, "hello", spec, sdcontainer.CreateOptions{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	exit, err := c.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exit)
	if err := c.Destroy(ctx, false); err != nil {
		log.Fatal(err)
	}
}

// Start a container that outlives this process. Cleanup is the program its
// keeper becomes at the end: it has to call [sdcontainer.Runtime.Cleanup].
func ExampleCreateOptions_detached() {
	ctx := context.Background()
	spec, err := configs.FromRootfs("web", "/var/lib/machines/web", []string{"/usr/bin/webd"})
	if err != nil {
		log.Fatal(err)
	}
	rt := &sdcontainer.Runtime{}
	c, err := rt.Create(ctx, "web", spec, sdcontainer.CreateOptions{
		Detach:  true,
		Cleanup: []string{"/usr/bin/sdcontainer", "cleanup", "--run-dir", sdcontainer.DefaultDir},
	})
	if errors.Is(err, sdcontainer.ErrExist) {
		log.Fatal("it runs already")
	}
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
}

// Find a container that another process started, run a command in it and stop it.
func ExampleRuntime_Load() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	p, err := c.Exec(ctx, &specs.Process{Args: []string{"nginx", "-t"}}, sdcontainer.ProcessOptions{Stderr: os.Stderr})
	if err != nil {
		log.Fatal(err)
	}
	if e, err := p.Wait(ctx); err != nil || e.Code != 0 {
		log.Fatal(e, err)
	}
	if err := c.Stop(ctx, -1); err != nil {
		log.Fatal(err)
	}
}

// Change a limit while the container runs. systemd keeps it over daemon-reload.
func ExampleContainer_Update() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	limit := int64(1 << 30)
	err = c.Update(context.Background(), &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}, nil)
	if err != nil {
		log.Fatal(err)
	}
}

// Say what a configuration would become, without doing any of it.
func ExampleExplain() {
	spec, err := configs.Load("/etc/sdcontainer/hello.toml", configs.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	x, err := sdcontainer.Explain("", spec, unitgen.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := x.WriteText(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
