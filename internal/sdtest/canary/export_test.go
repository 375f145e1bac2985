// SPDX-License-Identifier: Apache-2.0

package canary

// Alone and KeysOfKernel are for tests that look for keys of their own where others may have some.
var Alone, KeysOfKernel = alone, keysOfKernel
