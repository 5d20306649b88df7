/* SPDX-License-Identifier: MIT */
/*
 * The table of loaded objects; see object.h.
 *
 * There are two tables, of which generation % 2 says which one is read. A refresh writes the other
 * and then counts up. A reader copies what it found and looks whether the generation is the same;
 * if not, its table may be half overwritten, and it tries again. It never waits: a reader in a
 * signal handler may have interrupted the very thread that writes.
 */
#include "unwind/object.h"

#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { TRIES = 4 };

/* As struct weir__object, word by word: readers and a writer may meet. */
enum { WORDS = sizeof(struct weir__object) / sizeof(uintptr_t) };
_Static_assert(sizeof(struct weir__object) == WORDS * sizeof(uintptr_t), "words only");

struct table {
    atomic_uint count;
    _Atomic uintptr_t words[WEIR__OBJECTS_MAX][WORDS];
};

static struct table tables[2];
static atomic_uint generation;
static pthread_mutex_t write_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned long long seen_adds, seen_subs; /* under write_mutex */

/* What dl_iterate_phdr says, in the making. */
struct look {
    struct table *table;
    unsigned count;
    unsigned long long adds, subs;
};

static void add_segment(struct weir__object *object, uintptr_t low, uintptr_t high)
{
    if (!object->code_high || low < object->code_low)
        object->code_low = low;
    if (high > object->code_high)
        object->code_high = high;
}

static void describe(const struct dl_phdr_info *info, struct weir__object *object)
{
    *object = (struct weir__object){ 0 };
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_GNU_EH_FRAME)
            object->index = low;
        else if (header->p_type == PT_LOAD && header->p_flags & PF_X)
            add_segment(object, low, low + header->p_memsz);
    }
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_LOAD && object->index - low < header->p_memsz) {
            object->table_low = low;
            object->table_high = low + header->p_filesz;
        }
    }
}

/* The counts of loads and unloads are the same for all objects: the first one tells. */
static int look_at_counts(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    struct look *look = arg;

    (void)bytes;
    look->adds = info->dlpi_adds;
    look->subs = info->dlpi_subs;
    return 1;
}

static int look_at_object(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    struct look *look = arg;
    struct weir__object object;
    uintptr_t words[WORDS];

    (void)bytes;
    if (look->count == WEIR__OBJECTS_MAX)
        return 1;
    describe(info, &object);
    if (!object.code_high)
        return 0;
    __builtin_memcpy(words, &object, sizeof object);
    for (unsigned i = 0; i < WORDS; i++)
        /* relaxed: readers of this table look at the generation afterwards */
        atomic_store_explicit(&look->table->words[look->count][i], words[i], memory_order_relaxed);
    look->count++;
    return 0;
}

void weir__object_refresh(void)
{
    struct look look = { 0 };
    unsigned now;

    pthread_mutex_lock(&write_mutex);
    dl_iterate_phdr(look_at_counts, &look);
    /* relaxed: written under this mutex only */
    now = atomic_load_explicit(&generation, memory_order_relaxed);
    if (now == 0 || look.adds != seen_adds || look.subs != seen_subs) {
        look.table = &tables[(now + 1) % 2];
        /* release; pairs with the acquire fence in weir__object_find: who reads what follows also
         * sees that the generation before this one is gone */
        atomic_thread_fence(memory_order_release);
        dl_iterate_phdr(look_at_object, &look);
        atomic_store_explicit(&look.table->count, look.count, memory_order_relaxed);
        seen_adds = look.adds;
        seen_subs = look.subs;
        /* release; pairs with the acquire in weir__object_find: the table is seen */
        atomic_store_explicit(&generation, now + 1, memory_order_release);
    }
    pthread_mutex_unlock(&write_mutex);
}

static bool find_in(struct table *table, uintptr_t address, struct weir__object *out)
{
    unsigned count = atomic_load_explicit(&table->count, memory_order_relaxed);

    for (unsigned i = 0; i < count; i++) {
        uintptr_t words[WORDS];

        for (unsigned word = 0; word < WORDS; word++)
            words[word] = atomic_load_explicit(&table->words[i][word], memory_order_relaxed);
        __builtin_memcpy(out, words, sizeof *out);
        if (address - out->code_low < out->code_high - out->code_low)
            return true;
    }
    return false;
}

bool weir__object_find(uintptr_t address, struct weir__object *out)
{
    for (int try = 0; try < TRIES; try++) {
        /* acquire; pairs with the release in weir__object_refresh */
        unsigned before = atomic_load_explicit(&generation, memory_order_acquire);
        bool found = find_in(&tables[before % 2], address, out);

        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&generation, memory_order_relaxed) == before)
            return found;
    }
    return false;
}
