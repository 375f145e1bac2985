// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nftKinds are what nftables has, which message lists it, and by which attributes one is known. A rule that is replaced
// gets another handle.
var nftKinds = []struct {
	name   string
	list   uint16
	names  []uint16
	handle uint16
}{
	{"table", unix.NFT_MSG_GETTABLE, []uint16{unix.NFTA_TABLE_NAME}, 0},
	{"chain", unix.NFT_MSG_GETCHAIN, []uint16{unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME}, 0},
	{"rule", unix.NFT_MSG_GETRULE, []uint16{unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN}, unix.NFTA_RULE_HANDLE},
	{"set", unix.NFT_MSG_GETSET, []uint16{unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME}, 0},
	{"object", unix.NFT_MSG_GETOBJ, []uint16{unix.NFTA_OBJ_TABLE, unix.NFTA_OBJ_NAME}, 0},
	{"flowtable", unix.NFT_MSG_GETFLOWTABLE, []uint16{1, 2}, 0}, // NFTA_FLOWTABLE_TABLE, _NAME
}

var nftFamilies = map[byte]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_ARP: "arp",
	unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_IPV6: "ip6"}

// rules are those of nftables in this network namespace, and the tables, chains and others they are in; not counters,
// nor what is in a set. The kernel is asked itself: a program would have to be installed.
func rules(_ context.Context, _ Watch, s Snapshot) error {
	if !haveNftables() {
		return nil
	}
	fd, err := nftSocket()
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil // a kernel without netfilter
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, kind := range nftKinds {
		err := nftTalk(fd, nftMessage(kind.list, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, nil), func(family byte, attrs map[uint16][]byte) {
			name := kind.name + " " + nftFamilies[family]
			for _, a := range kind.names {
				name += " " + strings.TrimRight(string(attrs[a]), "\x00")
			}
			if kind.handle != 0 {
				name += fmt.Sprintf(" handle %x", attrs[kind.handle])
			}
			s.put("nft", name, "there")
		})
		if errors.Is(err, unix.EINVAL) {
			return nil // a kernel without nftables
		}
		if err != nil {
			return fmt.Errorf("list what nftables has: %ss: %w", kind.name, err)
		}
	}
	return nil
}

// haveNftables says whether there can be rules. Where the kernel loads modules and that of nftables is not there, there are none,
// and asking would load it.
func haveNftables() bool {
	loaded, err := os.ReadFile("/proc/modules")
	if err != nil || bytes.Contains(loaded, []byte("nf_tables ")) {
		return true
	}
	var name unix.Utsname
	_ = unix.Uname(&name) // it cannot fail
	builtin, err := os.ReadFile("/lib/modules/" + unix.ByteSliceToString(name.Release[:]) + "/modules.builtin")
	return err != nil || bytes.Contains(builtin, []byte("/nf_tables.ko\n")) // without the list nobody knows, and there is no module to load
}

// nftSocket is one that waits for no answer for ever.
func nftSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}); err != nil {
		return -1, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	return fd, nil
}

// nftMessage is a message to nftables (linux/netfilter/nfnetlink.h): a header, the family, attributes.
func nftMessage(kind, flags uint16, family byte, attrs []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+4+len(attrs)))
	b = binary.NativeEndian.AppendUint16(b, unix.NFNL_SUBSYS_NFTABLES<<8|kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, make([]byte, 8)...) // sequence number and port: there is one conversation
	return append(append(b, family, 0, 0, 0), attrs...)
}

// nftTalk sends a message, and shows what comes until that is done.
func nftTalk(fd int, message []byte, show func(family byte, attrs map[uint16][]byte)) error {
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for b := make([]byte, 1<<16); ; {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		list, err := syscall.ParseNetlinkMessage(b[:n])
		if err != nil {
			return os.NewSyscallError("netlink", err)
		}
		for _, m := range list {
			switch {
			case (m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR) && len(m.Data) >= 4:
				if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
					return syscall.Errno(errno)
				}
				return nil
			case len(m.Data) >= 4:
				show(m.Data[0], attributes(m.Data[4:]))
			}
		}
	}
}

// attributes are those of a message, by number; one that goes beyond it is none.
func attributes(b []byte) map[uint16][]byte {
	all := map[uint16][]byte{}
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		all[binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED] = b[unix.SizeofNlAttr:size]
		b = b[min((size+3)&^3, len(b)):]
	}
	return all
}
