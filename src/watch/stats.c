/* SPDX-License-Identifier: MIT */
/* One snapshot of what all loops of a runtime have counted. Stops nobody. */
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "core/loop.h"
#include "io/io.h"
#include "watch/watchdog.h"

#include <weir/stall.h>
#include <weir/stats.h>

#include <errno.h>

static void add_credits(uint64_t *sums, struct weir__credits *credits)
{
    weir__lock_acquire(&credits->lock);
    sums[WEIR_SUBMISSIONS_NOW] += credits->used;
    sums[WEIR_SUBMISSIONS_WAITED] += credits->waited_count;
    sums[WEIR_SUBMISSION_WAIT_NS] += credits->wait_ns;
    sums[WEIR_SUBMISSIONS_REFUSED] += credits->refused_count;
    sums[WEIR_SUBMISSIONS_EXPIRED] += credits->expired_count;
    weir__lock_release(&credits->lock);
}

/* Spawns from elsewhere wait for, or are refused, a place among the arrivals. */
static void add_arrivals(uint64_t *sums, struct weir__credits *credits)
{
    weir__lock_acquire(&credits->lock);
    sums[WEIR_SPAWNS_WAITED] += credits->waited_count;
    sums[WEIR_SPAWN_WAIT_NS] += credits->wait_ns;
    sums[WEIR_SPAWNS_REFUSED] += credits->refused_count;
    sums[WEIR_SPAWNS_EXPIRED] += credits->expired_count;
    if (sums[WEIR_SPAWN_WAIT_MAX_NS] < credits->wait_max_ns)
        sums[WEIR_SPAWN_WAIT_MAX_NS] = credits->wait_max_ns;
    weir__lock_release(&credits->lock);
}

static void add_loop(uint64_t *sums, struct weir__loop *loop)
{
    for (int id = 0; id < WEIR_COUNTER_COUNT; id++) {
        uint64_t value = weir__counter_get(&loop->counters, (enum weir_counter)id);

        if (id == WEIR_SPAWN_WAIT_MAX_NS)
            sums[id] = sums[id] < value ? value : sums[id];
        else
            sums[id] += value;
    }
    add_arrivals(sums, &loop->arrivals_credits);
    for (int queue = WEIR__CLASS_UNBOUNDED + 1; queue < WEIR__CLASS_COUNT; queue++)
        add_credits(sums, &loop->io->credits[queue]);
}

int weir_stats_read(uint64_t *counters, size_t count)
{
    struct weir__loop *current = weir__loop_current;
    uint64_t sums[WEIR_COUNTER_COUNT] = { 0 };

    if (!counters)
        return -EINVAL;
    if (!current)
        return -ENXIO;
    for (unsigned i = 0; i < current->runtime->loop_count; i++)
        add_loop(sums, current->runtime->loops[i]);
    for (int id = 0; id < WEIR_COUNTER_COUNT; id++)
        sums[id] +=
            weir__counter_get(&current->runtime->watch->dog->counters, (enum weir_counter)id);
    sums[WEIR_REPORT_LINES_DROPPED] = weir__log_dropped();
    count = count < WEIR_COUNTER_COUNT ? count : WEIR_COUNTER_COUNT;
    for (size_t id = 0; id < count; id++)
        counters[id] = sums[id];
    return (int)count;
}

static uint64_t get(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static void add_row(struct weir_op_stats *sums, const struct weir__row_stats *row)
{
    sums->inline_count += get(&row->routed[WEIR__ROUTE_INLINE]);
    sums->ring_count += get(&row->routed[WEIR__ROUTE_RING]);
    sums->pool_count += get(&row->routed[WEIR__ROUTE_POOL]);
    sums->failed_count += get(&row->failed);
    sums->cancelled_count += get(&row->cancelled);
    sums->expired_count += get(&row->expired);
    sums->expired_queued_count += get(&row->expired_queued);
    sums->expired_ready_count += get(&row->expired_ready);
    sums->missed_count += get(&row->missed);
    sums->refused_count += get(&row->refused);
    sums->rerouted_count += get(&row->rerouted);
}

int weir_stats_read_op(unsigned index, struct weir_op_stats *stats)
{
    struct weir__loop *current = weir__loop_current;

    if (!stats)
        return -EINVAL;
    if (!current)
        return -ENXIO;
    if (index >= WEIR__OP_ID_COUNT)
        return -ENOENT;
    *stats = (struct weir_op_stats){ .name = weir__op_rows[index].name };
    for (unsigned i = 0; i < current->runtime->loop_count; i++)
        add_row(stats, &current->runtime->loops[i]->io->rows[index]);
    return 0;
}

static void add_delay(struct weir_ready_delay *sums, const struct weir__delay *delay,
                      int64_t now_ns)
{
    int64_t since_ns = atomic_load_explicit(&delay->since_ns, memory_order_relaxed);

    for (int i = 0; i < WEIR_DELAY_BUCKETS; i++)
        sums->counts[i] += get(&delay->counts[i]);
    if (since_ns && now_ns - since_ns > sums->waiting_ns)
        sums->waiting_ns = now_ns - since_ns;
}

int weir_ready_delay_read(int loop_index, struct weir_ready_delay *delay)
{
    struct weir__loop *current = weir__loop_current;
    int64_t now_ns = weir__clock_now();

    if (!delay)
        return -EINVAL;
    if (!current)
        return -ENXIO;
    if (loop_index >= (int)current->runtime->loop_count)
        return -EINVAL;
    if (!current->delay.on)
        return -EOPNOTSUPP;
    *delay = (struct weir_ready_delay){ 0 };
    for (unsigned i = 0; i < current->runtime->loop_count; i++)
        if (loop_index < 0 || (int)i == loop_index)
            add_delay(delay, &current->runtime->loops[i]->delay, now_ns);
    return 0;
}
