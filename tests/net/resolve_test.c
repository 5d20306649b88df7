/* SPDX-License-Identifier: MIT */
/* Resolving: what needs nobody, what is kept, equal questions, callers that leave, bounds, and a
 * runtime that ends while a question is asked. */
#include "base/memory.h"
#include "net/names.h"

struct ask {
    const char *name;
    const char *service;
    struct weir_resolve_hints hints;
    struct weir_resolved found[WEIR_RESOLVE_MAX];
};

static int64_t resolve_call(void *arg, int64_t deadline_ns)
{
    struct ask *ask = arg;

    return weir_resolve(ask->name, ask->service, &ask->hints, ask->found, WEIR_RESOLVE_MAX,
                        deadline_ns);
}

/* One question, by name alone. */
static int resolve(const char *name, int64_t deadline_ns)
{
    struct ask ask = { .name = name };

    return (int)resolve_call(&ask, deadline_ns);
}

static struct weir_resolve_stats stats_now(void)
{
    struct weir_resolve_stats stats;

    CHECK_EQUAL(weir_resolve_read_stats(&stats), 0);
    return stats;
}

static const char *text_of(const struct weir_resolved *address)
{
    static char text[80];
    char host[INET6_ADDRSTRLEN];

    if (address->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
    else
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
    snprintf(text, sizeof text, "%s %u", host, ntohs(address->v4.sin_port));
    return text;
}

static int numeric_body(void *arg)
{
    static const struct {
        const char *name, *service;
        int family, result;
        const char *first;
    } rows[] = {
        { "127.0.0.1", "80", 0, 1, "127.0.0.1 80" },
        { "127.0.0.1", NULL, 0, 1, "127.0.0.1 0" },
        { "::1", "65535", 0, 1, "::1 65535" },
        { "fe80::1%1", "1", 0, 1, "fe80::1 1" },
        { "fe80::1%lo", "1", 0, 1, "fe80::1 1" },
        { "fe80::1%nowhere", "1", 0, -ENODEV, NULL },
        { "127.0.0.1", "80", AF_INET6, -ENOENT, NULL },
        { "::1", "80", AF_INET, -ENOENT, NULL },
        { "localhost", "80", 0, 2, "::1 80" },
        { "LocalHost.", "80", AF_INET, 1, "127.0.0.1 80" },
        { "127.0.0.1", "65536", 0, -EINVAL, NULL },
        { "", "80", 0, -EINVAL, NULL },
        { "name", "", 0, -EINVAL, NULL },
        { "name", "a-service-that-has-more-than-31-bytes", 0, -ENAMETOOLONG, NULL },
        { "name", "80", AF_UNIX, -EINVAL, NULL },
    };
    struct ask ask;
    char long_name[300];

    (void)arg;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask = (struct ask){ .name = rows[i].name, .service = rows[i].service };
        ask.hints.family = rows[i].family;
        if (!CHECK_EQUAL(resolve_call(&ask, WEIR_NOW), rows[i].result))
            print_error("%s\n", rows[i].name);
        if (rows[i].first && !CHECK(strcmp(text_of(&ask.found[0]), rows[i].first) == 0))
            print_error("%s: %s\n", rows[i].name, text_of(&ask.found[0]));
    }
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    CHECK_EQUAL(resolve(long_name, WEIR_FOREVER), -ENAMETOOLONG);
    CHECK_EQUAL(weir_resolve(NULL, NULL, NULL, ask.found, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_resolve("::1", NULL, NULL, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_resolve("::1", NULL, NULL, ask.found, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_resolve("localhost", NULL, NULL, ask.found, 1, WEIR_FOREVER), 1);
    ask = (struct ask){ .name = "::1", .hints.type = SOCK_RAW };
    CHECK_EQUAL(resolve_call(&ask, WEIR_FOREVER), -EINVAL);
    ask = (struct ask){ .name = "::1", .hints.size = 1 };
    CHECK_EQUAL(resolve_call(&ask, WEIR_FOREVER), -EINVAL);
    ask = (struct ask){ .name = "::1", .hints.reserved[1] = 1 };
    CHECK_EQUAL(resolve_call(&ask, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(atomic_load(&names.asked), 0);
    CHECK_EQUAL(stats_now().pool.threads, 0); /* nobody was needed */
    return 0;
}

static void test_numeric(void **state)
{
    struct weir_resolved found;

    (void)state;
    assert_int_equal(test_run(numeric_body, NULL, &one_loop), 0);
    assert_int_equal(weir_resolve("::1", NULL, NULL, &found, 1, WEIR_FOREVER), -ENXIO);
}

/* Asks, and says how many questions that made. */
static int questions(const char *name, const char *service, bool fresh, int wanted)
{
    struct ask ask = { .name = name, .service = service, .hints.fresh = fresh };
    long before = atomic_load(&names.asked);

    CHECK_EQUAL(resolve_call(&ask, WEIR_FOREVER), wanted);
    if (wanted > 0 && service && *service >= '0' && *service <= '9')
        CHECK_EQUAL(ntohs(ask.found[0].v4.sin_port), atoi(service));
    return (int)(atomic_load(&names.asked) - before);
}

static int cache_body(void *arg)
{
    struct ask ask = { .name = "huge-one" };

    (void)arg;
    CHECK_EQUAL(questions("one", "80", false, 2), 1);
    CHECK_EQUAL(questions("ONE", "80", false, 2), 0);
    CHECK_EQUAL(questions("one", "81", false, 2), 0); /* a port is no question */
    CHECK_EQUAL(questions("one", "81", true, 2), 1);
    CHECK_EQUAL(questions("one", "81", false, 2), 0);
    CHECK_EQUAL(resolve("one", WEIR_NOW), 2);
    CHECK_EQUAL(questions("one", "echo", false, 2), 1);
    CHECK_EQUAL(questions("one", "echo", false, 2), 0);
    CHECK_EQUAL(questions("127.0.0.1", "echo", false, 2), 1);
    CHECK_EQUAL(questions("one", "nonsense", false, -ESRCH), 1);
    CHECK_EQUAL(questions("missing-one", "80", false, -ENOENT), 1);
    CHECK_EQUAL(questions("missing-one", "80", false, -ENOENT), 0);
    CHECK_EQUAL(questions("again-one", "80", false, -EREMOTEIO), 1);
    CHECK_EQUAL(questions("again-one", "80", false, -EREMOTEIO), 1); /* it may answer now */
    CHECK_EQUAL(questions("fail-one", "80", false, -EPROTO), 1);
    CHECK_EQUAL(questions("system-one", "80", false, -EIO), 1);
    CHECK_EQUAL(resolve_call(&ask, WEIR_FOREVER), WEIR_RESOLVE_MAX);
    CHECK_EQUAL(stats_now().answers_now, 5);
    CHECK_EQUAL(weir_resolve_forget(), 5);
    CHECK_EQUAL(stats_now().answers_now, 0);
    CHECK_EQUAL(questions("one", "80", false, 2), 1);
    return 0;
}

static void test_cache(void **state)
{
    (void)state;
    assert_int_equal(test_run(cache_body, NULL, &one_loop), 0);
}

/* The one of use longest ago makes room; what has expired is asked again. */
static int narrow_body(void *arg)
{
    (void)arg;
    CHECK_EQUAL(questions("a", NULL, false, 2), 1);
    CHECK_EQUAL(questions("b", NULL, false, 2), 1);
    CHECK_EQUAL(questions("a", NULL, false, 2), 0);
    CHECK_EQUAL(questions("c", NULL, false, 2), 1); /* b leaves */
    CHECK_EQUAL(questions("a", NULL, false, 2), 0);
    CHECK_EQUAL(questions("b", NULL, false, 2), 1);
    CHECK_EQUAL(stats_now().answers_now, 2);
    CHECK_EQUAL(stats_now().answers_now_max, 2);
    CHECK_EQUAL(stats_now().evicted, 2);
    CHECK_EQUAL(questions("missing-", NULL, false, -ENOENT), 1);
    weir_sleep(weir_in_ms(3));
    CHECK_EQUAL(questions("missing-", NULL, false, -ENOENT), 1);
    return 0;
}

static int no_cache_body(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(questions("a", NULL, false, 2), 1);
        CHECK_EQUAL(questions("missing-", NULL, false, -ENOENT), 1);
    }
    CHECK_EQUAL(stats_now().answers_now, 0);
    return 0;
}

static void test_bounds_of_the_cache(void **state)
{
    struct weir_options options = {
        .loop_count = 1,
        .resolve_answers = 2,
        .resolve_negative_ttl_ns = 2000000,
    };

    (void)state;
    assert_int_equal(test_run(narrow_body, NULL, &options), 0);
    options.resolve_ttl_ns = options.resolve_negative_ttl_ns = -1;
    assert_int_equal(test_run(no_cache_body, NULL, &options), 0);
}

/* Equal questions, from two loops, are asked once. */
static int single_flight_body(void *arg)
{
    struct ask asks[16];
    struct call calls[16];

    (void)arg;
    for (int i = 0; i < 16; i++) {
        asks[i] = (struct ask){ .name = "slow-one" };
        calls[i] = call_of(resolve_call, &asks[i]);
        calls[i].loop_index = (unsigned)i % 2;
        call_start(&calls[i]);
    }
    while (stats_now().joined < 15)
        CHECK_EQUAL(weir_yield(), 0);
    open_gate(1);
    for (int i = 0; i < 16; i++)
        CHECK_EQUAL(call_finish(&calls[i]), 2);
    CHECK_EQUAL(atomic_load(&names.asked), 1);
    CHECK_EQUAL(stats_now().asked, 1);
    CHECK_EQUAL(resolve("slow-one", WEIR_NOW), 2);
    return 0;
}

static void test_equal_questions(void **state)
{
    (void)state;
    assert_int_equal(test_run(single_flight_body, NULL, &two_loops), 0);
}

/* Asks until a thread is in it, as one more than `inside`, and leaves. */
static void ask_and_leave(const char *name, long inside)
{
    struct ask ask = { .name = name };
    struct call call = call_of(resolve_call, &ask);

    call_start(&call);
    test_await(&names.inside, inside + 1);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
}

/* Who leaves returns at once; the answer comes all the same, and is kept. */
static int leave_body(void *arg)
{
    struct ask ask = { .name = "slow-one" };
    struct call call = call_of(resolve_call, &ask);

    (void)arg;
    CHECK_EQUAL(resolve("slow-one", WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(resolve("slow-one", 1), -ETIME);
    CHECK_EQUAL(stats_now().asked, 0);
    ask_and_leave("slow-one", 0);
    CHECK_EQUAL(stats_now().abandoned, 1);
    CHECK_EQUAL(stats_now().abandoned_now, 1);
    CHECK_EQUAL(resolve("slow-one", weir_in_ms(2)), -ETIME);
    CHECK_EQUAL(stats_now().abandoned, 2);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(stats_now().abandoned_now, 0); /* somebody cares again */
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    open_gate(1);
    while (stats_now().answers_now == 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(stats_now().abandoned_now, 0);
    CHECK_EQUAL(resolve("slow-one", WEIR_NOW), 2);
    CHECK_EQUAL(atomic_load(&names.asked), 1);
    return 0;
}

static void test_callers_leave(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_body, NULL, &one_loop), 0);
}

/* One thread, one place in the queue. What nobody waits for any more leaves the queue unasked. */
static int bound_body(void *arg)
{
    bool refuses = *(bool *)arg;
    struct ask asks[3] = { { .name = "slow-a" }, { .name = "slow-b" }, { .name = "slow-c" } };
    struct call calls[3];

    for (int i = 0; i < 3; i++)
        calls[i] = call_of(resolve_call, &asks[i]);
    call_start(&calls[0]);
    test_await(&names.inside, 1);
    call_start(&calls[1]);
    weir__sched_settle();
    CHECK_EQUAL(stats_now().pool.queued, 1);
    if (refuses) {
        CHECK_EQUAL(resolve("slow-c", WEIR_FOREVER), -EBUSY);
        CHECK_EQUAL(stats_now().refused, 1);
    } else {
        CHECK_EQUAL(resolve("slow-c", weir_in_ms(2)), -ETIME);
    }
    CHECK_EQUAL(weir_task_cancel(calls[1].task), 0);
    CHECK_EQUAL(call_finish(&calls[1]), -ECANCELED);
    CHECK_EQUAL(stats_now().pool.queued, 0);
    CHECK_EQUAL(stats_now().abandoned, 0);
    call_start(&calls[2]);
    weir__sched_settle();
    open_gate(2);
    CHECK_EQUAL(call_finish(&calls[0]), 2);
    CHECK_EQUAL(call_finish(&calls[2]), 2);
    CHECK_EQUAL(atomic_load(&names.asked), 2); /* b never was */
    CHECK_EQUAL(stats_now().pool.threads_max, 1);
    return 0;
}

static void test_bounds_of_the_queue(void **state)
{
    struct weir_options options = {
        .loop_count = 1,
        .resolve_threads_max = 1,
        .resolve_queue_limit = 1,
    };
    bool refuses = false;

    (void)state;
    assert_int_equal(test_run(bound_body, &refuses, &options), 0);
    fake_names(NULL);
    refuses = true;
    options.resolve_when_full = WEIR_WHEN_FULL_REFUSE;
    assert_int_equal(test_run(bound_body, &refuses, &options), 0);
}

/* Without memory there is no answer now, and the place in the queue is free again. */
static int memory_body(void *arg)
{
    (void)arg;
    CHECK_EQUAL(resolve("first", WEIR_FOREVER), 2); /* the thread is there */
    for (int i = 0; i < 3; i++) {
        weir__memory_fail_after(1);
        CHECK_EQUAL(resolve("a", WEIR_FOREVER), -ENOMEM); /* the question */
        weir__memory_fail_after(2);
        CHECK_EQUAL(resolve("a", WEIR_FOREVER), -ENOMEM); /* the addresses, on the thread */
    }
    weir__memory_fail_after(-1);
    CHECK_EQUAL(resolve("a", WEIR_FOREVER), 2);
    return 0;
}

static void test_without_memory(void **state)
{
    const struct weir_options narrow = {
        .loop_count = 1,
        .resolve_threads_max = 1,
        .resolve_queue_limit = 1,
        .resolve_when_full = WEIR_WHEN_FULL_REFUSE,
    };

    (void)state;
    assert_int_equal(test_run(memory_body, NULL, &narrow), 0);
}

/* The runtime ends while two threads are in getaddrinfo, a third has just answered. */
static int end_body(void *arg)
{
    (void)arg;
    ask_and_leave("slow-a", 0);
    ask_and_leave("slow-b", 1);
    CHECK_EQUAL(resolve("c", WEIR_FOREVER), 2);
    return 0;
}

static void test_runtime_ends_meanwhile(void **state)
{
    int thread_count = count_threads();

    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(test_run(end_body, NULL, &one_loop), 0);
        test_await_threads(thread_count + 2); /* they alone are left */
        assert_int_equal(atomic_load(&names.inside), 2);
        open_gate(2);
        test_await_threads(thread_count);
        assert_int_equal(atomic_load(&names.inside), 0);
    }
}

/* Callers come and go at random, from two loops, over few names. */
struct storm {
    unsigned seed;
    _Atomic long *answered;
};

static int storm_task(void *arg)
{
    struct storm *storm = arg;

    for (long i = 0; i < test_rounds(300, 20000, 100000); i++) {
        char name[32];
        int result;

        snprintf(name, sizeof name, "sleep-%d", rand_r(&storm->seed) % 5);
        result = resolve(name, weir_in_us(rand_r(&storm->seed) % 600));
        CHECK(result == 2 || result == -ETIME);
        if (result > 0)
            atomic_fetch_add(storm->answered, 1);
        if (rand_r(&storm->seed) % 8 == 0)
            weir_resolve_forget();
    }
    return 0;
}

static int storm_body(void *arg)
{
    _Atomic long answered = 0;
    struct storm storms[8];
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned i = 0; i < 8; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = i % 2 };

        storms[i] = (struct storm){ .seed = i, .answered = &answered };
        CHECK_EQUAL(weir_spawn(scope, storm_task, &storms[i], &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK(atomic_load(&answered) > 0);
    while (stats_now().abandoned_now)
        weir_yield();
    CHECK_EQUAL(stats_now().pool.queued, 0);
    return 0;
}

static void test_callers_at_random(void **state)
{
    const struct weir_options options = {
        .loop_count = 2,
        .resolve_threads_max = 2,
        .resolve_queue_limit = 2,
        .resolve_answers = 3,
    };

    (void)state;
    assert_int_equal(test_run(storm_body, NULL, &options), 0);
}

/* The system's own, as far as files go. */
static int real_body(void *arg)
{
    struct ask ask = { .name = "127.0.0.1", .service = "domain" };
    int result = (int)resolve_call(&ask, WEIR_FOREVER);

    (void)arg;
    CHECK(result == 1 || result == -ESRCH); /* /etc/services may be missing */
    if (result == 1)
        CHECK(strcmp(text_of(&ask.found[0]), "127.0.0.1 53") == 0);
    return 0;
}

static void test_the_system_resolver(void **state)
{
    (void)state;
    assert_int_equal(test_run(real_body, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_NAMES(test_numeric),
        WITH_NAMES(test_cache),
        WITH_NAMES(test_bounds_of_the_cache),
        WITH_NAMES(test_equal_questions),
        WITH_NAMES(test_callers_leave),
        WITH_NAMES(test_bounds_of_the_queue),
        WITH_NAMES(test_without_memory),
        WITH_NAMES(test_runtime_ends_meanwhile),
        WITH_NAMES(test_callers_at_random),
        cmocka_unit_test(test_the_system_resolver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
