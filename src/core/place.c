/* SPDX-License-Identifier: MIT */
/*
 * The bound of a scope: places for children, and the spawns that wait for one, its guests.
 *
 *   guest ---> place, from a child that has ended ---> child
 *     |
 *     `--> refused (scope cancelled, or joined), expired, cancelled: counts until it has left
 */
#include "core/scope.h"

#include "base/clock.h"
#include "core/park.h"
#include "core/room.h"

#include <errno.h>

/* What a guest's wait is claimed with. */
enum { PLACE, REFUSED_CANCELLED, REFUSED_JOINED };

bool weir__scope_is_inside(const struct weir_scope *scope)
{
    const struct weir__loop *loop = weir__loop_current;

    return loop && (loop->current->scope == scope || loop->current == loop->callback_task);
}

/* A spawn that waits for a place. */
struct guest {
    struct weir__waiter waiter;
    bool is_inside;
};

void weir__scope_refuse_guests(struct weir_scope *scope, bool outsiders,
                               struct weir__errands *errands)
{
    struct weir__list *link = scope->guests.next;

    while (link != &scope->guests) {
        struct guest *guest = WEIR_CONTAINER_OF(link, struct guest, waiter.link);

        link = link->next;
        if (outsiders && guest->is_inside)
            continue;
        guest->waiter.index = outsiders ? REFUSED_JOINED : REFUSED_CANCELLED;
        if (!weir__waiter_claim(&guest->waiter))
            continue;
        guest->waiter.wait->also = errands->wakes;
        errands->wakes = guest->waiter.wait;
    }
}

/* Under the lock, when somebody has left: the joiner, if nobody is left. */
static struct weir__wait *claim_joiner(struct weir_scope *scope)
{
    struct weir__waiter *joiner = scope->joiner;

    if (!joiner || scope->child_count > 0 || scope->guest_count > 0)
        return NULL;
    scope->joiner = NULL;
    return weir__wait_claim(joiner->wait, joiner->index) ? joiner->wait : NULL;
}

struct weir__wait *weir__scope_free_place(struct weir_scope *scope)
{
    struct weir__waiter *waiter = weir__waiter_claim_first(&scope->guests);

    if (waiter) {
        scope->guest_count--; /* the place is the guest's: nobody overtakes it */
        return waiter->wait;
    }
    scope->child_count--;
    return claim_joiner(scope);
}

void weir__scope_leave_place(struct weir_scope *scope)
{
    struct weir__wait *wake;

    weir__lock_acquire(&scope->lock);
    wake = weir__scope_free_place(scope);
    weir__lock_release(&scope->lock);
    if (wake)
        weir__wait_wake(wake);
}

static const struct weir__reason awaits_place = { "room in a scope", WEIR_PHASE_SPAWN_QUEUE,
                                                  weir__scope_describe };

/* Under the lock: 0 with a place, 1 when there is none now, or why there will be none. */
static int take_or_refuse(struct weir_scope *scope, bool waits)
{
    if (scope->gates & WEIR__SCOPE_CANCELLED) {
        scope->cut_short = true;
        return -ECANCELED;
    }
    if (scope->joiner && !weir__scope_is_inside(scope))
        return -EPIPE;
    if (scope->child_count < scope->limit) {
        if (++scope->child_count > scope->stats.children_max)
            scope->stats.children_max = scope->child_count;
        return 0;
    }
    if (waits)
        return 1;
    scope->stats.spawns_refused++;
    return -EAGAIN;
}

/* A guest that did not get a place leaves. */
static int leave(struct weir_scope *scope, struct guest *guest, int code)
{
    struct weir__wait *wake;

    weir__lock_acquire(&scope->lock);
    if (code < 0) /* otherwise who refused it took it off */
        weir__list_unlink(&guest->waiter.link);
    scope->stats.spawns_expired += code == -ETIME;
    scope->guest_count--;
    wake = claim_joiner(scope);
    weir__lock_release(&scope->lock);
    if (wake)
        weir__wait_wake(wake);
    return code == REFUSED_JOINED ? -EPIPE : code < 0 ? code : -ECANCELED;
}

int weir__scope_take_place(struct weir_scope *scope, struct weir__patience *patience)
{
    struct guest guest = { .waiter = { .wait = weir__wait_self() } };
    int64_t start_ns, waited_ns;
    int code;

    weir__lock_acquire(&scope->lock);
    code = take_or_refuse(scope, patience != NULL);
    if (code <= 0) {
        weir__lock_release(&scope->lock);
        return code;
    }
    guest.is_inside = weir__scope_is_inside(scope);
    if (++scope->guest_count > scope->stats.waiting_max)
        scope->stats.waiting_max = scope->guest_count;
    weir__wait_begin(guest.waiter.wait, &awaits_place, scope);
    weir__list_append(&scope->guests, &guest.waiter.link);
    weir__lock_release(&scope->lock);
    start_ns = weir__clock_now();
    code = weir__wait_park(guest.waiter.wait, weir__patience_until(patience, start_ns),
                           WEIR__PARK_CANCELLABLE);
    waited_ns = weir__clock_now() - start_ns;
    weir__lock_acquire(&scope->lock);
    scope->stats.spawns_waited++;
    scope->stats.wait_ns += (uint64_t)waited_ns;
    if (scope->stats.wait_max_ns < (uint64_t)waited_ns)
        scope->stats.wait_max_ns = (uint64_t)waited_ns;
    weir__lock_release(&scope->lock);
    return code == PLACE ? 0 : leave(scope, &guest, code);
}

/* --- Looking. --------------------------------------------------------------------------------- */

int weir_scope_read_stats(struct weir_scope *scope, struct weir_scope_stats *stats)
{
    if (!scope || !stats)
        return -EINVAL;
    weir__lock_acquire(&scope->lock);
    *stats = scope->stats;
    stats->children = scope->child_count;
    stats->waiting = scope->guest_count;
    weir__lock_release(&scope->lock);
    return 0;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *queue)
{
    struct weir_scope *scope = WEIR_CONTAINER_OF(gauge, struct weir_scope, gauge);
    struct weir_scope_stats stats;

    weir_scope_read_stats(scope, &stats);
    weir__gauge_name(queue, scope->name, "scope");
    queue->limit = scope->limit;
    queue->now = stats.children;
    queue->now_max = stats.children_max;
    queue->waiting = stats.waiting;
    queue->waiting_max = stats.waiting_max;
    queue->waited_count = stats.spawns_waited;
    queue->wait_ns = stats.wait_ns;
    queue->wait_max_ns = stats.wait_max_ns;
    queue->refused_count = stats.spawns_refused;
    queue->expired_count = stats.spawns_expired;
}

void weir__scope_show_places(struct weir_scope *scope)
{
    if (!scope->limit || !scope->named)
        return;
    scope->gauge.read = read_gauge;
    weir__gauge_add(&scope->gauge);
}
