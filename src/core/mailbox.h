/* SPDX-License-Identifier: MIT */
/*
 * The mailbox: how anything from elsewhere reaches a loop. One atomic word, which is NULL (empty),
 * SLEEPING (empty, and the loop is in the kernel or about to be), or the newest of a stack of mail.
 *
 *            post                     post
 *   NULL ------------> stack    SLEEPING ---> stack, and the poster rings
 *    ^  \                ^         ^
 *    |   `-- sleep ------|---------'
 *    `--- drain ---------'     wake: SLEEPING -> NULL
 *
 * post    any thread. One compare-exchange; whoever replaces SLEEPING must ring, at once.
 * sleep   home loop. Fails when mail has come: then drain first.
 * drain   home loop. Takes all at once and delivers oldest first.
 *
 * A lost wake is impossible: a poster either finds SLEEPING and rings, or its mail makes the
 * loop's sleep fail. A piece of mail is posted again only after it was delivered.
 */
#ifndef WEIR_CORE_MAILBOX_H
#define WEIR_CORE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir__loop;

struct weir__mail {
    struct weir__mail *next;
    /* Runs on the home loop, off the sender's stack. May not park. */
    void (*deliver)(struct weir__loop *loop, struct weir__mail *mail);
};

struct weir__mailbox {
    _Atomic(struct weir__mail *) word;
};

#define WEIR__MAILBOX_SLEEPING ((struct weir__mail *)1)

static inline void weir__mailbox_init(struct weir__mailbox *mailbox)
{
    atomic_init(&mailbox->word, NULL);
}

/* Returns whether the caller must ring the loop. */
static inline bool weir__mailbox_push(struct weir__mailbox *mailbox, struct weir__mail *mail)
{
    /* relaxed: the exchange below decides */
    struct weir__mail *head = atomic_load_explicit(&mailbox->word, memory_order_relaxed);

    do {
        mail->next = head == WEIR__MAILBOX_SLEEPING ? NULL : head;
        /* release; pairs with the acquire in weir__mailbox_take: the mail's content is seen */
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->word, &head, mail,
                                                    memory_order_release, memory_order_relaxed));
    return head == WEIR__MAILBOX_SLEEPING;
}

/* Home loop only: whether there is something to drain. One load. */
static inline bool weir__mailbox_has_mail(struct weir__mailbox *mailbox)
{
    /* relaxed: weir__mailbox_take acquires */
    return (uintptr_t)atomic_load_explicit(&mailbox->word, memory_order_relaxed) >
           (uintptr_t)WEIR__MAILBOX_SLEEPING;
}

/* Home loop only: takes everything, oldest first. Leaves the word NULL. */
static inline struct weir__mail *weir__mailbox_take(struct weir__mailbox *mailbox)
{
    /* acquire; pairs with the release in weir__mailbox_push */
    struct weir__mail *mail = atomic_exchange_explicit(&mailbox->word, NULL, memory_order_acquire);
    struct weir__mail *oldest = NULL;

    if (mail == WEIR__MAILBOX_SLEEPING)
        return NULL;
    while (mail) {
        struct weir__mail *next = mail->next;

        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    return oldest;
}

/* Home loop only: declares that the loop goes to sleep; false when mail has come. */
static inline bool weir__mailbox_sleep(struct weir__mailbox *mailbox)
{
    struct weir__mail *empty = NULL;

    /* relaxed both ways: nothing is published, and weir__mailbox_take acquires what came */
    return atomic_compare_exchange_strong_explicit(&mailbox->word, &empty, WEIR__MAILBOX_SLEEPING,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Home loop only: awake again; a no-op when a poster has already replaced SLEEPING. */
static inline void weir__mailbox_wake(struct weir__mailbox *mailbox)
{
    struct weir__mail *sleeping = WEIR__MAILBOX_SLEEPING;

    /* seq_cst; see weir__loop_woke */
    atomic_compare_exchange_strong(&mailbox->word, &sleeping, NULL);
}

#endif
