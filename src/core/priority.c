/* SPDX-License-Identifier: MIT */
/* Shares of the classes, and the class of the calling task; see priority.h. */
#include "core/priority.h"

#include "base/assert.h"
#include "core/park.h"
#include "core/task.h"

#include <weir/runtime.h>

#include <errno.h>
#include <string.h>

/* The most urgent first. */
static const enum weir_priority order[WEIR_PRIORITY_COUNT] = {
    WEIR_PRIORITY_LATENCY,
    WEIR_PRIORITY_NORMAL,
    WEIR_PRIORITY_BACKGROUND,
};

const struct weir__shares weir__shares_standard = {
    .whole = { [WEIR_PRIORITY_LATENCY] = 8,
               [WEIR_PRIORITY_NORMAL] = 4,
               [WEIR_PRIORITY_BACKGROUND] = 1 },
};

struct weir__shares weir__shares_of(const struct weir_options *options)
{
    return (struct weir__shares){
        .whole = { [WEIR_PRIORITY_LATENCY] = (uint8_t)options->share_latency,
                   [WEIR_PRIORITY_NORMAL] = (uint8_t)options->share_normal,
                   [WEIR_PRIORITY_BACKGROUND] = (uint8_t)options->share_background },
    };
}

enum weir_priority weir__shares_take(struct weir__shares *shares, unsigned waiting)
{
    for (int cycle = 0; cycle < 2; cycle++) {
        for (int i = 0; i < WEIR_PRIORITY_COUNT; i++) {
            enum weir_priority class = order[i];

            if ((waiting >> class & 1) && shares->left[class]) {
                shares->left[class]--;
                return class;
            }
        }
        memcpy(shares->left, shares->whole, sizeof shares->left);
    }
    WEIR_DIE("a turn was taken for nobody");
}

int weir_set_priority(enum weir_priority priority)
{
    if (priority > WEIR_PRIORITY_BACKGROUND)
        return -EINVAL;
    weir__inherited_self()->priority = priority;
    return 0;
}

enum weir_priority weir_priority(void)
{
    return weir__inherited_self()->priority;
}
