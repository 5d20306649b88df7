/* SPDX-License-Identifier: MIT */
/* When one more thread would help; see growth.h. */
#include "pool/growth.h"

enum {
    NOTED_NS = 1000000, /* longer jobs count as that: the next short ones are to be heard, too */
    WEIGHT = 8,
};

/* Whether the threads' time of late went by mostly in jobs that slept. */
static bool jobs_sleep(const struct weir__growth *growth)
{
    return 2 * growth->slept_ns > growth->asked_ns;
}

enum weir__growth_answer weir__growth_ask(const struct weir__growth *growth,
                                          const struct weir__growth_look *look)
{
    int64_t left_ns;

    if (look->ready_count == 0)
        return WEIR__GROWTH_NONE;
    if (look->working_count == 0)
        return WEIR__GROWTH_NEW;
    if (look->working_count >= growth->parallel && !jobs_sleep(growth))
        return WEIR__GROWTH_NONE;
    /* How long those who work now would take to be through with it. */
    left_ns = (int64_t)look->ready_count * growth->run_ns / look->working_count;
    if (left_ns < WEIR__GROWTH_WAKE_NS)
        return WEIR__GROWTH_NONE;
    return look->waited_ns >= growth->after_ns ? WEIR__GROWTH_NEW : WEIR__GROWTH_IDLE;
}

bool weir__growth_is_crowd(const struct weir__growth *growth, unsigned working_count)
{
    return working_count > growth->parallel && !jobs_sleep(growth);
}

bool weir__growth_is_curious(const struct weir__growth *growth, size_t ready_count)
{
    return ready_count > 0 && growth->run_ns >= WEIR__GROWTH_WAKE_NS;
}

/* Moves an average towards a new figure. */
static void learn(int64_t *average_ns, int64_t new_ns)
{
    *average_ns += (new_ns - *average_ns) / WEIGHT;
}

void weir__growth_note(struct weir__growth *growth, int64_t run_ns, enum weir__growth_sleep sleep)
{
    int64_t noted_ns = run_ns < NOTED_NS ? run_ns : NOTED_NS;

    learn(&growth->run_ns, noted_ns);
    if (sleep == WEIR__GROWTH_UNASKED && run_ns >= WEIR__GROWTH_WAKE_NS)
        return;
    learn(&growth->asked_ns, noted_ns);
    learn(&growth->slept_ns, sleep == WEIR__GROWTH_SLEPT ? noted_ns : 0);
}
