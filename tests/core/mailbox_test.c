/* SPDX-License-Identifier: MIT */
/* The mailbox: order, and that no mail and no wake is lost between posters and a sleeper. */
#include "core/mailbox.h"

#include "base/list.h"
#include "support/support.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { POSTERS = 3, LETTERS_PER_SLEEP = 100 };

struct letter {
    struct weir__mail mail;
    unsigned poster;
    long number;
};

static struct weir__mailbox mailbox;

static int start(void **state)
{
    (void)state;
    weir__mailbox_init(&mailbox);
    return 0;
}

static void test_takes_oldest_first(void **state)
{
    struct weir__mail mails[5];
    struct weir__mail *mail;

    (void)state;
    assert_false(weir__mailbox_has_mail(&mailbox));
    assert_null(weir__mailbox_take(&mailbox));
    for (size_t i = 0; i < 5; i++)
        assert_false(weir__mailbox_push(&mailbox, &mails[i]));
    assert_true(weir__mailbox_has_mail(&mailbox));
    mail = weir__mailbox_take(&mailbox);
    for (size_t i = 0; i < 5; i++, mail = mail->next)
        assert_ptr_equal(mail, &mails[i]);
    assert_null(mail);
    assert_false(weir__mailbox_has_mail(&mailbox));
}

static void test_who_finds_a_sleeper_rings(void **state)
{
    struct weir__mail mails[2];

    (void)state;
    assert_true(weir__mailbox_sleep(&mailbox));
    assert_false(weir__mailbox_has_mail(&mailbox));
    assert_true(weir__mailbox_push(&mailbox, &mails[0]));
    assert_false(weir__mailbox_push(&mailbox, &mails[1])); /* one ring is enough */
    weir__mailbox_wake(&mailbox);
    assert_ptr_equal(weir__mailbox_take(&mailbox), &mails[0]);
    assert_ptr_equal(mails[0].next, &mails[1]);
}

static void test_mail_keeps_from_sleeping(void **state)
{
    struct weir__mail mail;

    (void)state;
    assert_false(weir__mailbox_push(&mailbox, &mail));
    assert_false(weir__mailbox_sleep(&mailbox));
    assert_ptr_equal(weir__mailbox_take(&mailbox), &mail);
    assert_null(mail.next);
    assert_true(weir__mailbox_sleep(&mailbox));
    weir__mailbox_wake(&mailbox);
    assert_false(weir__mailbox_push(&mailbox, &mail));
}

static void test_taking_ends_a_sleep(void **state)
{
    struct weir__mail mail;

    (void)state;
    assert_true(weir__mailbox_sleep(&mailbox));
    assert_null(weir__mailbox_take(&mailbox));
    assert_false(weir__mailbox_push(&mailbox, &mail));
}

/* A doorbell of the test's own: it counts, so that a lost or a needless ring is seen. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t rung;
    long count;
} bell = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static long letters_each;

static void ring(void)
{
    pthread_mutex_lock(&bell.mutex);
    bell.count++;
    pthread_cond_signal(&bell.rung);
    pthread_mutex_unlock(&bell.mutex);
}

static void await_ring(void)
{
    pthread_mutex_lock(&bell.mutex);
    while (bell.count == 0)
        pthread_cond_wait(&bell.rung, &bell.mutex);
    bell.count--;
    pthread_mutex_unlock(&bell.mutex);
}

static void *post_letters(void *arg)
{
    struct letter *letters = arg;

    for (long i = 0; i < letters_each; i++) {
        /* Now and then only a sleeper is woken. It will sleep: in the end all posters are here. */
        while (i % LETTERS_PER_SLEEP == 0 && atomic_load(&mailbox.word) != WEIR__MAILBOX_SLEEPING)
            sched_yield();
        if (weir__mailbox_push(&mailbox, &letters[i].mail))
            ring();
    }
    return NULL;
}

/* Reads `total` letters, sleeping whenever there is none; each poster's must come in order. */
static void read_letters(long total, long *sleeps)
{
    long next[POSTERS] = { 0 };

    for (long read = 0; read < total;) {
        struct weir__mail *mail = weir__mailbox_take(&mailbox);

        for (; mail; mail = mail->next, read++) {
            const struct letter *letter = WEIR_CONTAINER_OF(mail, struct letter, mail);

            assert_int_equal(letter->number, next[letter->poster]++);
        }
        if (read < total && weir__mailbox_sleep(&mailbox)) {
            ++*sleeps;
            await_ring(); /* hangs if a wake is lost */
            weir__mailbox_wake(&mailbox);
        }
    }
}

static void test_no_mail_and_no_wake_is_lost(void **state)
{
    pthread_t threads[POSTERS];
    struct letter *letters[POSTERS];
    long sleeps = 0;

    (void)state;
    letters_each = test_rounds(1000000, 3000000, 10000000) / POSTERS;
    for (unsigned poster = 0; poster < POSTERS; poster++) {
        letters[poster] = calloc((size_t)letters_each, sizeof *letters[poster]);
        assert_non_null(letters[poster]);
        for (long i = 0; i < letters_each; i++) {
            letters[poster][i].poster = poster;
            letters[poster][i].number = i;
        }
        pthread_create(&threads[poster], NULL, post_letters, letters[poster]);
    }
    read_letters(letters_each * POSTERS, &sleeps);
    for (unsigned poster = 0; poster < POSTERS; poster++) {
        pthread_join(threads[poster], NULL);
        free(letters[poster]);
    }
    assert_int_equal(bell.count, 0); /* as many rings as sleeps */
    assert_false(weir__mailbox_has_mail(&mailbox));
    assert_true(sleeps >= letters_each / LETTERS_PER_SLEEP / POSTERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_takes_oldest_first, start),
        cmocka_unit_test_setup(test_who_finds_a_sleeper_rings, start),
        cmocka_unit_test_setup(test_mail_keeps_from_sleeping, start),
        cmocka_unit_test_setup(test_taking_ends_a_sleep, start),
        cmocka_unit_test_setup(test_no_mail_and_no_wake_is_lost, start),
    };

    return cmocka_run_group_tests_name("core/mailbox", tests, NULL, NULL);
}
