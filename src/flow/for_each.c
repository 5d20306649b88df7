/* SPDX-License-Identifier: MIT */
/* A parallel loop: a scope of a few tasks that share a counter. */
#include "core/local.h"
#include "core/park.h"
#include "core/scope.h"
#include "core/task.h"
#include "flow/options.h"

#include <weir/for_each.h>

#include <errno.h>

struct items {
    size_t count;
    weir_item_fn *fn;
    void *context;
    int *results; /* may be NULL; each by who does the item */
    bool collect;
    struct weir__inherited inherited; /* the caller's, borrowed: what each item begins with */
    atomic_size_t next;               /* relaxed: the spawns and ends order the rest */
    atomic_size_t done_count;         /* with success; relaxed, likewise */
    atomic_int first_error;           /* of an item; relaxed, likewise */
};

/* Each failure is told: by the call's result, or in `results`. */
static void hear(void *context, const struct weir_failure *failure)
{
    (void)context;
    (void)failure;
}

static int do_item(struct items *items, size_t index, int64_t deadline_ns)
{
    struct weir__inherited *own = weir__inherited_self();
    int result, none = 0;

    weir__inherited_replace(own, &items->inherited);
    own->deadline_ns = deadline_ns;
    result = items->fn(index, items->context);
    if (items->results)
        items->results[index] = result;
    if (result >= 0)
        atomic_fetch_add_explicit(&items->done_count, 1, memory_order_relaxed);
    else if (result != -ECANCELED || !weir_cancelled())
        atomic_compare_exchange_strong_explicit(&items->first_error, &none, result,
                                                memory_order_relaxed, memory_order_relaxed);
    return result;
}

/* Takes items until none is left, the task is cancelled, or an error ends the items. */
static int work(void *arg)
{
    struct items *items = arg;
    int64_t deadline_ns = weir_deadline_ns(); /* an item may change its own */

    for (;;) {
        size_t index;
        int error = weir__wait_check();

        if (error < 0)
            return error;
        index = atomic_fetch_add_explicit(&items->next, 1, memory_order_relaxed);
        if (index >= items->count)
            return 0;
        error = do_item(items, index, deadline_ns);
        if (error < 0 && !items->collect) {
            weir_scope_cancel(weir_task_scope());
            return error;
        }
        weir__wait_settle(NULL); /* items that never park starve nobody */
    }
}

/* As many tasks as may be and can be had; spread over the loops, from the caller's on. One for
 * another loop may still find no stack there, and end with an error: it is none of an item's. */
static int begin(struct weir_scope *scope, struct items *items,
                 const struct weir_for_each_options *options, const void *spawned_at)
{
    const struct weir__loop *here = weir__loop_current;
    unsigned parallelism = options->parallelism ? options->parallelism : 1;
    struct weir_spawn_options task = {
        .name = options->name ? options->name : "for each",
        .stack_bytes = options->stack_bytes,
        .place = WEIR_PLACE_LOOP,
    };

    for (unsigned i = 0; i < parallelism && i < items->count; i++) {
        int error;

        task.loop_index = here->index;
        if (options->everywhere)
            task.loop_index = (here->index + i) % here->runtime->loop_count;
        error = weir__task_spawn(scope, work, items, &task, spawned_at);
        if (error < 0)
            return i > 0 && error == -EAGAIN ? 0 : error;
    }
    return 0;
}

static int run(struct items *items, const struct weir_for_each_options *options,
               int64_t deadline_ns, const void *spawned_at)
{
    static const struct weir_scope_options scope_options = { .name = "for each",
                                                             .on_failure = hear };
    struct weir_scope *scope;
    int error = weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &scope_options);
    int joined, first;

    if (error < 0)
        return error;
    weir__scope_promise_deadline(scope, deadline_ns);
    error = begin(scope, items, options, spawned_at);
    if (error < 0)
        weir_scope_cancel(scope);
    joined = weir_scope_join(scope, deadline_ns);
    first = atomic_load_explicit(&items->first_error, memory_order_relaxed);
    if (first < 0)
        return first;
    if (atomic_load_explicit(&items->done_count, memory_order_relaxed) == items->count)
        return 0; /* a deadline that came too late hides nothing */
    return error < 0 ? error : joined;
}

int weir_for_each(size_t count, weir_item_fn *fn, void *context,
                  const struct weir_for_each_options *options, int64_t deadline_ns)
{
    static const struct weir_for_each_options defaults;
    struct items items = { .count = count, .fn = fn, .context = context };
    int error;

    options = options ? options : &defaults;
    error = weir__options_check(options->size, sizeof *options, options->reserved, options->name);
    if (error < 0)
        return error;
    if (!fn)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    items.results = options->results;
    items.collect = options->collect;
    items.inherited = *weir__inherited_self();
    for (size_t i = 0; items.results && i < count; i++)
        items.results[i] = -ECANCELED;
    return run(&items, options, deadline_ns, __builtin_return_address(0));
}
