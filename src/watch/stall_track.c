/* SPDX-License-Identifier: MIT */
/* What the watcher makes of one look after the other at a loop; see stall.h. */
#include "base/clock.h"
#include "watch/stall.h"

enum { AGAIN = 10 }; /* a stall is reported again when it is so many times as long */

/* The loop writes these without a thought for us. */
__attribute__((no_sanitize("thread"))) static struct weir__stall_sign
read_sign(const struct weir__loop *loop)
{
    const volatile struct weir__loop *moving = loop;

    return (struct weir__stall_sign){
        .turns = weir__counter_get(&loop->counters, WEIR_TURNS),
        .current = moving->current,
        .now_ns = moving->now_ns,
        .budget = moving->budget + moving->classed_budget,
    };
}

static bool is_same(const struct weir__stall_sign *one, const struct weir__stall_sign *other)
{
    return one->turns == other->turns && one->current == other->current &&
           one->now_ns == other->now_ns && one->budget == other->budget;
}

bool weir__stall_is_idle(struct weir__loop *loop)
{
    struct weir__ring_pending pending;

    /* seq_cst; pairs with weir__loop_woke */
    if (atomic_load(&loop->away))
        return true;
    return atomic_load(&loop->mailbox.word) == WEIR__MAILBOX_SLEEPING &&
           weir__ring_read_pending(&loop->ring, &pending, 1) == 0;
}

/* For the counters of stalls the watcher is the one writer. */
static void count(struct weir__held *held, enum weir_counter id, int64_t amount)
{
    weir__counter_add(&held->loop->counters, id, (uint64_t)amount);
}

static void end_stall(struct weir__stall *stall, struct weir__held *held, int64_t now_ns)
{
    if (held->stalled) {
        count(held, WEIR_STALL_NS, held->before_gap_ns + now_ns - held->still_since_ns);
        if (held->reports == 0) {
            count(held, WEIR_STALLS_UNREPORTED, 1);
            stall->unreported++;
        }
        held->moving_since_ns = now_ns;
        held->turn_since_ns = now_ns;
    }
    held->stalled = false;
    held->before_gap_ns = 0;
    held->reports = 0;
    held->suspected_ns = 0;
    held->still_since_ns = now_ns;
}

static void end_queue_stall(struct weir__stall *stall, struct weir__held *held, int64_t now_ns)
{
    count(held, WEIR_STALL_NS, now_ns - held->queue_since_ns);
    if (held->queue_reports == 0) {
        count(held, WEIR_STALLS_UNREPORTED, 1);
        stall->unreported++;
    }
    held->queue_since_ns = 0;
    held->turn_since_ns = now_ns;
}

/* The limit, ten times the limit, and so on. */
static int64_t next_limit_ns(const struct weir__stall *stall, unsigned reports)
{
    int64_t limit_ns = stall->limit_ns;

    for (unsigned i = 0; i < reports && limit_ns < INT64_MAX / AGAIN; i++)
        limit_ns *= AGAIN;
    return limit_ns;
}

/* Tasks that have run so far, and calls that did not need to park: those of the turn that goes on
 * are still in the budget. */
__attribute__((no_sanitize("thread"))) static uint64_t count_switches(const struct weir__held *held)
{
    const volatile struct weir__loop *moving = held->loop;

    return weir__counter_get(&held->loop->counters, WEIR_SWITCHES) +
           (uint64_t)(WEIR__LOOP_BUDGET - moving->budget_cut -
                      (moving->classed_count ? moving->classed_budget : moving->budget));
}

/* Since when somebody waits: the marked one of the ready queue, or what came from outside (I/O,
 * timers, mail), which is looked for once a turn. */
static int64_t waits_since(const struct weir__held *held)
{
    const struct weir__loop *loop = held->loop;
    int64_t since_ns = atomic_load_explicit(&loop->delay.since_ns, memory_order_relaxed);

    return since_ns && since_ns < held->turn_since_ns ? since_ns : held->turn_since_ns;
}

/* Somebody waits, though the loop gets on. */
static void look_at_queue(struct weir__stall *stall, struct weir__held *held, int64_t now_ns)
{
    int64_t since_ns = waits_since(held);

    if (held->queue_since_ns && held->queue_since_ns != since_ns) {
        end_queue_stall(stall, held, now_ns);
        since_ns = waits_since(held);
    }
    if (held->queue_since_ns)
        return;
    if (held->queue_seen_ns != since_ns) {
        held->queue_seen_ns = since_ns;
        held->queue_switches = count_switches(held);
    }
    if (now_ns - since_ns < stall->limit_ns || now_ns - held->moving_since_ns < stall->limit_ns ||
        count_switches(held) == held->queue_switches) /* one task holds the loop: told of as such */
        return;
    held->queue_since_ns = since_ns;
    held->queue_reports = 0;
    count(held, WEIR_STALLS, 1);
}

void weir__stall_look_at(struct weir__stall *stall, struct weir__held *held, int64_t now_ns)
{
    struct weir__stall_sign sign = read_sign(held->loop);
    bool was_idle = held->idle;

    held->idle = weir__stall_is_idle(held->loop);
    if (held->idle || sign.turns != held->sign.turns)
        held->turn_since_ns = now_ns;
    if (held->idle || was_idle || !is_same(&sign, &held->sign)) {
        end_stall(stall, held, now_ns);
        if (held->idle)
            held->moving_since_ns = now_ns;
    } else if (now_ns - held->still_since_ns >= stall->limit_ns) {
        if (!held->stalled)
            count(held, WEIR_STALLS, 1);
        held->stalled = true;
    } else if (now_ns - held->still_since_ns >= stall->limit_ns / 2 && !held->suspected_ns) {
        held->suspected_ns = now_ns;
        weir__sleeper_look(held->probe.tid, &held->before);
    }
    held->sign = sign;
    if (!held->stalled)
        look_at_queue(stall, held, now_ns);
}

bool weir__stall_is_due(const struct weir__stall *stall, const struct weir__held *held,
                        int64_t now_ns)
{
    return held->stalled && now_ns - held->still_since_ns >= next_limit_ns(stall, held->reports);
}

bool weir__stall_is_queue_due(const struct weir__stall *stall, const struct weir__held *held,
                              int64_t now_ns)
{
    return held->queue_since_ns &&
           now_ns - held->queue_since_ns >= next_limit_ns(stall, held->queue_reports);
}

void weir__stall_find_queue(struct weir__held *held, int64_t now_ns, struct weir__finding *finding)
{
    *finding = (struct weir__finding){
        .number = -1,
        .stall = { .kind = WEIR_STALL_QUEUE, .loop_index = held->loop->index, .call_fd = -1 },
        .is_turn = held->queue_since_ns == held->turn_since_ns,
        .switches = count_switches(held) - held->queue_switches,
        .task_count = (unsigned)weir__counter_get(&held->loop->counters, WEIR_TASKS_NOW),
    };
    finding->stall.held_ns = now_ns - held->queue_since_ns;
    finding->stall.report = ++held->queue_reports;
}

/* All threads stood still (a debugger, a suspended machine): what was seen before means nothing but
 * that a stall that had been found lasted until the last look. */
void weir__stall_forgive(struct weir__stall *stall, int64_t now_ns)
{
    for (unsigned i = 0; i < stall->runtime->loop_count; i++) {
        struct weir__held *held = &stall->helds[i];

        if (held->stalled)
            held->before_gap_ns += stall->looked_ns - held->still_since_ns;
        held->still_since_ns = now_ns;
        held->moving_since_ns = now_ns;
        held->turn_since_ns = now_ns;
        held->suspected_ns = 0;
    }
}

void weir__stall_begin(struct weir__held *held, struct weir__loop *loop)
{
    int64_t now_ns = weir__clock_now();

    held->still_since_ns = now_ns;
    held->moving_since_ns = now_ns;
    held->turn_since_ns = now_ns;
    held->loop = loop;
}

void weir__stall_end(struct weir__stall *stall, struct weir__held *held)
{
    int64_t now_ns = weir__clock_now();

    end_stall(stall, held, now_ns);
    if (held->queue_since_ns)
        end_queue_stall(stall, held, now_ns);
    held->loop = NULL;
}
