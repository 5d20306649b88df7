/* SPDX-License-Identifier: MIT */
/*
 * How the calls of a loop's thread are seen: by the kernel, which stops them (a trap), or by the
 * interposer, a library in front of the C library's. Both lead to weir__check_look.
 */
#ifndef WEIR_WATCH_CHECK_TRAP_H
#define WEIR_WATCH_CHECK_TRAP_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define WEIR__CHECK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR__CHECK_TSAN 1
#endif
#endif

/* Why traps cannot be had, with the remedy; NULL: they can. */
const char *weir__check_trap_refusal(void);

/* The handler of SIGSYS, for the process; counted. Returns 0 or -errno. */
int weir__check_trap_install(void);
void weir__check_trap_uninstall(void);

/* The calling thread's calls are stopped while its gate is shut. Returns 0 or -errno. */
int weir__check_trap_enter(void);
void weir__check_trap_leave(void);

#endif
