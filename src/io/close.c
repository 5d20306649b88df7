/* SPDX-License-Identifier: MIT */
/*
 * Closing: first no new operation may begin on the descriptor, then those under way are ended and
 * waited for, then close(2). So none steals a byte from the peer afterwards, and none lands on a
 * number that was reused.
 *
 * close(2) blocks where nobody expects it (measured on 6.18: 2 s for a lingering socket with unsent
 * data, 0.3 s for the last name of a 2 GiB file, both inside io_uring's submission): what is not
 * proven quick goes to the pool.
 */
#include "io/close.h"

#include "base/kernel.h"
#include "core/park.h"
#include "io/descriptor.h"
#include "io/io.h"
#include "io/spare.h"

#include <weir/descriptor.h>

#include <errno.h>
#include <sys/socket.h>

/* A close that waits for operations to end. */
struct closer {
    struct weir__waiter waiter; /* in weir__io.closers */
    int fd;
};

enum weir__route weir__close_choose(const struct weir__op *op)
{
    enum weir__fd_kind kind = weir__descriptor_kind(op->fd);
    struct linger linger;
    socklen_t bytes = sizeof linger;

    if (kind != WEIR__FD_UNKNOWN && kind != WEIR__FD_PIPE && kind != WEIR__FD_SOCKET)
        return WEIR__ROUTE_POOL; /* a file */
    if (weir__kernel_getsockopt(op->fd, SOL_SOCKET, SO_LINGER, &linger, &bytes) >= 0)
        return linger.l_onoff && linger.l_linger > 0 ? WEIR__ROUTE_POOL : WEIR__ROUTE_INLINE;
    return weir__kernel_get_pipe_bytes(op->fd) >= 0 ? WEIR__ROUTE_INLINE : WEIR__ROUTE_POOL;
}

/* The number is forgotten just before close(2): as soon as the kernel has closed it, it may stand
 * for something new that another thread made. Just before: on the ring, others of this loop would
 * run between the two, and could begin an op, or a second close, on a number that is about to be
 * another's. */
int64_t weir__close_call(struct weir__op *op)
{
    weir__descriptor_forget(op->fd);
    return weir__kernel_close(op->fd);
}

/* How often an op holds the descriptor. */
static uint32_t times_held(const struct weir__op *op, int fd)
{
    return (uint32_t)(op->fd == fd) + (uint32_t)(op->row->holds_other && op->other_fd == fd);
}

static uint32_t count_among(const struct weir__list *ops, int fd)
{
    uint32_t count = 0;

    for (const struct weir__list *link = ops->next; link != ops; link = link->next)
        count += times_held(WEIR_CONTAINER_OF(link, struct weir__op, link), fd);
    return count;
}

/* Those of this loop. Nobody looks through its ops to find none. */
static uint32_t count_ops(struct weir__io *io, int fd)
{
    if (!weir__descriptor_is_busy(fd))
        return 0;
    return count_among(weir__io_ops(io, fd), fd) + count_among(weir__io_ops_of_two(io), fd);
}

static struct weir__op *find_unasked_among(struct weir__list *ops, int fd, bool only_calls)
{
    for (struct weir__list *link = ops->next; link != ops; link = link->next) {
        struct weir__op *op = WEIR_CONTAINER_OF(link, struct weir__op, link);

        if (times_held(op, fd) && !op->reason && (op->wait || !only_calls))
            return op;
    }
    return NULL;
}

/* One that has not been asked to end; NULL: all have. */
static struct weir__op *find_unasked(struct weir__io *io, int fd, bool only_calls)
{
    struct weir__op *op = find_unasked_among(weir__io_ops(io, fd), fd, only_calls);

    return op ? op : find_unasked_among(weir__io_ops_of_two(io), fd, only_calls);
}

void weir__close_notify(struct weir__io *io, int fd)
{
    struct weir__list *link = io->closers.next;

    if (weir__descriptor_is_busy(fd))
        return;
    while (link != &io->closers) {
        struct closer *closer = WEIR_CONTAINER_OF(link, struct closer, waiter.link);

        link = link->next;
        if (closer->fd == fd) {
            weir__list_unlink(&closer->waiter.link);
            weir__wait_fire(closer->waiter.wait, 0);
        }
    }
}

static const struct weir__reason awaits_calls = { "close: calls under way", WEIR_PHASE_PEER, NULL };

/* Asks every operation of this loop on `fd` to end, and parks until all have. To ask may bring
 * completions, by which standing ops leave their list: so each look begins anew. */
static void end_ops(struct weir__io *io, int fd)
{
    struct closer closer = { .waiter.wait = weir__wait_self(), .fd = fd };
    struct weir__op *op;

    while ((op = find_unasked(io, fd, false)))
        weir__op_interrupt(op, -EBADF);
    if (!count_ops(io, fd))
        return;
    weir__wait_begin(closer.waiter.wait, &awaits_calls, NULL);
    weir__list_append(&io->closers, &closer.waiter.link);
    weir__wait_park(closer.waiter.wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
}

void weir__close_end_calls(struct weir__io *io, int fd)
{
    struct weir__op *op;

    while ((op = find_unasked(io, fd, true)))
        weir__op_interrupt(op, -EBADF);
}

int weir_close(int fd)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__op op = { .fd = fd };
    uint32_t own_count;
    int result;

    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    own_count = count_ops(loop->io, fd);
    result = weir__descriptor_begin_close(fd, own_count);
    if (result < 0)
        return result;
    if (own_count)
        end_ops(loop->io, fd);
    result = (int)weir__op_run(WEIR__OP_ID_CLOSE, &op, WEIR_FOREVER);
    weir__spare_closed();
    return result;
}

void weir_forget(int fd)
{
    weir__descriptor_forget(fd);
}
