// SPDX-License-Identifier: Apache-2.0

// Package canary takes down what a machine has, so that a test can tell what
// was left behind: units and jobs, cgroups, mounts, links, rules of nftables, keyrings, processes and how many
// descriptors they have, and files with their content. Test support only.
package canary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Watch says what is looked at besides the machine itself.
type Watch struct {
	// Files are trees in which content, mode, owner and time of every file must stay.
	Files []string
	// Dirs are trees in which no name may come or go.
	Dirs []string
}

// A Snapshot is what a machine had at one moment: kind, name, and what was seen of it.
type Snapshot map[string]map[string]string

// Take takes a snapshot.
func Take(ctx context.Context, w Watch) (Snapshot, error) {
	s := Snapshot{}
	var errs []error
	for _, look := range []func(context.Context, Watch, Snapshot) error{
		units, cgroups, mounts, links, keys, processes, descriptors, files, rules,
	} {
		errs = append(errs, look(ctx, w, s))
	}
	return s, errors.Join(errs...)
}

func (s Snapshot) put(kind, name, value string) {
	if s[kind] == nil {
		s[kind] = map[string]string{}
	}
	s[kind][name] = value
}

// Diff says what differs in a later snapshot, a line each: + is new, - is gone.
func (s Snapshot) Diff(later Snapshot) string {
	kinds := slices.Sorted(maps.Keys(s))
	for _, k := range slices.Sorted(maps.Keys(later)) {
		if s[k] == nil {
			kinds = append(kinds, k)
		}
	}
	var b strings.Builder
	for _, k := range kinds {
		for _, name := range slices.Sorted(maps.Keys(s[k])) {
			was := s[k][name]
			is, ok := later[k][name]
			switch {
			case !ok && (isNumber(k) || k == keyKind || k == aideKind):
			case !ok:
				fmt.Fprintf(&b, "- %s %s: %s\n", k, name, was)
			case (k == countKind || k == keyKind) && atMost(is, was, 0), k == managerKind && atMost(is, was, managerSlack):
			case was != is:
				fmt.Fprintf(&b, "~ %s %s: %s, was %s\n", k, name, is, was)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(later[k])) {
			if _, ok := s[k][name]; !ok && !isNumber(k) {
				fmt.Fprintf(&b, "+ %s %s: %s\n", k, name, later[k][name])
			}
		}
	}
	return b.String()
}

func isNumber(kind string) bool { return kind == countKind || kind == managerKind }

// Settle takes snapshots until one is as before, and returns the last difference when patience
// is over: systemd takes note of an empty cgroup, and forgets its unit, in its own time.
func Settle(ctx context.Context, before Snapshot, w Watch, patience time.Duration) (string, error) {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		now, err := Take(ctx, w)
		if err != nil {
			return "", err
		}
		if diff := before.Diff(now); diff == "" || time.Now().After(deadline) {
			return diff, nil
		}
		time.Sleep(pause)
	}
}

// Rest takes snapshots until two are the same and done, which is given their text, agrees. It is an
// error when patience is over before.
func Rest(ctx context.Context, w Watch, patience time.Duration, done func(text string) bool) (Snapshot, error) {
	deadline := time.Now().Add(patience)
	for before := ""; ; {
		now, err := Take(ctx, w)
		if err != nil {
			return now, err
		}
		text := fmt.Sprint(now)
		if text == before && done(text) {
			return now, nil
		}
		if before = text; time.Now().After(deadline) {
			return now, fmt.Errorf("the machine does not come to rest in %v", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
