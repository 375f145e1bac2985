// SPDX-License-Identifier: Apache-2.0

package fakesystemd

import (
	"net"
	"testing"
	"time"
)

// TestEndsThoughClientsStay: a client that never hangs up, and may have come last, keeps no test from ending.
func TestEndsThoughClientsStay(t *testing.T) {
	late := time.AfterFunc(time.Minute, func() { panic("the fake waits for its clients") })
	defer late.Stop()
	for range 200 {
		var conn net.Conn
		t.Run("test", func(t *testing.T) {
			var err error
			if conn, err = net.Dial("unix", New(t).Path); err != nil {
				t.Fatal(err)
			}
		})
		if conn != nil {
			conn.Close()
		}
	}
}
