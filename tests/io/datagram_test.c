/* SPDX-License-Identifier: MIT */
/* Datagrams: with addresses, many at once, cut and joined, of groups, with their times. */
#include "fixture.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 48, SMALL = 100 };

/* --- fixture ---------------------------------------------------------------------------------- */

static int udp_socket(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    int fd = weir_socket(AF_INET, SOCK_DGRAM, 0);

    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    CHECK_EQUAL(weir_bind(fd, (struct sockaddr *)address, bytes, WEIR_FOREVER), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

/* Many messages of one buffer each. */
struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in addresses[BATCH];
    char bytes[BATCH][SMALL];
};

static void batch_init(struct batch *batch, size_t bytes)
{
    memset(batch->messages, 0, sizeof batch->messages);
    for (int i = 0; i < BATCH; i++) {
        struct msghdr *message = &batch->messages[i].msg_hdr;

        batch->vectors[i] = (struct iovec){ batch->bytes[i], bytes };
        message->msg_iov = &batch->vectors[i];
        message->msg_iovlen = 1;
        message->msg_name = &batch->addresses[i];
        message->msg_namelen = sizeof batch->addresses[i];
    }
}

/* --- one -------------------------------------------------------------------------------------- */

static int address_body(void *arg)
{
    struct sockaddr_in addresses[2], from = { 0 };
    int fds[2] = { udp_socket(&addresses[0]), udp_socket(&addresses[1]) };
    socklen_t bytes = sizeof from;
    char text[64], wanted[64];
    char byte = 0;

    (void)arg;
    CHECK_EQUAL(weir_sendto(fds[0], "x", 1, 0, (struct sockaddr *)&addresses[1],
                            sizeof addresses[1], WEIR_FOREVER),
                1);
    CHECK_EQUAL(weir_recvfrom(fds[1], &byte, 1, 0, (struct sockaddr *)&from, &bytes, WEIR_FOREVER),
                1);
    CHECK_EQUAL(byte, 'x');
    CHECK_EQUAL(bytes, sizeof from);
    CHECK_EQUAL(from.sin_port, addresses[0].sin_port);
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(from.sin_port));
    CHECK_EQUAL(weir_address_text((struct sockaddr *)&from, bytes, text, sizeof text),
                strlen(wanted));
    CHECK_EQUAL(strcmp(text, wanted), 0);
    CHECK_EQUAL(weir_recvfrom(fds[1], &byte, 1, 0, NULL, NULL, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_recvfrom(fds[1], &byte, 1, 0, NULL, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_sendto(fds[0], NULL, 0, 0, (struct sockaddr *)&addresses[1],
                            sizeof addresses[1], WEIR_FOREVER),
                0); /* an empty one */
    CHECK_EQUAL(weir_recvfrom(fds[1], &byte, 1, 0, NULL, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(fds[0]), 0);
    CHECK_EQUAL(weir_close(fds[1]), 0);
    return 0;
}

static void test_addresses(void **state)
{
    (void)state;
    assert_int_equal(test_run(address_body, NULL, &one_loop), 0);
}

/* --- many ------------------------------------------------------------------------------------- */

static void send_batch(int fd, struct batch *batch, const struct sockaddr_in *to, int first)
{
    int sent = 0;

    batch_init(batch, SMALL);
    for (int i = 0; i < BATCH; i++) {
        memset(batch->bytes[i], first + i, SMALL);
        batch->vectors[i].iov_len = (size_t)(i % SMALL);
        batch->addresses[i] = *to;
    }
    while (sent < BATCH) {
        int count =
            weir_sendmmsg(fd, batch->messages + sent, (unsigned)(BATCH - sent), 0, WEIR_FOREVER);

        if (!CHECK(count > 0))
            return;
        sent += count;
    }
}

static int many_body(void *arg)
{
    struct sockaddr_in to, from;
    int receiver = udp_socket(&to), sender = udp_socket(&from);
    struct batch *out = calloc(1, sizeof *out), *in = calloc(1, sizeof *in);

    (void)arg;
    batch_init(in, SMALL);
    CHECK_EQUAL(weir_recvmmsg(receiver, in->messages, BATCH, 0, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_recvmmsg(receiver, in->messages, BATCH, 0, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_recvmmsg(receiver, in->messages, BATCH, MSG_DONTWAIT, WEIR_FOREVER), -EAGAIN);
    send_batch(sender, out, &to, 0);
    batch_init(in, SMALL);
    CHECK_EQUAL(weir_recvmmsg(receiver, in->messages, BATCH, 0, WEIR_FOREVER), BATCH);
    for (int i = 0; i < BATCH; i++) {
        CHECK_EQUAL(in->messages[i].msg_len, i % SMALL);
        CHECK_EQUAL(memcmp(in->bytes[i], out->bytes[i], (size_t)(i % SMALL)), 0);
        CHECK_EQUAL(in->addresses[i].sin_port, from.sin_port);
    }
    CHECK_EQUAL(routed(WEIR__OP_ID_RECVMMSG, WEIR__ROUTE_INLINE), 4);
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(weir_close(sender), 0);
    free(out);
    free(in);
    return 0;
}

static void test_many_at_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(many_body, NULL, &one_loop), 0);
}

static int64_t recv_many(void *arg, int64_t deadline_ns)
{
    struct batch *batch = calloc(1, sizeof *batch);
    int result;

    batch_init(batch, SMALL);
    result = weir_recvmmsg(*(int *)arg, batch->messages, BATCH, 0, deadline_ns);
    if (result > 0)
        CHECK_EQUAL(batch->messages[0].msg_len, 3);
    free(batch);
    return result;
}

/* Waits for the first; ends by cancel and by close. */
static int wait_body(void *arg)
{
    struct sockaddr_in to, from;
    int receiver = udp_socket(&to), sender = udp_socket(&from);
    struct call call = call_of(recv_many, &receiver);

    (void)arg;
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_sendto(sender, "abc", 3, 0, (struct sockaddr *)&to, sizeof to, WEIR_FOREVER),
                3);
    CHECK_EQUAL(call_finish(&call), 1);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    CHECK_EQUAL(weir_close(sender), 0);
    return 0;
}

static void test_many_wait_for_the_first(void **state)
{
    (void)state;
    assert_int_equal(test_run(wait_body, NULL, &one_loop), 0);
}

/* A full socket takes what it has room for; of a unix pair, since loopback UDP drops instead. */
static int full_body(void *arg)
{
    struct batch *batch = calloc(1, sizeof *batch);
    int pair[2], sent = 0, received = 0, count;

    (void)arg;
    CHECK_EQUAL(weir_socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    batch_init(batch, SMALL);
    for (int i = 0; i < BATCH; i++)
        batch->messages[i].msg_hdr.msg_namelen = 0;
    while ((count = weir_sendmmsg(pair[0], batch->messages, BATCH, 0, WEIR_NOW)) > 0)
        sent += count;
    CHECK_EQUAL(count, -EAGAIN);
    CHECK(sent > 0);
    CHECK_EQUAL(weir_sendmmsg(pair[0], batch->messages, BATCH, 0, weir_in_ms(1)), -ETIME);
    while ((count = weir_recvmmsg(pair[1], batch->messages, BATCH, 0, WEIR_NOW)) > 0)
        received += count;
    CHECK_EQUAL(received, sent);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    free(batch);
    return 0;
}

static void test_a_full_socket(void **state)
{
    (void)state;
    assert_int_equal(test_run(full_body, NULL, &one_loop), 0);
}

struct counted {
    int fd;
    long rounds;
};

/* Numbers, in batches of changing size, over a pair that loses none. */
static int64_t send_numbers(void *arg, int64_t deadline_ns)
{
    struct counted *counted = arg;
    uint32_t numbers[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    long next = 0;

    while (next < counted->rounds) {
        unsigned count = (unsigned)(next % BATCH) + 1;
        int sent;

        memset(messages, 0, sizeof messages);
        for (unsigned i = 0; i < count; i++) {
            numbers[i] = (uint32_t)next + i;
            vectors[i] = (struct iovec){ &numbers[i], sizeof numbers[i] };
            messages[i].msg_hdr.msg_iov = &vectors[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        sent = weir_sendmmsg(counted->fd, messages, count, 0, deadline_ns);
        if (!CHECK(sent > 0))
            break;
        next += sent;
        if (next % 3 == 0)
            CHECK_EQUAL(weir_sleep(weir_in_us(next % 50)), 0);
    }
    return next;
}

/* Deadlines race with arrivals: each datagram comes once, in order. */
static int race_body(void *arg)
{
    struct counted counted = { .rounds = test_rounds(3000, 100000, 1000000) };
    struct call call = call_of(send_numbers, &counted);
    uint32_t numbers[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    long next = 0;
    int pair[2];

    (void)arg;
    CHECK_EQUAL(weir_socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    counted.fd = pair[1];
    call.loop_index = 1;
    call_start(&call);
    for (long i = 0; next < counted.rounds; i++) {
        int count;

        memset(messages, 0, sizeof messages);
        for (unsigned k = 0; k < BATCH; k++) {
            vectors[k] = (struct iovec){ &numbers[k], sizeof numbers[k] };
            messages[k].msg_hdr.msg_iov = &vectors[k];
            messages[k].msg_hdr.msg_iovlen = 1;
        }
        count = weir_recvmmsg(pair[0], messages, (unsigned)(i % BATCH) + 1, 0,
                              i % 5 ? weir_in_us(i % 40 + 1) : WEIR_FOREVER);
        CHECK(count > 0 || count == -ETIME);
        for (int k = 0; k < count; k++)
            CHECK_EQUAL(numbers[k], next++);
    }
    CHECK(call_finish(&call) >= counted.rounds);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_many_race_with_deadlines(void **state)
{
    (void)state;
    assert_int_equal(test_run(race_body, NULL, &two_loops), 0);
}

/* --- cut and joined --------------------------------------------------------------------------- */

/* More than the kernel cuts at once, and no more than a socket holds: it drops the rest. */
enum { CUT_BYTES = 90 * 500 + 77, CUT_SEGMENT = 500 };

static int64_t send_cut(void *arg, int64_t deadline_ns)
{
    struct sockaddr_in from, *to = arg;
    int fd = udp_socket(&from);
    char *block = pattern_block(CUT_BYTES);
    ssize_t sent = weir_send_segments(fd, block, CUT_BYTES, CUT_SEGMENT, (struct sockaddr *)to,
                                      sizeof *to, deadline_ns);

    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    return sent;
}

/* Each datagram once and whole, in order, whether cut by the kernel or not, joined or not. */
static int cut_body(void *arg)
{
    static char buffer[65536];
    struct sockaddr_in to;
    int fd = udp_socket(&to);
    struct call call = call_of(send_cut, &to);
    char *block = pattern_block(CUT_BYTES);
    bool joins = arg != NULL, joined = false;
    size_t done_bytes = 0;

    CHECK_EQUAL(weir_socket_set(fd, WEIR_SOCKET_RECEIVE_BUFFER, 200 * 1024), 0);
    CHECK_EQUAL(weir_socket_set(fd, WEIR_SOCKET_GRO, joins), 0);
    call_start(&call);
    while (done_bytes < CUT_BYTES) {
        size_t control[WEIR_CONTROL_BYTES / sizeof(size_t)];
        struct iovec vector = { buffer, sizeof buffer };
        struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
        ssize_t bytes;

        message.msg_control = control;
        message.msg_controllen = sizeof control;
        bytes = weir_recvmsg(fd, &message, 0, weir_in_seconds(10));
        if (!CHECK(bytes > 0))
            break;
        for (size_t at = 0, part; at < (size_t)bytes; at += part) {
            size_t left_bytes = CUT_BYTES - done_bytes;

            part = weir_message_segment(&message, (size_t)bytes, at);
            CHECK_EQUAL(part, left_bytes < CUT_SEGMENT ? left_bytes : CUT_SEGMENT);
            CHECK_EQUAL(memcmp(buffer + at, block + done_bytes, part), 0);
            done_bytes += part;
            joined |= at > 0;
        }
        CHECK_EQUAL(weir_message_segment(&message, (size_t)bytes, (size_t)bytes), 0);
    }
    CHECK(joins || !joined);
    CHECK_EQUAL(call_finish(&call), CUT_BYTES);
    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    return 0;
}

static const struct weir_options no_cutting = {
    .loop_count = 1,
    .without_features = WEIR_FEATURE_UDP_SEGMENT,
};

static void test_cut_and_joined(void **state)
{
    (void)state;
    assert_int_equal(test_run(cut_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(cut_body, "joined", &one_loop), 0);
    assert_int_equal(test_run(cut_body, NULL, &no_cutting), 0);
}

/* A segment that no interface carries whole is not cut by the kernel; it goes all the same. */
static int wide_body(void *arg)
{
    static char buffer[65536];
    struct sockaddr_in to, from;
    int receiver = udp_socket(&to), sender = udp_socket(&from);

    (void)arg;
    CHECK_EQUAL(weir_socket_set(receiver, WEIR_SOCKET_RECEIVE_BUFFER, 200 * 1024), 0);
    CHECK_EQUAL(weir_connect(sender, (struct sockaddr *)&to, sizeof to, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_send_segments(sender, buffer, 65508, 65507, NULL, 0, WEIR_FOREVER), 65508);
    CHECK_EQUAL(weir_recv(receiver, buffer, sizeof buffer, 0, WEIR_FOREVER), 65507);
    CHECK_EQUAL(weir_recv(receiver, buffer, sizeof buffer, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(weir_close(sender), 0);
    return 0;
}

static void test_the_widest_segment(void **state)
{
    (void)state;
    assert_int_equal(test_run(wide_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(wide_body, NULL, &no_cutting), 0);
}

/* --- groups ----------------------------------------------------------------------------------- */

static bool can_multicast(void)
{
    char state[256] = "";
    FILE *file = fopen("/sys/class/net/lo/flags", "r");
    unsigned flags = 0;

    if (file && fgets(state, sizeof state, file))
        flags = (unsigned)strtoul(state, NULL, 16);
    if (file)
        fclose(file);
    return flags & IFF_UP;
}

static void check_group_v4(void)
{
    struct ip_mreqn at = { .imr_ifindex = (int)if_nametoindex("lo") };
    struct sockaddr_in self, to;
    int receiver = weir_socket(AF_INET, SOCK_DGRAM, 0), sender = udp_socket(&self);
    socklen_t bytes = sizeof to;
    char byte;

    to = (struct sockaddr_in){ .sin_family = AF_INET };
    CHECK_EQUAL(weir_bind(receiver, (struct sockaddr *)&to, sizeof to, WEIR_FOREVER), 0);
    CHECK_EQUAL(getsockname(receiver, (struct sockaddr *)&to, &bytes), 0);
    CHECK_EQUAL(inet_pton(AF_INET, "239.255.7.8", &to.sin_addr), 1);
    CHECK_EQUAL(weir_multicast_join(receiver, "239.255.7.8", "lo", WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_multicast_join(receiver, "239.255.7.8", "lo", WEIR_FOREVER), -EADDRINUSE);
    CHECK_EQUAL(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &at, sizeof at), 0);
    CHECK_EQUAL(weir_sendto(sender, "m", 1, 0, (struct sockaddr *)&to, sizeof to, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(receiver, &byte, 1, 0, weir_in_seconds(10)), 1);
    CHECK_EQUAL(weir_multicast_leave(receiver, "239.255.7.8", "lo", WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_multicast_leave(receiver, "239.255.7.8", "lo", WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(weir_close(sender), 0);
}

static int group_body(void *arg)
{
    int v4 = weir_socket(AF_INET, SOCK_DGRAM, 0), v6 = weir_socket(AF_INET6, SOCK_DGRAM, 0);

    (void)arg;
    check_group_v4();
    if (v6 >= 0) {
        CHECK_EQUAL(weir_multicast_join(v6, "ff12::7:8", "lo", WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_multicast_leave(v6, "ff12::7:8", "lo", WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_close(v6), 0);
    }
    CHECK_EQUAL(weir_multicast_join(v4, "127.0.0.1", NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_multicast_join(v4, "::1", NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_multicast_join(v4, "nonsense", NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_multicast_join(v4, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_multicast_join(v4, "239.255.7.8", "missing", WEIR_FOREVER), -ENODEV);
    CHECK_EQUAL(weir_close(v4), 0);
    return 0;
}

static void test_groups(void **state)
{
    (void)state;
    if (!can_multicast())
        skip();
    assert_int_equal(test_run(group_body, NULL, &one_loop), 0);
}

/* --- times ------------------------------------------------------------------------------------ */

static int receive_time(int receiver, int sender, const struct sockaddr_in *to,
                        struct weir_timestamps *times)
{
    size_t control[WEIR_CONTROL_BYTES / sizeof(size_t)];
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    message.msg_control = control;
    message.msg_controllen = sizeof control;
    CHECK_EQUAL(
        weir_sendto(sender, "t", 1, 0, (const struct sockaddr *)to, sizeof *to, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recvmsg(receiver, &message, 0, WEIR_FOREVER), 1);
    return weir_message_timestamps(&message, times);
}

/* The kernel begins to take times a little after the first socket asks for them. */
static int time_body(void *arg)
{
    struct sockaddr_in to, from;
    int receiver = udp_socket(&to), sender = udp_socket(&from);
    struct weir_timestamps times;
    struct timespec now;

    (void)arg;
    CHECK_EQUAL(receive_time(receiver, sender, &to, &times), -ENOENT);
    for (int on = 1; on < 3; on++) {
        CHECK_EQUAL(weir_socket_set(receiver, WEIR_SOCKET_TIMESTAMPS, on), 0);
        while (receive_time(receiver, sender, &to, &times) != 0)
            CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0);
        clock_gettime(CLOCK_REALTIME, &now);
        CHECK(llabs(times.software_ns / 1000000000 - now.tv_sec) < 3600); /* clocks may be set */
        CHECK_EQUAL(times.hardware_ns, 0);
    }
    CHECK_EQUAL(weir_message_timestamps(NULL, &times), -EINVAL);
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(weir_close(sender), 0);
    return 0;
}

static void test_times(void **state)
{
    (void)state;
    assert_int_equal(test_run(time_body, NULL, &one_loop), 0);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int refusals_body(void *arg)
{
    static char huge[70000];
    struct sockaddr_in to, from, none;
    int receiver = udp_socket(&to), sender = udp_socket(&from), gone = udp_socket(&none);
    struct mmsghdr message = { .msg_hdr = { .msg_iovlen = 1 } };
    int file = memory_file();
    socklen_t bytes = sizeof from;

    (void)arg;
    CHECK_EQUAL(weir_recvfrom(receiver, NULL, 1, 0, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recvfrom(receiver, huge, 1, 0, (struct sockaddr *)&from, NULL, WEIR_NOW),
                -EINVAL);
    CHECK_EQUAL(weir_sendto(sender, "x", 1, 0, NULL, 0, WEIR_FOREVER), -EDESTADDRREQ);
    CHECK_EQUAL(weir_sendto(sender, "x", 1, 0, (struct sockaddr *)&to, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_sendto(sender, "x", 1, 0, (struct sockaddr *)&to, 1 << 20, WEIR_FOREVER),
                -EINVAL);
    CHECK_EQUAL(
        weir_sendto(sender, huge, sizeof huge, 0, (struct sockaddr *)&to, bytes, WEIR_FOREVER),
        -EMSGSIZE);
    CHECK_EQUAL(weir_sendto(file, "x", 1, 0, NULL, 0, WEIR_FOREVER), -ENOTSOCK);
    CHECK_EQUAL(weir_recvmmsg(receiver, NULL, 1, 0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recvmmsg(receiver, &message, 0, 0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recvmmsg(receiver, &message, 1, 0, WEIR_NOW), -EINVAL); /* no iovec */
    message.msg_hdr.msg_iovlen = (size_t)1 << 40;
    CHECK_EQUAL(weir_sendmmsg(sender, &message, 1, 0, WEIR_NOW), -EINVAL);
    message.msg_hdr.msg_iovlen = 0;
    CHECK_EQUAL(weir_recvmmsg(file, &message, 1, 0, WEIR_NOW), -ENOTSOCK);
    CHECK_EQUAL(weir_recvmmsg(-1, &message, 1, 0, WEIR_NOW), -EBADF);
    CHECK_EQUAL(weir_send_segments(sender, huge, 10, 0, NULL, 0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_send_segments(sender, huge, 10, 65508, NULL, 0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_send_segments(sender, NULL, 10, 5, NULL, 0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_send_segments(sender, huge, 0, 5, NULL, 0, WEIR_NOW), 0);
    CHECK_EQUAL(weir_send_segments(sender, huge, 10, 5, NULL, 0, WEIR_NOW), -EDESTADDRREQ);
    CHECK_EQUAL(weir_close(gone), 0);
    CHECK_EQUAL(weir_connect(sender, (struct sockaddr *)&none, bytes, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_send(sender, "x", 1, 0, WEIR_FOREVER), 1); /* nobody there: the next hears */
    CHECK_EQUAL(weir_recvfrom(sender, huge, 1, 0, NULL, NULL, weir_in_seconds(10)), -ECONNREFUSED);
    CHECK_EQUAL(weir_close(receiver), 0);
    CHECK_EQUAL(weir_close(sender), 0);
    CHECK_EQUAL(weir_close(file), 0);
    return 0;
}

static void test_refusals(void **state)
{
    struct mmsghdr message = { 0 };

    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, &one_loop), 0);
    assert_int_equal(weir_recvmmsg(0, &message, 1, 0, WEIR_NOW), -ENXIO);
    assert_int_equal(weir_send_segments(0, "x", 1, 1, NULL, 0, WEIR_NOW), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_many_wait_for_the_first),
        cmocka_unit_test(test_a_full_socket),
        cmocka_unit_test(test_many_race_with_deadlines),
        cmocka_unit_test(test_cut_and_joined),
        cmocka_unit_test(test_the_widest_segment),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
