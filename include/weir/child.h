/* SPDX-License-Identifier: MIT */
/*
 * Child processes. A child belongs to a scope: a task of that scope waits for its end and reaps it,
 * so no zombie ever stays. When the scope is cancelled, or joined past its deadline, the child gets
 * SIGTERM, a time of grace, and SIGKILL; the scope ends when it is gone. A child that the kernel
 * cannot kill yet (it waits for a broken disk) holds its scope that long.
 *
 * What a child gets: the three standard descriptors as asked, those of `fds` as 3, 4, ..., nothing
 * else of the process; no blocked signal, and the default disposition of each. Programs are found
 * as by execvp(3). Starting one may wait for the disk, so it is the pool's business.
 *
 * The exit status is the one of waitpid(2): WIFEXITED and its kin read it. It needs SIGCHLD not to
 * be ignored (or SA_NOCLDWAIT): else the kernel throws it away, and a spawn is refused with
 * -ECHILD. The program must not wait for children that are not its own by wait(2) or waitpid(-1).
 *
 * Example:
 *     const char *const argv[] = { "sort", "-u", NULL };
 *     struct weir_child_options options = { .argv = argv, .input = { WEIR_CHILD_PIPE } };
 *     struct weir_child *child;
 *     int status, error = weir_child_spawn(&child, scope, &options, weir_in_ms(500));
 *     if (error >= 0) {
 *         error = weir_child_wait(child, &status, weir_in_ms(5000));
 *         weir_child_release(child);
 *     }
 */
#ifndef WEIR_CHILD_H
#define WEIR_CHILD_H

#include <weir/base.h>
#include <weir/select.h>

struct weir_child;
struct weir_scope;

enum weir_child_io_kind {
    WEIR_CHILD_INHERIT, /* the process's own */
    WEIR_CHILD_NULL,    /* /dev/null */
    WEIR_CHILD_PIPE,    /* a pipe, whose other end weir_child_take hands out */
    WEIR_CHILD_FD,      /* a copy of weir_child_io.fd */
    WEIR_CHILD_OUTPUT,  /* for the error output: where the output goes */
};

struct weir_child_io {
    enum weir_child_io_kind kind;
    int fd;
};

enum weir_child_group {
    WEIR_CHILD_SAME_GROUP, /* the process's own: a terminal's Ctrl-C reaches the child too */
    WEIR_CHILD_OWN_GROUP,  /* signals of weir go to all of the group */
    WEIR_CHILD_OWN_SESSION,
};

#define WEIR_CHILD_FDS_MAX 64

/* Zeroed means default, but argv is needed. In use until weir_child_spawn returns. */
struct weir_child_options {
    size_t size;             /* sizeof(struct weir_child_options); 0 means the first version's */
    const char *program;     /* NULL: argv[0] */
    const char *const *argv; /* ends with NULL */
    const char *const *env;  /* ends with NULL; NULL: the process's own */
    const char *directory;   /* where it starts, and where a relative program is; NULL: as here */
    struct weir_child_io input, output, error;
    const int *fds; /* become 3, 4, ... in the child; they stay the caller's */
    size_t fd_count;
    enum weir_child_group group;
    int stop_signal;      /* what a cancelled scope sends first; 0: SIGTERM */
    int64_t grace_ns;     /* from then until SIGKILL; 0: 5 s; < 0: none, SIGKILL at once */
    uint64_t reserved[4]; /* must be zero */
};

/* What weir_child_run gives to a child, and takes from it. NULL rooms take nothing. */
struct weir_child_capture {
    const void *input;
    size_t input_bytes;
    void *output;
    size_t output_room;  /* bytes */
    size_t output_bytes; /* out: received */
    void *error;
    size_t error_room;
    size_t error_bytes;
};

WEIR_BEGIN

/*
 * Starts a program as a child of `scope`; *child (may be NULL, without pipes) gets a handle.
 * Returns 0: it runs. Errors, after which there is no child: of execve(2), such as -ENOENT,
 * -EACCES, -E2BIG; -ENOENT, -ENOTDIR of the directory; -EBADF of a descriptor; -EAGAIN, -ENOMEM no
 * process or, as for weir_spawn, no task can be had; -EMFILE; -ECHILD see above; -EINVAL; -ETIME,
 * -EBUSY, -ECANCELED before it began; -ENXIO not in a task. weir_last_error says more.
 */
WEIR_API WEIR_MUST_CHECK int weir_child_spawn(struct weir_child **child, struct weir_scope *scope,
                                              const struct weir_child_options *options,
                                              int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Waits for the end; *status (may be NULL) gets the exit status. Any number may wait, and again.
 * Returns 0. Errors: -EAGAIN, -ETIME it still runs; -ECANCELED; -EINVAL. A status of -ECHILD:
 * somebody else has waited for it.
 */
WEIR_API WEIR_MUST_CHECK int weir_child_wait(struct weir_child *child, int *status,
                                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Ready when the child has ended and was reaped; *status as of weir_child_wait. */
WEIR_API struct weir_clause weir_clause_child(struct weir_child *child,
                                              int *status) WEIR_ANY_THREAD;

/* Sends a signal to the child, or to its group if it has its own. Never to another process that
 * got its number. Returns 0. Errors: -ESRCH it has ended; -EINVAL no such signal; -EPERM. */
WEIR_API int weir_child_kill(struct weir_child *child, int signo) WEIR_ANY_THREAD;

/* Its number; not to be signalled by, once it may have ended. */
WEIR_API int weir_child_pid(const struct weir_child *child) WEIR_ANY_THREAD;

/*
 * Hands out weir's end of the pipe that is the child's descriptor `number` (0, 1, 2), for
 * weir_read, weir_write and weir_close. Closing that of 0 is the end of its input. Returns the
 * descriptor. Errors: -EBADF no pipe, or it was taken before.
 */
WEIR_API WEIR_MUST_CHECK int weir_child_take(struct weir_child *child, int number) WEIR_ANY_THREAD;

/* Ends the handle, and closes pipes that nobody took; the child lives on in its scope. NULL is
 * fine. */
WEIR_API void weir_child_release(struct weir_child *child) WEIR_ANY_THREAD;

/*
 * Runs a program to its end in a scope of its own: feeds it, collects what it says. By the
 * deadline, on a cancel and when an output has more than its room, it is ended as a cancelled scope
 * does, and what was received so far stays. Descriptors that `capture` does not name are as in
 * `options`. The outputs end when nobody holds them open any more: also those who were started by
 * the child. Returns 0, with the exit status in *status (may be NULL). Errors: those of
 * weir_child_spawn; -EMSGSIZE more output than room; -ETIME; -ECANCELED.
 */
WEIR_API WEIR_MUST_CHECK int weir_child_run(const struct weir_child_options *options,
                                            struct weir_child_capture *capture, int *status,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
