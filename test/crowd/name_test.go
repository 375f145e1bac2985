// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"strings"
	"sync"
	"testing"
)

// TestR29OneName: of commands that start one name at the same moment one succeeds, and each other says why it did not. What
// the one has made is what is there, and nothing else is left.
func TestR29OneName(t *testing.T) {
	if !inside(t) {
		return
	}
	m := newMachine(t)
	n := 100
	if !native() { // there a process takes its time
		n = 20
	}
	file := m.config("one", "[log]\ndriver = \"none\"\n")
	t.Cleanup(func() { _, _, _ = m.do("rm", "-f", "one") }) // of a test that failed half way
	for round := range loops(t, 3, 50, 1, "attempts") {
		type end struct {
			out  string
			code int
		}
		ends := make([]end, n)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range ends {
			all.Go(func() {
				<-begin
				ends[i].out, ends[i].code, _ = m.do("run", "-d", "--name", "one", file)
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for _, e := range ends {
			switch {
			case e.code == 0:
				won++
			case e.code != 125 || !strings.Contains(e.out, "container exists"):
				t.Errorf("round %d: exit %d: %s", round, e.code, e.out)
			}
		}
		if won != 1 {
			t.Errorf("round %d: %d of %d commands started the one name", round, won, n)
		}
		if out := m.must("ps", "-a", "--format", "{{.ID}} {{.Status}}"); out != "one running" {
			t.Errorf("round %d: ps: %q", round, out)
		}
		m.must("rm", "-f", "one")
		m.cleaned()
	}
}
