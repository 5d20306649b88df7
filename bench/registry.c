/* SPDX-License-Identifier: MIT */
/*
 * Every benchmark, and who contends in it. The names are what users and programs refer to: they
 * stay.
 *
 * In mixed, `weir` has the blocking work on the pool, `weir-ring` on the ring, `weir-blocking` the
 * wrong way, inside the tasks; `raw` is the same pipeline with no work beside it.
 */
#include "chan.h"
#include "copy.h"
#include "dial.h"
#include "echo.h"
#include "file.h"
#include "jobs.h"
#include "log.h"
#include "machine.h"
#include "overload.h"
#include "parked.h"
#include "proxy.h"
#include "raw_peer.h"
#include "storm.h"
#include "udp.h"
#include "uv_peer.h"
#include "weir_peer.h"

#define WEIR_ON_ALL_CPUS .why_not = weir_peer_why_not, .unbound = true

static const char *ring_why_not(const struct bench *bench)
{
    (void)bench;
    return machine_ring_reason();
}

/* --- Contenders ------------------------------------------------------------------------------ */

#define MICRO_CONTENDERS(list, function)                                                           \
    static const struct contender list[] = {                                                       \
        { "weir", .micro = (function), .why_not = weir_peer_why_not },                             \
        { "raw", .micro = raw_switch },                                                            \
        { .name = NULL },                                                                          \
    }

MICRO_CONTENDERS(switch_pair, weir_switches);
MICRO_CONTENDERS(yield, weir_yields);
MICRO_CONTENDERS(spawn, weir_spawns);
MICRO_CONTENDERS(rendezvous, weir_rendezvous);
MICRO_CONTENDERS(buffered, weir_buffered);
MICRO_CONTENDERS(select2, weir_select2);
MICRO_CONTENDERS(timer, weir_timers);

static const struct contender wake[] = {
    { "weir", .micro = weir_wake_asleep, WEIR_ON_ALL_CPUS },
    { "raw", .micro = raw_wake_asleep, .why_not = needs_two_cpus, .unbound = true },
    { "weir-spin", .micro = weir_wake_spinning, WEIR_ON_ALL_CPUS, .spin = true },
    { "raw-spin", .micro = raw_wake_spinning, .why_not = needs_two_cpus, .unbound = true,
      .spin = true },
    { .name = NULL },
};

static const struct contender file[] = {
    { "raw", .file = raw_file },
    { "weir", .file = weir_file, WEIR_ON_ALL_CPUS },
    { "uring", .file = uring_file, .why_not = ring_why_not },
    { "threads", .file = threads_file, .threads = THREADS_DEFAULT },
    { "threads-best", .file = threads_file, .threads = THREADS_BEST },
    { "libuv", .file = uv_peer_file, .threads = THREADS_DEFAULT, .why_not = uv_peer_why_not },
    { "libuv-best", .file = uv_peer_file, .threads = THREADS_BEST, .why_not = uv_peer_why_not },
    { .name = NULL },
};

/* Without the first: system calls in a loop are no limit for a disk with many in flight. */
#define FILE_DEEP (&file[1])

static const struct contender storm[] = {
    { "raw", .storm = raw_storm },
    { "weir", .storm = weir_storm, WEIR_ON_ALL_CPUS },
    { "weir-pool", .storm = weir_pool_storm, WEIR_ON_ALL_CPUS },
    { "threads", .storm = threads_storm, .threads = THREADS_DEFAULT },
    { "threads-best", .storm = threads_storm, .threads = THREADS_BEST },
    { "libuv", .storm = uv_peer_storm, .threads = THREADS_DEFAULT, .why_not = uv_peer_why_not },
    { "libuv-best", .storm = uv_peer_storm, .threads = THREADS_BEST, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender jobs[] = {
    { "raw", .jobs = raw_jobs, .unbound = true },
    { "weir", .jobs = weir_jobs, WEIR_ON_ALL_CPUS },
    { "threads", .jobs = threads_jobs, .threads = THREADS_DEFAULT },
    { "threads-best", .jobs = threads_jobs, .threads = THREADS_BEST },
    { "libuv", .jobs = uv_peer_jobs, .threads = THREADS_DEFAULT, .why_not = uv_peer_why_not },
    { "libuv-best", .jobs = uv_peer_jobs, .threads = THREADS_BEST, .why_not = uv_peer_why_not },
    { "weir-spin", .jobs = weir_jobs, WEIR_ON_ALL_CPUS, .spin = true },
    { "threads-spin", .jobs = threads_jobs, .threads = THREADS_DEFAULT, .spin = true },
    { "threads-spin-best", .jobs = threads_jobs, .threads = THREADS_BEST, .spin = true },
    { .name = NULL },
};

/* A bare hand-over is no limit for many. */
#define JOBS_MANY (&jobs[1])

static const struct contender log_append[] = {
    { "raw", .log = raw_log },
    { "weir", .log = weir_log, WEIR_ON_ALL_CPUS },
    { "threads", .log = threads_log, .unbound = true },
    { "libuv", .log = uv_peer_log, .why_not = uv_peer_why_not, .unbound = true },
    { .name = NULL },
};

static const struct contender overload_echo[] = {
    { "weir", .overload = weir_overload, .why_not = weir_peer_why_not },
    { "weir-adaptive", .overload = weir_adaptive_overload, .why_not = weir_peer_why_not },
    { "libuv", .overload = uv_peer_overload, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender overload_file[] = {
    { "weir", .overload = weir_overload, WEIR_ON_ALL_CPUS },
    { "libuv", .overload = uv_peer_overload, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender limiter[] = {
    { "weir", .trial = weir_limiter_adaptive, WEIR_ON_ALL_CPUS },
    { "fixed-1", .trial = weir_limiter_1, WEIR_ON_ALL_CPUS },
    { "fixed-2", .trial = weir_limiter_2, WEIR_ON_ALL_CPUS },
    { "fixed-4", .trial = weir_limiter_4, WEIR_ON_ALL_CPUS },
    { "fixed-8", .trial = weir_limiter_8, WEIR_ON_ALL_CPUS },
    { "fixed-32", .trial = weir_limiter_32, WEIR_ON_ALL_CPUS },
    { .name = NULL },
};

static const struct contender dial[] = {
    { "raw", .dial = raw_dial },
    { "weir", .dial = weir_dial_storm, WEIR_ON_ALL_CPUS },
    { "weir-dial", .dial = weir_dial_text_storm, WEIR_ON_ALL_CPUS },
    { "epoll", .dial = epoll_dial },
    { "libuv", .dial = uv_peer_dial, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender udp[] = {
    { "weir", .udp = weir_udp, WEIR_ON_ALL_CPUS },
    { "weir-plain", .udp = weir_plain_udp, WEIR_ON_ALL_CPUS },
    { "uring", .udp = uring_udp, .why_not = ring_why_not },
    { "epoll", .udp = epoll_udp },
    { "libuv", .udp = uv_peer_udp, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender proxy[] = {
    { "weir", .proxy = weir_proxy, WEIR_ON_ALL_CPUS },
    { "weir-stream", .proxy = weir_stream_proxy, WEIR_ON_ALL_CPUS },
    { "uring", .proxy = uring_proxy, .why_not = ring_why_not },
    { "splice", .proxy = splice_proxy },
    { .name = NULL },
};

static const struct contender copy[] = {
    { "raw", .copy = raw_copy },
    { "weir", .copy = weir_copy_1g, WEIR_ON_ALL_CPUS },
    { "read-write", .copy = read_write_copy },
    { "cp", .copy = cp_copy, .why_not = cp_why_not, .unbound = true },
    { .name = NULL },
};

static const struct contender idle[] = {
    { "weir", .echo = weir_echo, WEIR_ON_ALL_CPUS },
    { "weir-small", .echo = weir_idle, WEIR_ON_ALL_CPUS },
    { "weir-stream", .echo = weir_stream_idle, WEIR_ON_ALL_CPUS },
    { "epoll", .echo = epoll_echo },
    { "libuv", .echo = uv_peer_echo, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender echo[] = {
    { "weir", .echo = weir_echo, WEIR_ON_ALL_CPUS },
    { "uring", .echo = uring_echo },
    { "uring-multi", .echo = uring_multi_echo },
    { "epoll", .echo = epoll_echo },
    { "libuv", .echo = uv_peer_echo, .why_not = uv_peer_why_not },
    { "threads", .echo = threads_echo },
    { "weir-spin", .echo = weir_echo, WEIR_ON_ALL_CPUS, .spin = true },
    { "uring-spin", .echo = uring_echo, .why_not = needs_two_cpus, .spin = true },
    { "epoll-spin", .echo = epoll_echo, .why_not = needs_two_cpus, .spin = true },
    { .name = NULL },
};

/* Here `weir` is weir_stream; plain calls are its other form. */
static const struct contender stream[] = {
    { "weir", .echo = weir_stream_echo, WEIR_ON_ALL_CPUS },
    { "weir-plain", .echo = weir_echo, WEIR_ON_ALL_CPUS },
    { "uring-multi", .echo = uring_multi_echo },
    { "uring", .echo = uring_echo },
    { "epoll", .echo = epoll_echo },
    { "libuv", .echo = uv_peer_echo, .why_not = uv_peer_why_not },
    { .name = NULL },
};

static const struct contender watched[] = {
    { "weir", .echo = weir_echo, WEIR_ON_ALL_CPUS },
    { .name = NULL },
};

static const struct contender waiting[] = {
    { "weir", .echo = weir_waiting, WEIR_ON_ALL_CPUS },
    { "threads", .echo = threads_waiting, .threads = THREADS_WAITING },
    { .name = NULL },
};

static const struct contender mixed[] = {
    { "weir", .trial = weir_mixed_pool, WEIR_ON_ALL_CPUS },
    { "weir-ring", .trial = weir_mixed_ring, WEIR_ON_ALL_CPUS },
    { "weir-blocking", .trial = weir_mixed_inside, WEIR_ON_ALL_CPUS },
    { "raw", .trial = weir_mixed_idle, WEIR_ON_ALL_CPUS },
    { .name = NULL },
};

static const struct contender burst[] = {
    { "weir", .trial = weir_burst_classes, WEIR_ON_ALL_CPUS },
    { "weir-one-class", .trial = weir_burst_one_class, WEIR_ON_ALL_CPUS },
    { "raw", .trial = weir_burst_alone, WEIR_ON_ALL_CPUS },
    { .name = NULL },
};

static const struct contender parked[] = {
    { "weir", .trial = weir_parked, .why_not = weir_peer_why_not },
    { "raw", .trial = raw_parked },
    { .name = NULL },
};

#define CHAN_WEIR  .chan = weir_chan, .why_not = weir_peer_why_not
#define CHAN_GO    .chan = chan_go, .why_not = chan_go_why_not
#define CHAN_BOOST .chan = chan_boost, .why_not = chan_boost_why_not

static const struct contender chan[] = {
    { "weir", CHAN_WEIR },
    { "go", CHAN_GO },
    { "boost", CHAN_BOOST },
    { .name = NULL },
};

/* Boost.Fiber has no select. */
static const struct contender chan_select[] = {
    { "weir", CHAN_WEIR },
    { "go", CHAN_GO },
    { .name = NULL },
};

static const struct contender chan_loops[] = {
    { "weir", CHAN_WEIR, .threads = 2 },
    { "go", CHAN_GO, .threads = 2 },
    { "boost", CHAN_BOOST, .threads = 2 },
    { .name = NULL },
};

/* A task for each loop: Go can be made to part them, too. */
static const struct contender chan_two[] = {
    { "weir", CHAN_WEIR, .threads = 2 },
    { "go", CHAN_GO, .threads = 2 },
    { "go-bound", .chan = chan_go_bound, .why_not = chan_go_why_not, .threads = 2 },
    { "boost", CHAN_BOOST, .threads = 2 },
    { .name = NULL },
};

static const struct contender chan_crowd[] = {
    { "weir", CHAN_WEIR, .threads = 8 },
    { "weir-2", CHAN_WEIR, .threads = 2 },
    { "go", CHAN_GO, .threads = 8 },
    { "boost", CHAN_BOOST, .threads = 8 },
    { .name = NULL },
};

/* A goroutine is no thread. */
static const struct contender chan_threads[] = {
    { "weir", CHAN_WEIR, .threads = 8 },
    { "weir-2", CHAN_WEIR, .threads = 2 },
    { "boost", CHAN_BOOST, .threads = 8 },
    { .name = NULL },
};

/* --- Families without code of their own ------------------------------------------------------ */

static void run_whole(const struct trial *trial, struct outcome *outcome)
{
    trial->contender->trial(trial, outcome);
}

static const struct family mixed_family = {
    .policy = "one loop; a tick every 250 us through three channels, from its due time; 64 tasks "
              "read 4 KiB from the disk every 5 ms: weir on the pool, weir-ring on the ring, "
              "weir-blocking inside the tasks; raw: no such tasks",
    .prepare = file_prepare_direct,
    .why_not = file_direct_reason,
    .run = run_whole,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 12,
};

static const struct family burst_family = {
    .policy =
        "one loop; a request every 500 us, from its due time, reads 4 KiB from the disk; 10 000 "
        "tasks do the same and work 10 us, without pause: weir in the background class, "
        "weir-one-class in the requests' own; raw: no such tasks",
    .prepare = file_prepare_direct,
    .why_not = file_direct_reason,
    .run = run_whole,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 20,
};

static const struct family parked_family = {
    .policy = "resident bytes per task with a guarded stack of 64 KiB; raw: one page",
    .why_not = parked_why_not,
    .run = run_whole,
    .rounds = 1,
    .rounds_quick = 1,
    .limit_s = 60,
};

static const struct family limiter_family = {
    .policy =
        "64 tasks, a pool of four threads that sleep 2 ms a request, or 8 ms; weir: adaptive; "
        "latency from when the limiter let it in",
    .run = run_whole,
    .rounds = 3,
    .rounds_quick = 1,
    .limit_s = 12,
};

/* --- Benchmarks ------------------------------------------------------------------------------ */

const struct bench benches[] = {
    { "switch", "weir's stack switch, and a bare one", &micro_family, switch_pair, 0, 0 },
    { "yield", "a task lets the next one run", &micro_family, yield, 0, 0 },
    { "spawn", "spawn a task and join it", &micro_family, spawn, 0, 0 },
    { "rendezvous", "a round trip over two unbuffered channels", &micro_family, rendezvous, 0, 0 },
    { "buffered", "a message over a channel of 128", &micro_family, buffered, 0, 0 },
    { "select2", "a message by select over two channels of 128", &micro_family, select2, 0, 0 },
    { "timer", "arm and cancel one timer among a million", &micro_family, timer, 0, 0 },
    { "wake", "wake the other core, one way", &micro_family, wake, 0, 0 },
    { "chan-pair", "a task sends to a channel and receives", &chan_family, chan, 0, CHAN_PAIR },
    { "chan-rendezvous", "a round trip over two unbuffered channels", &chan_family, chan, 0,
      CHAN_RENDEZVOUS },
    { "chan-stream-1", "a message over a channel of 1", &chan_family, chan, 1, CHAN_STREAM },
    { "chan-stream-10", "a message over a channel of 10", &chan_family, chan, 10, CHAN_STREAM },
    { "chan-stream-128", "a message over a channel of 128", &chan_family, chan, 128, CHAN_STREAM },
    { "chan-select-2", "select one of 2 ready channels and refill it", &chan_family, chan_select, 2,
      CHAN_SELECT },
    { "chan-select-8", "select one of 8 ready channels and refill it", &chan_family, chan_select, 8,
      CHAN_SELECT },
    { "chan-select-64", "select one of 64 ready channels and refill it", &chan_family, chan_select,
      64, CHAN_SELECT },
    { "chan-select-parked-2", "a round trip to a select parked on 2 channels", &chan_family,
      chan_select, 2, CHAN_SELECT_PARKED },
    { "chan-select-parked-8", "a round trip to a select parked on 8 channels", &chan_family,
      chan_select, 8, CHAN_SELECT_PARKED },
    { "chan-select-parked-64", "a round trip to a select parked on 64 channels", &chan_family,
      chan_select, 64, CHAN_SELECT_PARKED },
    { "chan-mpmc-1loop", "a message, 4 senders to 4 receivers", &chan_family, chan, 4, CHAN_MPMC },
    { "chan-fanin", "a message, 100 senders to one receiver", &chan_family, chan, 100, CHAN_FANIN },
    { "chan-pipeline", "an element through an ordered pipeline of 8 workers", &chan_family, chan, 8,
      CHAN_PIPELINE },
    { "chan-mult-8", "an element to each of 8 taps", &chan_family, chan, 8, CHAN_MULT },
    { "chan-ring-128", "a hop around a ring of 128 tasks", &chan_family, chan, 128, CHAN_RING },
    { "chan-sieve", "the primes below 10 000, a task each: per number", &chan_family, chan,
      CHAN_SIEVE_LIMIT, CHAN_SIEVE },
    { "chan-close-200k", "close a channel with 200 000 parked tasks: per task", &chan_family, chan,
      200000, CHAN_CLOSE },
    { "chan-rendezvous-2loops", "a round trip between two loops", &chan_loops_family, chan_two, 0,
      CHAN_RENDEZVOUS },
    { "chan-stream-128-2loops", "a message to another loop over a channel of 128",
      &chan_loops_family, chan_two, 128, CHAN_STREAM },
    { "chan-mpmc-2loops", "a message, 4 senders to 4 receivers on two loops", &chan_loops_family,
      chan_loops, 4, CHAN_MPMC },
    { "chan-mpmc-8loops", "a message, 8 senders to 8 receivers on eight loops", &chan_crowd_family,
      chan_crowd, 8, CHAN_MPMC },
    { "chan-mpmc-8threads", "a message between eight plain threads", &chan_crowd_family,
      chan_threads, 0, CHAN_THREADS },
    { "read-direct-1", "random reads from the disk (O_DIRECT), 1 in flight", &file_family, file, 1,
      FILE_READ_DIRECT },
    { "read-direct-16", "random reads from the disk (O_DIRECT), 16 in flight", &file_family,
      FILE_DEEP, 16, FILE_READ_DIRECT },
    { "read-direct-64", "random reads from the disk (O_DIRECT), 64 in flight", &file_family,
      FILE_DEEP, 64, FILE_READ_DIRECT },
    { "read-hot-1", "random reads from the page cache, 1 in flight", &file_family, file, 1,
      FILE_READ_HOT },
    { "read-hot-64", "random reads from the page cache, 64 in flight", &file_family, file, 64,
      FILE_READ_HOT },
    { "write-direct-16", "random overwrites on the disk (O_DIRECT), 16 in flight", &file_family,
      FILE_DEEP, 16, FILE_WRITE_DIRECT },
    { "append-fsync", "append a block, then fdatasync, one writer", &file_family, file, 1,
      FILE_APPEND_FSYNC },
    { "copy-1g", "copy a file of 1 GiB, 1 MiB an operation", &copy_family, copy, 0, 0 },
    { "log-append", "256 append durable records to one log, committed in groups", &log_family,
      log_append, LOG_APPENDERS_MAX, 0 },
    { "stat-storm", "statx of many files, 64 in flight", &storm_family, storm, STORM_DEPTH,
      STORM_STAT },
    { "open-close", "open, read and close small files, 64 in flight", &storm_family, storm,
      STORM_DEPTH, STORM_OPEN },
    { "pool-handover", "an empty job to the pool and back, one at a time", &jobs_family, jobs, 1,
      0 },
    { "pool-empty", "empty jobs, 64 callers", &jobs_family, JOBS_MANY, JOBS_DEPTH, 0 },
    { "pool-4us", "jobs of 4 us, 64 callers", &jobs_family, JOBS_MANY, JOBS_DEPTH, 4000 },
    { "pool-100us", "jobs of 100 us, 64 callers", &jobs_family, JOBS_MANY, JOBS_DEPTH, 100000 },
    { "pool-tail", "jobs of 100 us that come at 70 % of what the CPUs can do", &jobs_family,
      JOBS_MANY, 0, 100000 },
    { "echo-1", "echo of 64 B over 1 connection", &echo_family, echo, 1, 0 },
    { "echo-32", "echo of 64 B over 32 connections", &echo_family, echo, 32, 0 },
    { "echo-256", "echo of 64 B over 256 connections", &echo_family, echo, 256, 0 },
    { "echo-1000", "echo of 64 B over 1000 connections", &echo_family, echo, 1000, 0 },
    { "watched-32", "echo of 64 B over 32 connections, with and without stall detection",
      &watched_family, watched, 32, 0 },
    { "stream-1", "echo of 64 B by weir_stream over 1 connection", &echo_family, stream, 1, 0 },
    { "stream-32", "echo of 64 B by weir_stream over 32 connections", &echo_family, stream, 32, 0 },
    { "stream-256", "echo of 64 B by weir_stream over 256 connections", &echo_family, stream, 256,
      0 },
    { "stream-1000", "echo of 64 B by weir_stream over 1000 connections", &echo_family, stream,
      1000, 0 },
    { "udp-64", "echo of 64 B datagrams, 128 under way", &udp_family, udp, 128, 0 },
    { "proxy-bulk", "64 KiB through a proxy, 8 connections full both ways", &proxy_family, proxy, 8,
      PROXY_BULK },
    { "proxy-64", "64 B there and 64 B back through a proxy, 32 connections", &proxy_family, proxy,
      32, PROXY_REQUESTS },
    { "dial-storm", "10 000 connects, 256 at once", &dial_family, dial, DIAL_AT_ONCE, 0 },
    { "overload-echo-0.5", "an echo server offered half of what it can do", &overload_family,
      overload_echo, 5, OVERLOAD_ECHO },
    { "overload-echo-1", "an echo server offered just what it can do", &overload_family,
      overload_echo, 10, OVERLOAD_ECHO },
    { "overload-echo-2", "an echo server offered twice what it can do", &overload_family,
      overload_echo, 20, OVERLOAD_ECHO },
    { "overload-echo-10", "an echo server offered ten times what it can do", &overload_family,
      overload_echo, 100, OVERLOAD_ECHO },
    { "overload-file-0.5", "a file server offered half of what it can do", &overload_family,
      overload_file, 5, OVERLOAD_FILE },
    { "overload-file-1", "a file server offered just what it can do", &overload_family,
      overload_file, 10, OVERLOAD_FILE },
    { "overload-file-2", "a file server offered twice what it can do", &overload_family,
      overload_file, 20, OVERLOAD_FILE },
    { "overload-file-10", "a file server offered ten times what it can do", &overload_family,
      overload_file, 100, OVERLOAD_FILE },
    { "limiter", "requests to a backend, through an adaptive limit or a fixed one", &limiter_family,
      limiter, 0, 0 },
    { "limiter-slower", "the same, from 5 s after the backend became four times as slow",
      &limiter_family, limiter, 0, 1 },
    { "idle-100k", "memory of a silent connection, 100 000 of them", &idle_family, idle, 100000,
      0 },
    { "waiting-1000", "1000 clients whose requests wait 20 ms for a backend", &waiting_family,
      waiting, 1000, 0 },
    { "mixed", "latency of a ticking pipeline beside blocking work", &mixed_family, mixed, 0, 0 },
    { "burst", "latency of requests beside a burst of 10 000 file reads", &burst_family, burst, 0,
      0 },
    { "parked-1m", "memory of a parked task, a million of them", &parked_family, parked, 0, 0 },
};

const unsigned bench_count = sizeof benches / sizeof benches[0];
