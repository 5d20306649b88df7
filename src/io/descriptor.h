/* SPDX-License-Identifier: MIT */
/*
 * The descriptor table: what weir knows of each descriptor number of the process. One entry each:
 * who works on it (a home loop, for what can be polled; any loop, for files), how many operations
 * are under way on it, whether it is being closed, and what kind of thing it is.
 *
 *            enter: idle, or same home
 *   idle <-----------------------------> busy     enter from another loop: -EBUSY
 *    ^       leave: the last one out      |
 *    |                                    | begin_close: nobody enters any more
 *    |                                    v
 *    `------------- forget ----------- closing    what is under way ends; then close(2)
 *
 * The entry is one word, changed by compare-exchange only; any thread.
 */
#ifndef WEIR_IO_DESCRIPTOR_H
#define WEIR_IO_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

enum weir__fd_kind {
    WEIR__FD_UNKNOWN,
    WEIR__FD_DISK,   /* a regular file whose buffered reads are asynchronous: ext4, xfs, ... */
    WEIR__FD_DIRECT, /* the same, or a block device, opened with O_DIRECT */
    WEIR__FD_MEMORY, /* tmpfs, ramfs: never waits for a device */
    WEIR__FD_OTHER,  /* elsewhere (procfs, overlay, NFS, FUSE, ...): may block anywhere */
    WEIR__FD_PIPE,   /* pipes, ttys, eventfds, ...: no position */
    WEIR__FD_SOCKET, /* no position either */
};

/* One more op under way on `fd`, of the loop `home`. 0; -EBADF no such number, or being closed;
 * -EBUSY ops of another loop are under way (pollable ones); -ENOMEM for the table. */
int weir__descriptor_enter(int fd, uint32_t home, bool pollable);
void weir__descriptor_leave(int fd);

/* Whether ops are under way on `fd`, by a look. */
bool weir__descriptor_is_busy(int fd);

/* How many are under way on `fd` now. */
unsigned weir__descriptor_count(int fd);

/* The kind, if it has been learned. */
enum weir__fd_kind weir__descriptor_kind(int fd);

/* Whether it has no position: 1 or 0, or -errno when the kernel does not say. Never blocks. */
int weir__descriptor_is_stream(int fd);

/* Finds the kind out by asking the kernel, and stores it; `features` of enum weir_feature. May
 * block: fstat on a remote file system does. 0 or -errno. */
int weir__descriptor_learn(int fd, unsigned features);

/* Whether a device (major and minor number) was seen to hold a local file system of a known kind:
 * then what the kernel has in memory of it answers at once. Learned with its files, or for the
 * sake of it. */
bool weir__descriptor_is_local(unsigned major_number, unsigned minor_number);
void weir__descriptor_learn_device(int fd);

/* What is known of direct I/O on `fd`. */
struct weir__direct_facts {
    unsigned memory_bytes; /* alignment; powers of two */
    unsigned offset_bytes;
    bool is_known; /* the alignment */
    bool appends;  /* O_APPEND: each write extends the file */
};

struct weir__direct_facts weir__descriptor_direct(int fd);

/* One more direct read or write, and whether the ring refused it. What the pool got at once counts
 * as not refused: so in the long run at most a tenth of all is refused, and a file that has become
 * better is noticed. */
void weir__descriptor_note_direct(int fd, bool is_write, bool is_refused);

/* The notes, of which the older count less and less. */
void weir__descriptor_read_direct(int fd, bool is_write, unsigned *count, unsigned *refused_count);

/* Whether more than a tenth of the notes, and of ten at least, are refusals. */
bool weir__descriptor_is_refusing(int fd, bool is_write);

/* The number stands for nothing any more, or for something new. */
void weir__descriptor_forget(int fd);

/* From now on nobody enters. 0; -EBADF; -EBUSY more ops are under way than `own_count`, those of
 * the
 * calling loop. */
int weir__descriptor_begin_close(int fd, uint32_t own_count);

#endif
