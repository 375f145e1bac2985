/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nsexec executes programs of kernel calls that Go compiled. It decides nothing.
 *
 *   parent (Go)                            K                        C (init)
 *     |-- PROGRAM spawn + memfd, fds ----->|
 *     |                                    |-- clone3 -------------->|
 *     |<- FORKED pid + pidfd --------------|                         |
 *     |                                   exit; or, with a second    |
 *     |                                   socket: SYNC..., KEEPING   |
 *     |-- PROGRAM build + memfd, fds ------------------------------->|
 *     |<- SYNCED id (+ fd) / ANSWER id (+ fd) ---------------------->|
 *     |<- DONE ------------------------------------------------------|
 *     |-- PROGRAM enter + memfd ------------------------------------>|
 *     |<- SYNCED id (+ fd) / ANSWER id: the last is ready ---------->|
 *     |                        execve; if it fails, of a service:    |
 *     |<- SYNCED id / ANSWER id, and execve again ------------------>|
 *     |<- FAIL step, errno; or end of file: execve succeeded --------|
 *
 * A program file is header, steps, relocs, data, without gaps, little endian.
 */
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef int32_t s32; typedef int64_t s64;

#define MAGIC 0x31676f7270636473ULL /* "sdcprog1" */
enum { MAX_STEPS = 4096, MAX_DATA = 512 << 10, MAX_RELOCS = 16384, MAX_FDS = 200, MAX_STATE = 65536 };
enum { REGS = 192, CONTROL = 191, NONE = 255, MAX_CALL = 1023, MAX_PATH = 4096, CLONE_ARGS = 88 };
enum op { CALL, STORE, SYNC, FORK, SPAWN, MKPATH, CHECK, KEEP, REAP, END, OPS };
enum tag { IMM, DATA, REG };
enum { PROGRAM = 1, ANSWER = 2 };                                 /* order.kind: down */
enum { FORKED = 1, SYNCED = 2, DONE = 3, FAIL = 4, KEEPING = 5 }; /* report.kind: up */
#define REFUSED 0xffffffffU                                       /* report.step: the program was not begun */

struct header { u64 magic; u32 size, nsteps, nrelocs, datalen, nfds, firstreg; };
struct step { u8 op, dst; u16 skip; u32 nr; u8 tag[6], zero[2]; u16 tolerated[4]; u64 arg[6]; };
struct reloc { u32 where, target; };               /* at data[where] goes the address of data[target] */
struct order { u32 kind, program, value, count; }; /* value: the parent's pid, or the id answered */
struct report { u32 kind, program, step; s32 err; u64 value; };
struct exit_record { char magic[8]; u32 version; s32 code, status; u32 zero; s64 sec, nsec; char events[456], oomd[16]; };

_Static_assert(sizeof(struct header) == 32 && sizeof(struct step) == 72 && sizeof(struct reloc) == 8, "program");
_Static_assert(sizeof(struct order) == 16 && sizeof(struct report) == 24 && sizeof(struct exit_record) == 512, "wire");

struct program { const struct header *h; const struct step *steps; const struct reloc *relocs; const u8 *data; };

/* parse checks a whole program: 0 if every offset, register and jump in it is in range, else -1. */
int parse(const u8 *bytes, size_t len, struct program *out);
