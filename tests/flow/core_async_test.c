/* SPDX-License-Identifier: MIT */
/*
 * For people who know core.async: each name of its API as it is written with weir. The names stand
 * in comments beside what they are here; core_async_names_test.sh compares them with the table in
 * weir/flow.h. Each example runs as a task, and checks what it says.
 */
#include "support/support.h"

#include <weir.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD(call) CHECK_EQUAL((call), 0)

/* (chan n) */
static struct weir_chan *chan_of(size_t capacity)
{
    struct weir_chan *chan = NULL;

    GOOD(weir_chan_create(&chan, sizeof(int), capacity, NULL));
    return chan;
}

static struct weir_chan *chan_with(size_t capacity, enum weir_chan_policy policy)
{
    struct weir_chan *chan = NULL;
    struct weir_chan_options options = { .policy = policy };

    GOOD(weir_chan_create(&chan, sizeof(int), capacity, &options));
    return chan;
}

static void put(struct weir_chan *chan, int value)
{
    CHECK(weir_chan_send(chan, &value, WEIR_NOW) >= 0);
}

static int taken(struct weir_chan *chan)
{
    int value = -1;

    GOOD(weir_chan_recv(chan, &value, WEIR_FOREVER));
    return value;
}

/* A source of 0, 1, .. count - 1 that is closed then. */
static struct weir_chan *source_of(int count)
{
    struct weir_chan *chan = chan_of(64);

    for (int value = 0; value < count; value++)
        put(chan, value);
    weir_chan_close(chan, 0);
    return chan;
}

/* What is in a channel up to its end is these values. */
static void expect(struct weir_chan *chan, size_t count, const int *expected)
{
    int values[64];
    size_t got = 0;

    GOOD(weir_collect(chan, values, 64, &got, weir_in_seconds(10)));
    CHECK_EQUAL(got, count);
    for (size_t i = 0; i < count && i < got; i++)
        CHECK_EQUAL(values[i], expected[i]);
}

#define EXPECT(chan, ...)                                                                          \
    expect(chan, sizeof((int[]){ __VA_ARGS__ }) / sizeof(int), (int[]){ __VA_ARGS__ })

static void let_go(struct weir_chan *first, struct weir_chan *second, struct weir_chan *third)
{
    weir_chan_release(first);
    weir_chan_release(second);
    weir_chan_release(third);
}

/* The scope that go blocks and stages of an example live in. */
static struct weir_scope *scope;

/* --- Channels and buffers ----------------------------------------------------------------------
 * */

static void channels(void)
{
    struct weir_chan *rendezvous = chan_of(0);                        /* chan */
    struct weir_chan *fixed = chan_of(2);                             /* buffer */
    struct weir_chan *dropping = chan_with(1, WEIR_CHAN_DROP_NEWEST); /* dropping-buffer */
    struct weir_chan *sliding = chan_with(1, WEIR_CHAN_DROP_OLDEST);  /* sliding-buffer */
    struct weir_chan *promise = chan_with(1, WEIR_CHAN_PROMISE);      /* promise-chan */
    int value = 7;

    CHECK(weir_chan_send(dropping, &value, WEIR_NOW) >= 0); /* unblocking-buffer? */
    CHECK_EQUAL(taken(dropping), 7);
    CHECK_EQUAL(weir_chan_send(rendezvous, &value, WEIR_NOW), -EAGAIN); /* offer! */
    GOOD(weir_chan_send(fixed, &value, WEIR_FOREVER));                  /* >! >!! */
    GOOD(weir_chan_recv(fixed, &value, WEIR_FOREVER));                  /* <! <!! */
    CHECK_EQUAL(weir_chan_recv(fixed, &value, WEIR_NOW), -EAGAIN);      /* poll! */
    for (int i = 1; i <= 3; i++) {
        put(dropping, i);
        put(sliding, i);
        put(promise, i);
    }
    CHECK_EQUAL(taken(dropping), 1);
    CHECK_EQUAL(taken(sliding), 3);
    CHECK_EQUAL(taken(promise), 1);
    CHECK_EQUAL(taken(promise), 1);
    GOOD(weir_chan_close(fixed, 0)); /* close! */
    CHECK_EQUAL(weir_chan_recv(fixed, &value, WEIR_FOREVER), -EPIPE);
    let_go(rendezvous, fixed, dropping);
    let_go(sliding, promise, NULL);
}

struct done {
    struct weir_async async;
    struct weir_chan *told;
};

static int tell(struct weir_async *async, int result)
{
    struct done *done = async->context;

    return weir_chan_send(done->told, &result, WEIR_NOW);
}

static void callbacks(void)
{
    struct weir_chan *chan = chan_of(0), *told = chan_of(2);
    struct done put_done = { .told = told }, take_done = { .told = told };
    int sent = 5, received = 0;

    put_done.async = (struct weir_async){ .done = tell, .context = &put_done };
    take_done.async = (struct weir_async){ .done = tell, .context = &take_done };
    GOOD(weir_chan_send_async(chan, &sent, &put_done.async, WEIR_FOREVER));      /* put! */
    GOOD(weir_chan_recv_async(chan, &received, &take_done.async, WEIR_FOREVER)); /* take! */
    CHECK_EQUAL(taken(told), 0);
    CHECK_EQUAL(taken(told), 0);
    CHECK_EQUAL(received, 5);
    let_go(chan, told, NULL);
}

static void selects(void)
{
    struct weir_chan *empty = chan_of(0), *full = chan_of(1);
    int value = 0, sent = 2;
    struct weir_clause clauses[] = {
        weir_clause_recv(empty, &value), weir_clause_recv(full, &value),
        weir_clause_send(empty, &sent), weir_clause_timer(weir_in_ms(1)), /* timeout */
    };

    put(full, 1);
    CHECK_EQUAL(weir_select(clauses, 3, 0, WEIR_FOREVER), 1); /* alts! alts!! */
    CHECK_EQUAL(weir_select(clauses, 3, 0, WEIR_NOW), -EAGAIN);
    put(full, 1);
    switch (weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER)) { /* alt! alt!! */
    case 1:
        CHECK_EQUAL(value, 1);
        break;
    default:
        CHECK_EQUAL(value, -1); /* another clause won */
    }
    CHECK_EQUAL(weir_select(clauses, 4, 0, WEIR_FOREVER), 3); /* do-alts */
    let_go(empty, full, NULL);
}

/* --- Tasks -------------------------------------------------------------------------------------
 * */

static int count_to_ten(void *arg)
{
    int *count = arg;

    while (*count < 10)
        ++*count;
    return *count;
}

static int read_a_file(void *arg)
{
    (void)arg;
    return usleep(1) == 0 ? 3 : -EINTR; /* it may block here */
}

static void tasks(void)
{
    struct weir_spawn_options options = { .task = NULL };
    struct weir_task *task = NULL;
    int count = 0, result = 0;

    options.task = &task;
    GOOD(weir_spawn(scope, count_to_ten, &count, &options)); /* go go-loop */
    GOOD(weir_join(task, &result, WEIR_FOREVER));
    CHECK_EQUAL(result, 10);
    CHECK_EQUAL(weir_pool_run(read_a_file, NULL, WEIR_FOREVER),
                3); /* thread thread-call io-thread */
    CHECK_EQUAL(weir_cpu_run(count_to_ten, &count, WEIR_FOREVER), 10);
    CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0);
}

/* --- Stages ------------------------------------------------------------------------------------
 * */

static int add_one(const void *source, void *target, void *context)
{
    (void)context;
    *(int *)target = *(const int *)source + 1;
    return 0;
}

static int is_even(const void *elem, void *context)
{
    (void)context;
    return *(const int *)elem % 2 == 0;
}

static int is_odd(const void *elem, void *context)
{
    return !is_even(elem, context);
}

static int twice(const void *source, struct weir_emit *emit, void *context)
{
    int error;

    (void)context;
    if (!source)
        return 0;
    error = weir_emit(emit, source);
    return error < 0 ? error : weir_emit(emit, source);
}

static int unless_repeated(const void *elem, void *context)
{
    int *last = context;
    bool repeated = *last == *(const int *)elem;

    *last = *(const int *)elem;
    return !repeated;
}

static int sum(const void *elem, void *context)
{
    *(int *)context += *(const int *)elem;
    return 0;
}

static void moving(void)
{
    const int array[] = { 0, 1, 2 };
    struct weir_chan *source = chan_of(0), *target = chan_of(8), *head = chan_of(8);
    struct weir_chan *inputs[2];
    int total = 0;

    GOOD(weir_from_array(scope, array, 3, source,
                         NULL)); /* onto-chan! onto-chan!! onto-chan to-chan! to-chan!! to-chan */
    GOOD(weir_pipe(scope, source, target, NULL)); /* pipe */
    EXPECT(target, 0, 1, 2);                      /* into */
    let_go(source, target, NULL);

    source = source_of(10);
    GOOD(weir_take(scope, source, head, 2, NULL)); /* take */
    EXPECT(head, 0, 1);
    GOOD(weir_reduce(source, sum, &total, 0, WEIR_FOREVER)); /* reduce */
    CHECK_EQUAL(total, 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9);
    let_go(source, head, NULL);

    inputs[0] = source_of(1);
    inputs[1] = source_of(1);
    target = chan_of(8);
    GOOD(weir_merge(scope, inputs, 2, target, NULL)); /* merge */
    EXPECT(target, 0, 0);
    let_go(inputs[0], inputs[1], target);
}

static void splitting(void)
{
    struct weir_chan *source = source_of(4), *even = chan_of(4), *odd = chan_of(4);

    GOOD(weir_split(scope, source, even, odd, is_even, NULL, NULL)); /* split */
    EXPECT(even, 0, 2);
    EXPECT(odd, 1, 3);
    let_go(source, even, odd);
}

static void zipping(void)
{
    struct weir_chan *inputs[] = { source_of(2), source_of(2) };
    struct weir_chan *pairs = NULL;
    int pair[2];

    GOOD(weir_chan_create(&pairs, sizeof pair, 4, NULL));
    GOOD(weir_zip(scope, inputs, 2, pairs, NULL)); /* map */
    GOOD(weir_chan_recv(pairs, pair, WEIR_FOREVER));
    GOOD(weir_chan_recv(pairs, pair, WEIR_FOREVER));
    CHECK_EQUAL(pair[0], 1);
    CHECK_EQUAL(pair[1], 1);
    CHECK_EQUAL(weir_chan_recv(pairs, pair, WEIR_FOREVER), -EPIPE);
    let_go(inputs[0], inputs[1], pairs);
}

static void transforming(void)
{
    struct weir_chan *source = source_of(3), *target = chan_of(8);
    int last = -1, total = 0;

    GOOD(weir_map(scope, source, target, add_one, NULL, NULL)); /* map< map> */
    EXPECT(target, 1, 2, 3);
    let_go(source, target, NULL);

    source = source_of(4), target = chan_of(8);
    GOOD(weir_filter(scope, source, target, is_even, NULL, NULL)); /* filter< filter> */
    EXPECT(target, 0, 2);
    let_go(source, target, NULL);

    source = source_of(4), target = chan_of(8);
    GOOD(weir_filter(scope, source, target, is_odd, NULL, NULL)); /* remove< remove> */
    EXPECT(target, 1, 3);
    let_go(source, target, NULL);

    source = source_of(2), target = chan_of(8);
    GOOD(weir_expand(scope, source, target, twice, NULL, NULL)); /* mapcat< mapcat> */
    EXPECT(target, 0, 0, 1, 1);
    let_go(source, target, NULL);

    source = chan_of(8), target = chan_of(8);
    for (int i = 0; i < 6; i++)
        put(source, i / 2);
    weir_chan_close(source, 0);
    GOOD(weir_filter(scope, source, target, unless_repeated, &last, NULL)); /* unique */
    EXPECT(target, 0, 1, 2);
    let_go(source, target, NULL);

    source = source_of(3), target = chan_of(8);
    GOOD(weir_map(scope, source, target, add_one, NULL, NULL)); /* transduce */
    GOOD(weir_reduce(target, sum, &total, 0, WEIR_FOREVER));
    CHECK_EQUAL(total, 6);
    let_go(source, target, NULL);
}

/* A batch of numbers of one kind; `count` of 0: nothing yet. */
struct run {
    int count, last;
};

static int count_runs(const void *source, struct weir_emit *emit, void *context)
{
    struct run *run = context;
    int error = 0;

    if (run->count && (!source || *(const int *)source % 2 != run->last % 2)) {
        error = weir_emit(emit, &run->count);
        run->count = 0;
    }
    if (source) {
        run->count++;
        run->last = *(const int *)source;
    }
    return error;
}

static void partitioning(void)
{
    struct weir_chan *source = source_of(5), *batches = NULL, *runs;
    union {
        struct weir_batch batch;
        unsigned char room[WEIR_BATCH_BYTES(sizeof(int), 2)];
    } group;
    struct run run = { 0 };

    GOOD(weir_chan_create(&batches, sizeof group.room, 4, NULL));
    GOOD(weir_partition(scope, source, batches, 2, NULL)); /* partition */
    GOOD(weir_chan_recv(batches, &group, WEIR_FOREVER));
    CHECK_EQUAL(group.batch.count, 2);
    GOOD(weir_chan_recv(batches, &group, WEIR_FOREVER));
    GOOD(weir_chan_recv(batches, &group, WEIR_FOREVER));
    CHECK_EQUAL(group.batch.count, 1);
    let_go(source, batches, NULL);

    source = chan_of(8), runs = chan_of(8);
    put(source, 1), put(source, 3), put(source, 2);
    weir_chan_close(source, 0);
    GOOD(weir_expand(scope, source, runs, count_runs, &run, NULL)); /* partition-by */
    EXPECT(runs, 2, 1);
    let_go(source, runs, NULL);
}

/* --- Pipelines ---------------------------------------------------------------------------------
 * */

static int begin_later(const void *source, struct weir_chan *results, void *context)
{
    (void)context;
    put(results, *(const int *)source); /* here at once; from anywhere, at any time */
    weir_chan_close(results, 0);
    weir_chan_release(results);
    return 0;
}

static int once(const void *source, struct weir_emit *emit, void *context)
{
    (void)context;
    return weir_emit(emit, source);
}

static void pipelines(void)
{
    const struct weir_pipeline_options four = { .parallelism = 4 };
    const enum weir_pipeline_mode modes[] = {
        WEIR_PIPELINE_TASK, WEIR_PIPELINE_CPU, /* pipeline */
        WEIR_PIPELINE_POOL,                    /* pipeline-blocking */
    };
    struct weir_chan *source, *target;

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        source = source_of(5), target = chan_of(8);
        GOOD(weir_pipeline(scope, source, target, modes[i], once, NULL, &four));
        EXPECT(target, 0, 1, 2, 3, 4);
        let_go(source, target, NULL);
    }
    source = source_of(5), target = chan_of(8);
    GOOD(weir_pipeline_async(scope, source, target, begin_later, NULL, &four)); /* pipeline-async */
    EXPECT(target, 0, 1, 2, 3, 4);
    let_go(source, target, NULL);
}

/* --- One to many, many to one ------------------------------------------------------------------
 * */

static void multiplying(void)
{
    struct weir_chan *source = chan_of(0), *left = chan_of(4), *right = chan_of(4);
    struct weir_mult *mult = NULL;
    int value = 1;

    GOOD(weir_mult_create(scope, source, NULL, &mult));  /* mult */
    GOOD(weir_mult_tap(mult, left, NULL, WEIR_FOREVER)); /* tap */
    GOOD(weir_mult_tap(mult, right, NULL, WEIR_FOREVER));
    GOOD(weir_chan_send(source, &value, WEIR_FOREVER));
    CHECK_EQUAL(taken(left), 1);
    CHECK_EQUAL(taken(right), 1);
    GOOD(weir_mult_untap(mult, left, WEIR_FOREVER)); /* untap */
    GOOD(weir_mult_untap_all(mult, WEIR_FOREVER));   /* untap-all */
    weir_chan_close(source, 0);
    weir_mult_release(mult);
    let_go(source, left, right);
}

static int by_parity(const void *elem, struct weir_topic *topic, void *context)
{
    static const char names[2][5] = { "even", "odd" };
    const char *name = names[*(const int *)elem % 2];

    (void)context;
    *topic = (struct weir_topic){ .bytes = name, .size = strlen(name) };
    return 0;
}

static void publishing(void)
{
    const struct weir_topic odd = { .bytes = "odd", .size = 3 };
    struct weir_chan *source = chan_of(0), *heard = chan_of(4);
    struct weir_pub *pub = NULL;

    GOOD(weir_pub_create(scope, source, by_parity, NULL, NULL, &pub)); /* pub */
    GOOD(weir_pub_sub(pub, &odd, heard, NULL, WEIR_FOREVER));          /* sub */
    for (int value = 0; value < 4; value++)
        GOOD(weir_chan_send(source, &value, WEIR_FOREVER));
    CHECK_EQUAL(taken(heard), 1);
    CHECK_EQUAL(taken(heard), 3);
    GOOD(weir_pub_unsub(pub, &odd, heard, WEIR_FOREVER));    /* unsub */
    CHECK(weir_pub_unsub_all(pub, NULL, WEIR_FOREVER) >= 0); /* unsub-all */
    weir_chan_close(source, 0);
    weir_pub_release(pub);
    let_go(source, heard, NULL);
}

static void mixing(void)
{
    struct weir_chan *first = chan_of(4), *second = chan_of(4), *target = chan_of(8);
    struct weir_mix_change mute = { .chan = second, .set = WEIR_MIX_MUTE };
    struct weir_mix *mix = NULL;

    GOOD(weir_mix_create(scope, target, NULL, &mix)); /* mix */
    GOOD(weir_mix_add(mix, first, 0, WEIR_FOREVER));  /* admix */
    GOOD(weir_mix_add(mix, second, 0, WEIR_FOREVER));
    GOOD(weir_mix_toggle(mix, &mute, 1, WEIR_FOREVER));          /* toggle */
    GOOD(weir_mix_solo_mode(mix, WEIR_MIX_PAUSE, WEIR_FOREVER)); /* solo-mode */
    put(second, 2);
    put(first, 1);
    CHECK_EQUAL(taken(target), 1);
    GOOD(weir_mix_remove(mix, second, WEIR_FOREVER)); /* unmix */
    GOOD(weir_mix_remove_all(mix, WEIR_FOREVER));     /* unmix-all */
    weir_chan_close(target, 0);
    weir_mix_release(mix);
    let_go(first, second, target);
}

/* --- Running them ------------------------------------------------------------------------------
 * */

static int run_example(void *arg)
{
    void (*const *example)(void) = arg;

    GOOD(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL));
    (*example)();
    GOOD(weir_scope_join(scope, weir_in_seconds(20)));
    return 0;
}

#define EXAMPLE(example)                                                                           \
    static void run_##example(void **state)                                                        \
    {                                                                                              \
        static void (*const fn)(void) = (example);                                                 \
                                                                                                   \
        (void)state;                                                                               \
        assert_int_equal(test_run(run_example, (void *)(uintptr_t)&fn, NULL), 0);                  \
    }

EXAMPLE(channels)
EXAMPLE(callbacks)
EXAMPLE(selects)
EXAMPLE(tasks)
EXAMPLE(moving)
EXAMPLE(splitting)
EXAMPLE(zipping)
EXAMPLE(transforming)
EXAMPLE(partitioning)
EXAMPLE(pipelines)
EXAMPLE(multiplying)
EXAMPLE(publishing)
EXAMPLE(mixing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_channels),     cmocka_unit_test(run_callbacks),
        cmocka_unit_test(run_selects),      cmocka_unit_test(run_tasks),
        cmocka_unit_test(run_moving),       cmocka_unit_test(run_splitting),
        cmocka_unit_test(run_zipping),      cmocka_unit_test(run_transforming),
        cmocka_unit_test(run_partitioning), cmocka_unit_test(run_pipelines),
        cmocka_unit_test(run_multiplying),  cmocka_unit_test(run_publishing),
        cmocka_unit_test(run_mixing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
