/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzes the parser with libFuzzer and the address and undefined behaviour sanitizers.
 * Bytes alone rarely keep a header's sums right, so the mutator works on the parts of a
 * program: it edits steps, addresses and data, then mostly makes the header fit again.
 */
#include "walk.h"

size_t LLVMFuzzerMutate(u8 *b, size_t n, size_t max);
int LLVMFuzzerTestOneInput(const u8 *b, size_t n);
size_t LLVMFuzzerCustomMutator(u8 *b, size_t n, size_t max, unsigned seed);

/* What is accepted is sound, and is so no more when its end is missing. */
int LLVMFuzzerTestOneInput(const u8 *b, size_t n) {
	struct program p;

	if (parse(b, n, &p) != 0)
		return 0;
	walk(&p);
	CHECK_THAT(p.h->size == n && p.data + p.h->datalen == b + n);
	CHECK_THAT(parse(b, n - 1, &p) != 0);
	return 0;
}

/* A program taken apart; it stays in one piece in the fuzzer's buffer. */
struct parts {
	u8 *b;
	size_t n, max;
	u32 steps, relocs;
	u64 random;
};

static u32 below(struct parts *m, u64 n) {
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return n ? (u32)((m->random >> 11) % n) : 0;
}

static struct step *step(struct parts *m, u32 i) { return (struct step *)(m->b + sizeof(struct header)) + i; }
static struct reloc *reloc(struct parts *m, u32 i) { return (struct reloc *)step(m, m->steps) + i; }
static size_t datalen(struct parts *m) { return m->n - (size_t)((u8 *)reloc(m, m->relocs) - m->b); }

/* near is a value at or beside a limit. */
static u64 near(struct parts *m) {
	const u64 of[] = {0, 1, 8, CLONE_ARGS, MAX_CALL, REGS, NONE, MAX_STEPS, MAX_RELOCS, MAX_STATE, MAX_DATA, m->n, m->steps,
			  m->relocs, datalen(m), datalen(m) - 8, datalen(m) - CLONE_ARGS, 1ULL << 31, 1ULL << 32, 1ULL << 63, 0};
	u64 v = of[below(m, sizeof of / sizeof *of)];

	return below(m, 2) ? v : v + below(m, 3) - 1;
}

static int make_room(struct parts *m, u8 *at, size_t size) {
	if (m->n + size > m->max)
		return 0;
	memmove(at + size, at, m->n - (size_t)(at - m->b));
	memset(at, 0, size);
	m->n += size;
	return 1;
}

static void cut(struct parts *m, u8 *at, size_t size) {
	memmove(at, at + size, m->n - (size_t)(at - m->b) - size);
	m->n -= size;
}

/* write_step makes a step as the rules have it, but for what it points to. */
static void write_step(struct parts *m, struct step *s, u32 op) {
	*s = (struct step){.op = (u8)op, .dst = below(m, 2) ? NONE : (u8)below(m, CONTROL)};
	s->nr = s->op == CALL && below(m, 2) ? __NR_execve : below(m, (u64)rule[s->op].most + 1);
	for (int i = 0; i < 6; i++) {
		u8 takes = rule[s->op].takes[i];
		if (takes == 0)
			continue;
		do
			s->tag[i] = (u8)below(m, 3);
		while (!(takes >> s->tag[i] & 1));
		s->arg[i] = s->tag[i] == DATA ? below(m, datalen(m)) : s->tag[i] == REG ? below(m, REGS) : near(m);
	}
	if (below(m, 4) == 0 && op != END) {
		s->tolerated[0] = 2;
		s->skip = (u16)below(m, m->steps);
	}
}

static void edit_step(struct parts *m) {
	static const u8 field[][2] = {{0, 1}, {1, 1}, {2, 2}, {4, 4}, {14, 1}, {15, 1}, {16, 2}};
	struct step *s = step(m, below(m, m->steps));
	u32 f = below(m, 19);
	u64 v = near(m);

	if (f < 7)
		memcpy((u8 *)s + field[f][0], &v, field[f][1]);
	else if (f < 13)
		s->tag[f - 7] = (u8)below(m, 5);
	else
		s->arg[f - 13] = v;
}

static void edit(struct parts *m) {
	u32 i = below(m, m->steps), k = below(m, m->relocs + 1);

	switch (below(m, 12)) {
	case 0: case 1:
		if (make_room(m, (u8 *)step(m, i), sizeof(struct step)))
			m->steps++;
		/* fallthrough */
	case 2: case 3: write_step(m, step(m, i), below(m, OPS)); break;
	case 4:
		if (m->steps > 1)
			cut(m, (u8 *)step(m, i), sizeof(struct step)), m->steps--;
		break;
	case 5: memcpy(step(m, below(m, m->steps)), step(m, i), sizeof(struct step)); break;
	case 6:
		if (make_room(m, (u8 *)reloc(m, k), sizeof(struct reloc)))
			*reloc(m, k) = (struct reloc){(u32)near(m) & ~(u32)(below(m, 4) ? 7 : 0), below(m, datalen(m))}, m->relocs++;
		break;
	case 7:
		if (k < m->relocs)
			cut(m, (u8 *)reloc(m, k), sizeof(struct reloc)), m->relocs--;
		break;
	case 8: make_room(m, m->b + m->n, 1 + below(m, 96)); break;
	case 9: m->n -= below(m, datalen(m)); break;
	case 10: LLVMFuzzerMutate((u8 *)step(m, i), sizeof(struct step), sizeof(struct step)); break;
	default: edit_step(m);
	}
}

/* take_apart finds the parts of b, which is any bytes; without a step there is one written. */
static struct parts take_apart(u8 *b, size_t n, size_t max, unsigned seed) {
	struct parts m = {.b = b, .n = n, .max = max, .random = seed * 0x9e3779b97f4a7c15ULL | 1};
	const struct header *h = (void *)b;
	const size_t least = sizeof *h + sizeof(struct step) + 8;

	if (n < least) {
		memset(b + n, 0, least - n);
		m.n = least;
	}
	u64 steps = (m.n - 8 - sizeof *h) / sizeof(struct step);
	m.steps = (u32)(h->nsteps < 1 ? 1 : h->nsteps < steps ? h->nsteps : steps);
	u64 relocs = (m.n - 8 - sizeof *h - m.steps * sizeof(struct step)) / sizeof(struct reloc);
	m.relocs = (u32)(h->nrelocs < relocs ? h->nrelocs : relocs);
	return m;
}

size_t LLVMFuzzerCustomMutator(u8 *b, size_t n, size_t max, unsigned seed) {
	if (seed % 16 == 0 || max < 256)
		return LLVMFuzzerMutate(b, n, max);
	struct parts m = take_apart(b, n, max, seed);
	struct header *h = (void *)b;

	for (u32 i = below(&m, 4) + 1; i > 0; i--)
		edit(&m);
	if (below(&m, 2))
		write_step(&m, step(&m, m.steps - 1), below(&m, 2) ? END : below(&m, 2) ? KEEP : CALL);
	u32 nfds = below(&m, 4) ? h->nfds % REGS : (u32)near(&m), first = below(&m, 4) ? h->firstreg % REGS : (u32)near(&m);
	*h = (struct header){MAGIC, (u32)m.n, m.steps, m.relocs, (u32)datalen(&m), nfds, first};
	if (below(&m, 16))
		b[m.n - 1] = 0;
	if (below(&m, 16) == 0)
		memcpy(b + 8 + 4 * below(&m, 6), &(u32){(u32)near(&m)}, 4);
	return m.n;
}
