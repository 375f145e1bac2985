// SPDX-License-Identifier: Apache-2.0

// Command empty does nothing: what a program in Go takes to start and end.
package main

func main() {}
