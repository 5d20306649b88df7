/* SPDX-License-Identifier: MIT */
/*
 * The shed: a list of works, oldest first, in slots that are made once. A slot is
 *
 *             put                    take
 *   free -----------> in the queue ---------> free
 *     ^                    |
 *     |                    | late, expired, pushed out, aborted: by whoever looks
 *     |  the callback      v
 *     `--------------- being refused: in the hand of who found it, under no lock
 *
 * So what is being refused counts against the capacity until its callback has returned. Age falls
 * from the oldest on, so whoever looks goes on only as long as the oldest is late. Takers wait only
 * when the queue is empty: a put hands its work to the first of them.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/gauge.h"
#include "base/lock.h"
#include "base/memory.h"
#include "core/callback.h"
#include "core/park.h"
#include "flow/options.h"
#include "flow/patience.h"

#include <weir/shed.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    CAPACITY = 1024,
    ELEM_ALIGNMENT = 16,
    GIVEN = 0, /* codes of a taker's wait */
    CLOSED = 1,
    ONCE_MORE = 1, /* some were refused meanwhile: look again */
};

struct work {
    struct weir__list link; /* in the queue, among the free, or in a hand */
    int64_t since_ns;
    int64_t deadline_ns;
    enum weir_shed_reason reason; /* once refused */
    char elem[] __attribute__((aligned(ELEM_ALIGNMENT)));
};

struct weir_shed {
    char name[WEIR_NAME_BYTES];
    weir_shed_refuse_fn *refuse;
    void *context;
    size_t elem_bytes;
    size_t capacity;
    int64_t work_ns;
    char *slots;
    atomic_uint refs;
    struct weir__gauge gauge;

    struct weir__lock lock;
    /* Under the lock. */
    struct weir__patience patience;
    struct weir__list queue;  /* struct work.link, the oldest first */
    struct weir__list unused; /* struct work.link */
    struct weir__list takers; /* struct taker.waiter.link */
    size_t count;
    size_t count_max;
    size_t waiting_takers;
    bool closed;
    struct weir_shed_stats counted; /* its totals */
};

/* In the frame of who waits for work. */
struct taker {
    struct weir__waiter waiter;
    struct weir_shed_wait wait;
};

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir_shed *shed = object;

    snprintf(text, bytes, "shed \"%s\"", shed->name);
}

static const struct weir__reason awaits_work = { "work of a shed", WEIR_PHASE_TASK, describe };

static struct work *work_of(struct weir__list *link)
{
    return WEIR_CONTAINER_OF(link, struct work, link);
}

/* --- Refusing --- */

/* A batch in the hand of who found it. */
struct refusal {
    struct weir_shed *shed;
    struct weir__list works;
};

/* Under the lock: takes a work off the queue. */
static void refuse(struct weir_shed *shed, struct work *work, enum weir_shed_reason reason,
                   struct refusal *refusal)
{
    weir__list_unlink(&work->link);
    shed->count--;
    shed->counted.refused_total[reason]++;
    work->reason = reason;
    weir__list_append(&refusal->works, &work->link);
}

static void begin_refusal(struct refusal *refusal, struct weir_shed *shed)
{
    refusal->shed = shed;
    weir__list_init(&refusal->works);
}

static void tell_all(void *arg)
{
    struct refusal *refusal = arg;
    struct weir_shed *shed = refusal->shed;

    for (struct weir__list *link = refusal->works.next; link != &refusal->works; link = link->next)
        shed->refuse(work_of(link)->elem, shed->context, work_of(link)->reason);
}

/* Not under the lock: tells, and gives the slots back. */
static void end_refusal(struct refusal *refusal)
{
    struct weir_shed *shed = refusal->shed;

    if (weir__list_empty(&refusal->works))
        return;
    weir__callback_call(tell_all, refusal);
    weir__lock_acquire(&shed->lock);
    weir__list_splice(&shed->unused, &refusal->works);
    weir__lock_release(&shed->lock);
}

/* --- Looking, under the lock --- */

static bool stands(const struct weir_shed *shed, int64_t now_ns)
{
    return !weir__list_empty(&shed->queue) && weir__patience_is_short(&shed->patience, now_ns);
}

static bool is_expired(const struct weir_shed *shed, int64_t deadline_ns, int64_t now_ns)
{
    return deadline_ns != WEIR_FOREVER &&
           (deadline_ns <= now_ns || deadline_ns - now_ns <= shed->work_ns);
}

/* Refuses of the oldest those that are late. */
static void look_through(struct weir_shed *shed, int64_t now_ns, struct refusal *refusal)
{
    int64_t longest_ns = weir__patience_now(&shed->patience, now_ns);

    while (!weir__list_empty(&shed->queue)) {
        struct work *oldest = work_of(shed->queue.next);

        if (is_expired(shed, oldest->deadline_ns, now_ns))
            refuse(shed, oldest, WEIR_SHED_EXPIRED, refusal);
        else if (now_ns - oldest->since_ns > longest_ns)
            refuse(shed, oldest, WEIR_SHED_LATE, refusal);
        else
            break;
    }
}

/* The work that is to be done next; NULL: none. */
static struct work *choose(struct weir_shed *shed, int64_t now_ns, struct refusal *refusal)
{
    bool newest = stands(shed, now_ns);

    look_through(shed, now_ns, refusal);
    while (!weir__list_empty(&shed->queue)) {
        struct work *work = work_of(newest ? shed->queue.prev : shed->queue.next);

        if (!is_expired(shed, work->deadline_ns, now_ns))
            return work;
        refuse(shed, work, WEIR_SHED_EXPIRED, refusal);
    }
    return NULL;
}

/* --- Putting --- */

static void enqueue(struct weir_shed *shed, const void *elem, int64_t deadline_ns, int64_t now_ns)
{
    struct work *work = work_of(weir__list_pop(&shed->unused));

    if (weir__list_empty(&shed->queue))
        shed->patience.empty_ns = now_ns;
    work->since_ns = now_ns;
    work->deadline_ns = deadline_ns;
    memcpy(work->elem, elem, shed->elem_bytes);
    weir__list_append(&shed->queue, &work->link);
    if (++shed->count > shed->count_max)
        shed->count_max = shed->count;
    shed->counted.accepted_total++;
}

/* Gives the work to somebody who waits for some: the wait to wake, or NULL when nobody does. */
static struct weir__wait *hand_over(struct weir_shed *shed, const void *elem, int64_t deadline_ns,
                                    int64_t now_ns)
{
    struct weir__waiter *waiter = weir__waiter_claim_first(&shed->takers);
    struct taker *taker;

    if (!waiter)
        return NULL;
    taker = WEIR_CONTAINER_OF(waiter, struct taker, waiter);
    taker->wait = (struct weir_shed_wait){ .since_ns = now_ns, .deadline_ns = deadline_ns };
    memcpy(waiter->elem, elem, shed->elem_bytes);
    shed->counted.accepted_total++;
    shed->counted.taken_total++;
    return waiter->wait;
}

/* Under the lock: 0, an error, or ONCE_MORE. */
static int put_or_refuse(struct weir_shed *shed, const void *elem, int64_t deadline_ns,
                         struct refusal *refusal, struct weir__wait **wake)
{
    int64_t now_ns = weir__clock_now();
    bool was_standing = stands(shed, now_ns);

    if (shed->closed)
        return -EPIPE;
    if (is_expired(shed, deadline_ns, now_ns))
        return -ETIME;
    *wake = hand_over(shed, elem, deadline_ns, now_ns);
    if (*wake)
        return 0;
    look_through(shed, now_ns, refusal);
    if (!weir__list_empty(&shed->unused)) {
        enqueue(shed, elem, deadline_ns, now_ns);
        return 0;
    }
    if (weir__list_empty(&refusal->works) && was_standing)
        refuse(shed, work_of(shed->queue.next), WEIR_SHED_FULL, refusal);
    return weir__list_empty(&refusal->works) ? -EBUSY : ONCE_MORE;
}

int weir_shed_put(struct weir_shed *shed, const void *elem, int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    struct refusal refusal;
    int result;

    if (!shed || !elem)
        return -EINVAL;
    result = weir__wait_check();
    if (result < 0)
        return result;
    begin_refusal(&refusal, shed);
    do {
        weir__lock_acquire(&shed->lock);
        result = put_or_refuse(shed, elem, deadline_ns, &refusal, &wake);
        shed->counted.turned_away_total += result < 0;
        weir__lock_release(&shed->lock);
        end_refusal(&refusal);
    } while (result == ONCE_MORE);
    weir__wait_settle(wake);
    return result;
}

/* --- Taking --- */

static void take_out(struct weir_shed *shed, struct work *work, void *elem,
                     struct weir_shed_wait *wait, int64_t now_ns)
{
    uint64_t waited_ns = (uint64_t)(now_ns - work->since_ns);

    weir__list_unlink(&work->link);
    weir__list_append(&shed->unused, &work->link);
    shed->count--;
    shed->counted.taken_total++;
    shed->counted.wait_ns_total += waited_ns;
    if (waited_ns > shed->counted.wait_ns_max)
        shed->counted.wait_ns_max = waited_ns;
    memcpy(elem, work->elem, shed->elem_bytes);
    *wait = (struct weir_shed_wait){
        .since_ns = work->since_ns,
        .deadline_ns = work->deadline_ns,
    };
}

/* Called under the lock, returns without it. */
static int wait_for_work(struct weir_shed *shed, struct taker *taker, void *elem,
                         int64_t deadline_ns)
{
    int code;

    taker->waiter = (struct weir__waiter){
        .wait = weir__wait_self(),
        .elem = elem,
        .index = GIVEN,
        .alone = true,
    };
    weir__wait_begin(taker->waiter.wait, &awaits_work, shed);
    weir__list_append(&shed->takers, &taker->waiter.link);
    shed->waiting_takers++;
    weir__lock_release(&shed->lock);
    code = weir__wait_park(taker->waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&shed->lock);
    if (code < 0)
        weir__list_unlink(&taker->waiter.link);
    shed->waiting_takers--;
    weir__lock_release(&shed->lock);
    return code == CLOSED ? -EPIPE : code;
}

/* Called under the lock, returns without it: 0, an error, or ONCE_MORE. */
static int take_or_wait(struct weir_shed *shed, struct taker *taker, void *elem,
                        int64_t deadline_ns)
{
    int64_t now_ns = weir__clock_now();
    struct refusal refusal;
    struct work *work;
    int result = 0;

    begin_refusal(&refusal, shed);
    work = choose(shed, now_ns, &refusal);
    if (work)
        take_out(shed, work, elem, &taker->wait, now_ns);
    else
        result = shed->closed ? -EPIPE : weir__wait_refuse(deadline_ns);
    if (!work && result == 0 && weir__list_empty(&refusal.works))
        return wait_for_work(shed, taker, elem, deadline_ns);
    weir__lock_release(&shed->lock);
    end_refusal(&refusal);
    return work || result < 0 ? result : ONCE_MORE; /* while others were told, some may have come */
}

int weir_shed_take(struct weir_shed *shed, void *elem, struct weir_shed_wait *wait,
                   int64_t deadline_ns)
{
    struct taker taker;
    int result;

    if (!shed || !elem)
        return -EINVAL;
    result = weir__wait_check();
    if (result < 0)
        return result;
    do {
        weir__lock_acquire(&shed->lock);
        result = take_or_wait(shed, &taker, elem, deadline_ns);
    } while (result == ONCE_MORE);
    if (result == 0 && wait)
        *wait = taker.wait;
    weir__wait_settle(NULL);
    return result;
}

/* --- Lives --- */

static int check_options(size_t elem_bytes, const struct weir_shed_options *options)
{
    int error =
        weir__options_check(options->size, sizeof *options, options->reserved, options->name);

    if (error < 0)
        return error;
    if (!options->refuse || elem_bytes == 0)
        return -EINVAL;
    if (options->target_ns < 0 || options->interval_ns < 0 || options->work_ns < 0)
        return -EINVAL;
    return options->interval_ns && options->interval_ns < options->target_ns ? -EINVAL : 0;
}

/* Makes the slots; 0 or -errno. */
static int make_slots(struct weir_shed *shed)
{
    size_t stride, bytes;

    if (__builtin_add_overflow(shed->elem_bytes, sizeof(struct work) + ELEM_ALIGNMENT - 1, &stride))
        return -EOVERFLOW;
    stride -= stride % ELEM_ALIGNMENT;
    if (__builtin_mul_overflow(stride, shed->capacity, &bytes))
        return -EOVERFLOW;
    shed->slots = weir__memory_alloc(NULL, bytes);
    if (!shed->slots)
        return -ENOMEM;
    for (size_t i = 0; i < shed->capacity; i++) {
        struct work *work = (struct work *)(void *)(shed->slots + i * stride);

        weir__list_init(&work->link);
        weir__list_append(&shed->unused, &work->link);
    }
    return 0;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    struct weir_shed *shed = WEIR_CONTAINER_OF(gauge, struct weir_shed, gauge);
    const uint64_t *refused = shed->counted.refused_total;

    weir__lock_acquire(&shed->lock);
    stats->limit = shed->capacity;
    stats->now = shed->count;
    stats->now_max = shed->count_max;
    stats->waited_count = shed->counted.taken_total;
    stats->wait_ns = shed->counted.wait_ns_total;
    stats->wait_max_ns = shed->counted.wait_ns_max;
    stats->refused_count = shed->counted.turned_away_total;
    stats->expired_count = refused[WEIR_SHED_LATE] + refused[WEIR_SHED_EXPIRED];
    stats->dropped_count = refused[WEIR_SHED_FULL] + refused[WEIR_SHED_CLOSED];
    weir__lock_release(&shed->lock);
    weir__gauge_name(stats, shed->name, "shed");
}

int weir_shed_create(struct weir_shed **shed, size_t elem_bytes,
                     const struct weir_shed_options *options)
{
    struct weir_shed *made;
    int error = shed && options ? check_options(elem_bytes, options) : -EINVAL;

    if (error < 0)
        return error;
    made = weir__memory_zalloc(NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    strcpy(made->name, options->name ? options->name : "shed");
    made->refuse = options->refuse;
    made->context = options->context;
    made->elem_bytes = elem_bytes;
    made->capacity = options->capacity ? options->capacity : CAPACITY;
    made->work_ns = options->work_ns;
    made->patience = weir__patience_of(options->target_ns, options->interval_ns);
    weir__list_init(&made->queue);
    weir__list_init(&made->unused);
    weir__list_init(&made->takers);
    atomic_init(&made->refs, 1);
    error = make_slots(made);
    if (error < 0) {
        weir__memory_free(made);
        return error;
    }
    made->gauge.read = read_gauge;
    weir__gauge_add(&made->gauge);
    *shed = made;
    return 0;
}

struct weir_shed *weir_shed_retain(struct weir_shed *shed)
{
    /* relaxed: the caller has a reference */
    unsigned before = atomic_fetch_add_explicit(&shed->refs, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return shed;
}

/* Closes; with `refusal`, everything that is left goes there. Returns whether it was closed. */
static bool end(struct weir_shed *shed, struct refusal *refusal)
{
    struct weir__wait *wake = NULL, **last = &wake;
    bool before;

    weir__lock_acquire(&shed->lock);
    before = shed->closed;
    shed->closed = true;
    while (refusal && !weir__list_empty(&shed->queue))
        refuse(shed, work_of(shed->queue.next), WEIR_SHED_CLOSED, refusal);
    while (!weir__list_empty(&shed->takers)) {
        struct weir__waiter *waiter =
            WEIR_CONTAINER_OF(shed->takers.next, struct weir__waiter, link);

        waiter->index = CLOSED;
        if (weir__waiter_claim(waiter))
            last = weir__wait_chain(last, waiter->wait);
    }
    weir__lock_release(&shed->lock);
    weir__wait_wake_all(wake);
    return before;
}

int weir_shed_close(struct weir_shed *shed)
{
    if (!shed)
        return -EINVAL;
    return end(shed, NULL) ? WEIR_ALREADY : 0;
}

int weir_shed_abort(struct weir_shed *shed)
{
    struct refusal refusal;
    bool before;

    if (!shed)
        return -EINVAL;
    begin_refusal(&refusal, shed);
    before = end(shed, &refusal);
    end_refusal(&refusal);
    return before ? WEIR_ALREADY : 0;
}

void weir_shed_release(struct weir_shed *shed)
{
    int aborted;

    /* acq_rel: the last one frees after whatever the others did */
    if (!shed || atomic_fetch_sub_explicit(&shed->refs, 1, memory_order_acq_rel) != 1)
        return;
    aborted = weir_shed_abort(shed);
    (void)aborted; /* closed before, or now */
    WEIR_ASSERT(shed->waiting_takers == 0);
    weir__gauge_remove(&shed->gauge);
    weir__memory_free(shed->slots);
    weir__memory_free(shed);
}

int weir_shed_read_stats(struct weir_shed *shed, struct weir_shed_stats *stats)
{
    if (!shed || !stats)
        return -EINVAL;
    weir__lock_acquire(&shed->lock);
    *stats = shed->counted;
    stats->count = shed->count;
    stats->count_max = shed->count_max;
    stats->capacity = shed->capacity;
    stats->waiting_takers = shed->waiting_takers;
    stats->overloaded = stands(shed, weir__clock_now());
    weir__lock_release(&shed->lock);
    return 0;
}
