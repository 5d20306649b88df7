/* SPDX-License-Identifier: MIT */
/*
 * A payment service in one process, to see a line of stages under load: what a spike and a dead
 * bank do to it, and that every payment is accounted for.
 *
 *   source --> incoming --> validate --> valid --> process x5 --> paid --> notify --> counted
 *      |                        |                     |  ^
 *      | refused at the door    `------> errors <-----'  | call, through retry and breaker
 *      v                                    |            v
 *   counted                              counted       bank (a port with handlers)
 *
 * Every queue is bounded. The door is the only place where load is refused: what has come in is
 * either paid and notified, or in the errors with its reason. Each payment carries its deadline
 * from the door on.
 */
#include "histogram.h"

#include <weir.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NS_PER_MS = 1000000,
    NS_PER_SECOND = 1000000000,
    QUEUE = 1024,     /* elements between two stages */
    WORKERS = 5,      /* process */
    BANK_TELLERS = 8, /* calls that the bank handles at once */
    BANK_US = 100,    /* what the bank takes for one */
    PAYMENT_MS = 500, /* from the door to the notification */
    ATTEMPT_MS = 20,  /* one call of the bank */
    TICK_US = 1000,   /* the source sends in small bursts, each payment from its due time */
    SECONDS_MAX = 3600,
    RECOVERY_S = 2,   /* after a disturbance latency must be what it was, but for ... */
    NOISE_US = 10000, /* ... what a busy machine does to it */
    STAGES = 2,       /* that report: validate, process */
    MEMORY_SLACK_BYTES = 1 << 20,
};

/* --- The service -------------------------------------------------------------------------------
 * */

struct payment {
    uint64_t id;
    int64_t due_ns; /* when it should have come: latency counts from here */
    int64_t deadline_ns;
    int64_t cents;
    int error; /* in the errors: why */
};

struct plan {
    int rate;            /* payments per second */
    int seconds;         /* in all */
    int spike_at;        /* tenfold from this second; -1: never */
    int dead_at;         /* the bank is dead from this second; -1: never */
    int trouble_seconds; /* each of the two lasts so long */
    int failure_permille;
};

struct counts {
    uint64_t offered, refused, invalid, declined, failed, expired, paid;
};

enum chan { INCOMING, VALID, PAID, ERRORS, CHANS };

static const char *const chan_names[CHANS] = { "incoming", "valid", "paid", "errors" };

struct service {
    struct plan plan;
    struct weir_chan *chans[CHANS];
    struct weir_chan *bank;
    struct weir_retry *retry;
    struct weir_breaker *breaker;
    struct weir_stage *stages[STAGES];
    atomic_bool bank_is_dead;
    struct counts counts;
    struct histogram second;    /* of the running second */
    int watched_seconds;        /* that are over */
    double p99_us[SECONDS_MAX]; /* of each second that is over */
    size_t resident_bytes[SECONDS_MAX];
};

static int must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "weir-payments: %s: %s\n", what, weir_error_name(result));
        exit(1);
    }
    return result;
}

/* --- The bank: a port, and handlers that take their time ---------------------------------------
 * */

static int charge(const void *request, void *response, void *context)
{
    struct service *service = context;
    const struct payment *payment = request;

    (void)response;
    if (atomic_load(&service->bank_is_dead)) {
    }
    if (weir_sleep(weir_in_us(BANK_US)) < 0)
        return -ECANCELED;
    /* The same payment fails in one attempt, and not in the next: that is what retries are for. */
    return rand() % 1000 < service->plan.failure_permille ? -ECONNRESET
           : payment->cents % 997 == 0                    ? -EPERM
                                                          : 0;
}

struct attempt {
    struct service *service;
    const struct payment *payment;
};

static int call_bank(void *arg, int64_t deadline_ns)
{
    const struct attempt *attempt = arg;

    return weir_call(attempt->service->bank, attempt->payment, NULL, NULL, deadline_ns);
}

static int call_through_breaker(void *arg, int64_t deadline_ns)
{
    const struct attempt *attempt = arg;

    return weir_breaker_run(attempt->service->breaker, call_bank, arg, deadline_ns);
}

/* --- The stages --------------------------------------------------------------------------------
 * */

/* What cannot be done goes to the errors, with its reason; those are drained without pause. */
static int fail(struct service *service, const struct payment *payment, int error)
{
    struct payment failed = *payment;
    int result;

    failed.error = error;
    weir_shield_enter(); /* accounted for, whatever happens */
    result = weir_chan_send(service->chans[ERRORS], &failed, WEIR_FOREVER);
    weir_shield_leave();
    return result < 0 ? result : WEIR_SKIP;
}

static int validate(const void *source, void *target, void *context)
{
    const struct payment *payment = source;

    if (payment->cents <= 0)
        return fail(context, payment, -EINVAL);
    memcpy(target, source, sizeof *payment);
    return 0;
}

static int process(const void *source, void *target, void *context)
{
    struct attempt attempt = { .service = context, .payment = source };
    int result = weir_retry_run(attempt.service->retry, call_through_breaker, &attempt,
                                attempt.payment->deadline_ns);

    if (result < 0)
        return fail(context, source, result);
    memcpy(target, source, sizeof *attempt.payment);
    return 0;
}

static int notify(const void *source, void *context)
{
    struct service *service = context;
    const struct payment *payment = source;
    int64_t took_ns = weir_now_ns() - payment->due_ns;

    histogram_add(&service->second, took_ns);
    service->counts.paid++;
    return 0;
}

static int count_error(const void *source, void *context)
{
    struct service *service = context;
    const struct payment *payment = source;

    if (payment->error == -EINVAL)
        service->counts.invalid++;
    else if (payment->error == -ETIME)
        service->counts.expired++;
    else if (payment->error == -EPERM)
        service->counts.declined++;
    else
        service->counts.failed++;
    return 0;
}

/* The line's two ends take until there is nothing more to come. */
static int notify_all(void *arg)
{
    struct service *service = arg;

    return must(weir_reduce(service->chans[PAID], notify, service, 0, WEIR_FOREVER), "notify");
}

static int count_errors(void *arg)
{
    struct service *service = arg;

    return must(weir_reduce(service->chans[ERRORS], count_error, service, 0, WEIR_FOREVER),
                "errors");
}

/* --- The source: open loop, each payment at its due time, refused when there is no room --------
 * */

static volatile sig_atomic_t asked_to_stop;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    asked_to_stop = 1;
}

static bool is_within(const struct plan *plan, int at, int64_t elapsed_ns)
{
    int64_t second = elapsed_ns / NS_PER_SECOND;

    return at >= 0 && second >= at && second < at + plan->trouble_seconds;
}

static void offer(struct service *service, uint64_t id, int64_t due_ns)
{
    struct payment payment = {
        .id = id,
        .due_ns = due_ns,
        .deadline_ns = due_ns + (int64_t)PAYMENT_MS * NS_PER_MS,
        .cents = (int64_t)(id % 10007) - 1, /* a few are not valid */
    };
    int result = weir_chan_send(service->chans[INCOMING], &payment, WEIR_NOW);

    service->counts.offered++;
    if (result == -EAGAIN)
        service->counts.refused++;
    else
        must(result, "incoming");
}

static int source(void *arg)
{
    struct service *service = arg;
    const struct plan *plan = &service->plan;
    int64_t start_ns = weir_now_ns(), due_ns = start_ns;
    int64_t end_ns = start_ns + (int64_t)plan->seconds * NS_PER_SECOND;
    uint64_t id = 0;

    while (due_ns < end_ns && !asked_to_stop) {
        int64_t now_ns = weir_now_ns();

        for (; due_ns <= now_ns && due_ns < end_ns; id++) {
            bool spike = is_within(plan, plan->spike_at, due_ns - start_ns);

            offer(service, id, due_ns);
            due_ns += NS_PER_SECOND / (plan->rate * (spike ? 10 : 1));
        }
        atomic_store(&service->bank_is_dead, is_within(plan, plan->dead_at, now_ns - start_ns));
        must(weir_sleep(weir_in_us(TICK_US)), "source");
    }
    atomic_store(&service->bank_is_dead, false);
    return weir_chan_close(service->chans[INCOMING], 0);
}

/* --- What is seen while it runs ----------------------------------------------------------------
 * */

/* On the pool: procfs may block. */
static int read_resident(void *arg)
{
    size_t *bytes = arg;
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (file == NULL)
        return -errno;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    *bytes = pages * (size_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static void print_depth(struct weir_chan *chan, const struct weir_chan_stats *stats, void *context)
{
    (void)context;
    if (stats->capacity)
        printf(" %s %zu", weir_chan_name(chan), stats->count);
}

static const char *const breaker_states[] = {
    [WEIR_BREAKER_CLOSED] = "closed",
    [WEIR_BREAKER_OPEN] = "open",
    [WEIR_BREAKER_HALF_OPEN] = "half-open",
};

static void print_second(struct service *service, int second)
{
    const struct counts *counts = &service->counts;
    struct weir_breaker_stats breaker;
    struct weir_retry_stats retry;

    must(weir_breaker_read_stats(service->breaker, &breaker), "breaker");
    must(weir_retry_read_stats(service->retry, &retry), "retry");
    printf("%3d s offered %lu refused %lu paid %lu invalid %lu declined %lu failed %lu "
           "expired %lu | "
           "p50 %.0f us p99 %.0f us | retries %lu breaker %s | rss %zu KiB |",
           second, counts->offered, counts->refused, counts->paid, counts->invalid,
           counts->declined, counts->failed, counts->expired, histogram_us(&service->second, 0.5),
           service->p99_us[second], retry.retries_total, breaker_states[breaker.state],
           service->resident_bytes[second] / 1024);
    must(weir_chan_walk(print_depth, NULL), "weir_chan_walk");
    printf("\n");
    fflush(stdout);
}

static int watch(void *arg)
{
    struct service *service = arg;
    struct weir_ticker ticker;
    struct weir_tick tick;

    must(weir_ticker_init(&ticker, NS_PER_SECOND, WEIR_TICK_FIXED), "ticker");
    for (int second = 0; second < SECONDS_MAX; second++) {
        size_t *bytes = &service->resident_bytes[second];

        if (weir_ticker_wait(&ticker, &tick, WEIR_FOREVER) < 0 ||
            weir_pool_run(read_resident, bytes, WEIR_FOREVER) < 0)
            return 0; /* cancelled: the service has ended */
        service->p99_us[second] = histogram_us(&service->second, 0.99);
        print_second(service, second);
        service->second = (struct histogram){ .total = 0 };
        service->watched_seconds = second + 1;
    }
    return 0;
}

/* --- The verdict -------------------------------------------------------------------------------
 * */

/* The highest p99 of the seconds [from, to). */
static double worst_p99_us(const struct service *service, int from, int to)
{
    double worst = 0;

    for (int second = from; second < to && second < service->watched_seconds; second++)
        if (service->p99_us[second] > worst)
            worst = service->p99_us[second];
    return worst;
}

static bool check(bool holds, const char *what)
{
    printf("%s: %s\n", holds ? "holds" : "BROKEN", what);
    return holds;
}

static int first_trouble(const struct plan *plan)
{
    if (plan->spike_at < 0 || (plan->dead_at >= 0 && plan->dead_at < plan->spike_at))
        return plan->dead_at;
    return plan->spike_at;
}

static bool check_recovery(const struct service *service, int at, const char *what)
{
    const struct plan *plan = &service->plan;
    int after = at + plan->trouble_seconds + RECOVERY_S;
    double before_us = worst_p99_us(service, 1, first_trouble(plan)), after_us;
    char text[160];

    if (first_trouble(plan) < 2 || at < 0 || after + 1 >= service->watched_seconds)
        return true; /* not asked for, or too short a run to tell */
    after_us = worst_p99_us(service, after, after + 1);
    snprintf(text, sizeof text, "p99 is back %d s after %s: %.0f us before, %.0f us after",
             RECOVERY_S, what, before_us, after_us);
    return check(after_us <= 2 * before_us + NOISE_US, text);
}

static bool check_memory(const struct service *service)
{
    size_t least = service->resident_bytes[0], most = least;
    char text[160];

    for (int second = 1; second < service->watched_seconds; second++) {
        size_t bytes = service->resident_bytes[second];

        least = bytes < least ? bytes : least;
        most = bytes > most ? bytes : most;
    }
    snprintf(text, sizeof text, "memory is flat: %zu to %zu KiB resident", least / 1024,
             most / 1024);
    return check(most <= least + least / 20 + MEMORY_SLACK_BYTES, text);
}

static bool check_all(const struct service *service)
{
    const struct counts *counts = &service->counts;
    uint64_t ended = counts->refused + counts->invalid + counts->declined + counts->failed +
                     counts->expired + counts->paid;
    char text[160];
    bool good;

    snprintf(text, sizeof text, "every payment is accounted for: %lu offered, %lu ended",
             counts->offered, ended);
    good = check(counts->offered == ended, text);
    good &= check_memory(service);
    good &= check_recovery(service, service->plan.spike_at, "the spike");
    good &= check_recovery(service, service->plan.dead_at, "the bank's death");
    return good;
}

/* --- Building it up, and taking it down --------------------------------------------------------
 * */

static void make_channels(struct service *service)
{
    for (int i = 0; i < CHANS; i++)
        must(weir_chan_create(&service->chans[i], sizeof(struct payment), QUEUE,
                              &(struct weir_chan_options){ .name = chan_names[i] }),
             chan_names[i]);
    must(weir_port_create(&service->bank, "bank", sizeof(struct payment), 0), "bank");
}

/* The breaker looks at whether the bank answers at all: a "no" is an answer. */
static bool is_no_answer(int result, void *context)
{
    (void)context;
    return result < 0 && result != -EPERM;
}

static void make_policies(struct service *service)
{
    const struct weir_retry_options retry = {
        .first_ns = NS_PER_MS,
        .max_ns = 10 * NS_PER_MS,
        .attempts_max = 3,
        .attempt_ns = (int64_t)ATTEMPT_MS * NS_PER_MS,
    };
    const struct weir_breaker_options breaker = {
        .window_ns = NS_PER_SECOND,
        .open_ns = 200 * NS_PER_MS,
        .is_failure = is_no_answer,
    };

    must(weir_retry_create(&service->retry, &retry), "weir_retry_create");
    must(weir_breaker_create(&service->breaker, &breaker), "weir_breaker_create");
}

static void start_line(struct service *service, struct weir_scope *line)
{
    must(weir_map(line, service->chans[INCOMING], service->chans[VALID], validate, service,
                  &(struct weir_stage_options){ .name = "validate", .stage = &service->stages[0] }),
         "validate");
    must(weir_map(line, service->chans[VALID], service->chans[PAID], process, service,
                  &(struct weir_stage_options){
                      .name = "process", .parallelism = WORKERS, .stage = &service->stages[1] }),
         "process");
    must(weir_spawn(line, notify_all, service, &(struct weir_spawn_options){ .name = "notify" }),
         "notify");
}

static void print_line(struct service *service)
{
    struct weir_flow_report report;

    must(weir_flow_read_report(service->stages, STAGES, &report), "report");
    for (int i = 0; i < STAGES; i++) {
        struct weir_stage_stats stats;

        must(weir_stage_read_stats(service->stages[i], &stats), "stage");
        printf("stage %s: %u workers, %.0f /s, %.1f us each, %.0f %% busy, %u would do%s\n",
               stats.name, stats.parallelism, stats.arrivals_per_s, stats.service_ns / 1000,
               stats.utilisation * 100, stats.workers_enough,
               report.pressure == i ? ", pressure appears here first" : "");
        weir_stage_release(service->stages[i]);
    }
}

static void let_go(struct service *service)
{
    for (int i = 0; i < CHANS; i++)
        weir_chan_release(service->chans[i]);
    weir_chan_release(service->bank);
    weir_retry_release(service->retry);
    weir_breaker_release(service->breaker);
}

/* From the first to the last: each part ends when there is nothing more to come. */
static int serve(void *arg)
{
    struct service *service = arg;
    struct weir_scope *bank, *errors, *line, *watcher;

    must(weir_scope_create(&bank, WEIR_SCOPE_SUPERVISE, NULL), "scope");
    must(weir_scope_create(&errors, WEIR_SCOPE_COLLECT, NULL), "scope");
    must(weir_scope_create(&line, WEIR_SCOPE_FAIL_FAST, NULL), "scope");
    must(weir_scope_create(&watcher, WEIR_SCOPE_COLLECT, NULL), "scope");
    make_channels(service);
    make_policies(service);
    must(weir_serve(bank, service->bank, charge, service,
                    &(struct weir_serve_options){ .parallelism = BANK_TELLERS }),
         "serve");
    must(weir_spawn(errors, count_errors, service, NULL), "errors");
    start_line(service, line);
    must(weir_spawn(watcher, watch, service, NULL), "watch");
    must(weir_spawn(line, source, service, NULL), "source");

    must(weir_scope_join(line, WEIR_FOREVER), "line");
    must(weir_chan_close(service->chans[ERRORS], 0), "errors");
    must(weir_scope_join(errors, WEIR_FOREVER), "errors");
    must(weir_chan_close(service->bank, 0), "bank");
    must(weir_scope_join(bank, WEIR_FOREVER), "bank");
    must(weir_scope_cancel(watcher), "watch");
    must(weir_scope_join(watcher, WEIR_FOREVER), "watch");
    print_line(service);
    let_go(service);
    return check_all(service) ? 0 : -EPROTO;
}

static void usage(void)
{
    fprintf(stderr, "usage: weir-payments [--rate N] [--seconds N] [--spike-at S] [--dead-at S]\n"
                    "                     [--trouble-seconds N] [--failures PERMILLE]\n"
                    "\n"
                    "--rate             payments per second (10000)\n"
                    "--seconds          how long they come (10)\n"
                    "--spike-at         from this second on they come ten times as fast\n"
                    "--dead-at          from this second on the bank does not answer\n"
                    "--trouble-seconds  how long either lasts (5)\n"
                    "--failures         of 1000 calls of the bank so many fail (10)\n"
                    "SIGINT and SIGTERM end it gracefully: what has come in is seen to.\n");
    exit(2);
}

static struct plan read_plan(int argc, char **argv)
{
    struct plan plan = {
        .rate = 10000,
        .seconds = 10,
        .spike_at = -1,
        .dead_at = -1,
        .trouble_seconds = 5,
        .failure_permille = 10,
    };
    const struct {
        const char *name;
        int *value;
        int most;
    } rows[] = {
        { "--rate", &plan.rate, 100000 },
        { "--seconds", &plan.seconds, SECONDS_MAX - 1 },
        { "--spike-at", &plan.spike_at, SECONDS_MAX },
        { "--dead-at", &plan.dead_at, SECONDS_MAX },
        { "--trouble-seconds", &plan.trouble_seconds, SECONDS_MAX },
        { "--failures", &plan.failure_permille, 1000 },
    };

    for (int i = 1; i < argc; i += 2) {
        size_t row = 0;
        char *end;
        long value = i + 1 < argc ? strtol(argv[i + 1], &end, 10) : -1;

        while (row < sizeof rows / sizeof rows[0] && strcmp(rows[row].name, argv[i]) != 0)
            row++;
        if (row == sizeof rows / sizeof rows[0] || value < 0 || *end || value > rows[row].most)
            usage();
        *rows[row].value = (int)value;
    }
    if (plan.rate == 0)
        usage();
    return plan;
}

int main(int argc, char **argv)
{
    static struct service service;
    const struct sigaction stop = { .sa_handler = ask_to_stop };
    int result;

    service.plan = read_plan(argc, argv);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    result = weir_run(serve, &service, NULL);
    if (result < 0)
        fprintf(stderr, "weir-payments: %s\n", weir_error_name(result));
    return result < 0;
}
