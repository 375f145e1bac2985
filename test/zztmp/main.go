package main

import (
	"context"
	"fmt"
	"os"
	"time"

	sd "github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func main() {
	rt := &sd.Runtime{Warn: func(m string) { fmt.Fprintln(os.Stderr, "warning:", m) }}
	ctx := context.Background()
	if os.Args[1] == "cleanup" {
		if err := rt.Cleanup(ctx, os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("CLEANUP", err)
		}
		return
	}
	spec, err := configs.Load(os.Args[1], configs.LoadOptions{})
	if err != nil {
		fmt.Println(err)
		os.Exit(125)
	}
	s, _ := configs.SettingsOf(spec)
	start := time.Now()
	det := len(os.Args) > 2
	exe, _ := os.Executable()
	o := sd.CreateOptions{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Detach: det, Cleanup: []string{exe, "cleanup"}, Timing: func(p string, t time.Time) { fmt.Fprintf(os.Stderr, "%-8s %v\n", p, t.Sub(start)) }}
	c, err := rt.Create(ctx, s.Name, spec, o)
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		fmt.Println("ERROR", err)
		os.Exit(125)
	}
	e, err := c.Wait(ctx)
	fmt.Println(e, err)
	st, err := rt.Load(s.Name)
	if err == nil {
		fmt.Println(st.State())
	}
}
