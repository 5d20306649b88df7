/* SPDX-License-Identifier: MIT */
/* How a task makes its calls, and writes down what came of them. */
#include "core/park.h"
#include "model/machine.h"
#include "sync/chan.h"

#include <weir/select.h>

#include <string.h>

enum { SOON_NS = 1000 };

static int64_t deadline_of(const struct call *call)
{
    static const int64_t deadlines[] = { WEIR_FOREVER, WEIR_NOW, SOON_NS };

    return deadlines[call->patience];
}

/* As core/task.c does it. */
static void deliver_cancel(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir_task *task = WEIR_CONTAINER_OF(mail, struct weir_task, cancel_mail);

    (void)loop;
    task->cancelled = true;
    if (weir__wait_is_open(&task->wait) && !(task->park_flags & WEIR__PARK_RELEASE))
        weir__wait_interrupt(&task->wait, -ECANCELED);
}

static void cancel(struct weir_task *task)
{
    if (atomic_exchange(&task->cancel_posted, true))
        return;
    task->cancel_mail.deliver = deliver_cancel;
    weir__loop_post(task->wait.loop, &task->cancel_mail);
}

static bool was_ended_early(int code)
{
    return code == -EAGAIN || code == -ETIME || code == -ECANCELED;
}

static void play_select(const struct call *call, uint64_t elems[CLAUSES_MAX], struct answer *answer)
{
    struct weir_clause clauses[CLAUSES_MAX];
    int won;

    for (size_t i = 0; i < call->clause_count; i++) {
        struct weir_chan *chan = machine.chans[call->clauses[i].chan];

        clauses[i] = call->clauses[i].sends ? weir_clause_send(chan, &elems[i])
                                            : weir_clause_recv(chan, &elems[i]);
    }
    won = weir_select(clauses, call->clause_count, call->in_order ? WEIR_SELECT_PRIORITY : 0,
                      deadline_of(call));
    answer->won = (uint8_t)(won < 0 ? NO_CLAUSE : won);
    answer->code = (int16_t)(won < 0 ? won : clauses[won].result);
}

static int play_plain(const struct call *call, uint64_t *elem, size_t task)
{
    struct weir_chan *chan = machine.chans[call->clauses[0].chan];

    switch (call->verb) {
    case SEND:
        return weir_chan_send(chan, elem, deadline_of(call));
    case RECV:
        return weir_chan_recv(chan, elem, deadline_of(call));
    case CLOSE:
        return weir_chan_close(chan, CLOSE_REASON);
    case ABORT:
        return weir_chan_abort(chan, ABORT_REASON);
    default:
        cancel(&machine.tasks[(task + 1) % machine_program->task_count]);
        return 0;
    }
}

static void play_call(size_t task, size_t index)
{
    const struct call *call = &machine_program->calls[task][index];
    struct answer *answer = &machine.outcome.answers[task][index];
    uint64_t elems[CLAUSES_MAX] = { 0 };

    for (size_t i = 0; i < call->clause_count; i++)
        if (call->clauses[i].sends)
            elems[i] = value_of(task, index, i);
    answer->stage = CALLED;
    memcpy(answer->returned, machine.returned, sizeof answer->returned);
    if (call->verb == SELECT) {
        play_select(call, elems, answer);
    } else {
        answer->code = (int16_t)play_plain(call, &elems[0], task);
        answer->won = call->clause_count && !was_ended_early(answer->code) ? 0 : NO_CLAUSE;
    }
    for (size_t i = 0; i < call->clause_count; i++) {
        if (!call->clauses[i].sends)
            answer->values[i] = (uint8_t)elems[i];
        else if (elems[i] != value_of(task, index, i))
            machine_fail("a sender's element was written to");
    }
    answer->stage = ANSWERED;
    machine.returned[task]++;
}

void machine_play(size_t task)
{
    for (size_t i = 0; i < machine_program->call_counts[task]; i++) {
        machine_stop(AT_CALL, NULL, 1);
        play_call(task, i);
    }
}

void machine_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct weir_chan **chan = context;
    uint64_t value;

    memcpy(&value, elem, sizeof value);
    if (value >= VALUES_MAX || machine.outcome.drops[value])
        machine_fail("an element is dropped that is none, or was before");
    if ((*chan)->retain && reason != WEIR_DROP_NEWEST &&
        machine.retained[chan - machine.chans] != (*chan)->received_total)
        machine_fail("an element is dropped before its copies were retained");
    machine.outcome.drops[value] = (uint8_t)(1 + reason);
}

void machine_retain(void *elem, void *context)
{
    struct weir_chan **chan = context;
    uint64_t value;

    memcpy(&value, elem, sizeof value);
    if (value >= VALUES_MAX || machine.outcome.drops[value])
        machine_fail("an element is retained that is none, or was dropped");
    machine.retained[chan - machine.chans]++;
    if (machine_is_shared())
        machine_stop(AT_CALLBACK, NULL, 1);
}
