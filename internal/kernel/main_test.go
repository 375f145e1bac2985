// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"os"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }
