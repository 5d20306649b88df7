/* SPDX-License-Identifier: MIT */
/*
 * Conformance case 274: a mult with its taps, and a pipeline of two, in every order of their tasks
 * (model/orders.h), while another task interferes at any moment. What must hold then is said at the
 * end of each play.
 */
#include "model/orders.h"
#include "support/support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { VALUES_MAX = 4, STRANGE = -ENODATA /* a reason that only the meddler gives */ };

/* How many there are of each element; in the end none may be left. */
struct balance {
    int live[VALUES_MAX];
    unsigned long dropped;
};

static void enter_copy(void *elem, void *context)
{
    struct balance *balance = context;

    RULE(balance->live[*(uint64_t *)elem]++ > 0);
}

static void enter_end(struct balance *balance, uint64_t value)
{
    RULE(value < VALUES_MAX);
    RULE(balance->live[value]-- > 0);
}

static void enter_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct balance *balance = context;

    (void)reason;
    balance->dropped++;
    enter_end(balance, *(uint64_t *)elem);
    *(uint64_t *)elem = VALUES_MAX; /* the bytes are the callback's */
}

static void check_balance(const struct balance *balance)
{
    for (size_t i = 0; i < VALUES_MAX; i++)
        RULE(balance->live[i] == 0);
}

static struct weir_chan *make_chan(size_t capacity, struct balance *balance)
{
    const struct weir_chan_options options = {
        .drop = enter_drop,
        .retain = enter_copy,
        .context = balance,
    };
    struct weir_chan *chan;

    RULE(weir_chan_create(&chan, sizeof(uint64_t), capacity, &options) == 0);
    return chan;
}

static struct weir_scope *make_scope(void)
{
    struct weir_scope *scope;

    RULE(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL) == 0);
    return scope;
}

static void spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg)
{
    RULE(weir_spawn(scope, fn, arg, NULL) == 0);
}

/* Sends 1 .. count. */
struct feeder {
    struct weir_chan *chan;
    struct balance *balance;
    uint64_t count;
    bool endless; /* does not close in the end */
};

static int feed(void *arg)
{
    struct feeder *feeder = arg;
    int code = 0;

    for (uint64_t value = 1; value <= feeder->count && code == 0; value++) {
        feeder->balance->live[value]++;
        code = weir_chan_send(feeder->chan, &value, WEIR_FOREVER);
        if (code < 0)
            enter_end(feeder->balance, value);
    }
    RULE(code == 0 || code == -EPIPE);
    if (!feeder->endless)
        weir_chan_close(feeder->chan, 0);
    return 0;
}

/* Receives until the end: a task does, or in the end the root, which waits for nothing. */
struct reader {
    struct weir_chan *chan;
    struct balance *balance;
    uint64_t first, last; /* without a gap; 0: nothing */
    int end;
};

static int read_until(struct reader *reader, int64_t deadline_ns)
{
    uint64_t value;

    while ((reader->end = weir_chan_recv(reader->chan, &value, deadline_ns)) == 0) {
        enter_end(reader->balance, value);
        RULE(reader->last == 0 || value == reader->last + 1);
        reader->first = reader->first ? reader->first : value;
        reader->last = value;
    }
    return 0;
}

static int read_all(void *arg)
{
    return read_until(arg, WEIR_FOREVER);
}

/* --- Mult --- */

enum { SLOW, FAST, LATE, TAPS, TRIES_MAX = 256 };

enum meddling { NOTHING, UNTAP, CLOSE, ABORT, TAP, CANCEL };

struct fan_setup {
    const char *name;
    enum meddling meddling;
    uint64_t count;  /* elements */
    size_t capacity; /* of the slow tap */
    bool prefilled;  /* the source has its elements and its end from the start */
    bool unread;     /* nobody receives from the slow tap before the end */
    bool patient;    /* see model/orders.h */
    bool is_long;    /* not in the fast tier */
};

struct fan {
    const struct fan_setup *setup;
    struct balance balance;
    struct weir_scope *inner; /* of the mult */
    struct weir_chan *source;
    struct weir_mult *mult;
    struct reader readers[TAPS];
    int result;        /* of the meddler's verb */
    uint64_t accepted; /* by the slow tap when it had been untapped */
};

static uint64_t count_accepted(struct weir_chan *chan)
{
    struct weir_chan_stats stats;

    RULE(weir_chan_read_stats(chan, &stats) == 0);
    return stats.sent_total;
}

static void untap(struct fan *fan)
{
    struct weir_chan *slow = fan->readers[SLOW].chan;

    fan->result = weir_mult_untap(fan->mult, slow, WEIR_FOREVER);
    fan->accepted = count_accepted(slow);
    RULE(weir_yield() == 0);
    RULE(count_accepted(slow) == fan->accepted);
    RULE(weir_chan_close(slow, STRANGE) == (fan->result ? WEIR_ALREADY : 0));
}

static int meddle(void *arg)
{
    struct fan *fan = arg;

    switch (fan->setup->meddling) {
    case NOTHING: /* there is no meddler */
        break;
    case UNTAP:
        untap(fan);
        break;
    case CLOSE:
        fan->result = weir_chan_close(fan->readers[SLOW].chan, STRANGE);
        break;
    case ABORT:
        fan->result = weir_chan_abort(fan->readers[SLOW].chan, STRANGE);
        break;
    case TAP:
        fan->result = weir_mult_tap(fan->mult, fan->readers[LATE].chan, NULL, WEIR_FOREVER);
        break;
    case CANCEL:
        RULE(weir_scope_cancel(fan->inner) == 0);
        RULE(weir_scope_join(fan->inner, WEIR_FOREVER) == 0);
        weir_chan_abort(fan->source, 0);
    }
    return 0;
}

/* Keeps the one that comes first in memory, or last; returns the other one. */
static struct weir_chan *keep(struct weir_chan **kept, struct weir_chan *made, bool first)
{
    struct weir_chan *other = ((uintptr_t)made < (uintptr_t)*kept) == first ? *kept : made;

    *kept = other == made ? *kept : made;
    return other;
}

/* A mult has its taps in the order of their addresses, which must be the same in each play: the
 * slow one comes first, for which the memory may take a few tries. */
static void make_taps(struct fan *fan)
{
    struct balance *balance = &fan->balance;
    struct weir_chan *slow = make_chan(fan->setup->capacity, balance);
    struct weir_chan *one = make_chan(VALUES_MAX, balance);
    struct weir_chan *other = make_chan(VALUES_MAX, balance);
    struct weir_chan *spares[TRIES_MAX * TAPS];
    size_t count = 0;

    while ((uintptr_t)slow > (uintptr_t)one || (uintptr_t)slow > (uintptr_t)other) {
        RULE(count < TRIES_MAX * TAPS);
        spares[count++] = keep(&slow, make_chan(fan->setup->capacity, balance), true);
        spares[count++] = keep(&one, make_chan(VALUES_MAX, balance), false);
        spares[count++] = keep(&other, make_chan(VALUES_MAX, balance), false);
    }
    for (size_t i = 0; i < count; i++) /* in this order: what is good comes up again soon */
        weir_chan_release(spares[i]);
    fan->readers[SLOW] = (struct reader){ .chan = slow, .balance = balance };
    fan->readers[one < other ? FAST : LATE] = (struct reader){ .chan = one, .balance = balance };
    fan->readers[one < other ? LATE : FAST] = (struct reader){ .chan = other, .balance = balance };
}

static void start_mult(struct fan *fan)
{
    RULE(weir_mult_create(fan->inner, fan->source, NULL, &fan->mult) == 0);
    RULE(weir_mult_tap(fan->mult, fan->readers[SLOW].chan, NULL, WEIR_FOREVER) == 0);
    RULE(weir_mult_tap(fan->mult, fan->readers[FAST].chan, NULL, WEIR_FOREVER) == 0);
}

static void check_end(const struct reader *reader, int either, int or_else)
{
    RULE(reader->end == either || reader->end == or_else);
}

static void check_slow_end(const struct fan *fan)
{
    int end = fan->readers[SLOW].end;

    switch (fan->setup->meddling) {
    case NOTHING:
    case TAP:
        RULE(end == -EPIPE);
        break;
    case CANCEL:
        RULE(end == -ECANCELED || end == -EPIPE);
        break;
    case ABORT: /* which may come after the end that the mult made */
        RULE(end == STRANGE || end == -EPIPE);
        break;
    default:
        RULE(end == (fan->result ? -EPIPE : STRANGE));
    }
}

/* Each tap has had a run of elements: from the first one, unless it came late, and to the last one,
 * unless it left early. */
static void check_taps(const struct fan *fan)
{
    const struct reader *slow = &fan->readers[SLOW];
    const struct reader *fast = &fan->readers[FAST];
    const struct reader *late = &fan->readers[LATE];
    enum meddling meddling = fan->setup->meddling;
    uint64_t count = fan->setup->count;
    bool cancelled = meddling == CANCEL;

    RULE(fast->first == (fast->last > 0));
    RULE(slow->first == (slow->last > 0));
    RULE(fast->last == count || cancelled);
    RULE(slow->last == count || cancelled || meddling == UNTAP || meddling == CLOSE ||
         meddling == ABORT);
    RULE(late->last == 0 || late->last == count);
    RULE(meddling != UNTAP || slow->last == fan->accepted);
    RULE(meddling != UNTAP || slow->last == count || fan->result == 0);
    RULE(fan->result == 0 || fan->result == WEIR_ALREADY);
    RULE(meddling != TAP || fan->result == 0);
    check_end(fast, -EPIPE, cancelled ? -ECANCELED : -EPIPE);
    check_slow_end(fan);
}

static void check_stats(const struct fan *fan)
{
    struct weir_mult_stats stats;

    RULE(weir_mult_read_stats(fan->mult, &stats, NULL, 0, WEIR_NOW) == 0);
    RULE(stats.ended);
    RULE(stats.tap_count == 0);
    RULE(stats.unheard_total == 0);
    RULE(stats.received_total == fan->setup->count || fan->setup->meddling == CANCEL);
}

static void end_fan(struct fan *fan)
{
    check_stats(fan);
    if (fan->setup->meddling != TAP)
        weir_chan_close(fan->readers[LATE].chan, 0);
    for (size_t i = fan->setup->unread ? SLOW : FAST; i < TAPS; i++)
        read_until(&fan->readers[i], WEIR_NOW);
    check_taps(fan);
    weir_mult_release(fan->mult);
    weir_chan_release(fan->source);
    for (size_t i = TAPS; i-- > 0;)
        weir_chan_release(fan->readers[i].chan);
    check_balance(&fan->balance);
}

static void play_fan(const void *setup)
{
    struct fan fan = { .setup = setup, .inner = make_scope() };
    struct feeder feeder = { .balance = &fan.balance, .count = fan.setup->count };
    struct weir_scope *outer = make_scope();

    fan.source = feeder.chan = make_chan(fan.setup->prefilled ? VALUES_MAX : 0, &fan.balance);
    make_taps(&fan);
    start_mult(&fan);
    if (fan.setup->prefilled)
        feed(&feeder);
    else
        spawn(outer, feed, &feeder);
    if (!fan.setup->unread)
        spawn(outer, read_all, &fan.readers[SLOW]);
    if (fan.setup->meddling)
        spawn(outer, meddle, &fan);
    RULE(orders_run(outer) == 0);
    if (fan.setup->meddling != CANCEL)
        RULE(orders_run(fan.inner) == 0);
    end_fan(&fan);
}

/* --- Pipeline --- */

enum { AT_ONCE = 2, BAD = 2 };

struct line_setup {
    const char *name;
    enum meddling meddling; /* CLOSE and ABORT of the output, CANCEL */
    uint64_t count;         /* elements */
    size_t capacity;        /* of the output */
    bool parks;             /* the function does, else it yields */
    bool fails;             /* on the element BAD */
    bool endless;           /* the input stays open */
    bool patient;           /* see model/orders.h */
    bool is_long;           /* not in the fast tier */
};

struct line {
    const struct line_setup *setup;
    struct balance sources;
    struct balance outputs;
    struct weir_scope *inner; /* of the pipeline */
    struct weir_chan *input;
    struct weir_chan *token; /* of no bytes; who has it goes on */
    struct reader reader;
    size_t begun;   /* elements that the function has begun */
    size_t running; /* and not ended */
    int result;     /* of the pipeline */
};

/* Lets others run: 0 or -ECANCELED. */
static int pause_inside(struct line *line)
{
    int code;

    if (!line->setup->parks)
        return weir_yield();
    code = weir_chan_recv(line->token, NULL, WEIR_FOREVER);
    if (code < 0)
        return code;
    code = weir_yield();
    RULE(weir_chan_send(line->token, NULL, WEIR_NOW) == 0 || weir_cancelled());
    return code;
}

static int emit_one(struct line *line, uint64_t value, struct weir_emit *emit)
{
    int code;

    line->outputs.live[value]++;
    code = weir_emit(emit, &value);
    RULE(code == 0 || code == -EPIPE || code == -ECANCELED);
    return code;
}

/* An element is inside until its output was sent. */
static int pass_on(const void *source, struct weir_emit *emit, void *context)
{
    struct line *line = context;
    uint64_t value = *(const uint64_t *)source;
    int code;

    line->begun++;
    RULE(++line->running <= AT_ONCE);
    RULE(line->begun <= count_accepted(line->reader.chan) + AT_ONCE);
    code = pause_inside(line);
    if (code == 0)
        code = line->setup->fails && value == BAD ? -EDOM : emit_one(line, value, emit);
    line->running--;
    if (code == 0)
        enter_end(&line->sources, value);
    return code;
}

static int meddle_with_line(void *arg)
{
    struct line *line = arg;
    struct weir_chan *output = line->reader.chan;
    int code = 0;

    if (line->setup->meddling == CLOSE)
        code = weir_chan_close(output, STRANGE);
    else if (line->setup->meddling == ABORT)
        code = weir_chan_abort(output, STRANGE);
    else
        RULE(weir_scope_cancel(line->inner) == 0);
    RULE(code == 0 || code == WEIR_ALREADY);
    return 0;
}

static void check_outputs(const struct line *line)
{
    const struct reader *reader = &line->reader;
    enum meddling meddling = line->setup->meddling;
    int early = meddling == CANCEL ? -ECANCELED : STRANGE;
    bool whole = reader->last == line->setup->count;

    RULE(reader->first == (reader->last > 0));
    if (line->setup->fails) {
        RULE(line->result == (meddling ? line->result : -EDOM));
        RULE(reader->last == BAD - 1 || (meddling && reader->last < BAD));
        check_end(reader, -EDOM, meddling ? early : -EDOM);
    } else {
        RULE(line->result == 0);
        RULE(whole || meddling);
        check_end(reader, meddling && !whole ? early : -EPIPE, meddling ? early : -EPIPE);
    }
}

static void end_line(struct line *line)
{
    RULE(line->running == 0);
    check_outputs(line);
    weir_chan_release(line->input); /* what was left in it is dropped */
    weir_chan_release(line->reader.chan);
    weir_chan_release(line->token);
    check_balance(&line->sources);
    check_balance(&line->outputs);
}

static void start_pipeline(struct line *line)
{
    const struct weir_pipeline_options options = { .parallelism = AT_ONCE };
    struct feeder feeder = {
        .chan = line->input,
        .balance = &line->sources,
        .count = line->setup->count,
        .endless = line->setup->endless,
    };

    feed(&feeder);
    RULE(weir_chan_create(&line->token, 0, 1, NULL) == 0);
    RULE(weir_chan_send(line->token, NULL, WEIR_NOW) == 0);
    RULE(weir_pipeline(line->inner, line->input, line->reader.chan, WEIR_PIPELINE_TASK, pass_on,
                       line, &options) == 0);
}

static void play_line(const void *setup)
{
    struct line line = { .setup = setup, .inner = make_scope() };
    struct weir_scope *outer = make_scope();

    line.input = make_chan(VALUES_MAX, &line.sources);
    line.reader = (struct reader){
        .chan = make_chan(line.setup->capacity, &line.outputs),
        .balance = &line.outputs,
    };
    start_pipeline(&line);
    spawn(outer, read_all, &line.reader);
    if (line.setup->meddling)
        spawn(outer, meddle_with_line, &line);
    RULE(orders_run(outer) == 0);
    line.result = orders_run(line.inner);
    end_line(&line);
}

/* --- Tests --- */

static const struct fan_setup fans[] = {
    { "mult", .count = 2 },
    { "mult, close", CLOSE, .count = 2, .patient = true },
    { "mult, abort", ABORT, .count = 2, .patient = true },
    { "mult, untap", UNTAP, .count = 2, .patient = true },
    { "mult, tap", TAP, .count = 2, .patient = true },
    { "mult, cancel", CANCEL, .count = 2, .patient = true },
    { "mult, buffered tap, untap", UNTAP, .count = 2, .capacity = 1, .patient = true },
    { "mult, buffered tap, close", CLOSE, .count = 2, .capacity = 1, .patient = true },
    { "mult, buffered tap, abort", ABORT, .count = 2, .capacity = 1, .patient = true },
    { "mult, buffered tap, cancel", CANCEL, .count = 2, .capacity = 1, .patient = true },
    { "mult, unread tap, close", CLOSE, .count = 2, .unread = true },
    { "mult, unread tap, abort", ABORT, .count = 2, .unread = true },
    { "mult, unread tap, untap", UNTAP, .count = 2, .unread = true, .patient = true },
    { "mult, unread tap, cancel", CANCEL, .count = 2, .unread = true, .patient = true },
    { "mult, filled, close", CLOSE, .count = 2, .prefilled = true },
    { "mult, filled, abort", ABORT, .count = 2, .prefilled = true },
    { "mult, filled, cancel", CANCEL, .count = 2, .prefilled = true },
    { "mult, 3 elements, untap", UNTAP, .count = 3, .patient = true },
    { "mult, filled, untap", UNTAP, .count = 2, .prefilled = true, .is_long = true },
    { "mult, filled, tap", TAP, .count = 2, .prefilled = true, .is_long = true },
    { "mult, 1 element, untap", UNTAP, .count = 1, .is_long = true },
    { "mult, 1 element, tap", TAP, .count = 1, .is_long = true },
    { "mult, 1 element, cancel", CANCEL, .count = 1, .is_long = true },
};

static const struct line_setup lines[] = {
    { "pipeline, 3 elements", .count = 3, .patient = true },
    { "pipeline, 3 elements, they park", .count = 3, .parks = true, .patient = true },
    { "pipeline, 3 elements, one fails", .count = 3, .fails = true, .patient = true },
    { "pipeline, 3 elements, close", CLOSE, .count = 3, .patient = true },
    { "pipeline, 3 elements, abort", ABORT, .count = 3, .patient = true },
    { "pipeline, 3 elements, cancel", CANCEL, .count = 3, .patient = true },
    { "pipeline, input open, close", CLOSE, .count = 2, .endless = true, .patient = true },
    { "pipeline, input open, cancel", CANCEL, .count = 2, .endless = true, .patient = true },
    { "pipeline, 3 elements, they park, cancel", CANCEL, .count = 3, .parks = true,
      .patient = true },
    { "pipeline, 3 elements, they park, close", CLOSE, .count = 3, .parks = true, .patient = true,
      .is_long = true },
    { "pipeline, 3 elements, one fails, close", CLOSE, .count = 3, .fails = true, .patient = true,
      .is_long = true },
    { "pipeline, 3 elements, one fails, cancel", CANCEL, .count = 3, .fails = true, .patient = true,
      .is_long = true },
    { "pipeline, 3 elements, buffered, close", CLOSE, .count = 3, .capacity = 1, .patient = true,
      .is_long = true },
    { "pipeline, 3 elements, buffered, abort", ABORT, .count = 3, .capacity = 1, .patient = true,
      .is_long = true },
    { "pipeline, 3 elements, buffered, cancel", CANCEL, .count = 3, .capacity = 1, .patient = true,
      .is_long = true },
    { "pipeline, 1 element, close", CLOSE, .count = 1, .is_long = true },
    { "pipeline, 1 element, cancel", CANCEL, .count = 1, .is_long = true },
    { "pipeline, 2 elements", .count = 2, .is_long = true },
    { "pipeline, 2 elements, one fails", .count = 2, .fails = true, .is_long = true },
};

static int explore_fans(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(fans); i++)
        if (!fans[i].is_long || test_tier() != TEST_FAST)
            orders_explore(fans[i].name, fans[i].patient, play_fan, &fans[i]);
    return 0;
}

static int explore_lines(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (!lines[i].is_long || test_tier() != TEST_FAST)
            orders_explore(lines[i].name, lines[i].patient, play_line, &lines[i]);
    return 0;
}

static void case_274_mult_in_every_order(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(explore_fans, NULL, &options), 0);
}

static void case_274_pipeline_in_every_order(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(explore_lines, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_274_mult_in_every_order),
        cmocka_unit_test(case_274_pipeline_in_every_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
