/* SPDX-License-Identifier: MIT */
/* Running a DWARF expression; see expression.h, and DWARF 5, section 2.5. */
#include "unwind/expression.h"

enum { DEPTH = 16 };

enum {
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08, /* to CONST8S: 1, 2, 4, 8 bytes, without and with sign */
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_SWAP = 0x16,
    OP_AND = 0x1a,
    OP_MINUS = 0x1c,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_NOP = 0x96,
};

struct machine {
    struct weir__cursor code;
    const struct weir__frame_state *frame;
    const struct weir__stack_bounds *bounds;
    uintptr_t words[DEPTH];
    unsigned count;
    enum weir__expression_end end;
};

static void fail(struct machine *machine, enum weir__expression_end end)
{
    if (machine->end == WEIR__EXPRESSION_DONE)
        machine->end = end;
}

static void push(struct machine *machine, uintptr_t word)
{
    if (machine->count == DEPTH)
        fail(machine, WEIR__EXPRESSION_BAD);
    else
        machine->words[machine->count++] = word;
}

static uintptr_t pop(struct machine *machine)
{
    if (machine->count == 0) {
        fail(machine, WEIR__EXPRESSION_BAD);
        return 0;
    }
    return machine->words[--machine->count];
}

static void push_register(struct machine *machine, uint64_t number)
{
    int64_t offset = weir__cursor_take_sleb(&machine->code);
    const struct weir__frame_state *frame = machine->frame;

    /* On x86-64 the return address counts as a register: here it is where the frame runs. */
    if (number == WEIR__REGISTER_RETURN && !weir__frame_knows(frame, number))
        push(machine, frame->ip + (uintptr_t)offset);
    else if (weir__frame_knows(frame, number))
        push(machine, frame->registers[number] + (uintptr_t)offset);
    else
        fail(machine, WEIR__EXPRESSION_UNKNOWN);
}

static void push_constant(struct machine *machine, unsigned code)
{
    unsigned bytes = 1u << (code - OP_CONST1U) / 2;

    push(machine, code % 2 ? (uintptr_t)weir__cursor_take_signed(&machine->code, bytes)
                           : (uintptr_t)weir__cursor_take(&machine->code, bytes));
}

static void dereference(struct machine *machine)
{
    uintptr_t word = 0;

    if (!weir__frame_read(machine->bounds, pop(machine), &word))
        fail(machine, WEIR__EXPRESSION_BAD);
    push(machine, word);
}

/* Those that take the two uppermost words; the second-most is the left one. */
static bool combine(unsigned code, uintptr_t left, uintptr_t right, uintptr_t *result)
{
    intptr_t signed_left = (intptr_t)left, signed_right = (intptr_t)right;
    uintptr_t shift = right % 64;

    switch (code) {
    case OP_AND:
        *result = left & right;
        return true;
    case OP_MINUS:
        *result = left - right;
        return true;
    case OP_MUL:
        *result = left * right;
        return true;
    case OP_OR:
        *result = left | right;
        return true;
    case OP_PLUS:
        *result = left + right;
        return true;
    case OP_SHL:
        *result = left << shift;
        return true;
    case OP_SHR:
        *result = left >> shift;
        return true;
    case OP_SHRA:
        *result = (uintptr_t)(signed_left >> shift);
        return true;
    case OP_XOR:
        *result = left ^ right;
        return true;
    case OP_EQ:
        *result = left == right;
        return true;
    case OP_GE:
        *result = signed_left >= signed_right;
        return true;
    case OP_GT:
        *result = signed_left > signed_right;
        return true;
    case OP_LE:
        *result = signed_left <= signed_right;
        return true;
    case OP_LT:
        *result = signed_left < signed_right;
        return true;
    case OP_NE:
        *result = left != right;
        return true;
    default:
        return false;
    }
}

static void operate(struct machine *machine, unsigned code)
{
    uintptr_t right = pop(machine), left = pop(machine), result = 0;

    if (code == OP_SWAP) {
        push(machine, right);
        push(machine, left);
    } else if (code == OP_OVER) {
        push(machine, left);
        push(machine, right);
        push(machine, left);
    } else if (combine(code, left, right, &result)) {
        push(machine, result);
    } else {
        fail(machine, WEIR__EXPRESSION_BAD);
    }
}

/* Those that take one word, or none. */
static void step(struct machine *machine, unsigned code)
{
    if (code >= OP_LIT0 && code <= OP_LIT31) {
        push(machine, code - OP_LIT0);
    } else if (code >= OP_BREG0 && code <= OP_BREG31) {
        push_register(machine, code - OP_BREG0);
    } else if (code >= OP_CONST1U && code <= OP_CONST8S) {
        push_constant(machine, code);
    } else if (code == OP_BREGX) {
        push_register(machine, weir__cursor_take_uleb(&machine->code));
    } else if (code == OP_CONSTU) {
        push(machine, (uintptr_t)weir__cursor_take_uleb(&machine->code));
    } else if (code == OP_CONSTS) {
        push(machine, (uintptr_t)weir__cursor_take_sleb(&machine->code));
    } else if (code == OP_PLUS_UCONST) {
        push(machine, pop(machine) + (uintptr_t)weir__cursor_take_uleb(&machine->code));
    } else if (code == OP_DEREF) {
        dereference(machine);
    } else if (code == OP_DROP) {
        pop(machine);
    } else if (code == OP_DUP) {
        uintptr_t word = pop(machine);

        push(machine, word);
        push(machine, word);
    } else if (code == OP_NEG) {
        push(machine, 0 - pop(machine));
    } else if (code == OP_NOT) {
        push(machine, ~pop(machine));
    } else if (code != OP_NOP) {
        operate(machine, code);
    }
}

enum weir__expression_end weir__expression_run(struct weir__cursor code,
                                               const struct weir__frame_state *frame,
                                               const struct weir__stack_bounds *bounds,
                                               const uintptr_t *first, uintptr_t *result)
{
    struct machine machine = { .code = code, .frame = frame, .bounds = bounds };

    if (first)
        push(&machine, *first);
    while (machine.code.at < machine.code.end && !machine.code.bad &&
           machine.end == WEIR__EXPRESSION_DONE)
        step(&machine, (unsigned)weir__cursor_take(&machine.code, 1));
    *result = pop(&machine);
    return machine.code.bad ? WEIR__EXPRESSION_BAD : machine.end;
}
