/* SPDX-License-Identifier: MIT */
/*
 * Finding and reading a description; see unwind.h. The index before the tables (.eh_frame_hdr) is
 * sorted by code, and searched by halves.
 */
#include "unwind/unwind.h"

#include "unwind/object.h"

enum { INDEX_VERSION = 1 };

static struct weir__cursor cursor_at(const struct weir__object *object, uintptr_t address)
{
    struct weir__cursor cursor = { .at = (const uint8_t *)address,
                                   .end = (const uint8_t *)object->table_high };

    cursor.bad = address < object->table_low || address >= object->table_high;
    return cursor;
}

/* The description that covers `place`, as an address; 0: none. */
static uintptr_t search(const struct weir__object *object, uintptr_t place)
{
    struct weir__cursor cursor = cursor_at(object, object->index);
    unsigned encodings[4];
    uint64_t low = 0, high;
    const uint8_t *entries;

    for (int i = 0; i < 4; i++)
        encodings[i] = (unsigned)weir__cursor_take(&cursor, 1);
    if (cursor.bad || encodings[0] != INDEX_VERSION || encodings[3] != WEIR__ENCODED_TABLE_WORD ||
        encodings[2] == WEIR__ENCODED_OMITTED)
        return 0;
    weir__cursor_take_encoded(&cursor, encodings[1], object->index);
    high = weir__cursor_take_encoded(&cursor, encodings[2], object->index);
    entries = cursor.at;
    if (cursor.bad || high > (uint64_t)(cursor.end - entries) / 8)
        return 0;
    while (low < high) { /* the last whose code begins at or before the place */
        uint64_t middle = low + (high - low) / 2;
        struct weir__cursor entry = { .at = entries + 8 * middle, .end = cursor.end };

        if (weir__cursor_take_encoded(&entry, WEIR__ENCODED_TABLE_WORD, object->index) <= place)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    cursor.at = entries + 8 * (low - 1) + 4;
    return weir__cursor_take_encoded(&cursor, WEIR__ENCODED_TABLE_WORD, object->index);
}

/* The length that begins both kinds of descriptions, as their end. */
static bool take_length(struct weir__cursor *cursor)
{
    uint64_t bytes = weir__cursor_take(cursor, 4);

    if (cursor->bad || bytes == 0 || bytes >= 0xfffffff0 ||
        bytes > (uint64_t)(cursor->end - cursor->at))
        return false;
    cursor->end = cursor->at + bytes;
    return true;
}

/* The letters of the augmentation say what follows, in their order. */
static bool read_augmentation(struct weir__unwind *about, struct weir__cursor *cursor,
                              const uint8_t *letters, uintptr_t index)
{
    about->encoding = 0;
    about->has_data = *letters == 'z';
    if (!about->has_data)
        return *letters == '\0';
    weir__cursor_take_uleb(cursor);
    for (letters++; *letters; letters++) {
        unsigned encoding;

        switch (*letters) {
        case 'R':
            about->encoding = (unsigned)weir__cursor_take(cursor, 1);
            break;
        case 'P':
            encoding = (unsigned)weir__cursor_take(cursor, 1);
            weir__cursor_take_encoded(cursor, encoding, index);
            break;
        case 'L':
            weir__cursor_take(cursor, 1);
            break;
        case 'S':
            about->is_signal = true;
            break;
        case 'B': /* aarch64: return addresses are signed with the other key */
            break;
        default:
            return false;
        }
    }
    return true;
}

static bool read_common(struct weir__unwind *about, struct weir__cursor cursor, uintptr_t index)
{
    const uint8_t *letters, *data;
    unsigned version;
    uint64_t bytes;

    if (!take_length(&cursor) || weir__cursor_take(&cursor, 4) != 0)
        return false;
    version = (unsigned)weir__cursor_take(&cursor, 1);
    letters = cursor.at;
    while (weir__cursor_take(&cursor, 1) != 0)
        ;
    about->code_factor = weir__cursor_take_uleb(&cursor);
    about->data_factor = weir__cursor_take_sleb(&cursor);
    about->return_register =
        version == 1 ? weir__cursor_take(&cursor, 1) : weir__cursor_take_uleb(&cursor);
    data = cursor.at;
    if (cursor.bad || (version != 1 && version != 3) ||
        !read_augmentation(about, &cursor, letters, index))
        return false;
    if (about->has_data) {
        cursor.at = data;
        bytes = weir__cursor_take_uleb(&cursor);
        weir__cursor_skip(&cursor, bytes);
    }
    about->common = cursor;
    return !cursor.bad;
}

bool weir__unwind_find(uintptr_t place, struct weir__unwind *about)
{
    struct weir__object object;
    struct weir__cursor cursor;
    uintptr_t itself, back;

    *about = (struct weir__unwind){ 0 };
    if (!weir__object_find(place, &object) || object.table_high == 0)
        return false;
    cursor = cursor_at(&object, search(&object, place));
    if (cursor.bad || !take_length(&cursor))
        return false;
    itself = (uintptr_t)cursor.at;
    back = (uintptr_t)weir__cursor_take(&cursor, 4);
    if (!read_common(about, cursor_at(&object, itself - back), object.index))
        return false;
    about->begin = weir__cursor_take_encoded(&cursor, about->encoding, object.index);
    about->end = about->begin + weir__cursor_take_encoded(
                                    &cursor, about->encoding & WEIR__ENCODED_FORMAT, object.index);
    if (about->has_data)
        weir__cursor_skip(&cursor, weir__cursor_take_uleb(&cursor));
    about->own = cursor;
    return !cursor.bad && place >= about->begin && place < about->end;
}
