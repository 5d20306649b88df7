/* SPDX-License-Identifier: MIT */
/* Sends without a copy pin memory: a process that may not lock so much sends with one. */
#include "stream_fixture.h"

#include <ifaddrs.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { LOCKED_BYTES = 256 * 1024, SENT_BYTES = 1024 * 1024, OUTPUT_BYTES = 2048 };

/* An address of this machine that is no loopback's: there, sends are always copied. */
static bool find_address(struct sockaddr_in *address)
{
    struct ifaddrs *all = NULL;
    bool found = false;

    if (getifaddrs(&all) < 0)
        return false;
    for (struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
            continue;
        *address = *(const struct sockaddr_in *)(const void *)one->ifa_addr;
        found = ntohl(address->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
    }
    freeifaddrs(all);
    return found;
}

static int64_t hear_call(void *arg, int64_t deadline_ns)
{
    char *heard = malloc(SENT_BYTES), *sent = pattern_block(SENT_BYTES);
    int64_t count = weir_recv_all(*(int *)arg, heard, SENT_BYTES, 0, NULL, deadline_ns);

    CHECK(count != SENT_BYTES || memcmp(heard, sent, SENT_BYTES) == 0);
    free(heard);
    free(sent);
    return count;
}

static int limited_body(void *arg)
{
    struct sockaddr_in address = *(struct sockaddr_in *)arg;
    socklen_t address_bytes = sizeof address;
    char *bytes = pattern_block(SENT_BYTES);
    int listener = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), peer;
    struct weir_stream *stream = NULL;
    struct call call = call_of(hear_call, &peer);
    int64_t written, heard;

    address.sin_port = 0;
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQUAL(listen(listener, 1), 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &address_bytes), 0);
    CHECK_EQUAL(weir_stream_open(&stream, plain_connect(&address), NULL), 0);
    peer = known(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    plain_close(listener);
    call.deadline_ns = weir_in_seconds(20);
    call_start(&call);
    written = weir_stream_write(stream, bytes, SENT_BYTES, weir_in_seconds(20));
    if (written < 0)
        CHECK_EQUAL(weir_task_cancel(call.task), 0);
    heard = call_finish(&call);
    free(bytes);
    close_both(stream, peer);
    return written == SENT_BYTES && heard == SENT_BYTES ? 0 : 1;
}

static void run_limited(void *arg)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    struct rlimit limit = { LOCKED_BYTES, LOCKED_BYTES };

    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || syscall(SYS_capset, &header, none) < 0)
        _exit(77);
    _exit(weir_run(limited_body, arg, &whole));
}

static void test_sends_under_a_memlock_limit(void **state)
{
    char output[OUTPUT_BYTES];
    struct sockaddr_in address;
    int status;

    (void)state;
    if (!find_address(&address)) {
        print_message("skipped: no address but the loopback's\n");
        skip();
    }
    status = test_fork(run_limited, &address, output, sizeof output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (status != 0)
        print_message("status %x: %s\n", (unsigned)status, output);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_under_a_memlock_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
