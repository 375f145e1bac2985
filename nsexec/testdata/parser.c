/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives the real parser for the Go tests: reads programs (u32 length, bytes) and
 * answers y or n to each. What was accepted is walked, so that a sanitizer sees every
 * byte the interpreter could touch. With an argument: prints the wire structures,
 * each field filled with its own number.
 */
#include "walk.h"

static void layout(void) {
	struct header h = {1, 2, 3, 4, 5, 6, 7};
	struct step s = {1, 2, 3, 4, {5, 6, 7, 8, 9, 10}, {0, 0}, {11, 12, 13, 14}, {15, 16, 17, 18, 19, 20}};
	struct reloc r = {1, 2};
	struct order o = {1, 2, 3, 4};
	struct report t = {1, 2, 3, -4, 5};
	struct exit_record e = {"sdcexit1", 1, 2, -3, 0, 4, 5, "oom_kill 6\n", "7"};

	fwrite(&h, sizeof h, 1, stdout);
	fwrite(&s, sizeof s, 1, stdout);
	fwrite(&r, sizeof r, 1, stdout);
	fwrite(&o, sizeof o, 1, stdout);
	fwrite(&t, sizeof t, 1, stdout);
	fwrite(&e, sizeof e, 1, stdout);
}

int main(int argc, char **argv) {
	u32 n;

	(void)argv;
	if (argc > 1) {
		layout();
		return 0;
	}
	while (fread(&n, sizeof n, 1, stdin) == 1) {
		u8 *b = malloc(n ? n : 1); /* of exactly this size: reading on is seen */
		struct program p;
		if (!b || (n && fread(b, n, 1, stdin) != 1))
			return 1;
		int ok = parse(b, n, &p) == 0;
		if (ok)
			walk(&p);
		free(b);
		putchar(ok ? 'y' : 'n');
		fflush(stdout);
	}
	return 0;
}
