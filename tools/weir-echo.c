/* SPDX-License-Identifier: MIT */
/* The shortest honest server: echoes what it gets. weir-echo [--port N] [--loops N] */
#include <weir.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static int serve_client(void *arg) /* one task per connection */
{
    int fd = (int)(intptr_t)arg;
    char request[4096];
    ssize_t count;

    while ((count = weir_recv(fd, request, sizeof request, 0, weir_in_seconds(60))) > 0)
        if (weir_send_all(fd, request, (size_t)count, 0, NULL, weir_in_seconds(5)) < 0)
            break;
    return weir_close(fd); /* always done, cancelled or not */
}

static int serve(void *arg) /* one task per loop */
{
    struct weir_listen_options options = { .reuse_port = true };
    int listener = weir_listen_at(arg, &options);
    struct weir_scope *clients;
    int fd = weir_scope_create(&clients, WEIR_SCOPE_SUPERVISE, NULL);

    if (listener < 0 || fd < 0)
        return listener < 0 ? listener : fd;
    while ((fd = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER)) >= 0 || weir_is_transient(fd))
        if (fd < 0)
            weir_sleep(weir_in_ms(10)); /* no descriptor is free: do not spin */
        else if (weir_spawn(clients, serve_client, (void *)(intptr_t)fd, NULL) < 0)
            weir_close(fd); /* refused: the bound on tasks is reached */
    weir_close(listener);
    weir_scope_join(clients, WEIR_FOREVER);
    return fd;
}

static int serve_on_all_loops(void *arg)
{
    struct weir_spawn_options options = { .name = "serve", .place = WEIR_PLACE_LOOP };
    struct weir_report report;
    struct weir_scope *servers;
    int error = weir_scope_create(&servers, WEIR_SCOPE_FAIL_FAST, NULL);

    if (error < 0 || (error = weir_runtime_report(&report)) < 0)
        return error;
    for (; options.loop_index < report.loop_count && error >= 0; options.loop_index++)
        error = weir_spawn(servers, serve, arg, &options);
    if (error < 0)
        weir_scope_cancel(servers);
    return weir_scope_join(servers, WEIR_FOREVER);
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
    error = weir_run(serve_on_all_loops, address, &options);
    fprintf(stderr, "weir-echo: %s: %s\n", address, weir_error_name(error));
    return error < 0;
}
