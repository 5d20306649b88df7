/* SPDX-License-Identifier: MIT */
/* Naming and reporting; see check_report.h. */
#include "watch/check_report.h"

#include "base/log.h"
#include "base/thread.h"
#include "unwind/object.h"
#include "unwind/symbol.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    AWAIT_LOOKS = 10000,
    AWAIT_PAUSE_NS = 1000000,
    REFRESH_LOOKS = 1000,
    REFRESH_PAUSE_NS = 100000,
};

/* --- Names ------------------------------------------------------------------------------------ */

/* A frame's text, "name+0x2f (library)" or less, in its parts. */
struct frame {
    char text[WEIR__SYMBOL_BYTES];
    char function[WEIR__SYMBOL_BYTES];
    char library[WEIR__SYMBOL_BYTES];
};

static void name_frame(struct frame *frame, void *address)
{
    const char *open;

    weir__symbol_format(address, false, frame->text, sizeof frame->text);
    if (!weir__symbol_name(address, frame->function, sizeof frame->function))
        frame->function[0] = '\0';
    open = strrchr(frame->text, '(');
    snprintf(frame->library, sizeof frame->library, "%s", open ? open + 1 : "");
    frame->library[strcspn(frame->library, ")")] = '\0';
}

/* "libfoo" and "libfoo.so" also name libfoo.so.1. */
static bool is_library(const char *library, const char *name, size_t length)
{
    return strncmp(library, name, length) == 0 &&
           (library[length] == '\0' || library[length] == '.');
}

static bool is_listed(const char *list, const struct frame *frame)
{
    while (list && *list) {
        size_t length = strcspn(list, ",");

        if (length && ((strncmp(frame->function, list, length) == 0 && !frame->function[length]) ||
                       is_library(frame->library, list, length)))
            return true;
        list += length + (list[length] == ',');
    }
    return false;
}

/* --- One report ------------------------------------------------------------------------------- */

static void append(struct weir__check_reporter *reporter, size_t *length, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(struct weir__check_reporter *reporter, size_t *length, const char *format, ...)
{
    size_t room = sizeof reporter->text - *length;
    va_list args;
    int count;

    va_start(args, format);
    count = vsnprintf(reporter->text + *length, room, format, args);
    va_end(args);
    if (count > 0)
        *length += (size_t)count < room ? (size_t)count : room - 1;
}

static void tally(const struct weir__check_reporter *reporter, const char *line)
{
    if (reporter->tally_fd >= 0 && write(reporter->tally_fd, line, strlen(line)) < 0)
        weir__log_line("weir: WEIR_BLOCKING_TALLY: %s", strerror(errno));
}

static void append_head(struct weir__check_reporter *reporter, size_t *length,
                        const struct weir__check_site *site)
{
    const struct weir__check_verdict *verdict = &site->verdict;

    append(reporter, length, "weir: blocking call: task \"%s\" on loop %u calls %s",
           site->task_name, site->loop_index, verdict->name);
    if (verdict->kind)
        append(reporter, length, " on descriptor %d (%s)", verdict->fd, verdict->kind);
    append(reporter, length, ", which %s; the loop's other tasks wait too\n", verdict->cause);
}

/* Memory is not looked at, and neither is a wait for the lock of who hands it out. */
static bool is_of_allocator(const struct weir__check_site *site, const struct frame *frame)
{
    static const char allocator[] =
        "malloc,calloc,realloc,reallocarray,free,memalign,aligned_alloc,posix_memalign";

    return strcmp(site->verdict.name, "futex") == 0 && is_listed(allocator, frame);
}

/* Writes the text. False: one of the frames is on a list of those allowed. */
static bool describe(struct weir__check_reporter *reporter, const struct weir__check_site *site,
                     const char **remedy)
{
    size_t length = 0;

    *remedy = site->verdict.remedy;
    append_head(reporter, &length, site);
    for (size_t i = 0; i < site->frame_count; i++) {
        const char *known = NULL;
        struct frame frame;

        name_frame(&frame, site->frames[i]);
        if (is_listed(reporter->allow[0], &frame) || is_listed(reporter->allow[1], &frame) ||
            is_of_allocator(site, &frame))
            return false;
        if (!reporter->ranges->count ||
            weir__check_owner_of(reporter->ranges, site->frames[i]) == WEIR__CHECK_LIBC)
            known = weir__check_remedy_of(frame.function);
        *remedy = known ? known : *remedy; /* the outermost function says what was meant */
        append(reporter, &length, "    %s\n", frame.text);
    }
    append(reporter, &length, "  instead: %s\n", *remedy);
    return true;
}

static void report(struct weir__check_reporter *reporter, const struct weir__check_site *site,
                   const char *remedy)
{
    struct weir_blocking_call call = {
        .task_name = site->task_name,
        .loop_index = site->loop_index,
        .call = site->verdict.name,
        .fd_kind = site->verdict.kind,
        .fd = site->verdict.fd,
        .cause = site->verdict.cause,
        .remedy = remedy,
        .frames = site->frames,
        .frame_count = site->frame_count,
        .text = reporter->text,
    };

    if (reporter->on_call)
        reporter->on_call(reporter->context, &call);
    if (reporter->aborts)
        weir__log_last(reporter->text, strlen(reporter->text));
    else if (!reporter->on_call)
        weir__log_text(reporter->text);
    tally(reporter, "site\n");
}

static void settle(struct weir__check_reporter *reporter, struct weir__check_site *site)
{
    enum weir__check_state state = WEIR__CHECK_ALLOWED;
    const char *remedy;

    weir__object_refresh(); /* what was loaded since is seen in later backtraces */
    if (describe(reporter, site, &remedy)) {
        report(reporter, site, remedy);
        state = WEIR__CHECK_REPORTED;
    }
    atomic_store_explicit(&site->state, state, memory_order_release);
}

/* --- The thread ------------------------------------------------------------------------------- */

static void report_unnamed(struct weir__check_reporter *reporter)
{
    unsigned long count = atomic_load_explicit(&reporter->unnamed, memory_order_relaxed);

    if (!count)
        return;
    snprintf(reporter->text, sizeof reporter->text,
             "weir: blocking call: %lu more at places beyond the first %d, which were not named\n",
             count, WEIR__CHECK_SITES_MAX);
    weir__log_text(reporter->text);
    tally(reporter, "unnamed\n");
}

/* dl_iterate_phdr takes a lock, and is not for signal handlers. */
static void refresh(struct weir__check_reporter *reporter)
{
    /* acquire; pairs with the release below: what was loaded before is seen */
    unsigned wanted = atomic_load_explicit(&reporter->refreshes_wanted, memory_order_acquire);

    if (wanted == atomic_load_explicit(&reporter->refreshes_done, memory_order_relaxed))
        return;
    weir__object_refresh();
    /* release; pairs with the acquire below */
    atomic_store_explicit(&reporter->refreshes_done, wanted, memory_order_release);
}

static void *reporter_main(void *arg)
{
    struct weir__check_reporter *reporter = arg;
    size_t next = 0;

    pthread_setname_np(pthread_self(), "weir-check");
    for (;;) {
        /* acquire, here and below; pair with the releases in file and stop */
        unsigned rings = atomic_load_explicit(&reporter->rings, memory_order_acquire);
        bool ending = atomic_load_explicit(&reporter->ending, memory_order_acquire);

        refresh(reporter);
        while (next < WEIR__CHECK_SITES_MAX &&
               atomic_load_explicit(&reporter->sites->sites[next].state, memory_order_acquire))
            settle(reporter, &reporter->sites->sites[next++]);
        if (ending)
            break;
        syscall(SYS_futex, &reporter->rings, FUTEX_WAIT_PRIVATE, rings, NULL, NULL, 0);
    }
    report_unnamed(reporter);
    return NULL;
}

static void ring(struct weir__check_reporter *reporter)
{
    atomic_fetch_add_explicit(&reporter->rings, 1, memory_order_release);
    syscall(SYS_futex, &reporter->rings, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int weir__check_reporter_start(struct weir__check_reporter *reporter)
{
    return weir__thread_create(&reporter->thread, reporter_main, reporter);
}

void weir__check_reporter_stop(struct weir__check_reporter *reporter)
{
    atomic_store_explicit(&reporter->ending, true, memory_order_release);
    ring(reporter);
    pthread_join(reporter->thread, NULL);
}

void weir__check_reporter_file(struct weir__check_reporter *reporter, struct weir__check_site *site)
{
    atomic_store_explicit(&site->state, WEIR__CHECK_FILED, memory_order_release);
    ring(reporter);
}

void weir__check_reporter_refresh(struct weir__check_reporter *reporter)
{
    const struct timespec pause = { .tv_nsec = REFRESH_PAUSE_NS };
    unsigned ours =
        1 + atomic_fetch_add_explicit(&reporter->refreshes_wanted, 1, memory_order_release);

    ring(reporter);
    for (int look = 0; look < REFRESH_LOOKS; look++) {
        unsigned done = atomic_load_explicit(&reporter->refreshes_done, memory_order_acquire);

        if ((int)(done - ours) >= 0)
            return;
        nanosleep(&pause, NULL);
    }
}

bool weir__check_reporter_await(struct weir__check_site *site)
{
    const struct timespec pause = { .tv_nsec = AWAIT_PAUSE_NS };

    for (int look = 0; look < AWAIT_LOOKS; look++) {
        if (atomic_load_explicit(&site->state, memory_order_acquire) != WEIR__CHECK_FILED)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}
