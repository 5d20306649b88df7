/* SPDX-License-Identifier: MIT */
/*
 * An open-loop load: requests are due at times drawn beforehand, whatever the server does, and a
 * latency counts from when the request was due. It blocks, so it is for a thread of the pool.
 *
 * A request is LOAD_BYTES long; its reply begins with LOAD_ADMITTED or LOAD_REFUSED. A connection
 * has one request under way; when all have, the next is late, and its time counts.
 */
#ifndef WEIR_TESTS_NET_LOAD_H
#define WEIR_TESTS_NET_LOAD_H

#include "support/support.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LOAD_BYTES = 64,
    LOAD_CONNECTIONS = 64,
    LOAD_LATENCIES_MAX = 1 << 15,
    LOAD_ADMITTED = 'A',
    LOAD_REFUSED = 'R',
    LOAD_DRAIN_S = 60,        /* when replies that do not come are given up */
    LOAD_SPIN_NS = 50 * 1000, /* a request that is due so soon is waited for awake */
};

struct load {
    struct sockaddr_in address;
    double rate; /* requests a second */
    double seconds;
    unsigned connections; /* LOAD_CONNECTIONS at most */

    /* What came of it. */
    long sent;
    long admitted;
    long refused;
    long unanswered;
    int64_t lag_ns; /* the latest that it sent something by its own fault: it had no processor */
    double goodput; /* admitted a second */
    size_t latency_count;
    int64_t latencies_ns[LOAD_LATENCIES_MAX]; /* of those admitted, sorted at the end */
};

struct load_run {
    struct load *load;
    int epoll;
    int fds[LOAD_CONNECTIONS];
    int64_t due_ns[LOAD_CONNECTIONS]; /* of what is under way */
    unsigned idle[LOAD_CONNECTIONS];  /* a stack */
    unsigned idle_count;
    uint64_t random;
};

static inline int64_t load_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* From a uniform number, the gap to the next of requests that come at random: -log(1 - u), summed
 * up, as tests do without libm. */
static inline double load_gap(struct load_run *run)
{
    double u, power, sum = 0;

    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    u = (double)(run->random >> 11) / (double)(UINT64_C(1) << 53) * 0.99;
    power = u;
    for (int i = 1; i < 400; i++, power *= u)
        sum += power / i;
    return sum / 0.956; /* the mean of what is cut off at 0.99 */
}

static inline void load_open(struct load_run *run)
{
    const int on = 1;

    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(run->epoll >= 0);
    for (unsigned i = 0; i < run->load->connections; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

        run->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQUAL(
            connect(run->fds[i], (struct sockaddr *)&run->load->address, sizeof run->load->address),
            0);
        setsockopt(run->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        CHECK_EQUAL(epoll_ctl(run->epoll, EPOLL_CTL_ADD, run->fds[i], &event), 0);
        run->idle[run->idle_count++] = i;
    }
}

static inline void load_send(struct load_run *run, int64_t due_ns)
{
    unsigned index = run->idle[--run->idle_count];
    char request[LOAD_BYTES] = { 0 };
    uint64_t number = (uint64_t)run->load->sent++;

    memcpy(request + 8, &number, sizeof number);
    run->due_ns[index] = due_ns;
    CHECK_EQUAL(send(run->fds[index], request, sizeof request, MSG_NOSIGNAL), LOAD_BYTES);
}

static inline void load_receive(struct load_run *run, unsigned index)
{
    struct load *load = run->load;
    char reply[LOAD_BYTES];

    CHECK_EQUAL(recv(run->fds[index], reply, sizeof reply, MSG_WAITALL), LOAD_BYTES);
    run->idle[run->idle_count++] = index;
    if (reply[0] == LOAD_REFUSED) {
        load->refused++;
        return;
    }
    CHECK_EQUAL(reply[0], LOAD_ADMITTED);
    load->admitted++;
    if (load->latency_count < LOAD_LATENCIES_MAX)
        load->latencies_ns[load->latency_count++] = load_now() - run->due_ns[index];
}

/* Takes what has come; waits for it up to so long. */
static inline void load_turn(struct load_run *run, int64_t wait_ns)
{
    struct epoll_event events[LOAD_CONNECTIONS];
    struct timespec wait = { 0 };
    int count;

    if (wait_ns > LOAD_SPIN_NS) {
        wait.tv_sec = wait_ns / 1000000000;
        wait.tv_nsec = wait_ns % 1000000000;
    }
    count = epoll_pwait2(run->epoll, events, LOAD_CONNECTIONS, &wait, NULL);
    CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++)
        load_receive(run, events[i].data.u32);
}

static inline int load_compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return a < b ? -1 : a > b;
}

/* A pool job: the whole of it, from connecting to the last reply. */
static inline int load_go(void *arg)
{
    struct load *load = arg;
    struct load_run run = { .load = load, .random = 88172645463325252 };
    int64_t start_ns, end_ns, now_ns, busy_ns; /* when all connections were busy last */
    double due_ns;

    load->sent = load->admitted = load->refused = 0;
    load->lag_ns = 0;
    load->latency_count = 0;
    load_open(&run);
    start_ns = busy_ns = load_now();
    end_ns = start_ns + (int64_t)(load->seconds * 1e9);
    due_ns = (double)start_ns;
    while ((now_ns = load_now()) < end_ns) {
        while ((int64_t)due_ns <= now_ns && run.idle_count > 0) {
            int64_t from_ns = (int64_t)due_ns > busy_ns ? (int64_t)due_ns : busy_ns;

            if (now_ns - from_ns > load->lag_ns)
                load->lag_ns = now_ns - from_ns;
            load_send(&run, (int64_t)due_ns);
            due_ns += load_gap(&run) * 1e9 / load->rate;
        }
        if (run.idle_count == 0)
            busy_ns = now_ns;
        load_turn(&run, run.idle_count ? (int64_t)due_ns - now_ns : 1000000);
    }
    load->goodput = (double)load->admitted / load->seconds;
    while (run.idle_count < load->connections && load_now() < end_ns + LOAD_DRAIN_S * 1000000000LL)
        load_turn(&run, 10 * 1000000);
    load->unanswered = (long)load->connections - (long)run.idle_count;
    for (unsigned i = 0; i < load->connections; i++)
        close(run.fds[i]);
    close(run.epoll);
    qsort(load->latencies_ns, load->latency_count, sizeof load->latencies_ns[0], load_compare);
    return 0;
}

static inline int64_t load_quantile(const struct load *load, double share)
{
    size_t index = (size_t)((double)load->latency_count * share);

    return load->latency_count ? load->latencies_ns[index] : 0;
}

#endif
