/* SPDX-License-Identifier: MIT */
/* What the tests of the blocking-call check share: a runtime that is checked, and what it says. */
#ifndef WEIR_TESTS_WATCH_BLOCKING_H
#define WEIR_TESTS_WATCH_BLOCKING_H

#include "support/support.h"

#include "watch/check_trap.h"

#include <weir.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOTES_MAX = 32, NOTE_TEXT_BYTES = 4096 };

/* Behind a call: it stays a call of its own, of this very function. Optimisers make one place of
 * two calls, or several of one in a loop. */
#define KEEP_PLACE() __asm__ volatile("nop" ::: "memory")
#define NOINLINE     __attribute__((noinline))

/* One report. */
struct note {
    char task[64];
    char call[64];
    char kind[64]; /* "" for none */
    char remedy[128];
    char text[NOTE_TEXT_BYTES];
    int fd;
};

/* Written by the check's thread, read once the runtime has ended. */
struct notes {
    struct note at[NOTES_MAX];
    int count;
};

static inline void note_call(void *context, const struct weir_blocking_call *call)
{
    struct notes *notes = context;
    struct note *note = &notes->at[notes->count < NOTES_MAX ? notes->count : NOTES_MAX - 1];

    snprintf(note->task, sizeof note->task, "%s", call->task_name);
    snprintf(note->call, sizeof note->call, "%s", call->call);
    snprintf(note->kind, sizeof note->kind, "%s", call->fd_kind ? call->fd_kind : "");
    snprintf(note->remedy, sizeof note->remedy, "%s", call->remedy);
    snprintf(note->text, sizeof note->text, "%s", call->text);
    note->fd = call->fd;
    notes->count++;
}

static inline struct weir_options checked_options(struct notes *notes)
{
    notes->count = 0;
    return (struct weir_options){
        .loop_count = 1,
        .blocking_check = WEIR_BLOCKING_CHECK_WARN,
        .on_blocking_call = note_call,
        .context = notes,
    };
}

static inline void run_checked(int (*body)(void *arg), void *arg, struct notes *notes)
{
    struct weir_options options = checked_options(notes);

    assert_int_equal(test_run(body, arg, &options), 0);
}

/* How many of them are about this call. */
static inline int count_of(const struct notes *notes, const char *call)
{
    int count = 0;

    for (int i = 0; i < notes->count && i < NOTES_MAX; i++)
        count += strcmp(notes->at[i].call, call) == 0;
    return count;
}

static inline void print_notes(const struct notes *notes)
{
    for (int i = 0; i < notes->count && i < NOTES_MAX; i++)
        fprintf(stderr, "%s", notes->at[i].text);
}

/* Whether calls come to the check by an interposer, which sees no raw system calls. */
static inline bool interposed(void)
{
    return getenv("WEIR_BLOCKING_CHECK_BY") != NULL;
}

/* Skips the test where nothing can be checked, and says why. */
static inline void need_check(void)
{
    const char *refusal = interposed() ? NULL : weir__check_trap_refusal();

    if (!refusal)
        return;
    print_message("skipped: %s\n", refusal);
    skip();
}

static inline void need_traps(void)
{
    need_check();
    if (interposed())
        skip();
}

/* At the end of main: the program once more, with the interposer of this build in front; there is
 * none in sanitizer builds. Returns what the program is to exit with. */
static inline int run_both_ways(int failed, const char *program)
{
    char library[4096];
    ssize_t length = readlink("/proc/self/exe", library, sizeof library - 1);
    char *slash;
    int status = -1;
    pid_t child;

    if (failed || interposed())
        return failed;
    library[length < 0 ? 0 : length] = '\0';
    for (int i = 0; i < 2; i++)
        if ((slash = strrchr(library, '/')))
            *slash = '\0';
    strncat(library, "/libweir-interpose.so", sizeof library - strlen(library) - 1);
    if (access(library, R_OK) < 0) {
        printf("skipped: there is no %s\n", library);
        return 0;
    }
    fflush(NULL);
    child = fork();
    if (child == 0) {
        setenv("LD_PRELOAD", library, 1);
        setenv("WEIR_BLOCKING_CHECK_BY", "interposer", 1);
        execl("/proc/self/exe", program, NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

#endif
