/* SPDX-License-Identifier: MIT */
/* The table of numeric options, with default and range of each, and what the machine allows. */
#include "runtime/options.h"

#include "runtime/report.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KIB INT64_C(1024)
#define GIB (KIB * KIB * KIB)
#define MS  INT64_C(1000000)

enum { RECEIVE_BUFFERS_MAX = 32768 }; /* the entries that the kernel allows */

enum kind { KIND_UNSIGNED, KIND_SIZE, KIND_INT64 };

#define FIELD(name) #name, offsetof(struct weir_options, name)

/* 0 means `standard`; anything else must lie in [least, most]. */
static const struct row {
    const char *name;
    size_t offset;
    enum kind kind;
    int64_t standard;
    int64_t least;
    int64_t most;
} rows[] = {
    { FIELD(ring_entries), KIND_UNSIGNED, 256, 8, 32768 },
    { FIELD(spin_max_ns), KIND_INT64, 30000, INT64_MIN, 1000 * MS },
    { FIELD(tasks_per_loop), KIND_UNSIGNED, 262144, 1, 1 << 26 },
    { FIELD(remote_spawns), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(stack_bytes), KIND_SIZE, 64 * KIB, 16 * KIB, GIB },
    { FIELD(stack_total_bytes), KIND_SIZE, 0, 16 * KIB, INT64_MAX },
    { FIELD(stacks_kept), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(receive_buffer_bytes), KIND_UNSIGNED, 4 * KIB, 64, 1 << 20 },
    { FIELD(receive_buffers_bytes), KIND_SIZE, 8 * KIB *KIB, 64, 32 * GIB },
    { FIELD(submission_limit), KIND_UNSIGNED, 64, 1, 1 << 20 },
    { FIELD(submission_wait_ns), KIND_INT64, 1000 * MS, 1, INT64_MAX },
    { FIELD(pool_threads_min), KIND_UNSIGNED, 1, 1, 1024 },
    { FIELD(pool_threads_max), KIND_UNSIGNED, 64, 1, 1024 },
    { FIELD(pool_queue_limit), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(pool_wait_ns), KIND_INT64, 1000 * MS, 1, INT64_MAX },
    { FIELD(pool_idle_ns), KIND_INT64, 5000 * MS, 1, INT64_MAX },
    { FIELD(pool_grow_after_ns), KIND_INT64, 0, INT64_MIN, INT64_MAX },
    { FIELD(pool_slow_threads_max), KIND_UNSIGNED, 0, 1, 1024 },
    { FIELD(pool_abandoned_max), KIND_UNSIGNED, 0, 1, 1024 },
    { FIELD(cpu_threads), KIND_UNSIGNED, 0, 1, 1024 },
    { FIELD(cpu_queue_limit), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(cpu_wait_ns), KIND_INT64, 1000 * MS, 1, INT64_MAX },
    { FIELD(resolve_threads_min), KIND_UNSIGNED, 1, 1, 1024 },
    { FIELD(resolve_threads_max), KIND_UNSIGNED, 8, 1, 1024 },
    { FIELD(resolve_queue_limit), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(resolve_wait_ns), KIND_INT64, 1000 * MS, 1, INT64_MAX },
    { FIELD(resolve_answers), KIND_UNSIGNED, 1024, 1, 1 << 26 },
    { FIELD(resolve_ttl_ns), KIND_INT64, 60000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(resolve_negative_ttl_ns), KIND_INT64, 2000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(napi_busy_poll_ns), KIND_INT64, 0, 1, 1000 * MS },
    { FIELD(stall_limit_ns), KIND_INT64, 100 * MS, INT64_MIN, INT64_MAX },
    { FIELD(stall_interval_ns), KIND_INT64, 1000 * MS, 1, INT64_MAX },
    { FIELD(deadlock_limit_ns), KIND_INT64, 10000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(mutex_limit_ns), KIND_INT64, 5000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(drain_limit_ns), KIND_INT64, 60000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(device_limit_ns), KIND_INT64, 30000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(peer_limit_ns), KIND_INT64, -1, INT64_MIN, INT64_MAX },
    { FIELD(growth_limit_ns), KIND_INT64, 10000 * MS, INT64_MIN, INT64_MAX },
    { FIELD(growth_tasks), KIND_UNSIGNED, 10000, 1, 1 << 26 },
    { FIELD(drop_limit_ns), KIND_INT64, -1, INT64_MIN, INT64_MAX },
    { FIELD(prefault_stacks), KIND_UNSIGNED, 0, 1, 1 << 26 },
    { FIELD(memory_limit_bytes), KIND_SIZE, 0, KIB *KIB, INT64_MAX },
    { FIELD(share_latency), KIND_UNSIGNED, 8, 1, 255 },
    { FIELD(share_normal), KIND_UNSIGNED, 4, 1, 255 },
    { FIELD(share_background), KIND_UNSIGNED, 1, 1, 255 },
    { FIELD(background_percent), KIND_UNSIGNED, 25, 1, 100 },
};

static int64_t get(const struct weir_options *options, const struct row *row)
{
    const char *field = (const char *)options + row->offset;
    unsigned narrow;
    int64_t wide;

    if (row->kind == KIND_UNSIGNED) {
        memcpy(&narrow, field, sizeof narrow);
        return (int64_t)narrow;
    }
    memcpy(&wide, field, sizeof wide);
    return wide;
}

static void set(struct weir_options *options, const struct row *row, int64_t value)
{
    char *field = (char *)options + row->offset;
    unsigned narrow = (unsigned)value;

    if (row->kind == KIND_UNSIGNED)
        memcpy(field, &narrow, sizeof narrow);
    else
        memcpy(field, &value, sizeof value);
}

static int refuse(char *why, size_t why_bytes, const char *name, const char *reason)
{
    snprintf(why, why_bytes, "weir_options.%s %s", name, reason);
    return -EINVAL;
}

static int fill_rows(struct weir_options *options, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        int64_t value = get(options, row);

        if (value == 0) {
            set(options, row, row->standard);
        } else if (value < row->least || value > row->most) {
            snprintf(why, why_bytes, "weir_options.%s is %lld; it must be 0 or from %lld to %lld",
                     row->name, (long long)value, (long long)row->least, (long long)row->most);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_rest(const struct weir_options *options, char *why, size_t why_bytes)
{
    if (options->loop_count > WEIR__LOOPS_MAX)
        return refuse(why, why_bytes, "loop_count", "is above 256");
    if (options->ring_entries & (options->ring_entries - 1))
        return refuse(why, why_bytes, "ring_entries", "is not a power of two");
    if (options->without_features & ~weir__report_features())
        return refuse(why, why_bytes, "without_features", "has a bit that names no feature");
    if (options->receive_buffers_bytes / options->receive_buffer_bytes - 1 >= RECEIVE_BUFFERS_MAX)
        return refuse(why, why_bytes, "receive_buffers_bytes", "is not 1 to 32768 buffers");
    if (options->submission_when_full > WEIR_WHEN_FULL_EXPIRE)
        return refuse(why, why_bytes, "submission_when_full", "is no enum weir_when_full");
    if (options->pool_when_full > WEIR_WHEN_FULL_EXPIRE)
        return refuse(why, why_bytes, "pool_when_full", "is no enum weir_when_full");
    if (options->cpu_when_full > WEIR_WHEN_FULL_EXPIRE)
        return refuse(why, why_bytes, "cpu_when_full", "is no enum weir_when_full");
    if (options->resolve_when_full > WEIR_WHEN_FULL_EXPIRE)
        return refuse(why, why_bytes, "resolve_when_full", "is no enum weir_when_full");
    if (options->resolve_threads_min > options->resolve_threads_max)
        return refuse(why, why_bytes, "resolve_threads_min", "is above resolve_threads_max");
    if (options->pool_threads_min > options->pool_threads_max)
        return refuse(why, why_bytes, "pool_threads_min", "is above pool_threads_max");
    if (options->prefault_stacks > options->tasks_per_loop)
        return refuse(why, why_bytes, "prefault_stacks", "is above tasks_per_loop");
    if (options->stall_limit_ns > 0 && options->stall_limit_ns < MS)
        return refuse(why, why_bytes, "stall_limit_ns", "is below a millisecond");
    if (options->blocking_check > WEIR_BLOCKING_CHECK_ABORT)
        return refuse(why, why_bytes, "blocking_check", "is no enum weir_blocking_check");
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return refuse(why, why_bytes, "reserved", "is not zero");
    return 0;
}

/* How many CPUs affinity and quota allow. */
static unsigned usable_cpus(const struct weir__machine *machine)
{
    if (machine->quota_cpus && machine->quota_cpus < machine->cpu_count)
        return machine->quota_cpus;
    return machine->cpu_count;
}

int weir__options_fill(struct weir_options *options, const struct weir_options *given,
                       struct weir__machine *machine, bool one_loop, char *why, size_t why_bytes)
{
    int error;

    *options = given ? *given : (struct weir_options){ 0 };
    if (options->size && options->size != sizeof *options)
        return refuse(why, why_bytes, "size", "is not sizeof(struct weir_options)");
    error = fill_rows(options, why, why_bytes);
    if (error >= 0)
        error = check_rest(options, why, why_bytes);
    if (!options->cpu_threads) /* they are not bound to the loops' CPUs */
        options->cpu_threads = usable_cpus(machine);
    if (error >= 0 && options->loop_cpus)
        error = weir__machine_restrict(machine, options->loop_cpus, why, why_bytes);
    if (error < 0)
        return error;
    if (!options->loop_count)
        options->loop_count = one_loop ? 1 : usable_cpus(machine);
    if (machine->quota_cpus || (machine->cpu_count == 1 && !machine->restricted) ||
        options->loop_count > machine->cpu_count)
        options->spin_max_ns = -1; /* a spinning loop would eat what the others wait for */
    return 0;
}
