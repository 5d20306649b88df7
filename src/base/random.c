/* SPDX-License-Identifier: MIT */
/* Seeding; see random.h. */
#include "base/random.h"

#include "base/clock.h"

#include <sys/random.h>

void weir__random_seed(struct weir__random *random)
{
    if (getrandom(random->state, sizeof random->state, GRND_NONBLOCK) != sizeof random->state) {
        random->state[0] = (uint64_t)weir__clock_now();
        random->state[1] = (uint64_t)(uintptr_t)random;
    }
    random->state[0] |= 1; /* an all-zero state would stay zero */
}
