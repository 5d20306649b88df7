/* SPDX-License-Identifier: MIT */
/* The calls on extended attributes, each beside what its row does on the pool; the chapter is
 * <weir/attribute.h>. */
#include "io/attribute.h"

#include "base/kernel.h"

#include <weir/attribute.h>

#include <errno.h>
#include <fcntl.h>

/* What an op has no room for: op->other_address leads here. */
struct attribute {
    const char *name; /* NULL for list */
    void *value;
    int flags; /* XATTR_* */
};

static const struct attribute *attribute_of(const struct weir__op *op)
{
    return op->other_address;
}

/* Whose attribute: a path's or a descriptor's. */
static int64_t run_on_path(enum weir__op_id id, const char *path, const struct attribute *attribute,
                           size_t bytes, int at_flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = -1, .address = (void *)path, .flags = at_flags, .length = bytes };

    if (!path || (at_flags & ~AT_SYMLINK_NOFOLLOW) || (!attribute->value && bytes > 0))
        return -EINVAL;
    op.other_address = (void *)attribute;
    return weir__op_run(id, &op, deadline_ns);
}

static int64_t run_on_file(enum weir__op_id id, int fd, const struct attribute *attribute,
                           size_t bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .other_address = (void *)attribute, .length = bytes };

    if (!attribute->value && bytes > 0)
        return -EINVAL;
    return weir__op_run(id, &op, deadline_ns);
}

int64_t weir__xattr_call_get(struct weir__op *op)
{
    const struct attribute *attribute = attribute_of(op);

    return weir__kernel_getxattr(op->address, attribute->name, attribute->value, op->length,
                                 op->flags);
}

ssize_t weir_getxattr(const char *path, const char *name, void *value, size_t bytes, int at_flags,
                      int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name, .value = value };

    if (!name)
        return -EINVAL;
    return run_on_path(WEIR__OP_ID_GETXATTR, path, &attribute, bytes, at_flags, deadline_ns);
}

int64_t weir__xattr_call_set(struct weir__op *op)
{
    const struct attribute *attribute = attribute_of(op);

    return weir__kernel_setxattr(op->address, attribute->name, attribute->value, op->length,
                                 attribute->flags, op->flags);
}

int weir_setxattr(const char *path, const char *name, const void *value, size_t bytes, int flags,
                  int at_flags, int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name, .value = (void *)value, .flags = flags };

    if (!name)
        return -EINVAL;
    return (int)run_on_path(WEIR__OP_ID_SETXATTR, path, &attribute, bytes, at_flags, deadline_ns);
}

int64_t weir__xattr_call_list(struct weir__op *op)
{
    return weir__kernel_listxattr(op->address, attribute_of(op)->value, op->length, op->flags);
}

ssize_t weir_listxattr(const char *path, char *names, size_t bytes, int at_flags,
                       int64_t deadline_ns)
{
    const struct attribute attribute = { .value = names };

    return run_on_path(WEIR__OP_ID_LISTXATTR, path, &attribute, bytes, at_flags, deadline_ns);
}

int64_t weir__xattr_call_remove(struct weir__op *op)
{
    return weir__kernel_removexattr(op->address, attribute_of(op)->name, op->flags);
}

int weir_removexattr(const char *path, const char *name, int at_flags, int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name };

    if (!name)
        return -EINVAL;
    return (int)run_on_path(WEIR__OP_ID_REMOVEXATTR, path, &attribute, 0, at_flags, deadline_ns);
}

int64_t weir__xattr_call_fget(struct weir__op *op)
{
    const struct attribute *attribute = attribute_of(op);

    return weir__kernel_fgetxattr(op->fd, attribute->name, attribute->value, op->length);
}

ssize_t weir_fgetxattr(int fd, const char *name, void *value, size_t bytes, int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name, .value = value };

    if (!name)
        return -EINVAL;
    return run_on_file(WEIR__OP_ID_FGETXATTR, fd, &attribute, bytes, deadline_ns);
}

int64_t weir__xattr_call_fset(struct weir__op *op)
{
    const struct attribute *attribute = attribute_of(op);

    return weir__kernel_fsetxattr(op->fd, attribute->name, attribute->value, op->length,
                                  attribute->flags);
}

int weir_fsetxattr(int fd, const char *name, const void *value, size_t bytes, int flags,
                   int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name, .value = (void *)value, .flags = flags };

    if (!name)
        return -EINVAL;
    return (int)run_on_file(WEIR__OP_ID_FSETXATTR, fd, &attribute, bytes, deadline_ns);
}

int64_t weir__xattr_call_flist(struct weir__op *op)
{
    return weir__kernel_flistxattr(op->fd, attribute_of(op)->value, op->length);
}

ssize_t weir_flistxattr(int fd, char *names, size_t bytes, int64_t deadline_ns)
{
    const struct attribute attribute = { .value = names };

    return run_on_file(WEIR__OP_ID_FLISTXATTR, fd, &attribute, bytes, deadline_ns);
}

int64_t weir__xattr_call_fremove(struct weir__op *op)
{
    return weir__kernel_fremovexattr(op->fd, attribute_of(op)->name);
}

int weir_fremovexattr(int fd, const char *name, int64_t deadline_ns)
{
    const struct attribute attribute = { .name = name };

    if (!name)
        return -EINVAL;
    return (int)run_on_file(WEIR__OP_ID_FREMOVEXATTR, fd, &attribute, 0, deadline_ns);
}
