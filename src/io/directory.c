/* SPDX-License-Identifier: MIT */
/* Directories, in batches; the chapter is <weir/directory.h>. */
#include "io/directory.h"

#include "base/kernel.h"
#include "base/memory.h"

#include <weir/descriptor.h>
#include <weir/directory.h>
#include <weir/file.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BATCH_BYTES = 32 * 1024 };

struct weir_directory {
    int fd;
    size_t next_byte;    /* of the batch: the next entry */
    size_t filled_bytes; /* of the batch */
    /* What getdents64 writes: entries of struct dirent64, each as long as its d_reclen. */
    _Alignas(struct dirent64) char batch[BATCH_BYTES];
};

int64_t weir__directory_call_getdents(struct weir__op *op)
{
    return weir__kernel_getdents(op->fd, op->address, op->length);
}

int weir_directory_open(struct weir_directory **directory, int dir_fd, const char *path,
                        int64_t deadline_ns)
{
    struct weir_directory *made;
    int fd;

    if (!directory)
        return -EINVAL;
    *directory = NULL;
    fd = weir_openat(dir_fd, path, O_RDONLY | O_DIRECTORY, 0, deadline_ns);
    if (fd < 0)
        return fd;
    made = weir__memory_alloc(NULL, sizeof *made);
    if (!made) {
        weir_close(fd);
        return -ENOMEM;
    }
    made->fd = fd;
    made->next_byte = made->filled_bytes = 0;
    *directory = made;
    return 0;
}

/* Another batch. Returns its bytes, 0 at the end. */
static int64_t fill(struct weir_directory *directory, int64_t deadline_ns)
{
    struct weir__op op = { .fd = directory->fd, .address = directory->batch };
    int64_t got;

    op.length = BATCH_BYTES;
    got = weir__op_run(WEIR__OP_ID_GETDENTS, &op, deadline_ns);
    if (got > 0) {
        directory->next_byte = 0;
        directory->filled_bytes = (size_t)got;
    }
    return got;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int weir_directory_next(struct weir_directory *directory, struct weir_directory_entry *entry,
                        int64_t deadline_ns)
{
    if (!directory || !entry)
        return -EINVAL;
    for (;;) {
        const struct dirent64 *next;

        if (directory->next_byte == directory->filled_bytes) {
            int64_t got = fill(directory, deadline_ns);

            if (got <= 0)
                return (int)got;
        }
        next = (const void *)(directory->batch + directory->next_byte);
        directory->next_byte += next->d_reclen;
        if (is_dots(next->d_name))
            continue;
        *entry = (struct weir_directory_entry){ next->d_name, next->d_ino, next->d_type };
        return 1;
    }
}

int weir_directory_rewind(struct weir_directory *directory, int64_t deadline_ns)
{
    off_t offset;

    if (!directory)
        return -EINVAL;
    offset = weir_lseek(directory->fd, 0, SEEK_SET, deadline_ns);
    if (offset >= 0)
        directory->next_byte = directory->filled_bytes = 0;
    return (int)offset;
}

int weir_directory_fd(const struct weir_directory *directory)
{
    return directory ? directory->fd : -EINVAL;
}

void weir_directory_close(struct weir_directory *directory)
{
    if (!directory)
        return;
    weir_close(directory->fd);
    weir__memory_free(directory);
}
