// SPDX-License-Identifier: Apache-2.0

package unitgen

// limitCases are values of limits, as [valueCases].
var limitCases = []valueCase{
	{"AllowedCPUs", []string{"3-1", "08", "1-", "-1", "1-2-3", "1--2", "8192", "8193", "100000", "0-8192", "all", "1 - 2"}, []string{"0-3,5 8", "0x1-0x3", "010", `"1-2" 3`, "1,,2", ",", ",1", "8191", "0-8191", "%i", "+1", "0b11"}},
	{"CPUAffinity", []string{"numa 1", "1 numa", "3-1"}, []string{"numa", "%i"}},
	{"NUMAMask", nil, []string{"all", "0-1", "1024", "8191"}},
	{"NUMAPolicy", []string{"1", "-1"}, []string{"default", "preferred", "local", "bind", "interleave"}},
	{"IPAddressAllow", []string{"10.0.0.0/8 anyy", "10.0.0.1/33", "10.0.0.1/08", "10.0.0.1/ 8", "010.0.0.1", "fe80::1%%eth0", "fe80::1%eth0", "::1/129", `"10.0.0.1"`, "10.0.0.1,10.0.0.2", "%i", "ANY", "10.0"}, []string{"any", "localhost link-local multicast", "10.0.0.1", "10.0.0.1/0", "10.0.0.1/010", "10.0.0.1/0x8", "10.0.0.1/+8", "fe80::1", "::/0", "::1/128", "::ffff:1.2.3.4/96"}},
	{"DeviceAllow", []string{"/dev/sda r w", "/dev/sda rx", "sda", "/dev/../x", "/devx", "/etc/x"}, []string{"/dev/sda", "/dev/sda rwm", "/dev/sda rr", "char-*", "block-", "char-pts rw", `"/dev/my disk" r`, "/dev/%i r", "/dev/./x", "/dev/x/", "/dev//x", "/dev", "/dev/", "/run/systemd/inaccessible/chr"}},
	{"IODeviceWeight", []string{"/dev/sda", "/dev/sda 0", "/dev/sda 10001", "/dev/sda 100 5", "/home/../x 100", "/dev/sda infinity", "/dev/sda %i"}, []string{"/dev/sda 100", "sda 100", "/dev/sda 0x64", "/ 100", "/home 100", "/home/./x 100", "/home//x 100", "/home/x/ 100", `"/dev/a b" 100`, "/dev/%i 100", "/dev/sda \t 100"}},
	{"IODeviceLatencyTargetSec", []string{"/dev/sda x", "/dev/sda"}, []string{"/dev/sda 25ms", "/dev/sda 1min 5s", "/dev/sda 0", "/dev/sda infinity", "sda 5ms"}},
	{"IOReadBandwidthMax", []string{"/dev/sda 50%", "/dev/sda 5m", "/dev/sda 0", "/dev/sda", "/dev/sda 99999999999999999999", "/dev/sda 19E", "/dev/sda 0.5", "/a/../b 5M", ".. 5M", ". 5M", "/dev/sda 5%%"}, []string{"/dev/sda 5M", "/dev/sda infinity", "/dev/sda 1.5G", "/dev/sda 1G 500M", "sda 5M", "/dev/sda 18446744073709551615", "/dev/sda 18E", "%n 5M"}},
	{"IOReadIOPSMax", []string{"/dev/sda x"}, []string{"/dev/sda 1K"}},
	{"IOWriteIOPSMax", []string{"/dev/sda -5"}, nil},
	{"ManagedOOMMemoryPressureLimit", []string{"0", "101%", "500"}, []string{"50%", "0%", "12.5%", "5‰"}},
	{"SocketBindAllow", []string{"65536", "90-80", "80-", "tcp:ipv4", "ipv4:tcp:", "ipv4::80", ":80", "80:tcp", "any:80", "IPV4", "sctp", "080", "tcp 80", "80 90", "80 - 90", `"tcp"`, "%i", "ipv4:tcp:80:90", "ipv4:ipv6", "1-70000"}, []string{"any", "tcp", "ipv4", "ipv4:tcp", "ipv4:tcp:80-90", "ipv4:80", "udp:53", "80", "80-80", "0x50", "0110", "ipv4:any", "1-65535"}},
	{"RestrictNetworkInterfaces", []string{"eth/0", "eth0 a:b", "12", "%i", "all", "default", "eth%%0", "~0x10", "0b11", "+1", "017", "0x7fffffff", "0O7", "eth0 0x10"}, []string{"0x0", "-1", "1_0", "0x80000000", "~~eth0", "fifteen-letters", "eth0", "~eth0 eth1", `"eth0"`, "~", "~ eth0", "eth0 ~eth1", "lo", `eth\x20`}},
	{"CPUSchedulingPriority", []string{"100", "x"}, []string{"0", "1"}},
	{"IOSchedulingPriority", []string{"8", "-1"}, []string{"7", "0", "0x3"}},
	{"BPFProgram", []string{"egres:/sys/fs/bpf/x", "egress:x", "egress:/a/../b", "egress", "%i:/x", `"egress:/x"`}, []string{"egress:/sys/fs/bpf/x", "egress:/a:b", "egress:/%i"}},
	{"MemoryMax", []string{"99999999999999999999", "18446744073709551615", "16E", "0", "0%", "0.5"}, []string{"15E"}},
	{"TasksMax", []string{"99999999999999999999", "18446744073709551615"}, nil},
	{"CPUQuota", []string{"99999999%", "99999999999999999999%", "21474837%"}, []string{"21474836%"}},
	{"CPUQuotaPeriodSec", nil, []string{"1s", "10s", "0", "infinity"}},
	{"WatchdogSec", []string{"99999999999999999999", "18446744073710", "584543y", "500000y 500000y", "infinity 5", "infinity infinity", "5 infinity", "5infinity"}, []string{"9223372036854775807us", "1.99999999999999999999999999s"}},
	{"MemoryHigh", []string{"0", "0%"}, nil},
	{"MemorySwapMax", nil, []string{"0"}},
	{"MemoryMin", nil, []string{"0"}},
	{"MemoryLow", nil, []string{"0"}},
	{"DefaultMemoryMin", nil, []string{"0"}},
	{"NFTSet", []string{"cgroup:inet:filter", "x:inet:filter:web", "cgroup:ipx:filter:web", "cgroup:inet:1x:web", "cgroup:inet:filter:a-b", "web", "cgroup:inet:filter:web x"}, []string{"cgroup:inet:filter:web", "user:ip6:a:b_c group:netdev:x:y", `"cgroup:arp:a:b"`}},
}
