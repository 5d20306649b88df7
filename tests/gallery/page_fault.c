/* SPDX-License-Identifier: MIT */
/*
 * A file is mapped, and its pages come from a slow device: to touch one holds the loop, and no call
 * shows it. The slow device is a userfaultfd, which brings the page once the loop was reported.
 * Repaired: a read, which parks.
 */
#include "gallery.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };

void gallery_options(struct weir_options *options)
{
    options->blocking_check =
        WEIR_BLOCKING_CHECK_OFF; /* it would name the join of the device's thread */
}

struct device {
    int fd;
    char *pages;
};

/* Brings the page, late. */
static void *serve_faults(void *arg)
{
    const struct device *device = arg;
    struct uffdio_zeropage page = { .range = { (uintptr_t)device->pages, PAGE } };
    char byte;

    if (read(gallery_descriptor(), &byte, 1) != 1)
        return NULL;
    while (ioctl(device->fd, UFFDIO_ZEROPAGE, &page) < 0 && errno == EAGAIN)
        ;
    return NULL;
}

static int open_device(struct device *device)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
    int memory = memfd_create("table", MFD_CLOEXEC);

    device->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (device->fd < 0) {
        printf("skipped: no userfaultfd: %m\n");
        exit(77);
    }
    if (memory < 0 || ftruncate(memory, PAGE) < 0)
        return -1;
    device->pages = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, memory, 0);
    close(memory);
    if (device->pages == MAP_FAILED || ioctl(device->fd, UFFDIO_API, &api) < 0)
        return -1;
    range.range = (struct uffdio_range){ (uintptr_t)device->pages, PAGE };
    return ioctl(device->fd, UFFDIO_REGISTER, &range);
}

int wrong(void *arg)
{
    struct device device;
    pthread_t thread;
    int first;

    (void)arg;
    if (open_device(&device) < 0 || pthread_create(&thread, NULL, serve_faults, &device))
        return -1;
    first = *(volatile char *)device.pages;
    pthread_join(thread, NULL);
    munmap(device.pages, PAGE);
    close(device.fd);
    return first;
}

int repaired(void *arg)
{
    char first;
    int memory = memfd_create("table", MFD_CLOEXEC);
    ssize_t count;

    (void)arg;
    if (memory < 0 || ftruncate(memory, PAGE) < 0)
        return -1;
    count = weir_pread(memory, &first, 1, 0, WEIR_FOREVER);
    weir_close(memory);
    return count == 1 ? first : -1;
}
