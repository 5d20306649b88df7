/* SPDX-License-Identifier: MIT */
/* What tests of disks share: kernel threads counted, file systems made for a test and mounted where
 * nobody else sees them. */
#ifndef WEIR_TESTS_IO_DISK_H
#define WEIR_TESTS_IO_DISK_H

#include "fixture.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

/* The threads of io_uring's that this process has. */
HELPER int count_kernel_workers(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file && fgets(name, sizeof name, file))
            count += strncmp(name, "iou-wrk", strlen("iou-wrk")) == 0;
        if (file)
            fclose(file);
    }
    closedir(folder);
    return count;
}

/* Makes what is mounted from here on the affair of this process; false: it may not. */
HELPER bool mount_privately(void)
{
    static int allowed = -1;

    if (allowed < 0)
        allowed =
            unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return allowed;
}

HELPER bool mount_memory(const char *path, const char *options)
{
    return mount_privately() && mkdir(path, 0700) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

HELPER int run_command(const char *command)
{
    int status = system(command);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A file system of its own in a file, mounted on `path`; false: no such program, or loop mounts are
 * refused. */
HELPER bool mount_disk(const char *kind, const char *path, unsigned mib)
{
    char command[400];

    snprintf(command, sizeof command,
             "PATH=$PATH:/usr/sbin; command -v mkfs.%s >/dev/null && truncate -s %uM %s.img && "
             "mkfs.%s -q %s.img >/dev/null 2>&1 && mkdir %s && mount -o loop %s.img %s 2>/dev/null",
             kind, mib, path, kind, path, path, path, path);
    return mount_privately() && run_command(command) == 0;
}

/* A folder in which "disk", and "layers" below it, may be mounted. */
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_disk)

HELPER int remove_disk(void **state)
{
    umount2("disk", MNT_DETACH); /* or nothing is mounted there */
    umount2("layers", MNT_DETACH);
    return remove_folder(state);
}

#endif
