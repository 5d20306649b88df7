/* SPDX-License-Identifier: MIT */
/* A deadlock in words; see deadlock.h. */
#include "watch/deadlock.h"

#include "base/memory.h"

#include <stdarg.h>

enum {
    LINES_MAX = 32, /* of tasks that are told of */
    TEXT_BYTES = (LINES_MAX + 4) * WEIR__SIGHTING_LINE_BYTES,
};

static const char remedy[] =
    "    To do: let one of them not wait while it has what another needs: locks in one order, room "
    "in the channel, or a deadline on the call.\n";

static size_t append(char *text, size_t used, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static size_t append(char *text, size_t used, const char *format, ...)
{
    va_list arguments;

    if (used >= TEXT_BYTES)
        return used;
    va_start(arguments, format);
    used += (size_t)vsnprintf(text + used, TEXT_BYTES - used, format, arguments);
    va_end(arguments);
    return used < TEXT_BYTES ? used : TEXT_BYTES - 1;
}

static void tell_member(const struct weir__sighting *member, const struct weir__sighting *partner,
                        char *line, size_t bytes)
{
    char name[WEIR__SIGHTING_LINE_BYTES / 4], state[WEIR__SIGHTING_LINE_BYTES / 2];

    weir__sighting_name(member, name, sizeof name);
    weir__sighting_tell(member, state, sizeof state);
    if (partner)
        snprintf(line, bytes, "%s: %s; waits for \"%s\"", name, state, partner->name);
    else
        snprintf(line, bytes, "%s: %s", name, state);
}

static const char *header(size_t count, bool is_certain)
{
    if (count == 1)
        return is_certain
                   ? "weir: deadlock: a task is parked, and nobody is left who could wake it"
                   : "weir: probable deadlock: a task is parked, and waits for itself, as far "
                     "as the users of its channel are known";
    return is_certain ? "weir: deadlock: tasks are parked on each other, and nothing in this "
                        "runtime can wake them"
                      : "weir: probable deadlock: tasks are parked on each other, and nobody else "
                        "has used their channels so far";
}

void weir__deadlock_tell(const struct weir__deadlock_look *look,
                         const struct weir__sighting *const *members,
                         const struct weir__sighting *const *waits_for, size_t count,
                         size_t cycle_count, bool is_certain)
{
    size_t line_count = count < LINES_MAX ? count : LINES_MAX;
    const char *lines[LINES_MAX];
    struct weir_deadlock deadlock = {
        .is_certain = is_certain,
        .task_count = count,
        .line_count = line_count,
        .lines = lines,
    };
    char *text = weir__memory_alloc(NULL, TEXT_BYTES);
    char *room = weir__memory_alloc(NULL, LINES_MAX * WEIR__SIGHTING_LINE_BYTES);
    size_t used = 0;

    if (text && room) {
        used = append(text, used, "%s: %zu in all%s\n", header(count, is_certain), count,
                      cycle_count > 0 ? "; a cycle of them first" : "");
        for (size_t i = 0; i < line_count; i++) {
            char *line = room + i * WEIR__SIGHTING_LINE_BYTES;

            tell_member(members[i], waits_for[i], line, WEIR__SIGHTING_LINE_BYTES);
            lines[i] = line;
            used = append(text, used, "    %s\n", line);
        }
        if (count > line_count)
            used = append(text, used, "    and %zu more\n", count - line_count);
        append(text, used, "%s", remedy);
        deadlock.text = text;
        look->report(look->context, &deadlock);
    }
    weir__memory_free(room);
    weir__memory_free(text);
}
