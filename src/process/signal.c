/* SPDX-License-Identifier: MIT */
/* Signals as records in a channel, and as a clause. */
#include "process/signal.h"

#include "base/kernel.h"
#include "base/memory.h"
#include "core/loop.h"
#include "io/clause.h"
#include "io/descriptor.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/task.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>

int weir_signals_block(const sigset_t *signals)
{
    return signals ? -pthread_sigmask(SIG_BLOCK, signals, NULL) : -EINVAL;
}

int weir__signal_take(int fd, struct weir_signal *signal)
{
    struct signalfd_siginfo info;
    int64_t count = weir__kernel_read(fd, &info, sizeof info);

    if (count < 0)
        return (int)count;
    *signal = (struct weir_signal){
        .signo = (int)info.ssi_signo,
        .code = info.ssi_code,
        .pid = (int)info.ssi_pid,
        .uid = info.ssi_uid,
        .status = info.ssi_status,
        .number = info.ssi_int,
        .pointer = info.ssi_ptr,
    };
    return 0;
}

static int open_signals(const sigset_t *signals, bool trusting)
{
    int fd, error = weir__signal_claim(signals, trusting);

    if (error < 0)
        return error;
    fd = weir__kernel_signalfd(signals);
    if (fd < 0)
        weir__signal_give_back(signals);
    else
        weir__descriptor_forget(fd);
    return fd;
}

/* A signalfd closes without waiting for anything. */
static void close_signals(int fd, const sigset_t *signals)
{
    weir__descriptor_forget(fd);
    weir__kernel_close(fd);
    weir__signal_give_back(signals);
}

/* --- To a channel --- */

struct source {
    int fd;
    sigset_t signals;
    struct weir_chan *output; /* a reference */
};

enum { OUTPUT_END, SIGNAL, CLAUSE_COUNT };

/* Until the output ends, or an error comes. One signal at a time: the others stay in the kernel. */
static int send_signals(struct source *source)
{
    struct weir_clause clauses[CLAUSE_COUNT] = {
        [OUTPUT_END] = weir_clause_closed(source->output),
        [SIGNAL] = weir_clause_readable(source->fd),
    };

    for (;;) {
        int won = weir_select(clauses, CLAUSE_COUNT, WEIR_SELECT_PRIORITY, WEIR_FOREVER);
        struct weir_signal signal;
        int error = won < 0 ? won : clauses[won].result;

        if (won == OUTPUT_END)
            return 0;
        if (error >= 0)
            error = weir__signal_take(source->fd, &signal);
        if (error >= 0)
            error = weir_chan_send(source->output, &signal, WEIR_FOREVER);
        if (error == -EPIPE)
            return 0;
        if (error < 0 && error != -EAGAIN)
            return error;
    }
}

static void free_source(struct source *source)
{
    close_signals(source->fd, &source->signals);
    weir_chan_release(source->output);
    weir__memory_free(source);
}

static int run(void *arg)
{
    struct source *source = arg;
    int error = send_signals(source);

    weir_chan_close(source->output, error);
    free_source(source);
    return error;
}

int weir_signals_to(struct weir_chan *output, struct weir_scope *scope, const sigset_t *signals)
{
    struct weir_spawn_options spawn = { .name = "signals" };
    struct source *source;
    int fd, error;

    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!output || !scope || !signals || weir_chan_elem_size(output) != sizeof(struct weir_signal))
        return -EINVAL;
    fd = open_signals(signals, false);
    if (fd < 0)
        return fd;
    source = weir__memory_alloc(NULL, sizeof *source);
    if (!source) {
        close_signals(fd, signals);
        return -ENOMEM;
    }
    *source = (struct source){
        .fd = fd,
        .signals = *signals,
        .output = weir_chan_retain(output),
    };
    error = weir_spawn(scope, run, source, &spawn);
    if (error < 0)
        free_source(source);
    return error;
}

/* --- As a clause: one of readiness, whose descriptor lives as long as the select --- */

static sigset_t set_of(const struct weir_clause *clause)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, (int)(intptr_t)clause->elem);
    return set;
}

static int signal_prepare(struct weir_clause *clause)
{
    const sigset_t set = set_of(clause);
    int fd, error = weir__clause_poll_verbs.prepare(clause);

    if (error < 0)
        return error;
    fd = open_signals(&set, true);
    clause->object = (void *)(intptr_t)fd;
    return fd < 0 ? fd : 0;
}

/* Ready is who has a signal in hand. */
static void take(struct weir_clause *clause)
{
    struct weir_signal signal;

    if (clause->result > 0)
        clause->result = weir__signal_take(weir__clause_poll_fd(clause), &signal);
}

static bool signal_try(struct weir_clause *clause, struct weir__wait **wake)
{
    if (!weir__clause_poll_verbs.try(clause, wake))
        return false;
    take(clause);
    return true;
}

static void signal_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    weir__clause_poll_verbs.fired(clause, waiter);
    take(clause);
}

static void signal_finish(struct weir_clause *clause, bool won)
{
    const sigset_t set = set_of(clause);

    weir__clause_poll_verbs.finish(clause, won);
    close_signals(weir__clause_poll_fd(clause), &set);
}

static struct weir_clause_verbs signal_verbs;

static void make_verbs(void)
{
    signal_verbs = weir__clause_poll_verbs;
    signal_verbs.name = "signal";
    signal_verbs.prepare = signal_prepare;
    signal_verbs.try = signal_try;
    signal_verbs.fired = signal_fired;
    signal_verbs.finish = signal_finish;
}

struct weir_clause weir_clause_signal(int signo)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct weir_clause clause;

    pthread_once(&once, make_verbs);
    clause = weir__clause_poll_make(&signal_verbs, 0, POLLIN);
    clause.elem = (void *)(intptr_t)signo;
    return clause;
}
