/* SPDX-License-Identifier: MIT */
/* The table of operations: where each one runs, and why. */
#include "io/attribute.h"
#include "io/close.h"
#include "io/file.h"
#include "io/file_lock.h"
#include "io/path.h"
#include "io/socket.h"

/* It counts rows: with as many as ids, and none given twice (a warning), none is missing. */
#define ROW(id) [WEIR__OP_ID_##id + 0 * __COUNTER__]

/* Rows that can do no better than hold a thread: on a path, and on an open file. */
#define ON_PATH(text, reason, function)                                                            \
    {                                                                                              \
        .name = text, .why = reason, .route = WEIR__ROUTE_POOL, .call = function                   \
    }
#define ON_FILE(text, reason, function, ...)                                                       \
    {                                                                                              \
        .name = text, .why = reason, .route = WEIR__ROUTE_POOL, .holds = WEIR__HOLDS_FILE,         \
        .call = function, __VA_ARGS__                                                              \
    }

enum { ROWS_BEFORE = __COUNTER__ + 1 };

const struct weir__op_row weir__op_rows[WEIR__OP_ID_COUNT] = {
    ROW(OPENAT) = {
        .name = "openat",
        .why = "a path may lead anywhere; inline when cached, on a local disk",
        .route = WEIR__ROUTE_POOL,
        .attempt = weir__file_attempt_openat,
        .call = weir__file_call_openat,
    },
    ROW(PREAD) = {
        .name = "pread",
        .why = "page-cache hits and memory inline; a miss or direct on the ring, without a thread",
        .since = 506,
        .route = WEIR__ROUTE_RING,
        .class = WEIR__CLASS_DISK_READ,
        .holds = WEIR__HOLDS_FILE,
        .choose = weir__file_choose_read,
        .quick = weir__file_quick_pread,
        .attempt = weir__file_attempt_pread,
        .prep = weir__file_prep_pread,
        .call = weir__file_call_pread,
    },
    ROW(PWRITE) = {
        .name = "pwrite",
        .why = "direct on the ring, memory inline; buffered may wait for writeback or a journal",
        .since = 506,
        .route = WEIR__ROUTE_POOL,
        .class = WEIR__CLASS_DISK_WRITE,
        .holds = WEIR__HOLDS_FILE,
        .choose = weir__file_choose_write,
        .attempt = weir__file_attempt_pwrite,
        .prep = weir__file_prep_pwrite,
        .call = weir__file_call_pwrite,
    },
    ROW(PREADV) = {
        .name = "preadv",
        .why = "as pread",
        .since = 501,
        .route = WEIR__ROUTE_RING,
        .class = WEIR__CLASS_DISK_READ,
        .holds = WEIR__HOLDS_FILE,
        .choose = weir__file_choose_read,
        .attempt = weir__file_attempt_preadv,
        .prep = weir__file_prep_preadv,
        .call = weir__file_call_preadv,
    },
    ROW(PWRITEV) = {
        .name = "pwritev",
        .why = "as pwrite",
        .since = 501,
        .route = WEIR__ROUTE_POOL,
        .class = WEIR__CLASS_DISK_WRITE,
        .holds = WEIR__HOLDS_FILE,
        .choose = weir__file_choose_write,
        .attempt = weir__file_attempt_pwritev,
        .prep = weir__file_prep_pwritev,
        .call = weir__file_call_pwritev,
    },
    ROW(FSYNC) = {
        .name = "fsync",
        .why = "waits for the device; the ring would use a hidden thread",
        .route = WEIR__ROUTE_POOL,
        .holds = WEIR__HOLDS_FILE,
        .call = weir__file_call_fsync,
    },
    ROW(FDATASYNC) = {
        .name = "fdatasync",
        .why = "as fsync",
        .route = WEIR__ROUTE_POOL,
        .holds = WEIR__HOLDS_FILE,
        .call = weir__file_call_fdatasync,
    },
    ROW(FALLOCATE) = {
        .name = "fallocate",
        .why = "may write a journal, or zeros",
        .route = WEIR__ROUTE_POOL,
        .holds = WEIR__HOLDS_FILE,
        .call = weir__file_call_fallocate,
    },
    ROW(FTRUNCATE) = {
        .name = "ftruncate",
        .why = "may free many blocks",
        .route = WEIR__ROUTE_POOL,
        .holds = WEIR__HOLDS_FILE,
        .call = weir__file_call_ftruncate,
    },
    ROW(OPENAT2) = ON_PATH("openat2", "a path may lead anywhere", weir__file_call_openat2),
    ROW(SYNC_FILE_RANGE) = ON_FILE("sync_file_range", "waits for the device",
                                   weir__file_call_sync_file_range),
    ROW(SYNCFS) = ON_FILE("syncfs", "waits for the device", weir__file_call_syncfs),
    ROW(FADVISE) = ON_FILE("fadvise", "reading ahead and dropping take time; the rest is a note",
                           weir__file_call_fadvise, .choose = weir__file_choose_fadvise),
    ROW(LSEEK) = ON_FILE("lseek", "data and holes are looked for in the file's map",
                         weir__file_call_lseek),
    ROW(FLOCK) = ON_FILE("flock", "one try: inline on a local disk; a server may be far",
                         weir__file_lock_call, .choose = weir__file_lock_choose),
    ROW(OFD_LOCK) = ON_FILE("ofd_lock", "as flock", weir__file_lock_call,
                            .choose = weir__file_lock_choose),
    ROW(OFD_QUERY) = ON_FILE("ofd_query", "as flock", weir__file_lock_call,
                             .choose = weir__file_lock_choose),
    ROW(UNLOCK) = ON_FILE("unlock", "as flock", weir__file_lock_call,
                          .choose = weir__file_lock_choose, .is_release = true),
    ROW(UNLINKAT) = ON_PATH("unlinkat", "the last name of a big file takes its time",
                            weir__path_call_unlinkat),
    ROW(RENAMEAT) = ON_PATH("renameat", "changes directories", weir__path_call_renameat),
    ROW(MKDIRAT) = ON_PATH("mkdirat", "changes a directory", weir__path_call_mkdirat),
    ROW(SYMLINKAT) = ON_PATH("symlinkat", "changes a directory", weir__path_call_symlinkat),
    ROW(LINKAT) = ON_PATH("linkat", "changes a directory", weir__path_call_linkat),
    ROW(READLINKAT) = ON_PATH("readlinkat", "walks a path", weir__path_call_readlinkat),
    ROW(MKNODAT) = ON_PATH("mknodat", "changes a directory", weir__path_call_mknodat),
    ROW(REALPATH) = ON_PATH("realpath", "walks a path", weir__path_call_realpath),
    ROW(MKOSTEMP) = ON_PATH("mkostemp", "changes a directory", weir__path_call_mkostemp),
    ROW(MKDTEMP) = ON_PATH("mkdtemp", "changes a directory", weir__path_call_mkdtemp),
    ROW(STATX) = ON_PATH("statx", "walks a path, reads an inode; the ring uses a hidden thread",
                         weir__attribute_call_statx),
    ROW(STATFS) = ON_PATH("statfs", "a server may be asked", weir__attribute_call_statfs),
    ROW(FSTATFS) = ON_FILE("fstatfs", "a server may be asked", weir__attribute_call_fstatfs),
    ROW(FACCESSAT) = ON_PATH("faccessat", "walks a path", weir__attribute_call_faccessat),
    ROW(FCHMOD) = ON_FILE("fchmod", "changes an inode", weir__attribute_call_fchmod),
    ROW(FCHMODAT) = ON_PATH("fchmodat", "changes an inode", weir__attribute_call_fchmodat),
    ROW(FCHOWN) = ON_FILE("fchown", "changes an inode", weir__attribute_call_fchown),
    ROW(FCHOWNAT) = ON_PATH("fchownat", "changes an inode", weir__attribute_call_fchownat),
    ROW(FUTIMENS) = ON_FILE("futimens", "changes an inode", weir__attribute_call_futimens),
    ROW(UTIMENSAT) = ON_PATH("utimensat", "changes an inode", weir__attribute_call_utimensat),
    ROW(GETXATTR) = ON_PATH("getxattr", "reads an inode", weir__xattr_call_get),
    ROW(SETXATTR) = ON_PATH("setxattr", "changes an inode", weir__xattr_call_set),
    ROW(LISTXATTR) = ON_PATH("listxattr", "reads an inode", weir__xattr_call_list),
    ROW(REMOVEXATTR) = ON_PATH("removexattr", "changes an inode", weir__xattr_call_remove),
    ROW(FGETXATTR) = ON_FILE("fgetxattr", "reads an inode", weir__xattr_call_fget),
    ROW(FSETXATTR) = ON_FILE("fsetxattr", "changes an inode", weir__xattr_call_fset),
    ROW(FLISTXATTR) = ON_FILE("flistxattr", "reads an inode", weir__xattr_call_flist),
    ROW(FREMOVEXATTR) = ON_FILE("fremovexattr", "changes an inode", weir__xattr_call_fremove),
    ROW(SOCKET) = {
        .name = "socket",
        .why = "answers at once",
        .route = WEIR__ROUTE_INLINE,
        .call = weir__socket_call_socket,
    },
    ROW(BIND) = {
        .name = "bind",
        .why = "answers at once, but for a unix-domain path, which makes a file",
        .route = WEIR__ROUTE_INLINE,
        .holds = WEIR__HOLDS_POLLABLE,
        .choose = weir__socket_choose_bind,
        .call = weir__socket_call_bind,
    },
    ROW(LISTEN) = {
        .name = "listen",
        .why = "answers at once",
        .route = WEIR__ROUTE_INLINE,
        .holds = WEIR__HOLDS_POLLABLE,
        .call = weir__socket_call_listen,
    },
    ROW(ACCEPT) = {
        .name = "accept",
        .why = "waits for a peer",
        .since = 505,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_accept,
    },
    ROW(CONNECT) = {
        .name = "connect",
        .why = "waits for a peer; unix-domain ones are tried, since a full backlog blocks",
        .since = 505,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .choose = weir__socket_choose_connect,
        .prep = weir__socket_prep_connect,
        .call = weir__socket_call_connect,
    },
    ROW(RECV) = {
        .name = "recv",
        .why = "waits for a peer",
        .since = 506,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_recv,
    },
    ROW(SEND) = {
        .name = "send",
        .why = "waits for a peer",
        .since = 506,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_send,
    },
    ROW(RECVMSG) = {
        .name = "recvmsg",
        .why = "waits for a peer",
        .since = 503,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_recvmsg,
    },
    ROW(SENDMSG) = {
        .name = "sendmsg",
        .why = "waits for a peer",
        .since = 503,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_sendmsg,
    },
    ROW(SHUTDOWN) = {
        .name = "shutdown",
        .why = "answers at once, and is how another loop wakes who waits here: holds nothing",
        .route = WEIR__ROUTE_INLINE,
        .call = weir__socket_call_shutdown,
    },
    ROW(POLL) = {
        .name = "poll",
        .why = "waits for a peer",
        .since = 501,
        .route = WEIR__ROUTE_RING,
        .holds = WEIR__HOLDS_POLLABLE,
        .prep = weir__socket_prep_poll,
    },
    ROW(CLOSE) = {
        .name = "close",
        .why = "may flush, linger or free blocks; sockets that do not linger and pipes do not",
        .since = 506,
        .route = WEIR__ROUTE_POOL,
        .is_release = true, /* weir_close holds the descriptor in its own way */
        .choose = weir__close_choose,
        .prep = weir__close_prep,
        .call = weir__close_call,
    },
};

_Static_assert(__COUNTER__ - ROWS_BEFORE == WEIR__OP_ID_COUNT, "every operation has its row");
