/* SPDX-License-Identifier: Apache-2.0 */
//go:build ignore

/* The parser: a function of (bytes, length), without system calls. */
#include <asm/unistd.h>

#include "nsexec.h"

/* What kinds of argument each step takes, and up to which nr. 0: no argument, it is the number 0. */
enum { N = 1 << IMM, D = 1 << DATA, R = 1 << REG, A = N | D | R, O = N | R };
static const struct { u8 takes[6]; u32 most; } rule[OPS] = {
	[CALL] = {{A, A, A, A, A, A}, MAX_CALL}, [STORE] = {{D, R}, 8}, [SYNC] = {{R, O, N}, ~0U}, [FORK] = {{D, R}, 0},
	[SPAWN] = {{D, N, D, D, D}, 0x7fffffff}, [MKPATH] = {{R, D, N, N}, 0}, [CHECK] = {{O, N, N, N}, 1},
	[KEEP] = {{R, R, O, R, D, D}, 0}, [REAP] = {{0}, 0}, [END] = {{0}, 0},
};

static int arg_ok(const struct program *p, u8 takes, u8 tag, u64 v) {
	return takes == 0 ? tag == IMM && v == 0 :
	       tag <= REG && (takes >> tag & 1) && (tag != REG || v < REGS) && (tag != DATA || v < p->h->datalen);
}

static int step_ok(const struct program *p, u32 n) {
	const struct step *s = &p->steps[n];

	if (s->op >= OPS || s->nr > rule[s->op].most || (s->dst >= CONTROL && s->dst != NONE) || s->zero[0] || s->zero[1])
		return 0;
	for (int i = 0; i < 6; i++)
		if (!arg_ok(p, rule[s->op].takes[i], s->tag[i], s->arg[i]))
			return 0;
	if ((s->tolerated[0] ? n + 1 + s->skip >= p->h->nsteps : s->skip != 0) || (s->op == END && n + 1 != p->h->nsteps))
		return 0;
	u64 size = s->op == STORE ? s->nr : s->op == FORK ? CLONE_ARGS : s->op == SPAWN ? s->arg[1] : 0;
	return size == 0 || (size <= MAX_STATE && size <= p->h->datalen - s->arg[0]);
}

static int header_ok(const struct header *h, size_t len) {
	return h->magic == MAGIC && h->size == len && h->nsteps >= 1 && h->nsteps <= MAX_STEPS &&
	       h->nrelocs <= MAX_RELOCS && h->datalen >= 8 && h->datalen <= MAX_DATA && h->firstreg <= CONTROL &&
	       h->nfds <= CONTROL - h->firstreg &&
	       sizeof *h + h->nsteps * sizeof(struct step) + h->nrelocs * sizeof(struct reloc) + h->datalen == len;
}

int parse(const u8 *bytes, size_t len, struct program *p) {
	p->h = (const void *)bytes;
	if (len < sizeof *p->h || !header_ok(p->h, len) || bytes[len - 1] != 0) /* no string runs out of the data */
		return -1;
	p->steps = (const void *)(bytes + sizeof *p->h);
	p->relocs = (const void *)(p->steps + p->h->nsteps);
	p->data = (const void *)(p->relocs + p->h->nrelocs);
	for (const struct reloc *r = p->relocs; r < p->relocs + p->h->nrelocs; r++)
		if (r->where > p->h->datalen - 8 || r->where % 8 || r->target >= p->h->datalen)
			return -1;
	for (u32 i = 0; i < p->h->nsteps; i++)
		if (!step_ok(p, i))
			return -1;
	const struct step *last = &p->steps[p->h->nsteps - 1]; /* nothing may come after it */
	int execs = last->op == CALL && (last->nr == __NR_execve || last->nr == __NR_execveat);
	return execs || last->op == END || last->op == KEEP ? 0 : -1;
}
