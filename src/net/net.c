/* SPDX-License-Identifier: MIT */
/* The net room's part in a loop; see net.h. */
#include "net/net.h"

#include "core/loop.h"
#include "net/stream.h"

#include <errno.h>

int weir__net_init(struct weir__loop *loop)
{
    struct weir__net *net = weir__memory_zalloc(loop->heap, sizeof *net);

    if (!net)
        return -ENOMEM;
    net->loop = loop;
    weir__list_init(&net->doubtful);
    weir__timer_init(&net->sweep, weir__stream_sweep);
    loop->net = net;
    return 0;
}

void weir__net_term(struct weir__loop *loop)
{
    weir__timer_disarm(&loop->wheel, &loop->net->sweep);
    weir__stream_drop_blocks(loop->net);
    weir__memory_free(loop->net);
}
