/* SPDX-License-Identifier: MIT */
/*
 * A real manager: systemd-socket-activate listens, and starts this program as the service when the
 * first client comes. The service adopts the socket, says that it is ready, answers, and stops.
 */
#include "io/fixture.h"

#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { SKIPPED = 77, TRIES_MAX = 2000, TRY_PAUSE_US = 5000 };

static const char activator[] = "systemd-socket-activate";

/* --- The service ------------------------------------------------------------------------------ */

static int answer_one(int fd, void *context)
{
    char byte;

    if (weir_recv(fd, &byte, 1, 0, WEIR_FOREVER) == 1)
        CHECK_EQUAL(weir_send(fd, &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_listener_stop(context, WEIR_FOREVER), 0);
    return weir_close(fd);
}

static int serve(void *arg)
{
    const struct weir_inherited *web = arg;
    struct weir_listener *listener;

    if (weir_listener_open(&listener, NULL, NULL) < 0 ||
        weir_listener_adopt(listener, web->fd) < 0 ||
        weir_notify("READY=1", weir_in_seconds(5)) != 1)
        return 1;
    CHECK_EQUAL(weir_listener_serve(listener, answer_one, listener), 0);
    CHECK_EQUAL(weir_notify("STOPPING=1", weir_in_seconds(5)), 1);
    return weir_listener_close(listener);
}

/* Exits with 0 if all went well. */
static int be_the_service(void)
{
    struct weir_inherited inherited[2];
    int count = weir_inherited_take(inherited, 2);
    const struct weir_inherited *web;

    if (count != 1)
        return 2;
    web = weir_inherited_find(inherited, 1, "web", WEIR_INHERITED_LISTENER);
    return web ? weir_run(serve, (void *)web, &one_loop) : 3;
}

/* --- The test --------------------------------------------------------------------------------- */

static const char *own_path;

/* A port that nobody listens at. */
static in_port_t free_port(void)
{
    struct sockaddr_in address;

    plain_close(loopback_socket(-1, &address));
    return address.sin_port;
}

static pid_t start_activator(in_port_t port, const char *notify)
{
    char at[32], variable[64], tier[] = "WEIR_TEST_SERVICE=1";
    pid_t child;

    snprintf(at, sizeof at, "127.0.0.1:%u", ntohs(port));
    snprintf(variable, sizeof variable, "NOTIFY_SOCKET=%s", notify);
    child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* it is talkative */
        execlp(activator, activator, "-l", at, "--fdname=web", "-E", variable, "-E", tier, own_path,
               (char *)NULL);
        _exit(SKIPPED);
    }
    return child;
}

/* The activator needs a while until it listens. */
static int connect_patiently(in_port_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = port };

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < TRIES_MAX; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        close(fd);
        usleep(TRY_PAUSE_US);
    }
    return -1;
}

static void assert_told(int manager, const char *wanted)
{
    char heard[100];
    ssize_t count = recv(manager, heard, sizeof heard - 1, 0);

    assert_true(count > 0);
    heard[count] = '\0';
    assert_string_equal(heard, wanted);
}

static void test_activation(void **state)
{
    static const struct timeval patience = { .tv_sec = 60 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    in_port_t port = free_port();
    char notify[32], byte = 0;
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int client, status;
    pid_t child;

    (void)state;
    snprintf(notify, sizeof notify, "@weir-activation-%d", (int)getpid());
    memcpy(address.sun_path + 1, notify + 1, strlen(notify) - 1);
    assert_int_equal(bind(manager, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(notify))),
                     0);
    assert_int_equal(setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    child = start_activator(port, notify);
    client = connect_patiently(port);
    assert_true(client >= 0);
    assert_told(manager, "READY=1");
    assert_int_equal(send(client, "x", 1, 0), 1);
    assert_int_equal(recv(client, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_told(manager, "STOPPING=1");
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(client);
    close(manager);
}

static bool is_there(const char *program)
{
    char command[100];

    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    return system(command) == 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_activation) };

    (void)argc;
    if (getenv("WEIR_TEST_SERVICE"))
        return be_the_service();
    if (!is_there(activator)) {
        puts("skipped: systemd-socket-activate is missing (Debian: systemd)");
        return SKIPPED;
    }
    own_path = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
