/* SPDX-License-Identifier: MIT */
/*
 * Another library's non-blocking client runs on weir: it keeps its own socket, and only says what
 * it waits for (as libpq, c-ares and libcurl's multi interface do). weir_poll waits for it.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

enum { CLIENTS = 32, REQUEST_BYTES = 200000 };

/* --- The other library: knows nothing of weir ------------------------------------------------- */

enum wish { WISH_READ, WISH_WRITE, WISH_NOTHING, WISH_FAILED };

struct client {
    int fd;
    bool connected;
    size_t sent, received;
};

static bool must_wait(void)
{
    return errno == EAGAIN || errno == EINPROGRESS || errno == EALREADY;
}

static enum wish client_begin(struct client *client, const struct sockaddr_in *address)
{
    *client = (struct client){
        .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    if (client->fd < 0)
        return WISH_FAILED;
    if (connect(client->fd, (const struct sockaddr *)address, sizeof *address) < 0 && !must_wait())
        return WISH_FAILED;
    return WISH_WRITE;
}

/* As far as it gets without waiting. */
static enum wish client_go_on(struct client *client)
{
    static char bytes[65536];
    ssize_t count;

    while (client->sent < REQUEST_BYTES) {
        size_t left = REQUEST_BYTES - client->sent;

        count = send(client->fd, bytes, left < sizeof bytes ? left : sizeof bytes, MSG_NOSIGNAL);
        if (count < 0)
            return must_wait() ? WISH_WRITE : WISH_FAILED;
        client->sent += (size_t)count;
    }
    while (client->received < REQUEST_BYTES) {
        char answer[4096];

        count = recv(client->fd, answer, sizeof answer, 0);
        if (count <= 0)
            return count < 0 && must_wait() ? WISH_READ : WISH_FAILED;
        client->received += (size_t)count;
    }
    return WISH_NOTHING;
}

static void client_end(struct client *client)
{
    close(client->fd);
}

/* --- Its user, a task ------------------------------------------------------------------------- */

static int run_client(void *arg)
{
    struct client client;
    enum wish wish = client_begin(&client, arg);

    weir_forget(client.fd); /* the number is new, and not weir's */
    while (wish == WISH_READ || wish == WISH_WRITE) {
        int events = weir_poll(client.fd, wish == WISH_READ ? POLLIN : POLLOUT, weir_in_ms(20000));

        if (!CHECK(events > 0))
            break;
        wish = client_go_on(&client);
    }
    CHECK_EQUAL(wish, WISH_NOTHING);
    CHECK_EQUAL(client.received, REQUEST_BYTES);
    client_end(&client);
    return 0;
}

/* --- The other end ---------------------------------------------------------------------------- */

static int answer(void *arg)
{
    int fd = (int)(intptr_t)arg;
    size_t left = REQUEST_BYTES;
    char *bytes = malloc(REQUEST_BYTES);

    CHECK_EQUAL(weir_recv_all(fd, bytes, left, 0, NULL, weir_in_ms(20000)), REQUEST_BYTES);
    CHECK_EQUAL(weir_send_all(fd, bytes, left, 0, NULL, weir_in_ms(20000)), REQUEST_BYTES);
    free(bytes);
    return weir_close(fd);
}

static int serve(void *arg)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_spawn_options anywhere = { .place = WEIR_PLACE_ANYWHERE };
    int listener = weir_listen_at("127.0.0.1:0", NULL);
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;

    (void)arg;
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQUAL(weir_spawn(scope, run_client, &address, &anywhere), 0);
    for (int i = 0; i < CLIENTS; i++) {
        int fd = weir_accept(listener, NULL, NULL, 0, weir_in_ms(20000));

        CHECK(fd >= 0);
        CHECK_EQUAL(weir_spawn(scope, answer, (void *)(intptr_t)fd, &anywhere), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return weir_close(listener);
}

static void test_a_foreign_client_runs_on_poll(void **state)
{
    (void)state;
    run_clean(serve, &two_loops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_foreign_client_runs_on_poll),
    };

    return cmocka_run_group_tests_name("process/foreign", tests, NULL, NULL);
}
