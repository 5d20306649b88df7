/* SPDX-License-Identifier: MIT */
/* weir: as many tasks as connections at once, each in a plain loop of calls. */
#include "dial.h"
#include "weir_peer.h"

#include <weir/descriptor.h>
#include <weir/dial.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <stdio.h>

static int dial(void *arg)
{
    struct dial_job *job = arg;
    const struct sockaddr *address = (const struct sockaddr *)&job->address;

    while (dial_next(job)) {
        int fd = trial_check(weir_socket(AF_INET, SOCK_STREAM, 0), "weir_socket");
        trial_check(weir_connect(fd, address, sizeof job->address, WEIR_FOREVER), "weir_connect");
        dial_reset_at_close(fd);
        trial_check(weir_close(fd), "weir_close");
    }
    return 0;
}

/* The same by weir_dial, which reads the address as text each time. */
static int dial_by_text(void *arg)
{
    struct dial_job *job = arg;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(job->address.sin_port));
    while (dial_next(job)) {
        int fd = trial_check(weir_dial(address, NULL, WEIR_FOREVER), "weir_dial");
        dial_reset_at_close(fd);
        trial_check(weir_close(fd), "weir_close");
    }
    return 0;
}

struct storm {
    struct dial_job *job;
    weir_task_fn *dial_some;
};

static int dial_all(void *arg)
{
    const struct storm *storm = arg;
    struct weir_scope *scope;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned index = 0; index < DIAL_AT_ONCE; index++)
        trial_check(weir_spawn(scope, storm->dial_some, storm->job, NULL), "weir_spawn");
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void run(struct dial_job *job, weir_task_fn *dial_some)
{
    struct weir_options options = weir_peer_options();
    struct storm storm = { job, dial_some };

    weir_peer_run(dial_all, &storm, &options);
}

void weir_dial_storm(struct dial_job *job)
{
    run(job, dial);
}

void weir_dial_text_storm(struct dial_job *job)
{
    run(job, dial_by_text);
}
