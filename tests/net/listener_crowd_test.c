/* SPDX-License-Identifier: MIT */
/* Ten thousand silent connections on one loop, with small bounds everywhere: the one that speaks is
 * answered as if it were alone. */
#include "net/server.h"

#include <sys/resource.h>
#include <sys/wait.h>

struct crowd {
    int to_child[2], from_child[2];
    long count;
    pid_t child;
};

/* The child: connects `count` times, says so, and holds the connections until it is told. */
static void be_silent(struct crowd *crowd)
{
    struct sockaddr_in address;
    char byte = 0;

    if (read(crowd->to_child[0], &address, sizeof address) != sizeof address)
        _exit(1);
    for (long i = 0; i < crowd->count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            _exit(2);
    }
    if (write(crowd->from_child[1], &byte, 1) != 1 || read(crowd->to_child[0], &byte, 1) != 1)
        _exit(3);
    _exit(0);
}

/* The quickest of many round trips. */
static int64_t quickest(int fd)
{
    int64_t least_ns = INT64_MAX;

    for (int i = 0; i < 200; i++) {
        int64_t start_ns = weir_now_ns(), taken_ns;

        talk(fd);
        taken_ns = weir_now_ns() - start_ns;
        least_ns = taken_ns < least_ns ? taken_ns : least_ns;
    }
    return least_ns;
}

static int silent_body(void *arg)
{
    struct crowd *crowd = arg;
    struct server server;
    int64_t alone_ns, amid_ns;
    int client;

    server_start(&server, NULL);
    client = client_of(&server);
    alone_ns = quickest(client);
    CHECK_EQUAL(write(crowd->to_child[1], &server.address, sizeof server.address),
                sizeof server.address);
    CHECK_EQUAL(weir_poll(crowd->from_child[0], POLLIN, WEIR_FOREVER), POLLIN);
    test_await(&server.served, crowd->count + 1);
    amid_ns = quickest(client);
    print_message("round trip: alone %lld us, amid %ld silent ones %lld us\n",
                  (long long)alone_ns / 1000, crowd->count, (long long)amid_ns / 1000);
    CHECK(amid_ns < alone_ns * 4 + 200000); /* it does not grow with their number */
    CHECK_EQUAL(counter(WEIR_RING_OVERFLOWS), 0);
    CHECK_EQUAL(write(crowd->to_child[1], "x", 1), 1);
    CHECK_EQUAL(weir_close(client), 0);
    CHECK_EQUAL(server_stop(&server, WEIR_FOREVER), 0);
    return 0;
}

static void test_one_among_the_silent(void **state)
{
    struct crowd crowd = { .count = test_rounds(1000, 10000, 10000) };
    struct weir_options small = {
        .loop_count = 1,
        .ring_entries = 8,
        .tasks_per_loop = (unsigned)crowd.count + 16,
        .submission_limit = 1,
        .pool_threads_max = 1,
        .pool_queue_limit = 1,
        .stack_bytes = 16384,
    };
    struct rlimit limit;
    int status;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < (rlim_t)crowd.count + 64) {
        print_message("[  SKIPPED ] ulimit -n is %ld\n", (long)limit.rlim_cur);
        return;
    }
    assert_int_equal(pipe2(crowd.to_child, O_CLOEXEC), 0);
    assert_int_equal(pipe2(crowd.from_child, O_CLOEXEC), 0);
    crowd.child = fork();
    if (crowd.child == 0)
        be_silent(&crowd);
    run_and_count_fds(silent_body, &crowd, &small);
    assert_int_equal(waitpid(crowd.child, &status, 0), crowd.child);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(crowd.to_child[i]);
        close(crowd.from_child[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_among_the_silent) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
