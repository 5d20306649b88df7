/* SPDX-License-Identifier: MIT */
/*
 * Reading unwind tables: numbers of DWARF's encodings, never beyond an end. A cursor that met the
 * end, or what it does not know, is bad from then on and reads zeros.
 */
#ifndef WEIR_UNWIND_CURSOR_H
#define WEIR_UNWIND_CURSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct weir__cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

/* How pointers are encoded: a format, and what it is relative to. */
enum {
    WEIR__ENCODED_FORMAT = 0x0f,
    WEIR__ENCODED_BASE = 0x70,
    WEIR__ENCODED_TO_ITSELF = 0x10,  /* pcrel */
    WEIR__ENCODED_TO_TABLE = 0x30,   /* datarel: to .eh_frame_hdr */
    WEIR__ENCODED_TABLE_WORD = 0x3b, /* the same, 32 bits with a sign: entries of the index */
    WEIR__ENCODED_OMITTED = 0xff,
};

static inline void weir__cursor_skip(struct weir__cursor *cursor, uint64_t bytes)
{
    if (bytes > (uint64_t)(cursor->end - cursor->at))
        cursor->bad = true;
    else
        cursor->at += bytes;
}

/* `bytes`: 1, 2, 4 or 8; little-endian, as both machines are. */
static inline uint64_t weir__cursor_take(struct weir__cursor *cursor, unsigned bytes)
{
    const uint8_t *at = cursor->at;
    uint64_t value = 0;

    weir__cursor_skip(cursor, bytes);
    if (!cursor->bad)
        memcpy(&value, at, bytes);
    return value;
}

static inline int64_t weir__cursor_take_signed(struct weir__cursor *cursor, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;

    return (int64_t)(weir__cursor_take(cursor, bytes) << unused) >> unused;
}

static inline uint64_t weir__cursor_take_uleb(struct weir__cursor *cursor)
{
    uint64_t value = 0;
    uint8_t byte;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        byte = (uint8_t)weir__cursor_take(cursor, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    cursor->bad = true;
    return 0;
}

static inline int64_t weir__cursor_take_sleb(struct weir__cursor *cursor)
{
    uint64_t value = 0;
    uint8_t byte;

    for (unsigned shift = 0; shift < 64;) {
        byte = (uint8_t)weir__cursor_take(cursor, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            return byte & 0x40 && shift < 64 ? (int64_t)(value | UINT64_MAX << shift)
                                             : (int64_t)value;
    }
    cursor->bad = true;
    return 0;
}

/* `table`: where .eh_frame_hdr lies. Pointers to pointers are left as they are. */
static inline uintptr_t weir__cursor_take_encoded(struct weir__cursor *cursor, unsigned encoding,
                                                  uintptr_t table)
{
    static const uint8_t sizes[16] = {
        [0] = 8, [2] = 2, [3] = 4, [4] = 8, [10] = 2, [11] = 4, [12] = 8
    };
    uintptr_t itself = (uintptr_t)cursor->at;
    unsigned format = encoding & WEIR__ENCODED_FORMAT;
    unsigned bytes = sizes[format];
    uintptr_t value;

    if (bytes == 0) {
        cursor->bad = true;
        return 0;
    }
    value = format & 8 ? (uintptr_t)weir__cursor_take_signed(cursor, bytes)
                       : (uintptr_t)weir__cursor_take(cursor, bytes);
    if ((encoding & WEIR__ENCODED_BASE) == WEIR__ENCODED_TO_ITSELF)
        return value + itself;
    return (encoding & WEIR__ENCODED_BASE) == WEIR__ENCODED_TO_TABLE ? value + table : value;
}

#endif
