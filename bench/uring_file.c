/* SPDX-License-Identifier: MIT */
/*
 * Hand-written liburing: one slot per operation in flight, a whole batch submitted and awaited in
 * one enter, the whole completion queue reaped at once.
 *
 * An append is a write linked to its fdatasync, so that both cost one trip.
 */
#include "file.h"
#include "ring_twin.h"

enum {
    STEP_BLOCK, /* a read or write of a block */
    STEP_SYNC,
};

struct uring_file {
    struct io_uring ring;
    struct file_job *job;
    unsigned in_flight;
};

static void start(struct uring_file *loop, unsigned slot)
{
    struct file_job *job = loop->job;
    struct io_uring_sqe *sqe = ring_twin_sqe(&loop->ring);
    char *buffer = file_buffer(job, slot);
    uint64_t offset = file_next_offset(job);

    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        io_uring_prep_read(sqe, job->fd, buffer, FILE_BLOCK_BYTES, offset);
    else
        io_uring_prep_write(sqe, job->fd, buffer, FILE_BLOCK_BYTES, offset);
    io_uring_sqe_set_data64(sqe, slot << 1 | STEP_BLOCK);
    if (job->kind == FILE_APPEND_FSYNC) {
        io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
        sqe = ring_twin_sqe(&loop->ring);
        io_uring_prep_fsync(sqe, job->fd, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, slot << 1 | STEP_SYNC);
    }
    loop->in_flight++;
}

static void complete(struct uring_file *loop, const struct io_uring_cqe *cqe)
{
    unsigned slot = (unsigned)cqe->user_data >> 1;

    if ((cqe->user_data & 1) == STEP_SYNC)
        trial_check(cqe->res, "fdatasync on the ring");
    else
        file_check(cqe->res, "a block on the ring");
    if (loop->job->kind == FILE_APPEND_FSYNC && (cqe->user_data & 1) == STEP_BLOCK)
        return; /* its fdatasync ends the operation */
    loop->in_flight--;
    if (meter_count(&loop->job->meter))
        start(loop, slot);
}

void uring_file(struct file_job *job)
{
    struct uring_file loop = { .job = job };
    struct io_uring_cqe *cqe;
    unsigned head, reaped;

    trial_check(ring_twin_open(&loop.ring, 256), "io_uring_setup");
    for (unsigned slot = 0; slot < job->depth; slot++)
        start(&loop, slot);
    while (loop.in_flight > 0) {
        ring_twin_wait(&loop.ring, 0);
        reaped = 0;
        io_uring_for_each_cqe(&loop.ring, head, cqe)
        {
            complete(&loop, cqe);
            reaped++;
        }
        io_uring_cq_advance(&loop.ring, reaped);
    }
    io_uring_queue_exit(&loop.ring);
}
