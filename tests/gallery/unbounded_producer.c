/* SPDX-License-Identifier: MIT */
/* A task for each piece of work, however many there are already. Repaired: the scope has a limit,
 * and whoever is refused waits for one to end. */
#include "gallery.h"

enum { MANY = 100000, LIMIT = 16 };

static int work(void *arg)
{
    struct weir_chan *ends = arg;

    return weir_chan_recv(ends, NULL, WEIR_FOREVER) < 0 ? 0 : -1; /* slow: until it is closed */
}

int wrong(void *arg)
{
    const struct weir_scope_options named = { .name = "requests" };
    struct weir_scope *scope;
    struct weir_chan *ends;
    int error = 0;

    (void)arg;
    if (weir_chan_create(&ends, 0, 0, NULL) < 0 ||
        weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &named) < 0)
        return -1;
    for (int i = 0; i < MANY && error >= 0 && !gallery_is_reported(); i++) {
        error = weir_spawn(scope, work, ends, NULL);
        if (error >= 0 && i % LIMIT == 0)
            error = weir_sleep(weir_in_us(100)); /* requests arrive */
    }
    weir_chan_close(ends, 0);
    weir_scope_join(scope, WEIR_FOREVER);
    weir_chan_release(ends);
    return error;
}

static int work_briefly(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_us(100));
}

int repaired(void *arg)
{
    const struct weir_scope_options bounded = { .name = "requests", .limit = LIMIT };
    const struct weir_spawn_options waiting = { .wait_ns = INT64_MAX };
    struct weir_scope *scope;
    int error = 0;

    (void)arg;
    if (weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &bounded) < 0)
        return -1;
    for (int i = 0; i < 10 * LIMIT && error >= 0; i++)
        error = weir_spawn(scope, work_briefly, NULL, &waiting);
    return weir_scope_join(scope, WEIR_FOREVER) < 0 ? -1 : error;
}
