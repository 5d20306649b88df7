/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O; the chapter is <weir/direct.h>.
 *
 * The ring is asked with RWF_NOWAIT: what would need a thread of the kernel's own comes back as
 * -EAGAIN, with nothing done or with what a second write of the same bytes does again, and the pool
 * does it. So a refusal costs one trip, hidden threads never appear, and each refusal is seen and
 * counted exactly. (Measured on 6.18: ext4 refuses writes that extend and whatever meets pages in
 * the cache; XFS and btrfs refuse every write, for their time stamps or their copies.)
 */
#include "io/direct.h"

#include "base/counter.h"
#include "base/memory.h"
#include "core/loop.h"
#include "io/descriptor.h"
#include "io/io.h"

#include <weir/attribute.h>
#include <weir/direct.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* What nearly every disk's file takes, and what stands in where nobody says. */
enum { ASSUMED_BYTES = 4096 };

static const char bad_memory[] =
    "the buffer's address is not a multiple of the file's memory_bytes (weir_direct_alignment)";
static const char bad_offset[] =
    "the offset is not a multiple of the file's offset_bytes (weir_direct_alignment)";
static const char bad_length[] =
    "the length is not a multiple of the file's offset_bytes (weir_direct_alignment)";

static const char *misfit(int fd, uintptr_t addresses, size_t bytes, off_t offset)
{
    struct weir__direct_facts facts = weir__descriptor_direct(fd);

    if (!facts.is_known)
        return NULL;
    if (addresses % facts.memory_bytes)
        return bad_memory;
    if ((uint64_t)offset % facts.offset_bytes)
        return bad_offset;
    return bytes % facts.offset_bytes ? bad_length : NULL;
}

const char *weir__direct_misfit(const struct weir__op *op)
{
    return misfit(op->fd, (uintptr_t)op->address, op->length, op->offset);
}

/* How long each part must be is the device's affair; of their sum more is known. */
const char *weir__direct_misfit_vectors(const struct weir__op *op)
{
    const struct iovec *vectors = op->address;
    uintptr_t addresses = 0; /* their low bits */
    size_t bytes = 0;

    for (size_t i = 0; i < op->length; i++) {
        addresses |= vectors[i].iov_len ? (uintptr_t)vectors[i].iov_base : 0;
        bytes += vectors[i].iov_len;
    }
    return misfit(op->fd, addresses, bytes, op->offset);
}

static void count(const struct weir__op *op, bool is_rerouted)
{
    struct weir__loop *loop = op->wait->loop;
    struct weir__row_stats *row = &loop->io->rows[op->row - weir__op_rows];
    _Atomic uint64_t *figure = is_rerouted ? &row->rerouted : &row->refused;

    /* relaxed, and no read-modify-write: the loop is the only writer */
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    weir__counter_add(&loop->counters, is_rerouted ? WEIR_OPS_REROUTED : WEIR_OPS_REFUSED, 1);
}

enum weir__route weir__direct_choose(const struct weir__op *op, bool is_write)
{
    bool appends =
        is_write && ((op->flags & RWF_APPEND) || weir__descriptor_direct(op->fd).appends);

    if (!appends && !weir__descriptor_is_refusing(op->fd, is_write))
        return WEIR__ROUTE_RING;
    weir__descriptor_note_direct(op->fd, is_write, false);
    count(op, true);
    return WEIR__ROUTE_POOL;
}

static bool is_refused(struct weir__op *op, bool is_write)
{
    bool refused = op->result == -EAGAIN || op->result == -EOPNOTSUPP;

    if (weir__descriptor_kind(op->fd) != WEIR__FD_DIRECT || op->result == 0)
        return false;
    weir__descriptor_note_direct(op->fd, is_write, refused);
    if (refused)
        count(op, false);
    return refused && !op->reason;
}

bool weir__direct_refused_read(struct weir__op *op)
{
    return is_refused(op, false);
}

bool weir__direct_refused_write(struct weir__op *op)
{
    return is_refused(op, true);
}

/* --- the chapter ------------------------------------------------------------------------------ */

int weir_direct_alignment(int fd, struct weir_direct_alignment *alignment, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct statx file = { 0 };
    int error;

    if (!alignment)
        return -EINVAL;
    *alignment = (struct weir_direct_alignment){ ASSUMED_BYTES, ASSUMED_BYTES, false, { 0 } };
    error = weir_statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &file, deadline_ns);
    if (error < 0 || !(file.stx_mask & STATX_DIOALIGN) ||
        !(loop->ring.features & WEIR_FEATURE_DIOALIGN))
        return error;
    if (file.stx_dio_mem_align == 0 || file.stx_dio_offset_align == 0)
        return -EOPNOTSUPP;
    alignment->memory_bytes = file.stx_dio_mem_align;
    alignment->offset_bytes = file.stx_dio_offset_align;
    alignment->is_known = true;
    return 0;
}

/* The block that was got lies just before the page that is given out. */
void *weir_direct_alloc(size_t bytes)
{
    size_t rounded_bytes = (bytes + ASSUMED_BYTES - 1) & ~(size_t)(ASSUMED_BYTES - 1);
    char *block, *aligned;

    if (rounded_bytes < bytes || rounded_bytes > SIZE_MAX / 2)
        return NULL;
    block = weir__memory_alloc(NULL, rounded_bytes + ASSUMED_BYTES + sizeof block);
    if (!block)
        return NULL;
    aligned = block + sizeof block + ASSUMED_BYTES - 1;
    aligned -= (uintptr_t)aligned % ASSUMED_BYTES;
    memcpy(aligned - sizeof block, &block, sizeof block);
    return aligned;
}

void weir_direct_free(void *buffer)
{
    char *block;

    if (!buffer)
        return;
    memcpy(&block, (char *)buffer - sizeof block, sizeof block);
    weir__memory_free(block);
}

const char *weir_direct_explain(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return misfit(fd, (uintptr_t)buffer, bytes, offset);
}
