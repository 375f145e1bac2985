/* SPDX-License-Identifier: Apache-2.0 */

/* A page of counters that count nothing: before and after the others, so that these begin and end with a page. */
__attribute__((section("__llvm_prf_cnts"), used, aligned(4096))) static char page[4096] = {1};
