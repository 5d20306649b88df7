/* SPDX-License-Identifier: MIT */
/*
 * An intrusive doubly linked list with a head. Linking and unlinking are O(1) and allocate
 * nothing. A node that is in no list points at itself, so "am I still queued?" is one compare and
 * unlinking twice is harmless: a waiter asks exactly that after it lost.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_CONTAINER_OF(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct weir__list {
    struct weir__list *next;
    struct weir__list *prev;
};

static inline void weir__list_init(struct weir__list *node)
{
    node->next = node;
    node->prev = node;
}

static inline bool weir__list_empty(const struct weir__list *node)
{
    return node->next == node;
}

/* Puts `node` last; `node` must be in no list. */
static inline void weir__list_append(struct weir__list *head, struct weir__list *node)
{
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

/* Takes `node` off for good: nobody asks it any more. */
static inline void weir__list_remove(struct weir__list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
}

static inline void weir__list_unlink(struct weir__list *node)
{
    weir__list_remove(node);
    weir__list_init(node);
}

/* The oldest node, unlinked; NULL when there is none. */
static inline struct weir__list *weir__list_pop(struct weir__list *head)
{
    struct weir__list *node = head->next;

    if (node == head)
        return NULL;
    weir__list_unlink(node);
    return node;
}

/* Moves every node of `source` to the end of `target`. */
static inline void weir__list_splice(struct weir__list *target, struct weir__list *source)
{
    if (weir__list_empty(source))
        return;
    source->next->prev = target->prev;
    target->prev->next = source->next;
    source->prev->next = target;
    target->prev = source->prev;
    weir__list_init(source);
}

#endif
