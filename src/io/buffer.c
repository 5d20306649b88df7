/* SPDX-License-Identifier: MIT */
/* Registering memory with all loops; see buffer.h. */
#include "io/buffer.h"

#include "base/error.h"
#include "base/kernel.h"
#include "core/park.h"
#include "pool/pool.h"
#include "ring/buffer.h"

#include <weir/runtime.h>

#include <stdio.h>
#include <unistd.h>

enum { WHY_BYTES = 512 };

/* Something to be done on the thread of a loop, with one slot. */
struct errand {
    struct weir__mail mail;
    struct weir__wait *wait;          /* of who waits for it */
    struct weir__ring_holder *holder; /* NULL: the loops pin for themselves */
    int (*run)(struct weir__loop *loop, struct errand *errand);
    char *base;
    size_t bytes;
    unsigned slot;
    int result;
};

static void deliver(struct weir__loop *loop, struct weir__mail *mail)
{
    struct errand *errand = WEIR_CONTAINER_OF(mail, struct errand, mail);

    errand->result = errand->run(loop, errand);
    weir__wait_fire(errand->wait, 0);
}

static const struct weir__reason awaits_errand = { "errand to another loop", WEIR_PHASE_TASK,
                                                   NULL };

/* Done when it returns, whatever happens to the task. */
static int run_on(struct weir__loop *loop, struct errand *errand,
                  int (*run)(struct weir__loop *loop, struct errand *errand))
{
    if (loop == weir__loop_current)
        return run(loop, errand);
    errand->run = run;
    errand->mail.deliver = deliver;
    errand->wait = &weir__loop_current->current->wait;
    weir__wait_begin(errand->wait, &awaits_errand, NULL);
    weir__loop_post(loop, &errand->mail);
    weir__wait_park(errand->wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
    return errand->result;
}

/* --- On loop 0, which gives out the slots. ---------------------------------------------------- */

static void count_regions(struct weir__loop *loop)
{
    uint64_t regions = 0, bytes = 0;

    for (unsigned slot = 0; slot < WEIR_BUFFERS_MAX; slot++) {
        regions += loop->io->regions[slot].base != NULL;
        bytes += loop->io->regions[slot].bytes;
    }
    weir__counter_set(&loop->counters, WEIR_BUFFERS_NOW, regions);
    weir__counter_raise(&loop->counters, WEIR_BUFFERS_NOW_MAX, regions);
    weir__counter_set(&loop->counters, WEIR_BUFFER_BYTES_NOW, bytes);
}

static bool overlaps(const struct weir__region *region, const struct errand *errand)
{
    return region->base && errand->base < region->base + region->bytes &&
           region->base < errand->base + errand->bytes;
}

static int reserve(struct weir__loop *loop, struct errand *errand)
{
    struct weir__region *regions = loop->io->regions;

    errand->slot = WEIR_BUFFERS_MAX;
    for (unsigned slot = WEIR_BUFFERS_MAX; slot-- > 0;) {
        if (overlaps(&regions[slot], errand))
            return -EEXIST;
        if (!regions[slot].base)
            errand->slot = slot;
    }
    if (errand->slot == WEIR_BUFFERS_MAX) {
        weir__counter_add(&loop->counters, WEIR_BUFFERS_REFUSED, 1);
        return -ENOBUFS;
    }
    regions[errand->slot] =
        (struct weir__region){ .base = errand->base, .bytes = errand->bytes, .settling = true };
    count_regions(loop);
    return 0;
}

static int settle(struct weir__loop *loop, struct errand *errand)
{
    loop->io->regions[errand->slot].settling = false;
    return 0;
}

static int find(struct weir__loop *loop, struct errand *errand)
{
    for (errand->slot = 0; errand->slot < WEIR_BUFFERS_MAX; errand->slot++) {
        struct weir__region *region = &loop->io->regions[errand->slot];

        if (region->base != errand->base)
            continue;
        if (region->settling)
            return -EBUSY;
        region->settling = true;
        return 0;
    }
    return -ENOENT;
}

static int release(struct weir__loop *loop, struct errand *errand)
{
    loop->io->regions[errand->slot] = (struct weir__region){ 0 };
    count_regions(loop);
    return 0;
}

/* --- On each loop. ---------------------------------------------------------------------------- */

static bool can_share(const struct weir__loop *loop)
{
    return loop->ring.features & WEIR_FEATURE_CLONE_BUFFERS;
}

static struct weir__ring_holder *holder_of(const struct weir__loop *loop)
{
    return &loop->runtime->loops[0]->io->holder;
}

static int take(struct weir__loop *loop, struct errand *errand)
{
    struct weir__io *io = loop->io;
    unsigned slot = errand->slot;
    int error;

    if (can_share(loop))
        error = weir__ring_buffer_share(&loop->ring, slot, holder_of(loop));
    else
        error = weir__ring_buffer_pin(&loop->ring, slot, errand->base, errand->bytes);
    if (error < 0)
        return error;
    io->regions[slot].base = errand->base;
    io->regions[slot].bytes = errand->bytes;
    io->regions[slot].in_use = true;
    if (io->region_count <= slot)
        io->region_count = slot + 1;
    return 0;
}

static int drop(struct weir__loop *loop, struct errand *errand)
{
    weir__ring_buffer_drop(&loop->ring, errand->slot);
    loop->io->regions[errand->slot].in_use = false;
    return 0;
}

/* --- On a pool thread. ------------------------------------------------------------------------ */

static int pin(void *arg)
{
    struct errand *errand = arg;
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)errand->base & ~(page_bytes - 1);

    if (errand->holder)
        return weir__ring_holder_pin(errand->holder, errand->slot, errand->base, errand->bytes);
    /* What cannot be done here the loops' own pinning will tell, in its own words. */
    weir__kernel_populate((void *)first, (uintptr_t)errand->base + errand->bytes - first);
    return 0;
}

static int unpin(void *arg)
{
    struct errand *errand = arg;

    weir__ring_holder_drop(errand->holder, errand->slot);
    return 0;
}

/* --- The calls. ------------------------------------------------------------------------------- */

/* Takes it back from the first `loop_count` loops, and then from the holder. */
static void take_back(struct weir__runtime *runtime, unsigned loop_count, struct errand *errand)
{
    for (unsigned i = 0; i < loop_count; i++)
        run_on(runtime->loops[i], errand, drop);
    if (errand->holder)
        weir__pool_call_release(runtime->pool, unpin, errand);
}

static int give(struct weir__runtime *runtime, struct errand *errand)
{
    int error = weir__pool_call(runtime->pool, pin, errand, WEIR_FOREVER);

    if (error < 0)
        return error;
    for (unsigned i = 0; i < runtime->loop_count; i++) {
        error = run_on(runtime->loops[i], errand, take);
        if (error < 0) {
            take_back(runtime, i, errand);
            return error;
        }
    }
    return 0;
}

static int explain(const struct weir__loop *loop, int error, size_t bytes)
{
    bool sharing = loop->runtime->loop_count == 1 || can_share(loop);
    char why[WHY_BYTES];

    if (error == -EEXIST)
        snprintf(why, sizeof why, "weir_buffer_register: EEXIST: it overlaps a registered region");
    else if (error == -ENOBUFS)
        snprintf(why, sizeof why,
                 "weir_buffer_register: ENOBUFS: %d regions are registered, and that is the bound; "
                 "register fewer and larger ones",
                 WEIR_BUFFERS_MAX);
    else
        weir__ring_buffer_explain(error, bytes, sharing, why, sizeof why);
    return weir__error_explain(error, "%s", why);
}

int weir_buffer_register(void *base, size_t bytes)
{
    struct weir__loop *loop = weir__loop_current;
    struct errand errand = { .base = base, .bytes = bytes };
    int error;

    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!base || bytes == 0 || bytes > WEIR_BUFFER_BYTES_MAX)
        return weir__error_explain(-EINVAL, "weir_buffer_register: EINVAL: a region has an address "
                                            "and at least one byte, at most 1 GiB");
    errand.holder = can_share(loop) ? holder_of(loop) : NULL;
    error = run_on(loop->runtime->loops[0], &errand, reserve);
    if (error < 0)
        return explain(loop, error, bytes);
    error = give(loop->runtime, &errand);
    run_on(loop->runtime->loops[0], &errand, error < 0 ? release : settle);
    return error < 0 ? explain(loop, error, bytes) : 0;
}

int weir_buffer_unregister(void *base)
{
    struct weir__loop *loop = weir__loop_current;
    struct errand errand = { .base = base };
    int error;

    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!base)
        return -ENOENT;
    errand.holder = can_share(loop) ? holder_of(loop) : NULL;
    error = run_on(loop->runtime->loops[0], &errand, find);
    if (error < 0)
        return error;
    take_back(loop->runtime, loop->runtime->loop_count, &errand);
    return run_on(loop->runtime->loops[0], &errand, release);
}
