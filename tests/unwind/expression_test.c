/* SPDX-License-Identifier: MIT */
/* DWARF expressions as compilers and linkers write them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unwind/expression.h"

enum { CODE_MAX = 24, LEFT = 100, SLOT = 40, BAD = -1, UNKNOWN = -2 };

static uintptr_t stack[16];

static int64_t run(const uint8_t *code, size_t bytes, const uintptr_t *first)
{
    struct weir__frame_state frame = { .ip = 0x40100b };
    struct weir__stack_bounds bounds = { (uintptr_t)stack, (uintptr_t)(stack + 16) };
    struct weir__cursor cursor = { .at = code, .end = code + bytes };
    uintptr_t result = 0;

    stack[5] = SLOT;
    weir__frame_set(&frame, 0, LEFT);
    weir__frame_set(&frame, WEIR__REGISTER_STACK, (uintptr_t)stack);
    switch (weir__expression_run(cursor, &frame, &bounds, first, &result)) {
    case WEIR__EXPRESSION_DONE:
        return (int64_t)result;
    case WEIR__EXPRESSION_UNKNOWN:
        return UNKNOWN;
    default:
        return BAD;
    }
}

static const struct row {
    uint8_t code[CODE_MAX];
    uint8_t bytes;
    int64_t result;
} rows[] = {
    { { 0x35 }, 1, 5 },                                   /* lit5 */
    { { 0x08, 0xff }, 2, 255 },                           /* const1u */
    { { 0x09, 0xff, 0x33, 0x22 }, 4, 2 },                 /* const1s, lit3, plus */
    { { 0x0a, 0x34, 0x12 }, 3, 0x1234 },                  /* const2u */
    { { 0x0c, 1, 0, 0, 0x40 }, 5, 0x40000001 },           /* const4u */
    { { 0x0e, 1, 0, 0, 0, 2, 0, 0, 0 }, 9, 0x200000001 }, /* const8u */
    { { 0x10, 0xe5, 0x8e, 0x26 }, 4, 624485 },            /* constu */
    { { 0x11, 0x80, 0x7f, 0x1f }, 4, 128 },               /* consts -128, neg */
    { { 0x70, 0x7c }, 2, LEFT - 4 },                      /* breg0 -4 */
    { { 0x92, 0, 4 }, 3, LEFT + 4 },                      /* bregx 0, 4 */
    { { 0x70, 0, 0x12, 0x1e }, 4, LEFT *LEFT },           /* dup, mul */
    { { 0x70, 0, 0x33, 0x16, 0x1c }, 5, 3 - LEFT },       /* lit3, swap, minus */
    { { 0x39, 0x33, 0x14, 0x22, 0x22 }, 5, 21 },          /* over, plus, plus */
    { { 0x39, 0x33, 0x13 }, 3, 9 },                       /* drop */
    { { 0x3c, 0x3a, 0x1a }, 3, 8 },                       /* and */
    { { 0x3c, 0x3a, 0x21 }, 3, 14 },                      /* or */
    { { 0x3c, 0x3a, 0x27 }, 3, 6 },                       /* xor */
    { { 0x33, 0x34, 0x24 }, 3, 48 },                      /* shl */
    { { 0x4f, 0x32, 0x25 }, 3, 7 },                       /* shr */
    { { 0x09, 0xf8, 0x31, 0x26, 0x1f }, 5, 4 },           /* -8, lit1, shra, neg */
    { { 0x30, 0x20, 0x1f }, 3, 1 },                       /* not, neg */
    { { 0x33, 0x23, 0x90, 0x01 }, 4, 147 },               /* plus_uconst 144 */
    { { 0x33, 0x33, 0x29 }, 3, 1 },                       /* eq */
    { { 0x09, 0xff, 0x30, 0x2a }, 4, 0 },                 /* -1 >= 0 */
    { { 0x34, 0x33, 0x2b }, 3, 1 },                       /* gt */
    { { 0x34, 0x33, 0x2c }, 3, 0 },                       /* le */
    { { 0x09, 0xff, 0x30, 0x2d }, 4, 1 },                 /* -1 < 0 */
    { { 0x34, 0x33, 0x2e, 0x96 }, 4, 1 },                 /* ne, nop */
    { { 0x71, 0 }, 2, UNKNOWN },                          /* breg1 */
    { { 0x22 }, 1, BAD },                                 /* plus, of nothing */
    { { 0x08 }, 1, BAD },                                 /* const1u, cut */
    { { 0x33, 0x06 }, 2, BAD },                           /* deref, off the stack */
    { { 0x33, 0x34, 0xe0 }, 3, BAD },                     /* no such operation */
    { { 0 }, 0, BAD },                                    /* no result */
};

static void test_operations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t result = run(rows[i].code, rows[i].bytes, NULL);

        if (result != rows[i].result)
            print_error("row %zu: %lld\n", i, (long long)result);
        assert_int_equal(result, rows[i].result);
    }
}

/* What is there at the start, and memory of the stack: as for a register that was saved. */
static void test_memory(void **state)
{
    static const uint8_t add_and_read[] = { 0x23, 8, 0x06 };
    uintptr_t first = (uintptr_t)&stack[4];

    (void)state;
    assert_int_equal(run(add_and_read, sizeof add_and_read, &first), SLOT);
    first = (uintptr_t)(stack + 15); /* the word behind the end */
    assert_int_equal(run(add_and_read, sizeof add_and_read, &first), BAD);
}

static void test_depth(void **state)
{
    uint8_t code[CODE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof code; i++)
        code[i] = 0x31;
    assert_int_equal(run(code, 16, NULL), 1);
    assert_int_equal(run(code, 17, NULL), BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
