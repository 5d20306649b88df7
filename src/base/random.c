/* SPDX-License-Identifier: MIT */
/* Seeding; see random.h. */
#include "base/random.h"

#include "base/clock.h"

#include <sys/random.h>

void weir__random_seed(struct weir__random *random)
{
    if (getrandom(&random->state, sizeof random->state, GRND_NONBLOCK) != sizeof random->state)
        random->state = (uint64_t)weir__clock_now() ^ (uint64_t)(uintptr_t)random;
}
