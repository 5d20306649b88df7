/* SPDX-License-Identifier: MIT */
/*
 * Stalls: who holds a loop, how long, and where, said while it lasts.
 *
 * A loop runs one task at a time. One that blocks, or computes for long, holds up all others; then
 * timeouts appear far from their cause. A thread beside the loops ("weir-watch", one a runtime)
 * looks at each of them some forty times a second, and when nothing has moved there for
 * `weir_options.stall_limit_ns` it reports the task, the time, the system call and the backtrace,
 * with names: to `weir_options.on_stall`, or on standard error. It sleeps while all loops sleep.
 *
 * A stall is reported once at the limit, and again when it has lasted ten times as long, and ten
 * times that. At most one report an interval (`stall_interval_ns`) is made; the others are counted
 * (WEIR_STALLS, WEIR_STALLS_UNREPORTED), as is the time that all stalls took (WEIR_STALL_NS).
 *
 * How long a ready task waits for its turn is measured as well, for one task every few turns:
 * weir_ready_delay_read.
 *
 * Example:
 *     static void on_stall(void *context, const struct weir_stall *stall)
 *     {
 *         write_log("%s", stall->text);
 *     }
 *     struct weir_options options = { .on_stall = on_stall };
 */
#ifndef WEIR_STALL_H
#define WEIR_STALL_H

#include <weir/base.h>

enum weir_stall_kind {
    WEIR_STALL_BLOCKED,    /* asleep in a system call; or mostly, in many: then `call` is NULL */
    WEIR_STALL_LOCK,       /* asleep in futex(2): a lock, a condition, a join of a thread */
    WEIR_STALL_FAULT,      /* asleep in a page fault: a mapped file, swap, userfaultfd(2) */
    WEIR_STALL_HOG,        /* it runs, and does not park */
    WEIR_STALL_SUBMISSION, /* in weir's own io_uring_enter(2), which does not take what it has */
    WEIR_STALL_QUEUE,      /* nobody holds the loop, but those who are ready, or what came for
                              it, wait too long */
    WEIR_STALL_STARVED,    /* its thread is ready, and had neither half a CPU nor the limit of it */
    WEIR_STALL_KIND_COUNT,
};

/* One stall. All of it is valid during the call of on_stall only. */
struct weir_stall {
    enum weir_stall_kind kind;
    unsigned loop_index;
    const char *task_name; /* who holds the loop; NULL: nobody, or not known */
    int64_t held_ns;       /* at least so long */
    unsigned report;       /* of this stall: 1 at the limit, 2 at ten times the limit, ... */
    bool all_loops;        /* all loops of the runtime (more than one) are held; see `next` */
    const char *call;      /* the system call, such as "read"; NULL: none */
    int call_fd;           /* what it is about; -1: no descriptor */
    const char *op;        /* WEIR_STALL_SUBMISSION: what was to be submitted; else NULL */
    void *const *frames;   /* innermost first: addresses in code, for addr2line(1) */
    unsigned frame_count;
    unsigned sure_count; /* so many of them are certain; the others were searched for */
    uint64_t unreported; /* stalls since the last report that were only counted */
    const char *text;    /* all of that for people: some lines, also on the other loops' */
    const struct weir_stall *next; /* the next loop's, when all are held; its text is NULL */
    uint64_t reserved[4];
};

/* How long ready tasks waited for their turn. */
enum { WEIR_DELAY_BUCKETS = 40 };

struct weir_ready_delay {
    uint64_t counts[WEIR_DELAY_BUCKETS]; /* [i]: from 2^i to below 2^(i+1) ns; [0] also 0 */
    int64_t waiting_ns; /* the longest wait that is going on, of the tasks that are measured */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Reads the delays of one loop of the calling task's runtime, or of all (loop_index < 0), since its
 * start. Returns 0.
 * Errors: -EINVAL delay is NULL, or no such loop; -ENXIO not in a task; -EOPNOTSUPP stall detection
 * is off (stall_limit_ns < 0).
 */
WEIR_API int weir_ready_delay_read(int loop_index, struct weir_ready_delay *delay);

/* "blocked" and so on; NULL when there is no such kind. */
WEIR_API const char *weir_stall_kind_name(int kind) WEIR_ANY_THREAD;

WEIR_END

#endif
