/* SPDX-License-Identifier: MIT */
/* The calls of the rows on files' names, attributes and locks; included by op_fixtures.h, after
 * struct world. */
#ifndef WEIR_TESTS_IO_FILE_FIXTURES_H
#define WEIR_TESTS_IO_FILE_FIXTURES_H

#include "io/whole.h"

#include <limits.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/vfs.h>

/* A call whose failure is another argument of the same expression. */
#define CALL(name, expression)                                                                     \
    static int64_t call_##name(struct world *world, enum how how, int64_t deadline_ns)             \
    {                                                                                              \
        bool fail = how == FAIL;                                                                   \
        const char *path = fail ? "missing" : "plain";                                             \
        int file = fail ? world->file_gone : world->file_plain;                                    \
                                                                                                   \
        (void)path;                                                                                \
        (void)file;                                                                                \
        return expression;                                                                         \
    }

static const struct timespec file_times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
static char file_text[PATH_MAX];
static struct statx file_status;
static struct statfs file_system;

/* A name that no call before has made. */
static const char *fresh(struct world *world)
{
    static char name[32];

    snprintf(name, sizeof name, "fresh-%u", world->serial++);
    return name;
}

/* A name that is there and may go. */
static const char *victim(void)
{
    plain_close(plain_open("victim", O_CREAT | O_RDWR));
    return "victim";
}

static int64_t call_openat2(struct world *world, enum how how, int64_t deadline_ns)
{
    const struct open_how open_how = { .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };
    int fd = weir_openat2(AT_FDCWD, how == FAIL ? "../x" : "plain", &open_how, deadline_ns);

    (void)world;
    if (fd >= 0)
        plain_close(fd);
    return fd;
}

static int64_t call_mkostemp(struct world *world, enum how how, int64_t deadline_ns)
{
    char path[] = "temporary-XXXXXX";
    int fd = weir_mkostemp(how == FAIL ? strcpy(path, "short-XX") : path, 0, deadline_ns);

    (void)world;
    if (fd >= 0)
        plain_close(fd);
    return fd;
}

static int64_t call_mkdtemp(struct world *world, enum how how, int64_t deadline_ns)
{
    char path[] = "temporary-XXXXXX";

    (void)world;
    return weir_mkdtemp(how == FAIL ? strcpy(path, "short-XX") : path, deadline_ns);
}

/* Locks are taken by the open file: the same again is no conflict. */
static int64_t call_ofd(struct world *world, enum how how, int64_t deadline_ns, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

    return weir_ofd_lock(how == FAIL ? world->file_gone : world->memory, &lock, deadline_ns);
}

static int64_t call_ofd_lock(struct world *world, enum how how, int64_t deadline_ns)
{
    return call_ofd(world, how, deadline_ns, F_WRLCK);
}

static int64_t call_unlock(struct world *world, enum how how, int64_t deadline_ns)
{
    return call_ofd(world, how, deadline_ns, F_UNLCK);
}

static int64_t call_ofd_query(struct world *world, enum how how, int64_t deadline_ns)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

    return weir_ofd_query(how == FAIL ? world->file_gone : world->memory, &lock, deadline_ns);
}

/* Rows without a call that is theirs alone. */
static int64_t call_splice(struct world *world, enum how how, int64_t deadline_ns)
{
    off_t offset = 0;
    struct weir__op op = {
        .fd = how == FAIL ? world->file_plain : world->pipe_talking[0],
        .other_fd = world->memory,
        .other_address = &offset,
        .length = 1,
    };

    return weir__op_run(WEIR__OP_ID_SPLICE, &op, deadline_ns);
}

static int64_t call_sendfile(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__op op = {
        .fd = world->talking[0],
        .other_fd = how == FAIL ? world->file_gone : world->memory,
        .length = 1,
    };

    if (how == SUCCEED)
        CHECK_EQUAL(pwrite(world->memory, "x", 1, 0), 1);
    return weir__op_run(WEIR__OP_ID_SENDFILE, &op, deadline_ns);
}

static int64_t call_publish(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__draft draft = {
        .name = "target",
        .folder_fd = world->folder,
        .fd = world->file_plain,
        .has_own_name = true,
    };
    struct weir__op op = { .fd = world->folder, .address = &draft, .other_fd = draft.fd };

    strcpy(draft.own_name, how == FAIL ? "missing" : victim());
    return weir__op_run(WEIR__OP_ID_PUBLISH, &op, deadline_ns);
}

static int64_t call_discard(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__op op = { .fd = world->folder };

    op.address = (void *)(how == FAIL ? "missing" : victim());
    return weir__op_run(WEIR__OP_ID_DISCARD, &op, deadline_ns);
}

static int64_t call_getdents(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__op op = { .fd = how == FAIL ? world->file_plain : world->folder };

    op.address = file_text;
    op.length = sizeof file_text;
    return weir__op_run(WEIR__OP_ID_GETDENTS, &op, deadline_ns);
}

static int64_t call_describe(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir_description about;

    return weir_describe(how == FAIL ? world->file_gone : world->file_plain, &about, deadline_ns);
}

/* clang-format off */
CALL(copy_file_range, weir_copy_file_range(file, 0, world->file_plain, 0, 0, deadline_ns))
CALL(flock, weir_flock(fail ? world->file_gone : world->memory, LOCK_EX, deadline_ns))
CALL(sync_file_range, weir_sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE, deadline_ns))
CALL(syncfs, weir_syncfs(file, deadline_ns))
CALL(fadvise, weir_fadvise(file, 0, 0, POSIX_FADV_WILLNEED, deadline_ns))
CALL(lseek, weir_lseek(file, 0, SEEK_CUR, deadline_ns))
CALL(unlinkat, weir_unlinkat(AT_FDCWD, fail ? path : victim(), 0, deadline_ns))
CALL(renameat, weir_renameat(AT_FDCWD, fail ? path : victim(), AT_FDCWD, "target", 0, deadline_ns))
CALL(mkdirat, weir_mkdirat(AT_FDCWD, fail ? "plain" : fresh(world), 0700, deadline_ns))
CALL(symlinkat, weir_symlinkat("x", AT_FDCWD, fail ? "plain" : fresh(world), deadline_ns))
CALL(linkat, weir_linkat(AT_FDCWD, path, AT_FDCWD, fresh(world), 0, deadline_ns))
CALL(readlinkat, weir_readlinkat(AT_FDCWD, fail ? "plain" : "symlink", file_text, 9, deadline_ns))
CALL(mknodat, weir_mknodat(AT_FDCWD, fail ? "plain" : fresh(world), S_IFIFO | 0600, 0, deadline_ns))
CALL(realpath, weir_realpath(path, file_text, PATH_MAX, deadline_ns))
CALL(statx, weir_statx(fail ? AT_FDCWD : world->memory, fail ? path : "", AT_EMPTY_PATH,
                       STATX_SIZE, &file_status, deadline_ns))
CALL(statfs, weir_statfs(path, &file_system, deadline_ns))
CALL(fstatfs, weir_fstatfs(file, &file_system, deadline_ns))
CALL(faccessat, weir_faccessat(AT_FDCWD, path, R_OK, 0, deadline_ns))
CALL(fchmod, weir_fchmod(file, 0600, deadline_ns))
CALL(fchmodat, weir_fchmodat(AT_FDCWD, path, 0600, 0, deadline_ns))
CALL(fchown, weir_fchown(file, (uid_t)-1, (gid_t)-1, deadline_ns))
CALL(fchownat, weir_fchownat(AT_FDCWD, path, (uid_t)-1, (gid_t)-1, 0, deadline_ns))
CALL(futimens, weir_futimens(file, file_times, deadline_ns))
CALL(utimensat, weir_utimensat(AT_FDCWD, path, file_times, 0, deadline_ns))
CALL(setxattr, weir_setxattr(path, "user.weir", "v", 1, 0, 0, deadline_ns))
CALL(getxattr, weir_getxattr(path, "user.weir", file_text, 9, 0, deadline_ns))
CALL(listxattr, weir_listxattr(path, file_text, sizeof file_text, 0, deadline_ns))
CALL(fsetxattr, weir_fsetxattr(file, "user.weir", "v", 1, 0, deadline_ns))
CALL(fgetxattr, weir_fgetxattr(file, "user.weir", file_text, 9, deadline_ns))
CALL(flistxattr, weir_flistxattr(file, file_text, sizeof file_text, deadline_ns))
/* clang-format on */

static int64_t call_removexattr(struct world *world, enum how how, int64_t deadline_ns)
{
    int set = how == SUCCEED ? fsetxattr(world->file_plain, "user.gone", "v", 1, 0) : 0;

    CHECK_EQUAL(set, 0);
    return weir_removexattr("plain", how == FAIL ? "user.none" : "user.gone", 0, deadline_ns);
}

static int64_t call_fremovexattr(struct world *world, enum how how, int64_t deadline_ns)
{
    int set = how == SUCCEED ? fsetxattr(world->file_plain, "user.gone", "v", 1, 0) : 0;

    CHECK_EQUAL(set, 0);
    return weir_fremovexattr(world->file_plain, how == FAIL ? "user.none" : "user.gone",
                             deadline_ns);
}

#define FILE_FIXTURES                                                                              \
    [WEIR__OP_ID_OPENAT2] = FIXTURE(call_openat2, -EXDEV, POOL),                                   \
    [WEIR__OP_ID_SYNC_FILE_RANGE] = FIXTURE(call_sync_file_range, -EBADF, POOL),                   \
    [WEIR__OP_ID_SYNCFS] = FIXTURE(call_syncfs, -EBADF, POOL),                                     \
    [WEIR__OP_ID_FADVISE] = FIXTURE(call_fadvise, -EBADF, POOL),                                   \
    [WEIR__OP_ID_LSEEK] = FIXTURE(call_lseek, -EBADF, POOL),                                       \
    [WEIR__OP_ID_FLOCK] = FIXTURE(call_flock, -EBADF, INLINE),                                     \
    [WEIR__OP_ID_OFD_LOCK] = FIXTURE(call_ofd_lock, -EBADF, INLINE),                               \
    [WEIR__OP_ID_OFD_QUERY] = FIXTURE(call_ofd_query, -EBADF, INLINE),                             \
    [WEIR__OP_ID_UNLOCK] = FIXTURE(call_unlock, -EBADF, INLINE),                                   \
    [WEIR__OP_ID_COPY_FILE_RANGE] = FIXTURE(call_copy_file_range, -EBADF, POOL),                   \
    [WEIR__OP_ID_SPLICE] = FIXTURE(call_splice, -EINVAL, POOL),                                    \
    [WEIR__OP_ID_SENDFILE] = FIXTURE(call_sendfile, -EBADF, POOL),                                 \
    [WEIR__OP_ID_GETDENTS] = FIXTURE(call_getdents, -ENOTDIR, POOL),                               \
    [WEIR__OP_ID_PUBLISH] = FIXTURE(call_publish, -ENOENT, POOL),                                  \
    [WEIR__OP_ID_DISCARD] = FIXTURE(call_discard, -ENOENT, POOL, .no_deadline = true),             \
    [WEIR__OP_ID_DESCRIBE] = FIXTURE(call_describe, -EBADF, POOL),                                 \
    [WEIR__OP_ID_UNLINKAT] = FIXTURE(call_unlinkat, -ENOENT, POOL),                                \
    [WEIR__OP_ID_RENAMEAT] = FIXTURE(call_renameat, -ENOENT, POOL),                                \
    [WEIR__OP_ID_MKDIRAT] = FIXTURE(call_mkdirat, -EEXIST, POOL),                                  \
    [WEIR__OP_ID_SYMLINKAT] = FIXTURE(call_symlinkat, -EEXIST, POOL),                              \
    [WEIR__OP_ID_LINKAT] = FIXTURE(call_linkat, -ENOENT, POOL),                                    \
    [WEIR__OP_ID_READLINKAT] = FIXTURE(call_readlinkat, -EINVAL, POOL),                            \
    [WEIR__OP_ID_MKNODAT] = FIXTURE(call_mknodat, -EEXIST, POOL),                                  \
    [WEIR__OP_ID_REALPATH] = FIXTURE(call_realpath, -ENOENT, POOL),                                \
    [WEIR__OP_ID_MKOSTEMP] = FIXTURE(call_mkostemp, -EINVAL, POOL),                                \
    [WEIR__OP_ID_MKDTEMP] = FIXTURE(call_mkdtemp, -EINVAL, POOL),                                  \
    [WEIR__OP_ID_STATX] = FIXTURE(call_statx, -ENOENT, INLINE),                                    \
    [WEIR__OP_ID_STATFS] = FIXTURE(call_statfs, -ENOENT, POOL),                                    \
    [WEIR__OP_ID_FSTATFS] = FIXTURE(call_fstatfs, -EBADF, POOL),                                   \
    [WEIR__OP_ID_FACCESSAT] = FIXTURE(call_faccessat, -ENOENT, POOL),                              \
    [WEIR__OP_ID_FCHMOD] = FIXTURE(call_fchmod, -EBADF, POOL),                                     \
    [WEIR__OP_ID_FCHMODAT] = FIXTURE(call_fchmodat, -ENOENT, POOL),                                \
    [WEIR__OP_ID_FCHOWN] = FIXTURE(call_fchown, -EBADF, POOL),                                     \
    [WEIR__OP_ID_FCHOWNAT] = FIXTURE(call_fchownat, -ENOENT, POOL),                                \
    [WEIR__OP_ID_FUTIMENS] = FIXTURE(call_futimens, -EBADF, POOL),                                 \
    [WEIR__OP_ID_UTIMENSAT] = FIXTURE(call_utimensat, -ENOENT, POOL),                              \
    [WEIR__OP_ID_SETXATTR] = FIXTURE(call_setxattr, -ENOENT, POOL, .on_disk = true),               \
    [WEIR__OP_ID_GETXATTR] = FIXTURE(call_getxattr, -ENOENT, POOL, .on_disk = true),               \
    [WEIR__OP_ID_LISTXATTR] = FIXTURE(call_listxattr, -ENOENT, POOL),                              \
    [WEIR__OP_ID_REMOVEXATTR] = FIXTURE(call_removexattr, -ENODATA, POOL, .on_disk = true),        \
    [WEIR__OP_ID_FSETXATTR] = FIXTURE(call_fsetxattr, -EBADF, POOL, .on_disk = true),              \
    [WEIR__OP_ID_FGETXATTR] = FIXTURE(call_fgetxattr, -EBADF, POOL, .on_disk = true),              \
    [WEIR__OP_ID_FLISTXATTR] = FIXTURE(call_flistxattr, -EBADF, POOL),                             \
    [WEIR__OP_ID_FREMOVEXATTR] = FIXTURE(call_fremovexattr, -ENODATA, POOL, .on_disk = true)

#endif
