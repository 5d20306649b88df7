/* SPDX-License-Identifier: MIT */
/* Delays are counted by powers of two, as weir/stall.h says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/delay.h"

/* A wait that began so long ago, and ends now. */
static void wait_for(struct weir__delay *delay, int64_t duration_ns)
{
    atomic_store(&delay->since_ns, weir__clock_now() - duration_ns);
    weir__delay_note(delay);
}

static void test_each_power_has_its_count(void **state)
{
    struct weir__delay delay = { .on = true };

    (void)state;
    for (int i = 32; i < 45; i++) { /* the test itself takes no two seconds in between */
        unsigned bucket = i < WEIR_DELAY_BUCKETS ? (unsigned)i : WEIR_DELAY_BUCKETS - 1;
        uint64_t before = atomic_load(&delay.counts[bucket]);

        wait_for(&delay, (INT64_C(1) << i) + (INT64_C(1) << (i - 1)));
        assert_int_equal(atomic_load(&delay.counts[bucket]), before + 1);
        assert_int_equal(atomic_load(&delay.since_ns), 0);
    }
    wait_for(&delay, INT64_MIN / 2); /* a clock that went back */
    assert_int_equal(atomic_load(&delay.counts[0]), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_power_has_its_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
