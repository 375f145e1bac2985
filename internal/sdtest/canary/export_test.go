// SPDX-License-Identifier: Apache-2.0

package canary

// KeysOfKernel is for a test that looks for keys of its own where others may have some.
var KeysOfKernel = keysOfKernel

// Kind is the kind a process is of in a snapshot.
func (p Process) Kind() string { return p.kind() }

// What changes rules talks as what lists them.
var NftSocket, NftMessage, NftTalk = nftSocket, nftMessage, nftTalk
