// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Run a container in the foreground and report how it ended.
func Example() {
	ctx := context.Background()
	spec, err := configs.Load("/etc/sdcontainer/hello.toml", configs.LoadOptions{})
	if err != nil {
		log.Fatal(err) // every problem of the file, each with its line
	}
	output, theirs, err := os.Pipe() // os.Stdout may be a terminal, which no payload gets
	if err != nil {
		log.Fatal(err)
	}
	rt := &sdcontainer.Runtime{}
	c, err := rt.Create(ctx, "hello", spec, sdcontainer.CreateOptions{Stdout: theirs, Stderr: theirs})
	if err != nil {
		log.Fatal(err)
	}
	theirs.Close() // the payload has its own: the pipe ends with it
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, output); err != nil {
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

// Start a container from an OCI bundle. No verb of the command takes one: that is for callers of the library.
func ExampleRuntime_Create_bundle() {
	ctx := context.Background()
	spec, err := configs.LoadBundle("/srv/bundles/hello") // its config.json; a relative root starts there
	if err != nil {
		log.Fatal(err) // all that is wrong with it, or not supported
	}
	rt := &sdcontainer.Runtime{}
	c, err := rt.Create(ctx, "hello", spec, sdcontainer.CreateOptions{}) // its output goes to the journal
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		log.Fatal(err)
	}
	// Wait and Destroy follow, as in the package's example.
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
	p, err := c.Exec(ctx, &specs.Process{Args: []string{"nginx", "-t"}}, sdcontainer.ExecOptions{}) // only its exit status counts
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

// Change limits as people write them, and say what came of them.
func ExampleContainer_Update_text() {
	ctx := context.Background()
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	limits := map[string]string{}
	for name, text := range map[string]string{"MemoryMax": "512M", "MemoryHigh": "40%", "TasksMax": "100"} {
		property, value, err := scope.LimitProperty(name, text)
		if err != nil {
			log.Fatalf("%s %v", name, err) // MemoryMax "512X": want a size like ...
		}
		limits[property] = value
	}
	if err := c.Update(ctx, nil, limits); err != nil {
		log.Fatal(err)
	}
	now, err := c.Properties(ctx, "MemoryMax", "MemoryHigh", "MemoryCurrent")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(now["MemoryCurrent"], "of", now["MemoryMax"], "bytes, slowed above", now["MemoryHigh"])
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

// Have a server read its configuration again.
func ExampleContainer_Signal() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	const all = false // only the payload's first process
	err = c.Signal(context.Background(), unix.SIGHUP, all)
	if errors.Is(err, sdcontainer.ErrNotRunning) {
		log.Fatal("it has ended")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Keep a container still while its files are copied.
func ExampleContainer_Pause() {
	ctx := context.Background()
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Pause(ctx); err != nil {
		log.Fatal(err)
	}
	copied := os.CopyFS("/var/backups/web", os.DirFS("/srv/web"))
	if err := errors.Join(copied, c.Resume(ctx)); err != nil {
		log.Fatal(err)
	}
}

// Let a container go on that another process may have paused.
func ExampleContainer_Resume() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Resume(context.Background()); err != nil && !errors.Is(err, sdcontainer.ErrNotPaused) {
		log.Fatal(err)
	}
}

// Measure how much of a CPU a container takes: its time is a counter, so that takes two readings.
func ExampleContainer_Stats() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	before, err := c.Stats()
	if err != nil {
		log.Fatal(err)
	}
	time.Sleep(time.Second)
	now, err := c.Stats()
	if err != nil {
		log.Fatal(err)
	}
	share := float64(now.CPU.Usage-before.CPU.Usage) / float64(now.At.Sub(before.At))
	fmt.Printf("%.0f%% of a CPU, %d bytes, %d tasks\n", 100*share, now.Memory.Current, now.Tasks.Current)
}

// Say whether a container runs, or how it ended.
func ExampleContainer_State() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	st, err := c.State()
	switch {
	case err != nil:
		log.Fatal(err)
	case st.Status != sdcontainer.Stopped:
		fmt.Println(st.Status, "as process", st.Pid, "in", st.Unit)
	case st.Exit != nil:
		fmt.Println("ended with", st.Exit.Code, "at", st.Exit.At)
	case st.ExitUnknown:
		fmt.Println("ended, and nobody saw how")
	default:
		fmt.Println("ending")
	}
}

// Print all containers. The others are there although a record cannot be read.
func ExampleRuntime_List() {
	rt := &sdcontainer.Runtime{}
	list, err := rt.List()
	if err != nil {
		log.Print(err)
	}
	for _, c := range list {
		st, err := c.State()
		if errors.Is(err, sdcontainer.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(st.ID, st.Status, st.Unit)
	}
}

// Find a container by what systemd calls it.
func ExampleRuntime_LoadUnit() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.LoadUnit("sdcontainer@web.service")
	if errors.Is(err, sdcontainer.ErrNotExist) {
		log.Fatal("it does not run, or is no container")
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.ID())
}

// Print the last ten lines of a container and those that come, until it ends.
func ExampleRuntime_Logs() {
	rt := &sdcontainer.Runtime{Warn: func(msg string) { log.Print(msg) }}
	for e, err := range rt.Logs(context.Background(), "web", sdcontainer.LogOptions{Last: 10, Follow: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s <%d> %q\n", e.Time.Format(time.RFC3339), e.Level, e.Message)
	}
}

// Find the process of a container that takes the most memory, by its number on the host and in the container.
func ExampleContainer_Top() {
	rt := &sdcontainer.Runtime{}
	c, err := rt.Load("web")
	if err != nil {
		log.Fatal(err)
	}
	procs, err := c.Top()
	if err != nil {
		log.Fatal(err)
	}
	if len(procs) > 0 {
		p := slices.MaxFunc(procs, func(a, b sdcontainer.ProcessInfo) int { return cmp.Compare(a.Memory, b.Memory) })
		fmt.Printf("%d (%d inside) %d bytes %q\n", p.Pid, p.Inside, p.Memory, p.Command)
	}
}
