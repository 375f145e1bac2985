package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func main() {
	ctx := context.Background()
	s, err := sdtest.Boot(ctx, sdtest.BootOptions{Rootfs: os.Args[1]})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer s.Close()
	fmt.Println("booted", s.Took)
	for _, f := range os.Args[3:] {
		exec.Command("cp", "-r", f, s.Share).Run()
	}
	c := s.Command(ctx, "sh", "-c", "cd /run/host/sdtest; "+os.Args[2])
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	fmt.Println(c.Run())
}
