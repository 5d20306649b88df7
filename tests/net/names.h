/* SPDX-License-Identifier: MIT */
/*
 * A resolver for tests, asked instead of the C library: by what the name begins with.
 *
 *   slow-     waits at the gate first        again-, fail-, system-   these errors
 *   missing-  no such name                   huge-                    ten thousand addresses
 *   sleep-    takes some microseconds        listed-                  those in names.listed
 *   others    ::1, 127.0.0.1
 */
#ifndef WEIR_TESTS_NET_NAMES_H
#define WEIR_TESTS_NET_NAMES_H

#include "base/kernel.h"
#include "io/fixture.h"

#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { HUGE_COUNT = 10000, LISTED_MAX = 8 };

static struct {
    sem_t gate;
    _Atomic long asked;             /* begun */
    _Atomic long inside;            /* begun, and not ended */
    const char *listed[LISTED_MAX]; /* numeric addresses of names that begin with "listed-" */
} names;

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static struct addrinfo *make_info(const char *address, struct addrinfo *next)
{
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(info + 1);
    struct sockaddr_in *v4 = (struct sockaddr_in *)(info + 1);

    info->ai_addr = (struct sockaddr *)v6;
    info->ai_next = next;
    info->ai_family = strchr(address, ':') ? AF_INET6 : AF_INET;
    info->ai_addr->sa_family = (sa_family_t)info->ai_family;
    if (info->ai_family == AF_INET6) {
        inet_pton(AF_INET6, address, &v6->sin6_addr);
        info->ai_addrlen = sizeof *v6;
    } else {
        inet_pton(AF_INET, address, &v4->sin_addr);
        info->ai_addrlen = sizeof *v4;
    }
    return info;
}

static struct addrinfo *make_list(const char *name, int family)
{
    struct addrinfo *list = NULL;

    if (begins(name, "huge-")) {
        for (int i = 0; i < HUGE_COUNT; i++)
            list = make_info("127.0.0.1", list);
        return list;
    }
    if (begins(name, "listed-")) {
        for (int i = LISTED_MAX; i--;)
            if (names.listed[i])
                list = make_info(names.listed[i], list);
        return list;
    }
    if (family != AF_INET6)
        list = make_info("127.0.0.1", list);
    if (family != AF_INET)
        list = make_info("::1", list);
    return list;
}

static int answer_name(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    if (begins(name, "missing-"))
        return EAI_NONAME;
    if (begins(name, "again-"))
        return EAI_AGAIN;
    if (begins(name, "fail-"))
        return EAI_FAIL;
    if (service && strcmp(service, "nonsense") == 0)
        return EAI_SERVICE;
    if (begins(name, "system-")) {
        errno = EIO;
        return EAI_SYSTEM;
    }
    *list = make_list(name, hints->ai_family);
    for (struct addrinfo *info = *list; info && service; info = info->ai_next)
        ((struct sockaddr_in *)info->ai_addr)->sin_port = htons(7);
    return 0;
}

static int fake_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                            struct addrinfo **list)
{
    int result;

    atomic_fetch_add(&names.inside, 1);
    atomic_fetch_add(&names.asked, 1);
    if (begins(name, "slow-"))
        while (sem_wait(&names.gate) < 0)
            ;
    if (begins(name, "sleep-"))
        usleep(200);
    result = answer_name(name, service, hints, list);
    atomic_fetch_sub(&names.inside, 1);
    return result;
}

static void fake_freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
}

HELPER int fake_names(void **state)
{
    static const struct weir__kernel_names fakes = { fake_getaddrinfo, fake_freeaddrinfo };

    (void)state;
    memset(&names, 0, sizeof names);
    sem_init(&names.gate, 0, 0);
    weir__kernel_set_names(&fakes);
    return 0;
}

HELPER int real_names(void **state)
{
    (void)state;
    weir__kernel_set_names(NULL);
    return 0;
}

HELPER void open_gate(long count)
{
    while (count--)
        sem_post(&names.gate);
}

#define WITH_NAMES(test) cmocka_unit_test_setup_teardown(test, fake_names, real_names)

#endif
