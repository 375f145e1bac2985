// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// askTime bounds questions whose answer is not needed.
const askTime = 2 * time.Second

// ask asks the manager something, over a connection of its own.
func ask[T any](ctx context.Context, question func(context.Context, *scope.Conn) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := scope.Dial(ctx)
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	return question(ctx, conn)
}

// runningSystemd is the manager's version, or 0 where there is none: a unit may be made
// for another machine.
func runningSystemd(ctx context.Context) int {
	version, err := ask(ctx, func(ctx context.Context, conn *scope.Conn) (int, error) { return conn.Version(ctx) })
	if err != nil || version < unitgen.Floor {
		return 0
	}
	return version
}

// serviceHint says how a service ended, of whose container there is no record any more. It is
// empty for what is no service.
func serviceHint(ctx context.Context, name string) string {
	plain := fileExists(filepath.Join(configs.Dir, name+".toml")) && unitgen.TemplateInstalled()
	if len(unitgen.Installed(unitgen.Dir, name)) == 0 && !plain {
		return ""
	}
	state, err := askState(ctx, unitgen.Instance(name))
	if err != nil {
		return "it is a service that does not run: systemctl status " + unitgen.Instance(name)
	}
	return fmt.Sprintf("%s is %s (systemctl status %s; its last output: sdcontainer logs %s)", unitgen.Instance(name), state, unitgen.Instance(name), name)
}

// askState is the state of a service in words: "failed: exit code 3".
func askState(ctx context.Context, unit string) (string, error) {
	return ask(ctx, func(ctx context.Context, conn *scope.Conn) (string, error) {
		state, end, err := conn.ServiceState(ctx, unit)
		if how := end.String(); how != "" {
			state += ": " + how
		}
		return state, err
	})
}
