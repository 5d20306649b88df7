/* SPDX-License-Identifier: MIT */
/* Workers: made, working, ending; see worker.h. */
#include "flow/worker.h"

#include "base/memory.h"

#include <errno.h>
#include <weir/scope.h>

enum { ROOM_ALIGN = 16 };

static size_t round_up(size_t bytes)
{
    return (bytes + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN;
}

/* --- Working --- */

static bool chan_is_closed(struct weir_chan *chan)
{
    bool closed;

    weir__lock_acquire(&chan->lock);
    closed = chan->state != WEIR__CHAN_OPEN;
    weir__lock_release(&chan->lock);
    return closed;
}

static bool must_stop(const struct weir__worker *worker)
{
    for (size_t i = 0; i < worker->watch_count; i++)
        if (chan_is_closed(worker->clauses[i].object))
            return true;
    return false;
}

/* Waits, and watches. */
static int take_any(struct weir__worker *worker)
{
    size_t count = worker->watch_count + worker->crew->plan.input_count;
    int won = weir_select(worker->clauses, count, 0, WEIR_FOREVER);

    if (won < 0)
        return won;
    if ((size_t)won < worker->watch_count)
        return WEIR__STEP_STOPPED;
    worker->taken = (size_t)won - worker->watch_count;
    worker->reason = worker->clauses[won].result;
    return worker->reason < 0 ? WEIR__STEP_ENDED : 0;
}

int weir__worker_take(struct weir__worker *worker)
{
    const struct weir_clause *first = worker->inputs;
    int code;

    if (must_stop(worker))
        return WEIR__STEP_STOPPED;
    weir__meter_begin(worker->meter);
    /* Mostly there is an element, and no need to look at anything else. Any failure is looked at
     * again: what a channel was closed with may be any code. */
    if (worker->crew->plan.input_count == 1 &&
        weir_chan_recv(first->object, first->elem, WEIR_NOW) == 0)
        code = 0;
    else
        code = take_any(worker);
    if (code == 0)
        weir__meter_received(worker->meter);
    return code;
}

/* As weir_chan_send; -EPIPE also when `unless` is closed first. */
static int send_unless_closed(struct weir_chan *output, const void *elem, struct weir_chan *unless)
{
    struct weir_clause clauses[] = {
        weir_clause_send(output, elem),
        weir_clause_closed(unless),
    };
    int won = weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER);

    if (won < 0)
        return won;
    return won == 0 ? clauses[0].result : -EPIPE;
}

int weir__worker_send(struct weir__worker *worker, struct weir_chan *output, void *elem,
                      struct weir_chan *origin, struct weir_chan *unless)
{
    int result = unless ? send_unless_closed(output, elem, unless)
                        : weir_chan_send(output, elem, WEIR_FOREVER);

    if (result >= 0) {
        weir__meter_sent(worker->meter);
        return 0;
    }
    if (origin)
        weir__chan_discard(origin, elem);
    else
        weir__chan_drop(output, elem, WEIR_DROP_DISCARD);
    return weir__step_of(result);
}

int weir__worker_run(struct weir__worker *worker, weir_pool_fn *call)
{
    if (worker->crew->stage->kind == WEIR_STAGE_BLOCKS)
        return weir_pool_run(call, worker, WEIR_FOREVER);
    return call(worker);
}

int weir__worker_call(struct weir__worker *worker, weir_pool_fn *call)
{
    int error = weir__worker_run(worker, call);

    if (error < 0)
        weir__worker_discard(worker);
    else
        weir__meter_worked(worker->meter, worker->result < 0);
    return error;
}

int weir__worker_recover(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;
    int code = weir__stage_handle_error(crew->stage, worker->result, worker->source, worker->target,
                                        crew->plan.context);

    if (code < 0) {
        weir__worker_discard(worker);
        return code;
    }
    return code == WEIR_SKIP ? 0 : weir__worker_send_target(worker);
}

/* Until the end of the input or of the stage. */
static int work(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;
    const struct weir__stage_verbs *verbs = crew->plan.verbs;
    int code;

    while ((code = verbs->step(worker)) == 0)
        if (crew->stage->kind == WEIR_STAGE_COMPUTES)
            (void)weir_yield(); /* a cancel is heard by the next step */
    return code;
}

/* --- Ending --- */

static void stop_others(const struct weir__crew *crew)
{
    if (crew->stop)
        weir_chan_close(crew->stop, 0);
}

/* A worker, or its flush, is done. */
static void note_end(struct weir__worker *worker, int code)
{
    struct weir__crew *crew = worker->crew;

    if (code == WEIR__STEP_ENDED) {
        crew->reason = worker->reason;
        return;
    }
    crew->early = true;
    if (code < 0 && !crew->error)
        crew->error = code;
    stop_others(crew);
    if (crew->plan.verbs->let_go)
        crew->plan.verbs->let_go(worker);
}

/* The last worker: tells the neighbours. An input that has ended does not mind. */
static void tell(const struct weir__crew *crew)
{
    const struct weir__plan *plan = &crew->plan;
    unsigned flags = crew->stage->flags;
    int reason = crew->early ? crew->error : crew->reason;

    for (size_t i = 0; i < WEIR__OUTPUT_MAX && !(flags & WEIR_STAGE_KEEP_OPEN); i++)
        if (plan->outputs[i])
            weir_chan_close(plan->outputs[i], reason);
    for (size_t i = 0; i < plan->input_count && (flags & WEIR_STAGE_ABORT_INPUT); i++)
        weir_chan_abort(crew->inputs[i], reason);
    stop_others(crew);
}

/* Once: a second call finds none. */
static void release_chans(struct weir__crew *crew)
{
    while (crew->plan.input_count > 0)
        weir_chan_release(crew->inputs[--crew->plan.input_count]);
    for (size_t i = 0; i < WEIR__OUTPUT_MAX; i++) {
        weir_chan_release(crew->plan.outputs[i]);
        crew->plan.outputs[i] = NULL;
    }
}

static void crew_free(struct weir__crew *crew)
{
    struct weir__worker *worker;

    while ((worker = crew->workers)) {
        crew->workers = worker->next;
        weir__memory_free(worker);
    }
    release_chans(crew);
    weir_chan_release(crew->stop);
    if (crew->stage)
        weir__stage_release(crew->stage);
    weir__memory_free(crew);
}

static void leave(struct weir__crew *crew)
{
    if (--crew->refs == 0)
        crew_free(crew);
}

static int run_worker(struct weir__worker *worker)
{
    struct weir__crew *crew = worker->crew;
    int code = work(worker);

    if (code == WEIR__STEP_STOPPED && weir_cancelled())
        code = -ECANCELED; /* the guard heard it first */
    note_end(worker, code);
    if (--crew->working > 0)
        return code;
    worker->meter->since_ns = 0; /* the flush is not an element's time */
    if (!crew->early && crew->plan.verbs->flush) {
        code = crew->plan.verbs->flush(worker);
        if (code != 0)
            note_end(worker, code);
    }
    tell(crew);
    weir__stage_end(crew->stage);
    release_chans(crew);
    return code;
}

static int worker_main(void *arg)
{
    struct weir__worker *worker = arg;
    struct weir__crew *crew = worker->crew;
    int code = crew->called_off ? 0 : run_worker(worker);

    leave(crew);
    return code < 0 ? code : 0;
}

/*
 * A function on the pool that sends parks a thread there, which no cancel reaches; and its worker
 * waits for it. This task hears the cancel of the scope in its stead.
 */
static int guard_main(void *arg)
{
    struct weir__crew *crew = arg;

    (void)!weir_chan_recv(crew->stop, NULL, WEIR_FOREVER);
    stop_others(crew);
    leave(crew);
    return 0;
}

/* --- Made --- */

static bool needs_guard(const struct weir__crew *crew)
{
    return crew->plan.verbs->emits && crew->stage->kind == WEIR_STAGE_BLOCKS;
}

/* Watches for the end of each output, and for the word to stop. */
static void watch(struct weir__worker *worker, struct weir_chan *chan)
{
    if (chan)
        worker->clauses[worker->watch_count++] = weir_clause_closed(chan);
}

static int add_worker(struct weir__crew *crew, size_t index)
{
    const struct weir__plan *plan = &crew->plan;
    size_t clause_count = plan->input_count + WEIR__OUTPUT_MAX + 1;
    size_t clauses_bytes = round_up(clause_count * sizeof(struct weir_clause));
    size_t source_bytes = plan->input_count ? weir_chan_elem_size(crew->inputs[0]) : 0;
    size_t target_bytes = weir_chan_elem_size(plan->outputs[0]);
    struct weir__worker *worker = weir__memory_zalloc(
        NULL, sizeof *worker + clauses_bytes + round_up(source_bytes) + target_bytes);

    if (!worker)
        return -ENOMEM;
    worker->crew = crew;
    worker->next = crew->workers;
    crew->workers = worker;
    worker->meter = &crew->stage->meters[index];
    worker->source = (unsigned char *)worker->clauses + clauses_bytes;
    worker->target = worker->source + round_up(source_bytes);
    for (size_t i = 0; i < WEIR__OUTPUT_MAX; i++)
        watch(worker, plan->outputs[i]);
    watch(worker, crew->stop);
    worker->inputs = worker->clauses + worker->watch_count;
    for (size_t i = 0; i < plan->input_count; i++)
        worker->inputs[i] = weir_clause_recv(crew->inputs[i], worker->source);
    if (plan->verbs->begin)
        plan->verbs->begin(worker);
    return 0;
}

static int check(const struct weir__plan *plan, const struct weir_stage_options *options)
{
    if (!plan->scope || !plan->outputs[0] || (plan->input_count && !plan->inputs))
        return -EINVAL;
    for (size_t i = 0; i < plan->input_count; i++)
        if (!plan->inputs[i])
            return -EINVAL;
    if (!weir_task_self())
        return -ENXIO;
    return weir__stage_check_options(options, plan->verbs->crowded);
}

/* What the workers share. Undone by crew_free. */
static int equip(struct weir__crew *crew, const struct weir_stage_options *options)
{
    struct weir_chan *input = crew->plan.input_count == 1 ? crew->inputs[0] : NULL;
    unsigned parallelism = options && options->parallelism ? options->parallelism : 1;
    int error =
        weir__stage_create(&crew->stage, crew->plan.verbs->name, options, input, parallelism);

    if (error >= 0 && (parallelism > 1 || needs_guard(crew)))
        error = weir_chan_create(&crew->stop, 0, 0, NULL);
    for (crew->working = 0; crew->working < parallelism && error >= 0; crew->working++)
        error = add_worker(crew, crew->working);
    return error;
}

static int crew_create(struct weir__crew **crew, const struct weir__plan *plan,
                       const struct weir_stage_options *options)
{
    size_t inputs_bytes = plan->input_count * sizeof(struct weir_chan *);
    struct weir__crew *made = weir__memory_zalloc(NULL, sizeof *made + inputs_bytes);
    int error;

    if (!made)
        return -ENOMEM;
    made->plan = *plan;
    made->plan.inputs = made->inputs;
    for (size_t i = 0; i < plan->input_count; i++)
        made->inputs[i] = weir_chan_retain(plan->inputs[i]);
    for (size_t i = 0; i < WEIR__OUTPUT_MAX; i++)
        if (plan->outputs[i])
            weir_chan_retain(plan->outputs[i]);
    error = equip(made, options);
    if (error < 0)
        crew_free(made);
    else
        *crew = made;
    return error;
}

/* None of the tasks runs before the caller suspends: so they can still be called off. */
static int spawn_all(struct weir__crew *crew)
{
    const struct weir_spawn_options options = { .name = crew->stage->name };
    struct weir_scope *scope = crew->plan.scope;
    int error = 0;

    for (struct weir__worker *worker = crew->workers; worker && error >= 0; worker = worker->next) {
        error = weir_spawn(scope, worker_main, worker, &options);
        crew->refs += error >= 0;
    }
    if (error >= 0 && needs_guard(crew)) {
        error = weir_spawn(scope, guard_main, crew, &options);
        crew->refs += error >= 0;
    }
    crew->called_off = error < 0;
    return error;
}

int weir__crew_start(const struct weir__plan *plan, const struct weir_stage_options *options)
{
    struct weir__crew *crew;
    int error = check(plan, options);

    if (error >= 0)
        error = crew_create(&crew, plan, options);
    if (error < 0)
        return error;
    error = spawn_all(crew);
    if (error >= 0 && options && options->stage)
        *options->stage = weir__stage_retain(crew->stage);
    if (crew->refs == 0)
        crew_free(crew);
    return error;
}
