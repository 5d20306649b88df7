/* SPDX-License-Identifier: MIT */
/*
 * Whole files; the chapter is <weir/whole.h>. The writing of one:
 *
 *   open the directory --> a file without a name --> write, in steps --> fsync --> publish --> done
 *                     \                          \                 \           \
 *                      +--------------------------+-----------------+-----------+--> close: gone
 *
 * publish is one call on a pool thread, which nobody interrupts: a name of its own, then a rename
 * over the target's (a link cannot replace what is there), then fsync of the directory. If the
 * rename fails the name is removed in the same call. Where there are no files without a name, the
 * name of its own is there from the start, and discard, a release call, removes it.
 */
#include "io/whole.h"

#include "base/kernel.h"
#include "base/memory.h"
#include "base/random.h"
#include "core/park.h"

#include <weir/descriptor.h>
#include <weir/file.h>
#include <weir/whole.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_BYTES = 16 * 1024,      /* of memory for a file of unknown size; doubled when full */
    STEP_BYTES = 4 * 1024 * 1024, /* written between two looks at cancel and deadline */
    NAME_TRIES = 100,             /* before a directory full of our names is an error */
    DEFAULT_MODE = 0666,
};

/* --- reading ---------------------------------------------------------------------------------- */

/* O_NONBLOCK, so that a FIFO is refused (-ESPIPE) instead of waited for. */
static int open_to_read(int dir_fd, const char *path, int64_t deadline_ns)
{
    return weir_openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, deadline_ns);
}

/* Whether a file ends at `offset`: 0, -EFBIG, or why it cannot be said. */
static int check_end(int fd, size_t offset, int64_t deadline_ns)
{
    char byte;
    ssize_t got = weir_pread(fd, &byte, 1, (off_t)offset, deadline_ns);

    return got > 0 ? -EFBIG : (int)got;
}

ssize_t weir_read_file(int dir_fd, const char *path, void *buffer, size_t bytes,
                       int64_t deadline_ns)
{
    int fd = open_to_read(dir_fd, path, deadline_ns);
    ssize_t got;

    if (fd < 0)
        return fd;
    got = weir_pread_all(fd, buffer, bytes, 0, NULL, deadline_ns);
    if (got >= 0 && (size_t)got == bytes) {
        int error = check_end(fd, bytes, deadline_ns);

        got = error < 0 ? error : got;
    }
    weir_close(fd);
    return got;
}

/* Memory for `bytes` and the end mark, with the first `used_bytes` of the old, which is freed. */
static char *grow(char *old, size_t used_bytes, size_t bytes)
{
    char *grown = weir__memory_alloc(NULL, bytes + 1);

    if (grown && used_bytes)
        memcpy(grown, old, used_bytes);
    weir__memory_free(old);
    return grown;
}

/* Reads to the end, in memory that doubles. Returns the bytes; *content is to be freed whatever
 * happens. */
static ssize_t load(int fd, size_t limit_bytes, char **content, int64_t deadline_ns)
{
    size_t room_bytes = limit_bytes < FIRST_BYTES ? limit_bytes : FIRST_BYTES;
    size_t used_bytes = 0;

    for (;;) {
        ssize_t got;

        *content = grow(*content, used_bytes, room_bytes);
        if (!*content)
            return -ENOMEM;
        got = weir_pread_all(fd, *content + used_bytes, room_bytes - used_bytes, (off_t)used_bytes,
                             NULL, deadline_ns);
        if (got < 0)
            return got;
        used_bytes += (size_t)got;
        if (used_bytes < room_bytes)
            break;
        if (room_bytes == limit_bytes) {
            int error = check_end(fd, limit_bytes, deadline_ns);

            if (error < 0)
                return error;
            break;
        }
        room_bytes = room_bytes > limit_bytes / 2 ? limit_bytes : room_bytes * 2;
    }
    (*content)[used_bytes] = 0;
    return (ssize_t)used_bytes;
}

ssize_t weir_load_file(int dir_fd, const char *path, size_t limit_bytes, char **content,
                       int64_t deadline_ns)
{
    ssize_t got;
    int fd;

    if (!content)
        return -EINVAL;
    *content = NULL;
    if (limit_bytes >= SSIZE_MAX)
        return -EINVAL;
    fd = open_to_read(dir_fd, path, deadline_ns);
    if (fd < 0)
        return fd;
    got = load(fd, limit_bytes, content, deadline_ns);
    weir_close(fd);
    if (got < 0) {
        weir__memory_free(*content);
        *content = NULL;
    }
    return got;
}

void weir_unload_file(char *content)
{
    weir__memory_free(content);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void choose_own_name(struct weir__draft *draft)
{
    snprintf(draft->own_name, sizeof draft->own_name, ".weir-%016llx",
             (unsigned long long)weir__random_next(weir__wait_random()));
}

/* Gives a file without a name its own. */
static int link_own_name(struct weir__draft *draft)
{
    int error =
        weir__kernel_linkat(draft->fd, "", draft->folder_fd, draft->own_name, AT_EMPTY_PATH);

    draft->has_own_name = error >= 0;
    return error;
}

/* A link replaces nothing, on whatever file system. */
static int link_new(struct weir__draft *draft)
{
    int error =
        weir__kernel_linkat(draft->folder_fd, draft->own_name, draft->folder_fd, draft->name, 0);

    if (error >= 0)
        draft->has_own_name = weir__kernel_unlinkat(draft->folder_fd, draft->own_name, 0) < 0;
    return error;
}

/* -EINVAL: a file system (NFS, many of FUSE) that knows no RENAME_NOREPLACE. */
static int rename_over(struct weir__draft *draft)
{
    int error = weir__kernel_renameat2(draft->folder_fd, draft->own_name, draft->folder_fd,
                                       draft->name, draft->only_new ? RENAME_NOREPLACE : 0);

    if (error == -EINVAL && draft->only_new)
        return link_new(draft);
    if (error >= 0)
        draft->has_own_name = false;
    return error;
}

/* On the pool: from a file on the disk to a file with its name. */
int64_t weir__whole_call_publish(struct weir__op *op)
{
    struct weir__draft *draft = op->address;
    bool was_named = draft->has_own_name;
    int error;

    if (!was_named && draft->only_new) {
        error = weir__kernel_linkat(draft->fd, "", draft->folder_fd, draft->name, AT_EMPTY_PATH);
    } else {
        error = was_named ? 0 : link_own_name(draft);
        if (error >= 0)
            error = rename_over(draft);
        if (error < 0 && !was_named && draft->has_own_name)
            draft->has_own_name = weir__kernel_unlinkat(draft->folder_fd, draft->own_name, 0) < 0;
    }
    if (error >= 0 && !draft->no_sync)
        error = weir__kernel_fsync(draft->folder_fd);
    return error;
}

static int publish(struct weir__draft *draft, int64_t deadline_ns)
{
    struct weir__op op = { .fd = draft->folder_fd, .other_fd = draft->fd, .address = draft };

    return (int)weir__op_run(WEIR__OP_ID_PUBLISH, &op, deadline_ns);
}

int64_t weir__whole_call_discard(struct weir__op *op)
{
    return weir__kernel_unlinkat(op->fd, op->address, 0);
}

static void discard(struct weir__draft *draft)
{
    struct weir__op op = { .fd = draft->folder_fd, .address = draft->own_name };

    weir__op_run(WEIR__OP_ID_DISCARD, &op, WEIR_FOREVER);
}

/* Opens a new file, without a name where the file system can. */
static int open_draft(struct weir__draft *draft, mode_t mode, int64_t deadline_ns)
{
    int fd = weir_openat(draft->folder_fd, ".", O_TMPFILE | O_WRONLY, mode, deadline_ns);

    /* -EISDIR: a kernel, or a file system, that takes it for O_DIRECTORY */
    if (fd != -EOPNOTSUPP && fd != -EISDIR)
        return fd;
    for (int tries = 0; tries < NAME_TRIES; tries++) {
        choose_own_name(draft);
        fd = weir_openat(draft->folder_fd, draft->own_name, O_CREAT | O_EXCL | O_WRONLY, mode,
                         deadline_ns);
        draft->has_own_name = fd >= 0;
        if (fd != -EEXIST)
            break;
    }
    return fd;
}

static int write_steps(int fd, const char *bytes, size_t count, int64_t deadline_ns)
{
    for (size_t at = 0; at < count; at += STEP_BYTES) {
        size_t step_bytes = count - at < STEP_BYTES ? count - at : STEP_BYTES;
        ssize_t put = weir_pwrite_all(fd, bytes + at, step_bytes, (off_t)at, NULL, deadline_ns);

        if (put < 0)
            return (int)put;
    }
    return 0;
}

/* From an open directory to the end. */
static int write_draft(struct weir__draft *draft, const char *bytes, size_t count, mode_t mode,
                       int64_t deadline_ns)
{
    int error;

    draft->fd = open_draft(draft, mode, deadline_ns);
    if (draft->fd < 0)
        return draft->fd;
    error = write_steps(draft->fd, bytes, count, deadline_ns);
    if (error >= 0 && !draft->no_sync)
        error = weir_fsync(draft->fd, deadline_ns);
    if (error >= 0) {
        if (!draft->has_own_name)
            choose_own_name(draft);
        error = publish(draft, deadline_ns);
    }
    if (draft->has_own_name)
        discard(draft);
    weir_close(draft->fd);
    return error;
}

/* Opens the directory of a path, and finds its last name. */
static int open_folder(struct weir__draft *draft, int dir_fd, const char *path, int64_t deadline_ns)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    size_t folder_bytes = slash ? (size_t)(slash - path) + 1 : 0;

    draft->name = path + folder_bytes;
    if (folder_bytes >= sizeof folder)
        return -ENAMETOOLONG;
    if (!*path)
        return -ENOENT;
    if (!*draft->name || strcmp(draft->name, ".") == 0 || strcmp(draft->name, "..") == 0)
        return -EISDIR;
    if (strlen(draft->name) > NAME_MAX) /* or all would be written before the kernel says so */
        return -ENAMETOOLONG;
    memcpy(folder, slash ? path : "./", slash ? folder_bytes : 2);
    folder[slash ? folder_bytes : 2] = 0;
    return weir_openat(dir_fd, folder, O_RDONLY | O_DIRECTORY, 0, deadline_ns);
}

static bool is_options(const struct weir_write_file_options *options)
{
    if (options->size && options->size != sizeof *options)
        return false;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return false;
    return (options->mode & ~(mode_t)07777) == 0;
}

int weir_write_file(int dir_fd, const char *path, const void *bytes, size_t count,
                    const struct weir_write_file_options *options, int64_t deadline_ns)
{
    static const struct weir_write_file_options standard;
    struct weir__draft draft = { .fd = -1 };
    int error;

    options = options ? options : &standard;
    if (!path || (!bytes && count > 0) || count > SSIZE_MAX || !is_options(options))
        return -EINVAL;
    draft.only_new = options->only_new;
    draft.no_sync = options->no_sync;
    draft.folder_fd = open_folder(&draft, dir_fd, path, deadline_ns);
    if (draft.folder_fd < 0)
        return draft.folder_fd;
    error = write_draft(&draft, bytes, count, options->mode ? options->mode : DEFAULT_MODE,
                        deadline_ns);
    weir_close(draft.folder_fd);
    return error;
}
