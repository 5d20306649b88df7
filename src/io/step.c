/* SPDX-License-Identifier: MIT */
/* Copying in steps; see step.h. */
#include "io/step.h"

#include "base/clock.h"
#include "core/park.h"

#include <errno.h>

enum { STEP_VECTORS = 16 };

/* Where the next step begins. */
struct cursor {
    const struct iovec *vectors;
    size_t count;      /* of them, the present one included */
    size_t skip_bytes; /* of the present one */
};

/* The buffers of one step, in `window`. Returns their number, and their sum in *bytes. */
static int fill(const struct cursor *cursor, struct iovec *window, size_t *bytes)
{
    size_t skip_bytes = cursor->skip_bytes;
    int used = 0;

    *bytes = 0;
    for (size_t i = 0; i < cursor->count && used < STEP_VECTORS; i++) {
        size_t left_bytes = cursor->vectors[i].iov_len - skip_bytes;
        size_t room_bytes = WEIR__STEP_BYTES - *bytes;
        size_t part_bytes = left_bytes < room_bytes ? left_bytes : room_bytes;

        if (room_bytes == 0)
            break;
        if (part_bytes == 0)
            continue;
        window[used].iov_base = (char *)cursor->vectors[i].iov_base + skip_bytes;
        window[used++].iov_len = part_bytes;
        *bytes += part_bytes;
        skip_bytes = 0;
    }
    return used;
}

/* Leaves the cursor on a buffer that has bytes left, or at the end. */
static void advance(struct cursor *cursor, size_t bytes)
{
    while (cursor->count > 0 && bytes >= cursor->vectors->iov_len - cursor->skip_bytes) {
        bytes -= cursor->vectors->iov_len - cursor->skip_bytes;
        cursor->vectors++;
        cursor->count--;
        cursor->skip_bytes = 0;
    }
    cursor->skip_bytes += bytes;
}

/* Lets others run; false when the op shall end with what it has. */
static bool go_on(const struct weir__op *op)
{
    weir__sched_yield(weir__loop_current);
    if (op->reason || weir__wait_check() < 0)
        return false;
    return op->deadline_ns == WEIR_NOW || op->deadline_ns == WEIR_FOREVER ||
           op->deadline_ns > weir__clock_now();
}

int64_t weir__step_run(struct weir__op *op, const struct iovec *vectors, size_t count,
                       weir__step_fn *step, int flags, bool *blocked)
{
    struct cursor cursor = { vectors, count, 0 };
    int64_t done_bytes = 0;

    *blocked = false;
    for (;;) {
        struct iovec window[STEP_VECTORS];
        size_t asked_bytes;
        int used = fill(&cursor, window, &asked_bytes);
        int64_t got = step(op->fd, window, used, op->offset + done_bytes, flags);

        if (got == -EAGAIN || got == -EOPNOTSUPP) {
            *blocked = true;
            return done_bytes;
        }
        if (got <= 0) /* the end of the file, or an error: the next call will meet it */
            return done_bytes > 0 ? done_bytes : got;
        done_bytes += got;
        advance(&cursor, (size_t)got);
        if (cursor.count == 0)
            return done_bytes;
        if ((size_t)got == asked_bytes && !go_on(op))
            return done_bytes;
    }
}
