/* SPDX-License-Identifier: MIT */
/* Programs and outcomes as text, for whoever must find out what went wrong. */
#include "model/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const verb_names[] = {
    [SEND] = "send",   [RECV] = "recv",   [SELECT] = "select",
    [CLOSE] = "close", [ABORT] = "abort", [CANCEL] = "cancel",
};

static const char *const patience_names[] = { [FOREVER] = "", [NOW] = " now", [SOON] = " soon" };

static const char *const policy_names[] = {
    [WEIR_CHAN_PARK] = "",
    [WEIR_CHAN_DROP_NEWEST] = " dropping",
    [WEIR_CHAN_DROP_OLDEST] = " sliding",
    [WEIR_CHAN_PROMISE] = " promise",
};

static __attribute__((format(printf, 2, 3))) void add(char text[TEXT_BYTES], const char *format,
                                                      ...)
{
    size_t length = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + length, TEXT_BYTES - length, format, args);
    va_end(args);
}

static void add_call(char text[TEXT_BYTES], const struct call *call)
{
    add(text, " %s", verb_names[call->verb]);
    if (call->verb == SELECT) {
        add(text, call->in_order ? "[" : "{");
        for (size_t i = 0; i < call->clause_count; i++)
            add(text, "%s%s c%u", i ? ", " : "", call->clauses[i].sends ? "send" : "recv",
                call->clauses[i].chan);
        add(text, call->in_order ? "]" : "}");
    } else if (call->verb != CANCEL) {
        add(text, " c%u", call->clauses[0].chan);
    }
    add(text, "%s;", patience_names[call->patience]);
}

void program_describe(const struct program *program, char text[TEXT_BYTES])
{
    text[0] = 0;
    for (size_t i = 0; i < CHANS; i++) {
        const struct chan_setup *chan = &program->chans[i];

        add(text, "c%zu: %u of %u%s%s; ", i, chan->buffered, chan->capacity,
            policy_names[chan->policy], chan->counts_copies ? " counting" : "");
    }
    for (size_t task = 0; task < program->task_count; task++) {
        add(text, "task %zu on loop %u:", task, program->loops[task]);
        for (size_t i = 0; i < program->call_counts[task]; i++)
            add_call(text, &program->calls[task][i]);
        add(text, " ");
    }
}

static void add_answer(char text[TEXT_BYTES], const struct answer *answer)
{
    if (answer->stage == NOT_CALLED)
        add(text, " -");
    else if (answer->stage == CALLED)
        add(text, " parked");
    else
        add(text, " %s", answer->code < 0 ? strerrorname_np(-answer->code) : "ok");
    if (answer->won != NO_CLAUSE && answer->stage == ANSWERED)
        add(text, " by %u", answer->won);
    if (answer->values[0] || answer->values[1])
        add(text, " got %u %u", answer->values[0], answer->values[1]);
    add(text, " (%u %u %u);", answer->returned[0], answer->returned[1], answer->returned[2]);
}

void outcome_describe(const struct program *program, const struct outcome *outcome,
                      char text[TEXT_BYTES])
{
    text[0] = 0;
    for (size_t task = 0; task < program->task_count; task++) {
        add(text, "task %zu:", task);
        for (size_t i = 0; i < program->call_counts[task]; i++)
            add_answer(text, &outcome->answers[task][i]);
        add(text, " ");
    }
    for (size_t i = 0; i < CHANS; i++) {
        const struct ending *ending = &outcome->endings[i];

        add(text, "c%zu: reason %d sent %u received %u dropped %u waiting %u %u buffered", i,
            ending->reason, ending->sent, ending->received, ending->dropped,
            ending->waiting_senders, ending->waiting_receivers);
        for (size_t k = 0; k < ending->count; k++)
            add(text, " %u", ending->values[k]);
        add(text, "; ");
    }
    for (size_t value = 0; value < VALUES_MAX; value++)
        if (outcome->drops[value])
            add(text, "%zu dropped for %d; ", value, outcome->drops[value] - 1);
}
