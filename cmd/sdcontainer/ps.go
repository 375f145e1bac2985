// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

func (a *app) ps() *cobra.Command {
	var quiet, noTrunc bool
	var format string
	var want selection
	cmd := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List containers",
		Long: `Lists the containers that run, or with -a all of them with how they ended.

--filter name=TEXT keeps those with TEXT in their name; status=STATUS those that are
creating, created, running, paused or stopped (exited), whether or not -a is given.
Of several filters for one thing one must fit.

--format json prints an array of what inspect prints. A Go template is
executed for each container, with the fields of inspect by their Go names (ID,
Status, Pid, Unit, Command, Created, Started, Exit ...) and the functions json,
join, split, upper, lower, size, truncate and pad; "table TEMPLATE" makes columns
of what tabs separate. A field with more in it may be missing, as Exit of what runs:
{{with .Exit}}{{.Code}}{{end}}.`,
		Example: `  sdcontainer ps -a
  sdcontainer ps -q | xargs -r sdcontainer stop
  sdcontainer ps --filter status=exited --filter name=job
  sdcontainer logs $(sdcontainer ps -lq)
  sdcontainer ps --format json
  sdcontainer ps -a --format 'table {{.ID}}\t{{.Status}}\t{{join .Command " "}}'`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if err := checkFormat(format, "table", "json"); err != nil {
				return err
			}
			if err := want.check(); err != nil {
				return err
			}
			states, err := a.states(want.ended())
			states = want.choose(states)
			switch {
			case quiet:
				return errors.Join(err, a.ids(states))
			case format == "json":
				return errors.Join(err, a.writeJSON(states))
			case format == "table":
				return errors.Join(err, a.psTable(states, noTrunc))
			}
			return errors.Join(err, writeTemplate(a, format, states))
		},
	}
	cmd.Flags().BoolVarP(&want.all, "all", "a", false, "also those that have ended")
	cmd.Flags().BoolVarP(&want.latest, "latest", "l", false, "only the one made last, also if it has ended")
	cmd.Flags().StringArrayVar(&want.filters, "filter", nil, "only those that fit: `name=TEXT or status=STATUS`")
	must(cmd.RegisterFlagCompletionFunc("filter", completeFilters))
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "do not cut lines at the terminal's width")
	formatFlag(cmd, &format, "table", "json")
	cmd.MarkFlagsMutuallyExclusive("quiet", "format", "json")
	return cmd
}

// A selection says which containers are listed.
type selection struct {
	all, latest bool
	filters     []string
}

// statuses are the words of --filter status=; exited is podman's.
func statuses() map[string]sdcontainer.Status {
	return map[string]sdcontainer.Status{"creating": sdcontainer.Creating, "created": sdcontainer.Created, "running": sdcontainer.Running,
		"paused": sdcontainer.Paused, "stopped": sdcontainer.Stopped, "exited": sdcontainer.Stopped}
}

func completeFilters(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if !strings.HasPrefix(word, "status=") {
		return []string{"name=", "status="}, noFiles | cobra.ShellCompDirectiveNoSpace
	}
	var words []string
	for s := range statuses() {
		words = append(words, "status="+s)
	}
	return words, noFiles
}

func (s *selection) check() error {
	for _, f := range s.filters {
		key, value, _ := strings.Cut(f, "=")
		if key == "name" && value != "" {
			continue
		}
		if _, ok := statuses()[value]; key != "status" || !ok {
			return usage("--filter %s: want name=TEXT or status=%s", f, strings.Join(slices.Sorted(maps.Keys(statuses())), ", "))
		}
	}
	return nil
}

// ended says whether containers that have ended are asked for.
func (s *selection) ended() bool {
	return s.all || s.latest || slices.ContainsFunc(s.filters, func(f string) bool { return strings.HasPrefix(f, "status=") })
}

func (s *selection) choose(states []sdcontainer.State) []sdcontainer.State {
	states = slices.DeleteFunc(states, func(st sdcontainer.State) bool { return !s.fits(st) })
	if s.latest && len(states) > 0 {
		last := slices.MaxFunc(states, func(a, b sdcontainer.State) int { return a.Created.Compare(b.Created) })
		return []sdcontainer.State{last}
	}
	return states
}

// fits says whether one filter of each kind lets a container through.
func (s *selection) fits(st sdcontainer.State) bool {
	asked, passed := map[string]bool{}, map[string]bool{}
	for _, f := range s.filters {
		key, value, _ := strings.Cut(f, "=")
		asked[key] = true
		if key == "name" && strings.Contains(st.ID, value) || key == "status" && statuses()[value] == st.Status {
			passed[key] = true
		}
	}
	return len(asked) == len(passed)
}

// states are those of all containers, or of those that have not ended.
func (a *app) states(all bool) ([]sdcontainer.State, error) {
	list, err := a.rt.List()
	states := []sdcontainer.State{} // in JSON an empty list, not null
	errs := []error{err}
	for _, c := range list {
		st, err := c.State()
		if errors.Is(err, sdcontainer.ErrNotExist) { // removed meanwhile
			continue
		}
		errs = append(errs, err)
		if err == nil && (all || st.Status != sdcontainer.Stopped) {
			states = append(states, st)
		}
	}
	return states, errors.Join(errs...)
}

func (a *app) ids(states []sdcontainer.State) error {
	for _, st := range states {
		if err := a.println(st.ID); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) psTable(states []sdcontainer.State, noTrunc bool) error {
	t := a.table(noTrunc, "NAME", "STATUS", "PID", "UNIT", "COMMAND")
	now := time.Now()
	for _, st := range states {
		pid := "-"
		if st.Pid > 0 {
			pid = strconv.Itoa(st.Pid)
		}
		words, colour := status(st, now)
		t.add(text(st.ID), cell{text: words, colour: colour}, number(pid), text(st.Unit), text(commandLine(st.Command)))
	}
	return t.write(a.stdout)
}

// status is where a container is in its life, in words and a colour.
func status(st sdcontainer.State, now time.Time) (words, colour string) {
	switch {
	case st.Status == sdcontainer.Running && st.Started != nil:
		return "running " + age(now.Sub(*st.Started)), green
	case st.Status == sdcontainer.Paused:
		return "paused", yellow
	case st.Status != sdcontainer.Stopped:
		return string(st.Status), ""
	case st.ExitUnknown:
		return "ended, exit status unknown", red
	case st.Exit == nil:
		return "ending", yellow
	}
	what := strconv.Itoa(st.Exit.Code)
	if st.Exit.OOMKilled {
		what += ", out of memory"
	}
	if st.Exit.Code != 0 {
		colour = red
	}
	return fmt.Sprintf("exited (%s) %s ago", what, age(now.Sub(st.Exit.At))), colour
}
