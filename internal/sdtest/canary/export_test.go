// SPDX-License-Identifier: Apache-2.0

package canary

// KeysOfKernel is for a test that looks for keys of its own where others may have some.
var KeysOfKernel = keysOfKernel

// What changes rules talks as what lists them.
var NftSocket, NftMessage, NftTalk = nftSocket, nftMessage, nftTalk
