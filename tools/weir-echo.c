/* SPDX-License-Identifier: MIT */
/* The shortest honest server: echoes what it gets. weir-echo [--port N] [--loops N] */
#include <weir.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static int serve_client(int fd, void *context) /* one task per connection */
{
    char request[4096];
    ssize_t count;

    (void)context;
    while ((count = weir_recv(fd, request, sizeof request, 0, weir_in_seconds(60))) > 0)
        if (weir_send_all(fd, request, (size_t)count, 0, NULL, weir_in_seconds(5)) < 0)
            break;
    return weir_close(fd); /* always done, cancelled or not */
}

static int serve(void *arg) /* each loop accepts on a socket of its own */
{
    const struct weir_listener_options options = { .spread = WEIR_LISTENER_PER_LOOP };
    struct weir_listener *listener;
    int error = weir_listener_open(&listener, arg, &options);

    if (error < 0)
        return error;
    error = weir_listener_serve(listener, serve_client, NULL);
    weir_listener_close(listener);
    return error;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        { "port", required_argument, NULL, 'p' },
        { "loops", required_argument, NULL, 'l' },
        { 0 },
    };
    struct weir_options options = { .loop_count = 1 };
    char address[64] = "127.0.0.1:7000";
    int option, error;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p')
            snprintf(address, sizeof address, "127.0.0.1:%s", optarg);
        else if (option == 'l')
            options.loop_count = (unsigned)atoi(optarg);
        else
            return 2;
    }
    error = weir_run(serve, address, &options);
    fprintf(stderr, "weir-echo: %s: %s\n", address, weir_error_name(error));
    return error < 0;
}
