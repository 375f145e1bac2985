/* SPDX-License-Identifier: Apache-2.0 */
//go:build ignore

/* The parser: a function of (bytes, length), without system calls. */
#include <asm/unistd.h>

#include "nsexec.h"

/* What the arguments of each step must be: a any, r register, o register or none, d data, s string, i number, - unused. */
static const char shape[OPS][7] = {
	[CALL] = "aaaaaa", [STORE] = "dr----", [SYNC] = "roi---", [FORK] = "dr----", [SPAWN] = "sdddi-",
	[MKPATH] = "rsii--", [CHECK] = "aiii--", [KEEP] = "rrordd", [REAP] = "------", [END] = "------",
};

static int string_ok(const struct program *p, u64 at)
{
	for (u64 i = at; i < p->h->datalen && i - at < MAX_PATH; i++)
		if (p->data[i] == 0)
			return 1;
	return 0;
}

static int arg_ok(const struct program *p, char want, u8 tag, u64 v)
{
	if (tag > REG || (tag == REG && v >= REGS) || (tag == DATA && v > p->h->datalen))
		return 0;
	switch (want) {
	case 'a': return 1;
	case 'r': return tag == REG;
	case 'o': return tag == REG || (tag == IMM && v == ~0ULL);
	case 'd': return tag == DATA;
	case 's': return tag == DATA && string_ok(p, v);
	case 'i': return tag == IMM;
	default: return tag == IMM && v == 0;
	}
}

/* operands_ok checks what the shapes do not say. Offsets are at most datalen here. */
static int operands_ok(const struct program *p, const struct step *s)
{
	u64 room = p->h->datalen - (s->tag[0] == DATA ? s->arg[0] : 0);

	switch (s->op) {
	case CALL: return s->nr <= MAX_CALL;
	case STORE: return (s->nr == 4 || s->nr == 8) && s->nr <= room && s->arg[0] % s->nr == 0;
	case SYNC: return s->arg[2] <= 1;
	case FORK: return s->nr == 0 && room >= CLONE_ARGS;
	case SPAWN: return s->nr <= 0x7fffffff && s->arg[4] <= MAX_STATE && s->arg[4] <= p->h->datalen - s->arg[3];
	case MKPATH: return s->nr == 0 && s->arg[2] <= 1 && s->arg[3] <= 07777;
	case CHECK: return s->nr == 0 ? s->tag[0] == IMM : s->nr == 1 && s->tag[0] == REG;
	default: return s->nr == 0;
	}
}

static int step_ok(const struct program *p, u32 n)
{
	const struct step *s = &p->steps[n];

	if (s->op >= OPS || (s->dst >= CONTROL && s->dst != NONE) || s->zero[0] || s->zero[1])
		return 0;
	for (int i = 0; i < 6; i++)
		if (!arg_ok(p, shape[s->op][i], s->tag[i], s->arg[i]))
			return 0;
	for (int i = 0; i < 4; i++)
		if (s->tolerated[i] > 4095 || (i > 0 && s->tolerated[i] && !s->tolerated[i - 1]))
			return 0;
	if (s->tolerated[0] ? n + 1 + s->skip >= p->h->nsteps : s->skip != 0)
		return 0;
	return operands_ok(p, s);
}

static int last_ok(const struct step *s)
{
	return s->op == END || s->op == KEEP || (s->op == CALL && (s->nr == __NR_execve || s->nr == __NR_execveat));
}

static int header_ok(const struct header *h, size_t len)
{
	return h->magic == MAGIC && h->size == len && h->nsteps >= 1 && h->nsteps <= MAX_STEPS &&
	       h->nrelocs <= MAX_RELOCS && h->datalen <= MAX_DATA && h->nfds <= MAX_FDS && h->firstreg <= CONTROL &&
	       h->nfds <= CONTROL - h->firstreg &&
	       sizeof *h + h->nsteps * sizeof(struct step) + h->nrelocs * sizeof(struct reloc) + h->datalen == len;
}

int parse(const u8 *bytes, size_t len, struct program *p)
{
	p->h = (const void *)bytes;
	if (len < sizeof *p->h || !header_ok(p->h, len))
		return -1;
	p->steps = (const void *)(bytes + sizeof *p->h);
	p->relocs = (const void *)(p->steps + p->h->nsteps);
	p->data = (const void *)(p->relocs + p->h->nrelocs);
	for (u32 i = 0; i < p->h->nrelocs; i++)
		if (p->h->datalen < 8 || p->relocs[i].where > p->h->datalen - 8 || p->relocs[i].where % 8 ||
		    p->relocs[i].target > p->h->datalen)
			return -1;
	for (u32 i = 0; i < p->h->nsteps; i++)
		if (!step_ok(p, i))
			return -1;
	return last_ok(&p->steps[p->h->nsteps - 1]) ? 0 : -1;
}
