/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The interpreter with counters, for cover.sh: instrumented by clang, whose own run time
 * needs a libc. Before anything else the pages of the counters become those of the file
 * COUNTERS, shared by all interpreters and their children; no descriptor of it stays. So
 * nothing is lost to exec or SIGKILL, and no system call is added where a filter is in force.
 */
#include "../nsexec.c"

extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];

#if defined(__x86_64__)
__asm__(".globl cover_start\ncover_start: mov %rsp,%rbx; mov %rsp,%rdi; and $-16,%rsp; call cover_map; mov %rbx,%rsp; jmp _start\n");
#elif defined(__aarch64__)
__asm__(".globl cover_start\ncover_start: mov x19,sp; bl cover_map; mov sp,x19; b _start\n");
#endif

__attribute__((used)) void cover_map(void) {
	s64 fd = SYS(openat, AT_FDCWD, COUNTERS, O_RDWR | O_CLOEXEC);

	if (SYS(mmap, __start___llvm_prf_cnts, __stop___llvm_prf_cnts - __start___llvm_prf_cnts, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED, fd, 0) < 0)
		quit(DEATH);
	SYS(close, fd);
}
