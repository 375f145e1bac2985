// SPDX-License-Identifier: Apache-2.0

package unitgen_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Make a configuration a service, for the systemd that runs, and start it.
func ExampleInstall() {
	ctx := context.Background()
	spec, err := configs.Load("/etc/sdcontainer/web.toml", configs.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	settings, err := configs.SettingsOf(spec)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := scope.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	version, err := conn.Version(ctx)
	if err != nil {
		log.Fatal(err)
	}
	path, err := unitgen.Install(ctx, unitgen.Dir, spec, settings, unitgen.Options{Version: version, Running: true})
	if errors.Is(err, unitgen.ErrNotOurs) {
		log.Fatal(err, ": move it away first")
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("wrote", path)
	if unitgen.Wanted(settings) {
		if err := unitgen.Enable(ctx, settings.Name); err != nil {
			log.Fatal(err)
		}
	}
	if err := unitgen.Start(ctx, settings.Name); err != nil {
		log.Fatal(err)
	}
}

// Stop services and remove their unit files.
func ExampleRemove() {
	removed, err := unitgen.Remove(context.Background(), unitgen.Dir, "web", "db")
	for _, path := range removed {
		fmt.Println("removed", path)
	}
	if err != nil {
		log.Fatal(err) // an unknown one keeps nobody from the rest
	}
}
