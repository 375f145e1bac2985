// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The last output of a payload is waited for as long as it comes, however slow its reader is.
func TestDrainGoesOnWhileOutputFlows(t *testing.T) {
	from, payload, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shown, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer shown.Close()
	const lines = 6
	var s streams
	s.copy(to, from)
	go func() {
		defer payload.Close()
		tick := time.NewTicker(drainTime / 4)
		defer tick.Stop()
		for i := range lines {
			<-tick.C
			fmt.Fprintln(payload, i)
		}
	}()
	s.finish()
	to.Close()
	text, err := io.ReadAll(shown)
	if err != nil || strings.Count(string(text), "\n") != lines {
		t.Errorf("%q, %v: want %d lines", text, err, lines)
	}
}
