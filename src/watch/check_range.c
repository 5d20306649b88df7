/* SPDX-License-Identifier: MIT */
/* The libraries that matter, by name; see check_range.h. */
#include "watch/check_range.h"

#include "watch/interpose.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    const char *name; /* how the file's name begins */
    enum weir__check_owner owner;
} libraries[] = {
    { "libc.so", WEIR__CHECK_LIBC },
    { "libpthread.so", WEIR__CHECK_LIBC },
    { "libresolv.so", WEIR__CHECK_LIBC },
    { "ld-linux", WEIR__CHECK_LIBC },
    { "ld-musl", WEIR__CHECK_LIBC },
    { "libasan.so", WEIR__CHECK_LIBC }, /* its functions stand before the C library's */
    { WEIR__INTERPOSE_LIBRARY, WEIR__CHECK_LIBC },
    { "libweir.so", WEIR__CHECK_RUNTIME },
    { "liburing.so", WEIR__CHECK_RUNTIME },
    { "libmimalloc.so", WEIR__CHECK_RUNTIME },
};

static void add(struct weir__check_ranges *ranges, const struct dl_phdr_info *object,
                enum weir__check_owner owner)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) ||
            ranges->count == WEIR__CHECK_RANGES_MAX)
            continue;
        ranges->ranges[ranges->count++] = (struct weir__check_range){
            .low = object->dlpi_addr + segment->p_vaddr,
            .high = object->dlpi_addr + segment->p_vaddr + segment->p_memsz,
            .owner = owner,
        };
    }
}

static int visit(struct dl_phdr_info *object, size_t bytes, void *arg)
{
    const char *slash = strrchr(object->dlpi_name, '/');
    const char *name = slash ? slash + 1 : object->dlpi_name;

    (void)bytes;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        if (strncmp(name, libraries[i].name, strlen(libraries[i].name)) == 0)
            add(arg, object, libraries[i].owner);
    return 0;
}

void weir__check_ranges_find(struct weir__check_ranges *ranges)
{
    ranges->count = 0;
    dl_iterate_phdr(visit, ranges);
}

enum weir__check_owner weir__check_owner_of(const struct weir__check_ranges *ranges,
                                            const void *address)
{
    for (size_t i = 0; i < ranges->count; i++)
        if ((uintptr_t)address >= ranges->ranges[i].low &&
            (uintptr_t)address < ranges->ranges[i].high)
            return ranges->ranges[i].owner;
    return WEIR__CHECK_USER;
}
