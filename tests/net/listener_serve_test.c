/* SPDX-License-Identifier: MIT */
/* Serving: a task for each connection, the bounds on them, where they run, and how it ends. */
#include "net/server.h"

static int serve_body(void *arg)
{
    struct server server;
    int clients[8];

    (void)arg;
    server_start(&server, NULL);
    for (int i = 0; i < 8; i++)
        clients[i] = client_of(&server);
    for (int i = 0; i < 8; i++)
        talk(clients[i]);
    CHECK_EQUAL(stats_now(&server).open, 8);
    CHECK_EQUAL(stats_now(&server).accepted, 8);
    CHECK_EQUAL(weir_listener_close(server.listener), -EBUSY);
    CHECK_EQUAL(weir_listener_serve(server.listener, echo, &server), -EBUSY);
    CHECK_EQUAL(weir_listener_serve(server.listener, NULL, &server), -EINVAL);
    for (int i = 0; i < 8; i++)
        CHECK_EQUAL(weir_close(clients[i]), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    CHECK_EQUAL(atomic_load(&server.on_loop[0]), 8);
    return 0;
}

static void test_serve(void **state)
{
    (void)state;
    run_and_count_fds(serve_body, NULL, &two_loops);
}

/* At the bound it accepts no more; the next comes in when one has ended. */
static int bound_body(void *arg)
{
    const struct weir_listener_options two = { .connections_max = 2 };
    struct server server;
    int clients[5];

    (void)arg;
    server_start(&server, &two);
    for (int i = 0; i < 5; i++)
        clients[i] = client_of(&server);
    talk(clients[0]);
    talk(clients[1]);
    CHECK_EQUAL(weir_send(clients[2], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK(is_silent(clients[2]));
    CHECK_EQUAL(stats_now(&server).open, 2);
    CHECK_EQUAL(stats_now(&server).accepted, 2);
    CHECK_EQUAL(stats_now(&server).backlog, 3);
    for (int i = 0; i < 3; i++) {
        char byte;

        CHECK_EQUAL(weir_close(clients[i]), 0);
        if (i)
            CHECK_EQUAL(weir_send(clients[i + 2], "x", 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv(clients[i + 2], &byte, 1, 0, WEIR_FOREVER), 1);
    }
    CHECK(stats_now(&server).full >= 3);
    CHECK(stats_now(&server).full_ns > 0);
    CHECK_EQUAL(weir_close(clients[3]), 0);
    CHECK_EQUAL(weir_close(clients[4]), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    CHECK_EQUAL(atomic_load(&server.served), 5);
    return 0;
}

static void test_bound_on_connections(void **state)
{
    (void)state;
    run_and_count_fds(bound_body, NULL, &one_loop);
}

/* No room for a connection's task: the tasks are the root, the server, its worker, and `first`. */
static int waits_body(void *arg)
{
    struct server server;
    char byte;
    int first, second, third;

    (void)arg;
    server_start(&server, NULL);
    first = client_of(&server);
    talk(first);
    second = client_of(&server);
    third = client_of(&server);
    CHECK_EQUAL(weir_send(second, "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_send(third, "x", 1, 0, WEIR_FOREVER), 1);
    CHECK(is_silent(second));
    CHECK(is_silent(third));
    CHECK_EQUAL(stats_now(&server).open, 2); /* and one in the backlog */
    CHECK_EQUAL(stats_now(&server).waited, 1);
    CHECK_EQUAL(weir_close(first), 0);
    CHECK_EQUAL(weir_recv(second, &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_close(second), 0);
    CHECK_EQUAL(weir_recv(third, &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_close(third), 0);
    CHECK_EQUAL(stats_now(&server).refused, 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static int refused_body(void *arg)
{
    const struct weir_listener_options options = { .refuse_at_once = true };
    struct server server;
    char byte;
    int first, second;

    (void)arg;
    server_start(&server, &options);
    first = client_of(&server);
    talk(first);
    second = client_of(&server);
    CHECK(weir_recv(second, &byte, 1, 0, WEIR_FOREVER) <= 0);
    CHECK_EQUAL(stats_now(&server).refused, 1);
    CHECK_EQUAL(stats_now(&server).open, 1);
    CHECK_EQUAL(weir_close(first), 0);
    CHECK_EQUAL(weir_close(second), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_no_room_for_a_task(void **state)
{
    const struct weir_options four = { .loop_count = 1, .tasks_per_loop = 4 };

    (void)state;
    run_and_count_fds(waits_body, NULL, &four);
    run_and_count_fds(refused_body, NULL, &four);
}

/* Without memory: no server, and a connection waits for the memory of its task. */
static int memory_body(void *arg)
{
    struct server server;
    int64_t error = -ENOMEM;
    int client;

    (void)arg;
    for (long count = 1; error == -ENOMEM; count++) {
        server_open(&server, NULL);
        CHECK_EQUAL(weir_listener_stop(server.listener, WEIR_NOW), 0);
        weir__memory_fail_after(count);
        error = weir_listener_serve(server.listener, echo, &server);
        weir__memory_fail_after(-1);
        CHECK_EQUAL(weir_listener_close(server.listener), 0);
    }
    CHECK_EQUAL(error, 0);
    server_start(&server, NULL);
    client = client_of(&server);
    talk(client);
    CHECK_EQUAL(weir_close(client), 0);
    weir__sched_settle();
    client = client_of(&server);
    weir__memory_fail_after(1); /* what its task gets */
    talk(client);
    weir__memory_fail_after(-1);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(stats_now(&server).refused, 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_without_memory(void **state)
{
    (void)state;
    run_and_count_fds(memory_body, NULL, &one_loop);
}

/* A stop while a connection waits for its task: there is none to be had, and it is closed. */
static int stop_refused_body(void *arg)
{
    struct server server;
    int first, second;

    (void)arg;
    server_start(&server, NULL);
    first = client_of(&server);
    talk(first);
    second = client_of(&server);
    while (stats_now(&server).waited == 0)
        weir_sleep(weir_in_us(100));
    CHECK_EQUAL(weir_listener_stop(server.listener, WEIR_FOREVER), 0);
    while (stats_now(&server).refused == 0)
        weir_sleep(weir_in_us(100));
    talk(first); /* it is drained, not cut off */
    CHECK_EQUAL(weir_close(first), 0);
    CHECK_EQUAL(call_finish(&server.call), 0);
    CHECK_EQUAL(weir_close(second), 0);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    return 0;
}

static void test_stop_without_room(void **state)
{
    const struct weir_options four = { .loop_count = 1, .tasks_per_loop = 4 };

    (void)state;
    run_and_count_fds(stop_refused_body, NULL, &four);
}

/* Each goes to the loop with the fewest. */
static int hand_over_body(void *arg)
{
    const struct weir_listener_options hand_over = { .spread = WEIR_LISTENER_HAND_OVER };
    struct server server;
    int clients[32];

    (void)arg;
    server_start(&server, &hand_over);
    for (int i = 0; i < 32; i++)
        clients[i] = client_of(&server);
    for (int i = 0; i < 32; i++)
        talk(clients[i]);
    CHECK_EQUAL(atomic_load(&server.on_loop[0]), 16);
    CHECK_EQUAL(atomic_load(&server.on_loop[1]), 16);
    CHECK_EQUAL(stats_now(&server).handed_over, 16);
    for (int i = 0; i < 32; i++)
        CHECK_EQUAL(weir_close(clients[i]), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_hand_over(void **state)
{
    (void)state;
    run_and_count_fds(hand_over_body, NULL, &two_loops);
}

/* The kernel spreads, by a hash of the addresses: with 64 both have some. */
static int per_loop_body(void *arg)
{
    const struct weir_listener_options per_loop = { .spread = WEIR_LISTENER_PER_LOOP };
    struct server server;
    int clients[64];

    (void)arg;
    server_start(&server, &per_loop);
    for (int i = 0; i < 64; i++)
        clients[i] = client_of(&server);
    for (int i = 0; i < 64; i++)
        talk(clients[i]);
    CHECK(atomic_load(&server.on_loop[0]) > 0);
    CHECK(atomic_load(&server.on_loop[1]) > 0);
    CHECK_EQUAL(stats_now(&server).open, 64);
    CHECK_EQUAL(stats_now(&server).handed_over, 0);
    for (int i = 0; i < 64; i++)
        CHECK_EQUAL(weir_close(clients[i]), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_per_loop(void **state)
{
    (void)state;
    run_and_count_fds(per_loop_body, NULL, &two_loops);
}

/* A unix-domain socket, of which there can be only one, is shared by the loops. */
static int shared_body(void *arg)
{
    const struct weir_listener_options per_loop = { .spread = WEIR_LISTENER_PER_LOOP };
    struct server server;
    int client;

    (void)arg;
    server_open(&server, &per_loop);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    CHECK_EQUAL(weir_listener_open(&server.listener, "unix:@weir-shared-test", &per_loop), 0);
    call_start(&server.call);
    for (int i = 0; i < 64; i++) {
        client = weir_dial("unix:@weir-shared-test", NULL, WEIR_FOREVER);
        CHECK(client >= 0);
        talk(client);
        CHECK_EQUAL(weir_close(client), 0);
    }
    CHECK_EQUAL(atomic_load(&server.served), 64);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_shared_by_loops(void **state)
{
    (void)state;
    run_and_count_fds(shared_body, NULL, &two_loops);
}

/* A credit is for a connection that is there, not for a loop that waits for one: with a bound of
 * one, whichever loop gets it serves it. */
static int narrow_body(void *arg)
{
    const struct weir_listener_options narrow = {
        .spread = WEIR_LISTENER_PER_LOOP,
        .connections_max = 1,
    };
    struct server server;

    (void)arg;
    server_start(&server, &narrow);
    for (int i = 0; i < 64; i++) {
        int client = client_of(&server);

        talk(client);
        CHECK_EQUAL(weir_close(client), 0);
    }
    CHECK(atomic_load(&server.on_loop[0]) > 0);
    CHECK(atomic_load(&server.on_loop[1]) > 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_narrow_bound_on_two_loops(void **state)
{
    (void)state;
    run_and_count_fds(narrow_body, NULL, &two_loops);
}

/* --- The end ---------------------------------------------------------------------------------- */

/* What is left at the deadline is cancelled; before it, it is waited for. */
static int drain_body(void *arg)
{
    const struct weir_listener_options *options = arg;
    struct server server;
    char byte;
    int clients[8];

    server_start(&server, options);
    for (int i = 0; i < 8; i++) {
        clients[i] = client_of(&server);
        talk(clients[i]);
    }
    CHECK_EQUAL(weir_listener_stop(server.listener, weir_in_ms(50)), 0);
    CHECK_EQUAL(weir_listener_stop(server.listener, WEIR_NOW), WEIR_ALREADY);
    talk(clients[0]);
    CHECK_EQUAL(call_finish(&server.call), -ETIME);
    CHECK_EQUAL(atomic_load(&server.ended), 8);
    CHECK_EQUAL(weir_listener_serve(server.listener, echo, &server), -EBADF);
    CHECK_EQUAL(weir_listener_add(server.listener, "127.0.0.1:0"), -EBADF);
    CHECK_EQUAL(weir_listener_accept(server.listener, NULL, NULL, WEIR_NOW), -EBADF);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    for (int i = 0; i < 8; i++) {
        CHECK_EQUAL(weir_recv(clients[i], &byte, 1, 0, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_close(clients[i]), 0);
    }

    server_start(&server, options); /* at once */
    clients[0] = client_of(&server);
    talk(clients[0]);
    CHECK_EQUAL(server_stop(&server, WEIR_NOW), -ETIME);
    CHECK_EQUAL(weir_close(clients[0]), 0);

    server_start(&server, options); /* a cancel is for the connections too */
    clients[0] = client_of(&server);
    talk(clients[0]);
    CHECK_EQUAL(weir_task_cancel(server.call.task), 0);
    CHECK_EQUAL(call_finish(&server.call), -ECANCELED);
    CHECK_EQUAL(atomic_load(&server.ended), 1);
    CHECK_EQUAL(weir_close(clients[0]), 0);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);

    server_open(&server, options); /* a stop that is early is not forgotten */
    CHECK_EQUAL(weir_listener_stop(server.listener, WEIR_NOW), 0);
    call_start(&server.call);
    CHECK_EQUAL(call_finish(&server.call), 0);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    return 0;
}

static void test_drain(void **state)
{
    (void)state;
    for (int spread = WEIR_LISTENER_HERE; spread <= WEIR_LISTENER_HAND_OVER; spread++) {
        struct weir_listener_options options = { .spread = (enum weir_listener_spread)spread };

        run_and_count_fds(drain_body, &options, &two_loops);
    }
}

/* While it drains, new peers are refused, those that are served go on. */
static int closed_body(void *arg)
{
    struct server server;
    char text[ADDRESS_BYTES];
    int client, fd;

    (void)arg;
    server_start(&server, NULL);
    CHECK(weir_listener_address(server.listener, 0, text, sizeof text) > 0);
    client = client_of(&server);
    talk(client);
    CHECK_EQUAL(weir_listener_stop(server.listener, WEIR_FOREVER), 0);
    while ((fd = weir_dial(text, NULL, WEIR_FOREVER)) >= 0)
        CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(fd, -ECONNREFUSED);
    CHECK_EQUAL(weir_listener_close(server.listener), -EBUSY);
    talk(client);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(call_finish(&server.call), 0);
    CHECK_EQUAL(weir_listener_address(server.listener, 0, text, sizeof text), -ENOENT);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    return 0;
}

static void test_refused_while_it_drains(void **state)
{
    (void)state;
    run_and_count_fds(closed_body, NULL, &one_loop);
}

/* A socket that listens no more ends the serving, with its error. */
static int broken_body(void *arg)
{
    struct server server;
    struct sockaddr_in address;
    int plain = loopback_socket(8, &address), client, shared = known(dup(plain));

    (void)arg;
    server_open(&server, NULL);
    CHECK_EQUAL(weir_listener_adopt(server.listener, plain), 0);
    call_start(&server.call);
    client = client_of(&server);
    talk(client);
    CHECK_EQUAL(shutdown(shared, SHUT_RDWR), 0);
    weir__sched_settle();
    talk(client); /* it is not cut off */
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(call_finish(&server.call), -EINVAL);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    plain_close(shared);
    return 0;
}

/* Clients come and go while the server is stopped: each is served, or never accepted. */
struct storm {
    const struct server *server;
    _Atomic bool over;
};

static int storm_client(void *arg)
{
    struct storm *storm = arg;

    while (!atomic_load(&storm->over)) {
        const struct linger hard = { .l_onoff = 1 };
        int fd = weir_socket(AF_INET, SOCK_STREAM, 0);
        char byte;

        if (weir_connect(fd, (const struct sockaddr *)&storm->server->address,
                         sizeof storm->server->address, WEIR_FOREVER) >= 0 &&
            weir_send(fd, "x", 1, 0, WEIR_FOREVER) == 1)
            (void)!weir_recv(fd, &byte, 1, 0, WEIR_FOREVER);
        (void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        CHECK_EQUAL(weir_close(fd), 0);
    }
    return 0;
}

static void stop_in_storm(const struct weir_listener_options *options, int64_t drain_ns)
{
    struct server server;
    struct storm storm = { .server = &server };
    struct weir_listener_stats stats;
    struct weir_scope *clients;

    server_start(&server, options);
    CHECK_EQUAL(weir_scope_create(&clients, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 16; i++)
        CHECK_EQUAL(weir_spawn(clients, storm_client, &storm, NULL), 0);
    test_await(&server.served, 50);
    CHECK_EQUAL(weir_listener_stop(server.listener, drain_ns), 0);
    atomic_store(&storm.over, true);
    call_finish(&server.call);
    stats = stats_now(&server);
    CHECK_EQUAL(stats.open, 0);
    CHECK_EQUAL(stats.accepted, (unsigned long)atomic_load(&server.ended) + stats.refused);
    CHECK_EQUAL(weir_listener_close(server.listener), 0);
    CHECK_EQUAL(weir_scope_join(clients, WEIR_FOREVER), 0);
}

static int storm_body(void *arg)
{
    struct weir_listener_options options = { .spread = *(enum weir_listener_spread *)arg };

    for (long round = 0; round < test_rounds(10, 200, 2000); round++) {
        options.connections_max = round % 2 ? 3 : 0;
        stop_in_storm(&options, round % 3 ? WEIR_NOW : WEIR_FOREVER);
    }
    return 0;
}

static void test_stop_in_a_storm(void **state)
{
    (void)state;
    for (enum weir_listener_spread spread = WEIR_LISTENER_HERE; spread <= WEIR_LISTENER_HAND_OVER;
         spread++)
        run_and_count_fds(storm_body, &spread, &two_loops);
}

static void test_broken_socket(void **state)
{
    (void)state;
    run_and_count_fds(broken_body, NULL, &one_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serve),
        cmocka_unit_test(test_bound_on_connections),
        cmocka_unit_test(test_no_room_for_a_task),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_stop_without_room),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_per_loop),
        cmocka_unit_test(test_shared_by_loops),
        cmocka_unit_test(test_narrow_bound_on_two_loops),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_refused_while_it_drains),
        cmocka_unit_test(test_broken_socket),
        cmocka_unit_test(test_stop_in_a_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
