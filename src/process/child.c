/* SPDX-License-Identifier: MIT */
/* Child processes; see child.h for who does what. */
#include "process/child.h"

#include "base/error.h"
#include "base/kernel.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"
#include "io/descriptor.h"
#include "pool/pool.h"

#include <weir/descriptor.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static const int64_t grace_default_ns = 5000000000;

/* --- The child as memory --- */

static void unref(struct weir_child *child)
{
    /* acq_rel: the last one sees what the other did */
    if (atomic_fetch_sub_explicit(&child->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (child->pid_fd >= 0) {
        weir__descriptor_forget(child->pid_fd);
        weir__kernel_close(child->pid_fd);
    }
    weir__memory_free(child);
}

static struct weir_child *make(const struct weir_child_options *options)
{
    struct weir_child *child = weir__memory_zalloc(NULL, sizeof *child);

    if (!child)
        return NULL;
    atomic_init(&child->refs, 2);
    child->pid_fd = -1;
    child->has_group = options->group != WEIR_CHILD_SAME_GROUP;
    child->stop_signal = options->stop_signal ? options->stop_signal : SIGTERM;
    child->grace_ns = options->grace_ns ? options->grace_ns : grace_default_ns;
    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS; i++)
        child->ends[i] = -1;
    return child;
}

/* --- The keeper --- */

static int send_signal(struct weir_child *child, int signo)
{
    int error = -ESRCH;

    weir__lock_acquire(&child->lock); /* a signal is sent at once: no reaping in between */
    if (!child->reaped && child->has_group)
        error = weir__kernel_kill(-child->pid, signo);
    else if (!child->reaped)
        error = weir__kernel_pidfd_kill(child->pid_fd, signo);
    weir__lock_release(&child->lock);
    return error;
}

static const struct weir__reason awaits_start = { "start of a child process", WEIR_PHASE_POOL,
                                                  NULL };

/* Until the start has succeeded or failed; it is under way on this loop. */
static void await_start(struct weir_child *child)
{
    struct weir__wait *wait = weir__wait_self();

    if (child->told)
        return;
    weir__wait_begin(wait, &awaits_start, child);
    child->keeper_wait = wait;
    weir__wait_park(wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
}

static void tell(struct weir_child *child, int start_error)
{
    child->start_error = start_error;
    child->told = true;
    if (child->keeper_wait)
        weir__wait_fire(child->keeper_wait, 0);
}

/* Until the streams of a run have ended too: the child may have left its pipes to others of its
 * group, which can be signalled for as long as the child is not reaped. */
static int await_streams(struct weir_child *child)
{
    int error = 0, result = 0;

    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS && error >= 0; i++) {
        if (!child->streams[i])
            continue;
        error = weir_join(child->streams[i], &result, WEIR_FOREVER);
        if (error >= 0) {
            child->streams[i] = NULL;
            error = result;
        }
    }
    return error;
}

static void release_streams(struct weir_child *child)
{
    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS; i++)
        if (child->streams[i])
            weir_task_release(child->streams[i]);
}

/* Until the child has ended, whatever it takes. */
static void await_end(struct weir_child *child)
{
    int64_t grace_end_ns;
    int events = weir_poll(child->pid_fd, POLLIN, WEIR_FOREVER);

    if (events >= 0)
        events = await_streams(child);
    if (events >= 0)
        return;
    weir_shield_enter();
    grace_end_ns = child->grace_ns > 0 ? weir_in_ns(child->grace_ns) : WEIR_NOW;
    if (child->grace_ns > 0)
        send_signal(child, child->stop_signal);
    events = weir_poll(child->pid_fd, POLLIN, grace_end_ns);
    if (child->has_group || events < 0)
        send_signal(child, SIGKILL); /* of the group, also those who outlived the child */
    if (events < 0)
        events = weir_poll(child->pid_fd, POLLIN, WEIR_FOREVER);
    weir_shield_leave();
}

/* As waitpid(2) packs it. */
static int status_of(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 0xff) << 8;
    case CLD_DUMPED:
        return info->si_status | 0x80;
    default:
        return info->si_status;
    }
}

/* On a pool thread; at once when await_end could wait, and else it waits here. */
static int wait_in_kernel(void *arg)
{
    struct weir_child *child = arg;
    siginfo_t info = { 0 };
    int error = weir__kernel_waitid(P_PIDFD, child->pid_fd, &info, WEXITED | WNOWAIT);

    return error;
}

static int reap(struct weir_child *child)
{
    siginfo_t info = { 0 };
    int error;

    weir__lock_acquire(&child->lock);
    error = weir__kernel_waitid(P_PIDFD, child->pid_fd, &info, WEXITED | WNOHANG);
    child->reaped = error < 0 || info.si_pid != 0;
    weir__lock_release(&child->lock);
    if (error < 0)
        return error;
    return child->reaped ? status_of(&info) : -EAGAIN;
}

static int keep(void *arg)
{
    struct weir_child *child = arg;
    int result = 0;

    await_start(child);
    if (child->start_error >= 0) {
        await_end(child);
        result = reap(child);
        while (result == -EAGAIN) { /* the ring could not wait for it */
            weir__pool_call_release(weir__loop_current->runtime->pool, wait_in_kernel, child);
            result = reap(child);
        }
    }
    release_streams(child);
    unref(child);
    return result;
}

/* --- The verbs --- */

static int check_io(const struct weir_child_io *io, bool is_error)
{
    if (io->kind > WEIR_CHILD_OUTPUT || (io->kind == WEIR_CHILD_OUTPUT && !is_error))
        return -EINVAL;
    return io->kind == WEIR_CHILD_FD && io->fd < 0 ? -EBADF : 0;
}

static int check(const struct weir_child_options *options, bool has_handle)
{
    const struct weir_child_io *all[] = { &options->input, &options->output, &options->error };
    int error = 0;

    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (!options->argv || !options->argv[0] || options->group > WEIR_CHILD_OWN_SESSION ||
        options->fd_count > WEIR_CHILD_FDS_MAX || (options->fd_count && !options->fds) ||
        options->stop_signal < 0 || options->stop_signal > SIGRTMAX)
        return -EINVAL;
    for (size_t i = 0; i < 3 && error >= 0; i++) {
        error = check_io(all[i], i == 2);
        if (all[i]->kind == WEIR_CHILD_PIPE && !has_handle)
            error = -EINVAL;
    }
    return error;
}

/* The kernel throws exit statuses away when SIGCHLD is ignored. */
static int check_process(void)
{
    struct sigaction action;

    if (sigaction(SIGCHLD, NULL, &action) < 0)
        return -errno;
    if (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT))
        return weir__error_explain(-ECHILD,
                                   "SIGCHLD is ignored (SIG_IGN or SA_NOCLDWAIT), so the kernel "
                                   "would throw exit statuses away; set it to SIG_DFL");
    return 0;
}

static int explain_start(const struct weir_child_options *options, int error)
{
    if (error == -ECHILD)
        return weir__error_explain(error,
                                   "somebody waits for every child (wait, waitpid(-1)) and took "
                                   "this one; wait for its own children only");
    return weir__error_explain(error, "cannot start \"%s\"%s%s: %s",
                               options->program ? options->program : options->argv[0],
                               options->directory ? " in " : "",
                               options->directory ? options->directory : "", strerror(-error));
}

int weir_child_spawn(struct weir_child **out, struct weir_scope *scope,
                     const struct weir_child_options *options, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir_spawn_options spawn = { .name = "child" };
    struct weir__child_start start = { .options = options };
    struct weir_child *child;
    int error;

    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!scope || !options)
        return -EINVAL;
    error = check(options, out != NULL);
    if (error >= 0)
        error = check_process();
    if (error < 0)
        return error;
    child = make(options);
    if (!child)
        return -ENOMEM;
    spawn.task = &child->keeper;
    error = weir_spawn(scope, keep, child, &spawn);
    if (error < 0) {
        weir__memory_free(child);
        return error;
    }
    start.child = child;
    error = weir__pool_call(loop->runtime->pool, weir__child_start, &start, deadline_ns);
    tell(child, error);
    if (error < 0 || !out)
        weir_child_release(child);
    else
        *out = child;
    return error < 0 ? explain_start(options, error) : 0;
}

struct weir_clause weir_clause_child(struct weir_child *child, int *status)
{
    return weir_clause_join(child ? child->keeper : NULL, status);
}

int weir_child_wait(struct weir_child *child, int *status, int64_t deadline_ns)
{
    struct weir_clause clause;
    int won;

    if (!child)
        return -EINVAL;
    clause = weir_clause_child(child, status);
    won = weir_select(&clause, 1, 0, deadline_ns);
    return won < 0 ? won : 0;
}

int weir_child_kill(struct weir_child *child, int signo)
{
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return child ? send_signal(child, signo) : -EINVAL;
}

int weir_child_pid(const struct weir_child *child)
{
    return child ? child->pid : -EINVAL;
}

int weir_child_take(struct weir_child *child, int number)
{
    int fd;

    if (!child || number < 0 || number >= WEIR__CHILD_STANDARD_FDS)
        return -EBADF;
    weir__lock_acquire(&child->lock);
    fd = child->ends[number];
    child->ends[number] = -1;
    weir__lock_release(&child->lock);
    if (fd < 0)
        return -EBADF;
    weir__descriptor_forget(fd);
    return fd;
}

void weir_child_release(struct weir_child *child)
{
    if (!child)
        return;
    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS; i++)
        if (child->ends[i] >= 0)
            weir__kernel_close(child->ends[i]); /* a pipe's end: does not wait */
    weir_task_release(child->keeper);
    unref(child);
}
