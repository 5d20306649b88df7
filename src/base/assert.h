/* SPDX-License-Identifier: MIT */
/*
 * Assertions in three grades. WEIR_ASSERT is always on: it guards what would otherwise corrupt
 * memory or lose a wake. WEIR_DEBUG_ASSERT is on in debug and sanitizer builds. Whole-structure
 * walkers are functions named `*_verify`, which tests call.
 *
 * A failed assertion is a programmer's error with no safe way on: it prints file, line, the task
 * and what to do, and aborts.
 */
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

#ifndef WEIR_DEBUG
#define WEIR_DEBUG 0
#endif

#define WEIR_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define WEIR_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Prints "weir: file:line: [task] message" to standard error and aborts. */
_Noreturn void weir__die(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* core/ sets this, so that a message can name the running task; may return NULL. */
extern const char *(*weir__die_task_name)(void);

#define WEIR_DIE(...) weir__die(__FILE__, __LINE__, __VA_ARGS__)

#define WEIR_ASSERT(condition)                                                                     \
    (WEIR_LIKELY(condition) ? (void)0 : WEIR_DIE("this must hold: %s", #condition))

#if WEIR_DEBUG
#define WEIR_DEBUG_ASSERT(condition) WEIR_ASSERT(condition)
#else
#define WEIR_DEBUG_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif
