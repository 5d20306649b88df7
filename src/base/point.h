/* SPDX-License-Identifier: MIT */
/*
 * Decision points: where another thread may come in between, and it matters. They are marks for the
 * model check (tests/model), which compiles the same sources with WEIR_MODEL=1, stops at each, and
 * explores every way of going on. In the library they are nothing.
 */
#ifndef WEIR_BASE_POINT_H
#define WEIR_BASE_POINT_H

#include <stdint.h>

enum weir__point {
    WEIR__POINT_LOCK,   /* before a lock is taken: it goes on only when that is free */
    WEIR__POINT_UNLOCK, /* after it was given back */
    WEIR__POINT_CLAIM,  /* before a claim writes the word of a wait */
};

#ifdef WEIR_MODEL

void weir__point_pass(enum weir__point point, const void *object);
uint32_t weir__point_choose(uint32_t bound, uint32_t drawn);

/* Which of the ready tasks of a loop is next: 0 has waited longest. */
uint32_t weir__point_pick(uint32_t count);

#else

static inline void weir__point_pass(enum weir__point point, const void *object)
{
    (void)point;
    (void)object;
}

/* A number in [0, bound): the one that was drawn, or each in turn. */
static inline uint32_t weir__point_choose(uint32_t bound, uint32_t drawn)
{
    (void)bound;
    return drawn;
}

#endif

#endif
