/* SPDX-License-Identifier: MIT */
/* What the C and the C++ program of package_test.sh share: run a task, and look who allocates. */
#ifndef WEIR_TESTS_INSTALL_PROGRAM_H
#define WEIR_TESTS_INSTALL_PROGRAM_H

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>

enum { passed = 0, failed = 1, cannot_run_here = 77 };

/* Says whether `function`, as this program finds it, lies in a library named like `library`. */
static int comes_from(const char *function, const char *library)
{
    Dl_info origin;
    void *address = dlsym(RTLD_DEFAULT, function);

    if (address != NULL && dladdr(address, &origin) != 0 && strstr(origin.dli_fname, library))
        return 1;
    fprintf(stderr, "%s does not come from %s\n", function, library);
    return 0;
}

/* The exit status for what weir_run returned, and for whether its task ran. */
static int status_of(int result, int task_ran)
{
    if (result == 0 && task_ran)
        return passed;
    fprintf(stderr, "weir_run: %d (%s)\n", result, strerror(-result));
    if (result == -ENOSYS || result == -EPERM || result == -EOPNOTSUPP)
        return cannot_run_here;
    return failed;
}

#endif
