/* SPDX-License-Identifier: MIT */
/*
 * Running unwind tables; see cfi.h.
 *
 *   find      the code's description in the tables, see unwind.h
 *   compile   its instructions, up to the code's place, make a row of rules: where the frame lies
 *             (its CFA), and where the caller's registers are
 *   apply     the rules, to this frame's registers and the stack's memory
 */
#include "unwind/cfi.h"

#include "unwind/cursor.h"
#include "unwind/expression.h"
#include "unwind/unwind.h"

enum { REMEMBERED_MAX = 3 };

enum {
    CFA_ADVANCE = 0x1, /* these three in the two upper bits, an operand in the others */
    CFA_OFFSET = 0x2,
    CFA_RESTORE = 0x3,
    CFA_NOP = 0x00,
    CFA_ADVANCE1 = 0x02,
    CFA_ADVANCE2 = 0x03,
    CFA_ADVANCE4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_NEGATE_RA_STATE = 0x2d, /* aarch64: codes are stripped from every return address */
    CFA_GNU_ARGS_SIZE = 0x2e,
};

/* How a register of the caller is found. */
enum rule_kind {
    RULE_SAME, /* it is as it was: the beginning of all rules */
    RULE_UNDEFINED,
    RULE_OFFSET,       /* in memory, so far from the CFA */
    RULE_VALUE_OFFSET, /* it is the CFA, so far on */
    RULE_REGISTER,     /* in another register */
    RULE_EXPRESSION,   /* in memory, where the expression says */
    RULE_VALUE_EXPRESSION,
};

struct rule {
    enum rule_kind kind;
    uint32_t bytes; /* of the expression */
    union {
        int64_t offset;
        uint64_t number;
        const uint8_t *code;
    };
};

struct row {
    struct rule cfa; /* RULE_VALUE_OFFSET of `cfa_register`, or RULE_VALUE_EXPRESSION */
    uint64_t cfa_register;
    struct rule registers[WEIR__REGISTER_COUNT];
};

/* The program that makes a row. */
struct compiler {
    const struct weir__unwind *about;
    struct weir__cursor code;
    uintptr_t at;    /* where the row begins to hold */
    uintptr_t until; /* the place it is wanted for */
    struct row *row;
    const struct row *initial; /* after the common part; NULL: still in it */
    struct row remembered[REMEMBERED_MAX];
    unsigned remembered_count;
};

static void set_rule(struct compiler *compiler, uint64_t number, struct rule rule)
{
    if (number < WEIR__REGISTER_COUNT) /* not one of those for floating point */
        compiler->row->registers[number] = rule;
}

static void restore_rule(struct compiler *compiler, uint64_t number)
{
    if (number < WEIR__REGISTER_COUNT && compiler->initial)
        compiler->row->registers[number] = compiler->initial->registers[number];
}

static struct rule offset_rule(enum rule_kind kind, int64_t offset)
{
    return (struct rule){ .kind = kind, .offset = offset };
}

static struct rule take_expression(struct compiler *compiler, enum rule_kind kind)
{
    uint64_t bytes = weir__cursor_take_uleb(&compiler->code);
    struct rule rule = { .kind = kind, .bytes = (uint32_t)bytes, .code = compiler->code.at };

    weir__cursor_skip(&compiler->code, bytes);
    return rule;
}

/* An offset with a sign, or without, times the table's factor. */
static int64_t take_offset(struct compiler *compiler, bool has_sign)
{
    int64_t offset = has_sign ? weir__cursor_take_sleb(&compiler->code)
                              : (int64_t)weir__cursor_take_uleb(&compiler->code);

    return (int64_t)((uint64_t)offset * (uint64_t)compiler->about->data_factor);
}

static void advance(struct compiler *compiler, uint64_t delta)
{
    compiler->at += delta * compiler->about->code_factor;
}

static void remember(struct compiler *compiler)
{
    if (compiler->remembered_count == REMEMBERED_MAX)
        compiler->code.bad = true;
    else
        compiler->remembered[compiler->remembered_count++] = *compiler->row;
}

static void recall(struct compiler *compiler)
{
    if (compiler->remembered_count == 0)
        compiler->code.bad = true;
    else
        *compiler->row = compiler->remembered[--compiler->remembered_count];
}

/* Instructions about the frame's place. False: it is none of them. */
static bool compile_cfa(struct compiler *compiler, unsigned code)
{
    struct weir__cursor *cursor = &compiler->code;
    struct row *row = compiler->row;

    switch (code) {
    case CFA_DEF_CFA:
        row->cfa_register = weir__cursor_take_uleb(cursor);
        row->cfa = offset_rule(RULE_VALUE_OFFSET, (int64_t)weir__cursor_take_uleb(cursor));
        return true;
    case CFA_DEF_CFA_SF:
        row->cfa_register = weir__cursor_take_uleb(cursor);
        row->cfa = offset_rule(RULE_VALUE_OFFSET, take_offset(compiler, true));
        return true;
    case CFA_DEF_CFA_REGISTER:
        row->cfa_register = weir__cursor_take_uleb(cursor);
        return true;
    case CFA_DEF_CFA_OFFSET:
        row->cfa.offset = (int64_t)weir__cursor_take_uleb(cursor);
        return true;
    case CFA_DEF_CFA_OFFSET_SF:
        row->cfa.offset = take_offset(compiler, true);
        return true;
    case CFA_DEF_CFA_EXPRESSION:
        row->cfa = take_expression(compiler, RULE_VALUE_EXPRESSION);
        return true;
    default:
        return false;
    }
}

/* Instructions about the place in the code, and others without a register. */
static bool compile_place(struct compiler *compiler, unsigned code)
{
    struct weir__cursor *cursor = &compiler->code;

    switch (code) {
    case CFA_NOP:
    case CFA_NEGATE_RA_STATE:
        return true;
    case CFA_GNU_ARGS_SIZE:
        weir__cursor_take_uleb(cursor);
        return true;
    case CFA_ADVANCE1:
        advance(compiler, weir__cursor_take(cursor, 1));
        return true;
    case CFA_ADVANCE2:
        advance(compiler, weir__cursor_take(cursor, 2));
        return true;
    case CFA_ADVANCE4:
        advance(compiler, weir__cursor_take(cursor, 4));
        return true;
    case CFA_REMEMBER_STATE:
        remember(compiler);
        return true;
    case CFA_RESTORE_STATE:
        recall(compiler);
        return true;
    default:
        return false;
    }
}

/* Instructions about a register, whose number comes first. */
static void compile_register(struct compiler *compiler, unsigned code)
{
    uint64_t number = weir__cursor_take_uleb(&compiler->code);
    struct rule rule = { .kind = RULE_SAME };

    switch (code) {
    case CFA_RESTORE_EXTENDED:
        restore_rule(compiler, number);
        return;
    case CFA_SAME_VALUE:
        break;
    case CFA_UNDEFINED:
        rule.kind = RULE_UNDEFINED;
        break;
    case CFA_OFFSET_EXTENDED:
    case CFA_OFFSET_EXTENDED_SF:
        rule = offset_rule(RULE_OFFSET, take_offset(compiler, code == CFA_OFFSET_EXTENDED_SF));
        break;
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
        rule = offset_rule(RULE_VALUE_OFFSET, take_offset(compiler, code == CFA_VAL_OFFSET_SF));
        break;
    case CFA_REGISTER:
        rule.kind = RULE_REGISTER;
        rule.number = weir__cursor_take_uleb(&compiler->code);
        break;
    case CFA_EXPRESSION:
        rule = take_expression(compiler, RULE_EXPRESSION);
        break;
    case CFA_VAL_EXPRESSION:
        rule = take_expression(compiler, RULE_VALUE_EXPRESSION);
        break;
    default:
        compiler->code.bad = true;
    }
    set_rule(compiler, number, rule);
}

/* Runs instructions as far as they hold at the place that is asked for. */
static bool compile(struct compiler *compiler, struct weir__cursor code)
{
    compiler->code = code;
    while (compiler->code.at < compiler->code.end && !compiler->code.bad) {
        unsigned instruction = (unsigned)weir__cursor_take(&compiler->code, 1);
        unsigned operand = instruction & 0x3f;

        if (instruction >> 6 == CFA_ADVANCE)
            advance(compiler, operand);
        else if (instruction >> 6 == CFA_OFFSET)
            set_rule(compiler, operand, offset_rule(RULE_OFFSET, take_offset(compiler, false)));
        else if (instruction >> 6 == CFA_RESTORE)
            restore_rule(compiler, operand);
        else if (!compile_cfa(compiler, instruction) && !compile_place(compiler, instruction))
            compile_register(compiler, instruction);
        if (compiler->at > compiler->until)
            break;
    }
    return !compiler->code.bad;
}

static enum weir__expression_end evaluate(const struct rule *rule,
                                          const struct weir__frame_state *frame,
                                          const struct weir__stack_bounds *bounds,
                                          const uintptr_t *first, uintptr_t *result)
{
    struct weir__cursor code = { .at = rule->code, .end = rule->code + rule->bytes };

    return weir__expression_run(code, frame, bounds, first, result);
}

static enum weir__cfi_end find_cfa(const struct row *row, const struct weir__frame_state *frame,
                                   const struct weir__stack_bounds *bounds, uintptr_t *cfa)
{
    enum weir__expression_end end;

    if (row->cfa.kind == RULE_VALUE_OFFSET) {
        if (!weir__frame_knows(frame, row->cfa_register))
            return WEIR__CFI_UNKNOWN;
        *cfa = frame->registers[row->cfa_register] + (uintptr_t)row->cfa.offset;
        return WEIR__CFI_STEPPED;
    }
    if (row->cfa.kind != RULE_VALUE_EXPRESSION)
        return WEIR__CFI_LOST;
    end = evaluate(&row->cfa, frame, bounds, NULL, cfa);
    if (end == WEIR__EXPRESSION_DONE)
        return WEIR__CFI_STEPPED;
    return end == WEIR__EXPRESSION_UNKNOWN ? WEIR__CFI_UNKNOWN : WEIR__CFI_LOST;
}

/* One register of the caller. False: its value is not known. */
static bool find_register(const struct rule *rule, unsigned number, uintptr_t cfa,
                          const struct weir__frame_state *frame,
                          const struct weir__stack_bounds *bounds, uintptr_t *value)
{
    uintptr_t place = cfa + (uintptr_t)rule->offset;

    switch (rule->kind) {
    case RULE_SAME:
        *value = frame->registers[number];
        return weir__frame_knows(frame, number);
    case RULE_OFFSET:
        return weir__frame_read(bounds, place, value);
    case RULE_VALUE_OFFSET:
        *value = place;
        return true;
    case RULE_REGISTER:
        if (!weir__frame_knows(frame, rule->number))
            return false;
        *value = frame->registers[rule->number];
        return true;
    case RULE_EXPRESSION:
        return evaluate(rule, frame, bounds, &cfa, &place) == WEIR__EXPRESSION_DONE &&
               weir__frame_read(bounds, place, value);
    case RULE_VALUE_EXPRESSION:
        return evaluate(rule, frame, bounds, &cfa, value) == WEIR__EXPRESSION_DONE;
    default:
        return false;
    }
}

/* The caller, by the rules. */
static enum weir__cfi_end apply(const struct row *row, const struct weir__unwind *about,
                                struct weir__frame_state *frame,
                                const struct weir__stack_bounds *bounds)
{
    struct weir__frame_state caller = { .returned = !about->is_signal };
    enum weir__cfi_end end;
    uintptr_t cfa = 0;

    if (about->return_register >= WEIR__REGISTER_COUNT)
        return WEIR__CFI_LOST;
    if (row->registers[about->return_register].kind == RULE_UNDEFINED)
        return WEIR__CFI_BOTTOM;
    end = find_cfa(row, frame, bounds, &cfa);
    if (end != WEIR__CFI_STEPPED)
        return end;
    for (unsigned number = 0; number < WEIR__REGISTER_COUNT; number++) {
        uintptr_t value;

        if (find_register(&row->registers[number], number, cfa, frame, bounds, &value))
            weir__frame_set(&caller, number, value);
    }
    if (!weir__frame_knows(&caller, about->return_register))
        return row->registers[about->return_register].kind == RULE_SAME ? WEIR__CFI_UNKNOWN
                                                                        : WEIR__CFI_LOST;
    caller.ip = weir__registers_strip(caller.registers[about->return_register]);
    if (!about->is_signal) {
        weir__frame_set(&caller, WEIR__REGISTER_STACK, cfa);
        caller.known &= WEIR__REGISTERS_KEPT;
    }
    if (caller.ip == 0)
        return WEIR__CFI_BOTTOM;
    *frame = caller;
    return WEIR__CFI_STEPPED;
}

enum weir__cfi_end weir__cfi_step(struct weir__frame_state *frame,
                                  const struct weir__stack_bounds *bounds)
{
    struct row row = { .cfa = { .kind = RULE_UNDEFINED } }, initial;
    struct weir__unwind about;
    struct compiler compiler = { .about = &about, .until = UINTPTR_MAX, .row = &row };

    if (!weir__unwind_find(weir__frame_place(frame), &about))
        return WEIR__CFI_LOST;
    if (!compile(&compiler, about.common))
        return WEIR__CFI_LOST;
    initial = row;
    compiler.initial = &initial;
    compiler.at = about.begin;
    compiler.until = weir__frame_place(frame);
    if (!compile(&compiler, about.own))
        return WEIR__CFI_LOST;
    return apply(&row, &about, frame, bounds);
}

uintptr_t weir__cfi_function(uintptr_t address)
{
    struct weir__unwind about;

    return weir__unwind_find(address, &about) ? about.begin : 0;
}
