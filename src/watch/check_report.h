/* SPDX-License-Identifier: MIT */
/*
 * The thread that reports what was filed, to the program or to standard error. It may take locks
 * that the stopped thread holds only if that thread goes on: in abort mode the wait for it ends.
 */
#ifndef WEIR_WATCH_CHECK_REPORT_H
#define WEIR_WATCH_CHECK_REPORT_H

#include "watch/check_range.h"
#include "watch/check_site.h"

#include <weir/blocking.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { WEIR__CHECK_TEXT_BYTES = 8192 };

struct weir__check_reporter {
    const struct weir__check_ranges *ranges;
    struct weir__check_sites *sites;
    const char *allow[2]; /* names, with commas between them; NULL: none */
    void (*on_call)(void *context, const struct weir_blocking_call *call);
    void *context;
    bool aborts;
    int tally_fd; /* for weir-check; -1: nobody counts */

    pthread_t thread;
    atomic_uint rings; /* a futex: grows with what is filed or wanted, and at the end */
    atomic_uint refreshes_wanted;
    atomic_uint refreshes_done; /* of those wanted */
    atomic_bool ending;
    atomic_ulong unnamed; /* calls at sites beyond the table; relaxed */
    char text[WEIR__CHECK_TEXT_BYTES];
};

/* The fields above `thread` are filled. Returns 0 or -errno. */
int weir__check_reporter_start(struct weir__check_reporter *reporter);

/* Reports what is still filed, and ends. */
void weir__check_reporter_stop(struct weir__check_reporter *reporter);

/* The site is filled. Async-signal-safe. */
void weir__check_reporter_file(struct weir__check_reporter *reporter,
                               struct weir__check_site *site);

/* Lets it look which objects are loaded: a look that begins after this call does. Waits for it, a
 * while at most: it may be in the program's own callback. Async-signal-safe. */
void weir__check_reporter_refresh(struct weir__check_reporter *reporter);

/* Waits until the reporter has seen the site. False: it takes too long. Async-signal-safe. */
bool weir__check_reporter_await(struct weir__check_site *site);

#endif
