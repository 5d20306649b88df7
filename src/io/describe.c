/* SPDX-License-Identifier: MIT */
/* What is known of a descriptor; the chapter is <weir/describe.h>. */
#include "io/describe.h"

#include "base/kernel.h"
#include "core/loop.h"
#include "io/descriptor.h"

#include <weir/describe.h>

#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

/* The ways of a kind; see file_rows.c. */
static const struct {
    const char *name;
    const char *read_route;
    const char *write_route;
} kinds[] = {
    [WEIR__FD_UNKNOWN] = { "unknown", "pool", "pool" },
    [WEIR__FD_DISK] = { "disk", "cache, then ring", "pool" },
    [WEIR__FD_DIRECT] = { "direct", "ring", "ring" },
    [WEIR__FD_MEMORY] = { "memory", "inline", "inline" },
    [WEIR__FD_OTHER] = { "elsewhere", "pool", "pool" },
    [WEIR__FD_PIPE] = { "stream", "none", "none" },
    [WEIR__FD_SOCKET] = { "socket", "none", "none" },
};

static const struct {
    uint64_t magic;
    const char *name;
} file_systems[] = {
    { EXT4_SUPER_MAGIC, "ext4" }, /* or ext2, ext3: one number, one driver */
    { XFS_SUPER_MAGIC, "xfs" },
    { BTRFS_SUPER_MAGIC, "btrfs" },
    { F2FS_SUPER_MAGIC, "f2fs" },
    { TMPFS_MAGIC, "tmpfs" },
    { RAMFS_MAGIC, "ramfs" },
    { HUGETLBFS_MAGIC, "hugetlbfs" },
    { PROC_SUPER_MAGIC, "proc" },
    { SYSFS_MAGIC, "sysfs" },
    { CGROUP2_SUPER_MAGIC, "cgroup2" },
    { DEVPTS_SUPER_MAGIC, "devpts" },
    { OVERLAYFS_SUPER_MAGIC, "overlay" },
    { NFS_SUPER_MAGIC, "nfs" },
    { CIFS_SUPER_MAGIC, "cifs" },
    { FUSE_SUPER_MAGIC, "fuse" },
    { MSDOS_SUPER_MAGIC, "vfat" },
    { SQUASHFS_MAGIC, "squashfs" },
    { ISOFS_SUPER_MAGIC, "iso9660" },
};

static const char *name_of(uint64_t magic)
{
    for (size_t i = 0; i < sizeof file_systems / sizeof file_systems[0]; i++)
        if (file_systems[i].magic == magic)
            return file_systems[i].name;
    return "unknown";
}

static void describe_direct(int fd, struct weir_description *about)
{
    struct weir__direct_facts facts = weir__descriptor_direct(fd);

    if (facts.is_known) {
        about->memory_bytes = facts.memory_bytes;
        about->offset_bytes = facts.offset_bytes;
    }
    weir__descriptor_read_direct(fd, false, &about->direct_reads, &about->direct_reads_refused);
    weir__descriptor_read_direct(fd, true, &about->direct_writes, &about->direct_writes_refused);
    if (weir__descriptor_is_refusing(fd, false))
        about->read_route = "pool";
    if (facts.appends || weir__descriptor_is_refusing(fd, true))
        about->write_route = "pool";
}

/* On the pool. */
int64_t weir__describe_call(struct weir__op *op)
{
    struct weir_description *about = op->address;
    enum weir__fd_kind kind = weir__descriptor_kind(op->fd);
    struct statfs file_system;
    int error = 0;

    if (kind == WEIR__FD_UNKNOWN)
        error = weir__descriptor_learn(op->fd, op->wait->loop->ring.features);
    if (error >= 0)
        error = weir__kernel_fstatfs(op->fd, &file_system);
    if (error < 0)
        return error;
    kind = weir__descriptor_kind(op->fd);
    *about = (struct weir_description){
        .kind = kinds[kind].name,
        .read_route = kinds[kind].read_route,
        .write_route = kinds[kind].write_route,
        .file_system = name_of((uint64_t)file_system.f_type),
        .in_flight = weir__descriptor_count(op->fd),
    };
    if (kind == WEIR__FD_PIPE || kind == WEIR__FD_SOCKET)
        about->file_system = "";
    if (kind == WEIR__FD_DIRECT)
        describe_direct(op->fd, about);
    return 0;
}

int weir_describe(int fd, struct weir_description *about, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = about };

    if (!about)
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    return (int)weir__op_run(WEIR__OP_ID_DESCRIBE, &op, deadline_ns);
}
