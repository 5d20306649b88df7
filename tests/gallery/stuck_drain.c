/* SPDX-License-Identifier: MIT */
/* The task that drains a queue waits for something else, and the queue behind it fills up. Repaired:
 * the slow errand has a deadline. */
#include "gallery.h"

#include <errno.h>

enum { CAPACITY = 4, COUNT = 16 };

struct line {
    struct weir_chan *orders;
    struct weir_chan *bank; /* nobody answers there */
    bool has_deadline;
};

static int ask_bank(const struct line *line)
{
    int answer;
    int64_t deadline_ns = line->has_deadline ? weir_in_ms(1) : WEIR_FOREVER;
    int error = weir_chan_recv(line->bank, &answer, deadline_ns);

    return error == -ETIME ? 0 : error; /* the order is done without it */
}

static int drain(void *arg)
{
    const struct line *line = arg;
    int order;

    while (weir_chan_recv(line->orders, &order, WEIR_FOREVER) == 0)
        if (ask_bank(line) < 0)
            return 0; /* the bank has closed */
    return 0;
}

static int produce(void *arg)
{
    const struct line *line = arg;

    for (int i = 0; i < COUNT; i++)
        if (weir_chan_send(line->orders, &i, WEIR_FOREVER) < 0)
            return 0;
    return weir_chan_close(line->orders, 0);
}
