/* SPDX-License-Identifier: MIT */
/* The walk over all queues: rows are gathered first, under whatever lock each needs, and visited
 * under none. */
#include "base/gauge.h"
#include "base/memory.h"
#include "core/loop.h"
#include "io/io.h"

#include <weir/buffer.h>
#include <weir/chan.h>
#include <weir/pool.h>
#include <weir/resolve.h>

#include <errno.h>
#include <limits.h>

struct rows {
    struct weir_queue_stats *rows;
    size_t count;
    size_t capacity;
    bool failed; /* for want of memory */
};

/* Room for so many more. */
static bool reserve(struct rows *rows, size_t more)
{
    size_t capacity = rows->capacity;
    struct weir_queue_stats *grown;

    if (rows->count + more <= capacity)
        return true;
    capacity = capacity * 2 > rows->count + more ? capacity * 2 : rows->count + more;
    grown = weir__memory_alloc(NULL, capacity * sizeof *grown);
    if (!grown) {
        rows->failed = true;
        return false;
    }
    for (size_t i = 0; i < rows->count; i++)
        grown[i] = rows->rows[i];
    weir__memory_free(rows->rows);
    rows->rows = grown;
    rows->capacity = capacity;
    return true;
}

static void add(struct rows *rows, const struct weir_queue_stats *row, const char *name,
                const char *owner)
{
    if (!reserve(rows, 1))
        return;
    rows->rows[rows->count] = *row;
    weir__gauge_name(&rows->rows[rows->count++], name, owner);
}

/* --- Of each loop. ---------------------------------------------------------------------------- */

static uint64_t get(const struct weir__loop *loop, enum weir_counter id)
{
    return weir__counter_get(&loop->counters, id);
}

static void add_credits(struct rows *rows, const struct weir__loop *loop,
                        struct weir__credits *credits, const char *name)
{
    struct weir_queue_stats row = { .loop_index = (int)loop->index };

    weir__credits_read(credits, &row);
    add(rows, &row, name, "loop");
}

static void add_tasks(struct rows *rows, const struct weir__loop *loop)
{
    const struct weir_queue_stats row = {
        .loop_index = (int)loop->index,
        .limit = loop->task_limit,
        .now = get(loop, WEIR_TASKS_NOW),
        .now_max = get(loop, WEIR_TASKS_MAX),
        .waiting = get(loop, WEIR_SPAWNS_WAITING_NOW),
        .waiting_max = get(loop, WEIR_SPAWNS_WAITING_MAX),
        .waited_count = get(loop, WEIR_SPAWNS_WAITED),
        .wait_ns = get(loop, WEIR_SPAWN_WAIT_NS),
        .wait_max_ns = get(loop, WEIR_SPAWN_WAIT_MAX_NS),
        .refused_count = get(loop, WEIR_SPAWNS_REFUSED),
        .expired_count = get(loop, WEIR_SPAWNS_EXPIRED),
    };

    add(rows, &row, "tasks", "loop");
}

/* Who finds none is not refused, but reads into memory of its own. */
static void add_buffers(struct rows *rows, const struct weir__loop *loop)
{
    const struct weir_options *options = &loop->runtime->options;
    const struct weir_queue_stats row = {
        .loop_index = (int)loop->index,
        .in_bytes = true,
        .limit = options->receive_buffers_bytes,
        .now = get(loop, WEIR_RECEIVE_BUFFERS_NOW) * options->receive_buffer_bytes,
        .now_max = get(loop, WEIR_RECEIVE_BUFFERS_MAX) * options->receive_buffer_bytes,
        .refused_count = get(loop, WEIR_STREAMS_STARVED),
    };

    add(rows, &row, "receive buffers", "loop");
}

/* Both are emptied in each turn: how many there are now is nothing to look at. Who finds no entry
 * has the others submitted, and goes on. */
static void add_ring(struct rows *rows, const struct weir__loop *loop)
{
    const struct weir_queue_stats entries = {
        .loop_index = (int)loop->index,
        .limit = loop->ring.uring.sq.ring_entries,
        .now_max = get(loop, WEIR_RING_PREPARED_MAX),
        .waited_count = get(loop, WEIR_RING_FLUSHES),
    };
    const struct weir_queue_stats completions = {
        .loop_index = (int)loop->index,
        .limit = loop->ring.uring.cq.ring_entries,
        .now_max = get(loop, WEIR_RING_COMPLETED_MAX),
        .refused_count = get(loop, WEIR_RING_OVERFLOWS),
    };

    add(rows, &entries, "submissions", "loop");
    add(rows, &completions, "completions", "loop");
}

static void add_loop(struct rows *rows, struct weir__loop *loop)
{
    static const char *const names[WEIR__CLASS_COUNT] = {
        [WEIR__CLASS_DISK_READ] = "disk reads",
        [WEIR__CLASS_DISK_WRITE] = "disk writes",
        [WEIR__CLASS_ZERO_COPY] = "zero-copy sends",
    };

    for (int queue = WEIR__CLASS_UNBOUNDED + 1; queue < WEIR__CLASS_COUNT; queue++)
        add_credits(rows, loop, &loop->io->credits[queue], names[queue]);
    add_tasks(rows, loop);
    add_credits(rows, loop, &loop->arrivals_credits, "remote spawns");
    add_buffers(rows, loop);
    add_ring(rows, loop);
}

/* --- Of the runtime. -------------------------------------------------------------------------- */

static void add_memory(struct rows *rows, const struct weir__runtime *runtime)
{
    struct weir__budget *memory = runtime->memory;
    struct weir_queue_stats row = {
        .loop_index = -1,
        .in_bytes = true,
        .limit = memory->limit,
        .now = atomic_load_explicit(&memory->used, memory_order_relaxed),
        .now_max = atomic_load_explicit(&memory->used_max, memory_order_relaxed),
        .waiting = atomic_load_explicit(&memory->waiting_count, memory_order_relaxed),
        .refused_count = atomic_load_explicit(&memory->refused_count, memory_order_relaxed),
    };

    weir__lock_acquire(&memory->lock);
    row.waited_count = memory->waited_count;
    row.wait_ns = memory->wait_ns;
    row.wait_max_ns = memory->wait_max_ns;
    row.expired_count = memory->expired_count;
    weir__lock_release(&memory->lock);
    add(rows, &row, "memory", "runtime");
}

static void add_stacks(struct rows *rows, const struct weir__runtime *runtime)
{
    struct weir__stack_limits *limits = runtime->loops[0]->stacks.limits;
    const struct weir_queue_stats row = {
        .loop_index = -1,
        .in_bytes = true,
        .limit = limits->options.bytes_max,
        .now = atomic_load_explicit(&limits->bytes, memory_order_relaxed),
        .now_max = atomic_load_explicit(&limits->bytes_seen, memory_order_relaxed),
        .refused_count = atomic_load_explicit(&limits->refused_count, memory_order_relaxed),
    };

    add(rows, &row, "stacks", "runtime");
}

static void add_regions(struct rows *rows, const struct weir__runtime *runtime)
{
    struct weir_queue_stats row = { .loop_index = -1, .limit = WEIR_BUFFERS_MAX };

    for (unsigned i = 0; i < runtime->loop_count; i++)
        row.now += get(runtime->loops[i], WEIR_BUFFERS_NOW);
    row.now_max = get(runtime->loops[0], WEIR_BUFFERS_NOW_MAX);
    row.refused_count = get(runtime->loops[0], WEIR_BUFFERS_REFUSED);
    add(rows, &row, "registered buffers", "runtime");
}

static void add_pool(const struct weir_pool_stats *stats, void *context)
{
    const struct weir_queue_stats row = {
        .loop_index = -1,
        .limit = stats->queued_limit,
        .now = stats->queued,
        .now_max = stats->queued_max,
        .waiting = stats->places_waiting,
        .waiting_max = stats->places_waiting_max,
        .waited_count = stats->jobs_run,
        .wait_ns = stats->wait_ns + stats->place_wait_ns,
        .wait_max_ns = stats->wait_max_ns,
        .refused_count = stats->jobs_refused,
        .expired_count = stats->jobs_expired,
    };

    add(context, &row, "jobs", stats->name);
}

/* An answer for which there is no room makes the one go that was used longest ago. */
static void add_answers(struct rows *rows, const struct weir__runtime *runtime)
{
    struct weir_queue_stats row = { .loop_index = -1, .limit = runtime->options.resolve_answers };
    struct weir_resolve_stats stats;

    if (weir_resolve_read_stats(&stats) < 0)
        return;
    row.now = stats.answers_now;
    row.now_max = stats.answers_now_max;
    row.dropped_count = stats.evicted;
    add(rows, &row, "answers", "resolver");
}

static void add_runtime(struct rows *rows, struct weir__runtime *runtime)
{
    for (unsigned i = 0; i < runtime->loop_count; i++)
        add_loop(rows, runtime->loops[i]);
    add_memory(rows, runtime);
    add_stacks(rows, runtime);
    add_regions(rows, runtime);
    weir_pool_walk(add_pool, rows);
    add_answers(rows, runtime);
}

/* --- Of the process. -------------------------------------------------------------------------- */

static void add_chan(struct weir_chan *chan, const struct weir_chan_stats *stats, void *context)
{
    const struct weir_queue_stats row = {
        .loop_index = -1,
        .limit = stats->capacity,
        .now = stats->count,
        .now_max = stats->count_max,
        .waiting = stats->waiting_senders,
        .waited_count = stats->parked_senders_total,
        .wait_ns = stats->parked_senders_ns,
        .wait_max_ns = stats->parked_senders_max_ns,
        .refused_count = stats->refused_total,
        .expired_count = stats->expired_total,
        .dropped_count = stats->dropped_total,
    };

    add(context, &row, weir_chan_name(chan), "channel");
}

/* As many as there are when there was room for all of them. */
static void add_gauges(struct rows *rows)
{
    size_t room = rows->capacity - rows->count;
    size_t count = weir__gauge_read_all(rows->rows + rows->count, room);

    while (count > room && reserve(rows, count)) {
        room = rows->capacity - rows->count;
        count = weir__gauge_read_all(rows->rows + rows->count, room);
    }
    rows->count += count < room ? count : room;
}

int weir_queue_walk(weir_queue_visit_fn *visit, void *context)
{
    struct weir__loop *loop = weir__loop_current;
    struct rows rows = { 0 };
    int error;

    if (!visit)
        return -EINVAL;
    if (loop)
        add_runtime(&rows, loop->runtime);
    error = weir_chan_walk(add_chan, &rows);
    if (error >= 0)
        add_gauges(&rows);
    if (error < 0 || rows.failed) {
        weir__memory_free(rows.rows);
        return error < 0 ? error : -ENOMEM;
    }
    for (size_t i = 0; i < rows.count; i++)
        visit(&rows.rows[i], context);
    weir__memory_free(rows.rows);
    return rows.count > INT_MAX ? INT_MAX : (int)rows.count;
}
