/* SPDX-License-Identifier: MIT */
/* A name is looked up in a task: files are read, a server is asked and waited for. Repaired:
 * weir_resolve, on threads of its own. */
#include "gallery.h"

#include <netdb.h>

int wrong(void *arg)
{
    struct addrinfo *answer;

    (void)arg;
    if (getaddrinfo("localhost", "80", NULL, &answer) == 0)
        freeaddrinfo(answer);
    return 0;
}

int repaired(void *arg)
{
    struct weir_resolved found[4];
    int count;

    (void)arg;
    count = weir_resolve("localhost", "80", NULL, found, 4, weir_in_seconds(60));
    return count > 0 ? 0 : -1;
}
