// SPDX-License-Identifier: Apache-2.0

package canary_test

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

// nft returns what makes, or removes, a table, a chain and a rule of no expressions in it, all or nothing.
func nft(kinds ...uint16) func() error {
	return func() error {
		fd, err := canary.NftSocket()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		batch := nftBatch(unix.NFNL_MSG_BATCH_BEGIN)
		for i, kind := range kinds {
			flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE)
			if i == len(kinds)-1 {
				flags |= unix.NLM_F_ACK
			}
			attrs := attribute(1, "canary") // of all of them it is the table
			switch kind {
			case unix.NFT_MSG_NEWCHAIN:
				attrs = append(attrs, attribute(unix.NFTA_CHAIN_NAME, "guard")...)
			case unix.NFT_MSG_NEWRULE:
				attrs = append(attrs, attribute(unix.NFTA_RULE_CHAIN, "guard")...)
			}
			batch = append(batch, canary.NftMessage(kind, flags, unix.NFPROTO_INET, attrs)...)
		}
		return canary.NftTalk(fd, append(batch, nftBatch(unix.NFNL_MSG_BATCH_END)...), func(byte, map[uint16][]byte) {})
	}
}

// nftBatch is the begin, or end, of changes that happen together: a message of no subsystem that names one.
func nftBatch(kind byte) []byte {
	b := canary.NftMessage(0, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil)
	binary.NativeEndian.PutUint16(b[4:], uint16(kind))
	binary.BigEndian.PutUint16(b[18:], unix.NFNL_SUBSYS_NFTABLES)
	return b
}

func attribute(kind uint16, text string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(text)+1))
	b = append(binary.NativeEndian.AppendUint16(b, kind), text...)
	return slices.Concat(b, make([]byte, 4-len(text)%4)) // the end of the text, and room up to the next
}
