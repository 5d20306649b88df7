/* SPDX-License-Identifier: MIT */
/* Runs a program of the gallery, `wrong` or `repaired`, with all detectors on; see gallery.h. */
#include "gallery.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool reported;
static int pipe_fds[2]; /* a byte for each who waits, once something was reported */

enum { BYTES = 16 };

const char gallery_awaits[] __attribute__((weak)) = "";

void __attribute__((weak)) gallery_options(struct weir_options *options)
{
    (void)options;
}

bool gallery_is_reported(void)
{
    return atomic_load(&reported);
}

int gallery_descriptor(void)
{
    return pipe_fds[0];
}

int gallery_await(void)
{
    char byte;

    return weir_read(pipe_fds[0], &byte, 1, WEIR_FOREVER) == 1 ? 0 : -1;
}

void gallery_report(const char *text)
{
    static const char bytes[BYTES];
    size_t length = strlen(text);

    pthread_mutex_lock(&mutex);
    printf("%s%s", text, length && text[length - 1] == '\n' ? "" : "\n");
    fflush(stdout);
    if (strstr(text, gallery_awaits) && !atomic_exchange(&reported, true) &&
        write(pipe_fds[1], bytes, BYTES) != BYTES)
        perror("write");
    pthread_mutex_unlock(&mutex);
}

/* That the machine is too busy is nobody's doing here. */
static void on_stall(void *context, const struct weir_stall *stall)
{
    (void)context;
    if (stall->kind == WEIR_STALL_STARVED)
        return;
    gallery_report(stall->text);
}

static void on_blocking_call(void *context, const struct weir_blocking_call *call)
{
    (void)context;
    gallery_report(call->text);
}

static void on_deadlock(void *context, const struct weir_deadlock *deadlock)
{
    (void)context;
    gallery_report(deadlock->text);
}

static void on_warning(void *context, const struct weir_warning *warning)
{
    (void)context;
    gallery_report(warning->text);
}

int main(int argc, char **argv)
{
    bool is_wrong = argc == 2 && strcmp(argv[1], "wrong") == 0;
    struct weir_options options = {
        .loop_count = 1,
        .stall_limit_ns = 200 * MS,
        .on_stall = on_stall,
        .blocking_check = WEIR_BLOCKING_CHECK_WARN,
        .on_blocking_call = on_blocking_call,
        .mutex_limit_ns = 200 * MS,
        .drain_limit_ns = 200 * MS,
        .growth_limit_ns = 200 * MS,
        .on_deadlock = on_deadlock,
        .on_warning = on_warning,
    };

    if (argc != 2 || (!is_wrong && strcmp(argv[1], "repaired") != 0)) {
        fprintf(stderr, "usage: %s wrong|repaired\n", argv[0]);
        return 2;
    }
    if (pipe(pipe_fds) < 0)
        return 1;
    gallery_options(&options);
    return weir_run(is_wrong ? wrong : repaired, NULL, &options) != 0;
}
