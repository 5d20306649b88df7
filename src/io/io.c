/* SPDX-License-Identifier: MIT */
/* The io room's part in a loop; see io.h. */
#include "io/io.h"

#include "core/loop.h"
#include "io/clause.h"
#include "io/datagram.h"

#include <errno.h>

static atomic_uint next_home = 1; /* 0 is nobody; any thread, relaxed */

static const struct weir__reason awaits_submission = { "submission queue",
                                                       WEIR_PHASE_SUBMISSION_QUEUE, NULL };

static void init_credits(struct weir__io *io, const struct weir_options *options)
{
    struct weir__shares shares = weir__shares_of(options);
    size_t part = (size_t)options->submission_limit * options->background_percent / 100;

    for (int queue = WEIR__CLASS_UNBOUNDED + 1; queue < WEIR__CLASS_COUNT; queue++) {
        weir__credits_init(&io->credits[queue], &awaits_submission, options->submission_limit,
                           options->submission_when_full, options->submission_wait_ns);
        weir__credits_share(&io->credits[queue], &shares, part);
    }
}

int weir__io_init(struct weir__loop *loop)
{
    const struct weir_options *options = &loop->runtime->options;
    struct weir__io *io = weir__memory_zalloc(loop->heap, sizeof *io);

    if (!io)
        return -ENOMEM;
    io->home = atomic_fetch_add_explicit(&next_home, 1, memory_order_relaxed);
    for (int list = 0; list <= WEIR__IO_OP_LISTS; list++)
        weir__list_init(&io->ops[list]);
    weir__list_init(&io->closers);
    weir__ring_holder_init(&io->holder);
    init_credits(io, options);
    if (!(options->without_features & WEIR_FEATURE_UDP_SEGMENT) && weir__datagram_can_cut())
        loop->ring.features |= WEIR_FEATURE_UDP_SEGMENT;
    loop->io = io;
    return 0;
}

/* An op, of whatever descriptor; NULL: there is none. */
static struct weir__op *find_op(struct weir__io *io)
{
    for (int list = 0; list <= WEIR__IO_OP_LISTS; list++)
        if (!weir__list_empty(&io->ops[list]))
            return WEIR_CONTAINER_OF(io->ops[list].next, struct weir__op, link);
    return NULL;
}

void weir__io_stop(struct weir__loop *loop)
{
    struct weir__op *op;

    while ((op = find_op(loop->io))) {
        weir__op_interrupt(op, -ECANCELED);
        weir__ring_wait(&loop->ring, INT64_MAX);
    }
}

void weir__io_term(struct weir__loop *loop)
{
    for (int list = 0; list <= WEIR__IO_OP_LISTS; list++)
        WEIR_ASSERT(weir__list_empty(&loop->io->ops[list]));
    WEIR_ASSERT(weir__list_empty(&loop->io->closers));
    for (int queue = WEIR__CLASS_UNBOUNDED + 1; queue < WEIR__CLASS_COUNT; queue++)
        WEIR_ASSERT(loop->io->credits[queue].used == 0);
    weir__receive_pool_close(&loop->io->buffers);
    weir__ring_holder_term(&loop->io->holder);
    weir__clause_poll_term(loop->io);
    weir__memory_free(loop->io);
}
