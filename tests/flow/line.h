/* SPDX-License-Identifier: MIT */
/*
 * A pipeline of numbers in each of its modes, between a feeder and the root task. One function
 * serves all modes: in the async one a finisher runs it, a task of the other side, or a thread of
 * its own, which sends what it emits.
 */
#ifndef WEIR_TESTS_FLOW_LINE_H
#define WEIR_TESTS_FLOW_LINE_H

#include "flow/stage.h"
#include "sync/fixture.h"

enum { ASYNC = WEIR_PIPELINE_CPU + 1, MODE_COUNT };

struct line {
    struct scene *scene;
    unsigned mode; /* enum weir_pipeline_mode, or ASYNC */
    weir_expand_fn *fn;
    void *context;
    struct weir_scope *scope; /* of the pipeline alone: its join returns the pipeline's result */
    struct weir_chan *input;
    struct weir_chan *output;
    atomic_long finishers; /* that have not ended */
};

static inline bool is_on_threads(const struct line *line)
{
    return line->mode == WEIR_PIPELINE_POOL || line->mode == WEIR_PIPELINE_CPU;
}

static inline struct weir_pool_stats look_at_threads(unsigned mode)
{
    struct weir_pool_stats stats;

    if (mode == WEIR_PIPELINE_CPU)
        CHECK_SAME(weir_cpu_read_stats(&stats), 0);
    else
        CHECK_SAME(weir_pool_read_stats(&stats), 0);
    return stats;
}

/* --- Async mode --- */

struct finisher {
    struct weir_emit emit;
    struct line *line;
    struct weir_chan *results;
    uint64_t value;
};

static inline int emit_as_finisher(struct weir_emit *emit, const void *elem)
{
    struct finisher *finisher = WEIR_CONTAINER_OF(emit, struct finisher, emit);

    return weir_chan_send(finisher->results, elem, WEIR_FOREVER);
}

static inline int finish(void *arg)
{
    struct finisher *finisher = arg;
    struct line *line = finisher->line;
    int result = line->fn(&finisher->value, &finisher->emit, line->context);

    weir_chan_close(finisher->results, result < 0 ? result : 0);
    weir_chan_release(finisher->results);
    free(finisher);
    atomic_fetch_sub(&line->finishers, 1);
    return 0;
}

static inline void *finish_on_thread(void *arg)
{
    finish(arg);
    return NULL;
}

static inline int start_finisher(const void *source, struct weir_chan *results, void *context)
{
    struct line *line = context;
    struct finisher *finisher = malloc(sizeof *finisher);
    const struct weir_spawn_options options = {
        .name = "finisher",
        .place = WEIR_PLACE_LOOP,
        .loop_index = line->scene->setting == TWO_LOOPS,
    };
    pthread_t thread;

    *finisher = (struct finisher){ { emit_as_finisher }, line, results, *(const uint64_t *)source };
    atomic_fetch_add(&line->finishers, 1);
    if (line->scene->setting != WITH_THREAD)
        return weir_spawn(line->scene->scope, finish, finisher, &options);
    CHECK_SAME(pthread_create(&thread, NULL, finish_on_thread, finisher), 0);
    return pthread_detach(thread);
}

/* --- A line --- */

static inline int line_run(struct line *line, const struct weir_pipeline_options *options)
{
    if (line->mode == ASYNC)
        return weir_pipeline_async(line->scope, line->input, line->output, start_finisher, line,
                                   options);
    return weir_pipeline(line->scope, line->input, line->output,
                         (enum weir_pipeline_mode)line->mode, line->fn, line->context, options);
}

static inline struct weir_scope *make_scope(void)
{
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    return scope;
}

/* Channels may be set beforehand. */
static inline void line_start(struct line *line, struct scene *scene, unsigned mode,
                              weir_expand_fn *fn, void *context,
                              const struct weir_pipeline_options *options)
{
    line->scene = scene;
    line->mode = mode;
    line->fn = fn;
    line->context = context;
    line->scope = make_scope();
    line->input = line->input ? line->input : make_chan(scene->capacity, NULL);
    line->output = line->output ? line->output : make_chan(scene->capacity, NULL);
    CHECK_SAME(line_run(line, options), 0);
}

/* Waits for its end; returns what the pipeline's task returned. Nothing is parked then. */
static inline int line_join(struct line *line)
{
    int result = weir_scope_join(line->scope, end_of_patience());

    CHECK_SAME(look(line->input).waiting_receivers, 0);
    CHECK_SAME(look(line->output).waiting_senders, 0);
    return result;
}

static inline void line_release(struct line *line)
{
    AWAIT(atomic_load(&line->finishers) == 0);
    weir_chan_release(line->input);
    weir_chan_release(line->output);
}

/* --- Both ends --- */

/* Sends first .. last and closes, as an actor. */
struct feeder {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t first;
    uint64_t last;
    int reason;
};

static inline int feed(void *arg)
{
    struct feeder *feeder = arg;
    int code = 0;

    for (uint64_t value = feeder->first; value <= feeder->last && code == 0; value++)
        code = weir_chan_send(feeder->chan, &value, WEIR_FOREVER);
    weir_chan_close(feeder->chan, feeder->reason);
    return code;
}

static inline void feeder_start_with_reason(struct scene *scene, struct feeder *feeder,
                                            struct line *line, uint64_t first, uint64_t last,
                                            int reason)
{
    *feeder = (struct feeder){
        .chan = line->input,
        .first = first,
        .last = last,
        .reason = reason,
    };
    actor_start(scene, &feeder->actor, feed, feeder);
}

static inline void feeder_start(struct scene *scene, struct feeder *feeder, struct line *line,
                                uint64_t first, uint64_t last)
{
    feeder_start_with_reason(scene, feeder, line, first, last, 0);
}

static inline void expect(struct weir_chan *chan, uint64_t expected)
{
    uint64_t value = UINT64_MAX;

    CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), 0);
    CHECK_SAME(value, expected);
}

static inline void expect_end(struct weir_chan *chan, int reason)
{
    uint64_t value;

    CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), reason);
}

/* --- Gates, for tasks and threads --- */

enum { GATE_COUNT = 16 };

/* One gate for each value: who comes counts, and waits until the gate is open. */
struct gates {
    struct weir_chan *chans[GATE_COUNT];
    atomic_long entered;
    atomic_long inside;
    atomic_long inside_max;
    atomic_long done;
    atomic_long cancelled;
};

static inline void gates_init(struct gates *gates)
{
    *gates = (struct gates){ .chans = { NULL } };
    for (size_t i = 0; i < GATE_COUNT; i++)
        CHECK_SAME(weir_chan_create(&gates->chans[i], 0, 0, NULL), 0);
}

static inline void gate_open(struct gates *gates, size_t index)
{
    weir_chan_close(gates->chans[index], 0);
}

static inline void gates_open_all(struct gates *gates)
{
    for (size_t i = 0; i < GATE_COUNT; i++)
        gate_open(gates, i);
}

static inline void gates_term(struct gates *gates)
{
    for (size_t i = 0; i < GATE_COUNT; i++)
        CHECK_SAME(weir_chan_release(gates->chans[i]), 0);
}

/* 0 once it is open. */
static inline int gate_pass(struct gates *gates, uint64_t value)
{
    long inside = atomic_fetch_add(&gates->inside, 1) + 1;
    long most = atomic_load(&gates->inside_max);
    int code;

    while (most < inside && !atomic_compare_exchange_weak(&gates->inside_max, &most, inside))
        ;
    atomic_fetch_add(&gates->entered, 1);
    code = weir_chan_recv(gates->chans[value % GATE_COUNT], NULL, WEIR_FOREVER);
    atomic_fetch_sub(&gates->inside, 1);
    if (code == -ECANCELED)
        atomic_fetch_add(&gates->cancelled, 1);
    return code == -EPIPE ? 0 : code;
}

/* The function of most cases: emits its number once its gate is open. */
static inline int echo_at_gate(const void *source, struct weir_emit *emit, void *context)
{
    struct gates *gates = context;
    int code = gate_pass(gates, *(const uint64_t *)source);

    if (code == 0)
        code = weir_emit(emit, source);
    atomic_fetch_add(&gates->done, 1);
    return code;
}

/* The same, and two once more. */
static inline int emit_twice_at_gate(const void *source, struct weir_emit *emit, void *context)
{
    int code = echo_at_gate(source, emit, context);

    return code == 0 && *(const uint64_t *)source == 2 ? weir_emit(emit, source) : code;
}

/* Without a gate. */
static inline int echo(const void *source, struct weir_emit *emit, void *context)
{
    (void)context;
    return weir_emit(emit, source);
}

/* Odd numbers fail with themselves. */
static inline int fail_by_number(const void *source, struct weir_emit *emit, void *context)
{
    uint64_t value = *(const uint64_t *)source;

    (void)context;
    return value % 2 ? -(int)value : weir_emit(emit, source);
}

/* --- All modes --- */

typedef void line_fn(struct scene *scene, unsigned mode);

/* A case that runs in all modes: as CASE, with `mode` beside `scene`. */
#define MODE_CASE(name, settings, ...)                                                             \
    static line_fn name##_in_mode;                                                                 \
    CASE(name, settings, __VA_ARGS__)                                                              \
    {                                                                                              \
        for (unsigned mode = 0; mode < MODE_COUNT; mode++)                                         \
            name##_in_mode(scene, mode);                                                           \
    }                                                                                              \
    static void name##_in_mode(struct scene *scene, unsigned mode)

#endif
