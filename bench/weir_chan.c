/* SPDX-License-Identifier: MIT */
/*
 * weir's side of the chan-* benches.
 *
 * A run is made of parts: tasks of a few kinds, each with a channel in, a channel out and a number
 * of messages, dealt out to the loops in turn.
 */
#include "chan.h"
#include "weir_peer.h"

#include <weir/chan.h>
#include <weir/mult.h>
#include <weir/pipeline.h>
#include <weir/scope.h>
#include <weir/select.h>
#include <weir/task.h>

#include <errno.h>
#include <pthread.h>

enum { PARTS_MAX = CHAN_SIEVE_PRIMES + 2 };

struct run;

struct part {
    struct run *run;
    struct weir_chan *input, *output;
    uint64_t count;
};

struct run {
    const struct chan_job *job;
    struct weir_scope *scope;
    struct weir_chan *chans[PARTS_MAX];
    unsigned chan_count;
    struct part parts[PARTS_MAX];
    unsigned part_count;
    unsigned parked; /* tasks that have begun: each parks next */
    uint64_t start_ns, elapsed_ns;
};

static struct weir_chan *make_chan(struct run *run, size_t capacity)
{
    struct weir_chan **chan = &run->chans[run->chan_count++];

    trial_check(weir_chan_create(chan, sizeof(uint64_t), capacity, NULL), "weir_chan_create");
    return *chan;
}

static struct part *add_part(struct run *run, struct weir_chan *input, struct weir_chan *output,
                             uint64_t count)
{
    struct part *part = &run->parts[run->part_count++];

    *part = (struct part){ run, input, output, count };
    return part;
}

static void start(struct run *run, weir_task_fn *fn, struct weir_chan *input,
                  struct weir_chan *output, uint64_t count)
{
    struct weir_spawn_options options = {
        .size = sizeof options,
        .place = WEIR_PLACE_LOOP,
        .loop_index = run->part_count % run->job->loop_count,
    };

    trial_check(weir_spawn(run->scope, fn, add_part(run, input, output, count), &options),
                "weir_spawn");
}

/* --- Kinds of task --------------------------------------------------------------------------- */

static inline void send_value(struct weir_chan *chan, uint64_t value)
{
    trial_check(weir_chan_send(chan, &value, WEIR_FOREVER), "weir_chan_send");
}

static inline uint64_t recv_value(struct weir_chan *chan)
{
    uint64_t value;

    trial_check(weir_chan_recv(chan, &value, WEIR_FOREVER), "weir_chan_recv");
    return value;
}

static inline void expect(uint64_t value, uint64_t expected)
{
    if (value != expected)
        trial_fail("a channel brought another value than was sent");
}

static int sender(void *arg)
{
    struct part *part = arg;

    for (uint64_t turn = 0; turn < part->count; turn++)
        send_value(part->output, turn);
    return 0;
}

/* From several senders. */
static int receiver(void *arg)
{
    struct part *part = arg;

    for (uint64_t turn = 0; turn < part->count; turn++)
        recv_value(part->input);
    return 0;
}

/* From one sender, in order. */
static int follower(void *arg)
{
    struct part *part = arg;

    for (uint64_t turn = 0; turn < part->count; turn++)
        expect(recv_value(part->input), turn);
    return 0;
}

static int asker(void *arg)
{
    struct part *part = arg;

    for (uint64_t turn = 0; turn < part->count; turn++) {
        send_value(part->output, turn);
        expect(recv_value(part->input), turn);
    }
    return 0;
}

static int relay(void *arg)
{
    struct part *part = arg;

    for (uint64_t turn = 0; turn < part->count; turn++)
        send_value(part->output, recv_value(part->input));
    return 0;
}

/* Asks on the first `size` channels in turn. */
static int rotating_asker(void *arg)
{
    struct part *part = arg;
    unsigned width = part->run->job->size;

    for (uint64_t turn = 0; turn < part->count; turn++) {
        send_value(part->run->chans[turn % width], turn);
        expect(recv_value(part->input), turn);
    }
    return 0;
}

/* Receives from whichever of the first `size` channels is ready, and sends it to the output, or
 * back into the same channel when there is none. */
static int selector(void *arg)
{
    struct part *part = arg;
    struct weir_chan **chans = part->run->chans;
    struct weir_clause clauses[CHAN_SELECT_MAX];
    uint64_t values[CHAN_SELECT_MAX];
    unsigned width = part->run->job->size;

    for (unsigned index = 0; index < width; index++)
        clauses[index] = weir_clause_recv(chans[index], &values[index]);
    for (uint64_t turn = 0; turn < part->count; turn++) {
        int won = trial_check(weir_select(clauses, width, 0, WEIR_FOREVER), "weir_select");
        trial_check(clauses[won].result, "a select's clause");
        send_value(part->output != NULL ? part->output : chans[won], values[won]);
    }
    return 0;
}

/* --- Shapes ---------------------------------------------------------------------------------- */

static void pair(struct run *run)
{
    struct weir_chan *chan = make_chan(run, 1);

    start(run, asker, chan, chan, run->job->op_count);
}

static void rendezvous(struct run *run)
{
    struct weir_chan *there = make_chan(run, 0), *back = make_chan(run, 0);

    start(run, asker, back, there, run->job->op_count);
    start(run, relay, there, back, run->job->op_count);
}

static void stream(struct run *run)
{
    struct weir_chan *chan = make_chan(run, run->job->size);

    start(run, sender, NULL, chan, run->job->op_count);
    start(run, follower, chan, NULL, run->job->op_count);
}

static void select_ready(struct run *run)
{
    for (unsigned index = 0; index < run->job->size; index++)
        send_value(make_chan(run, 1), index);
    start(run, selector, NULL, NULL, run->job->op_count);
}

static void select_parked(struct run *run)
{
    struct weir_chan *back;

    for (unsigned index = 0; index < run->job->size; index++)
        make_chan(run, 0);
    back = make_chan(run, 0);
    start(run, selector, NULL, back, run->job->op_count);
    start(run, rotating_asker, back, NULL, run->job->op_count);
}

static void mpmc(struct run *run)
{
    struct weir_chan *chan = make_chan(run, CHAN_CAPACITY);
    unsigned size = run->job->size;

    for (unsigned index = 0; index < size; index++)
        start(run, sender, NULL, chan, run->job->op_count / size);
    for (unsigned index = 0; index < size; index++)
        start(run, receiver, chan, NULL, run->job->op_count / size);
}

static void fanin(struct run *run)
{
    struct weir_chan *chan = make_chan(run, CHAN_CAPACITY);

    for (unsigned index = 0; index < run->job->size; index++)
        start(run, sender, NULL, chan, run->job->op_count / run->job->size);
    start(run, receiver, chan, NULL, run->job->op_count);
}

static void ring(struct run *run)
{
    unsigned size = run->job->size;
    uint64_t turns = run->job->op_count / size;

    for (unsigned index = 0; index < size; index++)
        make_chan(run, 0);
    start(run, asker, run->chans[0], run->chans[1], turns);
    for (unsigned index = 1; index < size; index++)
        start(run, relay, run->chans[index], run->chans[(index + 1) % size], turns);
}

/* --- The shapes that end by a close ---------------------------------------------------------- */

/* False at the end. */
static inline bool recv_some(struct weir_chan *chan, uint64_t *value)
{
    int error = weir_chan_recv(chan, value, WEIR_FOREVER);

    return error != -EPIPE && trial_check(error, "weir_chan_recv") == 0;
}

static int feeder(void *arg)
{
    struct part *part = arg;

    sender(part);
    return weir_chan_close(part->output, 0);
}

static int hand_on(const void *value, struct weir_emit *emit, void *context)
{
    (void)context;
    return value != NULL ? weir_emit(emit, value) : 0;
}

static void mult(struct run *run)
{
    struct weir_chan *source = make_chan(run, CHAN_CAPACITY), *tap;
    struct weir_mult *mult;

    trial_check(weir_mult_create(run->scope, source, NULL, &mult), "weir_mult_create");
    for (unsigned index = 0; index < run->job->size; index++) {
        tap = make_chan(run, CHAN_CAPACITY);
        trial_check(weir_mult_tap(mult, tap, NULL, WEIR_FOREVER), "weir_mult_tap");
        start(run, follower, tap, NULL, run->job->op_count);
    }
    weir_mult_release(mult);
    start(run, feeder, NULL, source, run->job->op_count);
}

static void pipeline(struct run *run)
{
    struct weir_chan *input = make_chan(run, CHAN_CAPACITY);
    struct weir_chan *output = make_chan(run, CHAN_CAPACITY);
    struct weir_pipeline_options options = { .parallelism = run->job->size };

    trial_check(
        weir_pipeline(run->scope, input, output, WEIR_PIPELINE_TASK, hand_on, NULL, &options),
        "weir_pipeline");
    start(run, feeder, NULL, input, run->job->op_count);
    start(run, follower, output, NULL, run->job->op_count);
}

/* Lets pass what its prime, in `count`, does not divide. */
static int filter(void *arg)
{
    struct part *part = arg;
    uint64_t number;

    while (recv_some(part->input, &number))
        if (number % part->count != 0)
            send_value(part->output, number);
    return weir_chan_close(part->output, 0);
}

static void sieve(struct run *run)
{
    struct weir_chan *input = make_chan(run, 0), *output;
    uint64_t prime;
    unsigned found = 0;

    start(run, feeder, NULL, input, run->job->size);
    recv_value(input);
    recv_value(input); /* neither 0 nor 1 is a prime */
    for (; recv_some(input, &prime); input = output, found++) {
        output = make_chan(run, 0);
        start(run, filter, input, output, prime);
    }
    if (found != CHAN_SIEVE_PRIMES)
        trial_fail("the sieve found %u primes", found);
}

static int waiter(void *arg)
{
    struct run *run = arg;
    uint64_t value;

    run->parked++;
    return recv_some(run->chans[0], &value) ? -EINVAL : 0;
}

static void close_all(struct run *run)
{
    struct weir_chan *chan = make_chan(run, 0);

    for (unsigned index = 0; index < run->job->size; index++) {
        trial_check(weir_spawn(run->scope, waiter, run, NULL), "weir_spawn");
        if (index % 64 == 0)
            trial_check(weir_yield(), "weir_yield");
    }
    while (run->parked < run->job->size)
        trial_check(weir_yield(), "weir_yield");
    run->start_ns = now_ns();
    trial_check(weir_chan_close(chan, 0), "weir_chan_close");
}

/* --- Running them ---------------------------------------------------------------------------- */

static void (*const shapes[CHAN_SHAPES])(struct run *run) = {
    [CHAN_PAIR] = pair,
    [CHAN_RENDEZVOUS] = rendezvous,
    [CHAN_STREAM] = stream,
    [CHAN_SELECT] = select_ready,
    [CHAN_SELECT_PARKED] = select_parked,
    [CHAN_MPMC] = mpmc,
    [CHAN_FANIN] = fanin,
    [CHAN_RING] = ring,
    [CHAN_SIEVE] = sieve,
    [CHAN_PIPELINE] = pipeline,
    [CHAN_MULT] = mult,
    [CHAN_CLOSE] = close_all,
};

static int measure(void *arg)
{
    struct run *run = arg;

    trial_check(weir_scope_create(&run->scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    run->start_ns = now_ns();
    shapes[run->job->shape](run);
    trial_check(weir_scope_join(run->scope, WEIR_FOREVER), "weir_scope_join");
    run->elapsed_ns = now_ns() - run->start_ns;
    return 0;
}

static void *send_in_thread(void *part)
{
    sender(part);
    return NULL;
}

static void *receive_in_thread(void *part)
{
    receiver(part);
    return NULL;
}

/* Without a runtime: every second thread receives. */
static void measure_threads(struct run *run)
{
    struct weir_chan *chan = make_chan(run, CHAN_CAPACITY);
    unsigned count = run->job->loop_count;
    uint64_t share = run->job->op_count / (count / 2);
    pthread_t threads[PARTS_MAX];

    run->start_ns = now_ns();
    for (unsigned index = 0; index < count; index++)
        trial_check(-pthread_create(&threads[index], NULL,
                                    index % 2 == 0 ? send_in_thread : receive_in_thread,
                                    add_part(run, chan, chan, share)),
                    "pthread_create");
    for (unsigned index = 0; index < count; index++)
        pthread_join(threads[index], NULL);
    run->elapsed_ns = now_ns() - run->start_ns;
}

uint64_t weir_chan(const struct chan_job *job)
{
    struct weir_options options = weir_peer_options();
    struct run run = { .job = job };

    options.loop_count = job->loop_count;
    if (job->loop_count > 1)
        options.spin_max_ns = 0; /* the default: a loop of several spins before it sleeps */
    if (job->shape == CHAN_THREADS)
        measure_threads(&run);
    else
        weir_peer_run(measure, &run, &options);
    for (unsigned index = 0; index < run.chan_count; index++)
        trial_check(weir_chan_release(run.chans[index]), "weir_chan_release");
    return run.elapsed_ns;
}
