/* SPDX-License-Identifier: MIT */
/*
 * The blocking-call check of one runtime; see <weir/blocking.h> for what it does.
 *
 *   a call of a loop's thread, its gate shut (base/exempt.h)
 *     -> the kernel's trap, or the interposer                      check_trap.c, check_interpose.c
 *     -> could it block?   no: made                                check_call.c, check_fd.c
 *     -> whose is it?      a frame of weir's nearest: made         check.c
 *     -> which place?      known: made                             check_site.h
 *     -> filed; a thread of its own names and reports it           check_report.c
 *     -> made; or, in abort mode, abort() once it is reported
 *
 * The report is not made where the call was stopped: that may be inside of malloc or stdio.
 */
#ifndef WEIR_WATCH_CHECK_H
#define WEIR_WATCH_CHECK_H

#include <weir/runtime.h>

#include <stddef.h>

struct weir__check;
struct weir__check_call;

/* By options and environment: *out is NULL when nothing is to be checked. On failure -errno, and
 * `why` holds cause and remedy. */
int weir__check_create(struct weir__check **out, const struct weir_options *options, char *why,
                       size_t why_bytes);

/* All of its threads have left. What was filed is reported first. NULL is fine, as below. */
void weir__check_destroy(struct weir__check *check);

/* The calling thread becomes a loop, and has an alternate signal stack: from now on it is checked.
 * On failure as create. */
int weir__check_enter(struct weir__check *check, char *why, size_t why_bytes);
void weir__check_leave(struct weir__check *check);

/* A thread that is not weir's, between turns of its loop. */
void weir__check_pause(const struct weir__check *check);
void weir__check_resume(const struct weir__check *check);

/* A call is about to be made, in a context as signal handlers and getcontext(3) have it. Through an
 * open gate; async-signal-safe; changes errno. Does not return in abort mode if it blocks. */
void weir__check_look(const struct weir__check_call *call, const void *context);

#endif
