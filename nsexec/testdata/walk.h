/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The parser, and a walk over what it accepted: everything the interpreter could touch
 * is touched, so that a sanitizer sees it. Shared by parser.c and fuzz.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../parse.c"

#define CHECK_THAT(x) do { if (!(x)) { fprintf(stderr, "accepted, but not %s\n", #x); abort(); } } while (0)

static volatile u8 sink;

static void touch(const struct program *p, u64 at, u64 n) {
	CHECK_THAT(at <= p->h->datalen && n <= p->h->datalen - at);
	for (u64 i = 0; i < n; i++)
		sink = p->data[at + i];
}

static void walk(const struct program *p) {
	for (u32 i = 0; i < p->h->nrelocs; i++) {
		CHECK_THAT(p->relocs[i].where % 8 == 0);
		touch(p, p->relocs[i].where, 8);
		touch(p, p->relocs[i].target, 1);
	}
	for (u32 i = 0; i < p->h->nsteps; i++) {
		const struct step *s = &p->steps[i];
		CHECK_THAT(s->op < OPS);
		CHECK_THAT(s->dst == NONE || s->dst < CONTROL);
		CHECK_THAT(s->tolerated[0] == 0 || i + 1 + s->skip < p->h->nsteps);
		for (int j = 0; j < 6; j++) {
			CHECK_THAT(s->tag[j] <= REG);
			if (s->tag[j] == REG)
				CHECK_THAT(s->arg[j] < REGS);
			if (s->tag[j] == DATA)
				touch(p, s->arg[j], strlen((const char *)p->data + s->arg[j]) + 1);
		}
		if (s->op == STORE) {
			CHECK_THAT(s->nr <= 8);
			touch(p, s->arg[0], s->nr);
		}
		if (s->op == FORK)
			touch(p, s->arg[0], CLONE_ARGS);
		if (s->op == SPAWN) {
			CHECK_THAT(s->arg[1] <= MAX_STATE);
			touch(p, s->arg[0], s->arg[1]);
		}
	}
	CHECK_THAT(p->h->firstreg + p->h->nfds <= CONTROL);
}
