/* SPDX-License-Identifier: MIT */
/*
 * Servers that admit requests, as the chapters limiter.h and shed.h show them: connections whose
 * tasks go through a limiter; readers that put into a shed, workers that take from it and go
 * through a limiter; and a port whose handlers do. Each request is answered, or refused in so many
 * words, and the refusals are counted.
 */
#include "io/fixture.h"

#include <weir/bucket.h>
#include <weir/call.h>
#include <weir/limiter.h>
#include <weir/listener.h>
#include <weir/queue.h>
#include <weir/shed.h>

enum { CLIENTS = 6, REQUEST_BYTES = 8, DONE = 'D', BUSY = 'B', CAPACITY = 4 };

/* --- What the examples leave to their readers --- */

struct request {
    int fd;
    int64_t deadline_ns;
    char bytes[REQUEST_BYTES];
};

static struct weir_limiter *limiter;
static struct weir_shed *shed;
static struct weir_chan *turnstile; /* what is being handled waits here */
static long done, busy;

static ssize_t read_request(struct request *request)
{
    request->deadline_ns = weir_in_seconds(100);
    return weir_recv_all(request->fd, request->bytes, REQUEST_BYTES, 0, NULL, WEIR_FOREVER);
}

static int write_reply(struct request *request, char what)
{
    *(what == DONE ? &done : &busy) += 1;
    request->bytes[0] = what;
    return (int)weir_send_all(request->fd, request->bytes, REQUEST_BYTES, 0, NULL, WEIR_FOREVER);
}

static int handle(void *arg, int64_t deadline_ns)
{
    struct request *request = arg;
    char token;
    int error = weir_chan_recv(turnstile, &token, deadline_ns);

    return error < 0 ? error : write_reply(request, DONE);
}

/* --- The example of limiter.h --- */

static int refuse_at_once(struct request *request, int error)
{
    CHECK(error == -EBUSY || error == -ETIME);
    return write_reply(request, BUSY);
}

static int serve_client(int fd, void *context)
{
    struct request request = { .fd = fd };
    int error;

    while (read_request(&request) > 0) {
        error = weir_limiter_run(context, handle, &request, request.deadline_ns);
        if (error < 0 && refuse_at_once(&request, error) < 0)
            break;
    }
    return weir_close(fd);
}

/* --- The example of shed.h --- */

static void reply_busy(struct request *request, enum weir_shed_reason reason)
{
    CHECK(reason < WEIR_SHED_REASONS);
    CHECK(write_reply(request, BUSY) > 0);
    free(request);
}

static void refuse(void *elem, void *context, enum weir_shed_reason reason)
{
    struct request *request = *(struct request **)elem;

    (void)context;
    reply_busy(request, reason);
}

static void reply(struct request *request, int result)
{
    if (result < 0)
        CHECK(write_reply(request, BUSY) > 0);
    free(request);
}

static int serve_requests(void *arg)
{
    struct request *request;
    int error;

    while ((error = weir_shed_take(arg, &request, NULL, WEIR_FOREVER)) >= 0)
        reply(request, weir_limiter_run(limiter, handle, request, request->deadline_ns));
    return error == -EPIPE ? 0 : error;
}

static int read_client(int fd, void *context)
{
    struct request *request;

    for (;;) {
        request = calloc(1, sizeof *request);
        request->fd = fd;
        if (read_request(request) <= 0)
            break;
        if (weir_shed_put(context, &request, request->deadline_ns) < 0)
            reply_busy(request, WEIR_SHED_FULL);
    }
    free(request);
    return weir_close(fd);
}

/* --- Clients --- */

struct serving {
    struct weir_listener *listener;
    weir_client_fn *fn;
    void *context;
};

static int serve(void *arg)
{
    const struct serving *serving = arg;

    return weir_listener_serve(serving->listener, serving->fn, serving->context);
}

static void open_turnstile(long count)
{
    char token = 0;

    for (long i = 0; i < count; i++)
        CHECK_EQUAL(weir_chan_send(turnstile, &token, WEIR_FOREVER), 0);
}

/* So many clients ask at once; when `wanted_busy` of them were refused, the others are let go on.
 * Every one gets its answer. */
static void ask_all(struct serving *serving, long wanted_busy)
{
    long answers[256] = { 0 };
    char address[64], bytes[REQUEST_BYTES] = { 0 };
    int fds[CLIENTS];

    done = busy = 0;
    CHECK(weir_listener_address(serving->listener, 0, address, sizeof address) > 0);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = weir_dial(address, NULL, WEIR_FOREVER);
        CHECK_EQUAL(weir_send(fds[i], bytes, sizeof bytes, 0, WEIR_FOREVER), REQUEST_BYTES);
    }
    while (busy < wanted_busy)
        CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0);
    open_turnstile(CLIENTS - wanted_busy);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQUAL(weir_recv_all(fds[i], bytes, sizeof bytes, 0, NULL, WEIR_FOREVER),
                    REQUEST_BYTES);
        answers[(unsigned char)bytes[0]]++;
        CHECK_EQUAL(weir_close(fds[i]), 0);
    }
    CHECK_EQUAL(answers[BUSY], wanted_busy);
    CHECK_EQUAL(answers[DONE], CLIENTS - wanted_busy);
    CHECK_EQUAL(done, CLIENTS - wanted_busy);
    CHECK_EQUAL(busy, wanted_busy);
}

static void serve_and_ask(weir_client_fn *fn, void *context, long wanted_busy,
                          struct weir_scope *scope)
{
    struct serving serving = { .fn = fn, .context = context };

    CHECK_EQUAL(weir_listener_open(&serving.listener, "127.0.0.1:0", NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, serve, &serving, NULL), 0);
    ask_all(&serving, wanted_busy);
    CHECK_EQUAL(weir_listener_stop(serving.listener, WEIR_FOREVER), 0);
    if (shed)
        CHECK_EQUAL(weir_shed_close(shed), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_listener_close(serving.listener), 0);
}

static struct weir_scope *set_up(const struct weir_limiter_options *options)
{
    struct weir_scope *scope = NULL;

    shed = NULL;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&turnstile, 1, 0, NULL), 0);
    CHECK_EQUAL(weir_limiter_create(&limiter, options), 0);
    return scope;
}

static void clean_up(void)
{
    weir_limiter_release(limiter);
    weir_chan_release(turnstile);
}

/* --- The cases --- */

/* Two are handled, the others hear at once that they are not. */
static int through_a_limiter(void *arg)
{
    const struct weir_limiter_options options = { .limit = 2, .refuse_at_once = true };
    struct weir_limiter_stats stats;
    struct weir_scope *scope = set_up(&options);

    (void)arg;
    serve_and_ask(serve_client, limiter, CLIENTS - 2, scope);
    CHECK_EQUAL(weir_limiter_read_stats(limiter, &stats), 0);
    CHECK_EQUAL(stats.succeeded_total, 2);
    CHECK_EQUAL(stats.refused_total, CLIENTS - 2);
    clean_up();
    return 0;
}

/* One is handled, CAPACITY wait and are handled later, one more is too many. */
static int through_a_shed(void *arg)
{
    const struct weir_limiter_options one = { .limit = 1 };
    const struct weir_shed_options options = {
        .refuse = refuse,
        .capacity = CAPACITY,
        .target_ns = INT64_C(100000000000), /* however slow this machine is */
    };
    struct weir_shed_stats stats;
    struct weir_scope *scope = set_up(&one);

    (void)arg;
    CHECK_EQUAL(weir_shed_create(&shed, sizeof(struct request *), &options), 0);
    CHECK_EQUAL(weir_spawn(scope, serve_requests, shed, NULL), 0);
    serve_and_ask(read_client, shed, CLIENTS - 1 - CAPACITY, scope);
    CHECK_EQUAL(weir_shed_read_stats(shed, &stats), 0);
    CHECK_EQUAL(stats.taken_total, 1 + CAPACITY);
    CHECK_EQUAL(stats.turned_away_total, CLIENTS - 1 - CAPACITY);
    weir_shed_release(shed);
    clean_up();
    return 0;
}

/* A port: its handlers go through the limiter, and callers get its refusals as results. */
static int run_call(void *arg, int64_t deadline_ns)
{
    char token;

    (void)arg;
    return weir_chan_recv(turnstile, &token, deadline_ns);
}

static int handle_call(const void *asked, void *answer, void *context)
{
    (void)asked;
    (void)answer;
    return weir_limiter_run(context, run_call, NULL, WEIR_FOREVER);
}

static int call(void *arg)
{
    int result = weir_call(arg, NULL, NULL, NULL, WEIR_FOREVER);

    CHECK(result == 0 || result == -EBUSY);
    *(result < 0 ? &busy : &done) += 1;
    return 0;
}

static int through_a_port(void *arg)
{
    const struct weir_limiter_options options = { .limit = 2, .refuse_at_once = true };
    const struct weir_serve_options serve_options = { .parallelism = CLIENTS };
    struct weir_scope *scope = set_up(&options);
    struct weir_scope *callers;
    struct weir_chan *port;

    (void)arg;
    done = busy = 0;
    CHECK_EQUAL(weir_scope_create(&callers, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_port_create(&port, NULL, 0, 0), 0);
    CHECK_EQUAL(weir_serve(scope, port, handle_call, limiter, &serve_options), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQUAL(weir_spawn(callers, call, port, NULL), 0);
    while (busy < CLIENTS - 2)
        CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0);
    open_turnstile(2);
    CHECK_EQUAL(weir_scope_join(callers, WEIR_FOREVER), 0);
    CHECK_EQUAL(done, 2);
    CHECK_EQUAL(busy, CLIENTS - 2);
    CHECK_EQUAL(weir_chan_close(port, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_chan_release(port);
    clean_up();
    return 0;
}

/* Finds the queue of this owner. */
static void find_queue(const struct weir_queue_stats *queue, void *context)
{
    struct weir_queue_stats *found = context;

    if (strcmp(queue->owner, found->owner) == 0)
        *found = *queue;
}

static struct weir_queue_stats find(const char *owner)
{
    struct weir_queue_stats found = { 0 };

    snprintf(found.owner, sizeof found.owner, "%s", owner);
    CHECK(weir_queue_walk(find_queue, &found) > 0);
    return found;
}

static int among_all_queues(void *arg)
{
    const struct weir_limiter_options limited = { .name = "door", .refuse_at_once = true };
    const struct weir_bucket_options rated = { .name = "tap", .rate = 1, .waiters_max = 7 };
    const struct weir_shed_options shedding = { .name = "yard", .refuse = refuse, .capacity = 5 };
    struct request *request = calloc(1, sizeof *request);
    struct weir_limiter_pass pass;
    struct weir_bucket *bucket;

    (void)arg;
    CHECK_EQUAL(weir_limiter_create(&limiter, &limited), 0);
    CHECK_EQUAL(weir_bucket_create(&bucket, &rated), 0);
    CHECK_EQUAL(weir_shed_create(&shed, sizeof(struct request *), &shedding), 0);
    CHECK_EQUAL(weir_limiter_enter(limiter, &pass, WEIR_NOW), 0);
    CHECK_EQUAL(weir_bucket_take(bucket, 1, WEIR_NOW), 0);
    CHECK_EQUAL(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_shed_put(shed, &request, WEIR_FOREVER), 0);
    CHECK(strcmp(find("limiter").name, "door") == 0);
    CHECK_EQUAL(find("limiter").limit, 16);
    CHECK_EQUAL(find("limiter").now, 1);
    CHECK(strcmp(find("bucket").name, "tap") == 0);
    CHECK_EQUAL(find("bucket").limit, 7);
    CHECK_EQUAL(find("bucket").refused_count, 1);
    CHECK(strcmp(find("shed").name, "yard") == 0);
    CHECK_EQUAL(find("shed").limit, 5);
    CHECK_EQUAL(find("shed").now, 1);
    CHECK_EQUAL(weir_shed_take(shed, &request, NULL, WEIR_NOW), 0);
    weir_limiter_leave(limiter, &pass, 0);
    weir_limiter_release(limiter);
    weir_bucket_release(bucket);
    weir_shed_release(shed);
    free(request);
    CHECK_EQUAL(find("limiter").limit + find("bucket").limit + find("shed").limit, 0);
    return 0;
}

static void test_among_all_queues(void **state)
{
    (void)state;
    assert_int_equal(test_run(among_all_queues, NULL, &one_loop), 0);
}

static void test_through_a_limiter(void **state)
{
    (void)state;
    assert_int_equal(test_run(through_a_limiter, NULL, &one_loop), 0);
}

static void test_through_a_shed(void **state)
{
    (void)state;
    assert_int_equal(test_run(through_a_shed, NULL, &one_loop), 0);
}

static void test_through_a_port(void **state)
{
    (void)state;
    assert_int_equal(test_run(through_a_port, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_through_a_limiter),
        cmocka_unit_test(test_through_a_shed),
        cmocka_unit_test(test_through_a_port),
        cmocka_unit_test(test_among_all_queues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
