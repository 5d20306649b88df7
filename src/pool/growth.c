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
    return 2 * growth->slept_ns > growth->run_ns;
}

enum weir__growth_answer weir__growth_ask(const struct weir__growth *growth,
                                          const struct weir__growth_look *look)
{
    bool has_cpu = look->active_count < growth->parallel || jobs_sleep(growth);
    int64_t left_ns;

    if (look->ready_count == 0)
        return WEIR__GROWTH_NONE;
    if (look->active_count == 0)
        return WEIR__GROWTH_NEW;
    if (look->now_ns - look->oldest_ns >= growth->after_ns) {
        if (has_cpu || look->now_ns - growth->taken_ns >= growth->after_ns)
            return WEIR__GROWTH_NEW;
        return WEIR__GROWTH_NONE;
    }
    /* How long those who work now would take to be through with it. */
    left_ns = (int64_t)look->ready_count * growth->run_ns / look->active_count;
    return has_cpu && left_ns > WEIR__GROWTH_WAKE_NS ? WEIR__GROWTH_IDLE : WEIR__GROWTH_NONE;
}

void weir__growth_note(struct weir__growth *growth, int64_t run_ns, bool slept)
{
    int64_t noted_ns = run_ns < NOTED_NS ? run_ns : NOTED_NS;

    growth->run_ns += (noted_ns - growth->run_ns) / WEIGHT;
    growth->slept_ns += ((slept ? noted_ns : 0) - growth->slept_ns) / WEIGHT;
}
