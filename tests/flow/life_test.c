/* SPDX-License-Identifier: MIT */
/* Every kind of stage: refused, called off, without memory; cancelled, and cut off from its output,
 * wherever it is parked. */
#include "flow/fixture.h"

#include "base/memory.h"

enum { ALLOCATIONS_MAX = 50, WORKERS = 3, TASKS = 40 };

static int map_same(const void *source, void *target, void *context)
{
    (void)context;
    memcpy(target, source, sizeof(uint64_t));
    return 0;
}

static int keep(const void *elem, void *context)
{
    (void)elem;
    (void)context;
    return 1;
}

static int emit_same(const void *source, struct weir_emit *emit, void *context)
{
    (void)context;
    return source ? weir_emit(emit, source) : 0;
}

static int spare_on_error(int error, const void *source, void *target, void *context)
{
    (void)source;
    (void)target;
    (void)context;
    return error;
}

/* --- One of each --- */

enum kind { PIPE, MAP, FILTER, EXPAND, TAKE, PARTITION, MERGE, SPLIT, ZIP, ARRAY, KIND_COUNT };

enum trait {
    HAS_INPUT = 1 << 0,
    MAKES = 1 << 1, /* what it sends is not what it received */
    HAS_FUNCTION = 1 << 2,
    IS_CROWDED = 1 << 3,
};

static const unsigned traits[KIND_COUNT] = {
    [PIPE] = HAS_INPUT,
    [MAP] = HAS_INPUT | MAKES | HAS_FUNCTION | IS_CROWDED,
    [FILTER] = HAS_INPUT | HAS_FUNCTION | IS_CROWDED,
    [EXPAND] = HAS_INPUT | MAKES | HAS_FUNCTION | IS_CROWDED,
    [TAKE] = HAS_INPUT,
    [PARTITION] = HAS_INPUT | MAKES,
    [MERGE] = HAS_INPUT,
    [SPLIT] = HAS_INPUT | HAS_FUNCTION,
    [ZIP] = HAS_INPUT | MAKES,
    [ARRAY] = 0,
};

/* What a stage is started with. */
struct stand {
    struct weir_scope *scope;
    struct weir_chan *input;
    struct weir_chan *output;
    struct weir_chan *refused; /* of a split */
    struct ledger taken;       /* the input's */
    struct ledger made;        /* the output's */
    bool without_function;
};

static const uint64_t array[3] = { 5, 6, 7 };

static int start(enum kind kind, const struct stand *stand,
                 const struct weir_stage_options *options)
{
    struct weir_scope *scope = stand->scope;
    struct weir_chan *input = stand->input;
    struct weir_chan *output = stand->output;
    bool without = stand->without_function;

    switch (kind) {
    case PIPE:
        return weir_pipe(scope, input, output, options);
    case MAP:
        return weir_map(scope, input, output, without ? NULL : map_same, NULL, options);
    case FILTER:
        return weir_filter(scope, input, output, without ? NULL : keep, NULL, options);
    case EXPAND:
        return weir_expand(scope, input, output, without ? NULL : emit_same, NULL, options);
    case TAKE:
        return weir_take(scope, input, output, 3, options);
    case PARTITION:
        return weir_partition(scope, input, output, 1, options);
    case MERGE:
        return weir_merge(scope, &input, 1, output, options);
    case SPLIT:
        return weir_split(scope, input, output, stand->refused, without ? NULL : keep, NULL,
                          options);
    case ZIP:
        return weir_zip(scope, &input, 1, output, options);
    default:
        return weir_from_array(scope, array, 3, output, options);
    }
}

static size_t output_bytes(enum kind kind)
{
    return kind == PARTITION ? WEIR_BATCH_BYTES(sizeof(uint64_t), 1) : sizeof(uint64_t);
}

static void set_up(struct stand *stand, enum kind kind, size_t capacity)
{
    const struct weir_chan_options options = { .drop = enter_drop, .context = &stand->made };

    *stand = (struct stand){
        .input = make_ledger_chan(capacity, &stand->taken),
        .refused = make_chan(capacity, NULL),
    };
    CHECK_SAME(weir_chan_create(&stand->output, output_bytes(kind), capacity, &options), 0);
    CHECK_SAME(weir_scope_create(&stand->scope, WEIR_SCOPE_COLLECT, NULL), 0);
}

static void take_down(struct stand *stand)
{
    RELEASE(stand->input, stand->output, stand->refused);
}

/* Nothing has happened to the channels, and nothing will. */
static void check_untouched(struct stand *stand)
{
    CHECK_SAME(weir_scope_join(stand->scope, end_of_patience()), 0);
    CHECK_SAME(look(stand->input).received_total, 0);
    CHECK_SAME(look(stand->output).sent_total, 0);
    CHECK(!look(stand->input).closed && !look(stand->output).closed);
    CHECK(!look(stand->refused).closed);
}

/* --- Refused --- */

static void refuse(enum kind kind, const struct stand *stand,
                   const struct weir_stage_options *options, int error)
{
    struct weir_stage_options with_handle = options ? *options : (struct weir_stage_options){ 0 };
    struct weir_stage *untouched = (struct weir_stage *)(uintptr_t)&traits;
    struct weir_stage *stage = untouched;

    with_handle.stage = &stage;
    CHECK_SAME(start(kind, stand, &with_handle), error);
    CHECK(stage == untouched);
}

static void refuse_options(enum kind kind, const struct stand *stand)
{
    const struct weir_stage_options bad[] = {
        { .size = 8 },
        { .flags = 1u << 2 },
        { .kind = WEIR_STAGE_BLOCKS + 1 },
        { .reserved = { [3] = 1 } },
        { .parallelism = WEIR_STAGE_PARALLELISM_MAX + 1 },
    };
    const struct weir_stage_options long_name = { .name = "a name of thirty-two characters." };
    const struct weir_stage_options crowd[] = {
        { .parallelism = 2 },
        { .on_error = spare_on_error },
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(kind, stand, &bad[i], -EINVAL);
    refuse(kind, stand, &long_name, -E2BIG);
    for (size_t i = 0; i < 2 && !(traits[kind] & IS_CROWDED); i++)
        refuse(kind, stand, &crowd[i], -EINVAL);
}

static void refuse_arguments(enum kind kind, const struct stand *stand)
{
    struct stand lame = *stand;
    struct weir_chan *wide = NULL;

    lame.scope = NULL;
    refuse(kind, &lame, NULL, -EINVAL);
    lame = *stand;
    lame.output = NULL;
    refuse(kind, &lame, NULL, -EINVAL);
    lame = *stand;
    lame.input = NULL;
    if (traits[kind] & HAS_INPUT)
        refuse(kind, &lame, NULL, -EINVAL);
    lame = *stand;
    lame.without_function = true;
    if (traits[kind] & HAS_FUNCTION)
        refuse(kind, &lame, NULL, -EINVAL);
    lame = *stand;
    CHECK_SAME(weir_chan_create(&wide, 12, 1, NULL), 0);
    lame.output = wide;
    if (kind != MAP && kind != EXPAND && kind != ARRAY)
        refuse(kind, &lame, NULL, -EINVAL);
    RELEASE(wide);
}

static int start_on_thread(void *arg)
{
    const struct stand *stand = arg;
    int result = 0;

    for (enum kind kind = 0; kind < KIND_COUNT; kind++)
        if (kind != PARTITION)
            CHECK_SAME(result = start(kind, stand, NULL), -ENXIO);
    return result;
}

CASE(bad_input_is_refused, ON_TASKS, 0, 7)
{
    struct actor actor;
    struct stand stand;

    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        set_up(&stand, kind, scene->capacity);
        refuse_options(kind, &stand);
        refuse_arguments(kind, &stand);
        check_untouched(&stand);
        take_down(&stand);
    }
    set_up(&stand, PIPE, scene->capacity);
    actor_start_at(scene, &actor, -1, start_on_thread, &stand);
    CHECK_SAME(actor_join(&actor), -ENXIO);
    check_untouched(&stand);
    take_down(&stand);
}

CASE(bad_input_of_one_kind_is_refused, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan *batches = NULL;
    struct weir_chan *some[] = { chan, NULL };
    struct weir_scope *scope = scene->scope;
    struct weir_flow_report report;
    struct weir_stage *no_stage = NULL;
    struct weir_stage_stats stats;

    CHECK_SAME(weir_chan_create(&batches, sizeof(struct weir_batch), 1, NULL), 0);
    CHECK_SAME(weir_partition(scope, chan, batches, 0, NULL), -EINVAL);
    CHECK_SAME(weir_partition(scope, chan, batches, SIZE_MAX, NULL), -EINVAL);
    CHECK_SAME(weir_partition(scope, chan, batches, SIZE_MAX / 8, NULL), -EINVAL);
    CHECK_SAME(weir_split(scope, chan, chan, NULL, keep, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_split(scope, chan, chan, batches, keep, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_merge(scope, NULL, 1, chan, NULL), -EINVAL);
    CHECK_SAME(weir_merge(scope, some, 2, chan, NULL), -EINVAL);
    CHECK_SAME(weir_zip(scope, NULL, 1, chan, NULL), -EINVAL);
    CHECK_SAME(weir_zip(scope, some, 2, chan, NULL), -EINVAL);
    CHECK_SAME(weir_zip(scope, some, WEIR_SELECT_MAX, chan, NULL), -EINVAL);
    CHECK_SAME(weir_from_array(scope, NULL, 1, chan, NULL), -EINVAL);
    CHECK_SAME(weir_emit(NULL, chan), -EINVAL);
    CHECK_SAME(weir_stage_read_stats(NULL, &stats), -EINVAL);
    CHECK_SAME(weir_flow_read_report(NULL, 1, &report), -EINVAL);
    CHECK_SAME(weir_flow_read_report(&no_stage, 0, &report), -EINVAL);
    CHECK_SAME(weir_flow_read_report(&no_stage, 1, &report), -EINVAL);
    CHECK_SAME(weir_flow_read_report(&no_stage, 1, NULL), -EINVAL);
    weir_stage_release(NULL);
    RELEASE(chan, batches);
}

/* --- Not enough memory, not enough tasks --- */

CASE(without_memory_nothing_has_changed, ALONE, 1)
{
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        const struct weir_stage_options options = {
            .parallelism = traits[kind] & IS_CROWDED ? WORKERS : 1,
            .kind = WEIR_STAGE_BLOCKS,
        };
        int error = -ENOMEM;

        for (long count = 1; error == -ENOMEM && count < ALLOCATIONS_MAX; count++) {
            struct stand stand;

            set_up(&stand, kind, scene->capacity);
            weir__memory_fail_after(count);
            error = start(kind, &stand, &options);
            weir__memory_fail_after(-1);
            if (error < 0) {
                CHECK_SAME(error, -ENOMEM);
                check_untouched(&stand);
            } else {
                weir_chan_abort(stand.output, 0);
                CHECK_SAME(weir_scope_join(stand.scope, end_of_patience()), 0);
            }
            take_down(&stand);
        }
        CHECK_SAME(error, 0);
    }
}

static int start_too_many(void *arg)
{
    (void)arg;
    for (enum kind kind = MAP; kind <= EXPAND; kind++)
        for (unsigned parallelism = TASKS - 5; parallelism < 2 * TASKS; parallelism++) {
            const struct weir_stage_options options = {
                .parallelism = parallelism,
                .kind = WEIR_STAGE_BLOCKS,
            };
            struct stand stand;
            int error;

            set_up(&stand, kind, 1);
            fill(stand.input, 1);
            error = start(kind, &stand, &options);
            if (error < 0) {
                CHECK_SAME(error, -EAGAIN);
                check_untouched(&stand);
            } else {
                weir_chan_close(stand.input, 0);
                CHECK_SAME(weir_scope_join(stand.scope, end_of_patience()), 0);
                CHECK_SAME(look(stand.output).count, 1);
            }
            if (parallelism == 2 * TASKS - 1)
                CHECK_SAME(error, -EAGAIN);
            take_down(&stand);
        }
    return 0;
}

static void without_room_for_all_workers_none_works(void **state)
{
    const struct weir_options options = { .loop_count = 1, .tasks_per_loop = TASKS };

    (void)state;
    assert_int_equal(test_run(start_too_many, NULL, &options), 0);
}

CASE(a_cancelled_scope_takes_no_stage, ALONE, 1)
{
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        struct stand stand;

        set_up(&stand, kind, scene->capacity);
        weir_scope_cancel(stand.scope);
        refuse(kind, &stand, NULL, -ECANCELED);
        check_untouched(&stand);
        take_down(&stand);
    }
}

/* --- Cut short where they are parked --- */

/* Where, and by what. */
enum spot { AT_INPUT, AT_OUTPUT, SPOT_COUNT };
enum cut { CANCEL, CLOSE_OUTPUT, ABORT_OUTPUT, CUT_COUNT };

static void cut_short(struct stand *stand, enum cut cut)
{
    if (cut == CANCEL)
        weir_scope_cancel(stand->scope);
    else if (cut == CLOSE_OUTPUT)
        weir_chan_close(stand->output, 0);
    else
        weir_chan_abort(stand->output, 0);
    CHECK_SAME(weir_scope_join(stand->scope, end_of_patience()), 0);
}

/* Parks a stage, cuts it short, and looks at what has become of its channels and of its element. */
static void park_and_cut(enum kind kind, enum spot spot, enum cut cut,
                         const struct weir_stage_options *options)
{
    bool has_input = traits[kind] & HAS_INPUT;
    struct stand stand;

    set_up(&stand, kind, 0);
    CHECK_SAME(start(kind, &stand, options), 0);
    if (spot == AT_INPUT) {
        AWAIT(look(stand.input).waiting_receivers == (options->parallelism ?: 1));
    } else {
        if (has_input)
            CHECK_SAME(weir_chan_send(stand.input, &array[0], end_of_patience()), 0);
        await_senders(stand.output, 1);
    }
    cut_short(&stand, cut);
    CHECK_SAME(count_waiters(stand.input) + count_waiters(stand.output), 0);
    CHECK(look(stand.output).closed && (kind != SPLIT || look(stand.refused).closed));
    if (cut == CANCEL)
        CHECK_SAME(await_end(stand.output), -ECANCELED);
    CHECK_SAME(look(stand.input).closed, has_input && options->flags & WEIR_STAGE_ABORT_INPUT);
    if (spot == AT_INPUT || !has_input)
        CHECK_SAME(stand.taken.count + stand.made.count, 0);
    else /* an expand whose emit fails hands back what it got, too */
        CHECK(stand.taken.count == (!(traits[kind] & MAKES) || kind == EXPAND) &&
              stand.made.count == (traits[kind] & MAKES ? 1 : 0));
    take_down(&stand);
}

CASE(cut_short_wherever_it_is_parked, ALONE, 0)
{
    (void)scene;
    for (enum kind kind = 0; kind < KIND_COUNT; kind++)
        for (enum spot spot = 0; spot < SPOT_COUNT; spot++)
            for (enum cut cut = 0; cut < CUT_COUNT; cut++) {
                if (spot == AT_INPUT && !(traits[kind] & HAS_INPUT))
                    continue;
                if (spot == AT_OUTPUT && cut == CLOSE_OUTPUT)
                    continue; /* it would still be delivered */
                for (unsigned flags = 0; flags <= WEIR_STAGE_ABORT_INPUT;
                     flags += WEIR_STAGE_ABORT_INPUT) {
                    struct weir_stage_options options = { .flags = flags };

                    park_and_cut(kind, spot, cut, &options);
                    options.kind = WEIR_STAGE_COMPUTES;
                    park_and_cut(kind, spot, cut, &options);
                    options.kind = WEIR_STAGE_BLOCKS;
                    park_and_cut(kind, spot, cut, &options);
                    options.parallelism = traits[kind] & IS_CROWDED ? WORKERS : 1;
                    park_and_cut(kind, spot, cut, &options);
                }
            }
}

/* A partition that holds part of a batch, and a zip part of a row, are cut short. */
CASE(parts_are_dropped, ALONE, 0)
{
    for (enum cut cut = 0; cut < CUT_COUNT; cut++)
        for (int zip = 0; zip < 2; zip++) {
            struct weir_scope *scope = NULL;
            struct ledger ledger = { 0 };
            struct weir_chan *inputs[] = { make_ledger_chan(0, &ledger), make_chan(0, NULL) };
            struct stand stand = { 0 };

            CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
            CHECK_SAME(weir_chan_create(&stand.output, zip ? 16 : WEIR_BATCH_BYTES(8, 3),
                                        scene->capacity, NULL),
                       0);
            stand.scope = scope;
            if (zip)
                CHECK_SAME(weir_zip(scope, inputs, 2, stand.output, NULL), 0);
            else
                CHECK_SAME(weir_partition(scope, inputs[0], stand.output, 3, NULL), 0);
            for (int i = 0; i < (zip ? 1 : 2); i++)
                CHECK_SAME(weir_chan_send(inputs[0], &array[0], end_of_patience()), 0);
            AWAIT(look(inputs[0]).received_total == (zip ? 1 : 2));
            weir__sched_settle();
            cut_short(&stand, cut);
            CHECK_SAME(ledger.count, zip ? 1 : 2);
            RELEASE(inputs[0], inputs[1], stand.output);
        }
}

/* --- Cancelled inside of its function --- */

struct sleeper {
    atomic_bool inside;
    atomic_bool may_go;
};

/* In a task it parks for ever, in a thread until it may go. */
static int linger(const void *source, void *target, void *context)
{
    struct sleeper *sleeper = context;

    (void)source;
    (void)target;
    atomic_store(&sleeper->inside, true);
    if (weir_task_self())
        return weir_sleep(WEIR_FOREVER);
    AWAIT(atomic_load(&sleeper->may_go));
    return 0;
}

CASE(cancelled_inside_of_its_function, ALONE, 1)
{
    for (enum weir_stage_kind kind = 0; kind <= WEIR_STAGE_BLOCKS; kind++) {
        const struct weir_stage_options options = { .kind = kind };
        bool blocks = kind == WEIR_STAGE_BLOCKS;
        struct sleeper sleeper = { 0 };
        struct stand stand;

        set_up(&stand, MAP, scene->capacity);
        CHECK_SAME(weir_map(stand.scope, stand.input, stand.output, linger, &sleeper, &options), 0);
        fill(stand.input, 1);
        AWAIT(atomic_load(&sleeper.inside));
        weir_scope_cancel(stand.scope);
        atomic_store(&sleeper.may_go, true);
        CHECK_SAME(weir_scope_join(stand.scope, end_of_patience()), 0);
        CHECK_SAME(await_end(stand.output), -ECANCELED);
        CHECK_SAME(stand.taken.count, !blocks); /* its function was done with it */
        CHECK_SAME(stand.made.count, blocks);
        take_down(&stand);
    }
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(bad_input_of_one_kind_is_refused),
        cmocka_unit_test(without_memory_nothing_has_changed),
        cmocka_unit_test(without_room_for_all_workers_none_works),
        cmocka_unit_test(a_cancelled_scope_takes_no_stage),
        cmocka_unit_test(cut_short_wherever_it_is_parked),
        cmocka_unit_test(parts_are_dropped),
        cmocka_unit_test(cancelled_inside_of_its_function),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
