/* SPDX-License-Identifier: MIT */
/*
 * What weir knows of a descriptor: what kind of thing it found behind it, and so where reads and
 * writes of it run. What ran where, hits and misses are in weir/stats.h, by kind of operation.
 *
 * Example:
 *     struct weir_description about;
 *     if (weir_describe(fd, &about, weir_in_ms(100)) >= 0)
 *         printf("%s on %s: reads %s, writes %s\n", about.kind, about.file_system,
 *                about.read_route, about.write_route);
 */
#ifndef WEIR_DESCRIBE_H
#define WEIR_DESCRIBE_H

#include <weir/base.h>

/* All text is static. */
struct weir_description {
    const char *kind;        /* "disk", "direct", "memory", "elsewhere", "stream", "socket" */
    const char *file_system; /* such as "ext4"; "unknown"; "" for what is no file */
    const char
        *read_route; /* of weir_pread: "cache, then ring", "ring", "inline", "pool", "none" */
    const char *write_route; /* of weir_pwrite */
    unsigned in_flight;      /* operations under way on it now */
    unsigned memory_bytes;   /* what direct I/O must be aligned to; 0: not direct, or not known */
    unsigned offset_bytes;
    /* Of the last thousand or so direct reads, and writes: how many there were, and how many of
     * them the ring refused. Above a tenth, the pool gets them at once. */
    unsigned direct_reads, direct_reads_refused;
    unsigned direct_writes, direct_writes_refused;
    uint32_t reserved[8];
};

WEIR_BEGIN

/*
 * Describes a descriptor, having looked at it if nothing was known yet. Returns 0.
 * Errors: -EBADF; -EINVAL about is NULL; those at the head of weir/file.h.
 */
WEIR_API WEIR_MUST_CHECK int weir_describe(int fd, struct weir_description *about,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
