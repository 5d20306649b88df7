/* SPDX-License-Identifier: MIT */
/* Copying between descriptors; the chapter is <weir/copy.h>. */
#include "io/copy.h"

#include "base/clock.h"
#include "base/kernel.h"
#include "io/descriptor.h"

#include <weir/attribute.h>
#include <weir/copy.h>
#include <weir/descriptor.h>
#include <weir/direct.h>
#include <weir/file.h>
#include <weir/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

enum {
    STEP_BYTES = 4 * 1024 * 1024, /* a few ms of copying; the pool's part is under 1 % of it */
    PLAIN_BYTES = 256 * 1024,
    CALL_BYTES_MAX = 0x7ffff000, /* what the kernel transfers in one call, at most */
};

/* Pause after a splice that moved nothing though both sides were ready. */
static const int64_t pause_ns = 1000000;

/* A copy on its way. */
struct copy {
    int source_fd;
    int target_fd;
    off_t source_offset; /* where the next step begins */
    off_t target_offset;
    uint64_t left_bytes; /* to the end asked for */
    uint64_t done_bytes;
    size_t step_bytes;
};

int64_t weir__copy_call_range(struct weir__op *op)
{
    return weir__kernel_copy_file_range(op->fd, op->address, op->other_fd, op->other_address,
                                        op->length);
}

ssize_t weir_copy_file_range(int source_fd, off_t source_offset, int target_fd, off_t target_offset,
                             size_t bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = source_fd, .address = &source_offset, .other_fd = target_fd };

    if (source_offset < 0 || target_offset < 0)
        return -EINVAL;
    op.other_address = &target_offset;
    op.length = bytes < CALL_BYTES_MAX ? bytes : CALL_BYTES_MAX;
    return weir__op_run(WEIR__OP_ID_COPY_FILE_RANGE, &op, deadline_ns);
}

static void advance(struct copy *copy, size_t bytes)
{
    copy->source_offset += (off_t)bytes;
    copy->target_offset += (off_t)bytes;
    copy->left_bytes -= bytes;
    copy->done_bytes += bytes;
}

static size_t step_of(const struct copy *copy, size_t most_bytes)
{
    return copy->left_bytes < most_bytes ? (size_t)copy->left_bytes : most_bytes;
}

/* By the kernel. 0; 1 this is not for the kernel, as far as it came; -errno. */
static int copy_in_kernel(struct copy *copy, int64_t deadline_ns)
{
    while (copy->left_bytes > 0) {
        ssize_t got =
            weir_copy_file_range(copy->source_fd, copy->source_offset, copy->target_fd,
                                 copy->target_offset, step_of(copy, copy->step_bytes), deadline_ns);

        if (got == -EXDEV || got == -EOPNOTSUPP || got == -ENOSYS)
            return 1;
        if (got < 0)
            return (int)got;
        if (got == 0)
            return copy->done_bytes == 0; /* the end, or one of those that claim to be empty */
        advance(copy, (size_t)got);
    }
    return 0;
}

/* Whether they are one file and the ranges meet: copied from the front, bytes would be read that
 * were just written. The kernel looks at a step only, as far as the file goes: copied behind itself
 * up to its end, a file would grow until the disk is full. */
static int check_overlap(const struct copy *copy, int64_t deadline_ns)
{
    struct statx source, target;
    off_t apart = copy->source_offset - copy->target_offset;
    int error = weir_statx(copy->source_fd, "", AT_EMPTY_PATH, STATX_INO, &source, deadline_ns);

    if (error >= 0)
        error = weir_statx(copy->target_fd, "", AT_EMPTY_PATH, STATX_INO, &target, deadline_ns);
    if (error < 0)
        return error;
    if (source.stx_ino != target.stx_ino || source.stx_dev_major != target.stx_dev_major ||
        source.stx_dev_minor != target.stx_dev_minor)
        return 0;
    return (uint64_t)(apart < 0 ? -apart : apart) < copy->left_bytes ? -EINVAL : 0;
}

/* By reading and writing. */
static int copy_through(struct copy *copy, char *buffer, int64_t deadline_ns)
{
    while (copy->left_bytes > 0) {
        size_t written_bytes;
        ssize_t got = weir_pread(copy->source_fd, buffer, step_of(copy, PLAIN_BYTES),
                                 copy->source_offset, deadline_ns);
        ssize_t put;

        if (got <= 0)
            return (int)got;
        put = weir_pwrite_all(copy->target_fd, buffer, (size_t)got, copy->target_offset,
                              &written_bytes, deadline_ns);
        advance(copy, written_bytes);
        if (put < 0)
            return (int)put;
    }
    return 0;
}

static int copy_plainly(struct copy *copy, int64_t deadline_ns)
{
    char *buffer = weir_direct_alloc(PLAIN_BYTES);
    int error;

    if (!buffer)
        return -ENOMEM;
    error = copy_through(copy, buffer, deadline_ns);
    weir_direct_free(buffer);
    return error;
}

static bool is_options(const struct weir_copy_options *options)
{
    if (options->size && options->size != sizeof *options)
        return false;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return false;
    return true;
}

int weir_copy(int source_fd, off_t source_offset, int target_fd, off_t target_offset,
              uint64_t bytes, const struct weir_copy_options *options, uint64_t *copied_bytes,
              int64_t deadline_ns)
{
    struct copy copy = { source_fd, target_fd, source_offset, target_offset, bytes, 0, STEP_BYTES };
    bool plain = options && options->plain;
    int error;

    if (copied_bytes)
        *copied_bytes = 0;
    if (source_offset < 0 || target_offset < 0 || (options && !is_options(options)))
        return -EINVAL;
    if (options && options->step_bytes)
        copy.step_bytes = options->step_bytes;
    error = check_overlap(&copy, deadline_ns);
    if (error >= 0)
        error = plain ? 1 : copy_in_kernel(&copy, deadline_ns);
    if (error > 0)
        error = copy_plainly(&copy, deadline_ns);
    if (copied_bytes)
        *copied_bytes = copy.done_bytes;
    return error;
}

int64_t weir__copy_call_splice(struct weir__op *op)
{
    return weir__kernel_splice(op->fd, op->address, op->other_fd, op->other_address, op->length,
                               (unsigned)op->flags | SPLICE_F_NONBLOCK);
}

int64_t weir__copy_call_sendfile(struct weir__op *op)
{
    off_t offset = op->offset;

    return weir__kernel_sendfile(op->fd, op->other_fd, &offset, op->length);
}

/* Waits until a side that can be waited for is ready. */
static int await_ready(int fd, short event, int64_t deadline_ns)
{
    int is_stream = weir__descriptor_is_stream(fd);

    return is_stream > 0 ? weir_poll(fd, event, deadline_ns) : is_stream;
}

ssize_t weir_splice(int source_fd, off_t *source_offset, int target_fd, off_t *target_offset,
                    size_t bytes, unsigned flags, int64_t deadline_ns)
{
    for (;;) {
        struct weir__op op = { .fd = source_fd, .address = source_offset, .other_fd = target_fd };
        int64_t result;
        int error = await_ready(source_fd, POLLIN, deadline_ns);

        if (error >= 0)
            error = await_ready(target_fd, POLLOUT, deadline_ns);
        if (error < 0)
            return error;
        op.other_address = target_offset;
        op.length = bytes < CALL_BYTES_MAX ? bytes : CALL_BYTES_MAX;
        op.flags = (int)flags;
        result = weir__op_run(WEIR__OP_ID_SPLICE, &op, deadline_ns);
        if (result != -EAGAIN || deadline_ns == WEIR_NOW)
            return result;
        error = weir_sleep(weir__clock_add(weir__clock_now(), pause_ns));
        if (error < 0)
            return error;
    }
}
