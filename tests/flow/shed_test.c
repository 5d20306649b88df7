/* SPDX-License-Identifier: MIT */
/* Sheds, in simulated time: in which order work is taken, what is refused, when and why; and that
 * each accepted work has exactly one fate. */
#include "flow/simulated.h"
#include "sync/fixture.h"

#include <weir/shed.h>

enum { NOTES_MAX = 64, CAPACITY = 8, TICK = 1 << WEIR__TIMER_TICK_BITS };

/* What the callback heard, in order. */
struct notes {
    size_t count;
    uint64_t values[NOTES_MAX];
    enum weir_shed_reason reasons[NOTES_MAX];
    const char *task_name; /* where it ran last */
};

static void note(void *elem, void *context, enum weir_shed_reason reason)
{
    struct notes *notes = context;
    size_t index = notes->count++ % NOTES_MAX;

    memcpy(&notes->values[index], elem, sizeof notes->values[index]);
    notes->reasons[index] = reason;
    notes->task_name = weir_task_name(NULL);
}

static struct weir_shed *make_shed(struct notes *notes)
{
    const struct weir_shed_options options = {
        .refuse = note,
        .context = notes,
        .capacity = CAPACITY,
    };
    struct weir_shed *shed = NULL;

    *notes = (struct notes){ 0 };
    CHECK_SAME(weir_shed_create(&shed, sizeof(uint64_t), &options), 0);
    return shed;
}

static struct weir_shed_stats look_at(struct weir_shed *shed)
{
    struct weir_shed_stats stats;

    CHECK_SAME(weir_shed_read_stats(shed, &stats), 0);
    return stats;
}

static int put(struct weir_shed *shed, uint64_t value)
{
    return weir_shed_put(shed, &value, WEIR_FOREVER);
}

static void put_all(struct weir_shed *shed, uint64_t first, uint64_t last)
{
    for (uint64_t value = first; value <= last; value++)
        CHECK_SAME(put(shed, value), 0);
}

/* Takes the one that must come next. */
static void take(struct weir_shed *shed, uint64_t expected)
{
    uint64_t value = 0;

    CHECK_SAME(weir_shed_take(shed, &value, NULL, WEIR_NOW), 0);
    CHECK_SAME(value, expected);
}

static void take_none(struct weir_shed *shed)
{
    uint64_t value;

    CHECK_SAME(weir_shed_take(shed, &value, NULL, WEIR_NOW), -EAGAIN);
}

/* The last of the notes are of these, in order. */
static void check_notes(const struct notes *notes, size_t count, uint64_t first, uint64_t last,
                        enum weir_shed_reason reason)
{
    CHECK_SAME(notes->count, count);
    for (uint64_t value = first; value <= last; value++) {
        size_t index = count - 1 - (size_t)(last - value);

        CHECK_SAME(notes->values[index], value);
        CHECK_SAME(notes->reasons[index], reason);
    }
}

/* Keeps the queue from ever being empty, until it is overloaded. One work of 4 ms is left in it
 * then, when the next look has refused the older ones. */
static void overload(struct weir_shed *shed)
{
    uint64_t value = 1000;

    while (!look_at(shed).overloaded) {
        if (look_at(shed).count == CAPACITY - 1)
            CHECK_SAME(weir_shed_take(shed, &value, NULL, WEIR_NOW), 0);
        CHECK_SAME(put(shed, value), 0);
        pass_time(4 * MS);
    }
}

/* --- Order --- */

CASE(in_order_while_it_evens_out_a_burst, ALONE, 0)
{
    struct weir_shed_wait wait;
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    int64_t start_ns = weir__clock_now();
    uint64_t value;

    (void)scene;
    put_all(shed, 1, 3);
    pass_time(50 * MS);
    take(shed, 1);
    CHECK_SAME(weir_shed_take(shed, &value, &wait, WEIR_FOREVER), 0);
    CHECK_SAME(value, 2);
    CHECK_SAME(wait.since_ns, start_ns);
    CHECK_SAME(wait.deadline_ns, WEIR_FOREVER);
    take(shed, 3);
    take_none(shed);
    CHECK_SAME(notes.count, 0);
    CHECK_SAME(look_at(shed).accepted_total, 3);
    CHECK_SAME(look_at(shed).taken_total, 3);
    CHECK_SAME(look_at(shed).wait_ns_total, 150 * MS);
    CHECK_SAME(look_at(shed).wait_ns_max, 50 * MS);
    CHECK_SAME(look_at(shed).count_max, 3);
    weir_shed_release(shed);
}

CASE(the_newest_first_under_overload, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    size_t before;

    (void)scene;
    overload(shed);
    put_all(shed, 1, 3);
    before = notes.count;
    take(shed, 3);
    CHECK_SAME(notes.count, before);
    pass_time(2 * MS);
    put_all(shed, 4, 5); /* the one that was left is too old now */
    CHECK_SAME(notes.count, before + 1);
    take(shed, 5);
    pass_time(4 * MS); /* 1 and 2 have waited for 6 ms, 4 for 4 */
    take(shed, 4);
    check_notes(&notes, before + 3, 1, 2, WEIR_SHED_LATE);
    take_none(shed);
    CHECK(!look_at(shed).overloaded);
    put_all(shed, 6, 7); /* it was empty: all is forgotten */
    pass_time(50 * MS);
    take(shed, 6);
    take(shed, 7);
    CHECK_SAME(notes.count, before + 3);
    weir_shed_release(shed);
}

/* --- What is refused --- */

CASE(nobody_waits_for_longer_than_an_interval, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);

    (void)scene;
    put_all(shed, 1, 2);
    pass_time(100 * MS);
    put_all(shed, 3, 3);
    CHECK_SAME(notes.count, 0);
    pass_time(1);
    put_all(shed, 4, 4); /* whoever comes looks through it */
    check_notes(&notes, 2, 1, 2, WEIR_SHED_LATE);
    CHECK(strcmp(notes.task_name, "callbacks") == 0);
    CHECK_SAME(look_at(shed).refused_total[WEIR_SHED_LATE], 2);
    CHECK_SAME(look_at(shed).count, 2);
    weir_shed_release(shed);
    check_notes(&notes, 4, 3, 4, WEIR_SHED_CLOSED);
}

CASE(what_cannot_be_done_in_time_is_not_begun, ALONE, 0)
{
    const struct weir_shed_options base = { .refuse = note, .work_ns = 10 * MS };
    struct weir_shed_options options = base;
    struct weir_shed *shed = NULL;
    struct notes notes = { 0 };
    uint64_t value = 1;

    (void)scene;
    options.context = &notes;
    CHECK_SAME(weir_shed_create(&shed, sizeof value, &options), 0);
    CHECK_SAME(weir_shed_put(shed, &value, weir_in_ms(10)), -ETIME);
    CHECK_SAME(weir_shed_put(shed, &value, INT64_MIN), -ETIME);
    CHECK_SAME(look_at(shed).turned_away_total, 2);
    CHECK_SAME(weir_shed_put(shed, &value, weir_in_ms(31)), 0);
    value = 2;
    CHECK_SAME(weir_shed_put(shed, &value, weir_in_ms(21)), 0);
    value = 3;
    CHECK_SAME(weir_shed_put(shed, &value, weir_in_ms(60)), 0);
    pass_time(20 * MS);
    take(shed, 1);
    CHECK_SAME(notes.count, 0);
    take(shed, 3);
    check_notes(&notes, 1, 2, 2, WEIR_SHED_EXPIRED);
    weir_shed_release(shed);
}

CASE(a_full_one_turns_away, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);

    (void)scene;
    put_all(shed, 1, CAPACITY);
    CHECK_SAME(put(shed, 99), -EBUSY);
    CHECK_SAME(notes.count, 0);
    CHECK_SAME(look_at(shed).turned_away_total, 1);
    CHECK_SAME(look_at(shed).accepted_total, CAPACITY);
    take(shed, 1);
    CHECK_SAME(put(shed, 99), 0);
    weir_shed_release(shed);
    CHECK_SAME(notes.count, CAPACITY);
}

CASE(a_full_one_under_overload_makes_room, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    size_t before;

    (void)scene;
    overload(shed);
    put_all(shed, 1, CAPACITY); /* the last of them in the place of the one that was left */
    before = notes.count;
    CHECK_SAME(look_at(shed).count, CAPACITY);
    put_all(shed, 9, 10);
    check_notes(&notes, before + 2, 1, 2, WEIR_SHED_FULL);
    take(shed, 10);
    take(shed, 9);
    CHECK_SAME(look_at(shed).refused_total[WEIR_SHED_FULL], 3);
    weir_shed_release(shed);
}

/* Of a queue in order as well as of an overloaded one, whatever lies between. */
CASE(an_expired_one_is_found_when_it_is_its_turn, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    uint64_t value = 3;
    size_t before;

    (void)scene;
    overload(shed);
    put_all(shed, 1, 2);
    before = notes.count;
    CHECK_SAME(weir_shed_put(shed, &value, weir_in_ms(1)), 0);
    pass_time(1 * MS);
    take(shed, 2);
    check_notes(&notes, before + 1, 3, 3, WEIR_SHED_EXPIRED);
    weir_shed_release(shed);
}

CASE(room_comes_back_with_what_is_refused, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);

    (void)scene;
    for (size_t round = 1; round <= 3; round++) {
        put_all(shed, 1, CAPACITY);
        pass_time(101 * MS);
        take_none(shed);
        check_notes(&notes, round * CAPACITY, 1, CAPACITY, WEIR_SHED_LATE);
    }
    weir_shed_release(shed);
}

/* A callback that puts what it was told of into another shed, which is what it may do. */
static void pass_on(void *elem, void *context, enum weir_shed_reason reason)
{
    CHECK_SAME(reason, WEIR_SHED_LATE);
    CHECK_SAME(weir_shed_put(context, elem, WEIR_FOREVER), 0);
}

CASE(a_callback_may_put_elsewhere, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *second = make_shed(&notes);
    const struct weir_shed_options options = { .refuse = pass_on, .context = second };
    struct weir_shed *first = NULL;

    (void)scene;
    CHECK_SAME(weir_shed_create(&first, sizeof(uint64_t), &options), 0);
    put_all(first, 1, 2);
    pass_time(101 * MS);
    take_none(first);
    take(second, 1);
    take(second, 2);
    weir_shed_release(first);
    weir_shed_release(second);
}

/* --- Waiting for work --- */

struct taker {
    struct actor actor;
    struct weir_shed *shed;
    int64_t deadline_ns;
    uint64_t value;
    struct weir_shed_wait wait;
    int result;
    bool done;
};

static int take_once(void *arg)
{
    struct taker *taker = arg;

    taker->result = weir_shed_take(taker->shed, &taker->value, &taker->wait, taker->deadline_ns);
    taker->done = true;
    return 0;
}

static void begin_take(struct scene *scene, struct taker *taker, struct weir_shed *shed,
                       int64_t deadline_ns)
{
    *taker = (struct taker){ .shed = shed, .deadline_ns = deadline_ns };
    actor_start(scene, &taker->actor, take_once, taker);
    weir__sched_settle();
    CHECK(!taker->done);
}

static void expect(struct taker *taker, int result, uint64_t value)
{
    weir__sched_settle();
    CHECK(taker->done);
    CHECK_SAME(taker->result, result);
    if (result == 0)
        CHECK_SAME(taker->value, value);
    CHECK_SAME(actor_join(&taker->actor), 0);
}

CASE(takers_are_served_in_order, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    struct taker takers[4];

    for (size_t i = 0; i < 3; i++)
        begin_take(scene, &takers[i], shed, WEIR_FOREVER);
    begin_take(scene, &takers[3], shed, weir_in_ms(5));
    CHECK_SAME(look_at(shed).waiting_takers, 4);
    CHECK_SAME(put(shed, 1), 0);
    expect(&takers[0], 0, 1);
    CHECK_SAME(takers[0].wait.since_ns, weir__clock_now());
    CHECK_SAME(weir_task_cancel(takers[1].actor.task), 0);
    expect(&takers[1], -ECANCELED, 0);
    CHECK_SAME(put(shed, 2), 0);
    expect(&takers[2], 0, 2);
    pass_time(5 * MS + TICK);
    expect(&takers[3], -ETIME, 0);
    CHECK_SAME(look_at(shed).waiting_takers, 0);
    CHECK_SAME(put(shed, 3), 0);
    take(shed, 3);
    CHECK_SAME(look_at(shed).taken_total, 3);
    weir_shed_release(shed);
}

/* --- The end --- */

CASE(a_closed_one_is_emptied, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    struct taker taker;
    uint64_t value;

    put_all(shed, 1, 2);
    CHECK_SAME(weir_shed_close(shed), 0);
    CHECK_SAME(put(shed, 3), -EPIPE);
    take(shed, 1);
    take(shed, 2);
    CHECK_SAME(weir_shed_take(shed, &value, NULL, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_shed_close(shed), WEIR_ALREADY);
    CHECK_SAME(notes.count, 0);
    weir_shed_release(shed);
    shed = make_shed(&notes);
    begin_take(scene, &taker, shed, WEIR_FOREVER);
    CHECK_SAME(weir_shed_close(shed), 0);
    expect(&taker, -EPIPE, 0);
    weir_shed_release(shed);
}

CASE(an_aborted_one_refuses_all, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    struct taker taker;
    uint64_t value;

    begin_take(scene, &taker, shed, WEIR_FOREVER);
    CHECK_SAME(put(shed, 1), 0);
    expect(&taker, 0, 1);
    put_all(shed, 2, 4);
    CHECK_SAME(weir_shed_abort(shed), 0);
    check_notes(&notes, 3, 2, 4, WEIR_SHED_CLOSED);
    CHECK_SAME(weir_shed_take(shed, &value, NULL, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_shed_abort(shed), WEIR_ALREADY);
    CHECK_SAME(look_at(shed).refused_total[WEIR_SHED_CLOSED], 3);
    CHECK_SAME(look_at(shed).count, 0);
    weir_shed_release(shed);
}

static int create_with(size_t elem_bytes, struct weir_shed_options options)
{
    struct weir_shed *shed = NULL;
    int error = weir_shed_create(&shed, elem_bytes, &options);

    weir_shed_release(shed);
    return error;
}

CASE(options_are_checked, ALONE, 0)
{
    struct notes notes;
    struct weir_shed *shed = make_shed(&notes);
    uint64_t value = 0;

    (void)scene;
    CHECK_SAME(create_with(8, (struct weir_shed_options){ 0 }), -EINVAL);
    CHECK_SAME(create_with(0, (struct weir_shed_options){ .refuse = note }), -EINVAL);
    CHECK_SAME(create_with(8, (struct weir_shed_options){ .refuse = note, .work_ns = -1 }),
               -EINVAL);
    CHECK_SAME(
        create_with(8,
                    (struct weir_shed_options){ .refuse = note, .target_ns = 2, .interval_ns = 1 }),
        -EINVAL);
    CHECK_SAME(create_with(8, (struct weir_shed_options){ .refuse = note, .reserved = { 1 } }),
               -EINVAL);
    CHECK_SAME(create_with(SIZE_MAX, (struct weir_shed_options){ .refuse = note }), -EOVERFLOW);
    CHECK_SAME(create_with(8, (struct weir_shed_options){ .refuse = note, .capacity = SIZE_MAX }),
               -EOVERFLOW);
    CHECK_SAME(create_with(8,
                           (struct weir_shed_options){
                               .refuse = note, .name = "a name of more than thirty-one letters" }),
               -E2BIG);
    CHECK_SAME(weir_shed_create(NULL, 8, &(struct weir_shed_options){ .refuse = note }), -EINVAL);
    CHECK_SAME(weir_shed_create(&shed, 8, NULL), -EINVAL);
    CHECK_SAME(weir_shed_put(NULL, &value, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_shed_put(shed, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_shed_take(shed, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_shed_close(NULL), -EINVAL);
    CHECK_SAME(weir_shed_abort(NULL), -EINVAL);
    CHECK_SAME(weir_shed_read_stats(shed, NULL), -EINVAL);
    CHECK(weir_shed_retain(shed) == shed);
    weir_shed_release(shed);
    weir_shed_release(shed);
    weir_shed_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(in_order_while_it_evens_out_a_burst, start_clock),
        cmocka_unit_test_setup(the_newest_first_under_overload, start_clock),
        cmocka_unit_test_setup(nobody_waits_for_longer_than_an_interval, start_clock),
        cmocka_unit_test_setup(what_cannot_be_done_in_time_is_not_begun, start_clock),
        cmocka_unit_test_setup(a_full_one_turns_away, start_clock),
        cmocka_unit_test_setup(a_full_one_under_overload_makes_room, start_clock),
        cmocka_unit_test_setup(an_expired_one_is_found_when_it_is_its_turn, start_clock),
        cmocka_unit_test_setup(room_comes_back_with_what_is_refused, start_clock),
        cmocka_unit_test_setup(a_callback_may_put_elsewhere, start_clock),
        cmocka_unit_test_setup(takers_are_served_in_order, start_clock),
        cmocka_unit_test_setup(a_closed_one_is_emptied, start_clock),
        cmocka_unit_test_setup(an_aborted_one_refuses_all, start_clock),
        cmocka_unit_test_setup(options_are_checked, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
