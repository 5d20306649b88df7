/* SPDX-License-Identifier: MIT */
/* weir: as many tasks as connections at once, each in a plain loop of calls. */
#include "dial.h"
#include "weir_peer.h"

#include <weir/descriptor.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

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

static int dial_all(void *arg)
{
    struct weir_scope *scope;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned index = 0; index < DIAL_AT_ONCE; index++)
        trial_check(weir_spawn(scope, dial, arg, NULL), "weir_spawn");
    return weir_scope_join(scope, WEIR_FOREVER);
}

void weir_dial_storm(struct dial_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(dial_all, job, &options);
}
