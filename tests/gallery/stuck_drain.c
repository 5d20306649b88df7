/* SPDX-License-Identifier: MIT */
/* The task that drains a queue waits for something else, and the queue behind it fills up.
 * Repaired: the slow errand has a deadline. */
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

/* Until the line is reported, or has ended. */
static int run_line(bool has_deadline)
{
    struct line line = { .has_deadline = has_deadline };
    const struct weir_chan_options options = { .name = "orders" };
    const struct weir_spawn_options named = { .name = "drain" };
    struct weir_scope *scope;
    int error;

    if (weir_chan_create(&line.orders, sizeof(int), CAPACITY, &options) < 0 ||
        weir_chan_create(&line.bank, sizeof(int), 0, NULL) < 0 ||
        weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL) < 0)
        return -1;
    error = weir_spawn(scope, drain, &line, &named);
    if (error >= 0)
        error = weir_spawn(scope, produce, &line, NULL);
    if (error >= 0 && !has_deadline)
        error = gallery_await();
    if (error < 0 || !has_deadline)
        weir_scope_cancel(scope);
    weir_scope_join(scope, WEIR_FOREVER);
    weir_chan_release(line.orders);
    weir_chan_release(line.bank);
    return error;
}

int wrong(void *arg)
{
    (void)arg;
    return run_line(false);
}

int repaired(void *arg)
{
    (void)arg;
    return run_line(true);
}
