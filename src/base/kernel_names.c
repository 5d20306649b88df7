/* SPDX-License-Identifier: MIT */
/* The part of kernel.h that is about names, and belongs to the C library. */
#include "base/kernel.h"

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdatomic.h>

static const struct weir__kernel_names c_library = {
    .getaddrinfo = getaddrinfo,
    .freeaddrinfo = freeaddrinfo,
};

/* Tests change it while nobody asks; release and acquire all the same, for the threads' sake. */
static _Atomic(const struct weir__kernel_names *) names = &c_library;

void weir__kernel_set_names(const struct weir__kernel_names *others)
{
    atomic_store(&names, others ? others : &c_library);
}

/* errno counts for EAI_SYSTEM only. */
static int code_of(int eai, int system_error)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_SERVICE:
        return -ESRCH;
    case EAI_AGAIN:
        return -EREMOTEIO;
    case EAI_FAIL:
        return -EPROTO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_OVERFLOW:
        return -ENAMETOOLONG;
    case EAI_SYSTEM:
        return system_error > 0 ? -system_error : -EREMOTEIO;
    default: /* EAI_BADFLAGS, EAI_FAMILY, EAI_SOCKTYPE */
        return -EINVAL;
    }
}

int weir__kernel_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                             struct addrinfo **list)
{
    int eai = atomic_load(&names)->getaddrinfo(name, service, hints, list);

    return code_of(eai, errno);
}

void weir__kernel_freeaddrinfo(struct addrinfo *list)
{
    atomic_load(&names)->freeaddrinfo(list);
}

int weir__kernel_interface_index(const char *name)
{
    unsigned index = if_nametoindex(name);

    return index ? (int)index : -ENODEV;
}
