/* SPDX-License-Identifier: Apache-2.0 */

/* The kernel's door: one system call, and the entry point, for amd64 and arm64. */
#if defined(__x86_64__)
static inline s64 call6(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
	register u64 r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	s64 ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
__asm__(".globl _start\n_start: endbr64; xor %ebp,%ebp; mov %rsp,%rdi; and $-16,%rsp; call begin; hlt\n");
#elif defined(__aarch64__)
static inline s64 call6(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
	register u64 x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register u64 x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return (s64)x0;
}
__asm__(".globl _start\n_start: hint #34; mov x29,#0; mov x30,#0; mov x0,sp; bl begin; brk #1\n"); /* 34: bti c */
#endif

#define SYS(nr, ...) SYS_(nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_(nr, a, b, c, d, e, f, ...) call6(__NR_##nr, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))
