/* SPDX-License-Identifier: MIT */
/* Trace contexts: whose they are, and how they are written in a header. */
#include "core/trace.h"

#include "core/park.h"
#include "core/task.h"

#include <errno.h>
#include <string.h>

#define NOTHING                                                                                    \
    {                                                                                              \
        .deadline_ns = WEIR_FOREVER                                                                \
    }

const struct weir__inherited weir__inherited_nothing = NOTHING;
__thread struct weir__inherited weir__inherited_of_thread = NOTHING;

/* The header's value: version, trace id, span id, flags, as "00-<32>-<16>-01". */
enum {
    TRACE_ID_AT = 3,
    SPAN_ID_AT = 36,
    FLAGS_AT = 53,
};

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool is_valid(const struct weir_trace *trace)
{
    return !is_zero(trace->trace_id, sizeof trace->trace_id) &&
           !is_zero(trace->span_id, sizeof trace->span_id);
}

int weir_trace_get(struct weir_trace *trace)
{
    if (!trace)
        return -EINVAL;
    *trace = weir__inherited_self()->trace;
    return is_valid(trace) ? 0 : -ENODATA;
}

int weir_trace_set(const struct weir_trace *trace)
{
    struct weir_trace *own = &weir__inherited_self()->trace;

    if (!trace) {
        *own = weir__inherited_nothing.trace;
        return 0;
    }
    if (!is_valid(trace))
        return -EINVAL;
    *own = *trace;
    own->flags &= WEIR_TRACE_SAMPLED;
    return 0;
}

/* An id of whole words, never all zero. */
static void fill_id(uint8_t *id, size_t bytes)
{
    do {
        for (size_t offset = 0; offset < bytes; offset += sizeof(uint64_t)) {
            uint64_t number = weir__random_next(weir__wait_random());

            memcpy(id + offset, &number, sizeof number);
        }
    } while (is_zero(id, bytes));
}

int weir_trace_begin(unsigned flags)
{
    struct weir_trace *own = &weir__inherited_self()->trace;

    if (flags & ~(unsigned)WEIR_TRACE_SAMPLED)
        return -EINVAL;
    *own = (struct weir_trace){ .flags = (uint8_t)flags };
    fill_id(own->trace_id, sizeof own->trace_id);
    fill_id(own->span_id, sizeof own->span_id);
    return 0;
}

int weir_trace_child(void)
{
    struct weir_trace *own = &weir__inherited_self()->trace;

    if (!is_valid(own))
        return -ENODATA;
    fill_id(own->span_id, sizeof own->span_id);
    return 0;
}

static const char digits[] = "0123456789abcdef";

/* The value of a lower-case digit; -1 when it is none. */
static int digit_value(char digit)
{
    const char *place = memchr(digits, digit, sizeof digits - 1);

    return place ? (int)(place - digits) : -1;
}

static bool read_bytes(const char *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void write_bytes(char *text, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

int weir_trace_parse(const char *text, size_t length, struct weir_trace *trace)
{
    struct weir_trace read = { .flags = 0 };
    uint8_t version;

    if (!text || !trace || length < WEIR_TRACEPARENT_LENGTH)
        return -EINVAL;
    if (!read_bytes(text, &version, 1) || version == 0xff)
        return -EINVAL;
    if (length > WEIR_TRACEPARENT_LENGTH && (version == 0 || text[WEIR_TRACEPARENT_LENGTH] != '-'))
        return -EINVAL;
    if (text[TRACE_ID_AT - 1] != '-' || text[SPAN_ID_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
        return -EINVAL;
    if (!read_bytes(text + TRACE_ID_AT, read.trace_id, sizeof read.trace_id) ||
        !read_bytes(text + SPAN_ID_AT, read.span_id, sizeof read.span_id) ||
        !read_bytes(text + FLAGS_AT, &read.flags, 1) || !is_valid(&read))
        return -EINVAL;
    read.flags &= WEIR_TRACE_SAMPLED;
    *trace = read;
    return 0;
}

int weir_trace_format(const struct weir_trace *trace, char text[WEIR_TRACEPARENT_LENGTH + 1])
{
    uint8_t flags;

    if (!trace || !text || !is_valid(trace))
        return -EINVAL;
    flags = trace->flags & WEIR_TRACE_SAMPLED;
    memcpy(text, "00-", TRACE_ID_AT);
    write_bytes(text + TRACE_ID_AT, trace->trace_id, sizeof trace->trace_id);
    text[SPAN_ID_AT - 1] = '-';
    write_bytes(text + SPAN_ID_AT, trace->span_id, sizeof trace->span_id);
    text[FLAGS_AT - 1] = '-';
    write_bytes(text + FLAGS_AT, &flags, 1);
    text[WEIR_TRACEPARENT_LENGTH] = 0;
    return WEIR_TRACEPARENT_LENGTH;
}
