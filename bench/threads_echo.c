/* SPDX-License-Identifier: MIT */
/*
 * Blocking servers: a thread per connection for the echo; for requests that wait for a backend, the
 * usual server of a fixed number of threads, each of which holds one request at a time.
 */
#include "echo.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREAD_STACK_BYTES = 64 << 10 };

static void start_thread(void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    trial_check(-pthread_create(&thread, &attributes, function, argument), "pthread_create");
    pthread_attr_destroy(&attributes);
}

/* --- A thread per connection ----------------------------------------------------------------- */

/* Blocking, so short only when it failed. */
static bool send_all(int fd, const char *bytes, size_t count)
{
    return send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

static void *serve_connection(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char buffer[ECHO_BUFFER_BYTES];
    ssize_t count;

    while ((count = recv(fd, buffer, sizeof buffer, 0)) > 0)
        if (!send_all(fd, buffer, (size_t)count))
            break;
    close(fd);
    return NULL;
}

void threads_echo(const struct echo_job *job)
{
    for (;;) {
        int fd = trial_check_errno(accept4(job->listener, NULL, NULL, SOCK_CLOEXEC), "accept");
        start_thread(serve_connection, (void *)(intptr_t)echo_accepted(fd));
    }
}

/* --- A fixed number of threads --------------------------------------------------------------- */

static int waiting_epoll;

/* One request: receive, wait for the backend, answer. False: the connection has ended. */
static bool serve_request(int fd)
{
    struct timespec wait = { .tv_nsec = ECHO_WAIT_MS * 1000000L };
    char buffer[ECHO_BUFFER_BYTES];
    ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);

    if (count < 0 && errno == EAGAIN)
        return true;
    if (count <= 0)
        return false;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, &wait) == EINTR)
        ;
    return send_all(fd, buffer, (size_t)count);
}

static void *serve_requests(void *argument)
{
    struct epoll_event event;

    (void)argument;
    for (;;) {
        if (epoll_wait(waiting_epoll, &event, 1, -1) != 1)
            continue;
        if (!serve_request(event.data.fd)) {
            close(event.data.fd);
            continue;
        }
        event.events = EPOLLIN | EPOLLONESHOT;
        epoll_ctl(waiting_epoll, EPOLL_CTL_MOD, event.data.fd, &event);
    }
    return NULL;
}

void threads_waiting(const struct echo_job *job)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

    waiting_epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (unsigned thread = 0; thread < job->threads; thread++)
        start_thread(serve_requests, NULL);
    for (;;) {
        event.data.fd = echo_accepted(
            trial_check_errno(accept4(job->listener, NULL, NULL, SOCK_CLOEXEC), "accept"));
        trial_check_errno(epoll_ctl(waiting_epoll, EPOLL_CTL_ADD, event.data.fd, &event),
                          "epoll_ctl");
    }
}
