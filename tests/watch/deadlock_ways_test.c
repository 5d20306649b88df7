/* SPDX-License-Identifier: MIT */
/* Ways in which a task could be woken that deadlock_test.c does not take: the reply of a call, and
 * a job that no task waits for. */
#include "watch/watched.h"

/* --- A handler that wants what its caller holds. ---------------------------------------------- */

struct shop {
    struct weir_chan *port;
    struct weir_mutex *table;
};

static int lock_table(const void *request, void *response, void *context)
{
    struct shop *shop = context;
    int error = weir_mutex_lock(shop->table, WEIR_FOREVER);

    (void)request;
    (void)response;
    return error < 0 ? error : weir_mutex_unlock(shop->table);
}

static int call_with_lock(void *arg)
{
    struct shop *shop = arg;

    CHECK_SAME(weir_mutex_lock(shop->table, WEIR_FOREVER), 0);
    CHECK_SAME(weir_call(shop->port, NULL, NULL, NULL, WEIR_FOREVER), -ECANCELED);
    return weir_mutex_unlock(shop->table);
}

static int call_without_lock(void *arg)
{
    struct shop *shop = arg;

    return weir_call(shop->port, NULL, NULL, NULL, WEIR_FOREVER);
}

static void open_shop(struct shop *shop, struct weir_scope *servers)
{
    CHECK_SAME(weir_mutex_create(&shop->table, "table"), 0);
    CHECK_SAME(weir_port_create(&shop->port, "shop", 0, 0), 0);
    CHECK_SAME(weir_serve(servers, shop->port, lock_table, shop, NULL), 0);
}

static void close_shop(struct shop *shop, struct weir_scope *servers)
{
    weir_chan_close(shop->port, 0);
    CHECK_SAME(weir_scope_join(servers, WEIR_FOREVER), 0);
    weir_chan_release(shop->port);
    CHECK_SAME(weir_mutex_destroy(shop->table), 0);
}

static int handler_wants_lock(void *arg)
{
    struct weir_scope *servers = make_scope("servers"), *callers = make_scope("callers");
    struct shop shop;

    (void)arg;
    open_shop(&shop, servers);
    weir_task_release(spawn_at(callers, 1, "buyer", call_with_lock, &shop));
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK(watched.last.is_certain);
    CHECK_SAME(watched.last.task_count, 2);
    CHECK_TOLD(&watched.told, "\"buyer\" of scope \"callers\", loop 1", "; waits for \"serve\"");
    CHECK_TOLD(&watched.told, "\"serve\" of scope ",
               "in lock, mutex \"table\" held by task \"buyer\"; waits for \"buyer\"");
    weir_scope_cancel(callers);
    CHECK_SAME(weir_scope_join(callers, WEIR_FOREVER), 0);
    close_shop(&shop, servers);
    return 0;
}

/* The root holds it, and moves. */
static int handler_waits_for_lock(void *arg)
{
    struct weir_scope *servers = make_scope("servers"), *callers = make_scope("callers");
    struct shop shop;

    (void)arg;
    open_shop(&shop, servers);
    CHECK_SAME(weir_mutex_lock(shop.table, WEIR_FOREVER), 0);
    weir_task_release(spawn_at(callers, 1, "buyer", call_without_lock, &shop));
    await_looks(LOOKS);
    CHECK_SAME(weir_mutex_unlock(shop.table), 0);
    CHECK_SAME(weir_scope_join(callers, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    close_shop(&shop, servers);
    return 0;
}

static void a_reply_is_up_to_who_handles_the_call(void **state)
{
    (void)state;
    play(handler_wants_lock, NULL);
    play(handler_waits_for_lock, NULL);
}

/* --- A job that was left running. ------------------------------------------------------------- */

/* Keeps looks coming, and sends after some. */
static int send_after_looks(void *arg)
{
    struct weir__watch *watch = weir__watch_use(0);
    uint64_t value = 1;

    atomic_store(&watch->dog->is_restless, true);
    while (weir__counter_get(&watch->dog->counters, WEIR_WATCHDOG_LOOKS) < LOOKS)
        usleep(200);
    weir__watch_leave(watch);
    return weir_chan_send(arg, &value, WEIR_FOREVER);
}

/* All that is left of the runtime is the root, and the job. */
static int wait_for_job(void *arg)
{
    struct weir_chan *chan = make_chan(0, NULL);
    bool is_left = false;
    struct weir_job_options options = { .abandonable = true, .abandoned = &is_left };
    uint64_t value;

    (void)arg;
    while (!is_left)
        CHECK_SAME(weir_pool_run_on(NULL, send_after_looks, chan, &options, weir_in_ms(5)), -ETIME);
    CHECK_SAME(weir_chan_recv(chan, &value, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_chan_release(chan);
    return 0;
}

static void a_job_that_no_task_waits_for_may_help(void **state)
{
    (void)state;
    play(wait_for_job, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_up_to_who_handles_the_call),
        cmocka_unit_test(a_job_that_no_task_waits_for_may_help),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
