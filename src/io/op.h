/* SPDX-License-Identifier: MIT */
/*
 * One operation: a row of the table, its arguments, and its way through the runtime.
 *
 *   weir__op_run
 *     |  refused: not in a task, cancelled
 *     v
 *   quick (rows that have one): one try that neither blocks nor parks ------------------> result
 *     |  refused: descriptor being closed, or in use on another loop
 *     v
 *   attempt (rows that have one): the kernel may answer at once, without blocking ----> result
 *     |
 *     v
 *   route: INLINE  the row's call, here and now ------------------------------------> result
 *          POOL    the row's call, on a pool thread; the task parks -----------------> result
 *          RING    a credit if the row's class is bounded, prep, park
 *                     |                     |  deadline or cancel: ask the kernel to cancel
 *                     v                     v
 *                   terminal completion of the op, and of the cancel if one was sent -> result
 *                     |  refused (direct I/O that would hold a thread of the kernel's own)
 *                     `-> POOL
 *
 * An op lives in the frame of its parked task until the kernel is done with it: the task returns
 * only after the terminal completion, and after the cancel's own. So user_data (the address) is
 * unique while anything in the kernel refers to it. What a cancel answers is advice: the op's own
 * completion is the result, and a success that won the race is returned as one.
 *
 * A standing op is in flight on behalf of a handle, and no task waits in it: a receive with many
 * results, a send behind its writer's back. It takes the same way to the ring, holds its
 * descriptor, and lies in the handle, which keeps it until `ended`:
 *
 *   weir__op_start ---> event, at each completion of the op ---> ended
 *                         weir__op_interrupt, by the handle or a close: ask the kernel
 */
#ifndef WEIR_IO_OP_H
#define WEIR_IO_OP_H

#include "base/list.h"
#include "core/wait.h"
#include "ring/ring.h"

#include <stdint.h>
#include <sys/types.h>

struct weir__op;

enum weir__op_id {
    /* files */
    WEIR__OP_ID_OPENAT,
    WEIR__OP_ID_OPENAT2,
    WEIR__OP_ID_PREAD,
    WEIR__OP_ID_PWRITE,
    WEIR__OP_ID_PREADV,
    WEIR__OP_ID_PWRITEV,
    WEIR__OP_ID_FSYNC,
    WEIR__OP_ID_FDATASYNC,
    WEIR__OP_ID_FALLOCATE,
    WEIR__OP_ID_FTRUNCATE,
    WEIR__OP_ID_SYNC_FILE_RANGE,
    WEIR__OP_ID_SYNCFS,
    WEIR__OP_ID_FADVISE,
    WEIR__OP_ID_LSEEK,
    WEIR__OP_ID_FLOCK,
    WEIR__OP_ID_OFD_LOCK,
    WEIR__OP_ID_OFD_QUERY,
    WEIR__OP_ID_UNLOCK,
    WEIR__OP_ID_COPY_FILE_RANGE,
    WEIR__OP_ID_SPLICE,
    WEIR__OP_ID_SENDFILE,
    WEIR__OP_ID_GETDENTS,
    WEIR__OP_ID_PUBLISH,
    WEIR__OP_ID_DISCARD,
    WEIR__OP_ID_DESCRIBE,
    /* names */
    WEIR__OP_ID_UNLINKAT,
    WEIR__OP_ID_RENAMEAT,
    WEIR__OP_ID_MKDIRAT,
    WEIR__OP_ID_SYMLINKAT,
    WEIR__OP_ID_LINKAT,
    WEIR__OP_ID_READLINKAT,
    WEIR__OP_ID_MKNODAT,
    WEIR__OP_ID_REALPATH,
    WEIR__OP_ID_MKOSTEMP,
    WEIR__OP_ID_MKDTEMP,
    /* attributes */
    WEIR__OP_ID_STATX,
    WEIR__OP_ID_STATFS,
    WEIR__OP_ID_FSTATFS,
    WEIR__OP_ID_FACCESSAT,
    WEIR__OP_ID_FCHMOD,
    WEIR__OP_ID_FCHMODAT,
    WEIR__OP_ID_FCHOWN,
    WEIR__OP_ID_FCHOWNAT,
    WEIR__OP_ID_FUTIMENS,
    WEIR__OP_ID_UTIMENSAT,
    WEIR__OP_ID_GETXATTR,
    WEIR__OP_ID_SETXATTR,
    WEIR__OP_ID_LISTXATTR,
    WEIR__OP_ID_REMOVEXATTR,
    WEIR__OP_ID_FGETXATTR,
    WEIR__OP_ID_FSETXATTR,
    WEIR__OP_ID_FLISTXATTR,
    WEIR__OP_ID_FREMOVEXATTR,
    /* sockets */
    WEIR__OP_ID_SOCKET,
    WEIR__OP_ID_BIND,
    WEIR__OP_ID_LISTEN,
    WEIR__OP_ID_ACCEPT,
    WEIR__OP_ID_ACCEPT_NOW,
    WEIR__OP_ID_CONNECT,
    WEIR__OP_ID_RECV,
    WEIR__OP_ID_SEND,
    WEIR__OP_ID_RECVMSG,
    WEIR__OP_ID_SENDMSG,
    WEIR__OP_ID_SHUTDOWN,
    WEIR__OP_ID_SOCKETPAIR,
    WEIR__OP_ID_RECVMMSG,
    WEIR__OP_ID_SENDMMSG,
    WEIR__OP_ID_MULTICAST,
    WEIR__OP_ID_RECV_MULTISHOT,
    WEIR__OP_ID_SEND_ZC,
    /* any descriptor */
    WEIR__OP_ID_READ,
    WEIR__OP_ID_WRITE,
    WEIR__OP_ID_READV,
    WEIR__OP_ID_WRITEV,
    WEIR__OP_ID_PIPE2,
    WEIR__OP_ID_POLL,
    WEIR__OP_ID_CLOSE,
    WEIR__OP_ID_COUNT,
};

enum weir__route {
    WEIR__ROUTE_INLINE,
    WEIR__ROUTE_RING,
    WEIR__ROUTE_POOL,
    WEIR__ROUTE_COUNT,
};

/* Which submission queue bounds an op on the ring. What merely waits for a peer has none. */
enum weir__op_class {
    WEIR__CLASS_UNBOUNDED,
    WEIR__CLASS_DISK_READ,
    WEIR__CLASS_DISK_WRITE,
    WEIR__CLASS_ZERO_COPY,
    WEIR__CLASS_COUNT,
};

/* What an op does to the descriptor table. */
enum weir__op_holds {
    WEIR__HOLDS_NOTHING,  /* makes a descriptor, or may meet those at work on it */
    WEIR__HOLDS_FOLDER,   /* where a path begins, unless that is AT_FDCWD */
    WEIR__HOLDS_FILE,     /* any loop may work on it */
    WEIR__HOLDS_POLLABLE, /* one loop at a time; a deadline or WEIR_NOW takes effect at once */
    WEIR__HOLDS_EITHER,   /* as a pollable one or as a file, by what it is */
};

struct weir__op_row {
    const char *name;
    const char *why; /* why it runs where it runs, in a few words */
    unsigned since;  /* first kernel whose ring has it, as 601 for 6.1; 0: never on the ring */
    enum weir__route route;          /* where it runs unless `choose` says otherwise */
    enum weir__op_class class;       /* while on the ring */
    enum weir__op_holds holds;       /* on `fd` */
    enum weir__op_holds holds_other; /* on `other_fd`; only if it holds `fd` */
    bool is_release;                 /* a release call: not interrupted */
    /* By the descriptor and the arguments; optional. */
    enum weir__route (*choose)(const struct weir__op *op);
    /* A non-blocking try that does not park, so that the descriptor need not be entered; results as
     * those of `attempt`; optional. */
    int64_t (*quick)(struct weir__op *op);
    /* A non-blocking try, perhaps in steps between which others run: its result, or -EAGAIN to go
     * on (having advanced op->done_bytes and the
     * arguments by what it got); optional. */
    int64_t (*attempt)(struct weir__op *op);
    /* Fills a submission entry; needed where the route may be RING. */
    void (*prep)(struct weir__op *op, struct io_uring_sqe *sqe);
    /* After a run on the ring: whether the ring refused what it would need a hidden thread for, so
     * that the pool does it; optional. */
    bool (*refused)(struct weir__op *op);
    /* The kernel call itself, which may block; needed where the route may be INLINE or POOL. */
    int64_t (*call)(struct weir__op *op);
    /* The kernel ended the op early, as asked, but what it began goes on: takes that back, or finds
     * that it was done. The final result, op->reason if it was not; optional. */
    int64_t (*settle)(struct weir__op *op);
};

/* The arguments are as wide as any row needs; a row names what it uses in its prep. */
struct weir__op {
    /* What its completion touches, side by side. */
    struct weir__completion completion;
    struct weir__wait *wait;
    int64_t result;
    const struct weir__op_row *row;
    int fd;          /* what it works on, or the directory of its path; -1 for none */
    int reason;      /* why it was interrupted; 0: it was not */
    int notice;      /* a zero-copy send's second result: IORING_NOTIF_USAGE_* */
    uint8_t awaited; /* completions that have not come */
    bool cancel_sent;
    struct weir__list link; /* among the loop's ops, while it runs */

    /* The arguments. */
    int flags;           /* O_*, MSG_*, AT_*, poll events, ... */
    int mode;            /* permissions, backlog, whence, ... */
    int other_fd;        /* a second one, such as renameat's second directory */
    void *address;       /* buffer, path, iovecs, msghdr, sockaddr */
    size_t length;       /* bytes, iovec count, sockaddr length */
    void *other_address; /* second path, result structure, address length */
    int64_t offset;
    size_t done_bytes; /* got by the attempt; added to the result */
    int64_t deadline_ns;
    struct weir__completion cancel_completion;

    /* A standing op's, set by its handle; both run in the reap, and may neither park nor submit. */
    void (*event)(struct weir__op *op, int result, uint32_t flags); /* IORING_CQE_F_* */
    const void *handle;                 /* what `event` touches first; a hint */
    void (*ended)(struct weir__op *op); /* nothing refers to it any more: it can be started anew */
};

/* The one table; table.c. */
extern const struct weir__op_row weir__op_rows[WEIR__OP_ID_COUNT];

/* Why a task waits for its op on the ring; the object is the op. */
extern const struct weir__reason weir__op_awaits_device, weir__op_awaits_peer;

/* Runs the operation to its end. `op` has its arguments set, and is zero otherwise. */
int64_t weir__op_run(enum weir__op_id id, struct weir__op *op, int64_t deadline_ns);

/* Starts a standing op of an unbounded row. 0: `ended` will follow; -errno: nothing happened. */
int weir__op_start(enum weir__op_id id, struct weir__op *op);

/* Home loop: asks an op to end, in whatever stage it waits. `reason` is what it returns if it does;
 * the first reason stands. */
void weir__op_interrupt(struct weir__op *op, int reason);

#endif
