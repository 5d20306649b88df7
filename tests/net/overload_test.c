/* SPDX-License-Identifier: MIT */
/*
 * Servers under up to ten times what they can do. Whatever is offered, they do as much as they can,
 * about as fast as under half load, refuse the rest in so many words, and hold no more memory; and
 * when the load falls they are as before. How much, how fast and how soon is for the full tier: it
 * takes a machine that has a processor for it. The rest holds on any machine.
 *
 *   echo   a task for each connection; requests are let in by a limiter, and wait in its line
 *   file   readers put requests into a shed; workers take them and read a block of a file
 *
 * What there is too little of are desks, at which a work takes a few milliseconds of sleep: so the
 * capacity is far below what load generator and sockets cost. All figures of the full tier are
 * relative to others of the same try, and medians of three rounds. A round in which the load
 * generator itself was late had no processor, which says nothing about the server, and is repeated;
 * as the server may have had none either, unseen, one of a few tries must be good.
 */
#include "io/fixture.h"
#include "net/load.h"

#include <weir/chan.h>
#include <weir/limiter.h>
#include <weir/listener.h>
#include <weir/pool.h>
#include <weir/shed.h>

enum {
    DESKS = 4,
    WORK_US = 8000,
    TARGET_US = 8000,
    INTERVAL_US = 16000,
    PATIENCE_MS = 100,
    LONG_PATIENCE_S = 1000,
    LEVELS = 4, /* of load */
    ROUNDS = 3,
    TRIES = 6,
    LAG_MAX_US = 8000, /* of the load generator, in a round that counts */
    AGAIN_MAX = 3,
    BLOCKS = 64,
    ADDRESS_BYTES = 64,
    SLICES = 8, /* of the two seconds in which it must recover */
    RSS_SLACK_BYTES = 256 << 10,
    LINE = 16,       /* fewer than there are clients */
    BLOCKS_EACH = 2, /* of memory, a connection: the loop keeps what a few ended tasks need */
};

#define STORM_SECONDS 0.15 /* a level of load in the fast tier */

struct server {
    struct weir_listener *listener;
    struct weir_scope *scope;
    struct weir_chan *desks; /* a token each; others wait in order, as long as it takes */
    struct weir_limiter *limiter;
    struct weir_shed *shed;
    size_t line_max; /* 0: as many as there may be by default */
    int64_t patience_ns;
    int file;
    long answered; /* admitted, and told so */
    long refused;
    struct load load;
};

struct request {
    struct server *server;
    int fd;
    bool under_way;
    char bytes[LOAD_BYTES];
};

/* --- What both do --- */

static int answer(struct request *request, char status)
{
    struct server *server = request->server;
    ssize_t sent;

    request->bytes[0] = status;
    *(status == LOAD_ADMITTED ? &server->answered : &server->refused) += 1;
    request->under_way = false;
    sent = weir_send_all(request->fd, request->bytes, LOAD_BYTES, 0, NULL, WEIR_FOREVER);
    return CHECK_EQUAL(sent, LOAD_BYTES) ? 0 : -EIO;
}

static ssize_t read_request(struct request *request)
{
    return weir_recv_all(request->fd, request->bytes, LOAD_BYTES, 0, NULL, WEIR_FOREVER);
}

static int work_at_a_desk(struct server *server)
{
    uint64_t desk;
    int error = weir_chan_recv(server->desks, &desk, WEIR_FOREVER);

    if (error < 0)
        return error;
    error = weir_sleep(weir_in_us(WORK_US));
    CHECK_EQUAL(weir_chan_send(server->desks, &desk, WEIR_FOREVER), 0);
    return error;
}

/* --- The echo server --- */

static int handle_echo(void *arg, int64_t deadline_ns)
{
    struct request *request = arg;

    (void)deadline_ns;
    return work_at_a_desk(request->server);
}

static int serve_echo(int fd, void *context)
{
    struct server *server = context;
    struct request request = { .server = server, .fd = fd };

    while (read_request(&request) == LOAD_BYTES) {
        int error = weir_limiter_run(server->limiter, handle_echo, &request,
                                     weir_now_ns() + server->patience_ns);

        if (answer(&request, error < 0 ? LOAD_REFUSED : LOAD_ADMITTED) < 0)
            break;
    }
    return weir_close(fd);
}

static void open_echo(struct server *server)
{
    const struct weir_limiter_options options = {
        .limit = DESKS,
        .waiters_max = (unsigned)server->line_max,
        .target_ns = TARGET_US * 1000,
        .interval_ns = INTERVAL_US * 1000,
    };

    CHECK_EQUAL(weir_limiter_create(&server->limiter, &options), 0);
}

static void check_echo(struct server *server)
{
    struct weir_limiter_stats stats;

    CHECK_EQUAL(weir_limiter_read_stats(server->limiter, &stats), 0);
    CHECK_EQUAL(stats.succeeded_total, server->answered);
    CHECK_EQUAL(stats.refused_total + stats.late_total + stats.expired_total, server->refused);
    CHECK_EQUAL(stats.in_flight, 0);
    CHECK_EQUAL(stats.waiting, 0);
    CHECK(!stats.overloaded);
    CHECK(stats.in_flight_max <= DESKS);
    CHECK(server->line_max == 0 || stats.waiting_max <= server->line_max);
    CHECK_EQUAL(weir_limiter_close(server->limiter), 0);
    weir_limiter_release(server->limiter);
}

/* --- The file server --- */

static void refuse(void *elem, void *context, enum weir_shed_reason reason)
{
    struct request *request = *(struct request **)elem;

    (void)context;
    CHECK(reason != WEIR_SHED_CLOSED);
    answer(request, LOAD_REFUSED);
}

static int read_block(struct request *request)
{
    char block[BLOCK_BYTES];
    uint64_t number;
    ssize_t count;

    memcpy(&number, request->bytes + 8, sizeof number);
    number %= BLOCKS;
    count = weir_pread(request->server->file, block, sizeof block, (off_t)(number * BLOCK_BYTES),
                       WEIR_FOREVER);
    CHECK_EQUAL(count, BLOCK_BYTES);
    CHECK_EQUAL(block[BLOCK_BYTES - 1], (char)number);
    return work_at_a_desk(request->server);
}

static int serve_requests(void *arg)
{
    struct server *server = arg;
    struct request *request;
    int error;

    while ((error = weir_shed_take(server->shed, &request, NULL, WEIR_FOREVER)) >= 0)
        answer(request, read_block(request) < 0 ? LOAD_REFUSED : LOAD_ADMITTED);
    return error == -EPIPE ? 0 : error;
}

/* A client has one request under way: it stays in the reader's frame until it is answered. */
static int serve_file(int fd, void *context)
{
    struct server *server = context;
    struct request request = { .server = server, .fd = fd }, *pointer = &request;

    while (read_request(&request) == LOAD_BYTES) {
        CHECK(!request.under_way);
        request.under_way = true;
        if (weir_shed_put(server->shed, &pointer, weir_now_ns() + server->patience_ns) < 0)
            answer(&request, LOAD_REFUSED);
    }
    CHECK(!request.under_way);
    return weir_close(fd);
}

static void open_file(struct server *server)
{
    const struct weir_shed_options options = {
        .refuse = refuse,
        .capacity = server->line_max,
        .target_ns = TARGET_US * 1000,
        .interval_ns = INTERVAL_US * 1000,
    };
    char block[BLOCK_BYTES];

    server->file = memfd_create("blocks", MFD_CLOEXEC);
    for (int i = 0; i < BLOCKS; i++) {
        memset(block, i, sizeof block);
        CHECK_EQUAL(pwrite(server->file, block, sizeof block, (off_t)i * BLOCK_BYTES), BLOCK_BYTES);
    }
    CHECK_EQUAL(weir_shed_create(&server->shed, sizeof(struct request *), &options), 0);
    for (int i = 0; i < DESKS; i++)
        CHECK_EQUAL(weir_spawn(server->scope, serve_requests, server, NULL), 0);
}

static void check_file(struct server *server)
{
    struct weir_shed_stats stats;
    uint64_t refused;

    CHECK_EQUAL(weir_shed_read_stats(server->shed, &stats), 0);
    refused = stats.turned_away_total;
    for (int reason = 0; reason < WEIR_SHED_REASONS; reason++)
        refused += stats.refused_total[reason];
    CHECK_EQUAL(stats.taken_total, server->answered);
    CHECK_EQUAL(refused, server->refused);
    CHECK_EQUAL(stats.count, 0);
    CHECK(!stats.overloaded);
    CHECK(stats.count_max <= stats.capacity);
    CHECK_EQUAL(weir_shed_close(server->shed), 0);
}

/* --- A try --- */

struct kind {
    const char *name;
    weir_client_fn *serve;
    void (*open)(struct server *server);
    void (*check)(struct server *server);
};

static const struct kind kinds[] = {
    { "echo", serve_echo, open_echo, check_echo },
    { "file", serve_file, open_file, check_file },
};

struct serving {
    struct server *server;
    const struct kind *kind;
};

static int serve(void *arg)
{
    const struct serving *serving = arg;

    return weir_listener_serve(serving->server->listener, serving->kind->serve, serving->server);
}

static const double times[LEVELS] = { 0.5, 1, 2, 10 }; /* the capacity */

/* Offers so much; all of it is answered, by itself or with a refusal. Returns whether the figures
 * say anything. */
static bool offer_once(struct server *server, struct load *load)
{
    long answered = server->answered, refused = server->refused;

    CHECK_EQUAL(weir_pool_run(load_go, load, WEIR_FOREVER), 0);
    CHECK_EQUAL(load->unanswered, 0);
    CHECK_EQUAL(load->admitted + load->refused, load->sent);
    CHECK_EQUAL(load->admitted, server->answered - answered);
    CHECK_EQUAL(load->refused, server->refused - refused);
    printf("    %5.0f/s: sent %6ld, goodput %5.0f/s, p50 %5.2f ms, p99 %6.2f ms, refused %ld, "
           "%zu KiB%s\n",
           load->rate, load->sent, load->goodput, (double)load_quantile(load, 0.5) / 1e6,
           (double)load_quantile(load, 0.99) / 1e6, load->refused, rss_bytes() >> 10,
           load->lag_ns > LAG_MAX_US * 1000 ? ", disturbed" : "");
    return load->lag_ns <= LAG_MAX_US * 1000;
}

static void offer(struct server *server, double rate, double seconds)
{
    server->load.rate = rate;
    server->load.seconds = seconds;
    for (int i = 0; i < AGAIN_MAX && !offer_once(server, &server->load); i++)
        ;
}

static bool grew(size_t before_bytes)
{
    return !TEST_SANITIZED && rss_bytes() > before_bytes + before_bytes / 20 + RSS_SLACK_BYTES;
}

static double median(const double *values)
{
    double low = values[0] < values[1] ? values[0] : values[1];
    double high = values[0] < values[1] ? values[1] : values[0];

    return values[2] < low ? low : values[2] > high ? high : values[2];
}

/* By level and round. */
struct curve {
    double goodput[LEVELS][ROUNDS];
    double p99_ns[LEVELS][ROUNDS];
};

/* The levels in turn, several times, so that what hits one round is outvoted. */
static void draw(struct server *server, double capacity, double seconds, struct curve *curve)
{
    size_t before_bytes = rss_bytes();

    for (int round = 0; round < ROUNDS; round++)
        for (int level = 0; level < LEVELS; level++) {
            offer(server, capacity * times[level], seconds);
            curve->goodput[level][round] = server->load.goodput;
            curve->p99_ns[level][round] = (double)load_quantile(&server->load, 0.99);
            CHECK(!grew(before_bytes));
        }
}

/* Whether, within two seconds, nearly nobody is refused under half load, and all is fast. */
static bool recovers(struct server *server, double capacity, double p99_ns)
{
    server->load.rate = capacity / 2;
    server->load.seconds = 2.0 / SLICES;
    for (int i = 0; i < SLICES; i++) {
        (void)offer_once(server, &server->load);
        if (server->load.refused * 20 < server->load.sent &&
            (double)load_quantile(&server->load, 0.99) < 2 * p99_ns)
            return true;
    }
    return false;
}

/* When all clients' tasks have ended. */
static unsigned long blocks_at_rest(const struct server *server)
{
    struct weir_listener_stats stats;

    do {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_listener_read_stats(server->listener, &stats), 0);
    } while (stats.open > 0);
    return weir__memory_live_count();
}

/* On any machine all is answered, and what is in use stays. At last overload has been reached; once
 * it is over, one alone is refused nothing, however long it may take. */
static const char *storm(struct server *server)
{
    const double capacity = DESKS * 1e6 / WORK_US;
    unsigned long before = 0;

    server->load.seconds = STORM_SECONDS;
    for (int i = 0; i < LEVELS || server->refused == 0; i++) {
        server->load.rate = capacity * times[i < LEVELS ? i : LEVELS - 1];
        (void)offer_once(server, &server->load);
        if (i == 0)
            before = blocks_at_rest(server);
    }
    CHECK(blocks_at_rest(server) <= before + BLOCKS_EACH * LOAD_CONNECTIONS);
    server->patience_ns = LONG_PATIENCE_S * INT64_C(1000000000);
    server->load.connections = 1;
    (void)offer_once(server, &server->load);
    CHECK_EQUAL(server->load.refused, 0);
    return NULL;
}

/* What else did not hold. */
static const char *measure(struct server *server)
{
    double seconds = TEST_SANITIZED ? 0.4 : (double)test_rounds(2, 2, 20);
    double capacity, goodput, half_p99_ns, peak = 0;
    struct curve curve;

    offer(server, 3 * DESKS * 1e6 / WORK_US, seconds);
    capacity = server->load.goodput;
    draw(server, capacity, seconds, &curve);
    half_p99_ns = median(curve.p99_ns[0]);
    if (!recovers(server, capacity, half_p99_ns)) /* the last was ten times too much */
        return "it did not recover within two seconds";
    for (int level = 0; level < LEVELS; level++) {
        goodput = median(curve.goodput[level]);
        peak = goodput > peak ? goodput : peak;
        if (median(curve.p99_ns[level]) > 3 * half_p99_ns)
            return "p99 of what was admitted is over three times that at half load";
    }
    for (int level = 2; level < LEVELS; level++)
        if (median(curve.goodput[level]) < 0.9 * peak)
            return "goodput fell by over 10 %";
    return NULL;
}

typedef const char *trial_fn(struct server *server);

static const char *try_once(const struct kind *kind, trial_fn *trial, size_t line_max)
{
    struct server *server = malloc(sizeof *server);
    struct serving serving = { server, kind };
    char address[ADDRESS_BYTES];
    const char *fault;

    memset(server, 0, sizeof *server); /* no page of it comes later */
    server->line_max = line_max;
    server->patience_ns = PATIENCE_MS * 1000000;
    server->load.connections = LOAD_CONNECTIONS;
    CHECK_EQUAL(weir_listener_open(&server->listener, "127.0.0.1:0", NULL), 0);
    CHECK(weir_listener_address(server->listener, 0, address, sizeof address) > 0);
    server->load.address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((in_port_t)atoi(strrchr(address, ':') + 1)),
    };
    CHECK_EQUAL(weir_chan_create(&server->desks, sizeof(uint64_t), DESKS, NULL), 0);
    for (uint64_t desk = 0; desk < DESKS; desk++)
        CHECK_EQUAL(weir_chan_send(server->desks, &desk, WEIR_NOW), 0);
    CHECK_EQUAL(weir_scope_create(&server->scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    kind->open(server);
    CHECK_EQUAL(weir_spawn(server->scope, serve, &serving, NULL), 0);
    fault = trial(server);
    CHECK_EQUAL(weir_listener_stop(server->listener, WEIR_FOREVER), 0);
    kind->check(server);
    CHECK_EQUAL(weir_scope_join(server->scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_listener_close(server->listener), 0);
    if (server->shed)
        weir_shed_release(server->shed);
    if (server->shed)
        close(server->file);
    weir_chan_release(server->desks);
    free(server);
    return fault;
}

static int weather(void *arg)
{
    CHECK(try_once(arg, storm, LINE) == NULL);
    return 0;
}

static int keep_up(void *arg)
{
    const struct kind *kind = arg;
    const char *fault = "";

    for (int i = 0; i < TRIES && fault; i++) {
        fault = try_once(kind, measure, 0);
        printf("  %s, try %d: %s\n", kind->name, i + 1, fault ? fault : "good");
    }
    CHECK(fault == NULL);
    return 0;
}

static void run_both(int (*body)(void *arg))
{
    const struct weir_options options = { .loop_count = 1 };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_int_equal(test_run(body, (void *)(uintptr_t)&kinds[i], &options), 0);
}

static void test_all_is_answered(void **state)
{
    (void)state;
    run_both(weather);
}

static void test_they_keep_up(void **state)
{
    (void)state;
    if (test_tier() == TEST_FAST)
        skip();
    run_both(keep_up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_answered),
        cmocka_unit_test(test_they_keep_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
