/* SPDX-License-Identifier: MIT */
/* The check of one runtime, and what happens to a call; see check.h. */
#include "watch/check.h"

#include "base/assert.h"
#include "base/exempt.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/task.h"
#include "unwind/backtrace.h"
#include "unwind/object.h"
#include "watch/check_call.h"
#include "watch/check_range.h"
#include "watch/check_report.h"
#include "watch/check_site.h"
#include "watch/check_trap.h"
#include "watch/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

struct weir__check {
    bool interposed; /* else trapped */
    struct weir__check_ranges ranges;
    struct weir__check_reporter reporter;
    struct weir__check_sites sites;
};

/* Of the loop's thread. */
static __thread struct weir__check *current __attribute__((tls_model("initial-exec")));

/* --- A call ----------------------------------------------------------------------------------- */

/* The innermost frame outside of the C library; count when there is none. */
static size_t find_caller(const struct weir__check *check, void *const *frames, size_t count)
{
    size_t i = 0;

    while (i < count && weir__check_owner_of(&check->ranges, frames[i]) == WEIR__CHECK_LIBC)
        i++;
    return i;
}

static size_t walk(const struct weir__check *check, const void *context, void **frames)
{
    size_t count = weir__backtrace_of_context(context, frames, WEIR__BACKTRACE_MAX);

    if (check->interposed && count > 0) /* look_from_here */
        memmove(frames, frames + 1, --count * sizeof frames[0]);
    return count;
}

/* Whether the walk came to code that was loaded since the last look. */
static bool is_cut(void *const *frames, size_t count)
{
    struct weir__object object;

    return count > 0 && count < WEIR__BACKTRACE_MAX - 1 &&
           !weir__object_find((uintptr_t)frames[count - 1], &object);
}

static void fill(struct weir__check_site *site, const struct weir_task *task,
                 const struct weir__check_verdict *verdict, void *const *frames, size_t count)
{
    site->verdict = *verdict;
    memcpy(site->task_name, task->name, sizeof site->task_name);
    site->loop_index = task->loop_index;
    site->frame_count = count;
    memcpy(site->frames, frames, count * sizeof frames[0]);
}

static void file_and_await(struct weir__check *check, struct weir__check_site *site)
{
    static const char message[] = "weir: blocking call: it could not be named within 10 s, since "
                                  "it holds what that takes; WEIR_BLOCKING_CHECK=warn names it\n";

    weir__check_reporter_file(&check->reporter, site);
    if (!check->reporter.aborts)
        return;
    if (!weir__check_reporter_await(site))
        weir__log_last(message, sizeof message - 1);
    /* acquire; pairs with the release in settle */
    if (atomic_load_explicit(&site->state, memory_order_acquire) != WEIR__CHECK_ALLOWED)
        abort();
}

void weir__check_look(const struct weir__check_call *call, const void *context)
{
    struct weir__check *check = current;
    struct weir__loop *loop = weir__loop_current;
    void *frames[WEIR__BACKTRACE_MAX];
    struct weir__check_verdict verdict;
    struct weir__check_site *site;
    size_t count, caller;
    bool is_new;

    if (!check || !loop || loop->current == loop->main_task || !weir__check_judge(call, &verdict))
        return;
    count = walk(check, context, frames);
    caller = find_caller(check, frames, count);
    if (caller < count &&
        weir__check_owner_of(&check->ranges, frames[caller]) == WEIR__CHECK_RUNTIME)
        return;
    weir__counter_add(&loop->counters, WEIR_BLOCKING_CALLS, 1);
    site = weir__check_site_find(
        &check->sites,
        weir__check_key(call->number, count ? frames[caller < count ? caller : 0] : NULL), &is_new);
    if (!site) {
        weir__counter_add(&loop->counters, WEIR_BLOCKING_UNNAMED, 1);
        atomic_fetch_add_explicit(&check->reporter.unnamed, 1, memory_order_relaxed);
    } else if (is_new) {
        weir__counter_add(&loop->counters, WEIR_BLOCKING_SITES, 1);
        if (is_cut(frames, count)) {
            weir__check_reporter_refresh(&check->reporter);
            count = walk(check, context, frames);
        }
        fill(site, loop->current, &verdict, frames, count);
        file_and_await(check, site);
    }
}

/* --- The interposer --------------------------------------------------------------------------- */

/* Of any thread. The frame of this function is not the user's. */
static __attribute__((noinline)) void look_from_here(long number, const long args[6])
{
    struct weir__check_call call = { .number = number };
    int saved_errno = errno;
    ucontext_t context;

    if (weir__exempt.selector == WEIR__EXEMPT_OPEN || !weir__loop_current)
        return;
    weir__exempt_open();
    memcpy(call.args, args, sizeof call.args);
    getcontext(&context);
    weir__check_look(&call, &context);
    weir__exempt_shut();
    errno = saved_errno;
}

static bool interpose(void)
{
    weir__interpose_to *to;
    void *found = dlsym(RTLD_DEFAULT, WEIR__INTERPOSE_NAME);

    if (!found)
        return false;
    memcpy(&to, &found, sizeof to);
    to(look_from_here);
    return true;
}

/* --- Options and environment ------------------------------------------------------------------ */

static int read_mode(const struct weir_options *options, unsigned *mode, char *why,
                     size_t why_bytes)
{
    static const char *const words[] = { "off", "warn", "abort" };
    const char *word = secure_getenv("WEIR_BLOCKING_CHECK");

    *mode = options->blocking_check;
    if (!word || !*word)
        return 0;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *mode = i;
            return 0;
        }
    snprintf(why, why_bytes, "WEIR_BLOCKING_CHECK is \"%.40s\"; it must be off, warn or abort",
             word);
    return -EINVAL;
}

/* By trap, by interposer, or not at all. */
static int choose_means(struct weir__check *check, char *why, size_t why_bytes)
{
    const char *by = secure_getenv("WEIR_BLOCKING_CHECK_BY");
    bool forced = by && strcmp(by, "interposer") == 0;
    const char *refusal =
        forced ? "WEIR_BLOCKING_CHECK_BY asks for the interposer" : weir__check_trap_refusal();

    if (by && *by && !forced) {
        snprintf(why, why_bytes, "WEIR_BLOCKING_CHECK_BY is \"%.40s\"; it can be interposer", by);
        return -EINVAL;
    }
    if (!refusal)
        return 0;
    check->interposed = true;
    if (interpose())
        return 0;
    snprintf(why, why_bytes,
             "the blocking-call check was asked for, but %s, and %s is not loaded to do it "
             "instead; run the program by weir-check, or set it in LD_PRELOAD, or leave "
             "blocking_check off",
             refusal, WEIR__INTERPOSE_LIBRARY);
    return -EOPNOTSUPP;
}

static void configure(struct weir__check *check, const struct weir_options *options, unsigned mode)
{
    const char *tally = secure_getenv("WEIR_BLOCKING_TALLY");

    check->reporter.ranges = &check->ranges;
    check->reporter.sites = &check->sites;
    check->reporter.allow[0] = options->blocking_allow;
    check->reporter.allow[1] = secure_getenv("WEIR_BLOCKING_ALLOW");
    check->reporter.on_call = options->on_blocking_call;
    check->reporter.context = options->context;
    check->reporter.aborts = mode == WEIR_BLOCKING_CHECK_ABORT;
    check->reporter.tally_fd = tally ? open(tally, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (check->reporter.tally_fd >= 0 && write(check->reporter.tally_fd, "checked\n", 8) < 0)
        weir__log_line("weir: WEIR_BLOCKING_TALLY: %s", strerror(errno));
    weir__check_ranges_find(&check->ranges);
}

/* --- Life ------------------------------------------------------------------------------------- */

static void destroy(struct weir__check *check)
{
    if (check->reporter.tally_fd >= 0)
        close(check->reporter.tally_fd);
    weir__memory_free(check);
}

static int start(struct weir__check *check, char *why, size_t why_bytes)
{
    int error = check->interposed ? 0 : weir__check_trap_install();

    if (error < 0) {
        snprintf(why, why_bytes, "sigaction: no handler for SIGSYS: %s", strerror(-error));
        return error;
    }
    error = weir__check_reporter_start(&check->reporter);
    if (error >= 0)
        return 0;
    if (!check->interposed)
        weir__check_trap_uninstall();
    snprintf(why, why_bytes,
             "pthread_create: no thread for the blocking-call check; raise ulimit -u");
    return error;
}

int weir__check_create(struct weir__check **out, const struct weir_options *options, char *why,
                       size_t why_bytes)
{
    struct weir__check *check;
    unsigned mode;
    int error = read_mode(options, &mode, why, why_bytes);

    *out = NULL;
    if (error < 0 || mode == WEIR_BLOCKING_CHECK_OFF)
        return error;
    check = weir__memory_zalloc(NULL, sizeof *check);
    if (!check) {
        snprintf(why, why_bytes, "out of memory for the blocking-call check");
        return -ENOMEM;
    }
    check->reporter.tally_fd = -1;
    error = choose_means(check, why, why_bytes);
    if (error < 0)
        goto destroy;
    configure(check, options, mode);
    error = start(check, why, why_bytes);
    if (error < 0)
        goto destroy;
    *out = check;
    return 0;

destroy:
    destroy(check);
    return error;
}

void weir__check_destroy(struct weir__check *check)
{
    if (!check)
        return;
    weir__check_reporter_stop(&check->reporter);
    if (!check->interposed)
        weir__check_trap_uninstall();
    destroy(check);
}

int weir__check_enter(struct weir__check *check, char *why, size_t why_bytes)
{
    int error;

    if (!check)
        return 0;
    weir__backtrace_enter();
    error = check->interposed ? 0 : weir__check_trap_enter();
    if (error < 0) {
        snprintf(why, why_bytes, "prctl: syscall user dispatch for a loop's thread: %s",
                 strerror(-error));
        return error;
    }
    current = check;
    weir__check_resume(check);
    return 0;
}

void weir__check_leave(struct weir__check *check)
{
    if (!check)
        return;
    weir__check_pause(check);
    current = NULL;
    if (!check->interposed)
        weir__check_trap_leave();
}

void weir__check_pause(const struct weir__check *check)
{
    if (!check)
        return;
    weir__exempt.rest = WEIR__EXEMPT_OPEN;
    weir__exempt_open();
}

void weir__check_resume(const struct weir__check *check)
{
    if (!check)
        return;
    weir__exempt.rest = WEIR__EXEMPT_SHUT;
    weir__exempt_shut();
}
