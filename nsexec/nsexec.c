/* SPDX-License-Identifier: Apache-2.0 */
//go:build ignore

/* The interpreter: takes programs from its control socket and executes them. See nsexec.h. */
#define _GNU_SOURCE
#include <asm/unistd.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "nsexec.h"
#include "sys.h"

enum { DEATH = 125, HIGH = 100, ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

struct rights { struct cmsghdr h; s32 fd[MAX_FDS + 2]; };

uintptr_t __stack_chk_guard;                      /* set from AT_RANDOM */
static u8 data[MAX_DATA + 8] __attribute__((aligned(8)));
static s64 regs[REGS];                            /* -1: nothing there */
static s64 control = 3, keeper = 4;               /* our sockets; -1: none */
static s64 parent;                                /* pid to have, until there is a pidfd to watch */
static u32 program_no, step_no;
static u64 detail;                                /* more about a failure than its errno */
static int left;                                  /* this process is a new child: it leaves the program */
static char path[MAX_PATH], target[MAX_PATH], joined[MAX_PATH];

static void __attribute__((noreturn)) quit(int code)
{
	for (;;)
		SYS1(exit_group, code);
}

void __attribute__((noreturn)) __stack_chk_fail(void) { quit(DEATH); }

void *memset(void *p, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile u8 *)p)[i] = (u8)c;
	return p;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
	return to;
}

/* tell sends a report, with a descriptor if fd >= 0. Without one it is a plain write: seccomp may allow no more. */
static void tell(s64 sock, u32 kind, s64 err, u64 value, s64 fd)
{
	struct report r = {kind, program_no, step_no, (s32)err, value};
	struct rights c = {{CMSG_LEN(sizeof(s32)), SOL_SOCKET, SCM_RIGHTS}, {(s32)fd}};
	struct iovec v = {&r, sizeof r};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(sizeof(s32))};

	if ((fd < 0 ? SYS3(write, sock, &r, sizeof r) : SYS3(sendmsg, sock, &m, 0)) != sizeof r)
		quit(DEATH);
}

static void __attribute__((noreturn)) fail(s64 err)
{
	tell(control, FAIL, err, detail, -1);
	quit(DEATH);
}

/* hear takes one order with at most max descriptors; the end of the socket or anything else is death. */
static u32 hear(s64 sock, struct order *o, s32 *fds, u32 max)
{
	struct rights c = {.h = {.cmsg_len = sizeof c.h}};
	struct iovec v = {o, sizeof *o};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};

	if (SYS3(recvmsg, sock, &m, MSG_CMSG_CLOEXEC) != sizeof *o || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		quit(DEATH);
	if (m.msg_controllen && (c.h.cmsg_level != SOL_SOCKET || c.h.cmsg_type != SCM_RIGHTS))
		quit(DEATH);
	u64 n = m.msg_controllen ? (c.h.cmsg_len - sizeof c.h) / sizeof(s32) : 0;
	if (n != o->count || n > max)
		quit(DEATH);
	for (u64 i = 0; i < n; i++)
		fds[i] = c.fd[i];
	return (u32)n;
}

/* load takes the next program: sealed, so nobody changes it after the check; its steps stay read-only. */
static void load(struct program *p)
{
	static s32 fds[MAX_FDS + 1];
	struct order o;
	u32 n = hear(control, &o, fds, MAX_FDS + 1);

	program_no = o.program;
	step_no = REFUSED;
	if (o.kind != PROGRAM || n < 1 || (parent == 0 && SYS1(getppid, 0) != o.value))
		fail(EPROTO);
	parent = o.value;
	s64 size = SYS3(lseek, fds[0], 0, SEEK_END);
	if ((SYS3(fcntl, fds[0], F_GET_SEALS, 0) & ALL_SEALS) != ALL_SEALS || size <= 0 || size > (1 << 20))
		fail(EBADMSG);
	s64 at = SYS6(mmap, 0, size, PROT_READ, MAP_PRIVATE, fds[0], 0);
	if (at < 0 && at > -4096)
		fail(-at);
	if (parse((const u8 *)at, (size_t)size, p) != 0 || p->h->nfds != n - 1)
		fail(EBADMSG);
	if (SYS4(pread64, fds[0], data, p->h->datalen, p->data - (const u8 *)p->h) != p->h->datalen)
		fail(EIO);
	for (u32 i = 0; i < p->h->nrelocs; i++)
		*(u64 *)(data + p->relocs[i].where) = ARG(data + p->relocs[i].target);
	for (u32 i = 1; i < n; i++)
		regs[p->h->firstreg + i - 1] = fds[i];
	SYS1(close, fds[0]);
}

/* follow makes this process die with the one behind pidfd, even if that is dead already: prctl(2) PR_SET_PDEATHSIG */
static void follow(s64 pidfd)
{
	struct pollfd p = {(s32)pidfd, POLLIN, 0};
	struct timespec now = {0, 0};

	if (SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL) != 0 || SYS5(ppoll, &p, 1, &now, 0, 8) != 0)
		quit(DEATH);
	SYS1(close, pidfd);
}

/* FORK, clone3(2): the child leaves the program; this process goes on with its second socket, if it has one. */
static s64 op_fork(u64 args, s64 sock)
{
	struct clone_args c;
	s32 pidfd = -1;

	memcpy(&c, (const void *)args, sizeof c);
	c.pidfd = ARG(&pidfd);
	s64 watch = SYS2(pidfd_open, c.flags & CLONE_PARENT ? parent : SYS1(getpid, 0), 0);
	if (watch < 0)
		return watch;
	s64 pid = SYS2(clone3, &c, sizeof c);
	if (pid == 0) {
		follow(watch);
		SYS1(close, keeper);
		keeper = -1;
		left = 1;
		return -1;
	}
	SYS1(close, watch);
	if (pid < 0)
		return pid;
	tell(sock, FORKED, 0, (u64)pid, pidfd);
	SYS1(close, control);
	regs[CONTROL] = control = keeper;
	keeper = -1;
	return pidfd;
}

/* SYNC, unix(7): say id, perhaps with a descriptor, and wait for the answer to it, perhaps with one. */
static s64 op_sync(u32 id, s64 sock, s64 out, u64 want)
{
	struct order o;
	s32 fd = 0;

	tell(sock, SYNCED, 0, id, out);
	if (want ? hear(sock, &o, &fd, 1) != 1 : SYS3(read, sock, &o, sizeof o) != sizeof o)
		quit(DEATH);
	if (o.kind != ANSWER || o.program != program_no || o.value != id || o.count != want)
		quit(DEATH);
	return fd;
}

/* SPAWN, execve(2): run a hook with the state on its standard input; too late or not 0 is failure. */
static s64 op_spawn(const s64 *a, u32 ms)
{
	s32 in[2], pidfd = -1;
	struct clone_args c = {.flags = CLONE_PIDFD, .pidfd = ARG(&pidfd), .exit_signal = SIGCHLD};
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
	siginfo_t si = {0};

	s64 r = SYS2(pipe2, in, O_CLOEXEC);
	if (r < 0 || (r = SYS3(fcntl, in[1], F_SETFL, O_NONBLOCK)) < 0)
		return r;
	r = SYS3(write, in[1], a[3], a[4]); /* all of it fits: never waits for the hook to read */
	SYS1(close, in[1]);
	if (r != a[4] || (r = SYS2(clone3, &c, sizeof c)) < 0)
		return r < 0 ? r : -E2BIG;
	if (r == 0) {
		if (SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL) == 0 && SYS3(dup3, in[0], 0, 0) == 0)
			SYS3(execve, a[0], a[1], a[2]);
		quit(127);
	}
	SYS1(close, in[0]);
	struct pollfd p = {pidfd, POLLIN, 0};
	s64 n = SYS5(ppoll, &p, 1, ms ? &limit : 0, 0, 8);
	if (n != 1)
		SYS4(pidfd_send_signal, pidfd, SIGKILL, 0, 0);
	SYS5(waitid, P_PIDFD, pidfd, &si, WEXITED, 0);
	SYS1(close, pidfd);
	detail = (u64)(si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status);
	return n != 1 ? -ETIMEDOUT : detail ? -ECHILD : 0;
}

/* in_root opens path below root; no link, ".." or race leads out of it: openat2(2) */
static s64 in_root(s64 root, u64 flags)
{
	struct open_how how = {O_PATH | O_CLOEXEC | flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	s64 r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < 128; i++) /* somebody renamed meanwhile */
		r = SYS4(openat2, root, path, &how, sizeof how);
	return r;
}

/* make makes path's last component, after path[slash]; the length of target if a link to nowhere is there. */
static s64 make(s64 root, u32 slash, s64 file, s64 mode)
{
	char first = path[slash + 1];

	path[slash + 1] = 0;
	s64 dir = in_root(root, O_DIRECTORY);
	path[slash + 1] = first;
	if (dir < 0)
		return dir;
	const char *name = path + slash + 1;
	s64 mask = SYS1(umask, 0);
	s64 r = file ? SYS4(mknodat, dir, name, S_IFREG | mode, 0) : SYS3(mkdirat, dir, name, mode);
	SYS1(umask, mask);
	if (r == -EEXIST)
		r = SYS4(readlinkat, dir, name, target, MAX_PATH);
	SYS1(close, dir);
	return r == -EINVAL ? 0 : r; /* EINVAL: no link; somebody else made it */
}

/* redirect puts target, n bytes, in the place of the component between slash and end. */
static s64 redirect(u32 slash, u32 end, s64 n)
{
	u32 at = target[0] == '/' ? 0 : slash + 1, i = 0;

	memcpy(joined, path, at);
	for (; i < n && at < MAX_PATH; i++)
		joined[at++] = target[i];
	for (; at < MAX_PATH && end < MAX_PATH && path[end]; end++)
		joined[at++] = path[end];
	if (at >= MAX_PATH)
		return -ENAMETOOLONG;
	joined[at] = 0;
	memcpy(path, joined, at + 1);
	return 0;
}

/* MKPATH, openat2(2): make what is missing of path below root; a link to nowhere gets its target made. */
static s64 op_mkpath(s64 root, const char *want, s64 file, s64 mode)
{
	s64 r;

	path[0] = '/';
	for (u32 i = 0; i == 0 || want[i - 1]; i++) { /* the parser saw the NUL */
		if (i + 1 >= MAX_PATH)
			return -ENAMETOOLONG;
		path[i + 1] = want[i];
	}
	for (u32 slash = 0, n = 0; (r = in_root(root, file ? 0 : O_DIRECTORY)) == -ENOENT && n < MAX_PATH; n++) {
		u32 end = slash + 1;
		while (path[end] && path[end] != '/')
			end++;
		char rest = path[end];
		path[end] = 0;
		s64 fd = in_root(root, 0);
		r = fd == -ENOENT ? make(root, slash, file && !rest, rest ? 0755 : mode) : fd < 0 ? fd : SYS1(close, fd);
		path[end] = rest;
		if (r < 0 || (r > 0 && (r = redirect(slash, end, r)) < 0))
			return r;
		slash = r > 0 ? 0 : rest ? end : slash;
	}
	return r;
}

/* CHECK, getcwd(2), statx(2): the cwd is below our root, or fd is a node of this type and number. */
static s64 op_check(u32 what, const s64 *a)
{
	struct statx st;

	if (what == 0)
		return SYS2(getcwd, path, MAX_PATH) > 0 && path[0] == '/' ? 0 : -EXDEV;
	s64 r = SYS5(statx, a[0], "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r < 0)
		return r;
	return (st.stx_mode & S_IFMT) == a[1] && st.stx_rdev_major == a[2] && st.stx_rdev_minor == a[3] ? 0 : -ENODEV;
}

static void dispose(u32 first, u32 last, u64 how) /* of signals: sigaction(2) with SIG_DFL or SIG_IGN */
{
	u64 act[4] = {how, 0, 0, 0};

	for (u32 i = first; i <= last; i++)
		SYS4(rt_sigaction, i, act, 0, 8);
}

/* count reads the number of OOM kills from memory.events; -1 if that is gone, and then the last count stays. */
static int count(s64 events, struct exit_record *rec)
{
	static const char key[] = "\noom_kill ";
	char text[512];
	s64 n = SYS4(pread64, events, text, sizeof text, 0);
	s64 k = 0, i = 0;

	for (; i < n && key[k]; i++)
		k = text[i] == key[k] ? k + 1 : text[i] == key[0];
	if (i >= n || key[k])
		return -1;
	rec->oom_known = 1;
	for (rec->oom_kills = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		rec->oom_kills = rec->oom_kills * 10 + (u64)(text[i] - '0');
	return 0;
}

/* KEEP, waitid(2): stay until the child ends, record how, become the cleanup command. */
static s64 op_keep(const s64 *a)
{
	struct exit_record rec = {{'s', 'd', 'c', 'e', 'x', 'i', 't', '1'}, 1, 0, 0, 0, 0, 0, 0, {0, 0}};
	struct pollfd p[3] = {{(s32)control, POLLIN, 0}, {(s32)a[2], POLLPRI, 0}, {-1, POLLIN, 0}};
	struct order o = {0, 0, 0, 0};
	siginfo_t si = {0};

	SYS2(prctl, PR_SET_PDEATHSIG, 0);
	dispose(SIGHUP, SIGINT, ARG(SIG_IGN));
	dispose(SIGPIPE, SIGTERM, ARG(SIG_IGN));
	tell(control, KEEPING, 0, 0, -1);
	while (!p[2].revents) {
		if (p[1].fd >= 0 && count(p[1].fd, &rec) < 0)
			p[1].fd = -1;
		SYS5(ppoll, p, 3, 0, 0, 8);
		if (!p[0].revents)
			continue;
		if (SYS3(read, control, &o, sizeof o) != sizeof o || o.kind != ANSWER) /* the parent gave up */
			SYS4(pidfd_send_signal, a[0], SIGKILL, 0, 0);
		SYS1(close, control);
		p[0] = (struct pollfd){-1, 0, 0};
		p[2].fd = (s32)a[0];
	}
	SYS5(waitid, P_PIDFD, a[0], &si, WEXITED, 0);
	if (p[1].fd >= 0)
		count(p[1].fd, &rec);
	rec.code = si.si_code;
	rec.status = si.si_status;
	SYS2(clock_gettime, CLOCK_REALTIME, &rec.sec); /* and nsec */
	SYS4(pwrite64, a[1], &rec, sizeof rec, 0);
	SYS1(fsync, a[1]);
	dispose(1, 64, ARG(SIG_DFL));
	return SYS5(execveat, a[3], "", a[4], a[5], AT_EMPTY_PATH);
}

/* REAP, sigwaitinfo(2), wait(2): stay as pid 1, which reaps orphans and passes signals on; the child goes on. */
static s64 op_reap(void)
{
	struct clone_args c = {.exit_signal = SIGCHLD};
	u64 all = ~0ULL, none = 0;
	s32 status = 0;

	SYS4(rt_sigprocmask, SIG_SETMASK, &all, 0, 8);
	s64 child = SYS2(clone3, &c, sizeof c), pid;
	if (child <= 0) {
		SYS4(rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
		return child < 0 ? child : SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL);
	}
	SYS3(close_range, 0, ~0U, 0);
	for (;;) {
		s64 sig = SYS4(rt_sigtimedwait, &all, 0, 0, 8);
		if (sig > 0 && sig != SIGCHLD)
			SYS2(kill, child, sig);
		while (sig == SIGCHLD && (pid = SYS4(wait4, -1, &status, WNOHANG, 0)) > 0)
			if (pid == child)
				quit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

static s64 execute(const struct step *s, const s64 *a)
{
	switch ((enum op)s->op) {
	case CALL: return call6(s->nr, ARG(a[0]), ARG(a[1]), ARG(a[2]), ARG(a[3]), ARG(a[4]), ARG(a[5]));
	case STORE: memcpy((void *)a[0], &a[1], s->nr); return 0;
	case SYNC: return op_sync(s->nr, a[0], a[1], ARG(a[2]));
	case FORK: return op_fork(ARG(a[0]), a[1]);
	case SPAWN: return op_spawn(a, s->nr);
	case MKPATH: return op_mkpath(a[0], (const char *)a[1], a[2], a[3]);
	case CHECK: return op_check(s->nr, a);
	case KEEP: return op_keep(a);
	case REAP: return op_reap();
	case END:
		if (control < 0) /* there is nobody to work for: the child has the socket */
			quit(0);
		tell(control, DONE, 0, 0, -1);
		return 0;
	case OPS:
	default: quit(DEATH);
	}
}

static void run(const struct program *p)
{
	for (step_no = 0; step_no < p->h->nsteps && !left; step_no++) {
		const struct step *s = &p->steps[step_no];
		s64 a[6], r;

		for (int i = 0; i < 6; i++)
			a[i] = s->tag[i] == IMM ? (s64)s->arg[i] : s->tag[i] == REG ? regs[s->arg[i]] : (s64)ARG(data + s->arg[i]);
		r = execute(s, a);
		if (r < 0 && r > -4096 && !left) {
			int i = 0;
			while (i < 4 && s->tolerated[i] != -r)
				i++;
			if (i == 4)
				fail(-r);
			step_no += s->skip;
			r = -1;
		}
		if (s->dst != NONE)
			regs[s->dst] = r;
		if (s->op == END)
			return;
	}
}

/* prepare makes this process what every program may count on, and refuses to run where it cannot. */
static void prepare(void)
{
	struct rlimit core;
	u64 none = 0;
	s64 self = SYS4(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);

	if (self < 0 || (SYS3(fcntl, self, F_GET_SEALS, 0) & ALL_SEALS) != ALL_SEALS)
		quit(DEATH);
	SYS5(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL);
	SYS4(prlimit64, 0, RLIMIT_CORE, 0, &core);
	core.rlim_cur = 0;
	SYS4(prlimit64, 0, RLIMIT_CORE, &core, 0);
	SYS1(umask, 077);
	dispose(1, 64, ARG(SIG_DFL));
	SYS4(rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
	for (int i = 0; i < REGS; i++)
		regs[i] = -1;
	control = SYS3(fcntl, 3, F_DUPFD_CLOEXEC, HIGH); /* 3 and up belong to the payload */
	keeper = SYS3(fcntl, 4, F_DUPFD_CLOEXEC, HIGH);
	keeper = keeper < 0 ? -1 : keeper;
	regs[CONTROL] = control;
	if (control < 0 || SYS3(close_range, 3, HIGH - 1, 0) < 0)
		quit(DEATH);
}

/* begin is the first C there is: no stack protector before its secret is read. */
__attribute__((noreturn, used, no_stack_protector)) void begin(const u64 *sp)
{
	const u64 *v = sp + sp[0] + 2;
	u64 id[4] = {0, 0, 0, 0};
	struct program p;

	while (*v++) /* the environment, unread */
		;
	for (; v[0] != AT_NULL; v += 2) {
		if (v[0] == AT_RANDOM)
			__stack_chk_guard = *(const uintptr_t *)v[1];
		if (v[0] >= AT_UID && v[0] <= AT_EGID)
			id[v[0] - AT_UID] = v[1];
		if (v[0] == AT_SECURE && v[1])
			quit(DEATH);
	}
	if (__stack_chk_guard == 0 || id[0] != id[1] || id[2] != id[3])
		quit(DEATH);
	prepare();
	for (;;) {
		load(&p);
		left = 0;
		run(&p);
		SYS2(munmap, p.h, p.h->size);
	}
}
