/* SPDX-License-Identifier: MIT */
/* The dump: a survey that notes every task; see weir/dump.h. */
#include "sync/chan_users.h"
#include "unwind/object.h"
#include "unwind/symbol.h"
#include "watch/sighting.h"
#include "watch/stall.h"
#include "watch/survey.h"

#include <weir/dump.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct dump {
    weir_dump_line_fn *line;
    void *context;
    int told_count;
};

/* Home loop. */
static void note_task(struct weir__survey_part *part, struct weir_task *task)
{
    const unsigned *flags = (const void *)part->survey->context;
    struct weir__sighting *sighting = weir__survey_note(part, WEIR__SURVEY_SIGHTINGS);

    if (!sighting)
        return;
    weir__chan_look_begin();
    weir__sighting_take(sighting, part->loop, task);
    weir__chan_look_end();
    if (*flags & WEIR_DUMP_BACKTRACES)
        weir__sighting_take_frames(sighting, task);
}

static void tell_frames(const struct dump *dump, const struct weir__sighting *sighting)
{
    char place[WEIR__SYMBOL_BYTES];
    char line[WEIR__SYMBOL_BYTES + 8];

    for (size_t i = 0; i < sighting->frame_count; i++) {
        weir__symbol_format(sighting->frames[i], false, place, sizeof place);
        snprintf(line, sizeof line, "        %s", place);
        dump->line(dump->context, line);
    }
}

static void tell_task(struct dump *dump, const struct weir__sighting *sighting)
{
    char line[WEIR__SIGHTING_LINE_BYTES];
    size_t used;

    snprintf(line, sizeof line, "    ");
    weir__sighting_name(sighting, line + 4, sizeof line - 4);
    used = strlen(line);
    used += (size_t)snprintf(line + used, sizeof line - used, ": ");
    if (used < sizeof line)
        weir__sighting_tell(sighting, line + used, sizeof line - used);
    dump->line(dump->context, line);
    tell_frames(dump, sighting);
    dump->told_count++;
}

static void tell_part(struct dump *dump, const struct weir__survey_part *part)
{
    const struct weir__pile *pile = &part->piles[WEIR__SURVEY_SIGHTINGS];
    char line[WEIR__SIGHTING_LINE_BYTES], doing[WEIR__SYMBOL_BYTES];

    if (!part->is_good) {
        if (!weir__stall_describe(part->loop, doing, sizeof doing))
            snprintf(doing, sizeof doing, "not known");
        snprintf(line, sizeof line,
                 "loop %u: does not answer: a task holds it, or the kernel does, and stall reports "
                 "say where; its thread is now %s",
                 part->loop->index, doing);
    } else {
        snprintf(line, sizeof line, "loop %u: %u tasks%s%s", part->loop->index, part->task_count,
                 part->is_busy ? ", and async operations under way" : "",
                 part->lacks_memory ? ", not all of them here: out of memory" : "");
    }
    dump->line(dump->context, line);
    for (size_t i = 0; part->is_good && i < pile->count; i++)
        tell_task(dump, weir__pile_at(pile, i));
}

/* One runtime. A loop that answers only now is told of as one that did not. */
static int dump_runtime(struct dump *dump, struct weir__watch *watch, unsigned flags,
                        int64_t deadline_ns)
{
    const struct weir__survey_view view = {
        .record_bytes = { [WEIR__SURVEY_SIGHTINGS] = sizeof(struct weir__sighting) },
        .task = note_task,
        .context = &flags,
        .context_bytes = sizeof flags,
    };
    struct weir__survey *survey;
    int error;

    if (flags & WEIR_DUMP_BACKTRACES)
        weir__object_refresh();
    error = weir__survey_run(watch, &view, deadline_ns, &survey);

    if (!survey)
        return error;
    for (unsigned i = 0; i < survey->part_count; i++)
        tell_part(dump, &survey->parts[i]);
    weir__survey_release(survey);
    return 0;
}

/* From a plain thread. */
static int dump_all(struct dump *dump, unsigned flags, int64_t deadline_ns)
{
    struct weir__watch *watch;
    int error = 0;

    for (unsigned i = 0; error >= 0 && (watch = weir__watch_use(i)); i++) {
        error = dump_runtime(dump, watch, flags, deadline_ns);
        weir__watch_leave(watch);
    }
    return error;
}

int weir_dump(weir_dump_line_fn *line, void *context, unsigned flags, int64_t deadline_ns)
{
    struct dump dump = { .line = line, .context = context };
    int error;

    if (!line || (flags & ~(unsigned)WEIR_DUMP_BACKTRACES))
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (weir__loop_current)
        error = dump_runtime(&dump, weir__loop_current->runtime->watch, flags, deadline_ns);
    else
        error = dump_all(&dump, flags, deadline_ns);
    return error < 0 ? error : dump.told_count;
}

static void write_line(void *context, const char *line)
{
    char text[WEIR__SIGHTING_LINE_BYTES + 1];
    const char *rest = text;
    int length = snprintf(text, sizeof text, "%s\n", line);

    while (length > 0) {
        ssize_t count = write(*(const int *)context, rest, (size_t)length);

        if (count < 0)
            return;
        rest += count;
        length -= (int)count;
    }
}

int weir_dump_to(int fd, unsigned flags, int64_t deadline_ns)
{
    return weir_dump(write_line, &fd, flags, deadline_ns);
}
