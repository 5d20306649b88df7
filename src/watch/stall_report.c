/* SPDX-License-Identifier: MIT */
/* What is said about a stall: what is the matter, why, and what to do; then who called whom. */
#include "unwind/symbol.h"
#include "watch/check_call.h"
#include "watch/stall.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FRAMES_SHOWN = 24, FRAMES_SHOWN_OF_ALL = 8 };

static const int64_t ns_per_ms = 1000000;

/* A text that is cut where its room ends. */
struct text {
    char *at;
    size_t left;
};

static __attribute__((format(printf, 2, 3))) void add(struct text *text, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(text->at, text->left, format, args);
    va_end(args);
    if (length < 0)
        return;
    if ((size_t)length >= text->left)
        length = text->left > 0 ? (int)text->left - 1 : 0;
    text->at += length;
    text->left -= (size_t)length;
}

static long long ms(int64_t duration_ns)
{
    return duration_ns / ns_per_ms;
}

/* "loop 0 is blocked: task "reader" has held it for 104 ms" */
static void add_holder(struct text *text, const struct weir_stall *stall, const char *how,
                       const char *verb)
{
    add(text, "loop %u is %s: ", stall->loop_index, how);
    if (stall->task_name)
        add(text, "task \"%s\"", stall->task_name);
    else
        add(text, "its thread");
    add(text, " %s for %lld ms", verb, ms(stall->held_ns));
}

static void add_call(struct text *text, const struct weir__finding *finding)
{
    const struct weir_stall *stall = &finding->stall;

    if (stall->call)
        add(text, "%s", stall->call);
    else if (finding->number >= 0)
        add(text, "system call %ld", finding->number);
    else
        add(text, "the kernel");
    if (stall->call_fd >= 0)
        add(text, " on fd %d", stall->call_fd);
    if (finding->fd_name[0])
        add(text, " (%s)", finding->fd_name);
}

static void write_blocked(struct text *text, const struct weir__finding *finding)
{
    struct weir__check_description call;
    bool is_known = weir__check_describe(finding->number, &call);

    add_holder(text, &finding->stall, "blocked", "has held it");
    if (finding->slept_ns) {
        add(text,
            ", asleep now and then, for %lld of the last %lld ms in all; make these calls in one "
            "weir_pool_run (weir-check names each)",
            ms(finding->slept_ns), ms(finding->watched_ns));
        return;
    }
    add(text, ", asleep in ");
    add_call(text, finding);
    add(text, "; instead: %s", is_known ? call.remedy : "weir_pool_run around it");
}

static void write_lock(struct text *text, const struct weir__finding *finding)
{
    add_holder(text, &finding->stall, "blocked", "has held it");
    add(text,
        ", asleep in futex: it waits for a lock, a condition or a thread; use weir_mutex_lock "
        "or a channel, which park the task alone, or move it to weir_pool_run");
}

static void write_fault(struct text *text, const struct weir__finding *finding)
{
    add_holder(text, &finding->stall, "blocked", "has held it");
    add(text, ", asleep in a page fault: memory that it touched is not there, and is fetched (a "
              "mapped file, or swap); read the file by weir_pread, or touch it in weir_pool_run");
}

static void write_hog(struct text *text, const struct weir__finding *finding)
{
    add_holder(text, &finding->stall, "hogged", "has run");
    add(text, " without parking; call weir_yield now and then, or move the computation to "
              "weir_cpu_run");
}

static void write_submission(struct text *text, const struct weir__finding *finding)
{
    const struct weir_stall *stall = &finding->stall;

    add(text,
        "loop %u is stuck in weir's own submission for %lld ms: io_uring_enter does not "
        "return",
        stall->loop_index, ms(stall->held_ns));
    if (stall->op)
        add(text, " from the first of what it was given: %s; move that call to weir_pool_run",
            stall->op);
    else
        add(text, " though it was given nothing; what it completes there takes so long");
}

static void write_queue(struct text *text, const struct weir__finding *finding)
{
    const struct weir_stall *stall = &finding->stall;
    int64_t each_ns = finding->switches ? stall->held_ns / (int64_t)finding->switches : 0;

    add(text,
        "loop %u is overloaded: %s for %lld ms; nobody holds the loop, %llu turns of others came "
        "first, %lld us each, and it has %u tasks; ",
        stall->loop_index,
        finding->is_turn ? "what has come for it (I/O, timers, other loops) has waited"
                         : "a ready task has waited for its turn",
        ms(stall->held_ns), (unsigned long long)finding->switches, (long long)each_ns / 1000,
        finding->task_count);
    if (each_ns >= ns_per_ms)
        add(text, "they run long between two parks: call weir_yield more often, or move "
                  "computation to weir_cpu_run");
    else
        add(text, "there is more work than one loop can do: place tasks on more loops "
                  "(WEIR_PLACE_ANYWHERE), or admit less (weir_limiter, tasks_per_loop)");
}

static void write_starved(struct text *text, const struct weir__finding *finding)
{
    add(text,
        "loop %u is starved: it has not got on for %lld ms; its thread is ready, and had a CPU for "
        "%lld of the last %lld ms; the machine is overloaded: run fewer busy threads beside the "
        "loops, or fewer loops",
        finding->stall.loop_index, ms(finding->stall.held_ns), ms(finding->run_ns),
        ms(finding->watched_ns));
}

static const struct kind {
    const char *name;
    void (*write)(struct text *text, const struct weir__finding *finding);
} kinds[WEIR_STALL_KIND_COUNT] = {
    [WEIR_STALL_BLOCKED] = { "blocked", write_blocked },
    [WEIR_STALL_LOCK] = { "lock", write_lock },
    [WEIR_STALL_FAULT] = { "fault", write_fault },
    [WEIR_STALL_HOG] = { "hog", write_hog },
    [WEIR_STALL_SUBMISSION] = { "submission", write_submission },
    [WEIR_STALL_QUEUE] = { "queue", write_queue },
    [WEIR_STALL_STARVED] = { "starved", write_starved },
};

const char *weir_stall_kind_name(int kind)
{
    return kind >= 0 && kind < WEIR_STALL_KIND_COUNT ? kinds[kind].name : NULL;
}

/* A line a frame; those that were searched for have a question mark. */
static void add_frames(struct text *text, const struct weir_stall *stall, unsigned shown)
{
    for (unsigned i = 0; i < stall->frame_count; i++) {
        char name[WEIR__SYMBOL_BYTES];

        if (i == shown) {
            add(text, "    ... and %u more\n", stall->frame_count - shown);
            return;
        }
        weir__symbol_format(stall->frames[i], false, name, sizeof name);
        add(text, "    %s%s\n", i < stall->sure_count ? "" : "? ", name);
    }
}

static void add_finding(struct text *text, const struct weir__finding *finding, unsigned shown)
{
    const struct weir_stall *stall = &finding->stall;

    kinds[stall->kind].write(text, finding);
    add(text, "\n");
    add_frames(text, stall, shown);
    if (finding->error)
        add(text, "    (not all of it is known: /proc/self/task: %s)\n",
            weir_error_name(finding->error));
    else if (stall->frame_count == 0 && stall->kind != WEIR_STALL_QUEUE)
        add(text,
            "    (no backtrace: the thread is in the kernel, has no CPU, or its signal was taken "
            "away)\n");
}

void weir__stall_write(const struct weir__finding *findings, unsigned count, char *text,
                       size_t bytes)
{
    struct text out = { .at = text, .left = bytes };
    unsigned shown = count > 1 ? FRAMES_SHOWN_OF_ALL : FRAMES_SHOWN;
    uint64_t unreported = findings[0].stall.unreported;

    if (count > 1)
        add(&out, "weir: all %u loops are held, and nothing else runs\n", count);
    for (unsigned i = 0; i < count; i++) {
        add(&out, "%s", count > 1 ? "  " : "weir: ");
        add_finding(&out, &findings[i], shown);
    }
    if (unreported)
        add(&out, "    (%llu more stalls since the last report)\n", (unsigned long long)unreported);
}
