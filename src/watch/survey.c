/* SPDX-License-Identifier: MIT */
/* The way of a survey through the loops; see survey.h. */
#include "watch/survey.h"

#include "base/assert.h"
#include "base/memory.h"
#include "core/park.h"

#include <weir/mutex.h>

#include <errno.h>
#include <string.h>

enum {
    TASKS_A_TURN = 32,
    PILE_RECORDS = 16, /* at first */
};

void *weir__survey_note(struct weir__survey_part *part, enum weir__survey_piles id)
{
    struct weir__pile *pile = &part->piles[id];

    if (pile->count == pile->capacity) {
        size_t capacity = pile->capacity ? 2 * pile->capacity : PILE_RECORDS;
        char *bytes = weir__memory_alloc(NULL, capacity * pile->record_bytes);

        if (!bytes) {
            part->lacks_memory = true;
            return NULL;
        }
        if (pile->count)
            memcpy(bytes, pile->bytes, pile->count * pile->record_bytes);
        weir__memory_free(pile->bytes);
        pile->bytes = bytes;
        pile->capacity = capacity;
    }
    return memset(weir__pile_at(pile, pile->count++), 0, pile->record_bytes);
}

static void free_survey(struct weir__survey *survey)
{
    for (unsigned i = 0; i < survey->part_count; i++)
        for (int pile = 0; pile < WEIR__SURVEY_PILES; pile++)
            weir__memory_free(survey->parts[i].piles[pile].bytes);
    weir__memory_free(survey);
}

static struct weir__survey *alloc_survey(const struct weir__runtime *runtime)
{
    unsigned count = runtime->loop_count;
    struct weir__survey *survey =
        weir__memory_zalloc(NULL, sizeof *survey + count * sizeof survey->parts[0]);

    if (survey)
        survey->part_count = count;
    return survey;
}

int weir__survey_create_spare(struct weir__watch *watch)
{
    struct weir__survey *spare = alloc_survey(watch->runtime);

    if (!spare)
        return -ENOMEM;
    atomic_store(&watch->spare, spare);
    return 0;
}

void weir__survey_destroy_spare(struct weir__watch *watch)
{
    struct weir__survey *spare = atomic_exchange(&watch->spare, NULL);

    if (spare)
        free_survey(spare);
}

/* One is kept, so that looks in which nothing is found allocate nothing. */
static void keep(struct weir__survey *survey)
{
    struct weir__watch *watch = survey->watch;
    struct weir__survey *none = NULL;

    for (unsigned i = 0; i < survey->part_count; i++)
        for (int pile = 0; pile < WEIR__SURVEY_PILES; pile++) {
            weir__memory_free(survey->parts[i].piles[pile].bytes);
            survey->parts[i].piles[pile] = (struct weir__pile){ .bytes = NULL };
        }
    if (!atomic_compare_exchange_strong(&watch->spare, &none, survey))
        weir__memory_free(survey);
}

static void let_go(struct weir__survey *survey)
{
    bool last;

    weir__lock_acquire(&survey->lock);
    last = --survey->holders == 0;
    weir__lock_release(&survey->lock);
    if (last)
        keep(survey);
}

static void answer(struct weir__survey_part *part)
{
    struct weir__survey *survey = part->survey;
    struct weir__watch *watch = survey->watch;
    struct weir__wait *wake = NULL;
    bool last;

    weir__lock_acquire(&survey->lock);
    part->answered = true;
    last = --survey->pending_count == 0;
    if (last && survey->asker && weir__wait_claim(survey->asker, 0))
        wake = survey->asker;
    weir__lock_release(&survey->lock);
    if (wake)
        weir__wait_wake(wake);
    if (!last)
        return;
    let_go(survey);
    weir__watch_leave(watch);
}

static bool is_given_up(struct weir__survey *survey)
{
    bool given_up;

    weir__lock_acquire(&survey->lock);
    given_up = survey->given_up;
    weir__lock_release(&survey->lock);
    return given_up;
}

/* Home loop: where to go on. Takes the cursor away, and that of a survey that was given up and has
 * not heard of it. */
static struct weir__list *take_cursor(struct weir__loop *loop, struct weir__survey_part *part)
{
    struct weir__survey_part *other = loop->surveyor;
    struct weir__list *next;

    if (other && other != part)
        weir__list_unlink(&other->cursor);
    loop->surveyor = NULL;
    next = part->has_begun ? part->cursor.next : loop->tasks.next;
    weir__list_unlink(&part->cursor);
    return next;
}

/* Home loop: the next few tasks, then the cursor, and mail to itself. */
static void look_on(struct weir__loop *loop, struct weir__survey_part *part)
{
    struct weir__list *link = take_cursor(loop, part);

    if (!part->has_begun)
        part->is_busy = !weir__list_empty(&loop->asyncs);
    part->has_begun = true;
    for (int i = 0; i < TASKS_A_TURN && link != &loop->tasks; i++) {
        struct weir_task *task = WEIR_CONTAINER_OF(link, struct weir_task, neighbours);

        link = link->next;
        part->task_count++;
        part->survey->view.task(part, task);
    }
    if (link == &loop->tasks) {
        answer(part);
        return;
    }
    weir__list_append(link, &part->cursor); /* right before it */
    loop->surveyor = part;
    weir__loop_post(loop, &part->mail);
}

/* Home loop: all in this turn, so that no cursor stays. */
static void look_at_newest(struct weir__loop *loop, struct weir__survey_part *part)
{
    struct weir__list *link;

    (void)take_cursor(loop, part); /* of one that was given up */
    link = loop->tasks.prev;
    for (int i = 0; i < TASKS_A_TURN && link != &loop->tasks; i++) {
        struct weir_task *task = WEIR_CONTAINER_OF(link, struct weir_task, neighbours);

        link = link->prev;
        part->task_count++;
        part->survey->view.task(part, task);
    }
    answer(part);
}

static void deliver(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir__survey_part *part = WEIR_CONTAINER_OF(mail, struct weir__survey_part, mail);

    if (!is_given_up(part->survey)) {
        if (part->survey->view.newest_only)
            look_at_newest(loop, part);
        else
            look_on(loop, part);
        return;
    }
    weir__list_unlink(&part->cursor);
    if (loop->surveyor == part)
        loop->surveyor = NULL;
    answer(part);
}

static struct weir__survey *make(struct weir__watch *watch, const struct weir__survey_view *view)
{
    struct weir__runtime *runtime = watch->runtime;
    struct weir__survey *survey = atomic_exchange(&watch->spare, NULL);

    WEIR_ASSERT(view->context_bytes <= sizeof survey->context);
    if (!survey)
        survey = alloc_survey(runtime);
    if (!survey)
        return NULL;
    if (view->context_bytes)
        memcpy(survey->context, view->context, view->context_bytes);
    survey->watch = watch;
    survey->view = *view;
    survey->pending_count = survey->part_count;
    survey->given_up = false;
    survey->holders = 2;
    for (unsigned i = 0; i < survey->part_count; i++) {
        struct weir__survey_part *part = &survey->parts[i];

        *part = (struct weir__survey_part){
            .mail.deliver = deliver,
            .survey = survey,
            .loop = runtime->loops[i],
        };
        weir__list_init(&part->cursor);
        for (int pile = 0; pile < WEIR__SURVEY_PILES; pile++)
            part->piles[pile].record_bytes = view->record_bytes[pile];
    }
    return survey;
}

static const struct weir__reason awaits_answers = { "answers of all loops", WEIR_PHASE_TASK, NULL };

/* 0 all have answered, or why the asker gives up. */
static int await(struct weir__survey *survey, int64_t deadline_ns)
{
    struct weir__wait *wait = weir__wait_self();
    int code = 0;

    weir__lock_acquire(&survey->lock);
    if (survey->pending_count == 0) {
        weir__lock_release(&survey->lock);
        return 0;
    }
    weir__wait_begin(wait, &awaits_answers, NULL);
    survey->asker = wait;
    weir__lock_release(&survey->lock);
    code = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&survey->lock);
    survey->asker = NULL;
    survey->given_up = code < 0;
    weir__lock_release(&survey->lock);
    return code;
}

/* What answers from now on is not looked at. */
static void note_good(struct weir__survey *survey)
{
    weir__lock_acquire(&survey->lock);
    for (unsigned i = 0; i < survey->part_count; i++)
        survey->parts[i].is_good = survey->parts[i].answered;
    weir__lock_release(&survey->lock);
}

/* With the turn: sends the mail. */
static int begin(struct weir__watch *watch, const struct weir__survey_view *view,
                 struct weir__survey **out)
{
    struct weir__survey *survey = make(watch, view);

    if (!survey)
        return -ENOMEM;
    weir__watch_join(watch);
    for (unsigned i = 0; i < survey->part_count; i++)
        weir__loop_post(survey->parts[i].loop, &survey->parts[i].mail);
    *out = survey;
    return 0;
}

int weir__survey_run(struct weir__watch *watch, const struct weir__survey_view *view,
                     int64_t deadline_ns, struct weir__survey **out)
{
    int error = weir_mutex_lock(watch->turn, deadline_ns);

    *out = NULL;
    if (error < 0)
        return error;
    error = begin(watch, view, out);
    if (error >= 0) {
        error = await(*out, deadline_ns);
        note_good(*out);
    }
    weir_mutex_unlock(watch->turn);
    if (error == -ECANCELED) {
        let_go(*out);
        *out = NULL;
    }
    return error;
}

int weir__survey_start(struct weir__watch *watch, const struct weir__survey_view *view,
                       struct weir__survey **out)
{
    int error = weir_mutex_lock(watch->turn, WEIR_NOW);

    if (error < 0)
        return error;
    error = begin(watch, view, out);
    if (error < 0)
        weir_mutex_unlock(watch->turn);
    return error;
}

bool weir__survey_is_answered(struct weir__survey *survey)
{
    bool is_answered;

    weir__lock_acquire(&survey->lock);
    is_answered = survey->pending_count == 0;
    weir__lock_release(&survey->lock);
    return is_answered;
}

void weir__survey_stop(struct weir__survey *survey)
{
    weir__lock_acquire(&survey->lock);
    survey->given_up = survey->pending_count > 0;
    weir__lock_release(&survey->lock);
    note_good(survey);
    weir_mutex_unlock(survey->watch->turn);
}

void weir__survey_release(struct weir__survey *survey)
{
    let_go(survey);
}
