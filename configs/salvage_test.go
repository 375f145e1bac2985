// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"strings"
	"testing"
	"time"
)

// What cannot be read hides nothing else.
func TestSyntaxHidesNothing(t *testing.T) {
	got := problemsOf(t, "x.toml", `version = 2
name = "a"
name = "b"
[process]
args = ["/bin/sh", "-c"
cwd = "etc
nice = = 1
umask = 22
[rootfs]
path = 5
[network
mode = "bridge"
[process]
user = 5
[resources]
tasks = "many"
[nmaes]
[log]
driver = """
[security]
`)
	want := []string{"1:1: version: 2: ", "3:1: name: ", "6:1: process.args: ", "6:11: process.cwd: strings", "7:8: process.nice: ", "8:1: process.umask: ", "10:1: rootfs.path: ",
		"11:9: expected", "13:2: process: given twice, first in line 4", "16:1: resources.tasks: ", "17:1: nmaes: ", "20:11: log.driver: "}
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], "x.toml:"+w) {
			t.Errorf("%q, want %q", got[i], w)
		}
	}
}

// What is never closed does not cost its length again for each line that follows.
func TestSyntaxOfALongFile(t *testing.T) {
	start := time.Now()
	_, _, s := decode("long.toml", []byte(strings.Repeat("[a]\nx = {\n", 100_000)))
	if len(s.problems) == 0 || !s.partial {
		t.Errorf("%d problems", len(s.problems))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
