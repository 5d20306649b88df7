/* SPDX-License-Identifier: MIT */
/* A foreign loop drives tasks of all classes: its turns are of normal class, and lie between those
 * of all others. */
#include "support/support.h"

#include <weir.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { OF_EACH = 50, YIELDS = 100, PATIENCE_MS = 20000 };

static int yield_often(void *arg)
{
    for (int i = 0; i < YIELDS; i++)
        CHECK_EQUAL(weir_yield(), 0);
    ++*(int *)arg;
    return 0;
}

/* `classes`: bit i for tasks of class i. */
static void drive(unsigned classes)
{
    struct weir_embed *embed;
    int done = 0, wanted = 0;

    assert_int_equal(weir_embed_open(&embed, NULL), 0);
    for (int i = 0; i < WEIR_PRIORITY_COUNT * OF_EACH; i++) {
        const struct weir_spawn_options options = {
            .sets_priority = true,
            .priority = (enum weir_priority)(i % WEIR_PRIORITY_COUNT),
        };

        if (!(classes >> options.priority & 1))
            continue;
        assert_int_equal(weir_spawn(weir_embed_scope(embed), yield_often, &done, &options), 0);
        wanted++;
    }
    while (weir_scope_count(weir_embed_scope(embed)) > 0) {
        struct pollfd readable = { .fd = weir_embed_fd(embed), .events = POLLIN };

        assert_int_equal(poll(&readable, 1, PATIENCE_MS), 1);
        assert_true(weir_embed_turn(embed) >= 0);
    }
    assert_int_equal(done, wanted);
    assert_int_equal(weir_embed_close(embed, WEIR_NOW), 0);
    test_carry_out();
}

static void test_tasks_of_all_classes_get_on(void **state)
{
    (void)state;
    for (unsigned classes = 1; classes < 1U << WEIR_PRIORITY_COUNT; classes++)
        drive(classes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_of_all_classes_get_on),
    };

    return cmocka_run_group_tests_name("runtime/embed_priority", tests, NULL, NULL);
}
