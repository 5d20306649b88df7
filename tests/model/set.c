/* SPDX-License-Identifier: MIT */
/* See set.h. Open addressing, at most half full. */
#include "model/set.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 256, LANES = 4 };

static inline uint64_t turn(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static inline uint64_t stir(uint64_t word)
{
    word = (word ^ word >> 31) * 0x9fb21c651e98df25u;
    word = (word ^ word >> 29) * 0xd6e8feb86659fd93u;
    return word ^ word >> 32;
}

struct fingerprint fingerprint_of(const void *data, size_t bytes)
{
    static const uint64_t odd[LANES] = { 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu,
                                         0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u };
    uint64_t lanes[LANES] = { bytes, ~bytes, 1, 2 };
    const uint64_t *words = data;
    size_t count = bytes / sizeof *words;
    size_t i = 0;

    /* Lane by lane, so that the processor need not wait for one product before the next. */
    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] = turn((lanes[lane] ^ words[i + lane]) * odd[lane], 29);
    for (size_t lane = 0; i < count; i++, lane++)
        lanes[lane] = turn((lanes[lane] ^ words[i]) * odd[lane], 29);
    for (size_t lane = 0; lane < LANES; lane++)
        lanes[lane] = stir(lanes[lane]);
    return (struct fingerprint){
        .low = stir(lanes[0] + turn(lanes[1], 17) + lanes[2] * odd[0] + lanes[3] * odd[1]) | 1,
        .high = stir(lanes[3] + turn(lanes[2], 23) + lanes[1] * odd[2] + lanes[0] * odd[3]),
    };
}

void set_clear(struct set *set)
{
    if (!set->slots) {
        set->slots = calloc(SLOTS_MIN, sizeof *set->slots);
        if (!set->slots)
            abort();
    } else {
        memset(set->slots, 0, set->slot_count * sizeof *set->slots);
    }
    set->slot_count = SLOTS_MIN;
    set->count = 0;
}

void set_free(struct set *set)
{
    free(set->slots);
    *set = (struct set){ 0 };
}

/* Where the fingerprint is, or would be put. */
static struct fingerprint *find(const struct set *set, struct fingerprint print)
{
    size_t mask = set->slot_count - 1;
    size_t place = print.high & mask;

    while (set->slots[place].low &&
           (set->slots[place].low != print.low || set->slots[place].high != print.high))
        place = (place + 1) & mask;
    return &set->slots[place];
}

static void grow(struct set *set)
{
    struct set larger = { .slot_count = set->slot_count * 2, .count = set->count };

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        abort();
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i].low)
            *find(&larger, set->slots[i]) = set->slots[i];
    free(set->slots);
    *set = larger;
}

bool set_add(struct set *set, struct fingerprint print)
{
    struct fingerprint *place;

    if (!set->slots)
        set_clear(set);
    if (set->count * 2 >= set->slot_count)
        grow(set);
    place = find(set, print);
    if (place->low)
        return false;
    *place = print;
    set->count++;
    return true;
}

bool set_has(const struct set *set, struct fingerprint print)
{
    return set->slots && find(set, print)->low;
}
