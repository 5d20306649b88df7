/* SPDX-License-Identifier: MIT */
/* A machine without mimalloc: every verb refuses, and the message says what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#ifndef WEIR_MALLOC_SYSTEM

/* Compiled in, with another name to load: the linker then takes none of it from the library. */
#undef WEIR_MIMALLOC_SONAME
#define WEIR_MIMALLOC_SONAME "libweir-missing.so.1"
#include "base/memory.c"

static void missing_library_is_reported(void **state)
{
    (void)state;
    assert_null(weir__memory_alloc(NULL, 16));
    assert_null(weir__memory_zalloc(NULL, 16));
    assert_null(weir__heap_create());
    assert_int_equal(weir__memory_init(), -ELIBACC);
    assert_non_null(strstr(weir__memory_error(), "libweir-missing.so.1"));
    assert_non_null(strstr(weir__memory_error(), "WEIR_MALLOC=system"));
}

#else

static void missing_library_is_reported(void **state)
{
    (void)state;
    printf("skipped: the runtime uses the system's malloc here\n");
    skip();
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_library_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
