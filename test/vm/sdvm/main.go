// SPDX-License-Identifier: Apache-2.0

// Command sdvm drives the test guests from the host:
//
//	sdvm build [RELEASE...]      make the images that are missing
//	sdvm dir RELEASE             where an image is that has been made
//	sdvm run RELEASE [-push SRC=DST]... -- COMMAND...
//	                             one command in a fresh guest, with its exit code
//	sdvm shell RELEASE [-push SRC=DST]...
//	                             an interactive shell
//
// RELEASE is a Debian release: 12 or 13. A file or directory given with -push
// is copied into the guest first. The Makefile is its usual caller.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// usageText is what a command line that makes no sense is answered with.
const usageText = "usage: sdvm build [RELEASE...] | sdvm dir RELEASE | sdvm run RELEASE [-push SRC=DST]... -- COMMAND... | sdvm shell RELEASE [-push SRC=DST]..."

// errUsage is shown as usageText.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code, err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, usageText)
	case err != nil:
		fmt.Fprintln(os.Stderr, "sdvm:", err)
		code = 125
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 2, errUsage
	}
	switch verb, args := args[0], args[1:]; verb {
	case "build":
		return 0, build(ctx, args)
	case "dir":
		return directory(args)
	case "run", "shell":
		return enter(ctx, verb == "shell", args)
	default:
		return 2, errUsage
	}
}

// build makes all missing images at the same time.
func build(ctx context.Context, releases []string) error {
	if len(releases) == 0 {
		releases = sdtest.Releases
	}
	errs := make([]error, len(releases))
	var all sync.WaitGroup
	for i, release := range releases {
		if _, ok, err := sdtest.FindImage(release); ok || err != nil {
			errs[i] = err
			continue
		}
		all.Go(func() {
			fmt.Fprintf(os.Stderr, "building the guest of Debian %s ...\n", release)
			start := time.Now()
			if _, errs[i] = sdtest.EnsureImage(ctx, release, os.Stderr); errs[i] == nil {
				fmt.Fprintf(os.Stderr, "built the guest of Debian %s in %.0f s\n", release, time.Since(start).Seconds())
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// directory prints where an image is.
func directory(args []string) (int, error) {
	if len(args) != 1 {
		return 2, errUsage
	}
	image, ok, err := sdtest.FindImage(args[0])
	if err == nil && !ok {
		err = fmt.Errorf("%s has not been built: sdvm build %s", image.Dir, args[0])
	}
	if err != nil {
		return 1, err
	}
	_, err = fmt.Println(image.Dir)
	return 0, err
}

// pushes collects the -push flags.
type pushes []sdtest.Push

func (p *pushes) String() string { return fmt.Sprint(*p) }

func (p *pushes) Set(text string) error {
	src, dst, ok := strings.Cut(text, "=")
	if !ok || src == "" || !strings.HasPrefix(dst, "/") {
		return fmt.Errorf("%q: want SRC=/ABSOLUTE/DST", text)
	}
	if _, err := os.Stat(src); err != nil {
		return err
	}
	*p = append(*p, sdtest.Push{Src: src, Dst: dst})
	return nil
}

// enter boots a guest and runs one command or a shell in it.
func enter(ctx context.Context, shell bool, args []string) (code int, err error) {
	if len(args) == 0 || !slices.Contains(sdtest.Releases, args[0]) {
		return 2, errUsage
	}
	release := args[0]
	flags := flag.NewFlagSet("sdvm", flag.ContinueOnError)
	var push pushes
	flags.Var(&push, "push", "copy `SRC=DST` into the guest first")
	limit := flags.Duration("timeout", time.Hour, "kill the guest after this `time`")
	if err := flags.Parse(args[1:]); err != nil {
		return 2, err
	}
	cmd := flags.Args()
	if shell {
		cmd = []string{"/bin/bash", "--login"}
	}
	if len(cmd) == 0 {
		return 2, errUsage
	}
	vm, err := sdtest.BootVM(ctx, release, os.Stderr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	fmt.Fprintf(os.Stderr, "Debian %s booted in %.1f s (%s)\n", release, vm.Booted.Seconds(), vm.Accel)
	if err := vm.Push(ctx, push...); err != nil {
		return 0, err
	}
	if shell {
		return interact(ctx, vm, cmd)
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	var in io.Reader
	if !term.IsTerminal(0) {
		in = os.Stdin
	}
	return vm.Exec(ctx, sdtest.Command{Request: wire.Request{Args: cmd}, Stdin: in, Stdout: os.Stdout, Stderr: os.Stderr})
}

// interact connects our terminal with one in the guest.
func interact(ctx context.Context, vm *sdtest.VM, args []string) (int, error) {
	c := sdtest.Command{
		Request: wire.Request{Args: args, TTY: true, Dir: "/root", Env: []string{"TERM=" + os.Getenv("TERM"), "SYSTEMD_PAGER="}},
		Stdin:   os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if term.IsTerminal(0) {
		if cols, rows, err := term.GetSize(0); err == nil {
			c.Rows, c.Cols = uint16(rows), uint16(cols)
		}
		old, err := term.MakeRaw(0)
		if err != nil {
			return 0, err
		}
		defer term.Restore(0, old)
		resized, stop := sizes()
		defer stop()
		c.Resized = resized
	}
	return vm.Exec(ctx, c)
}

// sizes reports each new size of our terminal.
func sizes() (<-chan wire.Size, func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	out := make(chan wire.Size)
	go func() {
		for range changed {
			if cols, rows, err := term.GetSize(0); err == nil {
				out <- wire.Size{Rows: uint16(rows), Cols: uint16(cols)}
			}
		}
	}()
	return out, func() { signal.Stop(changed) }
}
