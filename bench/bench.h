/* SPDX-License-Identifier: MIT */
/*
 * The words of the bench.
 *
 * A **bench** asks one question (echo over 32 connections). A **contender** answers it one way
 * (weir, a liburing loop, libuv). A **trial** is one contender's answer, once, in a process of its
 * own; its **outcome** is a value per metric. A **family** is the code that several benches share:
 * it prepares them and makes their trials.
 *
 * The trials of a bench are interleaved, A B C A B C, and a comparison is the median over the
 * rounds of the ratio of two trials of one round: what the machine does slowly (heat, neighbours)
 * hits both alike.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "measure.h"

#include <stdbool.h>
#include <stdint.h>

enum metric {
    METRIC_OPS_PER_S,
    METRIC_CPU_NS_PER_OP,
    METRIC_P50_US,
    METRIC_P99_US,
    METRIC_P999_US,
    METRIC_NS_PER_OP,
    METRIC_BYTES_PER_TASK,
    METRIC_BYTES_PER_CONNECTION,
    METRIC_COUNT,
};

struct metric_facts {
    const char *name; /* as in JSON */
    const char *head; /* as in a table */
    const char *unit;
    bool higher_is_better;
};

extern const struct metric_facts metric_facts[METRIC_COUNT];

/* Lives in memory shared by the harness and the trial's processes. */
struct outcome {
    double values[METRIC_COUNT]; /* NAN: not measured */
    char error[240];             /* "": the trial is good */
    char note[80];               /* for the tables, may be "" */
};

struct settings {
    bool quick;
    const char *folder; /* of the test files */
};

struct bench;
struct contender;

struct trial {
    const struct bench *bench;
    const struct contender *contender;
    const struct settings *settings;
    unsigned threads; /* of a pool */
    unsigned round;   /* also the seed */
    bool tuning;      /* a short try that looks for the best number of threads */
};

/* What a contender of each family is. */
struct file_job;
struct echo_job;
struct chan_job;
struct storm_job;
struct log_job;
struct dial_job;
struct udp_job;
struct copy_job;
struct proxy_job;
struct overload_job;
struct jobs_job;
typedef void file_fn(struct file_job *job);
typedef void echo_fn(const struct echo_job *job); /* the server; ends by being killed */
typedef uint64_t micro_fn(uint64_t op_count);     /* returns the ns that op_count operations took */
typedef uint64_t chan_fn(const struct chan_job *job); /* likewise */
typedef void storm_fn(struct storm_job *job);
typedef void jobs_fn(struct jobs_job *job);
typedef void log_fn(struct log_job *job);
typedef void dial_fn(struct dial_job *job);
typedef void copy_fn(struct copy_job *job);
typedef void udp_fn(const struct udp_job *job);           /* as echo_fn */
typedef void proxy_fn(const struct proxy_job *job);       /* as echo_fn */
typedef void overload_fn(const struct overload_job *job); /* as echo_fn */
typedef void trial_fn(const struct trial *trial, struct outcome *outcome);
typedef const char *reason_fn(const struct bench *bench); /* why it cannot run here; NULL: it can */

enum {
    THREADS_NONE = 0,
    THREADS_DEFAULT = 4,  /* libuv's default; the pthread pool takes the same */
    THREADS_WAITING = 50, /* of the server in waiting-1000 */
    THREADS_BEST = -1,    /* the best of 4 to 64, found by tuning before the rounds */
};

/* Exactly one of the functions is set, the one that the bench's family calls. */
struct contender {
    const char *name; /* NULL ends a list */
    file_fn *file;
    echo_fn *echo;
    micro_fn *micro;
    chan_fn *chan;
    storm_fn *storm;
    log_fn *log;
    dial_fn *dial;
    copy_fn *copy;
    udp_fn *udp;
    proxy_fn *proxy;
    overload_fn *overload;
    jobs_fn *jobs;
    trial_fn *trial;
    reason_fn *why_not; /* may be NULL */
    int threads;
    bool spin;    /* may spin before it sleeps */
    bool unbound; /* binds its own threads to CPUs */
};

struct family {
    const char *policy; /* how its contenders are kept alike, one line for the tables */
    /* Before any trial. Ends the program when the user must change something. May be NULL. */
    void (*prepare)(const struct bench *bench, const struct settings *settings);
    reason_fn *why_not; /* may be NULL */
    trial_fn *run;      /* in a process of its own */
    unsigned rounds, rounds_quick;
    unsigned limit_s; /* a trial that takes longer is ended */
};

struct bench {
    const char *name;
    const char *question;
    const struct family *family;
    const struct contender *contenders;
    unsigned size; /* connections, operations in flight or tasks */
    int kind;      /* the family's own */
};

extern const struct bench benches[];
extern const unsigned bench_count;

extern const struct family micro_family, file_family, echo_family, waiting_family, storm_family,
    log_family, jobs_family, dial_family, udp_family, proxy_family, copy_family, idle_family,
    watched_family;

/* --- For families and trials ------------------------------------------------------------------ */

/* The ns per operation of a function that does op_count operations and says how long they took.
 * The counts that it is given are multiples of 4, 8, 64, 100 and 128. */
typedef uint64_t micro_once_fn(const struct trial *trial, uint64_t op_count);
double micro_measure(const struct trial *trial, micro_once_fn *once);

/* Ends the trial's process; the words become the outcome's error. */
__attribute__((noreturn, format(printf, 1, 2))) void trial_fail(const char *format, ...);
/* The same with "WHAT: the error's text". */
__attribute__((noreturn, cold)) void trial_fail_error(int error, const char *what);

/* Ends it when the result is negative; returns the result. Inline: it is in the measured loops. */
static inline int trial_check(int result, const char *what)
{
    if (__builtin_expect(result < 0, 0))
        trial_fail_error(result, what);
    return result;
}

/* trial_check for calls that set errno. */
int trial_check_errno(int result, const char *what);

#endif
