/* SPDX-License-Identifier: MIT */
/* Select over I/O; see clause.h. The chapter is <weir/select.h>. */
#include "io/clause.h"

#include "base/kernel.h"
#include "core/park.h"
#include "io/descriptor.h"
#include "io/io.h"

#include <errno.h>
#include <poll.h>

/* A poll in the kernel, for one clause of a parked select. */
struct weir__poll_record {
    struct weir__op op;
    struct weir__waiter *waiter; /* the clause's; NULL once it shall fire no more */
    struct weir__wait *finisher; /* who waits for the end; NULL: nobody yet */
    bool is_over;
    struct weir__poll_record *next; /* among the free ones */
};

/* In the clause's scratch. */
struct poll_state {
    struct weir__poll_record *record; /* while there is a poll */
    int seen;                         /* by the look: events, or -errno; 0: not ready */
    short events;
};

_Static_assert(sizeof(struct poll_state) <= sizeof((struct weir__clause_internal *)0)->scratch,
               "a clause's scratch must hold the state of a poll");

static struct poll_state *state_of(struct weir_clause *clause)
{
    return (struct poll_state *)weir__clause_internal(clause)->scratch;
}

/* The polls of a loop are on its ring: there is none for a plain thread. */
static int poll_prepare(struct weir_clause *clause)
{
    struct poll_state *state = state_of(clause);

    state->record = NULL;
    state->seen = 0;
    if (weir__loop_current)
        return 0;
    return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
}

/* As a poll on the ring would answer, weir's own reasons included. */
static void poll_look(struct weir_clause *clause)
{
    struct poll_state *state = state_of(clause);
    int fd = weir__clause_poll_fd(clause);

    state->seen = weir__descriptor_enter(fd, weir__loop_current->io->home, true);
    if (state->seen < 0)
        return;
    state->seen = weir__kernel_poll(fd, (short)(state->events | POLLRDHUP));
    weir__descriptor_leave(fd);
}

static bool poll_ready(const struct weir_clause *clause)
{
    return state_of((struct weir_clause *)clause)->seen != 0;
}

static bool poll_try(struct weir_clause *clause, struct weir__wait **wake)
{
    (void)wake;
    clause->result = state_of(clause)->seen;
    return clause->result != 0;
}

/* The waiter hangs nowhere: the poll's record knows it. */
static void poll_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    (void)clause;
    (void)waiter;
}

static struct weir__poll_record *take_record(struct weir__loop *loop)
{
    struct weir__poll_record *record = loop->io->free_polls;

    if (!record)
        return weir__memory_alloc(loop->heap, sizeof *record);
    loop->io->free_polls = record->next;
    return record;
}

static void give_record(struct weir__io *io, struct weir__poll_record *record)
{
    record->next = io->free_polls;
    io->free_polls = record;
}

void weir__clause_poll_fire(struct weir_clause *clause, int result)
{
    struct weir__waiter *waiter = &weir__clause_internal(clause)->waiter;

    waiter->result = result;
    weir__wait_fire(waiter->wait, waiter->index);
}

/* Only the last of its completions counts. */
static void poll_event(struct weir__op *op, int result, uint32_t flags)
{
    (void)op;
    (void)result;
    (void)flags;
}

static void poll_ended(struct weir__op *op)
{
    struct weir__poll_record *record = WEIR_CONTAINER_OF(op, struct weir__poll_record, op);

    record->is_over = true;
    if (record->waiter) {
        record->waiter->result = (int)op->result;
        weir__wait_fire(record->waiter->wait, record->waiter->index);
    } else if (record->finisher) {
        weir__wait_fire(record->finisher, 0);
    }
}

static void poll_launch(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir__loop *loop = weir__loop_current;
    struct poll_state *state = state_of(clause);
    struct weir__poll_record *record = take_record(loop);
    int error;

    if (!record) {
        weir__clause_poll_fire(clause, -ENOBUFS);
        return;
    }
    *record = (struct weir__poll_record){
        .op = { .fd = weir__clause_poll_fd(clause),
                .flags = (unsigned short)state->events,
                .event = poll_event,
                .ended = poll_ended },
        .waiter = waiter,
    };
    error = weir__op_start(WEIR__OP_ID_POLL, &record->op);
    if (error >= 0) {
        state->record = record;
        return;
    }
    give_record(loop->io, record);
    weir__clause_poll_fire(clause, error);
}

/* From here on the select's wait may be used for something else. */
static void poll_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir__poll_record *record = state_of(clause)->record;

    (void)waiter;
    if (!record)
        return;
    record->waiter = NULL;
    if (!record->is_over)
        weir__op_interrupt(&record->op, 0);
}

static void poll_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    clause->result = waiter->result;
}

static const struct weir__reason awaits_poll = { "select: end of a poll", WEIR_PHASE_PEER, NULL };

static void poll_finish(struct weir_clause *clause, bool won)
{
    struct weir__poll_record *record = state_of(clause)->record;

    (void)won;
    if (!record)
        return;
    if (!record->is_over) {
        record->finisher = weir__wait_self();
        weir__wait_begin(record->finisher, &awaits_poll, NULL);
        weir__wait_park(record->finisher, WEIR_FOREVER, WEIR__PARK_RELEASE);
    }
    WEIR_DEBUG_ASSERT(record->is_over);
    give_record(weir__loop_current->io, record);
}

void weir__clause_poll_term(struct weir__io *io)
{
    while (io->free_polls) {
        struct weir__poll_record *record = io->free_polls;

        io->free_polls = record->next;
        weir__memory_free(record);
    }
}

const struct weir_clause_verbs weir__clause_poll_verbs = {
    .name = "poll",
    .is_careful = true,
    .prepare = poll_prepare,
    .look = poll_look,
    .ready = poll_ready,
    .try = poll_try,
    .arm = poll_arm,
    .launch = poll_launch,
    .disarm = poll_disarm,
    .fired = poll_fired,
    .finish = poll_finish,
};

struct weir_clause weir__clause_poll_make(const struct weir_clause_verbs *verbs, int fd,
                                          short events)
{
    struct weir_clause clause = { .object = (void *)(intptr_t)fd };

    if (fd < 0)
        return clause;
    clause.verbs = verbs;
    state_of(&clause)->events = events;
    return clause;
}

struct weir_clause weir_clause_poll(int fd, short events)
{
    return weir__clause_poll_make(&weir__clause_poll_verbs, fd, events);
}

struct weir_clause weir_clause_readable(int fd)
{
    return weir_clause_poll(fd, POLLIN);
}

struct weir_clause weir_clause_writable(int fd)
{
    return weir_clause_poll(fd, POLLOUT);
}
