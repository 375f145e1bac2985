// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package guest

// The goldens are those of amd64, whose guests there are.
func table() []string { return []string{"only on amd64"} }

func otherABIs() []string { return []string{"only on amd64"} }
