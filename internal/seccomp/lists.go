// SPDX-License-Identifier: Apache-2.0

package seccomp

// always is what every payload may call: work on its own memory, files, processes,
// sockets and time, where the kernel's own checks are the boundary.
var always = [...]string{
	// Reading, writing, waiting.
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
	"sendfile", "splice", "tee", "copy_file_range", "readahead", "fadvise64", "sync_file_range", "fsync", "fdatasync",
	"sync", "syncfs", "cachestat", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd",
	"signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime", "inotify_init", "inotify_init1",
	"inotify_add_watch", "inotify_rm_watch", "io_setup", "io_submit", "io_cancel", "io_destroy", "io_getevents",
	"io_pgetevents", "fanotify_mark",
	// Descriptors.
	"open", "openat", "openat2", "creat", "close", "close_range", "dup", "dup2", "dup3", "fcntl", "flock",
	// Files and directories.
	"access", "faccessat", "faccessat2", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs",
	"getdents", "getdents64", "readlink", "readlinkat", "getcwd", "chdir", "fchdir", "rename", "renameat", "renameat2",
	"link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "umask", "utime", "utimes",
	"futimesat", "utimensat", "truncate", "ftruncate", "fallocate", "getxattr", "lgetxattr", "fgetxattr", "getxattrat",
	"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat",
	"removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_getattr", "file_setattr",
	"name_to_handle_at", "statmount", "listmount",
	// Memory.
	"brk", "mmap", "munmap", "mprotect", "mremap", "msync", "madvise", "mincore", "mlock", "mlock2", "mlockall",
	"munlock", "munlockall", "membarrier", "memfd_create", "memfd_secret", "mseal", "pkey_alloc", "pkey_free",
	"pkey_mprotect", "remap_file_pages", "process_madvise", "process_mrelease", "map_shadow_stack",
	// Processes and threads. Since Linux 4.8 the filter also sees what ptrace changes.
	"fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid", "getppid", "gettid",
	"getpgid", "getpgrp", "setpgid", "getsid", "setsid", "kill", "tkill", "tgkill", "pidfd_open", "pidfd_send_signal",
	"prctl", "arch_prctl", "set_tid_address", "set_thread_area", "get_thread_area", "set_robust_list",
	"get_robust_list", "futex", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "rseq", "rseq_slice_yield",
	"restart_syscall", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr", "sched_setattr",
	"sched_getparam", "sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max",
	"sched_get_priority_min", "sched_rr_get_interval", "getpriority", "setpriority", "ioprio_get", "ioprio_set",
	"getrlimit", "setrlimit", "prlimit64", "getrusage", "times", "sysinfo", "uname", "getcpu", "getrandom", "uprobe",
	"uretprobe",
	// Identity, and giving up more.
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid", "setreuid",
	"setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capget", "capset", "seccomp",
	"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "lsm_get_self_attr", "lsm_set_self_attr",
	"lsm_list_modules",
	// Signals and timers.
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "pause", "alarm", "getitimer", "setitimer", "nanosleep",
	"clock_nanosleep", "clock_gettime", "clock_getres", "clock_adjtime", "adjtimex", "gettimeofday", "time",
	"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	// System V and POSIX communication: their objects live in the IPC namespace.
	"shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv",
	"msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
	// Sockets, once made.
	"bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt",
	"shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
}

// tracing reaches into other processes. Where a user namespace ends at the container the kernel lets it
// reach no further.
var tracing = [...]string{"ptrace", "process_vm_readv", "process_vm_writev"}

// never is what no payload may call, whatever its capabilities.
var never = [...]string{
	// Many kernel bugs, and work no filter or audit sees.
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	// Keyrings are told apart by user, not by container.
	"add_key", "request_key", "keyctl",
	// Stops a kernel thread in the middle: what exploits of races are made of.
	"userfaultfd",
	// Gives the pages of a process to a pipe (CVE-2022-0847 and its kin).
	"vmsplice",
	// Opens any file of a file system, whatever is mounted where (CVE-2014-3519).
	"open_by_handle_at",
	// The machine's.
	"kexec_load", "kexec_file_load", "swapon", "swapoff",
	// Rarely used code.
	"modify_ldt", "uselib", "ustat", "sysfs", "lookup_dcookie",
}

// byCapability is what one of some capabilities opens.
var byCapability = [...]struct{ caps, names []string }{
	{[]string{"CAP_SYS_ADMIN"}, []string{
		"mount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree",
		"open_tree_attr", "mount_setattr", "setns", "listns", "sethostname", "setdomainname", "quotactl",
		"quotactl_fd", "fanotify_init",
	}},
	{[]string{"CAP_BPF"}, []string{"bpf"}},
	{[]string{"CAP_PERFMON"}, []string{"perf_event_open"}},
	{[]string{"CAP_SYSLOG"}, []string{"syslog"}},
	{[]string{"CAP_SYS_CHROOT"}, []string{"chroot"}},
	{[]string{"CAP_SYS_PACCT"}, []string{"acct"}},
	{[]string{"CAP_SYS_BOOT"}, []string{"reboot"}},
	{[]string{"CAP_SYS_MODULE"}, []string{"init_module", "finit_module", "delete_module"}},
	{[]string{"CAP_SYS_RAWIO"}, []string{"iopl", "ioperm"}},
	{[]string{"CAP_SYS_TIME"}, []string{"settimeofday", "clock_settime"}},
	{[]string{"CAP_SYS_TTY_CONFIG"}, []string{"vhangup"}},
	{[]string{"CAP_SYS_PTRACE"}, []string{"kcmp", "pidfd_getfd"}},
	{[]string{"CAP_SYS_NICE"}, []string{
		"mbind", "get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "move_pages", "migrate_pages",
	}},
}

// gone are names the kernel itself answers with ENOSYS. No rule mentions them.
var gone = [...]string{
	"_sysctl", "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "getpmsg",
	"nfsservctl", "putpmsg", "query_module", "security", "tuxcall", "vserver",
}
