/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Linked with the objects of cover.c, in the same order, and clang's run time: makes a
 * profile of the counters that the interpreters left in COUNTERS.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
int __llvm_profile_write_file(void);

int main(void) {
	size_t n = (size_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts);
	int fd = open(COUNTERS, O_RDONLY);

	if (fd < 0 || read(fd, __start___llvm_prf_cnts, n) != (ssize_t)n) {
		perror(COUNTERS);
		return 1;
	}
	return __llvm_profile_write_file();
}
