/* SPDX-License-Identifier: MIT */
/*
 * The runtime: loops, each one thread with one ring on one core, and a bounded pool for what can
 * only block. weir_run starts them, runs the root task, and returns when all is done: no thread,
 * descriptor, ring or block of memory stays.
 *
 * It may be called again afterwards, and two runtimes may run at once on two threads. A task calls
 * none of it (-EDEADLK). A forked child may only exec: weir calls there return -EOWNERDEAD.
 *
 * Process-wide effects while a runtime runs: a SIGSEGV handler on alternate stacks, which reports a
 * task's stack overflow and passes everything else to the handler that was there
 * (options.no_overflow_handler leaves it out); a handler of one real-time signal, which loops'
 * threads do not block (options.stall_limit_ns < 0 leaves it out); threads named "weir-loop-N",
 * "weir-pool-N", "weir-cpu-N", "weir-dns-N" and "weir-watch" that block all signals but faults (one
 * of the last but one kind that is inside of getaddrinfo lives on until that returns); libmimalloc
 * loaded for the runtime's own memory, malloc untouched. Those of the blocking-call check, where it
 * is asked for, are in <weir/blocking.h>.
 *
 * Example:
 *     int main(void) { return weir_run(serve, NULL, NULL); }
 */
#ifndef WEIR_RUNTIME_H
#define WEIR_RUNTIME_H

#include <weir/base.h>
#include <weir/blocking.h>
#include <weir/stall.h>
#include <weir/task.h>

struct weir_deadlock;
struct weir_warning;

/* A task's failure that nobody joined; see weir_options.on_failure. Valid during the call. */
struct weir_failure {
    const char *task_name;
    const char *scope_name;
    int error;           /* what the task returned, negative */
    unsigned loop_index; /* its home */
    /* The place in the code where it was spawned, as a return address: for addr2line(1), which
     * wants the instruction before it. NULL: by the runtime itself. */
    const void *spawned_at;
    int64_t age_ns; /* since then */
    uint64_t reserved[4];
};

/* Optional kernel features, to be masked by weir_options.without_features (and so tested). */
enum weir_feature {
    WEIR_FEATURE_SINGLE_ISSUER = 1 << 0,  /* IORING_SETUP_SINGLE_ISSUER, Linux 6.0 */
    WEIR_FEATURE_DEFER_TASKRUN = 1 << 1,  /* IORING_SETUP_DEFER_TASKRUN, Linux 6.1 */
    WEIR_FEATURE_RING_FD = 1 << 2,        /* registered ring descriptor, Linux 5.18 */
    WEIR_FEATURE_SYNC_MSG_RING = 1 << 3,  /* doorbell without eventfd, Linux 6.13 */
    WEIR_FEATURE_MADV_GUARD = 1 << 4,     /* stack guards without mappings, Linux 6.13 */
    WEIR_FEATURE_FTRUNCATE = 1 << 5,      /* IORING_OP_FTRUNCATE, Linux 6.9 */
    WEIR_FEATURE_IOWQ_LIMIT = 1 << 6,     /* IORING_REGISTER_IOWQ_MAX_WORKERS, Linux 5.15 */
    WEIR_FEATURE_NO_IOWAIT = 1 << 7,      /* idle rings not counted as iowait, Linux 6.15 */
    WEIR_FEATURE_UDP_SEGMENT = 1 << 12,   /* the kernel cuts datagrams, Linux 4.18 */
    WEIR_FEATURE_DIOALIGN = 1 << 14,      /* alignment asked of files, Linux 6.1 */
    WEIR_FEATURE_BUFFER_RING = 1 << 8,    /* provided buffers for receives, Linux 5.19 */
    WEIR_FEATURE_MULTISHOT_RECV = 1 << 9, /* one receive with many results, Linux 6.0 */
    WEIR_FEATURE_SEND_ZC = 1 << 10,       /* IORING_OP_SEND_ZC, Linux 6.0 */
    WEIR_FEATURE_NAPI = 1 << 22,          /* napi_busy_poll_ns, Linux 6.9 */
    WEIR_FEATURE_CLONE_BUFFERS = 1 << 23, /* loops share registered buffers, Linux 6.13 */
};

/* Zeroed means default. Unknown flags or values out of range make weir_run return -EINVAL. */
struct weir_options {
    size_t size; /* sizeof(struct weir_options); 0 means the first version's */

    /* Loops: one per CPU that affinity and cgroup quota allow, unless loop_count says otherwise. */
    unsigned loop_count;       /* at most 256 */
    unsigned ring_entries;     /* submission entries per ring, a power of two; 0: 256 */
    int64_t spin_max_ns;       /* spin before sleep, adaptively, up to this, a thread of a pool
                                * without work, too; 0: 30 us; < 0: never */
    unsigned without_features; /* weir_feature bits to do without */
    bool pin_loops;            /* one CPU per loop; only the first runtime of a process pins */
    bool no_overflow_handler;  /* no SIGSEGV handler: a stack overflow is a plain crash */

    /* Tasks. */
    unsigned tasks_per_loop;  /* spawn is refused or waits beyond; 0: 262144 */
    unsigned remote_spawns;   /* spawns from elsewhere on their way into a loop; 0: 1024 */
    size_t stack_bytes;       /* usable stack of a task; 0: 64 KiB */
    size_t stack_total_bytes; /* stack address space per loop; 0: what the task count needs */
    unsigned stacks_kept;     /* free stacks per loop whose pages stay; 0: 1024 */

    /* Submission queues: disk operations in flight, per loop and class (reads, writes). */
    unsigned submission_limit; /* 0: 64 */
    enum weir_when_full submission_when_full;
    int64_t submission_wait_ns; /* the queue's own limit under WEIR_WHEN_FULL_EXPIRE; 0: 1 s */

    /* The pool of threads for what can only block. */
    unsigned pool_threads_min; /* 0: 1 */
    unsigned pool_threads_max; /* at most 1024; 0: 64 */
    unsigned pool_queue_limit; /* jobs queued; 0: 1024 */
    enum weir_when_full pool_when_full;
    int64_t pool_wait_ns; /* the queue's own limit under WEIR_WHEN_FULL_EXPIRE; 0: 1 s */
    int64_t pool_idle_ns; /* an idle thread above the minimum ends after this; 0: 5 s */

    /*
     * A failure that nobody joined and no scope returns, reported exactly once. Runs in the
     * callback task of the failing task's loop. NULL: one line on standard error.
     */
    void (*on_failure)(void *context, const struct weir_failure *failure);
    void *context;

    /* The pool of threads for long computations: it grows to its size as jobs come, and stays so.
     * */
    unsigned cpu_threads;     /* at most 1024; 0: one per CPU that affinity and quota allow */
    unsigned cpu_queue_limit; /* jobs queued; 0: 1024 */
    enum weir_when_full cpu_when_full;
    int64_t cpu_wait_ns; /* the queue's own limit under WEIR_WHEN_FULL_EXPIRE; 0: 1 s */

    /*
     * Latency. `loop_cpus` names the CPUs that loops run on, as taskset(1) does ("2-5,8"), and NULL
     * is all that affinity allows: one loop each, unless loop_count says otherwise, bound to these
     * CPUs together, or with pin_loops to one each. Pool threads keep the process's own CPUs.
     * `napi_busy_poll_ns`: before a loop sleeps, the kernel looks itself at the network cards whose
     * sockets the loop waits for; loopback has none. It costs a core as spinning does. Without
     * WEIR_FEATURE_NAPI in the report the kernel cannot, and loops sleep at once.
     * `prefault_stacks`: so many stacks a loop are made, and their pages touched, before the root
     * task starts; those made later are touched as they are made. Their pages stay.
     */
    const char *loop_cpus;
    int64_t napi_busy_poll_ns; /* 0: never; at most 1 s; the kernel's unit is 1 us, rounded up */
    bool napi_prefer;          /* SO_PREFER_BUSY_POLL: interrupts stay off while it polls */
    unsigned prefault_stacks;  /* 0: pages come as they are touched */

    /* Name resolution: the threads that ask, the queue before them, the answers kept. */
    unsigned resolve_threads_min; /* from the first question on; 0: 1 */
    unsigned resolve_threads_max; /* at most 1024; 0: 8 */
    unsigned resolve_queue_limit; /* questions queued; 0: 1024 */
    enum weir_when_full resolve_when_full;
    int64_t resolve_wait_ns;         /* the queue's own limit under WEIR_WHEN_FULL_EXPIRE; 0: 1 s */
    unsigned resolve_answers;        /* kept at most; 0: 1024 */
    int64_t resolve_ttl_ns;          /* how long one is kept; 0: 60 s; < 0: not at all */
    int64_t resolve_negative_ttl_ns; /* "no such name"; 0: 2 s; < 0: not at all */

    /*
     * Receive buffers of weir_stream, per loop: memory that all streams share, taken as bytes
     * arrive. It is made as it is needed, up to the bound; beyond it, streams receive into memory
     * of their own. At most 32768 buffers.
     */
    unsigned receive_buffer_bytes; /* of one, at least 64; 0: 4 KiB */
    size_t receive_buffers_bytes;  /* of all; 0: 8 MiB */

    /*
     * Classes of work (enum weir_priority). Ready tasks, and those that wait for the right to one
     * more disk operation, take turns: in a cycle each class has as many as its share, the most
     * urgent first; what a class does not use is nobody's. Background work may hold only a part of
     * the operations in flight (at least one), so that a newcomer soon has one.
     */
    unsigned share_latency;      /* at most 255; 0: 8 */
    unsigned share_normal;       /* at most 255; 0: 4 */
    unsigned share_background;   /* at most 255; 0: 1 */
    unsigned background_percent; /* of submission_limit; at most 100; 0: 25 */

    /*
     * Stall detection; see weir/stall.h. on_stall runs on the thread that watches: it may make only
     * calls that any thread may, should return soon, and is called by one thread at a time. NULL:
     * the text goes to standard error, unless that is a full pipe. The signal interrupts a thread
     * that runs a task for too long, to see where it is; it must be one that the program does not
     * use, and a handler that was there before gets all that is not weir's.
     */
    int64_t stall_limit_ns;    /* at least 1 ms; 0: 100 ms; < 0: no detection */
    int64_t stall_interval_ns; /* between two reports; 0: 1 s */
    void (*on_stall)(void *context, const struct weir_stall *stall);
    void *stall_context;
    unsigned stall_signal; /* a real-time signal; 0: the highest that has no handler */

    /*
     * What tasks and buffers may take in all: the stacks of tasks, in full, whatever they touch of
     * them, and their structures; channels that tasks create; receive buffers; blocks of streams.
     * Beyond it a spawn is refused or waits (weir_spawn_options.wait_ns), weir_chan_create fails
     * with -ENOMEM, streams read into their caller's memory and write without gathering (what needs
     * a buffer, such as weir_stream_read_until, is -ENOMEM). Stacks
     * count in full since a bound that holds only as long as tasks are shallow gives way just when
     * all of them are at their deepest; a smaller stack_bytes makes room for more.
     */
    size_t memory_limit_bytes; /* at least 1 MiB; 0: no bound but those on each */

    /*
     * Watchdogs; see weir/watchdog.h for what each looks for. Limits below 0 switch one off.
     * `channel_users`: channels made by tasks note who uses them, at some 12 ns a message, so that
     * tasks that wait for each other over channels are found while the rest of the program is busy.
     * The callbacks run on a thread that is none of the loops', and may take their time; NULL:
     * lines on standard error.
     */
    int64_t deadlock_limit_ns; /* tasks that wait for each other for so long; 0: 10 s */
    int64_t mutex_limit_ns;    /* the owner of a mutex parked for so long; 0: 5 s */
    int64_t drain_limit_ns;    /* nothing received, and a sender parked for so long; 0: 60 s */
    int64_t device_limit_ns;   /* an operation on a file takes so long; 0: 30 s */
    int64_t peer_limit_ns;     /* an operation without deadline waits so long for a peer; 0: off */
    int64_t growth_limit_ns;   /* a loop's tasks only become more for so long; 0: 10 s */
    unsigned growth_tasks;     /* and by so many; 0: 10000 */
    int64_t drop_limit_ns;     /* a named channel drops most of it for so long; 0: off */
    bool channel_users;
    void (*on_deadlock)(void *context, const struct weir_deadlock *deadlock);
    void (*on_warning)(void *context, const struct weir_warning *warning);

    /* More of the pool for what can only block; struct weir_pool_options says what they mean. */
    int64_t pool_grow_after_ns;     /* 0: 200 us; < 0: at once */
    unsigned pool_slow_threads_max; /* 0: half of pool_threads_max */
    unsigned pool_abandoned_max;    /* 0: half of pool_threads_max */

    /*
     * The blocking-call check, for development; see <weir/blocking.h>, also for the environment
     * that prevails over it. `blocking_allow` names functions and libraries, with commas between
     * them ("getaddrinfo,libfoo"): calls that have one of them in their backtrace are not reported.
     * `on_blocking_call` runs on a thread of the check's own, with `context`; NULL: the text goes
     * to standard error.
     */
    enum weir_blocking_check blocking_check;
    const char *blocking_allow;
    void (*on_blocking_call)(void *context, const struct weir_blocking_call *call);

    uint64_t reserved[5]; /* must be zero */
};

/* What the runtime obtained from this kernel; see weir_runtime_report. */
struct weir_report {
    unsigned loop_count;
    unsigned features;     /* weir_feature bits obtained */
    unsigned setup_flags;  /* IORING_SETUP_* of the loops' rings */
    unsigned ring_entries; /* submission entries */
    unsigned completion_entries;
    bool spinning;  /* false under a CPU quota or on one CPU */
    bool pinned;    /* loops are bound to a CPU each */
    char text[512]; /* the same for people, one line */
    uint64_t reserved[8];
};

WEIR_BEGIN

/*
 * Starts a runtime and runs fn(arg) as its root task on loop 0. When that returns, tasks that are
 * left in its own scope are cancelled and waited for, and the loops stop.
 * Returns what the root task returned.
 * Errors: -EINVAL bad options; -EDEADLK called from a task; -ENOMEM, -EMFILE, -EAGAIN resources;
 * -EPERM, -ENOSYS, -EOPNOTSUPP no usable io_uring; -ELIBACC, -ELIBBAD no usable mimalloc. Each of
 * these is explained by one message on
 * standard error (cause, evidence, remedy), also found in weir_last_error().
 * Owns: nothing of arg. Thread: one that weir did not start; it waits, and runs no task.
 */
WEIR_API int weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options);

/* As weir_run, but the calling thread is loop 0, and the only loop unless loop_count says more. Its
 * signals are handled as before, SIGPIPE aside: that is blocked meanwhile. */
WEIR_API int weir_run_on_this_thread(weir_task_fn *fn, void *arg,
                                     const struct weir_options *options);

/*
 * What the runtime of the calling task obtained.
 * Errors: -EINVAL report is NULL; -ENXIO not called from a task.
 */
WEIR_API int weir_runtime_report(struct weir_report *report);

/* The last failure that was explained to the calling thread, in words: of a start (a runtime, a
 * child process, a subscription, a watch), or in a task, of its last weir_buffer_register; "" when
 * there was none. In a task: to be read before it parks again. */
WEIR_API const char *weir_last_error(void) WEIR_ANY_THREAD;

WEIR_END

#endif
