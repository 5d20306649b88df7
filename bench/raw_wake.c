/* SPDX-License-Identifier: MIT */
/*
 * The bare wake of another core: two threads in turn wake each other; one operation is one way.
 *
 * Asleep, each blocks in a read of its eventfd. Spinning, each watches a word of memory.
 */
#include "raw_peer.h"

#include "machine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pair {
    uint64_t turn_count; /* of each side */
    int fds[2];
    _Alignas(64) atomic_ullong words[2]; /* turns that each side has begun */
};

static void ring(int fd)
{
    eventfd_write(fd, 1);
}

static void await(int fd)
{
    eventfd_t value;

    trial_check_errno(eventfd_read(fd, &value), "eventfd read");
}

static void *answer_asleep(void *argument)
{
    struct pair *pair = argument;

    machine_pin(CPU_CLIENT);
    for (uint64_t turn = 0; turn < pair->turn_count; turn++) {
        await(pair->fds[1]);
        ring(pair->fds[0]);
    }
    return NULL;
}

uint64_t raw_wake_asleep(uint64_t op_count)
{
    struct pair pair = { .turn_count = op_count / 2 };
    pthread_t thread;
    uint64_t start_ns;

    pair.fds[0] = trial_check_errno(eventfd(0, EFD_CLOEXEC), "eventfd");
    pair.fds[1] = trial_check_errno(eventfd(0, EFD_CLOEXEC), "eventfd");
    trial_check(-pthread_create(&thread, NULL, answer_asleep, &pair), "pthread_create");
    machine_pin(CPU_SERVER);
    start_ns = now_ns();
    for (uint64_t turn = 0; turn < pair.turn_count; turn++) {
        ring(pair.fds[1]);
        await(pair.fds[0]);
    }
    start_ns = now_ns() - start_ns;
    pthread_join(thread, NULL);
    close(pair.fds[0]);
    close(pair.fds[1]);
    return start_ns;
}

/* Announces the own turn and waits for the other's. */
static void hand_over(struct pair *pair, unsigned side, uint64_t turn, uint64_t awaited)
{
    /* release; pairs with the acquire of the other side below */
    atomic_store_explicit(&pair->words[side], turn, memory_order_release);
    /* acquire; pairs with the release of the other side above */
    while (atomic_load_explicit(&pair->words[!side], memory_order_acquire) < awaited)
        CPU_RELAX();
}

static void *answer_spinning(void *argument)
{
    struct pair *pair = argument;

    machine_pin(CPU_CLIENT);
    for (uint64_t turn = 0; turn < pair->turn_count; turn++)
        hand_over(pair, 1, turn, turn + 1);
    hand_over(pair, 1, pair->turn_count, 0);
    return NULL;
}

uint64_t raw_wake_spinning(uint64_t op_count)
{
    struct pair pair = { .turn_count = op_count / 2 };
    pthread_t thread;
    uint64_t start_ns;

    trial_check(-pthread_create(&thread, NULL, answer_spinning, &pair), "pthread_create");
    machine_pin(CPU_SERVER);
    start_ns = now_ns();
    for (uint64_t turn = 1; turn <= pair.turn_count; turn++)
        hand_over(&pair, 0, turn, turn);
    start_ns = now_ns() - start_ns;
    pthread_join(thread, NULL);
    return start_ns;
}

const char *needs_two_cpus(const struct bench *bench)
{
    (void)bench;
    return machine_cpu_count() < 2 ? "it needs two CPUs" : NULL;
}
