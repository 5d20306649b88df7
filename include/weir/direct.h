/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O: files opened with O_DIRECT, past the page cache. Buffers, offsets and lengths must be
 * aligned, and each file says how much (statx, STATX_DIOALIGN, Linux 6.1). weir asks when it first
 * meets the file, and refuses what is not aligned before the kernel does: -EINVAL, and
 * weir_direct_explain says what it was. Where neither kernel nor file system says (tmpfs, NFS,
 * FUSE; weir_options.without_features), 4096 is assumed, and nothing is refused but by the kernel.
 *
 * Where it runs. Reads, and writes over blocks that the file has, run on the ring and hold no
 * thread. What would (a write that extends the file, one to XFS or btrfs on kernels before 7.0, any
 * over pages that buffered use has left in the cache) the ring is told to refuse, and the pool does
 * it: counted as refused_count of its row. When more than a tenth of a descriptor's reads, or
 * writes, are refused, the rest goes to the pool at once: rerouted_count. So the kernel's own
 * hidden threads never come in.
 *
 * Memory that serves many direct calls can be registered: weir/buffer.h.
 *
 * Example:
 *     int fd = weir_openat(AT_FDCWD, "table", O_RDWR | O_DIRECT, 0, deadline_ns);
 *     char *block = weir_direct_alloc(64 * 1024);
 *     ssize_t count = weir_pread(fd, block, 64 * 1024, 0, deadline_ns);
 *     if (count == -EINVAL)
 *         puts(weir_direct_explain(fd, block, 64 * 1024, 0));
 *     weir_direct_free(block);
 */
#ifndef WEIR_DIRECT_H
#define WEIR_DIRECT_H

#include <sys/types.h>
#include <weir/base.h>

struct weir_direct_alignment {
    unsigned memory_bytes; /* of a buffer's address, a power of two */
    unsigned offset_bytes; /* of an offset and of a length, a power of two */
    bool is_known;         /* the file said so; else both are assumed */
    uint32_t reserved[5];
};

WEIR_BEGIN

/*
 * What direct I/O on a file must be aligned to, whether it is open for it or not. Returns 0.
 * Errors: -EOPNOTSUPP the file has no direct I/O; -EBADF; -EINVAL; those at the head of
 * weir/file.h.
 */
WEIR_API WEIR_MUST_CHECK int weir_direct_alignment(int fd, struct weir_direct_alignment *alignment,
                                                   int64_t deadline_ns) WEIR_SUSPENDS;

/* Memory that every file takes: its address, and its size, which is rounded up, are multiples of
 * 4096. NULL: there is none. Owns: the caller, until weir_direct_free. */
WEIR_API void *weir_direct_alloc(size_t bytes) WEIR_ANY_THREAD;

/* NULL is fine. */
WEIR_API void weir_direct_free(void *buffer) WEIR_ANY_THREAD;

/* What about a direct read or write is not aligned, in words; NULL: nothing, as far as is known.
 * Static. */
WEIR_API const char *weir_direct_explain(int fd, const void *buffer, size_t bytes,
                                         off_t offset) WEIR_ANY_THREAD;

WEIR_END

#endif
