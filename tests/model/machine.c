/* SPDX-License-Identifier: MIT */
/* See machine.h. */
#include "model/machine.h"

#include "core/park.h"
#include "fiber/switch.h"
#include "sync/chan.h"

#include <string.h>

enum { CLEAN_BYTES = 2048 };

struct machine machine;
const struct program *machine_program;
struct weir__loop machine_loops[LOOPS_MAX];
struct fiber *machine_running;

static _Alignas(64) unsigned char stacks[FIBERS_MAX][STACK_BYTES];
static void *driver_sp;

static const char *const place_names[] = {
    [AT_LOCK] = "takes a lock",
    [AT_UNLOCK] = "goes on after an unlock",
    [AT_CLAIM] = "claims",
    [AT_DRAW] = "draws",
    [AT_POST] = "goes on after a post",
    [AT_CALLBACK] = "goes on after a callback",
    [AT_CALL] = "calls",
    [AT_PARK] = "is resumed",
    [AT_TURN] = "takes an event",
    [AT_END] = "has ended",
};

const char *machine_place(const struct fiber *fiber)
{
    return place_names[fiber->place];
}

static unsigned char *stack_top(size_t fiber)
{
    return stacks[fiber] + STACK_BYTES;
}

unsigned machine_stop(enum place place, const struct weir__lock *lock, unsigned choices)
{
    struct fiber *self = machine_running;
    unsigned choice;

    self->place = (unsigned char)place;
    self->lock = lock;
    self->choices = (unsigned char)choices;
    weir__switch(&self->sp, driver_sp);
    choice = self->choice;
    self->choice = 0;
    return choice;
}

/* --- What the fibers do --- */

static void run_task(void *arg)
{
    machine_play((size_t)((struct weir_task *)arg - machine.tasks));
    machine_stop(AT_END, NULL, 0);
}

static size_t count_links(const struct weir__list *head)
{
    size_t count = 0;

    for (const struct weir__list *link = head->next; link != head; link = link->next)
        count++;
    return count;
}

static void take_mail(struct weir__loop *loop, struct loop_state *state)
{
    struct weir__mail *mail = state->mail[0];

    state->mail_count--;
    memmove(state->mail, state->mail + 1, state->mail_count * sizeof *state->mail);
    state->mail[state->mail_count] = NULL;
    mail->deliver(loop, mail);
}

static void fire_timer(struct loop_state *state, size_t index)
{
    struct weir__list *link = state->timers.next;
    struct weir__timer *timer;

    while (index--)
        link = link->next;
    timer = WEIR_CONTAINER_OF(link, struct weir__timer, link);
    weir__list_unlink(link);
    timer->fire(timer);
}

/* A loop's events: its oldest mail, and any of its timers. */
static void run_loop(void *arg)
{
    struct weir__loop *loop = arg;
    struct loop_state *state = &machine.loops[loop - machine_loops];

    for (;;) {
        size_t choice = machine_stop(AT_TURN, NULL, 0);

        if (choice == 0 && state->mail_count)
            take_mail(loop, state);
        else
            fire_timer(state, choice - (state->mail_count > 0));
    }
}

/* --- The start --- */

static void start_fiber(size_t index, unsigned char loop, void (*entry)(void *arg), void *arg)
{
    machine.fibers[index] = (struct fiber){
        .sp = weir__switch_prepare(stack_top(index), entry, arg, weir__switch_control()),
        .place = AT_PARK,
        .loop = loop,
        .ready = true,
    };
}

static void start_task(size_t index)
{
    unsigned char loop = machine_program->loops[index];
    struct weir_task *task = &machine.tasks[index];

    atomic_init(&task->wait.word, WEIR__WAIT_IDLE);
    task->wait.loop = &machine_loops[loop];
    start_fiber(index, loop, run_task, task);
}

static void start_loop(size_t index)
{
    struct loop_state *state = &machine.loops[index];
    struct weir__loop *loop = &machine_loops[index];

    weir__queue_init(&loop->ready);
    loop->now_ns = 1;
    loop->random.state = 1;
    weir__list_init(&state->timers);
    state->holder = FIBERS_MAX;
    start_fiber(TASKS_MAX + index, (unsigned char)index, run_loop, loop);
}

static void start_chan(size_t index)
{
    const struct chan_setup *setup = &machine_program->chans[index];
    uint64_t value = value_buffered(index);
    struct weir_chan **chan = &machine.chans[index];
    int error = weir_chan_create(chan, sizeof(uint64_t), setup->capacity,
                                 &(struct weir_chan_options){
                                     .policy = (enum weir_chan_policy)setup->policy,
                                     .drop = machine_drop,
                                     .retain = setup->counts_copies ? machine_retain : NULL,
                                     .context = chan,
                                 });

    if (error == 0 && setup->buffered)
        error = weir_chan_send(*chan, &value, WEIR_NOW);
    if (error < 0)
        machine_fail("a channel cannot be made");
    (*chan)->sent_total = 0; /* the program's own from here on */
}

void machine_start(const struct program *program)
{
    machine_program = program;
    memset(&machine, 0, sizeof machine);
    for (size_t i = 0; i < FIBERS_MAX; i++)
        machine.fibers[i] = (struct fiber){ .sp = stack_top(i), .place = AT_END };
    for (size_t i = 0; i < CHANS; i++)
        start_chan(i);
    for (size_t i = 0; i < program->task_count; i++)
        start_task(i);
    for (size_t i = 0; i < program->loop_count; i++)
        start_loop(i);
    for (size_t i = 0; i < program->loop_count; i++)
        machine_go((struct move){ .fiber = (unsigned char)(TASKS_MAX + i) });
}

/* --- The moves --- */

static size_t count_choices(const struct fiber *fiber)
{
    const struct loop_state *loop = &machine.loops[fiber->loop];

    switch (fiber->place) {
    case AT_LOCK:
        return !fiber->lock->held;
    case AT_DRAW:
        return fiber->choices;
    case AT_PARK:
        return fiber->ready;
    case AT_TURN:
        return (loop->mail_count > 0) + count_links(&loop->timers);
    case AT_END:
        return 0;
    default:
        return 1;
    }
}

size_t machine_moves(struct move moves[MOVES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < FIBERS_MAX; i++) {
        const struct fiber *fiber = &machine.fibers[i];
        size_t holder = machine.loops[fiber->loop].holder;
        size_t choices = holder == FIBERS_MAX || holder == i ? count_choices(fiber) : 0;

        for (size_t choice = 0; choice < choices; choice++)
            moves[count++] = (struct move){ (unsigned char)i, (unsigned char)choice };
    }
    return count;
}

/* Whoever was made ready waits for its move from now on. */
static void collect_ready(struct weir__loop *loop)
{
    struct weir__mail *mail;

    while ((mail = weir__queue_pop(&loop->ready))) {
        struct fiber *fiber = &machine.fibers[weir__task_of_mail(mail) - machine.tasks];

        mail->next = NULL;
        if (fiber->ready)
            machine_fail("a task was woken twice");
        fiber->ready = true;
    }
}

/* Waiters and timers lie in the frames of calls: on stacks, as far as these are in use. */
static void check_links(const struct weir__list *head, const char *what)
{
    const struct weir__list *link = head->next;

    for (size_t count = 0; link != head; count++) {
        const unsigned char *place = (const unsigned char *)link;
        size_t owner = (size_t)(place - stacks[0]) / STACK_BYTES;

        if (count == WAITERS_MAX || owner >= TASKS_MAX ||
            place < (const unsigned char *)machine.fibers[owner].sp)
            machine_fail(what);
        link = link->next;
    }
}

static void check(void)
{
    for (size_t i = 0; i < machine_program->loop_count; i++)
        check_links(&machine.loops[i].timers, "a timer is armed that is no longer there");
    for (size_t i = 0; i < CHANS; i++) {
        struct weir_chan *chan = machine.chans[i];

        if (chan->lock.held)
            continue;
        check_links(&chan->senders.waiters, "a sender is linked that is no longer there");
        check_links(&chan->receivers.waiters, "a receiver is linked that is no longer there");
        weir__chan_verify(chan);
    }
}

void machine_go(struct move move)
{
    struct fiber *fiber = &machine.fibers[move.fiber];
    struct loop_state *state = &machine.loops[fiber->loop];
    struct weir__loop *loop = &machine_loops[fiber->loop];

    state->holder = move.fiber;
    fiber->choice = move.choice;
    if (fiber->place == AT_PARK)
        fiber->ready = false;
    loop->current = move.fiber < TASKS_MAX ? &machine.tasks[move.fiber] : NULL;
    loop->budget = 1; /* whoever pays yields, see weir__sched_yield */
    weir__loop_current = loop;
    machine_running = fiber;
    /* What lies there is of no concern, but would come to lie in the gaps of frames, and make
     * states differ. */
    memset((unsigned char *)fiber->sp - CLEAN_BYTES, 0, CLEAN_BYTES);
    weir__switch(&driver_sp, fiber->sp);
    machine_running = NULL;
    weir__loop_current = NULL;
    if (fiber->place >= AT_CALL)
        state->holder = FIBERS_MAX;
    collect_ready(loop);
    check();
}

/* --- The end --- */

static void end_chan(size_t index, struct ending *ending)
{
    struct weir_chan *chan = machine.chans[index];
    struct weir_chan_stats stats;

    weir_chan_read_stats(chan, &stats);
    if (chan->retain && machine.retained[index] != stats.received_total)
        machine_fail("a copy was not retained");
    if (stats.waiting_senders != count_links(&chan->senders.waiters) ||
        stats.waiting_receivers != count_links(&chan->receivers.waiters))
        machine_fail("the count of waiters is not theirs");
    *ending = (struct ending){
        .reason = (int16_t)(stats.closed ? chan->reason : 0),
        .sent = (uint8_t)stats.sent_total,
        .received = (uint8_t)stats.received_total,
        .dropped = (uint8_t)stats.dropped_total,
        .count = (uint8_t)stats.count,
        .waiting_senders = (uint8_t)stats.waiting_senders,
        .waiting_receivers = (uint8_t)stats.waiting_receivers,
    };
    for (size_t i = 0; i < stats.count; i++) {
        uint64_t value;

        memcpy(&value, chan->buffer + (chan->head + i) % chan->capacity * sizeof value,
               sizeof value);
        ending->values[i] = (uint8_t)value;
    }
}

/* What is left in the channels is dropped, and their memory freed. */
static void release_chans(const struct outcome *outcome)
{
    for (size_t i = 0; i < CHANS; i++) {
        const struct ending *ending = &outcome->endings[i];

        if (weir_chan_release(machine.chans[i]) < 0)
            machine_fail("a release finds waiters");
        for (size_t k = 0; k < ending->count; k++)
            if (machine.outcome.drops[ending->values[k]] != 1 + WEIR_DROP_DESTROY)
                machine_fail("an element is left over");
    }
    if (machine.block_count)
        machine_fail("memory is left over");
}

void machine_end(struct outcome *outcome)
{
    bool all = true;

    for (size_t i = 0; i < TASKS_MAX; i++) {
        if (machine.fibers[i].place == AT_LOCK)
            machine_fail("a task waits for a lock for ever");
        all &= machine.fibers[i].place == AT_END;
    }
    *outcome = machine.outcome;
    for (size_t i = 0; i < CHANS; i++)
        end_chan(i, &outcome->endings[i]);
    if (all)
        release_chans(outcome);
}

/* --- States --- */

static size_t round_up(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* The machine as far as it is in use, then its stacks. */
static size_t machine_bytes(void)
{
    return offsetof(struct machine, memory) + round_up(machine.memory_used);
}

size_t machine_save(void *room)
{
    unsigned char *place = room;
    size_t bytes = machine_bytes();

    memcpy(place, &machine, bytes);
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        size_t stack_bytes = (size_t)(stack_top(i) - (unsigned char *)machine.fibers[i].sp);

        if (bytes + stack_bytes > STATE_BYTES_MAX)
            machine_fail("a state is too large");
        memcpy(place + bytes, machine.fibers[i].sp, stack_bytes);
        bytes += stack_bytes;
    }
    return bytes;
}

void machine_restore(const void *room)
{
    const unsigned char *place = room;

    memcpy(&machine, place, offsetof(struct machine, memory));
    memcpy(machine.memory, place + offsetof(struct machine, memory), machine.memory_used);
    place += machine_bytes();
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        size_t stack_bytes = (size_t)(stack_top(i) - (unsigned char *)machine.fibers[i].sp);

        memcpy(machine.fibers[i].sp, place, stack_bytes);
        place += stack_bytes;
    }
}
