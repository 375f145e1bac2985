package main

import (
	"fmt"
	"os"

	sd "github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func init() {
	if os.Args[1] == "explain" {
		spec, err := configs.Load(os.Args[2], configs.LoadOptions{})
		if err == nil {
			var x *sd.Explanation
			if x, err = sd.Explain(spec); err == nil {
				err = x.WriteText(os.Stdout)
			}
		}
		fmt.Println(err)
		os.Exit(0)
	}
}
