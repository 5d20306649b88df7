/* SPDX-License-Identifier: MIT */
/*
 * File benches: a number of 4 KiB operations is kept in flight on one file until time is over.
 *
 * A contender starts job->depth operations; at each completion it calls meter_count(&job->meter)
 * on its loop's thread and, unless that says false, starts the next. The files have no name, so
 * nothing is left behind, whatever happens.
 */
#ifndef BENCH_FILE_H
#define BENCH_FILE_H

#include "bench.h"

#define FILE_BLOCK_BYTES UINT64_C(4096)
#define FILE_DEPTH_MAX   64

enum file_kind {
    FILE_READ_DIRECT,  /* O_DIRECT, random blocks */
    FILE_READ_HOT,     /* page-cache hits, random blocks */
    FILE_WRITE_DIRECT, /* O_DIRECT, random allocated blocks */
    FILE_APPEND_FSYNC, /* append, then fdatasync: one operation */
};

struct file_job {
    struct meter meter;
    enum file_kind kind;
    int fd;
    unsigned depth;
    unsigned threads; /* of the contender's pool */
    uint64_t block_count;
    uint64_t random;      /* state of the offsets */
    uint64_t append_next; /* offset in bytes */
    char *buffers;        /* depth blocks, aligned to pages */
};

/* Of the next operation, in bytes. */
static inline uint64_t file_next_offset(struct file_job *job)
{
    uint64_t offset = job->append_next;

    if (job->kind != FILE_APPEND_FSYNC)
        return random_next(&job->random) % job->block_count * FILE_BLOCK_BYTES;
    job->append_next += FILE_BLOCK_BYTES;
    return offset;
}

static inline char *file_buffer(const struct file_job *job, unsigned slot)
{
    return job->buffers + slot * FILE_BLOCK_BYTES;
}

/* Ends the trial unless the whole block was moved. */
void file_check(int64_t result, const char *what);

/* A file without a name in the folder, or -errno. */
int file_open_unnamed(const char *folder);
/* The same, filled, synced and in the page cache. Ends the program when the folder cannot hold
 * it. */
int file_make(const char *folder, uint64_t bytes);
/* Ends the program when the folder cannot hold one. */
void file_need_unnamed(const struct settings *settings);

/* The file for O_DIRECT reads, prepared; for benches of other families. */
int file_direct_fd(void);
uint64_t file_direct_block_count(void);
/* Creates it. Ends the program when the folder cannot hold it. */
void file_prepare_direct(const struct bench *bench, const struct settings *settings);
/* Why O_DIRECT cannot be had in the folder; NULL: it can. Known after prepare. */
const char *file_direct_reason(const struct bench *bench);

file_fn raw_file, uring_file, threads_file, weir_file;

#endif
