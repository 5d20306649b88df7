/* SPDX-License-Identifier: MIT */
/* Seeing a task, and telling of it; see sighting.h. */
#include "watch/sighting.h"

#include "base/clock.h"
#include "core/scope.h"
#include "io/op.h"
#include "unwind/backtrace.h"
#include "unwind/symbol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { NS_PER_MS = 1000000, MS_PER_S = 1000 };

/* The other end of a connected socket; nothing otherwise. The kernel answers at once. */
static void add_peer(const struct weir__op *op, char *text, size_t bytes)
{
    size_t used = strlen(text);
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    char address[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;

    if (op->fd < 0 || getpeername(op->fd, (struct sockaddr *)&peer, &length) < 0)
        return;
    if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *inet = (const void *)&peer;

        inet_ntop(AF_INET, &inet->sin_addr, address, sizeof address);
        port = ntohs(inet->sin_port);
    } else if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *inet = (const void *)&peer;

        inet_ntop(AF_INET6, &inet->sin6_addr, address, sizeof address);
        port = ntohs(inet->sin6_port);
    }
    if (address[0])
        snprintf(text + used, bytes - used,
                 peer.ss_family == AF_INET6 ? ", peer [%s]:%u" : ", peer %s:%u", address, port);
}

void weir__sighting_take(struct weir__sighting *sighting, struct weir__loop *loop,
                         struct weir_task *task)
{
    const struct weir__wait *wait = &task->wait;
    const struct weir__reason *reason = weir__sighting_reason(task);

    sighting->task = task;
    sighting->scope = task->scope;
    sighting->reason = reason;
    sighting->object = wait->object;
    sighting->loop_index = loop->index;
    sighting->is_current = task == loop->current;
    sighting->spawned_at = (void *)(uintptr_t)task->spawned_at;
    sighting->seen_ns = loop->now_ns;
    sighting->since_ns = task->since_ns;
    sighting->deadline_ns = task->deadline_ns;
    memcpy(sighting->name, task->name, sizeof sighting->name);
    if (task->scope)
        memcpy(sighting->scope_name, task->scope->name, sizeof sighting->scope_name);
    if (!reason || !reason->describe)
        return;
    reason->describe(wait->object, sighting->what, sizeof sighting->what);
    if (reason == &weir__op_awaits_peer)
        add_peer(wait->object, sighting->what, sizeof sighting->what);
}

void weir__sighting_take_frames(struct weir__sighting *sighting, const struct weir_task *task)
{
    if (sighting->reason && !sighting->is_current)
        sighting->frame_count =
            weir__backtrace_of_task(task, sighting->frames, WEIR__SIGHTING_FRAMES);
}

void weir__sighting_name(const struct weir__sighting *sighting, char *text, size_t bytes)
{
    char place[WEIR__SYMBOL_BYTES] = "";
    size_t used;

    snprintf(text, bytes, "\"%s\"", sighting->name);
    used = strlen(text);
    if (sighting->scope)
        snprintf(text + used, bytes - used, " of scope \"%s\"", sighting->scope_name);
    used = strlen(text);
    snprintf(text + used, bytes - used, ", loop %u", sighting->loop_index);
    used = strlen(text);
    if (!sighting->spawned_at)
        return;
    weir__symbol_format(sighting->spawned_at, true, place, sizeof place);
    snprintf(text + used, bytes - used, ", spawned at %s", place);
}

static double seconds(int64_t ns)
{
    return (double)(ns / NS_PER_MS) / MS_PER_S;
}

void weir__sighting_tell(const struct weir__sighting *sighting, char *text, size_t bytes)
{
    size_t used;

    if (!sighting->reason) {
        snprintf(text, bytes, "%s", sighting->is_current ? "running" : "ready to run");
        return;
    }
    snprintf(text, bytes, "parked for %.3f s in %s%s%s", seconds(weir__sighting_age_ns(sighting)),
             sighting->reason->name, sighting->what[0] ? ", " : "", sighting->what);
    used = strlen(text);
    if (sighting->deadline_ns != WEIR_FOREVER)
        snprintf(text + used, bytes - used, ", deadline in %.3f s",
                 seconds(sighting->deadline_ns - sighting->seen_ns));
}
