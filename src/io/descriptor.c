/* SPDX-License-Identifier: MIT */
/*
 * The descriptor table; see descriptor.h. Two levels, so that a process with few descriptors pays
 * for few; the second level's parts are made when first needed and stay.
 */
#include "io/descriptor.h"

#include "base/assert.h"
#include "base/kernel.h"
#include "base/memory.h"

#include <weir/runtime.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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

/* The facts: log2 of the alignment of memory (8 bits) and of offsets (8) | known (1) | appends (1).
 * The notes: direct I/O (16) | refused of it (16). */
#define FACT_KNOWN   (1u << 16)
#define FACT_APPENDS (1u << 17)
enum { NOTES_MAX = 1024, NOTES_MIN = 10, NOTE_SHIFT = 16 };

/* Kind, facts and notes are relaxed: they are about the descriptor, not about memory. */
struct entry {
    _Atomic uint64_t word;
    _Atomic uint32_t kind;
    _Atomic uint32_t facts;
    _Atomic uint32_t notes[2]; /* reads, writes */
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

unsigned weir__descriptor_count(int fd)
{
    struct entry *entry = find_entry(fd, false);

    return entry ? (unsigned)(atomic_load_explicit(&entry->word, memory_order_relaxed) & COUNT_MASK)
                 : 0;
}

void weir__descriptor_forget(int fd)
{
    struct entry *entry = find_entry(fd, false);

    if (!entry)
        return;
    atomic_store_explicit(&entry->kind, WEIR__FD_UNKNOWN, memory_order_relaxed);
    atomic_store_explicit(&entry->facts, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->notes[0], 0, memory_order_relaxed);
    atomic_store_explicit(&entry->notes[1], 0, memory_order_relaxed);
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
    default: /* overlay too: its files refuse reads that may not wait, 6.18 included */
        return WEIR__FD_OTHER;
    }
}

/* A few devices, each where its number says. 0: none; a number is major (32) | minor (32). */
enum { DEVICE_SLOTS = 64 };
static _Atomic uint64_t devices[DEVICE_SLOTS];

static _Atomic uint64_t *slot_of(uint64_t device)
{
    return &devices[(device ^ device >> 32) % DEVICE_SLOTS];
}

bool weir__descriptor_is_local(unsigned major_number, unsigned minor_number)
{
    uint64_t device = (uint64_t)major_number << 32 | minor_number;

    /* relaxed: a fact about the device, not about memory. Major 0 stands for file systems without a
     * device of their own, whose numbers are used again: never noted */
    return major_number && atomic_load_explicit(slot_of(device), memory_order_relaxed) == device;
}

/* A device may get another file system: then what was noted is taken back. */
static void note_device(dev_t number, enum weir__fd_kind kind)
{
    uint64_t device = (uint64_t)major(number) << 32 | minor(number);
    bool local = kind == WEIR__FD_DISK || kind == WEIR__FD_DIRECT;

    if (local != weir__descriptor_is_local(major(number), minor(number)))
        atomic_store_explicit(slot_of(device), local ? device : 0, memory_order_relaxed);
}

void weir__descriptor_learn_device(int fd)
{
    struct statfs file_system;
    struct stat file;

    if (weir__kernel_fstat(fd, &file) >= 0 && weir__kernel_fstatfs(fd, &file_system) >= 0)
        note_device(file.st_dev, kind_by_file_system((uint64_t)file_system.f_type, 0));
}

/* What direct I/O on the file needs. */
static void learn_direct(struct entry *entry, int fd, int open_flags, unsigned features)
{
    uint32_t facts = open_flags & O_APPEND ? FACT_APPENDS : 0;
    unsigned memory_bytes, offset_bytes;

    if ((features & WEIR_FEATURE_DIOALIGN) &&
        weir__kernel_direct_alignment(fd, &memory_bytes, &offset_bytes) >= 0)
        facts |= FACT_KNOWN | (uint32_t)__builtin_ctz(memory_bytes) |
                 (uint32_t)__builtin_ctz(offset_bytes) << 8;
    atomic_store_explicit(&entry->facts, facts, memory_order_relaxed);
}

int weir__descriptor_learn(int fd, unsigned features)
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
        note_device(file.st_dev, kind);
    } else if (S_ISBLK(file.st_mode)) {
        kind = open_flags & O_DIRECT ? WEIR__FD_DIRECT : WEIR__FD_DISK;
    } else if (S_ISDIR(file.st_mode)) {
        kind = WEIR__FD_OTHER;
    } else if (S_ISSOCK(file.st_mode)) {
        kind = WEIR__FD_SOCKET;
    }
    if (kind == WEIR__FD_DIRECT)
        learn_direct(entry, fd, open_flags, features);
    atomic_store_explicit(&entry->kind, kind, memory_order_relaxed);
    return 0;
}

struct weir__direct_facts weir__descriptor_direct(int fd)
{
    struct entry *entry = find_entry(fd, false);
    uint32_t facts = entry ? atomic_load_explicit(&entry->facts, memory_order_relaxed) : 0;

    return (struct weir__direct_facts){
        .memory_bytes = 1u << (facts & 0x1f),
        .offset_bytes = 1u << (facts >> 8 & 0x1f),
        .is_known = facts & FACT_KNOWN,
        .appends = facts & FACT_APPENDS,
    };
}

/* Two loops at once may lose a note: it is a gauge. */
void weir__descriptor_note_direct(int fd, bool is_write, bool is_refused)
{
    struct entry *entry = find_entry(fd, false);
    unsigned count, refused_count;

    if (!entry)
        return;
    weir__descriptor_read_direct(fd, is_write, &count, &refused_count);
    if (count == NOTES_MAX) {
        count /= 2;
        refused_count /= 2;
    }
    count++;
    refused_count += is_refused;
    atomic_store_explicit(&entry->notes[is_write], count << NOTE_SHIFT | refused_count,
                          memory_order_relaxed);
}

void weir__descriptor_read_direct(int fd, bool is_write, unsigned *count, unsigned *refused_count)
{
    struct entry *entry = find_entry(fd, false);
    uint32_t notes =
        entry ? atomic_load_explicit(&entry->notes[is_write], memory_order_relaxed) : 0;

    *count = notes >> NOTE_SHIFT;
    *refused_count = notes & ((1u << NOTE_SHIFT) - 1);
}

bool weir__descriptor_is_refusing(int fd, bool is_write)
{
    unsigned count, refused_count;

    weir__descriptor_read_direct(fd, is_write, &count, &refused_count);
    return count >= NOTES_MIN && refused_count * 10 > count;
}
