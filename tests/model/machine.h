/* SPDX-License-Identifier: MIT */
/*
 * The machine that a program runs on. The channels, select and waits in it are the real code,
 * compiled with WEIR_MODEL=1; below them everything is simulated on one thread: loops, tasks, the
 * mail and the timers between them (seams.c). Who goes on next, and which event comes, is not the
 * machine's to say: whoever drives it sees the moves that are possible now, and makes one.
 *
 * Every loop stands for a thread. It runs a task until that parks or ends; in between it takes mail
 * and lets timers fire. A task, or the handler of an event, stops at each decision point
 * (base/point.h), and other loops may go on there.
 *
 * A state is bytes: of the machine itself, with the channels, and of the stacks in use. So it can
 * be saved, compared and gone back to, and nothing that the code may depend on is left out.
 *
 * What it does not show: weak memory, since steps are in one order for all (TSan and the stress
 * tests look at that), and plain threads, which have no loop.
 */
#ifndef WEIR_TESTS_MODEL_MACHINE_H
#define WEIR_TESTS_MODEL_MACHINE_H

#include "core/sched.h"
#include "model/program.h"

enum {
    LOOPS_MAX = 2,
    FIBERS_MAX = TASKS_MAX + LOOPS_MAX, /* the tasks first */
    MOVES_MAX = 32,
    MAIL_MAX = 2 * TASKS_MAX,
    MEMORY_BYTES = 1024,
    STACK_BYTES = 32768,
    STATE_BYTES_MAX = 65536,
};

/* One fiber goes on: a task, or a loop between its tasks. */
struct move {
    unsigned char fiber;
    unsigned char choice; /* which event comes, or which number is drawn */
};

/* Where a fiber stands. */
enum place {
    AT_LOCK = WEIR__POINT_LOCK,
    AT_UNLOCK = WEIR__POINT_UNLOCK,
    AT_CLAIM = WEIR__POINT_CLAIM,
    AT_DRAW, /* of a random number */
    AT_POST, /* after mail was posted */
    AT_CALLBACK,
    /* From here on the loop may do something else. */
    AT_CALL, /* before a call of the program */
    AT_PARK, /* parked, or not yet begun */
    AT_TURN, /* a loop between its tasks */
    AT_END,
};

struct fiber {
    void *sp;
    const struct weir__lock *lock; /* AT_LOCK: which */
    unsigned char place;
    unsigned char loop;
    unsigned char choices; /* AT_DRAW: how many numbers there are */
    unsigned char choice;  /* the one that was made */
    bool ready;            /* woken */
};

struct loop_state {
    struct weir__list timers;
    struct weir__mail *mail[MAIL_MAX]; /* the oldest first */
    size_t mail_count;
    size_t holder; /* the fiber that has its thread; FIBERS_MAX: none */
};

struct machine {
    struct outcome outcome; /* so far; its endings are filled at the end */
    struct fiber fibers[FIBERS_MAX];
    struct loop_state loops[LOOPS_MAX];
    struct weir_chan *chans[CHANS];
    size_t block_count; /* of memory, not yet freed */
    size_t memory_used;
    unsigned char returned[TASKS_MAX]; /* calls */
    unsigned char retained[CHANS];     /* copies */
    struct weir_task tasks[TASKS_MAX];
    _Alignas(16) unsigned char memory[MEMORY_BYTES];
};

extern struct machine machine;

/* Not part of the state: constant while a program runs, or empty between moves. */
extern const struct program *machine_program;
extern struct weir__loop machine_loops[LOOPS_MAX];

/* Builds the program's channels and tasks; nobody has run yet. */
void machine_start(const struct program *program);

/* What can be done next; 0: everybody has ended, or waits for ever. */
size_t machine_moves(struct move moves[MOVES_MAX]);

/* Makes one of these moves, up to the next decision. */
void machine_go(struct move move);

/* With no move left: what came of the program. Releases the channels if nobody is parked. */
void machine_end(struct outcome *outcome);

/* Copies the state to `room`, of STATE_BYTES_MAX bytes; returns how many it is, a multiple of 8. */
size_t machine_save(void *room);
void machine_restore(const void *room);

/* Where the fiber stands, in words. */
const char *machine_place(const struct fiber *fiber);

/* --- For what runs in it --- */

/* The fiber that runs; NULL: none. */
extern struct fiber *machine_running;

/* The running fiber gives way until it is its move; returns the choice that was made. */
unsigned machine_stop(enum place place, const struct weir__lock *lock, unsigned choices);

/* Whether somebody else might run between two steps of a fiber. */
static inline bool machine_is_shared(void)
{
    return machine_running && machine_program->loop_count > 1;
}

/* A task makes its calls (play.c). */
void machine_play(size_t task);

/* The callbacks; their context points to the channel in machine.chans. */
void machine_drop(void *elem, void *context, enum weir_drop_reason reason);
void machine_retain(void *elem, void *context);

/* Says what must not be, and how it came about (explore.c). */
_Noreturn void machine_fail(const char *what);

#endif
