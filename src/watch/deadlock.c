/* SPDX-License-Identifier: MIT */
/* Which locked tasks can never move again; see deadlock.h. */
#include "watch/deadlock.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

#define NONE SIZE_MAX

struct node {
    const struct weir__looked *looked;
    const struct weir__pile *ways; /* of its loop */
    bool moves;
    bool is_unsure; /* one of its ways rests on who has used a channel, or on anybody */
    size_t group;   /* towards a representative */
    size_t next;    /* a locked one that it waits for, or NONE */
    size_t sibling; /* the next locked one of its scope, or NONE */
};

/* What is known of a task, or of a scope: their addresses never meet. */
struct entry {
    const void *key;                /* NULL: unused */
    const struct weir_scope *scope; /* a task's */
    size_t first;                   /* the task's node, or the first of the scope's; NONE */
    size_t living;                  /* tasks, where they are noted */
    size_t locked;                  /* of the scope, and not known to move */
};

struct graph {
    const struct weir__deadlock_look *look;
    struct node *nodes;
    size_t node_count;
    struct entry *entries;
    size_t mask; /* of their number, a power of two */
    size_t living_count;
    size_t moving_count; /* of the nodes */
    size_t anybody;      /* the first node that anybody could wake, or NONE */
};

static struct entry *place_of(const struct graph *graph, const void *key)
{
    size_t place = ((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u >> 7;

    while (graph->entries[place & graph->mask].key &&
           graph->entries[place & graph->mask].key != key)
        place++;
    return &graph->entries[place & graph->mask];
}

/* What is known of it, or NULL. */
static struct entry *find(const struct graph *graph, const void *key)
{
    struct entry *entry = place_of(graph, key);

    return key && entry->key ? entry : NULL;
}

static struct entry *enter(struct graph *graph, const void *key)
{
    struct entry *entry = place_of(graph, key);

    if (!entry->key)
        *entry = (struct entry){ .key = key, .first = NONE };
    return entry;
}

/* --- Building it ------------------------------------------------------------------------------ */

size_t weir__deadlock_count_locked(const struct weir__survey *survey)
{
    size_t count = 0;

    for (unsigned i = 0; i < survey->part_count; i++) {
        const struct weir__pile *pile = &survey->parts[i].piles[WEIR__SURVEY_SIGHTINGS];

        for (size_t at = 0; at < pile->count; at++)
            count += (((const struct weir__looked *)weir__pile_at(pile, at))->found &
                      WEIR__LOOK_LOCKED) != 0;
    }
    return count;
}

static void add_node(struct graph *graph, const struct weir__looked *looked,
                     const struct weir__pile *ways)
{
    size_t index = graph->node_count++;
    struct node *node = &graph->nodes[index];
    struct entry *entry = enter(graph, looked->sighting.task);

    *node = (struct node){
        .looked = looked, .ways = ways, .group = index, .next = NONE, .sibling = NONE
    };
    entry->first = index;
    entry->scope = looked->sighting.scope;
    if (!looked->sighting.scope)
        return;
    entry = enter(graph, looked->sighting.scope);
    node->sibling = entry->first;
    entry->first = index;
    entry->locked++;
}

static void add_living(struct graph *graph, const struct weir__living *living)
{
    struct entry *entry = enter(graph, living->task);

    entry->scope = living->scope;
    entry->living = 1;
    if (living->scope)
        enter(graph, living->scope)->living++;
}

static void add_part(struct graph *graph, const struct weir__survey_part *part)
{
    const struct weir__pile *seen = &part->piles[WEIR__SURVEY_SIGHTINGS];
    const struct weir__pile *living = &part->piles[WEIR__SURVEY_LIVING];

    graph->living_count += part->living_count;
    for (size_t i = 0; i < living->count; i++)
        add_living(graph, weir__pile_at(living, i));
    for (size_t i = 0; i < seen->count; i++) {
        const struct weir__looked *looked = weir__pile_at(seen, i);

        if (looked->found & WEIR__LOOK_LOCKED)
            add_node(graph, looked, &part->piles[WEIR__SURVEY_WAYS]);
    }
}

static bool build(struct graph *graph)
{
    const struct weir__survey *survey = graph->look->survey;
    size_t node_count = weir__deadlock_count_locked(survey);
    size_t entry_count = 16;
    size_t needed = 2 * node_count;

    for (unsigned i = 0; i < survey->part_count; i++)
        needed += 2 * survey->parts[i].piles[WEIR__SURVEY_LIVING].count;
    while (entry_count < 2 * needed)
        entry_count *= 2;
    graph->nodes = weir__memory_alloc(NULL, (node_count + 1) * sizeof *graph->nodes);
    graph->entries = weir__memory_zalloc(NULL, entry_count * sizeof *graph->entries);
    graph->mask = entry_count - 1;
    graph->anybody = NONE;
    if (!graph->nodes || !graph->entries)
        return false;
    for (unsigned i = 0; i < survey->part_count; i++)
        add_part(graph, &survey->parts[i]);
    return true;
}

/* --- Taking away what moves ------------------------------------------------------------------- */

static bool anybody_moves(const struct graph *graph)
{
    return graph->look->has_outsiders || graph->living_count > graph->node_count ||
           graph->moving_count > 0;
}

static bool task_moves(const struct graph *graph, const struct entry *entry)
{
    return !entry || entry->first == NONE || graph->nodes[entry->first].moves;
}

/* What is known of a user that still lives: of the task, or of the scope; NULL: it does not. */
static const struct entry *find_user(const struct graph *graph, const struct weir__chan_user *user)
{
    const struct entry *entry = find(graph, user->task ? (const void *)user->task : user->scope);

    if (!entry || !entry->living || (user->task && entry->scope != user->scope))
        return NULL;
    return entry;
}

static bool users_move(const struct graph *graph, const struct weir__way *way)
{
    bool any = false;

    for (size_t i = 0; i < way->count; i++) {
        const struct entry *entry = find_user(graph, &way->users[i]);

        if (!entry)
            continue;
        any = true;
        if (way->users[i].task ? task_moves(graph, entry) : entry->locked < entry->living)
            return true;
    }
    return !any && anybody_moves(graph);
}

static bool way_moves(const struct graph *graph, const struct weir__way *way)
{
    const struct entry *entry;

    switch (way->kind) {
    case WEIR__WAY_TASK:
        return task_moves(graph, find(graph, way->object));
    case WEIR__WAY_SCOPE: /* without a child its joiner is about to wake */
        entry = find(graph, way->object);
        return way->count == 0 || !entry || entry->locked < way->count;
    case WEIR__WAY_USERS:
        return users_move(graph, way);
    default:
        return anybody_moves(graph);
    }
}

static const struct weir__way *way_at(const struct node *node, size_t index)
{
    return weir__pile_at(node->ways, node->looked->sighting.first_way + index);
}

/* Whether it is taken away now. */
static bool take_away(struct graph *graph, struct node *node)
{
    const struct weir__sighting *sighting = &node->looked->sighting;
    bool moves = false;

    if (node->moves)
        return false;
    for (size_t i = 0; i < sighting->way_count && !moves; i++)
        moves = way_moves(graph, way_at(node, i));
    if (!moves)
        return false;
    node->moves = true;
    graph->moving_count++;
    if (sighting->scope)
        enter(graph, sighting->scope)->locked--;
    return true;
}

/* To and fro: a chain of tasks, each waiting for the next, is gone after two rounds in either
 * order. */
static void take_all_away(struct graph *graph)
{
    bool any = true;

    while (any) {
        any = false;
        for (size_t i = 0; i < graph->node_count; i++)
            any |= take_away(graph, &graph->nodes[i]);
        for (size_t i = graph->node_count; any && i > 0; i--)
            take_away(graph, &graph->nodes[i - 1]);
    }
}

/* --- Groups of those that remain -------------------------------------------------------------- */

static size_t group_of(struct graph *graph, size_t index)
{
    while (graph->nodes[index].group != index) {
        graph->nodes[index].group = graph->nodes[graph->nodes[index].group].group;
        index = graph->nodes[index].group;
    }
    return index;
}

static void lead_to(struct graph *graph, size_t from, size_t to)
{
    graph->nodes[group_of(graph, from)].group = group_of(graph, to);
    if (graph->nodes[from].next == NONE && from != to)
        graph->nodes[from].next = to;
}

static void connect_scope(struct graph *graph, size_t from, const struct weir_scope *scope)
{
    const struct entry *entry = find(graph, scope);
    size_t index = entry ? entry->first : NONE;

    for (; index != NONE; index = graph->nodes[index].sibling)
        if (!graph->nodes[index].moves)
            lead_to(graph, from, index);
}

/* All that anybody could wake wait for the same: that somebody is left. */
static void connect_anybody(struct graph *graph, size_t from)
{
    graph->nodes[from].is_unsure = true;
    if (graph->anybody == NONE)
        graph->anybody = from;
    graph->nodes[group_of(graph, from)].group = group_of(graph, graph->anybody);
}

static void connect_users(struct graph *graph, size_t from, const struct weir__way *way)
{
    bool any = false;

    graph->nodes[from].is_unsure = true;
    for (size_t i = 0; i < way->count; i++) {
        const struct entry *entry = find_user(graph, &way->users[i]);

        if (!entry)
            continue;
        any = true;
        if (way->users[i].task)
            lead_to(graph, from, entry->first);
        else
            connect_scope(graph, from, way->users[i].scope);
    }
    if (!any)
        connect_anybody(graph, from);
}

static void connect_all(struct graph *graph)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];

        for (size_t at = 0; !node->moves && at < node->looked->sighting.way_count; at++) {
            const struct weir__way *way = way_at(node, at);

            if (way->kind == WEIR__WAY_TASK)
                lead_to(graph, i, find(graph, way->object)->first);
            else if (way->kind == WEIR__WAY_SCOPE)
                connect_scope(graph, i, way->object);
            else if (way->kind == WEIR__WAY_USERS)
                connect_users(graph, i, way);
            else
                connect_anybody(graph, i);
        }
    }
}

/* --- What is told ----------------------------------------------------------------------------- */

static int by_task(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)((const struct weir__mark *)left)->task;
    uintptr_t b = (uintptr_t)((const struct weir__mark *)right)->task;

    return (a > b) - (a < b);
}

/* The mark of the last look, if the task has been parked since. */
static struct weir__mark *find_mark(const struct weir__marks *marks, const struct node *node)
{
    struct weir__mark key = { .task = node->looked->sighting.task };
    struct weir__mark *mark =
        marks->count ? bsearch(&key, marks->list, marks->count, sizeof key, by_task) : NULL;

    return mark && mark->since_ns == node->looked->sighting.since_ns ? mark : NULL;
}

struct group {
    size_t *members;
    size_t count;
    bool is_told, is_known, is_certain;
};

static void gather(struct graph *graph, size_t representative, const struct weir__marks *marks,
                   struct group *group)
{
    group->count = 0;
    group->is_told = false;
    group->is_known = true;
    group->is_certain = !anybody_moves(graph);
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct weir__mark *mark;

        if (graph->nodes[i].moves || group_of(graph, i) != representative)
            continue;
        mark = find_mark(marks, &graph->nodes[i]);
        group->members[group->count++] = i;
        group->is_known = group->is_known && mark;
        group->is_told = group->is_told || (mark && mark->is_told);
    }
    if (!group->is_certain) {
        group->is_certain = true;
        for (size_t i = 0; i < group->count; i++)
            group->is_certain = group->is_certain && !graph->nodes[group->members[i]].is_unsure;
    }
}

/* A cycle comes first, in its order: whoever is met again on the way from any member. Returns its
 * length; 0: none is known. */
static size_t put_cycle_first(struct graph *graph, struct group *group)
{
    size_t index = group->members[0];
    size_t start, length = 0;

    for (size_t i = 0; i < group->count && index != NONE; i++)
        index = graph->nodes[index].next;
    start = index;
    while (index != NONE && (length == 0 || index != start)) {
        for (size_t i = length; i < group->count; i++)
            if (group->members[i] == index) {
                group->members[i] = group->members[length];
                group->members[length] = index;
                break;
            }
        length++;
        index = graph->nodes[index].next;
    }
    return length;
}

static bool tell(struct graph *graph, struct group *group)
{
    const struct weir__sighting **told = weir__memory_alloc(NULL, 2 * group->count * sizeof *told);
    size_t cycle_count = put_cycle_first(graph, group);

    if (!told)
        return false;
    for (size_t i = 0; i < group->count; i++) {
        const struct node *node = &graph->nodes[group->members[i]];

        told[i] = &node->looked->sighting;
        told[group->count + i] =
            node->next == NONE ? NULL : &graph->nodes[node->next].looked->sighting;
    }
    weir__deadlock_tell(graph->look, told, told + group->count, group->count, cycle_count,
                        group->is_certain);
    weir__memory_free(told);
    return true;
}

/* Every group: told if need be, and marked in `made`. */
static unsigned judge_groups(struct graph *graph, const struct weir__marks *marks,
                             struct weir__marks *made, struct group *group, bool *is_suspicious)
{
    unsigned told_count = 0;

    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].moves || group_of(graph, i) != i)
            continue;
        gather(graph, i, marks, group);
        if (!group->is_told && group->is_known) {
            group->is_told = tell(graph, group);
            told_count += group->is_told;
        }
        *is_suspicious |= !group->is_told;
        for (size_t at = 0; at < group->count; at++) {
            const struct weir__sighting *member =
                &graph->nodes[group->members[at]].looked->sighting;

            made->list[made->count++] = (struct weir__mark){ .task = member->task,
                                                             .since_ns = member->since_ns,
                                                             .is_told = group->is_told };
        }
    }
    return told_count;
}

unsigned weir__deadlock_judge(const struct weir__deadlock_look *look, struct weir__marks *marks,
                              bool *is_suspicious)
{
    struct graph graph = { .look = look };
    struct weir__marks made = { .count = 0 };
    struct group group = { .members = NULL };
    unsigned told_count = 0;

    *is_suspicious = false;
    if (build(&graph)) {
        take_all_away(&graph);
        connect_all(&graph);
        made.list = weir__memory_alloc(NULL, (graph.node_count + 1) * sizeof *made.list);
        group.members = weir__memory_alloc(NULL, (graph.node_count + 1) * sizeof *group.members);
    }
    if (made.list && group.members) {
        told_count = judge_groups(&graph, marks, &made, &group, is_suspicious);
        qsort(made.list, made.count, sizeof *made.list, by_task);
        weir__memory_free(marks->list);
        *marks = made;
    } else {
        weir__memory_free(made.list);
    }
    weir__memory_free(group.members);
    weir__memory_free(graph.nodes);
    weir__memory_free(graph.entries);
    return told_count;
}
