// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// An ending is what wait tells of a container, by the names that inspect has for it.
type ending struct {
	ID          string            `json:"id"`
	Exit        *sdcontainer.Exit `json:"exit,omitempty"`
	ExitUnknown bool              `json:"exitUnknown,omitempty"`
}

func (a *app) wait() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "wait [flags] NAME...",
		Short: "Wait for containers to end and print their exit codes",
		Long: `Waits until each container has ended and prints its exit code, one a line in the
order given; "unknown" when nobody was there to see it. Of a service that has ended
already its unit's name, sdcontainer@NAME.service, asks for what systemd remembers:
of one that failed, until it starts again.

--format json prints, when all have ended, an array with an object for each: id, and exit
with code, signal if one ended it, oomKilled if processes of it were killed for want of
memory, managedOOM if it was systemd-oomd that did, and at, the time; exitUnknown instead
of exit when nobody was there to see it. A Go template sees them as ID, Exit (Code, Signal,
OOMKilled, ManagedOOM, At) and ExitUnknown; {{.Exit}} alone is how it ended in words. All
are inspect's too, but wait has them also of a container that is removed as it ends.

The exit status is the first code that is not 0; 125 when one is unknown or
sdcontainer failed, 124 when something did not answer it in time.`,
		Example: `  sdcontainer wait job
  code=$(sdcontainer wait job)
  sdcontainer wait sdcontainer@web.service
  sdcontainer wait --format json job
  sdcontainer wait --format '{{.ID}}: {{with .Exit}}{{.Code}} {{.OOMKilled}} {{.At}}{{else}}unknown{{end}}' job`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormatOf[ending](format, "code", "json"); err != nil {
				return err
			}
			endings := []ending{}
			var errs []error
			for _, name := range args {
				e, err := a.waitFor(cmd.Context(), name)
				errs = append(errs, err)
				if err != nil && !e.ExitUnknown {
					continue
				}
				endings = append(endings, e)
				if format == "code" {
					errs = append(errs, a.printCode(e))
				}
			}
			err := errors.Join(errs...)
			switch format {
			case "code":
				return err
			case "json":
				return errors.Join(a.writeJSON(endings), err)
			}
			return errors.Join(writeTemplate(a, format, endings), err)
		},
	}
	formatFlag(cmd, &format, "code", "json")
	return cmd
}

// waitFor returns how a container ended, and takes over its code. Errors: ErrExitUnknown, with an ending
// that says so too.
func (a *app) waitFor(ctx context.Context, name string) (ending, error) {
	e := ending{ID: name}
	exit, err := a.exit(ctx, &e)
	if err != nil {
		e.ExitUnknown = errors.Is(err, sdcontainer.ErrExitUnknown)
		return e, err
	}
	e.Exit = &exit
	if a.code == 0 {
		a.code = exit.Code
	}
	return e, nil
}

// exit waits for the container that e names. What systemd knows of a service that has ended is asked here, and not in
// load: for the other verbs that is no container. Only its unit's name asks for it: a mere name may be that of a scope
// that has ended since. A service has its record in the default directory.
func (a *app) exit(ctx context.Context, e *ending) (sdcontainer.Exit, error) {
	c, err := a.load(ctx, e.ID)
	if err == nil {
		e.ID = c.ID()
		return c.Wait(ctx)
	}
	name := unitgen.InstanceName(e.ID)
	if name != "" && errors.Is(err, sdcontainer.ErrNotExist) && a.rt.Dir == sdcontainer.DefaultDir {
		if exit, none := a.rt.ServiceExit(ctx, name); none == nil {
			e.ID = name
			return exit, nil
		}
	}
	return sdcontainer.Exit{}, err
}

func (a *app) printCode(e ending) error {
	if e.ExitUnknown {
		return a.println("unknown")
	}
	return a.println(fmt.Sprint(e.Exit.Code))
}
