/* SPDX-License-Identifier: MIT */
/* Element by element, each until it has been handled. */
#include "base/memory.h"
#include "flow/call.h"
#include "sync/chan.h"

#include <errno.h>

enum { ELEM_STACK_BYTES = 256 }; /* an element up to this size is kept on the stack */

static int call_for_each(struct weir_chan *input, struct weir_chan *port, void *elem,
                         uint64_t *handled, int64_t deadline_ns)
{
    for (;;) {
        int result = weir_chan_recv(input, elem, deadline_ns);

        if (result < 0)
            return result == -EPIPE ? 0 : result;
        result = weir_call(port, elem, NULL, NULL, deadline_ns);
        if (result < 0) {
            weir__chan_discard(input, elem);
            return result;
        }
        ++*handled;
    }
}

int weir_each(struct weir_chan *input, struct weir_chan *port, uint64_t *handled,
              int64_t deadline_ns)
{
    _Alignas(16) unsigned char room[ELEM_STACK_BYTES];
    struct weir__port of = weir__port_of(port);
    size_t elem_bytes = weir_chan_elem_size(input);
    void *elem = room;
    uint64_t count = 0;
    int result;

    if (!input || !of.is_port || of.response_bytes || of.request_bytes != elem_bytes)
        return -EINVAL;
    if (elem_bytes > sizeof room) {
        elem = weir__memory_alloc(NULL, elem_bytes);
        if (!elem)
            return -ENOBUFS;
    }
    result = call_for_each(input, port, elem, &count, deadline_ns);
    if (handled)
        *handled = count;
    if (elem != room)
        weir__memory_free(elem);
    return result;
}
