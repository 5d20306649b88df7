/* SPDX-License-Identifier: MIT */
/* Reduce: the calling task, or thread, takes all. */
#include "base/memory.h"
#include "flow/stage.h"
#include "sync/chan.h"

#include <errno.h>

enum { STACK_BYTES = 256 }; /* an element up to this size is received onto the stack */

/* Until the end: 0 at the end of the input; WEIR_STOP; or an error. */
static int take_all(struct weir_chan *input, void *elem, weir_reduce_fn *fn, void *context,
                    int64_t deadline_ns)
{
    int code;

    for (;;) {
        code = weir_chan_recv(input, elem, deadline_ns);
        if (code < 0)
            return code == -EPIPE ? 0 : code;
        code = fn(elem, context);
        if (code < 0)
            weir__chan_discard(input, elem);
        if (code < 0 || code == WEIR_STOP)
            return code;
    }
}

int weir_reduce(struct weir_chan *input, weir_reduce_fn *fn, void *context, unsigned flags,
                int64_t deadline_ns)
{
    _Alignas(16) unsigned char room[STACK_BYTES];
    void *elem = room;
    int code;

    if (!input || !fn || (flags & ~(unsigned)WEIR_STAGE_ABORT_INPUT))
        return -EINVAL;
    if (weir_chan_elem_size(input) > sizeof room)
        elem = weir__memory_alloc(NULL, weir_chan_elem_size(input));
    if (!elem)
        return -ENOBUFS;
    code = take_all(input, elem, fn, context, deadline_ns);
    if (elem != room)
        weir__memory_free(elem);
    if (code != 0 && (flags & WEIR_STAGE_ABORT_INPUT))
        weir_chan_abort(input, code < 0 ? code : 0);
    return code < 0 ? code : 0;
}
