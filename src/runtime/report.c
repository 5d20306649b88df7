/* SPDX-License-Identifier: MIT */
/* The report; see report.h. */
#include "runtime/report.h"

#include "core/loop.h"

#include <stdio.h>

/* What the report's text says when a feature was obtained, and when it was not. */
static const struct {
    unsigned feature;
    const char *with;
    const char *without;
} words[] = {
    { WEIR_FEATURE_SINGLE_ISSUER, " single-issuer", "" },
    { WEIR_FEATURE_DEFER_TASKRUN, " defer-taskrun", "" },
    { WEIR_FEATURE_RING_FD, " ring-fd", "" },
    { WEIR_FEATURE_SYNC_MSG_RING, " msg-ring", " eventfd" },
    { WEIR_FEATURE_MADV_GUARD, " madv-guard", " mprotect-guard" },
    { WEIR_FEATURE_FTRUNCATE, " ftruncate", "" },
    { WEIR_FEATURE_IOWQ_LIMIT, " iowq-limit", "" },
    { WEIR_FEATURE_NO_IOWAIT, " no-iowait", "" },
    { WEIR_FEATURE_UDP_SEGMENT, " udp-segment", "" },
    { WEIR_FEATURE_DIOALIGN, " dio-align", "" },
    { WEIR_FEATURE_BUFFER_RING, " buffer-ring", "" },
    { WEIR_FEATURE_MULTISHOT_RECV, " multishot-recv", "" },
    { WEIR_FEATURE_SEND_ZC, " send-zc", "" },
    { WEIR_FEATURE_NAPI, " napi", "" },
    { WEIR_FEATURE_CLONE_BUFFERS, " clone-buffers", "" },
};

enum { WORD_COUNT = sizeof words / sizeof words[0] };

unsigned weir__report_features(void)
{
    unsigned features = 0;

    for (size_t i = 0; i < WORD_COUNT; i++)
        features |= words[i].feature;
    return features;
}

static void append(struct weir_report *report, size_t *length, const char *word)
{
    int written = snprintf(report->text + *length, sizeof report->text - *length, "%s", word);

    *length += (size_t)written;
    if (*length >= sizeof report->text)
        *length = sizeof report->text - 1;
}

static void write_text(struct weir_report *report)
{
    size_t length =
        (size_t)snprintf(report->text, sizeof report->text, "%u loops, ring %u/%u,",
                         report->loop_count, report->ring_entries, report->completion_entries);

    for (size_t i = 0; i < WORD_COUNT; i++)
        append(report, &length,
               report->features & words[i].feature ? words[i].with : words[i].without);
    append(report, &length, report->spinning ? " spinning" : "");
    append(report, &length, report->pinned ? " pinned" : "");
}

void weir__report_fill(struct weir_report *report, const struct weir__loop *loop)
{
    const struct weir__ring *ring = &loop->ring;
    /* relaxed: a loop has stacks before it has tasks, and the kernel does not change its mind */
    bool mapped = atomic_load_explicit(&loop->stacks.limits->mapping_count, memory_order_relaxed);

    report->features = ring->features | (mapped ? 0 : WEIR_FEATURE_MADV_GUARD);
    report->setup_flags = ring->setup_flags;
    report->ring_entries = ring->uring.sq.ring_entries;
    report->completion_entries = ring->cq_entries;
    write_text(report);
}
