/* SPDX-License-Identifier: MIT */
/* The way of a command and its answer; see command.h. */
#include "flow/command.h"

#include "base/assert.h"
#include "core/park.h"

int weir__command_create_control(struct weir_chan **control)
{
    return weir_chan_create(control, sizeof(struct weir__command *), 0, NULL);
}

static const struct weir__reason awaits_answer = { "answer of a mult, pub or mix", WEIR_PHASE_TASK,
                                                   NULL };

/* Parks until the answer is there; neither a deadline nor a cancel ends it. */
static void await_answer(struct weir__command *command)
{
    weir__lock_acquire(&command->lock);
    if (command->answered) {
        weir__lock_release(&command->lock);
        return;
    }
    command->wait = weir__wait_self();
    weir__wait_begin(command->wait, &awaits_answer, command);
    weir__lock_release(&command->lock);
    (void)weir__wait_park(command->wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
}

int weir__command_call(struct weir_chan *control, struct weir__command *command,
                       int64_t deadline_ns)
{
    int error = weir_chan_send(control, &command, deadline_ns);

    if (error < 0)
        return error;
    await_answer(command);
    return command->result;
}

void weir__command_answer(struct weir__command *command, int result)
{
    struct weir__wait *wait;
    bool fired;

    weir__lock_acquire(&command->lock);
    command->answered = true;
    command->result = result;
    wait = command->wait;
    weir__lock_release(&command->lock);
    if (!wait)
        return; /* the caller will look before it parks, and may be gone already */
    fired = weir__wait_fire(wait, 0);
    WEIR_ASSERT(fired);
}
