/* SPDX-License-Identifier: Apache-2.0 */
//go:build ignore

/* The interpreter: takes programs from its control socket and executes them. See nsexec.h. */
#include <asm/unistd.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "nsexec.h"
#include "sys.h"

#define LEFT (1LL << 40) /* a result no call has: this is a new child, and leaves the program */
/* fcntl's answer masked with SEALED is SEALS if all are there: an error has all bits above 4095 as well */
enum { DEATH = 125, HIGH = 100, SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, SEALED = SEALS | -4096 };
struct rights { struct cmsghdr h; s32 fd[MAX_FDS + 2]; };

uintptr_t __stack_chk_guard;                      /* from AT_RANDOM */
static u8 data[MAX_DATA + 8] __attribute__((aligned(8)));
static s64 regs[REGS];                            /* -1: nothing there */
static s64 control = 3, keeper = 4, parent;       /* our sockets, -1: none; the pid we must be a child of */
static u32 program_no, step_no = REFUSED, detail; /* where we are; what a failure's errno does not say */
static char path[MAX_PATH], target[MAX_PATH], joined[MAX_PATH];

static void __attribute__((noreturn)) quit(int code) { for (;;) SYS(exit_group, code); }
void __attribute__((noreturn)) __stack_chk_fail(void) { quit(DEATH); }

void *memset(void *p, int c, size_t n) {
	for (volatile u8 *b = p; n > 0; n--)
		*b++ = (u8)c;
	return p;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
	for (size_t i = 0; i < n; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
	return to;
}

/* tell sends a report, with fd if that is not negative. Without, it is a plain write: seccomp may allow no more. */
static void tell(s64 sock, u32 kind, s64 err, u64 value, s64 fd) {
	struct report r = {kind, program_no, step_no, (s32)err, value};
	struct rights c = {{CMSG_LEN(sizeof(s32)), SOL_SOCKET, SCM_RIGHTS}, {(s32)fd}};
	struct iovec v = {&r, sizeof r};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(sizeof(s32))};

	if ((fd < 0 ? SYS(write, sock, &r, sizeof r) : SYS(sendmsg, sock, &m, 0)) != sizeof r)
		quit(DEATH);
}

static void need(int ok, s64 err) { /* or die */
	if (!ok) {
		tell(control, FAIL, err, detail, -1);
		quit(DEATH);
	}
}

/* hear takes one order with at most max descriptors; anything else, and the end of the socket, is death. */
static u32 hear(s64 sock, struct order *o, s32 *fds, u32 max) {
	struct rights c = {.h = {.cmsg_len = sizeof c.h}};
	struct iovec v = {o, sizeof *o};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	s64 got = SYS(recvmsg, sock, &m, MSG_CMSG_CLOEXEC);
	u64 n = m.msg_controllen ? (c.h.cmsg_len - sizeof c.h) / sizeof(s32) : 0;
	need(got == sizeof *o && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && n == o->count && n <= max &&
	     (n == 0 || (c.h.cmsg_level == SOL_SOCKET && c.h.cmsg_type == SCM_RIGHTS)), EPROTO);
	memcpy(fds, c.fd, n * sizeof(s32));
	return (u32)n;
}

/* load takes the next program: sealed, so that nobody changes it after the check; its steps stay read-only. */
static void load(struct program *p) {
	static s32 fds[MAX_FDS + 1];
	struct order o;
	u32 n = hear(control, &o, fds, MAX_FDS + 1);

	program_no = o.program;
	step_no = REFUSED;
	need(o.kind == PROGRAM && n >= 1 && (parent || SYS(getppid, 0) == o.value), EPROTO);
	parent = o.value;
	s64 size = SYS(lseek, fds[0], 0, SEEK_END);
	need((SYS(fcntl, fds[0], F_GET_SEALS) & SEALED) == SEALS && size > 0 && size <= (1 << 20), EPERM);
	s64 at = SYS(mmap, 0, size, PROT_READ, MAP_PRIVATE, fds[0], 0);
	need(at > 0 || at < -4095, -at);
	need(parse((const u8 *)at, (size_t)size, p) == 0 && p->h->nfds == n - 1, EBADMSG);
	need(SYS(pread64, fds[0], data, p->h->datalen, p->data - (const u8 *)at) == p->h->datalen, EIO);
	for (const struct reloc *r = p->relocs; r < p->relocs + p->h->nrelocs; r++)
		*(u64 *)(data + r->where) = (u64)(data + r->target);
	for (u32 i = 1; i < n; i++)
		regs[p->h->firstreg + i - 1] = fds[i];
	SYS(close, fds[0]);
}

/* FORK, clone3(2): the child leaves the program; this process goes on with its second socket, if it has one. */
static s64 op_fork(u64 args, s64 sock) {
	struct clone_args c;
	s32 pidfd = -1;

	memcpy(&c, (const void *)args, sizeof c);
	c.pidfd = (u64)&pidfd;
	struct pollfd p = {(s32)SYS(pidfd_open, c.flags & CLONE_PARENT ? parent : SYS(getpid, 0), 0), POLLIN, 0};
	need(p.fd >= 0, ESRCH);
	s64 pid = SYS(clone3, &c, sizeof c);
	need(pid >= 0, -pid);
	/* The child dies with its parent, even if that is dead already: prctl(2), PR_SET_PDEATHSIG. */
	if (pid == 0 && (SYS(prctl, PR_SET_PDEATHSIG, SIGKILL) != 0 || SYS(ppoll, &p, 1, &(struct timespec){0}, 0, 8) != 0))
		quit(DEATH);
	SYS(close, p.fd);
	if (pid > 0)
		tell(sock, FORKED, 0, (u64)pid, pidfd);
	SYS(close, pid > 0 ? control : keeper);
	regs[CONTROL] = control = pid > 0 ? keeper : control;
	keeper = -1;
	return pid > 0 ? pidfd : LEFT;
}

/* SYNC, unix(7): say id, perhaps with a descriptor, and wait for the answer to it, perhaps with one. */
static s64 op_sync(u32 id, s64 sock, s64 out, int want) {
	struct order o = {0, 0, 0, 0};
	s32 fd = 0;

	tell(sock, SYNCED, 0, id, out);
	s64 n = want ? hear(sock, &o, &fd, 1) : SYS(read, sock, &o, sizeof o) - (s64)sizeof o;
	need(n == want && o.kind == ANSWER && o.program == program_no && o.value == id && o.count == (u32)want, EPROTO);
	return fd;
}

/* SPAWN, execve(2): run a hook with the state on its standard input; too late or not 0 is failure. */
static s64 op_spawn(const s64 *a, u32 ms) {
	s32 in[2], pidfd = -1;
	struct clone_args c = {.flags = CLONE_PIDFD, .pidfd = (u64)&pidfd, .exit_signal = SIGCHLD};
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
	siginfo_t si = {0};

	need(SYS(pipe2, in, O_CLOEXEC | O_NONBLOCK) == 0, EMFILE);
	need(SYS(write, in[1], a[0], a[1]) == a[1], E2BIG); /* it fits: nobody has to read yet, or will have to wait */
	SYS(close, in[1]);
	s64 child = SYS(clone3, &c, sizeof c);
	need(child >= 0, -child);
	if (child == 0) {
		if (SYS(prctl, PR_SET_PDEATHSIG, SIGKILL) == 0 && SYS(dup3, in[0], 0, 0) == 0)
			SYS(execve, a[2], a[3], a[4]);
		quit(127);
	}
	struct pollfd p = {pidfd, POLLIN, 0};
	s64 ended = SYS(ppoll, &p, 1, ms ? &limit : 0, 0, 8);
	if (ended != 1)
		SYS(pidfd_send_signal, pidfd, SIGKILL, 0, 0);
	SYS(waitid, P_PIDFD, pidfd, &si, WEXITED, 0);
	detail = (u32)(si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status);
	return ended != 1 ? -ETIMEDOUT : detail ? -ECHILD : 0;
}

/* in_root opens path below root; no link, ".." or race leads out of it: openat2(2) */
static s64 in_root(s64 root, u64 flags) {
	struct open_how how = {O_PATH | O_CLOEXEC | flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

	return SYS(openat2, root, path, &how, sizeof how);
}

/* join makes path its first n bytes, then middle, then tail. */
static s64 join(u32 n, const char *middle, const char *tail) {
	memcpy(joined, path, n);
	for (; *middle && n < MAX_PATH; middle++)
		joined[n++] = *middle;
	for (; *tail && n < MAX_PATH; tail++)
		joined[n++] = *tail;
	if (n >= MAX_PATH)
		return -ENAMETOOLONG;
	joined[n] = 0;
	memcpy(path, joined, n + 1);
	return 0;
}

/* make makes what path[slash+1..] names; > 0: a link that leads nowhere is there, and target where it points. */
static s64 make(s64 root, u32 slash, s64 file, s64 mode) {
	char *name = path + slash + 1, first = *name;

	*name = 0;
	s64 dir = in_root(root, O_DIRECTORY), mask = SYS(umask, 0);
	*name = first;
	s64 r = dir < 0 ? dir : file ? SYS(mknodat, dir, name, S_IFREG | mode, 0) : SYS(mkdirat, dir, name, mode);
	if (r == -EEXIST && (r = SYS(readlinkat, dir, name, target, MAX_PATH - 1)) > 0)
		target[r] = 0;
	SYS(umask, mask);
	SYS(close, dir);
	return r == -EINVAL ? 0 : r; /* EINVAL: no link; somebody else made it */
}

/* MKPATH, openat2(2): make what is missing of want below root; a link to nowhere gets its target made. */
static s64 op_mkpath(s64 root, const char *want, s64 file, s64 mode) {
	s64 r = join(0, "/", want), fd;

	for (u32 n = 0, slash = 0, end; n < MAX_PATH && (r >= 0 || r == -EAGAIN); n++) { /* EAGAIN: somebody renamed */
		if ((fd = in_root(root, file ? 0 : O_DIRECTORY)) != -ENOENT && fd != -EAGAIN)
			return fd;
		for (end = slash + 1; path[end] && path[end] != '/'; end++)
			;
		char rest = path[end];
		path[end] = 0;
		fd = in_root(root, 0);
		r = fd == -ENOENT ? make(root, slash, file && !rest, rest ? 0755 : mode & 07777) : fd < 0 ? fd : SYS(close, fd);
		path[end] = rest;
		if (r == 0 && rest)
			slash = end;
		if (r > 0)
			r = join(target[0] == '/' ? 0 : slash + 1, target, path + end), slash = 0;
	}
	return r < 0 ? r : -ELOOP;
}

/* CHECK, getcwd(2), statx(2): 0: the working directory is below our root; 1: this is a node of this type and number. */
static s64 op_check(u32 what, const s64 *a) {
	struct statx st;

	if (what == 0)
		return SYS(getcwd, path, MAX_PATH) > 0 && path[0] == '/' ? 0 : -EXDEV;
	s64 r = SYS(statx, a[0], "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r == 0 && ((st.stx_mode & S_IFMT) != a[1] || st.stx_rdev_major != a[2] || st.stx_rdev_minor != a[3]))
		return -ENODEV;
	return r;
}

static void dispose(u32 first, u32 last, u64 how) { /* of signals: sigaction(2), SIG_DFL or SIG_IGN */
	u64 act[4] = {how, 0, 0, 0};

	for (u32 i = first; i <= last; i++)
		SYS(rt_sigaction, i, act, 0, 8);
}

/* KEEP, waitid(2): stay until the child ends, record how, become the cleanup command. */
static s64 op_keep(const s64 *a) {
	struct exit_record rec = {{'s', 'd', 'c', 'e', 'x', 'i', 't', '1'}, 1, 0, 0, 0, 0, 0, {0}, {0}};
	s64 payload = SYS(openat, a[2], "payload", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pollfd p[2] = {{(s32)SYS(openat, a[2], "memory.events", O_RDONLY | O_CLOEXEC), POLLPRI, 0}, {(s32)a[0], POLLIN, 0}};
	struct order o = {0, 0, 0, 0};
	siginfo_t si = {0};

	SYS(prctl, PR_SET_PDEATHSIG, 0);
	dispose(SIGHUP, SIGTERM, (u64)SIG_IGN);
	tell(control, KEEPING, 0, 0, -1);
	if (SYS(read, control, &o, sizeof o) != sizeof o || o.kind != ANSWER) /* the parent gave up */
		SYS(pidfd_send_signal, a[0], SIGKILL, 0, 0);
	do {
		SYS(ppoll, p, 2, 0, 0, 8); /* returns at once the first time: nothing was read yet */
		if (SYS(pread64, p[0].fd, rec.events, sizeof rec.events - 1, 0) <= 0)
			p[0].fd = -1; /* the cgroup is gone: the last text stays */
	} while (!p[1].revents);
	SYS(waitid, P_PIDFD, a[0], &si, WEXITED | WNOHANG, 0); /* a tracer may keep it: cleanup reads how it ended */
	/* systemd-oomd counts here what it kills, before it does; a cgroup that is gone still has it. */
	SYS(fgetxattr, SYS(fgetxattr, a[2], "user.oomd_ooms", 0, 0) > 0 ? a[2] : payload, "user.oomd_ooms", rec.oomd, sizeof rec.oomd);
	rec.code = si.si_code;
	rec.status = si.si_status;
	SYS(clock_gettime, 0 /* CLOCK_REALTIME */, &rec.sec); /* and nsec */
	SYS(pwrite64, a[1], &rec, rec.code ? sizeof rec : 0, 0);
	SYS(fsync, a[1]);
	dispose(1, 64, (u64)SIG_DFL);
	return SYS(execveat, a[3], "", a[4], a[5], AT_EMPTY_PATH);
}

/* REAP, sigwaitinfo(2), wait(2): stay as pid 1, which reaps orphans and passes signals on; the child goes on.
 * By clone(2): seccomp filters, which are in force by now, refuse clone3. */
static s64 op_reap(void) {
	u64 all = ~0ULL, none = 0;
	s32 status = 0, info[32] = {0}; /* siginfo_t: info[2] is si_code */

	SYS(rt_sigprocmask, SIG_SETMASK, &all, 0, 8);
	s64 child = SYS(clone, SIGCHLD, 0, 0, 0, 0);
	if (child <= 0) {
		SYS(rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
		return child < 0 ? child : SYS(prctl, PR_SET_PDEATHSIG, SIGKILL);
	}
	for (s32 fd = 0; fd <= HIGH + 1; fd++) /* close_range may be what a filter refuses */
		SYS(close, fd);
	for (s64 sig, pid;;) {
		sig = SYS(rt_sigtimedwait, &all, info, 0, 8);
		if (sig > 0 && sig != SIGCHLD && info[2] != SI_KERNEL) /* a terminal's reach the child too */
			SYS(kill, child, sig);
		while (sig == SIGCHLD && (pid = SYS(wait4, -1, &status, WNOHANG, 0)) > 0)
			if (pid == child)
				quit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

static s64 execute(const struct step *s, const s64 *a) {
	switch ((enum op)s->op) {
	case CALL: return call6(s->nr, (u64)a[0], (u64)a[1], (u64)a[2], (u64)a[3], (u64)a[4], (u64)a[5]);
	case STORE: memcpy((void *)a[0], &a[1], s->nr); return 0;
	case SYNC: return op_sync(s->nr, a[0], a[1], a[2] != 0);
	case FORK: return op_fork((u64)a[0], a[1]);
	case SPAWN: return op_spawn(a, s->nr);
	case MKPATH: return op_mkpath(a[0], (const char *)a[1], a[2], a[3]);
	case CHECK: return op_check(s->nr, a);
	case KEEP: return op_keep(a);
	case REAP: return op_reap();
	case END: case OPS: default: return 0;
	}
}

/* run executes a program up to its END, or FORK in the child. Steps only go forward. */
static void run(const struct program *p) {
	for (step_no = 0; step_no < p->h->nsteps; step_no++) {
		const struct step *s = &p->steps[step_no];
		s64 a[6], r, i = 0;

		for (; i < 6; i++)
			a[i] = s->tag[i] == IMM ? (s64)s->arg[i] : s->tag[i] == REG ? regs[s->arg[i]] : (s64)(data + s->arg[i]);
		if ((r = execute(s, a)) == LEFT)
			return;
		if (r < 0 && r > -4096) {
			for (i = 0; i < 4 && s->tolerated[i] != -r; i++)
				;
			need(i < 4, -r);
			step_no += s->skip;
			r = -1;
		}
		if (s->dst != NONE)
			regs[s->dst] = r;
	}
	if (control < 0) /* there is nobody to work for: the child has the socket */
		quit(0);
	tell(control, DONE, 0, 0, -1);
}

/* prepare makes this process what every program may count on, and refuses to run where it cannot. */
static void prepare(void) {
	struct rlimit core;
	u64 none = 0;

	need(SYS(dup3, 3, HIGH, O_CLOEXEC) == HIGH, EMFILE); /* told on 3: the limit on descriptors is below HIGH */
	control = HIGH; /* 3 and up belong to the payload */
	keeper = SYS(dup3, 4, HIGH + 1, O_CLOEXEC); /* before anything else can become 4 */
	need((SYS(close_range, 3, HIGH - 1, 0) | SYS(close_range, keeper < 0 ? HIGH + 1 : HIGH + 2, ~0U, 0)) == 0, ENOSYS);
	need((SYS(fcntl, SYS(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC), F_GET_SEALS) & SEALED) == SEALS, EPERM);
	need((SYS(prctl, PR_SET_DUMPABLE, 0) | SYS(prctl, PR_SET_PDEATHSIG, SIGKILL) | SYS(prctl, PR_SET_NAME, "nsexec")) == 0, EPERM);
	SYS(prlimit64, 0, RLIMIT_CORE, 0, &core);
	need(SYS(prlimit64, 0, RLIMIT_CORE, &(struct rlimit){.rlim_max = core.rlim_max}, 0) == 0, EPERM);
	SYS(umask, 077);
	dispose(1, 64, (u64)SIG_DFL);
	SYS(rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
	memset(regs, 0xff, sizeof regs);
	regs[CONTROL] = control;
}

/* begin is the first C there is: no stack protector before its secret is read. */
__attribute__((noreturn, used, no_stack_protector)) void begin(const u64 *sp) {
	const u64 *v = sp + sp[0] + 2;
	u64 secure = 1;
	struct program p;

	while (*v++) /* the environment, unread */
		;
	for (; v[0] != AT_NULL; v += 2)
		if (v[0] == AT_RANDOM)
			__stack_chk_guard = *(const uintptr_t *)v[1];
		else if (v[0] == AT_SECURE) /* also set where the real id is not the effective one */
			secure = v[1];
	if (__stack_chk_guard == 0 || secure)
		quit(DEATH);
	prepare();
	for (;;) {
		load(&p);
		run(&p);
		SYS(munmap, p.h, p.h->size);
	}
}
