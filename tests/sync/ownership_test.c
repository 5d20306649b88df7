/* SPDX-License-Identifier: MIT */
/* Who owns an element: the drop callback, and what leaks. Section P of the conformance cases. */
#include "sync/fixture.h"

#include "base/memory.h"

#include <fcntl.h>

#define REASONS (WEIR_DROP_DISCARD + 1)

/* How often each reason was given. */
struct tally {
    atomic_ulong by_reason[REASONS];
};

static void count_reason(void *elem, void *context, enum weir_drop_reason reason)
{
    struct tally *tally = context;

    (void)elem;
    if (CHECK(reason < REASONS))
        atomic_fetch_add(&tally->by_reason[reason], 1);
}

static uint64_t total(const struct tally *tally)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < REASONS; i++)
        sum += atomic_load(&tally->by_reason[i]);
    return sum;
}

static struct weir_chan *make_tallied(size_t capacity, enum weir_chan_policy policy,
                                      struct tally *tally)
{
    struct weir_chan_options options = {
        .policy = policy,
        .drop = count_reason,
        .context = tally,
    };

    return make_chan(capacity, &options);
}

/* --- Live elements --- */

enum { TRADERS = 8 };

struct live {
    struct weir_chan *chans[2];
    atomic_long count;
    atomic_ulong made;
    uint64_t limit;
};

static struct live live;

static void *make_live(void)
{
    atomic_fetch_add(&live.count, 1);
    return malloc(1);
}

static void free_live(void *elem)
{
    atomic_fetch_sub(&live.count, 1);
    free(elem);
}

static void drop_live(void *elem, void *context, enum weir_drop_reason reason)
{
    void *block;

    (void)context;
    (void)reason;
    memcpy(&block, elem, sizeof block);
    free_live(block);
}

/* Never for ever: all might wait on the channel where nobody comes. */
static int64_t random_deadline(uint64_t *random)
{
    uint64_t chance = roll(random) % 4;

    return chance == 0 ? WEIR_NOW : weir_in_us(chance == 1 ? 1 : 30);
}

static int send_live(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    int result = 0;

    while (result != -EPIPE && atomic_fetch_add(&live.made, 1) < live.limit) {
        void *blocks[2] = { make_live(), make_live() };
        struct weir_clause clauses[] = {
            weir_clause_send(live.chans[0], &blocks[0]),
            weir_clause_send(live.chans[1], &blocks[1]),
        };
        int won = (int)(roll(&random) % 2);

        if (roll(&random) % 2) {
            result = weir_chan_send(live.chans[won], &blocks[won], random_deadline(&random));
        } else {
            result = weir_select(clauses, 2, 0, WEIR_FOREVER); /* on both: somebody comes */
            won = result >= 0 ? result : 0;
            result = result >= 0 ? clauses[won].result : result;
        }
        if (result < 0)
            free_live(blocks[won]);
        free_live(blocks[1 - won]); /* the loser's is always the caller's */
    }
    return 0;
}

static int recv_live(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    int result = 0;

    while (result != -EPIPE) {
        void *block = NULL;

        if (roll(&random) % 4 == 0) {
            result = weir_chan_recv(live.chans[roll(&random) % 2], NULL, random_deadline(&random));
            continue;
        }
        result = weir_chan_recv(live.chans[roll(&random) % 2], &block, random_deadline(&random));
        if (result == 0)
            free_live(block);
    }
    return 0;
}

static void trade_live(struct scene *scene, enum weir_chan_policy policy)
{
    struct weir_chan_options options = { .policy = policy, .drop = drop_live };
    struct actor actors[TRADERS];

    live = (struct live){ .limit = (uint64_t)test_rounds(4000, 400000, 4000000) };
    for (size_t i = 0; i < 2; i++)
        CHECK_SAME(weir_chan_create(&live.chans[i], sizeof(void *), scene->capacity, &options), 0);
    for (size_t i = 0; i < TRADERS; i++)
        actor_start_in_crowd(scene, &actors[i], i / 2, i % 2 ? recv_live : send_live,
                             (void *)(uintptr_t)(i + 1));
    AWAIT(atomic_load(&live.made) >= live.limit);
    CHECK_SAME(weir_chan_abort(live.chans[0], 0), 0);
    CHECK_SAME(weir_chan_abort(live.chans[1], 0), 0);
    for (size_t i = 0; i < TRADERS; i++)
        actor_join(&actors[i]);
    for (size_t i = 0; i < 2; i++)
        CHECK_SAME(weir_chan_release(live.chans[i]), 0);
    CHECK_SAME(live.count, 0);
}

CASE(case_277_no_element_stays_alive, EVERYWHERE, 0, 1, 7)
{
    trade_live(scene, WEIR_CHAN_PARK);
    if (scene->capacity) {
        trade_live(scene, WEIR_CHAN_DROP_NEWEST);
        trade_live(scene, WEIR_CHAN_DROP_OLDEST);
    }
}

/* --- Reasons --- */

CASE(case_278_reasons_match_the_stats, EVERYWHERE, 1, 2, 7, 64)
{
    for (int policy = WEIR_CHAN_PARK; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct tally tally = { 0 };
        struct weir_chan *chan =
            make_tallied(scene->capacity, (enum weir_chan_policy)policy, &tally);
        size_t overflow = policy == WEIR_CHAN_PARK ? 0 : 5, discards = scene->capacity > 1 ? 1 : 0;
        struct weir_chan_stats stats;
        uint64_t value;

        for (value = 0; value < scene->capacity + overflow; value++)
            CHECK_SAME(try_send(chan, value), value >= scene->capacity ? WEIR_DROPPED : 0);
        for (size_t i = 0; i < discards; i++)
            CHECK_SAME(weir_chan_recv(chan, NULL, WEIR_NOW), 0);
        CHECK_SAME(tally.by_reason[WEIR_DROP_NEWEST],
                   policy == WEIR_CHAN_DROP_NEWEST ? overflow : 0);
        CHECK_SAME(tally.by_reason[WEIR_DROP_OLDEST],
                   policy == WEIR_CHAN_DROP_OLDEST ? overflow : 0);
        CHECK_SAME(tally.by_reason[WEIR_DROP_DISCARD], discards);
        stats = look(chan);
        CHECK_SAME(stats.dropped_total, total(&tally));
        CHECK_SAME(stats.sent_total, stats.received_total + stats.dropped_total + stats.count);
        if (policy == WEIR_CHAN_PARK) {
            CHECK_SAME(weir_chan_release(chan), 0);
            CHECK_SAME(tally.by_reason[WEIR_DROP_DESTROY], stats.count);
            continue;
        }
        CHECK_SAME(weir_chan_abort(chan, 0), 0);
        CHECK_SAME(tally.by_reason[WEIR_DROP_ABORT], stats.count);
        CHECK_SAME(look(chan).dropped_total, total(&tally));
        CHECK_SAME(weir_chan_release(chan), 0);
        CHECK_SAME(tally.by_reason[WEIR_DROP_DESTROY], 0);
    }
}

CASE(case_280_failed_puts_are_not_dropped, ON_TASKS, ANY_CAPACITY)
{
    struct tally tally = { 0 };
    struct weir_chan *chan = make_tallied(scene->capacity, WEIR_CHAN_PARK, &tally);
    struct weir_chan *ready = make_chan(1, NULL);
    uint64_t value = 9;
    struct weir_clause clauses[] = {
        weir_clause_send(chan, &value),
        weir_clause_recv(ready, &value),
    };
    struct op cancelled, aborted;

    fill(chan, scene->capacity);
    fill(ready, 1);
    CHECK_SAME(try_send(chan, 1), -EAGAIN);
    CHECK_SAME(weir_chan_send(chan, &value, weir_in_us(50)), -ETIME);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
    CHECK_SAME(weir_select(clauses, 2, 0, weir_in_us(50)), -ETIME);
    begin_send(scene, &cancelled, chan, 2);
    CHECK_SAME(weir_task_cancel(cancelled.actor.task), 0);
    CHECK_SAME(end_op(&cancelled), -ECANCELED);
    begin_send(scene, &aborted, chan, 3);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(try_send(chan, 4), -EPIPE);
    CHECK_SAME(total(&tally), 0);
    CHECK_SAME(weir_chan_abort(chan, 0), 0);
    CHECK_SAME(end_op(&aborted), -EPIPE);
    CHECK_SAME(total(&tally), scene->capacity); /* the buffer's, and no other */
    weir_chan_release(chan);
    weir_chan_release(ready);
    CHECK_SAME(total(&tally), scene->capacity);
}

CASE(case_281_overflow_drops_at_every_capacity, EVERYWHERE, 1, 2, 7, 64)
{
    for (int policy = WEIR_CHAN_DROP_NEWEST; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct tally tally = { 0 };
        struct weir_chan *chan =
            make_tallied(scene->capacity, (enum weir_chan_policy)policy, &tally);
        struct op put = { .chan = chan, .value = 1, .deadline_ns = WEIR_FOREVER };

        fill(chan, scene->capacity);
        CHECK_SAME(total(&tally), 0);
        actor_start(scene, &put.actor, op_send, &put);
        CHECK_SAME(end_op(&put), WEIR_DROPPED);
        CHECK_SAME(total(&tally), 1);
        weir_chan_release(chan);
        CHECK_SAME(total(&tally), 1 + scene->capacity);
    }
}

/* --- Descriptors --- */

static void close_dropped(void *elem, void *context, enum weir_drop_reason reason)
{
    int fd;

    (void)context;
    (void)reason;
    memcpy(&fd, elem, sizeof fd);
    CHECK_SAME(close(fd), 0);
}

static int recv_one_fd(void *arg)
{
    int fd = -1;
    int result = weir_chan_recv(arg, &fd, WEIR_FOREVER);

    if (result == 0)
        CHECK_SAME(close(fd), 0);
    return 0;
}

static int send_one_fd(void *arg)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
    int result = weir_chan_send(arg, &fd, WEIR_FOREVER);

    if (result < 0)
        CHECK_SAME(close(fd), 0);
    return 0;
}

static int open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

CASE(case_283_no_descriptor_is_lost, ON_TASKS, 0, 1, 7)
{
    struct weir_chan_options options = { .drop = close_dropped };
    int fds = open_fds();
    uint64_t random = 3;

    for (long round = test_rounds(300, 30000, 300000); round > 0; round--) {
        struct actor actors[4];
        struct weir_chan *chan;

        CHECK_SAME(weir_chan_create(&chan, sizeof(int), scene->capacity, &options), 0);
        for (size_t i = 0; i < 4; i++)
            actor_start_in_crowd(scene, &actors[i], i / 2, i % 2 ? recv_one_fd : send_one_fd, chan);
        for (uint64_t yields = roll(&random) % 8; yields > 0; yields--)
            CHECK_SAME(weir_yield(), 0);
        CHECK(weir_task_cancel(actors[roll(&random) % 4].task) >= 0);
        CHECK_SAME(round % 2 ? weir_chan_close(chan, 0) : weir_chan_abort(chan, 0), 0);
        while (weir_chan_recv(chan, NULL, WEIR_FOREVER) == 0)
            ;
        for (size_t i = 0; i < 4; i++)
            actor_join(&actors[i]);
        weir_chan_release(chan);
    }
    CHECK_SAME(open_fds(), fds);
}

/* --- Memory --- */

CASE(case_284_channels_come_and_go, EVERYWHERE, ANY_CAPACITY)
{
    long rounds = test_rounds(20000, 1000000, 1000000);
    size_t rss = 0;

    for (long round = 0; round < rounds; round++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);

        if (round % 4 == 0)
            fill(chan, scene->capacity);
        if (round % 2)
            CHECK_SAME(weir_chan_close(chan, 0), 0);
        CHECK_SAME(weir_chan_release(chan), 0);
        if (round == rounds / 4)
            rss = rss_bytes();
    }
    if (!TEST_SANITIZED) /* those keep what was freed */
        CHECK(rss_bytes() < rss + 4000000);
}

/* Each call that allocates, with its first allocation failing: an error, and no effect. */
CASE(case_284_failing_allocations_are_errors, ALONE, 1)
{
    enum { LARGE = 1000, MANY = 65 };
    struct tally tally = { 0 };
    struct weir_chan_options options = {
        .policy = WEIR_CHAN_DROP_OLDEST,
        .drop = count_reason,
        .context = &tally,
    };
    static unsigned char elem[LARGE];
    static struct weir_clause clauses[MANY + 1];
    struct weir_chan *chan = NULL, *never = make_chan(0, NULL);

    weir__memory_fail_after(1);
    CHECK_SAME(weir_chan_create(&chan, LARGE, scene->capacity, &options), -ENOMEM);
    CHECK(chan == NULL);
    CHECK_SAME(weir_chan_create(&chan, LARGE, scene->capacity, &options), 0);
    CHECK_SAME(weir_chan_send(chan, elem, WEIR_NOW), 0);
    clauses[0] = weir_clause_send(chan, elem);
    for (size_t i = 1; i <= MANY; i++)
        clauses[i] = weir_clause_recv(never, elem);

    weir__memory_fail_after(1);
    CHECK_SAME(weir_chan_send(chan, elem, WEIR_NOW), -ENOBUFS);
    weir__memory_fail_after(1);
    CHECK_SAME(weir_chan_recv(chan, NULL, WEIR_NOW), -ENOBUFS);
    weir__memory_fail_after(1);
    CHECK_SAME(weir_select(clauses, 1, 0, WEIR_NOW), -ENOBUFS);
    weir__memory_fail_after(1);
    CHECK_SAME(weir_select(clauses + 1, MANY, 0, WEIR_NOW), -ENOBUFS);
    weir__memory_fail_after(-1);
    CHECK_SAME(look(chan).count, 1);
    CHECK_SAME(look(chan).sent_total, 1);
    CHECK_SAME(total(&tally), 0);
    CHECK_SAME(count_waiters(never), 0);
    CHECK_SAME(weir_select(clauses, MANY, WEIR_SELECT_PRIORITY, WEIR_NOW), 0);
    CHECK_SAME(total(&tally), 1);
    weir_chan_release(chan);
    weir_chan_release(never);
}

/* --- Where the callback runs --- */

static void note_where(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)reason;
    snprintf(context, WEIR_NAME_BYTES, "%s", weir_task_name(NULL));
}

CASE(drop_runs_in_the_callback_task, EVERYWHERE, 1)
{
    char where[WEIR_NAME_BYTES] = "";
    struct weir_chan_options options = {
        .policy = WEIR_CHAN_DROP_OLDEST,
        .drop = note_where,
        .context = where,
    };
    struct op put = { .chan = make_chan(scene->capacity, &options), .deadline_ns = WEIR_FOREVER };

    fill(put.chan, 1);
    actor_start(scene, &put.actor, op_send, &put);
    CHECK_SAME(end_op(&put), WEIR_DROPPED);
    CHECK_SAME(strcmp(where, scene->setting == WITH_THREAD ? "no task" : "callbacks"), 0);
    weir_chan_release(put.chan);
}

/* Uses the very channel that dropped. */
static void use_the_channel(void *elem, void *context, enum weir_drop_reason reason)
{
    struct weir_chan *chan = *(struct weir_chan **)context;
    uint64_t value = 0;

    (void)elem;
    if (reason != WEIR_DROP_OLDEST)
        return;
    CHECK_SAME(weir_chan_recv(chan, &value, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_send(chan, &value, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(weir_chan_release(weir_chan_retain(chan)), 0);
}

CASE(drop_may_use_the_channel, EVERYWHERE, 1, 2)
{
    struct weir_chan *chan = NULL;
    struct weir_chan_options options = {
        .policy = WEIR_CHAN_DROP_OLDEST,
        .drop = use_the_channel,
        .context = &chan,
    };
    struct op put = { .value = 5, .deadline_ns = WEIR_FOREVER };

    chan = make_chan(scene->capacity, &options);
    put.chan = chan;
    fill(chan, scene->capacity);
    actor_start(scene, &put.actor, op_send, &put);
    CHECK_SAME(end_op(&put), WEIR_DROPPED);
    CHECK(look(chan).closed);
    CHECK_SAME(look(chan).count, scene->capacity);
    weir_chan_release(chan);
}

/* The last touch of a call is its effect: whoever receives the only value may free the channel. */
static int op_send_by_select(void *arg)
{
    struct op *op = arg;
    struct weir_clause clause = weir_clause_send(op->chan, &op->value);

    CHECK_SAME(weir_select(&clause, 1, 0, op->deadline_ns), 0);
    op->result = clause.result;
    return op->result;
}

static void release_at_once(struct scene *scene, enum weir_chan_policy policy, long rounds)
{
    for (long round = 0; round < rounds; round++) {
        struct op put = { .chan = make_policy_chan(scene->capacity, policy),
                          .deadline_ns = WEIR_FOREVER };
        uint64_t value;

        actor_start(scene, &put.actor, round % 2 ? op_send_by_select : op_send, &put);
        CHECK_SAME(weir_chan_recv(put.chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_release(put.chan), 0);
        CHECK_SAME(end_op(&put), 0);
    }
}

CASE(receiver_may_release_at_once, EVERYWHERE, 0, 1)
{
    long rounds = test_rounds(1000, 100000, 100000);

    release_at_once(scene, WEIR_CHAN_PARK, rounds);
    for (int policy = WEIR_CHAN_DROP_NEWEST; scene->capacity && policy <= WEIR_CHAN_PROMISE;
         policy++)
        release_at_once(scene, (enum weir_chan_policy)policy, rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_277_no_element_stays_alive),
        cmocka_unit_test(case_278_reasons_match_the_stats),
        cmocka_unit_test(case_280_failed_puts_are_not_dropped),
        cmocka_unit_test(case_281_overflow_drops_at_every_capacity),
        cmocka_unit_test(case_283_no_descriptor_is_lost),
        cmocka_unit_test(case_284_channels_come_and_go),
        cmocka_unit_test(case_284_failing_allocations_are_errors),
        cmocka_unit_test(drop_runs_in_the_callback_task),
        cmocka_unit_test(drop_may_use_the_channel),
        cmocka_unit_test(receiver_may_release_at_once),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
