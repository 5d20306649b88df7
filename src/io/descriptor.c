/* SPDX-License-Identifier: MIT */
/*
 * The descriptor table; see descriptor.h. Two levels, so that a process with few descriptors pays
 * for few; the second level's parts are made when first needed and stay.
 */
#include "io/descriptor.h"

#include "base/assert.h"
#include "base/kernel.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
    PART_BITS = 10,
    PART_ENTRIES = 1 << PART_BITS,
    PART_COUNT = 1 << 14, /* 16 Mi descriptors; the kernel's own limit is 1 Mi by default */
};

/* The word: home (32 bits, 0 nobody's, ANY_HOME a file's) | closing (1) | count (31). */
#define COUNT_MASK ((uint64_t)0x7fffffff)
#define CLOSING    ((uint64_t)1 << 31)
#define HOME_SHIFT 32
#define ANY_HOME   UINT32_MAX

struct entry {
    _Atomic uint64_t word;
    _Atomic uint32_t kind;
};

static _Atomic(struct entry *) parts[PART_COUNT];

static struct entry *make_part(size_t index)
{
    struct entry *part = weir__memory_zalloc(NULL, PART_ENTRIES * sizeof *part);
    struct entry *other = NULL;

    /* acq_rel: whoever finds the part sees its zeros; pairs with the acquire in find_entry */
    if (part && !atomic_compare_exchange_strong_explicit(
                    &parts[index], &other, part, memory_order_acq_rel, memory_order_acquire)) {
        weir__memory_free(part);
        part = other;
    }
    return part;
}

/* NULL: out of range, or no entry yet and `make` is false or memory is short. */
static struct entry *find_entry(int fd, bool make)
{
    size_t index = (size_t)fd >> PART_BITS;
    struct entry *part;

    if (fd < 0 || index >= PART_COUNT)
        return NULL;
    /* acquire; pairs with make_part */
    part = atomic_load_explicit(&parts[index], memory_order_acquire);
    if (!part && make)
        part = make_part(index);
    return part ? &part[fd & (PART_ENTRIES - 1)] : NULL;
}

static uint32_t home_of(uint64_t word)
{
    return (uint32_t)(word >> HOME_SHIFT);
}

int weir__descriptor_enter(int fd, uint32_t home, bool pollable)
{
    struct entry *entry = find_entry(fd, true);
    uint32_t owner = pollable ? home : ANY_HOME;
    uint64_t word, next;

    if (!entry)
        return fd < 0 || fd >> PART_BITS >= PART_COUNT ? -EBADF : -ENOMEM;
    word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    do {
        if (word & CLOSING)
            return -EBADF;
        if ((word & COUNT_MASK) && home_of(word) != owner)
            return -EBUSY;
        next = ((uint64_t)owner << HOME_SHIFT) | ((word & COUNT_MASK) + 1);
        /* acquire; pairs with the release in leave: a new home sees what the old one did */
    } while (!atomic_compare_exchange_weak_explicit(&entry->word, &word, next, memory_order_acquire,
                                                    memory_order_relaxed));
    return 0;
}

void weir__descriptor_leave(int fd)
{
    struct entry *entry = find_entry(fd, false);

    /* release; pairs with the acquire in enter and begin_close */
    uint64_t word = atomic_fetch_sub_explicit(&entry->word, 1, memory_order_release);

    if (WEIR_UNLIKELY((word & COUNT_MASK) == 0)) /* forgotten meanwhile: another life's count */
        atomic_fetch_add_explicit(&entry->word, 1, memory_order_relaxed);
}

bool weir__descriptor_is_busy(int fd)
{
    struct entry *entry = find_entry(fd, false);

    /* relaxed: begin_close decides */
    return entry && (atomic_load_explicit(&entry->word, memory_order_relaxed) & COUNT_MASK);
}

void weir__descriptor_forget(int fd)
{
    struct entry *entry = find_entry(fd, false);

    if (!entry)
        return;
    atomic_store_explicit(&entry->kind, WEIR__FD_UNKNOWN, memory_order_relaxed);
    /* release; pairs with the acquire in enter */
    atomic_store_explicit(&entry->word, 0, memory_order_release);
}

int weir__descriptor_begin_close(int fd, uint32_t own_count)
{
    struct entry *entry = find_entry(fd, false);
    uint64_t word;

    if (!entry) /* nobody has ever entered; a close needs no memory for that */
        return fd < 0 ? -EBADF : 0;
    word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    do {
        if (word & CLOSING)
            return -EBADF;
        if ((word & COUNT_MASK) > own_count)
            return -EBUSY;
        /* acquire; pairs with the release in leave */
    } while (!atomic_compare_exchange_weak_explicit(&entry->word, &word, word | CLOSING,
                                                    memory_order_acquire, memory_order_relaxed));
    return 0;
}

enum weir__fd_kind weir__descriptor_kind(int fd)
{
    struct entry *entry = find_entry(fd, false);

    /* relaxed: a fact about the descriptor, not about memory */
    return entry ? (enum weir__fd_kind)atomic_load_explicit(&entry->kind, memory_order_relaxed)
                 : WEIR__FD_UNKNOWN;
}

int weir__descriptor_is_stream(int fd)
{
    enum weir__fd_kind kind = weir__descriptor_kind(fd);
    struct entry *entry;
    struct statx file;
    int error;

    if (WEIR_LIKELY(kind != WEIR__FD_UNKNOWN))
        return kind == WEIR__FD_PIPE || kind == WEIR__FD_SOCKET;
    /* Of what it is at hand, also for remote file systems: nobody is asked. */
    error = weir__kernel_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &file);
    entry = find_entry(fd, true);
    if (error < 0 || !entry)
        return error < 0 ? error : -ENOMEM;
    if (S_ISREG(file.stx_mode) || S_ISBLK(file.stx_mode) || S_ISDIR(file.stx_mode))
        return 0; /* what kind of file, weir__descriptor_learn finds out */
    kind = S_ISSOCK(file.stx_mode) ? WEIR__FD_SOCKET : WEIR__FD_PIPE;
    atomic_store_explicit(&entry->kind, kind, memory_order_relaxed);
    return 1;
}

static enum weir__fd_kind kind_by_file_system(uint64_t magic, int open_flags)
{
    switch (magic) {
    case EXT4_SUPER_MAGIC: /* ext2 and ext3 have the same number and, today, the same code */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
        return open_flags & O_DIRECT ? WEIR__FD_DIRECT : WEIR__FD_DISK;
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return WEIR__FD_MEMORY;
    default:
        return WEIR__FD_OTHER;
    }
}

int weir__descriptor_learn(int fd)
{
    struct entry *entry = find_entry(fd, true);
    enum weir__fd_kind kind = WEIR__FD_PIPE;
    struct statfs file_system;
    struct stat file;
    int open_flags = weir__kernel_get_flags(fd);
    int error;

    if (!entry)
        return -ENOMEM;
    error = open_flags < 0 ? open_flags : weir__kernel_fstat(fd, &file);
    if (error < 0)
        return error;
    if (S_ISREG(file.st_mode)) {
        error = weir__kernel_fstatfs(fd, &file_system);
        if (error < 0)
            return error;
        kind = kind_by_file_system((uint64_t)file_system.f_type, open_flags);
    } else if (S_ISBLK(file.st_mode)) {
        kind = open_flags & O_DIRECT ? WEIR__FD_DIRECT : WEIR__FD_DISK;
    } else if (S_ISDIR(file.st_mode)) {
        kind = WEIR__FD_OTHER;
    } else if (S_ISSOCK(file.st_mode)) {
        kind = WEIR__FD_SOCKET;
    }
    atomic_store_explicit(&entry->kind, kind, memory_order_relaxed);
    return 0;
}
