/* SPDX-License-Identifier: MIT */
/* Each loop waits in a blocking call: no request is answered, and no CPU is busy. Repaired: the
 * calls on the pool. */
#include "gallery.h"

#include <unistd.h>

const char gallery_awaits[] = "all 2 loops";

void gallery_options(struct weir_options *options)
{
    options->loop_count = 2;
    options->blocking_check = WEIR_BLOCKING_CHECK_OFF; /* it would name the calls at once */
}

static int query(void *arg)
{
    char byte;

    (void)arg;
    return read(gallery_descriptor(), &byte, 1) == 1 ? 0 : -1;
}

/* The same call, where it may wait. */
static int query_on_pool(void *arg)
{
    int fds[2];
    char byte = 'x';

    (void)arg;
    if (pipe(fds) < 0 || write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
        return -1;
    close(fds[0]);
    return close(fds[1]);
}

static int run_query(void *arg)
{
    return weir_pool_run(query_on_pool, arg, WEIR_FOREVER);
}

static int on_each_loop(weir_task_fn *fn)
{
    struct weir_scope *scope;

    if (weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL) < 0)
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        const struct weir_spawn_options options = { .name = "query",
                                                    .place = WEIR_PLACE_LOOP,
                                                    .loop_index = i };

        if (weir_spawn(scope, fn, NULL, &options) < 0)
            weir_scope_cancel(scope);
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

int wrong(void *arg)
{
    (void)arg;
    return on_each_loop(query);
}

int repaired(void *arg)
{
    (void)arg;
    return on_each_loop(run_query);
}
