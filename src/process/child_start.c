/* SPDX-License-Identifier: MIT */
/*
 * Starting a program, on a pool thread: posix_spawn holds the thread until the program is loaded,
 * and so can report that there is none.
 *
 * The child's descriptors are built from copies above all numbers that it will use, so that none is
 * overwritten before it was copied; then everything above those is closed.
 */
#include "base/kernel.h"
#include "process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

/* What the parent holds while it starts a child. */
struct plan {
    const struct weir_child_options *options;
    posix_spawn_file_actions_t actions;
    int copies[WEIR_CHILD_FDS_MAX + WEIR__CHILD_STANDARD_FDS]; /* to be closed */
    int copy_count;
    int ends[WEIR__CHILD_STANDARD_FDS];
};

/* The child's `target` will be what `fd` is. */
static int give(struct plan *plan, int fd, int target)
{
    int copy = weir__kernel_copy_fd(fd, WEIR__CHILD_STANDARD_FDS + (int)plan->options->fd_count);

    if (copy < 0)
        return copy;
    plan->copies[plan->copy_count++] = copy;
    return -posix_spawn_file_actions_adddup2(&plan->actions, copy, target);
}

static int give_pipe(struct plan *plan, int target)
{
    int pair[2];
    bool is_input = target == STDIN_FILENO;
    int error = weir__kernel_pipe(pair, 0);

    if (error < 0)
        return error;
    plan->ends[target] = pair[is_input];
    error = give(plan, pair[!is_input], target);
    weir__kernel_close(pair[!is_input]);
    return error;
}

static int give_standard(struct plan *plan, const struct weir_child_io *io, int target)
{
    int access = target == STDIN_FILENO ? O_RDONLY : O_WRONLY;

    switch (io->kind) {
    case WEIR_CHILD_INHERIT:
        return 0;
    case WEIR_CHILD_NULL:
        return -posix_spawn_file_actions_addopen(&plan->actions, target, "/dev/null", access, 0);
    case WEIR_CHILD_PIPE:
        return give_pipe(plan, target);
    case WEIR_CHILD_FD:
        return give(plan, io->fd, target);
    default:
        return -posix_spawn_file_actions_adddup2(&plan->actions, STDOUT_FILENO, target);
    }
}

/* All that the child does before it becomes the program. */
static int fill_actions(struct plan *plan)
{
    const struct weir_child_options *options = plan->options;
    const struct weir_child_io *standard[] = { &options->input, &options->output, &options->error };
    int next_fd = WEIR__CHILD_STANDARD_FDS;
    int error = 0;

    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS && error >= 0; i++)
        error = give_standard(plan, standard[i], i);
    for (size_t i = 0; i < options->fd_count && error >= 0; i++)
        error = give(plan, options->fds[i], next_fd++);
    if (error >= 0)
        error = -posix_spawn_file_actions_addclosefrom_np(&plan->actions, next_fd);
    if (error >= 0 && options->directory)
        error = -posix_spawn_file_actions_addchdir_np(&plan->actions, options->directory);
    return error;
}

/* Weir's threads block all signals, and a server ignores some: neither is the program's to know. */
static int fill_attributes(posix_spawnattr_t *attributes, enum weir_child_group group)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    if (group == WEIR_CHILD_OWN_GROUP)
        flags |= POSIX_SPAWN_SETPGROUP;
    if (group == WEIR_CHILD_OWN_SESSION)
        flags |= POSIX_SPAWN_SETSID;
    return -posix_spawnattr_setflags(attributes, flags);
}

static int spawn(struct plan *plan, pid_t *pid)
{
    const struct weir_child_options *options = plan->options;
    posix_spawnattr_t attributes;
    int error = -posix_spawnattr_init(&attributes);

    if (error < 0)
        return error;
    error = fill_attributes(&attributes, options->group);
    if (error >= 0)
        error = weir__kernel_spawn(pid, options->program ? options->program : options->argv[0],
                                   &plan->actions, &attributes, options->argv,
                                   options->env ? options->env : (const char *const *)environ);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* The child cannot be waited for without its descriptor. */
static int open_pid(struct weir_child *child)
{
    siginfo_t info;

    child->pid_fd = weir__kernel_pidfd_open(child->pid);
    if (child->pid_fd >= 0)
        return 0;
    if (child->pid_fd != -ESRCH) { /* nobody has reaped it, so it is still ours to end */
        weir__kernel_kill(child->pid, SIGKILL);
        weir__kernel_waitid(P_PID, child->pid, &info, WEXITED);
        return child->pid_fd;
    }
    return -ECHILD; /* somebody who waits for every child has it */
}

int weir__child_start(void *arg)
{
    struct weir__child_start *start = arg;
    struct weir_child *child = start->child;
    struct plan plan = { .options = start->options, .ends = { -1, -1, -1 } };
    int error = -posix_spawn_file_actions_init(&plan.actions);

    if (error < 0)
        return error;
    error = fill_actions(&plan);
    if (error >= 0)
        error = spawn(&plan, &child->pid);
    if (error >= 0)
        error = open_pid(child);
    posix_spawn_file_actions_destroy(&plan.actions);
    while (plan.copy_count > 0)
        weir__kernel_close(plan.copies[--plan.copy_count]);
    for (int i = 0; i < WEIR__CHILD_STANDARD_FDS; i++) {
        if (error >= 0)
            child->ends[i] = plan.ends[i];
        else if (plan.ends[i] >= 0)
            weir__kernel_close(plan.ends[i]);
    }
    return error;
}
