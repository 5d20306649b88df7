/* SPDX-License-Identifier: MIT */
/*
 * What annotate.h needs from the C library in a build with AddressSanitizer.
 */
#include "fiber/annotate.h"

#if defined(WEIR__ANNOTATE_ASAN)

#include <pthread.h>

void weir__annotate_thread_stack(const void **base, size_t *bytes)
{
    pthread_attr_t attributes;
    void *lowest = NULL;

    WEIR_ASSERT(pthread_getattr_np(pthread_self(), &attributes) == 0);
    pthread_attr_getstack(&attributes, &lowest, bytes);
    pthread_attr_destroy(&attributes);
    *base = lowest;
}

#endif
