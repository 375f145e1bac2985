// SPDX-License-Identifier: Apache-2.0

package kernel

import "testing"

func TestOOMVictim(t *testing.T) {
	for record, want := range map[string]int{
		"3,1042,88077,-;Memory cgroup out of memory: Killed process 731 (sh) total-vm:9kB, UID:0 pgtables:40kB oom_score_adj:0\n": 731,
		"3,1042,88077,-;Out of memory: Killed process 8 (a) b) total-vm:9kB\n":                                                    8,
		"12,1042,88077,-;Memory cgroup out of memory: Killed process 731 (sh)\n":                                                  0, // written by a user
		"3,1,2,-;x: Out of memory: Killed process 731 (sh)\n":                                                                     0,
		"3,1,2,-;Memory cgroup out of memory: Killed process x (sh)\n":                                                            0,
		"3,1,2,-;Memory cgroup out of memory: Killed process 731":                                                                 0,
		"6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=sh,pid=731,uid=0\n":                                                    0,
		"": 0,
	} {
		if pid, ok := oomVictim(record); ok != (want != 0) || ok && pid != want {
			t.Errorf("%q: %d, %v; want %d", record, pid, ok, want)
		}
	}
}
